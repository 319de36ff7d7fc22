"""The TFRecord schema that writer and reader share, and the input_fn."""

import collections
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402

L, M = 5, 2      # lengths of the small files here


def instance(user, n=3, length=L, limit=M):
    """A serialized instance of n items that tell the user."""
    items = [1 + (user + i) % 50 for i in range(n)]
    return input_pipeline.serialize_instance(
        user, items[:-1] + [52], [n - 1], items[-1:], length, limit)


def write_records(path, records):
    with tf.python_io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def write_users(path, users):
    """A file with one instance a user, of one to L items."""
    return write_records(path, [instance(user, 1 + user % L)
                                for user in users])


def evaluate(build):
    """Builds tensors in a graph of their own and evaluates them."""
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(build())


def batches(input_fn, count=None):
    """The first `count` batches of an input_fn, or all of them."""
    with tf.Graph().as_default(), tf.Session() as session:
        following = tf.data.make_one_shot_iterator(input_fn()).get_next()
        found = []
        while count is None or len(found) < count:
            try:
                found.append(session.run(following))
            except tf.errors.OutOfRangeError:
                assert count is None, "the dataset ends"
                break
        return found


def padded(batch):
    """A batch as lists, with the padding put back that batches may lack."""
    widths = {name: M if name.startswith("masked") else L for name in batch}
    widths["info"] = 1
    return {name: np.pad(
        value, [(0, 0), (0, widths[name] - value.shape[1])], "constant"
        ).tolist() for name, value in batch.items()}


def users_of(found):
    return [user for batch in found for user in batch["info"][:, 0].tolist()]


# --- one instance -----------------------------------------------------------

def test_all_features_have_fixed_length():
    spec = input_pipeline.feature_spec(L, M)
    assert {name: (feature.shape, feature.dtype)
            for name, feature in spec.items()} == {
        "info": ([1], tf.int64), "input_ids": ([L], tf.int64),
        "input_mask": ([L], tf.int64), "masked_lm_positions": ([M], tf.int64),
        "masked_lm_ids": ([M], tf.int64),
        "masked_lm_weights": ([M], tf.float32)}
    assert set(spec) == set(input_pipeline.FEATURES)


def test_an_instance_is_zero_padded_at_the_end():
    record = input_pipeline.serialize_instance(
        user=8, input_ids=[4, 52, 6], positions=[1], label_ids=[5],
        max_seq_length=5, max_predictions_per_seq=2)
    parsed = evaluate(lambda: tf.parse_example(
        [record], input_pipeline.feature_spec(5, 2)))
    assert {name: value[0].tolist() for name, value in parsed.items()} == {
        "info": [8], "input_ids": [4, 52, 6, 0, 0],
        "input_mask": [1, 1, 1, 0, 0], "masked_lm_positions": [1, 0],
        "masked_lm_ids": [5, 0], "masked_lm_weights": [1.0, 0.0]}


def test_a_full_instance_has_no_padding():
    record = input_pipeline.serialize_instance(
        2 ** 62, [52, 4, 52], [0, 2], [9, 8], 3, 2)
    parsed = evaluate(lambda: tf.parse_example(
        [record], input_pipeline.feature_spec(3, 2)))
    assert {name: value[0].tolist() for name, value in parsed.items()} == {
        "info": [2 ** 62], "input_ids": [52, 4, 52], "input_mask": [1, 1, 1],
        "masked_lm_positions": [0, 2], "masked_lm_ids": [9, 8],
        "masked_lm_weights": [1.0, 1.0]}


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(user=st.integers(1, 2 ** 63 - 1),
       input_ids=st.lists(st.integers(1, 2 ** 31 - 1), min_size=1, max_size=6),
       data=st.data())
def test_any_instance_round_trips(user, input_ids, data):
    positions = sorted(data.draw(st.sets(
        st.integers(0, len(input_ids) - 1), min_size=1, max_size=4)))
    labels = data.draw(st.lists(st.integers(1, 10 ** 6),
                                min_size=len(positions),
                                max_size=len(positions)))
    record = input_pipeline.serialize_instance(
        user, input_ids, positions, labels, 6, 4)
    feature = tf.train.Example.FromString(record).features.feature
    n, k = len(input_ids), len(positions)
    assert {name: list(feature[name].int64_list.value or
                       feature[name].float_list.value) for name in feature} == {
        "info": [user], "input_ids": input_ids + [0] * (6 - n),
        "input_mask": [1] * n + [0] * (6 - n),
        "masked_lm_positions": positions + [0] * (4 - k),
        "masked_lm_ids": labels + [0] * (4 - k),
        "masked_lm_weights": [1.0] * k + [0.0] * (4 - k)}


