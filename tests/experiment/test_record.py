"""Checksums, the run record, and whether validation items were held out."""

import argparse
import collections
import hashlib
import json
import os
import re
import subprocess

import numpy as np
import pytest

import gen_data_fin
import input_pipeline
from conftest import ROOT
from experiment import record as run_record
from experiment.job import INSPECTED
from masked_instances import options


# --- validation items -------------------------------------------------------

def write_records(folder, sequences, held_out, **changed):
    """(training windows, histories) of sequences, user -> whole sequence."""
    with open(str(folder / "x.txt"), "w") as stream:
        for user, items in sequences.items():
            for item in items:
                stream.write("%d %d\n" % (user, item))
    target = str(folder / "x")
    gen_data_fin.generate(str(folder / "x.txt"), target, options(**changed), 1,
                          holdout_validation=held_out)
    return (list(input_pipeline.read_windows([target + ".train.tfrecord"],
                                             INSPECTED)),
            gen_data_fin.util.load_pickle(target + ".his", "dict"))


def sequences_of(kind):
    """Sequences at which a careless rule would go wrong."""
    rng = np.random.RandomState(2)
    lengths = {"short": (1, 6), "long": (20, 40), "mixed": (1, 30),
               "few items": (3, 30)}[kind]
    items = 2 if kind == "few items" else 50
    return collections.OrderedDict(
        (user, rng.randint(1, items + 1, rng.randint(*lengths)).tolist())
        for user in range(1, 41))


@pytest.mark.parametrize("held_out, found", [
    (True, "held out"), (False, "folded into train")])
@pytest.mark.parametrize("share", [0.5, 1.0 / 7], ids=["apart", "step of 1"])
@pytest.mark.parametrize("kind", ["short", "long", "mixed", "few items"])
def test_training_records_tell_whether_validation_was_held_out(
        tmp_path, kind, share, held_out, found):
    windows, history = write_records(tmp_path, sequences_of(kind), held_out,
                                   prop_sliding_window=share)
    assert run_record.validation_of(windows, history) == found


@pytest.mark.parametrize("sequence", [[1], [1, 2], [3] * 12])
def test_records_that_cannot_tell_are_unknown(tmp_path, sequence):
    # User 2, with a test item, cannot tell either.
    windows, history = write_records(tmp_path, {1: sequence, 2: [3] * 12},
                                     False)
    assert run_record.validation_of(windows, history) == "unknown"
    assert run_record.validation_of(windows, {}) == "unknown"


# --- checksums --------------------------------------------------------------

def test_a_checksum_is_that_of_the_whole_file(tmp_path):
    content = b"0123456789abcdef" * 200000                 # several blocks
    (tmp_path / "a").write_bytes(content)
    assert run_record.sha256_of(str(tmp_path / "a")) == hashlib.sha256(
        content).hexdigest()


@pytest.fixture
def record(tmp_path):
    """The checksums of a test file and two training files."""
    for name in ("test", "train-1", "train-2", "other"):
        (tmp_path / name).write_text(name)
    return {"data_files": sums_of(tmp_path, test_input_file=["test"],
                                  train_input_file=["train-1", "train-2"])}


def sums_of(folder, **files):
    return run_record.checksums({
        flag: [str(folder / name) for name in names]
        for flag, names in files.items()})


def test_checksums_are_by_flag_and_file_name(tmp_path, record):
    assert record["data_files"]["train_input_file"] == {
        name: hashlib.sha256(name.encode()).hexdigest()
        for name in ("train-1", "train-2")}


