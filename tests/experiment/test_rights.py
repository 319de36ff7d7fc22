"""What file modes forbid: one line with the name, before the work."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import conftest
from conftest import ROOT, command
from test_job import arguments, predicting
from written_runs import two_runs

CHECK = """
import argparse, json, sys
from experiment.job import check_job
for values in json.load(sys.stdin):
    try:
        check_job(argparse.Namespace(**values))
        print("nothing was wrong")
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()))
"""


def refusals(bound, jobs):
    """What run.py's checks say to each of these flags, in one process."""
    process = subprocess.Popen(
        bound + [sys.executable, "-c", CHECK], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=ROOT))
    output, errors = process.communicate(json.dumps(
        list(map(vars, jobs))).encode())
    assert process.returncode == 0, errors.decode()
    return output.decode().splitlines()


def closed_copy(path, folder):
    """A copy of a file that nobody may read."""
    target = folder / os.path.basename(path)
    shutil.copy(path, str(target))
    target.chmod(0)
    return str(target)


def listing(folder):
    """Every file below a folder, with its content."""
    return {str(path): path.is_file() and path.read_bytes()
            for path in folder.rglob("*")}


def test_run_says_before_the_work_what_it_may_not_read_or_write(
        bound, dataset, trained, tmp_path):
    unread = {flag: closed_copy(dataset.prefix + ending, tmp_path)
              for flag, ending in (
                  ("train_input_file", ".train.tfrecord"),
                  ("test_input_file", ".test.tfrecord"),
                  ("vocab_filename", ".vocab"),
                  ("user_history_filename", ".his"))}
    config = closed_copy(dataset.config, tmp_path)
    requests = tmp_path / "asked.tsv"
    requests.write_text(u"a\t1\n")
    requests.chmod(0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    cases = [({flag: path}, "--%s: %s cannot be read; " % (flag, path))
             for flag, path in sorted(unread.items())]
    cases += [
        (dict(bert_config_file=config), "Permission denied: '%s'" % config),
        (predicting(trained, predict_input_file=requests),
         "Permission denied: '%s'" % requests)]

    refused = "--%s: the folder %s cannot be written to; "
    cases += [(changes, refused % (flag, closed)) for flag, changes in (
        ("checkpointDir", dict(checkpointDir=str(closed / "x"))),
        ("candidates_file", dict(candidates_file=closed / "x")),
        ("predict_output_file", predicting(
            trained, predict_output_file=closed / "x.tsv")))]
    model = tmp_path / "trained"
    shutil.copytree(str(trained[0] / "run"), str(model))
    model.chmod(0o555)
    cases += [(dict({"do_train": False, "do_eval": False, task: True},
                    checkpointDir=str(model), signature=""),
               refused % ("checkpointDir", model))
              for task in ("do_train", "do_eval", "do_export",
                           "export_embeddings")]
    for name in ("best", "eval", "eval_valid"):
        (tmp_path / ("with " + name)).mkdir()
        folder = tmp_path / ("with " + name) / name
        folder.mkdir(mode=0o555)
        cases.append((dict(checkpointDir=str(folder.parent), signature=""),
                      refused % ("checkpointDir", folder)))

    before = listing(tmp_path)
    lines = refusals(bound, [arguments(dataset, tmp_path, **changes)
                             for changes, _ in cases])
    assert len(lines) == len(cases)
    for (_, part), line in zip(cases, lines):
        assert part in line
    assert listing(tmp_path) == before


def test_a_closed_model_directory_recommends_to_elsewhere(
        bound, trained, tmp_path):
    model = tmp_path / "trained"
    shutil.copytree(str(trained[0] / "run"), str(model))
    model.chmod(0o555)
    asked = ("run.py", "--do_predict", "--checkpointDir=%s" % model)
    status, _, errors = command(*asked, start=bound)
    assert status == 1
    assert ("run.py: error: --predict_output_file: the folder %s cannot be "
            "written to; " % model) in errors.splitlines()[-1]
    for elsewhere in ("--predict_items=3 5",
                      "--predict_output_file=%s" % (tmp_path / "x.tsv")):
        status, _, errors = command(*asked + (elsewhere,), start=bound)
        assert status == 0, errors
    assert (tmp_path / "x.tsv").exists()


@pytest.mark.parametrize("task, folder", [
    ("do_export", "export"), ("export_embeddings", "embeddings")])
def test_a_closed_folder_in_the_model_directory_is_one_line(
        bound, trained, tmp_path, task, folder):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    closed = tmp_path / "run" / folder
    closed.mkdir(exist_ok=True)
    closed.chmod(0o555)
    before = os.listdir(str(closed))
    status, _, errors = command(
        "run.py", "--" + task, "--checkpointDir=%s" % (tmp_path / "run"),
        start=bound)
    assert status == 1 and "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("run.py: error: ")
    assert str(closed) in errors.splitlines()[-1]
    assert os.listdir(str(closed)) == before


def test_a_generation_names_what_it_may_not_read_or_write(bound, tmp_path):
    path = tmp_path / "tiny.txt"
    conftest.write_interactions(path)
    path.chmod(0)
    status, _, errors = conftest.generate(tmp_path, start=bound)
    assert (status, errors) == (
        1, "gen_data_fin.py: error: [Errno 13] Permission denied: '%s'\n" % path)
    path.chmod(0o644)
    tmp_path.chmod(0o555)
    status, _, errors = conftest.generate(tmp_path, start=bound)
    assert status == 1
    assert errors.startswith("gen_data_fin.py: error: --data_dir: the folder "
                             "%s cannot be written to; " % tmp_path)
    assert os.listdir(str(tmp_path)) == ["tiny.txt"]


@pytest.mark.parametrize("name", ["eval_results.txt", "run_config.json"])
def test_a_report_names_what_it_may_not_read(bound, two_runs, tmp_path, name):
    shutil.copytree(two_runs[0][0], str(tmp_path / "run"))
    (tmp_path / "run" / name).chmod(0)
    status, _, errors = command("report.py", str(tmp_path / "run"),
                                "--output=%s" % (tmp_path / "out"), start=bound)
    assert status == 1
    assert errors.startswith("report.py: error: ") and errors.count("\n") == 1
    assert str(tmp_path / "run" / name) in errors
    assert not (tmp_path / "out").exists()


def test_a_report_says_where_it_may_not_write(bound, two_runs, tmp_path):
    tmp_path.chmod(0o555)
    status, _, errors = command("report.py", two_runs[0][0], "--output=%s"
                                % (tmp_path / "out"), start=bound)
    assert status == 1
    assert errors.startswith("report.py: error: --output: the folder %s "
                             "cannot be written to; " % tmp_path)
    assert os.listdir(str(tmp_path)) == []
