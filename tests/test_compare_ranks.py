"""pretrained/compare_ranks.py: what may differ from published ranks."""

import pytest

from pretrained import compare_ranks

HEADER = ["user", "item", "history_length", "target_count", "seed", "full",
          "most_popular/seed"]


def rows(users):
    return [[str(user), "9", "5", "6", "23", "31", "7"]
            for user in range(users)]


def changed(published, user, column, value):
    found = [list(row) for row in published]
    found[user][HEADER.index(column)] = value
    return found


def test_the_same_ranks_are_not_off():
    assert compare_ranks.users_off(HEADER, rows(3), rows(3)) == 0


def test_one_user_of_a_thousand_may_be_one_place_off():
    published = rows(1999)
    found = changed(published, 1234, "seed", "22")
    found = changed(found, 1234, "full", "32")
    assert compare_ranks.users_off(HEADER, published, found) == 1
    found = changed(found, 77, "full", "30")
    with pytest.raises(ValueError, match="2 of 1999 users have other ranks"):
        compare_ranks.users_off(HEADER, published, found)


@pytest.mark.parametrize("column, value", [
    ("seed", "25"), ("full", "29"), ("most_popular/seed", "8"), ("item", "10"),
    ("target_count", "5"), ("user", "17")])
def test_what_else_differs_is_an_error(column, value):
    published = rows(1999)
    with pytest.raises(ValueError, match="user 3: %s is %s, where "
                       % (column, value)):
        compare_ranks.users_off(HEADER, published,
                                changed(published, 3, column, value))


def test_users_that_lack_are_an_error():
    with pytest.raises(ValueError, match="1 users, where 2 are published"):
        compare_ranks.users_off(HEADER, rows(2), rows(1))
