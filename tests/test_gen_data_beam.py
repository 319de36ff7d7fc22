"""gen_data_beam.py writes what gen_data_fin.py writes."""

import glob
import logging
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("apache_beam")  # it has no release for Python 3.7

import gen_data_fin
import util
from conftest import ROOT, command, run_flags
from data import beam_pipeline, beam_steps, randomness
from masked_instances import options

level = logging.getLogger().level
import gen_data_beam  # noqa: E402
logging.getLogger().setLevel(level)

SHARED = ["--runner=DirectRunner", "--allow_unsafe_triggers"]


def write_interactions(path, pairs, marked=False):
    """Some empty lines, no line's end at the end."""
    path.write_bytes((b"\xef\xbb\xbf" if marked else b"") + b"\n".join(
        b"%d %d%s" % (user, item, b"\n" if item % 7 == 0 else b"")
        for user, item in pairs))


def contents(folder, name):
    """dict, ending -> bytes of a dataset's files; shards joined to one."""
    found = {}
    for path in sorted(glob.glob(str(folder / (name + ".*")))):
        ending = re.sub(r"-\d{5}-of-\d{5}\Z", "", path[len(str(folder / name)):])
        with open(path, "rb") as stream:
            found[ending] = found.get(ending, b"") + stream.read()
    return found


def by_both(folder, parts, held_out=False, num_shards=None, flags=SHARED,
            eval_users=None, **changed):
    """What gen_data_fin.py makes of lists of pairs as one file, and
    gen_data_beam.py as a file each."""
    write_interactions(folder / "all.txt",
                       [pair for pairs in parts for pair in pairs])
    for number, pairs in enumerate(parts):
        write_interactions(folder / ("part-%02d.txt" % number), pairs,
                           marked=number == 1)
    gen_data_fin.generate(str(folder / "all.txt"), str(folder / "fin"),
                          options(**changed), 1, held_out)
    gen_data_beam.generate(
        [str(folder / "part-*.txt")], str(folder / "beam"), options(**changed),
        flags, held_out, num_shards, eval_users)
    return contents(folder, "fin"), contents(folder, "beam")


def some_pairs(users, items, count, seed):
    """Interleaved interactions; users of any length."""
    rng = np.random.RandomState(seed)
    pairs = np.stack([rng.geometric(1 / users, count),
                      rng.zipf(1.5, count) % items + 1], axis=1)
    return [(user * 10 ** 12 + 1, item) for user, item in pairs.tolist()]


@settings(max_examples=6, deadline=None, database=None, derandomize=True,
          suppress_health_check=list(HealthCheck))
@given(users=st.integers(1, 40), items=st.integers(1, 30),
       sizes=st.lists(st.integers(1, 150), min_size=1, max_size=3),
       seed=st.integers(0, 10 ** 6), range_bytes=st.integers(1, 3000),
       held_out=st.booleans(), num_shards=st.sampled_from([None, 1, 2]),
       mask_prob=st.sampled_from([1.0, 0.6]), random_seed=st.integers(0, 99))
