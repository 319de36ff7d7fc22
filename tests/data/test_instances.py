"""Masks and instances."""

import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from data import instances, randomness
from masked_instances import (
    ITEMS, MASK, decode, options, serialized, training_instances, unmask)

GAMMA = 0x9E3779B97F4A7C15
plain_settings = settings(max_examples=100, deadline=None, database=None,
                          derandomize=True)


# --- masking ----------------------------------------------------------------

def mask(window, user=0, item_count=ITEMS, mask_id=MASK, **changed):
    masked, = instances.mask_windows(
        [np.array(window, np.int32)], [0], [user], [1], mask_id, item_count,
        options(**changed))
    return masked


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
    (input_ids, positions, labels), = instances.mask_windows(
        [original], [3], [5], [1], MASK, ITEMS,
        options(max_seq_length=12, max_predictions_per_seq=limit,
                masked_lm_prob=share, mask_prob=mask_prob, random_seed=seed))
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


@pytest.mark.parametrize("changed", ["seed", "user", "start", "copy"])
def test_a_masking_belongs_to_seed_user_window_and_copy(changed):
    window = np.arange(1, 13, dtype=np.int32)

    def masked(seed=7, user=5, start=3, copy=1, beside=0):
        others = [window[:4 + i] for i in range(beside)]
        found = instances.mask_windows(
            others + [window], [9] * beside + [start], [2] * beside + [user],
            [4] * beside + [copy], MASK, ITEMS,
            options(random_seed=seed, max_seq_length=12))[-1]
        return [array.tolist() for array in found]

    assert masked() == masked() == masked(beside=6)
    assert masked() != masked(**{changed: 6})


