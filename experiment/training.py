"""Trains the model of a job, from where its directory stands."""

import os

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import (  # noqa: E402
    checkpoints, faults, model_fn, record, saving)
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
        loss, _ = run_values.results
        self._progress.update(1, "loss %.4f" % loss)
        self._done += 1
        if self._done == self._total:
            tf.summary.FileWriterCache.get(self._model_dir).add_summary(
                tf.Summary(value=[tf.Summary.Value(
                    tag="loss", simple_value=loss)]), self._total)

    def end(self, session):
        self._progress.close()


def train(estimator, job):
    """Trains to num_train_steps from where the model directory stands."""
    args = job.args
    tf.gfile.MakeDirs(job.model_dir)
    start = 0
    if job.start:
        start = int(tf.train.load_variable(job.start, "global_step"))
    if start >= args.num_train_steps:
        util.log("%s is at step %d already; a larger --num_train_steps trains "
                 "on" % (job.model_dir, start))
        return
    if job.chosen and job.chosen.exhausted(args.early_stopping_patience):
        util.log("%s stopped early at step %d; a larger "
                 "--early_stopping_patience trains on" % (job.model_dir, start))
        return
    with faults.one_line_faults([], job.model_dir, lambda: "make room, then "
                                "the same command goes on"):
        beside = _write_records(job, start)
    util.log("training %s from step %d to %d; validation items: %s" % (
        job.model_dir, start, args.num_train_steps, job.validation))
    _tell_memory(job.config, args.num_sampled)
    left = checkpoints.remove_unfinished(job.model_dir)
    if left:
        util.log("removed what a killed run left: %s" % ", ".join(left))
    if job.start:
        checkpoints.point_at(job.start)
    with tf.Graph().as_default():  # a writer begins with the graph around it
        tf.summary.FileWriterCache.get(job.model_dir)
    stop = saving.StopHook()
    hooks = [saving.FiniteHook(args.mixed_precision),
             ProgressHook(args.num_train_steps, job.model_dir)]
    if job.chosen:
        hooks.append(ValidationHook(
            job.chosen, Validator(job).evaluate, job.model_dir,
            args.eval_every_steps or args.save_checkpoints_steps,
            args.num_train_steps, args.early_stopping_patience, beside))
    # A resumed run goes on with another order than the one it began with.
    input_fn = model_fn.input_fn(job, "train_input_file", args.batch_size,
                                 args.random_seed + start)
    saver = saving.SavingHook(job.model_dir, args.save_checkpoints_steps)
    paths = job.files["train_input_file"] + job.files.get(
        "valid_input_file", [])
    with util.one_line_errors("run.py", (saving.Diverged,
                                         evaluation.RankingError)), \
            faults.one_line_faults(
                paths, job.model_dir, lambda: "make room, then the same "
                "command goes on. " + _kept(job), lambda: saver.size):
        with stop:
            try:
                estimator.train(input_fn, max_steps=args.num_train_steps,
                                hooks=hooks + [saver, stop])
            except saving.Diverged as error:
                raise saving.Diverged(
                    "%s; try a lower --learning_rate, more --num_warmup_steps "
                    "or another --random_seed. %s" % (error, _kept(job)))
            finally:
                checkpoints.remove_unfinished(job.model_dir)
    if stop.signal:
        util.exit_stopped("run.py", stop.signal, "the same command goes on. "
                          + _kept(job))


def _kept(job):
    """What of a training that ended is safe: str."""
    newest = checkpoints.latest(job.model_dir)
    return "%s is whole" % newest if newest else "no checkpoint was saved yet"


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
