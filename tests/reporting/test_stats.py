"""Bootstrap, paired tests and bins against SciPy, loops and small cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats

from reporting import stats as report_stats

plain_settings = settings(max_examples=150, deadline=None, database=None,
                          derandomize=True)


def sample(users=173, shift=0.1):
    """Two correlated float arrays [users, 1]."""
    rng = np.random.RandomState(3)
    reference = rng.rand(users, 1)
    return reference, reference + shift * (rng.rand(users, 1) - 0.3)


# --- the bootstrap ----------------------------------------------------------

def test_a_resample_draws_as_many_users_with_replacement(monkeypatch):
    values = np.random.RandomState(5).rand(7, 2)
    monkeypatch.setattr(report_stats, "_CHUNK", 21)  # three resamples at once
    rng = np.random.RandomState(11)
    assert report_stats.bootstrap_means(values, 11, samples=8) == pytest.approx(
        np.array([values[rng.randint(0, 7, 7)].mean(axis=0)
                  for _ in range(8)]))


def test_columns_share_their_resamples():
    values = np.random.RandomState(5).rand(19, 1)
    means = report_stats.bootstrap_means(np.hstack([values, 3 * values]), 1, 50)
    assert means[:, 1] == pytest.approx(3 * means[:, 0])
    alone = report_stats.bootstrap_means(values, 1, 50)
    assert alone[:, 0] == pytest.approx(means[:, 0])


def test_means_spread_like_the_standard_error():
    values = np.random.RandomState(5).rand(400, 1)
    means = report_stats.bootstrap_means(values, 1)
    assert means.mean() == pytest.approx(values.mean(), abs=0.001)
    assert means.std() == pytest.approx(values.std() / 20, rel=0.03)


def test_interval_is_that_of_scipy_up_to_the_resamples():
    values = np.random.RandomState(5).rand(150, 1) ** 3
    low, high = report_stats.percentile_interval(
        report_stats.bootstrap_means(values, 1))
    known = stats.bootstrap((values[:, 0],), np.mean, n_resamples=9999,
                            method="percentile", random_state=2)
    width = high[0] - low[0]
    assert low[0] == pytest.approx(known.confidence_interval.low,
                                   abs=0.03 * width)
    assert high[0] == pytest.approx(known.confidence_interval.high,
                                    abs=0.03 * width)


# --- p-values and effect sizes ----------------------------------------------

@pytest.mark.parametrize("means, p", [
    ([1.0, 2.0, 3.0, 4.0], 2 / 5.0),    # nothing on the far side
    ([-1.0, 2.0, 3.0, 4.0], 4 / 5.0),
    ([-1.0, -2.0, -3.0, 4.0], 4 / 5.0),
    ([-1.0, -2.0, 3.0, 4.0], 1.0),      # 6 / 5, and no p is above 1
    ([0.0, 0.0, 0.0, 4.0], 1.0)])       # a mean of 0 is on both sides
def test_bootstrap_p_counts_the_far_side_twice(means, p):
    assert report_stats.bootstrap_p(np.array(means)) == pytest.approx(p)


@pytest.mark.parametrize("shift", [0.01, 0.05, 0.1])
def test_bootstrap_p_is_near_that_of_the_t_test(shift):
    reference, other = sample(shift=0.5)
    other += shift - (other - reference).mean()
    result, = report_stats.compare(reference, other, seed=7)
    known = stats.ttest_rel(other[:, 0], reference[:, 0]).pvalue
    assert result.bootstrap_p == pytest.approx(known, abs=0.02)


def test_wilcoxon_p_is_the_share_of_sign_flips_as_extreme():
    differences = np.array([0.9, -0.2, 0.5, 0.4, -0.1, 0.7, 0.3])
    ranks = stats.rankdata(abs(differences))
    centre = ranks.sum() / 2
    observed = abs(ranks[differences > 0].sum() - centre)
    flips = [abs(np.dot(signs, ranks) - centre) >= observed
             for signs in itertools.product((0, 1), repeat=7)]
    assert report_stats.wilcoxon_p(differences) == pytest.approx(
        np.mean(flips))


def test_wilcoxon_p_of_five_gains_and_no_loss():
    gains = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert report_stats.wilcoxon_p(gains) == pytest.approx(2 / 2.0 ** 5)


def test_equal_users_do_not_change_wilcoxon_p():
    differences = np.array([0.9, -0.2, 0.5, 0.4, -0.1, 0.7, 0.3])
    with_equal = np.insert(differences, 3, [0.0, 0.0])
    assert report_stats.wilcoxon_p(with_equal) == \
        report_stats.wilcoxon_p(differences)


def test_wilcoxon_says_nothing_where_no_user_differs():
    assert report_stats.wilcoxon_p(np.zeros(9)) is None


def test_effect_is_the_mean_difference_in_standard_deviations():
    assert report_stats.cohens_d(np.array([1.0, 2.0, 3.0])) == \
        pytest.approx(2.0)
    reference, other = sample()
    t = stats.ttest_rel(other[:, 0], reference[:, 0]).statistic
    assert report_stats.cohens_d((other - reference)[:, 0]) == pytest.approx(
        t / np.sqrt(len(reference)))


def test_effect_without_spread():
    assert report_stats.cohens_d(np.zeros(5)) == 0.0
    assert report_stats.cohens_d(np.full(5, 0.5)) is None
    assert report_stats.cohens_d(np.array([0.5])) is None


def test_comparison_of_four_users_by_hand():
    reference = np.array([[1.0, 0.5], [0.0, 0.5], [0.0, 0.5], [1.0, 0.5]])
    other = np.array([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [0.0, 0.5]])
    first, second = report_stats.compare(reference, other, seed=1, samples=99)
    assert (first.difference, first.better, first.worse) == (0.25, 2, 1)
    assert -1.0 <= first.low <= 0.25 <= first.high <= 1.0
    assert second == (0.0, 0.0, 0.0, 1.0, None, 0.0, 0, 0)


def test_comparing_the_other_way_round_flips_the_signs():
    reference, other = sample()
    forth, = report_stats.compare(reference, other, seed=7)
    back, = report_stats.compare(other, reference, seed=7)
    assert (back.difference, back.low, back.high, back.effect) == \
        pytest.approx((-forth.difference, -forth.high, -forth.low,
                       -forth.effect))
    assert (back.bootstrap_p, back.better, back.worse) == (
        forth.bootstrap_p, forth.worse, forth.better)


def test_the_same_seed_gives_the_same_comparison():
    assert report_stats.compare(*sample(), seed=7) == \
        report_stats.compare(*sample(), seed=7)
    assert report_stats.compare(*sample(), seed=7) != \
        report_stats.compare(*sample(), seed=8)


# --- bins -------------------------------------------------------------------

def test_bins_hold_equally_many():
    values = np.arange(1, 11)[::-1]
    bounds = report_stats.quantile_bounds(values)
    assert bounds.tolist() == [2, 4, 6, 8, 10]
    assert report_stats.bin_labels(values, bounds) == [
        u"1\u20132", u"3\u20134", u"5\u20136", u"7\u20138", u"9\u201310"]
    assert report_stats.bin_indices(values, bounds).tolist() == [
        4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_equal_values_share_a_bin():
    values = np.array([3, 3, 9, 3, 3, 3, 3])
    bounds = report_stats.quantile_bounds(values)
    assert report_stats.bin_labels(values, bounds) == ["3", "9"]


def test_labels_are_values_that_occur():
    values = np.array([5, 100, 7, 60])
    bounds = report_stats.quantile_bounds(values, bins=2)
    assert report_stats.bin_labels(values, bounds) == [u"5\u20137",
                                                       u"60\u2013100"]


@plain_settings
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 7))
def test_every_value_is_in_one_bin_and_no_bin_is_empty(values, bins):
    values = np.array(values)
    bounds = report_stats.quantile_bounds(values, bins)
    indices = report_stats.bin_indices(values, bounds)
    counts = np.bincount(indices, minlength=len(bounds))
    assert len(counts) == len(bounds) <= bins and counts.all()
    for left, right in zip(range(len(bounds)), range(1, len(bounds))):
        assert values[indices == left].max() < values[indices == right].min()
    if len(set(values.tolist())) == len(values) >= bins:
        assert counts.max() - counts.min() <= 1
