"""Both runtimes write the same bytes and give the same numbers.

OTHER_PYTHON names an interpreter with the other TensorFlow; without it these
tests are skipped. `.ci/run` has both and sets it.
"""

import os
import re
import sys

import numpy as np
import pytest

from conftest import command, generate, run_flags, write_interactions
from experiment.recommender import load
from saved_models import HISTORIES, ask, instances

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


@pytest.mark.parametrize("by_us", [True, False])
def test_an_export_of_one_runtime_recommends_alike_on_the_other(
        trained, named, tmp_path, by_us):
    status, _, errors = command(
        "run.py", "--do_export", "--top_k=5", "--checkpointDir=%s" % tmp_path,
        "--init_checkpoint=%s" % named,
        python=sys.executable if by_us else OTHER_PYTHON)
    assert status == 0, errors
    rows = ask(tmp_path / "export" / "1", instances(HISTORIES),
               python=OTHER_PYTHON if by_us else sys.executable)
    wanted = load(str(named)).recommend(HISTORIES, k=5)
    assert len(rows) == len(wanted)
    for one, row in zip(wanted, rows):
        assert [item for item in row["items"] if item] == one.items
        np.testing.assert_allclose(row["scores"][:len(one.items)], one.scores,
                                   rtol=0, atol=1e-5)