def test_an_instance_is_these_bytes_on_every_runtime():
    """Features in the order of their names, in the wire format."""
    def feature(name, kind, content):
        inner = kind + bytes(bytearray([len(content) + 2]))
        inner += b"\x0a" + bytes(bytearray([len(content)])) + content
        entry = b"\x0a" + bytes(bytearray([len(name)])) + name
        entry += b"\x12" + bytes(bytearray([len(inner)])) + inner
        return b"\x0a" + bytes(bytearray([len(entry)])) + entry

    ints, floats = b"\x1a", b"\x12"
    features = b"".join([
        feature(b"info", ints, b"\x07"),
        feature(b"input_ids", ints, b"\x03\x09\x00"),
        feature(b"input_mask", ints, b"\x01\x01\x00"),
        feature(b"masked_lm_ids", ints, b"\x04\x00"),
        feature(b"masked_lm_positions", ints, b"\x01\x00"),
        feature(b"masked_lm_weights", floats,
                b"\x00\x00\x80\x3f\x00\x00\x00\x00")])
    assert len(features) == 0x97            # a length of two bytes
    assert input_pipeline.serialize_instance(
        7, [3, 9], [1], [4], 3, 2) == b"\x0a\x97\x01" + features


# --- lengths of a file ------------------------------------------------------

def test_a_file_tells_the_lengths_that_it_was_written_with(tmp_path):
    path = write_records(tmp_path / "x", [instance(3)])
    assert input_pipeline.record_lengths(path) == (L, M)
    path = write_records(tmp_path / "y", [instance(3, 3, 11, 4)])
    assert input_pipeline.record_lengths(path) == (11, 4)


def test_files_of_the_right_lengths_pass_the_check(tmp_path):
    paths = [write_users(tmp_path / name, [3, 4]) for name in "xy"]
    assert input_pipeline.check_record_lengths(paths, L, M) is None


@pytest.mark.parametrize("length, limit, flag, number", [
    (7, M, "max_seq_length", L), (4, M, "max_seq_length", L),
    (L, 3, "max_predictions_per_seq", M),
    (L, 1, "max_predictions_per_seq", M)])
def test_another_length_is_an_error_with_the_flag_to_pass(
        tmp_path, length, limit, flag, number):
    path = write_users(tmp_path / "x", [3])
    given_number = {"max_seq_length": length,
                    "max_predictions_per_seq": limit}[flag]
    with pytest.raises(ValueError) as error:
        input_pipeline.check_record_lengths([path], length, limit)
    assert path in str(error.value)
    assert "--%s=%d" % (flag, given_number) in str(error.value)
    assert "pass --%s=%d" % (flag, number) in str(error.value)


def test_every_file_is_checked(tmp_path):
    good = write_users(tmp_path / "good", [3])
    other = write_records(tmp_path / "other", [instance(3, 3, 6, M)])
    with pytest.raises(ValueError, match="other: .*pass --max_seq_length=6"):
        input_pipeline.check_record_lengths([good, other], L, M)


@pytest.mark.parametrize("content", [
    b"1 2\n3 4\n", b"x", b"", b"\x00" * 40, b"1 2\n" * 100])
def test_what_is_no_record_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError) as error:
        input_pipeline.check_record_lengths([str(tmp_path / "x")], L, M)
    assert str(error.value).startswith(str(tmp_path / "x") + ": ")
    assert "gen_data_fin.py" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_record_that_is_no_example_is_an_error(tmp_path):
    path = write_records(tmp_path / "x", [b"\xff\xff no example"])
    with pytest.raises(ValueError, match="not a readable TFRecord file"):
        input_pipeline.record_lengths(path)


def test_an_example_of_another_schema_is_an_error_that_names_what_it_lacks(
        tmp_path):
    example = tf.train.Example()
    for name in ("info", "input_ids", "label"):
        example.features.feature[name].int64_list.value.append(1)
    path = write_records(tmp_path / "x", [example.SerializeToString()])
    with pytest.raises(ValueError) as error:
        input_pipeline.record_lengths(path)
    for name in ("input_mask", "masked_lm_positions", "masked_lm_ids",
                 "masked_lm_weights"):
        assert name in str(error.value)
    assert "input_ids" not in str(error.value)


