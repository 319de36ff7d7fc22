"""optimization.py against hand-computed rates and a NumPy AdamW step."""

from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import optimization

BETA_1, BETA_2, EPSILON, DECAY, CLIP = 0.9, 0.999, 1e-6, 0.01, 5.0


# --- helpers ----------------------------------------------------------------

class NumpyAdamW(object):
    """One variable under AdamW without bias correction, in float64."""

    def __init__(self, value, decay=DECAY):
        self.value = np.array(value, np.float64)
        self.m = np.zeros_like(self.value)
        self.v = np.zeros_like(self.value)
        self._decay = decay

    def step(self, gradient, rate):
        self.m = BETA_1 * self.m + (1.0 - BETA_1) * gradient
        self.v = BETA_2 * self.v + (1.0 - BETA_2) * gradient ** 2
        self.value = self.value - rate * (
            self.m / (np.sqrt(self.v) + EPSILON) + self._decay * self.value)


def np_clip(gradients, norm=CLIP):
    """The gradients scaled down together to this global norm."""
    found = np.sqrt(sum((g ** 2).sum() for g in gradients))
    return [g * min(1.0, norm / found) for g in gradients]


def close(actual, wanted):
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)


def variable(name, value, use_resource=None):
    return tf.get_variable(name, initializer=np.array(value, np.float32),
                           use_resource=use_resource)


def named(name):
    """The global variable of this name, slots included."""
    return {v.op.name: v for v in tf.global_variables()}[name]


def names():
    return sorted(v.op.name for v in tf.global_variables())


def check(session, numpy_variables):
    """Compares values and both slots, name -> NumpyAdamW."""
    for name, wanted in numpy_variables.items():
        close(session.run(named(name)), wanted.value)
        close(session.run(named(name + "/adam_m")), wanted.m)
        close(session.run(named(name + "/adam_v")), wanted.v)


# --- the learning rate ------------------------------------------------------

def rates(steps, init_lr, num_train_steps, num_warmup_steps):
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int64, [])
        rate = optimization.learning_rate_at(step, init_lr, num_train_steps,
                                             num_warmup_steps)
        assert rate.dtype == tf.float32 and rate.shape.as_list() == []
        return [session.run(rate, {step: s}) for s in steps]


def test_rate_warms_up_to_the_peak_and_decays_from_step_0():
    # Warm-up: 0.8 step / 4. Then 0.8 (1 - step / 10): 0.48 at step 4, where
    # a decay counted from the end of the warm-up would have 0.8.
    close(rates([0, 1, 2, 3, 4, 5, 9], 0.8, 10, 4),
          [0.0, 0.2, 0.4, 0.6, 0.48, 0.4, 0.08])


def test_rate_without_warm_up_starts_at_the_peak():
    close(rates([0, 1, 5, 9], 0.8, 10, 0), [0.8, 0.72, 0.4, 0.08])


@pytest.mark.parametrize("num_warmup_steps", [0, 4])
def test_rate_is_0_at_the_last_step_and_beyond(num_warmup_steps):
    assert rates([10, 11, 1000], 0.8, 10, num_warmup_steps) == [0.0, 0.0, 0.0]


def test_rate_of_the_published_schedule():
    found = rates([50, 99, 100, 200000, 399999], 1e-4, 400000, 100)
    np.testing.assert_allclose(
        found, [5e-5, 9.9e-5, 9.9975e-5, 5e-5, 2.5e-10], rtol=1e-6, atol=1e-11)


# --- the step ---------------------------------------------------------------

def test_first_step_by_hand_has_no_bias_correction():
    # m = 0.05, v = 0.00025, m / (sqrt(v) + 1e-6) = 3.162078; corrected for
    # bias it would be 1. w = 1 - 0.1 (3.162078 + 0.01 * 1).
    with tf.Graph().as_default(), tf.Session() as session:
        w = variable("w", 1.0)
        train = optimization.AdamWeightDecayOptimizer(0.1).minimize(0.5 * w)
        session.run(tf.global_variables_initializer())
        session.run(train)
        close(session.run(named("w/adam_m")), 0.05)
        close(session.run(named("w/adam_v")), 0.00025)
        close(session.run(w), 0.6827922)


