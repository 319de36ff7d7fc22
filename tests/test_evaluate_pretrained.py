"""evaluate_pretrained.sh on stand-ins: which runs it asks for, what it says."""

import pytest

from stand_ins import Machine, copy_project

# A dataset's script: notes how it is called, and writes "ranks".
RUNS = """#!/usr/bin/env bash
echo "$attention_form" "$bert_config_file" "$@" >> "$LOG"
mkdir -p "$model_dir"
printf '%s' "$RANKS" > "$model_dir/eval_users.tsv"
"""
NAME = "ml-1m-cross_gram-fast"
PUBLISHED = "pretrained/" + NAME + "/eval_users.tsv.gz"
# The environment's Python: compares by a word instead of pretrained/compare_ranks.py.
COMPARES = """
[ "$1" = pretrained/compare_ranks.py ] || exit 0
[ "$2" = %s ] && [ "$(cat "$3")" = same ] || { echo others >&2; exit 1; }
echo the published ranks
""" % PUBLISHED


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "bin").mkdir()
    machine = Machine(tmp_path / "bin", "env")
    machine.add_venv(COMPARES)
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
    (folder / "pretrained" / "__pycache__").mkdir()  # of the scripts there
    return folder


def evaluate(machine, project, ranks, *arguments):
    return machine.run_copy(project, "evaluate_pretrained.sh", *arguments,
                            environment={"RANKS": ranks})


@pytest.mark.parametrize("arguments", [(), ("pretrained/" + NAME,)])
def test_the_datasets_script_evaluates_and_the_ranks_agree(machine, project,
                                                           arguments):
    status, output, errors = evaluate(machine, project, "same", *arguments)
    assert status == 0, errors
    assert output.splitlines()[-1] == NAME + ": the published ranks"
    assert (project / "log").read_text().split() == [
        "cross_gram", "pretrained/%s/bert_config.json" % NAME,
        "--do_train=False",
        "--init_checkpoint=pretrained/" + NAME]


def test_another_rank_is_an_error(machine, project):
    status, _, errors = evaluate(machine, project, "else")
    assert status == 1
    assert "others\n" in errors and NAME + ": other ranks" in errors


@pytest.mark.parametrize("name", ["none", "mine", "mine-self-fast"])
def test_a_folder_without_model_is_one_clear_line(machine, project, name):
    if name != "none":  # a model, but of no dataset
        (project / "pretrained" / name).mkdir()
        (project / "pretrained" / name / "checkpoint").write_text("")
    status, _, errors = evaluate(machine, project, "", "pretrained/" + name)
    assert status == 1 and "no published model in pretrained/" + name in errors
    assert len(errors.splitlines()) == 1