@pytest.mark.parametrize("kept", [1, 11, 12, 13, 0.5, -1])
def test_a_file_cut_within_its_first_record_is_an_error(tmp_path, kept):
    path = write_users(tmp_path / "x", [3])
    size = os.path.getsize(path)
    with open(path, "r+b") as stream:
        stream.truncate(int(kept * size) if kept == 0.5 else kept % size)
    with pytest.raises(ValueError, match="gen_data_fin.py") as error:
        input_pipeline.record_lengths(path)
    assert path in str(error.value)


def test_a_missing_record_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="absent"):
        input_pipeline.record_lengths(str(tmp_path / "absent"))


# --- records in Python ------------------------------------------------------

def serialized(user, input_ids, positions, labels):
    return input_pipeline.serialize_instance(user, input_ids, positions, labels,
                                             L, M)


def test_windows_are_read_with_their_masked_items_put_back(tmp_path):
    paths = [
        write_records(tmp_path / "x", [
            serialized(2 ** 40, [52, 7, 52], [0, 2], [6, 8]),
            serialized(3, [1, 2, 3, 4, 9], [4], [5])]),
        write_records(tmp_path / "y", [serialized(4, [52], [0], [1])])]
    windows = [(2 ** 40, [6, 7, 8]), (3, [1, 2, 3, 4, 5]), (4, [1])]
    assert list(input_pipeline.read_windows(paths, 9)) == windows
    # Every file is looked at: one may be of other data than the rest.
    for limit in (1, 2, 3):
        assert list(input_pipeline.read_windows(paths, limit)) == [
            windows[0], windows[2]]


def test_targets_are_the_masked_items_by_user(tmp_path):
    path = write_records(tmp_path / "x", [
        serialized(9, [4, 5, 52], [2], [7]), serialized(2, [52], [0], [3])])
    assert list(input_pipeline.read_targets([path]).items()) == [(9, 7), (2, 3)]


def test_a_file_cut_in_a_later_record_is_an_error_in_python_too(tmp_path):
    path = write_users(tmp_path / "x", range(1, 6))
    with open(path, "rb+") as stream:
        stream.truncate(os.path.getsize(path) - 7)
    with pytest.raises(ValueError, match="/x: a damaged record .*gen_data_fin"):
        input_pipeline.read_targets([path])
    path = write_records(tmp_path / "y", [instance(3), b"no example"])
    with pytest.raises(ValueError, match="/y: a damaged record"):
        list(input_pipeline.read_windows([path], 2))


# --- evaluation -------------------------------------------------------------

def test_evaluation_keeps_the_order_of_files_and_records(tmp_path):
    paths = [write_users(tmp_path / "b", [9, 2, 7]),
             write_users(tmp_path / "a", [5, 1, 8, 6])]
    found = batches(input_pipeline.make_input_fn(paths, L, M, 3, False))
    assert users_of(found) == [9, 2, 7, 5, 1, 8, 6]


def test_the_instances_of_some_users_can_be_read_alone(tmp_path):
    path = write_users(tmp_path / "x", [9, 2, 2 ** 40, 5, 1, 8, 6])
    found = batches(input_pipeline.make_input_fn(
        [path], L, M, 2, False, users=[6, 2 ** 40, 9, 77]))
    assert users_of(found) == [9, 2 ** 40, 6]
    assert [len(batch["info"]) for batch in found] == [2, 1]


@pytest.mark.parametrize("batch_size, sizes", [
    (3, [3, 3, 1]), (7, [7]), (100, [7]), (1, [1] * 7)])
def test_the_last_evaluation_batch_may_be_smaller(tmp_path, batch_size, sizes):
    path = write_users(tmp_path / "x", [9, 2, 7, 5, 1, 8, 6])
    found = batches(input_pipeline.make_input_fn([path], L, M, batch_size,
                                                 False))
    assert [len(batch["info"]) for batch in found] == sizes


@pytest.mark.parametrize("is_training", [False, True])
def test_users_are_int64_ids_int32_and_weights_float32(tmp_path, is_training):
    path = write_users(tmp_path / "x", [9, 2, 7])
    batch = batches(input_pipeline.make_input_fn([path], L, M, 3,
                                                 is_training), 1)[0]
    assert {name: value.dtype for name, value in batch.items()} == {
        "info": np.int64, "input_ids": np.int32, "input_mask": np.int32,
        "masked_lm_positions": np.int32, "masked_lm_ids": np.int32,
        "masked_lm_weights": np.float32}


