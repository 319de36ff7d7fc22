"""The attention maps, read off a probe model's output, and their dropout."""

import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from tiny_model import (
    FORMS, H, assign, Batch, close, make_config, randomize)


# --- dropout ----------------------------------------------------------------

MAPS = {"self": 1, "cross": 3, "cross_published": 3, "cross_difference": 3,
        "cross_gram": 2}


def count_of_dropouts(**rates):
    with tf.Graph().as_default() as graph:
        Batch().model(make_config(**rates), is_training=True)
        # The initializers draw too, but by TruncatedNormal.
        return sum(op.type.startswith("RandomUniform")
                   for op in graph.get_operations())


@pytest.mark.parametrize("form", FORMS)
def test_each_attention_map_has_a_dropout_of_its_own(form):
    assert count_of_dropouts(
        attention_form=form, attention_probs_dropout_prob=0.3,
        num_hidden_layers=1) == MAPS[form]


def test_the_embedding_and_both_dense_outputs_of_a_layer_have_a_dropout():
    assert count_of_dropouts(hidden_dropout_prob=0.3,
                             num_hidden_layers=3) == 1 + 2 * 3


def outputs_twice(is_training, rate):
    config = make_config(num_hidden_layers=1, hidden_dropout_prob=rate,
                         attention_probs_dropout_prob=rate)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        output = Batch().model(config,
                               is_training=is_training).get_sequence_output()
        randomize(session)
        return session.run(output), session.run(output)


def test_dropout_spares_what_a_layer_adds_to_a_dense_output(monkeypatch):
    """With both dense outputs dropped whole, a layer is two layer norms."""
    rates = []
    monkeypatch.setattr(modeling, "dropout", lambda x, rate: (
        rates.append(rate) or tf.zeros_like(x)))
    wanted = np.random.RandomState(3).normal(size=[2, 5, H])
    with tf.Graph().as_default(), tf.Session() as session:
        output = modeling._encoder_layer(
            tf.constant(wanted, tf.float32), None, tf.zeros([2, 1, 1, 5]),
            make_config(hidden_dropout_prob=0.3), True)
        assert rates == [0.3, 0.3]
        values = randomize(session)
        output = session.run(output)
    for scope in ("attention/output/LayerNorm/", "output/LayerNorm/"):
        wanted = wanted - wanted.mean(axis=-1, keepdims=True)
        wanted = (wanted / wanted.std(axis=-1, keepdims=True)
                  * values[scope + "gamma"] + values[scope + "beta"])
    close(output, wanted)


def test_dropout_is_for_training_alone():
    plain, again = outputs_twice(False, 0.0)
    np.testing.assert_array_equal(plain, again)
    first, second = outputs_twice(True, 0.4)
    assert np.abs(first - second).max() > 0.1
    first, second = outputs_twice(True, 0.0)
    np.testing.assert_array_equal(first, second)
    close(first, plain, atol=0)
    first, second = outputs_twice(False, 0.4)
    np.testing.assert_array_equal(first, second)
    close(first, plain, atol=0)


def test_dropped_embeddings_are_0_and_the_others_are_scaled_up():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            plain, dropped = [
                Batch(batch=99).model(
                    make_config(num_hidden_layers=1, hidden_dropout_prob=rate),
                    scope="bert", is_training=True).get_embedding_output()
                for rate in (0.0, 0.25)]
        randomize(session)
        plain, dropped = session.run([plain, dropped])
    kept = dropped != 0
    close(dropped[kept], plain[kept] / 0.75)
    assert abs(kept.mean() - 0.75) < 0.02


