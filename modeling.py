"""The BERT encoder of BERT4Rec with cross-attention, and its masked-item head.

Sun et al., "BERT4Rec", CIKM 2019 (the encoder and the cloze objective);
Devlin et al., "BERT", NAACL 2019 (post-layer-norm layers, variable names);
Yu et al., "Deformable Siamese Attention Networks", CVPR 2020 (the idea of
adding query-query and key-key maps).

Scalar dimensions, wherever a comment gives a shape:
    B batch, L sequence length, M masked positions, R rows that are read
    (L, or M in the last layer), N heads, D head width, H hidden = N * D,
    V vocabulary.
"""

import collections
import json
import math
import numbers

import six
import tensorflow.compat.v1 as tf

ATTENTION_FORMS = ("self", "cross", "cross_published", "cross_difference",
                   "cross_gram")
LAYER_NORM_EPSILON = 1e-12
CHUNK_SCORES = 2 ** 22  # scores that the training loss holds at a time: 16 MiB
MIN_CHUNK = 256         # positions at a time, however large the vocabulary
PADDED_KEY = -10000.0  # added to the logits of padded keys


# --- configuration ----------------------------------------------------------

@tf.custom_gradient
def _gelu(x):
    """Gaussian error linear unit, x Phi(x) (Hendrycks & Gimpel, 2016).

    Its gradient is Phi(x) + x phi(x), with phi the normal density; written
    out, it takes fewer passes over memory than the derived one.
    """
    cdf = 0.5 + 0.5 * tf.erf(x / math.sqrt(2.0))

    def gradient(upstream):
        density = tf.exp(-0.5 * tf.square(x)) / math.sqrt(2.0 * math.pi)
        return upstream * (cdf + x * density)

    return x * cdf, gradient


ACTIVATIONS = {"gelu": _gelu, "relu": tf.nn.relu, "tanh": tf.tanh,
               "linear": tf.identity}


def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) \
        and value >= 1


def _is_probability(value):
    return _is_number(value) and 0.0 <= value < 1.0


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


# key -> (test of a value, what a value must be)
_CONFIG_RULES = {
    "vocab_size": (lambda v: v is None or _is_count(v),
                   "a positive integer, or left out"),
    "hidden_size": (_is_count, "a positive integer"),
    "num_hidden_layers": (_is_count, "a positive integer"),
    "num_attention_heads": (_is_count, "a positive integer"),
    "intermediate_size": (_is_count, "a positive integer"),
    "hidden_act": (lambda v: isinstance(v, six.string_types)
                   and v in ACTIVATIONS,
                   "one of " + ", ".join(sorted(ACTIVATIONS))),
    "hidden_dropout_prob": (_is_probability, "a number in [0, 1)"),
    "attention_probs_dropout_prob": (_is_probability, "a number in [0, 1)"),
    "max_position_embeddings": (_is_count, "a positive integer"),
    "type_vocab_size": (_is_count, "a positive integer"),
    "initializer_range": (lambda v: _is_number(v) and v > 0,
                          "a positive number"),
    "attention_form": (lambda v: v in ATTENTION_FORMS,
                       "one of " + ", ".join(ATTENTION_FORMS)),
}