@pytest.mark.parametrize("is_training", [False, True])
def test_untrimmed_batches_have_the_full_lengths(tmp_path, is_training):
    path = write_users(tmp_path / "x", [1, 2, 6])       # 2, 3 and 2 items
    batch = batches(input_pipeline.make_input_fn(
        [path], L, M, 3, is_training, trim=False), 1)[0]
    assert {name: value.shape for name, value in batch.items()} == {
        "info": (3, 1), "input_ids": (3, L), "input_mask": (3, L),
        "masked_lm_positions": (3, M), "masked_lm_ids": (3, M),
        "masked_lm_weights": (3, M)}


def test_trimmed_batches_are_as_wide_as_their_longest_instance(tmp_path):
    path = write_records(tmp_path / "x", [
        input_pipeline.serialize_instance(8, [4, 52, 6], [1], [5], L, M),
        input_pipeline.serialize_instance(3, [52, 52], [0, 1], [7, 4], L, M),
        input_pipeline.serialize_instance(6, [52], [0], [7], L, M)])
    found = batches(input_pipeline.make_input_fn([path], L, M, 2, False))
    assert [batch["input_ids"].tolist() for batch in found] == [
        [[4, 52, 6], [52, 52, 0]], [[52]]]
    assert [batch["input_mask"].tolist() for batch in found] == [
        [[1, 1, 1], [1, 1, 0]], [[1]]]
    assert [batch["masked_lm_ids"].tolist() for batch in found] == [
        [[5, 0], [7, 4]], [[7]]]
    assert [batch["info"].tolist() for batch in found] == [[[8], [3]], [[6]]]


def test_an_evaluation_batch_holds_the_instances_as_written(tmp_path):
    path = write_records(tmp_path / "x", [
        input_pipeline.serialize_instance(8, [4, 52, 6], [1], [5], L, M),
        input_pipeline.serialize_instance(3, [52, 1, 2, 52, 9], [0, 3],
                                          [7, 4], L, M)])
    batch, = batches(input_pipeline.make_input_fn([path], L, M, 2, False))
    assert padded(batch) == {
        "info": [[8], [3]],
        "input_ids": [[4, 52, 6, 0, 0], [52, 1, 2, 52, 9]],
        "input_mask": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        "masked_lm_positions": [[1, 0], [0, 3]],
        "masked_lm_ids": [[5, 0], [7, 4]],
        "masked_lm_weights": [[1.0, 0.0], [1.0, 1.0]]}


def test_users_beyond_int32_keep_their_number(tmp_path):
    users = [2 ** 31 - 1, 2 ** 31, 2 ** 40 + 3]
    path = write_users(tmp_path / "x", users)
    found = batches(input_pipeline.make_input_fn([path], L, M, 3, False))
    assert users_of(found) == users


def test_evaluation_takes_no_notice_of_a_seed(tmp_path):
    path = write_users(tmp_path / "x", list(range(1, 13)))
    found = batches(input_pipeline.make_input_fn([path], L, M, 5, False,
                                                 seed=3))
    assert users_of(found) == list(range(1, 13))


def test_a_file_cut_in_a_later_record_is_an_error_when_it_is_read(tmp_path):
    path = write_users(tmp_path / "x", [9, 2, 7])
    with open(path, "r+b") as stream:
        stream.truncate(os.path.getsize(path) - 2)
    with pytest.raises(tf.errors.DataLossError):
        batches(input_pipeline.make_input_fn([path], L, M, 1, False))


# --- training ---------------------------------------------------------------

BATCH = 3
STEPS = 32
USERS = list(range(1, 1 + BATCH * STEPS))       # an epoch


@pytest.fixture(scope="module")
def train_file(tmp_path_factory):
    return write_users(tmp_path_factory.mktemp("train") / "x", USERS)


def train(path, seed, steps=STEPS, batch_size=BATCH, **options):
    return batches(input_pipeline.make_input_fn(
        [path], L, M, batch_size, True, seed, **options), steps)


def test_an_epoch_holds_every_instance_exactly_once(train_file):
    found = users_of(train(train_file, seed=1, steps=2 * STEPS))
    assert sorted(found[:len(USERS)]) == USERS
    assert sorted(found[len(USERS):]) == USERS


def test_training_never_ends_and_every_batch_is_full(tmp_path):
    """11 instances fill no whole number of batches of 6."""
    path = write_users(tmp_path / "x", USERS[:11])
    found = train(path, seed=1, batch_size=6, steps=STEPS)
    assert [len(batch["info"]) for batch in found] == [6] * STEPS
    epochs = 6 * STEPS // 11
    seen = collections.Counter(users_of(found))
    assert sorted(seen) == USERS[:11]
    assert set(seen.values()) == {epochs, epochs + 1}


