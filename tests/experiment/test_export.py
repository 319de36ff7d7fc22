"""The SavedModel, loaded by a process that has nothing of this project."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from conftest import ITEMS, LENGTH
from experiment import export
from experiment.job import check_job
from experiment.recall import of_directory
from experiment.recommender import EXCLUDED, Recommender

# What a server does: rows of a JSON request become one tensor, the signature
# is called, and the tensors of its answer become rows.
LOADER = """
import json, sys
import numpy as np
import tensorflow.compat.v1 as tf
folder, signature = sys.argv[1:]
request = json.load(sys.stdin)
with tf.Graph().as_default(), tf.Session() as session:
    loaded = tf.saved_model.loader.load(session, ["serve"], folder)
    called = loaded.signature_def[signature]
    items = np.array([row["items"] for row in request["instances"]], object)
    names = sorted(called.outputs)
    found = session.run([called.outputs[name].name for name in names],
                        {called.inputs["items"].name: items})
assert not {"modeling", "util", "vocab", "experiment"} & set(sys.modules)
rows = [dict(zip(names, [
    [one.decode("utf-8") for one in value] if value.dtype == object
    else value.tolist() for value in row])) for row in zip(*found)]
print(json.dumps({"predictions": rows}))
"""
HISTORIES = [["B 3", "B 5"], ["B 9"], [], ["x"],
             ["B %d" % n for n in range(1, 2 * LENGTH)],
             ["B %d" % n for n in range(1, ITEMS + 1)]]


def instances(histories):
    """The rows of a request, as long as each other."""
    longest = max(map(len, histories))
    return [{"items": items + [""] * (longest - len(items))}
            for items in histories]


def ask(folder, request, signature="serving_default", python=sys.executable):
    """The rows that another process answers to the rows of a request."""
    process = subprocess.Popen(
        [python, "-c", LOADER, str(folder), signature], cwd=str(folder),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    answer, errors = process.communicate(
        json.dumps({"instances": request}).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(answer.decode())["predictions"]


def job_in(named, folder, **flags):
    """A job with a model directory of its own to export to."""
    job = check_job(of_directory(str(named), dict(
        do_predict=True, do_export=True, top_k=5, allow_seen=False, **flags)))
    return job._replace(model_dir=str(folder))


@pytest.fixture(scope="module")
def exported(named, tmp_path_factory):
    """(job, what export() returned)."""
    job = job_in(named, tmp_path_factory.mktemp("exported"))
    return job, export.export(job, job.checkpoint)


def assert_equal_to(wanted, rows):
    """Rows of an answer are Recommendations, to the last bit."""
    for one, row in zip(wanted, rows):
        left = len(one.items)                  # fewer than K may be left
        assert set(row) == {"items", "scores", "most_popular"}
        assert row["items"] == one.items + [""] * (5 - left)
        scores = np.array(row["scores"], np.float32)
        assert (scores[:left] == np.array(one.scores, np.float32)).all()
        assert (scores[left:] == EXCLUDED).all()
        assert row["most_popular"] == (one.by == "most popular")
    assert len(rows) == len(wanted)


def test_another_process_recommends_exactly_what_do_predict_does(exported):
    job, folder = exported
    wanted = Recommender(job, job.checkpoint).recommend(HISTORIES, k=5)
    rows = ask(folder, instances(HISTORIES))
    assert_equal_to(wanted, rows)
    assert [row["most_popular"] for row in rows] == [
        False, False, True, True, False, False]
    assert [len(one.items) for one in wanted] == [5, 5, 5, 5, 5, 0]


def test_fillers_may_stand_anywhere_and_lengths_be_any(exported):
    _, folder = exported
    plain, = ask(folder, [{"items": ["B 3", "B 5"]}])
    rows = ask(folder, [{"items": ["", "B 3", "unknown", "", "B 5", ""]},
                        {"items": ["", "", "B 3", "B 5", "", ""]}])
    for row in rows:
        assert row["items"] == plain["items"]
        np.testing.assert_allclose(row["scores"], plain["scores"], atol=1e-5)


def test_scores_are_those_of_every_item_in_the_order_of_the_asset(exported):
    job, folder = exported
    with open(os.path.join(folder, "assets", "items.txt")) as stream:
        assert stream.read().splitlines() == job.names.items[1:]
    row, = ask(folder, [{"items": ["B 3", "B 5"]}], "scores")
    assert list(row) == ["scores"] and len(row["scores"]) == ITEMS
    order = np.argsort(-np.array(row["scores"]), kind="mergesort")
    wanted, = Recommender(job, job.checkpoint).recommend(
        [["B 3", "B 5"]], k=ITEMS, allow_seen=True)
    assert [job.names.items[i + 1] for i in order] == wanted.items


def test_the_signatures_as_saved_model_cli_shows_and_runs_them(exported):
    _, folder = exported

    def cli(*arguments):
        return subprocess.check_output(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli",
             arguments[0], "--dir", folder, "--tag_set", "serve",
             "--signature_def", "serving_default"] + list(arguments[1:]),
            stderr=subprocess.DEVNULL, cwd=folder).decode()

    shown = " ".join(cli("show").split())
    for part in ("inputs['items'] tensor_info: dtype: DT_STRING shape: (-1, -1)",
                 "outputs['items'] tensor_info: dtype: DT_STRING shape: (-1, 5)",
                 "outputs['scores'] tensor_info: dtype: DT_FLOAT shape: (-1, 5)",
                 "outputs['most_popular'] tensor_info: dtype: DT_BOOL "
                 "shape: (-1)"):
        assert part in shown
    printed = cli("run", "--input_exprs", 'items=[["B 3", "B 5"]]')
    row, = ask(folder, [{"items": ["B 3", "B 5"]}])
    for item in row["items"]:
        assert "b'%s'" % item in printed


def test_versions_are_counted_and_whole(exported, named, monkeypatch):
    job, first = exported
    folder = os.path.join(job.model_dir, "export")
    assert first == os.path.join(folder, "1")
    os.rename(first, os.path.join(folder, "9"))
    try:
        assert export.export(job, job.checkpoint) == os.path.join(folder, "10")
        monkeypatch.setattr(export, "restore", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export.export(job, job.checkpoint)
        assert sorted(os.listdir(folder)) == ["10", "9"]
    finally:
        os.rename(os.path.join(folder, "9"), first)


def test_an_id_that_is_no_line_is_refused(exported, tmp_path):
    job, _ = exported
    names = job.names
    names.items[7], item = "a\nb", names.items[7]
    try:
        with pytest.raises(ValueError, match="line break"):
            export.export(job._replace(model_dir=str(tmp_path)),
                          job.checkpoint)
    finally:
        names.items[7] = item
    assert os.listdir(str(tmp_path / "export")) == []
