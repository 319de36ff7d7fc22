"""Which checkpoint a job reads, and whether it is whole and fits the config."""

import collections
import glob
import os
import re
import shutil

import six

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import modeling  # noqa: E402
from experiment import record  # noqa: E402

CONFIG_FILE = "bert_config.json"      # in the model directory
# Keys that may change between two runs on one checkpoint.
FREE_CONFIG_KEYS = ("hidden_dropout_prob", "attention_probs_dropout_prob",
                    "initializer_range")
_SAVED = re.compile(r"(model\.ckpt-([0-9]+))\.index\Z")
_ENDING = re.compile(r"\.(index|meta|data-[0-9]+-of-[0-9]+)\Z")


# --- which one ----------------------------------------------------------------

def saved(folder):
    """The checkpoints that have files in a folder: list of str, the common
    starts of their names, the newest last."""
    found = filter(None, map(_SAVED.match, os.listdir(folder)
                             if os.path.isdir(folder) else ()))
    return [os.path.join(folder, name) for _, name in sorted(
        (int(match.group(2)), match.group(1)) for match in found)]


def _named(folder):
    """What a folder's file `checkpoint` names: str, or None."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:  # it is no text
        return None
    return state.model_checkpoint_path if state else None


def latest(folder):
    """The newest checkpoint of a folder, or None.

    It is the one that the file `checkpoint` names, which may be another than
    the last. Where that is not there, the files themselves tell.

    Raises:
        ValueError: `checkpoint` names one that is gone, and there is no other.
    """
    named = _named(folder)
    if named and os.path.exists(named + ".index"):
        return named
    found = saved(folder)
    text = os.path.join(folder, "checkpoint")
    if found:
        util.log("%s is missing, damaged or names what is not there; taken %s, "
                 "the newest by its files" % (text, found[-1]))
        return found[-1]
    if named:
        raise ValueError("%s names %s, which has no .index file; put it back, "
                         "or remove %s to begin anew" % (text, named, text))
    return None


def newest_sound(folder):
    """The checkpoint to train on from, or None: the latest, or where that is
    damaged the newest before it that is not; what is passed over is logged.

    Raises:
        ValueError: all of them are damaged.
    """
    newest = latest(folder)
    if newest is None:
        return None
    others = [path for path in saved(folder) if path != newest]
    for path in [newest] + others[::-1]:
        damage = find_damage(path)
        if damage is None:
            return path
        util.log("passed over: %s" % damage)
    raise ValueError("%s: none of its checkpoints can be read, the first of "
                     "them: %s; remove them to begin anew"
                     % (folder, find_damage(newest)))


def find_damage(checkpoint):
    """What keeps a checkpoint from being read: str that names the file, or
    None. Every value is read, which compares its checksum."""
    part = checkpoint + ".index"
    try:
        reader = tf.train.load_checkpoint(checkpoint)
        part = ", ".join(sorted(glob.glob(
            glob.escape(checkpoint) + ".data-*"))) or checkpoint + ".data"
        for name in sorted(reader.get_variable_to_shape_map()):
            reader.get_tensor(name)
    except Exception as error:  # TensorFlow 2.15 raises an IndexError, too
        if not os.path.exists(part) and "," not in part:
            return "%s is not there" % part
        return "%s is damaged (%s)" % (part, str(error).split("\n")[0])
    return None


def check_sound(checkpoint):
    """Raises ValueError where a checkpoint, to be evaluated or begun from,
    cannot be read."""
    damage = find_damage(checkpoint)
    if damage is None:
        return
    folder = os.path.dirname(checkpoint)
    others = [path for path in saved(folder) if path != checkpoint]
    if os.path.basename(folder) == record.BEST_FOLDER:
        others += saved(os.path.dirname(folder))
    raise ValueError("%s; %s%s" % (
        damage, "put the file back" if os.path.exists(checkpoint + ".index")
        else "a checkpoint is named by the common start of its files' names",
        ", or take another checkpoint: --init_checkpoint=%s" % others[-1]
        if others else ""))


def point_at(checkpoint):
    """Lets the file `checkpoint` name this one, so that TensorFlow restores
    it; those that are older stay in its list."""
    folder, name = os.path.split(os.path.abspath(checkpoint))
    named = _named(folder)
    if named is None or os.path.basename(named) != name:
        names = list(map(os.path.basename, saved(folder)))
        older = names[:names.index(name)] if name in names else []
        tf.train.update_checkpoint_state(folder, name, older + [name])


def remove_unfinished(folder):
    """Removes what a training that ended amid saving had written: list of
    str, what there was."""
    parts = sorted(glob.glob(os.path.join(glob.escape(folder),
                                          "model.ckpt-*_temp*")))
    for path in parts:
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    return parts


def without_ending(path):
    """The common start of a checkpoint's names, of that or one of its files."""
    return _ENDING.sub("", path)


