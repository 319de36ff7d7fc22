"""The item vocabulary: ids in descending frequency, then the special tokens."""

import collections

SPECIAL_TOKENS = ("[pad]", "[MASK]", "[NO_USE]")


def item_token(item):
    """The vocabulary's name of an item id of the interactions file."""
    return "item_%d" % item


def user_token(user):
    """The history's name of a user id of the interactions file."""
    return "user_%d" % user


class _SortedSet(set):
    """A set that pickles as a plain set with its elements in sorted order.

    A set's own order follows the hash seed of the process, and the same flags
    must write the same bytes.
    """

    def __reduce__(self):
        return set, (sorted(self),)


class FreqVocab(object):
    """Maps item and special tokens to ids. The `.vocab` file is this, pickled.

    Ids: 0 is padding; items from 1 in descending frequency, ties in the order
    of first appearance; then `[pad]`, `[MASK]`, `[NO_USE]` in that order.

    Attributes:
        counter: Counter, item token -> number of interactions, in the order
            of first appearance.
        token_to_ids, id_to_tokens: dict, str -> int and back.
        item_count, user_count: int.
        user_set: set of str.
        special_tokens: tuple of str.
        vocab_words: list of str, the tokens in the order of their ids.
    """

    def __init__(self, user_to_list):
        """Counts items and numbers them.

        Args:
            user_to_list: mapping, user token -> list of item tokens (the
                whole sequence), read in the mapping's order.
        """
        counter, users = collections.Counter(), set()
        for user, items in user_to_list.items():
            counter.update(items)
            users.add(str(user))
        self._set(counter, users, len(users))

    @classmethod
    def from_counts(cls, counter, user_set, user_count):
        """The vocabulary of items that were counted elsewhere.

        Args:
            counter: Counter, item token -> interactions, in the order of
                first appearance.
            user_set: set of str, user tokens: all, or some that are kept.
            user_count: int, all users.
        """
        words = cls.__new__(cls)
        words._set(counter, user_set, user_count)
        return words

    def _set(self, counter, user_set, user_count):
        self.counter, self.user_set = counter, user_set
        self.user_count, self.item_count = user_count, len(counter)
        self.special_tokens = SPECIAL_TOKENS
        items = [token for token, _ in self.counter.most_common()]
        self.vocab_words = items + list(SPECIAL_TOKENS)
        self.token_to_ids = {
            token: number for number, token in enumerate(self.vocab_words, 1)}
        self.id_to_tokens = dict(enumerate(self.vocab_words, 1))

    def __getstate__(self):
        state = dict(self.__dict__)
        state["user_set"] = _SortedSet(self.user_set)
        return state

    def convert_tokens_to_ids(self, tokens):
        """list of str -> list of int; KeyError on an unknown token."""
        return [self.token_to_ids[token] for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """list of int -> list of str; KeyError on an unknown id."""
        return [self.id_to_tokens[number] for number in ids]

    def get_items(self):
        """list of str, the item tokens in the order of first appearance."""
        return list(self.counter)

    def get_item_count(self):
        return self.item_count

    def get_users(self):
        return self.user_set

    def get_user_count(self):
        return self.user_count

    def get_vocab_words(self):
        return self.vocab_words

    def get_vocab_size(self):
        """int, items + special tokens + 1 for the padding id 0."""
        return self.item_count + len(self.special_tokens) + 1

    def get_special_token(self):
        return self.special_tokens

    def get_special_token_count(self):
        return len(self.special_tokens)
