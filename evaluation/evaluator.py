"""Ranks each test user's item under every protocol, from one forward pass."""

import collections

import numpy as np

from evaluation.baselines import (
    BASELINES, Baselines, last_visible_items, training_part)
from evaluation.candidates import PROTOCOLS, HistorySampler, PublishedSampler
from evaluation.metrics import (
    METRICS, SEED, bootstrap_intervals, candidate_ranks, ranking_metrics,
    RankingError)


class Evaluator(object):
    """Ranks each test item under every protocol, from one forward pass.

    The model and the baselines rank the same candidates.

    Attributes:
        users, targets: lists of int, in the order in which they were added.
        ranks: OrderedDict, column -> list of 0-based ranks. The columns are
            the protocols, for the model, then "<baseline>/<protocol>".
        seed_ranks: list of the like for the further seeds: the model's ranks
            under the sampled protocols.
        candidates: dict, protocol -> {user: ints, target first}; see
            __init__.
        repeats: int, users whose target occurs in their history before. It is
            ranked among items that do not, but for what `seed` draws from
            before the window: repeats are not asked for.
    """

    def __init__(self, words, user_history, protocols=PROTOCOLS,
                 use_pop_random=True, seed=SEED, seeds=1,
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
        self.users, self.targets, self.repeats = [], [], 0
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
            whole = list(self._history["user_%d" % user][0])
        except KeyError:
            raise RankingError(
                "user %d of the test file is not in the history file; pass "
                "the .his file that was generated with it" % user)
        self.repeats += whole.count(target) > 1
        return np.unique(whole + [target])

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
