"""modeling.py against a NumPy oracle, hand-computed answers and probes."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import modeling
from tiny_model import (
    B, FORMS, H, L, LAYERS, M, MASKED_FORMS, NP_ACTIVATIONS, PLACES,
    SHAPES, TYPES, V, WEIGHT_NAMES, Batch, close, make_config, np_gather,
    np_softmax, Oracle, randomize)


# --- the forward pass -------------------------------------------------------

@pytest.mark.parametrize("groups", [1, 3])
def test_a_training_has_every_dropout_in_each_group_and_else_there_is_none(
        groups):
    config, batch = make_config(num_hidden_layers=1, hidden_dropout_prob=0.3,
                                attention_probs_dropout_prob=0.3), Batch()
    for is_training, dropouts in ((True, 1 + 3 + 2), (False, 0)):
        with tf.Graph().as_default() as graph:
            modeling.encode_masked_rows(config, is_training, {
                name: tf.constant(value, tf.int32) for name, value in (
                    ("input_ids", batch.ids), ("input_mask", batch.mask),
                    ("masked_lm_positions", batch.positions),
                    ("masked_lm_ids", batch.label_ids),
                    ("masked_lm_weights", batch.weights))}, groups)
            assert sum(op.type.startswith("RandomUniform")
                       for op in graph.get_operations()) == groups * dropouts


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


def shifted(values, first):
    """The weights with the position table's rows counted from `first`."""
    name = "bert/embeddings/position_embeddings"
    return dict(values, **{name: np.roll(values[name], -first, axis=0)})


def test_each_sequences_positions_may_be_counted_from_a_later_row():
    config, batch = make_config(), Batch()
    starts = np.arange(B) % (PLACES - L + 1)
    with tf.Graph().as_default(), tf.Session() as session:
        output = batch.model(config, first_positions=tf.constant(
            starts, tf.int32)).get_sequence_output()
        values = randomize(session)
        output = session.run(output)
    for first in range(PLACES - L + 1):
        wanted = Oracle(config, shifted(values, first)).layers(
            batch.ids, batch.mask, batch.types)[-1]
        close(output[starts == first], wanted[starts == first])


def drawn_starts(config, batch, groups):
    """int [20, B]: where the positions of each sequence started, 20 times."""
    positions = batch.positions % batch.mask.sum(axis=1, keepdims=True)
    features = {"input_ids": batch.ids, "input_mask": batch.mask,
                "masked_lm_positions": positions,
                "masked_lm_ids": batch.label_ids,
                "masked_lm_weights": batch.weights}
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        rows = modeling.encode_masked_rows(
            config, False, {name: tf.constant(value, tf.int32)
                            for name, value in features.items()},
            groups, shift_positions=True)[0]
        values = randomize(session)
        runs = [session.run(rows) for _ in range(20)]           # [B, M, H]
    wanted = np.stack([
        np_gather(Oracle(config, shifted(values, first)).layers(
            batch.ids, batch.mask, np.zeros_like(batch.ids))[-1], positions)
        for first in range(PLACES - L + 1)])             # [starts, B, M, H]
    found = np.stack([np.abs(wanted - run).max(axis=(2, 3)) < 1e-4
                      for run in runs])                  # [20, starts, B]
    assert (found.sum(axis=1) == 1).all()
    return found.argmax(axis=1)


def test_shifted_positions_start_anywhere_that_leaves_room():
    config, batch = make_config(num_hidden_layers=1), Batch()
    starts = drawn_starts(config, batch, groups=1)
    for sequence in starts.T:                # each by itself, at every step
        assert set(sequence) == set(range(PLACES - L + 1))
    assert len({tuple(sequence) for sequence in starts.T}) == B
    assert (drawn_starts(config, batch, groups=3) == starts).all()


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
    (u'{"hidden_size": 15,', "not JSON"), (u"[15, 3]", "object"),
    (u'{"hidden_size": "15"}', "hidden_size is '15'"),
    (u'{"heads": 3}', "heads")])
def test_a_bad_config_file_is_named(tmp_path, text, fault):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        modeling.BertConfig.from_json_file(str(path))
    assert str(path) in str(error.value)
    assert fault in str(error.value)
