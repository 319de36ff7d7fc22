"""Random numbers that belong to what they are drawn for, not to its place.

A counter-based generator (Salmon et al., SC 2011): draw i of a stream is a
function of the stream's key and i alone, so any process makes any draw. The
function is SplitMix64's (Steele, Lea & Flood, OOPSLA 2014, figure 17), whose
i-th output is mix(key + i * GAMMA); all arithmetic is modulo 2 ** 64.
"""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SAMPLE = 5               # names the streams of a sample of users
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def mix(values):
    """SplitMix64's output function, a bijection: uint64 array -> uint64 array."""
    values = (values ^ (values >> _SHIFTS[0])) * _MULTIPLIERS[0]
    values = (values ^ (values >> _SHIFTS[1])) * _MULTIPLIERS[1]
    return values ^ (values >> _SHIFTS[2])


def keys(*words):
    """The keys of streams that are named by some integers each.

    A word after the other goes in: key <- mix((key ^ word) + GAMMA), from 0.

    Args:
        words: non-negative int arrays that broadcast together.

    Returns:
        uint64 array.
    """
    key = np.zeros(1, np.uint64)  # an array: NumPy warns of a scalar's overflow
    for word in words:
        key = mix((key ^ np.asarray(word, np.uint64)) + GAMMA)
    return key


def draws(streams, counters):
    """Draws 0, 1, 2, ... of streams: uint64 array.

    Args:
        streams: uint64 array, keys.
        counters: non-negative int array; the two broadcast together.
    """
    return mix(streams + (np.asarray(counters, np.uint64) + np.uint64(1))
               * GAMMA)


def uniforms(values):
    """uint64 array -> float64 array in [0, 1), of the upper 53 bits."""
    return (values >> np.uint64(11)).astype(np.float64) * 2.0 ** -53


def sample_keys(users, seed):
    """What a sample of users is drawn by, the least first: uint64 array.

    Args:
        users: non-negative int array. seed: int.
    """
    return keys(seed, users, _SAMPLE)


def sample(users, count, seed):
    """A sample of distinct users that depends on the seed and on them alone,
    whatever their order: the `count` of the least keys, or all.

    Args:
        users: list of int. count, seed: int.

    Returns:
        int64 array, ascending.
    """
    users = np.sort(np.array(users, np.int64))
    order = np.argsort(sample_keys(users, seed), kind="mergesort")
    return np.sort(users[order[:count]])
