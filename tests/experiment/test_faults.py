"""Full disks, files that vanish, damaged records, sizes beyond the machine:
one line each."""

import argparse
import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from unittest import mock

import pytest
import tensorflow.compat.v1 as tf

import conftest
import gen_data_fin
import input_pipeline
import report
import run
import util
from conftest import ROOT, command, in_process, run_flags
from experiment import checkpoints, faults
from test_job import assert_refused, config_with


def line_of(error, paths, folder, capsys):
    """The line that an error becomes."""
    with pytest.raises(SystemExit) as ended:
        with faults.one_line_faults(paths, str(folder), lambda: "all is well",
                                    lambda: 123456789012345):
            raise error
    line = str(ended.value)
    assert line.startswith("run.py: error: ") and "\n" not in line
    return line


@pytest.fixture
def records(dataset, tmp_path):
    """A whole training file, and one with a bit turned."""
    with open(dataset.prefix + ".train.tfrecord", "rb") as stream:
        content = bytearray(stream.read())
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    whole.write_bytes(bytes(content))
    content[-20] ^= 1
    damaged.write_bytes(bytes(content))
    return str(whole), str(damaged)


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"),
    tf.errors.UnknownError(None, None, "x; File too large")], ids=str)
def test_a_full_disk_is_told_with_what_is_missing(error, tmp_path, capsys):
    line = line_of(error, [], tmp_path, capsys)
    for part in ("%s: no room for " % tmp_path, "about 123456789.0 MB",
                 "MB are missing", "all is well"):
        assert part in line


def test_a_file_that_is_gone_is_named(records, tmp_path, capsys):
    os.remove(records[1])
    assert "%s is gone, while it was read" % records[1] in line_of(
        tf.errors.NotFoundError(None, None, "x"), list(records), tmp_path,
        capsys)
    folder = tmp_path / "no"
    assert "the folder %s, to be written to, is not there" % folder in line_of(
        tf.errors.NotFoundError(None, None, "x"), [], folder, capsys)


def test_the_damaged_file_of_several_is_named(records, tmp_path, capsys):
    line = line_of(tf.errors.DataLossError(None, None, "corrupted record at 3"),
                   list(records), tmp_path, capsys)
    assert "error: %s: a damaged record" % records[1] in line


def test_the_cause_of_an_error_is_its_line_in_either_runtime():
    with tf.Graph().as_default(), tf.Session() as session:
        missing = tf.read_file(tf.constant("/no/such file"))
        with pytest.raises(tf.errors.NotFoundError) as error:
            session.run(missing)
    assert faults.cause(error.value) == (
        "/no/such file; No such file or directory")


def test_records_of_another_length_are_named(records, tmp_path, capsys):
    path = str(tmp_path / "mixed")
    with tf.python_io.TFRecordWriter(path) as writer:
        for length in (5, 5, 6):
            writer.write(input_pipeline.serialize_instance(
                1, [3, 4], [0], [5], length, 2))
    assert "%s: record 3 has the lengths 6 and 2, the first 5 and 2" % path in (
        line_of(tf.errors.InvalidArgumentError(None, None, "x"),
                [records[0], path], tmp_path, capsys))


def test_memory_that_does_not_suffice_has_remedies(tmp_path, capsys):
    line = line_of(tf.errors.ResourceExhaustedError(
        None, None, "OOM when allocating tensor"), [], tmp_path, capsys)
    assert "--batch_size" in line and "OOM when allocating" in line


def test_a_folder_that_is_gone_is_no_reason_for_too_little_memory(
        tmp_path, capsys):
    line = line_of(tf.errors.NotFoundError(None, None, "x"), [],
                   tmp_path / "gone", capsys)
    assert "the folder %s, to be written" % (tmp_path / "gone") in line
    line = line_of(tf.errors.ResourceExhaustedError(None, None, "OOM"), [],
                   tmp_path / "gone", capsys)
    assert "the memory does not suffice" in line


def test_a_file_without_the_right_to_it_is_named(records, tmp_path, capsys):
    assert line_of(
        tf.errors.PermissionDeniedError(None, None, "/x/y; Permission denied"),
        list(records), tmp_path, capsys) == (
            "run.py: error: /x/y; Permission denied")


@pytest.mark.parametrize("error", [
    tf.errors.InvalidArgumentError(None, None, "x"), tf.errors.InternalError(
        None, None, "x"), KeyError("x")], ids=repr)
def test_an_error_of_the_program_itself_is_left_alone(records, error, tmp_path):
    with pytest.raises(type(error)):
        with faults.one_line_faults([records[0]], str(tmp_path), str):
            raise error


