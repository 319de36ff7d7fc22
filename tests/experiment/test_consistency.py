"""Files of two datasets, files with other contents, users that are missing."""

import collections
import copy
import pickle

import pytest

import conftest
import gen_data_fin
import input_pipeline
import util
import vocab
from conftest import LENGTH, MASKED, USERS
from data import generation
from experiment import consistency
from experiment.job import check_job
from test_job import arguments

ENDINGS = {"train_input_file": ".train.tfrecord",
           "test_input_file": ".test.tfrecord",
           "valid_input_file": ".valid.tfrecord",
           "vocab_filename": ".vocab", "user_history_filename": ".his"}


def generate(folder, held_out=False, **changes):
    """The start of the names of another dataset's files."""
    conftest.write_interactions(folder / "tiny.txt", **changes)
    gen_data_fin.generate(
        str(folder / "tiny.txt"), str(folder / "other"),
        generation.Options(LENGTH, MASKED, 1.0, 1, 0.3, 0.5, 1), 1,
        holdout_validation=held_out)
    return str(folder / "other")


def refusal(dataset, folder, **changes):
    with pytest.raises(ValueError) as error:
        check_job(arguments(dataset, folder, **changes))
    assert "\n" not in str(error.value)
    return str(error.value)


# --- files of two datasets ---------------------------------------------------

@pytest.mark.parametrize("other", [
    dict(seed=8), dict(items=150), dict(users=29), dict(users=33)], ids=str)
@pytest.mark.parametrize("flag", sorted(ENDINGS))
def test_one_file_of_another_dataset_is_refused_in_a_first_training(
        held_out, tmp_path, flag, other):
    prefix = generate(tmp_path, held_out=True, **other)
    message = refusal(held_out, tmp_path, **dict(
        {"valid_input_file": held_out.prefix + ".valid.tfrecord"},
        **{flag: prefix + ENDINGS[flag]}))
    assert message.startswith("--") or "vocab_size" in message
    assert "gen_data_fin.py" in message or "vocab_size" in message


@pytest.mark.parametrize("flag", ["vocab_filename", "train_input_file"])
def test_a_training_alone_compares_what_it_is_given(dataset, tmp_path, flag):
    prefix = generate(tmp_path, seed=8)
    for given in ("user_history_filename", None):
        changes = {"do_eval": False, "test_input_file": None,
                   "user_history_filename": dataset.prefix + ".his",
                   flag: prefix + ENDINGS[flag]}
        if given is None:                  # ids alone: both have 140 items
            del changes["user_history_filename"]
            args = arguments(dataset, tmp_path, **changes)
            args.user_history_filename = None
            check_job(args)
        else:
            assert "--ignore_checksums" in refusal(dataset, tmp_path,
                                                   **changes)


def test_ids_outside_the_vocabulary_are_refused_without_a_history(
        dataset, tmp_path):
    args = arguments(dataset, tmp_path, do_eval=False,
                     train_input_file=dataset.prefix + ".train.tfrecord",
                     vocab_filename=generate(tmp_path, items=139) + ".vocab")
    args.user_history_filename = None
    with pytest.raises(ValueError, match="an id outside 1 to 139"):
        check_job(args)


def test_mixed_files_pass_where_that_is_asked_for(held_out, tmp_path):
    prefix = generate(tmp_path, seed=8)
    job = check_job(arguments(held_out, tmp_path, ignore_checksums=True,
                              user_history_filename=prefix + ".his"))
    assert job.files["user_history_filename"] == [prefix + ".his"]


def test_one_training_file_of_two_is_of_another_dataset(dataset, tmp_path):
    prefix = generate(tmp_path, seed=8)
    assert "--train_input_file: a window of user" in refusal(
        dataset, tmp_path, train_input_file="%s.train.tfrecord,%s" % (
            dataset.prefix, prefix + ".train.tfrecord"))


# --- a file given for another -------------------------------------------------

@pytest.mark.parametrize("flag, ending, part", [
    ("test_input_file", ".train.tfrecord", "the user's last item"),
    ("test_input_file", ".valid.tfrecord", "the user's last item"),
    ("valid_input_file", ".test.tfrecord", "the user's second-to-last item"),
    ("train_input_file", ".test.tfrecord", "before the test item")])
def test_a_file_of_another_kind_is_told_by_its_content(
        held_out, tmp_path, flag, ending, part):
    message = refusal(held_out, tmp_path, **dict(
        {"valid_input_file": held_out.prefix + ".valid.tfrecord"},
        **{flag: held_out.prefix + ending}))
    assert message.startswith("--%s: " % flag) and part in message


# --- users that are missing ---------------------------------------------------

def cut(path, target, records):
    """The first records of a TFRecord file, as a file cut at their end."""
    with input_pipeline.tf.python_io.TFRecordWriter(str(target)) as writer:
        for _, record in zip(range(records), input_pipeline.tf.python_io
                             .tf_record_iterator(path)):
            writer.write(record)
    return str(target)


@pytest.mark.parametrize("flag", ["test_input_file", "valid_input_file"])
def test_a_file_cut_between_records_is_refused_with_both_numbers(
        held_out, tmp_path, flag):
    changes = {"valid_input_file": held_out.prefix + ".valid.tfrecord",
               flag: cut(held_out.prefix + ENDINGS[flag],
                         tmp_path / "cut", 13)}
    message = refusal(held_out, tmp_path, **changes)
    for part in ("--%s: " % flag, "13 of the %d users" % USERS,
                 "%d missing" % (USERS - 13), "--allow_missing_users"):
        assert part in message
    check_job(arguments(held_out, tmp_path, allow_missing_users=True,
                        **changes))


