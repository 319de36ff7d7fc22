"""Trains the model of a job, from where its directory stands."""

import os

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import distribution, model_fn, record  # noqa: E402
from experiment.checkpoints import CONFIG_FILE  # noqa: E402
from experiment.validation import ValidationHook, Validator  # noqa: E402
from model import masked_item  # noqa: E402

MUCH_MEMORY = 6e9      # bytes for the vocabulary: 8 GB in all


class ProgressHook(tf.train.SessionRunHook):
    """Shows the steps of a training run with their loss.

    The last loss goes to the curve too, whatever the steps between points.
    """

    def __init__(self, num_train_steps, model_dir):
        self._total, self._model_dir = num_train_steps, model_dir

    def begin(self):
        graph = tf.get_default_graph()
        self._step = tf.train.get_global_step(graph)
        self._loss = graph.get_collection(tf.GraphKeys.LOSSES)[0]

    def after_create_session(self, session, coord):
        self._done = int(session.run(self._step))
        self._progress = util.Progress(self._total, "steps", self._done)

    def before_run(self, run_context):
        return tf.train.SessionRunArgs([self._loss, self._step])

    def after_run(self, run_context, run_values):
        loss, step = run_values.results
        # The step is read before or after this one's update; other workers
        # may have taken some too.
        taken = max(1, int(step) - self._done)
        self._progress.update(taken, "loss %.4f" % loss)
        self._done += taken
        if self._done - taken < self._total <= self._done:
            tf.summary.FileWriterCache.get(self._model_dir).add_summary(
                tf.Summary(value=[tf.Summary.Value(
                    tag="loss", simple_value=loss)]), self._total)

    def end(self, session):
        self._progress.close()


def train(job):
    """Trains to num_train_steps from where the model directory stands.

    In a cluster this is what one of its tasks does: the chief writes and says
    what a training alone does, a parameter server serves until it is ended.
    """
    args, start = job.args, 0
    tf.gfile.MakeDirs(job.model_dir)
    newest = tf.train.latest_checkpoint(job.model_dir)
    if newest:
        start = int(tf.train.load_variable(newest, "global_step"))
    if start >= args.num_train_steps:
        util.log("%s is at step %d already; a larger --num_train_steps trains "
                 "on" % (job.model_dir, start))
        return
    if job.chosen and job.chosen.exhausted(args.early_stopping_patience):
        util.log("%s stopped early at step %d; a larger "
                 "--early_stopping_patience trains on" % (job.model_dir, start))
        return
    util.log("training %s from step %d to %d; validation items: %s" % (
        job.model_dir, start, args.num_train_steps, job.validation))
    hooks = _chief_hooks(job, start) if job.cluster.is_chief else []
    # A resumed run goes on with another order than the one it began with.
    input_fn = model_fn.input_fn(job, "train_input_file", args.batch_size,
                                 args.random_seed + start)
    with util.one_line_errors("run.py", (tf.train.NanLossDuringTrainingError,
                                         evaluation.RankingError, ValueError)):
        strategy = distribution.make(args.distribution_strategy)
        distribution.check_batch(strategy, job.cluster, args.batch_size)
        estimator = model_fn.make_estimator(job, strategy)
        if job.cluster == distribution.ALONE:
            estimator.train(input_fn, max_steps=args.num_train_steps,
                            hooks=hooks)
        else:  # which starts this task's server, and evaluates in none of them
            with distribution.watched(job.cluster):
                tf.estimator.train_and_evaluate(
                    estimator, tf.estimator.TrainSpec(
                        input_fn, args.num_train_steps, hooks),
                    tf.estimator.EvalSpec(input_fn))


def _chief_hooks(job, start):
    """What the chief writes and says: records, progress, validations."""
    args = job.args
    beside = _write_records(job, start)
    _tell_memory(job.config, args.num_sampled)
    hooks = [ProgressHook(args.num_train_steps, job.model_dir)]
    if job.chosen:
        hooks.append(ValidationHook(
            job.chosen, Validator(job).evaluate, job.model_dir,
            args.eval_every_steps or args.save_checkpoints_steps,
            args.num_train_steps, args.early_stopping_patience, beside))
    return hooks


def _write_records(job, start):
    """Writes the model config and the run record; returns their names."""
    names = [os.path.join(job.model_dir, name)
             for name in (CONFIG_FILE, record.FILE)]
    description = record.describe(
        vars(job.args), job.config.to_dict(), job.checksums, job.validation,
        start, model_fn.gpu_names())
    with util.AtomicFiles() as files:
        with open(files.path(names[0]), "w") as stream:
            stream.write(job.config.to_json_string())
        record.write(files.path(names[1]), description)
    return names


def _tell_memory(config, num_sampled):
    """Says up front where a full softmax outgrows a machine of 8 GB."""
    needed = masked_item.full_softmax_bytes(config)
    if needed > MUCH_MEMORY and not num_sampled:
        util.log("a full softmax over %d ids takes about %.0f GB and most of "
                 "each step; --num_sampled=1000 trains on a sample of them"
                 % (config.vocab_size, needed / 1e9))
