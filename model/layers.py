"""What encoder and head are built of: dense, layer norm, dropout, activations.

Shapes are named as in modeling.py.
"""

import math

import tensorflow.compat.v1 as tf

LAYER_NORM_EPSILON = 1e-12


def get_shape_list(tensor):
    """The shape as a list: ints where static, int32 scalar tensors elsewhere."""
    static = tensor.shape.as_list()
    if None not in static:
        return static
    dynamic = tf.shape(tensor)
    return [dynamic[i] if size is None else size
            for i, size in enumerate(static)]


def create_initializer(initializer_range):
    """Truncated normal of this standard deviation."""
    return tf.truncated_normal_initializer(stddev=initializer_range)


def dense(x, names, units, initializer_range):
    """Dense layers of one input, as a single matrix product.

    Args:
        x: float32 [..., width].
        names: list of str, the layers' variable scopes.
        units: int, the width of each layer's output.
        initializer_range: float.

    Returns:
        list of float32 [..., units], one a name.
    """
    outer, width = get_shape_list(x)[:-1], x.shape.as_list()[-1]
    kernels, biases = [], []
    for name in names:
        with tf.variable_scope(name):
            kernels.append(tf.get_variable(
                "kernel", [width, units],
                initializer=create_initializer(initializer_range)))
            biases.append(tf.get_variable("bias", [units],
                                          initializer=tf.zeros_initializer()))
    if len(names) > 1:
        kernels, biases = [tf.concat(kernels, axis=1)], [tf.concat(biases, 0)]
    product = tf.nn.bias_add(
        tf.matmul(tf.reshape(x, [-1, width]), kernels[0]), biases[0])
    return tf.split(tf.reshape(product, outer + [len(names) * units]),
                    len(names), axis=-1)


def layer_norm(x):
    """Layer normalisation over the last axis (Ba et al., 2016)."""
    width = x.shape.as_list()[-1]
    with tf.variable_scope("LayerNorm"):
        beta = tf.get_variable("beta", [width],
                               initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [width],
                                initializer=tf.ones_initializer())
    return _standardize(x) * gamma + beta


@tf.custom_gradient
def _standardize(x):
    """(x - mean) / sqrt(variance + epsilon) over the last axis.

    With y the result and g the gradient that reaches it, x gets
    (g - mean(g) - y mean(g y)) / sqrt(variance + epsilon): fewer passes over
    memory than the derived gradient takes.
    """
    def mean(z):
        return tf.reduce_mean(z, axis=-1, keepdims=True)

    centred = x - mean(x)
    scale = tf.rsqrt(mean(tf.square(centred)) + LAYER_NORM_EPSILON)
    y = centred * scale

    def gradient(upstream):
        return scale * (upstream - mean(upstream) - y * mean(upstream * y))

    return y, gradient


def dropped_share(rate):
    """The 256ths that a dropout of this rate drops: int, 0 .. 255."""
    return min(255, int(round(256 * rate)))


def dropout_scale(rate):
    """What keeps the mean, for the rate as rounded to a 256th."""
    return 256.0 / (256 - dropped_share(rate))


def keep_draws(like, rate):
    """Independent draws, False with probability `rate`: bool, like's shape.

    Random numbers are the largest single cost of training on a CPU, so each
    draw takes one byte of a random 64-bit integer and not a float. The rate is
    rounded to a 256th (0.1 is 26/256, 0.2 is 51/256).
    """
    size = tf.size(like)
    words = tf.random.uniform([(size + 7) // 8], minval=tf.int64.min,
                              maxval=tf.int64.max, dtype=tf.int64)
    draws = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
    return tf.reshape(draws, tf.shape(like)) >= dropped_share(rate)


def dropout(x, rate):
    """Inverted dropout (Srivastava et al., 2014); its expectation is x.

    A rate that rounds to 0 adds no op.
    """
    if not dropped_share(rate):
        return x
    return x * (tf.cast(keep_draws(x, rate), tf.float32) * dropout_scale(rate))


def gather_rows(x, positions):
    """Rows of each sequence: [B, L, width], int32 [B, R] -> [B, R, width]."""
    batch, length, width = get_shape_list(x)
    first_rows = tf.reshape(tf.range(batch) * length, [-1, 1])
    flat = tf.gather(tf.reshape(x, [-1, width]), positions + first_rows)
    return tf.reshape(flat, get_shape_list(positions) + [width])


# --- activations ------------------------------------------------------------

@tf.custom_gradient
def gelu(x):
    """Gaussian error linear unit, x Phi(x) (Hendrycks & Gimpel, 2016).

    Its gradient is Phi(x) + x phi(x), with phi the normal density; written
    out, it takes fewer passes over memory than the derived one.
    """
    cdf = 0.5 + 0.5 * tf.erf(x / math.sqrt(2.0))

    def gradient(upstream):
        density = tf.exp(-0.5 * tf.square(x)) / math.sqrt(2.0 * math.pi)
        return upstream * (cdf + x * density)

    return x * cdf, gradient


ACTIVATIONS = {"gelu": gelu, "relu": tf.nn.relu, "tanh": tf.tanh,
               "linear": tf.identity}
