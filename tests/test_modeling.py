"""modeling.py against a NumPy oracle, hand-computed answers and probes.

Scalar dimensions, wherever a comment gives a shape:
    B batch, L sequence length, M masked positions, R rows that are read,
    N heads, D head width, H hidden = N * D, V vocabulary.
"""

import json
import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling

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
            return modeling.masked_item_loss(
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


# --- the oracle: DESIGN section 5 in NumPy, one head of one sequence a time --

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


# --- the forward pass -------------------------------------------------------

@pytest.mark.parametrize("form", FORMS)
def test_forward_pass_and_loss_are_those_of_the_formulas(form):
    config, batch = make_config(attention_form=form), Batch()
    assert 0 < batch.mask.sum() < batch.mask.size
    with tf.Graph().as_default(), tf.Session() as session:
        model = batch.model(config)
        rows = modeling.gather_rows(model.get_sequence_output(),
                                    batch.positions_tensor())
        fetches = [model.get_embedding_output(),
                   model.get_all_encoder_layers(), rows,
                   batch.loss(config, model, rows)]
        oracle = Oracle(config, randomize(session))
        embedded, layers, rows, head = session.run(fetches)
    close(embedded, oracle.embeddings(batch.ids, batch.types))
    wanted = oracle.layers(batch.ids, batch.mask, batch.types)
    assert len(layers) == len(wanted) == LAYERS
    # S^T S squares the scores, and their rounding with them.
    atol = 5e-5 if form == "cross_gram" else 1e-5
    for actual_layer, wanted_layer in zip(layers, wanted):
        close(actual_layer, wanted_layer, atol)
    wanted_rows = np_gather(wanted[-1], batch.positions)
    close(rows, wanted_rows, atol)

    loss, losses, logits, labels, weights = head
    real = batch.weights > 0
    assert 0 < real.sum() < real.size
    wanted_logits = oracle.logits(wanted_rows)[real]
    close(logits, wanted_logits, atol)
    np.testing.assert_array_equal(labels, batch.label_ids[real])
    np.testing.assert_array_equal(weights, batch.weights[real])
    close(losses, -np.log(np_softmax(wanted_logits)[
        np.arange(real.sum()), batch.label_ids[real]]), atol)
    close(loss, oracle.loss(wanted_rows, batch.label_ids, batch.weights), atol)


@pytest.mark.parametrize("hidden_act", sorted(set(NP_ACTIVATIONS) - {"gelu"}))
def test_hidden_act_chooses_the_activation_of_layers_and_head(hidden_act):
    config = make_config(hidden_act=hidden_act, num_hidden_layers=1)
    batch = Batch(batch=3)
    with tf.Graph().as_default(), tf.Session() as session:
        model = batch.model(config)
        output = model.get_sequence_output()
        loss = batch.loss(config, model, output[:, :M])[0]
        oracle = Oracle(config, randomize(session))
        output, loss = session.run([output, loss])
    wanted = oracle.layers(batch.ids, batch.mask, batch.types)[-1]
    close(output, wanted)
    close(loss, oracle.loss(wanted[:, :M], batch.label_ids, batch.weights))


def test_without_mask_and_types_every_position_is_real_and_of_type_0():
    config, batch = make_config(num_hidden_layers=1), Batch()
    with tf.Graph().as_default(), tf.Session() as session:
        output = batch.model(config, input_mask=None,
                             token_type_ids=None).get_sequence_output()
        oracle = Oracle(config, randomize(session))
        output = session.run(output)
    close(output, oracle.layers(batch.ids, np.ones_like(batch.ids),
                                np.zeros_like(batch.ids))[-1])


def test_token_type_ids_change_the_embedding_of_their_positions_alone():
    config, batch = make_config(num_hidden_layers=1), Batch()
    other_types = batch.types.copy()
    other_types[2, 4] = (other_types[2, 4] + 1) % TYPES
    with tf.Graph().as_default(), tf.Session() as session:
        types = tf.placeholder(tf.int32, [B, L])
        embedded = batch.model(config,
                               token_type_ids=types).get_embedding_output()
        randomize(session)
        first, second = [session.run(embedded, {types: t})
                         for t in (batch.types, other_types)]
    changed = np.abs(first - second).max(axis=-1) > 1e-3      # [B, L]
    assert np.argwhere(changed).tolist() == [[2, 4]]


@pytest.mark.parametrize("with_positions", [False, True])
def test_batch_and_length_may_be_dynamic(with_positions):
    config = make_config()
    with tf.Graph().as_default(), tf.Session() as session:
        ids, mask, types, positions = [
            tf.placeholder(tf.int32, [None, None]) for _ in range(4)]
        model = modeling.BertModel(
            config, False, ids, mask, types,
            output_positions=positions if with_positions else None)
        output = (model.get_rows_output() if with_positions
                  else model.get_sequence_output())
        oracle = Oracle(config, randomize(session))
        for batch, length in ((2, 5), (3, PLACES), (1, 1)):
            data = Batch(batch, length)
            actual = session.run(output, {
                ids: data.ids, mask: data.mask, types: data.types,
                positions: data.positions})
            wanted = oracle.layers(data.ids, data.mask, data.types)[-1]
            close(actual, np_gather(wanted, data.positions)
                  if with_positions else wanted)


# --- gradients written out --------------------------------------------------

def plain_gelu(x):
    return 0.5 * x * (1.0 + tf.erf(x / np.sqrt(2.0)))


def plain_standardize(x):
    mean, variance = tf.nn.moments(x, axes=[-1], keep_dims=True)
    return (x - mean) / tf.sqrt(variance + 1e-12)


@pytest.mark.parametrize("written_out, plain, others", [
    (modeling._gelu, plain_gelu, 0),
    (modeling._standardize, plain_standardize, 0),
    (modeling._weighted_softmax, lambda x, w: w * tf.nn.softmax(x), 1)],
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


# --- padding ----------------------------------------------------------------

def outputs_with_two_paddings(form):
    """Two [B, L, H] of inputs that differ in the padded ids alone."""
    batch = Batch()
    other_ids = np.where(batch.mask, batch.ids, (batch.ids + 5) % V)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [B, L])
        output = modeling.BertModel(
            make_config(attention_form=form), False, ids,
            tf.constant(batch.mask, tf.int32)).get_sequence_output()
        randomize(session)
        first, second = [session.run(output, {ids: i})
                         for i in (batch.ids, other_ids)]
    padded = batch.mask == 0
    assert np.abs(first - second)[padded].max() > 1e-2
    return first, second, batch.mask


@pytest.mark.parametrize("form", MASKED_FORMS)
def test_padded_ids_never_reach_a_real_position(form):
    first, second, mask = outputs_with_two_paddings(form)
    close(first[mask == 1], second[mask == 1], atol=1e-6)


def test_padded_ids_reach_real_positions_in_the_gram_form():
    # Its S carries no mask: entries of S^T S sum over padded queries, and
    # G V sums over padded keys. Sequences without padding stay as they are.
    first, second, mask = outputs_with_two_paddings("cross_gram")
    moved = np.abs(first - second).max(axis=-1) > 1e-3        # [B, L]
    has_padding = mask.sum(axis=1) < L
    np.testing.assert_array_equal(
        np.any(moved & (mask == 1), axis=1), has_padding)


# --- reading some rows only -------------------------------------------------

@pytest.mark.parametrize(
    "form, layers", [(form, 1) for form in FORMS] + [("cross_published", 2)])
def test_rows_output_is_the_gathered_sequence_output_with_its_gradients(
        form, layers):
    batch = Batch(batch=4)
    config = make_config(attention_form=form, num_hidden_layers=layers)
    batch.positions[0, :] = [2, 0, 2]          # unordered and repeated
    with tf.Graph().as_default(), tf.Session() as session:
        model = batch.model(config, output_positions=batch.positions_tensor())
        read = model.get_rows_output()
        assert read.shape.as_list() == [4, M, H]
        whole = model.get_sequence_output()
        assert whole.shape.as_list() == [4, L, H]
        gathered = tf.gather_nd(whole, tf.constant(
            [[[b, p] for p in row]
             for b, row in enumerate(batch.positions)]))
        losses = tf.stack([batch.loss(config, model, rows)[0]
                           for rows in (read, gathered)])
        route = tf.placeholder(tf.float32, [2])     # whose gradients to take
        variables = tf.trainable_variables()
        gradients = [tf.convert_to_tensor(g) for g in tf.gradients(
            losses, variables, grad_ys=route)]
        randomize(session)
        (read, gathered, losses, of_reads), (_, _, _, of_gathereds) = [
            session.run([read, gathered, losses, gradients], {route: r})
            for r in ([1.0, 0.0], [0.0, 1.0])]
    close(read, gathered, atol=1e-6)
    close(losses[0], losses[1], atol=1e-6)
    names = [v.op.name for v in variables]
    for name, of_read, of_gathered in zip(names, of_reads, of_gathereds):
        np.testing.assert_allclose(of_read, of_gathered, rtol=0, atol=1e-5,
                                   err_msg=name)
        # Where K serves in Q K^T alone its bias shifts a row's logits by the
        # same amount, which softmax does not see.
        blind = form in ("self", "cross_published") and "key/bias" in name
        assert (np.abs(of_read).max() > 1e-5) == (not blind), name


def test_rows_output_needs_positions():
    with tf.Graph().as_default():
        model = Batch().model(make_config())
        with pytest.raises(ValueError, match="output_positions"):
            model.get_rows_output()


def test_sequence_output_beside_rows_output_adds_no_variable():
    batch = Batch()
    with tf.Graph().as_default():
        model = batch.model(make_config(), scope="net",
                            output_positions=batch.positions_tensor())
        before = [v.op.name for v in tf.global_variables()]
        with tf.variable_scope("elsewhere"):
            assert len(model.get_all_encoder_layers()) == LAYERS
        assert [v.op.name for v in tf.global_variables()] == before


# --- the graph --------------------------------------------------------------

# Ops that may lead nowhere. A resource variable comes with a read and a test
# of its own; tf.split of TensorFlow 1.15 makes a constant of its argument and
# drops it; tf.custom_gradient leaves an Identity beside each result. None of
# these computes anything.
IDLE_OPS = ("ReadVariableOp", "VarIsInitializedOp", "Const", "Identity")


def unreachable_ops(graph, fetches):
    """The graph's ops that neither the fetches nor an initializer needs."""
    reached = set()
    ahead = [t.op for t in fetches]
    ahead += [v.initializer for v in tf.global_variables()]
    while ahead:
        op = ahead.pop()
        if op not in reached:
            reached.add(op)
            ahead.extend(t.op for t in op.inputs)
            ahead.extend(op.control_inputs)
    return [op for op in graph.get_operations() if op not in reached]


@pytest.mark.parametrize("with_positions", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_model_has_no_op_that_its_output_does_not_use(form,
                                                          with_positions):
    batch = Batch()
    with tf.Graph().as_default() as graph:
        config = make_config(attention_form=form)
        model = batch.model(config, is_training=True,
                            output_positions=batch.positions_tensor()
                            if with_positions else None)
        output = (model.get_rows_output() if with_positions
                  else model.get_sequence_output())
        idle = unreachable_ops(graph, [output])
    assert [op.name for op in idle if op.type not in IDLE_OPS] == []


def test_the_walk_for_unused_ops_finds_one():
    with tf.Graph().as_default() as graph:
        used = tf.square(tf.placeholder(tf.float32), name="used")
        tf.negative(used, name="unused")
        names = [op.name for op in unreachable_ops(graph, [used])]
    assert names == ["unused"]


def variable_shapes(config):
    """dict, variable name -> shape, of a model with its head."""
    batch = Batch()
    with tf.Graph().as_default():
        model = batch.model(config)
        batch.loss(config, model, modeling.gather_rows(
            model.get_sequence_output(), batch.positions_tensor()))
        return {v.op.name: v.shape.as_list() for v in tf.global_variables()}


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


@pytest.mark.parametrize("form", FORMS)
def test_variables_have_the_published_names_and_shapes(form):
    wanted = dict(SHAPES)
    if form == "cross_gram":
        for layer in ("layer_0", "layer_1"):
            wanted["bert/encoder/%s/attention/output/dense/kernel" % layer] = [
                30, 15]
    assert variable_shapes(make_config(attention_form=form)) == wanted


def test_initial_values_are_truncated_normal_zero_and_one():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(5)
        config = make_config(hidden_size=60, initializer_range=0.1)
        batch = Batch()
        model = batch.model(config)
        batch.loss(config, model, modeling.gather_rows(
            model.get_sequence_output(), batch.positions_tensor()))
        session.run(tf.global_variables_initializer())
        values = session.run({v.op.name: v for v in tf.global_variables()})
    for name, value in values.items():
        if name.endswith(WEIGHT_NAMES):
            assert np.abs(value).max() <= 0.2 + 1e-6, name   # two deviations
            assert np.abs(value).max() > 0.1, name
            assert 0.06 < value.std() < 0.11, name   # 0.088 after truncation
        else:
            close(value, 1.0 if name.endswith("gamma") else 0.0, atol=0)


# --- the published accessors ------------------------------------------------

def test_encoder_layers_end_with_the_sequence_output():
    with tf.Graph().as_default():
        model = Batch().model(make_config(num_hidden_layers=3))
        layers = model.get_all_encoder_layers()
        assert len(layers) == 3
        assert layers[-1] is model.get_sequence_output()
        assert [layer.shape.as_list() for layer in layers] == [[B, L, H]] * 3
        assert model.get_embedding_output().shape.as_list() == [B, L, H]


def test_embedding_table_is_the_word_embeddings():
    with tf.Graph().as_default():
        table = Batch().model(make_config()).get_embedding_table()
        assert table.shape.as_list() == [V, H]
        assert table.op.name == "bert/embeddings/word_embeddings"


def test_scope_renames_every_variable_of_the_encoder():
    with tf.Graph().as_default():
        Batch().model(make_config(), scope="student")
        names = {v.op.name for v in tf.global_variables()}
    assert names == {"student" + name[len("bert"):] for name in SHAPES
                     if name.startswith("bert/")}


def test_a_sequence_longer_than_the_position_table_is_an_error():
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="length 10 .*"
                           "max_position_embeddings 9"):
            Batch(length=PLACES + 1).model(make_config())
    with tf.Graph().as_default():
        output = Batch(length=PLACES).model(make_config())
        assert output.get_sequence_output().shape.as_list() == [B, PLACES, H]


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
        loss = modeling.masked_item_loss(
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


# --- the sampled loss -------------------------------------------------------

def test_sampled_loss_is_the_softmax_over_label_and_sample_less_log_q():
    config, batch, num_sampled = make_config(), Batch(batch=4), 20
    rng = np.random.RandomState(4)
    rows = rng.normal(size=[4, M, H])
    table = rng.normal(size=[V, H]).astype(np.float32)
    batch.label_ids = 1 + batch.label_ids % (V - 1)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.set_random_seed(1)
        loss = modeling.sampled_item_loss(
            config, tf.constant(rows, tf.float32), tf.constant(table),
            tf.constant(batch.label_ids, tf.int32), tf.constant(batch.weights),
            num_sampled)
        sampler, = [op for op in graph.get_operations()
                    if op.type == "LogUniformCandidateSampler"]
        values = randomize(session)
        loss, (drawn, label_q, drawn_q) = session.run(
            [loss, list(sampler.outputs)])
    assert set(values) == {name for name in SHAPES if name.startswith("cls/")}
    values["bert/embeddings/word_embeddings"] = table
    real = batch.weights > 0
    logits = Oracle(config, values).logits(rows)[real]        # [K, V]
    ids = drawn + 1                        # 0 is padding and never drawn
    assert len(set(ids)) == num_sampled and 1 <= ids.min() and ids.max() < V
    losses = []
    for scores, label, q in zip(logits, batch.label_ids[real], label_q[:, 0]):
        others = ids != label
        candidates = np.append(scores[label] - np.log(q),
                               (scores[ids] - np.log(drawn_q))[others])
        losses.append(-np.log(np_softmax(candidates)[0]))
    close(loss, sum(losses) / (len(losses) + 1e-5))


# --- dropout ----------------------------------------------------------------

MAPS = {"self": 1, "cross": 3, "cross_published": 3, "cross_difference": 3,
        "cross_gram": 2}


def count_of_dropouts(**rates):
    with tf.Graph().as_default() as graph:
        Batch().model(make_config(**rates), is_training=True)
        # The initializers draw too, but by TruncatedNormal.
        return sum(op.type.startswith("RandomUniform")
                   for op in graph.get_operations())


@pytest.mark.parametrize("form", FORMS)
def test_each_attention_map_has_a_dropout_of_its_own(form):
    assert count_of_dropouts(
        attention_form=form, attention_probs_dropout_prob=0.3,
        num_hidden_layers=1) == MAPS[form]


def test_the_embedding_and_both_dense_outputs_of_a_layer_have_a_dropout():
    assert count_of_dropouts(hidden_dropout_prob=0.3,
                             num_hidden_layers=3) == 1 + 2 * 3


def outputs_twice(is_training, rate):
    config = make_config(num_hidden_layers=1, hidden_dropout_prob=rate,
                         attention_probs_dropout_prob=rate)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        output = Batch().model(config,
                               is_training=is_training).get_sequence_output()
        randomize(session)
        return session.run(output), session.run(output)


def test_dropout_is_for_training_alone():
    plain, again = outputs_twice(False, 0.0)
    np.testing.assert_array_equal(plain, again)
    first, second = outputs_twice(True, 0.4)
    assert np.abs(first - second).max() > 0.1
    first, second = outputs_twice(True, 0.0)
    np.testing.assert_array_equal(first, second)
    close(first, plain, atol=0)
    first, second = outputs_twice(False, 0.4)
    np.testing.assert_array_equal(first, second)
    close(first, plain, atol=0)


def test_dropped_embeddings_are_0_and_the_others_are_scaled_up():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            plain, dropped = [
                Batch(batch=99).model(
                    make_config(num_hidden_layers=1, hidden_dropout_prob=rate),
                    scope="bert", is_training=True).get_embedding_output()
                for rate in (0.0, 0.25)]
        randomize(session)
        plain, dropped = session.run([plain, dropped])
    kept = dropped != 0
    close(dropped[kept], plain[kept] / 0.75)
    assert abs(kept.mean() - 0.75) < 0.02


def read_maps(form, rate=0.0, copies=1, random_logits=False):
    """The attention maps as they meet V, read off a probe model's output.

    One layer and one head, L = 5, H = 4 L. Position i has the embedding
    s (e_i - e_{L+i}) and the value e_i, and the output projection carries
    the values to coordinates 2 L + j (in the gram form A_xy V to 3 L + j).
    The feed-forward part adds 0, and layer normalisation is undone with the
    two coordinates whose values, s and -s, are known.

    Returns:
        list of [copies, 5, 5]: the summed maps; in the gram form G and A_xy.
    """
    length, hidden = 5, 20
    s = math.sqrt(hidden / 2.0)
    at = np.arange(length)
    config = make_config(
        vocab_size=1, hidden_size=hidden, num_hidden_layers=1,
        num_attention_heads=1, attention_form=form,
        attention_probs_dropout_prob=rate)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(7)
        output = modeling.BertModel(
            config, rate > 0, tf.zeros([copies, length], tf.int32)
        ).get_sequence_output()
        values = {v.op.name: np.zeros(v.shape.as_list(), np.float32)
                  + v.op.name.endswith("gamma")
                  for v in tf.global_variables()}
        places = values["bert/embeddings/position_embeddings"]
        places[at, at], places[at, length + at] = 1.0, -1.0
        layer = "bert/encoder/layer_0/attention/"
        values[layer + "self/value/kernel"][at, at] = 1.0 / s
        dense = values[layer + "output/dense/kernel"]
        dense[at, 2 * length + at] = 1.0
        if form == "cross_gram":
            dense[hidden + at, 3 * length + at] = 1.0
        if random_logits:
            rng = np.random.RandomState(1)
            for name in ("query", "key"):
                kernel = values[layer + "self/%s/kernel" % name]
                kernel[:] = rng.normal(0.0, 0.3, kernel.shape)
        assign(session, values)
        output = session.run(output).astype(np.float64)
    high, low = output[:, at, at], output[:, at, length + at]   # [copies, 5]
    middle, reach = (high + low) / 2.0, (high - low) / 2.0
    maps = [s * (output[:, :, start:start + length] - middle[..., np.newaxis])
            / reach[..., np.newaxis] for start in (2 * length, 3 * length)]
    if form == "cross_gram":
        return maps
    close(maps[1], 0.0)         # nobody wrote there
    return maps[:1]


@pytest.mark.parametrize("form, total", [
    ("self", 1.0), ("cross", 3.0), ("cross_published", 3.0),
    ("cross_difference", 1.0)])
def test_rows_of_the_summed_maps_sum_to_the_maps_signs(form, total):
    summed, = read_maps(form, random_logits=True)
    assert summed.std() > 0.05           # a uniform map would hide the axis
    close(summed.sum(axis=-1), total)


def test_the_gram_map_is_normalised_over_its_columns_and_a_xy_over_rows():
    gram, a_xy = read_maps("cross_gram", random_logits=True)
    close(gram.sum(axis=-2), 1.0)
    assert np.abs(gram.sum(axis=-1) - 1.0).max() > 0.1
    close(a_xy.sum(axis=-1), 1.0)


@pytest.mark.parametrize("form", FORMS)
def test_dropout_keeps_every_map_right_on_average(form):
    plain = read_maps(form, random_logits=True)
    dropped = read_maps(form, rate=0.3, copies=2000, random_logits=True)
    assert len(plain) == len(dropped)
    for one, many in zip(plain, dropped):
        assert many.std(axis=0).min() > 0
        close(many.mean(axis=0), one[0], atol=0.06)


# At rate 0.5 an entry of a uniform map is 0 or 2 / L, like a coin; the number
# of heads of independent coins is binomial. Two maps with one mask in common
# would make three coins' 0, 1, 2, 3 heads (or -1, 0, 1, 2) equally likely.
COINS = {"self": {0: 1 / 2., 1: 1 / 2.},
         "cross": {0: 1 / 8., 1: 3 / 8., 2: 3 / 8., 3: 1 / 8.},
         "cross_published": {0: 1 / 8., 1: 3 / 8., 2: 3 / 8., 3: 1 / 8.},
         "cross_difference": {-1: 1 / 8., 0: 3 / 8., 1: 3 / 8., 2: 1 / 8.},
         "cross_gram": {0: 1 / 4., 1: 1 / 2., 2: 1 / 4.}}


@pytest.mark.parametrize("form", FORMS)
def test_the_maps_dropout_masks_are_independent(form):
    heads = sum(read_maps(form, rate=0.5, copies=400)) * 5 / 2.0
    counts = np.rint(heads).astype(int)
    close(heads, counts, atol=1e-3)
    assert set(counts.ravel()) == set(COINS[form])
    for count, share in COINS[form].items():
        assert abs((counts == count).mean() - share) < 0.03, count


def test_entries_rows_and_sequences_have_independent_dropout():
    # 400 sequences of 5 rows of 5 entries, in the order of memory: a lag of 1
    # is the next entry, 5 the next row, 25 the next sequence.
    dropped, = read_maps("self", rate=0.5, copies=400)
    heads = np.rint(dropped.ravel() * 5 / 2.0) - 0.5
    assert set(heads) == {-0.5, 0.5}
    for lag in range(1, 101):
        correlation = 4.0 * (heads[lag:] * heads[:-lag]).mean()
        assert abs(correlation) < 0.06, lag    # six standard deviations


# --- BertConfig -------------------------------------------------------------

GOOD = dict(vocab_size=31, hidden_size=15, num_hidden_layers=2,
            num_attention_heads=3, intermediate_size=11, hidden_act="gelu",
            hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1,
            max_position_embeddings=9, type_vocab_size=3,
            initializer_range=0.05, attention_form="cross_gram")


def test_config_round_trips_through_dict_and_json(tmp_path):
    config = modeling.BertConfig.from_dict(GOOD)
    assert config.to_dict() == GOOD
    path = tmp_path / "bert.json"
    path.write_text(u"" + config.to_json_string())
    assert json.loads(config.to_json_string()) == GOOD
    again = modeling.BertConfig.from_json_file(str(path))
    assert again.to_dict() == GOOD


def test_config_without_attention_form_is_cross_published():
    values = {k: v for k, v in GOOD.items() if k != "attention_form"}
    config = modeling.BertConfig.from_dict(values)
    assert config.attention_form == "cross_published"
    assert config.to_dict()["attention_form"] == "cross_published"


def test_config_may_leave_vocab_size_out():
    values = {k: v for k, v in GOOD.items() if k != "vocab_size"}
    config = modeling.BertConfig.from_dict(values)
    assert config.vocab_size is None
    assert config.to_dict() == values


def test_changing_the_dict_changes_no_config():
    config = modeling.BertConfig.from_dict(GOOD)
    config.to_dict()["hidden_size"] = 99
    assert config.hidden_size == 15


def test_config_with_an_unknown_key_is_an_error():
    with pytest.raises(ValueError) as error:
        modeling.BertConfig.from_dict(dict(GOOD, hidden_sise=64))
    assert "hidden_sise" in str(error.value)
    assert "64" in str(error.value)
    assert "hidden_size" in str(error.value)     # what it could have been


@pytest.mark.parametrize("key, value", [
    ("hidden_size", "64"), ("hidden_size", True), ("hidden_size", 0),
    ("hidden_size", 15.0), ("hidden_size", None),
    ("num_hidden_layers", 0), ("num_hidden_layers", "2"),
    ("num_attention_heads", -3), ("num_attention_heads", False),
    ("intermediate_size", [11]), ("intermediate_size", 11.5),
    ("vocab_size", "31"), ("vocab_size", True), ("vocab_size", 0),
    ("max_position_embeddings", "200"), ("type_vocab_size", 0),
    ("hidden_dropout_prob", 1.0), ("hidden_dropout_prob", -0.1),
    ("hidden_dropout_prob", "0.2"), ("hidden_dropout_prob", True),
    ("hidden_dropout_prob", float("nan")),
    ("attention_probs_dropout_prob", 1.5),
    ("attention_probs_dropout_prob", None),
    ("initializer_range", 0.0), ("initializer_range", "0.02"),
    ("attention_form", "siamese"), ("attention_form", None),
    ("hidden_act", "swish"), ("hidden_act", None),
    ("hidden_act", ["gelu"]),
])
def test_config_errors_print_key_and_value(key, value):
    with pytest.raises(ValueError) as error:
        modeling.BertConfig.from_dict(dict(GOOD, **{key: value}))
    assert "%s is %r" % (key, value) in str(error.value)


@pytest.mark.parametrize("rate", [0, 0.0, 0.999])
def test_dropout_rates_from_0_to_below_1_are_right(rate):
    config = modeling.BertConfig.from_dict(
        dict(GOOD, hidden_dropout_prob=rate,
             attention_probs_dropout_prob=rate))
    assert config.hidden_dropout_prob == rate
    assert config.attention_probs_dropout_prob == rate


def test_config_with_heads_that_do_not_divide_is_an_error():
    with pytest.raises(ValueError) as error:
        modeling.BertConfig.from_dict(dict(GOOD, num_attention_heads=4))
    for part in ("hidden_size", "15", "num_attention_heads", "4"):
        assert part in str(error.value)


@pytest.mark.parametrize("text, fault", [
    (u'{"hidden_size": 15,', ""), (u"[15, 3]", "object"),
    (u'{"hidden_size": "15"}', "hidden_size is '15'"),
    (u'{"heads": 3}', "heads")])
def test_a_bad_config_file_is_named(tmp_path, text, fault):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        modeling.BertConfig.from_json_file(str(path))
    assert str(path) in str(error.value)
    assert fault in str(error.value)


# --- checkpoints ------------------------------------------------------------

GRAM_SHAPES = dict(SHAPES)
for _layer in ("layer_0", "layer_1"):
    GRAM_SHAPES["bert/encoder/%s/attention/output/dense/kernel" % _layer] = [
        30, 15]


def test_a_checkpoint_of_the_same_sizes_fits_with_or_without_slots():
    for form in MASKED_FORMS:
        config = make_config(attention_form=form)
        assert modeling.checkpoint_mismatch(config, SHAPES) is None
        trained = dict(SHAPES, global_step=[])
        trained.update({name + slot: shape for name, shape in SHAPES.items()
                        for slot in ("/adam_m", "/adam_v")})
        assert modeling.checkpoint_mismatch(config, trained) is None
    assert modeling.checkpoint_mismatch(
        make_config(attention_form="cross_gram"), GRAM_SHAPES) is None


@pytest.mark.parametrize("changes, name, theirs, ours", [
    (dict(vocab_size=30), "word_embeddings", [31, 15], [30, 15]),
    (dict(hidden_size=12), "word_embeddings", [31, 15], [31, 12]),
    (dict(max_position_embeddings=8), "position_embeddings", [9, 15], [8, 15]),
    (dict(type_vocab_size=2), "token_type_embeddings", [3, 15], [2, 15]),
    (dict(intermediate_size=10), "layer_0/intermediate/dense/kernel",
     [15, 11], [15, 10]),
    (dict(attention_form="cross_gram"),
     "layer_0/attention/output/dense/kernel", [15, 15], [30, 15]),
    (dict(num_hidden_layers=3), "layer_2/attention/output/dense/kernel",
     "missing", [15, 15]),
])
def test_a_checkpoint_of_another_size_is_told_with_both_shapes(
        changes, name, theirs, ours):
    fault = modeling.checkpoint_mismatch(make_config(**changes), SHAPES)
    for part in (name, str(theirs), str(ours)):
        assert part in fault


def test_a_gram_checkpoint_fits_no_other_form():
    for form in MASKED_FORMS:
        fault = modeling.checkpoint_mismatch(make_config(attention_form=form),
                                             GRAM_SHAPES)
        assert "attention/output/dense/kernel" in fault
        assert "[30, 15]" in fault and "[15, 15]" in fault


def test_a_checkpoint_with_more_layers_does_not_fit():
    fault = modeling.checkpoint_mismatch(make_config(num_hidden_layers=1),
                                         SHAPES)
    assert "more than the 1 layers" in fault


def test_a_checkpoint_of_something_else_does_not_fit():
    fault = modeling.checkpoint_mismatch(make_config(), {"global_step": []})
    assert "bert/embeddings/word_embeddings is missing" in fault
