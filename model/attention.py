"""The five attention forms: which maps of Q and K meet V.

Sun et al., "BERT4Rec", CIKM 2019 (the query-key map); Yu et al., "Deformable
Siamese Attention Networks", CVPR 2020 (the idea of adding query-query and
key-key maps). Shapes are named as in modeling.py.
"""

import collections
import math

import tensorflow.compat.v1 as tf

from model.layers import (
    dropout, dropout_scale, dropped_share, gather_rows, get_shape_list,
    keep_draws)

PADDED_KEY = -10000.0  # added to the logits of padded keys


def _split_heads(x, heads):
    """[B, R, N * D] -> [B, N, R, D]."""
    batch, rows, width = get_shape_list(x)
    return tf.transpose(tf.reshape(x, [batch, rows, heads, width // heads]),
                        [0, 2, 1, 3])


def _merge_heads(x):
    """[B, N, R, D] -> [B, R, N * D]."""
    batch, heads, rows, width = get_shape_list(x)
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]),
                      [batch, rows, heads * width])


def _attend(queries, keys, scale, padding):
    """The logits of one attention map, queries keys^T * scale + padding.

    Args:
        queries: float32 [B, N, R, D].
        keys: float32 [B, N, L, D].
        scale: float.
        padding: float32 [B, 1, 1, L], PADDED_KEY at padded keys, else 0.

    Returns:
        float32 [B, N, R, L], of which the map is the softmax.
    """
    return tf.matmul(queries * scale, keys, transpose_b=True) + padding


def _read_values(maps, v, dropout_rate):
    """Sums maps, each with dropout, and multiplies the sum with V once.

    Args:
        maps: list of (float32 [B, N, R, L], int): a map's logits and how
            often the map counts, each time with a dropout of its own; -1
            takes it off.
        v: float32 [B, N, L, D].
        dropout_rate: float.

    Returns:
        float32 [B, R, H].
    """
    if dropped_share(dropout_rate):
        v *= dropout_scale(dropout_rate)  # smaller than any map
        maps = [_weighted_softmax(
            logits, _keep_counts(logits, dropout_rate, copies))
                for logits, copies in maps]
    else:
        maps = [tf.nn.softmax(logits) if copies == 1
                else copies * tf.nn.softmax(logits) for logits, copies in maps]
    return _merge_heads(tf.matmul(tf.add_n(maps), v))


@tf.custom_gradient
def _weighted_softmax(logits, weights):
    """p * weights with p = softmax(logits); weights are not differentiated.

    With g the gradient that reaches the product and t = g * p * weights, the
    logits get t - p * sum(t): a pass less over the map than the derived
    gradient takes.
    """
    p = tf.nn.softmax(logits)
    product = p * weights

    def gradient(upstream):
        t = upstream * product
        return t - p * tf.reduce_sum(t, axis=-1, keepdims=True), None

    return product, gradient


def _keep_counts(like, rate, copies):
    """How many of |copies| independent dropouts keep an element, with the
    sign of copies: float32."""
    kept = [keep_draws(like, rate) for _ in range(abs(copies))]
    if len(kept) > 1:  # bytes are added faster than floats
        kept = [tf.add_n([tf.cast(keep, tf.uint8) for keep in kept])]
    counts = tf.cast(kept[0], tf.float32)
    return counts if copies > 0 else -counts


def _self_attention(x, positions, project, padding, config, dropout_rate):
    """A_xy V, the attention of BERT4Rec (Sun et al., eq. 2): [B, R, H]."""
    heads = config.num_attention_heads
    k, v = [_split_heads(y, heads) for y in project(x, ["key", "value"])]
    q, = project(x if positions is None else gather_rows(x, positions),
                 ["query"])
    q = _split_heads(q, heads)
    s_xy = _attend(q, k, 1.0 / math.sqrt(q.shape.as_list()[-1]), padding)
    return _read_values([(s_xy, 1)], v, dropout_rate)


def _cross_attention(x, positions, project, padding, config, dropout_rate):
    """The sum of query-key, query-query and key-key maps, times V: [B, R, H].

    Q and K stay whole where they serve as keys; as queries their rows at
    `positions` are enough. The maps are summed before they meet V.
    """
    heads, form = config.num_attention_heads, config.attention_form

    def as_queries(y):
        rows = y if positions is None else gather_rows(y, positions)
        return _split_heads(rows, heads)

    q, k, v = project(x, ["query", "key", "value"])
    q_rows = as_queries(q)
    q_keys, k_keys, v = [_split_heads(y, heads) for y in (q, k, v)]
    scale = 1.0 / math.sqrt(q_rows.shape.as_list()[-1])
    s_xy = _attend(q_rows, k_keys, scale, padding)
    s_xx = _attend(q_rows, q_keys, scale / 2.0, padding)
    if form == "cross_published":  # the third map is softmax(Q Q^T) again
        return _read_values([(s_xy, 1), (s_xx, 2)], v, dropout_rate)
    s_yy = _attend(as_queries(k), k_keys, scale / 2.0, padding)
    if form == "cross_difference":
        return _read_values([(s_xx, 1), (s_yy, 1), (s_xy, -1)], v, dropout_rate)
    return _read_values([(s_xy, 1), (s_xx, 1), (s_yy, 1)], v, dropout_rate)


def _gram_attention(x, positions, project, padding, config, dropout_rate):
    """concat(G V, A_xy V), the first published version: [B, R, 2 H].

    G is normalised over its rows and each entry of S^T S sums over all
    queries, padded ones too, so no row can be had without all the others:
    the rows at `positions` are taken from the finished product.
    """
    heads = config.num_attention_heads
    q, k, v = [_split_heads(y, heads)
               for y in project(x, ["query", "key", "value"])]
    scale = 1.0 / math.sqrt(q.shape.as_list()[-1])
    scores = tf.matmul(q * scale, k, transpose_b=True)        # [B, N, L, L]
    gram = tf.nn.softmax(tf.matmul(scores, scores, transpose_a=True), axis=-2)
    context = tf.concat(
        [_merge_heads(tf.matmul(dropout(gram, dropout_rate), v)),
         _read_values([(scores + padding, 1)], v, dropout_rate)], axis=-1)
    return context if positions is None else gather_rows(context, positions)


# form -> function of
#   x: float32 [B, L, H];
#   positions: int32 [B, R], the rows that are read, or None for all (R = L);
#   project: function, (float32 [B, rows, H], names of dense layers) -> list of
#       float32 [B, rows, H];
#   padding: see `_attend`; config: BertConfig; dropout_rate: float,
# which returns float32 [B, R, H], or [B, R, 2 H] of cross_gram.
ATTENTION = collections.OrderedDict([
    ("self", _self_attention), ("cross", _cross_attention),
    ("cross_published", _cross_attention),
    ("cross_difference", _cross_attention), ("cross_gram", _gram_attention)])
