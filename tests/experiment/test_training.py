"""Training with validation: the best checkpoint, resuming, the record."""

import collections
import hashlib
import json
import os
import re
import shutil
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import evaluation
import modeling
from conftest import (
    command, generate, LENGTH, MASKED, results_of, run_flags, scalars_of,
    selecting, users_of)
from data.sequences import read_sequences
from experiment import distribution, model_fn, record, saving, training
from util import load_pickle


# --- curves -------------------------------------------------------------------

@pytest.mark.parametrize("steps, between", [
    (1, 1), (49, 1), (100, 2), (900, 18), (4999, 99), (5000, 100),
    (400000, 100)])
def test_a_short_training_logs_its_curves_more_often(steps, between):
    assert model_fn.summary_steps(steps) == between


@pytest.mark.parametrize("total", [7, 1000])  # done, and ended before
def test_the_last_loss_is_logged_whatever_ends_a_training(tmp_path, total):
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        tf.losses.add_loss(1.5 * tf.cast(step, tf.float32))
        with tf.control_dependencies(tf.losses.get_losses()):
            train_op = tf.assign_add(step, 1)
        folder = str(tmp_path)
        with tf.train.MonitoredTrainingSession(
                hooks=[training.ProgressHook(total, folder)]) as session:
            for _ in range(7):
                session.run(train_op)
        tf.summary.FileWriterCache.clear()
    assert scalars_of(tmp_path) == {"loss": {7: 9.0}}


# --- the newest step ----------------------------------------------------------

def test_a_worker_looks_for_the_last_step_in_what_can_be_read(trained,
                                                              tmp_path):
    job = mock.Mock(model_dir=str(tmp_path / "run"))
    assert training._newest_step(job) == -1
    shutil.copytree(str(trained[0] / "run"), job.model_dir)
    assert training._newest_step(job) == 5
    for name in os.listdir(job.model_dir):
        if name.startswith("model.ckpt"):
            os.truncate(os.path.join(job.model_dir, name), 7)
    assert training._newest_step(job) == -1
    for name in os.listdir(job.model_dir):
        if name.startswith("model.ckpt"):
            os.remove(os.path.join(job.model_dir, name))
    assert training._newest_step(job) == -1


# --- validation, selection and the run record --------------------------------

def evaluations_of(folder):
    with open(str(folder / "run" / "best" / "selection.json")) as stream:
        return json.load(stream)


def test_validations_are_logged_and_drawn_every_so_many_steps(selected):
    folder, _, errors = selected
    found = evaluations_of(folder)
    assert [step for step, _ in found["evaluations"]] == [2, 4, 5]
    lines = [line for line in errors.splitlines() if "validation at" in line]
    curves = scalars_of(folder / "run" / "eval_valid")
    assert sorted(curves) == sorted(
        "paper/" + name for name in evaluation.METRICS)
    for line, (step, value) in zip(lines, found["evaluations"]):
        assert "step %d: paper/ap %.4f, " % (step, value) in line
        assert curves["paper/ap"][step] == pytest.approx(value)
    assert len(lines) == 3 and "the best so far" in lines[0]


def test_the_best_checkpoint_is_evaluated(selected):
    folder, _, errors = selected
    best = max(evaluations_of(folder)["evaluations"],
               key=lambda pair: (pair[1], -pair[0]))[0]
    assert evaluations_of(folder)["best_step"] == best
    name = os.path.join("run", "best", "model.ckpt-%d" % best)
    assert re.search("evaluating .*%s$" % re.escape(name), errors, re.M)
    assert results_of(folder)[1]["global_step"] == str(best)
    for variable, _ in tf.train.list_variables(str(folder / name)):
        assert (tf.train.load_variable(str(folder / name), variable)
                == tf.train.load_variable(
                    str(folder / "run" / ("model.ckpt-%d" % best)),
                    variable)).all()


def test_a_validation_value_is_that_of_the_evaluation_alone(held_out, selected,
                                                            tmp_path):
    """The validation file evaluated as if it were the test file."""
    folder, _, _ = selected
    status, _, errors = command("run.py", *run_flags(
        held_out, tmp_path, do_eval=True, ignore_checksums=True,
        test_input_file=held_out.prefix + ".valid.tfrecord", protocols="paper",
        init_checkpoint=folder / "run" / "model.ckpt-4"))
    assert status == 0, errors
    assert float(results_of(tmp_path)[1]["paper/ap"]) == \
        evaluations_of(folder)["evaluations"][1][1]


