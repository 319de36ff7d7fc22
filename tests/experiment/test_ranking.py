"""What an evaluation does where its parts fail, and what it asks of them."""

import errno
import gzip
import os
import pickle
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import evaluation
from conftest import ITEMS, USERS, users_of
from experiment import ranking
from modeling import BertConfig
from tiny_model import np_gather, Oracle


def records_of(path):
    """dict, name -> int array [users, ...], of a test file."""
    examples = [tf.train.Example.FromString(record).features.feature
                for record in tf.python_io.tf_record_iterator(path)]
    return {name: np.array([example[name].int64_list.value
                            for example in examples])
            for name in ("info", "input_ids", "input_mask",
                         "masked_lm_positions", "masked_lm_ids")}


def candidates_of(folder, prefix):
    """dict, (protocol, user) -> ids of the target and of what it is ranked
    among, by the files alone."""
    with open(prefix + ".vocab", "rb") as stream:
        ids = pickle.load(stream).token_to_ids
    with open(prefix + ".his", "rb") as stream:
        histories = pickle.load(stream)
    found = {}
    for name, (history,) in histories.items():
        others = sorted(set(range(1, ITEMS + 1)) - set(history))
        found["full", int(name[len("user_"):])] = [history[-1]] + others
    with gzip.open(str(folder / "candidates.tsv.gz"), "rt") as lines:
        next(lines)
        for line in lines:
            user, protocol, target, negatives = line.rstrip("\n").split("\t")
            found[protocol, int(user)] = [
                ids["item_" + item] for item in [target] + negatives.split()]
    return found


@pytest.mark.parametrize("error", [
    ValueError("no checkpoint"), tf.errors.NotFoundError(None, None, "gone")],
                         ids=["ValueError", "NotFoundError"])
def test_a_checkpoint_that_goes_amid_its_evaluation_is_passed_over(
        tmp_path, monkeypatch, error):
    """With a low --keep_checkpoint_max the chief removes it."""
    names = [str(tmp_path / ("model.ckpt-%d" % step)) for step in (3, 6, 9)]
    asked = []

    def evaluate(job, checkpoint):
        asked.append(checkpoint)
        if checkpoint == names[1]:
            raise error
        return {"global_step": int(checkpoint.rsplit("-", 1)[1])}

    monkeypatch.setattr(ranking, "evaluate", evaluate)
    monkeypatch.setattr(tf.train, "checkpoints_iterator", lambda _: names)
    job = mock.Mock(model_dir=str(tmp_path), args=mock.Mock(num_train_steps=9))
    ranking.follow(job)
    assert asked == names
    (tmp_path / "model.ckpt-6.index").write_bytes(b"")  # there, so a fault
    with pytest.raises(type(error)):
        ranking.follow(job)
    assert asked[3:] == names[:2]


def test_ranks_are_those_of_a_forward_pass_in_numpy(held_out, selected):
    """Checkpoint, test file, history and candidates in, the ranks out."""
    best = str(selected[0] / "run" / "best")
    reader = tf.train.load_checkpoint(best)
    oracle = Oracle(
        BertConfig.from_json_file(os.path.join(best, "bert_config.json")),
        {name: reader.get_tensor(name)
         for name in reader.get_variable_to_shape_map()})
    asked = records_of(held_out.prefix + ".test.tfrecord")
    rows = np_gather(oracle.layers(
        asked["input_ids"], asked["input_mask"],
        np.zeros_like(asked["input_ids"]))[-1], asked["masked_lm_positions"])
    scores = oracle.logits(rows)[:, 0]
    candidates = candidates_of(selected[0], held_out.prefix)
    found = users_of(selected[0])
    assert found["user"].tolist() == asked["info"][:, 0].tolist()
    assert len(found["user"]) == USERS
    for protocol in evaluation.PROTOCOLS:
        for row, (user, target) in enumerate(zip(
                found["user"], asked["masked_lm_ids"][:, 0])):
            own, *others = candidates[protocol, user]
            assert protocol == "full" or len(others) == 100
            assert own == target
            above = scores[row, others] - scores[row, own]
            # TensorFlow's scores have 32 bits.
            assert (above > 1e-5).sum() <= found[protocol][row] <= (
                above > -1e-5).sum(), (protocol, user)


def test_what_ranking_the_last_batch_raises_ends_the_evaluation():
    hook = ranking.RankingHook(mock.Mock(
        add=mock.Mock(side_effect=evaluation.RankingError("NaN"))))
    hook.after_run(None, mock.Mock(results=(1, 2)))
    with pytest.raises(evaluation.RankingError, match="NaN"):
        hook.end(None)


@pytest.mark.parametrize("by_popularity", [True, False])
def test_the_evaluator_draws_as_the_flag_says(by_popularity, monkeypatch):
    class Made(Exception):
        pass

    def make(words, history, protocols=None, use_pop_random=True, **options):
        assert use_pop_random == by_popularity
        raise Made

    monkeypatch.setattr(ranking, "make_estimator", mock.Mock())
    monkeypatch.setattr(evaluation, "Evaluator", make)
    with pytest.raises(Made):
        ranking.evaluate(mock.MagicMock(
            model_dir="x", args=mock.Mock(use_pop_random=by_popularity)), "y")


def test_older_results_stay_where_new_ones_cannot_be_written(tmp_path):
    (tmp_path / "eval_results.txt").write_text("older")
    job = mock.Mock(model_dir=str(tmp_path))
    job.config.to_json_string.return_value = "{}"
    evaluator = mock.Mock()
    evaluator.user_rows.side_effect = OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError):
        ranking._write_results(job, "x", {"global_step": 5}, evaluator)
    assert (tmp_path / "eval_results.txt").read_text() == "older"
