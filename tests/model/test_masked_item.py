"""The masked-item losses by hand and against the NumPy oracle."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from model import masked_item
from tiny_model import (
    H, M, SHAPES, V, Batch, close, make_config, np_softmax, Oracle,
    randomize)


# --- the loss by hand -------------------------------------------------------

# With a table of zeros the logits are the output bias, whatever the rows:
# the four items have the probabilities 0.1, 0.2, 0.3, 0.4.
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4])


def loss_of_bias(label_ids, weights, rows=None):
    """(loss, largest gradient entry) for labels and weights [B, M]."""
    shape = list(np.shape(label_ids))
    config = make_config(vocab_size=4)
    with tf.Graph().as_default(), tf.Session() as session:
        if rows is None:
            rows = np.random.RandomState(0).normal(size=shape + [H])
        loss = masked_item.masked_item_loss(
            config, tf.constant(rows, tf.float32), tf.zeros([4, H]),
            tf.constant(label_ids), tf.constant(weights, tf.float32))[0]
        bias, = [v for v in tf.global_variables()
                 if v.op.name.endswith("output_bias")]
        gradient, = tf.gradients(loss, [bias])
        session.run(tf.global_variables_initializer())
        bias.load(np.log(PROBABILITIES).astype(np.float32), session)
        return session.run([loss, gradient])


def test_loss_is_the_weighted_mean_cross_entropy():
    # -ln 0.4 = 0.916291, -ln 0.1 = 2.302585, -ln 0.2 = 1.609438
    loss, _ = loss_of_bias([[3, 0], [1, 2]], [[1, 1], [1, 0]])
    close(loss, (0.916291 + 2.302585 + 1.609438) / 3.00001, atol=1e-6)
    loss, _ = loss_of_bias([[3, 0]], [[0.5, 2.0]])
    close(loss, (0.5 * 0.916291 + 2.0 * 2.302585) / 2.50001, atol=1e-6)


def test_loss_adds_1e_5_to_the_sum_of_weights():
    # Light weights make the small number visible: 2e-5 / 3e-5.
    loss, _ = loss_of_bias([[0]], [[2e-5]])
    close(loss, 2.302585 * 2.0 / 3.0, atol=1e-5)


def test_padded_slots_change_neither_loss_nor_gradient():
    weights = [[1, 0, 0], [1, 1, 0]]
    rows = np.random.RandomState(0).normal(size=[2, 3, H])
    other_rows = np.where(np.array(weights)[..., np.newaxis], rows, np.nan)
    loss, gradient = loss_of_bias([[3, 0, 0], [0, 1, 0]], weights, rows)
    same_loss, same_gradient = loss_of_bias([[3, 2, 1], [0, 1, 3]], weights,
                                            other_rows)
    assert loss == same_loss
    np.testing.assert_array_equal(gradient, same_gradient)
    # d loss / d bias = (3 p - counts of the labels 3, 0, 1) / 3.00001
    close(gradient, (3 * PROBABILITIES - [1, 1, 0, 1]) / 3.00001, atol=1e-6)


def test_a_batch_of_padded_slots_has_loss_and_gradient_0():
    loss, gradient = loss_of_bias([[3, 0]], [[0, 0]])
    assert loss == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(4))


def first_values_of_bias(loss_function, **options):
    config, batch = make_config(), Batch(batch=3)
    with tf.Graph().as_default(), tf.Session() as session:
        loss_function(
            config, tf.zeros([3, M, H]), tf.zeros([V, H]),
            tf.constant(batch.label_ids, tf.int32),
            tf.constant(batch.weights), **options)
        session.run(tf.global_variables_initializer())
        bias, = [v for v in tf.global_variables()
                 if v.op.name == "cls/predictions/output_bias"]
        return session.run(bias)


@pytest.mark.parametrize("loss_function, options", [
    (masked_item.chunked_item_loss, {}),
    (masked_item.sampled_item_loss, {"num_sampled": 5})],
    ids=["chunked", "sampled"])
def test_the_output_bias_starts_at_0_or_where_it_is_told(loss_function,
                                                         options):
    close(first_values_of_bias(loss_function, **options), np.zeros(V), 0)
    values = np.linspace(-9.0, -1.0, V)
    close(first_values_of_bias(loss_function, output_bias=values, **options),
          values)


def test_the_training_loss_bears_scores_whose_exponential_is_infinite():
    # A table of zeros: the logits are the bias. With 500 and 497 far above
    # the rest, p is 0.952574 and 0.047426: -ln p = 0.048587 and 3.048587.
    with tf.Graph().as_default(), tf.Session() as session:
        loss = masked_item.chunked_item_loss(
            make_config(vocab_size=4), tf.ones([1, 3, H]), tf.zeros([4, H]),
            tf.constant([[1, 2, 0]]), tf.constant([[1.0, 1.0, 0.0]]),
            output_bias=[0.0, 500.0, 497.0, 0.0])
        bias, = [v for v in tf.global_variables()
                 if v.op.name.endswith("output_bias")]
        gradient, = tf.gradients(loss, [bias])
        session.run(tf.global_variables_initializer())
        loss, gradient = session.run([loss, gradient])
    close(loss, (0.048587 + 3.048587) / 2.00001)
    close(gradient, np.array([0, 2 * 0.952574 - 1, 2 * 0.047426 - 1, 0])
          / 2.00001)


# --- the sampled loss -------------------------------------------------------

def test_sampled_loss_is_the_softmax_over_label_and_sample_less_log_q():
    config, batch, num_sampled = make_config(), Batch(batch=4), 20
    rng = np.random.RandomState(4)
    rows = rng.normal(size=[4, M, H])
    table = rng.normal(size=[V, H]).astype(np.float32)
    batch.label_ids = 1 + batch.label_ids % (V - 1)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.set_random_seed(1)
        loss = masked_item.sampled_item_loss(
            config, tf.constant(rows, tf.float32), tf.constant(table),
            tf.constant(batch.label_ids, tf.int32), tf.constant(batch.weights),
            num_sampled)
        sampler, = [op for op in graph.get_operations()
                    if op.type == "LogUniformCandidateSampler"]
        values = randomize(session)
        loss, drawn_for, (drawn, label_q, drawn_q) = session.run(
            [loss, sampler.inputs[0], list(sampler.outputs)])
    assert set(values) == {name for name in SHAPES if name.startswith("cls/")}
    values["bert/embeddings/word_embeddings"] = table
    real = batch.weights > 0
    logits = Oracle(config, values).logits(rows)[real]        # [K, V]
    assert drawn_for[:, 0].tolist() == (batch.label_ids[real] - 1).tolist()
    ids = drawn + 1                        # 0 is padding and never drawn
    assert len(set(ids)) == num_sampled and 1 <= ids.min() and ids.max() < V
    losses = []
    for scores, label, q in zip(logits, batch.label_ids[real], label_q[:, 0]):
        others = ids != label
        candidates = np.append(scores[label] - np.log(q),
                               (scores[ids] - np.log(drawn_q))[others])
        losses.append(-np.log(np_softmax(candidates)[0]))
    close(loss, sum(losses) / (len(losses) + 1e-5))
