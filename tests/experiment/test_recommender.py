"""Recommendations against NumPy, and against the evaluation's own scores."""

import argparse
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tiny_model
from conftest import ITEMS, LENGTH, USERS
from experiment import model_fn
from experiment.job import check_job
from experiment.recall import of_directory
from experiment.recommender import (
    BY_MODEL, BY_POPULARITY, EXCLUDED, SORTED_BATCHES, Recommender, load,
    score_items, top_items)
from vocab import FreqVocab

# 27 items, the more often the lower their number: id i is item i.
WORDS = FreqVocab({"user_%d" % n: ["item_%d" % i for i in range(1, n + 1)]
                   for n in range(tiny_model.V - 4, 0, -1)})
COUNT, L = WORDS.item_count, tiny_model.L
MASK = COUNT + 2
# Zeros anywhere; more than L - 1 items; exactly so many; one item; none.
HISTORIES = np.array([
    [0, 5, 0, 0, 7, 5, 0, 0, 0, 0, 0, 0],
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 27, 11, 12],
    [0, 0, 3, 9, 4, 0, 8, 8, 1, 0, 0, 0],
    [26] + 11 * [0], 12 * [0]], np.int32)


def test_scores_are_those_of_the_masked_next_place_of_the_last_items():
    for form in tiny_model.FORMS:
        config = tiny_model.make_config(attention_form=form)
        with tf.Graph().as_default(), tf.Session() as session:
            scores, empty = score_items(config, tf.constant(HISTORIES), L,
                                        WORDS)
            values = tiny_model.randomize(session)
            scores, empty = session.run([scores, empty])
        assert empty.tolist() == [False] * 4 + [True]
        assert scores[4].tolist() == list(range(COUNT, 0, -1))
        oracle = tiny_model.Oracle(config, values)
        for found, history in zip(scores[:4], HISTORIES):
            items = [i for i in history if i][-(L - 1):] + [MASK]
            ids = np.array([items + [0] * (L - len(items))])
            rows = oracle.layers(ids, ids > 0, 0 * ids)[-1][0]
            logits = oracle.logits(rows[len(items) - 1])
            tiny_model.close(found, logits[1:COUNT + 1])


def test_the_best_k_without_what_was_seen_the_lower_id_of_equal_ones():
    rng = np.random.RandomState(3)
    scores = rng.randint(5, size=[5, COUNT]).astype(np.float32)  # many ties
    for allow_seen in (False, True):
        for k in (1, 4, COUNT):
            with tf.Session() as session:
                ids, best = session.run(top_items(
                    tf.constant(scores), tf.constant(HISTORIES), k,
                    allow_seen))
            for row in range(5):
                seen = set(() if allow_seen else HISTORIES[row].tolist())
                wanted = [i for i in sorted(
                    range(1, COUNT + 1), key=lambda i: (-scores[row, i - 1], i))
                          if i not in seen][:k]
                padding = k - len(wanted)
                assert ids[row].tolist() == wanted + [0] * padding
                assert best[row].tolist() == [
                    scores[row, i - 1] for i in wanted] + [EXCLUDED] * padding


# --- on a trained model -------------------------------------------------------

@pytest.fixture(scope="module")
def job(trained):
    return check_job(of_directory(str(trained[0] / "run"),
                                  dict(do_predict=True, top_k=1)))


@pytest.fixture(scope="module")
def recommender(job):
    return Recommender(job, job.checkpoint)


def ranked_by_the_evaluation(job, test_file):
    """(users, scores [B, V]) of the evaluation's graph."""
    job = job._replace(files={"test_input_file": [test_file]})
    with tf.Graph().as_default(), tf.Session() as session:
        iterator = tf.data.make_initializable_iterator(
            model_fn.input_fn(job, "test_input_file", USERS)())
        model_fn.build_model_fn(job.config, job.args)(
            iterator.get_next(), None, tf.estimator.ModeKeys.EVAL)
        tf.train.Saver(tf.trainable_variables()).restore(session,
                                                         job.checkpoint)
        session.run(iterator.initializer)
        users, _, _, scores = session.run(tf.get_collection(model_fn.RANKED))
    return users, scores


def test_recommendations_are_the_argsort_of_the_evaluations_scores(
        job, recommender, dataset):
    users, scores = ranked_by_the_evaluation(
        job, dataset.prefix + ".test.tfrecord")
    assert len(users) == USERS
    # What the evaluation reads is the history before the test item.
    histories = [job.user_history["user_%d" % user][0][:-1] for user in users]
    assert max(map(len, histories)) > LENGTH
    found = list(recommender.stream(
        [(str(user), history, 0) for user, history in zip(users, histories)],
        ITEMS, allow_seen=False))
    assert len(found) == USERS
    for user, history, one, row in zip(users, histories, found, scores):
        order = [i for i in np.argsort(-row, kind="mergesort")
                 if 1 <= i <= ITEMS and i not in history]
        assert one.key == str(user) and one.by == BY_MODEL
        assert one.items == [job.names.items[i] for i in order]
        np.testing.assert_allclose(one.scores, row[order], rtol=0, atol=1e-5)


def test_a_user_is_recommended_to_after_the_whole_history(job, recommender):
    whole = [job.names.items[i] for i in job.user_history["user_4"][0]]
    by_user, whole_sequence, shorter = recommender.recommend(
        ["4", whole, whole[:-1]], k=7)
    assert by_user.key == "4" and whole_sequence.key == "1"
    assert by_user.items == whole_sequence.items != shorter.items
    np.testing.assert_allclose(by_user.scores, whole_sequence.scores, rtol=0,
                               atol=1e-6)
    assert len(by_user.items) == 7 and not set(by_user.items) & set(whole)
    again, = recommender.recommend([4], k=ITEMS, allow_seen=True)
    assert sorted(again.items) == sorted(job.names.items[1:])


