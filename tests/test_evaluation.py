# -*- coding: utf-8 -*-
"""Ranks, metrics, candidate sampling and the evaluation protocols."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import evaluation
import vocab

ALL = ("seed", "paper", "uniform", "full")
NAMES = ["ndcg@1", "hit@1", "ndcg@5", "hit@5", "ndcg@10", "hit@10", "ap"]

plain_settings = settings(max_examples=60, deadline=None, database=None,
                          derandomize=True)


# --- ranks ------------------------------------------------------------------

@pytest.mark.parametrize("scores, rank", [
    ([3.0, 1.0, 2.0], 0), ([2.0, 1.0, 3.0], 1), ([1.0, 2.0, 3.0], 2),
    ([-1.0, -2.0, -0.5, -3.0], 1), ([5.0], 0)])
def test_a_rank_counts_the_candidates_that_score_higher(scores, rank):
    assert evaluation.candidate_ranks(np.array([scores])).tolist() == [rank]


@pytest.mark.parametrize("scores, rank", [
    ([2.0, 2.0, 1.0], 1), ([2.0, 2.0, 2.0], 2), ([0.0, -0.0, 5.0], 2),
    ([np.inf, np.inf, 1.0], 1), ([-np.inf, -np.inf, 1.0], 2)])
def test_ties_count_against_the_model(scores, rank):
    assert evaluation.candidate_ranks(np.array([scores])).tolist() == [rank]


def test_each_row_is_ranked_on_its_own():
    assert evaluation.candidate_ranks(np.array(
        [[9, 1, 2], [2, 9, 1], [0, 9, 2]], np.float32)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("row, column", [(0, 0), (1, 0), (1, 2)])
def test_a_nan_score_is_an_error_never_a_rank(row, column):
    scores = np.ones((3, 4))
    scores[row, column] = np.nan
    with pytest.raises(evaluation.RankingError, match="NaN for 1 of 3 users"):
        evaluation.candidate_ranks(scores)


def test_a_ranking_error_is_a_value_error():
    assert issubclass(evaluation.RankingError, ValueError)


# --- metrics ----------------------------------------------------------------

BY_HAND = collections.OrderedDict([        # rank -> values in NAMES' order
    (0, [1.0, 1, 1.0, 1, 1.0, 1, 1.0]),
    (1, [0, 0, 1 / np.log2(3), 1, 1 / np.log2(3), 1, 1.0 / 2]),
    (4, [0, 0, 1 / np.log2(6), 1, 1 / np.log2(6), 1, 1.0 / 5]),
    (5, [0, 0, 0, 0, 1 / np.log2(7), 1, 1.0 / 6]),
    (9, [0, 0, 0, 0, 1 / np.log2(11), 1, 1.0 / 10]),
    (10, [0, 0, 0, 0, 0, 0, 1.0 / 11]),
    (100, [0, 0, 0, 0, 0, 0, 1.0 / 101])])


@pytest.mark.parametrize("rank", BY_HAND)
def test_metrics_of_one_user(rank):
    assert list(evaluation.ranking_metrics([rank]).items()) == list(
        zip(NAMES, BY_HAND[rank]))


def test_metrics_are_averages_over_users():
    metrics = evaluation.ranking_metrics(np.array([0, 2, 6, 10]))
    expected = [1.0 / 4, 1.0 / 4,
                (1 + 1 / np.log2(4)) / 4, 2.0 / 4,
                (1 + 1 / np.log2(4) + 1 / np.log2(8)) / 4, 3.0 / 4,
                (1 + 1.0 / 3 + 1.0 / 7 + 1.0 / 11) / 4]
    assert list(metrics) == NAMES == list(evaluation.METRICS)
    assert list(metrics.values()) == pytest.approx(expected, rel=1e-14)


@plain_settings
@given(ranks=st.lists(st.integers(0, 120), min_size=1, max_size=300))
def test_metrics_equal_a_running_sum_to_the_last_digit(ranks):
    """The published arithmetic: one user after the other, then one division."""
    totals = dict.fromkeys(NAMES, 0.0)
    users = 0.0
    for rank in ranks:
        users += 1
        for k in (1, 5, 10):
            if rank < k:
                totals["ndcg@%d" % k] += 1 / np.log2(rank + 2)
                totals["hit@%d" % k] += 1
        totals["ap"] += 1.0 / (rank + 1)
    assert dict(evaluation.ranking_metrics(ranks)) == {
        name: total / users for name, total in totals.items()}


def test_metrics_are_plain_floats():
    assert {type(value) for value in
            evaluation.ranking_metrics([0, 3]).values()} == {float}


# --- intervals --------------------------------------------------------------

def some_ranks(users=700, seed=3):
    return np.random.RandomState(seed).geometric(0.07, users) - 1


def test_intervals_equal_those_of_resampled_users():
    """The same draws, written out user by user, with plain arithmetic."""
    ranks = some_ranks(90)
    distinct = sorted(set(ranks.tolist()))
    rng = np.random.RandomState(5)
    resampled = [evaluation.ranking_metrics(np.repeat(distinct, counts))
                 for counts in rng.multinomial(
                     90, [(ranks == rank).mean() for rank in distinct], 200)]
    intervals = evaluation.bootstrap_intervals(ranks, 200, seed=5)
    assert list(intervals) == NAMES
    for name, bounds in intervals.items():
        means = sorted(metrics[name] for metrics in resampled)
        # 5 of 200 means are left out at either end.
        assert bounds == pytest.approx((means[5], means[194]), rel=1e-12)


def test_intervals_are_those_of_drawing_users_with_replacement():
    """Against many resamples by index; the bounds' own errors are some 1 %
    of the interval's width at 8,000 resamples."""
    ranks = some_ranks(300)
    rng = np.random.RandomState(8)
    intervals = evaluation.bootstrap_intervals(ranks, 8000)
    for name in ("hit@5", "ndcg@10", "ap"):
        values = evaluation.metric_values(ranks)[name]
        means = np.concatenate([
            values[rng.randint(0, 300, (2000, 300))].mean(axis=1)
            for _ in range(4)])
        low, high = np.percentile(means, [2.5, 97.5])
        assert intervals[name] == pytest.approx((low, high),
                                                abs=0.05 * (high - low))


