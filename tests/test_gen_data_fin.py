"""The files that gen_data_fin.py writes, and the command."""

import collections
import hashlib
import os
import pickle
import pickletools
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import settings

import gen_data_fin
import input_pipeline
import util
from conftest import in_process
from data import generation, instances
from masked_instances import (
    Instance, decode, options, training_instances, unmask)

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENDINGS = (".train.tfrecord", ".test.tfrecord", ".vocab", ".his")

plain_settings = settings(max_examples=100, deadline=None, database=None,
                          derandomize=True)


# --- the four files ---------------------------------------------------------

# Lengths of the sequences, by user in the order of first lines. With L = 7
# there are users without test item (1 and 2 interactions), users whose
# training sequence is one window, and users who need several.
LENGTHS = collections.OrderedDict([
    (14, 3), (3, 1), (2 ** 40, 9), (77, 2), (5, 8), (6, 20), (21, 4), (1, 5),
    (13, 6), (40, 7), (2, 3), (90, 14), (9, 1), (8, 12), (33, 5), (31, 2),
    (10, 31), (4, 10), (25, 4), (60, 3)])
CATALOGUE = 30


def toy_sequences():
    """OrderedDict, user -> list of raw items, all windows of a user distinct."""
    rng = np.random.RandomState(2)
    return collections.OrderedDict(
        (user, (1000 + rng.randint(1, CATALOGUE + 1, n)).tolist())
        for user, n in LENGTHS.items())


def write_toy(path):
    """Writes the toy sequences interleaved: a round a line of every user."""
    sequences = toy_sequences()
    with open(str(path), "w") as stream:
        for position in range(max(LENGTHS.values())):
            for user, items in sequences.items():
                if position < len(items):
                    stream.write("%d %d\n" % (user, items[position]))


def generate(folder, pool_size=1, **changed):
    """Generates toy files in a folder; returns ending -> bytes."""
    write_toy(os.path.join(str(folder), "toy.txt"))
    target = os.path.join(str(folder), "toy-x")
    gen_data_fin.generate(os.path.join(str(folder), "toy.txt"), target,
                          options(**changed), pool_size)
    return read_outputs(target)


def read_outputs(target):
    contents = collections.OrderedDict()
    for ending in ENDINGS:
        with open(target + ending, "rb") as stream:
            contents[ending] = stream.read()
    return contents


def records(path):
    return list(tf.python_io.tf_record_iterator(path))


