"""The steps of the generation on Apache Beam, each by itself."""

import collections
import io
import itertools
import pickle

import numpy as np
import pytest

pytest.importorskip("apache_beam")  # it has no release for Python 3.7

import gen_data_fin
import util
from data import beam_pipeline, beam_steps, instances, sequences
from data.beam_steps import Catalogue, Fault, Sequence
from masked_instances import options, serialized, training_instances

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402


def catalogue_of(item_count):
    ids = np.arange(1, item_count + 1)
    return Catalogue(ids, ids.astype(np.int32), item_count + 2,
                     collections.Counter())


# --- reading ----------------------------------------------------------------

LINES = b"14 3\n3 8\n\n14 1000\r\n5 1\n3 9\n14 4\n5 2"


def read(path, range_bytes, monkeypatch):
    """Sequences of a file that is read in ranges, in the order of places."""
    monkeypatch.setattr(beam_steps, "RANGE_BYTES", range_bytes)
    parts = collections.defaultdict(list)
    for part in beam_steps.ranges((0, str(path), path.stat().st_size)):
        for user, piece in beam_steps.read_range(part):
            parts[user].append(piece)
    return sorted(beam_steps.join((user, pieces[::-1]))  # as they come
                  for user, pieces in parts.items())


@pytest.mark.parametrize("range_bytes", range(1, len(LINES) + 2))
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_ranges_of_any_size_read_what_the_whole_file_holds(
        tmp_path, monkeypatch, range_bytes, mark):
    (tmp_path / "x.txt").write_bytes(mark + LINES)
    found = [(sequence.user, sequence.items.tolist())
             for sequence in read(tmp_path / "x.txt", range_bytes, monkeypatch)]
    assert found == [(14, [3, 1000, 4]), (3, [8, 9]), (5, [1, 2])]


@pytest.mark.parametrize("range_bytes", [1, 4, 7, 100])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_malformed_line_is_named_by_its_first_byte(
        tmp_path, monkeypatch, range_bytes, mark):
    (tmp_path / "x.txt").write_bytes(mark + b"1 2\n1 33\n1 x\n1 4\n")
    monkeypatch.setattr(beam_steps, "RANGE_BYTES", range_bytes)
    size = (tmp_path / "x.txt").stat().st_size
    (fault,) = [found.value for part in beam_steps.ranges(
                        (0, str(tmp_path / "x.txt"), size))
                    for found in beam_steps.read_range(part)
                    if isinstance(found, beam_steps.TaggedOutput)]
    assert fault.message == (
        "%s/x.txt: byte %d: 'x' is not an id; users and items are integers "
        "from 1 to 9223372036854775807" % (tmp_path, 9 + len(mark)))


def test_files_are_in_the_order_of_the_patterns_and_sorted_within(tmp_path):
    for name in ("b", "a-2", "a-1"):
        (tmp_path / name).write_bytes(b"1 2\n" * len(name))
    found = beam_steps.find_files(
        [str(tmp_path / "b"), str(tmp_path / "a-*")])
    assert found == [(str(tmp_path / "b"), 4), (str(tmp_path / "a-1"), 12),
                     (str(tmp_path / "a-2"), 12)]


