"""run.py as a user runs it: one command and its files."""

import collections
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import evaluation
from conftest import (
    CONFIG, ITEMS, LENGTH, MASKED, ROOT, USERS, command, results_of,
    run_flags, scalars_of, users_of)
from data.sequences import read_sequences
from experiment.record import sha256_of


PUBLISHED_LINE = re.compile(
    u"^ndcg@1:\\S+, hit@1:\\S+\uff0c ndcg@5:\\S+, hit@5:\\S+, ndcg@10:\\S+, "
    u"hit@10:\\S+, ap:\\S+, valid_user:%d.0$" % USERS)


def test_the_first_line_printed_has_the_published_form(trained):
    _, output, _ = trained
    assert PUBLISHED_LINE.match(output.splitlines()[0])


def test_the_table_shows_model_and_baseline_under_every_protocol(trained):
    lines = trained[1].splitlines()
    assert max(map(len, lines[1:7])) <= 80
    assert [line.split()[0] for line in lines[3:7]] == list(
        evaluation.PROTOCOLS)
    values = results_of(trained[0])[1]
    for line in lines[3:7]:
        protocol, cells = line.split()[0], line.split()[1:]
        keys = [prefix + protocol + "/" + metric
                for metric in ("ndcg@10", "hit@10")
                for prefix in ("", "most_popular/", "item_transitions/")]
        del cells[5], cells[1]                   # the intervals
        assert ["0" + cell for cell in cells] == [
            "%.4f" % float(values[key]) for key in keys]


def test_results_hold_the_config_then_sorted_keys(trained):
    config, values = results_of(trained[0])
    assert config == dict(CONFIG, vocab_size=ITEMS + 4,
                          attention_form="cross_published")
    assert list(values) == sorted(values)
    assert {"global_step", "loss", "masked_lm_accuracy", "masked_lm_loss",
            "valid_user", "validation"} <= set(values)
    assert values["global_step"] == "5"
    for protocol in evaluation.PROTOCOLS:
        for prefix in ("", "most_popular/", "item_transitions/"):
            for metric in evaluation.METRICS:
                key = "%s%s/%s" % (prefix, protocol, metric)
                low, value, high = [float(values[key + side])
                                    for side in ("/low", "", "/high")]
                assert 0.0 <= low <= value <= high <= 1.0
    assert values["validation"] == "folded into train"


def test_every_number_can_be_had_from_the_users_file(dataset, trained):
    users, (_, values) = users_of(trained[0]), results_of(trained[0])
    columns = [prefix + protocol for prefix in (
        "", "most_popular/", "item_transitions/")
               for protocol in evaluation.PROTOCOLS]
    assert list(users) == ["user", "item", "history_length",
                           "target_count"] + columns
    assert len(users["user"]) == USERS
    for column in columns:
        for name, value in evaluation.ranking_metrics(users[column]).items():
            assert values["%s/%s" % (column, name)] == repr(value)
        for name, bounds in evaluation.bootstrap_intervals(
                users[column]).items():
            assert tuple(values["%s/%s/%s" % (column, name, side)]
                         for side in ("low", "high")) == tuple(
                             map(repr, bounds))


def test_the_users_file_describes_users_as_the_interactions_do(dataset,
                                                               trained):
    sequences = read_sequences(str(dataset.folder / "tiny.txt"))
    counts = collections.Counter(
        item for items in sequences.values() for item in items[:-1].tolist())
    users = users_of(trained[0])
    assert users["user"].tolist() == list(sequences)
    for user, item, length, count in zip(*list(users.values())[:4]):
        assert item == sequences[user][-1]
        assert length == len(sequences[user]) - 1
        assert count == counts[item]


def test_the_published_line_and_the_results_agree(trained):
    line = trained[1].splitlines()[0].replace(u"\uff0c", ",")
    printed = dict(part.split(":") for part in line.split(", "))
    _, values = results_of(trained[0])
    for metric in evaluation.METRICS:
        assert printed[metric] == values["seed/" + metric]