def test_results_and_counts_know_that_validation_was_held_out(held_out,
                                                              selected):
    assert results_of(selected[0])[1]["validation"] == "held out"
    sequences = read_sequences(str(held_out.folder / "tiny.txt"))
    counts = collections.Counter(
        item for items in sequences.values() for item in items[:-2].tolist())
    users = users_of(selected[0])
    assert users["target_count"].tolist() == [
        counts[item] for item in users["item"].tolist()]


def test_the_spread_over_seeds_is_printed_and_written(selected):
    folder, output, _ = selected
    values = results_of(folder)[1]
    for protocol in evaluation.PROTOCOLS:
        for name in evaluation.METRICS:
            key = "%s/%s" % (protocol, name)
            assert (key + "/mean" in values) == (protocol != "full")
            assert (key + "/std" in values) == (protocol != "full")
    means = [line.split() for line in output.splitlines()
             if "mean, 2 seeds" in line]
    assert [line[0] for line in means] == ["seed", "paper", "uniform"]
    assert means[1][-1] == "%.4f" % float(values["paper/ap/mean"])


def test_training_is_the_same_to_the_last_bit_with_and_without_validation(
        held_out, selected, tmp_path):
    """And so is one training like another: weights, moments, loss curve."""
    status, _, errors = command("run.py", *run_flags(
        held_out, tmp_path, do_train=True, bucket_by_length=True))
    assert status == 0, errors
    with_it, without = [str(folder / "run" / "model.ckpt-5")
                        for folder in (selected[0], tmp_path)]
    variables = [name for name, _ in tf.train.list_variables(without)]
    assert "cls/predictions/output_bias/adam_v" in variables
    for name in variables:
        assert (tf.train.load_variable(with_it, name)
                == tf.train.load_variable(without, name)).all(), name
    losses = [scalars_of(folder / "run")["loss"]
              for folder in (selected[0], tmp_path)]
    assert losses[0] == losses[1]
    assert not (tmp_path / "run" / "best").exists()


def test_a_resumed_training_knows_its_validations_and_stops_early(
        held_out, selected, tmp_path):
    """As if it had been killed in the validation at step 5, with a best value
    that nothing beats and a patience of 3."""
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    found = evaluations_of(tmp_path)
    found["evaluations"] = [[2, 2.0], [4, 0.1]]
    (tmp_path / "run" / "best" / "selection.json").write_text(
        json.dumps(found))
    flags = selecting(held_out, tmp_path, num_train_steps=50, do_eval=False,
                      early_stopping_patience=3, eval_every_steps=1)
    status, _, errors = command("run.py", *flags)
    assert status == 0, errors
    assert [step for step, _ in evaluations_of(tmp_path)["evaluations"]] == [
        2, 4, 5, 6]
    assert "from step 5 to 50" in errors
    assert evaluations_of(tmp_path)["best_step"] == 2
    assert tf.train.latest_checkpoint(
        str(tmp_path / "run")).endswith("model.ckpt-6")
    status, output, errors = command("run.py", *selecting(
        held_out, tmp_path, num_train_steps=50, early_stopping_patience=3,
        eval_seeds=2, full_table=True,
        candidates_file=selected[0] / "candidates.tsv.gz"))
    assert status == 0, errors
    assert "stopped early at step 6" in errors
    assert output == selected[1]    # the same best, ranking saved candidates


def test_a_training_that_falls_back_validates_again(held_out, selected,
                                                     tmp_path):
    """Its newest checkpoint is damaged; the best, before that, is whole."""
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    found = evaluations_of(tmp_path)
    found["evaluations"] = [[2, 2.0], [4, 0.1], [5, 0.1]]
    (tmp_path / "run" / "best" / "selection.json").write_text(
        json.dumps(found))
    (tmp_path / "run" / "model.ckpt-5.index").write_bytes(b"")
    status, _, errors = command("run.py", *selecting(
        held_out, tmp_path, do_eval=False))
    assert status == 0, errors
    assert "passed over: " in errors and "validation at step 5" in errors
    evaluations = evaluations_of(tmp_path)["evaluations"]
    assert [step for step, _ in evaluations] == [2, 4, 5]
    assert evaluations[2][1] != 0.1


