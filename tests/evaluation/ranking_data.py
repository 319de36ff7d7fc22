"""Histories, scores and an evaluator that the tests of this folder share."""

import collections

import numpy as np
from hypothesis import settings

from evaluation.evaluator import Evaluator
import vocab


ALL = ("seed", "paper", "uniform", "full")
NAMES = ["ndcg@1", "hit@1", "ndcg@5", "hit@5", "ndcg@10", "hit@10", "ap"]

plain_settings = settings(max_examples=60, deadline=None, database=None,
                          derandomize=True)


def zipf(n, exponent=1.0):
    p = 1.0 / np.arange(1, n + 1) ** exponent
    return p / p.sum()


def catalogue(histories):
    """FreqVocab and history of raw sequences: (words, "user_<u>" -> [ids])."""
    words = vocab.FreqVocab(collections.OrderedDict(
        ("user_%d" % user, ["item_%d" % item for item in items])
        for user, items in histories.items()))
    return words, {
        "user_%d" % user: [words.convert_tokens_to_ids(
            ["item_%d" % item for item in items])]
        for user, items in histories.items()}


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


def ranked(scores=None, value=0.7, **options):
    """An Evaluator that has ranked larger_data()."""
    words, history, users, inputs, targets = larger_data()
    evaluator = Evaluator(words, history, **options)
    evaluator.add(users, inputs, targets,
                  scores_with(targets, value) if scores is None else scores)
    return evaluator


def model_results(evaluator, protocol):
    return {name: evaluator.results()["%s/%s" % (protocol, name)]
            for name in NAMES}


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
