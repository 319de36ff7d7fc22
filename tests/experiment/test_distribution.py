"""Training on two replicas, and clusters of processes on this machine."""

import argparse
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import input_pipeline
from conftest import CONFIG, ITEMS, LENGTH, MASKED, ROOT
from experiment import distribution, model_fn
from modeling import BertConfig

# --- two replicas train as one ----------------------------------------------


def variables_after(steps, strategy, dataset, folder, **changes):
    """dict, name -> array: every variable, Adam's moments too, after some
    steps without dropout at a batch of 14 over all replicas."""
    config = BertConfig.from_dict(dict(
        CONFIG, vocab_size=ITEMS + 4, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0))
    args = argparse.Namespace(**dict(dict(
        bucket_by_length=False, shift_positions=False, num_sampled=0,
        init_checkpoint=None, learning_rate=0.01, num_train_steps=10,
        num_warmup_steps=2, mixed_precision=False), **changes))
    input_fn = input_pipeline.make_input_fn(
        [dataset.prefix + ".train.tfrecord"], LENGTH, MASKED, 14, True, 5)
    estimator = tf.estimator.Estimator(
        model_fn.build_model_fn(
            config, args, init_checkpoint=args.init_checkpoint), str(folder),
        tf.estimator.RunConfig(
            train_distribute=strategy, tf_random_seed=3,
            session_config=tf.ConfigProto(device_count={"CPU": 2})))
    estimator.train(input_fn, max_steps=steps)
    return {name: estimator.get_variable_value(name)
            for name in estimator.get_variable_names()}


def test_two_replicas_train_as_one(dataset, trained, tmp_path):
    # From the same start: first values follow the graph, which differs.
    start = str(trained[0] / "run" / "model.ckpt-5")
    alone = variables_after(4, None, dataset, tmp_path / "alone",
                            init_checkpoint=start)
    both = variables_after(4, tf.distribute.MirroredStrategy(
        ["/cpu:0", "/cpu:1"]), dataset, tmp_path / "both",
                           init_checkpoint=start)
    assert set(alone) == set(both) and len(alone) > 100
    for name, value in alone.items():
        np.testing.assert_allclose(both[name], value, rtol=0, atol=1e-5)


# --- clusters ---------------------------------------------------------------

def cluster_of(strategy, spec, kind, index, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(
        {"cluster": spec, "task": {"type": kind, "index": index}}))
    return distribution.read_cluster(strategy)


WORKERS = {"worker": ["a:1", "b:2", "c:3"]}
SERVED = {"chief": ["a:1"], "worker": ["b:2"], "ps": ["c:3", "d:4"]}


def test_without_a_cluster_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for strategy in ("none", "mirrored"):
        assert distribution.read_cluster(strategy) == (
            1, ("worker", 0), True, ())


def test_workers_need_each_other_and_the_first_is_the_chief(monkeypatch):
    assert cluster_of("multi_worker", WORKERS, "worker", 0, monkeypatch) == (
        3, ("worker", 0), True, (("worker 1", "b:2"), ("worker 2", "c:3")))
    assert cluster_of("multi_worker", WORKERS, "worker", 2, monkeypatch) == (
        3, ("worker", 2), False, (("worker 0", "a:1"), ("worker 1", "b:2")))


def test_who_is_served_needs_the_chief_and_the_servers(monkeypatch):
    def needed(kind, index):
        return cluster_of("parameter_server", SERVED, kind, index, monkeypatch)

    servers = (("ps 0", "c:3"), ("ps 1", "d:4"))
    assert needed("chief", 0) == (2, ("chief", 0), True, servers)
    assert needed("worker", 0) == (
        2, ("worker", 0), False, (("chief 0", "a:1"),) + servers)
    assert needed("ps", 1) == (2, ("ps", 1), False, (("chief 0", "a:1"),))


@pytest.mark.parametrize("strategy, spec, tasks", [
    ("multi_worker", WORKERS, [("worker", 0), ("worker", 1), ("worker", 2)]),
    ("parameter_server", SERVED, [("chief", 0), ("worker", 0)])])
def test_no_two_tasks_drop_the_same_units_and_the_chief_those_of_one_process(
        strategy, spec, tasks, monkeypatch):
    offsets = [model_fn._seed_offset(cluster_of(
        strategy, spec, kind, index, monkeypatch)) for kind, index in tasks]
    assert len(set(offsets)) == len(tasks)
    assert offsets[0] == model_fn._seed_offset(distribution.ALONE) == 0