def test_loss_rate_and_ranking_metrics_are_tensorboard_scalars(trained):
    folder = trained[0] / "run"
    training = scalars_of(folder)
    assert "loss" in training
    # Steps are counted after the update; the first is taken at rate 0 of 2.
    assert training["learning_rate"][0 if 0 in training["learning_rate"] else 1] \
        == pytest.approx(0.0)
    ranking = scalars_of(folder / "eval")
    _, values = results_of(trained[0])
    for protocol in evaluation.PROTOCOLS:
        for metric in evaluation.METRICS:
            key = "%s/%s" % (protocol, metric)
            assert ranking[key][5] == pytest.approx(float(values[key]))
    # In one file with what the Estimator writes, which would begin another in
    # the same second and take its name.
    assert ranking["loss"][5] == pytest.approx(float(values["loss"]))
    events, = glob.glob(str(folder / "eval" / "events.*"))
    assert os.path.getsize(events) < 20000  # no graph


def run_on_copy(trained, folder, *flags):
    """(output, errors) of run.py on a copy of the trained model directory,
    without the results that lie in it."""
    copy = folder / "run"
    shutil.copytree(str(trained[0] / "run"), str(copy))
    os.remove(str(copy / "eval_results.txt"))
    status, output, errors = command("run.py", "--checkpointDir=%s" % copy,
                                     *flags)
    assert status == 0, errors
    return output, errors


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    """The folder of a copy that was evaluated alone, by flags that its training
    did not have, and the output."""
    folder = tmp_path_factory.mktemp("evaluated")
    return folder, run_on_copy(trained, folder, "--do_eval", "--full_table",
                               "--eval_batch_size=3")[0]


