"""The masked-item head and its losses (Sun et al., CIKM 2019, section 3.6).

Shapes are named as in modeling.py; K counts the real masked positions.
"""

import tensorflow.compat.v1 as tf

from model.layers import ACTIVATIONS, dense, layer_norm

CHUNK_SCORES = 2 ** 22  # scores that the training loss holds at a time: 16 MiB
MIN_CHUNK = 256         # positions at a time, however large the vocabulary


def _transform(config, hidden, output_bias=None):
    """The head's dense layer, and its output bias: [K, H], [V].

    The bias starts at the values `output_bias`, float array [V], or at 0.
    """
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            hidden, = dense(hidden, ["dense"], config.hidden_size,
                             config.initializer_range)
            hidden = layer_norm(ACTIVATIONS[config.hidden_act](hidden))
        bias = tf.get_variable(
            "output_bias", [config.vocab_size],
            initializer=tf.zeros_initializer() if output_bias is None
            else tf.constant_initializer(output_bias))
    return hidden, bias


def _real_positions(rows, label_ids, label_weights):
    """Drops the padded positions: [B, M, ...] three times -> [K, ...]."""
    real = tf.where(label_weights > 0.0)                        # [K, 2]
    return [tf.gather_nd(x, real) for x in (rows, label_ids, label_weights)]


def _total(weights):
    """sum w + 1e-5.

    Of a replica under tf.distribute it is the mean over the replicas, so that
    the mean of their losses is the loss of the whole batch.
    """
    total = tf.reduce_sum(weights)
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync > 1:
        total = replica.all_reduce(tf.distribute.ReduceOp.MEAN, total)
    return total + 1e-5 / replica.num_replicas_in_sync


def _weighted_mean(losses, weights):
    """sum w ce / (sum w + 1e-5)."""
    return tf.reduce_sum(weights * losses) / _total(weights)


def item_scores(config, hidden, embedding_table):
    """Scores of every id at each position (Sun et al., eq. 7).

    Args:
        config: BertConfig.
        hidden: float32 [K, H], encoder outputs.
        embedding_table: float32 [V, H], tied.

    Returns:
        float32 [K, V].
    """
    hidden, bias = _transform(config, hidden)
    return tf.nn.bias_add(
        tf.matmul(hidden, embedding_table, transpose_b=True), bias)


def masked_item_loss(config, rows, embedding_table, label_ids, label_weights):
    """Mean cross-entropy over the real masked positions.

    Padded positions (weight 0) are dropped before the softmax over the
    vocabulary, which is the dearest part of the loss.

    Args:
        config: BertConfig.
        rows: float32 [B, M, H], encoder outputs at the masked positions.
        embedding_table: float32 [V, H].
        label_ids: int32 [B, M].
        label_weights: float32 [B, M].

    Returns:
        (loss, float32 scalar: sum w ce / (sum w + 1e-5);
         example losses, float32 [K], with K the positions of weight > 0;
         logits, float32 [K, V]; labels, int32 [K]; weights, float32 [K]).
    """
    hidden, labels, weights = _real_positions(rows, label_ids, label_weights)
    logits = item_scores(config, hidden, embedding_table)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits)
    return _weighted_mean(losses, weights), losses, logits, labels, weights


def chunked_item_loss(config, rows, embedding_table, label_ids, label_weights,
                      output_bias=None):
    """`masked_item_loss` for training: [K, V] never exists as a whole.

    Some hundred positions at a time are scored and their part of the loss
    and of its gradient added up, so memory does not grow with K * V, and the
    scores stay in the processor's cache. The result is the same.

    Args:
        output_bias: float array [V], the first values of the bias; None: 0.
        The rest as `masked_item_loss`.

    Returns:
        loss, float32 scalar; it can be differentiated once.
    """
    hidden, labels, weights = _real_positions(rows, label_ids, label_weights)
    hidden, bias = _transform(config, hidden, output_bias)
    # The bias rides in the product, as a column that meets a 1: adding it to
    # the scores, and its gradient, would each be a pass over memory.
    hidden = tf.concat([hidden, tf.ones_like(hidden[:, :1])], axis=1)
    table = tf.concat([embedding_table, bias[:, tf.newaxis]], axis=1)
    shares = weights / _total(weights)
    return _chunked_cross_entropy(hidden, table, labels, shares)