def test_an_interval_of_a_share_is_binomial():
    """hit@1 of 30 users in 100: 0.3 +- 1.96 * sqrt(0.21 / 100) = 0.0898."""
    low, high = evaluation.bootstrap_intervals([0] * 30 + [50] * 70)["hit@1"]
    assert low == pytest.approx(0.3 - 0.09, abs=0.0101)
    assert high == pytest.approx(0.3 + 0.09, abs=0.0101)


def test_users_who_are_all_alike_leave_no_doubt():
    assert evaluation.bootstrap_intervals([4, 4, 4])["ap"] == pytest.approx(
        (0.2, 0.2))
    assert evaluation.bootstrap_intervals([4])["hit@5"] == (1.0, 1.0)


def test_an_interval_of_one_seed_never_changes():
    """To the last digit, on every runtime."""
    ranks = some_ranks()
    assert evaluation.bootstrap_intervals(ranks)["ap"] == LAST_DIGITS
    assert evaluation.bootstrap_intervals(ranks, seed=6)["ap"] != LAST_DIGITS


LAST_DIGITS = (0.1789420588626524, 0.21363684989747822)


def test_the_size_of_the_chunks_changes_no_interval(monkeypatch):
    whole = evaluation.bootstrap_intervals(some_ranks())
    monkeypatch.setattr(evaluation, "_RESAMPLED", 333)
    assert evaluation.bootstrap_intervals(some_ranks()) == whole


# --- drawing without replacement --------------------------------------------

def zipf(n, exponent=1.0):
    p = 1.0 / np.arange(1, n + 1) ** exponent
    return p / p.sum()


def state_of(rng):
    kind, keys, position, has_gauss, cached = rng.get_state()
    return kind, keys.tolist(), position, has_gauss, cached


@pytest.mark.parametrize("p, size", [
    (np.full(150, 1.0 / 150), 101), (np.full(101, 1.0 / 101), 101),
    (zipf(300), 101), (zipf(300, 2.5), 101), (zipf(120, 3.0)[::-1], 101),
    (np.array([0.97, 0.01, 0.01, 0.01]), 4), (np.array([1.0]), 1)],
    ids=["even", "all", "zipf", "steep", "steep-reversed", "four", "one"])
def test_draws_equal_random_state_choice_and_leave_the_same_stream(p, size):
    ours, theirs = np.random.RandomState(12345), np.random.RandomState(12345)
    choice = evaluation.ChoiceWithoutReplacement(p)
    for _ in range(25):
        assert choice.draw(ours, size).tolist() == theirs.choice(
            len(p), size, replace=False, p=p).tolist()
    assert state_of(ours) == state_of(theirs)


@plain_settings
@given(counts=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 10 ** 6)),
                       min_size=1, max_size=40),
       seed=st.integers(0, 2 ** 32 - 1), data=st.data())
def test_any_draws_equal_random_state_choice(counts, seed, data):
    p = np.array(counts) / float(sum(counts))
    ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
    choice = evaluation.ChoiceWithoutReplacement(p)
    for size in data.draw(st.lists(st.integers(1, len(counts)), min_size=1,
                                   max_size=4)):
        assert choice.draw(ours, size).tolist() == theirs.choice(
            len(p), size, replace=False, p=p).tolist()
    assert state_of(ours) == state_of(theirs)


# --- protocol `seed` --------------------------------------------------------

def shuffled_catalogue(items, exponent=1.2, seed=4):
    """(item ids in a counter's order, their counts, most frequent = id 1)."""
    order = np.random.RandomState(seed).permutation(items)
    counts = np.maximum(1, (900 * zipf(items, exponent)).astype(int))
    return order + 1, counts[order]


def some_users(items, number, length=9, seed=6):
    """(user, target, window) with padding and [MASK] as in a test file."""
    rng = np.random.RandomState(seed)
    for user in range(1, number + 1):
        history = 1 + rng.choice(items, 1 + user % (length + 3), replace=False)
        window = np.zeros(length, np.int32)
        seen = history[-length:]
        window[:len(seen)] = seen
        window[len(seen) - 1] = items + 2               # [MASK]
        yield user, int(history[-1]), window


def transcribed_seed_rule(item_ids, counts, users):
    """Rounds of choice(item_ids, 101, replace=False, p), filtered, from one
    stream for all users, until each has its 100 negatives."""
    rng = np.random.RandomState(12345)
    p = counts / float(counts.sum())
    for _, target, window in users:
        excluded = set(window.tolist()) | {0, target}
        negatives = []
        while len(negatives) < 100:
            for item in rng.choice(item_ids, 101, replace=False, p=p):
                if item not in excluded and item not in negatives:
                    negatives.append(item)
        yield [target] + negatives[:100]


@pytest.mark.parametrize("items, exponent", [
    (400, 1.2), (130, 1.2), (130, 0.0), (400, 2.0)])
