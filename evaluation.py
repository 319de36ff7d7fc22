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
BASELINES = ("most_popular", "item_transitions")
RESAMPLES = 1000
CONFIDENCE = 0.95
_RESAMPLED = 2 ** 20    # counts of ranks drawn at a time: some 10 MB
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


def metric_values(ranks):
    """Metrics of 0-based ranks, one value a rank.

    hit@k = [rank < k]; ndcg@k = 1 / log2(rank + 2) where rank < k, else 0
    (one relevant item, so the ideal gain is 1); ap = 1 / (rank + 1), whose
    mean is the mean reciprocal rank.

    Args:
        ranks: int array [users].

    Returns:
        OrderedDict, name in METRICS -> float array [users] in [0, 1].
    """
    ranks = np.asarray(ranks)
    gains = 1.0 / np.log2(ranks + 2)
    values = collections.OrderedDict()
    for k in CUTOFFS:
        values["ndcg@%d" % k] = np.where(ranks < k, gains, 0.0)
        values["hit@%d" % k] = (ranks < k).astype(np.float64)
    values["ap"] = 1.0 / (ranks + 1)
    return values


def ranking_metrics(ranks):
    """Metrics of 0-based ranks (see `metric_values`), averaged over users.

    Args:
        ranks: int array [users], not empty.

    Returns:
        OrderedDict, name in METRICS -> float in [0, 1].
    """
    # A running sum, as the published code adds up: equal to the last digit.
    return collections.OrderedDict(
        (name, float(np.cumsum(value)[-1] / len(ranks)))
        for name, value in metric_values(ranks).items())


def bootstrap_intervals(ranks, resamples=RESAMPLES, seed=PUBLISHED_SEED):
    """Percentile bootstrap intervals of the metrics, over users.

    Drawing as many users with replacement (Efron, 1979) is drawing how often
    each rank comes, from a multinomial distribution: the metrics depend on
    nothing else, and there are far fewer ranks than users.

    Args:
        ranks: int array [users], 0-based, not empty.
        resamples: int.
        seed: int.

    Returns:
        OrderedDict, name in METRICS -> (low, high), the bounds of the middle
        CONFIDENCE of the resampled means.
    """
    distinct, counts = np.unique(ranks, return_counts=True)
    users, rng = len(ranks), np.random.RandomState(seed)
    values = metric_values(distinct)
    means = collections.OrderedDict((name, []) for name in values)
    at_once = max(1, _RESAMPLED // len(distinct))
    for start in range(0, resamples, at_once):
        drawn = rng.multinomial(users, counts / float(users),
                                min(at_once, resamples - start))
        for name, value in values.items():
            gaining = np.count_nonzero(value)  # the ranks are in order
            means[name].append((drawn[:, :gaining] * value[:gaining]).sum(
                axis=1) / users)
    outside = int(round(resamples * (1.0 - CONFIDENCE) / 2.0))
    intervals = collections.OrderedDict()
    for name, parts in means.items():
        ordered = np.sort(np.concatenate(parts))
        intervals[name] = (float(ordered[outside]),
                           float(ordered[-1 - outside]))
    return intervals


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
            "use --protocols=full (and full/... as --selection_metric)"
            % (user, left, NEGATIVES, protocol))


# --- baselines --------------------------------------------------------------

def training_part(history, held_out):
    """The items of a whole sequence that training has seen.

    Args:
        history: int array, the whole sequence.
        held_out: bool, whether the validation item was kept out of training;
            the published protocol trains on it.
    """
    if len(history) < 3:  # too short for a test item
        return history
    return history[:-2] if held_out else history[:-1]


