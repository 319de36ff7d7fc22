"""Order, filters and numbers of interactions, against slow plain Python."""

import collections
import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from data import interactions
from data.interactions import Choices

plain_settings = settings(max_examples=100, deadline=None, database=None,
                          derandomize=True)
KEEP_ALL = Choices(1, 1, "once", None, "keep", "file-order")


def collect(rows, min_rating=None):
    """Interactions of (user, item, time, rating) rows of any printable type."""
    found = interactions.Interactions(min_rating)
    for user, item, time, rating in rows:
        found.add(str(user), str(item), str(time),
                  None if rating is None else str(rating))
    return found


def prepared(rows, choices=KEEP_ALL):
    return interactions.prepare(collect(rows, choices.min_rating), choices)


def pairs(result):
    """The prepared interactions as pairs of original ids."""
    return [(result.user_ids[user - 1], result.item_ids[item - 1])
            for user, item in zip(result.users, result.items)]


# --- times ------------------------------------------------------------------

def column(*texts):
    times = interactions.Times()
    for text in texts:
        times.append(text)
    return times.to_numpy()


def test_integers_stay_exact_up_to_64_bits():
    largest = 2 ** 63 - 1
    texts = [str(number) for number in (largest, largest - 1, -2 ** 63, 0)]
    assert column(*texts).tolist() == [largest, largest - 1, -2 ** 63, 0]


def test_a_fraction_turns_the_column_into_floats():
    times = column("978300760", "+5", "1.5", "2e3", "-7", "3.")
    assert times.dtype == np.float64
    assert times.tolist() == [978300760, 5, 1.5, 2000, -7, 3]
    assert column("0.5").tolist() == [0.5]


def test_a_whole_number_with_an_exponent_is_an_integer():
    times = column("1.6145568e+18", "1614556800000000001", "-120E-1",
                   "9223372036854775807e0")
    assert times.dtype == np.int64
    assert times.tolist() == [
        1614556800000000000, 1614556800000000001, -12, 2 ** 63 - 1]
    assert column("2e3", "25e-1").tolist() == [2000, 2.5]
    assert column("25e-1", "2e3").dtype == np.float64


@pytest.mark.parametrize("texts", [
    (str(2 ** 53 + 1), "0.5"), ("1e18", "0.5"), ("0.5", "1e18"),
    ("0.5", str(2 ** 53 + 1)),
    (str(-2 ** 63), "0.5"), (str(-2 ** 53 - 1), "0.5")])
def test_what_floats_would_round_is_refused_beside_a_fraction(texts):
    with pytest.raises(ValueError, match="too large a number"):
        column(*texts)


@pytest.mark.parametrize("texts", [("5", "2014-01-02"), ("2014-01-02", "5"),
                                   ("0.5", "2014-01-02")])
def test_dates_and_numbers_do_not_mix(texts):
    with pytest.raises(ValueError, match="the times before are"):
        column(*texts)


@pytest.mark.parametrize("text", [
    "", "x", "nan", "inf", "1e999", "--5", "5 6", "1_000", "0x10",
    u"\u0661\u0662", "2" * 20, str(2 ** 63), "1e19", "1.5.2", "e5", "5e",
    "2014-13-01", "2014-02-30", "2014-1-2", "20-01-02", "0000-01-01",
    "2014-01-02T25:00", "2014-01-02 10", "2014-01-02T10:00:00.0000000001",
    "2014-01-02T10:00+24:00", "2014-01-02T10:00+24",
    "2014-01-02T10:00+1", "2014-01-02T10:00+01:60", "1600-01-01",
    "2300-01-01", "01/02/2014", "2014-01-02X10:00"])
def test_what_is_no_time_is_a_value_error_and_adds_nothing(text):
    times = interactions.Times()
    with pytest.raises(ValueError):
        times.append(text)
    times.append("2014-01-02")
    assert len(times.to_numpy()) == 1


@pytest.mark.parametrize("text, seconds", [
    ("1970-01-01", 0), ("1970-01-02T00:00", 86400),
    ("1970-01-01 00:01:02", 62), ("1970-01-01T00:00:02Z", 2),
    ("1970-01-01 01:00:00 +01:00", 0), ("1970-01-01T00:00:00-0130", 5400),
    ("1970-01-01 09:00:00+00", 32400), ("1970-01-01 00:00:00.0-01", 3600),
    ("1969-12-31T23:59:59", -1), ("2000-02-29", 951782400)])
