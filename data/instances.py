"""Masked instances of sequences: windows, masks, and their shuffled order."""

import collections
import math

import numpy as np

import util

util.quiet_tensorflow()
import input_pipeline  # noqa: E402

Options = collections.namedtuple(
    "Options", "max_seq_length max_predictions_per_seq mask_prob dupe_factor "
               "masked_lm_prob prop_sliding_window random_seed")


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
    """Every training instance of a dataset in shuffled order, made on demand.

    Instances are numbered: below dupe_factor * W a number is a (duplicate,
    window) pair, the rest are the windows with only their last item masked.
    A seeded permutation of the numbers is cut into chunks, and each chunk has
    a generator of its own, seeded by (random_seed, chunk). So any process can
    make any chunk, and nothing is held but the ids and the permutation.

    Attributes:
        windows: int64 array [W, 3] of (user, start in `ids`, items).
        one_item_windows: int, windows without a last-item instance.
        chunks: int.
    """

    CHUNK = 512  # instances that share a generator, a worker's task

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
        count = self._masked + len(self._with_last)
        self._order = np.random.RandomState(options.random_seed).permutation(
            np.arange(count, dtype=np.int32 if count < 2 ** 31 else np.int64))
        self.chunks = -(-count // self.CHUNK)

    def __len__(self):
        return len(self._order)

    def serialize(self, chunk):
        """The instances of one chunk, 0 <= chunk < chunks: list of bytes."""
        rng = np.random.RandomState((self._options.random_seed, chunk))
        return [self._serialize_one(number, rng) for number in
                self._order[
                    chunk * self.CHUNK:(chunk + 1) * self.CHUNK].tolist()]

    def shard(self, index, num_shards):
        """The chunks of one of `num_shards` parts of nearly equal size: range.

        The parts follow each other, so their files, one after the other, are
        the file of all chunks.
        """
        return range(index * self.chunks // num_shards,
                     (index + 1) * self.chunks // num_shards)

    def _serialize_one(self, number, rng):
        is_last = number >= self._masked
        index = (self._with_last[number - self._masked] if is_last
                 else number % len(self.windows))
        user, start, length = self.windows[index].tolist()
        window = self._ids[start:start + length]
        if is_last:
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
