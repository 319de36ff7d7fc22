"""Which checkpoint a job reads, and whether it fits the model config."""

import collections
import os

import six

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import modeling  # noqa: E402
from experiment import selection  # noqa: E402

CONFIG_FILE = "bert_config.json"      # in the model directory
# Keys that may change between two runs on one checkpoint.
FREE_CONFIG_KEYS = ("hidden_dropout_prob", "attention_probs_dropout_prob",
                    "initializer_range")


def named_checkpoint(name):
    """The checkpoint of --init_checkpoint, which may name its folder.

    Raises:
        ValueError: there is none in the folder.
    """
    if not (name and os.path.isdir(name)):
        return name
    newest = tf.train.latest_checkpoint(name)
    if newest is None:
        raise ValueError("--init_checkpoint: no checkpoint in the folder %s; "
                         "correct the name, or pass the common start of its "
                         "files' names" % name)
    return newest


def find_checkpoint(model_dir, config, args):
    """The checkpoint that is there to evaluate, or None before a training."""
    newest = tf.train.latest_checkpoint(model_dir)
    best = tf.train.latest_checkpoint(
        os.path.join(model_dir, selection.FOLDER))
    for checkpoint in (newest, best, args.init_checkpoint):
        if checkpoint:
            check_checkpoint(checkpoint, config)
    if args.init_checkpoint and not args.do_train:
        return args.init_checkpoint
    if not args.do_train and newest is None:
        raise ValueError("no checkpoint in %s; train first with --do_train, or "
                         "correct --checkpointDir and --signature" % model_dir)
    return best or newest


def trained(job):
    """The checkpoint that a training leaves to evaluate: the best or newest."""
    return tf.train.latest_checkpoint(
        os.path.join(job.model_dir, selection.FOLDER)
        if job.chosen else job.model_dir)


def check_checkpoint(checkpoint, config):
    """Raises ValueError when a checkpoint is of another size or form.

    The attention forms but one have the same variables, so the form is read
    from the model config that training wrote beside the checkpoint.
    """
    try:
        shapes = dict(tf.train.list_variables(checkpoint))
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError("%s is not a readable checkpoint (%s); pass the "
                         "common start of its files' names"
                         % (checkpoint, str(error).split("\n")[0]))
    fault = checkpoint_mismatch(config, shapes)
    written = os.path.join(os.path.dirname(checkpoint), CONFIG_FILE)
    if fault is None and os.path.exists(written):
        theirs = modeling.BertConfig.from_json_file(written).to_dict()
        ours = config.to_dict()
        for key in sorted(set(theirs) - set(FREE_CONFIG_KEYS)):
            if fault is None and theirs[key] != ours.get(key):
                fault = "it was trained with %s %s, the model config says %s" \
                    % (key, theirs[key], ours.get(key))
    if fault is not None:
        raise ValueError("checkpoint %s does not fit: %s; use the config it "
                         "was trained with, or another --checkpointDir or "
                         "--signature" % (checkpoint, fault))


def checkpoint_mismatch(config, shapes):
    """What keeps a checkpoint from fitting a model config.

    Args:
        config: BertConfig with a vocab_size.
        shapes: dict, variable name -> list of int, as a checkpoint holds.

    Returns:
        str, the first difference, or None when the checkpoint fits.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    attended = 2 * hidden if config.attention_form == "cross_gram" else hidden
    expected = collections.OrderedDict([
        ("bert/embeddings/word_embeddings", [config.vocab_size, hidden]),
        ("bert/embeddings/position_embeddings",
         [config.max_position_embeddings, hidden]),
        ("bert/embeddings/token_type_embeddings",
         [config.type_vocab_size, hidden])])
    for index in range(layers):
        layer = "bert/encoder/layer_%d/" % index
        expected[layer + "attention/output/dense/kernel"] = [attended, hidden]
        expected[layer + "intermediate/dense/kernel"] = [
            hidden, config.intermediate_size]
    for name, shape in six.iteritems(expected):
        found = shapes.get(name)
        if found != shape:
            return "its %s is %s, the model config makes it %s" % (
                name, "missing" if found is None else found, shape)
    beyond = "bert/encoder/layer_%d/" % layers
    if any(name.startswith(beyond) for name in shapes):
        return "it has more than the %d layers of the model config" % layers
    return None