@pytest.mark.parametrize("use_resource", [True, False])
def test_dense_steps_are_those_of_adamw(use_resource):
    rng = np.random.RandomState(0)
    start = rng.normal(size=[3, 2])
    with tf.Graph().as_default(), tf.Session() as session:
        w = variable("w", start, use_resource)
        assert w.op.type == ("VarHandleOp" if use_resource else "VariableV2")
        gradient = tf.placeholder(tf.float32, [3, 2])
        rate = tf.placeholder(tf.float32, [])
        train = optimization.AdamWeightDecayOptimizer(rate).minimize(
            tf.reduce_sum(w * gradient))
        session.run(tf.global_variables_initializer())
        wanted = NumpyAdamW(start)
        for scale in (1.0, 10.0, 0.0, 0.01, 3.0):
            g, r = rng.normal(0.0, 1.0, [3, 2]) * scale, rng.uniform(0.0, 0.3)
            session.run(train, {gradient: g, rate: r})
            wanted.step(g, r)
            check(session, {"w": wanted})


@pytest.mark.parametrize("use_resource", [True, False])
def test_sparse_steps_add_repeated_rows_and_decay_all_rows(use_resource):
    rng = np.random.RandomState(1)
    start = rng.normal(size=[5, 2])
    with tf.Graph().as_default(), tf.Session() as session:
        w = variable("w", start, use_resource)
        assert w.op.type == ("VarHandleOp" if use_resource else "VariableV2")
        rows = tf.placeholder(tf.int32, [3])
        factors = tf.placeholder(tf.float32, [3, 2])
        loss = tf.reduce_sum(tf.gather(w, rows) * factors)
        assert isinstance(tf.gradients(loss, [w])[0], tf.IndexedSlices)
        train = optimization.AdamWeightDecayOptimizer(0.1).minimize(loss)
        session.run(tf.global_variables_initializer())
        wanted = NumpyAdamW(start)
        for ids in ([2, 0, 2], [3, 3, 3], [0, 1, 2], [3, 0, 3]):
            f = rng.normal(size=[3, 2])
            g = np.zeros([5, 2])
            np.add.at(g, ids, f)
            session.run(train, {rows: ids, factors: f})
            wanted.step(g, 0.1)
            check(session, {"w": wanted})
        # No gradient ever reached row 4: the decay alone moved it.
        close(session.run(w)[4], start[4] * (1.0 - 0.1 * DECAY) ** 4)


def test_the_constructor_arguments_are_those_of_the_step():
    with tf.Graph().as_default(), tf.Session() as session:
        w, b = variable("w", 2.0), variable("frozen/w", 2.0)
        train = optimization.AdamWeightDecayOptimizer(
            0.1, weight_decay_rate=0.5, beta_1=0.0, beta_2=0.0, epsilon=1.0,
            exclude_from_weight_decay=["frozen"]).minimize(3.0 * (w + b))
        session.run(tf.global_variables_initializer())
        session.run(train)
        # m = 3, v = 9: 2 - 0.1 (3 / (3 + 1) + 0.5 * 2)
        close(session.run(w), 1.825)
        close(session.run(b), 1.925)


@pytest.mark.parametrize("name, decays", [
    ("bert/embeddings/word_embeddings", True),
    ("bert/embeddings/LayerNorm/gamma", False),
    ("bert/embeddings/LayerNorm/beta", False),
    ("bert/encoder/layer_0/attention/self/query/kernel", True),
    ("bert/encoder/layer_0/attention/self/query/bias", False),
    ("bert/encoder/layer_0/attention/output/LayerNorm/gamma", False),
    ("cls/predictions/transform/dense/kernel", True),
    ("cls/predictions/output_bias", False),
])
@pytest.mark.parametrize("use_resource", [True, False])
def test_weight_decay_leaves_layer_norm_and_bias_alone(name, decays,
                                                       use_resource):
    with tf.Graph().as_default(), tf.Session() as session:
        w = variable(name, [2.0, -4.0], use_resource)
        train = optimization.AdamWeightDecayOptimizer(0.5).minimize(
            tf.reduce_sum(w * 0.0))
        session.run(tf.global_variables_initializer())
        session.run(train)
        close(session.run(w), [1.99, -3.98] if decays else [2.0, -4.0])


