"""Gradients that are written out, against those that TensorFlow derives."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from model import attention, layers
from tiny_model import close


# --- gradients written out --------------------------------------------------

def plain_gelu(x):
    return 0.5 * x * (1.0 + tf.erf(x / np.sqrt(2.0)))


def plain_standardize(x):
    mean, variance = tf.nn.moments(x, axes=[-1], keep_dims=True)
    return (x - mean) / tf.sqrt(variance + 1e-12)


@pytest.mark.parametrize("written_out, plain, others", [
    (layers.gelu, plain_gelu, 0),
    (layers._standardize, plain_standardize, 0),
    (attention._weighted_softmax, lambda x, w: w * tf.nn.softmax(x), 1)],
    ids=["gelu", "standardize", "weighted-softmax"])
def test_gradients_written_out_are_those_that_tensorflow_derives(
        written_out, plain, others):
    rng = np.random.RandomState(8)
    arguments = [3.0 * rng.randn(5, 7).astype(np.float32)]
    arguments += [rng.randint(-1, 3, (5, 7)).astype(np.float32)] * others
    upstream = rng.randn(5, 7).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        x = [tf.constant(argument) for argument in arguments]
        ours, theirs = [
            (y, tf.gradients(y, x[0], upstream)[0])
            for y in (written_out(*x), plain(*x))]
        (value, gradient), (wanted, wanted_gradient) = session.run(
            [ours, theirs])
    close(value, wanted, atol=1e-6)
    close(gradient, wanted_gradient, atol=1e-5)
    assert np.abs(wanted_gradient).max() > 0.1


# --- dropout ----------------------------------------------------------------

def test_the_highest_rate_keeps_one_in_256_and_the_mean():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        dropped = session.run(layers.dropout(tf.ones([99, 1001]), 255 / 256.0))
    assert set(dropped.ravel().tolist()) == {0.0, 256.0}
    assert abs(dropped.mean() - 1.0) < 0.3          # six standard deviations
