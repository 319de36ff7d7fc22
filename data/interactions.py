"""Interactions in memory: read into columns, put in order, filtered, numbered.

An interaction costs 16 bytes while the file is read; the ids are
kept once each.
"""

import array
import collections
import datetime
import decimal
import math
import re

import numpy as np

import util

CHUNK = 1 << 17                # lines written at a time
LARGEST_EXACT = 1 << 53        # the largest integer a float counts to

Choices = collections.namedtuple(
    "Choices",
    "min_user_count min_item_count filter min_rating duplicates ties")

Prepared = collections.namedtuple(
    "Prepared", "users items user_ids item_ids steps tied")


# --- columns ----------------------------------------------------------------

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}\Z")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?\Z")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r"\s?(?:(Z)|([-+])([0-9]{2})(?::?([0-9]{2}))?)?)?\Z")
_EPOCH = datetime.datetime(1970, 1, 1)


def parse_date(text):
    """An ISO 8601 date, with or without a time -> nanoseconds since 1970, UTC.

    A time without offset counts as UTC.

    Raises:
        ValueError: the text is no such date.
    """
    match = _DATE.match(text)
    if not match:
        raise ValueError("%s is neither a number nor an ISO date"
                         % util.quote(text))
    date = [int(field or 0) for field in match.group(1, 2, 3, 4, 5, 6)]
    try:
        since = datetime.datetime(*date) - _EPOCH
    except ValueError as error:
        raise ValueError("%r is no date: %s" % (text, error))
    seconds = since.days * 86400 + since.seconds
    sign, hours, minutes = match.group(9, 10, 11)
    if sign:
        hours, minutes = int(hours), int(minutes or 0)
        if hours > 23 or minutes > 59:
            raise ValueError("%r has no valid offset" % text)
        offset = hours * 3600 + minutes * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * 10 ** 9 + int((match.group(7) or "0").ljust(9, "0"))


def parse_number(text):
    """A finite decimal number -> float."""
    if not _NUMBER.match(text) or math.isinf(float(text)):
        raise ValueError("%s is not a number" % util.quote(text))
    return float(text)


def parse_whole(text):
    """A finite decimal number -> int where it has an exponent and is whole, as
    large times are often saved, else float."""
    number = parse_number(text)
    if "e" in text.lower():
        exact = decimal.Decimal(text)
        if exact == int(exact):
            return int(exact)
    return number


class Times(object):
    """A column of times: all numbers or all dates; int64 while there are no
    fractions, since floats would round large integers."""

    def __init__(self):
        self._values = array.array("q")
        self._dates = None

    def append(self, text):
        """Adds one time; ValueError when it is none, or of the other kind."""
        if _INTEGER.match(text):
            value, date = int(text), False
        elif _NUMBER.match(text):
            value, date = parse_whole(text), False
        else:
            value, date = parse_date(text), True
        if self._dates not in (None, date):
            raise ValueError("%s is a %s, the times before are %s" % (
                (util.quote(text), "date", "numbers") if date else
                (util.quote(text), "number", "dates")))
        floats = isinstance(value, float) or self._values.typecode == "d"
        if floats and abs(value) > LARGEST_EXACT:
            raise ValueError("%s is too large a number beside fractions"
                             % util.quote(text))
        if floats and self._values.typecode == "q":
            self._values = self._as_floats(text)
        try:
            self._values.append(value)
        except OverflowError:
            raise ValueError("%r is out of range" % text)
        self._dates = date

    def _as_floats(self, text):
        if not self._values:
            return array.array("d")
        values = np.frombuffer(self._values, np.int64)
        if max(int(values.max()), -int(values.min())) > LARGEST_EXACT:
            raise ValueError("%r is a fraction, a time before it too large a "
                             "number beside one" % text)
        return array.array("d", values.astype(float).tobytes())

    def to_numpy(self):
        """The column as int64 or float64, [interactions]."""
        return np.frombuffer(self._values, self._values.typecode)