Toy = collections.namedtuple("Toy", "folder words ids train test contents")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The toy data generated once: sequences as ids and decoded instances."""
    folder = str(tmp_path_factory.mktemp("toy"))
    contents = generate(folder)
    words = pickle.loads(contents[".vocab"])
    ids = collections.OrderedDict(
        (user, words.convert_tokens_to_ids(["item_%d" % item for item in items]))
        for user, items in toy_sequences().items())
    train, test = (
        [decode(record, 7, 3) for record in
         records(os.path.join(folder, "toy-x" + ending))]
        for ending in ENDINGS[:2])
    return Toy(folder, words, ids, train, test, contents)


def expected_windows(ids, left_out=1):
    """Counter of (user, window): the plain rule, written down once more."""
    windows = collections.Counter()
    for user, sequence in ids.items():
        train = sequence[:-left_out] if len(sequence) >= 3 else sequence
        ends, end = [], len(train)
        while end > 7:
            ends.append(end)
            end -= 3                            # int(0.5 * 7)
        ends.append(min(7, len(train)))
        for end in ends:
            windows[user, tuple(train[max(0, end - 7):end])] += 1
    return windows


def test_each_window_has_dupe_factor_maskings_and_a_last_item_instance(toy):
    windows = expected_windows(toy.ids)
    assert sum(windows.values()) > len(LENGTHS)
    expected = collections.Counter(
        {key: count * (3 + (len(key[1]) >= 2))
         for key, count in windows.items()})
    assert collections.Counter(
        (instance.user, tuple(unmask(instance)))
        for instance in toy.train) == expected


def test_the_number_of_training_instances(toy):
    windows = expected_windows(toy.ids)
    total = sum(windows.values())
    longer = sum(count for (_, window), count in windows.items()
                 if len(window) >= 2)
    assert total - longer == 2                  # the users of one interaction
    assert len(toy.train) == 3 * total + longer


def test_masked_positions_are_ascending_and_as_many_as_the_formula_says(toy):
    mask_id = toy.words.token_to_ids["[MASK]"]
    last_only = collections.Counter()
    for instance in toy.train:
        n, k = len(instance.input_ids), len(instance.positions)
        assert instance.positions == sorted(set(instance.positions))
        assert instance.positions[-1] < n
        assert all(1 <= label <= toy.words.item_count
                   for label in instance.labels)
        for position, got in enumerate(instance.input_ids):
            assert 1 <= got <= toy.words.item_count or (
                got == mask_id and position in instance.positions)
        formula = min(3, max(1, round(n * 0.3)))
        if k != formula:
            assert instance.positions == [n - 1]
            assert instance.input_ids[-1] == mask_id
        if formula > 1 and k == 1:
            last_only[instance.user, tuple(unmask(instance))] += 1
    assert last_only == collections.Counter(
        {key: count for key, count in expected_windows(toy.ids).items()
         if round(len(key[1]) * 0.3) > 1})


def test_a_test_item_is_in_no_training_instance(tmp_path):
    """With test items that occur nowhere else they must be absent."""
    with open(str(tmp_path / "toy.txt"), "w") as stream:
        for user in range(1, 8):
            for item in [1, 2, 3, 4, 5, 6, 7, 8, 9][:user + 2] + [100 + user]:
                stream.write("%d %d\n" % (user, item))
    target = str(tmp_path / "toy")
    gen_data_fin.generate(str(tmp_path / "toy.txt"), target,
                          options(mask_prob=1.0), 1)
    words = util.load_pickle(target + ".vocab", "FreqVocab")
    held_out = set(words.convert_tokens_to_ids(
        ["item_%d" % (100 + user) for user in range(1, 8)]))
    trained = set()
    for record in records(target + ".train.tfrecord"):
        trained.update(unmask(decode(record, 7, 3)))
    assert trained == set(range(1, words.item_count + 1)) - held_out


def test_training_instances_are_shuffled_globally(toy):
    users = [instance.user for instance in toy.train]
    neighbours = sum(a == b for a, b in zip(users, users[1:]))
    assert neighbours < len(users) / 4          # grouped: all but 19
    quarter = len(users) // 4
    assert len(set(users[:quarter])) > len(LENGTHS) / 2
    single = [len(instance.positions) == 1 and len(instance.input_ids) == 7
              for instance in toy.train]        # last-item instances
    half = len(single) // 2
    assert sum(single[:half]) > 0 and sum(single[half:]) > 0


def test_a_test_instance_masks_the_last_item_of_each_user_with_three(toy):
    mask_id = toy.words.token_to_ids["[MASK]"]
    testable = [(user, ids) for user, ids in toy.ids.items() if len(ids) >= 3]
    assert 0 < len(testable) < len(LENGTHS)
    assert toy.test == [
        Instance(user, ids[-7:-1] + [mask_id], [min(7, len(ids)) - 1],
                 [ids[-1]]) for user, ids in testable]


def test_the_history_holds_whole_sequences_in_the_order_of_users(toy):
    history = pickle.loads(toy.contents[".his"])
    assert list(history.items()) == [
        ("user_%d" % user, [ids]) for user, ids in toy.ids.items()]


def test_the_vocabulary_counts_whole_sequences_user_by_user(toy):
    stream = ["item_%d" % item for items in toy_sequences().values()
              for item in items]
    assert toy.words.counter == collections.Counter(stream)
    assert toy.words.get_items() == list(collections.OrderedDict.fromkeys(
        stream))
    assert toy.words.user_set == {"user_%d" % user for user in LENGTHS}
    assert toy.words.item_count == len(set(stream))


def test_vocabulary_and_history_are_pickles_of_protocol_2(toy):
    for ending in (".vocab", ".his"):
        assert max(opcode.proto for opcode, _, _ in
                   pickletools.genops(toy.contents[ending])) == 2


def test_the_outputs_can_be_read_back_through_the_guard(toy):
    target = os.path.join(toy.folder, "toy-x")
    words = util.load_pickle(target + ".vocab", "FreqVocab")
    assert words.get_vocab_size() == toy.words.item_count + 4
    assert len(util.load_pickle(target + ".his", "dict")) == len(LENGTHS)


def test_nothing_but_the_four_files_is_written(toy):
    assert sorted(os.listdir(toy.folder)) == sorted(
        ["toy.txt"] + ["toy-x" + ending for ending in ENDINGS])


def test_the_log_counts_windows_and_instances(tmp_path, capsys):
    generate(tmp_path)
    err = capsys.readouterr().err
    assert "20 users" in err
    assert "%d interactions" % sum(LENGTHS.values()) in err
    assert "windows (2 of one item)" in err
    assert "16 test instances, 4 users too short" in err
    assert re.search(r"(\d+) training instances.*\n.*\b\1/\1 instances", err)


# --- held-out validation ----------------------------------------------------

@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """The toy data generated with --holdout_validation: ending -> instances,
    and ending -> bytes."""
    folder = str(tmp_path_factory.mktemp("held_out"))
    write_toy(os.path.join(folder, "toy.txt"))
    target = os.path.join(folder, "toy-x")
    gen_data_fin.generate(os.path.join(folder, "toy.txt"), target, options(),
                          2, holdout_validation=True)
    assert sorted(os.listdir(folder)) == sorted(
        ["toy.txt"] + ["toy-x" + ending
                       for ending in ENDINGS + (".valid.tfrecord",)])
    contents = read_outputs(target)
    with open(target + ".valid.tfrecord", "rb") as stream:
        contents[".valid.tfrecord"] = stream.read()
    return contents, {
        ending: [decode(record, 7, 3) for record in records(target + ending)]
        for ending in (".train.tfrecord", ".valid.tfrecord")}


def test_a_validation_instance_asks_for_the_second_to_last_item(toy, held_out):
    mask_id = toy.words.token_to_ids["[MASK]"]
    assert held_out[1][".valid.tfrecord"] == [
        Instance(user, ids[:-1][-7:-1] + [mask_id], [min(7, len(ids) - 1) - 1],
                 [ids[-2]]) for user, ids in toy.ids.items() if len(ids) >= 3]


def test_held_out_items_are_in_no_training_window(toy, held_out):
    windows = expected_windows(toy.ids, left_out=2)
    assert windows != expected_windows(toy.ids)
    assert collections.Counter(
        (instance.user, tuple(unmask(instance)))
        for instance in held_out[1][".train.tfrecord"]
    ) == collections.Counter(
        {key: count * (3 + (len(key[1]) >= 2))
         for key, count in windows.items()})


def test_holding_out_leaves_test_vocabulary_and_history_as_they_are(
        toy, held_out):
    assert {ending for ending in ENDINGS
            if held_out[0][ending] != toy.contents[ending]} == {
        ".train.tfrecord"}


def test_every_runtime_holds_out_the_same_bytes(held_out):
    assert [hashlib.sha256(held_out[0][ending]).hexdigest()[:16]
            for ending in (".train.tfrecord", ".valid.tfrecord")] == [
        "ea58c6e356a0d721", "af02f7c6b6953517"]


def test_a_validation_file_that_training_would_leak_is_not_left_there(
        tmp_path):
    leaking = tmp_path / "toy-x.valid.tfrecord"
    leaking.write_bytes(b"of an earlier run")
    with pytest.raises(ValueError, match="toy-x.valid.tfrecord .*--signature"):
        generate(tmp_path)
    assert sorted(os.listdir(str(tmp_path))) == ["toy-x.valid.tfrecord",
                                                 "toy.txt"]
    assert leaking.read_bytes() == b"of an earlier run"


def test_histories_share_their_numbers():
    """An int object for each interaction would be most of the memory."""
    sequences = {4: list(range(1, 300)), 5: [299, 298, 299]}
    history = generation.build_history(299, {
        user: np.array(ids, np.int32) for user, ids in sequences.items()})
    assert history == {"user_%d" % user: [ids]
                       for user, ids in sequences.items()}
    (long,), (short,) = history["user_4"], history["user_5"]
    assert short[0] is short[2] is long[-1] and type(short[0]) is int


# --- the same bytes ---------------------------------------------------------

def test_the_number_of_processes_does_not_change_a_byte(
        tmp_path, monkeypatch):
    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", 7)
    contents = generate(tmp_path, 1)
    assert generate(tmp_path, 2) == contents
    assert generate(tmp_path, 5) == contents


def test_another_seed_gives_other_instances_of_the_same_data(toy, tmp_path):
    contents = generate(tmp_path, random_seed=12)
    changed = {ending for ending in ENDINGS
               if contents[ending] != toy.contents[ending]}
    assert changed == {".train.tfrecord"}
    instances = [decode(record, 7, 3) for record in
                 records(str(tmp_path / "toy-x.train.tfrecord"))]
    assert collections.Counter(
        (instance.user, tuple(unmask(instance))) for instance in instances
    ) == collections.Counter(
        (instance.user, tuple(unmask(instance))) for instance in toy.train)
    assert sorted(instances) != sorted(toy.train)  # masks differ, not only order


def test_every_runtime_writes_the_same_bytes(toy):
    """The sums belong to the toy data, `options()` and the masking's draws."""
    assert [hashlib.sha256(content).hexdigest()[:16]
            for content in toy.contents.values()] == [
        "ff5271606f21651d", "401e7881c62316fb", "230f25a033f1b219",
        "fa871cfc92e35435"]