def test_a_validation_that_uses_up_the_patience_ends_what_was_killed_in_it(
        held_out, selected, tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    found = evaluations_of(tmp_path)
    found["evaluations"] = [[2, 2.0], [4, 0.1]]
    (tmp_path / "run" / "best" / "selection.json").write_text(
        json.dumps(found))
    status, _, errors = command("run.py", *selecting(
        held_out, tmp_path, num_train_steps=50, do_eval=False,
        early_stopping_patience=2, eval_every_steps=1))
    assert status == 0, errors
    assert [step for step, _ in evaluations_of(tmp_path)["evaluations"]] == [
        2, 4, 5]
    assert "stopped early at step 5" in errors
    assert not os.path.exists(str(tmp_path / "run" / "model.ckpt-6.index"))


def test_what_was_killed_in_the_last_validation_does_it(held_out, selected,
                                                        tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    wanted = evaluations_of(tmp_path)
    shutil.rmtree(str(tmp_path / "run" / "best"))
    status, _, errors = command("run.py", *selecting(
        held_out, tmp_path, eval_every_steps=100))
    assert status == 0, errors
    assert evaluations_of(tmp_path)["evaluations"] == wanted["evaluations"][-1:]
    assert "training" not in errors.split("validation at step 5")[1]
    evaluated = json.loads(
        (tmp_path / "run" / "eval_config.json").read_text())
    assert evaluated["checkpoint"] == str(
        tmp_path / "run" / "best" / "model.ckpt-5")


def test_beyond_the_last_step_the_newest_is_evaluated_where_none_was_chosen(
        held_out, selected, tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    shutil.rmtree(str(tmp_path / "run" / "best"))
    status, _, errors = command("run.py", *selecting(
        held_out, tmp_path, num_train_steps=3))
    assert status == 0, errors
    evaluated = json.loads(
        (tmp_path / "run" / "eval_config.json").read_text())
    assert evaluated["checkpoint"] == str(tmp_path / "run" / "model.ckpt-5")


def test_longer_windows_start_from_all_that_shorter_ones_have_learned(
        dataset, tmp_path):
    shutil.copy(str(dataset.folder / "tiny.txt"), str(tmp_path))
    status, _, errors = generate(
        tmp_path, "--max_seq_length=%d" % (LENGTH - 2),
        "--max_predictions_per_seq=%d" % (MASKED - 1))
    assert status == 0, errors
    short = dataset._replace(folder=tmp_path, prefix=str(tmp_path / "tiny-x"))
    status, _, errors = command("run.py", *run_flags(
        short, tmp_path, do_train=True, signature="/short",
        max_seq_length=LENGTH - 2, max_predictions_per_seq=MASKED - 1))
    assert status == 0, errors
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=1,
        output_bias="log_popularity", init_checkpoint=tmp_path / "short"))
    assert status == 0, errors
    learned, start = [
        {name: tf.train.load_variable(str(tmp_path / checkpoint), name)
         for name, _ in tf.train.list_variables(str(tmp_path / checkpoint))}
        for checkpoint in ("short/model.ckpt-5", "run/model.ckpt-0")]
    assert set(start) == set(learned)
    assert (learned.pop("global_step"), start.pop("global_step")) == (5, 0)
    for name in learned:
        if name.endswith(("/adam_m", "/adam_v")):
            assert learned[name].any() and not start[name].any()
        else:
            np.testing.assert_array_equal(start[name], learned[name])


def test_what_a_training_began_from_may_be_gone_when_it_goes_on(
        dataset, trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "first"))
    flags = dict(do_train=True, init_checkpoint=tmp_path / "first")
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, num_train_steps=1, **flags))
    assert status == 0 and "variables start from" in errors, errors
    shutil.rmtree(str(tmp_path / "first"))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=2,
        init_checkpoint=tmp_path / "first" / "model.ckpt-5.index"))
    assert status == 0 and "variables start from" not in errors, errors
    assert "began from" not in errors
    assert "from step 1 to 2" in errors
    # Without its checkpoints, and with others in its place.
    (tmp_path / "first").mkdir()
    for steps, copied in ((3, ()), (4, os.listdir(str(trained[0] / "run")))):
        for name in copied:
            if name.startswith("model.ckpt") or name == "checkpoint":
                shutil.copy(str(trained[0] / "run" / name),
                            str(tmp_path / "first"))
        status, _, errors = command("run.py", *run_flags(
            dataset, tmp_path, num_train_steps=steps, **flags))
        assert status == 0 and "began from" not in errors, errors
        assert record.read(str(tmp_path / "run"))["flags"][
            "init_checkpoint"] == str(tmp_path / "first" / "model.ckpt-5")