# --- the commands ---------------------------------------------------------------

def limited(most, script, *arguments):
    """(status, errors) of a command that may write no file larger than
    `most` bytes, which fails as a full disk does."""
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, script)] + list(arguments),
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    errors = process.communicate()[1].decode()
    assert "Traceback" not in errors, errors
    return process.returncode, errors.splitlines()


@pytest.mark.parametrize("pool_size", [1, 2])
def test_a_generation_without_room_is_one_line_and_leaves_nothing(
        tmp_path, pool_size):
    conftest.write_interactions(tmp_path / "tiny.txt")
    (tmp_path / "tiny-x.his").write_bytes(b"older")
    status, lines = limited(
        30000, "gen_data_fin.py", "--dataset_name=tiny", "--signature=-x",
        "--data_dir=%s" % tmp_path, "--max_seq_length=11",
        "--pool_size=%d" % pool_size)
    assert status == 1
    for part in ("gen_data_fin.py: error: %s: no room for %s/tiny-x.*: about "
                 % (tmp_path, tmp_path), " MB are missing",
                 "what was there before is unchanged"):
        assert part in lines[-1]
    assert sorted(os.listdir(str(tmp_path))) == ["tiny-x.his", "tiny.txt"]
    assert (tmp_path / "tiny-x.his").read_bytes() == b"older"


def test_a_training_without_room_is_one_line_and_keeps_what_was_saved(
        dataset, tmp_path):
    status, lines = limited(30000, "run.py", *run_flags(
        dataset, tmp_path, do_train=True))
    assert status == 1
    for part in ("run.py: error: %s/run: no room for model.ckpt-0: about "
                 % tmp_path,
                 "the same command goes on. no checkpoint was saved yet"):
        assert part in lines[-1]
    assert not [name for name in os.listdir(str(tmp_path / "run"))
                if name.startswith("model.ckpt")]


