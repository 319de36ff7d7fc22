"""The graph of a job: the Estimator's model function and its inputs."""

import evaluation
import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402
import modeling  # noqa: E402
import optimization  # noqa: E402
from experiment import record, saving  # noqa: E402
from model import masked_item  # noqa: E402

MOST_SUMMARY_STEPS = 100   # between two points of a curve
CURVE_POINTS = 50          # at least, in a short training
LENGTH_GROUPS = 4      # a batch is encoded in
RANKED = "ranked"      # collection: users, input ids, targets, scores


def build_model_fn(config, args, output_bias=None, init_checkpoint=None):
    """The Estimator's model function, for TRAIN and EVAL.

    Args:
        config: modeling.BertConfig.
        args: the flags.
        output_bias: float array [V], where a new output bias starts, or None.
        init_checkpoint: str, what a new training starts from, or None.
    """
    def model_fn(features, labels, mode):
        del labels  # they are among the features
        is_training = mode == tf.estimator.ModeKeys.TRAIN
        groups = 1
        if args.bucket_by_length and may_trim(config):
            groups = LENGTH_GROUPS
        if not is_training:  # a test sequence has one masked position
            features = dict(features, **{
                name: features[name][:, :1] for name in features
                if name.startswith("masked_lm")})
        head = (config,) + modeling.encode_masked_rows(
            config, is_training, features, groups,
            shift_positions=is_training and args.shift_positions)
        if is_training:
            loss = (masked_item.sampled_item_loss(
                *head, num_sampled=args.num_sampled, output_bias=output_bias)
                    if args.num_sampled else masked_item.chunked_item_loss(
                        *head, output_bias=output_bias))
            if init_checkpoint:
                _init_from_checkpoint(init_checkpoint)
            train_op, rate, norm = optimization.create_train_op(
                loss, args.learning_rate, args.num_train_steps,
                args.num_warmup_steps, mixed_precision=args.mixed_precision)
            tf.summary.scalar("learning_rate", rate)
            for tensor in (loss, rate, norm):
                tf.add_to_collection(saving.WATCHED, tensor)
            return tf.estimator.EstimatorSpec(mode, loss=loss,
                                              train_op=train_op)
        loss, losses, logits, ids, weights = masked_item.masked_item_loss(*head)
        for tensor in (features["info"][:, 0], features["input_ids"],
                       features["masked_lm_ids"][:, 0], logits):
            tf.add_to_collection(RANKED, tensor)
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


def may_trim(config):
    """Whether padding that a whole batch shares can be cut without a trace."""
    return config.attention_form != "cross_gram"


def say_device():
    """Says what this process runs on."""
    gpus = gpu_names()
    util.log("TensorFlow %s on %s" % (
        tf.__version__, "%d GPU(s)" % len(gpus) if gpus
        else "the CPU (no usable GPU found)"))


def make_estimator(job, training=False, strategy=None):
    """The Estimator of a job, training by a tf.distribute strategy or none."""
    return tf.estimator.Estimator(
        build_model_fn(job.config, job.args, first_output_bias(job),
                       None if job.goes_on_from else job.args.init_checkpoint),
        config=tf.estimator.RunConfig(
            model_dir=job.model_dir, train_distribute=strategy,
            tf_random_seed=job.args.random_seed + _seed_offset(job.cluster),
            save_summary_steps=summary_steps(job.args.num_train_steps),
            session_config=session_config(job.args, training),
            keep_checkpoint_max=job.args.keep_checkpoint_max,
            # saving.SavingHook saves them.
            save_checkpoints_steps=None, save_checkpoints_secs=None))


def _seed_offset(cluster):
    """int, another for each task that trains, 0 for the chief: workers that
    dropped the same units would learn less."""
    return 0 if cluster.is_chief else 1 + cluster.task[1]


def summary_steps(num_train_steps):
    """int, the steps between two points of the training's curves."""
    return max(1, min(MOST_SUMMARY_STEPS, num_train_steps // CURVE_POINTS))


def first_output_bias(job):
    """float array [V], where the flags let a new output bias start, or None.

    At the log popularity the untrained model is the popularity ranking, which
    training from 0 takes hundreds of steps to reach.
    """
    if job.args.output_bias == "zeros" or not job.args.do_train:
        return None
    return evaluation.log_popularity(
        job.user_history, job.validation == record.HELD_OUT,
        job.config.vocab_size)


def gpu_names():
    """list of str, one a usable GPU."""
    devices = tf.config.experimental.list_physical_devices("GPU")
    details = getattr(tf.config.experimental, "get_device_details",
                      lambda device: {})  # TensorFlow 1.15 tells no more
    return [details(device).get("device_name", device.name)
            for device in devices]


def session_config(args, training=False):
    """tf.ConfigProto of the flags, or None for the Estimator's own.

    Only training is in mixed precision: a checkpoint ranks the same whether
    the process has trained or not.
    """
    exact = args.mixed_precision and not training
    if not (args.xla or exact):
        return None
    config = tf.ConfigProto(allow_soft_placement=True)
    options = config.graph_options
    if args.xla:
        options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
    if exact:  # else TensorFlow turns it on in all sessions after a training
        options.rewrite_options.auto_mixed_precision = \
            options.rewrite_options.OFF
    return config


def input_fn(job, flag, batch_size, seed=None, users=None):
    """The input_fn of an input flag's files, or of some users' instances in
    them; with a seed it is for training."""
    return input_pipeline.make_input_fn(
        job.files[flag], job.args.max_seq_length,
        job.args.max_predictions_per_seq, batch_size,
        is_training=seed is not None, seed=seed, trim=may_trim(job.config),
        users=users)
