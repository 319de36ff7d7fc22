"""Checkpoints while training, Ctrl-C and SIGTERM, values that are not finite."""

import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from unittest import mock

import pytest
import tensorflow.compat.v1 as tf

from conftest import ROOT, command, run_flags, scalars_of
from experiment import checkpoints, saving, training
from experiment.job import check_job
from test_job import arguments


def steps_in(folder):
    """list of int, the steps of a model directory's checkpoints."""
    return [int(path.rsplit("-", 1)[1])
            for path in checkpoints.saved(str(folder / "run"))]


def last_line(errors):
    assert "Traceback" not in errors, errors
    return errors.splitlines()[-1]


# --- what is saved ----------------------------------------------------------

def test_the_newest_checkpoints_are_kept_and_no_graph(dataset, tmp_path):
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=11,
        save_checkpoints_steps=2, keep_checkpoint_max=3))
    assert status == 0, errors
    assert steps_in(tmp_path) == [8, 10, 11]
    names = os.listdir(str(tmp_path / "run"))
    assert not [name for name in names if name.endswith((".meta", ".pbtxt"))]
    events, = glob.glob(str(tmp_path / "run" / "events.*"))
    assert os.path.getsize(events) < 20000
    assert 11 in scalars_of(tmp_path / "run")["loss"]


# --- Ctrl-C and SIGTERM -------------------------------------------------------

def start_training(dataset, folder, **changes):
    """A training of a million steps, some way in."""
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "run.py")] + run_flags(
            dataset, folder, **dict(dict(
                do_train=True, num_train_steps=10 ** 6,
                save_checkpoints_steps=10 ** 5), **changes)),
        stderr=subprocess.PIPE, universal_newlines=True,
        # What a shell starts in the background ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while not (folder / "run" / "model.ckpt-0.index").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    return process


@pytest.mark.parametrize("number, name", [(signal.SIGINT, "Ctrl-C"),
                                          (signal.SIGTERM, "SIGTERM")])
def test_a_training_that_is_stopped_saves_its_step_and_goes_on_from_it(
        dataset, tmp_path, number, name):
    process = start_training(dataset, tmp_path)
    process.send_signal(number)
    errors = process.communicate()[1]
    newest = steps_in(tmp_path)[-1]
    assert newest > 0
    assert last_line(errors) == (
        "run.py: stopped by %s; the same command goes on. %s is whole" % (
            name, tmp_path / "run" / ("model.ckpt-%d" % newest)))
    assert process.returncode == 128 + number
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, num_train_steps=newest + 2))
    assert status == 0, errors
    assert "from step %d to %d;" % (newest, newest + 2) in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_outside_a_training_says_one_line(number):
    code = ("import os, sys, util\n"
            "with util.one_line_stops('run.py', 'all is well'):\n"
            "    os.kill(os.getpid(), %d)\n"
            "    sys.stdin.read()\n" % number)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.wait() == 128 + number
    assert process.stderr.read() == "run.py: stopped by %s; all is well\n" % (
        "Ctrl-C" if number == signal.SIGINT else "SIGTERM")


def test_a_second_signal_has_its_usual_effect():
    stop = saving.StopHook()
    before = [signal.getsignal(number)
              for number in (signal.SIGINT, signal.SIGTERM)]
    with stop:
        os.kill(os.getpid(), signal.SIGTERM)
        while stop.signal is None:
            time.sleep(0.01)
        assert [signal.getsignal(number) for number in (
            signal.SIGINT, signal.SIGTERM)] == before
    assert stop.signal == signal.SIGTERM


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with saving.StopHook() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        assert stop.signal is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# --- two trainings -------------------------------------------------------------

