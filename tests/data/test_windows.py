"""Where windows start."""

import re

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from data import windows

plain_settings = settings(max_examples=100, deadline=None, database=None,
                          derandomize=True)


@pytest.mark.parametrize("length, share, step", [
    (200, 0.5, 100), (50, 0.1, 5), (7, 0.5, 3), (7, 1.0, 7), (7, -1.0, 7),
    (7, 1.0 / 7, 1), (1, -1.0, 1), (3, 0.99, 2)])
def test_the_step_is_a_share_of_the_length_rounded_down(length, share, step):
    assert windows.window_step(length, share) == step


@pytest.mark.parametrize("length, share", [
    (7, 0.0), (7, 0.14), (1, 0.5), (50, -0.5)])
def test_a_step_below_1_is_an_error_with_value_and_remedy(length, share):
    with pytest.raises(ValueError) as error:
        windows.window_step(length, share)
    for part in ("prop_sliding_window %g" % share,
                 "max_seq_length %d" % length, "at least", "-1"):
        assert part in str(error.value)


def test_the_remedy_for_a_step_below_1_works():
    """Also where 1 / L has more digits than are printed, as for 3 and 7."""
    for length in range(1, 513):
        with pytest.raises(ValueError) as error:
            windows.window_step(length, 0.0)
        share = re.search(r"at least ([\d.e-]+)", str(error.value)).group(1)
        assert windows.window_step(length, float(share)) == 1


@pytest.mark.parametrize("n, starts", [
    (1, [0]), (3, [0]), (4, [0]), (5, [0, 1]), (6, [0, 2]), (7, [0, 1, 3]),
    (9, [0, 1, 3, 5]), (10, [0, 2, 4, 6])])
def test_windows_of_4_at_steps_of_2(n, starts):
    assert windows.window_starts(n, 4, 2) == starts


@pytest.mark.parametrize("n, step, starts", [
    (12, 4, [0, 4, 8]), (13, 4, [0, 1, 5, 9]), (10, 3, [0, 3, 6]),
    (10, 100, [0, 6]), (7, 1, [0, 1, 2, 3])])
def test_windows_of_4_at_other_steps(n, step, starts):
    assert windows.window_starts(n, 4, step) == starts


@plain_settings
@given(n=st.integers(1, 60), length=st.integers(1, 12), data=st.data())
def test_windows_cover_a_sequence_backwards_from_its_end(n, length, data):
    step = data.draw(st.integers(1, length))
    starts = windows.window_starts(n, length, step)
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
