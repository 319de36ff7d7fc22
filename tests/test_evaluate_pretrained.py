"""evaluate_pretrained.sh on stand-ins: which runs it asks for, what it says."""

import gzip
import os
import shutil
import sys

import pytest

from conftest import ROOT

from stand_ins import Machine, copy_project

# A dataset's script: notes how it is called, and writes ranks.
RUNS = """#!/usr/bin/env bash
echo "$attention_form" "$@" >> "$LOG"
mkdir -p "$model_dir"
printf '%s' "$RANKS" > "$model_dir/eval_users.tsv"
"""
NAME = "ml-1m-cross_gram-fast"
RANKS = ("user\titem\thistory_length\ttarget_count\tseed\tmost_popular/seed\n"
         "1\t9\t5\t6\t23\t7\n")


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "bin").mkdir()
    machine = Machine(tmp_path / "bin", "env")
    machine.add("python3", 'exec "%s" "$@"' % sys.executable)
    return machine


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    copy_project(folder, "evaluate_pretrained.sh")
    (folder / "run_ml-1m.sh").write_text(RUNS)
    (folder / "run_ml-1m.sh").chmod(0o755)
    published = folder / "pretrained" / NAME
    published.mkdir(parents=True)
    (published / "checkpoint").write_text("")
    shutil.copy(os.path.join(ROOT, "pretrained", "compare_ranks.py"),
                str(folder / "pretrained"))
    with gzip.open(str(published / "eval_users.tsv.gz"), "wb") as stream:
        stream.write(RANKS.encode())
    return folder


def evaluate(machine, project, ranks, *arguments):
    return machine.run_copy(project, "evaluate_pretrained.sh", *arguments,
                            environment={"RANKS": ranks})


@pytest.mark.parametrize("arguments", [(), ("pretrained/" + NAME,)])
def test_the_datasets_script_evaluates_and_the_ranks_agree(machine, project,
                                                           arguments):
    status, output, errors = evaluate(machine, project, RANKS,
                                      *arguments)
    assert status == 0, errors
    assert output.splitlines()[-1] == NAME + ": the published ranks, user by user"
    assert (project / "log").read_text().split() == [
        "cross_gram", "--do_train=False",
        "--init_checkpoint=pretrained/" + NAME]


def test_another_rank_is_an_error(machine, project):
    status, _, errors = evaluate(machine, project, RANKS.replace("23", "24"))
    assert status == 1
    assert "compare_ranks.py: error: 1 of 1 users have other ranks" in errors
    assert NAME + ": other ranks" in errors


def test_a_folder_without_model_is_one_clear_line(machine, project):
    status, _, errors = evaluate(machine, project, "", "pretrained/none")
    assert status == 1 and "no published model in pretrained/none" in errors
    assert len(errors.splitlines()) == 1