def test_a_second_training_of_a_model_directory_is_refused(dataset, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with training.alone(str(folder)):
        status, _, errors = command("run.py", *run_flags(
            dataset, tmp_path, do_train=True))
    assert (status, last_line(errors)) == (
        1, "run.py: error: another process is training %s; wait for it, or "
        "pass another --signature" % folder)
    assert os.listdir(str(folder)) == []
    for _ in range(2):  # the lock goes with the block
        with training.alone(str(folder)):
            pass


def test_what_another_training_saved_since_the_checks_is_not_trained_anew(
        dataset, trained, tmp_path):
    job = check_job(arguments(dataset, tmp_path, num_train_steps=9,
                              signature=""))
    shutil.copytree(str(trained[0] / "run"), job.model_dir)
    with pytest.raises(SystemExit, match="another process trained %s meanwhile; "
                       "the same command goes on" % job.model_dir):
        training.train(job)
    assert steps_in(tmp_path) == []


# --- values that are not finite --------------------------------------------------

def run_steps(folder, loss_at, norm_at=lambda step: 1.0, weight_at=None,
              scaled_loss=False, steps=9, left_out=(), hooks=()):
    """Runs the hooks on a graph whose loss, gradient norm and weight are
    functions of the call's number, from 1; the step does not rise in the calls
    that are left out."""
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        weight = tf.get_variable("weight", [], initializer=tf.ones_initializer())
        values = [tf.placeholder(tf.float32, []) for _ in range(3)]
        taken = tf.placeholder(tf.int64, [])
        for tensor in (values[0], tf.constant(0.25), values[1]):
            tf.add_to_collection(saving.WATCHED, tensor)
        tf.add_to_collection(tf.GraphKeys.SAVERS, tf.train.Saver())
        with tf.control_dependencies(values):
            train_op = tf.group(tf.assign_add(step, taken),
                                weight.assign(values[2]))
        hooks = [saving.FiniteHook(scaled_loss)] + list(hooks) + [
            saving.SavingHook(str(folder), 3)]
        with tf.train.MonitoredTrainingSession(hooks=hooks) as session:
            for number in range(1, steps + 1):
                session.run(train_op, dict(zip(values + [taken], (
                    loss_at(number), norm_at(number),
                    weight_at(number) if weight_at else 1.0,
                    int(number not in left_out)))))


def at(step, value):
    return lambda number: value if number == step else 1.5


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("what", ["loss_at", "norm_at"])
def test_a_value_that_is_not_finite_ends_the_training_at_its_step(
        tmp_path, what, value):
    with pytest.raises(saving.Diverged) as error:
        run_steps(tmp_path, **dict(
            {"loss_at": at(1, 2.5)}, **{what: at(6, float(value))}))
    loss, norm = (value, "1") if what == "loss_at" else ("1.5", value)
    assert str(error.value) == (
        "the loss is %s at step 6, the learning rate 0.25, the gradient norm "
        "before clipping %s" % (loss, norm))
    # Step 6 was due, and would have been saved over nothing good.
    assert [os.path.basename(path) for path in checkpoints.saved(
        str(tmp_path))] == ["model.ckpt-0", "model.ckpt-3"]


@pytest.mark.parametrize("step, kept", [(3, [0]), (6, [0, 3]), (9, [0, 3, 6]),
                                        (5, [0, 3, 6, 9])])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, step, kept):
    def run():
        run_steps(tmp_path, at(1, 2.5), weight_at=at(step, float("nan")))
    if step == 5:                 # it is no step to save, and later ones are good
        run()
    else:
        with pytest.raises(saving.Diverged, match="weights are not finite after "
                                                  "step %d" % step):
            run()
    assert checkpoints.saved(str(tmp_path)) == [
        str(tmp_path / ("model.ckpt-%d" % number)) for number in kept]


def test_a_scaled_loss_may_have_gradients_beyond_float16(tmp_path):
    run_steps(tmp_path, at(1, 2.5), norm_at=at(4, float("inf")),
              scaled_loss=True)
    with pytest.raises(saving.Diverged):
        run_steps(tmp_path, at(4, float("nan")), scaled_loss=True)


def test_a_step_that_a_scaled_loss_leaves_out_does_not_count(tmp_path):
    run_steps(tmp_path, at(1, 2.5), scaled_loss=True, steps=8, left_out=(2, 3))
    assert [os.path.basename(path) for path in checkpoints.saved(
        str(tmp_path))] == ["model.ckpt-0", "model.ckpt-3", "model.ckpt-6"]
    assert tf.train.load_variable(str(tmp_path / "model.ckpt-6"),
                                  "global_step") == 6


class ValidatingHook(tf.train.SessionRunHook):
    """Saves after every step, as a validation does."""

    def __init__(self, folder):
        self._folder = str(folder)

    def after_run(self, run_context, run_values):
        saving.save(run_context.session, self._folder,
                    saving.step_of(run_context.session))


def test_nor_does_a_validation_save_weights_that_are_not_finite(tmp_path):
    with pytest.raises(saving.Diverged, match="not finite after step 2"):
        run_steps(tmp_path, at(1, 2.5), weight_at=at(2, float("nan")),
                  hooks=[ValidatingHook(tmp_path)])
    assert [os.path.basename(path) for path in checkpoints.saved(
        str(tmp_path))] == ["model.ckpt-0", "model.ckpt-1"]


@pytest.mark.parametrize("most", [0, 5])
def test_what_was_saved_just_now_is_not_saved_again(tmp_path, most):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        tf.get_variable("weight", [], initializer=tf.ones_initializer())
        saver = tf.train.Saver(max_to_keep=most)
        tf.add_to_collection(tf.GraphKeys.SAVERS, saver)
        saving.SavingHook(str(tmp_path), 3).begin()
        session.run(tf.global_variables_initializer())
        with mock.patch.object(saver, "save", wraps=saver.save) as saved:
            for step in (4, 4, 5, 5):
                assert saving.save(session, str(tmp_path), step) == str(
                    tmp_path / ("model.ckpt-%d" % step))
        assert saved.call_count == 2


def test_a_training_that_diverges_says_so_in_one_line(dataset, trained,
                                                      tmp_path):
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, learning_rate=1e30,
        num_warmup_steps=0, num_train_steps=50, save_checkpoints_steps=1000))
    assert status == 1
    line = last_line(errors)
    for part in ("run.py: error: the ", " at step ", "the learning rate ",
                 "the gradient norm before clipping ",
                 "try a lower --learning_rate", "model.ckpt-5 is whole"):
        assert part in line
    assert steps_in(tmp_path)[-1] == 5
