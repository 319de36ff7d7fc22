"""What both generators share: options, flags, and their files' names."""

import collections
import glob
import os

import numpy as np
from absl import flags

import util
import vocab

PICKLE_PROTOCOL = 2       # the published files' protocol
MOST_ITEMS = 2 ** 20 - 1  # of a window, by how its masks are drawn
MOST_SHARDS = 99999       # the names have five digits

Options = collections.namedtuple(
    "Options", "max_seq_length max_predictions_per_seq mask_prob dupe_factor "
               "masked_lm_prob prop_sliding_window random_seed")


# --- flags -----------------------------------------------------------------

def define_shared_flags():
    """Defines the flags that both generators have, for their own `define_flags`."""
    flags.DEFINE_string("dataset_name", "ml-1m", "Reads <data_dir><dataset_name>.txt.")
    flags.DEFINE_string("data_dir", "./data/", "Folder of input and outputs.")
    flags.DEFINE_string("signature", None,
                        "Put between the dataset's name and the endings; "
                        "default: the hyper-parameters, as in "
                        "-mp1.0-sw0.5-mlp0.2-df10-mpps40-msl200.")
    flags.DEFINE_integer("max_seq_length", 200, "L, items a window holds.",
                         lower_bound=1, upper_bound=MOST_ITEMS)
    flags.DEFINE_integer("max_predictions_per_seq", 40,
                         "M, masked positions a window has at most.",
                         lower_bound=1, upper_bound=2 ** 20)
    flags.DEFINE_float("masked_lm_prob", 0.2,
                       "Share of a window's items that are masked.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float("mask_prob", 1.0,
                       "Probability that a masked item becomes [MASK]; else "
                       "it stays or becomes a random item, half and half.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("dupe_factor", 10, "Maskings of every window.",
                         lower_bound=1, upper_bound=10 ** 6)
    flags.DEFINE_float("prop_sliding_window", 0.5,
                       "Step between windows as a share of L; -1: a step of L.",
                       lower_bound=-1.0, upper_bound=1.0)
    flags.DEFINE_integer("random_seed", 12345,
                         "The same seed writes the same bytes.",
                         lower_bound=0, upper_bound=2 ** 32 - 1)
    flags.DEFINE_bool("holdout_validation", False,
                      "Keep each user's second-to-last item out of training "
                      "and write .valid.tfrecord, which asks for it.")
    flags.DEFINE_integer("num_shards", None,
                         "N: cut the training file into N files, "
                         ".train.tfrecord-00000-of-0000N and so on; one after "
                         "the other they are the uncut file.")


def read_flags(args):
    """What the flags say: (Options, the outputs' names up to their endings).

    Raises:
        ValueError: a value that its flag does not take.
    """
    util.check_values(args, {name: getattr(args, name)
                             for name in Options._fields})
    options = Options(*[getattr(args, name) for name in Options._fields])
    signature = args.signature
    if signature is None:
        signature = default_signature(options, args.holdout_validation)
    return options, os.path.join(args.data_dir, args.dataset_name + signature)


def default_signature(options, holdout_validation):
    """What tells the files of these hyper-parameters from others: str."""
    return ("-mp{mask_prob}-sw{prop_sliding_window}-mlp{masked_lm_prob}"
            "-df{dupe_factor}-mpps{max_predictions_per_seq}"
            "-msl{max_seq_length}".format(**options._asdict())
            + ("-ho" if holdout_validation else ""))


# --- files -----------------------------------------------------------------

def shard_name(target, index, num_shards):
    """The name of a shard's file; of the uncut file where num_shards is None."""
    name = target + ".train.tfrecord"
    if num_shards is None:
        return name
    return "%s-%05d-of-%05d" % (name, index, num_shards)


def check_shards(num_shards, shard_index):
    """Raises ValueError for a number of shards or an index that cannot be."""
    if num_shards is None:
        if shard_index is not None:
            raise ValueError("--shard_index=%d needs --num_shards, how many "
                             "shards there are" % shard_index)
        return
    if not 1 <= num_shards <= MOST_SHARDS:
        raise ValueError("--num_shards=%d: give a number from 1 to %d"
                         % (num_shards, MOST_SHARDS))
    if shard_index is not None and not 0 <= shard_index < num_shards:
        raise ValueError("--shard_index=%d: with --num_shards=%d the shards "
                         "are 0 to %d" % (shard_index, num_shards,
                                          num_shards - 1))


def stale_validation(target):
    """What to say of a validation file that the training file would hold: str."""
    return ("%s.valid.tfrecord is there, and the training file would now hold "
            "its items; remove it, or give another --signature" % target)


def log_other_files(target, num_shards):
    """Names training files of another cut: a glob must not read them too."""
    own = {shard_name(target, index, num_shards)
           for index in range(num_shards or 1)}
    name, number = glob.escape(target + ".train.tfrecord"), "[0-9]" * 5
    others = sorted(set(glob.glob(name) + glob.glob(
        "%s-%s-of-%s" % (name, number, number))) - own)
    if others:
        util.log("left as they are, and no part of this training file: %s%s; "
                 "remove them, or keep them out of --train_input_file" % (
                     ", ".join(others[:3]),
                     " and %d more" % len(others[3:]) if others[3:] else ""))


def build_history(item_count, sequences):
    """The content of `.his`: dict, user token -> [list of ids].

    Every list refers to the same int objects: 8 bytes per interaction, not 40.
    """
    numbers = np.arange(item_count + 1).astype(object)
    return {vocab.user_token(user): [numbers[ids].tolist()]
            for user, ids in sequences.items()}