def test_dates_are_nanoseconds_of_universal_time(text, seconds):
    assert interactions.parse_date(text) == seconds * 10 ** 9


def test_every_digit_of_a_second_counts():
    assert interactions.parse_date("1970-01-01T00:00:00.5") == 500000000
    assert interactions.parse_date("1970-01-01T00:00:01,000000001") \
        == 10 ** 9 + 1


@plain_settings
@given(moment=st.datetimes(datetime.datetime(1700, 1, 1),
                           datetime.datetime(2200, 1, 1)),
       offset=st.one_of(st.none(), st.integers(-1439, 1439)),
       between=st.sampled_from("T "))
def test_what_datetime_prints_is_read(moment, offset, between):
    text = moment.isoformat(between)
    utc = moment
    if offset is not None:
        text += "%s%02d:%02d" % ("-" if offset < 0 else "+",
                                 abs(offset) // 60, abs(offset) % 60)
        utc -= datetime.timedelta(minutes=offset)
    since = utc - datetime.datetime(1970, 1, 1)
    assert interactions.parse_date(text) == 1000 * (
        since // datetime.timedelta(microseconds=1))


# --- ids and ratings --------------------------------------------------------

@pytest.mark.parametrize("row, problem", [
    (("", "i", "1", None), "the user is empty"),
    (("u", " \t", "1", None), "the item is empty"),
    (("u", u"\ud800", "1", None), "not valid Unicode"),
    (("u", "i", "soon", None), "'soon' is neither"),
    (("u", "i", "1", "good"), "'good' is not a number"),
    (("u", "i", "1", ""), "'' is not a number"),
    (("u", "i", "1", "nan"), "'nan' is not a number")])
def test_a_malformed_row_names_its_value_and_adds_nothing(row, problem):
    found = collect([("a", "b", 3, None)])
    with pytest.raises(ValueError, match=problem):
        found.add(*row)
    result = interactions.prepare(found, KEEP_ALL)
    assert pairs(result) == [("a", "b")]


def test_ids_are_text_without_the_white_space_around():
    result = prepared([(" 01", "x y", 1, None), ("1 ", "x y\n", 2, None),
                       ("-5", u"\u00e9", 3, None), ("1", "9" * 50, 4, None)])
    assert result.user_ids == ["01", "1", "-5"]
    assert result.item_ids == ["x y", "9" * 50, u"\u00e9"]


def test_min_rating_leaves_lower_ratings_out_and_needs_ratings():
    choices = KEEP_ALL._replace(min_rating=3.5)
    result = prepared([("a", "x", 1, 3), ("b", "y", 2, 3.5), ("b", "z", 3, 4)],
                      choices)
    assert pairs(result) == [("b", "y"), ("b", "z")]
    assert result.steps[0] == ("rating below --min_rating", 1)
    with pytest.raises(ValueError, match="no rating for --min_rating"):
        prepared([("a", "x", 1, None)], choices)


# --- order ------------------------------------------------------------------

TIED = [("b", "10", 5, None), ("a", "7", 5, None), ("b", "9", 5, None),
        ("a", "x", 1, None), ("b", "8", 4, None)]


def test_users_keep_their_first_mention_and_items_what_is_written():
    result = prepared(TIED)
    assert pairs(result) == [("b", "8"), ("b", "10"), ("b", "9"), ("a", "x"),
                             ("a", "7")]
    assert result.user_ids == ["b", "a"]
    assert result.item_ids == ["8", "10", "9", "x", "7"]
    assert result.users.tolist() == [1, 1, 1, 2, 2]
    assert result.items.tolist() == [1, 2, 3, 4, 5]


def test_ties_by_item_id_compare_integers_as_numbers_else_as_text():
    by_id = KEEP_ALL._replace(ties="item-id")
    as_text = pairs(prepared(TIED, by_id))
    assert as_text[:3] == [("b", "8"), ("b", "10"), ("b", "9")]
    numbers = [row for row in TIED if row[1] != "x"]
    assert pairs(prepared(numbers, by_id))[:3] == [
        ("b", "8"), ("b", "9"), ("b", "10")]


def test_random_ties_depend_on_the_seed_alone_and_move_only_ties():
    rows = [("u", str(n), n // 20, None) for n in range(60)]
    orders = [[item for _, item in pairs(prepared(
        rows, KEEP_ALL._replace(ties="random:%d" % seed)))]
        for seed in (4, 4, 5)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert order != [str(n) for n in range(60)]
        assert [int(item) // 20 for item in order] == [
            n // 20 for n in range(60)]


def test_tied_interactions_are_counted():
    assert prepared(TIED).tied == 2
    assert prepared([("u", "i", 1, None)] * 3).tied == 3
    assert prepared([("u", "i", 1, None), ("v", "i", 1, None)]).tied == 0


@pytest.mark.parametrize("text", ["", "random", "random:", "random:-1",
                                  "random:x", "random:4294967296", "item",
                                  "item-id:3", "file-order:1"])
def test_an_unknown_policy_for_ties_lists_the_known(text):
    with pytest.raises(ValueError, match="file-order, item-id or random:SEED"):
        interactions.parse_ties(text)


def test_the_known_policies_for_ties():
    assert interactions.parse_ties("random:4294967295") == (
        "random", 4294967295)
    assert interactions.parse_ties("item-id") == ("item-id", None)


# --- filters, by hand -------------------------------------------------------

# User a meets x, y, z; b meets x, y; c meets x. Every time differs.
STAIRS = [("a", "x", 1, None), ("a", "y", 2, None), ("a", "z", 3, None),
          ("b", "x", 4, None), ("b", "y", 5, None), ("c", "x", 6, None)]


@pytest.mark.parametrize("policy, left", [
    # Counts of users 3, 2, 1, of items 3, 2, 1; both at least 2.
    ("once", "ax ay bx by"),
    ("items-then-users", "ax ay bx by"),
    ("k-core", "ax ay bx by")])
def test_two_of_each_leave_the_upper_stairs(policy, left):
    result = prepared(STAIRS, KEEP_ALL._replace(
        min_user_count=2, min_item_count=2, filter=policy))
    assert [user + item for user, item in pairs(result)] == left.split()


@pytest.mark.parametrize("policy, left", [
    ("once", "ax ay"),        # a has 3 of all, x and y have 2
    ("items-then-users", ""),  # without z a has only 2
    ("k-core", "")])
def test_the_filters_differ_in_when_they_count(policy, left):
    choices = KEEP_ALL._replace(min_user_count=3, min_item_count=2,
                                filter=policy)
    if left:
        result = prepared(STAIRS, choices)
        assert [user + item for user, item in pairs(result)] == left.split()
        assert result.steps[-1] == ("user and item counts", 4)
    else:
        with pytest.raises(ValueError, match="no interaction is left .*6"):
            prepared(STAIRS, choices)


def test_items_then_users_stops_where_the_core_goes_on():
    # x is met twice, but once b is gone only a meets it.
    rows = [("a", "x", 1, None), ("a", "y", 2, None), ("b", "x", 3, None),
            ("c", "y", 4, None), ("c", "y", 5, None)]
    twice = KEEP_ALL._replace(min_user_count=2, min_item_count=2,
                              filter="items-then-users")
    assert pairs(prepared(rows, twice)) == [
        ("a", "x"), ("a", "y"), ("c", "y"), ("c", "y")]
    assert pairs(prepared(rows, twice._replace(filter="k-core"))) == [
        ("c", "y"), ("c", "y")]


@pytest.mark.parametrize("duplicates, left", [
    ("keep", "x y x z x"), ("first", "x y z"), ("last", "y z x")])
def test_a_user_may_meet_an_item_again_or_not(duplicates, left):
    rows = [("u", item, time, None)
            for time, item in enumerate("x y x z x".split())]
    result = prepared(rows, KEEP_ALL._replace(duplicates=duplicates))
    assert [item for _, item in pairs(result)] == left.split()


def test_of_many_duplicates_the_first_and_the_last_are_found():
    rng = np.random.RandomState(5)
    rows = [("u%d" % rng.randint(3), str(rng.randint(9)), time, None)
            for time in range(400)]
    for duplicates in ("first", "last"):
        choices = KEEP_ALL._replace(duplicates=duplicates)
        assert pairs(prepared(rows, choices)) == slow(rows, choices)


def test_counts_are_taken_without_the_duplicates_that_went():
    rows = [("a", "x", 1, None), ("a", "x", 2, None), ("b", "x", 3, None),
            ("b", "y", 4, None)]
    choices = KEEP_ALL._replace(min_user_count=2, duplicates="first")
    assert pairs(prepared(rows, choices)) == [("b", "x"), ("b", "y")]


def test_nothing_read_and_nothing_left_are_told_apart():
    with pytest.raises(ValueError, match="no interactions in it"):
        prepared([])
    with pytest.raises(ValueError, match="2 read, all rated below"):
        prepared([("a", "x", 1, 1), ("a", "y", 1, 2)],
                 KEEP_ALL._replace(min_rating=3.0))


# --- all of it, against plain Python ----------------------------------------

def slow(rows, choices):
    """What prepare does, by lists and counters: pairs of original ids."""
    rows = [row for row in rows
            if choices.min_rating is None or row[3] >= choices.min_rating]
    users = list(collections.OrderedDict.fromkeys(row[0] for row in rows))
    if choices.ties == "item-id":
        numbers = all(row[1].lstrip("-").isdigit() for row in rows)
        tie = [(int(row[1]), row[1]) if numbers else row[1] for row in rows]
    elif choices.ties == "file-order":
        tie = list(range(len(rows)))
    else:
        tie = np.random.RandomState(int(choices.ties.split(":")[1])) \
            .permutation(len(rows)).tolist()
    order = sorted(range(len(rows)), key=lambda n: (
        users.index(rows[n][0]), rows[n][2], tie[n], n))
    left = [rows[n][:2] for n in order]
    if choices.duplicates == "first":
        left = list(collections.OrderedDict.fromkeys(left))
    elif choices.duplicates == "last":
        left = list(collections.OrderedDict.fromkeys(left[::-1]))[::-1]
    while True:
        before = left
        items = collections.Counter(item for _, item in left)
        enough = [pair for pair in left
                  if items[pair[1]] >= choices.min_item_count]
        counted = left if choices.filter == "once" else enough
        of_users = collections.Counter(user for user, _ in counted)
        left = [pair for pair in enough
                if of_users[pair[0]] >= choices.min_user_count]
        if choices.filter != "k-core" or left == before:
            return left


row_lists = st.lists(st.tuples(
    st.sampled_from(["u", "v", "w", "8"]),
    st.sampled_from(["2", "10", "-3", "03", "3", "x"]),
    st.integers(-3, 3), st.sampled_from([1, 2.5, 4])), max_size=25)
all_choices = st.builds(
    Choices, st.integers(1, 4), st.integers(1, 4),
    st.sampled_from(["once", "items-then-users", "k-core"]),
    st.sampled_from([None, 2.0]), st.sampled_from(["keep", "first", "last"]),
    st.sampled_from(["file-order", "item-id", "random:7"]))


@settings(plain_settings, max_examples=400)
@given(rows=row_lists, choices=all_choices, letters=st.booleans())
def test_every_choice_gives_what_plain_python_gives(rows, choices, letters):
    if not letters:
        rows = [row for row in rows if row[1] != "x"]
    expected = slow(rows, choices)
    if not expected:
        with pytest.raises(ValueError):
            prepared(rows, choices)
        return
    result = prepared(rows, choices)
    assert pairs(result) == expected
    items = list(collections.OrderedDict.fromkeys(item for _, item in expected))
    assert result.item_ids == items
    assert result.users[0] == 1 and (np.diff(result.users) >= 0).all()
    assert sum(count for _, count in result.steps) == len(rows) - len(expected)


def test_what_is_written_is_one_pair_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(interactions, "CHUNK", 3)
    path = str(tmp_path / "x.txt")
    interactions.write(path, np.arange(1, 9), np.arange(8, 0, -1))
    with open(path, "rb") as stream:
        assert stream.read() == b"1 8\n2 7\n3 6\n4 5\n5 4\n6 3\n7 2\n8 1\n"