# --- shards -----------------------------------------------------------------

def generate_shards(folder, num_shards, indices=(None,), pool_size=1, **more):
    """Runs generate() once an index, on toy data; the names in the folder."""
    write_toy(os.path.join(str(folder), "toy.txt"))
    for index in indices:
        gen_data_fin.generate(
            os.path.join(str(folder), "toy.txt"),
            os.path.join(str(folder), "toy-x"), options(), pool_size,
            num_shards=num_shards, shard_index=index, **more)
    return sorted(name[len("toy-x"):] for name in os.listdir(str(folder))
                  if name.startswith("toy-x"))


def shard_contents(folder, num_shards):
    """The bytes of each shard, 0 first."""
    return [(folder / ("toy-x.train.tfrecord-%05d-of-%05d"
                       % (index, num_shards))).read_bytes()
            for index in range(num_shards)]


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 7 instances, so that the toy data have several dozen."""
    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", 7)


FOUR = [".train.tfrecord-%05d-of-00004" % index for index in range(4)]


def test_shards_one_after_the_other_are_the_uncut_file(tmp_path, small_chunks):
    whole = generate(tmp_path)[".train.tfrecord"]
    for num_shards in (1, 2, 4, 13):
        generate_shards(tmp_path, num_shards)
        contents = shard_contents(tmp_path, num_shards)
        assert b"".join(contents) == whole
        assert all(contents)


def test_the_documented_glob_gives_the_shards_in_their_order(
        tmp_path, small_chunks):
    generate(tmp_path)
    generate_shards(tmp_path, 4)
    generate_shards(tmp_path, 3)
    target = str(tmp_path / "toy-x")
    assert input_pipeline.expand_files(target + ".train.tfrecord-*-of-00004",
                             "train_input_file") == [
        target + name for name in FOUR]


def test_1_and_4_shards_hold_the_same_multiset_of_instances(
        tmp_path, small_chunks):
    generate_shards(tmp_path, 1)
    generate_shards(tmp_path, 4, (2, 0, 3, 1))
    one = records(str(tmp_path / "toy-x.train.tfrecord-00000-of-00001"))
    four = [record for name in FOUR
            for record in records(str(tmp_path / ("toy-x" + name)))]
    assert collections.Counter(four) == collections.Counter(one)
    assert len(one) == len(training_instances(
        (user, items[:-1] if len(items) >= 3 else items)
        for user, items in toy_sequences().items()))


@pytest.mark.parametrize("indices, pool_size", [
    ((None,), 3), ((3, 1, 0, 2), 1), ((1, 2, 3, 0), 2)])
def test_a_shard_has_the_same_bytes_in_whatever_run_it_is_made(
        tmp_path, small_chunks, indices, pool_size):
    (tmp_path / "other").mkdir()
    whole = generate(tmp_path / "other")
    assert generate_shards(tmp_path, 4, indices, pool_size) == sorted(
        list(ENDINGS[1:]) + FOUR)
    assert b"".join(shard_contents(tmp_path, 4)) == whole[".train.tfrecord"]
    for ending in ENDINGS[1:]:
        assert (tmp_path / ("toy-x" + ending)).read_bytes() == whole[ending]


def test_shards_differ_by_a_chunk_at_most():
    made = training_instances([(1, [1, 9])])
    for chunks in (5, 6, 7, 64):
        made.chunks = chunks
        for num_shards in range(1, 6):
            parts = [made.shard(index, num_shards)
                     for index in range(num_shards)]
            assert [chunk for part in parts for chunk in part] == list(
                range(made.chunks))
            sizes = [len(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1


def test_shard_0_comes_with_the_other_files_and_the_rest_alone(
        tmp_path, small_chunks, capsys):
    assert generate_shards(tmp_path, 4, [2]) == [FOUR[2]]
    assert "toy-x{%s} in" % FOUR[2] in capsys.readouterr().err
    with_others = [".his", ".test.tfrecord", FOUR[0], FOUR[2], ".vocab"]
    assert generate_shards(tmp_path, 4, [0]) == with_others
    assert "toy-x{%s,.test.tfrecord,.vocab,.his} in" % FOUR[0] in (
        capsys.readouterr().err)


def test_shard_0_comes_with_the_validation_file(tmp_path, small_chunks):
    held_out = {"holdout_validation": True}
    assert generate_shards(tmp_path, 4, [3], **held_out) == [FOUR[3]]
    assert ".valid.tfrecord" in generate_shards(tmp_path, 4, [0], **held_out)


def test_training_files_of_another_cut_are_named_in_the_log(
        tmp_path, small_chunks, capsys):
    for stale in ("", "-00000-of-00003", "-00001-of-00004",
                  "-00001-of-00004.tmp-17"):
        (tmp_path / ("toy-x.train.tfrecord" + stale)).write_bytes(b"stale")
    generate_shards(tmp_path, 4)
    line, = [line for line in capsys.readouterr().err.splitlines()
             if "left as they are" in line]
    start = "%s/toy-x.train.tfrecord" % tmp_path
    assert ": %s, %s-00000-of-00003; " % (start, start) in line
    generate_shards(tmp_path, None)
    assert "-00000-of-00003, " in capsys.readouterr().err
    os.remove(start + "-00000-of-00003")
    os.remove(start)
    generate_shards(tmp_path, 4)
    assert "left as they are" not in capsys.readouterr().err


@pytest.mark.parametrize("num_shards, index, parts", [
    (None, 0, ("--shard_index=0 ", "--num_shards")),
    (4, 4, ("--shard_index=4", "--num_shards=4", "0 to 3")),
    (4, -1, ("--shard_index=-1", "0 to 3")),
    (0, None, ("--num_shards=0", "1 to 99999")),
    (100000, 2, ("--num_shards=100000", "1 to 99999"))])
def test_shards_that_cannot_be_are_refused_before_anything_is_read(
        tmp_path, num_shards, index, parts):
    with pytest.raises(ValueError) as error:
        gen_data_fin.generate(
            str(tmp_path / "absent.txt"), str(tmp_path / "x"), options(), 1,
            num_shards=num_shards, shard_index=index)
    for part in parts:
        assert part in str(error.value)


def test_more_shards_than_chunks_are_refused(tmp_path, small_chunks):
    with pytest.raises(ValueError) as error:
        generate_shards(tmp_path, 1000, [0])
    most = int(re.search("give at most ([0-9]+)$", str(error.value)).group(1))
    assert "--num_shards=1000" in str(error.value)
    assert os.listdir(str(tmp_path)) == ["toy.txt"]
    generate_shards(tmp_path, most, [0])
    with pytest.raises(ValueError, match="at most %d$" % most):
        generate_shards(tmp_path, most + 1, [0])


def test_an_error_in_a_later_shard_leaves_no_file(
        tmp_path, monkeypatch, time_limit):
    fail_late(monkeypatch, raise_error)
    with pytest.raises(ValueError, match="no place for chunk 2"):
        generate_shards(tmp_path, 13)
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


# --- failures ---------------------------------------------------------------

@pytest.fixture
def time_limit():
    """A run that hangs fails instead."""
    def stop(number, frame):
        raise AssertionError("the run hangs")
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60, 5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def fail_late(monkeypatch, failure):
    """Makes one of the later chunks fail, in a worker or here."""
    serialize = instances.TrainingInstances.serialize

    def failing(self, chunk):
        if chunk == 2:
            failure()
        return serialize(self, chunk)

    monkeypatch.setattr(instances.TrainingInstances, "CHUNK", 7)
    monkeypatch.setattr(instances.TrainingInstances, "serialize", failing)


def raise_error():
    raise ValueError("no place for chunk 2")


@pytest.mark.parametrize("pool_size", [1, 2])
def test_an_error_in_a_worker_ends_the_run_and_leaves_no_file(
        tmp_path, monkeypatch, time_limit, pool_size):
    fail_late(monkeypatch, raise_error)
    with pytest.raises(ValueError, match="no place for chunk 2"):
        generate(tmp_path, pool_size)
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


def test_older_outputs_survive_a_failing_run(
        tmp_path, monkeypatch, time_limit):
    for ending in ENDINGS:
        (tmp_path / ("toy-x" + ending)).write_bytes(ending.encode())
    fail_late(monkeypatch, raise_error)
    with pytest.raises(ValueError):
        generate(tmp_path, 2)
    assert sorted(os.listdir(str(tmp_path))) == sorted(
        ["toy.txt"] + ["toy-x" + ending for ending in ENDINGS])
    assert read_outputs(str(tmp_path / "toy-x")) == {
        ending: ending.encode() for ending in ENDINGS}


def test_a_killed_worker_ends_the_run_instead_of_hanging_it(
        tmp_path, monkeypatch, time_limit):
    parent = os.getpid()

    def die():
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    fail_late(monkeypatch, die)
    with pytest.raises(ValueError, match="a worker process was killed.* lower "
                                         "--pool_size than 2"):
        generate(tmp_path, 2)
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


@pytest.mark.parametrize("chunks, ends", [(1, 0), (9, 1)])
def test_workers_that_cannot_be_started_end_the_command(
        tmp_path, time_limit, chunks, ends):
    """As with a limit on processes; what fits one chunk needs none."""
    write_toy(tmp_path / "toy.txt")
    code = """
