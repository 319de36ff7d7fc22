"""Writes masked training and test instances, vocabulary and history.

    python gen_data_fin.py --dataset_name=ml-1m --data_dir=./data/ ...

reads <data_dir><dataset_name>.txt and writes, all at once or not at all,
<data_dir><dataset_name><signature>{.train.tfrecord,.test.tfrecord,.vocab,.his};
with --holdout_validation .valid.tfrecord as well.
"""

import collections
import concurrent.futures
import math
import multiprocessing
import os
import pickle
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from absl import app
from absl import flags

import util
import vocab

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402

CHUNK = 512               # instances a task of a worker process
PICKLE_PROTOCOL = 2       # the published files' protocol

Options = collections.namedtuple(
    "Options", "max_seq_length max_predictions_per_seq mask_prob dupe_factor "
               "masked_lm_prob prop_sliding_window random_seed")


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.DEFINE_string("dataset_name", "ml-1m", "Reads <data_dir><dataset_name>.txt.")
    flags.DEFINE_string("data_dir", "./data/", "Folder of input and outputs.")
    flags.DEFINE_string("signature", "default",
                        "Put between the dataset's name and the endings.")
    flags.DEFINE_integer("max_seq_length", 200, "L, items a window holds.",
                         lower_bound=1)
    flags.DEFINE_integer("max_predictions_per_seq", 20,
                         "M, masked positions a window has at most.",
                         lower_bound=1)
    flags.DEFINE_float("masked_lm_prob", 0.15,
                       "Share of a window's items that are masked.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float("mask_prob", 1.0,
                       "Probability that a masked item becomes [MASK]; else "
                       "it stays or becomes a random item, half and half.",
                       lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_integer("dupe_factor", 10, "Maskings of every window.",
                         lower_bound=1)
    flags.DEFINE_float("prop_sliding_window", 0.1,
                       "Step between windows as a share of L; -1: a step of L.",
                       lower_bound=-1.0, upper_bound=1.0)
    flags.DEFINE_integer("pool_size", 10, "Worker processes.", lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345,
                         "The same seed writes the same bytes.",
                         lower_bound=0, upper_bound=2 ** 32 - 1)
    flags.DEFINE_bool("holdout_validation", False,
                      "Keep each user's second-to-last item out of training "
                      "and write .valid.tfrecord, which asks for it.")


# --- windows ----------------------------------------------------------------

def window_step(max_seq_length, prop_sliding_window):
    """Items between the starts of a long sequence's windows.

    Args:
        max_seq_length: int, L.
        prop_sliding_window: float, a share of L, or -1 for L itself.

    Returns:
        int, at least 1.

    Raises:
        ValueError: the step would be 0, or the share negative and not -1.
    """
    if prop_sliding_window == -1.0:
        return max_seq_length
    step = int(prop_sliding_window * max_seq_length)
    if step < 1:
        raise ValueError(
            "prop_sliding_window %g of max_seq_length %d is a step of %d "
            "items; give a share of at least %g, or -1 for steps of the whole "
            "length" % (prop_sliding_window, max_seq_length, step,
                        math.ceil(1e6 / max_seq_length) / 1e6))
    return step


def window_starts(length, max_seq_length, step):
    """Where the windows of a sequence of `length` items start, ascending.

    A sequence of at most L items is one window. A longer one has windows at
    length - L, length - L - step, ... while positive, and at 0.
    """
    if length <= max_seq_length:
        return [0]
    return [0] + list(range(length - max_seq_length, 0, -step))[::-1]


# --- masking ----------------------------------------------------------------

def mask_window(window, rng, mask_id, item_count, options):
    """Masks one window as BERT4Rec's cloze task does (Sun et al., section 3.5).

    Args:
        window: int array [n], ids, n <= L.
        rng: np.random.RandomState.
        mask_id: int, the id of [MASK].
        item_count: int; the items have the ids 1 .. item_count.
        options: Options.

    Returns:
        (input ids [n], masked positions [k] ascending, the k ids that were
        there): int arrays, with k = min(M, max(1, round(n * masked_lm_prob))).
    """
    count = min(options.max_predictions_per_seq,
                max(1, int(round(len(window) * options.masked_lm_prob))))
    positions = np.sort(rng.permutation(len(window))[:count])
    labels = window[positions]
    masked = np.full(count, mask_id, window.dtype)
    if options.mask_prob < 1.0:
        choice = rng.random_sample((2, count))
        other = np.where(choice[1] < 0.5, labels,
                         rng.randint(1, item_count + 1, count))
        masked = np.where(choice[0] < options.mask_prob, masked, other)
    input_ids = window.copy()
    input_ids[positions] = masked
    return input_ids, positions, labels


def mask_last(window, mask_id):
    """Masks the last item alone: what evaluation and prediction ask for."""
    input_ids = window.copy()
    input_ids[-1] = mask_id
    return input_ids, np.array([len(window) - 1]), window[-1:]


# --- instances --------------------------------------------------------------

class TrainingInstances(object):
    """Every training instance of a dataset, made on demand from its number.

    Numbers below dupe_factor * W are (duplicate, window) pairs, each with a
    generator of its own seeded by (random_seed, duplicate, window); the rest
    are the windows with only their last item masked. So any process can make
    any instance, in any order, and nothing is held but the ids.

    Attributes:
        windows: int64 array [W, 3] of (user, start in `ids`, items).
        one_item_windows: int, windows without a last-item instance.
    """

    def __init__(self, sequences, mask_id, item_count, options):
        """sequences: dict, user -> int array of ids; Options as the flags say."""
        self._ids = np.concatenate(list(sequences.values()))
        self._mask_id, self._item_count = mask_id, item_count
        self._options = options
        length = options.max_seq_length
        step = window_step(length, options.prop_sliding_window)
        windows, offset = [], 0
        for user, ids in sequences.items():
            windows += [(user, offset + start, min(length, len(ids) - start))
                        for start in window_starts(len(ids), length, step)]
            offset += len(ids)
        self.windows = np.array(windows, np.int64)
        self._with_last = np.flatnonzero(self.windows[:, 2] >= 2)
        self.one_item_windows = len(self.windows) - len(self._with_last)
        self._masked = options.dupe_factor * len(self.windows)

    def __len__(self):
        return self._masked + len(self._with_last)

    def order(self):
        """int array [len(self)], the numbers of all instances, shuffled."""
        return np.random.RandomState(self._options.random_seed).permutation(
            np.arange(len(self), dtype=np.int32 if len(self) < 2 ** 31
                      else np.int64))

    def serialize(self, numbers):
        """The instances of these numbers, in this order: list of bytes."""
        rng = np.random.RandomState()
        return [self._serialize_one(int(number), rng) for number in numbers]

    def _serialize_one(self, number, rng):
        if number < self._masked:
            duplicate, index = divmod(number, len(self.windows))
            rng.seed((self._options.random_seed, duplicate, index))
        else:
            duplicate, index = None, self._with_last[number - self._masked]
        user, start, length = self.windows[index].tolist()
        window = self._ids[start:start + length]
        if duplicate is None:
            masked = mask_last(window, self._mask_id)
        else:
            masked = mask_window(window, rng, self._mask_id, self._item_count,
                                 self._options)
        return _serialize(user, masked, self._options)


def _serialize(user, masked, options):
    input_ids, positions, labels = (array.tolist() for array in masked)
    return input_pipeline.serialize_instance(
        user, input_ids, positions, labels, options.max_seq_length,
        options.max_predictions_per_seq)


def serialize_last(sequences, mask_id, options):
    """Yields each sequence's last L items with the last one masked, as bytes."""
    for user, ids in sequences.items():
        window = ids[-options.max_seq_length:]
        yield _serialize(user, mask_last(window, mask_id), options)


# --- processes --------------------------------------------------------------

_instances = None  # what the worker processes inherit by fork


def _serialize_chunk(numbers):
    return _instances.serialize(numbers)


def serialize_all(instances, pool_size):
    """Yields lists of serialized instances in shuffled order.

    Args:
        instances: TrainingInstances.
        pool_size: int, worker processes; 1 works in this one.

    Raises:
        Whatever a worker raised; BrokenProcessPool when one was killed.
    """
    global _instances
    order = instances.order()
    chunks = (order[i:i + CHUNK] for i in range(0, len(order), CHUNK))
    if pool_size == 1:
        for chunk in chunks:
            yield instances.serialize(chunk)
        return
    _instances = instances
    fork = ({} if sys.version_info < (3, 7)  # where forking is the only way
            else {"mp_context": multiprocessing.get_context("fork")})
    with concurrent.futures.ProcessPoolExecutor(pool_size, **fork) as pool:
        pending = collections.deque()
        for chunk in chunks:  # a bounded queue keeps the memory flat
            pending.append(pool.submit(_serialize_chunk, chunk))
            if len(pending) > 2 * pool_size:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


# --- the command ------------------------------------------------------------

def build_vocab(sequences):
    """FreqVocab of whole sequences: dict, user -> int array of items."""
    return vocab.FreqVocab(collections.OrderedDict(
        (vocab.user_token(user), [vocab.item_token(i) for i in items.tolist()])
        for user, items in sequences.items()))


def _print_statistics(path, partition, lengths):
    total = int(lengths.sum())
    util.log("%s: %d users, %d items, %d interactions, %.1f a user (from %d to "
             "%d), density %.2f%%" % (
                 path, partition.usernum, partition.itemnum, total,
                 lengths.mean(), lengths.min(), lengths.max(),
                 100.0 * total / (partition.usernum * partition.itemnum)))


def generate(source, target, options, pool_size, holdout_validation=False):
    """Reads interactions and writes the four or five files of one dataset.

    Args:
        source: str, the interactions file.
        target: str, the outputs' names up to their endings.
        options: Options.
        pool_size: int, worker processes.
        holdout_validation: bool; keep the validation items out of training
            and write them as .valid.tfrecord.

    Raises:
        ValueError: malformed input, options that fit no window, or a
            .valid.tfrecord of an earlier run that would not fit the rest.
        IOError: a file cannot be read or written.
    """
    started = time.time()
    window_step(options.max_seq_length, options.prop_sliding_window)
    if os.path.exists(target + ".valid.tfrecord") and not holdout_validation:
        raise ValueError(
            "%s.valid.tfrecord is there, and the training file would now hold "
            "its items; remove it, or give another --signature" % target)
    partition = util.data_partition(source)
    folded = collections.OrderedDict(
        (user, np.concatenate([items, partition.valid[user]]))
        for user, items in partition.train.items())
    whole = collections.OrderedDict(
        (user, np.concatenate([items, partition.test[user]]))
        for user, items in folded.items())
    # The published protocol trains on the validation item as well.
    train = partition.train if holdout_validation else folded
    _print_statistics(source, partition,
                      np.array([len(items) for items in whole.values()]))

    words = build_vocab(whole)
    item_ids = {int(token.split("_")[1]): number
                for token, number in words.token_to_ids.items()
                if token in words.counter}

    def to_ids(sequences):
        return collections.OrderedDict(
            (user, np.array([item_ids[item] for item in items.tolist()],
                            np.int32))
            for user, items in sequences.items())

    whole_ids = to_ids(whole)
    mask_id = words.token_to_ids["[MASK]"]
    instances = TrainingInstances(to_ids(train), mask_id, words.item_count,
                                  options)
    testable = collections.OrderedDict(
        (user, ids) for user, ids in whole_ids.items()
        if len(partition.test[user]))
    asking = [(".test.tfrecord", testable)]
    if holdout_validation:
        asking.append((".valid.tfrecord", collections.OrderedDict(
            (user, ids[:-1]) for user, ids in testable.items())))
    util.log("vocabulary size %d; %d windows (%d of one item); %d training "
             "instances; %d test instances, %d users too short for one" % (
                 words.get_vocab_size(), len(instances.windows),
                 instances.one_item_windows, len(instances), len(testable),
                 len(whole_ids) - len(testable)))

    with util.AtomicFiles() as files:
        with open(files.path(target + ".vocab"), "wb") as stream:
            pickle.dump(words, stream, PICKLE_PROTOCOL)
        with open(files.path(target + ".his"), "wb") as stream:
            pickle.dump({vocab.user_token(user): [ids.tolist()]
                         for user, ids in whole_ids.items()},
                        stream, PICKLE_PROTOCOL)
        for ending, sequences in asking:
            with tf.python_io.TFRecordWriter(
                    files.path(target + ending)) as writer:
                for record in serialize_last(sequences, mask_id, options):
                    writer.write(record)
        with tf.python_io.TFRecordWriter(
                files.path(target + ".train.tfrecord")) as writer:
            progress = util.Progress(len(instances), "instances")
            for records in serialize_all(instances, pool_size):
                for record in records:
                    writer.write(record)
                progress.update(len(records))
            progress.close()
    util.log("wrote %s{%s,.train.tfrecord,.vocab,.his} in %.1f s; validation "
             "items are %s" % (
                 target, ",".join(ending for ending, _ in asking),
                 time.time() - started,
                 "held out" if holdout_validation else "folded into train"))


def main(argv):
    args = flags.FLAGS
    with util.one_line_errors(
            "gen_data_fin.py", (ValueError, IOError, BrokenProcessPool)):
        if argv[1:]:
            raise ValueError("%r is not a flag; flags are written --name=value"
                             % argv[1])
        source = os.path.join(args.data_dir, args.dataset_name + ".txt")
        target = os.path.join(args.data_dir,
                              args.dataset_name + args.signature)
        options = Options(*[getattr(args, name) for name in Options._fields])
        generate(source, target, options, args.pool_size,
                 args.holdout_validation)


if __name__ == "__main__":
    define_flags()
    app.run(main)
