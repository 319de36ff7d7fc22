"""The benchmarks' data, processes and tables; not their times."""

import ast
import collections
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import bench
from benchmarks import kill, serve
from benchmarks import synthetic
from benchmarks import workers
from conftest import command, ROOT
from data.sequences import read_sequences


def test_synthetic_interactions_have_the_sizes_asked_for(tmp_path):
    path = str(tmp_path / "toy.txt")
    synthetic.write_interactions(path, 31, 17, 700, 5)
    sequences = read_sequences(path)
    lengths = np.array([len(items) for items in sequences.values()])
    items = np.concatenate(list(sequences.values()))
    assert list(sequences) == list(range(1, 32))
    assert lengths.sum() == 700 and lengths.min() >= 5
    assert lengths.max() > 3 * np.median(lengths)              # skewed
    assert set(items.tolist()) == set(range(1, 18))
    assert (items <= 5).sum() > (items > 12).sum()             # popular first


def test_synthetic_interactions_follow_their_seed(tmp_path):
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write_interactions(str(tmp_path / name), 9, 8, 99, 3, seed)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_a_process_is_run_with_its_time_and_memory():
    # From a small process: a new one counts the memory of the one it left.
    code = ("from benchmarks import bench; print(bench.run_process(['-c', "
            "'import time; x = bytearray(300 << 20); time.sleep(.2); '"
            "'print(5)']))")
    out, wall, cpu, megabytes = ast.literal_eval(subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT).decode())
    assert out == "5\n"
    assert wall >= 0.2 and cpu > 0.0
    assert 300 < megabytes < 1000


def test_a_failing_process_is_an_error_with_what_it_said():
    with pytest.raises(ValueError, match="no such luck"):
        bench.run_process(["-c", "raise SystemExit('no such luck')"])


@pytest.mark.parametrize("flag, part", [
    ("--data_dir=.", "--data_dir: no file ./ml-1m.txt"),
    ("--output=none/x.json", "--output: no folder none")])
def test_missing_places_are_said_before_anything_is_measured(
        tmp_path, flag, part):
    process = subprocess.Popen(
        [sys.executable, bench.__file__, flag], cwd=str(tmp_path),
        stderr=subprocess.PIPE)
    errors = process.communicate()[1].decode()
    assert process.returncode == 1 and part in errors
    assert len(errors.splitlines()) == 1


def fake_figure(name, seconds):
    """A Figure that measures these seconds, one after the other."""
    left = list(seconds)
    return bench.Figure(name, lambda: (left.pop(0), 100.0, {"bytes": 5}))


def test_figures_are_repeated_in_turn_and_divided_pair_by_pair(tmp_path):
    made = bench.Bench(str(tmp_path), "", repeats=3)
    made.measure([fake_figure("slow", [6.0, 9.0, 20.0]),
                  fake_figure("fast", [3.0, 3.0, 4.0])])
    made.ratio("slow / fast", "slow", "fast")
    assert made.figures["slow"].median() == 9.0
    assert made.ratios == {"slow / fast": 3.0}    # of 2, 3 and 5
    text = bench.table(made, collections.OrderedDict(
        date="2026-01-02", data="synthetic", repeats=3))
    assert "| slow | 9 s | 6 to 20 | 100 MB |" in text
    assert "| slow / fast | 3.00 |" in text
    assert made.figures["fast"].record()["seconds"] == [3.0, 3.0, 4.0]


def test_requests_to_a_saved_model_are_filled_up_to_their_longest():
    made = serve.batches([["a"], ["b", "c"], []], 2)
    assert [next(made).tolist() for _ in range(3)] == [
        [["a", ""], ["b", "c"]], [[""], ["a"]], [["b", "c"], ["", ""]]]


PLAIN = ["--graph=plain", "--bert_config_file=" + os.path.join(
    ROOT, "bert_train", "bert_config_ml-1m_64.json")] + [
        "--%s=9" % name for name in (
            "checkpointDir", "train_input_file", "test_input_file",
            "vocab_filename", "user_history_filename", "max_seq_length",
            "max_predictions_per_seq")]


@pytest.mark.parametrize("script, given, fault", [
    ("measure.py", ["--checkpointDir=none"],
     "say what to measure: evaluation or training"),
    ("measure.py", ["--checkpointDir=none", "training"],
     "--train_input_file is needed"),
    ("measure.py", PLAIN + ["training", "--attention_form=cross_gram"],
     "--graph=plain has neither cross_gram nor --num_sampled"),
    ("measure.py", PLAIN + ["training", "--num_sampled=9"],
     "--graph=plain has neither cross_gram nor --num_sampled"),
    ("measure.py", PLAIN + ["evaluation"], "--graph=plain is of a training"),
    ("serve.py", ["--saved_model=none", "--input_file=%s"],
     "%s holds no sequences"),
    ("serve.py", ["--saved_model=none", "--input_file=%s.1",
                  "--batch_sizes=4,0"],
     "--batch_sizes=4,0: give whole numbers from 1")])
def test_what_cannot_be_measured_is_one_line(tmp_path, script, given, fault):
    path = tmp_path / "asked"
    path.write_text("")
    (tmp_path / "asked.1").write_text("a\t1 2\n")
    status, output, errors = command("benchmarks/" + script, *[
        one.replace("%s", str(path)) for one in given])
    assert (status, output) == (1, "")
    line, = errors.splitlines()
    assert line.startswith(script + ": error: ")
    assert fault.replace("%s", str(path)) in line


def test_latencies_of_requests_in_a_row_of_the_table():
    seconds = [0.002] * 50 + [0.004] * 50     # 0.3 s for 100 requests
    assert serve.table_row(64, seconds) == (
        "| 64 | 333.3 | 2.133e+04 | 3 ms | 4 ms |")


def test_a_step_is_told_by_the_progress_between_first_and_last_line():
    log = ("23:59:40 TensorFlow 2.15.1 on the CPU\n"
           "23:59:50 4/60 steps, 0.4 steps/s, 02:20 left, loss 8.1\n"
           "00:00:00 20/60 steps, 1 steps/s, 00:40 left, loss 8.0\n"
           "00:00:18 60/60 steps, 1.5 steps/s, 00:00 left, loss 7.9\n")
    assert workers.seconds_per_step(log) == 28 / 56.0
    with pytest.raises(ValueError, match="no two lines"):
        workers.seconds_per_step(log.splitlines()[1])


def test_processes_that_train_together_are_told_of_each_other():
    assert "TF_CONFIG" not in workers.environments(1)[0]
    configs = [json.loads(environment["TF_CONFIG"])
               for environment in workers.environments(3)]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(3)]
    assert configs[0]["cluster"] == configs[2]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 3


def test_kills_at_random_moments_leave_nothing_partial_and_lose_nothing(
        tmp_path):
    """One of each; kill.py does it many times."""
    assert [what for what, _ in kill.kill_in_turn(str(tmp_path), 4, seed=5)] \
        == ["generation", "training", "evaluation", "export"]


def test_a_partial_file_is_a_failure(tmp_path, monkeypatch):
    class Random(object):
        def uniform(self, low, high):
            return high

    place = kill.Place(str(tmp_path))
    wanted = {name: None for name in kill.Place.NAMES}

    def write_half(arguments, seconds):
        (tmp_path / "x-s.vocab").write_bytes(b"half")
        return True

    monkeypatch.setattr(kill, "kill_after", write_half)
    with pytest.raises(kill.Failure, match="x-s.vocab is partial"):
        kill.kill_generation(place, Random(), wanted, 1.0)
