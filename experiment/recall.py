"""Flags that are not given come from the model directory's own record."""

import argparse
import collections
import os

import util
from experiment import checkpoints, record

# What one call is asked to do, not what the model was made of.
PER_CALL = ("do_train", "do_eval", "checkpointDir", "signature",
            "init_checkpoint", "ignore_checksums", "candidates_file",
            "eval_users", "full_table", "allow_missing_users",
            "distribution_strategy") + record.PREDICTION_FLAGS
# These the directory's bert_config.json holds, overrides applied.
MODEL = ("bert_config_file",) + record.OVERRIDES


def _recorded_in(args):
    """The directory of the model: of a checkpoint that is named to be
    evaluated, else the model directory."""
    named = args.init_checkpoint
    if named and not args.do_train:
        return named if os.path.isdir(named) else os.path.dirname(named)
    return args.checkpointDir + args.signature


def of_directory(folder, changes):
    """The flags of a call from Python: those of a directory's record.

    Args:
        folder: str or path, the model directory.
        changes: dict, flag -> value, in place of recorded values; a path is
            taken for its text.

    Returns:
        argparse.Namespace.

    Raises:
        ValueError: there is no record, it is damaged, there is no such flag,
            or its value is of another type.
    """
    folder = os.fspath(folder)
    changes = {flag: os.fspath(value) if isinstance(value, os.PathLike)
               else value for flag, value in changes.items()}
    recorded = record.read(folder)
    if recorded is None:
        raise ValueError("no %s in %s; name a model directory that run.py "
                         "--do_train wrote" % (record.FILE, folder))
    values = dict(recorded["flags"])
    values.update({flag: None for flag in PER_CALL + ("items_file",)},
                  checkpointDir=folder, signature="")
    unknown = sorted(set(changes) - set(values) - {"bert_config_file"})
    if unknown:
        raise ValueError("%s is no flag of run.py; correct the name"
                         % unknown[0])
    for flag, value in changes.items():
        _check_kind(flag, value, values.get(flag))
    values.update(changes)
    # Two things `complete` takes: the model config and the id map.
    return complete(argparse.Namespace(**values), set(changes) | set(
        values) - {"bert_config_file", "items_file"})


def _check_kind(flag, value, recorded):
    """Raises ValueError for a value of another type than the recorded one."""
    kinds = {bool: bool, int: int, float: (int, float), str: str, list: list}
    if None not in (value, recorded) and not isinstance(
            value, kinds.get(type(recorded), object)):
        raise ValueError("%s=%r is no %s; give another"
                         % (flag, value, type(recorded).__name__))


def _map_beside(path, vocabulary):
    """The recorded id map; where it is gone, the one beside the vocabulary: the
    data have moved.

    Args:
        path: what is recorded, None or a str, but for a damaged record.
        vocabulary: str, or None.
    """
    if isinstance(path, str) and vocabulary and not os.path.exists(path):
        return os.path.join(os.path.dirname(vocabulary), os.path.basename(path))
    return path


def complete(args, given):
    """The flags, those that are not given taken from the directory's record.

    Files are taken by their recorded names; that they are the recorded bytes
    is checked with the rest of the job.

    Args:
        args: argparse.Namespace, every flag's value.
        given: set of str, the flags on the command line.

    Returns:
        argparse.Namespace; what was taken is logged.

    Raises:
        ValueError: the record is damaged.
    """
    folder = _recorded_in(args)
    recorded = record.read(folder)
    taken = collections.OrderedDict()
    if recorded:
        own = set(vars(args)) - set(given) - set(PER_CALL) - set(MODEL)
        flags = dict(recorded["flags"], items_file=_map_beside(
            recorded["flags"].get("items_file"),
            args.vocab_filename if "vocab_filename" in given else None))
        taken.update((flag, value) for flag, value in sorted(flags.items())
                     if flag in own and value != getattr(args, flag))
        first = recorded["flags"].get("init_checkpoint")
        if args.do_train and first and "init_checkpoint" not in given:
            # What the training began from is part of its record.
            taken["init_checkpoint"] = first
    config = os.path.join(folder, checkpoints.CONFIG_FILE)
    if "bert_config_file" not in given and os.path.exists(config):
        taken["bert_config_file"] = config
    if taken:
        util.log("taken from %s: %s" % (folder, ", ".join(
            "%s=%s" % (flag, ",".join(map(str, value)) if isinstance(
                value, list) else value) for flag, value in taken.items())))
    return argparse.Namespace(**dict(vars(args), **taken))
