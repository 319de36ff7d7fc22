"""Whether the flags of run.py fit each other, and the machine."""

import os
import re

import evaluation
import util
from experiment import distribution, record

TASKS = ("do_train", "do_eval", "do_predict", "do_export", "export_embeddings")
RECOMMENDING = TASKS[2:]  # these need what items are called


def asked(args, tasks):
    """Whether one of these tasks is asked for."""
    return any(getattr(args, task) for task in tasks)


def check_memory(config, args):
    """Raises ValueError for sizes that the machine's memory cannot hold.

    Counted are the large variables, in training four times (moments and
    gradients), and one activation of each layer: less than what is needed.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    hidden, batch = config.hidden_size, args.eval_batch_size
    values = hidden * (
        config.vocab_size + config.max_position_embeddings
        + config.type_vocab_size + config.num_hidden_layers * (
            4 * hidden + 2 * config.intermediate_size))
    if args.do_train:
        values, batch = 4 * values, args.batch_size
    values += (batch * args.max_seq_length * hidden
               * config.num_hidden_layers)
    if 4 * values > memory:
        raise ValueError(
            "the model config and the batch size need more than %.0f GB, this "
            "machine has %.0f; lower --batch_size, --eval_batch_size or the "
            "sizes of %s" % (4 * values / 1e9, memory / 1e9,
                             args.bert_config_file))


def _written_folders(args):
    """set of str, what is written to below the model directory; where a
    prediction goes is looked at with it."""
    written = set()
    # TensorFlow drops without a word the curves that it cannot write.
    if args.do_train:
        written.update(("", record.BEST_FOLDER, record.VALIDATION_FOLDER))
    if args.do_eval:
        written.update(("", "eval"))
    if args.do_export or args.export_embeddings:
        written.add("")
    return written


def check_choices(args):
    """Raises ValueError for flags that do not go together."""
    if not asked(args, TASKS):
        raise ValueError("nothing to do; pass one or more of --%s"
                         % ", --".join(TASKS))
    model_dir = args.checkpointDir + args.signature
    if not model_dir:
        raise ValueError("--checkpointDir is empty; name the model directory")
    if not (args.do_train or args.init_checkpoint
            or os.path.isdir(model_dir)):
        raise ValueError("no model directory %s; train first with --do_train, "
                         "or correct --checkpointDir and --signature"
                         % model_dir)
    for flag, path in (("checkpointDir", model_dir),
                       ("init_checkpoint", args.init_checkpoint or "")):
        if re.search(r"[][*?]", path):
            raise ValueError("--%s: %s has one of [ ] * ?, by which TensorFlow "
                             "does not find checkpoints; give another name"
                             % (flag, path))
    for folder in _written_folders(args):
        util.check_writable(os.path.join(model_dir, folder), "checkpointDir")
    unknown = sorted(set(args.protocols) - set(evaluation.PROTOCOLS))
    if unknown or not args.protocols:
        raise ValueError("--protocols: unknown protocol %r; the protocols are "
                         "%s" % (", ".join(unknown),
                                 ", ".join(evaluation.PROTOCOLS)))
    if len(set(args.protocols)) < len(args.protocols):
        raise ValueError("--protocols=%s names one twice; name each once"
                         % ",".join(args.protocols))
    protocol, _, metric = args.selection_metric.partition("/")
    if protocol not in evaluation.PROTOCOLS or (
            metric not in evaluation.METRICS):
        raise ValueError(
            "--selection_metric: no %r; write <protocol>/<metric>, the "
            "protocols are %s, the metrics %s" % (
                args.selection_metric, ", ".join(evaluation.PROTOCOLS),
                ", ".join(evaluation.METRICS)))
    if args.predict_output_file is not None and not args.do_predict:
        raise ValueError("--predict_output_file=%s needs --do_predict"
                         % args.predict_output_file)
    if args.do_eval and args.candidates_file and args.protocols == ["full"]:
        raise ValueError("--candidates_file: protocol full draws none; leave "
                         "it out, or add a protocol to --protocols")
    for flag in ("eval_every_steps", "early_stopping_patience"):
        if getattr(args, flag) and not args.valid_input_file:
            raise ValueError("--%s=%d needs --valid_input_file, the "
                             ".valid.tfrecord of gen_data_fin.py "
                             "--holdout_validation"
                             % (flag, getattr(args, flag)))


def check_cluster(args):
    """The distribution.Cluster that this process is a task of."""
    if not args.do_train:
        return distribution.ALONE
    cluster = distribution.read_cluster(args.distribution_strategy)
    if args.valid_input_file and cluster is not distribution.ALONE:
        raise ValueError(
            "--valid_input_file: validations choose a checkpoint in a training "
            "of one process alone; leave it out with "
            "--distribution_strategy=%s" % args.distribution_strategy)
    return cluster
