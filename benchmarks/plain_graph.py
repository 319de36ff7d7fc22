"""The model written the plain way: the yardstick of speed, and an oracle.

Fixed length L, every layer at every position, three probability maps each
multiplied with V, all M slots through a one-hot log-softmax, dropout by
`tf.nn.dropout`, a dense layer for each of Q, K and V. It creates the same
variables as modeling.py and shares none of its code but the configuration.
"""

import math

import tensorflow.compat.v1 as tf


def _dense(x, name, units, config, activation=None):
    with tf.variable_scope(name):
        kernel = tf.get_variable(
            "kernel", [x.shape.as_list()[-1], units],
            initializer=tf.truncated_normal_initializer(
                stddev=config.initializer_range))
        bias = tf.get_variable("bias", [units],
                               initializer=tf.zeros_initializer())
    y = tf.tensordot(x, kernel, 1) + bias
    return y if activation is None else activation(y)


def _layer_norm(x):
    with tf.variable_scope("LayerNorm"):
        beta = tf.get_variable("beta", [x.shape.as_list()[-1]],
                               initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [x.shape.as_list()[-1]],
                                initializer=tf.ones_initializer())
    mean = tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), -1, keepdims=True)
    return gamma * (x - mean) / tf.sqrt(variance + 1e-12) + beta


def _gelu(x):
    return 0.5 * x * (1.0 + tf.erf(x / math.sqrt(2.0)))


def _dropout(x, rate):
    return tf.nn.dropout(x, rate=rate) if rate else x


def _attention(x, mask, config, rate):
    """Three maps, each multiplied with V; forms self and the cross_* sums."""
    heads = config.num_attention_heads
    width = config.hidden_size // heads
    length = x.shape.as_list()[1]

    def split(y):
        return tf.transpose(tf.reshape(y, [-1, length, heads, width]),
                            [0, 2, 1, 3])

    q, k, v = [split(_dense(x, name, config.hidden_size, config))
               for name in ("query", "key", "value")]
    adder = (1.0 - tf.cast(mask[:, None, None, :], tf.float32)) * -10000.0

    def product(a, b, scale):
        probabilities = tf.nn.softmax(
            tf.matmul(a, b, transpose_b=True) * scale + adder)
        return tf.matmul(_dropout(probabilities, rate), v)

    root = 1.0 / math.sqrt(width)
    xy = product(q, k, root)
    if config.attention_form == "self":
        context = xy
    else:
        xx = product(q, q, root / 2.0)
        yy = (product(q, q, root / 2.0)
              if config.attention_form == "cross_published"
              else product(k, k, root / 2.0))
        context = (xx + yy - xy if config.attention_form == "cross_difference"
                   else xy + xx + yy)
    return tf.reshape(tf.transpose(context, [0, 2, 1, 3]),
                      [-1, length, config.hidden_size])


def loss(config, is_training, features):
    """The masked-item loss of a batch: float32 scalar.

    Args:
        config: modeling.BertConfig, of any form but cross_gram.
        is_training: bool; dropout is on when True.
        features: dict of [B, L] and [B, M] tensors, L and M static.
    """
    hidden_rate = config.hidden_dropout_prob if is_training else 0.0
    map_rate = config.attention_probs_dropout_prob if is_training else 0.0
    ids, mask = features["input_ids"], features["input_mask"]
    length = ids.shape.as_list()[1]

    def table(name, rows):
        return tf.get_variable(
            name, [rows, config.hidden_size],
            initializer=tf.truncated_normal_initializer(
                stddev=config.initializer_range))

    with tf.variable_scope("bert"):
        with tf.variable_scope("embeddings"):
            words = table("word_embeddings", config.vocab_size)
            types = table("token_type_embeddings", config.type_vocab_size)
            places = table("position_embeddings",
                           config.max_position_embeddings)
            x = tf.gather(words, ids) + tf.gather(types, tf.zeros_like(ids))
            x = _dropout(_layer_norm(x + places[:length]), hidden_rate)
        for index in range(config.num_hidden_layers):
            with tf.variable_scope("encoder/layer_%d" % index):
                with tf.variable_scope("attention"):
                    with tf.variable_scope("self"):
                        context = _attention(x, mask, config, map_rate)
                    with tf.variable_scope("output"):
                        x = _layer_norm(x + _dropout(_dense(
                            context, "dense", config.hidden_size, config),
                            hidden_rate))
                with tf.variable_scope("intermediate"):
                    y = _dense(x, "dense", config.intermediate_size, config,
                               _gelu)
                with tf.variable_scope("output"):
                    x = _layer_norm(x + _dropout(_dense(
                        y, "dense", config.hidden_size, config), hidden_rate))

    slots = tf.one_hot(features["masked_lm_positions"], length)  # [B, M, L]
    x = tf.reshape(tf.matmul(slots, x), [-1, config.hidden_size])
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            x = _layer_norm(_dense(x, "dense", config.hidden_size, config,
                                   _gelu))
        bias = tf.get_variable("output_bias", [config.vocab_size],
                               initializer=tf.zeros_initializer())
    log_probs = tf.nn.log_softmax(tf.matmul(x, words, transpose_b=True) + bias)
    labels = tf.one_hot(tf.reshape(features["masked_lm_ids"], [-1]),
                        config.vocab_size)
    losses = -tf.reduce_sum(log_probs * labels, axis=-1)
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    return tf.reduce_sum(losses * weights) / (tf.reduce_sum(weights) + 1e-5)
