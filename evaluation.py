"""Ranking evaluation: candidates, ranks, metrics and protocols. NumPy only.

The test item of each user is ranked among candidates by its score. Four
protocols choose the candidates:

    seed     100 by popularity, outside the model's input window: what the
             published code does
    paper    100 by popularity, outside the user's whole history (Sun et al.,
             CIKM 2019, section 4.2)
    uniform  100 uniformly, outside the whole history
    full     every item outside the whole history
"""

import collections

import numpy as np

PROTOCOLS = ("seed", "paper", "uniform", "full")
CUTOFFS = (1, 5, 10)
METRICS = tuple("%s@%d" % (name, k) for k in CUTOFFS
                for name in ("ndcg", "hit")) + ("ap",)
NEGATIVES = 100
PUBLISHED_SEED = 12345
_ROUNDS = (150, 250)    # draws: the first round is enough for most users


class RankingError(ValueError):
    """The test users cannot be ranked; the message says why and what to do."""


# --- ranks and metrics ------------------------------------------------------

def candidate_ranks(scores):
    """Ranks the candidate in column 0 among all columns.

    Args:
        scores: float array [users, candidates].

    Returns:
        int array [users], the number of other candidates that score at least
        as high: 0 is best, and ties count against the model.

    Raises:
        RankingError: a score is NaN.
    """
    if np.isnan(scores).any():
        raise RankingError(
            "a score is NaN for %d of %d users; the model has diverged, "
            "evaluate an earlier checkpoint or train with a smaller "
            "learning_rate" % (np.isnan(scores).any(axis=1).sum(), len(scores)))
    return (scores[:, 1:] >= scores[:, :1]).sum(axis=1)


def ranking_metrics(ranks):
    """Metrics of 0-based ranks, averaged over users.

    hit@k = [rank < k]; ndcg@k = 1 / log2(rank + 2) where rank < k, else 0
    (one relevant item, so the ideal gain is 1); ap = 1 / (rank + 1), whose
    mean is the mean reciprocal rank.

    Args:
        ranks: int array [users], not empty.

    Returns:
        OrderedDict, name in METRICS -> float in [0, 1].
    """
    ranks = np.asarray(ranks)
    gains = 1.0 / np.log2(ranks + 2)
    values = collections.OrderedDict()
    for k in CUTOFFS:
        values["ndcg@%d" % k] = np.where(ranks < k, gains, 0.0)
        values["hit@%d" % k] = (ranks < k).astype(np.float64)
    values["ap"] = 1.0 / (ranks + 1)
    # A running sum, as the published code adds up: equal to the last digit.
    return collections.OrderedDict(
        (name, float(np.cumsum(value)[-1] / len(ranks)))
        for name, value in values.items())


