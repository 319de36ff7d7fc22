"""Both runtimes write the same bytes and give the same numbers.

OTHER_PYTHON names an interpreter with the other TensorFlow; without it these
tests are skipped. `.ci/run` has both and sets it.
"""

import os
import re

import pytest

from conftest import command, generate, run_flags, write_interactions

OTHER_PYTHON = os.environ.get("OTHER_PYTHON")
pytestmark = pytest.mark.skipif(
    not OTHER_PYTHON, reason="OTHER_PYTHON names no second runtime")
RUNTIME = re.compile(r"TensorFlow \S+ on")
ENDINGS = (".train.tfrecord", ".test.tfrecord", ".vocab", ".his")


def test_generation_is_byte_identical(dataset, tmp_path):
    write_interactions(tmp_path / "tiny.txt")
    status, _, errors = generate(tmp_path, python=OTHER_PYTHON)
    assert status == 0, errors
    for ending in ENDINGS:
        ours = open(dataset.prefix + ending, "rb").read()
        assert ours and ours == (tmp_path / ("tiny-x" + ending)).read_bytes()


def test_a_checkpoint_of_this_runtime_evaluates_alike_there(dataset, trained,
                                                           tmp_path):
    _, ours, here = trained
    status, output, there = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True,
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"),
        python=OTHER_PYTHON)
    assert status == 0, there
    assert output == ours
    assert RUNTIME.search(here).group() != RUNTIME.search(there).group()


def test_a_checkpoint_of_the_other_runtime_evaluates_alike_here(dataset,
                                                               tmp_path):
    status, there, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True), python=OTHER_PYTHON)
    assert status == 0, errors
    status, here, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True))
    assert status == 0, errors
    assert here == there
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True, num_train_steps=8))
    assert status == 0, errors
    assert "from step 5 to 8" in errors