def test_published_candidates_equal_a_plain_transcription(items, exponent):
    item_ids, counts = shuffled_catalogue(items, exponent)
    sampler = evaluation.PublishedSampler(item_ids, counts)
    users = list(some_users(items, 40))
    for (user, target, window), expected in zip(
            users, transcribed_seed_rule(item_ids, counts, users)):
        assert sampler.sample(user, target, window).tolist() == expected


def test_published_uniform_candidates_equal_a_plain_transcription():
    item_ids, counts = shuffled_catalogue(130)
    sampler = evaluation.PublishedSampler(item_ids, counts,
                                          by_popularity=False)
    rng = np.random.RandomState(12345)
    repeats = 0
    for user, target, window in some_users(130, 40):
        excluded = set(window.tolist()) | {0, target}
        expected = [target]
        for _ in range(100):
            item = rng.randint(1, 131)
            while item in excluded:
                item = rng.randint(1, 131)
            expected.append(item)
        assert sampler.sample(user, target, window).tolist() == expected
        repeats += len(expected) - len(set(expected))
    assert repeats > 0                     # an item may come more than once


def test_published_candidates_depend_on_the_users_before():
    item_ids, counts = shuffled_catalogue(300)
    first, second = list(some_users(300, 2))
    alone = evaluation.PublishedSampler(item_ids, counts).sample(*second)
    after = evaluation.PublishedSampler(item_ids, counts)
    after.sample(*first)
    assert after.sample(*second).tolist() != alone.tolist()


def test_published_candidates_exclude_the_window_but_not_older_history():
    """101 items outside the window: all but one of them are candidates, so
    items that only an older part of the history held must come."""
    window = np.array([1, 2, 3, 4, 108, 0, 0])
    item_ids, counts = np.arange(1, 107), np.ones(106, int)
    for seed in range(5):
        candidates = evaluation.PublishedSampler(
            item_ids, counts, seed=seed).sample(1, 5, window).tolist()
        assert candidates[0] == 5 and len(set(candidates)) == 101
        assert not {0, 1, 2, 3, 4, 108} & set(candidates)
        assert len(set(range(6, 107)) & set(candidates)) == 100


@pytest.mark.parametrize("by_popularity", [True, False])
def test_published_sampling_ends_with_the_last_100_items_or_says_how_many(
        by_popularity):
    window = np.array([1, 2, 109, 0])
    counts = np.arange(1, 104)
    sampler = evaluation.PublishedSampler(np.arange(1, 104), counts,
                                          by_popularity)
    candidates = sampler.sample(8, 3, window).tolist()
    if by_popularity:
        assert candidates[0] == 3
        assert sorted(candidates) == list(range(3, 104))
    with pytest.raises(evaluation.RankingError) as error:
        sampler.sample(8, 4, np.array([1, 2, 3, 0]))
    for part in ("user 8", "99 items", "seed", "--protocols=full"):
        assert part in str(error.value)


def test_a_target_inside_the_window_is_counted_once():
    window = np.array([1, 2, 3, 109, 0])
    sampler = evaluation.PublishedSampler(np.arange(1, 104),
                                          np.ones(103, int))
    assert sorted(sampler.sample(8, 3, window)) == list(range(3, 104))


# --- protocols `paper` and `uniform` ----------------------------------------

@plain_settings
@given(user=st.integers(1, 2 ** 63 - 1), items=st.integers(115, 300),
       history=st.sets(st.integers(1, 115), min_size=1, max_size=14),
       exponent=st.sampled_from([0.0, 1.0, 3.0]), seed=st.integers(0, 2 ** 31))
def test_negatives_are_100_distinct_items_outside_the_history(
        user, items, history, exponent, seed):
    history = sorted(history)
    target = history[-1]
    sampler = evaluation.HistorySampler("paper", zipf(items, exponent), seed)
    candidates = sampler.sample(user, target, np.array(history)).tolist()
    assert candidates[0] == target
    assert len(candidates) == len(set(candidates)) == 101
    assert not set(history) & set(candidates[1:])
    assert all(1 <= item <= items for item in candidates)


def test_the_target_is_never_a_negative_even_outside_the_history():
    sampler = evaluation.HistorySampler("paper", zipf(150), 3)
    for user in range(1, 40):
        assert 1 not in sampler.sample(user, 1, np.array([7, 9]))[1:]


def test_candidates_do_not_depend_on_other_users():
    history = np.array([4, 5, 6])
    alone = evaluation.HistorySampler("paper", zipf(200), 3).sample(
        9, 6, history)
    after = evaluation.HistorySampler("paper", zipf(200), 3)
    for user in (1, 8, 2 ** 40):
        after.sample(user, 6, history)
    assert after.sample(9, 6, history).tolist() == alone.tolist()


@pytest.mark.parametrize("user", [10, 9 + 2 ** 32, 9 << 32, 2 ** 63 - 1])
def test_every_user_has_a_stream_of_its_own(user):
    sampler = evaluation.HistorySampler("paper", zipf(200), 3)
    history = np.array([4, 5, 6])
    assert sampler.sample(9, 6, history).tolist() != sampler.sample(
        user, 6, history).tolist()


def test_another_seed_gives_other_candidates():
    history = np.array([4, 5, 6])
    assert evaluation.HistorySampler("paper", zipf(200), 3).sample(
        9, 6, history).tolist() != evaluation.HistorySampler(
            "paper", zipf(200), 4).sample(9, 6, history).tolist()


