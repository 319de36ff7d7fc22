"""run.py as a user runs it: one command, its files and its errors."""

import argparse
import collections
import glob
import hashlib
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

import checks
import conftest
import evaluation
import gen_data_fin
import modeling
import run
import util
from conftest import (CONFIG, ITEMS, LENGTH, MASKED, ROOT, USERS, command,
                      run_flags)

PUBLISHED_LINE = re.compile(
    u"^ndcg@1:\\S+, hit@1:\\S+\uff0c ndcg@5:\\S+, hit@5:\\S+, ndcg@10:\\S+, "
    u"hit@10:\\S+, ap:\\S+, valid_user:%d.0$" % USERS)


def results_of(folder):
    """eval_results.txt as (config, dict of str)."""
    text = open(os.path.join(str(folder), "run", "eval_results.txt")).read()
    config, _, lines = text.partition("}\n")
    return json.loads(config + "}"), dict(
        line.split(" = ") for line in lines.splitlines())


def scalars_of(folder):
    """dict, tag -> {step: value} of a folder's TensorBoard events."""
    scalars = {}
    for path in glob.glob(os.path.join(str(folder), "events.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    scalars.setdefault(value.tag, {})[event.step] = \
                        value.simple_value
    return scalars


def test_the_first_line_printed_has_the_published_form(trained):
    _, output, _ = trained
    assert PUBLISHED_LINE.match(output.splitlines()[0])


def test_the_table_shows_model_and_baseline_under_every_protocol(trained):
    lines = trained[1].splitlines()[2::2]       # intervals in the others
    assert [line[:25].split() for line in lines] == [
        [protocol] + who.split() for protocol in evaluation.PROTOCOLS
        for who in ("model", "most popular", "item transitions")]


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


def users_of(folder):
    """eval_users.tsv as an OrderedDict, column -> int array."""
    with open(os.path.join(str(folder), "run", "eval_users.tsv")) as stream:
        names = stream.readline().rstrip("\n").split("\t")
        rows = np.array([[int(text) for text in line.split("\t")]
                         for line in stream])
    return collections.OrderedDict(zip(names, rows.T))


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
    sequences = util.read_sequences(str(dataset.folder / "tiny.txt"))
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


def test_do_eval_alone_gives_the_same_numbers(dataset, trained, tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True, eval_batch_size=3))
    assert status == 0, errors
    assert output == trained[1]


def test_init_checkpoint_alone_is_evaluated(dataset, trained, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True,
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"))
    assert status == 0, errors
    assert output == trained[1]


def test_training_starts_from_init_checkpoint(dataset, trained, tmp_path):
    checkpoint = str(trained[0] / "run" / "model.ckpt-5")
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=1, learning_rate=0.0,
        num_warmup_steps=0, init_checkpoint=checkpoint))
    assert status == 0, errors
    name = "bert/encoder/layer_1/intermediate/dense/kernel"
    started = tf.train.load_variable(str(tmp_path / "run" / "model.ckpt-1"), name)
    assert (started == tf.train.load_variable(checkpoint, name)).all()


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
    test_file = dataset.prefix + ".test.tfrecord"
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True,
        test_input_file="%s*.test.tfrecord,%s" % (dataset.prefix, test_file),
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"))
    assert status == 0, errors
    assert "valid_user:%d.0" % (2 * USERS) in output


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
    while not os.path.exists(str(tmp_path / "run" / "model.ckpt-20.index")):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    newest = tf.train.latest_checkpoint(str(tmp_path / "run"))
    step = int(newest.rsplit("-", 1)[1])
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True,
        num_train_steps=step + 7))
    assert status == 0, errors
    assert "from step %d to %d" % (step, step + 7) in errors
    assert PUBLISHED_LINE.match(output.splitlines()[0])
    assert results_of(tmp_path)[1]["global_step"] == str(step + 7)


# --- validation, selection and the run record --------------------------------