def test_the_slots_are_adam_m_and_adam_v_and_nothing_else_is_made():
    with tf.Graph().as_default():
        with tf.variable_scope("bert/layer_0"):
            w = variable("kernel", [1.0, 2.0, 3.0])
        with tf.name_scope("training"):
            optimizer = optimization.AdamWeightDecayOptimizer(0.1)
            optimizer.minimize(tf.reduce_sum(w))
        assert names() == ["bert/layer_0/kernel", "bert/layer_0/kernel/adam_m",
                           "bert/layer_0/kernel/adam_v"]
        assert [v.shape.as_list() for v in tf.global_variables()] == [[3]] * 3
        assert [v.op.name for v in tf.trainable_variables()] == [
            "bert/layer_0/kernel"]
        assert sorted(optimizer.get_slot_names()) == ["m", "v"]


# --- the train op -----------------------------------------------------------

@pytest.mark.parametrize("scale", [10.0, 1.0, 0.1])
def test_gradients_are_clipped_together_to_a_global_norm_of_5(scale):
    # Of scale 1 the norm is sqrt(3^2 + 4^2 + 12^2) = 13, of scale 0.1 it is
    # 1.3 and nothing is clipped.
    gradients = [scale * np.array([3.0, 4.0]), scale * np.array([12.0])]
    with tf.Graph().as_default(), tf.Session() as session:
        loss = sum(tf.reduce_sum(variable(name, np.ones_like(g)) * g)
                   for name, g in zip("ab", gradients))
        train, _, _ = optimization.create_train_op(loss, 0.1, 10, 0)
        session.run(tf.global_variables_initializer())
        session.run(train)
        factor = {10.0: 5.0 / 130.0, 1.0: 5.0 / 13.0, 0.1: 1.0}[scale]
        for name, gradient in zip("ab", gradients):
            close(session.run(named(name + "/adam_m")),
                  0.1 * gradient * factor)
            close(session.run(named(name + "/adam_v")),
                  0.001 * (gradient * factor) ** 2)


@pytest.mark.parametrize("use_resource", [True, False])
def test_a_table_that_is_read_by_row_and_as_a_matrix_is_clipped_as_a_whole(
        use_resource):
    # As the word embeddings: gathered at the input, multiplied in the head.
    # Row 1 gets 3 + 3 + 3 + 3 + 1, the other rows 1: a norm of sqrt(171).
    with tf.Graph().as_default(), tf.Session() as session:
        table = variable("table", np.zeros([3, 1]), use_resource)
        loss = 3.0 * tf.reduce_sum(tf.gather(table, [1, 1, 1, 1]))
        loss += tf.reduce_sum(tf.matmul(tf.ones([1, 1]), table,
                                        transpose_b=True))
        train, _, _ = optimization.create_train_op(loss, 0.1, 10, 0)
        session.run(tf.global_variables_initializer())
        session.run(train)
        gradient = np.array([[1.0], [13.0], [1.0]])
        close(session.run(named("table/adam_m")),
              0.1 * gradient * 5.0 / np.sqrt(171.0))


@pytest.mark.parametrize("use_resource", [True, False])
def test_the_norm_of_a_sparse_gradient_counts_the_sum_of_repeated_rows(
        use_resource):
    # Row 1 gets 3 + 3 + 3 + 3 = 12; unsummed, the norm would be 6.
    with tf.Graph().as_default(), tf.Session() as session:
        table = variable("table", np.zeros([3, 1]), use_resource)
        train, _, _ = optimization.create_train_op(
            3.0 * tf.reduce_sum(tf.gather(table, [1, 1, 1, 1])), 0.1, 10, 0)
        session.run(tf.global_variables_initializer())
        session.run(train)
        close(session.run(named("table/adam_m")), [[0.0], [0.5], [0.0]])