@pytest.mark.parametrize("p", [zipf(160), np.full(160, 1.0 / 160)],
                         ids=["popularity", "uniform"])
def test_the_first_negative_follows_the_probabilities(p):
    """It is a plain draw among the allowed items."""
    history = np.array([1, 5, 160])
    sampler = evaluation.HistorySampler("paper", p, 3)
    draws = 2500
    seen = np.zeros(161)
    for user in range(1, draws + 1):
        seen[sampler.sample(user, 5, history)[1]] += 1
    expected = np.concatenate([[0], p])
    expected[history] = 0
    expected *= draws / expected.sum()
    assert seen[history].sum() == 0
    # The statistic has 156 degrees of freedom: mean 156, deviation 17.7.
    allowed = expected > 0
    chi_square = ((seen - expected)[allowed] ** 2 / expected[allowed]).sum()
    assert 156 - 4 * 17.7 < chi_square < 156 + 4 * 17.7


@pytest.mark.parametrize("exponent", [1.0, 4.0], ids=["usual", "exhausted"])
def test_items_are_included_as_often_as_by_choice_without_replacement(
        exponent):
    """A steep distribution leaves most negatives to the exact completion."""
    items, draws = 130, 1000
    p, history = zipf(items, exponent), np.array([2, 3, 7])
    allowed = np.setdiff1d(np.arange(1, items + 1), history)
    sampler = evaluation.HistorySampler("paper", p, 3)
    ours, theirs = np.zeros(items + 1), np.zeros(items + 1)
    rng = np.random.RandomState(5)
    rest = p[allowed - 1] / p[allowed - 1].sum()
    for user in range(1, draws + 1):
        ours[sampler.sample(user, 7, history)[1:]] += 1
        theirs[rng.choice(allowed, 100, replace=False, p=rest)] += 1
    # Of two proportions the difference deviates by sqrt(2 q (1 - q) / draws)
    # < 0.032; five deviations.
    assert abs(ours - theirs).max() / draws < 5 * 0.032
    assert abs(ours - theirs).mean() / draws < 0.032


@pytest.mark.parametrize("exponent", [0.0, 1.0, 5.0])
def test_the_last_100_items_are_all_negatives(exponent):
    sampler = evaluation.HistorySampler("paper", zipf(104, exponent), 3)
    history = np.array([2, 50, 51, 104])
    candidates = sampler.sample(8, 50, history)
    assert candidates[0] == 50
    assert sorted(candidates[1:]) == sorted(
        set(range(1, 105)) - set(history.tolist()))


@pytest.mark.parametrize("protocol", ["paper", "uniform"])
def test_fewer_than_100_items_are_an_error_that_names_user_and_count(protocol):
    sampler = evaluation.HistorySampler(protocol, zipf(103), 3)
    with pytest.raises(evaluation.RankingError) as error:
        sampler.sample(2 ** 35, 50, np.array([2, 50, 51, 103]))
    for part in ("user %d" % 2 ** 35, "99 items", "100 negatives",
                 "protocol " + protocol, "--protocols=full"):
        assert part in str(error.value)


# --- baselines --------------------------------------------------------------

@pytest.mark.parametrize("items, held_out, trained", [
    ([5, 6, 7, 8], False, [5, 6, 7]), ([5, 6, 7, 8], True, [5, 6]),
    ([5, 6, 7], False, [5, 6]), ([5, 6, 7], True, [5]),
    ([5, 6], False, [5, 6]), ([5, 6], True, [5, 6]), ([5], True, [5])])
def test_training_has_not_seen_the_test_item_nor_held_out_ones(
        items, held_out, trained):
    assert evaluation.training_part(np.array(items),
                                    held_out).tolist() == trained


def test_popularity_ranks_by_count_then_by_id_and_padding_last():
    scores = evaluation.popularity_scores(np.array([9, 1, 4, 0, 1]))
    assert sorted(range(5), key=lambda item: -scores[item]) == [2, 1, 4, 3, 0]


def test_popularity_scores_are_all_distinct():
    scores = evaluation.popularity_scores(np.array([0, 0, 0, 2, 0, 0, 0]))
    assert len(set(scores.tolist())) == 7


#            1 -> 2 twice, 2 -> 1, 2 -> 2, 2 -> 3, 4 -> 1; 1 and 2 most popular
SEQUENCES = [np.array([1, 2, 1, 2, 2]), np.array([4, 1]), np.array([2, 3]),
             np.array([5])]


def test_transitions_count_what_came_right_after_in_one_sequence():
    transitions = evaluation.ItemTransitions(SEQUENCES, 6)
    followers = {item: [array.tolist() for array in transitions.followers(item)]
                 for item in range(7)}
    assert followers == {
        0: [[], []], 1: [[2], [2]], 2: [[1, 2, 3], [1, 1, 1]], 3: [[], []],
        4: [[1], [1]], 5: [[], []], 6: [[], []]}
    table = transitions.counts(np.arange(7)[:, None], np.arange(7)[None])
    expected = np.zeros((7, 7), int)
    expected[1, 2] = 2
    expected[2, [1, 2, 3]] = expected[4, 1] = 1
    assert table.tolist() == expected.tolist()


def test_sequences_of_one_item_have_no_transitions():
    transitions = evaluation.ItemTransitions([np.array([2]), np.array([1])], 3)
    assert transitions.counts(np.array([2]), np.array([1])).tolist() == [0]


