"""The protocols: which candidates a test item is ranked among.

    seed     100 by popularity, outside the model's input window: what the
             published code does
    paper    100 by popularity, outside the user's whole history (Sun et al.,
             CIKM 2019, section 4.2)
    uniform  100 uniformly, outside the whole history
    full     every item outside the whole history
"""

import numpy as np

from evaluation.metrics import SEED, RankingError

PROTOCOLS = ("seed", "paper", "uniform", "full")
SAMPLED = tuple(name for name in PROTOCOLS if name != "full")
NEGATIVES = 100
_ROUNDS = (150, 250)    # draws: the first round is enough for most users


class ChoiceWithoutReplacement(object):
    """`RandomState.choice(len(p), size, replace=False, p=p)`, many times.

    The same draws from the same random stream, to the last bit, but the
    cumulative probabilities of the first round, which never change, are
    computed once instead of at every call.
    """

    def __init__(self, p):
        """p: float array of probabilities that sum to 1, all positive."""
        self._p = np.asarray(p, np.float64)
        self._cdf = np.cumsum(self._p)
        self._cdf /= self._cdf[-1]

    def draw(self, rng, size):
        """int array [size] of distinct indices; rng: np.random.RandomState."""
        found = np.zeros(0, np.int64)
        cdf = self._cdf
        while True:
            new = cdf.searchsorted(rng.random_sample(size - len(found)),
                                   side="right")
            found = np.concatenate([found, _first_occurrences(new)])
            if len(found) == size:
                return found
            p = self._p.copy()
            p[found] = 0.0
            cdf = np.cumsum(p)
            cdf /= cdf[-1]


def _first_occurrences(values):
    """The distinct values in the order of their first occurrence."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


class PublishedSampler(object):
    """The candidates of the published code under Python 3 (protocol `seed`).

    One random stream, np.random.RandomState(12345), runs through all users
    in the order of the test file, so the candidates of a user depend on the
    users before.
    """

    def __init__(self, item_ids, counts, by_popularity=True,
                 seed=SEED):
        """item_ids, counts: int arrays in the vocabulary counter's order."""
        self._item_ids = item_ids
        self._by_popularity = by_popularity
        self._choice = ChoiceWithoutReplacement(counts / np.sum(counts))
        self._rng = np.random.RandomState(seed)

    def sample(self, user, target, window):
        """The target and NEGATIVES others that are not in the input window.

        Args:
            user: int, for the error.
            target: int, the id of the test item.
            window: int array, the model's input ids, padding included.

        Returns:
            int array [1 + NEGATIVES], ids, the target first.

        Raises:
            RankingError: the catalogue has too few items outside the window.
        """
        rated = set(window.tolist())
        rated.update((0, target))
        item_count = len(self._item_ids)  # the ids of items are 1 .. item_count
        if item_count - len(rated) < NEGATIVES:  # special tokens are no items
            _check_catalogue(user, "seed", item_count - sum(
                1 <= item <= item_count for item in rated))
        if not self._by_popularity:
            return self._sample_uniformly(target, rated)
        candidates = [target]
        while len(candidates) <= NEGATIVES:
            drawn = self._item_ids[self._choice.draw(
                self._rng, NEGATIVES + 1)].tolist()
            taken = rated.union(candidates)
            candidates += [item for item in drawn if item not in taken]
        return np.array(candidates[:NEGATIVES + 1])

    def _sample_uniformly(self, target, rated):
        """--use_pop_random=False: uniform, and an item may come twice."""
        candidates = [target]
        while len(candidates) <= NEGATIVES:
            item = self._rng.randint(1, len(self._item_ids) + 1)
            if item not in rated:
                candidates.append(item)
        return np.array(candidates)


class HistorySampler(object):
    """Negatives outside the user's history (protocols `paper`, `uniform`).

    Successive sampling without replacement. Each user has a random stream of
    its own, seeded by (seed, user), so the candidates do not depend on the
    other users or on their order.
    """

    def __init__(self, protocol, p, seed):
        """p: float array, probability of the items with ids 1, 2, ...."""
        self._protocol, self._p, self._seed = protocol, p, seed
        self._cdf = np.cumsum(p)
        self._cdf /= self._cdf[-1]
        self._rng = np.random.RandomState()  # seeded again for each user

    def sample(self, user, target, history):
        """The target and NEGATIVES others that are not in the history.

        Args:
            user: int. target: int, an id.
            history: int array of distinct ids, the target among them.

        Returns:
            int array [1 + NEGATIVES], ids, the target first.

        Raises:
            RankingError: the catalogue has too few items outside the history.
        """
        allowed = np.ones(len(self._p) + 1, bool)
        allowed[history] = allowed[0] = False
        _check_catalogue(user, self._protocol, np.count_nonzero(allowed))
        rng = self._rng
        rng.seed((self._seed, user & 0xffffffff, user >> 32))
        # Drawing with replacement and dropping what was drawn before is
        # drawing without replacement.
        drawn = np.zeros(0, np.int64)
        for draws in _ROUNDS:
            new = 1 + self._cdf.searchsorted(rng.random_sample(draws), "right")
            drawn = np.concatenate([drawn, new[allowed[new]]])
            negatives = _first_occurrences(drawn)[:NEGATIVES]
            missing = NEGATIVES - len(negatives)
            if not missing:
                break
        if missing:
            allowed[negatives] = False
            rest = np.flatnonzero(allowed)
            p = self._p[rest - 1]
            negatives = np.concatenate([negatives, rng.choice(
                rest, missing, replace=False, p=p / p.sum())])
        return np.concatenate([[target], negatives])


def check_catalogue(item_count, user_history, protocols, max_seq_length,
                    left_out=0):
    """Refuses a catalogue too small to rank in, before anything is trained.

    Args:
        item_count: int.
        user_history: dict, "user_<u>" -> [ids of the whole sequence].
        protocols: names in PROTOCOLS.
        max_seq_length: int, L.
        left_out: int, how many last items come after the one asked for: 0 for
            test items, 1 for validation items.

    Raises:
        RankingError: what an Evaluator would raise for the first such user.
    """
    for name, (history,) in user_history.items():
        if len(history) < 3 or item_count - len(history) >= NEGATIVES:
            continue
        window = history[:len(history) - left_out][-max_seq_length:]
        for protocol in protocols:
            if protocol != "full":
                rated = window if protocol == "seed" else history
                _check_catalogue(int(name[len("user_"):]), protocol,
                                 item_count - len(set(rated)))


def _check_catalogue(user, protocol, left):
    if left < NEGATIVES:
        raise RankingError(
            "user %d has only %d items left to draw %d negatives from "
            "(protocol %s); the catalogue is too small for sampled protocols, "
            "use --protocols=full (and full/... as --selection_metric)"
            % (user, left, NEGATIVES, protocol))
