"""Reading model directories, and what is wrong with bad ones."""

import gzip
import os

import pytest

import evaluation
import report
from reporting import runs as run_files
from written_runs import (
    COLUMNS, sections_of, two_runs, user_columns, write_evaluation,
    write_results, write_run, write_users)


# --- reading a run ----------------------------------------------------------

def test_results_are_the_config_and_the_values(tmp_path):
    folder, columns = write_run(tmp_path / "run", 1)
    config, results = run_files.read_results(folder + "/eval_results.txt")
    assert config == {"hidden_size": 12, "attention_form": "cross"}
    assert results["validation"] == "folded into train"
    assert results["full/ap"] == evaluation.ranking_metrics(
        columns["full"])["ap"]


def test_users_are_read_in_order_of_their_numbers(tmp_path):
    columns, order = user_columns(1, ["paper"])
    backwards = {name: values[::-1] for name, values in columns.items()}
    write_users(tmp_path, backwards, order)
    users = run_files.read_users(str(tmp_path / "eval_users.tsv"))
    for name in COLUMNS:
        assert getattr(users, name).tolist() == columns[name]
    assert {name: ranks.tolist() for name, ranks in users.ranks.items()} == {
        name: columns[name] for name in order[4:]}


def test_a_published_folder_is_read_like_what_it_was_made_of(tmp_path):
    folder, _ = write_run(tmp_path / "run", 1)
    whole = run_files.read_run(folder, "run", 0)
    users = tmp_path / "run" / "eval_users.tsv"
    packed = gzip.compress(users.read_bytes())
    (tmp_path / "run" / "eval_users.tsv.gz").write_bytes(packed)
    users.unlink()
    found = run_files.read_run(folder, "run", 0).users
    assert found.user.tolist() == whole.users.user.tolist()
    assert {name: ranks.tolist() for name, ranks in found.ranks.items()} == {
        name: ranks.tolist() for name, ranks in whole.users.ranks.items()}
    for damaged in (packed[:-9], users.name.encode()):
        (tmp_path / "run" / "eval_users.tsv.gz").write_bytes(damaged)
        assert "eval_users.tsv.gz: damaged" in read_error(folder)


# --- bad input --------------------------------------------------------------

def read_error(folder):
    with pytest.raises(ValueError) as error:
        run_files.read_run(str(folder), "run", 0)
    return str(error.value)


def test_no_such_folder(tmp_path):
    assert "no folder %s" % (tmp_path / "none") in read_error(tmp_path / "none")


def test_a_run_without_results_says_how_to_make_them(tmp_path):
    message = read_error(tmp_path)
    assert "has no eval_results.txt" in message
    assert "run.py --do_eval" in message


@pytest.mark.parametrize("content, fault", [
    ("", "no model config"),
    ("global_step = 4\n", "no model config"),
    ('{\n "a": 1\n}\nglobal_step: 4\n', "eval_results.txt:4: 'global_step: 4'"),
    ("[]\nglobal_step = 4\n", "no model config at its start ([] is none)"),
    ("[" * 10 ** 5, "no model config"),
    ("{}\npaper/ndcg@10 = nan\n", "eval_results.txt:2: paper/ndcg@10 is 'nan', "
                                   "which is no metric"),
    ("{}\npaper/ap = 1e999\n", "paper/ap is '1e999'"),
    ("{}\npaper/ap = 1.5\n", "paper/ap is '1.5'"),
    ("{}\nglobal_step = x\n", "global_step is 'x', which is no number"),
    ('{\n "a": 1\n}\nloss = 4.0\n', "no ranking metrics such as seed/ndcg@1")])
def test_damaged_results(tmp_path, content, fault):
    (tmp_path / "eval_results.txt").write_text(content)
    assert fault in read_error(tmp_path)


