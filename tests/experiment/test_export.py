"""The SavedModel, loaded by a process that has nothing of this project."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from conftest import ITEMS, ROOT
from experiment import export
from experiment.job import check_job
from experiment.recall import of_directory
from experiment.recommender import EXCLUDED, Recommender
from saved_models import HISTORIES, ask, instances


def documented(what):
    """The request, or the response, that docs/recommendations.md shows."""
    with io.open(os.path.join(ROOT, "docs", "recommendations.md"),
                 encoding="utf-8") as stream:
        return json.loads(re.search(r"<!-- %s -->\s+```json\n(.*?)```" % what,
                                    stream.read(), re.S).group(1))


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
    """Rows of an answer are Recommendations, to the scores' last bit."""
    for one, row in zip(wanted, rows):
        left = len(one.items)                  # fewer than K may be left
        assert set(row) == {"items", "scores", "most_popular"}
        assert row["items"] == one.items + [""] * (5 - left)
        assert (np.float32(row["scores"][:left]).tolist()
                == np.float32(one.scores).tolist())
        assert row["scores"][left:] == [EXCLUDED] * (5 - left)
        assert row["most_popular"] == (one.by == "most popular")
    assert len(rows) == len(wanted)


def test_another_process_recommends_what_do_predict_does(exported):
    job, folder = exported
    wanted = Recommender(job, job.checkpoint).recommend(HISTORIES, k=5)
    rows = ask(folder, instances(HISTORIES))
    assert_equal_to(wanted, rows)
    assert [row["most_popular"] for row in rows] == [
        True, True, False, False, False, False, False]
    assert [len(one.items) for one in wanted] == [5, 5, 5, 5, 5, 3, 0]


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
    asked = documented("request")["instances"]
    printed = cli("run", "--input_exprs", "items=%r" % [
        row["items"] for row in asked])
    for row in ask(folder, asked):
        for item in row["items"]:
            assert "b'%s'" % item in printed


def test_the_documented_request_and_response_have_the_signatures_form(
        exported):
    _, folder = exported
    asked = documented("request")["instances"]
    assert len({len(row["items"]) for row in asked}) == 1   # a rectangle
    answered = documented("response")["predictions"]
    found = ask(folder, asked)
    assert len(answered) == len(asked) == len(found)
    for theirs, ours in zip(answered, found):
        assert {name: type(value) for name, value in theirs.items()} == {
            name: type(value) for name, value in ours.items()}
        assert len(theirs["items"]) == len(theirs["scores"])
        assert all(isinstance(item, str) for item in theirs["items"])
        assert all(isinstance(score, float) for score in theirs["scores"])


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
