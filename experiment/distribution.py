"""Training on several devices or machines, by TensorFlow's own strategies."""

import collections
import contextlib
import json
import os
import re
import socket
import sys
import threading

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

NONE, MIRRORED = "none", "mirrored"
MULTI_WORKER, PARAMETER_SERVER = "multi_worker", "parameter_server"
STRATEGIES = (NONE, MIRRORED, MULTI_WORKER, PARAMETER_SERVER)
VARIABLE = "TF_CONFIG"  # the environment's word for cluster and task

_ADDRESS = re.compile(r".*[^:]:[0-9]{1,5}\Z")

LOOK_EVERY = 2.0  # seconds between two looks at the tasks that are needed
LOOKS = 7         # that find one gone, before it counts as gone; one that finds
                  # no machine takes LOOK_EVERY itself

# What trains: `workers` is how many processes do, and this one is `task`, as
# (type, index); `needed` are the (name, address) of those that it cannot go on
# without. Without a cluster it is the one worker, and the chief.
Cluster = collections.namedtuple("Cluster", "workers task is_chief needed")
ALONE = Cluster(1, ("worker", 0), True, ())


def read_cluster(strategy):
    """The Cluster of the environment, as Estimators read it from TF_CONFIG.

    Args:
        strategy: one of STRATEGIES.

    Raises:
        ValueError: the strategy has no cluster to work with, or the cluster
            no strategy; or TF_CONFIG is malformed.
    """
    text = os.environ.get(VARIABLE, "")
    spec, task = _parse(text) if text else ({}, ALONE.task)
    if strategy not in (MULTI_WORKER, PARAMETER_SERVER):
        if spec:
            raise ValueError(
                "%s names a cluster, but --distribution_strategy=%s trains in "
                "one process; pass multi_worker or parameter_server, or unset "
                "%s" % (VARIABLE, strategy, VARIABLE))
        return ALONE
    wanted = {MULTI_WORKER: ("worker",),
              PARAMETER_SERVER: ("chief", "ps")}[strategy]
    missing = [kind for kind in wanted if not spec.get(kind)]
    if missing:
        raise ValueError(
            "--distribution_strategy=%s needs a %s in the cluster of %s; write "
            '{"cluster": {%s}, "task": {"type": "%s", "index": 0}} there'
            % (strategy, " and a ".join(missing), VARIABLE,
               ", ".join('"%s": ["host:port"]' % kind for kind in wanted),
               wanted[0]))
    training = [(kind, index) for kind in ("chief", "worker")
                for index in range(len(spec.get(kind, ())))]
    return Cluster(len(training), task, task == training[0],
                   _needed(strategy, spec, task, training))


def _needed(strategy, spec, task, training):
    """The (name, address) of the tasks that this one cannot go on without.

    Workers that step together need each other. Those that step by themselves
    need the chief and the parameter servers, and these the chief.
    """
    needed = training
    if strategy == PARAMETER_SERVER:
        needed = training[:1]
        if task[0] != "ps":
            needed = needed + [("ps", index) for index in range(len(spec["ps"]))]
    return tuple(("%s %d" % (kind, index), spec[kind][index])
                 for kind, index in needed if (kind, index) != task)


def _parse(text):
    """(dict, task type -> list of addresses; the task) of TF_CONFIG."""
    try:
        value = json.loads(text)
        spec = value.get("cluster", {})
        for kind, addresses in spec.items():
            if not isinstance(addresses, list):
                raise TypeError("the %s's addresses are no list" % kind)
            spec[kind] = list(map(str, addresses))
            for address in spec[kind]:
                if not _ADDRESS.match(address):
                    raise ValueError("%r is no host:port" % address)
        task = value.get("task", {})
        kind, index = str(task.get("type", "worker")), str(task.get("index", 0))
        if not index.isdigit():
            raise ValueError("the index %s is no number of a task" % index)
        index = int(index)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            "%s is not a cluster (%s): %s; write {\"cluster\": {\"worker\": "
            "[\"host:port\", ...]}, \"task\": {\"type\": \"worker\", \"index\": "
            "0}}" % (VARIABLE, error, util.quote(text)))
    if spec and kind != "evaluator" and not (
            0 <= index < len(spec.get(kind, ()))):
        raise ValueError("%s: the task %s %d is not in the cluster, which has "
                         "%s; correct type or index" % (
                             VARIABLE, kind, index, ", ".join(
                                 "%d %s" % (len(spec[name]), name)
                                 for name in sorted(spec)) or "no tasks"))
    return spec, (kind, index)


