"""Reads data/<name>.txt, splits its sequences, and reads the ids beside it."""

import codecs
import collections
import io
import re

import numpy as np
import six

import util

MAX_ID = 2 ** 63 - 1
FEWEST = 3             # interactions of a user who can be tested
BLOCK_BYTES = 2 ** 20  # of an interactions file, read and parsed at a time
# Lines that NumPy reads by itself, a hundred times faster than a loop.
_PLAIN_LINES = re.compile(br"(?:[0-9]{1,18}[ \t]+[0-9]{1,18}\r?\n)+")

Partition = collections.namedtuple("Partition", "train valid test usernum itemnum")


# --- interactions -----------------------------------------------------------

def _parse_id(text, place, number):
    """One id of an interactions line, checked; bytes -> int."""
    if text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID:
        return int(text)
    raise ValueError(
        "%s: %r is not an id; users and items are integers from 1 to %d"
        % (place(number), _shorten(text), MAX_ID))


def read_sequences(path):
    """Reads an interactions file: one `user item` a line, in time order.

    Users may interleave; blank lines are skipped.

    Args:
        path: str, the file's name.

    Returns:
        OrderedDict, user (int) -> int64 array of the user's items in the
        order of the file; the users in the order of their first lines.

    Raises:
        ValueError: a malformed line (named as path:line), or no line at all.
        IOError: the file cannot be read.
    """
    util.check_utf8(path)
    blocks, number = [], 1
    with open(path, "rb") as stream:
        while True:
            block = stream.read(BLOCK_BYTES) + stream.readline()
            if not block:
                break
            if number == 1 and block.startswith(codecs.BOM_UTF8):
                block = block[len(codecs.BOM_UTF8):]
            blocks.append(parse_block(
                block, lambda line: "%s:%d" % (path, number + line)))
            number += block.count(b"\n")
    pairs = np.concatenate(blocks or [np.empty((0, 2), np.int64)])
    if not len(pairs):
        raise ValueError("%s: no interactions in the file; write one "
                         "'user item' a line" % path)
    del blocks
    return group_by_user(*pairs.T)


def parse_block(block, place):
    """The interactions of whole lines.

    Args:
        block: bytes.
        place: function, the number of a line, from 0 -> str, where that is.

    Returns:
        int64 array [interactions, 2], users and items.

    Raises:
        ValueError: a malformed line, named by its place.
    """
    if _PLAIN_LINES.fullmatch(block):
        pairs = np.fromstring(block, np.int64, sep=" ").reshape(-1, 2)
        if pairs.min() > 0:
            return pairs
    pairs = []
    for number, line in enumerate(io.BytesIO(block)):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise ValueError(
                "%s: %r is not an interaction; write 'user item', two "
                "positive integers" % (place(number), _shorten(line)))
        pairs.append([_parse_id(field, place, number) for field in fields])
    return np.array(pairs, np.int64).reshape(-1, 2)


def _shorten(line, width=60):
    text = line.decode("utf-8", "replace").strip()
    return text if len(text) <= width else text[:width] + "..."


def group_by_user(users, items):
    """Groups parallel int64 arrays by user, the users in order of first line.

    Returns:
        OrderedDict, user (int) -> int64 array of items in their order.
    """
    order = np.argsort(users, kind="mergesort")  # stable: keeps time order
    sorted_users = users[order]
    is_start = np.append(True, sorted_users[1:] != sorted_users[:-1])
    starts = np.flatnonzero(is_start)
    groups = np.split(items[order], starts[1:])
    return collections.OrderedDict(
        (int(sorted_users[starts[i]]), groups[i])
        for i in np.argsort(order[starts]))


def split(items):
    """A sequence's parts (train, valid, test), leave-one-out.

    With three interactions or more the last is test, the one before it
    validation, the rest train; with fewer, all are train.
    """
    held_out = 2 if len(items) >= FEWEST else 0
    cut = len(items) - held_out
    return items[:cut], items[cut:cut + held_out // 2], items[
        cut + held_out // 2:]


def data_partition(path):
    """Splits each user's sequence as `split` does.

    Args:
        path: str, an interactions file (see `read_sequences`).

    Returns:
        Partition(train, valid, test, usernum, itemnum): three OrderedDicts
        user -> int64 array of items (empty where the user has none), and the
        numbers of distinct users and items.

    Raises:
        ValueError, IOError: as `read_sequences`.
    """
    sequences = read_sequences(path)
    train, valid, test = (collections.OrderedDict() for _ in range(3))
    for user, items in six.iteritems(sequences):
        train[user], valid[user], test[user] = split(items)
    itemnum = len(np.unique(np.concatenate(list(sequences.values()))))
    return Partition(train, valid, test, len(sequences), itemnum)


# --- original ids ------------------------------------------------------------

def read_id_map(path):
    """Reads data/<name>.items.tsv or .users.tsv, as data/prepare_data.py writes.

    Args:
        path: str, the file's name.

    Returns:
        OrderedDict, number in the interactions file (int) -> (original id,
        title), both str; the title is empty where the source has none.

    Raises:
        ValueError: a malformed line, named as path:line.
        IOError: the file cannot be read.
    """
    util.check_utf8(path)
    ids = collections.OrderedDict()
    with open(path, "rb") as lines:
        next(lines, None)  # the columns' names
        for line_number, line in enumerate(lines, 2):
            try:
                fields = line.decode("utf-8").rstrip("\r\n").split("\t")
            except UnicodeDecodeError:
                fields = []
            if len(fields) not in (2, 3) or not re.match(
                    r"[0-9]+\Z", fields[0]):
                raise ValueError("%s:%d: %s is not number, id and title in "
                                 "UTF-8; write the file again with "
                                 "data/prepare_data.py" % (
                                     path, line_number, util.quote(
                                         line.decode("utf-8", "replace"))))
            ids[int(fields[0])] = (
                unescape(fields[1]), unescape("".join(fields[2:])))
    return ids


_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPED = {escape: plain for plain, escape in six.iteritems(_ESCAPES)}


def escape(text):
    """Text fit for a field of a .tsv file: no tab and no line break."""
    return re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match.group()], text)


def unescape(text):
    """What `escape` was given."""
    return re.sub(r"\\[\\tnr]", lambda match: _ESCAPED[match.group()], text)