@pytest.fixture(scope="module")
def continued(dataset, trained, tmp_path_factory):
    """The folder of a training that starts from another's checkpoint, without
    the lengths."""
    folder = tmp_path_factory.mktemp("continued")
    status, _, errors = command("run.py", *run_flags(
        dataset, folder, do_train=True, num_train_steps=1, learning_rate=0.0,
        num_warmup_steps=0, max_seq_length=None, max_predictions_per_seq=None,
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"))
    assert status == 0, errors
    return folder


def test_an_evaluation_alone_gives_the_same_numbers_in_batches_of_any_size(
        trained, evaluated):
    assert evaluated[1].splitlines()[0] == trained[1].splitlines()[0]
    (config, wanted), (again, found) = map(results_of, (trained[0],
                                                        evaluated[0]))
    assert config == again
    # Its own loss is a mean over batches, whatever their size.
    losses = [(results.pop("loss"), float(results.pop("masked_lm_loss")))[1]
              for results in (wanted, found)]
    assert losses[1] == pytest.approx(losses[0]) and found == wanted


def test_a_model_directory_alone_gives_the_same_numbers(trained, tmp_path):
    output, errors = run_on_copy(trained, tmp_path, "--do_eval")
    assert output == trained[1]
    assert sum("taken from" in line for line in errors.splitlines()) == 1
    assert results_of(tmp_path) == results_of(trained[0])


def test_some_users_alone_can_be_evaluated(trained, tmp_path):
    asked = ["--do_eval", "--eval_users=9", "--eval_batch_size=4",
             "--candidates_file=%s" % (tmp_path / "candidates.tsv")]
    output, errors = run_on_copy(trained, tmp_path, *asked)
    assert "--eval_users: 9 of the 31 test users" in errors
    assert "valid_user:9.0" in output
    every, some = users_of(trained[0]), users_of(tmp_path)
    chosen = np.isin(every["user"], some["user"])
    assert len(some["user"]) == chosen.sum() == 9
    for name, values in some.items():
        if not name.endswith("seed"):  # its candidates depend on all users
            assert values.tolist() == every[name][chosen].tolist(), name
    record = json.loads((tmp_path / "run" / "eval_config.json").read_text())
    assert record["flags"]["eval_users"] == 9
    assert record["data_files"]["candidates_file"] == {
        "candidates.tsv": sha256_of(str(tmp_path / "candidates.tsv"))}
    # And once more, from the candidates of these nine.
    assert command("run.py", "--checkpointDir=%s" % (tmp_path / "run"),
                   *asked)[:2] == (0, output)


def test_a_model_directory_alone_is_trained_on(trained, tmp_path):
    _, errors = run_on_copy(trained, tmp_path, "--do_train",
                            "--num_train_steps=6")
    assert "from step 5 to 6" in errors
    assert "step 5 with --num_train_steps=5, not 6; another" in errors
    with open(str(tmp_path / "run" / "run_config.json")) as stream:
        flags = json.load(stream)["flags"]
    assert (flags["batch_size"], flags["max_seq_length"]) == (7, LENGTH)


def test_half_precision_does_not_begin_amid_a_training(trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    status, _, errors = command(
        "run.py", "--do_train", "--mixed_precision", "--num_train_steps=9",
        "--checkpointDir=%s" % (tmp_path / "run"))
    assert status == 1 and "Traceback" not in errors
    assert "was trained without --mixed_precision" in errors.splitlines()[-1]


@pytest.mark.parametrize("given, told", [
    ([], ""),
    (["--learning_rate=0.25", "--noshift_positions"],
     "run was trained to step 5 with --learning_rate=%s, not 0.25; another "
     "--checkpointDir begins anew"),
    (["--hidden_dropout_prob=0"],
     "run was trained to step 5 with --hidden_dropout_prob=0.1, not 0.0; "
     "another --checkpointDir begins anew"),
    (["--hidden_dropout_prob=0.1"], "")])
def test_other_flags_than_those_of_the_training_that_is_there_are_told(
        given, told, trained, tmp_path):
    with open(str(trained[0] / "run" / "run_config.json")) as stream:
        rate = json.load(stream)["flags"]["learning_rate"]
    _, errors = run_on_copy(trained, tmp_path, "--do_train", *given)
    assert "is at step 5 already" in errors
    if told:
        assert told.replace("%s", str(rate)) in errors
    else:
        assert "was trained to step" not in errors


def test_an_evaluation_is_recorded_with_its_own_flags(evaluated):
    with open(str(evaluated[0] / "run" / "run_config.json")) as stream:
        training = json.load(stream)["flags"]
    with open(str(evaluated[0] / "run" / "eval_config.json")) as stream:
        record = json.load(stream)
    for flag, before, now in (("eval_batch_size", 256, 3),
                              ("full_table", False, True)):
        assert (training[flag], record["flags"][flag]) == (before, now)
    assert record["step"] == 5
    assert record["checkpoint"] == str(
        evaluated[0] / "run" / "model.ckpt-5")
    assert {"evaluated", "python", "packages", "git_revision",
            "hardware"} < set(record)
    assert record["data_files"]["test_input_file"] == {
        os.path.basename(name): sha256_of(name)
        for name in [record["flags"]["test_input_file"]]}
    assert "train_input_file" not in record["data_files"]


def test_lengths_are_those_of_the_files_where_no_flag_gives_them(continued):
    with open(str(continued / "run" / "run_config.json")) as stream:
        flags = json.load(stream)["flags"]
    assert [flags["max_seq_length"], flags["max_predictions_per_seq"]] == [
        LENGTH, MASKED]


def test_a_full_table_is_printed_on_demand(evaluated):
    rankers = [line[:25].split() for line in evaluated[1].splitlines()[2::2]]
    assert rankers[:12] == [
        [protocol] + who.split() for protocol in evaluation.PROTOCOLS
        for who in ("model", "most popular", "item transitions")]


@pytest.mark.parametrize("script, package", [
    (script, package) for script in ("run.py", "gen_data_fin.py", "report.py")
    for package in ("absl", "numpy", "six", "tensorflow", "tqdm")
    if (script, package) != ("report.py", "tensorflow")]  # for curves alone
    + [("data/prepare_data.py", "absl"), ("benchmarks/bench.py", "numpy")])
def test_a_missing_package_is_one_line_with_the_remedy(script, package,
                                                       tmp_path):
    (tmp_path / (package + ".py")).write_text(
        "raise ImportError(\"No module named '%s'\", name='%s')\n"
        % (package, package))
    status, output, errors = command(script, env=dict(
        os.environ, PYTHONPATH=str(tmp_path)))
    assert (status, output) == (1, "")
    assert errors.count("\n") == 1
    assert errors.startswith("%s: error: No module named '%s'"
                             % (os.path.basename(script), package))
    assert "pip install -r requirements" in errors


def test_init_checkpoint_alone_is_evaluated(dataset, trained, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True,
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"))
    assert status == 0, errors
    assert output == trained[1]


def test_training_starts_from_init_checkpoint(trained, continued):
    checkpoint = str(trained[0] / "run" / "model.ckpt-5")
    name = "bert/encoder/layer_1/intermediate/dense/kernel"
    started = tf.train.load_variable(str(continued / "run" / "model.ckpt-1"), name)
    assert (started == tf.train.load_variable(checkpoint, name)).all()


def record_of(folder):
    return json.loads((folder / "run" / "run_config.json").read_text())


def test_a_record_keeps_that_of_the_training_it_began_from(
        dataset, trained, continued, tmp_path):
    earlier = record_of(trained[0])
    assert earlier["began_from"] is None
    assert record_of(continued)["began_from"] == earlier
    shutil.copytree(str(continued / "run"), str(tmp_path / "run"))
    # To go on, the earlier one is no longer needed.
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=2,
        init_checkpoint=tmp_path / "gone" / "model.ckpt-5"))
    assert status == 0, errors
    assert record_of(tmp_path)["started_from_step"] == 1
    assert record_of(tmp_path)["began_from"] == earlier


def test_training_with_every_switch_thrown(dataset, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True, num_train_steps=3,
        bucket_by_length=True, num_sampled=20, mixed_precision=True))
    assert status == 0, errors
    assert PUBLISHED_LINE.match(output.splitlines()[0])


def test_training_with_xla(dataset, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True, num_train_steps=3,
        xla=True))
    assert status == 0, errors
    assert PUBLISHED_LINE.match(output.splitlines()[0])


