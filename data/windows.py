"""Where the windows of a sequence start."""

import math


def window_step(max_seq_length, prop_sliding_window):
    """Items between the starts of a long sequence's windows.

    Args:
        max_seq_length: int, L.
        prop_sliding_window: float, a share of L, or -1 for L itself.

    Returns:
        int, at least 1.

    Raises:
        ValueError: the step would be 0, or the share negative and not -1.
    """
    if prop_sliding_window == -1.0:
        return max_seq_length
    step = int(prop_sliding_window * max_seq_length)
    if step < 1:
        raise ValueError(
            "prop_sliding_window %g of max_seq_length %d is a step of %d "
            "items; give a share of at least %g, or -1 for steps of the whole "
            "length" % (prop_sliding_window, max_seq_length, step,
                        math.ceil(1e6 / max_seq_length) / 1e6))
    return step


def window_starts(length, max_seq_length, step):
    """Where the windows of a sequence of `length` items start, ascending.

    A sequence of at most L items is one window. A longer one has windows at
    length - L, length - L - step, ... while positive, and at 0.
    """
    if length <= max_seq_length:
        return [0]
    return [0] + list(range(length - max_seq_length, 0, -step))[::-1]
