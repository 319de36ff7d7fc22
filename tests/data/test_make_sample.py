"""The shipped sample is what its script writes."""

import os

from conftest import ROOT, command

SHIPPED = os.path.join(ROOT, "data", "sample.txt")


def test_the_script_reproduces_the_shipped_file_byte_for_byte(tmp_path):
    path = str(tmp_path / "sample.txt")
    status, _, errors = command("data/make_sample.py", "--output", path)
    assert status == 0, errors
    assert open(path, "rb").read() == open(SHIPPED, "rb").read()


def test_the_sample_is_small_and_of_the_announced_size():
    assert os.path.getsize(SHIPPED) < 2 ** 20
    pairs = [line.split() for line in open(SHIPPED)]
    assert len({user for user, _ in pairs}) == 1500
    assert len({item for _, item in pairs}) == 400
    assert len({tuple(pair) for pair in pairs}) == len(pairs)