def popularity_scores(counts):
    """Scores that rank items by their counts.

    Args:
        counts: int array [item_count + 1], one an id.

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
    """How often one item came right after another in the sequences.

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

        Without a row of scores a user: the items that never followed are in
        the order of popularity, where the target's place is known.

        Args:
            previous, targets: int arrays [B]. histories: list of B int
            arrays of distinct ids.
        """
        excluded = np.zeros(len(self.counts), bool)
        ranks = []
        for last, target, history in zip(previous.tolist(), targets.tolist(),
                                         histories):
            excluded[history] = excluded[target] = True
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
            excluded[history] = excluded[target] = False
        return np.array(ranks)


def last_visible_items(input_ids):
    """int array [B]: the item before the masked last one, or 0 for none.

    Args:
        input_ids: int array [B, L], padded with 0 at the end.
    """
    lengths = np.count_nonzero(input_ids, axis=1)
    last = input_ids[np.arange(len(input_ids)), np.maximum(lengths - 2, 0)]
    return np.where(lengths >= 2, last, 0)


# --- the evaluator ----------------------------------------------------------

class Evaluator(object):
    """Ranks each test item under every protocol, from one forward pass.

    The model and the baselines rank the same candidates.

    Attributes:
        users, targets: lists of int, in the order in which they were added.
        ranks: OrderedDict, column -> list of 0-based ranks. The columns are
            the protocols, for the model, then "<baseline>/<protocol>".
        seed_ranks: list of the like for the further seeds: the model's ranks
            under the sampled protocols.
        candidates: dict, protocol -> {user: int32 array, target first}; see
            __init__.
    """

    def __init__(self, words, user_history, protocols=PROTOCOLS,
                 use_pop_random=True, seed=PUBLISHED_SEED, seeds=1,
                 held_out=False, baselines=BASELINES, candidates=None):
        """Prepares the samplers.

        Args:
            words: vocab.FreqVocab.
            user_history: dict, "user_<u>" -> [ids of the whole sequence].
            protocols: names in PROTOCOLS.
            use_pop_random: bool; False draws the negatives of `seed` as the
                published code does with that flag off, uniformly.
            seed: int, of the candidates.
            seeds: int; the sampled protocols are repeated with the seeds up
                to seed + seeds - 1.
            held_out: bool, see `training_part`.
            baselines: names in BASELINES.
            candidates: dict, what to rank in place of drawn candidates; what
                is drawn is added to it. None: draw, and keep nothing.

        Raises:
            RankingError: the history has ids that the vocabulary has not.
        """
        self._words = words
        self._item_count = words.get_item_count()
        self._history = user_history
        self._protocols = protocols
        self._baselines = baselines
        self.candidates = candidates
        histories = [np.asarray(lists[0]) for lists in user_history.values()]
        largest = max(history.max() for history in histories)
        if largest > self._item_count:
            raise RankingError(
                "the history has the id %d, the vocabulary only %d items; pass "
                "the .his and .vocab files of one generation"
                % (largest, self._item_count))
        self._samplers = [self._make_samplers(seed + i, use_pop_random)
                          for i in range(seeds)]
        self._rankings = Baselines(
            [training_part(history, held_out) for history in histories],
            self._item_count)
        self.users, self.targets = [], []
        self.ranks = collections.OrderedDict(
            (prefix + protocol, [])
            for prefix in ("",) + tuple(name + "/" for name in baselines)
            for protocol in protocols)
        self.seed_ranks = [
            collections.OrderedDict((protocol, []) for protocol in protocols
                                    if protocol != "full")
            for _ in range(seeds - 1)]

    def _make_samplers(self, seed, use_pop_random):
        """dict, sampled protocol -> its sampler."""
        words = self._words
        item_ids = np.array(words.convert_tokens_to_ids(words.get_items()))
        counts = np.array(list(words.counter.values()))
        by_id = np.empty(self._item_count)
        by_id[item_ids - 1] = counts
        return {
            "seed": PublishedSampler(item_ids, counts, use_pop_random, seed),
            "paper": HistorySampler("paper", by_id / by_id.sum(), seed),
            "uniform": HistorySampler(
                "uniform", np.full(self._item_count, 1.0 / self._item_count),
                seed + 1)}

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
        histories = [self._history_of(*pair) for pair in zip(
            users.tolist(), targets.tolist())]
        batch = users, input_ids, targets, histories
        last = last_visible_items(input_ids).astype(np.int64)
        previous = {"most_popular": np.zeros_like(last),
                    "item_transitions": last}
        for protocol in self._protocols:
            if protocol == "full":
                found = {"": self._full_ranks(targets, histories, scores)}
                for name in self._baselines:
                    found[name + "/"] = self._rankings.full_ranks(
                        previous[name], targets, histories)
            else:
                candidates = self._kept_candidates(protocol, *batch)
                found = {"": candidate_ranks(
                    np.take_along_axis(scores, candidates, axis=1))}
                for name in self._baselines:
                    found[name + "/"] = candidate_ranks(
                        self._rankings.scores(previous[name], candidates))
            for prefix, ranks in found.items():
                self.ranks[prefix + protocol].extend(ranks.tolist())
        for samplers, repeated in zip(self._samplers[1:], self.seed_ranks):
            for protocol, ranks in repeated.items():
                candidates = self._candidates(samplers, protocol, *batch)
                ranks.extend(candidate_ranks(
                    np.take_along_axis(scores, candidates, axis=1)).tolist())
        self.users.extend(users.tolist())
        self.targets.extend(targets.tolist())

    def _history_of(self, user, target):
        """int array of distinct ids, the target among them."""
        try:
            whole = self._history["user_%d" % user][0]
        except KeyError:
            raise RankingError(
                "user %d of the test file is not in the history file; pass "
                "the .his file that was generated with it" % user)
        return np.unique(list(whole) + [target])

    def _kept_candidates(self, protocol, users, *batch):
        """int array [B, candidates]: those kept, or drawn and then kept."""
        if self.candidates is None:
            return self._candidates(self._samplers[0], protocol, users, *batch)
        kept = self.candidates.setdefault(protocol, {})
        if not all(user in kept for user in users.tolist()):
            drawn = self._candidates(self._samplers[0], protocol, users, *batch)
            kept.update(zip(users.tolist(), drawn.astype(np.int32)))
        return np.stack([kept[user] for user in users.tolist()])

    def _candidates(self, samplers, protocol, users, input_ids, targets,
                    histories):
        """int array [B, 1 + NEGATIVES], the targets in column 0."""
        sampler = samplers[protocol]
        rows = zip(users.tolist(), targets.tolist(), input_ids, histories)
        if protocol == "seed":
            return np.stack([sampler.sample(user, target, window)
                             for user, target, window, _ in rows])
        return np.stack([sampler.sample(user, target, history)
                         for user, target, _, history in rows])

    def _full_ranks(self, targets, histories, scores):
        """Ranks among every item that is not in the user's history.

        Padding and special tokens are no candidates; the target is, though
        it is in the history.
        """
        items = scores[:, 1:self._item_count + 1]
        if np.isnan(items).any():
            candidate_ranks(items)  # raises, with the count
        at_least = items >= scores[np.arange(len(targets)), targets][:, None]
        # The target itself is among the history's items that are taken off.
        return np.array([
            np.count_nonzero(row) - np.count_nonzero(row[history - 1])
            for row, history in zip(at_least, histories)])

    def results(self):
        """OrderedDict, "<column>/<metric>" -> float, over all users."""
        return collections.OrderedDict(
            ("%s/%s" % (column, name), value)
            for column, ranks in self.ranks.items()
            for name, value in ranking_metrics(ranks).items())

    def intervals(self):
        """OrderedDict, "<column>/<metric>/low" and "/high" -> float."""
        return collections.OrderedDict(
            ("%s/%s/%s" % (column, name, side), bound)
            for column, ranks in self.ranks.items()
            for name, bounds in bootstrap_intervals(ranks).items()
            for side, bound in zip(("low", "high"), bounds))

    def spread(self):
        """OrderedDict, "<protocol>/<metric>/mean" and "/std" -> float.

        Mean and standard deviation (of a sample, n - 1) of the sampled
        protocols over the seeds, the first included; empty for one seed.
        """
        spread = collections.OrderedDict()
        for protocol in self.seed_ranks[0] if self.seed_ranks else ():
            metrics = [ranking_metrics(ranks[protocol])
                       for ranks in [self.ranks] + self.seed_ranks]
            for name in METRICS:
                values = [value[name] for value in metrics]
                key = "%s/%s" % (protocol, name)
                spread[key + "/mean"] = float(np.mean(values))
                spread[key + "/std"] = float(np.std(values, ddof=1))
        return spread

    def user_rows(self):
        """What each user's result was, in original ids.

        Returns:
            OrderedDict, column -> list with one int a user: user, item
            (numbers of the interactions file), history_length (items before
            the target), target_count (training interactions of the target),
            then the columns of `ranks`.
        """
        numbers = item_numbers(self._words)
        rows = collections.OrderedDict([
            ("user", self.users),
            ("item", numbers[self.targets].tolist()),
            ("history_length", [
                len(self._history["user_%d" % user][0]) - 1
                for user in self.users]),
            ("target_count", self._rankings.counts[self.targets].tolist())])
        rows.update(self.ranks)
        return rows


def item_numbers(words):
    """int64 array: id -> the item's number in the interactions file; 0 -> 0.

    Args:
        words: vocab.FreqVocab.
    """
    return np.array([0] + [
        int(words.id_to_tokens[i].split("_")[1])
        for i in range(1, words.get_item_count() + 1)], np.int64)


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


def _short_interval(low, high):
    """Two bounds in at most 9 characters: .123-.456."""
    return "-".join("1.00" if bound >= 0.9995 else ("%.3f" % bound)[1:]
                    for bound in (low, high))


def results_table(results, protocols, seeds=1):
    """A text table: rankings in rows, metrics in columns, 95 columns wide.

    Below each ranking's values stand their intervals; under several seeds
    the model's mean and standard deviation over them follow.

    Args:
        results: dict, the `results`, `intervals` and `spread` of an Evaluator
            with all BASELINES.
        protocols: names in PROTOCOLS.
        seeds: int.
    """
    def line(protocol, label, texts):
        return "%-8s%-17s" % (protocol, label) + "".join(
            "%10s" % text for text in texts)

    def number(key):
        return "%.4f" % results[key]

    lines = [line("protocol", " ranked by", METRICS)]
    for protocol in protocols:
        for name in ("model",) + BASELINES:
            prefix = protocol if name == "model" else name + "/" + protocol
            keys = ["%s/%s" % (prefix, metric) for metric in METRICS]
            lines.append(line(protocol, " " + name.replace("_", " "),
                              map(number, keys)))
            lines.append(line("", "", [
                _short_interval(results[key + "/low"], results[key + "/high"])
                for key in keys]))
            if name == "model" and seeds > 1 and protocol != "full":
                for label, ending in ((" mean, %d seeds" % seeds, "/mean"),
                                      (" deviation", "/std")):
                    lines.append(line(protocol, label, [
                        number(key + ending) for key in keys]))
    return "\n".join(lines)
