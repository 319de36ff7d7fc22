"""The best checkpoint by validation, kept apart in `best/`, and early stopping."""

import collections
import json
import math
import os
import shutil

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import record  # noqa: E402

FILE = "selection.json"       # in best/


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
        self.folder = os.path.join(model_dir, record.BEST_FOLDER)
        self.metric, self.evaluations = metric, []
        path = os.path.join(self.folder, FILE)
        if not os.path.exists(path):
            return
        try:
            with open(path, "rb") as stream:  # json tells UTF-8 from -16
                earlier = json.load(stream)
            self.evaluations = [[int(step), float(value)]
                                for step, value in earlier["evaluations"]]
            theirs = earlier["metric"]
            if not all(map(math.isfinite, dict(self.evaluations).values())):
                raise ValueError("a value is not finite")
        except (ValueError, KeyError, TypeError, OverflowError,
                RecursionError) as error:
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

    def go_back(self, step):
        """Forgets the validations after the step that a training goes on from,
        whose checkpoints were damaged, but for the best, which is kept apart.
        """
        best = self.best()
        self.evaluations = [each for each in self.evaluations
                            if each[0] <= step or each == best]

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