@pytest.fixture(scope="module")
def held_out(dataset, tmp_path_factory):
    """The tiny dataset again, with its validation items held out."""
    folder = tmp_path_factory.mktemp("held_out")
    shutil.copy(str(dataset.folder / "tiny.txt"), str(folder))
    status, _, errors = conftest.generate(folder, "--holdout_validation")
    assert status == 0, errors
    return dataset._replace(folder=folder, prefix=str(folder / "tiny-x"))


def selecting(held_out, folder, **changes):
    """run.py's flags for a training with validation."""
    return run_flags(held_out, folder, **dict(dict(
        do_train=True, do_eval=True, eval_every_steps=2,
        bucket_by_length=True, selection_metric="paper/ap",
        valid_input_file=held_out.prefix + ".valid.tfrecord"), **changes))


@pytest.fixture(scope="module")
def selected(held_out, tmp_path_factory):
    """The folder of a model trained with validation, output and log."""
    folder = tmp_path_factory.mktemp("selected")
    status, output, errors = command("run.py", *selecting(
        held_out, folder, eval_seeds=2,
        candidates_file=folder / "candidates.tsv.gz"))
    assert status == 0, errors
    return folder, output, errors


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
    sequences = util.read_sequences(str(held_out.folder / "tiny.txt"))
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
    assert evaluations_of(tmp_path)["best_step"] == 2
    assert tf.train.latest_checkpoint(
        str(tmp_path / "run")).endswith("model.ckpt-6")
    status, output, errors = command("run.py", *selecting(
        held_out, tmp_path, num_train_steps=50, early_stopping_patience=3,
        eval_seeds=2, candidates_file=selected[0] / "candidates.tsv.gz"))
    assert status == 0, errors
    assert "stopped early at step 6" in errors
    assert output == selected[1]    # the same best, ranking saved candidates


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


# --- bad input, found before any graph is built -----------------------------

def config_with(folder, **changes):
    path = folder / "changed.json"
    path.write_text(json.dumps(dict(CONFIG, **changes)))
    return str(path)


def arguments(dataset, folder, **changes):
    """The flags of run.py as main() hands them to the checks."""
    values = dict(
        do_train=True, do_eval=True, init_checkpoint=None, attention_form=None,
        protocols=list(evaluation.PROTOCOLS), num_sampled=0,
        valid_input_file=None, eval_every_steps=0, early_stopping_patience=0,
        selection_metric="paper/ndcg@10", candidates_file=None,
        ignore_checksums=False)
    values.update(flag.lstrip("-").split("=", 1) for flag in run_flags(
        dataset, folder / "model"))
    values.update(max_seq_length=LENGTH, max_predictions_per_seq=MASKED)
    values.update({key: str(value) if key.endswith(("file", "filename",
                                                    "init_checkpoint"))
                   else value for key, value in changes.items()})
    return argparse.Namespace(**values)


def assert_refused(dataset, folder, *parts, **changes):
    """The checks raise one ValueError that has all the parts, write nothing."""
    with pytest.raises(ValueError) as error:
        checks.check_job(arguments(dataset, folder, **changes))
    for part in parts:
        assert part in str(error.value)
    assert not (folder / "model").exists()


def test_an_error_is_one_line_with_status_1_and_no_traceback(dataset, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path / "model", do_train=True, train_input_file="nowhere"))
    assert (status, output) == (1, "")
    assert errors == (
        "run.py: error: --train_input_file: no file matches 'nowhere'; "
        "generate it with gen_data_fin.py, or correct the name\n")
    assert not (tmp_path / "model").exists()


def test_nothing_to_do(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--do_train", do_train=False,
                   do_eval=False)


def test_a_missing_input_file(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--train_input_file", "nowhere*",
                   train_input_file="nowhere*")