# --- candidates -------------------------------------------------------------

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
                 seed=PUBLISHED_SEED):
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
            user: int. target: int, an id. history: int array of distinct ids.

        Returns:
            int array [1 + NEGATIVES], ids, the target first.

        Raises:
            RankingError: the catalogue has too few items outside the history.
        """
        allowed = np.ones(len(self._p) + 1, bool)
        allowed[history] = allowed[target] = allowed[0] = False
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


def _check_catalogue(user, protocol, left):
    if left < NEGATIVES:
        raise RankingError(
            "user %d has only %d items left to draw %d negatives from "
            "(protocol %s); the catalogue is too small for sampled protocols, "
            "use --protocols=full" % (user, left, NEGATIVES, protocol))


# --- the evaluator ----------------------------------------------------------

def popularity_scores(histories, item_count):
    """Scores that rank items by their training interactions.

    Args:
        histories: iterable of int arrays, whole sequences; the last item of
            three or more is the test item and not counted.
        item_count: int.

    Returns:
        float array [item_count + 1], one an id, all distinct: equal counts
        rank by id.
    """
    counts = np.zeros(item_count + 1, np.int64)
    for history in histories:
        np.add.at(counts, history[:-1] if len(history) >= 3 else history, 1)
    order = np.lexsort((np.arange(item_count + 1), -counts))
    scores = np.empty(item_count + 1)
    scores[order] = -np.arange(item_count + 1)
    return scores


class Evaluator(object):
    """Ranks each test item under every protocol, from one forward pass.

    The model and the most-popular baseline rank the same candidates.
    """

    def __init__(self, words, user_history, protocols=PROTOCOLS,
                 use_pop_random=True, seed=PUBLISHED_SEED):
        """Prepares the samplers.

        Args:
            words: vocab.FreqVocab.
            user_history: dict, "user_<u>" -> [ids of the whole sequence].
            protocols: names in PROTOCOLS.
            use_pop_random: bool; False draws the negatives of `seed` as the
                published code does with that flag off, uniformly.
            seed: int, of the candidates.

        Raises:
            RankingError: the history has ids that the vocabulary has not.
        """
        self._item_count = words.get_item_count()
        self._history = user_history
        self._protocols = protocols
        item_ids = np.array(words.convert_tokens_to_ids(words.get_items()))
        counts = np.array(list(words.counter.values()))
        by_id = np.empty(self._item_count)
        by_id[item_ids - 1] = counts
        self._published = PublishedSampler(item_ids, counts, use_pop_random,
                                           seed)
        self._samplers = {
            "paper": HistorySampler("paper", by_id / by_id.sum(), seed),
            "uniform": HistorySampler(
                "uniform", np.full(self._item_count, 1.0 / self._item_count),
                seed + 1)}
        histories = [np.asarray(lists[0]) for lists in user_history.values()]
        largest = max(history.max() for history in histories)
        if largest > self._item_count:
            raise RankingError(
                "the history has the id %d, the vocabulary only %d items; pass "
                "the .his and .vocab files of one generation"
                % (largest, self._item_count))
        self._popularity = popularity_scores(histories, self._item_count)
        self.users = []
        self.ranks = {name: [] for name in protocols}
        self.baseline_ranks = {name: [] for name in protocols}

    def add(self, users, input_ids, targets, scores):
        """Ranks a batch of test users, in the order of the test file.

        Args:
            users: int array [B].
            input_ids: int array [B, L], the model's input, last item masked.
            targets: int array [B], ids of the test items.
            scores: float array [B, V], the logits at the masked position.

        Raises:
            RankingError: NaN scores, too small a catalogue, a user without
                history.
        """
        if targets.max() > self._item_count:
            raise RankingError(
                "the test file has the target %d, the vocabulary only %d "
                "items; pass the .vocab file that was generated with it"
                % (targets.max(), self._item_count))
        histories = [self._history_of(user) for user in users.tolist()]
        for protocol in self._protocols:
            if protocol == "full":
                ranks = self._full_ranks(targets, histories, scores)
                baseline = self._full_ranks(
                    targets, histories,
                    np.broadcast_to(self._popularity,
                                    (len(users), len(self._popularity))))
            else:
                candidates = self._candidates(protocol, users, input_ids,
                                              targets, histories)
                ranks = candidate_ranks(
                    np.take_along_axis(scores, candidates, axis=1))
                baseline = candidate_ranks(self._popularity[candidates])
            self.ranks[protocol].extend(ranks.tolist())
            self.baseline_ranks[protocol].extend(baseline.tolist())
        self.users.extend(users.tolist())

    def _history_of(self, user):
        try:
            return np.unique(self._history["user_%d" % user][0])
        except KeyError:
            raise RankingError(
                "user %d of the test file is not in the history file; pass "
                "the .his file that was generated with it" % user)

    def _candidates(self, protocol, users, input_ids, targets, histories):
        """int array [B, 1 + NEGATIVES], the targets in column 0."""
        rows = zip(users.tolist(), targets.tolist(), input_ids, histories)
        if protocol == "seed":
            return np.stack([self._published.sample(user, target, window)
                             for user, target, window, _ in rows])
        sampler = self._samplers[protocol]
        return np.stack([sampler.sample(user, target, history)
                         for user, target, _, history in rows])

    def _full_ranks(self, targets, histories, scores):
        """Ranks among every item that is not in the user's history.

        Padding and special tokens are no candidates; the target is, though
        it is in the history as its last item.
        """
        items = scores[:, 1:self._item_count + 1]
        if np.isnan(items).any():
            candidate_ranks(items)  # raises, with the count
        at_least = items >= scores[np.arange(len(targets)), targets][:, None]
        # The target itself is among the history's items that are taken off.
        return np.array([
            np.count_nonzero(row) - np.count_nonzero(
                row[np.union1d(history, [target]) - 1])
            for row, history, target in zip(at_least, histories, targets)])

    def results(self):
        """OrderedDict, "<protocol>/<metric>" -> float, then the baseline's
        under "most_popular/<protocol>/<metric>"."""
        metrics = collections.OrderedDict()
        for prefix, ranks in (("", self.ranks),
                              ("most_popular/", self.baseline_ranks)):
            for protocol in self._protocols:
                for name, value in ranking_metrics(ranks[protocol]).items():
                    metrics["%s%s/%s" % (prefix, protocol, name)] = value
        return metrics


# --- what a person reads ----------------------------------------------------

def published_line(metrics, users):
    """The line that the published code prints, for comparison by eye.

    Args:
        metrics: dict, name in METRICS -> float.
        users: int.
    """
    # The third separator is a full-width comma there, and so it is here.
    return ("ndcg@1:{ndcg@1}, hit@1:{hit@1}\uff0c ndcg@5:{ndcg@5}, "
            "hit@5:{hit@5}, ndcg@10:{ndcg@10}, hit@10:{hit@10}, ap:{ap}, "
            "valid_user:{users}".format(users=float(users), **metrics))


def results_table(results, protocols):
    """A text table: protocols and the baseline's in rows, metrics in columns.

    Args:
        results: dict as `Evaluator.results` returns.
        protocols: names in PROTOCOLS.
    """
    lines = ["%-9s%-14s" % ("protocol", "ranked by")
             + "".join("%9s" % name for name in METRICS)]
    for protocol in protocols:
        for label, prefix in (("model", ""), ("most popular", "most_popular/")):
            lines.append("%-9s%-14s" % (protocol, label) + "".join(
                "%9.4f" % results["%s%s/%s" % (prefix, protocol, name)]
                for name in METRICS))
    return "\n".join(lines)
