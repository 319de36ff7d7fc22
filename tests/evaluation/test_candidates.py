"""Candidate sampling of the protocols."""

import bisect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.candidates import (
    ChoiceWithoutReplacement, HistorySampler, PublishedSampler, check_catalogue)
from evaluation.metrics import RankingError
from ranking_data import (
    plain_settings, shuffled_catalogue, some_users, transcribed_seed_rule,
    zipf)

# --- drawing without replacement --------------------------------------------

def state_of(rng):
    kind, keys, position, has_gauss, cached = rng.get_state()
    return kind, keys.tolist(), position, has_gauss, cached


@pytest.mark.parametrize("p, size", [
    (np.full(150, 1.0 / 150), 101), (np.full(101, 1.0 / 101), 101),
    (zipf(300), 101), (zipf(300, 2.5), 101), (zipf(120, 3.0)[::-1], 101),
    (np.array([0.97, 0.01, 0.01, 0.01]), 4), (np.array([1.0]), 1)],
    ids=["even", "all", "zipf", "steep", "steep-reversed", "four", "one"])
def test_draws_equal_random_state_choice_and_leave_the_same_stream(p, size):
    ours, theirs = np.random.RandomState(12345), np.random.RandomState(12345)
    choice = ChoiceWithoutReplacement(p)
    for _ in range(25):
        assert choice.draw(ours, size).tolist() == theirs.choice(
            len(p), size, replace=False, p=p).tolist()
    assert state_of(ours) == state_of(theirs)


@plain_settings
@given(counts=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 10 ** 6)),
                       min_size=1, max_size=40),
       seed=st.integers(0, 2 ** 32 - 1), data=st.data())
def test_any_draws_equal_random_state_choice(counts, seed, data):
    p = np.array(counts) / float(sum(counts))
    ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
    choice = ChoiceWithoutReplacement(p)
    for size in data.draw(st.lists(st.integers(1, len(counts)), min_size=1,
                                   max_size=4)):
        assert choice.draw(ours, size).tolist() == theirs.choice(
            len(p), size, replace=False, p=p).tolist()
    assert state_of(ours) == state_of(theirs)


# --- protocol `seed` --------------------------------------------------------

@pytest.mark.parametrize("items, exponent", [
    (400, 1.2), (130, 1.2), (130, 0.0), (400, 2.0)])
def test_published_candidates_equal_a_plain_transcription(items, exponent):
    item_ids, counts = shuffled_catalogue(items, exponent)
    sampler = PublishedSampler(item_ids, counts)
    users = list(some_users(items, 40))
    for (user, target, window), expected in zip(
            users, transcribed_seed_rule(item_ids, counts, users)):
        assert sampler.sample(user, target, window).tolist() == expected


def test_published_uniform_candidates_equal_a_plain_transcription():
    item_ids, counts = shuffled_catalogue(130)
    sampler = PublishedSampler(item_ids, counts,
                                          by_popularity=False)
    rng = np.random.RandomState(12345)
    repeats = 0
    for user, target, window in some_users(130, 40):
        excluded = set(window.tolist()) | {0, target}
        expected = [target]
        for _ in range(100):
            item = rng.randint(1, 131)
            while item in excluded:
                item = rng.randint(1, 131)
            expected.append(item)
        assert sampler.sample(user, target, window).tolist() == expected
        repeats += len(expected) - len(set(expected))
    assert repeats > 0                     # an item may come more than once


def test_published_candidates_depend_on_the_users_before():
    item_ids, counts = shuffled_catalogue(300)
    first, second = list(some_users(300, 2))
    alone = PublishedSampler(item_ids, counts).sample(*second)
    after = PublishedSampler(item_ids, counts)
    after.sample(*first)
    assert after.sample(*second).tolist() != alone.tolist()


def test_published_candidates_exclude_the_window_but_not_older_history():
    """101 items outside the window: all but one of them are candidates, so
    items that only an older part of the history held must come."""
    window = np.array([1, 2, 3, 4, 108, 0, 0])
    item_ids, counts = np.arange(1, 107), np.ones(106, int)
    for seed in range(5):
        candidates = PublishedSampler(
            item_ids, counts, seed=seed).sample(1, 5, window).tolist()
        assert candidates[0] == 5 and len(set(candidates)) == 101
        assert not {0, 1, 2, 3, 4, 108} & set(candidates)
        assert len(set(range(6, 107)) & set(candidates)) == 100


