"""--do_predict: what it writes and prints, of what is asked."""

import io
import json
import os

import pytest

from conftest import USERS, command
from experiment import prediction
from experiment.job import check_job
from experiment.recall import of_directory
from experiment.recommender import load

ASKED = [("a", ["B 3", "B 5"]), ("b", ["x", "B 9", "B 3", "y"]), (u"\u00e9", ["z"]),
         ("t\tab", [])]


@pytest.fixture(scope="module")
def wanted(named):
    """The Recommendations for ASKED, their keys put in."""
    found = load(str(named)).recommend([items for _, items in ASKED], k=3)
    return [one._replace(key=key) for (key, _), one in zip(ASKED, found)]


def write_asked(path):
    with io.open(str(path), "w", encoding="utf-8") as stream:
        for key, items in ASKED:
            stream.write(json.dumps({"key": key, "items": items}) + u"\n")
    return str(path)


def close(scores):
    """Scores of another session: their last digit may move."""
    return pytest.approx(scores, rel=0, abs=1e-6)


def predict(named, **flags):
    job = check_job(of_directory(str(named), dict(flags, top_k=3)))
    prediction.predict(job, job.checkpoint)


def read(path):
    with io.open(str(path), encoding="utf-8", newline="\n") as stream:
        return stream.read()


def test_a_model_directory_alone_recommends_to_every_user(named):
    status, output, errors = command("run.py", "--do_predict",
                                     "--checkpointDir=%s" % named)
    assert (status, output) == (0, ""), errors
    lines = read(named / "recommendations.tsv").splitlines()
    assert lines[0] == "key\trank\titem\ttitle\tscore\tby"
    users = ["u%d" % number for number in range(1, USERS + 1)]
    found = load(str(named)).recommend(users)
    rows = [line.split("\t") for line in lines[1:]]
    assert len(rows) == 10 * USERS
    assert [float(row.pop(4)) for row in rows] == close(
        [score for one in found for score in one.scores])
    assert rows == [
        [one.key, str(rank), item, title, "model"] for one in found
        for rank, (item, title) in enumerate(zip(one.items, one.titles), 1)]


def test_json_lines_in_and_out(named, wanted, tmp_path, capsys):
    predict(named, predict_input_file=write_asked(tmp_path / "in.jsonl"),
            predict_output_file=str(tmp_path / "out.jsonl"))
    assert [json.loads(line) for line in read(
        tmp_path / "out.jsonl").splitlines()] == [
            dict(one._asdict(), scores=close(one.scores)) for one in wanted]
    logged = capsys.readouterr().err
    assert "skipped 3 unknown items of 2 sequences" in logged
    assert "2 sequences without a known item got the most popular" in logged
    assert "4/4 sequences" in logged


def test_json_lines_in_and_tsv_out(named, wanted, tmp_path):
    predict(named, predict_input_file=write_asked(tmp_path / "in.jsonl"),
            predict_output_file=str(tmp_path / "out.tsv"))
    rows = [line.split("\t") for line in read(
        tmp_path / "out.tsv").splitlines()[1:]]
    assert [row[0] for row in rows[::3]] == ["a", "b", u"\u00e9", "t\\tab"]
    assert [row[2] for row in rows] == [
        item for one in wanted for item in one.items]
    assert [row[5] for row in rows] == 6 * ["model"] + 6 * ["most popular"]


def test_text_lines_of_numbers_without_an_id_map(trained, tmp_path):
    (tmp_path / "in.txt").write_text("k\t3 5\n")
    predict(trained[0] / "run", predict_input_file=str(tmp_path / "in.txt"),
            predict_output_file=str(tmp_path / "out.tsv"))
    found, = load(str(trained[0] / "run")).recommend([["3", "5"]], k=3)
    rows = [line.split("\t") for line in read(
        tmp_path / "out.tsv").splitlines()]
    assert rows.pop(0) == ["key", "rank", "item", "score", "by"]
    assert [float(row.pop(3)) for row in rows] == close(found.scores)
    assert rows == [["k", str(rank), item, "model"]
                    for rank, item in enumerate(found.items, 1)]


def test_an_interrupted_prediction_leaves_nothing(named, tmp_path):
    path, target = str(tmp_path / "in.tsv"), tmp_path / "out.tsv"
    (tmp_path / "in.tsv").write_text("k\tB 3\n")
    job = check_job(of_directory(str(named), dict(
        top_k=3, predict_input_file=path, predict_output_file=str(target))))
    (tmp_path / "in.tsv").write_text("k\tB 3\nbroken\n")
    with pytest.raises(ValueError, match="in.tsv:2"):
        prediction.predict(job, job.checkpoint)
    assert os.listdir(str(tmp_path)) == ["in.tsv"]


def test_one_user_by_eye(named, capsys):
    job = check_job(of_directory(str(named), dict(do_predict=True, top_k=1)))
    token, (history,) = max(job.user_history.items(),
                            key=lambda item: len(item[1][0]))
    assert len(history) > 10
    user = "u" + token[5:]
    predict(named, predict_user=user)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "user %s: %d items, the last 10" % (user, len(history))
    items = [one[5:] for one in job.words.convert_ids_to_tokens(history)]
    assert [line.split() for line in lines[1:11]] == [
        [str(place), "B", item, u"Th\u00e9", item] for place, item
        in list(enumerate(items, 1))[-10:]]
    assert lines[11] == "recommended, by the model:"
    found, = load(str(named)).recommend([user], k=3)
    rows = [line.split() for line in lines[12:]]
    assert [float(row.pop(3)) for row in rows] == pytest.approx(
        found.scores, rel=0, abs=1e-4)
    assert rows == [[str(rank), "B", item[2:], u"Th\u00e9", item[2:]]
                    for rank, item in enumerate(found.items, 1)]


def test_some_items_by_eye(trained, capsys):
    predict(trained[0] / "run", predict_items="3 x 5")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["these items: 2 items; 1 unknown ones skipped",
                         "    1  3", "    2  5", "recommended, by the model:"]
    assert len(lines) == 7
    predict(trained[0] / "run", predict_items="")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "these items: 0 items", "the most popular items:"]
