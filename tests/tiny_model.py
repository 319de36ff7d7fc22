"""A tiny model for the tests: its sizes, batches, and its NumPy oracle.

Scalar dimensions, wherever a comment gives a shape:
    B batch, L sequence length, M masked positions, R rows that are read,
    N heads, D head width, H hidden = N * D, V vocabulary.
"""

import math

import numpy as np
import tensorflow.compat.v1 as tf

import modeling
from model import masked_item

FORMS = ("self", "cross", "cross_published", "cross_difference", "cross_gram")
MASKED_FORMS = FORMS[:-1]     # those whose every map ignores padded keys

# All different; D = 5, because 2 sqrt(D) and D are the same number at D = 4.
B, L, M, N, H, V = 13, 7, 3, 3, 15, 31
TYPES, PLACES, INTERMEDIATE, LAYERS = 3, 9, 11, 2
WEIGHT_NAMES = ("kernel", "embeddings")


# --- helpers ----------------------------------------------------------------

def make_config(**changes):
    values = dict(vocab_size=V, hidden_size=H, num_hidden_layers=LAYERS,
                  num_attention_heads=N, intermediate_size=INTERMEDIATE,
                  hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                  max_position_embeddings=PLACES, type_vocab_size=TYPES)
    values.update(changes)
    return modeling.BertConfig(**values)


class Batch(object):
    """Random ids, padding at the end of most sequences, masked positions."""

    def __init__(self, batch=B, length=L, seed=1):
        rng = np.random.RandomState(seed)
        self.ids = rng.randint(V, size=[batch, length])
        self.types = rng.randint(TYPES, size=[batch, length])
        lengths = 1 + np.arange(batch) * 3 % length           # [B]
        self.mask = (np.arange(length) < lengths[:, np.newaxis]).astype(int)
        self.positions = rng.randint(length, size=[batch, M])
        self.label_ids = rng.randint(V, size=[batch, M])
        self.weights = (rng.uniform(size=[batch, M]) < 0.6).astype(np.float32)

    def model(self, config, **arguments):
        arguments.setdefault("input_mask", tf.constant(self.mask, tf.int32))
        arguments.setdefault("token_type_ids",
                             tf.constant(self.types, tf.int32))
        arguments.setdefault("is_training", False)
        return modeling.BertModel(
            config, input_ids=tf.constant(self.ids, tf.int32), **arguments)

    def loss(self, config, model, rows):
        """masked_item_loss's five results; several calls share the head."""
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            return masked_item.masked_item_loss(
                config, rows, model.get_embedding_table(),
                tf.constant(self.label_ids, tf.int32),
                tf.constant(self.weights))

    def positions_tensor(self):
        return tf.constant(self.positions, tf.int32)


def assign(session, values):
    """Gives the graph's variables these values, name -> array."""
    variables = {v.op.name: v for v in tf.global_variables()}
    assert set(values) == set(variables)
    session.run([v.initializer for v in variables.values()],
                {v.initializer.inputs[1]: values[name]
                 for name, v in variables.items()})


def randomize(session, seed=0):
    """Random values for every variable; none of them a 0 or a 1 that hides it.

    Returns:
        dict, variable name -> float32 array.
    """
    rng, values = np.random.RandomState(seed), {}
    for variable in sorted(tf.global_variables(), key=lambda v: v.op.name):
        value = rng.normal(0.0, 0.3, variable.shape.as_list())
        if variable.op.name.endswith("gamma"):
            value += 1.0
        values[variable.op.name] = value.astype(np.float32)
    assign(session, values)
    return values


def close(actual, wanted, atol=1e-5):
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=atol)


# --- the oracle: DESIGN section 5 in NumPy, one head of one sequence a time -

def np_softmax(x, axis=-1):
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def np_gelu(x):
    return x * np.vectorize(
        lambda y: 0.5 * (1.0 + math.erf(y / math.sqrt(2.0))))(x)


NP_ACTIVATIONS = {"gelu": np_gelu, "relu": lambda x: np.maximum(x, 0.0),
                  "tanh": np.tanh, "linear": lambda x: x}


def np_contexts(form, q, k, v, padding):
    """What one head hands on: a list of [L, D], of q, k, v [L, D]."""
    d = q.shape[1]
    xy = np_softmax(q.dot(k.T) / math.sqrt(d) + padding)
    xx = np_softmax(q.dot(q.T) / (2.0 * math.sqrt(d)) + padding)
    yy = np_softmax(k.dot(k.T) / (2.0 * math.sqrt(d)) + padding)
    if form == "self":
        return [xy.dot(v)]
    if form == "cross":
        return [(xy + xx + yy).dot(v)]
    if form == "cross_published":
        return [(xy + xx + xx).dot(v)]
    if form == "cross_difference":
        return [(xx + yy - xy).dot(v)]
    scores = q.dot(k.T) / math.sqrt(d)          # no padding here
    gram = np_softmax(scores.T.dot(scores), axis=0)
    return [gram.dot(v), xy.dot(v)]


