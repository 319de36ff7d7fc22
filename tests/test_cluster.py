"""Clusters of run.py processes on this machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import input_pipeline
from benchmarks.workers import free_addresses
from conftest import LENGTH, MASKED, ROOT, results_of, run_flags


class Cluster(object):
    """Processes of run.py, one a task; `kinds` names each one's type."""

    def __init__(self, folder, kinds, strategy, *flags):
        self._folder, spec = folder, {}
        listed = [kind for kind in kinds if kind != "evaluator"]
        for kind, address in zip(listed, free_addresses(len(listed))):
            spec.setdefault(kind, []).append(address)
        self.tasks, count = [], {}
        for kind in kinds:
            index = count[kind] = count.get(kind, -1) + 1
            given = ["--distribution_strategy=" + strategy]
            given += ["--do_eval", "--checkpointDir=%s/run" % folder] \
                if kind == "evaluator" else list(flags)
            with open(str(folder / ("%s-%d.log" % (kind, index))), "w") as log:
                self.tasks.append(subprocess.Popen(
                    [sys.executable, os.path.join(ROOT, "run.py")] + given,
                    stdout=log, stderr=log, env=dict(
                        os.environ, TF_CONFIG=json.dumps({
                            "cluster": spec,
                            "task": {"type": kind, "index": index}}))))

    def log(self, name):
        return (self._folder / (name + ".log")).read_text()

    def wait(self, seconds=240):
        """list of int, the tasks' exit statuses; all of them are ended."""
        end = time.time() + seconds
        try:
            while time.time() < end and any(
                    task.poll() is None for task in self.tasks):
                time.sleep(0.2)
            return [task.poll() for task in self.tasks]
        finally:
            for task in self.tasks:
                if task.poll() is None:
                    task.kill()


def training(dataset, folder, **changes):
    """run.py's flags for a training without dropout."""
    return run_flags(dataset, folder, **dict(dict(
        do_train=True, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, num_train_steps=4), **changes))


def variables_of(folder):
    """dict, name -> array, of the newest checkpoint."""
    reader = tf.train.load_checkpoint(str(folder / "run"))
    return {name: reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()}


@pytest.fixture
def whole_batch(dataset, tmp_path):
    """A dataset whose training file is one batch, and the batch's size: each
    of two workers has half of it, whatever the order."""
    records = list(tf.python_io.tf_record_iterator(
        dataset.prefix + ".train.tfrecord"))
    size = len(records) // 2 * 2
    folder = tmp_path / "even"
    shutil.copytree(str(dataset.folder), str(folder))
    prefix = str(folder / "tiny-x")
    with tf.python_io.TFRecordWriter(prefix + ".train.tfrecord") as writer:
        for record in records[:size]:
            writer.write(record)
    assert input_pipeline.record_lengths(prefix + ".train.tfrecord") == (
        LENGTH, MASKED)
    return dataset._replace(folder=folder, prefix=prefix), size


def test_two_workers_train_as_one_process_and_the_chief_evaluates(
        whole_batch, trained, tmp_path):
    data, size = whole_batch
    alone, both = tmp_path / "alone", tmp_path / "both"
    for folder in (alone, both):
        folder.mkdir()
    # From the same start: first values follow the graph, which differs.
    flags = [training(data, folder, batch_size=size, do_eval=True,
                      init_checkpoint=trained[0] / "run" / "model.ckpt-5")
             for folder in (alone, both)]
    subprocess.check_call([sys.executable, os.path.join(ROOT, "run.py")]
                          + flags[0])
    cluster = Cluster(both, ["worker", "worker"], "multi_worker", *flags[1])
    assert cluster.wait() == [0, 0], cluster.log("worker-0")
    for index in (0, 1):
        assert ("2 replicas in 2 process(es) step together, with %d of the %d "
                "sequences each" % (size // 2, size)
                in cluster.log("worker-%d" % index))
    wanted, found = variables_of(alone), variables_of(both)
    assert set(wanted) == set(found)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5)
    assert "valid_user" in cluster.log("worker-0")
    assert "valid_user" not in cluster.log("worker-1")
    assert results_of(both)[1]["global_step"] == "4"
    assert not [name for name in os.listdir(str(both / "run"))
                if name.startswith("tmp_")]


