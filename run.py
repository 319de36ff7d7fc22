"""Trains BERT4Rec with cross-attention and evaluates its rankings.

    python run.py --do_train --do_eval --bert_config_file=... \\
        --train_input_file=... --test_input_file=... --vocab_filename=... \\
        --user_history_filename=... --checkpointDir=... --signature=...

The model directory is checkpointDir + signature.
"""

import argparse
import concurrent.futures
import os
import sys

from absl import app
from absl import flags

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import checks  # noqa: E402
import input_pipeline  # noqa: E402
import modeling  # noqa: E402
import optimization  # noqa: E402
import run_record  # noqa: E402
import selection  # noqa: E402
from model import masked_item  # noqa: E402

RESULTS_FILE = "eval_results.txt"     # in the model directory
USERS_FILE = "eval_users.tsv"         # in the model directory
SUMMARY_STEPS = 100
LENGTH_GROUPS = 4                     # a batch is encoded in
MUCH_MEMORY = 6e9                     # bytes for the vocabulary: 8 GB in all


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.DEFINE_string("bert_config_file", None, "JSON file of the model.")
    flags.DEFINE_string("train_input_file", None,
                        "Training TFRecords: names and globs, comma-separated.")
    flags.DEFINE_string("test_input_file", None,
                        "Test TFRecords: names and globs, comma-separated.")
    flags.DEFINE_string("valid_input_file", None,
                        "Validation TFRecords of gen_data_fin.py "
                        "--holdout_validation: names and globs, "
                        "comma-separated. Training keeps the checkpoint that "
                        "ranks them best in best/, and --do_eval takes it.")
    flags.DEFINE_integer("eval_every_steps", 0,
                         "Steps between validations; 0: as many as "
                         "--save_checkpoints_steps.", lower_bound=0)
    flags.DEFINE_string("selection_metric", "paper/ndcg@10",
                        "<protocol>/<metric> that chooses the best checkpoint.")
    flags.DEFINE_integer("early_stopping_patience", 0,
                         "Stop after this many validations without "
                         "improvement; 0: never.", lower_bound=0)
    flags.DEFINE_string("checkpointDir", None,
                        "The model directory is checkpointDir + signature.")
    flags.DEFINE_string("signature", "default", "See checkpointDir.")
    flags.DEFINE_string("init_checkpoint", None,
                        "Training starts from this checkpoint's variables; "
                        "with --do_eval alone it is the one evaluated.")
    flags.DEFINE_integer("max_seq_length", 128, "L of the TFRecords.",
                         lower_bound=1)
    flags.DEFINE_integer("max_predictions_per_seq", 20, "M of the TFRecords.",
                         lower_bound=1)
    flags.DEFINE_bool("do_train", False,
                      "Train, from the model directory's newest checkpoint.")
    flags.DEFINE_bool("do_eval", False,
                      "Evaluate the best checkpoint where validations chose "
                      "one, else the newest.")
    flags.DEFINE_integer("batch_size", 32, "Sequences a training step.",
                         lower_bound=1)
    flags.DEFINE_integer("eval_batch_size", 256, "Users an evaluation step.",
                         lower_bound=1)
    flags.DEFINE_float("learning_rate", 5e-5, "The peak rate.",
                       lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", 100000, "Steps in all.",
                         lower_bound=1)
    flags.DEFINE_integer("num_warmup_steps", 10000, "Steps of warm-up.",
                         lower_bound=0)
    flags.DEFINE_integer("save_checkpoints_steps", 1000,
                         "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345,
                         "Of initialisation, dropout and shuffling.",
                         lower_bound=0, upper_bound=2 ** 31 - 1)
    flags.DEFINE_bool("bucket_by_length", True,
                      "Encode the sequences of a batch in groups of similar "
                      "length; only the time changes.")
    flags.DEFINE_integer("num_sampled", 0,
                         "Train on a softmax over this many sampled items, "
                         "for catalogues whose full softmax takes too long; "
                         "0: the full one.", lower_bound=0)
    flags.DEFINE_bool("xla", False, "Compile the graph with XLA.")
    flags.DEFINE_bool("mixed_precision", False,
                      "Let a GPU compute in float16 where that is safe.")
    flags.DEFINE_enum("attention_form", None, modeling.ATTENTION_FORMS,
                      "Overrides the model config's.")
    flags.DEFINE_list("protocols", list(evaluation.PROTOCOLS),
                      "Evaluation protocols, comma-separated.")
    flags.DEFINE_integer("eval_seeds", 1,
                         "Seeds of the sampled candidates: the published one "
                         "gives the results; with more, mean and standard "
                         "deviation are added.", lower_bound=1)
    flags.DEFINE_string("candidates_file", None,
                        "Rank the candidates in this file (.tsv or .tsv.gz); "
                        "where there is none, write those that were drawn.")
    flags.DEFINE_bool("use_pop_random", True,
                      "Protocol seed draws negatives by popularity; False: "
                      "uniformly.")
    flags.DEFINE_string("vocab_filename", None, "The .vocab file.")
    flags.DEFINE_string("user_history_filename", None, "The .his file.")
    flags.DEFINE_bool("ignore_checksums", False,
                      "Go on with other data than the checkpoint was trained "
                      "with.")
    flags.mark_flags_as_required(["bert_config_file", "checkpointDir"])