def test_followers_rank_first_by_count_and_the_rest_by_popularity():
    """2 occurs 4 times, 1 three times, 3, 4 and 5 once, 6 never."""
    baselines = evaluation.Baselines(SEQUENCES, 6)
    assert baselines.counts.tolist() == [0, 3, 4, 1, 1, 1, 0]
    items = np.arange(1, 7)[None]
    for last, order in ((0, [2, 1, 3, 4, 5, 6]), (4, [1, 2, 3, 4, 5, 6]),
                        (2, [2, 1, 3, 4, 5, 6]), (1, [2, 1, 3, 4, 5, 6])):
        scores = baselines.scores(np.array([last]), items)[0]
        assert (1 + np.argsort(-scores)).tolist() == order
        assert len(set(scores.tolist())) == 6


@plain_settings
@given(sequences=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12),
                          min_size=1, max_size=8),
       history=st.sets(st.integers(1, 9), min_size=1, max_size=8),
       target=st.integers(1, 9), last=st.integers(0, 9))
def test_full_ranks_of_baselines_equal_a_plain_count(sequences, history,
                                                     target, last):
    arrays = [np.array(sequence) for sequence in sequences]
    baselines = evaluation.Baselines(arrays, 9)
    popularity = collections.Counter(sum(sequences, []))
    followed = collections.Counter(
        pair for items in sequences for pair in zip(items, items[1:]))

    def key(item):
        return followed[last, item], popularity[item], -item

    expected = sum(key(item) > key(target) for item in range(1, 10)
                   if item not in history)
    for _ in range(2):                # nothing is left behind from a user
        assert baselines.full_ranks(
            np.array([last]), np.array([target]),
            [np.array(sorted(history))]).tolist() == [expected]


def test_the_last_visible_item_comes_before_the_mask():
    inputs = np.array([[4, 5, 99, 0], [4, 5, 6, 99], [99, 0, 0, 0],
                       [7, 99, 0, 0], [0, 0, 0, 0]])
    assert evaluation.last_visible_items(inputs).tolist() == [5, 6, 0, 7, 0]


# --- the evaluator ----------------------------------------------------------

def catalogue(histories):
    """FreqVocab and history of raw sequences: (words, "user_<u>" -> [ids])."""
    words = vocab.FreqVocab(collections.OrderedDict(
        ("user_%d" % user, ["item_%d" % item for item in items])
        for user, items in histories.items()))
    return words, {
        "user_%d" % user: [words.convert_tokens_to_ids(
            ["item_%d" % item for item in items])]
        for user, items in histories.items()}


def seven_items():
    """Seven items whose ids equal their numbers, as each occurs 8 - id times
    in the history of user 1; user 2 has 1 2 1 5, user 3 has 4 4."""
    words, history = catalogue({1: [i for i in range(1, 8)
                                    for _ in range(8 - i)]})
    assert words.convert_tokens_to_ids(["item_1", "item_7"]) == [1, 7]
    history.update({"user_2": [[1, 2, 1, 5]], "user_3": [[4, 4]]})
    return words, history


def full_rank(user, target, scores):
    words, history = seven_items()
    evaluator = evaluation.Evaluator(words, history, ("full",))
    evaluator.add(np.array([user]), np.zeros((1, 4), int), np.array([target]),
                  np.array([scores]))
    return evaluator.ranks["full"][0]


#               id: 0  1  2  3  4  5  6  7  [pad] [MASK] [NO_USE]
@pytest.mark.parametrize("user, target, scores, rank", [
    (2, 5, [0, 9, 9, 1, 1, 5, 1, 1, 0, 0, 0], 0),    # history is excluded
    (2, 5, [0, 0, 0, 6, 7, 5, 1, 8, 0, 0, 0], 3),
    (2, 5, [0, 0, 0, 6, 5, 5, 1, 5, 0, 0, 0], 3),    # ties count against
    (2, 5, [9, 0, 0, 1, 1, 5, 1, 1, 9, 9, 9], 0),    # padding, special tokens
    (2, 5, [0, 9, 9, 9, 9, 5, 9, 9, 0, 0, 0], 4),    # the worst: 3, 4, 6, 7
    (2, 5, [0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 4),    # a constant model
    (3, 4, [0, 5, 0, 5, 4, 5, 0, 0, 0, 0, 0], 3),    # seen before the test
    (3, 4, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0], 0),
    (2, 1, [0, 5, 9, 9, 1, 9, 1, 5, 0, 0, 0], 2),    # a repeated target
    (2, 7, [0, 9, 9, 9, 1, 9, 9, 5, 0, 0, 0], 2)])   # not in the history
def test_full_ranks_by_hand(user, target, scores, rank):
    assert full_rank(user, target, np.array(scores, np.float32)) == rank


def test_a_nan_score_of_an_item_is_an_error_under_full_too():
    with pytest.raises(evaluation.RankingError, match="NaN"):
        full_rank(2, 5, [0, 1, 1, 1, 1, 5, np.nan, 1, 0, 0, 0])


def test_a_nan_score_of_padding_or_special_tokens_is_of_no_account():
    nan = np.nan
    assert full_rank(2, 5, [nan, 0, 0, 6, 1, 5, 1, 1, nan, nan, nan]) == 1


@plain_settings
@given(history=st.lists(st.integers(1, 7), min_size=1, max_size=9),
       scores=st.lists(st.integers(0, 3), min_size=11, max_size=11))
def test_full_ranks_equal_a_plain_count(history, scores):
    words, histories = seven_items()
    histories["user_9"] = [history]
    evaluator = evaluation.Evaluator(words, histories, ("full",))
    target = history[-1]
    evaluator.add(np.array([9]), np.zeros((1, 4), int), np.array([target]),
                  np.array([scores], np.float32))
    assert evaluator.ranks["full"] == [sum(
        scores[item] >= scores[target]
        for item in range(1, 8) if item not in history)]


