"""Validation during a training, in a graph and a session of its own."""

import os

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import model_fn, record, saving  # noqa: E402


class Validator(object):
    """Ranks the validation items in a graph and a session of its own."""

    def __init__(self, job):
        self._job = job
        self._protocol = job.selection.metric.split("/")[0]
        self._candidates = {}  # drawn in the first validation
        self._graph, self._session = tf.Graph(), None

    def _build(self):
        job = self._job
        dataset = model_fn.input_fn(job, "valid_input_file", job.args.eval_batch_size)()
        self._iterator = tf.data.make_initializable_iterator(dataset)
        model_fn.build_model_fn(job.config, job.args)(
            self._iterator.get_next(), None, tf.estimator.ModeKeys.EVAL)
        self._ranked = tf.get_collection(model_fn.RANKED)
        self._saver = tf.train.Saver(tf.trainable_variables())
        self._session = tf.Session(config=model_fn.session_config(job.args))

    def evaluate(self, checkpoint):
        """OrderedDict, "<protocol>/<metric>" -> float, of a checkpoint."""
        job = self._job
        evaluator = evaluation.Evaluator(
            job.words, job.user_history, (self._protocol,),
            job.args.use_pop_random, held_out=True, baselines=(),
            candidates=self._candidates)
        with self._graph.as_default():
            if self._session is None:
                self._build()
            self._saver.restore(self._session, checkpoint)
            self._session.run(self._iterator.initializer)
            while True:
                try:
                    evaluator.add(*self._session.run(self._ranked))
                except tf.errors.OutOfRangeError:
                    return evaluator.results()


class ValidationHook(tf.train.SessionRunHook):
    """Validates every so many steps and at the last, between two steps.

    The checkpoint is saved first: who resumes from it finds this validation in
    best/selection.json, or that it `is_due` still. The validation runs in a
    session of its own, so the training session, its data and its random
    numbers go on as if there were none.
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

    def after_run(self, run_context, run_values):
        step = saving.step_of(run_context.session)
        if self.is_due(step):
            self.validate(step, saving.save(run_context.session,
                                            self._model_dir, step))
        if self._chosen.exhausted(self._patience):
            run_context.request_stop()

    def is_due(self, step):
        """Whether a validation belongs to this step and was not done yet."""
        done = [earlier for earlier, _ in self._chosen.evaluations]
        return step > 0 and step not in done and (
            step % self._every == 0 or step == self._last)

    def validate(self, step, checkpoint):
        """Ranks with the checkpoint of a step, counts it, and says so."""
        metrics = self._evaluate(checkpoint)
        value = metrics[self._chosen.metric]
        before = self._chosen.best()
        self._chosen.add(step, value, checkpoint, self._beside)
        saving.add_scalars(os.path.join(
            self._model_dir, record.VALIDATION_FOLDER), metrics, step)
        util.log("validation at step %d: %s %.4f, %s" % (
            step, self._chosen.metric, value,
            "the best so far" if self._chosen.since_best() == 0 else
            "best %.4f at step %d, %d validation(s) ago" % (
                before[1], before[0], self._chosen.since_best())))
