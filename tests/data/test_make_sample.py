"""The shipped sample is what its script writes, and asks for context."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from conftest import ROOT, command

SHIPPED = os.path.join(ROOT, "data", "sample.txt")
USERS, ITEMS = 2200, 300


@pytest.fixture(scope="module")
def sequences():
    """list of int arrays, each user's items."""
    users, items = np.loadtxt(SHIPPED, dtype=int).T
    return np.split(items, np.flatnonzero(np.diff(users)) + 1)


def test_the_script_reproduces_the_shipped_file_byte_for_byte(tmp_path):
    path = str(tmp_path / "sample.txt")
    status, _, errors = command("data/make_sample.py", "--output", path)
    assert status == 0, errors
    assert open(path, "rb").read() == open(SHIPPED, "rb").read()


def test_a_folder_that_is_missing_is_one_line(tmp_path):
    status, _, errors = command("data/make_sample.py",
                                "--output=%s" % (tmp_path / "none" / "x"))
    assert status == 1 and errors.startswith(
        "make_sample.py: error: --output: no folder ")
    assert len(errors.splitlines()) == 1


def test_a_sample_that_is_stopped_is_not_there(tmp_path):
    path = tmp_path / "x.txt"
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "data", "make_sample.py"),
         "--output", str(path)], stderr=subprocess.PIPE)
    while not list(tmp_path.glob("x.txt*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1].decode()
    assert process.returncode == 143
    assert errors == "make_sample.py: stopped by SIGTERM; nothing was written\n"
    assert not list(tmp_path.iterdir())


def test_the_sample_is_small_and_of_the_announced_size(sequences):
    assert os.path.getsize(SHIPPED) < 400 * 1000
    assert len(sequences) == USERS
    assert len(np.unique(np.concatenate(sequences))) == ITEMS
    for items in sequences:
        assert 5 <= len(items) <= 50
        assert len(np.unique(items)) == len(items)


def hit_rate(sequences, scores):
    """Share of the last items among the ten that score best.

    scores: function of the items before the last one -> float [ITEMS + 1].
    """
    hits = []
    for items in sequences:
        values = scores(items[:-1])
        target = values[items[-1]]
        values[items] = values[0] = -np.inf
        hits.append(np.count_nonzero(values >= target) < 10)
    return np.mean(hits)


def test_who_looks_further_back_than_the_last_item_knows_more(sequences):
    """Counts of pairs, right after one another and in one sequence."""
    after = np.zeros((ITEMS + 1, ITEMS + 1))
    together = np.zeros((ITEMS + 1, ITEMS + 1))
    for items in sequences:
        known = items[:-1]
        np.add.at(after, (known[:-1], known[1:]), 1.0)
        together[np.ix_(known, known)] += 1.0
    popularity = np.diag(together)
    lift = np.log((1.0 + together) / (1.0 + popularity)[:, np.newaxis])
    by_popularity = hit_rate(sequences, lambda known: popularity.copy())
    by_last = hit_rate(sequences, lambda known: after[known[-1]]
                       + popularity / popularity.sum())
    by_all = hit_rate(sequences, lambda known: lift[known].sum(axis=0))
    assert by_popularity < 0.1 < by_last < 0.25
    assert by_all > 1.5 * by_last