def test_unknown_items_are_skipped_and_counted(recommender):
    plain, odd = recommender.recommend([[3, 5], ["x", 3, "item_5", 5, 99999]])
    assert odd.items == plain.items and (plain.unknown, odd.unknown) == (0, 3)
    np.testing.assert_allclose(odd.scores, plain.scores, rtol=0, atol=1e-6)


def test_without_a_known_item_the_most_popular_are_recommended(
        job, recommender):
    both = recommender.recommend([[], ["x"]], k=ITEMS)
    assert len(both) == 2
    for found in both:
        assert found.by == BY_POPULARITY
        assert found.items == job.names.items[1:]      # by frequency
        assert found.scores == [
            float(job.words.counter["item_" + item]) for item in found.items]


def in_batches_of(size, job):
    return Recommender(job._replace(args=argparse.Namespace(
        **dict(vars(job.args), eval_batch_size=size))), job.checkpoint)


def test_batches_do_not_matter(job, recommender):
    users = [token.split("_")[1] for token in job.user_history]
    whole = recommender.recommend(users)
    parts = in_batches_of(5, job).recommend(users)
    assert len(parts) == USERS
    for one, other in zip(whole, parts):
        assert one.items == other.items
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)


def test_sequences_are_read_some_batches_at_a_time(job):
    read, each = [], 3 * SORTED_BATCHES
    asked = (read.append(n) or (str(n), [1 + n % 5] * (n % 7), 0)
             for n in range(2 * each + 2))
    found = in_batches_of(3, job).stream(asked, 2, allow_seen=False)
    keys = []
    for count in (each, 2 * each, 2 * each + 2):
        keys += [next(found).key for _ in range(count - len(keys))]
        assert read == list(range(count))
    assert keys == list(map(str, read)) and list(found) == []


def test_three_lines_of_python_with_titles(trained, named):
    model = load(str(named))
    found, = model.recommend([["B 3", "B 5"]], k=4)
    plain, = load(str(trained[0] / "run")).recommend([["3", "5"]], k=4)
    assert found.items == ["B " + item for item in plain.items]
    assert found.titles == [u"Th\u00e9 " + item for item in plain.items]
    assert plain.titles is None
    np.testing.assert_allclose(found.scores, plain.scores, rtol=0, atol=1e-6)
    assert model.recommend(["u7"])[0].key == "u7"


def test_paths_may_be_paths(dataset, trained, job):
    model = load(trained[0] / "run",
                 vocab_filename=pathlib.Path(dataset.prefix + ".vocab"))
    assert model.recommend([["3"]]) == load(
        str(trained[0] / "run")).recommend([["3"]])


def test_what_python_is_told_of_mistakes(recommender, tmp_path):
    for arguments, fault in (((["no one"], 3), "no user 'no one'"),
                             (("17", 3), "ask with \\['17'\\]"),
                             ((7, 3), "ask with \\[7\\]"),
                             ((None, 3), "None is no list"),
                             (({"17": 1}, 3), "is no list"),
                             (([[1]], ITEMS + 1), "k=%d" % (ITEMS + 1)),
                             (([[1]], 0), "k=0"), (([[1]], "3"), "k='3'"),
                             (([[1]], 2.5), "k=2.5"), (([[1]], True), "k=True")):
        with pytest.raises(ValueError, match=fault):
            recommender.recommend(*arguments)
    with pytest.raises(ValueError, match="no run_config.json in"):
        load(str(tmp_path))


@pytest.mark.parametrize("size", [0, -1, "x", None, 2.5])
def test_batches_of_no_size_are_a_mistake(trained, size):
    with pytest.raises(ValueError, match="eval_batch_size=%r" % (size,)):
        load(str(trained[0] / "run"), eval_batch_size=size)


@pytest.mark.parametrize("flag, value, fault", [
    ("max_seq_length", 0, "max_seq_length=0 is not a whole number from 1"),
    ("max_seq_length", "20", "max_seq_length='20' is no int"),
    ("selection_metric", 1, "selection_metric=1 is no str"),
    ("bucket_by_length", 3, "bucket_by_length=3 is no bool"),
    ("predict_items", "3", "predict_items is for run.py")])
def test_what_a_flag_does_not_take_is_a_mistake(trained, flag, value, fault):
    with pytest.raises(ValueError, match=fault):
        load(str(trained[0] / "run"), **{flag: value})


@pytest.mark.parametrize("flag", ["eval_batch_size", "num_sampled"])
def test_a_record_that_lacks_a_flag_is_a_mistake(trained, tmp_path, flag):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    path = tmp_path / "run" / "run_config.json"
    recorded = json.loads(path.read_text())
    del recorded["flags"][flag]
    path.write_text(json.dumps(recorded))
    with pytest.raises(ValueError, match=flag):
        load(tmp_path / "run")


def test_a_misspelt_flag_is_a_mistake(trained):
    with pytest.raises(ValueError, match="vocab_file is no flag of run.py"):
        load(str(trained[0] / "run"), vocab_file="/nowhere")


def test_a_diverged_model_does_not_recommend(job, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        score_items(job.config, tf.zeros([1, 1], tf.int32), LENGTH, job.words)
        saver = tf.train.Saver()
        saver.restore(session, job.checkpoint)
        bias, = [v for v in tf.trainable_variables()
                 if v.op.name == "cls/predictions/output_bias"]
        session.run(bias.assign(np.full(ITEMS + 4, np.nan)))
        diverged = saver.save(session, os.path.join(str(tmp_path), "m"))
    with pytest.raises(ValueError, match="NaN.*training diverged"):
        Recommender(job, diverged).recommend([[1]])