def test_an_empty_input_file(dataset, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert_refused(dataset, tmp_path, "--test_input_file", "empty",
                   test_input_file=tmp_path / "empty")


def test_a_training_file_with_a_missing_shard(dataset, tmp_path):
    for index in (0, 2):
        (tmp_path / ("x.train.tfrecord-%05d-of-00003" % index)).write_bytes(b"x")
    assert_refused(dataset, tmp_path, "--train_input_file", "missing 00001",
                   train_input_file="%s/x.train.tfrecord-*-of-00003" % tmp_path)


def test_a_file_that_is_no_tfrecord(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "tiny-x.vocab", "TFRecord",
                   train_input_file=dataset.prefix + ".vocab")


def test_lengths_that_differ_from_the_flags(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--max_seq_length=11", max_seq_length=12)
    assert_refused(dataset, tmp_path, "--max_predictions_per_seq=3",
                   max_predictions_per_seq=4)


def test_a_length_above_the_position_embeddings(dataset, tmp_path):
    assert_refused(
        dataset, tmp_path, "--max_seq_length=11", "max_position_embeddings 10",
        bert_config_file=config_with(tmp_path, max_position_embeddings=10))


def test_a_vocabulary_that_does_not_fit_the_config(dataset, tmp_path):
    assert_refused(
        dataset, tmp_path, "vocab_size is 99", '"vocab_size": %d' % (ITEMS + 4),
        bert_config_file=config_with(tmp_path, vocab_size=99))


def test_an_unknown_config_key(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "changed.json", "'hiden_size'", "77",
                   bert_config_file=config_with(tmp_path, hiden_size=77))


def test_a_pickle_with_a_foreign_class(dataset, tmp_path):
    evil = tmp_path / "evil.vocab"
    evil.write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR."
                     % str(tmp_path / "touched").encode())
    assert_refused(dataset, tmp_path, "posix.system", vocab_filename=evil)
    assert not (tmp_path / "touched").exists()


def test_an_unknown_protocol(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "'popular'", "seed, paper, uniform, full",
                   protocols=["seed", "popular"])


@pytest.mark.parametrize("metric", ["paper/ndcg@20", "papers/ndcg@10", "ap",
                                    "paper/", "paper/ap/low"])
def test_an_unknown_selection_metric(dataset, tmp_path, metric):
    assert_refused(dataset, tmp_path, repr(metric), "seed, paper, uniform, full",
                   "ndcg@1, hit@1, ndcg@5, hit@5, ndcg@10, hit@10, ap",
                   selection_metric=metric)


@pytest.mark.parametrize("flag", ["eval_every_steps",
                                  "early_stopping_patience"])
def test_validation_flags_without_a_validation_file(dataset, tmp_path, flag):
    assert_refused(dataset, tmp_path, "--%s=3" % flag, "--valid_input_file",
                   "--holdout_validation", **{flag: 3})


def test_validation_items_that_are_in_the_training_file(dataset, held_out,
                                                        tmp_path):
    assert_refused(
        dataset, tmp_path, "--train_input_file", "--holdout_validation",
        valid_input_file=held_out.prefix + ".valid.tfrecord")


def test_going_on_without_the_validation_a_training_began_with(
        held_out, selected, tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "again" / "run"))
    assert_refused(held_out, tmp_path, "best", "--valid_input_file",
                   checkpointDir=str(tmp_path / "again"), signature="/run")


@pytest.mark.parametrize("flag", ["test_input_file", "vocab_filename",
                                  "user_history_filename"])
def test_other_data_than_those_of_the_training(dataset, trained, tmp_path,
                                               flag):
    ending = {"test_input_file": ".test.tfrecord", "vocab_filename": ".vocab",
              "user_history_filename": ".his"}[flag]
    conftest.write_interactions(tmp_path / "tiny.txt", seed=8)
    gen_data_fin.generate(
        str(tmp_path / "tiny.txt"), str(tmp_path / "other"),
        gen_data_fin.Options(LENGTH, MASKED, 1.0, 1, 0.3, 0.5, 1), 1)
    changes = {flag: str(tmp_path / "other") + ending, "do_train": False,
               "init_checkpoint": trained[0] / "run" / "model.ckpt-5"}
    assert_refused(dataset, tmp_path, "--%s: other%s" % (flag, ending),
                   "--ignore_checksums", **changes)
    job = checks.check_job(arguments(dataset, tmp_path, ignore_checksums=True,
                                     **changes))
    assert job.checksums[flag] and job.validation == "folded into train"


