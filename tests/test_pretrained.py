"""A published model: its folder, and the same results from it."""

import gzip
import json
import os
import shutil
import subprocess

import pytest
import tensorflow.compat.v1 as tf

import util
from conftest import command, results_of, run_flags
from pretrained import publish


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    """The folder that publish.py makes of the trained model."""
    target = tmp_path_factory.mktemp("pretrained") / "tiny-cross_published"
    status, _, errors = command("pretrained/publish.py",
                                trained[0] / "run", target)
    assert status == 0, errors
    return target


def test_it_holds_what_evaluation_needs_and_its_record(published, trained):
    assert sorted(os.listdir(str(published))) == [
        "bert_config.json", "checkpoint", "curves.tsv", "eval_config.json",
        "eval_results.txt", "eval_users.tsv.gz",
        "model.ckpt-5.data-00000-of-00001", "model.ckpt-5.index",
        "run_config.json"]
    with gzip.open(str(published / "eval_users.tsv.gz")) as stream:
        assert stream.read() == (
            trained[0] / "run" / "eval_users.tsv").read_bytes()


def test_variables_stay_to_the_last_bit_and_slots_go(published, trained):
    before = tf.train.load_checkpoint(str(trained[0] / "run" / "model.ckpt-5"))
    after = tf.train.load_checkpoint(str(published / "model.ckpt-5"))
    names = set(before.get_variable_to_shape_map())
    slots = {name for name in names if "/adam_" in name}
    assert slots
    assert set(after.get_variable_to_shape_map()) == names - slots
    for name in names - slots:
        assert before.get_tensor(name).tobytes() == \
            after.get_tensor(name).tobytes(), name


def test_the_curves_are_those_of_the_events(published, trained):
    lines = (published / "curves.tsv").read_text().splitlines()
    assert lines[0] == "curve\tstep\tvalue\tseconds"
    curves = {}
    for line in lines[1:]:
        name, step, value, seconds = line.split("\t")
        assert float(seconds) > 0.0
        curves.setdefault(name, {})[int(step)] = float(value)
    assert set(curves) == {"loss", "learning_rate"}
    assert max(curves["loss"]) == 5
    # Linear decay: the last step's rate is 1e-3 times (5 - 4) / 5.
    assert curves["learning_rate"][5] == pytest.approx(2e-4)


def test_curves_of_short_windows_that_came_before_are_published_too(
        published, trained, tmp_path):
    for name in ("run", "run-short"):
        shutil.copytree(str(trained[0] / "run"), str(tmp_path / name))
    status, _, errors = command("pretrained/publish.py", tmp_path / "run",
                                tmp_path / "new")
    assert status == 0, errors
    assert os.listdir(str(tmp_path / "new" / "short")) == ["curves.tsv"]
    for folder in (tmp_path / "new", tmp_path / "new" / "short"):
        assert (folder / "curves.tsv").read_text() == (
            published / "curves.tsv").read_text()


def test_its_folder_is_enough_to_get_the_results_again(published, trained,
                                                       tmp_path):
    status, _, errors = command(
        "run.py", "--do_eval", "--init_checkpoint=%s" % published,
        "--checkpointDir=%s" % (tmp_path / "run"))
    assert status == 0, errors
    assert "taken from %s: " % published in errors
    assert results_of(tmp_path) == results_of(trained[0])
    assert (tmp_path / "run" / "eval_users.tsv").read_bytes() == (
        trained[0] / "run" / "eval_users.tsv").read_bytes()


def test_no_training_goes_on_from_it_in_its_folder(published, tmp_path):
    shutil.copytree(str(published), str(tmp_path / "run"))
    status, _, errors = command(
        "run.py", "--do_train", "--num_train_steps=9",
        "--checkpointDir=%s" % (tmp_path / "run"))
    assert status == 1 and "Traceback" not in errors
    assert "lacks what the optimiser had" in errors.splitlines()[-1]
    assert "--init_checkpoint=" in errors.splitlines()[-1]


