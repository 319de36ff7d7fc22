"""Compares each user's ranks with the published ones of the same model.

    python pretrained/compare_ranks.py pretrained/mine/eval_users.tsv.gz \\
        checkpoints/pretrained/mine/eval_users.tsv

Scores are float32, and another processor or TensorFlow adds in another order.
An item within that rounding of the target may come to its other side, so a
rank may be one place off, for one user of a thousand at most. The more items
are ranked, the more of them lie within that rounding: beyond the catalogue of
ML-1M, which the thousandth is for, the share grows in proportion. Whatever else
differs is another model, or other data.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402
import numpy as np  # noqa: E402

from reporting import runs  # noqa: E402

SHARE = 1e-3   # of the users, whose ranks may be one place off
SHARE_ITEMS = 3416   # among at most so many ranked items, those of ML-1M


def columns(users):
    """dict, column -> int array [users], and the set of the columns that may
    be off: the model's ranks; a baseline's count no floats."""
    fixed = {name: getattr(users, name) for name in users._fields
             if name != "ranks"}
    return dict(fixed, **users.ranks), {
        name for name in users.ranks if "/" not in name}


def users_off(published, found):
    """How many users have a rank of the model that is one place off.

    Args:
        published, found: reporting.runs.Users.

    Raises:
        ValueError: something else differs, or too many of them are.
    """
    (ours, may_be_off), (theirs, _) = columns(published), columns(found)
    if list(ours) != list(theirs) or len(published.user) != len(found.user):
        raise ValueError("%d users and ranks %s, where %d and %s are published"
                         % (len(found.user), " ".join(found.ranks),
                            len(published.user), " ".join(published.ranks)))
    off = np.zeros(len(published.user), bool)
    for name, values in ours.items():
        distance = np.abs(values - theirs[name])
        wrong = np.flatnonzero(distance > (name in may_be_off))
        if len(wrong):
            raise ValueError("user %d: %s is %d, where %d is published" % (
                published.user[wrong[0]], name, theirs[name][wrong[0]],
                values[wrong[0]]))
        off |= distance > 0
    # At least so many items were ranked: the lowest rank tells.
    items = 1 + max(ours[name].max() for name in may_be_off)
    if off.sum() > SHARE * len(off) * max(1, items / SHARE_ITEMS):
        raise ValueError("%d of %d users have other ranks than the published "
                         "ones" % (off.sum(), len(off)))
    return int(off.sum())


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("published", help="eval_users.tsv.gz of a folder")
    parser.add_argument("found", help="eval_users.tsv to compare with it")
    given = parser.parse_args()
    with util.one_line_errors("compare_ranks.py"):
        for path in (given.published, given.found):
            if not os.path.exists(path):
                raise ValueError("no file %s; run.py --do_eval writes it" % path)
        users = runs.read_users(given.published)
        off = users_off(users, runs.read_users(given.found))
    print("the published ranks, user by user" if not off else
          "the published ranks, but for %d of %d users, one place off: rounding"
          % (off, len(users.user)))