def test_files_of_one_name_have_a_checksum_each(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(folder)
    sums = sums_of(tmp_path, train_input_file=["a/x", "b/x"])
    assert sums["train_input_file"] == {
        name: hashlib.sha256(text).hexdigest()
        for name, text in (("x", b"a"), (str(tmp_path / "b" / "x"), b"b"))}
    for order in (["a/x", "b/x"], ["b/x", "a/x"]):
        run_record.check_checksums({"data_files": sums}, sums_of(
            tmp_path, train_input_file=order), "model")
    for changed in ("a", "b"):
        (tmp_path / changed / "x").write_text("other")
        with pytest.raises(ValueError, match="--train_input_file: "):
            run_record.check_checksums({"data_files": sums}, sums_of(
                tmp_path, train_input_file=["a/x", "b/x"]), "model")
        (tmp_path / changed / "x").write_text(changed)


def test_the_same_data_pass_wherever_they_are(tmp_path, record):
    (tmp_path / "moved").mkdir()
    (tmp_path / "test").rename(tmp_path / "moved" / "renamed")
    run_record.check_checksums(record, sums_of(
        tmp_path, test_input_file=["moved/renamed"], train_input_file=[
            "train-2"], valid_input_file=["other"]), "model")


def test_other_data_are_refused_in_one_line_with_the_remedy(tmp_path, record):
    with pytest.raises(ValueError) as error:
        run_record.check_checksums(record, sums_of(
            tmp_path, test_input_file=["other"]), "model")
    for part in ("--test_input_file: other", "model",
                 hashlib.sha256(b"other").hexdigest()[:12],
                 hashlib.sha256(b"test").hexdigest()[:12],
                 "--ignore_checksums"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


# --- the record -------------------------------------------------------------

EARLIER = {"seed": 3, "started_from_step": 0, "validation": "unknown",
           "flags": {"x": 1}, "data_files": {}}


def test_a_record_says_what_a_training_was_made_of(tmp_path):
    flags = vars(argparse.Namespace(random_seed=3, do_train=True, protocols=[
        "full"], init_checkpoint=None))
    written = run_record.describe(flags, {"hidden_size": 12}, {"x": {}},
                                  run_record.HELD_OUT, 40, EARLIER,
                                  [EARLIER], ["a GPU"])
    path = str(tmp_path / run_record.FILE)
    run_record.write(path, written)
    record = run_record.read(str(tmp_path))
    assert record == json.loads(json.dumps(written))
    assert record["flags"] == flags
    assert record["model_config"] == {"hidden_size": 12}
    assert (record["seed"], record["started_from_step"]) == (3, 40)
    assert record["validation"] == "held out"
    assert record["began_from"] == EARLIER
    assert record["earlier_starts"] == [EARLIER]
    assert record["packages"]["numpy"] == np.__version__
    assert record["hardware"]["gpus"] == ["a GPU"]
    assert record["hardware"]["cores"] >= 1
    assert 0.1 < record["hardware"]["memory_gb"] < 1e5
    assert len(record["started"]) == len("2026-11-23T16:18:56+0000")


def start(step, **more):
    return dict(EARLIER, started_from_step=step, **more)


@pytest.mark.parametrize("recorded, step, steps", [
    (None, 0, []),  # the first start
    (start(0), 0, []),  # killed before it saved
    (start(0), 40, [0]),
    (start(40, earlier_starts=[start(0)]), 70, [0, 40]),
    (start(40, earlier_starts=[start(0)]), 40, [0]),  # the second saved nothing
    (start(40, earlier_starts=[start(0)]), 30, [0]),  # its checkpoint is damaged
    (start(40, earlier_starts=None), 70, [40]),
    (start(40), 70, [40])])  # records without them
def test_earlier_starts_are_those_whose_steps_are_in_the_checkpoint(
        recorded, step, steps):
    starts = run_record.earlier_starts(recorded, step)
    assert [found["started_from_step"] for found in starts] == steps


def test_an_earlier_start_keeps_its_flags_and_no_chain_of_records():
    starts = run_record.earlier_starts(
        start(40, began_from=EARLIER, earlier_starts=[start(0)]), 70)
    assert starts == [start(0), start(40)]


def test_a_record_says_what_an_evaluation_was_made_of(tmp_path):
    flags = {"eval_seeds": 3, "candidates_file": None}
    files = {"test_input_file": {"x.test.tfrecord": "5" * 64}}
    written = run_record.describe_evaluation(flags, "model.ckpt-7", 7, files,
                                             [])
    run_record.write(str(tmp_path / run_record.EVALUATION_FILE), written)
    record = run_record.read_evaluation(str(tmp_path))
    assert record == json.loads(json.dumps(written))
    assert (record["checkpoint"], record["step"]) == ("model.ckpt-7", 7)
    assert (record["flags"], record["data_files"]) == (flags, files)
    assert record["packages"]["numpy"] == np.__version__


def test_the_flags_of_evaluation_and_prediction_are_flags_of_run_py():
    with open(os.path.join(ROOT, "run.py")) as stream:
        defined = set(re.findall(r'DEFINE_\w+\("(\w+)"', stream.read()))
    of_evaluation = set(run_record.EVALUATION_FLAGS)
    assert of_evaluation | set(run_record.SHARED_FLAGS) < defined
    assert not of_evaluation & set(run_record.SHARED_FLAGS)
    of_prediction = set(run_record.PREDICTION_FLAGS)
    assert of_prediction < defined
    assert not of_prediction & (of_evaluation | set(run_record.SHARED_FLAGS))
    assert {"learning_rate", "train_input_file", "batch_size"} < (
        defined - of_evaluation - set(run_record.SHARED_FLAGS))


def test_the_revision_is_that_of_git_and_none_without_it(
        tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.check_call(
            ("git", "-C", str(tmp_path), "-c", "user.name=x", "-c",
             "user.email=x@example.com") + arguments,
            stdout=subprocess.DEVNULL)

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run_record.git_revision(str(tmp_path)) == (None, None)
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    revision, dirty = run_record.git_revision(str(tmp_path))
    assert (len(revision), dirty) == (40, False)
    (tmp_path / "new").write_text("untracked files are of no account")
    assert run_record.git_revision(str(tmp_path)) == (revision, False)
    (tmp_path / "a").write_text("2")
    assert run_record.git_revision(str(tmp_path)) == (revision, True)
    assert run_record.git_revision(str(tmp_path / "nowhere")) == (None, None)


def test_no_record_is_none_and_a_damaged_one_is_named(tmp_path):
    assert run_record.read(str(tmp_path)) is None
    damaged = [start(0, began_from=start(0, seed="3")), start("0"),
               start(9, earlier_starts={}), start(9, earlier_starts=[3]),
               start(9, earlier_starts=[{}]),
               start(9, data_files={"vocab_filename": {"x.vocab": 5}})]
    for text in ["", "[]", "{}", '{"data_files": 3, "validation": ""}'] + [
            json.dumps(record) for record in damaged]:
        (tmp_path / run_record.FILE).write_text(text)
        with pytest.raises(ValueError, match="run_config.json: not the record"):
            run_record.read(str(tmp_path))
    assert run_record.read_evaluation(str(tmp_path)) is None
    (tmp_path / run_record.EVALUATION_FILE).write_text('{"flags": {}}')
    with pytest.raises(ValueError, match="eval_config.json: not the record of "
                                         "an evaluation"):
        run_record.read_evaluation(str(tmp_path))