def larger_data():
    """150 items and 12 users with 6 interactions each besides user 99, who
    has each item once, so that every item is in the catalogue."""
    rng = np.random.RandomState(1)
    histories = collections.OrderedDict(
        [(99, list(range(1, 151)))] +
        [(user, (1 + rng.choice(150, 6, replace=False)).tolist())
         for user in range(1, 13)])
    words, history = catalogue(histories)
    users = np.arange(1, 13, dtype=np.int32)
    sequences = np.array([history["user_%d" % user][0] for user in users],
                         np.int32)
    targets = sequences[:, -1].copy()
    inputs = sequences[:, -4:].copy()
    inputs[:, -1] = 152                                 # [MASK]
    return words, history, users, inputs, targets


def scores_with(targets, value):
    """Distinct scores in (0, 1) of 154 ids, the targets' set to a value."""
    scores = np.random.RandomState(2).permutation(
        154 * len(targets)).reshape(len(targets), 154) / (154.0 * len(targets))
    scores[np.arange(len(targets)), targets] = value
    return scores.astype(np.float32)


def model_results(evaluator, protocol):
    return {name: evaluator.results()["%s/%s" % (protocol, name)]
            for name in NAMES}


@pytest.mark.parametrize("protocol", ALL)
def test_perfect_scores_give_1_everywhere(protocol):
    words, history, users, inputs, targets = larger_data()
    evaluator = evaluation.Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores_with(targets, 2.0))
    assert model_results(evaluator, protocol) == dict.fromkeys(NAMES, 1.0)


@pytest.mark.parametrize("protocol, candidates", [
    ("seed", 101), ("paper", 101), ("uniform", 101), ("full", 150 - 5)])
def test_the_worst_scores_give_0_and_the_smallest_precision(
        protocol, candidates):
    words, history, users, inputs, targets = larger_data()
    evaluator = evaluation.Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores_with(targets, -1.0))
    assert evaluator.ranks[protocol] == [candidates - 1] * 12
    expected = dict.fromkeys(NAMES, 0.0)
    expected["ap"] = pytest.approx(1.0 / candidates)
    assert model_results(evaluator, protocol) == expected


def test_a_constant_model_gives_0_and_not_1():
    words, history, users, inputs, targets = larger_data()
    evaluator = evaluation.Evaluator(words, history)
    evaluator.add(users, inputs, targets, np.zeros((12, 154), np.float32))
    assert {evaluator.results()[protocol + "/hit@10"]
            for protocol in ALL} == {0.0}


def test_sampled_ranks_are_those_of_the_samplers_candidates():
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    evaluator = evaluation.Evaluator(words, history)
    evaluator.add(users, inputs, targets, scores)

    item_ids = np.array(words.convert_tokens_to_ids(words.get_items()))
    assert item_ids.tolist() != sorted(item_ids)  # the counter's order differs
    counts = np.array([words.counter[token] for token in words.get_items()])
    published = transcribed_seed_rule(
        item_ids, counts, zip(users.tolist(), targets.tolist(), inputs))
    by_id = np.array([words.counter[words.id_to_tokens[i]]
                      for i in range(1, 151)], float)
    samplers = {"paper": evaluation.HistorySampler(
                    "paper", by_id / by_id.sum(), 12345),
                "uniform": evaluation.HistorySampler(
                    "uniform", np.full(150, 1 / 150.0), 12346)}
    for row, candidates in enumerate(published):
        user, target = int(users[row]), int(targets[row])
        own = np.array(history["user_%d" % user][0])
        chosen = {"seed": candidates}
        for protocol, sampler in samplers.items():
            chosen[protocol] = sampler.sample(user, target, own).tolist()
        for protocol, (_, *negatives) in chosen.items():
            assert evaluator.ranks[protocol][row] == sum(
                scores[row, negative] >= scores[row, target]
                for negative in negatives)
    assert len(set(evaluator.ranks["seed"])) > 1


def test_negatives_of_seed_are_uniform_without_use_pop_random():
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    evaluator = evaluation.Evaluator(words, history, ("seed",),
                                     use_pop_random=False)
    evaluator.add(users, inputs, targets, scores)
    rng = np.random.RandomState(12345)
    for row in range(12):
        excluded = set(inputs[row].tolist()) | {0, targets[row]}
        rank = found = 0
        while found < 100:
            item = rng.randint(1, 151)
            if item not in excluded:
                found += 1
                rank += scores[row, item] >= scores[row, targets[row]]
        assert evaluator.ranks["seed"][row] == rank


@pytest.mark.parametrize("sizes", [[12], [5, 5, 2], [1] * 12])
def test_batches_do_not_change_the_ranks(sizes):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    whole = evaluation.Evaluator(words, history)
    whole.add(users, inputs, targets, scores)
    parts = evaluation.Evaluator(words, history)
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        parts.add(users[rows], inputs[rows], targets[rows], scores[rows])
        start += size
    assert parts.ranks == whole.ranks
    assert parts.users == users.tolist()
    assert parts.targets == targets.tolist()
    assert list(parts.user_rows().items()) == list(whole.user_rows().items())
    assert list(parts.results().items()) == list(whole.results().items())


