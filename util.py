"""Files, progress and errors: what every command of the project shares."""

import collections
import contextlib
import glob
import io
import logging
import os
import pickle
import re
import sys
import time
import warnings

import numpy as np
import six
from tqdm import tqdm

MAX_ID = 2 ** 63 - 1
BLOCK_BYTES = 2 ** 20  # of an interactions file, read and parsed at a time
_SHARD = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\Z", re.DOTALL)
# Lines that NumPy reads by itself, a hundred times faster than a loop.
_PLAIN_LINES = re.compile(br"(?:[0-9]{1,18}[ \t]+[0-9]{1,18}\r?\n)*")

Partition = collections.namedtuple("Partition", "train valid test usernum itemnum")

# The only classes that `.vocab` and `.his` files are made of.
_PICKLE_CLASSES = {
    ("vocab", "FreqVocab"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("__builtin__", "set"),
}


# --- interactions -----------------------------------------------------------

def _parse_id(text, path, number):
    """One id of an interactions line, checked; bytes -> int."""
    if text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID:
        return int(text)
    raise ValueError(
        "%s:%d: %r is not an id; users and items are integers from 1 to %d"
        % (path, number, _shorten(text), MAX_ID))


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
    blocks, number = [], 1
    with open(path, "rb") as stream:
        while True:
            block = stream.read(BLOCK_BYTES) + stream.readline()
            if not block:
                break
            blocks.append(_parse_block(block, path, number))
            number += block.count(b"\n")
    pairs = np.concatenate(blocks or [np.empty((0, 2), np.int64)])
    if not len(pairs):
        raise ValueError("%s: no interactions in the file; write one "
                         "'user item' a line" % path)
    del blocks
    return _group_by_user(*pairs.T)


def _parse_block(block, path, number):
    """Whole lines, the first of this number: bytes -> int64 array [lines, 2]."""
    if _PLAIN_LINES.fullmatch(block):
        pairs = np.fromstring(block, np.int64, sep=" ").reshape(-1, 2)
        if pairs.min() > 0:
            return pairs
    pairs = []
    for number, line in enumerate(io.BytesIO(block), number):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise ValueError(
                "%s:%d: %r is not an interaction; write 'user item', two "
                "positive integers" % (path, number, _shorten(line)))
        pairs.append([_parse_id(field, path, number) for field in fields])
    return np.array(pairs, np.int64).reshape(-1, 2)


def _shorten(line, width=60):
    text = line.decode("utf-8", "replace").strip()
    return text if len(text) <= width else text[:width] + "..."


def _group_by_user(users, items):
    """Groups parallel int64 arrays by user, the users in order of first line."""
    order = np.argsort(users, kind="mergesort")  # stable: keeps time order
    sorted_users = users[order]
    is_start = np.append(True, sorted_users[1:] != sorted_users[:-1])
    starts = np.flatnonzero(is_start)
    groups = np.split(items[order], starts[1:])
    return collections.OrderedDict(
        (int(sorted_users[starts[i]]), groups[i])
        for i in np.argsort(order[starts]))


def data_partition(path):
    """Splits each user's sequence leave-one-out.

    With three interactions or more the last is test, the one before it
    validation, the rest train; with fewer, all are train.

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
        held_out = 2 if len(items) >= 3 else 0
        cut = len(items) - held_out
        train[user] = items[:cut]
        valid[user] = items[cut:cut + held_out // 2]
        test[user] = items[cut + held_out // 2:]
    itemnum = len(np.unique(np.concatenate(list(sequences.values()))))
    return Partition(train, valid, test, len(sequences), itemnum)


# --- files ------------------------------------------------------------------

class AtomicFiles(object):
    """Output files that appear under their final names all together, or not.

    Use as a context manager: write to `path(final_name)` inside the block.
    When the block ends well every file is renamed; when it raises, or a
    rename does, no temporary file is left behind.
    """

    def __init__(self):
        self._temporary = collections.OrderedDict()

    def path(self, final_name):
        """The temporary name to write `final_name` under."""
        self._temporary[final_name] = "%s.tmp-%d" % (final_name, os.getpid())
        return self._temporary[final_name]

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        try:
            if error_type is None:
                for final_name, temporary in six.iteritems(self._temporary):
                    os.replace(temporary, final_name)
        finally:
            for temporary in self._temporary.values():
                if os.path.exists(temporary):
                    os.remove(temporary)


def expand_files(pattern, flag):
    """Expands a comma-separated list of names and globs, each sorted.

    What a glob matches of shards must be whole: a stale or missing one would
    change the data unseen. A name that is spelled out is meant.

    Args:
        pattern: str, e.g. "data/a.tfrecord,data/b-*.tfrecord".
        flag: str, the flag the pattern came from, for the error.

    Returns:
        list of str, existing non-empty files.

    Raises:
        ValueError: a part matches nothing, shards are missing or mixed with
            others, or a file is empty.
    """
    files = []
    for part in pattern.split(","):
        name = part.strip()
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name))
        if not matches:
            raise ValueError("--%s: no file matches %r; generate it with "
                             "gen_data_fin.py, or correct the name"
                             % (flag, name))
        if matches != [name]:
            _check_shards(matches, name, flag)
        files.extend(matches)
    for name in files:
        if not os.path.isfile(name) or os.path.getsize(name) == 0:
            raise ValueError("--%s: %s is empty or not a file; generate it "
                             "again with gen_data_fin.py" % (flag, name))
    return files


def _check_shards(matches, pattern, flag):
    """Raises ValueError when of a sharded file a glob matches not just a whole
    set, or besides the set the uncut file or one that is being written."""
    shards = collections.OrderedDict()  # (start of the names, N) -> indices
    for name in matches:
        found = _SHARD.match(name)
        if found:
            base, index, count = found.groups()
            shards.setdefault((base, count), set()).add(int(index))
    for (base, count), indices in shards.items():
        whole = "%s-*-of-%s" % (base, count)
        for name in matches:
            found = _SHARD.match(name)
            related = name == base or name.startswith((base + "-", base + "."))
            if related and (
                    not found or found.group(1, 3) != (base, count)):
                raise ValueError(
                    "--%s: %r matches shards of %s and %s as well, the same "
                    "data in another cut or half-written; write %s for the "
                    "shards alone" % (flag, pattern, whole, name, whole))
        missing = sorted(set(range(int(count))) - indices)
        if missing:
            raise ValueError(
                "--%s: of the %d shards of %s there are %d; missing %s%s; "
                "generate them with gen_data_fin.py --shard_index, or name the "
                "files one by one to take those alone" % (
                    flag, int(count), whole, len(indices),
                    ", ".join("%05d" % index for index in missing[:5]),
                    ", ..." if missing[5:] else ""))


class _Unpickler(pickle.Unpickler):
    """Admits the classes of vocabulary and history files and no other."""

    def find_class(self, module, name):
        if (module, name) not in _PICKLE_CLASSES:
            raise pickle.UnpicklingError(
                "it holds the class %s.%s, which no vocabulary or history "
                "file needs" % (module, name))
        return pickle.Unpickler.find_class(self, module, name)


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
    ids = collections.OrderedDict()
    with io.open(path, encoding="utf-8", newline="\n") as lines:
        next(lines, None)  # the columns' names
        for line_number, line in enumerate(lines, 2):
            fields = line.rstrip("\n").split("\t")
            if len(fields) not in (2, 3) or not re.match(
                    r"[0-9]+\Z", fields[0]):
                raise ValueError("%s:%d: %s is not number, id and title; "
                                 "write the file again with "
                                 "data/prepare_data.py"
                                 % (path, line_number, quote(line)))
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


def load_pickle(path, expected_type):
    """Reads a `.vocab` or `.his` file, refusing foreign classes.

    Args:
        path: str, the file's name.
        expected_type: str, the name of the class that the object must have.

    Returns:
        The object.

    Raises:
        ValueError: the file is damaged, of another kind, or holds a class
            that these files do not need (named in the message).
        IOError: the file cannot be read.
    """
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        loaded = _Unpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError("%s: not loaded: %s; generate the file again with "
                         "gen_data_fin.py" % (path, error or "it ends early"))
    found = type(loaded).__name__
    if found != expected_type:
        raise ValueError("%s: holds a %s where a %s is needed; check the file "
                         "name" % (path, found, expected_type))
    return loaded


# --- what a person sees -----------------------------------------------------

def log(message):
    """Prints one line with the time to standard error."""
    tqdm.write("%s %s" % (time.strftime("%H:%M:%S"), message), file=sys.stderr)
    sys.stderr.flush()


def quote(value, width=60):
    """A value for a message: on one line and not too long."""
    text = repr(value)
    return text if len(text) <= width else text[:width] + "..."


class Progress(object):
    """A tqdm bar on a terminal, a plain line every `interval` seconds elsewhere."""

    def __init__(self, total, unit, initial=0, interval=10):
        self._total, self._unit, self._done = total, unit, initial
        self._start, self._started_at = time.time(), initial
        self._interval, self._next = interval, time.time() + interval
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, unit=" " + unit, initial=initial,
                             dynamic_ncols=True)

    def update(self, count, note=""):
        """Counts `count` more units; `note` is shown beside them."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.time() >= self._next or self._done == self._total:
            self._next = time.time() + self._interval
            rate = (self._done - self._started_at) / max(
                time.time() - self._start, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            log("%d/%d %s, %.4g %s/s, %s left%s" % (
                self._done, self._total, self._unit, rate, self._unit,
                tqdm.format_interval(left), ", " + note if note else ""))

    def close(self):
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def one_line_errors(command, errors=(ValueError, IOError)):
    """Turns these errors into one line and exit status 1, without traceback."""
    try:
        yield
    except errors as error:
        sys.exit("%s: error: %s" % (command, " ".join(str(error).split())))


def quiet_tensorflow():
    """Silences TensorFlow's start-up notices. Call it before importing it.

    They speak of deprecated functions and of GPU libraries that were not
    found; `run.py` says in one line which devices it uses. A value of
    TF_CPP_MIN_LOG_LEVEL in the environment is respected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
