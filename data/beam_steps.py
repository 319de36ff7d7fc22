"""What the pipeline of data/beam_pipeline.py does with its elements.

Nothing depends on how a runner divides the work: places in the input order
users and items, hashes order the instances, and each masking belongs to its
instance (data/instances.py).
"""

import codecs
import collections
import io
import os
import re
import struct

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput

import util
import vocab
from data import instances, randomness, sequences
from data.windows import window_starts, window_step

RANGE_BYTES = 2 ** 20     # of an interactions file, what one task reads

# Where a user first occurs: file, first byte of the range, how many users of
# the range came before. As bytes they sort like the numbers.
PLACE = struct.Struct(">IQI")
NUMBER = struct.Struct(">Q")

# A user with the items' numbers in the interactions file, or their ids.
Sequence = collections.namedtuple("Sequence", "place user items")
# Of FreqVocab what the workers need: the items' numbers, ascending, their ids,
# the id of [MASK], and the counter.
Catalogue = collections.namedtuple("Catalogue", "items ids mask_id counter")

# What is wrong with the input, and where. It flows through the pipeline like
# everything else: an exception would have a runner try again, and print pages.
Fault = collections.namedtuple("Fault", "place message")
FAULTS = "faults"         # names them among the outputs of a step


def tally(**numbers):
    """Adds to the counters that the command prints."""
    for name, number in numbers.items():
        Metrics.counter("generation", name).inc(number)


# --- reading ----------------------------------------------------------------

def find_files(patterns):
    """The interactions files, in order: list of (path, bytes).

    Args:
        patterns: list of str, names and globs on any filesystem Beam knows;
            what a glob matches is sorted.

    Raises:
        ValueError: a pattern matches nothing, or its filesystem cannot be
            asked; or a file is matched twice, or is UTF-16 text.
        IOError: a local file cannot be read.
    """
    files, seen = [], set()
    for pattern in patterns:
        try:
            found, = FileSystems.match([_in_a_folder(pattern)])
        except Exception as error:  # every filesystem has its own
            raise ValueError("--input: %s: %s" % (
                pattern, str(error).split("\n")[0]))
        if not found.metadata_list:
            raise ValueError("--input: no file matches %r; correct the name, "
                             "or make the file with data/prepare_data.py"
                             % pattern)
        files += sorted((file.path, file.size_in_bytes)
                        for file in found.metadata_list)
    for path, _ in files:
        if FileSystems.get_scheme(path) is None:
            util.check_utf8(path)
            identity = os.path.realpath(path)
        else:
            identity = path
        if identity in seen:
            raise ValueError("--input: %s is matched twice; name each file "
                             "once" % path)
        seen.add(identity)
    return files


def _in_a_folder(pattern):
    """The pattern, with its folder where Beam would list one called ''."""
    is_bare = re.match(r"[^/*?[]*[*?[]", pattern)
    return os.path.join(".", pattern) if is_bare else pattern


def ranges(file):
    """(number, path, bytes) of a file -> (number, path, start, stop) of parts."""
    number, path, size = file
    for start in range(0, size, RANGE_BYTES):
        yield number, path, start, min(start + RANGE_BYTES, size)


def read_range(part):
    """The interactions on the lines that start in a range.

    Args:
        part: (number of the file, path, start, stop), in bytes.

    Yields:
        (user, (place, items)): int and two bytes, an int64 array's in items;
        each user of the range once. Or a Fault: a malformed line, named by
        its first byte, or an unreadable file.
    """
    number, path, start, stop = part
    try:
        first, block = _whole_lines(path, start, stop)
        if not block:
            return
        pairs = sequences.parse_block(block, lambda line: "%s: byte %d" % (
            path, first + sum(map(len, io.BytesIO(block).readlines()[:line]))))
    except (ValueError, EnvironmentError) as error:
        yield TaggedOutput(FAULTS, Fault(PLACE.pack(number, start, 0),
                                         str(error)))
        return
    for rank, (user, items) in enumerate(
            sequences.group_by_user(*pairs.T).items() if len(pairs) else ()):
        yield user, (PLACE.pack(number, start, rank), items.tobytes())


