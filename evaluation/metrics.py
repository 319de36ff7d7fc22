"""Ranks, metrics of ranks, and their bootstrap intervals."""

import collections

import numpy as np

CUTOFFS = (1, 5, 10)
METRICS = tuple("%s@%d" % (name, k) for k in CUTOFFS
                for name in ("ndcg", "hit")) + ("ap",)
# What people call them: hit@k is HR@k, and mean ap is MRR (one relevant item).
METRIC_LABELS = collections.OrderedDict(
    (name, name.replace("ndcg", "NDCG").replace("hit", "HR").replace(
        "ap", "MRR")) for name in METRICS)
SEED = 12345            # the published code's, of everything drawn here
RESAMPLES = 1000
CONFIDENCE = 0.95
_RESAMPLED = 2 ** 20    # counts of ranks drawn at a time: some 10 MB


class RankingError(ValueError):
    """The test users cannot be ranked; the message says why and what to do."""


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
    (Järvelin & Kekäläinen, TOIS 2002; one relevant item, so the ideal gain is
    1); ap = 1 / (rank + 1), whose mean is the mean reciprocal rank.

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


def bootstrap_intervals(ranks, resamples=RESAMPLES, seed=SEED):
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