@pytest.mark.parametrize("strategy, text, said", [
    ("multi_worker", None, "needs a worker in the cluster of TF_CONFIG"),
    ("parameter_server", json.dumps({"cluster": WORKERS, "task": {
        "type": "worker", "index": 0}}), "needs a chief and a ps"),
    ("none", json.dumps({"cluster": WORKERS}), "pass multi_worker"),
    ("multi_worker", "{", "is not a cluster"),
    ("multi_worker", "[]", "is not a cluster"),
    ("multi_worker", '{"cluster": {"worker": 3}}', "is not a cluster"),
    ("multi_worker", '{"cluster": {"worker": "host:2222"}}',
     "the worker's addresses are no list"),
    ("multi_worker", '{"cluster": {"worker": ["localhost"]}}',
     "'localhost' is no host:port"),
    ("multi_worker", '{"cluster": {"worker": ["a:1"]}, "task": {"index": '
     'Infinity}}', "the index inf is no number of a task"),
    ("multi_worker", '{"cluster": {"worker": ["a:1"]}, "task": {"index": 0.7}}',
     "the index 0.7 is no number of a task"),
    ("multi_worker", '{"cluster": ' + "[" * 100000, "is not a cluster"),
    ("multi_worker", json.dumps({"cluster": WORKERS, "task": {
        "type": ["worker"], "index": 0}}), "is not in the cluster"),
    ("multi_worker", json.dumps({"cluster": WORKERS, "task": {
        "type": "worker", "index": 3}}), "worker 3 is not in the cluster"),
    ("multi_worker", json.dumps({"cluster": WORKERS, "task": {
        "type": "wurker", "index": 0}}), "which has 3 worker")])
def test_what_is_no_cluster_is_an_error(strategy, text, said, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError) as error:
        distribution.read_cluster(strategy)
    assert said in str(error.value)


def test_a_cluster_of_one_is_a_cluster(monkeypatch):
    one = cluster_of("multi_worker", {"worker": ["a:1"]}, "worker", 0,
                     monkeypatch)
    assert one == distribution.ALONE and one is not distribution.ALONE


@pytest.mark.parametrize("family, host, written", [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1:%d"),
    (socket.AF_INET6, "::1", "[::1]:%d")])
def test_a_task_that_listens_answers(family, host, written):
    try:
        task = socket.socket(family)
        task.bind((host, 0))
    except OSError:
        pytest.skip("no such addresses here")
    task.listen(5)
    address = written % task.getsockname()[1]
    assert distribution._answers(address)
    task.close()
    assert not distribution._answers(address)


def test_a_batch_that_replicas_do_not_divide_is_an_error():
    strategy = argparse.Namespace(num_replicas_in_sync=4)
    distribution.check_batch(strategy, distribution.ALONE, 8)
    with pytest.raises(ValueError) as error:
        distribution.check_batch(strategy, distribution.ALONE, 6)
    assert "--batch_size=6 is not a multiple of the 4 replicas; 4 or 8 is" in \
        str(error.value)


@pytest.mark.parametrize("kind, done, status, said", [
    ("worker", False, 1, "run.py: error: chief 0 at %s is gone"),
    ("worker", True, 0, "chief 0 is gone: nothing is left to do"),
    ("ps", False, 0, "chief 0 is gone: nothing is left to do")])
def test_who_needs_a_task_that_is_gone_ends(kind, done, status, said):
    """A chief that listens, then does not; who needs it is a process."""
    chief = socket.socket()
    chief.bind(("127.0.0.1", 0))
    chief.listen(5)
    address = "127.0.0.1:%d" % chief.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", """
import sys, time
sys.path.insert(0, %r)
from experiment import distribution
distribution.LOOK_EVERY = 0.2
cluster = distribution.Cluster(2, (%r, 0), False, (("chief 0", %r),))
with distribution.watched(cluster, lambda: %r):
    print("watching", flush=True)
    time.sleep(60)
""" % (ROOT, kind, address, done)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"watching\n"
    chief.accept()                              # it was seen
    chief.close()
    errors = process.communicate()[1].decode()
    assert process.returncode == status
    assert (said % address if "%s" in said else said) in errors
