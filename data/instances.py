"""Masked instances of sequences: masks, and their shuffled order."""

import numpy as np

import util

util.quiet_tensorflow()
import input_pipeline  # noqa: E402
from data import generation, randomness  # noqa: E402
from data.windows import window_starts, window_step  # noqa: E402

# The bits of a draw that hold its position.
_PLACE = np.uint64(generation.MOST_ITEMS)
_ORDER = 4                       # names the streams of the shuffle


# --- masking ----------------------------------------------------------------

def masked_counts(lengths, options):
    """k = min(M, max(1, round(n * masked_lm_prob))) of windows of n items.

    Args:
        lengths: list or array of int.
        options: Options.

    Returns:
        int array; halves are rounded to the even number.
    """
    return np.minimum(options.max_predictions_per_seq, np.maximum(
        1, np.round(np.multiply(lengths, options.masked_lm_prob)))).astype(int)


def choose_positions(streams, lengths, counts):
    """Positions of windows, drawn without replacement, all equally likely.

    Those of the `counts` smallest draws: position i has draw i of its
    window's stream, in whose place the lowest bits hold i, so that no two
    are equal.

    Args:
        streams: uint64 array [windows], keys.
        lengths, counts: int arrays [windows], counts <= lengths.

    Returns:
        list of int arrays, each ascending.
    """
    places = np.arange(max(lengths), dtype=np.uint64)
    values = randomness.draws(streams[:, np.newaxis], places)
    values = (values & ~_PLACE) | places
    values[places >= lengths[:, np.newaxis]] = ~np.uint64(0)
    values.sort(axis=1)
    chosen = (values[:, :max(counts)] & _PLACE).astype(np.int64)
    return [np.sort(row[:count])
            for row, count in zip(chosen, counts.tolist())]


def mask_windows(windows, starts, users, copies, mask_id, item_count, options):
    """Masks windows as BERT4Rec's cloze task does (Sun et al., section 3.5).

    A masking is a function of (random_seed, user, start, copy) and of the
    window: who else is masked, and where, changes nothing.

    Args:
        windows: list of int arrays, ids, each of n <= L items.
        starts: list of int, where each window starts in its user's sequence.
        users: list of int.
        copies: list of int, which of its window's maskings each one is.
        mask_id: int, the id of [MASK].
        item_count: int; the items have the ids 1 .. item_count.
        options: Options.

    Returns:
        list of (input ids [n], masked positions [k] ascending, the k ids that
        were there): int arrays, k as `masked_counts` says.
    """
    streams = randomness.keys(options.random_seed, users, starts, copies)
    lengths = np.array([len(window) for window in windows])
    counts = masked_counts(lengths, options)
    positions = choose_positions(streams, lengths, counts)
    labels = [window[places] for window, places in zip(windows, positions)]
    put = np.split(_replace(
        np.concatenate(labels), np.concatenate(positions),
        np.repeat(streams, counts), mask_id, item_count, options.mask_prob),
        np.cumsum(counts)[:-1])
    masked = []
    for window, places, items, own in zip(windows, positions, labels, put):
        input_ids = window.copy()
        input_ids[places] = own
        masked.append((input_ids, places, items))
    return masked


def _replace(labels, positions, streams, mask_id, item_count, mask_prob):
    """What stands at masked positions: [MASK] with `mask_prob`, else the item
    itself or a random one, half and half; int array like `labels`."""
    if mask_prob == 1.0:
        return np.full_like(labels, mask_id)
    masks, stays, item = [
        randomness.uniforms(randomness.draws(
            randomness.keys(streams, purpose), positions))
        for purpose in (1, 2, 3)]
    other = np.where(stays < 0.5, labels, 1 + (item * item_count).astype(int))
    return np.where(masks < mask_prob, mask_id, other)


def mask_last(window, mask_id):
    """Masks the last item alone: what evaluation and prediction ask for."""
    input_ids = window.copy()
    input_ids[-1] = mask_id
    return input_ids, np.array([len(window) - 1]), window[-1:]


# --- instances --------------------------------------------------------------

