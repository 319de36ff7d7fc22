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
    assert np.full(7, 0.1).std(ddof=1) > 0  # a rounding error
    assert report_stats.cohens_d(np.full(7, 0.1)) is None
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


# --- two groups of trainings ------------------------------------------------

def trainings(form, user, seed, rest, users=41, seeds=3, columns=1, rng=None):
    """A pair of float arrays [users, seeds, columns] from a model of random
    effects, given by their standard deviations: what a user gains by the form,
    a seed's own, and what is left. The users themselves are shared."""
    rng = rng or np.random.RandomState(4)
    own = 0.3 * rng.randn(users, 1, columns)
    reference, other = [
        own + user * rng.randn(users, 1, columns)
        + seed * rng.randn(1, seeds, columns)
        + rest * rng.randn(users, seeds, columns) for _ in range(2)]
    return reference, other + form


def test_where_nothing_varies_there_is_no_p_whatever_is_rounded():
    reference = np.full((7, 3, 1), 0.1)
    found, = report_stats.compare_groups(reference, reference + 0.1)
    assert (found.p, found.welch_p) == (None, None)
    assert found.low == found.high == found.difference == pytest.approx(0.1)


def test_where_users_gain_alike_seeds_decide_as_in_welchs_test():
    reference, other = trainings(0.05, user=0, seed=0.04, rest=0)
    other = np.concatenate([other, other[:, :1] + 0.01], axis=1)
    found, = report_stats.compare_groups(reference, other)
    means = [values[:, :, 0].mean(axis=0) for values in (reference, other)]
    known = stats.ttest_ind(means[1], means[0], equal_var=False).pvalue
    assert 0.01 < known < 0.9
    assert found.p == pytest.approx(known)
    assert found.welch_p == pytest.approx(known)


def test_where_seeds_are_alike_users_decide_as_in_the_paired_t_test():
    reference, other = trainings(0.05, user=0.1, seed=0, rest=0)
    found, = report_stats.compare_groups(reference, other)
    differences = (other - reference)[:, 0, 0]
    known = stats.ttest_1samp(differences, 0.0)
    assert 0.001 < known.pvalue < 0.5
    assert found.p == pytest.approx(known.pvalue)
    margin = stats.t.ppf(0.975, 40) * differences.std(ddof=1) / np.sqrt(41)
    assert (found.low, found.difference, found.high) == pytest.approx(
        (differences.mean() - margin, differences.mean(),
         differences.mean() + margin))


def test_the_error_is_that_of_a_loop_over_users_and_seeds():
    reference, other = trainings(0.0, user=0.3, seed=0.2, rest=0.1, users=7)
    other = other[:, :2]
    users, seeds, both = 0.0, [], 0.0
    differences = [np.mean(other[u]) - np.mean(reference[u]) for u in range(7)]
    for difference in differences:
        users += (difference - np.mean(differences)) ** 2 / 6 / 7
    for group in (reference[:, :, 0], other[:, :, 0]):
        count = group.shape[1]
        seeds.append(sum((np.mean(group[:, s]) - np.mean(group)) ** 2
                         for s in range(count)) / (count - 1) / count)
        both += sum(
            (group[u, s] - np.mean(group[u]) - np.mean(group[:, s])
             + np.mean(group)) ** 2
            for u in range(7) for s in range(count)
        ) / (6 * (count - 1)) / (7 * count)
    variance = users + sum(seeds) - both
    assert variance > max(users, sum(seeds))
    error, freedom = report_stats.two_way_error(reference[:, :, 0],
                                                other[:, :, 0])
    assert error ** 2 == pytest.approx(variance)
    assert freedom == pytest.approx(variance ** 2 / (
        users ** 2 / 6 + seeds[0] ** 2 / 2 + seeds[1] ** 2))


def test_the_error_is_at_least_that_of_users_and_that_of_seeds():
    reference, other = np.zeros((2, 6, 2))
    reference[:3, 0] = reference[3:, 1] = 1.0  # nothing but interaction
    other[:, 0] = 0.2                          # and two unlike seeds
    error, freedom = report_stats.two_way_error(reference, other)
    assert (error ** 2, freedom) == pytest.approx((0.1 ** 2, 1.0))


@pytest.mark.parametrize("user, seed, rest", [
    (0.0, 0.05, 0.2), (0.2, 0.0, 0.2), (0.2, 0.05, 0.2), (0.1, 0.02, 0.0)])
def test_equal_forms_seldom_differ_and_intervals_hold_the_truth(user, seed,
                                                                rest):
    simulated = trainings(0.07, user, seed, rest, columns=2000)
    found = report_stats.compare_groups(*simulated)
    missed = np.mean([not each.low <= 0.07 <= each.high for each in found])
    assert 0.02 < missed < 0.065
    equal = report_stats.compare_groups(simulated[0], simulated[1] - 0.07)
    assert np.mean([each.p < 0.05 for each in equal]) == missed


def test_tests_of_one_source_alone_are_too_sure_of_the_other():
    found = report_stats.compare_groups(
        *trainings(0.0, user=0.2, seed=0.0, rest=0.0, columns=500))
    assert np.mean([each.p < 0.05 for each in found]) < 0.08
    # All seeds agree, and Welch's test knows nothing of other users.
    reference, other = trainings(0.0, user=0.2, seed=0.01, rest=0.05,
                                 columns=500)
    found = report_stats.compare_groups(reference, other)
    assert np.mean([each.p < 0.05 for each in found]) < 0.08
    assert np.mean([each.welch_p < 0.05 for each in found]) > 0.25
    # Of one seed each, the paired test knows nothing of other seeds.
    reference, other = trainings(0.0, user=0.1, seed=0.05, rest=0.0,
                                 columns=500)
    paired = stats.ttest_rel(other[:, 0], reference[:, 0]).pvalue
    assert np.mean(paired < 0.05) > 0.25


def test_welchs_p_by_its_formula():
    reference, other = np.array([0.31, 0.35, 0.30]), np.array([0.36, 0.40])
    parts = [values.var(ddof=1) / len(values) for values in (reference, other)]
    t = (other.mean() - reference.mean()) / np.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1)
    found = report_stats.welch_p(reference, other)
    assert found == pytest.approx(2 * stats.t.sf(t, freedom))
    assert found == pytest.approx(
        stats.ttest_ind(reference, other, equal_var=False).pvalue)
    # One group without spread still leaves that of the other.
    assert report_stats.welch_p(np.full(3, 0.25), other) == pytest.approx(
        2 * stats.t.sf((0.38 - 0.25) / 0.02, 1))


def test_groups_without_any_spread_have_no_p():
    found, = report_stats.compare_groups(np.full((4, 3, 1), 0.25),
                                         np.full((4, 2, 1), 0.5))
    assert found == (0.25, 0.25, 0.25, None, None)


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