class Oracle(object):
    """The forward pass of a config with given variables, name -> array."""

    def __init__(self, config, values):
        self._config = config
        self._values = {k: v.astype(np.float64) for k, v in values.items()}
        self._act = NP_ACTIVATIONS[config.hidden_act]

    def _dense(self, x, scope):
        return (np.einsum("...i,ij->...j", x, self._values[scope + "/kernel"])
                + self._values[scope + "/bias"])

    def _norm(self, x, scope):
        mean = x.mean(axis=-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        return ((x - mean) / np.sqrt(variance + 1e-12)
                * self._values[scope + "/LayerNorm/gamma"]
                + self._values[scope + "/LayerNorm/beta"])

    def _attention(self, x, mask, scope):
        """[B, L, H] -> [B, L, H], or [B, L, 2 H] for the gram form."""
        heads = self._config.num_attention_heads
        q, k, v = [np.split(self._dense(x, scope + name), heads, axis=-1)
                   for name in ("/query", "/key", "/value")]
        sequences = []
        for b in range(len(x)):
            padding = np.where(mask[b], 0.0, -10000.0)        # [L]
            contexts = [np_contexts(self._config.attention_form, q[n][b],
                                    k[n][b], v[n][b], padding)
                        for n in range(heads)]
            sequences.append(np.concatenate(
                [head[i] for i in range(len(contexts[0]))
                 for head in contexts], axis=-1))
        return np.stack(sequences)

    def embeddings(self, ids, types):
        tables = [self._values["bert/embeddings/%s_embeddings" % name]
                  for name in ("word", "token_type", "position")]
        return self._norm(tables[0][ids] + tables[1][types]
                          + tables[2][:ids.shape[1]], "bert/embeddings")

    def layers(self, ids, mask, types):
        """list of [B, L, H], one a layer."""
        x, outputs = self.embeddings(ids, types), []
        for i in range(self._config.num_hidden_layers):
            scope = "bert/encoder/layer_%d" % i
            context = self._attention(x, mask, scope + "/attention/self")
            attended = self._norm(
                x + self._dense(context, scope + "/attention/output/dense"),
                scope + "/attention/output")
            inner = self._act(
                self._dense(attended, scope + "/intermediate/dense"))
            x = self._norm(
                attended + self._dense(inner, scope + "/output/dense"),
                scope + "/output")
            outputs.append(x)
        return outputs

    def logits(self, rows):
        scope = "cls/predictions/transform"
        hidden = self._norm(self._act(self._dense(rows, scope + "/dense")),
                            scope)
        return (np.einsum("...h,vh->...v", hidden,
                          self._values["bert/embeddings/word_embeddings"])
                + self._values["cls/predictions/output_bias"])

    def loss(self, rows, label_ids, weights):
        """rows [B, M, H] -> float."""
        right = np.take_along_axis(np_softmax(self.logits(rows)),
                                   label_ids[..., np.newaxis], -1)[..., 0]
        return (weights * -np.log(right)).sum() / (weights.sum() + 1e-5)


def np_gather(x, positions):
    """[B, L, H], [B, R] -> [B, R, H]."""
    return np.stack([x[b, rows] for b, rows in enumerate(positions)])


# --- the published names and shapes -----------------------------------------

LAYER_SHAPES = {
    "attention/self/query/kernel": [15, 15],
    "attention/self/query/bias": [15],
    "attention/self/key/kernel": [15, 15],
    "attention/self/key/bias": [15],
    "attention/self/value/kernel": [15, 15],
    "attention/self/value/bias": [15],
    "attention/output/dense/kernel": [15, 15],
    "attention/output/dense/bias": [15],
    "attention/output/LayerNorm/beta": [15],
    "attention/output/LayerNorm/gamma": [15],
    "intermediate/dense/kernel": [15, 11],
    "intermediate/dense/bias": [11],
    "output/dense/kernel": [11, 15],
    "output/dense/bias": [15],
    "output/LayerNorm/beta": [15],
    "output/LayerNorm/gamma": [15],
}
SHAPES = {
    "bert/embeddings/word_embeddings": [31, 15],
    "bert/embeddings/position_embeddings": [9, 15],
    "bert/embeddings/token_type_embeddings": [3, 15],
    "bert/embeddings/LayerNorm/beta": [15],
    "bert/embeddings/LayerNorm/gamma": [15],
    "cls/predictions/transform/dense/kernel": [15, 15],
    "cls/predictions/transform/dense/bias": [15],
    "cls/predictions/transform/LayerNorm/beta": [15],
    "cls/predictions/transform/LayerNorm/gamma": [15],
    "cls/predictions/output_bias": [31],
}
for _layer in ("bert/encoder/layer_0/", "bert/encoder/layer_1/"):
    SHAPES.update({_layer + k: shape for k, shape in LAYER_SHAPES.items()})
