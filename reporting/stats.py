"""Statistics of per-user metrics: intervals, paired tests, tests of groups of
trainings, quantile bins.

Arrays in, numbers out; no files.
"""

import collections

import numpy as np
from scipy import stats

SAMPLES = 10000   # bootstrap resamples: p-values down to 2 / 10001
BINS = 5          # quantile bins of a breakdown
ROUNDING = 1e-12  # what equal metrics, all within [0, 1], may differ by
_CHUNK = 2 ** 21  # indices drawn at once

# One metric of two runs over the same users; `better` and `worse` count the
# users with a positive and a negative difference.
Comparison = collections.namedtuple(
    "Comparison", "difference low high bootstrap_p wilcoxon_p effect better "
                  "worse")
# One metric of two groups of trainings; `p` is None where nothing varies,
# `welch_p` where no seed does.
GroupComparison = collections.namedtuple(
    "GroupComparison", "difference low high p welch_p")


# --- the bootstrap ----------------------------------------------------------

def bootstrap_means(values, seed, samples=SAMPLES):
    """Means over users drawn with replacement.

    Every column sees the same resamples, and they depend on the number of
    users, `seed` and `samples` alone.

    Args:
        values: float array [users, columns].
        seed: int.
        samples: int, resamples.

    Returns:
        float array [samples, columns].
    """
    rng = np.random.RandomState(seed)
    users = len(values)
    rows = max(1, _CHUNK // users)
    means = []
    for start in range(0, samples, rows):
        count = min(rows, samples - start)
        drawn = rng.randint(0, users, size=(count, users))
        drawn += users * np.arange(count)[:, np.newaxis]
        weights = np.bincount(drawn.ravel(), minlength=count * users)
        means.append(weights.reshape(count, users).dot(values) / users)
    return np.concatenate(means)


def percentile_interval(means):
    """The 95 % percentile interval (Efron & Tibshirani, An Introduction to
    the Bootstrap, 1993, section 13.3).

    Args:
        means: float array [samples, columns].

    Returns:
        Two float arrays [columns], low and high.
    """
    return tuple(np.percentile(means, (2.5, 97.5), axis=0))


# --- two runs over the same users -------------------------------------------

def compare(reference, other, seed, samples=SAMPLES):
    """Paired tests of per-user metrics.

    Args:
        reference, other: float arrays [users, columns]; row u of both is the
            same user.
        seed: int, of the resamples.
        samples: int, resamples.

    Returns:
        list of Comparison, one a column, of other - reference.
    """
    differences = other - reference
    means = bootstrap_means(differences, seed, samples)
    low, high = percentile_interval(means)
    return [
        Comparison(column.mean(), low[i], high[i], bootstrap_p(means[:, i]),
                   wilcoxon_p(column), cohens_d(column),
                   int((column > 0).sum()), int((column < 0).sum()))
        for i, column in enumerate(differences.T)]


def bootstrap_p(means):
    """Twice the share of resampled mean differences on the far side of 0.

    The achieved significance level of Efron & Tibshirani (1993), section
    15.4, two-sided; the observed sample counts as one more resample (Davison
    & Hinkley, Bootstrap Methods and their Application, 1997, section 4.2), so
    that it is never 0.
    """
    far = min((means <= 0).sum(), (means >= 0).sum())
    return min(1.0, 2.0 * (far + 1) / (len(means) + 1))


def wilcoxon_p(differences):
    """Two-sided p of the signed-rank test (Wilcoxon, 1945), equal users left
    out; None when no user differs, where the test says nothing."""
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return None
    return float(stats.wilcoxon(nonzero).pvalue)


def cohens_d(differences):
    """Mean difference over the standard deviation of the differences: d_z of
    Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, p. 48.

    0 when no user differs; None where the deviation is 0 or undefined.
    """
    if not differences.any():
        return 0.0
    deviation = differences.std(ddof=1) if len(differences) > 1 else 0.0
    return float(differences.mean() / deviation) if deviation > ROUNDING \
        else None


# --- two groups of trainings over the same users ------------------------------

def compare_groups(reference, other):
    """Tests of two groups of trainings, users and training seeds both samples.

    Args:
        reference, other: float arrays [users, seeds, columns], of two users
            and two seeds at least; row u of both is the same user, and the
            groups may have unlike numbers of seeds.

    Returns:
        list of GroupComparison, one a column, of other - reference.
    """
    found = []
    for i in range(reference.shape[2]):
        ours, theirs = reference[:, :, i], other[:, :, i]
        difference = theirs.mean() - ours.mean()
        error, freedom = two_way_error(ours, theirs)
        margin = error * stats.t.ppf(0.975, freedom) if error else 0.0
        found.append(GroupComparison(
            difference, difference - margin, difference + margin,
            2 * stats.t.sf(abs(difference) / error, freedom) if error
            else None, welch_p(ours.mean(axis=0), theirs.mean(axis=0))))
    return found


def two_way_error(reference, other):
    """Standard error of the difference of two groups' means.

    Every training ranks the same users. The variance is that between users
    plus that between seeds less that of users and seeds together, which both
    hold (Cameron, Gelbach & Miller, Robust Inference with Multiway Clustering,
    Journal of Business & Economic Statistics 29, 2011), and at least each of
    the first two. The degrees of freedom are those of Satterthwaite, An
    Approximate Distribution of Estimates of Variance Components, Biometrics
    Bulletin 2, 1946.

    With three seeds a bootstrap of users and seeds (Owen, The Pigeonhole
    Bootstrap, Annals of Applied Statistics 1, 2007) is too sure: it knows the
    deviation of three numbers no better than they do, and has no t to say so.

    Args:
        reference, other: float arrays [users, seeds].

    Returns:
        float, the error, and float, the degrees of freedom; (0, None) where
        nothing varies.
    """
    groups = reference, other
    users = len(reference)
    of_users = (other.mean(axis=1) - reference.mean(axis=1)).var(
        ddof=1) / users
    of_seeds = [group.mean(axis=0).var(ddof=1) / group.shape[1]
                for group in groups]
    of_both = sum(_interaction(group) / group.size for group in groups)
    variance = max(of_users + sum(of_seeds) - of_both, of_users, sum(of_seeds))
    if variance <= ROUNDING ** 2:
        return 0.0, None
    freedom = variance ** 2 / (of_users ** 2 / (users - 1) + sum(
        part ** 2 / (group.shape[1] - 1)
        for part, group in zip(of_seeds, groups)))
    return np.sqrt(variance), freedom


def _interaction(values):
    """The variance of [users, seeds] that neither rows nor columns explain."""
    rest = (values - values.mean(axis=1, keepdims=True) - values.mean(axis=0)
            + values.mean())
    return (rest ** 2).sum() / ((values.shape[0] - 1) * (values.shape[1] - 1))


def welch_p(reference, other):
    """Two-sided p of Welch's t-test (Biometrika 34, 1947), one value a seed;
    None where none of the two groups varies."""
    if max(np.ptp(reference), np.ptp(other)) <= ROUNDING:
        return None
    parts = [group.var(ddof=1) / len(group) for group in (reference, other)]
    freedom = sum(parts) ** 2 / sum(
        part ** 2 / (len(group) - 1)
        for part, group in zip(parts, (reference, other)))
    t = abs(other.mean() - reference.mean()) / np.sqrt(sum(parts))
    return float(2 * stats.t.sf(t, freedom))


# --- bins -------------------------------------------------------------------

def quantile_bounds(values, bins=BINS):
    """Upper bounds, inclusive, of bins that hold about equally many values.

    Args:
        values: int array, not empty.
        bins: int; equal values share a bin, so there may be fewer.

    Returns:
        int array, ascending; the last is the largest value.
    """
    ordered = np.sort(values)
    last = -(-len(ordered) * np.arange(1, bins + 1) // bins) - 1
    return np.unique(ordered[last])


def bin_labels(values, bounds):
    """"2", "3-7", ...: the smallest and largest value in each bin.

    Args:
        values: int array, those the bounds were made of.
        bounds: int array as `quantile_bounds` returns.
    """
    labels = []
    for index in range(len(bounds)):
        inside = values[bin_indices(values, bounds) == index]
        low, high = inside.min(), inside.max()
        labels.append("%d" % low if low == high
                      else u"%d\u2013%d" % (low, high))
    return labels


def bin_indices(values, bounds):
    """int array, the bin of each value."""
    return np.searchsorted(bounds, values, side="left")