def test_a_batch_larger_than_the_file_is_full(tmp_path):
    path = write_users(tmp_path / "x", [9, 2])
    found = train(path, seed=1, batch_size=6, steps=STEPS)
    assert [len(batch["info"]) for batch in found] == [6] * STEPS
    assert collections.Counter(users_of(found)) == {9: 3 * STEPS, 2: 3 * STEPS}


def test_training_instances_are_shuffled_anew_each_epoch(train_file):
    found = users_of(train(train_file, seed=1, steps=2 * STEPS))
    assert found[:len(USERS)] != USERS
    assert found[:len(USERS)] != found[len(USERS):]
    half = len(USERS) // 2
    assert set(found[:half]) != set(USERS[:half])
    assert set(found[:half]) != set(found[len(USERS):len(USERS) + half])
    neighbours = sum(b - a == 1 for a, b in zip(found, found[1:]))
    assert neighbours < len(USERS) / 3          # in file order: nearly all


def test_instances_of_two_files_are_shuffled_together(tmp_path):
    half = len(USERS) // 2
    paths = [write_users(tmp_path / "x", USERS[:half]),
             write_users(tmp_path / "y", USERS[half:])]
    found = users_of(batches(input_pipeline.make_input_fn(
        paths, L, M, BATCH, True, 1), STEPS))
    assert sorted(found) == USERS
    assert half / 4 < sum(user <= half for user in found[:half]) < half * 3 / 4