def scalar_mix(value):
    """SplitMix64's output function on Python's integers."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2 ** 64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2 ** 64
    return value ^ value >> 31


def scalar_key(*words):
    key = 0
    for word in words:
        key = scalar_mix(((key ^ word) + GAMMA) % 2 ** 64)
    return key


def scalar_draw(key, counter):
    return scalar_mix((key + (counter + 1) * GAMMA) % 2 ** 64)


def scalar_masking(window, words, count, mask_prob):
    """(input ids, positions) of one window, drawn one number at a time."""
    key, ids = scalar_key(*words), list(window)
    ranked = sorted(range(len(window)), key=lambda place: (
        scalar_draw(key, place) >> 20, place))
    for place in ranked[:count]:
        masks, stays, item = [
            (scalar_draw(scalar_key(key, purpose), place) >> 11) / 2.0 ** 53
            for purpose in (1, 2, 3)]
        ids[place] = (MASK if masks < mask_prob else window[place]
                      if stays < 0.5 else 1 + int(item * ITEMS))
    return ids, sorted(ranked[:count])


@plain_settings
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
       words=st.tuples(st.integers(0, 2 ** 32 - 1), st.integers(1, 2 ** 63 - 1),
                       st.integers(0, 2 ** 31 - 1), st.integers(1, 99)),
       mask_prob=st.sampled_from([0.0, 0.5, 1.0]))
def test_maskings_equal_those_drawn_one_number_at_a_time(
        lengths, words, mask_prob):
    windows = [np.arange(1, n + 1, dtype=np.int32) for n in lengths]
    seed, user, start, copy = words
    found = instances.mask_windows(
        windows, [start + i for i in range(len(windows))],
        [user] * len(windows), [copy] * len(windows), MASK, ITEMS,
        options(random_seed=seed, masked_lm_prob=0.4, mask_prob=mask_prob,
                max_seq_length=12))
    for i, (window, (ids, positions, _)) in enumerate(zip(windows, found)):
        count = min(3, max(1, int(round(0.4 * len(window)))))
        assert (ids.tolist(), positions.tolist()) == scalar_masking(
            window.tolist(), (seed, user, start + i, copy), count, mask_prob)


def test_draws_are_splitmix64s():
    # The first outputs of SplitMix64 with the seed 1234567, as its
    # implementations in other languages test them.
    assert randomness.draws(np.array([1234567], np.uint64), range(3)).tolist() \
        == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_sample_of_users_depends_on_nothing_but_seed_and_users():
    users = list(range(3, 10 ** 4, 7)) + [2 ** 62]
    found = [randomness.sample(users[::step], 40, seed).tolist()
             for step, seed in ((1, 5), (-1, 5), (1, 6))]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 40 and set(found[0]) <= set(users)
    assert set(randomness.sample(users, 20, 5)) < set(found[0])
    assert randomness.sample(users, 10 ** 5, 5).tolist() == sorted(users)


def test_a_sample_holds_the_users_of_the_least_keys():
    """The stream that recorded evaluations of some users rest on."""
    users = list(range(3, 99, 7)) + [2 ** 62]
    wanted = sorted(users, key=lambda user: scalar_key(9, user, 5))[:4]
    assert randomness.sample(users, 4, 9).tolist() == sorted(wanted)


def test_every_user_is_as_likely_in_a_sample():
    counts = collections.Counter(
        user for seed in range(1000)
        for user in randomness.sample(range(10), 3, seed).tolist())
    # Binomial: mean 300, standard deviation 14.5.
    assert all(abs(counts[user] - 300) < 5 * 14.5 for user in range(10))


def shares(mask_prob, draws=1000):
    """Shares of [MASK], unchanged and changed items in many maskings."""
    window = np.array([4, 900, 17, 300], np.int32)
    seen = collections.Counter()
    for input_ids, positions, labels in instances.mask_windows(
            [window] * draws, [0] * draws, [3] * draws, range(draws), 1002,
            1000, options(mask_prob=mask_prob, masked_lm_prob=1.0,
                          max_predictions_per_seq=4)):
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
    for user in range(200):
        input_ids, _, _ = mask([1, 1, 1], user=user, item_count=5, mask_id=7,
                               mask_prob=0.0, masked_lm_prob=1.0)
        seen.update(input_ids.tolist())
    assert seen == {1, 2, 3, 4, 5}


def test_every_position_is_masked_equally_often():
    seen, pairs = np.zeros(6), np.zeros((6, 6))
    window = np.arange(1, 7, dtype=np.int32)
    for _, positions, _ in instances.mask_windows(
            [window] * 3000, [0] * 3000, range(3000), [1] * 3000, MASK, ITEMS,
            options()):
        seen[positions] += 1
        pairs[tuple(positions)] += 1
    assert seen.sum() == 3000 * 2               # round(6 * 0.3)
    assert (abs(seen / 3000 - 2.0 / 6) < 0.04).all()
    # Chi-square of the 15 pairs: 99.9 % lie below 36.1 at 14 degrees.
    drawn = pairs[np.triu_indices(6, 1)]
    assert drawn.sum() == 3000
    assert ((drawn - 200.0) ** 2 / 200.0).sum() < 36.1


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


def test_the_size_of_a_chunk_changes_no_byte(monkeypatch):
    made = []
    for chunk in (1, 4, 512):
        monkeypatch.setattr(instances.TrainingInstances, "CHUNK", chunk)
        made.append(serialized(training_instances(
            [(8, [5, 6, 7]), (3, list(range(1, 20)))])))
    assert made[0] == made[1] == made[2]


def test_instances_do_not_depend_on_other_users_or_more_copies():
    few = serialized(training_instances([(3, list(range(1, 20)))]))
    more = serialized(training_instances(
        [(8, [5, 6, 7]), (3, list(range(1, 20)))], dupe_factor=5))
    assert set(few) < set(more)
    assert [record for record in more if record in set(few)] == few


def test_instances_are_in_the_order_of_their_hashes():
    made = training_instances([(4, [5]), (3, list(range(1, 10)))],
                              dupe_factor=1)
    numbered = [(3, 0, 0), (3, 0, 1), (3, 2, 0), (3, 2, 1), (4, 0, 1)]
    wanted = sorted(numbered, key=lambda words: scalar_key(11, *words + (4,)))
    windows = {(4, 0): [5], (3, 0): list(range(1, 8)),
               (3, 2): list(range(3, 10))}
    found = [decode(record, 7, 3) for record in serialized(made)]
    assert [unmask(instance) for instance in found] == [
        windows[words[:2]] for words in wanted]
    assert [instance.positions == [6] for instance, words in zip(found, wanted)
            if words[2] == 0] == [True, True]


def test_the_copies_of_a_window_are_masked_differently():
    made = training_instances([(3, [1, 2, 3, 4, 5, 6, 7])], dupe_factor=40,
                              masked_lm_prob=0.2, mask_prob=1.0)
    masked = [decode(record, 7, 3).positions
              for record in serialized(made)]
    assert {position for (position,) in masked} == set(range(7))
