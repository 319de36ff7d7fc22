"""Rankings without a model: most popular, and what came next most often."""

import numpy as np

BASELINES = ("most_popular", "item_transitions")


def training_part(history, held_out):
    """The items of a whole sequence that training has seen.

    Args:
        history: int array, the whole sequence.
        held_out: bool, whether the validation item was kept out of training;
            the published protocol trains on it.

    Returns:
        int array, a view.
    """
    if len(history) < 3:  # too short for a test item
        return history
    return history[:-2] if held_out else history[:-1]


def log_popularity(user_history, held_out, vocab_size):
    """The log of each id's share of the training interactions.

    Every id counts once more than it occurs, so that none has the share 0.

    Args:
        user_history: dict, "user_<u>" -> [ids of the whole sequence].
        held_out: bool, see `training_part`.
        vocab_size: int, V.

    Returns:
        float64 array [V].
    """
    counts = 1.0 + np.bincount(np.concatenate(
        [training_part(lists[0], held_out)
         for lists in user_history.values()]), minlength=vocab_size)
    return np.log(counts / counts.sum())


def popularity_scores(counts):
    """Scores that rank items by their counts.

    Args:
        counts: int array [item_count + 1], one per id.

    Returns:
        float array [item_count + 1], 0, -1, -2, ... in the order of the
        counts, so all distinct: equal counts rank by id, and id 0 (padding)
        does not count.
    """
    order = 1 + np.argsort(-counts[1:], kind="mergesort")
    scores = np.full(len(counts), -float(len(counts)))
    scores[order] = -np.arange(len(order))
    return scores


class ItemTransitions(object):
    """How often one item came right after another in the sequences: a
    first-order Markov chain of all users (that of each user is factorised by
    Rendle et al., WWW 2010).

    The pairs that occur are kept in order, as (first * (item_count + 1) +
    second): a table of all pairs would have billions of entries.
    """

    def __init__(self, sequences, item_count):
        """sequences: list of int arrays of ids 1 .. item_count."""
        self._width = item_count + 1
        pairs = [ids[:-1].astype(np.int64) * self._width + ids[1:]
                 for ids in sequences]
        # A pair that no ids have, so that there is one to be found.
        self._pairs, self._counts = np.unique(
            np.concatenate([[-1]] + pairs), return_counts=True)
        self._starts = np.searchsorted(
            self._pairs, np.arange(self._width + 1) * self._width)

    def followers(self, item):
        """(ids, counts): int arrays, what came after an item and how often."""
        found = slice(self._starts[item], self._starts[item + 1])
        return self._pairs[found] - item * self._width, self._counts[found]

    def counts(self, previous, items):
        """int array, how often `items` came after `previous` (broadcast)."""
        pairs = previous * self._width + items
        places = np.searchsorted(self._pairs, pairs)
        places = np.minimum(places, len(self._pairs) - 1)
        return np.where(self._pairs[places] == pairs, self._counts[places], 0)


class Baselines(object):
    """Most popular, and what came next most often: rankings without a model.

    `item_transitions` scores an item by how often it came right after the
    last item of the input in training; equal counts rank by popularity.
    `most_popular` is the same with no last item (id 0).

    Attributes:
        counts: int array [item_count + 1], the training interactions of ids.
    """

    def __init__(self, sequences, item_count):
        """sequences: list of int arrays of ids, what training has seen."""
        self.counts = np.bincount(np.concatenate(sequences),
                                  minlength=item_count + 1)
        self._popularity = popularity_scores(self.counts)
        self._transitions = ItemTransitions(sequences, item_count)

    def _join(self, transitions, items):
        # Popularity scores differ by less than the number of ids.
        return (transitions * float(len(self.counts))
                + self._popularity[items])

    def scores(self, previous, items):
        """float array [B, C], distinct for distinct items.

        Args:
            previous: int array [B], ids; 0 for none.
            items: int array [B, C], ids.
        """
        return self._join(
            self._transitions.counts(previous[:, np.newaxis], items), items)

    def full_ranks(self, previous, targets, histories):
        """int array [B], ranks among every item outside the history.

        Without a row of scores per user: the items that never followed are in
        the order of popularity, where the target's place is known.

        Args:
            previous, targets: int arrays [B].
            histories: list of B int arrays of distinct ids, the target among
                them.
        """
        excluded = np.zeros(len(self.counts), bool)
        ranks = []
        for last, target, history in zip(previous.tolist(), targets.tolist(),
                                         histories):
            excluded[history] = True
            items, counts = self._transitions.followers(last)
            own = self._join(counts[items == target].sum(), target)
            others = ~excluded[items]
            rank = np.count_nonzero(
                self._join(counts[others], items[others]) > own)
            if own <= 0:  # the target did not follow either
                excluded[items] = True
                # Popularity scores are 0, -1, -2, ....
                rank -= int(own) + np.count_nonzero(
                    self._popularity[np.flatnonzero(excluded)] > own)
                excluded[items] = False
            ranks.append(rank)
            excluded[history] = False
        return np.array(ranks)


def last_visible_items(input_ids):
    """int array [B]: the item before the masked last one, or 0 for none.

    Args:
        input_ids: int array [B, L], padded with 0 at the end.
    """
    lengths = np.count_nonzero(input_ids, axis=1)
    last = input_ids[np.arange(len(input_ids)), np.maximum(lengths - 2, 0)]
    return np.where(lengths >= 2, last, 0)
