"""Whether the data files of a job belong together, told from their content."""

import itertools

import numpy as np

import vocab
from data.sequences import FEWEST

REMEDY = ("pass the files of one gen_data_fin.py run, or --ignore_checksums to "
          "go on all the same")


def check_vocabulary(path, words):
    """Raises ValueError for a FreqVocab whose parts are not those of one.

    Args:
        path: str, its file, for the error.
        words: vocab.FreqVocab as it was unpickled: attributes may be anything.
    """
    try:
        ids, tokens = words.token_to_ids, words.id_to_tokens
        items = words.get_items()
        whole = (
            all(type(count) is int and count > 0
                for count in words.counter.values())
            and len(items) == words.item_count > 0
            and sorted(ids[token] for token in items)
            == list(range(1, len(items) + 1))
            and sorted(ids.values()) == list(range(1, len(ids) + 1))
            and words.get_vocab_size() == len(ids) + 1
            and tokens == {number: token for token, number in ids.items()}
            and all(token == "item_%d" % int(token[len("item_"):])
                    for token in items)
            and ids["[MASK]"] > len(items)
            and len(words.get_users()) <= words.get_user_count())
    except (AttributeError, LookupError, OverflowError, RecursionError,
            TypeError, ValueError):
        whole = False
    _require(whole, path, "vocabulary")


def check_history(path, user_history):
    """Raises ValueError for a history that is none.

    Args:
        path: str, its file, for the error.
        user_history: the dict as it was unpickled, "user_<u>" -> [ids of the
            whole sequence]; it may be anything.
    """
    try:
        whole = _all_ids(user_history).min() > 0 and all(
            type(lists) is list and len(lists) == 1 and type(lists[0]) is list
            and lists[0] and user == "user_%d" % int(user[len("user_"):])
            for user, lists in user_history.items())
    except (AttributeError, LookupError, OverflowError, RecursionError,
            TypeError, ValueError):
        whole = False
    _require(whole, path, "history")


def _require(whole, path, what):
    if not whole:
        raise ValueError("%s: not a whole %s; generate it again with "
                         "gen_data_fin.py" % (path, what))


def is_sample(words):
    """Whether the history that belongs to a FreqVocab has some users alone, as
    with gen_data_beam.py --eval_users."""
    return len(words.get_users()) < words.get_user_count()


def check_counts(user_history, words):
    """Raises ValueError for a history of other data than the vocabulary."""
    if set(user_history) != words.get_users():
        raise ValueError(
            "--user_history_filename: its %d users are not the %d of the "
            "vocabulary; %s" % (
                len(user_history), len(words.get_users()), REMEDY))
    ids, items = _all_ids(user_history), words.get_item_count()
    if ids.max() > items:
        raise ValueError(
            "--user_history_filename: the history has the id %d, the "
            "vocabulary only %d items; %s" % (ids.max(), items, REMEDY))
    found = np.bincount(ids, minlength=items + 1)
    for token, count in words.counter.items():
        here = found[words.token_to_ids[token]]
        if here > count or here < count and not is_sample(words):
            raise ValueError(
                "--user_history_filename: %s occurs %d times in the history, "
                "the vocabulary counted %d; %s" % (token, here, count, REMEDY))


def _all_ids(user_history):
    """int64 array; TypeError or the like for what is no history."""
    ids = list(itertools.chain.from_iterable(
        lists[0] for lists in user_history.values()))
    if set(map(type, ids)) != {int}:
        raise TypeError("other than integers")
    return np.array(ids, np.int64)


def check_windows(windows, user_history, largest, sample=False):
    """Raises ValueError for training windows that are of other data.

    Args:
        windows: iterable of (user, list of ids), as
            `input_pipeline.read_windows` yields.
        user_history: dict, or None: only the ids are looked at.
        largest: int, the largest id of an item.
        sample: bool, whether users may lack in the history.
    """
    flag = "train_input_file"
    for user, window in windows:
        if not (window and 0 < min(window) <= max(window) <= largest):
            raise ValueError(
                "--%s: user %d has no items or an id outside 1 to %d, the "
                "items of the vocabulary; %s" % (flag, user, largest, REMEDY))
        if user_history is None or (
                sample and vocab.user_token(user) not in user_history):
            continue
        sequence = _sequence_of(user, user_history, flag)
        if len(sequence) >= FEWEST:
            sequence = sequence[:-1]
        if not _occurs(window, sequence):
            raise ValueError(
                "--%s: a window of user %d does not occur in the history "
                "before the test item; %s" % (flag, user, REMEDY))


def check_asked(flag, instances, user_history, left_out):
    """Raises ValueError where instances do not ask each of their users once for
    the history's item.

    Args:
        flag: str, the flag of their files, for the error.
        instances: iterable of (user, ids, the masked ids), as
            `input_pipeline.read_instances` yields.
        user_history: dict.
        left_out: int, how many last items of the history come after the one
            asked for: 0 for test items, 1 for validation items.

    Returns:
        set of int, the users.
    """
    users = set()
    for user, ids, asked in instances:
        if user in users:
            raise ValueError("--%s: it asks user %d twice; name each file once"
                             % (flag, user))
        sequence = _sequence_of(user, user_history, flag)
        sequence = sequence[:len(sequence) - left_out]
        if asked != sequence[-1:] or ids != sequence[-len(ids):]:
            raise ValueError(
                "--%s: what it asks of user %d is not the user's %s item after "
                "the items before it, as the history has them; %s" % (
                    flag, user, ("last", "second-to-last")[left_out], REMEDY))
        users.add(user)
    return users


def check_users(flag, found, user_history):
    """Raises ValueError where users are missing that have an item to ask for.

    Args:
        flag: str. found: set of int, the users of its files.
        user_history: dict.
    """
    wanted = {int(user[len("user_"):])
              for user, (sequence,) in user_history.items()
              if len(sequence) >= FEWEST}
    missing = sorted(wanted - found)
    if missing:
        raise ValueError(
            "--%s: it has %d of the %d users who should be asked by the "
            "history; user %d is the first of %d missing; generate it again "
            "with gen_data_fin.py, or pass --allow_missing_users for a subset "
            "that is meant" % (flag, len(wanted) - len(missing), len(wanted),
                               missing[0], len(missing)))


def _sequence_of(user, user_history, flag):
    """list of int, a user's whole sequence."""
    try:
        return user_history[vocab.user_token(user)][0]
    except KeyError:
        raise ValueError("--%s: user %d is not in the history; %s"
                         % (flag, user, REMEDY))


def _occurs(window, sequence):
    """Whether a list occurs in another without gaps."""
    starts = (start for start, number in enumerate(sequence)
              if number == window[0])
    return any(sequence[start:start + len(window)] == window
               for start in starts)