def test_train_op_counts_steps_and_follows_the_schedule_to_its_end():
    rng = np.random.RandomState(2)
    starts = {"dense/kernel": rng.normal(size=[2, 3]),
              "LayerNorm/gamma": rng.normal(size=[3])}
    wanted = {"dense/kernel": NumpyAdamW(starts["dense/kernel"]),
              "LayerNorm/gamma": NumpyAdamW(starts["LayerNorm/gamma"], 0.0)}
    with tf.Graph().as_default(), tf.Session() as session:
        fed = {name: tf.placeholder(tf.float32, value.shape)
               for name, value in starts.items()}
        loss = sum(tf.reduce_sum(variable(name, value) * fed[name])
                   for name, value in starts.items())
        train, rate, _ = optimization.create_train_op(
            loss, init_lr=0.8, num_train_steps=5, num_warmup_steps=2)
        session.run(tf.global_variables_initializer())
        step = tf.train.get_global_step()
        # 0.8 step / 2, then 0.8 (1 - step / 5), then 0
        for i, r in enumerate([0.0, 0.4, 0.48, 0.32, 0.16, 0.0, 0.0]):
            assert session.run(step) == i
            close(session.run(rate), r)
            gradients = {name: rng.normal(0.0, 2.0 ** i, value.shape)
                         for name, value in starts.items()}
            session.run(train, {fed[name]: gradients[name] for name in fed})
            for name, g in zip(starts, np_clip(
                    [gradients[name] for name in starts])):
                wanted[name].step(g, r)
            check(session, wanted)
        assert session.run(step) == 7


def test_train_op_uses_the_global_step_that_is_there():
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.train.create_global_step()
        train, rate, _ = optimization.create_train_op(
            tf.reduce_sum(variable("w", [1.0])), 0.8, 10, 0)
        session.run(tf.global_variables_initializer())
        session.run(step.assign(5))
        close(session.run(rate), 0.4)
        session.run(train)
        assert session.run(step) == 6
        assert names() == ["global_step", "w", "w/adam_m", "w/adam_v"]


def test_train_op_leaves_variables_without_a_gradient_alone():
    with tf.Graph().as_default(), tf.Session() as session:
        unused = variable("unused", [2.0])
        train, _, _ = optimization.create_train_op(
            tf.reduce_sum(variable("w", [1.0])), 0.8, 10, 0)
        session.run(tf.global_variables_initializer())
        session.run(train)
        close(session.run(unused), [2.0])
        assert session.run(named("w")) != 1.0


# --- tf.distribute ----------------------------------------------------------

def mirrored(replicas):
    return tf.distribute.MirroredStrategy(
        ["/cpu:%d" % i for i in range(replicas)])


def cpus(replicas):
    return tf.ConfigProto(device_count={"CPU": replicas})


def run_replicas(strategy, function):
    """A list of what the function returns, one item a replica."""
    run = getattr(strategy, "run", None) or strategy.experimental_run_v2
    return strategy.experimental_local_results(run(function))


@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_take_one_step_along_their_summed_gradients(replicas):
    # TensorFlow averages the replicas' gradients under Estimator alone.
    strategy = mirrored(replicas)
    factors = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])[:replicas]
    rows = [0, 2, 0]
    with tf.Graph().as_default(), tf.Session(config=cpus(replicas)) as session:
        with strategy.scope():
            w = variable("w", [1.0, 2.0, 3.0])
            bias = variable("bias", [1.0, 2.0, 3.0])
            table = variable("table", [1.0, 2.0, 3.0])
            step = tf.train.get_or_create_global_step()
            optimizer = optimization.AdamWeightDecayOptimizer(0.1)

        def minimize():
            replica = tf.distribute.get_replica_context()
            factor = tf.gather(tf.constant(factors, tf.float32),
                               replica.replica_id_in_sync_group)
            return optimizer.minimize(
                tf.reduce_sum((w + bias + tf.gather(table, rows)) * factor),
                global_step=step)

        with strategy.scope():
            train = tf.group(*run_replicas(strategy, minimize))
            session.run(tf.global_variables_initializer())
        wanted = {name: NumpyAdamW([1.0, 2.0, 3.0], decay)
                  for name, decay in (("w", DECAY), ("bias", 0.0),
                                      ("table", DECAY))}
        total = factors.sum(axis=0)
        of_table = np.zeros(3)
        np.add.at(of_table, rows, total)
        for count in range(1, 4):
            session.run(train)
            for name, gradient in (("w", total), ("bias", total),
                                   ("table", of_table)):
                wanted[name].step(gradient, 0.1)
            check(session, wanted)
            assert session.run(step) == count
        # Every replica's copy has gone the same way.
        for mirror in (w, bias, table):
            copies = session.run(
                list(strategy.experimental_local_results(mirror)))
            assert len(copies) == replicas
            for copy in copies:
                close(copy, wanted[mirror.op.name].value)