class BertConfig(object):
    """The model's sizes, rates and attention form, checked.

    vocab_size may be None until the vocabulary is known.
    """

    def __init__(self, vocab_size=None, hidden_size=768, num_hidden_layers=12,
                 num_attention_heads=12, intermediate_size=3072,
                 hidden_act="gelu", hidden_dropout_prob=0.1,
                 attention_probs_dropout_prob=0.1, max_position_embeddings=512,
                 type_vocab_size=16, initializer_range=0.02,
                 attention_form="cross_published"):
        """Raises ValueError with the key and the value of what does not fit."""
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.attention_form = attention_form
        for key, (fits, wanted) in sorted(_CONFIG_RULES.items()):
            value = getattr(self, key)
            if not fits(value):
                raise ValueError("model config: %s is %r; it must be %s"
                                 % (key, value, wanted))
        if hidden_size % num_attention_heads:
            raise ValueError(
                "model config: hidden_size %d is not a multiple of "
                "num_attention_heads %d; change one of them"
                % (hidden_size, num_attention_heads))

    @classmethod
    def from_dict(cls, json_object):
        """BertConfig of a dict; ValueError on an unknown key or a bad value."""
        unknown = sorted(set(json_object) - set(_CONFIG_RULES))
        if unknown:
            raise ValueError(
                "model config: unknown key %r (value %r); the keys are %s"
                % (unknown[0], json_object[unknown[0]],
                   ", ".join(sorted(_CONFIG_RULES))))
        return cls(**{str(key): value for key, value in json_object.items()})

    @classmethod
    def from_json_file(cls, json_file):
        """BertConfig of a JSON file; ValueError names the file and the fault."""
        with open(json_file) as stream:
            text = stream.read()
        try:
            json_object = json.loads(text)
            if not isinstance(json_object, dict):
                raise ValueError("model config: not a JSON object")
            return cls.from_dict(json_object)
        except ValueError as error:  # json's errors are ValueErrors too
            raise ValueError("%s: %s" % (json_file, error))

    def to_dict(self):
        """dict, key -> value; a vocab_size that is not known yet is left out."""
        return {key: value for key, value in self.__dict__.items()
                if value is not None}

    def to_json_string(self):
        """str, JSON with sorted keys and a final newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"


# --- building blocks --------------------------------------------------------

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


def _dense(x, names, units, initializer_range):
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


def _layer_norm(x):
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


def _dropped_share(rate):
    """The 256ths that a dropout of this rate drops: int, 0 .. 255."""
    return min(255, int(round(256 * rate)))


def _dropout_scale(rate):
    """What keeps the mean, for the rate as rounded to a 256th."""
    return 256.0 / (256 - _dropped_share(rate))


def _keep(like, rate):
    """Independent draws, False with probability `rate`: bool, like's shape.

    Random numbers are the largest single cost of training on a CPU, so each
    draw takes one byte of a random 64-bit integer and not a float. The rate is
    rounded to a 256th (0.1 is 26/256, 0.2 is 51/256).
    """
    size = tf.size(like)
    words = tf.random.uniform([(size + 7) // 8], minval=tf.int64.min,
                              maxval=tf.int64.max, dtype=tf.int64)
    draws = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
    return tf.reshape(draws, tf.shape(like)) >= _dropped_share(rate)


def _dropout(x, rate):
    """Inverted dropout (Srivastava et al., 2014); its expectation is x.

    A rate that rounds to 0 adds no op.
    """
    if not _dropped_share(rate):
        return x
    return x * (tf.cast(_keep(x, rate), tf.float32) * _dropout_scale(rate))


def gather_rows(x, positions):
    """Rows of each sequence: [B, L, width], int32 [B, R] -> [B, R, width]."""
    batch, length, width = get_shape_list(x)
    first_rows = tf.reshape(tf.range(batch) * length, [-1, 1])
    flat = tf.gather(tf.reshape(x, [-1, width]), positions + first_rows)
    return tf.reshape(flat, get_shape_list(positions) + [width])


# --- attention --------------------------------------------------------------

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
    if _dropped_share(dropout_rate):
        v *= _dropout_scale(dropout_rate)  # smaller than any map
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
    kept = [_keep(like, rate) for _ in range(abs(copies))]
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
        [_merge_heads(tf.matmul(_dropout(gram, dropout_rate), v)),
         _read_values([(scores + padding, 1)], v, dropout_rate)], axis=-1)
    return context if positions is None else gather_rows(context, positions)


_ATTENTION = {"self": _self_attention, "cross": _cross_attention,
              "cross_published": _cross_attention,
              "cross_difference": _cross_attention,
              "cross_gram": _gram_attention}


# --- encoder ----------------------------------------------------------------

def _encoder_layer(x, positions, padding, config, is_training):
    """One post-layer-norm transformer layer (Vaswani et al., 2017).

    Args:
        x: float32 [B, L, H].
        positions: int32 [B, R], the rows that are read, or None for all.
        padding: see `_attend`.
        config: BertConfig.
        is_training: bool; dropout is for training alone.

    Returns:
        float32 [B, R, H].
    """
    attention_rate = config.attention_probs_dropout_prob if is_training else 0.0
    hidden_rate = config.hidden_dropout_prob if is_training else 0.0
    hidden = config.hidden_size

    def project(y, names, units=hidden):
        return _dense(y, names, units, config.initializer_range)

    with tf.variable_scope("attention"):
        with tf.variable_scope("self"):
            context = _ATTENTION[config.attention_form](
                x, positions, project, padding, config, attention_rate)
        with tf.variable_scope("output"):
            rows = x if positions is None else gather_rows(x, positions)
            attended, = project(context, ["dense"])
            attended = _layer_norm(_dropout(attended, hidden_rate) + rows)
    with tf.variable_scope("intermediate"):
        intermediate, = project(attended, ["dense"], config.intermediate_size)
        intermediate = ACTIVATIONS[config.hidden_act](intermediate)
    with tf.variable_scope("output"):
        output, = project(intermediate, ["dense"])
        return _layer_norm(_dropout(output, hidden_rate) + attended)


class BertModel(object):
    """BERT encoder with cross-attention.

        model = BertModel(config, is_training=True, input_ids=input_ids,
                          input_mask=input_mask)
        model.get_sequence_output()  # float32 [B, L, H]
    """

    def __init__(self, config, is_training, input_ids, input_mask=None,
                 token_type_ids=None, scope=None, output_positions=None):
        """Builds the encoder in the current graph.

        Args:
            config: BertConfig with a vocab_size.
            is_training: bool; dropout is off when False.
            input_ids: int32 [B, L].
            input_mask: int32 [B, L], 1 for items, 0 for padding; all ones by
                default.
            token_type_ids: int32 [B, L]; all zeros by default.
            scope: str, the variable scope; "bert" by default.
            output_positions: int32 [B, M], the only positions that will be
                read (through `get_rows_output`). The last layer then has
                queries, attention rows and feed-forward for those alone.

        Raises:
            ValueError: L is static and above max_position_embeddings.
        """
        self._config = config
        self._is_training = is_training
        self._positions = output_positions
        self._sequence_output = None
        length = input_ids.shape.as_list()[1]
        if length is not None and length > config.max_position_embeddings:
            raise ValueError(
                "the sequence length %d is above max_position_embeddings %d "
                "of the model config; shorten the sequences or write a larger "
                "number there" % (length, config.max_position_embeddings))
        if input_mask is None:
            input_mask = tf.ones_like(input_ids)
        self._padding = (1.0 - tf.cast(input_mask, tf.float32)[
            :, tf.newaxis, tf.newaxis, :]) * PADDED_KEY     # [B, 1, 1, L]

        with tf.variable_scope(scope, default_name="bert") as self._scope:
            self._embed(input_ids, token_type_ids)
            self._layers = []
            output = self._embedding_output
            for index in range(config.num_hidden_layers - 1):
                output = self._layer(index, output, None)
                self._layers.append(output)
            self._last_input = output
            if output_positions is None:
                self._rows_output = None
                self.get_sequence_output()
            else:
                self._rows_output = self._layer(
                    config.num_hidden_layers - 1, output, output_positions)

    def _embed(self, input_ids, token_type_ids):
        """Word + token type + position embeddings, LayerNorm, dropout."""
        config = self._config

        def table(name, rows):
            return tf.get_variable(
                name, [rows, config.hidden_size],
                initializer=create_initializer(config.initializer_range))

        with tf.variable_scope("embeddings"):
            self._embedding_table = table("word_embeddings", config.vocab_size)
            types = table("token_type_embeddings", config.type_vocab_size)
            places = table("position_embeddings",
                           config.max_position_embeddings)
            output = tf.gather(self._embedding_table, input_ids)  # [B, L, H]
            output += (types[0] if token_type_ids is None
                       else tf.gather(types, token_type_ids))
            output += places[:get_shape_list(input_ids)[1]]
            self._embedding_output = _dropout(
                _layer_norm(output),
                config.hidden_dropout_prob if self._is_training else 0.0)

    def _layer(self, index, x, positions):
        with tf.variable_scope("encoder/layer_%d" % index,
                               reuse=tf.AUTO_REUSE):
            return _encoder_layer(x, positions, self._padding, self._config,
                                  self._is_training)

    def get_sequence_output(self):
        """float32 [B, L, H], the last layer at every position."""
        if self._sequence_output is None:
            with tf.variable_scope(self._scope, auxiliary_name_scope=False):
                self._sequence_output = self._layer(
                    self._config.num_hidden_layers - 1, self._last_input, None)
        return self._sequence_output

    def get_rows_output(self):
        """float32 [B, M, H], the last layer at `output_positions`."""
        if self._rows_output is None:
            raise ValueError("get_rows_output() needs a model built with "
                             "output_positions")
        return self._rows_output

    def get_all_encoder_layers(self):
        """list of float32 [B, L, H], one a layer."""
        return self._layers + [self.get_sequence_output()]

    def get_embedding_output(self):
        """float32 [B, L, H], what the first layer reads."""
        return self._embedding_output

    def get_embedding_table(self):
        """float32 [V, H], the word embeddings."""
        return self._embedding_table


def encode_masked_rows(config, is_training, features, groups=1):
    """Encodes a batch and reads its masked positions.

    With several groups the batch is sorted by length and encoded in as many
    parts, each cut to its own longest sequence: less padding is computed, and
    the batch, its loss and its gradient stay what they were. Not for
    cross_gram, whose scores read padded positions.

    Args:
        config: BertConfig.
        is_training: bool.
        features: dict of int32 [B, L] and [B, M] tensors, weights float32.
        groups: int; some are empty where the batch is smaller.

    Returns:
        (rows, float32 [B, M, H]; embedding table, float32 [V, H];
         label ids, int32 [B, M]; label weights, float32 [B, M]), in the
        order of the batch.
    """
    inputs = [features[name] for name in (
        "input_ids", "input_mask", "masked_lm_positions")]
    if groups > 1:
        order = tf.argsort(tf.reduce_sum(features["input_mask"], axis=1),
                           stable=True)
        inputs = [tf.gather(value, order) for value in inputs]
    batch, rows = get_shape_list(features["input_ids"])[0], []
    for group in range(groups):
        ids, mask, positions = [
            value[group * batch // groups:(group + 1) * batch // groups]
            for value in inputs]
        if groups > 1:
            longest = tf.reduce_max(tf.reduce_sum(mask, axis=1))
            ids, mask = ids[:, :longest], mask[:, :longest]
        with tf.variable_scope(tf.get_variable_scope(), reuse=group > 0):
            model = BertModel(config, is_training, ids, mask, scope="bert",
                              output_positions=positions)
        rows.append(model.get_rows_output())
    rows = tf.concat(rows, axis=0)
    if groups > 1:
        rows = tf.gather(rows, tf.invert_permutation(order))
    return (rows, model.get_embedding_table(), features["masked_lm_ids"],
            features["masked_lm_weights"])


# --- masked-item head -------------------------------------------------------

def _transform(config, hidden):
    """The head's dense layer, and its output bias: [K, H], [V]."""
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            hidden, = _dense(hidden, ["dense"], config.hidden_size,
                             config.initializer_range)
            hidden = _layer_norm(ACTIVATIONS[config.hidden_act](hidden))
        bias = tf.get_variable("output_bias", [config.vocab_size],
                               initializer=tf.zeros_initializer())
    return hidden, bias