def readers(paths, count, replicas):
    """The users of an epoch that each of `count` reading processes sees, in
    batches of 2 a replica."""
    input_fn = input_pipeline.make_input_fn(paths, L, M, 2 * replicas, True, 1)
    found = []
    for part in range(count):
        context = tf.distribute.InputContext(count, part, replicas)
        share = batches(lambda: input_fn(context), len(USERS) // (2 * count))
        assert {len(batch["info"]) for batch in share} == {2}
        found.append(users_of(share))
    return found


def test_processes_share_the_records_of_a_file(train_file):
    found = readers([train_file], 3, 3)
    assert sorted(sum(found, [])) == USERS
    assert len(set(map(len, found))) == 1


def test_processes_share_files_where_they_divide_evenly(tmp_path):
    parts = [USERS[i::4] for i in range(4)]
    paths = [write_users(tmp_path / str(i), users)
             for i, users in enumerate(parts)]
    found = readers(paths, 2, 2)
    assert [sorted(users) for users in found] == [
        sorted(parts[0] + parts[2]), sorted(parts[1] + parts[3])]


def test_processes_do_not_read_in_the_same_order(train_file):
    """Else records that were written together would meet in every batch."""
    first, second = readers([train_file], 2, 2)
    assert [user // 2 for user in first] != [user // 2 for user in second]


def test_the_replicas_of_one_process_share_what_it_reads(train_file):
    assert readers([train_file], 1, 3) == [
        users_of(train(train_file, seed=1, batch_size=2,
                       steps=len(USERS) // 2))]


def test_the_same_seed_gives_the_same_order(train_file):
    first, again = (users_of(train(train_file, seed=5, steps=2 * STEPS))
                    for _ in range(2))
    assert first == again


def test_another_seed_gives_another_order(train_file):
    assert users_of(train(train_file, seed=5)) != users_of(
        train(train_file, seed=6))


def test_training_features_belong_together(train_file):
    """Each row holds the items, masks and labels of its own user."""
    for batch in map(padded, train(train_file, seed=2)):
        for row, (user,) in enumerate(batch["info"]):
            n = 1 + user % L
            items = [1 + (user + i) % 50 for i in range(n)]
            assert {name: values[row] for name, values in batch.items()} == {
                "info": [user],
                "input_ids": items[:-1] + [52] + [0] * (L - n),
                "input_mask": [1] * n + [0] * (L - n),
                "masked_lm_positions": [n - 1, 0],
                "masked_lm_ids": [items[-1], 0],
                "masked_lm_weights": [1.0, 0.0]}


# --- which files a flag names -----------------------------------------------

def write(path, content):
    """Writes bytes and returns the name as a str."""
    path.write_bytes(content)
    return str(path)


def some_files(tmp_path):
    for name in ("a-2", "a-1", "a-10", "b"):
        write(tmp_path / name, b"x")
    return str(tmp_path) + os.sep


def test_globs_are_sorted_and_lists_keep_their_order(tmp_path):
    folder = some_files(tmp_path)
    expanded = input_pipeline.expand_files(
        folder + "b, " + folder + "a-*," + folder + "a-2", "input")
    assert [name[len(folder):] for name in expanded] == [
        "b", "a-1", "a-10", "a-2", "a-2"]


def test_a_name_that_is_there_may_hold_a_comma(tmp_path):
    (tmp_path / "of a,b").mkdir()
    path = str(tmp_path / "of a,b" / "c")
    write(tmp_path / "of a,b" / "c", b"x")
    assert input_pipeline.expand_files(path, "input") == [path]
    with pytest.raises(ValueError, match="/of a'"):
        input_pipeline.expand_files(path + "d", "input")


@pytest.mark.parametrize("part", ["absent", "absent-*", ""])
def test_a_part_without_files_is_an_error_that_names_the_flag(tmp_path, part):
    folder = some_files(tmp_path)
    missing = folder + part if part else ""
    with pytest.raises(ValueError) as error:
        input_pipeline.expand_files(folder + "b," + missing, "test_input_file")
    assert "--test_input_file" in str(error.value)
    assert repr(missing) in str(error.value)


def test_an_empty_file_and_a_folder_are_errors_that_name_the_flag(tmp_path):
    folder = some_files(tmp_path)
    write(tmp_path / "c-empty", b"")
    os.mkdir(folder + "d-folder")
    for name in ("c-empty", "d-folder"):
        with pytest.raises(ValueError) as error:
            input_pipeline.expand_files(folder + "[abcd]*" + name[-3:],
                                        "vocab_filename")
        assert "--vocab_filename" in str(error.value)
        assert folder + name in str(error.value)


def shards(tmp_path, *names):
    """Writes files x.rec<name>; returns the start of their names."""
    for name in names:
        write(tmp_path / ("x.rec" + name), b"x")
    return str(tmp_path / "x.rec")


THREE = ("-00000-of-00003", "-00001-of-00003", "-00002-of-00003")


def test_a_glob_gives_whole_sets_of_shards_in_their_order(tmp_path):
    base = shards(tmp_path, *THREE[::-1])
    shards(tmp_path, ".other-00000-of-00001")
    assert input_pipeline.expand_files(base + "-*-of-00003", "input") == [
        base + name for name in THREE]
    assert len(input_pipeline.expand_files(
        "%s-*3,%s.other-*" % (base, base), "input")) == 4


@pytest.mark.parametrize("there, missing", [
    (THREE[:2], "00002"), (THREE[1:], "00000"), (THREE[1:2], "00000, 00002"),
    (("-00007-of-00012",), "00000, 00001, 00002, 00003, 00004, ...")])
def test_missing_shards_are_named(tmp_path, there, missing):
    base = shards(tmp_path, *there)
    with pytest.raises(ValueError) as error:
        input_pipeline.expand_files(base + "-*", "train_input_file")
    message = str(error.value)
    assert "--train_input_file: " in message and "\n" not in message
    assert "there are %d; missing %s; " % (len(there), missing) in message
    assert "--shard_index" in message


@pytest.mark.parametrize("other", [
    "", "-00001-of-00004", ".bak", ".tmp-17", "-00001-of-00003.tmp-17"])
def test_a_glob_that_matches_shards_and_something_else_is_refused(tmp_path,
                                                                  other):
    base = shards(tmp_path, other, *THREE)
    with pytest.raises(ValueError) as error:
        input_pipeline.expand_files(base + "*", "train_input_file")
    message = str(error.value)
    assert "--train_input_file: " in message and "\n" not in message
    assert " and %s as well" % (base + other) in message
    exact = re.search("; write (.*) for the shards alone", message).group(1)
    assert input_pipeline.expand_files(exact, "input") == [
        base + name for name in THREE]


def test_a_glob_that_matches_two_whole_sets_of_shards_is_refused(tmp_path):
    base = shards(tmp_path, "-00000-of-00001", *THREE)
    with pytest.raises(ValueError, match="in another cut"):
        input_pipeline.expand_files(base + "-*", "train_input_file")


def test_shards_that_are_spelled_out_are_taken_as_they_are(tmp_path):
    base = shards(tmp_path, "", *THREE)
    assert input_pipeline.expand_files(
        "%s%s,%s" % (base, THREE[1], base), "input") == [base + THREE[1], base]