@contextlib.contextmanager
def without_cluster():
    """Hides the cluster, so that an Estimator made here is of this process."""
    text = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if text is not None:
            os.environ[VARIABLE] = text


def make(strategy):
    """The tf.distribute strategy of this name, or None for none."""
    if strategy == NONE:
        return None
    if strategy == MIRRORED:
        return tf.distribute.MirroredStrategy()
    return {MULTI_WORKER: tf.distribute.experimental.MultiWorkerMirroredStrategy,
            PARAMETER_SERVER: tf.distribute.experimental.ParameterServerStrategy
            }[strategy]()


def check_batch(strategy, cluster, batch_size):
    """Says what each replica takes of a batch.

    Args:
        strategy: as `make` returns.
        cluster: Cluster.
        batch_size: int, over all replicas.

    Raises:
        ValueError: the replicas do not divide it.
    """
    replicas = strategy.num_replicas_in_sync if strategy else 1
    if batch_size % replicas:
        below = batch_size // replicas * replicas
        raise ValueError(
            "--batch_size=%d is not a multiple of the %d replicas; %s is" % (
                batch_size, replicas, " or ".join(
                    str(size) for size in (below, below + replicas) if size)))
    if replicas > 1:
        util.log("%d replicas in %d process(es) step together, with %d of the "
                 "%d sequences each" % (replicas, cluster.workers,
                                        batch_size // replicas, batch_size))
    elif cluster.workers > 1:
        util.log("%d workers step each by itself, with %d sequences a step; "
                 "the steps of all are counted" % (cluster.workers, batch_size))


@contextlib.contextmanager
def watched(cluster, is_done):
    """Ends this process where a task that it needs is gone.

    TensorFlow waits for it for ever, on either runtime. A task counts as gone
    once it has answered at its address and then does not any more. That is an
    error unless the training is done by then, which a worker that comes late
    may find, or this task is there to serve alone.

    Args:
        cluster: Cluster.
        is_done: function -> bool, whether the last step has been saved.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(cluster, is_done, stop))
    thread.daemon = True
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _watch(cluster, is_done, stop):
    misses = {}  # address -> looks in a row without an answer
    while not stop.wait(LOOK_EVERY):
        for name, address in cluster.needed:
            if _answers(address):
                misses[address] = 0
            elif address in misses:
                misses[address] += 1
            if misses.get(address) == LOOKS:
                _end(name, address, cluster.task[0] == "ps" or is_done())


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection(
            (host.strip("[]"), int(port)), LOOK_EVERY).close()
        return True
    except (OSError, ValueError):
        return False


def _end(name, address, well):
    """Ends this process from a thread beside TensorFlow's, which waits."""
    if well:
        util.log("%s is gone: nothing is left to do" % name)
    else:
        sys.stderr.write(
            "run.py: error: %s at %s is gone; the newest checkpoint is whole: "
            "start all tasks again to go on from it\n" % (name, address))
    sys.stderr.flush()
    os._exit(0 if well else 1)


def is_evaluator(strategy):
    """Whether this is the task of a cluster that evaluates and does not train."""
    return strategy != NONE and read_cluster(strategy).task[0] == "evaluator"


def await_checkpoint(folder):
    """Waits until the other tasks have written a first checkpoint."""
    util.log("waiting for a checkpoint in %s" % folder)
    next(tf.train.checkpoints_iterator(folder))