def _whole_lines(path, start, stop):
    """The lines that start in a range: (where the first starts, bytes)."""
    with FileSystems.open(
            path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        if start:
            stream.seek(start - 1)
            start += len(stream.readline()) - 1  # of a line from before
        if start >= stop:
            return start, b""
        block = stream.read(stop - start)
        if not block.endswith(b"\n"):
            block += stream.readline()
    if not start and block.startswith(codecs.BOM_UTF8):
        return len(codecs.BOM_UTF8), block[len(codecs.BOM_UTF8):]
    return start, block


def join(parts):
    """(user, its parts of all ranges) -> Sequence."""
    user, parts = parts
    parts = sorted(parts)
    return Sequence(parts[0][0], user,
                    np.frombuffer(b"".join(items for _, items in parts),
                                  np.int64))


# --- the vocabulary ---------------------------------------------------------

def count(batch):
    """Counts the items of some sequences.

    Yields:
        (item, (interactions, place)): the place is where it first occurs, the
        user's and the item's number in the sequence, as bytes.
    """
    batch = sorted(batch, key=lambda sequence: sequence.place)
    starts = np.cumsum([0] + [len(each.items) for each in batch[:-1]])
    items, first, counts = np.unique(
        np.concatenate([each.items for each in batch]), return_index=True,
        return_counts=True)
    owners = np.searchsorted(starts, first, side="right") - 1
    for item, owner, number, times in zip(
            items.tolist(), owners.tolist(), (first - starts[owners]).tolist(),
            counts.tolist()):
        yield item, (times, batch[owner].place + NUMBER.pack(number))


def add_counts(counts):
    """Adds up (interactions, place) of one item, in any order and grouping."""
    times, places = zip(*counts)
    return sum(times), min(places)


def number_items(counted, faults):
    """list of (item, (interactions, place)) -> Catalogue.

    With faults (list of Fault) it is empty, so that no more work is done.
    """
    counted = [] if faults else counted
    in_order = sorted(counted, key=lambda pair: pair[1][1])
    counter = collections.Counter(collections.OrderedDict(
        (vocab.item_token(item), times) for item, (times, _) in in_order))
    words = vocab.FreqVocab.from_counts(counter, set(), 0)
    tally(items=len(counter), interactions=sum(counter.values()))
    items = sorted(item for item, _ in counted)
    ids = words.convert_tokens_to_ids(map(vocab.item_token, items))
    mask_id, = words.convert_tokens_to_ids(["[MASK]"])
    return Catalogue(np.array(items, np.int64), np.array(ids, np.int32),
                     mask_id, counter)


def to_ids(sequence, catalogue):
    """Yields the Sequence of ids (int32) of one of items, if items have ids."""
    if not len(catalogue.items):
        return
    rows = np.searchsorted(catalogue.items, sequence.items)
    yield sequence._replace(items=catalogue.ids[rows])


# --- instances --------------------------------------------------------------

def windows_of(sequence, options, holdout_validation):
    """Yields (user, start, ids) of the windows that are trained on."""
    train, valid, _ = sequences.split(sequence.items)
    length = len(train) + (0 if holdout_validation else len(valid))
    step = window_step(options.max_seq_length, options.prop_sliding_window)
    for start in window_starts(length, options.max_seq_length, step):
        stop = min(start + options.max_seq_length, length)
        yield sequence.user, start, sequence.items[start:stop].tobytes()


def mask(batch, catalogue, options, num_shards):
    """Windows, as `windows_of` yields them -> instances.

    The shards are equal parts of the hashes' range, so, one after the other,
    they are the uncut file.

    Yields:
        (shard, list of hash and instance as one bytes).
    """
    users, starts, windows = zip(*batch)
    windows = [np.frombuffer(ids, np.int32) for ids in windows]
    lengths = np.array(list(map(len, windows)))
    rows, copies = np.nonzero(
        instances.existing_copies(lengths, options.dupe_factor))
    users, starts = np.array(users)[rows], np.array(starts)[rows]
    records = instances.serialize_copies(
        [windows[row] for row in rows.tolist()], starts, users, copies,
        catalogue.mask_id, len(catalogue.items), options)
    hashes = instances.order_hashes(users, starts, copies, options)
    shards = collections.defaultdict(list)
    for number, record in zip(hashes.tolist(), records):
        shards[number * num_shards >> 64].append(NUMBER.pack(number) + record)
    for shard in shards.items():
        yield shard
    tally(windows=len(windows), one_item_windows=int((lengths < 2).sum()),
          instances=len(records))


def is_testable(sequence):
    """Whether a sequence has a test item."""
    return len(sequences.split(sequence.items)[2]) > 0


def ask_last(sequence, left_out, catalogue, options):
    """The place and the instance that asks for the last item but `left_out`."""
    ids = sequence.items[:len(sequence.items) - left_out]
    record, = instances.serialize_last({sequence.user: ids},
                                       catalogue.mask_id, options)
    if not left_out:
        tally(asked=1)
    return sequence.place + record


def hashed_user(sequence, seed):
    """(hash, user): the users with the least are evaluated."""
    key, = randomness.sample_keys([sequence.user], seed).tolist()
    return key, sequence.user