def named_checkpoint(name):
    """The checkpoint of --init_checkpoint, which may name its folder or one of
    its files.

    Raises:
        ValueError: there is none in the folder.
    """
    if name and os.path.isfile(name):
        return without_ending(name)
    if not (name and os.path.isdir(name)):
        return name
    newest = latest(name)
    if newest is None:
        raise ValueError("--init_checkpoint: no checkpoint in the folder %s; "
                         "correct the name, or pass the common start of its "
                         "files' names" % name)
    return newest


def find_checkpoint(model_dir, config, args):
    """(the checkpoint that a training goes on from, the one that is there to
    evaluate), each None where there is none yet; whole, and of this model.

    Raises:
        ValueError: a checkpoint is damaged or does not fit, or there is none
            to evaluate.
    """
    if args.init_checkpoint and not args.do_train:
        newest, chosen = None, args.init_checkpoint
    else:
        newest = (newest_sound if args.do_train else latest)(model_dir)
        best = latest(os.path.join(model_dir, record.BEST_FOLDER))
        chosen = best or newest
    if not args.do_train:
        if chosen is None:
            raise ValueError(
                "no checkpoint in %s; train first with --do_train, or correct "
                "--checkpointDir and --signature" % model_dir)
        check_sound(chosen)
        check_checkpoint(chosen, config, counts_steps=args.do_eval)
        return newest, chosen
    # A training that goes on has no need any more of what it began from, and a
    # new one counts from 0.
    first = None if newest else args.init_checkpoint
    damage = best and find_damage(best)
    if damage:
        raise ValueError("%s; put the file back, or remove the folder %s to "
                         "choose anew from the next validation on"
                         % (damage, os.path.dirname(best)))
    if first:
        check_sound(first)
    for checkpoint in (newest, best, first):
        if checkpoint:
            check_checkpoint(checkpoint, config,
                             counts_steps=checkpoint != first)
    if newest:
        _check_goes_on(newest, args)
    return newest, chosen


def _check_goes_on(checkpoint, args):
    """Raises ValueError where a checkpoint lacks what training it on needs."""
    names = [name for name, _ in tf.train.list_variables(checkpoint)]
    if not any(name.endswith("/adam_v") for name in names):
        raise ValueError("%s lacks what the optimiser had, so that no training "
                         "goes on from it; begin one with --init_checkpoint=%s "
                         "and another --checkpointDir"
                         % (checkpoint, checkpoint))
    if args.mixed_precision and "current_loss_scale" not in names:
        raise ValueError("%s was trained without --mixed_precision; leave it "
                         "out, or begin anew with --init_checkpoint=%s and "
                         "another --checkpointDir" % (checkpoint, checkpoint))


def trained(job):
    """The checkpoint that a training leaves to evaluate: the best or newest."""
    best = job.selection and latest(
        os.path.join(job.model_dir, record.BEST_FOLDER))
    return best or latest(job.model_dir)


# --- does it fit -----------------------------------------------------------------

def check_checkpoint(checkpoint, config, counts_steps=False):
    """Raises ValueError when a checkpoint, a sound one, is of another size or
    form.

    Where `counts_steps`, the number of the step must be in it, too.

    The attention forms but one have the same variables, so the form is read
    from the model config that training wrote beside the checkpoint.
    """
    shapes = dict(tf.train.list_variables(checkpoint))
    fault = checkpoint_mismatch(config, shapes)
    if fault is None and counts_steps and "global_step" not in shapes:
        fault = "its global_step is missing"
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


def _expect_dense(expected, name, inputs, outputs):
    expected[name + "/kernel"] = [inputs, outputs]
    expected[name + "/bias"] = [outputs]


def _expect_norm(expected, scope, size):
    for name in ("beta", "gamma"):
        expected[scope + "LayerNorm/" + name] = [size]


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
    _expect_norm(expected, "bert/embeddings/", hidden)
    for index in range(layers):
        layer = "bert/encoder/layer_%d/" % index
        for name in ("query", "key", "value"):
            _expect_dense(expected, layer + "attention/self/" + name,
                          hidden, hidden)
        _expect_dense(expected, layer + "attention/output/dense", attended,
                      hidden)
        _expect_norm(expected, layer + "attention/output/", hidden)
        _expect_dense(expected, layer + "intermediate/dense", hidden,
                      config.intermediate_size)
        _expect_dense(expected, layer + "output/dense",
                      config.intermediate_size, hidden)
        _expect_norm(expected, layer + "output/", hidden)
    _expect_dense(expected, "cls/predictions/transform/dense", hidden, hidden)
    _expect_norm(expected, "cls/predictions/transform/", hidden)
    expected["cls/predictions/output_bias"] = [config.vocab_size]
    for name, shape in six.iteritems(expected):
        found = shapes.get(name)
        if found != shape:
            return "its %s is %s, the model config makes it %s" % (
                name, "missing" if found is None else found, shape)
    beyond = "bert/encoder/layer_%d/" % layers
    if any(name.startswith(beyond) for name in shapes):
        return "it has more than the %d layers of the model config" % layers
    return None
