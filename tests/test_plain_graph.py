"""The fast graph against the plain one of benchmarks/, gradients included."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from benchmarks import plain_graph
from model import masked_item

B, L, M, V = 13, 7, 3, 99
FORMS = ["self", "cross", "cross_published", "cross_difference"]


def make_config(form):
    return modeling.BertConfig(
        vocab_size=V, hidden_size=12, num_hidden_layers=2,
        num_attention_heads=3, intermediate_size=17, max_position_embeddings=9,
        type_vocab_size=2, attention_form=form)


def make_batch():
    """Sequences of 1 to L items with 1 to M masked positions each."""
    rng = np.random.RandomState(3)
    lengths = rng.randint(1, L + 1, B)
    counts = np.minimum(rng.randint(1, M + 1, B), lengths)
    mask = (np.arange(L) < lengths[:, None]).astype(np.int32)
    weights = (np.arange(M) < counts[:, None]).astype(np.float32)
    positions = np.stack([
        np.resize(rng.permutation(length), M) for length in lengths])
    return {
        "input_ids": rng.randint(1, V, (B, L)).astype(np.int32) * mask,
        "input_mask": mask,
        "masked_lm_positions":
            (positions * weights).astype(np.int32),
        "masked_lm_ids":
            (rng.randint(1, V, (B, M)) * weights).astype(np.int32),
        "masked_lm_weights": weights}


def fast_loss(config, features, groups=1):
    return masked_item.chunked_item_loss(config, *modeling.encode_masked_rows(
        config, False, features, groups))


def full_loss(config, features):
    return masked_item.masked_item_loss(config, *modeling.encode_masked_rows(
        config, False, features))[0]


def loss_and_gradients(build, config, values):
    """(loss, dict of variable name -> gradient) at the given weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant(value)
                    for name, value in make_batch().items()}
        loss = build(config, features)
        variables = tf.trainable_variables()
        gradients = [tf.convert_to_tensor(gradient)
                     for gradient in tf.gradients(loss, variables)]
        session.run(tf.global_variables_initializer())
        for variable in variables:
            if variable.op.name not in values:
                values[variable.op.name] = np.random.RandomState(
                    len(values)).normal(0.0, 0.3, variable.shape.as_list())
        session.run([variable.assign(values[variable.op.name])
                     for variable in variables])
        loss, gradients = session.run([loss, gradients])
    return loss, {variable.op.name: gradient
                  for variable, gradient in zip(variables, gradients)}


@pytest.mark.parametrize("form", FORMS)
def test_loss_and_every_gradient_agree_with_the_plain_graph(form, monkeypatch):
    monkeypatch.setattr(masked_item, "MIN_CHUNK", 5)   # several, the last short
    monkeypatch.setattr(masked_item, "CHUNK_SCORES", 1)
    config, values = make_config(form), {}
    plain = loss_and_gradients(
        lambda c, f: plain_graph.loss(c, False, f), config, values)
    assert_same(loss_and_gradients(fast_loss, config, values), plain)


@pytest.mark.parametrize("groups", [2, 3, B + 2])  # the last: empty ones
def test_encoding_in_groups_of_similar_length_changes_nothing(groups):
    config, values = make_config("cross_published"), {}
    plain = loss_and_gradients(
        lambda c, f: plain_graph.loss(c, False, f), config, values)
    assert_same(loss_and_gradients(
        lambda c, f: fast_loss(c, f, groups), config, values), plain)


@pytest.mark.parametrize("chunk", [1, 10 ** 6])
def test_the_chunks_of_the_loss_may_have_any_size(chunk, monkeypatch):
    monkeypatch.setattr(masked_item, "MIN_CHUNK", chunk)
    monkeypatch.setattr(masked_item, "CHUNK_SCORES", 1)
    config, values = make_config("self"), {}
    whole = loss_and_gradients(full_loss, config, values)
    assert_same(loss_and_gradients(
        lambda c, f: 3.0 * fast_loss(c, f), config, values), whole, factor=3.0)


def assert_same(ours, theirs, factor=1.0):
    assert ours[0] == pytest.approx(factor * theirs[0], abs=1e-5)
    assert set(ours[1]) == set(theirs[1])
    for name, gradient in theirs[1].items():
        np.testing.assert_allclose(ours[1][name], factor * gradient, atol=1e-5,
                                   err_msg=name)