class Ids(object):
    """The ids of one kind, numbered from 0 in the order of first mention.

    Attributes:
        names: list of str, the ids.
    """

    def __init__(self, kind):
        self._kind, self._codes, self.names = kind, {}, []

    def check(self, text):
        """ValueError unless the text is known or fit to be an id."""
        if text in self._codes:
            return
        if not text:
            raise ValueError("the %s is empty" % self._kind)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("the %s %s is not valid Unicode"
                             % (self._kind, util.quote(text)))

    def code(self, text):
        code = self._codes.setdefault(text, len(self.names))
        if code == len(self.names):
            self.names.append(text)
        return code


class Interactions(object):
    """What is read, in the order of the file.

    Attributes:
        users, items: Ids.
        below_rating: int, interactions left out for their rating.
    """

    def __init__(self, min_rating=None):
        self.users, self.items = Ids("user"), Ids("item")
        self.below_rating = 0
        self._min_rating = min_rating
        self._user_codes, self._item_codes = array.array("i"), array.array("i")
        self._times = Times()

    def __len__(self):
        return len(self._user_codes)

    def add(self, user, item, time, rating):
        """Adds one interaction, given as text; white space around is dropped.

        Raises:
            ValueError: one of them is malformed; nothing was added.
        """
        user, item = user.strip(), item.strip()
        self.users.check(user)
        self.items.check(item)
        if self._is_below(rating):
            self.below_rating += 1
            return
        self._times.append(time.strip())
        self._user_codes.append(self.users.code(user))
        self._item_codes.append(self.items.code(item))

    def _is_below(self, rating):
        if rating is None:
            if self._min_rating is not None:
                raise ValueError("there is no rating for --min_rating")
            return False
        value = parse_number(rating.strip())
        return self._min_rating is not None and value < self._min_rating

    def arrays(self):
        """(users, items, times): int32, int32 and a number, [interactions]."""
        return (np.frombuffer(self._user_codes, np.int32),
                np.frombuffer(self._item_codes, np.int32),
                self._times.to_numpy())


# --- order ------------------------------------------------------------------

def parse_ties(text):
    """'file-order', 'item-id' or 'random:SEED' -> (policy, seed or None)."""
    policy, _, seed = text.partition(":")
    if text in ("file-order", "item-id"):
        return policy, None
    if policy == "random" and re.match(r"[0-9]{1,10}\Z", seed) \
            and int(seed) < 2 ** 32:
        return policy, int(seed)
    raise ValueError("--ties=%s is not file-order, item-id or random:SEED "
                     "with a seed from 0 to %d" % (text, 2 ** 32 - 1))


def time_order(users, items, times, item_ids, ties):
    """The order of users, of time within a user, and of `ties` within a time.

    Args:
        users, items: int32 [n], codes.
        times: int64 or float64 [n].
        item_ids: list of str, the original id of every item code.
        ties: str, see parse_ties.

    Returns:
        int64 [n], indices.
    """
    policy, seed = parse_ties(ties)
    keys = (times, users)  # np.lexsort is stable, its last key counts most
    if policy == "item-id":
        keys = (_ranks(item_ids)[items],) + keys
    elif policy == "random":
        keys = (np.random.RandomState(seed).permutation(len(users)),) + keys
    return np.lexsort(keys)


def _ranks(ids):
    """The rank of every id: as integers where all are, else as text. [ids]"""
    if all(re.match(r"-?[0-9]{1,4000}\Z", text) for text in ids):
        order = sorted(range(len(ids)), key=lambda i: (int(ids[i]), ids[i]))
    else:
        order = sorted(range(len(ids)), key=ids.__getitem__)
    ranks = np.empty(len(ids), np.int32)
    ranks[order] = np.arange(len(ids), dtype=np.int32)
    return ranks


# --- filters ----------------------------------------------------------------

def is_no_duplicate(users, items, choices):
    """Which interactions stay under the choice for duplicates.

    Args:
        users, items: int32 [n], in their final order.
        choices: Choices. Of a user's interactions with the same item its
            duplicates "keep" all, the "first" or the "last".

    Returns:
        bool [n].
    """
    if choices.duplicates == "keep":
        return np.ones(len(users), bool)
    pairs = users.astype(np.int64) * (int(items.max()) + 1) + items
    order = np.argsort(pairs, kind="mergesort")
    pairs = pairs[order]
    differs = pairs[1:] != pairs[:-1]
    edge = np.ones(1, bool)
    chosen = np.concatenate(
        [edge, differs] if choices.duplicates == "first" else [differs, edge])
    kept = np.zeros(len(users), bool)
    kept[order[chosen]] = True
    return kept


