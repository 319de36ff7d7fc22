"""Compares each user's ranks with the published ones of the same model.

    python pretrained/compare_ranks.py pretrained/mine/eval_users.tsv.gz \\
        checkpoints/pretrained/mine/eval_users.tsv

Scores are float32, and another processor or TensorFlow adds in another order.
An item within that rounding of the target may come to its other side, so a
rank may be one place off, for one user of a thousand at most. Whatever else
differs is another model, or other data.
"""

import argparse
import gzip
import io
import sys

SHARE = 1e-3   # of the users, whose ranks may be one place off
KNOWN = 4      # columns before the ranks: user, item, two counts


def read_users(path):
    """The header and the rows of an eval_users.tsv(.gz), as lists of str."""
    opened = gzip.open(path) if path.endswith(".gz") else open(path, "rb")
    with opened as packed, io.TextIOWrapper(packed, encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return rows[0], rows[1:]


def users_off(header, published, found):
    """How many users have a rank of the model that is one place off.

    Args:
        header: list of str, the columns; a baseline's have a "/".
        published, found: lists of rows, lists of str.

    Raises:
        ValueError: something else differs, or too many of them are.
    """
    model = {place for place, name in enumerate(header)
             if place >= KNOWN and "/" not in name}
    if len(published) != len(found):
        raise ValueError("%d users, where %d are published"
                         % (len(found), len(published)))
    off = 0
    for one, other in zip(published, found):
        places = [place for place in range(len(header))
                  if one[place] != other[place]]
        for place in places:
            if place not in model or abs(int(one[place]) - int(other[place])) > 1:
                raise ValueError("user %s: %s is %s, where %s is published" % (
                    one[0], header[place], other[place], one[place]))
        off += bool(places)
    if off > SHARE * len(published):
        raise ValueError("%d of %d users have other ranks than the published "
                         "ones" % (off, len(published)))
    return off


def compare(published, found):
    """What is to be said of two files; raises ValueError as `users_off`."""
    header, rows = read_users(published)
    other, others = read_users(found)
    if header != other:
        raise ValueError("the columns are %s, where %s are published"
                         % (" ".join(other), " ".join(header)))
    off = users_off(header, rows, others)
    if not off:
        return "the published ranks, user by user"
    return ("the published ranks, but for %d of %d users, one place off: "
            "rounding" % (off, len(rows)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("published", help="eval_users.tsv.gz of a folder")
    parser.add_argument("found", help="eval_users.tsv to compare with it")
    given = parser.parse_args()
    try:
        print(compare(given.published, given.found))
    except (ValueError, IOError) as error:
        sys.exit("compare_ranks.py: error: %s" % error)
