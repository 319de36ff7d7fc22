"""Most popular and item transitions."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.baselines import (
    Baselines, ItemTransitions, last_visible_items, popularity_scores,
    training_part, log_popularity)
from ranking_data import plain_settings


@pytest.mark.parametrize("items, held_out, trained", [
    ([5, 6, 7, 8], False, [5, 6, 7]), ([5, 6, 7, 8], True, [5, 6]),
    ([5, 6, 7], False, [5, 6]), ([5, 6, 7], True, [5]),
    ([5, 6], False, [5, 6]), ([5, 6], True, [5, 6]), ([5], True, [5])])
def test_training_has_not_seen_the_test_item_nor_held_out_ones(
        items, held_out, trained):
    assert training_part(np.array(items),
                                    held_out).tolist() == trained


def test_popularity_ranks_by_count_then_by_id_and_padding_last():
    scores = popularity_scores(np.array([9, 1, 4, 0, 1]))
    assert sorted(range(5), key=lambda item: -scores[item]) == [2, 1, 4, 3, 0]


def test_popularity_scores_are_all_distinct():
    scores = popularity_scores(np.array([0, 0, 0, 2, 0, 0, 0]))
    assert len(set(scores.tolist())) == 7


#            1 -> 2 twice, 2 -> 1, 2 -> 2, 2 -> 3, 4 -> 1; 1 and 2 most popular
SEQUENCES = [np.array([1, 2, 1, 2, 2]), np.array([4, 1]), np.array([2, 3]),
             np.array([5])]


def test_transitions_count_what_came_right_after_in_one_sequence():
    transitions = ItemTransitions(SEQUENCES, 6)
    followers = {item: [array.tolist() for array in transitions.followers(item)]
                 for item in range(7)}
    assert followers == {
        0: [[], []], 1: [[2], [2]], 2: [[1, 2, 3], [1, 1, 1]], 3: [[], []],
        4: [[1], [1]], 5: [[], []], 6: [[], []]}
    table = transitions.counts(np.arange(7)[:, None], np.arange(7)[None])
    expected = np.zeros((7, 7), int)
    expected[1, 2] = 2
    expected[2, [1, 2, 3]] = expected[4, 1] = 1
    assert table.tolist() == expected.tolist()


def test_sequences_of_one_item_have_no_transitions():
    transitions = ItemTransitions([np.array([2]), np.array([1])], 3)
    assert transitions.counts(np.array([2]), np.array([1])).tolist() == [0]


def test_followers_rank_first_by_count_and_the_rest_by_popularity():
    """2 occurs 4 times, 1 three times, 3, 4 and 5 once, 6 never."""
    baselines = Baselines(SEQUENCES, 6)
    assert baselines.counts.tolist() == [0, 3, 4, 1, 1, 1, 0]
    items = np.arange(1, 7)[None]
    for last, order in ((0, [2, 1, 3, 4, 5, 6]), (4, [1, 2, 3, 4, 5, 6]),
                        (2, [2, 1, 3, 4, 5, 6]), (1, [2, 1, 3, 4, 5, 6])):
        scores = baselines.scores(np.array([last]), items)[0]
        assert (1 + np.argsort(-scores)).tolist() == order
        assert len(set(scores.tolist())) == 6


@plain_settings
@given(sequences=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12),
                          min_size=1, max_size=8),
       history=st.sets(st.integers(1, 9), min_size=1, max_size=8),
       target=st.integers(1, 9), last=st.integers(0, 9))
def test_full_ranks_of_baselines_equal_a_plain_count(sequences, history,
                                                     target, last):
    arrays = [np.array(sequence) for sequence in sequences]
    baselines = Baselines(arrays, 9)
    popularity = collections.Counter(sum(sequences, []))
    followed = collections.Counter(
        pair for items in sequences for pair in zip(items, items[1:]))

    def key(item):
        return followed[last, item], popularity[item], -item

    expected = sum(key(item) > key(target) for item in range(1, 10)
                   if item not in history)
    for _ in range(2):                # nothing is left behind from a user
        assert baselines.full_ranks(
            np.array([last]), np.array([target]),
            [np.array(sorted(history | {target}))]).tolist() == [expected]


def test_the_last_visible_item_comes_before_the_mask():
    inputs = np.array([[4, 5, 99, 0], [4, 5, 6, 99], [99, 0, 0, 0],
                       [7, 99, 0, 0], [0, 0, 0, 0]])
    assert last_visible_items(inputs).tolist() == [5, 6, 0, 7, 0]


@pytest.mark.parametrize("held_out, counts", [
    (False, [1, 2, 4, 1, 2, 1]), (True, [1, 2, 3, 1, 2, 1])])
def test_log_popularity_counts_training_items_and_each_id_once_more(
        held_out, counts):
    # Of the first user training sees 1 2 2 or 1 2; of the second, who is too
    # short for a test item, everything.
    history = {"user_7": [[1, 2, 2, 3]], "user_8": [[2, 4]]}
    assert np.exp(log_popularity(history, held_out, 6)) == pytest.approx(
        np.array(counts) / float(sum(counts)))