def test_replicas_clip_the_sum_of_their_gradients():
    # Norms of 50 and 41; the sum's is 13. Clipped one by one they would have
    # another direction.
    gradients = np.array([[30.0, 40.0], [-18.0, -37.0]])
    total = gradients.sum(axis=0)
    with tf.Graph().as_default(), tf.Session(config=cpus(2)) as session:
        strategy = mirrored(2)

        def train_op():
            replica = tf.distribute.get_replica_context()
            gradient = tf.gather(tf.constant(gradients, tf.float32),
                                 replica.replica_id_in_sync_group)
            w = tf.get_variable("w", initializer=[1.0, 2.0])
            tf.get_variable("unused", initializer=[3.0])
            return optimization.create_train_op(
                tf.reduce_sum(w * gradient), 0.8, 4, 0)[0]

        with strategy.scope():
            train = tf.group(*run_replicas(strategy, train_op))
            session.run(tf.global_variables_initializer())
        wanted = NumpyAdamW([1.0, 2.0])
        for rate in (0.8, 0.6, 0.4):
            session.run(train)
            wanted.step(np_clip([total])[0], rate)
            check(session, {"w": wanted})
        close(session.run(named("unused")), [3.0])


def test_train_op_in_a_replica_is_the_train_op():
    strategy = mirrored(1)
    gradient = np.array([30.0, 40.0])
    with tf.Graph().as_default(), tf.Session(config=cpus(1)) as session:
        with strategy.scope():
            w = variable("w", [1.0, 2.0])
            train, = run_replicas(
                strategy, lambda: optimization.create_train_op(
                    tf.reduce_sum(w * gradient), 0.8, 4, 2)[0])
            session.run(tf.global_variables_initializer())
        wanted = NumpyAdamW([1.0, 2.0])
        for rate in (0.0, 0.4, 0.4, 0.2, 0.0):
            session.run(train)
            wanted.step(gradient / 10.0, rate)
            check(session, {"w": wanted})
        assert session.run(named("global_step")) == 5


@pytest.mark.parametrize("replicas, strategy, scale", [
    (1, lambda: None, 10.0), (1, lambda: mirrored(1), 10.0),
    (1, lambda: tf.distribute.OneDeviceStrategy("/cpu:0"), 10.0),
    (2, lambda: mirrored(2), 0.1)],
    ids=["no strategy", "one mirror", "one device", "two mirrors"])
def test_estimator_trains_with_the_train_op_under_a_strategy(
        replicas, strategy, scale, tmp_path):
    def input_fn():
        return tf.data.Dataset.from_tensors(
            {"x": np.array([3.0, 4.0], np.float32)}).repeat()

    def model_fn(features, labels, mode):
        del labels
        loss = scale * tf.reduce_sum(variable("w", [1.0, 2.0]) * features["x"])
        train, _, _ = optimization.create_train_op(loss, 0.8, 4, 2)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train)

    estimator = tf.estimator.Estimator(
        model_fn, str(tmp_path), tf.estimator.RunConfig(
            train_distribute=strategy(), session_config=cpus(replicas)))
    estimator.train(input_fn, max_steps=3)
    wanted = NumpyAdamW([1.0, 2.0])
    for rate in (0.0, 0.4, 0.4):       # the replicas' mean gradient, clipped
        wanted.step(min(scale, 1.0) * np.array([3.0, 4.0]), rate)
    assert estimator.get_variable_value("global_step") == 3
    for name, value in (("w", wanted.value), ("w/adam_m", wanted.m),
                        ("w/adam_v", wanted.v)):
        close(estimator.get_variable_value(name), value)


@pytest.mark.parametrize("asked", [True, False])
def test_mixed_precision_rewrites_the_graph_where_it_is_asked_for(asked):
    with tf.Graph().as_default(), mock.patch.object(
            tf.train.experimental, "enable_mixed_precision_graph_rewrite",
            side_effect=lambda optimizer: optimizer) as rewrite:
        optimization.create_train_op(
            tf.reduce_sum(variable("w", [1.0])), 0.8, 10, 0,
            mixed_precision=asked)
        assert rewrite.called == asked
