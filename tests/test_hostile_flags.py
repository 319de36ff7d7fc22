"""Fuzzed flags of the commands beside run.py: whatever a flag is given, the
command does its work or ends with one line, and harms no file."""

import os
import re
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conftest
import gen_data_fin
import report
from conftest import defined_by, in_process
from data import choose_sizes, prepare_data
from reporting import plots
from written_runs import two_runs

HOSTILE = [
    "", " ", ".", "..", "a/b", "folder", "folder/x", "file.txt", "file.txt/x",
    "/dev/null", "/proc/x", "a" * 300, "a" * 5000, "*", "[", "x,y", ",", "\0",
    "a\nb", "a\tb", "\u202e\U0001f600", "\udcff", "-1", "0", "1", "1.5", "1e999",
    "nan", "inf", "-inf", "0x10", str(2 ** 63), "1" + "0" * 400, "$\\frac$",
    "%s", "<b>", "random:1", "random:" + "9" * 400, "--", "true"]
# An absolute path is where it points; the others stay in the folder.
TEXTS = st.sampled_from(HOSTILE) | st.text(max_size=9).filter(
    lambda text: not text.startswith("/"))
# More would start as many processes.
POOL_SIZES = TEXTS.filter(lambda text: text in ("0", "1") or not re.match(
    r"\s*[+]?(0x)?[0-9]{1,3}\s*\Z", text))

fuzzed = settings(max_examples=400, deadline=None, database=None,
                  derandomize=True,
                  suppress_health_check=list(HealthCheck))


def changes_of(module):
    """Lists of one or two flags with a hostile value each."""
    texts = {"pool_size": POOL_SIZES,   # a report of two runs needs two names
             "names": st.tuples(TEXTS, TEXTS).map(",".join) | TEXTS}
    return st.lists(st.sampled_from(sorted(defined_by(module))).flatmap(
        lambda name: st.tuples(st.just(name), texts.get(name, TEXTS))),
        min_size=1, max_size=2)


def content_of(folder):
    """dict, path below a folder -> its bytes, or None of a folder."""
    found = {}
    for parent, folders, files in os.walk(str(folder)):
        found.update((os.path.join(parent, name), None) for name in folders)
        for name in files:
            with open(os.path.join(parent, name), "rb") as stream:
                found[os.path.join(parent, name)] = stream.read()
    return found


def check(module, usual, folder, changes, arguments=()):
    """Runs a command with changed flags; looks at what became of the files."""
    before = content_of(folder)
    status, _, errors = in_process(module, *usual + [
        "--%s=%s" % change for change in changes] + list(arguments))
    after = content_of(folder)
    if status == 0:
        assert set(before) <= set(after)
    else:
        assert status == 1 and after == before
        assert errors.startswith("FATAL Flags") or re.search(
            "^%s: error: [^\n]+\n\\Z" % re.escape(
                os.path.basename(module.__file__)), errors, re.MULTILINE)
    assert not [name for name in after if ".tmp-" in name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, amid a folder that is watched."""
    here = tmp_path / "amid" / "here"
    (here / "folder").mkdir(parents=True)
    (here / "file.txt").write_text(u"kept")
    conftest.write_interactions(here / "tiny.txt")
    monkeypatch.chdir(here)
    return tmp_path


GENERATION = ["--dataset_name=tiny", "--data_dir=.", "--signature=-x",
              "--max_seq_length=11", "--max_predictions_per_seq=3",
              "--dupe_factor=1", "--pool_size=1"]


@fuzzed
@given(changes=changes_of(gen_data_fin))
def test_flags_of_gen_data_fin(folder, changes):
    if not os.path.exists("tiny-x.his"):
        assert in_process(gen_data_fin, *GENERATION)[0] == 0
    check(gen_data_fin, GENERATION, folder, changes)


PREPARATION = ["--data_dir=.", "--input=mine.csv", "--user_column=user",
               "--item_column=item", "--time_column=time",
               "--rating_column=rating"]


@fuzzed
@given(changes=changes_of(prepare_data))
def test_flags_of_prepare_data(folder, changes):
    if not os.path.exists("mine.csv"):
        with open("mine.csv", "w") as stream:
            stream.write("user,item,time,rating\nann,a,1,5\nann,b,2,4\n")
        assert in_process(prepare_data, *PREPARATION)[0] == 0
    check(prepare_data, PREPARATION, folder, changes)


@pytest.mark.parametrize("flag", [
    "--max_seq_length", "--max_predictions_per_seq", "--dupe_factor", "--dim",
    "--batch_size", "--eval_every_steps", "--num_train_steps"])
def test_a_size_beyond_use_is_refused(folder, flag):
    for value in ("9" * 20, "9" * 400):
        for module, usual, rest in ((gen_data_fin, GENERATION, []),
                                    (choose_sizes, [], ["tiny.txt"])):
            if flag.strip("-") in defined_by(module):
                status, _, errors = in_process(module, *usual + [
                    flag + "=" + value] + rest)
                assert status == 1 and flag in errors


def test_a_number_that_is_none_is_refused(folder):
    for module, arguments in (
            (choose_sizes, ["--masked_lm_prob=nan", "tiny.txt"]),
            (prepare_data, PREPARATION + ["--min_rating=nan"])):
        status, _, errors = in_process(module, *arguments)
        assert status == 1 and "=nan: it must be finite" in errors


@fuzzed
@given(changes=changes_of(choose_sizes))
def test_flags_of_choose_sizes(folder, changes):
    check(choose_sizes, [], folder, changes, ["tiny.txt"])


@settings(fuzzed, max_examples=60)
@given(changes=changes_of(report))
def test_flags_of_report(two_runs, folder, changes):
    """Without drawing, which takes seconds."""
    draw = {name: lambda *arguments, **options: b""
            for name in ("bars", "points", "curves", "dots")}
    with mock.patch.multiple(plots, **draw):
        check(report, ["--output=out", "--protocols=paper"], folder, changes,
              [name for name, _ in two_runs])
