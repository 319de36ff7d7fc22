"""The BERT encoder of BERT4Rec with cross-attention, and its configuration.

Sun et al., "BERT4Rec", CIKM 2019 (the encoder);
Devlin et al., "BERT", NAACL 2019 (post-layer-norm layers, variable names).

Scalar dimensions, wherever a comment gives a shape:
    B batch, L sequence length, M masked positions, R rows that are read
    (L, or M in the last layer), N heads, D head width, H hidden = N * D,
    V vocabulary.
"""

import json
import numbers
import sys

import six
import tensorflow.compat.v1 as tf

from model.attention import ATTENTION, PADDED_KEY
from model.layers import (
    ACTIVATIONS, create_initializer, dense, dropout, gather_rows,
    get_shape_list, layer_norm)

ATTENTION_FORMS = tuple(ATTENTION)
MOST_LAYERS = 1000


# --- configuration ----------------------------------------------------------

def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) \
        and value >= 1


def _is_probability(value):
    return _is_number(value) and 0.0 <= value < 1.0


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) \
        and abs(value) <= sys.float_info.max


def _is_layer_count(value):
    return _is_count(value) and value <= MOST_LAYERS


# key -> (test of a value, what a value must be)
_CONFIG_RULES = {
    "vocab_size": (lambda v: v is None or _is_count(v),
                   "a positive integer, or left out"),
    "hidden_size": (_is_count, "a positive integer"),
    "num_hidden_layers": (_is_layer_count,
                          "an integer from 1 to %d" % MOST_LAYERS),
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
        try:
            with open(json_file, "rb") as stream:  # json tells UTF-8 from -16
                json_object = json.load(stream)
        except (ValueError, RecursionError) as error:  # json raises both
            raise ValueError("%s: not JSON (%s); correct it as the model "
                             "configs in bert_train/ are written"
                             % (json_file, error))
        try:
            if not isinstance(json_object, dict):
                raise ValueError("model config: not a JSON object; write "
                                 "{key: value, ...}")
            return cls.from_dict(json_object)
        except ValueError as error:
            raise ValueError("%s: %s" % (json_file, error))

    def to_dict(self):
        """dict, key -> value; a vocab_size that is not known yet is left out."""
        return {key: value for key, value in self.__dict__.items()
                if value is not None}

    def to_json_string(self):
        """str, JSON with sorted keys and a final newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"


# --- encoder ----------------------------------------------------------------

def _encoder_layer(x, positions, padding, config, is_training):
    """One post-layer-norm transformer layer (Vaswani et al., 2017).

    Args:
        x: float32 [B, L, H].
        positions: int32 [B, R], the rows that are read, or None for all.
        padding: float32 [B, 1, 1, L], PADDED_KEY at padded keys, else 0.
        config: BertConfig.
        is_training: bool; dropout is for training alone.

    Returns:
        float32 [B, R, H].
    """
    attention_rate = config.attention_probs_dropout_prob if is_training else 0.0
    hidden_rate = config.hidden_dropout_prob if is_training else 0.0
    hidden = config.hidden_size

    def project(y, names, units=hidden):
        return dense(y, names, units, config.initializer_range)

    with tf.variable_scope("attention"):
        with tf.variable_scope("self"):
            context = ATTENTION[config.attention_form](
                x, positions, project, padding, config, attention_rate)
        with tf.variable_scope("output"):
            rows = x if positions is None else gather_rows(x, positions)
            attended, = project(context, ["dense"])
            attended = layer_norm(dropout(attended, hidden_rate) + rows)
    with tf.variable_scope("intermediate"):
        intermediate, = project(attended, ["dense"], config.intermediate_size)
        intermediate = ACTIVATIONS[config.hidden_act](intermediate)
    with tf.variable_scope("output"):
        output, = project(intermediate, ["dense"])
        return layer_norm(dropout(output, hidden_rate) + attended)


class BertModel(object):
    """BERT encoder with cross-attention.

        model = BertModel(config, is_training=True, input_ids=input_ids,
                          input_mask=input_mask)
        model.get_sequence_output()  # float32 [B, L, H]
    """

    def __init__(self, config, is_training, input_ids, input_mask=None,
                 token_type_ids=None, scope=None, output_positions=None,
                 first_positions=None):
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
            first_positions: int32 [B], the row of the position table that a
                sequence's first item takes, 0 by default; the L-th one's must
                be a row too.

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
            self._embed(input_ids, token_type_ids, first_positions)
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

    def _embed(self, input_ids, token_type_ids, first_positions):
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
            length = get_shape_list(input_ids)[1]
            if first_positions is None:
                output += places[:length]
            else:
                output += tf.gather(
                    places, first_positions[:, tf.newaxis] + tf.range(length))
            self._embedding_output = dropout(
                layer_norm(output),
                config.hidden_dropout_prob if self._is_training else 0.0)

    def _layer(self, index, x, positions, reuse=None):
        with tf.variable_scope("encoder/layer_%d" % index, reuse=reuse):
            return _encoder_layer(x, positions, self._padding, self._config,
                                  self._is_training)

    def get_sequence_output(self):
        """float32 [B, L, H], the last layer at every position."""
        if self._sequence_output is None:
            with tf.variable_scope(self._scope, auxiliary_name_scope=False):
                self._sequence_output = self._layer(
                    self._config.num_hidden_layers - 1, self._last_input, None,
                    reuse=self._rows_output is not None or None)
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


def encode_masked_rows(config, is_training, features, groups=1,
                       shift_positions=False):
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
        shift_positions: bool; each sequence's positions are counted from a
            random start, drawn evenly from those that leave room for L.

    Returns:
        (rows, float32 [B, M, H]; embedding table, float32 [V, H];
         label ids, int32 [B, M]; label weights, float32 [B, M]), in the
        order of the batch.
    """
    inputs = [features[name] for name in (
        "input_ids", "input_mask", "masked_lm_positions")]
    batch, length = get_shape_list(features["input_ids"])
    if shift_positions:
        inputs.append(tf.random.uniform(
            [batch], 0, config.max_position_embeddings - length + 1, tf.int32))
    if groups > 1:
        order = tf.argsort(tf.reduce_sum(features["input_mask"], axis=1),
                           stable=True)
        inputs = [tf.gather(value, order) for value in inputs]
    rows = []
    for group in range(groups):
        ids, mask, positions, *first = [
            value[group * batch // groups:(group + 1) * batch // groups]
            for value in inputs]
        if groups > 1:
            longest = tf.reduce_max(tf.reduce_sum(mask, axis=1))
            ids, mask = ids[:, :longest], mask[:, :longest]
        with tf.variable_scope(tf.get_variable_scope(), reuse=group > 0):
            model = BertModel(config, is_training, ids, mask, scope="bert",
                              output_positions=positions,
                              first_positions=first[0] if first else None)
        rows.append(model.get_rows_output())
    rows = tf.concat(rows, axis=0)
    if groups > 1:
        rows = tf.gather(rows, tf.invert_permutation(order))
    return (rows, model.get_embedding_table(), features["masked_lm_ids"],
            features["masked_lm_weights"])