def test_a_cluster_of_one_worker_trains_and_evaluates(dataset, tmp_path):
    cluster = Cluster(tmp_path, ["worker"], "multi_worker", *training(
        dataset, tmp_path, do_eval=True))
    assert cluster.wait() == [0], cluster.log("worker-0")
    assert results_of(tmp_path)[1]["global_step"] == "4"


@pytest.mark.parametrize("kind, strategy", [
    ("worker", "multi_worker"), ("chief", "parameter_server")])
def test_an_address_that_is_taken_is_one_line(dataset, tmp_path, kind, strategy,
                                              monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        monkeypatch.setattr(sys.modules[__name__], "free_addresses",
                            lambda count: [taken, "127.0.0.1:1"][:count])
        kinds = [kind] if kind == "worker" else [kind, "ps"]
        cluster = Cluster(tmp_path, kinds, strategy,
                          *training(dataset, tmp_path))
        for other_task in cluster.tasks[1:]:  # it would serve for ever
            other_task.kill()
        assert cluster.wait()[0] == 1, cluster.log(kind + "-0")
    assert "Traceback" not in cluster.log(kind + "-0")
    assert "run.py: error: this task's address in TF_CONFIG cannot be served" \
        in cluster.log(kind + "-0")


def test_without_a_worker_the_others_stop_and_a_restart_goes_on(
        dataset, tmp_path):
    flags = training(dataset, tmp_path, batch_size=8, num_train_steps=100000,
                     save_checkpoints_steps=5)
    cluster = Cluster(tmp_path, ["worker", "worker"], "multi_worker", *flags)
    try:
        while not os.path.exists(str(tmp_path / "run" / "model.ckpt-5.index")):
            assert cluster.tasks[0].poll() is None, cluster.log("worker-0")
            time.sleep(0.2)
    except BaseException:
        cluster.wait(0)
        raise
    cluster.tasks[1].send_signal(signal.SIGKILL)
    assert cluster.wait() == [1, -signal.SIGKILL]
    errors = [line for line in cluster.log("worker-0").splitlines()
              if "error" in line]
    assert len(errors) == 1
    assert "worker 1 at 127.0.0.1:" in errors[0]
    assert "start all tasks again" in errors[0]
    step = int(variables_of(tmp_path)["global_step"])
    assert step >= 5
    again = Cluster(tmp_path, ["worker", "worker"], "multi_worker", *training(
        dataset, tmp_path, batch_size=8, num_train_steps=step + 3))
    assert again.wait() == [0, 0], again.log("worker-0")
    assert "from step %d to %d" % (step, step + 3) in again.log("worker-1")
    assert variables_of(tmp_path)["global_step"] == step + 3


def test_a_parameter_server_serves_until_the_chief_is_done(dataset, tmp_path):
    cluster = Cluster(
        tmp_path, ["chief", "worker", "ps", "evaluator"], "parameter_server",
        *training(dataset, tmp_path, num_train_steps=20))
    assert cluster.wait() == [0, 0, 0, 0], [
        cluster.log(name) for name in ("chief-0", "worker-0", "ps-0",
                                       "evaluator-0")]
    assert "2 workers step each by itself, with 7 sequences a step" in \
        cluster.log("chief-0")
    assert "chief 0 is gone: nothing is left to do" in cluster.log("ps-0")
    assert "valid_user" in cluster.log("evaluator-0")
    assert int(results_of(tmp_path)[1]["global_step"]) >= 20


def test_mirrored_without_a_gpu_is_one_replica(dataset, tmp_path):
    subprocess.check_call([sys.executable, os.path.join(ROOT, "run.py")]
                          + training(dataset, tmp_path, num_train_steps=2,
                                     distribution_strategy="mirrored"))
    assert variables_of(tmp_path)["global_step"] == 2
