"""Takes one measurement in a process of its own and prints it as JSON.

    python benchmarks/measure.py training --graph=plain --bert_config_file=...
    python benchmarks/measure.py evaluation --test_input_file=... ...

It takes run.py's flags. bench.py calls it; the time that a process needs to
start, to build its graph and to warm up is left out.
"""

import json
import os
import platform
import sys
import time

from absl import app
from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import evaluation  # noqa: E402
import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402
import optimization  # noqa: E402
import run  # noqa: E402
from benchmarks import plain_graph  # noqa: E402
from experiment import model_fn, record  # noqa: E402
from experiment.job import load_config  # noqa: E402
from experiment.ranking import RankingHook  # noqa: E402

WARM_UP = 2


def define_flags():
    """run.py's flags and this command's. Only `__main__` calls it."""
    run.define_flags()
    flags.DEFINE_enum("graph", "fast", ["fast", "plain"],
                      "run.py's graph, or the one of plain_graph.py.")
    flags.DEFINE_integer("measured_steps", 5, "Steps that are timed.",
                         lower_bound=1)


def _iterator(args, files, batch_size, is_training, trim=True):
    return tf.data.make_initializable_iterator(input_pipeline.make_input_fn(
        files, args.max_seq_length, args.max_predictions_per_seq, batch_size,
        is_training, seed=args.random_seed, trim=trim)())


def _plain_train_op(config, args, features):
    for name, value in features.items():  # the plain graph wants static shapes
        length = (1 if name == "info" else args.max_seq_length
                  if name.startswith("input") else args.max_predictions_per_seq)
        features[name] = tf.reshape(value, [args.batch_size, length])
    return optimization.create_train_op(
        plain_graph.loss(config, True, features), args.learning_rate,
        args.num_train_steps, args.num_warmup_steps)[0]


def time_training(args):
    """list of float, the seconds of each measured training step."""
    config = load_config(args, None)
    if args.graph == "plain" and (config.attention_form == "cross_gram"
                                  or args.num_sampled):
        raise ValueError("--graph=plain has neither cross_gram nor "
                         "--num_sampled; leave it out")
    files = input_pipeline.expand_files(
        args.train_input_file, "train_input_file")
    tf.set_random_seed(args.random_seed)
    iterator = _iterator(args, files, args.batch_size, is_training=True,
                         trim=args.graph == "fast")
    if args.graph == "plain":
        train_op = _plain_train_op(config, args, iterator.get_next())
    else:
        train_op = model_fn.build_model_fn(config, args)(
            iterator.get_next(), None, tf.estimator.ModeKeys.TRAIN).train_op
    seconds = []
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), iterator.initializer])
        for step in range(WARM_UP + args.measured_steps):
            started = time.time()
            session.run(train_op)
            seconds.append(time.time() - started)
    return seconds[WARM_UP:]


def time_evaluation(args):
    """list of one float, the seconds in which all test users are ranked.

    Scoring and ranking under --protocols, baselines included; the weights
    are random, which costs the same.
    """
    if args.graph == "plain":
        raise ValueError("--graph=plain is of a training; leave it out")
    words = util.load_pickle(args.vocab_filename, "FreqVocab")
    history = util.load_pickle(args.user_history_filename, "dict")
    evaluator = evaluation.Evaluator(words, history, args.protocols)
    files = input_pipeline.expand_files(
        args.test_input_file, "test_input_file")
    iterator = _iterator(args, files, args.eval_batch_size, is_training=False)
    tf.set_random_seed(args.random_seed)
    model_fn.build_model_fn(load_config(args, words), args)(
        iterator.get_next(), None, tf.estimator.ModeKeys.EVAL)
    scores = tf.get_collection(model_fn.RANKED)[-1]
    scaffold = tf.train.Scaffold(local_init_op=tf.group(
        tf.local_variables_initializer(), iterator.initializer))
    # Ends with the data; then the hook ranks the last batch.
    with tf.train.SingularMonitoredSession(
            [RankingHook(evaluator)], scaffold) as session:
        session.raw_session().run(scores)  # warms up
        session.raw_session().run(iterator.initializer)
        started = time.time()
        while True:
            session.run(scores)
    evaluator.results()
    evaluator.intervals()
    return [time.time() - started]


# What is measured, and the flags that it needs.
MEASUREMENTS = {
    "training": (time_training, ("train_input_file",)),
    "evaluation": (time_evaluation, (
        "test_input_file", "vocab_filename", "user_history_filename"))}
SIZES = ("bert_config_file", "max_seq_length", "max_predictions_per_seq")


def main(argv):
    with util.one_line_errors("measure.py"), tf.Graph().as_default():
        if len(argv) != 2 or argv[1] not in MEASUREMENTS:
            raise ValueError("say what to measure: %s"
                             % " or ".join(sorted(MEASUREMENTS)))
        measure, needed = MEASUREMENTS[argv[1]]
        for name in needed + SIZES:
            if flags.FLAGS[name].value is None:
                raise ValueError("--%s is needed; no record is read" % name)
        seconds = measure(flags.FLAGS)
    print(json.dumps({
        "seconds": seconds, "python": platform.python_version(),
        "packages": record.packages(),
        "hardware": record.hardware(model_fn.gpu_names())}))


if __name__ == "__main__":
    define_flags()
    app.run(main)