def test_candidates_that_lack_users(dataset, tmp_path):
    sequences = util.read_sequences(str(dataset.folder / "tiny.txt"))
    (tmp_path / "c.tsv").write_text(
        "user\tprotocol\ttarget\tnegatives\n" + "".join(
            "%d\tpaper\t%d\t%d\n" % (user, items[-1], items[0])
            for user, items in sequences.items()
            if user > 4 and items[0] != items[-1]))
    assert_refused(dataset, tmp_path, "c.tsv", "4 of %d test users" % USERS,
                   candidates_file=str(tmp_path / "c.tsv"),
                   protocols=["paper", "full"])


def test_a_new_candidates_file_in_no_folder(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--candidates_file", "nowhere",
                   candidates_file=str(tmp_path / "nowhere" / "c.tsv"))


def test_more_samples_than_items(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--num_sampled=143", num_sampled=143)


def test_evaluation_without_a_checkpoint(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "no checkpoint in", "--do_train",
                   do_train=False)


def test_an_init_checkpoint_that_is_not_there(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "nowhere", "not a readable checkpoint",
                   init_checkpoint=tmp_path / "nowhere")


def test_a_checkpoint_of_another_size(dataset, trained, tmp_path):
    assert_refused(
        dataset, tmp_path, "intermediate", "[12, 17]", "[12, 18]",
        init_checkpoint=trained[0] / "run" / "model.ckpt-5",
        bert_config_file=config_with(tmp_path, intermediate_size=18))


@pytest.mark.parametrize("form", ["self", "cross_gram"])
def test_a_checkpoint_of_another_attention_form(dataset, trained, tmp_path,
                                                form):
    assert_refused(dataset, tmp_path, "checkpoint", "does not fit",
                   init_checkpoint=trained[0] / "run" / "model.ckpt-5",
                   attention_form=form)


def test_an_argument_that_is_no_flag():
    status, _, errors = command("run.py", "--bert_config_file=x",
                                "--checkpointDir=y", "do_train")
    assert status == 1 and "'do_train'" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("flag", ["--batch_size=0",
                                  "--attention_form=crossed"])
def test_a_flag_outside_its_range_is_named(flag):
    status, _, errors = command("run.py", "--bert_config_file=x",
                                "--checkpointDir=y", flag)
    assert status == 1 and flag.split("=")[0].strip("-") in errors
    assert "Traceback" not in errors


def test_too_small_a_catalogue_names_the_remedy(tmp_path):
    conftest.write_interactions(tmp_path / "tiny.txt", users=9, items=90)
    assert conftest.generate(tmp_path)[0] == 0
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    small = conftest.Dataset(tmp_path, str(tmp_path / "tiny-x"),
                             str(tmp_path / "config.json"))
    flags = dict(do_train=True, do_eval=True, num_train_steps=1)
    status, _, errors = command("run.py", *run_flags(small, tmp_path, **flags))
    assert status == 1 and "Traceback" not in errors
    assert "catalogue is too small" in errors.splitlines()[-1]
    status, output, errors = command("run.py", *run_flags(
        small, tmp_path, protocols="full", **flags))
    assert status == 0, errors
    assert output.splitlines()[1].startswith("full")


# --- memory -----------------------------------------------------------------

@pytest.mark.parametrize("items, num_sampled, told", [
    (1500000, 0, True), (1500000, 1000, False), (500000, 0, False)])
def test_a_softmax_beyond_8_gb_is_told_up_front_with_the_remedy(
        capsys, items, num_sampled, told):
    config = modeling.BertConfig(items, hidden_size=64, num_attention_heads=2)
    run._tell_memory(config, num_sampled)
    errors = capsys.readouterr().err
    assert ("--num_sampled" in errors) == told
    assert ("1500000 ids takes about 8 GB" in errors) == told