# --- the graph --------------------------------------------------------------

def build_model_fn(config, args):
    """The Estimator's model function, for TRAIN and EVAL.

    Args:
        config: modeling.BertConfig.
        args: the flags.
    """
    def model_fn(features, labels, mode):
        del labels  # they are among the features
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        groups = 1
        if args.bucket_by_length and _may_trim(config):
            groups = LENGTH_GROUPS
        if not is_training:  # a test sequence has one masked position
            features = dict(features, **{
                name: features[name][:, :1] for name in features
                if name.startswith("masked_lm")})
        head = (config,) + modeling.encode_masked_rows(
            config, is_training, features, groups)
        if is_training:
            loss = (masked_item.sampled_item_loss(*head, args.num_sampled)
                    if args.num_sampled else masked_item.chunked_item_loss(*head))
            if args.init_checkpoint:
                _init_from_checkpoint(args.init_checkpoint)
            train_op, rate = optimization.create_train_op(
                loss, args.learning_rate, args.num_train_steps,
                args.num_warmup_steps, mixed_precision=args.mixed_precision)
            tf.summary.scalar("learning_rate", rate)
            return tf.estimator.EstimatorSpec(mode, loss=loss,
                                              train_op=train_op)
        loss, losses, logits, ids, weights = masked_item.masked_item_loss(*head)
        for tensor in (features["info"][:, 0], features["input_ids"],
                       features["masked_lm_ids"][:, 0], logits):
            tf.add_to_collection(RankingHook.COLLECTION, tensor)
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={
            "masked_lm_accuracy": tf.metrics.accuracy(ids, best, weights),
            "masked_lm_loss": tf.metrics.mean(losses, weights)})

    return model_fn


def _init_from_checkpoint(checkpoint):
    """Starts the variables that a checkpoint has from their values there."""
    saved = {name for name, _ in tf.train.list_variables(checkpoint)}
    names = [variable.op.name for variable in tf.trainable_variables()]
    tf.train.init_from_checkpoint(
        checkpoint, {name: name for name in names if name in saved})
    util.log("%d of %d variables start from %s" % (
        len(saved.intersection(names)), len(names), checkpoint))


# --- hooks ------------------------------------------------------------------

class ProgressHook(tf.train.SessionRunHook):
    """Shows the steps of a training run with their loss."""

    def __init__(self, num_train_steps):
        self._total = num_train_steps

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

    def end(self, session):
        self._progress.close()


class RankingHook(tf.train.SessionRunHook):
    """Hands each evaluated batch to an evaluation.Evaluator.

    It ranks the batch in a thread of its own while the next one is scored.
    """

    COLLECTION = "ranking"  # users, input ids, targets, scores

    def __init__(self, evaluator):
        self._evaluator = evaluator
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._ranking = None  # the batch before

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(tf.get_collection(self.COLLECTION))

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


# --- training and evaluation ------------------------------------------------

def _may_trim(config):
    """Whether padding that a whole batch shares can be cut without a trace."""
    return config.attention_form != "cross_gram"


