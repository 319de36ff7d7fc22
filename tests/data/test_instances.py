"""Windows, masks and instances."""

import collections
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from data import instances
from masked_instances import (
    ITEMS, MASK, decode, options, serialized, training_instances)

plain_settings = settings(max_examples=100, deadline=None, database=None,
                          derandomize=True)


# --- windows ----------------------------------------------------------------

@pytest.mark.parametrize("length, share, step", [
    (200, 0.5, 100), (50, 0.1, 5), (7, 0.5, 3), (7, 1.0, 7), (7, -1.0, 7),
    (7, 1.0 / 7, 1), (1, -1.0, 1), (3, 0.99, 2)])
def test_the_step_is_a_share_of_the_length_rounded_down(length, share, step):
    assert instances.window_step(length, share) == step


@pytest.mark.parametrize("length, share", [
    (7, 0.0), (7, 0.14), (1, 0.5), (50, -0.5)])
def test_a_step_below_1_is_an_error_with_value_and_remedy(length, share):
    with pytest.raises(ValueError) as error:
        instances.window_step(length, share)
    for part in ("prop_sliding_window %g" % share,
                 "max_seq_length %d" % length, "at least", "-1"):
        assert part in str(error.value)


def test_the_remedy_for_a_step_below_1_works():
    """Also where 1 / L has more digits than are printed, as for 3 and 7."""
    for length in range(1, 513):
        with pytest.raises(ValueError) as error:
            instances.window_step(length, 0.0)
        share = re.search(r"at least ([\d.e-]+)", str(error.value)).group(1)
        assert instances.window_step(length, float(share)) == 1


@pytest.mark.parametrize("n, starts", [
    (1, [0]), (3, [0]), (4, [0]), (5, [0, 1]), (6, [0, 2]), (7, [0, 1, 3]),
    (9, [0, 1, 3, 5]), (10, [0, 2, 4, 6])])
def test_windows_of_4_at_steps_of_2(n, starts):
    assert instances.window_starts(n, 4, 2) == starts


@pytest.mark.parametrize("n, step, starts", [
    (12, 4, [0, 4, 8]), (13, 4, [0, 1, 5, 9]), (10, 3, [0, 3, 6]),
    (10, 100, [0, 6]), (7, 1, [0, 1, 2, 3])])
def test_windows_of_4_at_other_steps(n, step, starts):
    assert instances.window_starts(n, 4, step) == starts


@plain_settings
@given(n=st.integers(1, 60), length=st.integers(1, 12), data=st.data())
def test_windows_cover_a_sequence_backwards_from_its_end(n, length, data):
    step = data.draw(st.integers(1, length))
    starts = instances.window_starts(n, length, step)
    assert starts == sorted(set(starts)) and starts[0] == 0
    if n <= length:
        assert starts == [0]
        return
    assert starts[-1] == n - length
    covered = set()
    for start in starts:
        assert start + length <= n
        covered.update(range(start, start + length))
    assert covered == set(range(n))
    assert all(later - start == step
               for start, later in zip(starts[1:], starts[2:]))
    assert 1 <= starts[1] <= step


# --- masking ----------------------------------------------------------------

def mask(window, seed=0, item_count=ITEMS, mask_id=MASK, **changed):
    return instances.mask_window(
        np.array(window, np.int32), np.random.RandomState(seed), mask_id,
        item_count, options(**changed))


@pytest.mark.parametrize("n, share, limit, count", [
    (10, 0.2, 40, 2), (9, 0.3, 40, 3), (200, 0.2, 40, 40), (200, 0.6, 40, 40),
    (1, 0.2, 40, 1), (5, 0.0, 40, 1), (5, 1.0, 40, 5), (5, 1.0, 2, 2),
    (5, 0.5, 40, 2), (7, 0.5, 40, 4)])  # halves go to the even number
def test_the_number_of_masked_items(n, share, limit, count):
    _, positions, labels = mask(
        [1 + i % ITEMS for i in range(n)], masked_lm_prob=share,
        max_predictions_per_seq=limit, max_seq_length=200)
    assert len(positions) == len(labels) == count


@plain_settings
@given(window=st.lists(st.integers(1, ITEMS), min_size=1, max_size=12),
       share=st.floats(0, 1), limit=st.integers(1, 12),
       mask_prob=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 2**32 - 1))
def test_masking_changes_nothing_but_the_masked_positions(
        window, share, limit, mask_prob, seed):
    original = np.array(window, np.int32)
    input_ids, positions, labels = instances.mask_window(
        original, np.random.RandomState(seed), MASK, ITEMS,
        options(max_seq_length=12, max_predictions_per_seq=limit,
                masked_lm_prob=share, mask_prob=mask_prob))
    n = len(window)
    assert original.tolist() == window            # the argument is not touched
    assert len(input_ids) == n
    assert len(positions) == min(limit, max(1, round(n * share)))
    assert positions.tolist() == sorted(set(positions.tolist()))
    assert 0 <= positions[0] and positions[-1] < n
    assert labels.tolist() == [window[i] for i in positions]
    for i in range(n):
        if i not in positions:
            assert input_ids[i] == window[i]
        else:
            assert input_ids[i] == MASK or 1 <= input_ids[i] <= ITEMS
    if mask_prob == 1.0:
        assert (input_ids[positions] == MASK).all()
    if mask_prob == 0.0:
        assert MASK not in input_ids


