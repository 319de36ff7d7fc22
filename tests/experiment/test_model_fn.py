"""The graph that the flags of run.py ask for, and its sessions."""

from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import input_pipeline
import modeling
import optimization
from experiment import distribution, model_fn, saving
from model import masked_item

TRAIN, EVAL = tf.estimator.ModeKeys.TRAIN, tf.estimator.ModeKeys.EVAL


class Built(Exception):
    """A stand-in has been called; nothing further is to be built."""


def stand_in(given):
    """A function that notes its keyword arguments and builds nothing."""
    def called(*arguments, **options):
        given.append(options)
        raise Built
    return called


@pytest.mark.parametrize("asked", [True, False])
def test_positions_are_shifted_where_asked_and_in_training_alone(
        asked, monkeypatch):
    given = []

    def encode(config, is_training, features, groups, shift_positions):
        given.append((is_training, shift_positions))
        raise Built

    monkeypatch.setattr(modeling, "encode_masked_rows", encode)
    build = model_fn.build_model_fn(
        modeling.BertConfig(9, max_position_embeddings=13),
        mock.Mock(shift_positions=asked))
    for mode in (TRAIN, EVAL):
        with pytest.raises(Built):
            build({}, None, mode)
    assert given == [(True, asked), (False, False)]


@pytest.mark.parametrize("asked", [True, False])
def test_xla_is_on_where_it_is_asked_for(asked):
    config = model_fn.session_config(  # exact, so that there is one
        mock.Mock(xla=asked, mixed_precision=True))
    level = config.graph_options.optimizer_options.global_jit_level
    assert (level == tf.OptimizerOptions.ON_1) == asked


@pytest.mark.parametrize("form", modeling.ATTENTION_FORMS)
def test_padding_is_cut_but_for_the_form_that_reads_it(form, monkeypatch):
    config, groups = modeling.BertConfig(9, attention_form=form), []

    def encode(config, is_training, features, count, **options):
        groups.append(count)
        raise Built

    monkeypatch.setattr(modeling, "encode_masked_rows", encode)
    monkeypatch.setattr(input_pipeline, "make_input_fn",
                        lambda *arguments, **options: options["trim"])
    build = model_fn.build_model_fn(config, mock.Mock(bucket_by_length=True))
    for mode in (TRAIN, EVAL):
        with pytest.raises(Built):
            build({}, None, mode)
    cut = form != "cross_gram"
    assert groups == [4 if cut else 1] * 2
    assert model_fn.input_fn(mock.MagicMock(config=config), "x", 7) == cut


@pytest.mark.parametrize("seed, trains", [(None, False), (0, True), (3, True)])
def test_any_seed_makes_the_input_that_of_a_training(seed, trains,
                                                     monkeypatch):
    monkeypatch.setattr(
        input_pipeline, "make_input_fn", lambda *arguments, **options: (
            options["is_training"], options["seed"]))
    assert model_fn.input_fn(mock.MagicMock(), "x", 7, seed) == (trains, seed)


@pytest.mark.parametrize("num_sampled, name", [
    (0, "chunked_item_loss"), (5, "sampled_item_loss")])
def test_either_training_loss_starts_at_the_output_bias(num_sampled, name,
                                                        monkeypatch):
    given, bias = [], np.arange(9.0)
    monkeypatch.setattr(modeling, "encode_masked_rows",
                        lambda *arguments, **options: ())
    monkeypatch.setattr(masked_item, name, stand_in(given))
    build = model_fn.build_model_fn(
        modeling.BertConfig(9), mock.Mock(num_sampled=num_sampled), bias)
    with pytest.raises(Built):
        build({}, None, TRAIN)
    assert given[0]["output_bias"] is bias
    assert given[0].get("num_sampled", 0) == num_sampled


def test_a_training_watches_loss_rate_and_norm_in_this_order(monkeypatch):
    given = {}

    def create(loss, *arguments, **options):
        given.update(options)
        return tf.no_op(), tf.constant(0.25), tf.constant(1.5)

    monkeypatch.setattr(modeling, "encode_masked_rows",
                        lambda *arguments, **options: ())
    monkeypatch.setattr(masked_item, "chunked_item_loss",
                        lambda *arguments, **options: tf.constant(2.5))
    monkeypatch.setattr(optimization, "create_train_op", create)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.create_global_step()
        model_fn.build_model_fn(modeling.BertConfig(9), mock.Mock(
            num_sampled=0, mixed_precision=True))({}, None, TRAIN)
        assert session.run(tf.get_collection(saving.WATCHED)) == [
            2.5, 0.25, 1.5]
    assert given == {"mixed_precision": True}


def test_accuracy_and_loss_of_the_masked_items_by_hand(monkeypatch):
    logits = [[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [0.0, 1.0, 2.0]]
    monkeypatch.setattr(modeling, "encode_masked_rows",
                        lambda *arguments, **options: ())
    monkeypatch.setattr(masked_item, "masked_item_loss", lambda *head: [
        tf.constant(value) for value in (
            7.0, [0.5, 1.0, 3.0], logits, [1, 0, 0], [1.0, 1.0, 1.0])])
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.ones([3, 2], tf.int32)
        metrics = model_fn.build_model_fn(modeling.BertConfig(3), mock.Mock())(
            {name: ids for name in ("info", "input_ids", "masked_lm_ids")},
            None, EVAL).eval_metric_ops
        session.run(tf.local_variables_initializer())
        session.run([update for _, update in metrics.values()])
        found = session.run({name: value for name, (value, _)
                             in metrics.items()})
    assert found == {"masked_lm_accuracy": pytest.approx(2 / 3.0),
                     "masked_lm_loss": pytest.approx(4.5 / 3)}


def test_weights_and_dropout_follow_the_seed_and_the_task(tmp_path):
    def seed_of(random_seed, cluster):
        return model_fn.make_estimator(mock.Mock(
            model_dir=str(tmp_path), cluster=cluster, args=mock.Mock(
                random_seed=random_seed, output_bias="zeros", xla=False,
                mixed_precision=False, num_train_steps=5,
                keep_checkpoint_max=3))).config.tf_random_seed

    third = distribution.Cluster(3, ("worker", 2), False, ())
    assert seed_of(7, distribution.ALONE) == 7
    assert len({seed_of(seed, cluster) for seed in (7, 8)
                for cluster in (distribution.ALONE, third)}) == 4


def test_only_training_sessions_are_in_mixed_precision():
    for mixed, training_, off in ((True, False, True), (True, True, False),
                                  (False, False, False)):
        config = model_fn.session_config(
            mock.Mock(xla=False, mixed_precision=mixed), training_)
        options = tf.ConfigProto().graph_options.rewrite_options if (
            config is None) else config.graph_options.rewrite_options
        assert (options.auto_mixed_precision == options.OFF) == off