@pytest.mark.parametrize("line, change, fault", [
    (0, ("item", "thing"), "eval_users.tsv:1: the columns are not user, item"),
    (5, ("\t", " "), "eval_users.tsv:6: 1 fields where the header has 7"),
    (5, ("\t", "\t-"), "eval_users.tsv:6: '-"),
    (5, ("\t", "\t0.5"), "eval_users.tsv:6: '0.5"),
    (5, ("\t", "\t99999999999999999"), "is not a count from 0"),
    (5, ("\t", u"\u0663\t"), "eval_users.tsv:6: "),
    (3, ("8\t", "5\t"), "eval_users.tsv:4: user 5 has a line already")])
def test_damaged_users(tmp_path, line, change, fault):
    folder = tmp_path / "run"
    write_run(folder, 1, ["paper"])
    lines = (folder / "eval_users.tsv").read_text().splitlines()
    assert lines[line] != lines[line].replace(*change)
    lines[line] = lines[line].replace(*change)
    (folder / "eval_users.tsv").write_text("\n".join(lines) + "\n")
    assert fault in read_error(folder)


def test_a_users_file_without_users(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    write_users(tmp_path / "run", {name: [] for name in COLUMNS + ["paper"]},
                COLUMNS + ["paper"])
    assert "holds no users" in read_error(tmp_path / "run")


def test_files_of_two_evaluations_are_refused(tmp_path):
    write_run(tmp_path / "run", 1)
    write_results(tmp_path / "run", user_columns(2)[0])
    message = read_error(tmp_path / "run")
    assert "seed/ndcg@5 is 0." in message and "eval_users.tsv" in message


@pytest.mark.parametrize("column", ["paper", "most_popular/paper",
                                    "item_transitions/paper"])
def test_one_users_other_rank_is_noticed(tmp_path, column):
    write_run(tmp_path / "run", 1, ["paper"])
    columns, order = user_columns(1, ["paper"])
    columns[column][3] += 1
    write_users(tmp_path / "run", columns, order)
    assert column + "/" in read_error(tmp_path / "run")


def test_ranks_that_the_results_have_no_protocol_for(tmp_path):
    write_run(tmp_path / "run", 1)
    write_users(tmp_path / "run", *user_columns(1, ["paper"]))
    assert "no ranks for protocol seed" in read_error(tmp_path / "run")


def test_results_that_end_early_lack_what_there_are_ranks_for(tmp_path):
    write_run(tmp_path / "run", 1)
    results = tmp_path / "run" / "eval_results.txt"
    lines = results.read_text().splitlines(True)
    results.write_text("".join(
        line for line in lines if "seed/" not in line))
    message = read_error(tmp_path / "run")
    assert "seed/" in message and "nan in eval_results.txt" in message


def test_a_byte_order_mark_is_read(tmp_path):
    folder, _ = write_run(tmp_path / "run", 1, ["paper"])
    before = run_files.read_run(folder, "run", 0)
    for name in ("eval_results.txt", "eval_users.tsv", "run_config.json",
                 "eval_config.json"):
        path = tmp_path / "run" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    after = run_files.read_run(folder, "run", 0)
    assert after[:5] == before[:5] and after[6:] == before[6:]
    assert (after.users.item == before.users.item).all()


@pytest.mark.parametrize("change", [
    ('"seed": 1', '"seed": null'), ('"seed": 1', '"seed": true'),
    ('"held out"', '"perhaps"'), ('"held out"', '[]'),
    ('{"ml-1m-mp1.0-sw0.5.test.tfrecord": "%s"}' % ("6" * 64), '3')])
def test_a_record_of_another_shape(tmp_path, change):
    write_run(tmp_path / "run", 1, ["paper"])
    path = tmp_path / "run" / "run_config.json"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    assert "run_config.json: not the record of a training" in read_error(
        tmp_path / "run")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"data_files": []}'])
def test_a_damaged_record(tmp_path, content):
    write_run(tmp_path / "run", 1, ["paper"])
    (tmp_path / "run" / "run_config.json").write_text(content)
    assert "run_config.json: not the record of a training" in read_error(
        tmp_path / "run")


@pytest.mark.parametrize("content", [
    "{", "[]", "{}", '{"flags": [], "checkpoint": "x", "step": 300}',
    '{"flags": {}, "checkpoint": "x"}'])