@pytest.mark.parametrize("protocol", ["paper", "uniform", "full"])
def test_ranks_do_not_depend_on_the_order_of_users(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    forward, backward = (evaluation.Evaluator(words, history, (protocol,))
                         for _ in range(2))
    forward.add(users, inputs, targets, scores)
    backward.add(users[::-1], inputs[::-1], targets[::-1], scores[::-1])
    assert forward.ranks[protocol] == backward.ranks[protocol][::-1]


@pytest.mark.parametrize("protocol", ALL)
def test_protocols_do_not_disturb_each_other(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.7)
    together, alone = (evaluation.Evaluator(words, history, protocols)
                       for protocols in (ALL, (protocol,)))
    for evaluator in (together, alone):
        evaluator.add(users, inputs, targets, scores)
    assert together.ranks[protocol] == alone.ranks[protocol]
    assert list(alone.ranks) == [
        protocol, "most_popular/" + protocol, "item_transitions/" + protocol]


def ranked(scores=None, value=0.7, **options):
    """An Evaluator that has ranked larger_data()."""
    words, history, users, inputs, targets = larger_data()
    evaluator = evaluation.Evaluator(words, history, **options)
    evaluator.add(users, inputs, targets,
                  scores_with(targets, value) if scores is None else scores)
    return evaluator


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("baseline", ["most_popular", "item_transitions"])
def test_baselines_rank_the_same_candidates(baseline, held_out):
    """A model that scores as a baseline gets exactly the baseline's ranks."""
    _, history, users, inputs, _ = larger_data()
    trained = [lists[0][:-2 if held_out else -1] for lists in history.values()]
    popularity = collections.Counter(sum(trained, []))
    followed = collections.Counter(
        pair for items in trained for pair in zip(items, items[1:]))
    scores = np.zeros((12, 154), np.float32)
    for row, user in enumerate(users.tolist()):
        last = history["user_%d" % user][0][-2]
        assert inputs[row, 2] == last
        order = sorted(range(1, 151), key=lambda item: (
            -followed[last, item] * (baseline == "item_transitions"),
            -popularity[item], item))
        scores[row, order] = np.arange(1000, 850, -1)
    evaluator = ranked(scores, held_out=held_out)
    results = evaluator.results()
    for protocol in ALL:
        column = "%s/%s" % (baseline, protocol)
        assert evaluator.ranks[protocol] == evaluator.ranks[column]
        for name in NAMES:
            assert results["%s/%s" % (column, name)] == results[
                "%s/%s" % (protocol, name)]


def test_held_out_items_change_the_baselines():
    _, _, _, _, targets = larger_data()
    folded, held_out = ranked(), ranked(held_out=True)
    assert folded.ranks["full"] == held_out.ranks["full"]
    for baseline in ("most_popular/full", "item_transitions/full"):
        assert folded.ranks[baseline] != held_out.ranks[baseline]


def test_the_baselines_take_no_notice_of_the_model():
    good, bad = ranked(value=2.0), ranked(value=-1.0)
    for column in good.ranks:
        assert (good.ranks[column] == bad.ranks[column]) == ("/" in column)


def test_results_name_protocols_then_the_baselines():
    evaluator = ranked(protocols=("full", "seed"))
    keys = [prefix + protocol + "/" + name
            for prefix in ("", "most_popular/", "item_transitions/")
            for protocol in ("full", "seed") for name in NAMES]
    assert list(evaluator.results()) == keys
    assert evaluator.results()["full/ap"] == evaluation.ranking_metrics(
        evaluator.ranks["full"])["ap"]
    assert list(evaluator.intervals()) == [
        key + side for key in keys for side in ("/low", "/high")]
    assert evaluator.spread() == {}


def test_every_interval_is_around_its_value():
    evaluator = ranked()
    results, intervals = evaluator.results(), evaluator.intervals()
    for key, value in results.items():
        assert intervals[key + "/low"] <= value <= intervals[key + "/high"]
    assert any(intervals[key + "/low"] < value for key, value in results.items())


def test_without_baselines_there_is_the_model_alone():
    evaluator = ranked(baselines=(), protocols=("paper",))
    assert evaluator.ranks == {"paper": ranked().ranks["paper"]}


def test_further_seeds_repeat_the_sampled_protocols():
    """The same as evaluating anew with each of the seeds."""
    evaluator = ranked(seeds=3)
    assert evaluator.ranks == ranked().ranks    # the headline stays
    others = [ranked(seed=12346), ranked(seed=12347)]
    assert evaluator.seed_ranks == [
        {protocol: other.ranks[protocol]
         for protocol in ("seed", "paper", "uniform")} for other in others]
    spread = evaluator.spread()
    assert len(spread) == 3 * 7 * 2
    for key, value in ranked().results().items():
        if key.startswith(("seed/", "paper/", "uniform/")):
            a, b, c = [value] + [other.results()[key] for other in others]
            mean = (a + b + c) / 3
            assert spread[key + "/mean"] == pytest.approx(mean)
            assert spread[key + "/std"] == pytest.approx(np.sqrt(
                ((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / 2))
    assert spread["paper/ap/std"] > 0


def test_candidates_are_kept_where_asked_and_used_again():
    kept = {}
    first = ranked(candidates=kept)
    assert first.ranks == ranked().ranks
    assert sorted(kept) == ["paper", "seed", "uniform"]
    assert {protocol: len(rows) for protocol, rows in kept.items()} == {
        "paper": 12, "seed": 12, "uniform": 12}
    assert ranked(candidates=kept, seed=99).ranks == first.ranks
    kept["paper"] = {user: ids[:2] for user, ids in kept["paper"].items()}
    assert set(ranked(candidates=kept).ranks["paper"]) == {0, 1}


def test_user_rows_by_hand():
    """Ids are numbered by frequency, rows hold the file's numbers."""
    words, history = catalogue(collections.OrderedDict([
        (7, [30, 10, 20, 10, 30, 10]), (8, [10, 40, 30]), (9, [50, 60])]))
    for held_out, counts in ((False, [3, 2]), (True, [3, 1])):
        evaluator = evaluation.Evaluator(words, history, ("full",),
                                         held_out=held_out)
        ids = words.convert_tokens_to_ids(["item_10", "item_30"])
        evaluator.add(np.array([7, 8]), np.array([[2, 9, 0], [1, 9, 0]]),
                      np.array(ids), np.arange(20.0).reshape(2, 10))
        rows = evaluator.user_rows()
        assert list(rows) == [
            "user", "item", "history_length", "target_count", "full",
            "most_popular/full", "item_transitions/full"]
        assert rows["user"] == [7, 8]
        assert rows["item"] == [10, 30]
        assert rows["history_length"] == [5, 2]
        assert rows["target_count"] == counts
        assert rows["full"] == evaluator.ranks["full"]


def test_a_user_without_history_is_an_error_that_names_the_user():
    words, history, users, inputs, targets = larger_data()
    evaluator = evaluation.Evaluator(words, history)
    with pytest.raises(evaluation.RankingError, match="user 4321 .*\\.his"):
        evaluator.add(np.array([1, 4321]), inputs[:2], targets[:2],
                      scores_with(targets[:2], 2.0))


@pytest.mark.parametrize("protocol", ["seed", "paper", "uniform"])
def test_a_small_catalogue_is_an_error_of_the_sampled_protocols(protocol):
    words, history = seven_items()
    evaluator = evaluation.Evaluator(words, history, (protocol,))
    with pytest.raises(evaluation.RankingError,
                       match="user 2 .*--protocols=full"):
        evaluator.add(np.array([2]), np.array([[1, 2, 1, 9]]), np.array([5]),
                      np.zeros((1, 11)))


@pytest.mark.parametrize("protocol", ALL)
def test_nan_scores_are_an_error_under_every_protocol(protocol):
    words, history, users, inputs, targets = larger_data()
    scores = scores_with(targets, 0.5)
    scores[3, targets[3]] = np.nan
    evaluator = evaluation.Evaluator(words, history, (protocol,))
    with pytest.raises(evaluation.RankingError, match="NaN"):
        evaluator.add(users, inputs, targets, scores)


# --- what a person reads ----------------------------------------------------

def test_the_published_line_to_the_letter():
    metrics = dict(zip(NAMES, [0.25, 0.25, 0.4350105, 0.5786, 0.5, 1.0,
                               1.0 / 3]))
    assert evaluation.published_line(metrics, 6040) == (
        u"ndcg@1:0.25, hit@1:0.25\uff0c ndcg@5:0.4350105, hit@5:0.5786, "
        u"ndcg@10:0.5, hit@10:1.0, ap:0.3333333333333333, valid_user:6040.0")


def table_of(protocols, seeds=1):
    """(a results table of distinct numbers, the numbers by key)."""
    keys = [prefix + protocol + "/" + name for protocol in protocols
            for prefix in ("", "most_popular/", "item_transitions/")
            for name in NAMES]
    values = collections.OrderedDict()
    for i, key in enumerate(keys):
        values[key] = 0.0101 * (1 + i)
        values[key + "/low"] = values[key] - 0.01
        values[key + "/high"] = values[key] + 0.01
        values[key + "/mean"] = values[key] + 0.0001
        values[key + "/std"] = 0.0002
    return evaluation.results_table(values, protocols, seeds), values


def test_the_table_has_two_lines_a_ranking_and_holds_every_number():
    table, values = table_of(("full", "paper"))
    lines = table.splitlines()
    assert lines[0].split() == ["protocol", "ranked", "by"] + NAMES
    assert [line.split()[:-7] for line in lines[1:]] == [
        row for protocol in ("full", "paper")
        for row in ([protocol, "model"], [], [protocol, "most", "popular"], [],
                    [protocol, "item", "transitions"], [])]
    points = [key for key in values if key.count("@") + key.count("ap")
              and not key.endswith(("low", "high", "mean", "std"))]
    assert [number for line in lines[1::2] for number in line.split()[-7:]] == [
        "%.4f" % values[key] for key in points]
    assert [number for line in lines[2::2] for number in line.split()] == [
        "%s-%s" % tuple(("%.3f" % values[key + side])[1:]
                        for side in ("/low", "/high")) for key in points]
    assert {len(line) for line in lines} == {95}        # columns stand in line


def test_the_table_shows_mean_and_deviation_of_several_seeds():
    table, values = table_of(("full", "paper"), seeds=5)
    lines = [line for line in table.splitlines()
             if "mean" in line or "deviation" in line]
    assert [line.split()[:-7] for line in lines] == [
        ["paper", "mean,", "5", "seeds"], ["paper", "deviation"]]
    assert lines[0].split()[-7:] == [
        "%.4f" % values["paper/%s/mean" % name] for name in NAMES]
    assert lines[1].split()[-7:] == ["0.0002"] * 7


@pytest.mark.parametrize("low, high, text", [
    (0.0, 0.0004, ".000-.000"), (0.12345, 0.9994, ".123-.999"),
    (0.99951, 1.0, "1.00-1.00")])
def test_an_interval_takes_nine_characters(low, high, text):
    assert evaluation._short_interval(low, high) == text