import os, sys
sys.path.insert(0, %r)
import gen_data_fin
fork, started = os.fork, []
def limited():
    if len(started) == 2:
        raise OSError(11, os.strerror(11))
    started.append(None)
    return fork()
os.fork = limited
gen_data_fin.define_flags()
gen_data_fin.app.run(gen_data_fin.main)""" % ROOT
    copies = 1 + (chunks - 1) * instances.TrainingInstances.CHUNK
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--dataset_name=toy",
         "--data_dir=%s/" % tmp_path, "--signature=-x", "--max_seq_length=7",
         "--dupe_factor=%d" % copies, "--pool_size=5"],
        stderr=subprocess.PIPE, universal_newlines=True)
    errors = process.communicate()[1]
    assert process.returncode == ends, errors
    if ends:
        assert errors.splitlines()[-1].startswith(
            "gen_data_fin.py: error: --pool_size=5: no more processes can be "
            "started (")
        assert os.listdir(str(tmp_path)) == ["toy.txt"]


def start_long_run(folder):
    """A run that takes minutes, and the numbers of its workers."""
    write_toy(folder / "toy.txt")
    process = subprocess.Popen(
        [sys.executable, "gen_data_fin.py", "--dataset_name=toy",
         "--data_dir=%s/" % folder, "--signature=-x", "--max_seq_length=7",
         "--dupe_factor=100000", "--pool_size=3"], cwd=ROOT,
        stderr=subprocess.PIPE, universal_newlines=True,
        # What a shell starts in the background ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    children = "/proc/%d/task/%d/children" % (process.pid, process.pid)
    if not os.path.exists("/proc/self/task"):
        process.kill()
        pytest.skip("no /proc to see processes in")
    try:
        while len(list(folder.glob("*.train.tfrecord.tmp-*"))) < 1 or len(
                open(children).read().split()) < 3:
            assert process.poll() is None
            time.sleep(0.05)
    except BaseException:
        process.kill()
        raise
    return process, open(children).read().split()


def wait_until_gone(numbers):
    """Waits until processes have ended, whoever collects them."""
    for number in numbers:
        while True:
            try:
                with open("/proc/%s/stat" % number) as stream:
                    if stream.read().rpartition(")")[2].split()[0] == "Z":
                        break
            except (IOError, OSError):
                break
            time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM,
                                    signal.SIGINT])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, time_limit, number):
    process, workers = start_long_run(tmp_path)
    process.send_signal(number)
    errors = process.communicate()[1]
    wait_until_gone(workers)
    left = sorted(path.name for path in tmp_path.iterdir())
    if number == signal.SIGKILL:       # it had no chance: the next run removes
        assert process.returncode == -number and len(left) == 5
        assert "Traceback" not in errors
        status, _, errors = run_command(
            "--dataset_name=toy", "--data_dir=%s/" % tmp_path,
            "--signature=-y", "--max_seq_length=7", "--dupe_factor=1")
        assert status == 0, errors
        assert errors.count("removed what a killed run left: ") == 1
        assert not list(tmp_path.glob("*.tmp-*"))
    else:
        assert process.returncode == 128 + number
        assert left == ["toy.txt"]
        assert errors.splitlines()[-1] == (
            "gen_data_fin.py: stopped by %s; nothing was written or changed"
            % ("Ctrl-C" if number == signal.SIGINT else "SIGTERM"))
        assert "Traceback" not in errors


@pytest.mark.parametrize("held_out", [False, True])
def test_users_who_are_all_too_short_are_refused(tmp_path, held_out):
    (tmp_path / "toy.txt").write_text("".join(
        "%d %d\n" % (user, item) for user in (1, 2, 3) for item in (4, 5)))
    with pytest.raises(ValueError, match="toy.txt: none of its 3 users has the "
                                         "3 interactions"):
        gen_data_fin.generate(
            str(tmp_path / "toy.txt"), str(tmp_path / "x"), options(), 1,
            holdout_validation=held_out)
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


def test_a_step_of_0_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="prop_sliding_window"):
        gen_data_fin.generate(str(tmp_path / "absent.txt"),
                              str(tmp_path / "x"),
                              options(prop_sliding_window=0.1), 1)
    assert os.listdir(str(tmp_path)) == []


# --- the command ------------------------------------------------------------

def run_command(*arguments, **environment):
    """Runs gen_data_fin.py; returns (exit status, stdout, stderr)."""
    inherited = dict(os.environ)
    inherited.pop("TF_CPP_MIN_LOG_LEVEL", None)     # as in a user's shell
    process = subprocess.Popen(
        [sys.executable, "gen_data_fin.py"] + list(arguments), cwd=ROOT,
        env=dict(inherited, **environment), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)
    out, err = process.communicate()
    return process.returncode, out, err


def test_the_command_writes_the_same_bytes_under_any_hash_seed(toy, tmp_path):
    write_toy(tmp_path / "toy.txt")
    values = options()._asdict()
    status, out, err = run_command(
        "--dataset_name=toy", "--data_dir=%s/" % tmp_path, "--signature=-x",
        "--pool_size=2", *["--%s=%s" % pair for pair in values.items()],
        PYTHONHASHSEED="4321")
    assert (status, out) == (0, "")
    assert read_outputs(str(tmp_path / "toy-x")) == toy.contents
    for line in err.splitlines():               # the log, and no notices
        assert re.match(r"\d\d:\d\d:\d\d ", line)


def test_a_malformed_line_ends_the_command_with_one_line(tmp_path):
    (tmp_path / "toy.txt").write_bytes(b"1 2\n1 x3\n")
    status, out, err = run_command("--dataset_name=toy",
                                   "--data_dir=%s/" % tmp_path)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and err.endswith("\n")
    assert "%s/toy.txt:2: 'x3'" % tmp_path in err
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


def test_the_signature_is_made_of_the_hyper_parameters(tmp_path):
    write_toy(tmp_path / "toy.txt")
    status, _, err = run_command(
        "--dataset_name=toy", "--data_dir=%s/" % tmp_path, "--pool_size=1",
        "--holdout_validation", "--max_seq_length=7")
    assert status == 0, err
    assert (tmp_path / "toy-mp1.0-sw0.5-mlp0.2-df10-mpps40-msl7-ho.vocab"
            ).exists()


@pytest.mark.parametrize("name, remedy", [
    ("nope", "data/prepare_data.py --input=YOUR_FILE --data_dir={0}"),
    ("ml-20m", "data/prepare_data.py ml-20m --data_dir={0}"),
    ("sample", "data/make_sample.py --output={0}/sample.txt")])
def test_a_missing_interactions_file_is_named_with_the_remedy(
        tmp_path, name, remedy):
    write_toy(tmp_path / "toy.txt")
    status, out, err = in_process(gen_data_fin, "--dataset_name=" + name,
                                  "--data_dir=%s/" % tmp_path)
    assert (status, out) == (1, "") and err.count("\n") == 1
    for part in ("gen_data_fin.py: error: no file %s/%s.txt" % (tmp_path, name),
                 remedy.format(tmp_path) + "\n", "toy.txt"):
        assert part in err
    assert os.listdir(str(tmp_path)) == ["toy.txt"]


def test_the_remedy_leaves_out_the_folder_that_is_the_default():
    with pytest.raises(ValueError, match=r"prepare_data.py ml-1m\Z"):
        gen_data_fin.check_source("./data/ml-1m.txt")
    with pytest.raises(ValueError, match=r"ml-1m --data_dir='it is'\Z"):
        gen_data_fin.check_source("it is/ml-1m.txt")


def test_a_word_that_is_no_flag_ends_the_command_and_is_named(tmp_path):
    status, _, err = in_process(gen_data_fin, "dupe_factor=3",
                                "--data_dir=%s/" % tmp_path)
    assert status == 1 and "'dupe_factor=3' is not a flag" in err


def test_shards_that_cannot_be_end_the_command_with_one_line(tmp_path):
    status, _, err = in_process(gen_data_fin, "--shard_index=3",
                                "--data_dir=%s/" % tmp_path)
    assert status == 1 and err.count("\n") == 1
    assert err.startswith("gen_data_fin.py: error: --shard_index=3 ")


@pytest.fixture(scope="module")
def both_commands(tmp_path_factory):
    """A process that imports both commands, whose flags have common names,
    and runs one with a flag out of bounds: (status, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("both")
    write_toy(folder / "toy.txt")
    code = ("from absl import app, flags\n"
            "import gen_data_fin, run\n"
            "names = {'max_seq_length', 'signature', 'random_seed'}\n"
            "print(sorted(names & set(flags.FLAGS)))\n"
            "gen_data_fin.define_flags()\n"
            "print(sorted(names & set(flags.FLAGS)))\n"
            "print('do_train' in flags.FLAGS)\n"
            "app.run(gen_data_fin.main)\n")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--dataset_name=toy", "--dupe_factor=0",
         "--data_dir=%s/" % folder], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)
    out, err = process.communicate()
    assert os.listdir(str(folder)) == ["toy.txt"]
    return process.returncode, out, err


def test_no_flag_is_defined_before_define_flags(both_commands):
    assert both_commands[1].splitlines() == [
        "[]", "['max_seq_length', 'random_seed', 'signature']", "False"]


def test_a_flag_out_of_bounds_is_named(both_commands):
    status, _, err = both_commands
    assert status == 1
    assert "--dupe_factor=0" in err and "Traceback" not in err