def test_every_file_has_the_same_bytes(
        tmp_path_factory, users, items, sizes, seed, range_bytes, held_out,
        num_shards, mask_prob, random_seed):
    parts = [some_pairs(users, items, size, seed + number)
             for number, size in enumerate(sizes)]
    parts[0] = [(1, 1), (1, items), (1, 1), (1, 1)] + parts[0]  # one can be asked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beam_steps, "RANGE_BYTES", range_bytes)
        fin, beam = by_both(
            tmp_path_factory.mktemp("x"), parts, held_out, num_shards,
            mask_prob=mask_prob, random_seed=random_seed)
    assert sorted(fin) == sorted(
        [".his", ".test.tfrecord", ".train.tfrecord", ".vocab"]
        + [".valid.tfrecord"] * held_out)
    assert fin == beam


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A dataset whose evaluation files have five users alone."""
    folder = tmp_path_factory.mktemp("sampled")
    fin, beam = by_both(
        folder, [some_pairs(30, 140, 600, 1) + [(3, item) for item in
                                                range(1, 141)]],
        eval_users=5, max_seq_length=11)
    return folder, fin, beam


def test_eval_users_are_a_sample_of_those_who_can_be_asked(sampled):
    folder, fin, beam = sampled
    assert beam[".train.tfrecord"] == fin[".train.tfrecord"]
    words = util.load_pickle(str(folder / "beam.vocab"), "FreqVocab")
    whole = util.load_pickle(str(folder / "fin.vocab"), "FreqVocab")
    history = util.load_pickle(str(folder / "beam.his"), "dict")
    every = util.load_pickle(str(folder / "fin.his"), "dict")
    assert len(history) == 5 and set(history) == words.user_set
    assert all(every[user] == history[user] and len(history[user][0]) >= 3
               for user in history)
    assert words.user_count == whole.user_count == len(every) > 5
    assert words.counter == whole.counter
    users = [int(user[len("user_"):]) for user, (items,) in every.items()
             if len(items) >= 3]
    assert {int(user[len("user_"):]) for user in history} == set(
        randomness.sample(users, 5, options().random_seed).tolist())
    asked = [gen_data_fin.tf.train.Example.FromString(record)
             for record in gen_data_fin.tf.python_io.tf_record_iterator(
                 str(folder / "beam.test.tfrecord"))]
    assert ["user_%d" % each.features.feature["info"].int64_list.value[0]
            for each in asked] == list(history)


def test_another_seed_chooses_other_users(sampled, tmp_path):
    source = str(sampled[0] / "part-00.txt")
    gen_data_beam.generate([source], str(tmp_path / "beam"),
                           options(max_seq_length=11, random_seed=12), SHARED,
                           eval_users=5)
    assert (set(util.load_pickle(str(tmp_path / "beam.his"), "dict"))
            != set(util.load_pickle(str(sampled[0] / "beam.his"), "dict")))


def test_run_trains_on_all_users_and_evaluates_the_sample(
        sampled, dataset, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset._replace(prefix=str(sampled[0] / "beam")), tmp_path,
        do_train=True, do_eval=True, num_train_steps=2))
    assert status == 0, errors
    assert "valid_user:5.0" in output


# --- the command --------------------------------------------------------------

def run(folder, *flags, **options_of_process):
    return command("gen_data_beam.py", "--dataset_name=x", "--signature=-x",
                   "--data_dir=%s/" % folder, *flags, **options_of_process)


def test_two_processes_of_another_folder_write_the_same_bytes(tmp_path, capsys):
    write_interactions(tmp_path / "x.txt", some_pairs(30, 40, 600, 5))
    (tmp_path / "work").mkdir()
    status, output, errors = run(
        tmp_path, "--max_seq_length=9", "--num_shards=3",
        "--direct_num_workers=2", "--direct_running_mode=multi_processing",
        cwd=str(tmp_path / "work"))
    assert (status, output) == (0, ""), errors
    gen_data_fin.generate(
        str(tmp_path / "x.txt"), str(tmp_path / "fin"),
        options(max_seq_length=9, max_predictions_per_seq=40, mask_prob=1.0,
                dupe_factor=10, masked_lm_prob=0.2, random_seed=12345), 1)
    assert contents(tmp_path, "x-x") == contents(tmp_path, "fin")
    assert len(glob.glob(str(tmp_path / "x-x.train.tfrecord-*-of-00003"))) == 3
    counted = re.search(r"\d+ windows .* test instances", capsys.readouterr().err)
    assert counted.group() in errors and "39 items, 600 interactions" in errors
    assert not glob.glob(str(tmp_path / "*.tmp-*"))


def generate(folder, **changed):
    gen_data_beam.generate([str(folder / "x.txt")], str(folder / "out"),
                           options(), SHARED, **changed)


@pytest.mark.parametrize("text, shards, part", [
    (b"1 2\n1 3\n1 2 3\n", None, "x.txt: byte 8: '1 2 3' is not an interaction"),
    (b"1 2\n1 3\n", None, "none of its 1 users has the 3 interactions"),
    (b"\n", None, "no interactions in the files"),
    (b"1 2\n1 3\n1 2\n", 90, "of them would be empty"),
    (b"1 2\n", 0, "--num_shards=0: give a number")],
    ids=["line", "short", "empty", "shards", "no-shard"])
def test_bad_input_leaves_nothing(tmp_path, text, shards, part):
    (tmp_path / "x.txt").write_bytes(text)
    with pytest.raises(ValueError) as error:
        generate(tmp_path, num_shards=shards)
    assert part in str(error.value) and "\n" not in str(error.value)
    assert os.listdir(str(tmp_path)) == ["x.txt"]


def test_bad_input_ends_the_command_with_one_line(tmp_path):
    (tmp_path / "x[1].txt").write_bytes(b"1 2\n1 x\n")  # a name, not a glob
    status, output, errors = run(tmp_path, "--dataset_name=x[1]")
    assert (status, output) == (1, "")
    assert errors.splitlines()[-1] == (
        "gen_data_beam.py: error: %s/x[1].txt: byte 4: 'x' is not an id; users "
        "and items are integers from 1 to 9223372036854775807" % tmp_path)
    assert len(errors.splitlines()) == 2
    assert os.listdir(str(tmp_path)) == ["x[1].txt"]


@pytest.mark.parametrize("flag, part", [
    ("--dupe_facter=3", "--dupe_facter=3 is no flag of this command; is it "
     "--dupe_factor?"),
    ("--dupe_factor=three", "flag --dupe_factor=three: "),
    ("stray", "'stray' is not a flag"),
    ("-x", "'-x' is not a flag"),
    ("--runer=DirectRunner", "is it --runner?"),
    ("--shard_index=1", "--shard_index=1 is gen_data_fin.py's"),
    ("--pool_size=2", "--pool_size=2 is gen_data_fin.py's"),
    ("--direct_num_workers=abc", "argument --direct_num_workers: invalid int"),
    ("--direct_running_mode=foo", "argument --direct_running_mode: "),
    ("--runner=Nobody", "Nobody")])
def test_a_flag_that_is_wrong_is_one_line(tmp_path, flag, part):
    (tmp_path / "x.txt").write_bytes(b"1 2\n")
    status, output, errors = run(tmp_path, flag)
    assert (status, output) == (1, "")
    assert errors.count("\n") == 1 and part in errors
    assert errors.startswith("gen_data_beam.py: error: ")


def test_a_file_that_is_matched_twice_is_an_error(tmp_path):
    write_interactions(tmp_path / "x.txt", some_pairs(3, 4, 60, 5))
    status, _, errors = run(tmp_path, "--input=%s/x.txt,%s/*.txt"
                            % (tmp_path, tmp_path))
    assert status == 1
    assert "--input: %s/x.txt is matched twice; name each file once" % (
        tmp_path) in errors
    assert os.listdir(str(tmp_path)) == ["x.txt"]


def test_one_file_by_two_names_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_bytes(b"1 2\n")
    (tmp_path / "link.txt").symlink_to(tmp_path / "x.txt")
    monkeypatch.chdir(tmp_path)
    for again in ("./x.txt", "link.txt", "*x.txt", str(tmp_path / "x.txt")):
        with pytest.raises(ValueError, match=r"\.txt is matched twice"):
            beam_steps.find_files(["x.txt", again])


@pytest.mark.parametrize("text", ["1 2", ""])
def test_utf_16_is_said_before_the_work(tmp_path, text):
    (tmp_path / "x.txt").write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match="x.txt: it is UTF-16 text; save it"):
        generate(tmp_path)
    assert os.listdir(str(tmp_path)) == ["x.txt"]


@pytest.mark.parametrize("pattern", [
    "part-*.txt", "./part-*.txt", "par?-[01].txt", "{folder}/part-*.txt"])
def test_a_glob_may_begin_in_the_current_folder(tmp_path, monkeypatch, pattern):
    for name in ("part-1.txt", "part-0.txt", "apart-1.txt"):
        (tmp_path / name).write_bytes(b"1 2\n" * len(name))
    monkeypatch.chdir(tmp_path)
    found = beam_steps.find_files([pattern.format(folder=tmp_path)])
    assert [(os.path.basename(path), size) for path, size in found] == [
        ("part-0.txt", 40), ("part-1.txt", 40)]


def test_a_folder_that_looks_like_a_glob_may_be_relative(tmp_path, monkeypatch):
    (tmp_path / "x[1]").mkdir()
    (tmp_path / "x[1]" / "a.txt").write_bytes(b"1 2\n")
    monkeypatch.chdir(tmp_path)
    (path, size), = beam_steps.find_files([glob.escape("x[1]/a.txt")])
    assert os.path.samefile(path, "x[1]/a.txt") and size == 4


def test_a_folder_in_the_place_of_a_file_is_said_before_the_work(tmp_path):
    write_interactions(tmp_path / "x.txt", some_pairs(3, 4, 60, 5))
    (tmp_path / "out.vocab").mkdir()
    with pytest.raises(ValueError, match="out.vocab: a folder is in the place"):
        generate(tmp_path)
    assert sorted(os.listdir(str(tmp_path))) == ["out.vocab", "x.txt"]


@pytest.mark.parametrize("number, status", [
    (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_is_one_line_and_leaves_nothing(tmp_path, number, status):
    write_interactions(tmp_path / "x.txt", some_pairs(200, 400, 6000, 5))
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "gen_data_beam.py"),
         "--data_dir=%s/" % tmp_path, "--dataset_name=x", "--signature=-s",
         "--dupe_factor=500"], stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while not list(tmp_path.glob("x-s.tmp-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(1.0)  # the pipeline runs
    process.send_signal(number)
    errors = process.communicate()[1].decode()
    assert process.returncode == status, errors
    assert errors.splitlines()[-1].startswith("gen_data_beam.py: stopped by ")
    assert "Traceback" not in errors
    assert os.listdir(str(tmp_path)) == ["x.txt"]


def test_a_validation_file_of_before_is_in_the_way(tmp_path):
    write_interactions(tmp_path / "x.txt", some_pairs(3, 4, 60, 5))
    (tmp_path / "out.valid.tfrecord").write_bytes(b"x")
    with pytest.raises(ValueError, match="valid.tfrecord is there"):
        generate(tmp_path)
    generate(tmp_path, holdout_validation=True)
    assert (tmp_path / "out.valid.tfrecord").read_bytes() != b"x"


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    write_interactions(tmp_path / "x.txt", some_pairs(3, 4, 60, 5))

    def full(entries, skip, stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(beam_pipeline, "write_records", full)
    with pytest.raises(ValueError, match="out.t.*.tfrecord: .*No space left"):
        generate(tmp_path)
    assert os.listdir(str(tmp_path)) == ["x.txt"]
