"""Trains the model of a job, from where its directory stands."""

import contextlib
import fcntl
import os
import shutil

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import (  # noqa: E402
    checkpoints, distribution, faults, model_fn, record, saving)
from experiment.checkpoints import CONFIG_FILE  # noqa: E402
from experiment.validation import ValidationHook, Validator  # noqa: E402
from model import masked_item  # noqa: E402

MUCH_MEMORY = 6e9      # bytes for the vocabulary: 8 GB in all
# What a training is made by, from its first step to its last.
RECIPE = (
    "random_seed", "batch_size", "learning_rate", "num_train_steps",
    "num_warmup_steps", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "output_bias", "num_sampled", "shift_positions")


class ProgressHook(tf.train.SessionRunHook):
    """Shows the steps of a training run with their loss.

    The last loss goes to the curve too, whatever the steps between points and
    whatever ends the training.
    """

    def __init__(self, num_train_steps, model_dir):
        self._total, self._model_dir = num_train_steps, model_dir
        self._last = None  # the loss of the last step

    def begin(self):
        self._loss = tf.get_collection(tf.GraphKeys.LOSSES)[0]

    def after_create_session(self, session, coord):
        self._done = saving.step_of(session)
        self._progress = util.Progress(self._total, "steps", self._done)

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._loss)

    def after_run(self, run_context, run_values):
        self._last = run_values.results
        before, self._done = self._done, saving.step_of(run_context.session)
        self._progress.update(self._done - before, "loss %.4f" % self._last)

    def end(self, session):
        self._progress.close()
        if self._last is not None:
            saving.add_scalars(self._model_dir, {"loss": self._last},
                               self._done)


def train(job):
    """Trains to num_train_steps from where the model directory stands.

    In a cluster this is what one of its tasks does: the chief writes and says
    what a training alone does, a parameter server serves.
    """
    args = job.args
    start = 0
    if job.goes_on_from:
        start = int(tf.train.load_variable(job.goes_on_from, "global_step"))
        _tell_changes(job, start)
    if job.selection:
        job.selection.go_back(start)
    validation = _validation_hook(job) if job.selection else None
    # A run that was killed in a validation had saved the checkpoint before.
    is_due = validation is not None and validation.is_due(start)
    if not is_due and _is_done(job, start):
        return
    with contextlib.ExitStack() as held:
        with util.one_line_errors("run.py"):
            with faults.one_line_faults([], ".", str):
                strategy = distribution.make(args.distribution_strategy)
            distribution.check_batch(strategy, job.cluster, args.batch_size)
            os.makedirs(job.model_dir, exist_ok=True)
            if job.cluster.is_chief:
                held.enter_context(alone(job.model_dir))
                _check_unmoved(job)
        if is_due:
            with _explained(job):
                if not all(map(os.path.exists, _record_names(job))):
                    _write_records(job, start)
                saving.begin_curves(job.model_dir)
                validation.validate(start, job.goes_on_from)
            if _is_done(job, start):
                return
        _train_from(job, start, strategy, validation)


