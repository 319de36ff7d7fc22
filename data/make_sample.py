"""Writes data/sample.txt: synthetic interactions, for trying things out.

    python data/make_sample.py [--output FILE]

No real person is in it. The items have a popularity skew, a latent genre and
a few likely successors each; a user walks from item to item, mostly along the
successors and otherwise by popularity within the genres that the user likes,
and never takes an item twice. So order matters: a sequence model can find more
than a ranking by popularity. The same seed writes the same bytes.
"""

import argparse
import os

import numpy as np

USERS, ITEMS, GENRES, SUCCESSORS = 1500, 400, 8, 4
SEED = 20190805
MIN_LENGTH, MEAN_LENGTH, MAX_LENGTH = 5, 28, 120
FOLLOW = 0.75    # probability of going on to one of the item's successors
LIKED_GENRES = 3


def make_world(rng):
    """Returns popularity [ITEMS], genres [ITEMS], successors [ITEMS, 4]."""
    popularity = 1.0 / (10.0 + rng.permutation(ITEMS))     # Zipf-Mandelbrot
    genres = rng.randint(GENRES, size=ITEMS)
    successors = np.empty((ITEMS, SUCCESSORS), int)
    for item in range(ITEMS):
        near = np.where(genres == genres[item], 4.0, 1.0) * popularity
        near[item] = 0.0
        successors[item] = rng.choice(ITEMS, SUCCESSORS, replace=False,
                                      p=near / near.sum())
    return popularity, genres, successors


def walk(rng, popularity, genres, successors):
    """Yields the items of one user, each at most once."""
    liked = rng.choice(GENRES, LIKED_GENRES, replace=False)
    weights = np.where(np.isin(genres, liked), popularity, 0.0)
    length = min(MAX_LENGTH, MIN_LENGTH + int(rng.exponential(
        MEAN_LENGTH - MIN_LENGTH)))
    item = None
    for _ in range(length):
        following = [] if item is None else [
            s for s in successors[item] if weights[s] >= 0.0]
        if following and rng.random_sample() < FOLLOW:
            item = following[rng.randint(len(following))]
        elif weights.max() > 0.0:
            item = rng.choice(ITEMS, p=np.maximum(weights, 0.0)
                              / np.maximum(weights, 0.0).sum())
        else:
            return
        weights[item] = -1.0                               # taken
        yield item


def make_sample(path):
    """Writes the sample's interactions, `user item` a line."""
    rng = np.random.RandomState(SEED)
    world = make_world(rng)
    with open(path, "w", newline="\n") as stream:
        for user in range(1, USERS + 1):
            for item in walk(rng, *world):
                stream.write("%d %d\n" % (user, item + 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "sample.txt"))
    make_sample(parser.parse_args().output)