def make_estimator(job):
    """The Estimator of a job; says once what it runs on."""
    gpus = gpu_names()
    util.log("TensorFlow %s on %s" % (
        tf.__version__, "%d GPU(s)" % len(gpus) if gpus
        else "the CPU (no usable GPU found)"))
    return tf.estimator.Estimator(
        build_model_fn(job.config, job.args), config=tf.estimator.RunConfig(
            model_dir=job.model_dir, tf_random_seed=job.args.random_seed,
            save_summary_steps=SUMMARY_STEPS,
            session_config=_session_config(job.args),
            save_checkpoints_steps=job.args.save_checkpoints_steps))


def gpu_names():
    """list of str, one a usable GPU."""
    devices = tf.config.experimental.list_physical_devices("GPU")
    details = getattr(tf.config.experimental, "get_device_details",
                      lambda device: {})  # TensorFlow 1.15 tells no more
    return [details(device).get("device_name", device.name)
            for device in devices]


def _session_config(args):
    """tf.ConfigProto of the flags, or None for the Estimator's own."""
    if not args.xla:
        return None
    config = tf.ConfigProto(allow_soft_placement=True)
    config.graph_options.optimizer_options.global_jit_level = \
        tf.OptimizerOptions.ON_1
    return config


def _input_fn(job, flag, batch_size, seed=None):
    """The input_fn of an input flag's files; with a seed it is for training."""
    return input_pipeline.make_input_fn(
        job.files[flag], job.args.max_seq_length,
        job.args.max_predictions_per_seq, batch_size,
        is_training=seed is not None, seed=seed, trim=_may_trim(job.config))


def _tell_memory(config, num_sampled):
    """Says up front where a full softmax outgrows a machine of 8 GB."""
    needed = masked_item.full_softmax_bytes(config)
    if needed > MUCH_MEMORY and not num_sampled:
        util.log("a full softmax over %d ids takes about %.0f GB and most of "
                 "each step; --num_sampled=1000 trains on a sample of them"
                 % (config.vocab_size, needed / 1e9))


def train(estimator, job):
    """Trains to num_train_steps from where the model directory stands."""
    args = job.args
    tf.gfile.MakeDirs(job.model_dir)
    start = 0
    if tf.train.latest_checkpoint(job.model_dir):
        start = int(estimator.get_variable_value("global_step"))
    if start >= args.num_train_steps:
        util.log("%s is at step %d already; a larger --num_train_steps trains "
                 "on" % (job.model_dir, start))
        return
    if job.chosen and job.chosen.exhausted(args.early_stopping_patience):
        util.log("%s stopped early at step %d; a larger "
                 "--early_stopping_patience trains on" % (job.model_dir, start))
        return
    beside = _write_records(job, start)
    util.log("training %s from step %d to %d; validation items: %s" % (
        job.model_dir, start, args.num_train_steps, job.validation))
    _tell_memory(job.config, args.num_sampled)
    hooks = [ProgressHook(args.num_train_steps)]
    if job.chosen:
        hooks.append(selection.ValidationHook(
            job.chosen, Validator(job).evaluate, job.model_dir,
            args.eval_every_steps or args.save_checkpoints_steps,
            args.num_train_steps, args.early_stopping_patience, beside))
    # A resumed run goes on with another order than the one it began with.
    input_fn = _input_fn(job, "train_input_file", args.batch_size,
                         args.random_seed + start)
    with util.one_line_errors("run.py", (tf.train.NanLossDuringTrainingError,
                                         evaluation.RankingError)):
        estimator.train(input_fn, max_steps=args.num_train_steps, hooks=hooks)


def _write_records(job, start):
    """Writes the model config and the run record; returns their names."""
    names = [os.path.join(job.model_dir, name)
             for name in (checks.CONFIG_FILE, run_record.FILE)]
    record = run_record.describe(
        vars(job.args), job.config.to_dict(), job.checksums, job.validation,
        start, gpu_names())
    with util.AtomicFiles() as files:
        with open(files.path(names[0]), "w") as stream:
            stream.write(job.config.to_json_string())
        run_record.write(files.path(names[1]), record)
    return names