@pytest.mark.parametrize("pattern", ["absent.txt", "*.none", "nowhere://x"])
def test_a_pattern_without_a_file_is_one_line(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(str(tmp_path))
    with pytest.raises(ValueError, match="^--input: .*%s" % (
            pattern.replace("*", r"\*"))) as error:
        beam_steps.find_files([pattern])
    assert "\n" not in str(error.value)


# --- the vocabulary ---------------------------------------------------------

def place(number):
    return beam_steps.PLACE.pack(0, 0, number)


def test_ids_are_those_of_the_vocabulary_of_whole_sequences():
    # 30 and 10 occur three times, 30 first; 20 and 7 twice, 7 first: the
    # order of users decides, not that in which they are counted.
    whole = collections.OrderedDict([
        (5, [30, 7]), (2, [10, 30, 20, 10]), (9, [20, 7, 30, 10, 4])])
    words = gen_data_fin.build_vocab(collections.OrderedDict(
        (user, np.array(items)) for user, items in whole.items()))
    made = [Sequence(place(number), user, np.array(items, np.int64))
            for number, (user, items) in enumerate(whole.items())]
    for order in itertools.permutations(made):
        counts = collections.defaultdict(list)
        for batch in (order[:1], order[1:]):
            for item, counted in beam_steps.count(batch):
                counts[item].append(counted)
        catalogue = beam_steps.number_items(
            [(item, beam_steps.add_counts(counted))
             for item, counted in counts.items()], [])
        assert list(catalogue.counter.items()) == list(words.counter.items())
        for sequence in made:
            (found,) = beam_steps.to_ids(sequence, catalogue)
            assert found.items.tolist() == words.convert_tokens_to_ids(
                ["item_%d" % item for item in whole[sequence.user]])
            assert found[:2] == sequence[:2] and found.items.dtype == np.int32


def test_counts_add_up_in_any_grouping():
    counts = [(2, b"c"), (1, b"a"), (4, b"b")]
    for first, second, third in itertools.permutations(counts):
        assert beam_steps.add_counts([
            beam_steps.add_counts([first, second]), third]) == (7, b"a")


def test_faults_end_the_work():
    catalogue = beam_steps.number_items([(3, (1, place(0)))],
                                           [Fault(place(0), "wrong")])
    assert list(beam_steps.to_ids(
        Sequence(place(0), 1, np.array([3])), catalogue)) == []


# --- instances --------------------------------------------------------------

@pytest.mark.parametrize("num_shards", [1, 2, 5])
def test_instances_and_their_order_are_those_of_gen_data_fin(num_shards):
    lengths = {2 ** 40: 31, 6: 1, 3: 2, 8: 7, 9: 12}
    rng = np.random.RandomState(0)
    whole = {user: rng.randint(1, 21, n + 1).astype(np.int32)  # and a test item
             for user, n in lengths.items()}
    whole[6] = whole[6][:1]                     # too short for a test item
    trained = [(user, ids[:lengths[user]]) for user, ids in whole.items()]
    whole[3] = whole[3][:2]
    expected = serialized(training_instances(trained, mask_prob=0.6))

    windows = [window for user, ids in whole.items()
               for window in beam_steps.windows_of(
                   Sequence(place(0), user, ids), options(), False)]
    shards = collections.defaultdict(list)
    for batch in (windows[3:], windows[:3]):
        for shard, made in beam_steps.mask(
                batch, catalogue_of(20), options(mask_prob=0.6), num_shards):
            shards[shard].append(made)
    assert set(shards) <= set(range(num_shards))
    assert [entry[8:] for shard in sorted(shards) for entry in sorted(
        itertools.chain(*shards[shard]))] == expected


def test_held_out_validation_items_are_in_no_window():
    ids = np.arange(1, 10, dtype=np.int32)
    for held_out, last in ((False, 8), (True, 7)):
        windows = [np.frombuffer(window, np.int32) for _, _, window in
                   beam_steps.windows_of(Sequence(place(0), 1, ids),
                                            options(), held_out)]
        assert max(window.max() for window in windows) == last


def test_a_user_is_asked_for_the_last_item_and_for_the_one_before():
    ids = np.arange(3, 14, dtype=np.int32)
    sequence = Sequence(place(4), 7, ids)
    for left_out in (0, 1):
        entry = beam_steps.ask_last(sequence, left_out, catalogue_of(20),
                                       options())
        (expected,) = instances.serialize_last(
            {7: ids[:len(ids) - left_out]}, 22, options())
        assert entry == place(4) + expected


# --- files ------------------------------------------------------------------

def test_records_are_written_in_order(tmp_path):
    with open(str(tmp_path / "x"), "wb") as stream:
        beam_pipeline.write_records([b"2two", b"1one", b"3"], 1, stream)
    assert list(tf.python_io.tf_record_iterator(str(tmp_path / "x"))) == [
        b"one", b"two", b""]


def test_a_history_is_in_the_order_of_places():
    stream = io.BytesIO()
    beam_pipeline.write_history(
        [Sequence(place(2), 4, np.array([1])),
         Sequence(place(1), 9, np.array([2, 1]))], catalogue_of(2), stream)
    history = pickle.loads(stream.getvalue())
    assert list(history.items()) == [("user_9", [[2, 1]]), ("user_4", [[1]])]


def test_of_several_faults_the_first_of_the_input_is_told():
    faults = [Fault(place(number), "fault %d" % number) for number in (3, 1, 2)]
    assert beam_pipeline._first_fault({}, faults, ["x"], 5) == "fault 1"


def test_a_test_user_is_one_with_three_interactions():
    assert [beam_steps.is_testable(
        Sequence(place(0), 1, np.arange(n))) for n in range(1, 5)] == [
            len(sequences.split(np.arange(n))[2]) == 1 for n in range(1, 5)]