@pytest.mark.parametrize("by_popularity", [True, False])
def test_published_sampling_ends_with_the_last_100_items_or_says_how_many(
        by_popularity):
    window = np.array([1, 2, 109, 0])
    counts = np.arange(1, 104)
    sampler = PublishedSampler(np.arange(1, 104), counts,
                                          by_popularity)
    target, *negatives = sampler.sample(8, 3, window).tolist()
    assert target == 3 and len(negatives) == 100
    assert set(negatives) <= set(range(4, 104))
    if by_popularity:  # uniform ones may repeat themselves
        assert sorted(negatives) == list(range(4, 104))
    with pytest.raises(RankingError) as error:
        sampler.sample(8, 4, np.array([1, 2, 3, 0]))
    for part in ("user 8", "99 items", "seed", "--protocols=full"):
        assert part in str(error.value)


def test_a_target_inside_the_window_is_counted_once():
    window = np.array([1, 2, 3, 109, 0])
    sampler = PublishedSampler(np.arange(1, 104),
                                          np.ones(103, int))
    assert sorted(sampler.sample(8, 3, window)) == list(range(3, 104))


# --- protocols `paper` and `uniform` ----------------------------------------

@plain_settings
@given(user=st.integers(1, 2 ** 63 - 1), items=st.integers(115, 300),
       history=st.sets(st.integers(1, 115), min_size=1, max_size=14),
       exponent=st.sampled_from([0.0, 1.0, 3.0]), seed=st.integers(0, 2 ** 31))
def test_negatives_are_100_distinct_items_outside_the_history(
        user, items, history, exponent, seed):
    history = sorted(history)
    target = history[-1]
    sampler = HistorySampler("paper", zipf(items, exponent), seed)
    candidates = sampler.sample(user, target, np.array(history)).tolist()
    assert candidates[0] == target
    assert len(candidates) == len(set(candidates)) == 101
    assert not set(history) & set(candidates[1:])
    assert all(1 <= item <= items for item in candidates)


def test_candidates_do_not_depend_on_other_users():
    history = np.array([4, 5, 6])
    alone = HistorySampler("paper", zipf(200), 3).sample(
        9, 6, history)
    after = HistorySampler("paper", zipf(200), 3)
    for user in (1, 8, 2 ** 40):
        after.sample(user, 6, history)
    assert after.sample(9, 6, history).tolist() == alone.tolist()


@pytest.mark.parametrize("user", [10, 9 + 2 ** 32, 9 << 32, 2 ** 63 - 1])
def test_every_user_has_a_stream_of_its_own(user):
    sampler = HistorySampler("paper", zipf(200), 3)
    history = np.array([4, 5, 6])
    assert sampler.sample(9, 6, history).tolist() != sampler.sample(
        user, 6, history).tolist()


def test_another_seed_gives_other_candidates():
    history = np.array([4, 5, 6])
    assert HistorySampler("paper", zipf(200), 3).sample(
        9, 6, history).tolist() != HistorySampler(
            "paper", zipf(200), 4).sample(9, 6, history).tolist()


@pytest.mark.parametrize("p", [zipf(160), np.full(160, 1.0 / 160)],
                         ids=["popularity", "uniform"])
def test_the_first_negative_follows_the_probabilities(p):
    """It is a plain draw among the allowed items."""
    history = np.array([1, 5, 160])
    sampler = HistorySampler("paper", p, 3)
    draws = 2500
    seen = np.zeros(161)
    for user in range(1, draws + 1):
        seen[sampler.sample(user, 5, history)[1]] += 1
    expected = np.concatenate([[0], p])
    expected[history] = 0
    expected *= draws / expected.sum()
    assert seen[history].sum() == 0
    # The statistic has 156 degrees of freedom: mean 156, deviation 17.7.
    allowed = expected > 0
    chi_square = ((seen - expected)[allowed] ** 2 / expected[allowed]).sum()
    assert 156 - 4 * 17.7 < chi_square < 156 + 4 * 17.7


@pytest.mark.parametrize("exponent", [1.0, 4.0], ids=["usual", "exhausted"])
def test_items_are_included_as_often_as_by_choice_without_replacement(
        exponent):
    """A steep distribution leaves most negatives to the exact completion."""
    items, draws = 130, 1000
    p, history = zipf(items, exponent), np.array([2, 3, 7])
    allowed = np.setdiff1d(np.arange(1, items + 1), history)
    sampler = HistorySampler("paper", p, 3)
    ours, theirs = np.zeros(items + 1), np.zeros(items + 1)
    rng = np.random.RandomState(5)
    rest = p[allowed - 1] / p[allowed - 1].sum()
    for user in range(1, draws + 1):
        ours[sampler.sample(user, 7, history)[1:]] += 1
        theirs[rng.choice(allowed, 100, replace=False, p=rest)] += 1
    # Of two proportions the difference deviates by sqrt(2 q (1 - q) / draws)
    # < 0.032; five deviations.
    assert abs(ours - theirs).max() / draws < 5 * 0.032
    assert abs(ours - theirs).mean() / draws < 0.032


