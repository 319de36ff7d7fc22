"""Writes data/sample.txt: synthetic interactions, for trying things out.

    python data/make_sample.py [--output FILE]

No real person is in it. Every item has a genre and a popularity; every user
likes three genres for good. A user takes one item after the other, most of
them from one of these genres, drawn anew each time, and never an item twice.
So the last item alone tells one genre of three, and only who looks further back
knows the others. The same seed writes the same bytes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402  first: it explains what is missing

import numpy as np  # noqa: E402

USERS, GENRES, ITEMS_PER_GENRE = 2200, 30, 10
ITEMS = GENRES * ITEMS_PER_GENRE
SEED = 20190805
MIN_LENGTH, MEAN_LENGTH, MAX_LENGTH = 5, 18, 50
LIKED_GENRES = 3
STRAY = 0.1  # probability of an item of any genre


def make_catalogue(rng):
    """Returns float popularity [ITEMS], int genres [ITEMS]."""
    popularity = 1.0 / (10.0 + rng.permutation(ITEMS))     # Zipf-Mandelbrot
    return popularity, rng.permutation(ITEMS) % GENRES


def draw_sequence(rng, popularity, genres):
    """Yields the items of one user, each at most once."""
    liked = rng.choice(GENRES, LIKED_GENRES, replace=False)
    length = min(MAX_LENGTH, MIN_LENGTH + int(rng.exponential(
        MEAN_LENGTH - MIN_LENGTH)))
    left = popularity.copy()
    for _ in range(length):
        weights = left
        if rng.random_sample() >= STRAY:
            weights = left * (genres == liked[rng.randint(LIKED_GENRES)])
        if not weights.any():
            return  # nothing is left of a genre that is liked
        item = rng.choice(ITEMS, p=weights / weights.sum())
        left[item] = 0.0
        yield item


def make_sample(path):
    """Writes the sample's interactions, `user item` a line."""
    rng = np.random.RandomState(SEED)
    popularity, genres = make_catalogue(rng)
    with util.AtomicFiles() as files, open(
            files.path(path), "w", newline="\n") as stream:
        for user in range(1, USERS + 1):
            for item in draw_sequence(rng, popularity, genres):
                stream.write("%d %d\n" % (user, item + 1))


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("--output", default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "sample.txt"))
    output = parser.parse_args().output
    with util.one_line_stops("make_sample.py", "nothing was written"), \
            util.one_line_errors("make_sample.py"):
        util.check_parent(output, "output")
        make_sample(output)