@contextlib.contextmanager
def alone(model_dir):
    """Keeps other trainings out of a model directory.

    The lock is the system's: it goes with the process, however that ends.

    Raises:
        ValueError: another training has it.
    """
    descriptor = os.open(model_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError("another process is training %s; wait for it, or "
                             "pass another --signature" % model_dir)
        except OSError:
            pass  # a filesystem without locks
        yield
    finally:
        os.close(descriptor)


def _check_unmoved(job):
    """Raises ValueError where another training has saved a checkpoint between
    the job's checks and the lock."""
    if checkpoints.newest_sound(job.model_dir) != job.goes_on_from:
        raise ValueError("another process trained %s meanwhile; the same "
                         "command goes on from there" % job.model_dir)


def _train_from(job, start, strategy, validation):
    """Trains on from a step, in a model directory that is there."""
    args = job.args
    util.log("training %s from step %d to %d; validation items: %s" % (
        job.model_dir, start, args.num_train_steps, job.validation))
    saver = saving.SavingHook(job.model_dir, args.save_checkpoints_steps)
    stop = saving.StopHook()
    hooks = [saving.FiniteHook(args.mixed_precision)]
    if job.cluster.is_chief:
        _make_ready(job, start)
        hooks.append(ProgressHook(args.num_train_steps, job.model_dir))
        hooks += [validation] if validation else []
        hooks.append(saver)
    # A resumed run goes on with another order than the one it began with.
    input_fn = model_fn.input_fn(job, "train_input_file", args.batch_size,
                                 args.random_seed + start)
    with _explained(job, lambda: saver.size), stop:
        _run(job, strategy, input_fn, hooks + [stop])
    if stop.signal:
        util.exit_stopped("run.py", stop.signal, "the same command goes on. "
                          + _kept(job))


def _tell_changes(job, start):
    """Says which flags are others than those of the training that is there."""
    recorded = record.read(job.model_dir) or {"flags": {}, "model_config": {}}
    # A flag without a value leaves a rate to the model config.
    there = dict(recorded["flags"], **recorded["model_config"])
    given = dict(vars(job.args), **job.config.to_dict())
    changed = ["--%s=%s, not %s" % (flag, there[flag], given[flag])
               for flag in RECIPE if there.get(flag, given[flag]) != given[flag]]
    if changed and job.cluster.is_chief:
        util.log("%s was trained to step %d with %s; another --checkpointDir "
                 "begins anew" % (job.model_dir, start, ", ".join(changed)))


def _is_done(job, start):
    """Whether nothing is left to train from this step; if so it is said."""
    args = job.args
    if start >= args.num_train_steps:
        util.log("%s is at step %d already; a larger --num_train_steps trains "
                 "on" % (job.model_dir, start))
        return True
    if job.selection and job.selection.exhausted(args.early_stopping_patience):
        util.log("%s stopped early at step %d; a larger "
                 "--early_stopping_patience trains on" % (job.model_dir, start))
        return True
    return False


def _make_ready(job, start):
    """Makes the model directory ready for a training from a step."""
    with faults.one_line_faults([], job.model_dir, lambda: "make room, then "
                                "the same command goes on"):
        _write_records(job, start)
    _tell_memory(job.config, job.args.num_sampled)
    left = checkpoints.remove_unfinished(job.model_dir)
    if left:
        util.log("removed what a killed run left: %s" % ", ".join(left))
    if job.goes_on_from:
        checkpoints.point_at(job.goes_on_from)
    saving.begin_curves(job.model_dir)  # it is at work from here on


def _validation_hook(job):
    args = job.args
    return ValidationHook(
        job.selection, Validator(job).evaluate, job.model_dir,
        args.eval_every_steps or args.save_checkpoints_steps,
        args.num_train_steps, args.early_stopping_patience, _record_names(job))


def _newest_step(job):
    """int, the step of the newest checkpoint; -1 where there is none yet, or
    none that can be read."""
    try:
        newest = checkpoints.newest_sound(job.model_dir)
    except ValueError:
        return -1
    return int(tf.train.load_variable(newest, "global_step")) if newest else -1


def _run(job, strategy, input_fn, hooks):
    """Trains by a strategy or none, alone or as a task of a cluster."""
    steps = job.args.num_train_steps
    estimator = model_fn.make_estimator(job, training=True, strategy=strategy)
    try:
        if job.cluster is distribution.ALONE:
            estimator.train(input_fn, max_steps=steps, hooks=hooks)
        else:
            # It starts this task's server; it would evaluate in a task of its
            # own alone, which `ranking.follow` does here.
            with distribution.watched(
                    job.cluster, lambda: _newest_step(job) >= steps):
                tf.estimator.train_and_evaluate(
                    estimator, tf.estimator.TrainSpec(input_fn, steps, hooks),
                    tf.estimator.EvalSpec(input_fn))
    finally:
        if job.cluster.is_chief:
            checkpoints.remove_unfinished(job.model_dir)
        else:  # where a worker that is not the chief would keep its own
            shutil.rmtree(os.path.join(job.model_dir, "tmp_worker_%d"
                                       % job.cluster.task[1]), True)


@contextlib.contextmanager
def _explained(job, size=lambda: None):
    """Ends the process with one line for what may end a training; size: see
    `faults.one_line_faults`."""
    paths = job.files["train_input_file"] + job.files.get(
        "valid_input_file", [])
    with util.one_line_errors("run.py", (saving.Diverged,
                                         evaluation.RankingError)), \
            faults.one_line_faults(
                paths, job.model_dir, lambda: "make room, then the same "
                "command goes on. " + _kept(job), size):
        try:
            yield
        except saving.Diverged as error:
            raise saving.Diverged(
                "%s; try a lower --learning_rate, more --num_warmup_steps or "
                "another --random_seed. %s" % (error, _kept(job)))


def _kept(job):
    """What of a training that ended is safe: str."""
    newest = checkpoints.latest(job.model_dir)
    return "%s is whole" % newest if newest else "no checkpoint was saved yet"


def _record_names(job):
    return [os.path.join(job.model_dir, name)
            for name in (CONFIG_FILE, record.FILE)]


def _write_records(job, start):
    """Writes the model config and the run record."""
    names = _record_names(job)
    description = record.describe(
        vars(job.args), job.config.to_dict(), job.checksums, job.validation,
        start, job.began_from,
        record.earlier_starts(record.read(job.model_dir), start),
        model_fn.gpu_names())
    with util.AtomicFiles() as files:
        with open(files.path(names[0]), "w") as stream:
            stream.write(job.config.to_json_string())
        record.write(files.path(names[1]), description)


def _tell_memory(config, num_sampled):
    """Says up front where a full softmax outgrows a machine of 8 GB."""
    needed = masked_item.full_softmax_bytes(config)
    if needed > MUCH_MEMORY and not num_sampled:
        util.log("a full softmax over %d ids takes about %.0f GB and most of "
                 "each step; --num_sampled=1000 trains on a sample of them"
                 % (config.vocab_size, needed / 1e9))