def test_a_damaged_record_of_an_evaluation(tmp_path, content):
    write_run(tmp_path / "run", 1, ["paper"])
    (tmp_path / "run" / "eval_config.json").write_text(content)
    assert "eval_config.json: not the record of an evaluation" in read_error(
        tmp_path / "run")


def test_the_record_of_another_evaluation_is_refused(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    path = tmp_path / "run" / "eval_config.json"
    path.write_text(path.read_text().replace('"step": 300', '"step": 200'))
    assert "step 200 in eval_config.json, 300.0 in eval_results.txt; write " \
        "both with one run.py --do_eval" in read_error(tmp_path / "run")


@pytest.mark.parametrize("checkpoint, own", [
    ("mine-a/model.ckpt-300", True), ("mine-a/best/model.ckpt-300", True),
    ("moved/run/model.ckpt-300", True), ("mine-a/old/model.ckpt-300", False),
    ("other/model.ckpt-300", False)])
def test_results_of_another_model_are_refused(tmp_path, monkeypatch,
                                              checkpoint, own):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    folder, _ = write_run(tmp_path / "moved" / "run", 1, ["paper"])
    write_evaluation(tmp_path / "moved" / "run", checkpointDir="mine",
                     signature="-a")
    path = tmp_path / "moved" / "run" / "eval_config.json"
    path.write_text(path.read_text().replace("model.ckpt-300", checkpoint))
    if own:
        assert run_files.read_run(folder, "run", 0).record["seed"] == 1
    else:
        assert "its results are of %s, not" % checkpoint in read_error(folder)
        os.remove(os.path.join(folder, "run_config.json"))
        assert run_files.read_run(folder, "run", 0).record is None


def test_no_run_and_one_run_twice(two_runs):
    with pytest.raises(ValueError, match="no run given"):
        report.read_runs([], None)
    name = two_runs[0][0]
    with pytest.raises(ValueError, match="given more than once"):
        report.read_runs([name, name + "/"], None)


def test_names_must_fit_the_runs(two_runs):
    folders = [name for name, _ in two_runs]
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="--names=%s" % ",".join(names)):
            report.read_runs(folders, names)


def test_a_choice_is_named_once():
    with pytest.raises(ValueError, match="--metrics=ap,ap names one twice"):
        report.check_choice("metrics", ["ap", "ap"], evaluation.METRICS)


def test_unknown_choices_list_the_known_ones():
    with pytest.raises(ValueError, match="'test'; the protocols are seed, "
                                         "paper, uniform, full"):
        report.check_choice("protocols", ["seed", "test"],
                            evaluation.PROTOCOLS)
    with pytest.raises(ValueError, match="'mrr'; the metrics are ndcg@1, hit"):
        report.check_choice("metrics", ["mrr"], evaluation.METRICS)


def test_a_protocol_that_no_run_was_evaluated_under(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    with pytest.raises(ValueError, match="no run was evaluated under protocol "
                                         "full; run.py --do_eval"):
        sections_of([str(tmp_path / "run")], protocols=["paper", "full"])


def test_mismatched_users_are_counted(two_runs, tmp_path):
    columns, order = user_columns(2)
    short = {name: values[2:-1] for name, values in columns.items()}
    short["user"] = short["user"][:-1] + [100001]
    write_users(tmp_path, short, order)
    write_results(tmp_path, short)
    folders = [two_runs[0][0], str(tmp_path)]
    with pytest.raises(ValueError, match="4 users are only in self and 1 only "
                                         "in %s" % tmp_path.name):
        sections_of(folders)
    titles = sections_of(folders, compare=False)[0]
    assert not any("against" in title for title in titles)


def test_mismatched_items_are_counted(two_runs, tmp_path):
    columns, order = user_columns(2)
    columns["item"][4] += 1
    write_users(tmp_path, columns, order)
    write_results(tmp_path, columns)
    with pytest.raises(ValueError, match="1 of 43 users have another test"):
        sections_of([two_runs[0][0], str(tmp_path)])