def test_a_larger_num_train_steps_trains_on(dataset, trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=8))
    assert status == 0, errors
    assert "from step 5 to 8" in errors
    assert os.path.exists(str(tmp_path / "run" / "model.ckpt-8.index"))


def test_globs_and_comma_lists_are_inputs(dataset, trained, tmp_path):
    records = list(tf.python_io.tf_record_iterator(
        dataset.prefix + ".test.tfrecord"))
    for name, part in (("a-0", records[:3]), ("a-1", records[3:9]),
                       ("b", records[9:])):
        with tf.python_io.TFRecordWriter(str(tmp_path / name)) as writer:
            for one in part:
                writer.write(one)
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True, ignore_checksums=True,
        test_input_file="%s-*,%s" % (tmp_path / "a", tmp_path / "b"),
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"))
    assert status == 0, errors
    assert "valid_user:%d.0" % USERS in output


@pytest.mark.parametrize("form", ["self", "cross_gram"])
def test_attention_form_overrides_the_config(dataset, tmp_path, form):
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True, num_train_steps=2,
        attention_form=form))
    assert status == 0, errors
    assert results_of(tmp_path)[0]["attention_form"] == form


def test_a_killed_training_resumes_from_its_checkpoint(dataset, tmp_path):
    flags = run_flags(dataset, tmp_path, do_train=True, num_train_steps=10 ** 6,
                      save_checkpoints_steps=10)
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "run.py")] + flags,
        stderr=subprocess.PIPE)
    deadline = time.time() + 120
    try:
        while not os.path.exists(str(tmp_path / "run" / "model.ckpt-20.index")):
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    newest = tf.train.latest_checkpoint(str(tmp_path / "run"))
    step = int(newest.rsplit("-", 1)[1])
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True,
        num_train_steps=step + 7))
    assert status == 0, errors
    assert "from step %d to %d" % (step, step + 7) in errors
    record = record_of(tmp_path)
    assert [start["flags"]["num_train_steps"]
            for start in record["earlier_starts"] + [record]] == [
                10 ** 6, step + 7]
    assert PUBLISHED_LINE.match(output.splitlines()[0])
    assert results_of(tmp_path)[1]["global_step"] == str(step + 7)
