"""Interactions of a given size: log-normal lengths, items by Zipf's law."""

import numpy as np


def write_interactions(path, users, items, interactions, shortest, seed=12345):
    """Writes an interactions file.

    The lengths follow a log-normal distribution with a standard deviation of
    1 (in logarithms), cut at `shortest` and scaled to the number of
    interactions. The k-th item comes with a probability in proportion to
    1 / (k + 20): every item once first, so that all of them occur.

    Args:
        path: str, the file's name.
        users, items, interactions: int; at least users * shortest and items
            interactions.
        shortest: int, the fewest items a user has.
        seed: int.
    """
    rng = np.random.RandomState(seed)
    weights = rng.lognormal(sigma=1.0, size=users)
    lengths = shortest + np.floor(
        weights / weights.sum() * (interactions - users * shortest)).astype(int)
    lengths[0] += interactions - lengths.sum()
    popularity = np.cumsum(1.0 / (np.arange(items) + 20.0))
    drawn = 1 + popularity.searchsorted(
        rng.random_sample(interactions) * popularity[-1])
    drawn[rng.permutation(interactions)[:items]] = np.arange(1, items + 1)
    with open(path, "w") as stream:
        for user, part in enumerate(
                np.split(drawn, np.cumsum(lengths)[:-1]), 1):
            stream.write("".join("%d %d\n" % (user, item)
                                 for item in part.tolist()))
