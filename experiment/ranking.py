"""Evaluates a checkpoint: ranks the test users, writes, prints and plots."""

import concurrent.futures
import os

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import distribution, faults, record, saving  # noqa: E402
from experiment.model_fn import (  # noqa: E402
    RANKED, gpu_names, input_fn, make_estimator)


class RankingHook(tf.train.SessionRunHook):
    """Hands each evaluated batch to an evaluation.Evaluator.

    It ranks the batch in a thread of its own while the next one is scored.
    """

    def __init__(self, evaluator):
        self._evaluator = evaluator
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._ranking = None  # the batch before

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(tf.get_collection(RANKED))

    def after_run(self, run_context, run_values):
        self._wait()
        self._ranking = self._thread.submit(self._evaluator.add,
                                            *run_values.results)

    def end(self, session):
        self._wait()

    def _wait(self):
        """Waits for the batch before; raises what its ranking raised."""
        if self._ranking is not None:
            self._ranking.result()


def evaluate(job, checkpoint):
    """Ranks the test users and writes, prints and plots the metrics.

    Returns:
        dict, key -> value, as written to eval_results.txt.
    """
    args = job.args
    util.log("evaluating %s" % checkpoint)
    with distribution.without_cluster():
        estimator = make_estimator(job)
    with util.one_line_errors("run.py", evaluation.RankingError), \
            _one_line_faults(job):
        evaluator = evaluation.Evaluator(
            job.words, job.user_history, args.protocols, args.use_pop_random,
            seeds=args.eval_seeds, candidates=job.candidates,
            held_out=job.validation == record.HELD_OUT)
        # Or the Estimator begins them, with its graph.
        saving.begin_curves(estimator.eval_dir())
        results = estimator.evaluate(
            input_fn(job, "test_input_file", args.eval_batch_size,
                     users=job.eval_users),
            checkpoint_path=checkpoint, hooks=[RankingHook(evaluator)])
    ranking = evaluator.results()
    results.update(ranking, valid_user=len(evaluator.users),
                   validation=job.validation, repeat_targets=evaluator.repeats)
    results.update(evaluator.intervals())
    results.update(evaluator.spread())
    with _one_line_faults(job):
        _write_results(job, checkpoint, results, evaluator)
        saving.add_scalars(estimator.eval_dir(), ranking,
                           results["global_step"])
    if "seed" in args.protocols:
        util.say(evaluation.published_line(
            {name: ranking["seed/" + name] for name in evaluation.METRICS},
            len(evaluator.users)))
    if args.full_table:
        util.say(evaluation.results_table(results, args.protocols,
                                          args.eval_seeds))
    else:
        util.say(evaluation.summary_table(results, args.protocols))
    if evaluator.repeats:
        util.say("%.1f %% of the users are asked for an item that they had "
                 "before, among candidates that they had not"
                 % (100.0 * evaluator.repeats / len(evaluator.users)))
    return results


def follow(job):
    """Evaluates the newest checkpoint, and again, until the training's last.

    What the `evaluator` task of a cluster does.
    """
    for checkpoint in tf.train.checkpoints_iterator(job.model_dir):
        try:
            results = evaluate(job, checkpoint)
        except (ValueError, tf.errors.NotFoundError):
            if os.path.exists(checkpoint + ".index"):
                raise
            util.log("%s was removed, as newer ones are kept; waiting for the "
                     "next" % checkpoint)
            continue
        if results["global_step"] >= job.args.num_train_steps:
            return


def _one_line_faults(job):
    return faults.one_line_faults(
        job.files["test_input_file"], job.model_dir,
        lambda: "make room and run again; older results are unchanged")


def _write_results(job, checkpoint, results, evaluator):
    """The results, each user's ranks, what the evaluation was made of, and
    candidates where there is no file.

    eval_results.txt is the config, then sorted `key = value` lines, as the
    published code writes it.
    """
    path = os.path.join(job.model_dir, record.RESULTS_FILE)
    with util.AtomicFiles() as files:
        with open(files.path(path), "w") as stream:
            stream.write(job.config.to_json_string())
            for key in sorted(results):
                stream.write("%s = %s\n" % (key, results[key]))
        evaluation.write_user_rows(
            files.path(os.path.join(job.model_dir, record.USERS_FILE)),
            evaluator.user_rows())
        sums = dict(job.checksums, **_keep_candidates(files, job, evaluator))
        record.write(
            files.path(os.path.join(job.model_dir, record.EVALUATION_FILE)),
            record.describe_evaluation(
                vars(job.args), checkpoint, int(results["global_step"]),
                sums, gpu_names()))
    util.log("results in %s, each user's in %s" % (path, record.USERS_FILE))


def _keep_candidates(files, job, evaluator):
    """Writes --candidates_file where it is given and not there; its checksum,
    as `record.checksums` returns it."""
    path = job.args.candidates_file
    if not path or os.path.exists(path):
        return record.checksums({"candidates_file": [path] if path else []})
    written = files.path(path)
    evaluation.write_candidates(written, job.words, evaluator.candidates,
                                compress=path.endswith(".gz"))
    util.log("candidates in %s" % path)
    return {"candidates_file": {
        os.path.basename(path): record.sha256_of(written)}}