def is_frequent(users, items, choices):
    """Which interactions stay under the minimum counts.

    Args:
        users, items: int32 [n].
        choices: Choices. Its filter is "once": users and items are both
            counted over all n; "items-then-users": users are counted over what
            the items' filter left; "k-core": both, until nothing changes.

    Returns:
        bool [n].
    """
    kept = np.ones(len(users), bool)
    while True:
        before = np.count_nonzero(kept)
        enough = kept & _reaches(items, kept, choices.min_item_count)
        counted = kept if choices.filter == "once" else enough
        kept = enough & _reaches(users, counted, choices.min_user_count)
        if choices.filter != "k-core" or np.count_nonzero(kept) == before:
            return kept


def _reaches(codes, counted, minimum):
    """Whether the code of an interaction occurs often enough. bool [n]."""
    counts = np.bincount(codes[counted], minlength=int(codes.max()) + 1)
    return (counts >= minimum)[codes]


# --- all of it --------------------------------------------------------------

def prepare(interactions, choices):
    """Orders, filters and numbers interactions.

    Users are numbered from 1 in the order in which the rows first mention them,
    those without a kept row left out; items from 1 in the order of first
    appearance in what is written: user by user, each in time order.

    Args:
        interactions: Interactions; no longer needed by the caller.
        choices: Choices.

    Returns:
        Prepared: users, items (int32 [m], from 1), user_ids, item_ids (lists
        of str, the original ids in the order of the numbers), steps (list of
        (what, interactions that it left out)), tied (int, interactions that
        share user and time with another).

    Raises:
        ValueError: no interaction is left.
    """
    if not len(interactions):
        raise ValueError("no interaction is left (%d read, all rated below "
                         "--min_rating)" % interactions.below_rating
                         if interactions.below_rating else
                         "no interactions in it")
    users, items, times = interactions.arrays()
    steps = [("rating below --min_rating", interactions.below_rating)]
    order = time_order(users, items, times, interactions.items.names,
                       choices.ties)
    columns = [column[order] for column in (users, items, times)]
    del users, items, times, order
    for step, test in (("duplicates", is_no_duplicate),
                       ("user and item counts", is_frequent)):
        kept = test(columns[0], columns[1], choices)
        steps.append((step, len(kept) - int(np.count_nonzero(kept))))
        columns = [column[kept] for column in columns]
    users, items, times = columns
    if not len(users):
        raise ValueError("no interaction is left (left out: %s); lower the "
                         "filters" % ", ".join("%s %d" % step
                                               for step in steps))
    tied = _count_tied(users, times)
    user_codes = np.unique(users)
    item_codes, first = np.unique(items, return_index=True)
    item_codes = item_codes[np.argsort(first)]
    return Prepared(
        _number(users, user_codes), _number(items, item_codes),
        [interactions.users.names[code] for code in user_codes],
        [interactions.items.names[code] for code in item_codes], steps, tied)


def _count_tied(users, times):
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    tied = np.zeros(len(users), bool)
    tied[1:] |= same
    tied[:-1] |= same
    return int(np.count_nonzero(tied))


def _number(codes, in_order):
    """The numbers, from 1, of codes that are numbered as `in_order` has them."""
    numbers = np.zeros(int(in_order.max()) + 1, np.int32)
    numbers[in_order] = np.arange(1, len(in_order) + 1)
    return numbers[codes]


def write(path, users, items):
    """Writes `user item`, one interaction a line."""
    progress = util.Progress(len(users), "interactions")
    with open(path, "w", newline="\n") as stream:
        for start in range(0, len(users), CHUNK):
            pairs = zip(users[start:start + CHUNK].tolist(),
                        items[start:start + CHUNK].tolist())
            lines = ["%d %d\n" % pair for pair in pairs]
            stream.write("".join(lines))
            progress.update(len(lines))
    progress.close()