@pytest.mark.parametrize("flag", ["test_input_file", "valid_input_file"])
def test_a_user_is_asked_once(held_out, tmp_path, flag):
    path = held_out.prefix + ENDINGS[flag]
    changes = dict({"valid_input_file": held_out.prefix + ".valid.tfrecord"},
                   **{flag: "%s,%s" % (path, path)})
    message = refusal(held_out, tmp_path, **changes)
    assert "--%s: it asks user 1 twice; name each file once" % flag in message


def test_users_with_too_few_items_are_not_missing():
    history = {"user_1": [[4, 5]], "user_2": [[1]], "user_3": [[1, 2, 3]]}
    consistency.check_users("x", {3}, history)
    with pytest.raises(ValueError, match="0 of the 1 users .* user 3 "):
        consistency.check_users("x", set(), history)


def test_a_test_file_damaged_behind_its_first_record_is_one_line(
        dataset, tmp_path):
    with open(dataset.prefix + ".test.tfrecord", "rb") as stream:
        content = bytearray(stream.read())
    content[len(content) // 2] ^= 8
    damaged = tmp_path / "damaged"
    damaged.write_bytes(bytes(content))
    message = refusal(dataset, tmp_path, test_input_file=damaged)
    assert message.startswith("%s: a damaged record" % damaged)


# --- a history of some users ---------------------------------------------------

def sample_of(dataset, users):
    """(history, vocabulary) that hold these users alone, the counts of all."""
    history = util.load_pickle(dataset.prefix + ".his", "dict")
    words = util.load_pickle(dataset.prefix + ".vocab", "FreqVocab")
    return ({user: history[user] for user in users},
            vocab.FreqVocab.from_counts(words.counter, set(users), USERS))


def test_a_history_may_have_the_users_alone_that_its_vocabulary_names(dataset):
    history, words = sample_of(dataset, ["user_3", "user_8"])
    consistency.check_vocabulary("x", words)
    consistency.check_counts(history, words)
    other, _ = sample_of(dataset, ["user_3", "user_9"])
    with pytest.raises(ValueError, match="2 users are not the 2 of the vocab"):
        consistency.check_counts(other, words)
    history["user_8"] = [history["user_8"][0] * 40]
    with pytest.raises(ValueError, match="times in the history, the vocabulary"):
        consistency.check_counts(history, words)


def test_windows_of_users_outside_a_sample_are_not_compared():
    history = {"user_3": [[5, 6, 7, 8]]}
    consistency.check_windows([(4, [1, 2])], history, 8, sample=True)
    for windows, sample in (([(4, [1, 2])], False), ([(3, [6, 5])], True),
                            ([(4, [1, 9])], True)):
        with pytest.raises(ValueError, match="user %d" % windows[0][0]):
            consistency.check_windows(windows, history, 8, sample=sample)


# --- windows ------------------------------------------------------------------

@pytest.mark.parametrize("window, fits", [
    ([5, 6, 7], True), ([6, 5], True), ([7], True), ([5, 6, 6], False),
    ([5, 7], False), ([7, 8], False), ([], False), ([0, 5], False)])
def test_a_window_is_a_part_of_the_sequence_before_the_test_item(window, fits):
    history = {"user_3": [[5, 6, 5, 6, 7, 8]]}
    try:
        consistency.check_windows([(3, window)], history, 8)
        assert fits
    except ValueError as error:
        assert not fits and "user 3 " in str(error)


def test_who_has_no_test_item_trains_on_all(tmp_path):
    consistency.check_windows([(3, [5, 6])], {"user_3": [[5, 6]]}, 8)


# --- damaged parts --------------------------------------------------------------

def broken_words(dataset):
    """Yields vocabularies with one part that is not what it should be."""
    words = util.load_pickle(dataset.prefix + ".vocab", "FreqVocab")
    consistency.check_vocabulary("x", words)
    for name in ("counter", "token_to_ids", "id_to_tokens", "item_count",
                 "special_tokens"):
        for value in (None, 3, [], {}, "x", {"item_1": "x"},
                      collections.Counter({"item_x": 1})):
            broken = copy.deepcopy(words)
            setattr(broken, name, value)
            yield broken
        broken = copy.deepcopy(words)
        delattr(broken, name)
        yield broken
    for damage in (lambda w: w.counter.update({"item_1": 0.5}),
                   lambda w: w.token_to_ids.update({"item_1": 2}),
                   lambda w: w.id_to_tokens.update({2: "item_1"}),
                   lambda w: w.token_to_ids.pop("[MASK]")):
        broken = copy.deepcopy(words)
        damage(broken)
        yield broken


def test_a_vocabulary_with_damaged_parts_is_named(dataset):
    count = 0
    for words in broken_words(dataset):
        count += 1
        with pytest.raises(ValueError, match="x.vocab: not a whole vocabulary"):
            consistency.check_vocabulary("x.vocab", words)
    assert count == 5 * 8 + 4


@pytest.mark.parametrize("history", [
    {}, {"user_1": []}, {"user_1": [[]]}, {"user_1": [1, 2]},
    {"user_1": [[1], [2]]}, {"user_x": [[1]]}, {"user_01": [[1]]},
    {3: [[1]]}, {"user_1": [[0, 1]]}, {"user_1": [[1, -2]]},
    {"user_1": [[1.5]]}, {"user_1": [["1"]]}, {"user_1": [[None]]},
    {"user_1": [[1, [2]]]}, {"user_1": ["12"]}, {"user_1": {0: [1]}},
    {"user_1": [[1]], "user_2": None}, {"user_1": [[2 ** 70]]}], ids=repr)
def test_a_history_of_another_shape_is_named(dataset, tmp_path, history):
    path = tmp_path / "x.his"
    path.write_bytes(pickle.dumps(history, 2))
    assert "x.his: not a whole history" in refusal(
        dataset, tmp_path, user_history_filename=path)