def existing_copies(lengths, dupe_factor):
    """Which copies there are of windows: bool array [windows, dupe_factor + 1].

    A window of one item has no copy 0: copy 1 masks its last item too.

    Args:
        lengths: int array [windows], items. dupe_factor: int.
    """
    exists = np.ones([len(lengths), dupe_factor + 1], bool)
    exists[lengths < 2, 0] = False
    return exists


def order_hashes(users, starts, copies, options):
    """What the training instances are sorted by: uint64 array.

    Args:
        users, starts, copies: int arrays that broadcast together, as
            `mask_windows` takes them.
        options: Options.
    """
    return randomness.keys(options.random_seed, users, starts, copies, _ORDER)


def serialize_copies(windows, starts, users, copies, mask_id, item_count,
                     options):
    """Training instances: list of bytes.

    Args:
        users, copies: int arrays; of copy 0 only the last item is masked.
        windows, starts, mask_id, item_count, options: as `mask_windows` takes
            them.
    """
    masked = mask_windows(windows, starts, users, copies, mask_id, item_count,
                          options)
    return [_serialize(user, mask_last(window, mask_id) if copy == 0 else own,
                       options)
            for user, window, copy, own in zip(
                users.tolist(), windows, copies.tolist(), masked)]


class TrainingInstances(object):
    """Every training instance of a dataset in shuffled order, made on demand.

    Of each window there is copy 0, with only its last item masked, and the
    copies 1 .. dupe_factor with random masks. Their order is that of a hash
    of (random_seed, user, start of the window, copy). So any process can make
    any part, and nothing is held but the ids and the order.

    Attributes:
        windows: int64 array [W, 3] of (user, start in `ids`, items).
        one_item_windows: int, windows without a last-item instance.
        chunks: int.
    """

    CHUNK = 512  # instances that are made together, a worker's task

    def __init__(self, sequences, mask_id, item_count, options):
        """sequences: dict, user -> int array of ids; Options as the flags say."""
        self._ids = np.concatenate(list(sequences.values()))
        self._mask_id, self._item_count = mask_id, item_count
        self._options = options
        length = options.max_seq_length
        step = window_step(length, options.prop_sliding_window)
        windows, starts, offset = [], [], 0
        for user, ids in sequences.items():
            own = window_starts(len(ids), length, step)
            starts += own
            windows += [(user, offset + start, min(length, len(ids) - start))
                        for start in own]
            offset += len(ids)
        self.windows = np.array(windows, np.int64)
        self._starts = np.array(starts, np.int32)
        self.one_item_windows = int((self.windows[:, 2] < 2).sum())
        self._copies = options.dupe_factor + 1
        self._order = self._shuffle()
        self.chunks = -(-len(self._order) // self.CHUNK)

    def __len__(self):
        return len(self._order)

    def _shuffle(self):
        """The numbers of the instances, window * copies + copy, in order."""
        count = len(self.windows) * self._copies
        numbers = np.arange(
            count, dtype=np.int32 if count < 2 ** 31 else np.int64)
        numbers = numbers.reshape(-1, self._copies)
        exists = existing_copies(self.windows[:, 2], self._options.dupe_factor)
        hashes = order_hashes(
            self.windows[:, :1], self._starts[:, np.newaxis],
            np.arange(self._copies), self._options)
        # A stable sort: of equal hashes the lower number is first.
        return numbers[exists][np.argsort(hashes[exists], kind="mergesort")]

    def serialize(self, chunk):
        """The instances of one chunk, 0 <= chunk < chunks: list of bytes."""
        numbers = self._order[chunk * self.CHUNK:(chunk + 1) * self.CHUNK]
        rows, copies = np.divmod(numbers, self._copies)
        users, offsets, lengths = self.windows[rows].T
        windows = [self._ids[offset:offset + length] for offset, length in
                   zip(offsets.tolist(), lengths.tolist())]
        return serialize_copies(
            windows, self._starts[rows], users, copies, self._mask_id,
            self._item_count, self._options)

    def shard(self, index, num_shards):
        """The chunks of one of `num_shards` parts of nearly equal size: range.

        The parts follow each other, so their files, one after the other, are
        the file of all chunks.
        """
        return range(index * self.chunks // num_shards,
                     (index + 1) * self.chunks // num_shards)


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
