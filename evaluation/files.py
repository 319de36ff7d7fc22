"""The files of an evaluation that other programs read: `eval_users.tsv` and
saved candidates. Both hold the user and item numbers of the interactions file,
tab-separated, below a line of column names."""

import collections
import gzip
import io
import zlib

from evaluation.candidates import SAMPLED
from evaluation.evaluator import item_numbers

CANDIDATES_HEADER = ("user", "protocol", "target", "negatives")


def write_user_rows(path, rows):
    """Writes one line per user.

    Args:
        path: str, the file's name.
        rows: OrderedDict, column -> list of int, as `Evaluator.user_rows`.
    """
    with open(path, "w") as stream:
        stream.write("\t".join(rows) + "\n")
        for values in zip(*rows.values()):
            stream.write("\t".join(map(str, values)) + "\n")


def write_candidates(path, words, candidates, compress):
    """Writes the candidates of every user and protocol, the same bytes for
    the same candidates.

    Args:
        path: str, the file's name.
        words: vocab.FreqVocab.
        candidates: dict, protocol -> {user: int array of ids, target first}.
        compress: bool, by gzip.
    """
    numbers = item_numbers(words)
    with open(path, "wb") as stream:
        output = (gzip.GzipFile("", "wb", 6, stream, mtime=0) if compress
                  else stream)
        output.write("\t".join(CANDIDATES_HEADER).encode() + b"\n")
        for protocol in SAMPLED:
            for user, ids in candidates.get(protocol, {}).items():
                items = [str(number) for number in numbers[ids].tolist()]
                output.write(("%d\t%s\t%s\t%s\n" % (
                    user, protocol, items[0], " ".join(items[1:]))).encode())
        if compress:
            output.close()


def read_candidates(path, words, targets, protocols):
    """Reads candidates, checked against the test users and the vocabulary.

    Args:
        path: str, the file's name; it is unpacked when that ends in .gz.
        words: vocab.FreqVocab.
        targets: dict, test user -> id of the target.
        protocols: names in PROTOCOLS; `full` needs no candidates.

    Returns:
        dict, sampled protocol -> {user: list of ids, target first}.

    Raises:
        ValueError: a malformed line (named as path:line), an unknown item,
            another target than the test file's, or users that are missing.
        IOError: the file cannot be read.
    """
    ids = {number: i for i, number in enumerate(
        item_numbers(words).tolist()) if i}
    wanted = [name for name in protocols if name in SAMPLED]
    candidates = collections.OrderedDict((name, {}) for name in wanted)
    for number, (user, protocol, row) in _lines(path, ids):
        if protocol not in wanted or user not in targets:
            continue
        place, found = "%s:%d" % (path, number), candidates[protocol]
        if row[0] != targets[user]:
            raise ValueError(
                "%s: the target of user %d is another item than in the test "
                "file; use candidates of this split" % (place, user))
        if user in found:
            raise ValueError("%s: user %d has a second line of protocol %s; "
                             "write one" % (place, user, protocol))
        others = next(iter(found.values()), row)
        if len(row) != len(others):
            raise ValueError(
                "%s: %d negatives where the lines of protocol %s before have "
                "%d; write the same number for all users"
                % (place, len(row) - 1, protocol, len(others) - 1))
        found[user] = row
    for protocol in wanted:
        missing = len(set(targets) - set(candidates[protocol]))
        if missing:
            raise ValueError(
                "%s: no candidates of protocol %s for %d of %d test users; add "
                "them, leave the protocol out of --protocols, or name a new "
                "file to have them drawn"
                % (path, protocol, missing, len(targets)))
    return candidates


def _lines(path, ids):
    """Yields (line number, (user, protocol, [target and negatives as ids]))."""
    number = 0
    try:
        with (gzip.open if path.endswith(".gz") else io.open)(
                path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                fields = line.decode("utf-8-sig", "replace").rstrip(
                    "\r\n").split("\t")
                if number == 1:
                    _check_header(path, fields)
                else:
                    yield number, _parse(fields, ids)
    except (EOFError, zlib.error, OSError) as error:
        if getattr(error, "errno", None):  # of the system, not of the content
            raise
        raise ValueError("%s: damaged after line %d (%s); write it again"
                         % (path, number, error))
    except _LineError as error:
        raise ValueError("%s:%d: %s" % (path, number, error))
    if not number:
        _check_header(path, ("",))


class _LineError(Exception):
    """What is wrong with a line."""


def _check_header(path, fields):
    if tuple(fields) != CANDIDATES_HEADER:
        raise ValueError(
            "%s:1: the columns are %r; the first line of a candidates file is "
            "%r, separated by tabs" % (path, " ".join(fields)[:60],
                                       " ".join(CANDIDATES_HEADER)))


def _parse(fields, ids):
    """(user, protocol, ids) of a line's fields; raises _LineError."""
    if len(fields) != len(CANDIDATES_HEADER):
        raise _LineError("%d columns, not %d; separate them by tabs"
                         % (len(fields), len(CANDIDATES_HEADER)))
    user, protocol, target, negatives = fields
    if protocol not in SAMPLED:
        raise _LineError("unknown protocol %r; the sampled protocols are %s"
                         % (protocol, ", ".join(SAMPLED)))
    try:
        user = int(user)
        items = [int(text) for text in [target] + negatives.split()]
    except ValueError as error:
        raise _LineError("%s; users and items are the numbers of the "
                         "interactions file" % error)
    unknown = [item for item in items if item not in ids]
    if unknown:
        raise _LineError("the vocabulary has no item %d; pass the .vocab file "
                         "of the same dataset" % unknown[0])
    if len(items) < 2 or items[0] in items[1:]:
        raise _LineError("user %d has %s; list other items than the target"
                         % (user, "no negatives" if len(items) < 2
                            else "the target among the negatives"))
    # Protocol `seed` without popularity draws with replacement.
    if protocol != "seed" and len(set(items)) < len(items):
        raise _LineError("user %d has a negative twice; list each once" % user)
    return user, protocol, [ids[item] for item in items]
