"""Ranks, metrics and intervals."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import metrics as metrics_module
from evaluation.metrics import (
    METRICS, bootstrap_intervals, candidate_ranks, metric_values,
    ranking_metrics, RankingError)
from ranking_data import NAMES, plain_settings

# --- ranks ------------------------------------------------------------------

@pytest.mark.parametrize("scores, rank", [
    ([3.0, 1.0, 2.0], 0), ([2.0, 1.0, 3.0], 1), ([1.0, 2.0, 3.0], 2),
    ([-1.0, -2.0, -0.5, -3.0], 1), ([5.0], 0)])
def test_a_rank_counts_the_candidates_that_score_higher(scores, rank):
    assert candidate_ranks(np.array([scores])).tolist() == [rank]


@pytest.mark.parametrize("scores, rank", [
    ([2.0, 2.0, 1.0], 1), ([2.0, 2.0, 2.0], 2), ([0.0, -0.0, 5.0], 2),
    ([np.inf, np.inf, 1.0], 1), ([-np.inf, -np.inf, 1.0], 2)])
def test_ties_count_against_the_model(scores, rank):
    assert candidate_ranks(np.array([scores])).tolist() == [rank]


def test_each_row_is_ranked_on_its_own():
    assert candidate_ranks(np.array(
        [[9, 1, 2], [2, 9, 1], [0, 9, 2]], np.float32)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("row, column", [(0, 0), (1, 0), (1, 2)])
def test_a_nan_score_is_an_error_never_a_rank(row, column):
    scores = np.ones((3, 4))
    scores[row, column] = np.nan
    with pytest.raises(RankingError, match="NaN for 1 of 3 users"):
        candidate_ranks(scores)


def test_a_ranking_error_is_a_value_error():
    assert issubclass(RankingError, ValueError)


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
    assert list(ranking_metrics([rank]).items()) == list(
        zip(NAMES, BY_HAND[rank]))


def test_metrics_are_averages_over_users():
    metrics = ranking_metrics(np.array([0, 2, 6, 10]))
    expected = [1.0 / 4, 1.0 / 4,
                (1 + 1 / np.log2(4)) / 4, 2.0 / 4,
                (1 + 1 / np.log2(4) + 1 / np.log2(8)) / 4, 3.0 / 4,
                (1 + 1.0 / 3 + 1.0 / 7 + 1.0 / 11) / 4]
    assert list(metrics) == NAMES == list(METRICS)
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
    assert dict(ranking_metrics(ranks)) == {
        name: total / users for name, total in totals.items()}


def test_metrics_are_plain_floats():
    assert {type(value) for value in
            ranking_metrics([0, 3]).values()} == {float}


# --- intervals --------------------------------------------------------------

def some_ranks(users=700, seed=3):
    return np.random.RandomState(seed).geometric(0.07, users) - 1


def test_intervals_equal_those_of_resampled_users():
    """The same draws, written out user by user, with plain arithmetic."""
    ranks = some_ranks(90)
    distinct = sorted(set(ranks.tolist()))
    rng = np.random.RandomState(5)
    resampled = [ranking_metrics(np.repeat(distinct, counts))
                 for counts in rng.multinomial(
                     90, [(ranks == rank).mean() for rank in distinct], 200)]
    intervals = bootstrap_intervals(ranks, 200, seed=5)
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
    intervals = bootstrap_intervals(ranks, 8000)
    for name in ("hit@5", "ndcg@10", "ap"):
        values = metric_values(ranks)[name]
        means = np.concatenate([
            values[rng.randint(0, 300, (2000, 300))].mean(axis=1)
            for _ in range(4)])
        low, high = np.percentile(means, [2.5, 97.5])
        assert intervals[name] == pytest.approx((low, high),
                                                abs=0.05 * (high - low))


def test_an_interval_of_a_share_is_binomial():
    """hit@1 of 30 users in 100: 0.3 +- 1.96 * sqrt(0.21 / 100) = 0.0898."""
    low, high = bootstrap_intervals([0] * 30 + [50] * 70)["hit@1"]
    assert low == pytest.approx(0.3 - 0.09, abs=0.0101)
    assert high == pytest.approx(0.3 + 0.09, abs=0.0101)


def test_users_who_are_all_alike_leave_no_doubt():
    assert bootstrap_intervals([4, 4, 4])["ap"] == pytest.approx(
        (0.2, 0.2))
    assert bootstrap_intervals([4])["hit@5"] == (1.0, 1.0)


def test_an_interval_of_one_seed_never_changes():
    """To the last digit, on every runtime."""
    ranks = some_ranks()
    assert bootstrap_intervals(ranks)["ap"] == LAST_DIGITS
    assert bootstrap_intervals(ranks, seed=6)["ap"] != LAST_DIGITS


LAST_DIGITS = (0.1789420588626524, 0.21363684989747822)


def test_the_size_of_the_chunks_changes_no_interval(monkeypatch):
    whole = bootstrap_intervals(some_ranks())
    monkeypatch.setattr(metrics_module, "_RESAMPLED", 333)
    assert bootstrap_intervals(some_ranks()) == whole
