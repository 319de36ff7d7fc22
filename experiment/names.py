"""What items and users are called outside: original ids and titles.

An id is text everywhere: the original one of the id map that
data/prepare_data.py writes, or, without a map, the number in the interactions
file.
"""

import hashlib
import os

import numpy as np

import util
import vocab
from data import sequences
from experiment import consistency

ITEMS, USERS = ".items.tsv", ".users.tsv"      # endings of the id maps


class Names(object):
    """The names of a vocabulary's items and users.

    Attributes:
        path: str, the .items.tsv they come from, or None.
        items: list of str; items[i] is what the vocabulary's id i is called,
            items[0] is "".
        titles: list of str in the same order, or None where no item has one.
        ids: dict, what an item is called -> the vocabulary's id.
        checksums: dict, file name -> SHA-256 of the ids (not the titles).
    """

    def __init__(self, words, path=None):
        """Reads an id map, or takes the numbers where there is none.

        Args:
            words: vocab.FreqVocab.
            path: str, an .items.tsv; the .users.tsv beside it is read too.

        Raises:
            ValueError: a map is malformed, names other items or users than
                the vocabulary, or two of them alike.
        """
        self.path, self.checksums = path, {}
        tokens = words.convert_ids_to_tokens(
            list(range(1, words.get_item_count() + 1)))
        names = self._names(path, tokens)
        self.items = [""] + [names[token][0] for token in tokens]
        titles = [""] + [names[token][1] for token in tokens]
        self.titles = titles if any(titles) else None
        self.ids = {name: number for number, name in enumerate(self.items)
                    if number}
        users = path and _users_beside(path)
        self._users = {token: name for token, (name, _) in self._names(
            users, words.get_users(), consistency.is_sample(words)).items()}
        self._tokens = {name: token for token, name in self._users.items()}

    def _names(self, path, tokens, sample=False):
        """dict, token -> (id, title), both str, of these tokens: of all that
        the map has, or of a sample."""
        if path is None:
            return {token: (token.split("_", 1)[1], "") for token in tokens}
        kind = "item" if path.endswith(ITEMS) else "user"
        token_of, numbers = _token_of(path), sequences.read_id_map(path)
        names = {token_of(number): both for number, both in numbers.items()}
        if sample:
            names = {token: names[token] for token in tokens if token in names}
        if set(names) != set(tokens):
            raise ValueError(
                "%s: its %d %ss are not the %d of the vocabulary; write both "
                "anew, with data/prepare_data.py and gen_data_fin.py, or name "
                "the right map with --items_file"
                % (path, len(numbers), kind, len(tokens)))
        digest, seen = hashlib.sha256(), set()
        for number, (name, _) in numbers.items():
            if not name or name in seen:
                raise ValueError(
                    "%s: the id %r of %s %d is %s; ids are texts that differ"
                    % (path, name, kind, number,
                       "another's too" if name else "empty"))
            seen.add(name)
            digest.update(("%d\t%s\n" % (
                number, sequences.escape(name))).encode("utf-8"))
        self.checksums[os.path.basename(path)] = digest.hexdigest()
        return names

    def user(self, token):
        """What the user `user_<n>` is called: str.

        Raises:
            ValueError: the vocabulary has no such user.
        """
        if token not in self._users:
            raise ValueError("%s of the history is not in the vocabulary; name "
                             "the files that were generated together" % token)
        return self._users[token]

    def user_token(self, name):
        """"user_<n>" of a user's id, an int or str.

        Raises:
            ValueError: no user is called so.
        """
        if str(name) not in self._tokens:
            raise ValueError("no user %r in the data; name one of its %d "
                             "users, or give items instead"
                             % (str(name), len(self._tokens)))
        return self._tokens[str(name)]

    def known_ids(self, items):
        """The vocabulary's ids of the items that it has.

        Args:
            items: iterable of ids, int or str.

        Returns:
            (list of int; the number of items that are unknown).
        """
        found = [self.ids.get(str(item)) for item in items]
        known = [number for number in found if number is not None]
        return known, len(found) - len(known)


def read_names(words, vocab_path, path=None):
    """The Names of a vocabulary.

    Args:
        words: vocab.FreqVocab.
        vocab_path: str, its file. Without `path`, the id map is
            <name>.items.tsv in the same folder, where the vocabulary's file
            name starts with <name>, the map names its items, and the
            <name>.users.tsv beside it, if there, its users.
        path: str, the .items.tsv to take; None or "" where there is none.

    Raises:
        ValueError: see `Names`; there is no such file; or the map is newer
            than the vocabulary, and of other interactions.
        IOError: a file cannot be read.
    """
    if not path:
        path = _find_map(words, vocab_path)
    elif not path.endswith(ITEMS) or not os.path.isfile(path):
        raise ValueError("--items_file: no file %s that ends in %s; name "
                         "the map that data/prepare_data.py wrote, or pass "
                         "--items_file= to have it looked for"
                         % (path, ITEMS))
    names = Names(words, path)
    if path:
        _check_counts(words, vocab_path, path)
    return names


def _find_map(words, vocab_path):
    """The map of a vocabulary in its folder: str, or None."""
    folder, file_name = os.path.split(vocab_path)
    maps = [name for name in os.listdir(folder or ".") if name.endswith(ITEMS)
            and file_name.startswith(name[:-len(ITEMS)])]
    for name in sorted(maps, key=len, reverse=True):
        found = os.path.join(folder, name)
        users = _users_beside(found)
        if not _is_map_of(found, set(words.get_items())):
            continue
        if users is None or _is_map_of(users, words.get_users(),
                                       consistency.is_sample(words)):
            return found
        util.log("passed over %s: %s beside it has other users than the "
                 "vocabulary" % (found, os.path.basename(users)))
    return None


def _users_beside(path):
    """The .users.tsv beside an .items.tsv: str, or None."""
    users = path[:-len(ITEMS)] + USERS
    return users if os.path.exists(users) else None


def _is_map_of(path, tokens, sample=False):
    """Whether a map names these tokens alone, or all of a sample."""
    named = set(map(_token_of(path), sequences.read_id_map(path)))
    return named >= tokens if sample else named == tokens


def _token_of(path):
    """What makes a token of a number of this map: a function."""
    return vocab.item_token if path.endswith(ITEMS) else vocab.user_token


def _check_counts(words, vocab_path, path):
    """Raises ValueError where the interactions beside a map were written after
    the vocabulary, and are others: their items may have other numbers.

    data/prepare_data.py numbers from 1, so the numbers alone would fit. A
    vocabulary counts all interactions, that of a sample of the users too.
    """
    source = path[:-len(ITEMS)] + ".txt"
    if not os.path.isfile(source) or (
            os.path.getmtime(path) <= os.path.getmtime(vocab_path)):
        return
    found = np.unique(np.concatenate(list(
        sequences.read_sequences(source).values())), return_counts=True)
    there = dict(zip(map(vocab.item_token, found[0].tolist()),
                     found[1].tolist()))
    for token, count in words.counter.items():
        if there.get(token, 0) != count:
            raise ValueError(
                "%s: newer than the vocabulary %s, and of other interactions: "
                "%s occurs %d times in %s, the vocabulary counted %d; generate "
                "again with gen_data_fin.py, or name the right map with "
                "--items_file" % (path, vocab_path, token,
                                  there.get(token, 0), source, count))