@tf.custom_gradient
def _chunked_cross_entropy(hidden, table, labels, shares):
    """sum share * ce, with its gradients made in the same pass.

    With scores s = hidden table^T, p = softmax(s) and y the label's one-hot
    row: ce = logsumexp(s) - s_y, and d ce / d s = p - y.

    Args:
        hidden: float32 [K, H + 1].
        table: float32 [V, H + 1].
        labels: int32 [K].
        shares: float32 [K], what each position counts; not differentiated.

    Returns:
        (float32 scalar, gradient function).
    """
    vocab_size, width = table.shape.as_list()
    chunk = max(MIN_CHUNK, CHUNK_SCORES // vocab_size)
    count = tf.shape(hidden)[0]

    def add_chunk(start, loss, hidden_grads, table_grad):
        end = tf.minimum(start + chunk, count)
        x, label = hidden[start:end], labels[start:end]
        share = shares[start:end, tf.newaxis]                   # [chunk, 1]
        label_rows = tf.gather(table, label)                    # y table
        scores = tf.matmul(x, table, transpose_b=True)          # [chunk, V]
        top = tf.reduce_max(scores, axis=1, keepdims=True)
        exps = tf.exp(scores - top)
        total = tf.reduce_sum(exps, axis=1, keepdims=True)
        losses = tf.log(total) + top - tf.reduce_sum(
            x * label_rows, axis=1, keepdims=True)
        scaled = share / total                                  # p = exps / total
        hidden_grad = tf.matmul(exps, table) * scaled - share * label_rows
        table_grad += tf.matmul(exps, x * scaled, transpose_a=True)
        table_grad -= tf.math.unsorted_segment_sum(share * x, label, vocab_size)
        return (end, loss + tf.reduce_sum(share * losses),
                hidden_grads.write(start // chunk, hidden_grad), table_grad)

    hidden_grads = tf.TensorArray(
        tf.float32, size=(count + chunk - 1) // chunk, infer_shape=False,
        element_shape=[None, width])
    _, loss, hidden_grads, table_grad = tf.while_loop(
        lambda start, *_: start < count, add_chunk,
        (0, 0.0, hidden_grads, tf.zeros_like(table)), back_prop=False,
        parallel_iterations=1)
    hidden_grad = hidden_grads.concat()

    def gradients(upstream):
        return upstream * hidden_grad, upstream * table_grad, None, None

    return loss, gradients


def full_softmax_bytes(config):
    """About what training needs for the vocabulary: int, bytes.

    Two blocks of scores of the loss, and the embedding table with its moments,
    gradients and the copies that an update makes: thirteen of its size.
    Estimated so from peaks of 3.9 and 9.4 GB at 500,000 and 1,500,000 items
    and a width of 64, 1.2 GB of them not the vocabulary's.
    """
    return 4 * config.vocab_size * (2 * MIN_CHUNK
                                    + 13 * (config.hidden_size + 1))


def sampled_item_loss(config, rows, embedding_table, label_ids, label_weights,
                      num_sampled, output_bias=None):
    """The masked-item loss over a sample of the vocabulary, for training.

    The softmax runs over the label and `num_sampled` ids, drawn once per batch
    without replacement, log-uniformly: ids are in descending frequency, so
    the draw follows a Zipf-like popularity. log Q is taken off each score,
    which makes the loss approach the full one (Bengio & Senecal, 2008; Jean
    et al., ACL 2015, section 3), and a label drawn by accident is no negative.

    Args:
        num_sampled: int, at most V - 1.
        output_bias: as `chunked_item_loss`; the rest as `masked_item_loss`.

    Returns:
        loss, float32 scalar.
    """
    hidden, labels, weights = _real_positions(rows, label_ids, label_weights)
    hidden, bias = _transform(config, hidden, output_bias)
    labels = tf.cast(labels[:, tf.newaxis], tf.int64)           # [K, 1]
    # The sampler counts from 0, which is padding and never drawn here.
    ids, label_counts, id_counts = tf.random.log_uniform_candidate_sampler(
        labels - 1, num_true=1, num_sampled=num_sampled, unique=True,
        range_max=config.vocab_size - 1)
    losses = tf.nn.sampled_softmax_loss(
        embedding_table, bias, labels, hidden, num_sampled, config.vocab_size,
        sampled_values=(ids + 1, label_counts, id_counts))
    return _weighted_mean(losses, weights)