class Validator(object):
    """Ranks the validation items in a graph and a session of its own."""

    def __init__(self, job):
        self._job = job
        self._protocol = job.chosen.metric.split("/")[0]
        self._candidates = {}  # drawn in the first validation
        self._graph, self._session = tf.Graph(), None

    def _build(self):
        job = self._job
        dataset = _input_fn(job, "valid_input_file", job.args.eval_batch_size)()
        self._iterator = tf.data.make_initializable_iterator(dataset)
        build_model_fn(job.config, job.args)(
            self._iterator.get_next(), None, tf.estimator.ModeKeys.EVAL)
        self._ranked = tf.get_collection(RankingHook.COLLECTION)
        self._saver = tf.train.Saver(tf.trainable_variables())
        self._session = tf.Session(config=_session_config(job.args))

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


def evaluate(estimator, job, checkpoint):
    """Ranks the test users and writes, prints and plots the metrics.

    Returns:
        dict, key -> value, as written to eval_results.txt.
    """
    args = job.args
    util.log("evaluating %s" % checkpoint)
    with util.one_line_errors("run.py", evaluation.RankingError):
        evaluator = evaluation.Evaluator(
            job.words, job.user_history, args.protocols, args.use_pop_random,
            seeds=args.eval_seeds, candidates=job.candidates,
            held_out=job.validation == run_record.HELD_OUT)
        results = estimator.evaluate(
            _input_fn(job, "test_input_file", args.eval_batch_size),
            checkpoint_path=checkpoint, hooks=[RankingHook(evaluator)])
    ranking = evaluator.results()
    _write_scalars(estimator.eval_dir(), ranking, results["global_step"])
    results.update(ranking, valid_user=len(evaluator.users),
                   validation=job.validation)
    results.update(evaluator.intervals())
    results.update(evaluator.spread())
    _write_results(job, results, evaluator)
    if "seed" in args.protocols:
        print(evaluation.published_line(
            {name: ranking["seed/" + name] for name in evaluation.METRICS},
            len(evaluator.users)))
    print(evaluation.results_table(results, args.protocols, args.eval_seeds))
    sys.stdout.flush()
    return results


def _write_results(job, results, evaluator):
    """The results, each user's ranks, and candidates where there is no file.

    eval_results.txt is the config, then sorted `key = value` lines, as the
    published code writes it.
    """
    path = os.path.join(job.model_dir, RESULTS_FILE)
    candidates = job.args.candidates_file
    with util.AtomicFiles() as files:
        with open(files.path(path), "w") as stream:
            stream.write(job.config.to_json_string())
            for key in sorted(results):
                stream.write("%s = %s\n" % (key, results[key]))
        evaluation.write_user_rows(
            files.path(os.path.join(job.model_dir, USERS_FILE)),
            evaluator.user_rows())
        if candidates and not os.path.exists(candidates):
            evaluation.write_candidates(
                files.path(candidates), job.words, evaluator.candidates,
                compress=candidates.endswith(".gz"))
            util.log("candidates in %s" % candidates)
    util.log("results in %s, each user's in %s" % (path, USERS_FILE))


def _write_scalars(folder, metrics, step):
    """Adds the ranking metrics to the TensorBoard events of a folder."""
    with tf.Graph().as_default():  # the writer wants a graph around it
        writer = tf.summary.FileWriter(folder)
    writer.add_summary(tf.Summary(value=[
        tf.Summary.Value(tag=name, simple_value=value)
        for name, value in metrics.items()]), step)
    writer.close()


def flag_values():
    """The values of this command's flags, without those of libraries."""
    module = flags.FLAGS.find_module_defining_flag("bert_config_file")
    return argparse.Namespace(**{
        flag.name: flag.value
        for flag in flags.FLAGS.flags_by_module_dict()[module]})


def main(argv):
    args = flag_values()
    with util.one_line_errors("run.py"):
        if argv[1:]:
            raise ValueError("%r is not a flag; flags are written --name=value"
                             % argv[1])
        job = checks.check_job(args)
    estimator = make_estimator(job)
    checkpoint = job.checkpoint
    if args.do_train:
        train(estimator, job)
        checkpoint = tf.train.latest_checkpoint(
            os.path.join(job.model_dir, selection.FOLDER)
            if job.chosen else job.model_dir)
    if args.do_eval:
        evaluate(estimator, job, checkpoint)
    util.log("curves: tensorboard --logdir %s" % job.model_dir)


if __name__ == "__main__":
    define_flags()
    app.run(main)
