"""run.py as a user runs it: one command, its files and its errors."""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow.compat.v1 as tf

import conftest
import evaluation
import run
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
    lines = trained[1].splitlines()[2:]
    assert [line[:23].split(None, 1) for line in lines] == [
        [protocol, who] for protocol in evaluation.PROTOCOLS
        for who in ("model         ", "most popular  ")]


def test_results_hold_the_config_then_sorted_keys(trained):
    config, values = results_of(trained[0])
    assert config == dict(CONFIG, vocab_size=ITEMS + 4,
                          attention_form="cross_published")
    assert list(values) == sorted(values)
    assert {"global_step", "loss", "masked_lm_accuracy", "masked_lm_loss",
            "valid_user"} <= set(values)
    assert values["global_step"] == "5"
    for protocol in evaluation.PROTOCOLS:
        for prefix in ("", "most_popular/"):
            for metric in evaluation.METRICS:
                assert 0.0 <= float(
                    values["%s%s/%s" % (prefix, protocol, metric)]) <= 1.0


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


# --- bad input, found before any graph is built -----------------------------

def config_with(folder, **changes):
    path = folder / "changed.json"
    path.write_text(json.dumps(dict(CONFIG, **changes)))
    return str(path)


def assert_refused(dataset, folder, *parts, **changes):
    """The checks raise one ValueError that has all the parts, write nothing."""
    values = dict(
        do_train=True, do_eval=True, init_checkpoint=None, attention_form=None,
        protocols=list(evaluation.PROTOCOLS), num_sampled=0)
    values.update(flag.lstrip("-").split("=", 1) for flag in run_flags(
        dataset, folder / "model"))
    values.update(max_seq_length=LENGTH, max_predictions_per_seq=MASKED)
    values.update({key: str(value) if key.endswith(("file", "filename",
                                                    "init_checkpoint"))
                   else value for key, value in changes.items()})
    with pytest.raises(ValueError) as error:
        run.check_job(argparse.Namespace(**values))
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
