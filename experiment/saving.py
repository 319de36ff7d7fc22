"""What a training saves and what ends it: checkpoints, curves, signals, values
that are not finite."""

import math
import os
import signal

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

# Collections: loss, learning rate, gradient norm; whether all weights are
# finite; the checkpoint saved last.
WATCHED, FINITE, SAVED = "watched", "finite", "saved"


class Diverged(Exception):
    """A training cannot go on: a value is not finite."""


def save(session, model_dir, step):
    """Saves the checkpoint of a step unless that was done just now.

    There is no .meta beside it: run.py builds the graph, and that file would
    be larger than a small model.

    Returns:
        str, the common start of the files' names.

    Raises:
        Diverged: a weight is not finite.
    """
    saver = tf.get_collection(tf.GraphKeys.SAVERS)[0]
    name = os.path.join(model_dir, "model.ckpt")
    path = "%s-%d" % (name, step)
    saved = tf.get_collection_ref(SAVED)
    newest = saved or saver.last_checkpoints[-1:]  # what it was resumed from
    if [os.path.abspath(path)] != list(map(os.path.abspath, newest)):
        if not session.run(tf.get_collection(FINITE)[0]):
            raise Diverged("the weights are not finite after step %d" % step)
        saver.save(session, name, global_step=step, write_meta_graph=False)
        saved[:] = [path]
    return path


def begin_curves(folder):
    """The writer of a folder's TensorBoard events, begun without a graph where
    there is none yet.

    It is one for all that this process writes there: event files are named by
    the second, and of two that begin in one the later overwrites the other.
    """
    with tf.Graph().as_default():  # a writer begins with the graph around it
        return tf.summary.FileWriterCache.get(folder)


def add_scalars(folder, values, step):
    """Adds a point to each of some curves of a folder: dict, tag -> float."""
    writer = begin_curves(folder)
    writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=tag, simple_value=value)
        for tag, value in values.items()]), step)
    writer.flush()


def step_of(session):
    """int, the global step. It is no count of session calls: other workers of
    a cluster take steps, too, and a scaled loss may leave one out."""
    return int(session.run(tf.train.get_global_step()))


class SavingHook(tf.train.SessionRunHook):
    """Saves a checkpoint at the start, at multiples of `every` and at the end.

    The Estimator's own hook would add the graph, three times, to the event
    files at each start.

    Attributes:
        size: int, bytes of a checkpoint's values.
    """

    def __init__(self, model_dir, every):
        self._model_dir, self._every = model_dir, every

    def begin(self):
        self.size = sum(variable.shape.num_elements() * variable.dtype.size
                        for variable in tf.global_variables())
        tf.add_to_collection(FINITE, tf.reduce_all(tf.stack(
            [tf.reduce_all(tf.math.is_finite(variable))
             for variable in tf.trainable_variables()])))

    def after_create_session(self, session, coord):
        self._step = step_of(session)
        save(session, self._model_dir, self._step)

    def after_run(self, run_context, run_values):
        before, self._step = self._step, step_of(run_context.session)
        if self._step // self._every > before // self._every:
            save(run_context.session, self._model_dir, self._step)

    def end(self, session):
        save(session, self._model_dir, self._step)


class FiniteHook(tf.train.SessionRunHook):
    """Ends a training at the step whose loss or gradient is not finite."""

    def __init__(self, scaled_loss):
        """scaled_loss: bool; gradients beyond float16 are usual then, and
        TensorFlow leaves out such a step."""
        self._scaled_loss = scaled_loss

    def before_run(self, run_context):
        # Of several replicas the first: all of them have the same norm.
        return tf.train.SessionRunArgs(tf.get_collection(WATCHED)[:3])

    def after_run(self, run_context, run_values):
        loss, rate, norm = map(float, run_values.results)
        if not math.isfinite(loss) or not (
                math.isfinite(norm) or self._scaled_loss):
            raise Diverged(
                "the loss is %.4g at step %d, the learning rate %.4g, the "
                "gradient norm before clipping %.4g"
                % (loss, step_of(run_context.session), rate, norm))


class StopHook(tf.train.SessionRunHook):
    """Ends a training after the step at which Ctrl-C or SIGTERM came.

    A context manager: it listens inside its block. A second signal has the
    effect that it had before.

    Attributes:
        signal: int, what came, or None.
    """

    def __init__(self):
        self.signal, self._before = None, {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, error_type, error, traceback):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.signal = number
        self.__exit__(None, None, None)

    def after_run(self, run_context, run_values):
        if self.signal is not None:
            run_context.request_stop()
