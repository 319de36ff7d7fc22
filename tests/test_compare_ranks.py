"""pretrained/compare_ranks.py: what may differ from published ranks."""

import collections

import numpy as np
import pytest

from conftest import command
from pretrained import compare_ranks
from reporting import runs


def users(count):
    ranks = collections.OrderedDict(
        (name, np.full(count, rank)) for name, rank in (
            ("seed", 23), ("full", 31), ("most_popular/seed", 7)))
    return runs.Users(np.arange(count), np.full(count, 9), np.full(count, 5),
                      np.full(count, 6), ranks)


def changed(found, user, column, value):
    arrays = {name: np.array(values) for name, values
              in compare_ranks.columns(found)[0].items()}
    arrays[column][user] = value
    ranks = collections.OrderedDict(
        (name, arrays.pop(name)) for name in found.ranks)
    return runs.Users(ranks=ranks, **arrays)


def test_the_same_ranks_are_not_off():
    assert compare_ranks.users_off(users(3), users(3)) == 0


def test_one_user_of_a_thousand_may_be_one_place_off():
    found = changed(changed(users(1999), 1234, "seed", 22), 1234, "full", 32)
    assert compare_ranks.users_off(users(1999), found) == 1
    with pytest.raises(ValueError, match="2 of 1999 users have other ranks"):
        compare_ranks.users_off(users(1999), changed(found, 77, "full", 30))


def test_among_ten_times_the_items_ten_times_the_users_may_be():
    published = changed(users(1999), 5, "full", 34159)
    found = changed(published, slice(100, 119), "full", 32)
    assert compare_ranks.users_off(published, found) == 19
    with pytest.raises(ValueError, match="20 of 1999 users have other ranks"):
        compare_ranks.users_off(published, changed(found, 77, "full", 30))
    # A baseline's ranks count no floats, however many items it ranks.
    published = changed(users(1999), 5, "most_popular/seed", 34159)
    with pytest.raises(ValueError, match="2 of 1999 users have other ranks"):
        compare_ranks.users_off(published, changed(
            published, slice(100, 102), "full", 32))


@pytest.mark.parametrize("column, value", [
    ("seed", 25), ("full", 29), ("most_popular/seed", 8), ("item", 10),
    ("target_count", 5), ("user", 17)])
def test_what_else_differs_is_an_error(column, value):
    with pytest.raises(ValueError, match="user 3: %s is %d, where "
                       % (column, value)):
        compare_ranks.users_off(users(1999), changed(users(1999), 3, column,
                                                     value))


def test_users_and_ranks_that_lack_are_an_error():
    with pytest.raises(ValueError, match="1 users and .* where 2 and"):
        compare_ranks.users_off(users(2), users(1))
    found = users(2)
    del found.ranks["full"]
    with pytest.raises(ValueError, match="ranks seed most_popular/seed, where"):
        compare_ranks.users_off(users(2), found)


HEADER = "user\titem\thistory_length\ttarget_count\tseed\tmost_popular/seed\n"


@pytest.mark.parametrize("found, said", [
    ("1\t9\t5\t6\t23\t7\n", "the published ranks, user by user\n"),
    ("1\t9\t5\t6\t24\t7\n",
     "compare_ranks.py: error: 1 of 1 users have other ranks than the "
     "published ones\n"),
    ("1\t9\t5\t6\n", "fields where the header has 6")])
def test_the_command_says_what_it_found(found, said, tmp_path):
    (tmp_path / "one.tsv").write_text(HEADER + "1\t9\t5\t6\t23\t7\n")
    (tmp_path / "two.tsv").write_text(HEADER + found)
    status, output, errors = command(
        "pretrained/compare_ranks.py", str(tmp_path / "one.tsv"),
        str(tmp_path / "two.tsv"))
    assert status == int("error" in said or "fields" in said)
    assert said in output + errors and len((output + errors).splitlines()) == 1