def read_maps(form, rate=0.0, copies=1, random_logits=False):
    """The attention maps as they meet V, read off a probe model's output.

    One layer and one head, L = 5, H = 4 L. Position i has the embedding
    s (e_i - e_{L+i}) and the value e_i, and the output projection carries
    the values to coordinates 2 L + j (in the gram form A_xy V to 3 L + j).
    The feed-forward part adds 0, and layer normalisation is undone with the
    two coordinates whose values, s and -s, are known.

    Returns:
        list of [copies, 5, 5]: the summed maps; in the gram form G and A_xy.
    """
    length, hidden = 5, 20
    s = math.sqrt(hidden / 2.0)
    at = np.arange(length)
    config = make_config(
        vocab_size=1, hidden_size=hidden, num_hidden_layers=1,
        num_attention_heads=1, attention_form=form,
        attention_probs_dropout_prob=rate)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(7)
        output = modeling.BertModel(
            config, rate > 0, tf.zeros([copies, length], tf.int32)
        ).get_sequence_output()
        values = {v.op.name: np.zeros(v.shape.as_list(), np.float32)
                  + v.op.name.endswith("gamma")
                  for v in tf.global_variables()}
        places = values["bert/embeddings/position_embeddings"]
        places[at, at], places[at, length + at] = 1.0, -1.0
        layer = "bert/encoder/layer_0/attention/"
        values[layer + "self/value/kernel"][at, at] = 1.0 / s
        dense = values[layer + "output/dense/kernel"]
        dense[at, 2 * length + at] = 1.0
        if form == "cross_gram":
            dense[hidden + at, 3 * length + at] = 1.0
        if random_logits:
            rng = np.random.RandomState(1)
            for name in ("query", "key"):
                kernel = values[layer + "self/%s/kernel" % name]
                kernel[:] = rng.normal(0.0, 0.3, kernel.shape)
        assign(session, values)
        output = session.run(output).astype(np.float64)
    high, low = output[:, at, at], output[:, at, length + at]   # [copies, 5]
    middle, reach = (high + low) / 2.0, (high - low) / 2.0
    maps = [s * (output[:, :, start:start + length] - middle[..., np.newaxis])
            / reach[..., np.newaxis] for start in (2 * length, 3 * length)]
    if form == "cross_gram":
        return maps
    close(maps[1], 0.0)         # nobody wrote there
    return maps[:1]


@pytest.mark.parametrize("form, total", [
    ("self", 1.0), ("cross", 3.0), ("cross_published", 3.0),
    ("cross_difference", 1.0)])
def test_rows_of_the_summed_maps_sum_to_the_maps_signs(form, total):
    summed, = read_maps(form, random_logits=True)
    assert summed.std() > 0.05           # a uniform map would hide the axis
    close(summed.sum(axis=-1), total)


def test_the_gram_map_is_normalised_over_its_columns_and_a_xy_over_rows():
    gram, a_xy = read_maps("cross_gram", random_logits=True)
    close(gram.sum(axis=-2), 1.0)
    assert np.abs(gram.sum(axis=-1) - 1.0).max() > 0.1
    close(a_xy.sum(axis=-1), 1.0)


@pytest.mark.parametrize("form", FORMS)
def test_dropout_keeps_every_map_right_on_average(form):
    plain = read_maps(form, random_logits=True)
    dropped = read_maps(form, rate=0.3, copies=2000, random_logits=True)
    assert len(plain) == len(dropped)
    for one, many in zip(plain, dropped):
        assert many.std(axis=0).min() > 0
        close(many.mean(axis=0), one[0], atol=0.06)


# At rate 0.5 an entry of a uniform map is 0 or 2 / L, like a coin; the number
# of heads of independent coins is binomial. Two maps with one mask in common
# would make three coins' 0, 1, 2, 3 heads (or -1, 0, 1, 2) equally likely.
COINS = {"self": {0: 1 / 2., 1: 1 / 2.},
         "cross": {0: 1 / 8., 1: 3 / 8., 2: 3 / 8., 3: 1 / 8.},
         "cross_published": {0: 1 / 8., 1: 3 / 8., 2: 3 / 8., 3: 1 / 8.},
         "cross_difference": {-1: 1 / 8., 0: 3 / 8., 1: 3 / 8., 2: 1 / 8.},
         "cross_gram": {0: 1 / 4., 1: 1 / 2., 2: 1 / 4.}}


@pytest.mark.parametrize("form", FORMS)
def test_the_maps_dropout_masks_are_independent(form):
    heads = sum(read_maps(form, rate=0.5, copies=400)) * 5 / 2.0
    counts = np.rint(heads).astype(int)
    close(heads, counts, atol=1e-3)
    assert set(counts.ravel()) == set(COINS[form])
    for count, share in COINS[form].items():
        assert abs((counts == count).mean() - share) < 0.03, count


def test_entries_rows_and_sequences_have_independent_dropout():
    # 400 sequences of 5 rows of 5 entries, in the order of memory: a lag of 1
    # is the next entry, 5 the next row, 25 the next sequence.
    dropped, = read_maps("self", rate=0.5, copies=400)
    heads = np.rint(dropped.ravel() * 5 / 2.0) - 0.5
    assert set(heads) == {-0.5, 0.5}
    for lag in range(1, 101):
        correlation = 4.0 * (heads[lag:] * heads[:-lag]).mean()
        assert abs(correlation) < 0.06, lag    # six standard deviations