@pytest.mark.parametrize("mixed", [True, False])
def test_a_training_that_goes_on_reads_another_order(mixed, tmp_path,
                                                     monkeypatch):
    """And its sessions and what ends it know of its precision."""
    seeds, estimators, estimator = [], [], mock.Mock()
    monkeypatch.setattr(model_fn, "input_fn", lambda job, flag, size, seed:
                        seeds.append(seed))
    monkeypatch.setattr(model_fn, "make_estimator", lambda *job, **options:
                        estimators.append(options) or estimator)
    monkeypatch.setattr(training, "_make_ready", lambda job, start: None)
    job = mock.Mock(
        model_dir=str(tmp_path), cluster=distribution.ALONE,
        files={"train_input_file": []}, args=mock.Mock(
            random_seed=7, num_train_steps=9, mixed_precision=mixed))
    for start in (0, 5):
        training._train_from(job, start, None, None)
        finite, = [hook for hook in estimator.train.call_args[1]["hooks"]
                   if isinstance(hook, saving.FiniteHook)]
        assert finite._scaled_loss == mixed
    assert seeds == [7, 12]
    assert [options["training"] for options in estimators] == [True, True]


def test_a_training_that_goes_on_says_that_it_began_elsewhere(
        dataset, trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=6,
        init_checkpoint=trained[0] / "run"))
    assert status == 0, errors
    assert ("%s/run began from nothing, not --init_checkpoint=%s; another "
            % (tmp_path, trained[0] / "run")) in errors
    assert record.read(str(tmp_path / "run"))["flags"]["init_checkpoint"] is None


def test_the_run_record_holds_flags_config_and_checksums(held_out, selected):
    with open(str(selected[0] / "run" / "run_config.json")) as stream:
        record = json.load(stream)
    for flag in selecting(held_out, selected[0], eval_seeds=2):
        name, value = flag.lstrip("-").split("=", 1)
        assert str(record["flags"][name]) == value
    assert {"xla", "init_checkpoint", "protocols"} <= set(record["flags"])
    assert record["model_config"] == results_of(selected[0])[0]
    assert (record["validation"], record["seed"]) == ("held out", 12345)
    assert record["packages"]["tensorflow"] == tf.__version__
    with open(held_out.prefix + ".vocab", "rb") as stream:
        assert record["data_files"]["vocab_filename"] == {
            "tiny-x.vocab": hashlib.sha256(stream.read()).hexdigest()}
    assert sorted(record["data_files"]) == [
        "test_input_file", "train_input_file", "user_history_filename",
        "valid_input_file", "vocab_filename"]


def test_an_output_bias_may_start_at_the_log_popularity_of_training(
        held_out, tmp_path):
    status, _, errors = command("run.py", *run_flags(
        held_out, tmp_path, do_train=True, num_train_steps=1,
        output_bias="log_popularity"))
    assert status == 0, errors
    bias = tf.train.load_variable(str(tmp_path / "run" / "model.ckpt-0"),
                                  "cls/predictions/output_bias")
    words = load_pickle(held_out.prefix + ".vocab", "FreqVocab")
    counts = np.ones(words.get_vocab_size())
    for items in read_sequences(str(held_out.folder / "tiny.txt")).values():
        for item in items[:-2]:                # neither test nor validation
            counts[words.token_to_ids["item_%d" % item]] += 1
    assert counts.max() > 3
    np.testing.assert_allclose(bias, np.log(counts / counts.sum()), rtol=1e-6)


# --- memory -----------------------------------------------------------------

@pytest.mark.parametrize("items, num_sampled, told", [
    (1500000, 0, True), (1500000, 1000, False), (500000, 0, False)])
def test_a_softmax_beyond_8_gb_is_told_up_front_with_the_remedy(
        capsys, items, num_sampled, told):
    config = modeling.BertConfig(items, hidden_size=64, num_attention_heads=2)
    training._tell_memory(config, num_sampled)
    errors = capsys.readouterr().err
    assert ("--num_sampled" in errors) == told
    assert ("1500000 ids takes about 8 GB" in errors) == told