def test_no_training_begins_from_embeddings_of_other_items(published, dataset,
                                                           tmp_path):
    other = tmp_path / "other"
    shutil.copytree(str(published), str(other))
    record = json.loads((other / "run_config.json").read_text())
    record["data_files"]["vocab_filename"] = {"other.vocab": "9" * 64}
    (other / "run_config.json").write_text(json.dumps(record))
    status, _, errors = command(
        "run.py", "--do_train", "--init_checkpoint=%s" % other,
        *run_flags(dataset, tmp_path / "model"))
    assert status == 1
    assert "--vocab_filename: " in errors.splitlines()[-1]
    assert "is not the data that %s" % other in errors.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_other_data_are_noticed(published, dataset, tmp_path):
    users = str(tmp_path / "other.his")
    with open(dataset.prefix + ".his", "rb") as source:
        data = source.read()
    with open(users, "wb") as stream:
        stream.write(data.replace(b"user_1", b"user_9", 1))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True, init_checkpoint=published,
        user_history_filename=users))
    assert status == 1 and "is not the data" in errors, errors


def test_a_folder_that_is_there_is_left_alone(published, trained):
    status, _, errors = command("pretrained/publish.py",
                                trained[0] / "run", published)
    assert status == 1 and "is there already" in errors
    assert len(errors.splitlines()) == 1


def test_a_model_that_was_not_evaluated_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    status, _, errors = command("pretrained/publish.py", tmp_path / "run",
                                tmp_path / "new")
    assert status == 1 and "evaluate with run.py --do_eval first" in errors
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("flag, value, told", [
    ("eval_users", 9, "--eval_users=9"),
    ("candidates_file", "mine.tsv", "--candidates_file=mine.tsv"),
    ("protocols", ["full", "paper"], "--protocols=full,paper"),
    ("eval_seeds", 2, "--eval_seeds=2"),
    ("use_pop_random", False, "--use_pop_random=False")])
def test_results_that_would_not_come_again_are_refused(trained, tmp_path, flag,
                                                       value, told):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    path = tmp_path / "run" / "eval_config.json"
    evaluation = json.loads(path.read_text())
    evaluation["flags"][flag] = value
    path.write_text(json.dumps(evaluation))
    status, _, errors = command("pretrained/publish.py", tmp_path / "run",
                                tmp_path / "new")
    assert status == 1 and len(errors.splitlines()) == 1
    assert "are those of %s, which" % told in errors
    assert os.listdir(str(tmp_path)) == ["run"]


def test_the_best_checkpoint_is_published_though_another_has_its_name(
        selected, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(str(selected[0] / "run"), str(run))
    evaluation = json.loads((run / "eval_config.json").read_text())
    evaluation["flags"]["candidates_file"] = None
    best = evaluation["checkpoint"]
    folder, name = os.path.split(best)
    assert (run / (name + ".index")).exists()  # the newest is the best one
    for checkpoint, published in ((best, run / "best" / name), (
            os.path.join(os.path.dirname(folder), name), run / name)):
        evaluation["checkpoint"] = checkpoint
        (run / "eval_config.json").write_text(json.dumps(evaluation))
        assert publish.evaluated_checkpoint(str(run)) == str(published)


def test_the_command_names_data_that_the_training_was_not_given(trained,
                                                               tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    call = "run.py --do_eval --init_checkpoint=%s --checkpointDir=..." % (
        tmp_path / "run")
    assert publish.evaluation_command(str(tmp_path / "run")) == call
    path = tmp_path / "run" / "run_config.json"
    recorded = json.loads(path.read_text())
    test_file = recorded["flags"].pop("test_input_file")
    path.write_text(json.dumps(recorded))
    assert publish.evaluation_command(str(tmp_path / "run")) == (
        "%s --test_input_file=%s" % (call, test_file))


def test_what_a_killed_run_left_is_removed(trained, tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    left = tmp_path / ("new.tmp-%s-%d" % (util._MACHINE, process.pid))
    left.mkdir()
    status, _, errors = command("pretrained/publish.py", trained[0] / "run",
                                tmp_path / "new")
    assert status == 0, errors
    assert os.listdir(str(tmp_path)) == ["new"]


@pytest.mark.parametrize("of, part", [
    ("there-a", "model.ckpt-7 is not there"),
    ("there-a/best", "best/model.ckpt-7 is not there"),
    ("elsewhere", "another directory's")])
def test_a_model_whose_checkpoint_is_gone_or_another_s_is_refused(
        tmp_path, of, part):
    (tmp_path / "eval_config.json").write_text(json.dumps(dict(
        flags=dict(checkpointDir="there", signature="-a"), data_files={},
        checkpoint=of + "/model.ckpt-7", step=7)))
    status, _, errors = command("pretrained/publish.py", tmp_path,
                                tmp_path / "new")
    assert status == 1 and part in errors
    assert sorted(os.listdir(str(tmp_path))) == ["eval_config.json"]