def _real_positions(rows, label_ids, label_weights):
    """Drops the padded positions: [B, M, ...] three times -> [K, ...]."""
    real = tf.where(label_weights > 0.0)                        # [K, 2]
    return [tf.gather_nd(x, real) for x in (rows, label_ids, label_weights)]


def _weighted_mean(losses, weights):
    """sum w ce / (sum w + 1e-5)."""
    return tf.reduce_sum(weights * losses) / (tf.reduce_sum(weights) + 1e-5)


def masked_item_loss(config, rows, embedding_table, label_ids, label_weights):
    """Mean cross-entropy over the real masked positions.

    The scores are those of Sun et al., eq. 7, against the tied embeddings.
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
    hidden, bias = _transform(config, hidden)
    logits = tf.nn.bias_add(
        tf.matmul(hidden, embedding_table, transpose_b=True), bias)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits)
    return _weighted_mean(losses, weights), losses, logits, labels, weights


def chunked_item_loss(config, rows, embedding_table, label_ids, label_weights):
    """`masked_item_loss` for training: [K, V] never exists as a whole.

    Some hundred positions at a time are scored and their part of the loss
    and of its gradient added up, so memory does not grow with K * V, and the
    scores stay in the processor's cache. The result is the same.

    Args: as `masked_item_loss`.

    Returns:
        loss, float32 scalar; it can be differentiated once.
    """
    hidden, labels, weights = _real_positions(rows, label_ids, label_weights)
    hidden, bias = _transform(config, hidden)
    # The bias rides in the product, as a column that meets a 1: adding it to
    # the scores, and its gradient, would each be a pass over memory.
    hidden = tf.concat([hidden, tf.ones_like(hidden[:, :1])], axis=1)
    table = tf.concat([embedding_table, bias[:, tf.newaxis]], axis=1)
    shares = weights / (tf.reduce_sum(weights) + 1e-5)
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
                      num_sampled):
    """The masked-item loss over a sample of the vocabulary, for training.

    The softmax runs over the label and `num_sampled` ids, drawn once a batch
    without replacement, log-uniformly: ids are in descending frequency, so
    the draw follows a Zipf-like popularity. log Q is taken off each score,
    which makes the loss approach the full one (Bengio & Senecal, 2008; Jean
    et al., ACL 2015, section 3), and a label drawn by accident is no negative.

    Args:
        num_sampled: int, at most V - 1; the rest as `masked_item_loss`.

    Returns:
        loss, float32 scalar.
    """
    hidden, labels, weights = _real_positions(rows, label_ids, label_weights)
    hidden, bias = _transform(config, hidden)
    labels = tf.cast(labels[:, tf.newaxis], tf.int64)           # [K, 1]
    # The sampler counts from 0, which is padding and never drawn here.
    ids, label_counts, id_counts = tf.random.log_uniform_candidate_sampler(
        labels - 1, num_true=1, num_sampled=num_sampled, unique=True,
        range_max=config.vocab_size - 1)
    losses = tf.nn.sampled_softmax_loss(
        embedding_table, bias, labels, hidden, num_sampled, config.vocab_size,
        sampled_values=(ids + 1, label_counts, id_counts))
    return _weighted_mean(losses, weights)


# --- checkpoints ------------------------------------------------------------

def checkpoint_mismatch(config, shapes):
    """What keeps a checkpoint from fitting a model config.

    Args:
        config: BertConfig with a vocab_size.
        shapes: dict, variable name -> list of int, as a checkpoint holds.

    Returns:
        str, the first difference, or None when the checkpoint fits.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    attended = 2 * hidden if config.attention_form == "cross_gram" else hidden
    expected = collections.OrderedDict([
        ("bert/embeddings/word_embeddings", [config.vocab_size, hidden]),
        ("bert/embeddings/position_embeddings",
         [config.max_position_embeddings, hidden]),
        ("bert/embeddings/token_type_embeddings",
         [config.type_vocab_size, hidden])])
    for index in range(layers):
        layer = "bert/encoder/layer_%d/" % index
        expected[layer + "attention/output/dense/kernel"] = [attended, hidden]
        expected[layer + "intermediate/dense/kernel"] = [
            hidden, config.intermediate_size]
    for name, shape in six.iteritems(expected):
        found = shapes.get(name)
        if found != shape:
            return "its %s is %s, the model config makes it %s" % (
                name, "missing" if found is None else found, shape)
    beyond = "bert/encoder/layer_%d/" % layers
    if any(name.startswith(beyond) for name in shapes):
        return "it has more than the %d layers of the model config" % layers
    return None
