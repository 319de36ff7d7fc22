"""The best checkpoint by validation, kept apart in `best/`, and early stopping."""

import collections
import json
import os
import shutil

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

FOLDER = "best"               # in the model directory
FILE = "selection.json"       # in that folder
EVENTS = "eval_valid"         # in the model directory


class Selection(object):
    """The validations of a training so far, and the best checkpoint.

    `best/selection.json` holds them, so that a training that was killed goes
    on with them.

    Attributes:
        metric: str, "<protocol>/<metric>".
        evaluations: list of [step, value], in order.
    """

    def __init__(self, model_dir, metric):
        """Reads what an earlier run left.

        Raises:
            ValueError: it selected by another metric, or the file is damaged.
        """
        self.folder = os.path.join(model_dir, FOLDER)
        self.metric, self.evaluations = metric, []
        path = os.path.join(self.folder, FILE)
        if not os.path.exists(path):
            return
        try:
            with open(path) as stream:
                earlier = json.load(stream)
            self.evaluations = [[int(step), float(value)]
                                for step, value in earlier["evaluations"]]
            theirs = earlier["metric"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError("%s: not a record of validations (%s); remove %s "
                             "to select anew" % (path, error, self.folder))
        if theirs != metric:
            raise ValueError(
                "%s was selected by %s, not %s; pass --selection_metric=%s, or "
                "another --signature" % (self.folder, theirs, metric, theirs))

    def best(self):
        """[step, value] of the first highest value, or None."""
        return max(self.evaluations, key=lambda pair: (pair[1], -pair[0]),
                   default=None)

    def since_best(self):
        """int, how many validations came after the best."""
        steps = [step for step, _ in self.evaluations]
        return len(steps) - 1 - steps.index(self.best()[0]) if steps else 0

    def exhausted(self, patience):
        """Whether `patience` validations brought nothing; 0 never ends."""
        return bool(patience) and self.since_best() >= patience

    def add(self, step, value, checkpoint, beside):
        """Counts a validation, and keeps its checkpoint if it is the best.

        Args:
            step: int. value: float, higher is better.
            checkpoint: str, the common start of its files' names.
            beside: list of str, further files to keep with it.
        """
        self.evaluations.append([step, value])
        if self.best() == [step, value]:
            self._keep(checkpoint, beside)
        with util.AtomicFiles() as files:
            with open(files.path(os.path.join(self.folder, FILE)),
                      "w") as stream:
                json.dump(collections.OrderedDict([
                    ("metric", self.metric), ("best_step", self.best()[0]),
                    ("best_value", self.best()[1]),
                    ("evaluations", self.evaluations)]), stream, indent=2)
                stream.write("\n")

    def _keep(self, checkpoint, beside):
        """Copies a checkpoint, then forgets the one before."""
        tf.gfile.MakeDirs(self.folder)
        name = os.path.basename(checkpoint)
        paths = tf.gfile.Glob(checkpoint + ".data-*") + [checkpoint + ".index"]
        kept = [os.path.basename(path) for path in paths]
        with util.AtomicFiles() as files:
            for path in paths + beside:
                shutil.copyfile(path, files.path(
                    os.path.join(self.folder, os.path.basename(path))))
        # A relative name below an absolute folder stays relative: it may move.
        tf.train.update_checkpoint_state(os.path.abspath(self.folder), name)
        for path in tf.gfile.Glob(os.path.join(self.folder, "model.ckpt-*")):
            if os.path.basename(path) not in kept:
                os.remove(path)


class ValidationHook(tf.train.SessionRunHook):
    """Validates every so many steps and at the last, between two steps.

    The checkpoint is saved first: a training that resumes from it finds
    either this validation in best/selection.json or the need to repeat it. The
    validation runs in a session of its own, so the training session, its data
    and its random numbers go on as if there were none.
    """

    def __init__(self, chosen, evaluate, model_dir, every, last, patience,
                 beside):
        """Makes the hook.

        Args:
            chosen: Selection.
            evaluate: function, checkpoint -> OrderedDict of
                "<protocol>/<metric>" -> float.
            model_dir: str.
            every: int, steps. last: int, the training's last step.
            patience: int, see `Selection.exhausted`.
            beside: list of str, files to keep with the best checkpoint.
        """
        self._chosen, self._evaluate = chosen, evaluate
        self._model_dir, self._beside = model_dir, beside
        self._every, self._last, self._patience = every, last, patience

    def begin(self):
        self._counter = tf.train.get_global_step()
        with tf.Graph().as_default():  # the writer wants a graph around it
            self._writer = tf.summary.FileWriter(
                os.path.join(self._model_dir, EVENTS))

    def after_create_session(self, session, coord):
        self._step = int(session.run(self._counter))
        if self._step:
            self._validate(session, self._step)

    def after_run(self, run_context, run_values):
        self._step += 1
        self._validate(run_context.session, self._step)
        if self._chosen.exhausted(self._patience):
            run_context.request_stop()

    def end(self, session):
        self._writer.close()

    def _validate(self, session, step):
        """Validates at this step if it is due and was not done before."""
        done = [earlier for earlier, _ in self._chosen.evaluations]
        if step in done or (step % self._every and step != self._last):
            return
        checkpoint = self._save(session, step)
        metrics = self._evaluate(checkpoint)
        value = metrics[self._chosen.metric]
        before = self._chosen.best()
        self._chosen.add(step, value, checkpoint, self._beside)
        self._writer.add_summary(tf.Summary(value=[
            tf.Summary.Value(tag=name, simple_value=number)
            for name, number in metrics.items()]), step)
        self._writer.flush()
        util.log("validation at step %d: %s %.4f, %s" % (
            step, self._chosen.metric, value,
            "the best so far" if self._chosen.since_best() == 0 else
            "best %.4f at step %d, %d validation(s) ago" % (
                before[1], before[0], self._chosen.since_best())))

    def _save(self, session, step):
        """The checkpoint of this step, saved unless it was just now: str."""
        saver = tf.get_collection(tf.GraphKeys.SAVERS)[0]
        name = os.path.join(self._model_dir, "model.ckpt")
        if not (saver.last_checkpoints
                and saver.last_checkpoints[-1].endswith("ckpt-%d" % step)):
            saver.save(session, name, global_step=step)
        return "%s-%d" % (name, step)