@pytest.mark.parametrize("exponent, rounds", [(0.0, 1), (1.1, 2), (4.0, 3)])
@pytest.mark.parametrize("user", [3, 2 ** 35 + 7])
def test_candidates_outside_the_history_equal_a_plain_transcription(
        user, exponent, rounds):
    """The stream that recorded results rest on: up to 150 draws, then 250
    more, then the exact completion."""
    items, history = 400, [2, 7, 9, 140]
    p = zipf(items, exponent)
    bounds = (np.cumsum(p) / np.sum(p)).tolist()
    bounds[-1] = 1.0
    rng = np.random.RandomState(
        np.array([12345, user % 2 ** 32, user // 2 ** 32]))
    expected, used = [7], 0
    for draws in (150, 250):
        if len(expected) <= 100:
            used += 1
            for number in rng.random_sample(draws):
                item = 1 + bisect.bisect_right(bounds, number)
                if item not in history + expected and len(expected) <= 100:
                    expected.append(item)
    rest = [item for item in range(1, items + 1)
            if item not in history + expected]
    if len(expected) <= 100:
        used += 1
        left = np.array([p[item - 1] for item in rest])
        expected += rng.choice(rest, 101 - len(expected), replace=False,
                               p=left / left.sum()).tolist()
    assert used == rounds
    assert HistorySampler("paper", p, 12345).sample(
        user, 7, np.array(history)).tolist() == expected


@pytest.mark.parametrize("exponent", [0.0, 1.0, 5.0])
def test_the_last_100_items_are_all_negatives(exponent):
    sampler = HistorySampler("paper", zipf(104, exponent), 3)
    history = np.array([2, 50, 51, 104])
    candidates = sampler.sample(8, 50, history)
    assert candidates[0] == 50
    assert sorted(candidates[1:]) == sorted(
        set(range(1, 105)) - set(history.tolist()))


@pytest.mark.parametrize("protocol", ["paper", "uniform"])
def test_fewer_than_100_items_are_an_error_that_names_user_and_count(protocol):
    sampler = HistorySampler(protocol, zipf(103), 3)
    with pytest.raises(RankingError) as error:
        sampler.sample(2 ** 35, 50, np.array([2, 50, 51, 103]))
    for part in ("user %d" % 2 ** 35, "99 items", "100 negatives",
                 "protocol " + protocol, "--protocols=full"):
        assert part in str(error.value)


def test_a_validation_item_is_ranked_without_what_comes_after_it():
    check_catalogue(103, {"user_4": [[1, 2, 3, 4]]}, ["seed"], 9, left_out=1)
    with pytest.raises(RankingError, match="user 4 has only 99 items"):
        check_catalogue(103, {"user_4": [[1, 2, 3, 4]]}, ["seed"], 9)


@plain_settings
@given(sequence=st.lists(st.integers(1, 108), min_size=1, max_size=14),
       items=st.integers(100, 108), length=st.integers(1, 9),
       protocol=st.sampled_from(["seed", "paper", "uniform", "full"]),
       left_out=st.sampled_from([0, 1]))
def test_a_catalogue_is_refused_where_ranking_would_refuse_it(
        sequence, items, length, protocol, left_out):
    history = [min(item, items) for item in sequence]
    asked = history[:len(history) - left_out]
    item_ids, p = np.arange(1, items + 1), np.full(items, 1.0 / items)

    def rank():
        window = np.array(asked[-length:-1] + [items + 2])      # [MASK]
        if protocol == "seed":
            PublishedSampler(item_ids, np.ones(items)).sample(
                4, asked[-1], window)
        elif protocol != "full":
            HistorySampler(protocol, p, 3).sample(
                4, asked[-1], np.unique(history))

    def refusal(function, *arguments):
        try:
            function(*arguments)
        except RankingError as error:
            return str(error)

    refused = refusal(check_catalogue, items, {"user_4": [history]},
                      [protocol], length, left_out)
    if len(history) < 3:                          # asked for nothing
        assert refused is None
    else:
        assert refused == refusal(rank)