def test_a_full_disk_ends_a_training_with_its_checkpoints_whole(
        dataset, tmp_path):
    """As above with a disk that is really full; needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs",
                        str(disk)], stderr=subprocess.DEVNULL):
        pytest.skip("no right to mount a small disk")
    try:
        status, output, errors = command("run.py", *run_flags(
            dataset, disk, do_train=True, num_train_steps=50,
            save_checkpoints_steps=3, keep_checkpoint_max=0))
        assert status == 1 and "Traceback" not in errors
        whole = checkpoints.saved(str(disk / "run"))
        assert errors.splitlines()[-1].endswith("%s is whole" % whole[-1])
        assert not any(map(checkpoints.find_damage, whole))
        assert checkpoints.remove_unfinished(str(disk / "run")) == []
    finally:
        subprocess.check_call(["umount", str(disk)])


def test_recommendations_without_room_are_told_of_where_they_go(
        trained, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    status, lines = limited(
        9, "run.py", "--do_predict", "--checkpointDir=%s" % (trained[0] / "run"),
        "--predict_output_file=%s" % (tmp_path / "elsewhere" / "r.tsv"))
    assert status == 1
    assert lines[-1].startswith(
        "run.py: error: %s/elsewhere: no room for the next file: " % tmp_path)
    assert re.search(r": [0-9.]+ MB are free; ", lines[-1])  # no size is known
    assert os.listdir(str(tmp_path / "elsewhere")) == []


def test_a_training_file_damaged_far_behind_is_one_line(dataset, tmp_path):
    """Behind the records that the checks before the training look at."""
    with open(dataset.prefix + ".train.tfrecord", "rb") as stream:
        content = stream.read()
    path = str(tmp_path / "many")
    with open(path, "wb") as stream:
        stream.write(content * 20)               # 3,540 records
        stream.write(content[:-9])
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, train_input_file=path,
        num_train_steps=600, batch_size=13))
    assert status == 1 and "Traceback" not in errors
    assert errors.splitlines()[-1].startswith(
        "run.py: error: %s: a damaged record" % path)


@pytest.mark.parametrize("changes, part", [
    (dict(hidden_size=3000000), "need more than"),
    (dict(intermediate_size=10 ** 12), "need more than"),
    (dict(max_position_embeddings=10 ** 13), "need more than"),
    (dict(num_hidden_layers=1001), "an integer from 1 to 1000"),
    (dict(initializer_range=float("inf")), "a positive number"),
    (dict(initializer_range=10 ** 400), "a positive number")], ids=str)
def test_sizes_beyond_any_machine_are_refused(dataset, tmp_path, changes, part):
    assert_refused(dataset, tmp_path, part,
                   bert_config_file=config_with(tmp_path, **changes))


def test_a_batch_beyond_the_memory_is_refused(dataset, tmp_path):
    assert_refused(
        dataset, tmp_path, "--batch_size", batch_size=10 ** 6,
        bert_config_file=config_with(tmp_path, num_hidden_layers=999,
                                     hidden_size=120))


# --- flags -----------------------------------------------------------------------

@pytest.mark.parametrize("module, flag", [
    (run, "--learning_rate=nan"), (run, "--learning_rate=1e999"),
    (run, "--hidden_dropout_prob=nan"),
    (run, "--num_train_steps=1" + "0" * 400),
    (run, "--batch_size=10000000"),
    (gen_data_fin, "--mask_prob=nan"),
    (gen_data_fin, "--prop_sliding_window=nan"),
    (gen_data_fin, "--dupe_factor=1" + "0" * 30),
    (gen_data_fin, "--pool_size=1000000")])
def test_a_value_that_is_no_number_or_beyond_use_is_named(module, flag):
    status, _, errors = in_process(module, flag, *(
        ["--checkpointDir=/nowhere/x"] if module is run else []))
    assert status == 1
    assert flag.split("=")[0].strip("-") in errors


@pytest.mark.parametrize("flag, value", [
    ("batch_size", "x"), ("batch_size", None), ("batch_size", 0),
    ("batch_size", 7.5), ("learning_rate", "fast"), ("learning_rate", []),
    ("protocols", [1]), ("protocols", {}), ("protocols", 3), ("train_input_file", 3),
    ("xla", "perhaps"), ("output_bias", "ones"), ("random_seed", -1),
    ("learning_rate", float("nan"))])
def test_a_recorded_value_that_its_flag_does_not_take_is_named(flag, value):
    defined = own_flags()
    values = {name: other.default for name, other in defined.items()
              if name != "checkpointDir"}
    util.check_values(defined, values)
    with pytest.raises(ValueError, match="--%s=" % flag):
        util.check_values(defined, dict(values, **{flag: value}))


def own_flags():
    """dict, name -> flag of run.py."""
    values = conftest.defined_by(run)
    return {name: values[name] for name in values}


def test_a_record_with_another_value_ends_the_command_with_one_line(
        trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    path = tmp_path / "run" / "run_config.json"
    record = json.loads(path.read_text())
    record["flags"]["eval_batch_size"] = "many"
    path.write_text(json.dumps(record))
    status, output, errors = command(
        "run.py", "--do_eval", "--checkpointDir=%s" % (tmp_path / "run"))
    assert (status, output) == (1, "")
    assert errors.splitlines()[-1].startswith(
        "run.py: error: --eval_batch_size='many': ")
    assert "Traceback" not in errors


# --- folders that cannot be written to --------------------------------------------

@pytest.mark.parametrize("flag", ["checkpointDir", "candidates_file"])
def test_a_file_in_the_place_of_a_folder_is_said_before_the_work(
        dataset, tmp_path, flag):
    (tmp_path / "file").write_bytes(b"")
    assert_refused(dataset, tmp_path, "--" + flag, **{
        flag: str(tmp_path / "file" / "x"), "signature": ""})


@pytest.mark.parametrize("module, flags_of", [
    (gen_data_fin, ["--dataset_name=tiny", "--data_dir={}/file"]),
    (report, ["--output={}/file/x", "{}"])])
def test_the_other_commands_say_so_too(tmp_path, module, flags_of):
    (tmp_path / "file").write_bytes(b"")
    status, _, errors = in_process(module, *[flag.format(tmp_path)
                                             for flag in flags_of])
    assert status == 1
    assert "%s/file" % tmp_path in errors.splitlines()[-1]


@pytest.mark.parametrize("what", ["predict", "export"])
def test_too_little_memory_after_the_training_is_one_line(tmp_path, what):
    args = argparse.Namespace(**dict(
        dict.fromkeys(("do_train", "do_eval", "do_predict", "do_export",
                       "export_embeddings", "predict_output_file")),
        checkpointDir=str(tmp_path), signature="", **{"do_" + what: True}))
    module = {"predict": run.prediction, "export": run.export}[what]
    error = tf.errors.ResourceExhaustedError(None, None, "OOM")
    with mock.patch.object(module, what, side_effect=error), \
            pytest.raises(SystemExit) as ended:
        run.do(mock.Mock(model_dir=str(tmp_path), args=args))
    assert "the memory does not suffice (OOM)" in str(ended.value)