def test_the_same_generator_state_gives_the_same_masks():
    window = list(range(1, 13))
    first, again, other = (mask(window, seed=seed, max_seq_length=12)
                           for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def shares(mask_prob, draws=1000):
    """Shares of [MASK], unchanged and changed items in many maskings."""
    rng = np.random.RandomState(3)
    window = np.array([4, 900, 17, 300], np.int32)
    seen = collections.Counter()
    for _ in range(draws):
        input_ids, positions, labels = instances.mask_window(
            window, rng, 1002, 1000,
            options(mask_prob=mask_prob, masked_lm_prob=1.0,
                    max_predictions_per_seq=4))
        for got, label in zip(input_ids[positions], labels):
            seen["mask" if got == 1002 else
                 "same" if got == label else "other"] += 1
    return [seen[name] / (4.0 * draws) for name in ("mask", "same", "other")]


def test_mask_prob_0_leaves_half_and_replaces_half():
    masked, same, other = shares(0.0)
    assert masked == 0
    assert abs(same - 0.5) < 0.03 and abs(other - 0.5) < 0.03


def test_mask_prob_divides_masks_from_the_two_halves():
    masked, same, other = shares(0.6)
    assert abs(masked - 0.6) < 0.03
    assert abs(same - 0.2) < 0.03 and abs(other - 0.2) < 0.03


def test_mask_prob_1_gives_only_masks():
    assert shares(1.0, draws=50) == [1, 0, 0]


def test_random_items_are_every_item_and_nothing_else():
    seen = set()
    for seed in range(200):
        input_ids, _, _ = mask([1, 1, 1], seed=seed, item_count=5, mask_id=7,
                               mask_prob=0.0, masked_lm_prob=1.0)
        seen.update(input_ids.tolist())
    assert seen == {1, 2, 3, 4, 5}


def test_every_position_is_masked_equally_often():
    rng, seen = np.random.RandomState(8), np.zeros(6)
    for _ in range(3000):
        _, positions, _ = instances.mask_window(
            np.arange(1, 7, dtype=np.int32), rng, MASK, ITEMS, options())
        seen[positions] += 1
    assert seen.sum() == 3000 * 2               # round(6 * 0.3)
    assert (abs(seen / 3000 - 2.0 / 6) < 0.04).all()


@pytest.mark.parametrize("window, masked", [
    ([4, 5, 5], [4, 5, MASK]), ([9, 3], [9, MASK]), ([6], [MASK])])
def test_mask_last_masks_the_last_item_alone(window, masked):
    original = np.array(window, np.int32)
    input_ids, positions, labels = instances.mask_last(original, MASK)
    assert input_ids.tolist() == masked
    assert positions.tolist() == [len(window) - 1]
    assert labels.tolist() == [window[-1]]
    assert original.tolist() == window


# --- instances --------------------------------------------------------------

def test_windows_of_one_item_have_maskings_but_no_last_item_instance():
    made = training_instances([(8, [5]), (3, [2, 1, 9]), (4, [7])],
                              dupe_factor=2)
    assert made.one_item_windows == 2
    assert len(made) == 2 * 3 + 1
    users = collections.Counter(
        decode(record, 7, 3).user for record in serialized(made))
    assert users == {8: 2, 3: 2 + 1, 4: 2}


def test_the_table_of_windows():
    made = training_instances([(8, [5]), (3, list(range(1, 10)))])
    assert made.windows.tolist() == [[8, 0, 1], [3, 1, 7], [3, 3, 7]]


@pytest.mark.parametrize("chunk", [1, 4, 7, 512])
def test_every_instance_appears_once_whatever_the_chunks(monkeypatch, chunk):
    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", chunk)
    made = training_instances([(user, [user, 9]) for user in range(1, 8)],
                              dupe_factor=3)
    users = [decode(record, 7, 3).user for record in serialized(made)]
    assert len(users) == len(made) == 7 * (3 + 1)
    assert collections.Counter(users) == {user: 4 for user in range(1, 8)}
    assert users != sorted(users)                    # shuffled, all of them


def test_a_chunk_does_not_depend_on_the_chunks_before_it(monkeypatch):
    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", 4)
    made = training_instances([(8, [5, 6, 7]), (3, list(range(1, 20)))])
    backwards = [made.serialize(chunk) for chunk in range(made.chunks)[::-1]]
    assert sum(backwards[::-1], []) == serialized(made)


def test_chunks_draw_differently(monkeypatch):
    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", 1)
    made = training_instances([(3, [1, 2, 3, 4, 5, 6, 7])], dupe_factor=40,
                              masked_lm_prob=0.2, mask_prob=1.0)
    masked = [decode(record, 7, 3).positions for record in serialized(made)]
    assert {position for (position,) in masked} == set(range(7))


def test_the_maskings_of_a_window_are_independent():
    made = training_instances([(3, [1, 2, 3, 4, 5, 6, 7])], dupe_factor=40,
                              masked_lm_prob=0.2, mask_prob=1.0)
    masked = [decode(record, 7, 3).positions
              for record in serialized(made)]
    assert {position for (position,) in masked} == set(range(7))
