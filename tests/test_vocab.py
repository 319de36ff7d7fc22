"""The vocabulary: ids, accessors, and the pickle that other code reads."""

import collections
import os
import pickle
import pickletools
import subprocess
import sys
import types

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import vocab

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def toy_vocab():
    """Counts: item_7 3, item_5 2, item_9 2, item_2 1; 5 appears before 9."""
    return vocab.FreqVocab(collections.OrderedDict([
        ("user_4", ["item_5", "item_7", "item_9"]),
        ("user_1", ["item_9", "item_7"]),
        ("user_3", ["item_2", "item_7", "item_5"])]))


# --- ids --------------------------------------------------------------------

def test_items_are_numbered_from_1_by_descending_frequency_then_appearance():
    assert toy_vocab().get_vocab_words()[:4] == [
        "item_7", "item_5", "item_9", "item_2"]
    assert toy_vocab().convert_tokens_to_ids(
        ["item_7", "item_5", "item_9", "item_2"]) == [1, 2, 3, 4]


def test_counts_made_elsewhere_give_the_same_vocabulary():
    words = toy_vocab()
    again = vocab.FreqVocab.from_counts(
        collections.Counter(words.counter), {"user_4", "user_1", "user_3"}, 3)
    assert pickle.dumps(again, 2) == pickle.dumps(words, 2)
    some = vocab.FreqVocab.from_counts(words.counter, {"user_1"}, 3)
    assert (some.get_users(), some.get_user_count()) == ({"user_1"}, 3)
    assert some.vocab_words == words.vocab_words


def test_special_tokens_follow_the_items_in_a_fixed_order():
    assert toy_vocab().convert_tokens_to_ids(
        ["[pad]", "[MASK]", "[NO_USE]"]) == [5, 6, 7]


def test_id_0_is_no_token():
    words = toy_vocab()
    assert 0 not in words.id_to_tokens
    assert 0 not in words.token_to_ids.values()
    with pytest.raises(KeyError):
        words.convert_ids_to_tokens([0])


def test_the_size_counts_items_three_special_tokens_and_padding():
    assert toy_vocab().get_vocab_size() == 4 + 3 + 1


def test_the_counter_keeps_the_order_of_first_appearance():
    words = toy_vocab()
    assert list(words.counter.items()) == [
        ("item_5", 2), ("item_7", 3), ("item_9", 2), ("item_2", 1)]
    assert words.get_items() == ["item_5", "item_7", "item_9", "item_2"]


sequences = st.lists(
    st.lists(st.integers(1, 9).map("item_%d".__mod__), min_size=1, max_size=6),
    min_size=1, max_size=6)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(lists=sequences)
def test_ids_follow_counts_and_then_first_appearance(lists):
    words = vocab.FreqVocab(collections.OrderedDict(
        ("user_%d" % number, items) for number, items in enumerate(lists)))
    stream = [item for items in lists for item in items]
    expected = sorted(set(stream),
                      key=lambda item: (-stream.count(item), stream.index(item)))
    expected += ["[pad]", "[MASK]", "[NO_USE]"]
    assert words.vocab_words == expected
    assert words.token_to_ids == {
        token: number + 1 for number, token in enumerate(expected)}
    assert words.id_to_tokens == {
        number + 1: token for number, token in enumerate(expected)}


# --- accessors --------------------------------------------------------------

def test_attributes_of_the_file_format():
    words = toy_vocab()
    assert isinstance(words.counter, collections.Counter)
    assert words.token_to_ids == {
        "item_7": 1, "item_5": 2, "item_9": 3, "item_2": 4,
        "[pad]": 5, "[MASK]": 6, "[NO_USE]": 7}
    assert words.id_to_tokens == {
        1: "item_7", 2: "item_5", 3: "item_9", 4: "item_2",
        5: "[pad]", 6: "[MASK]", 7: "[NO_USE]"}
    assert (words.item_count, words.user_count) == (4, 3)
    assert words.user_set == {"user_1", "user_3", "user_4"}
    assert words.vocab_words == ["item_7", "item_5", "item_9", "item_2",
                                 "[pad]", "[MASK]", "[NO_USE]"]


def test_methods_of_the_file_format():
    words = toy_vocab()
    assert words.convert_tokens_to_ids(["item_9", "[MASK]"]) == [3, 6]
    assert words.convert_ids_to_tokens([6, 3]) == ["[MASK]", "item_9"]
    assert words.get_items() == list(words.counter)
    assert words.get_item_count() == 4
    assert words.get_user_count() == 3
    assert words.get_users() == words.user_set
    assert words.get_vocab_words() == words.vocab_words
    assert words.get_vocab_size() == 8
    assert list(words.get_special_token()) == ["[pad]", "[MASK]", "[NO_USE]"]
    assert words.get_special_token_count() == 3


def test_an_unknown_token_or_id_is_a_key_error():
    with pytest.raises(KeyError):
        toy_vocab().convert_tokens_to_ids(["item_1"])
    with pytest.raises(KeyError):
        toy_vocab().convert_ids_to_tokens([8])


def test_tokens_name_users_and_items_of_the_interactions_file():
    assert vocab.user_token(12) == "user_12"
    assert vocab.item_token(2 ** 40) == "item_1099511627776"


# --- the pickle -------------------------------------------------------------

def test_a_protocol_2_pickle_restores_everything():
    words = toy_vocab()
    content = pickle.dumps(words, 2)
    assert max(opcode.proto for opcode, _, _ in
               pickletools.genops(content)) == 2
    again = pickle.loads(content)
    assert type(again) is vocab.FreqVocab
    assert again.__dict__ == words.__dict__
    assert list(again.counter) == list(words.counter)
    assert again.convert_tokens_to_ids(["[MASK]"]) == [6]


def test_the_users_are_a_plain_set_before_and_after():
    words = toy_vocab()
    again = pickle.loads(pickle.dumps(words, 2))
    assert type(words.user_set) is set
    assert type(again.user_set) is set


def test_pickling_a_loaded_vocabulary_gives_the_same_bytes():
    content = pickle.dumps(toy_vocab(), 2)
    assert pickle.dumps(pickle.loads(content), 2) == content


def test_the_pickle_does_not_depend_on_the_hash_seed():
    code = ("import collections, pickle, sys, vocab\n"
            "words = vocab.FreqVocab(collections.OrderedDict(\n"
            "    ('user_%d' % u, ['item_%d' % (u * i % 13) for i in range(5)])\n"
            "    for u in range(40)))\n"
            "sys.stdout.write(pickle.dumps(words, 2).hex())\n")
    pickles = [subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT,
        env=dict(os.environ, PYTHONHASHSEED=seed)) for seed in ("1", "2")]
    assert pickles[0] == pickles[1]
    assert len(bytearray.fromhex(pickles[0].decode())) > 1000


def test_a_reader_with_a_class_of_its_own_finds_the_attributes(monkeypatch):
    content = pickle.dumps(toy_vocab(), 2)
    expected = toy_vocab().__dict__

    class FreqVocab(object):
        """Another code's class of the same name, without __setstate__."""

    module = types.ModuleType("vocab")
    module.FreqVocab = FreqVocab
    monkeypatch.setitem(sys.modules, "vocab", module)
    words = pickle.loads(content)
    assert type(words) is FreqVocab
    for name in ("counter", "token_to_ids", "id_to_tokens", "item_count",
                 "user_count", "user_set", "vocab_words"):
        assert words.__dict__[name] == expected[name]


def test_the_pickle_is_made_of_no_class_but_these():
    classes = {argument for opcode, argument, _ in
               pickletools.genops(pickle.dumps(toy_vocab(), 2))
               if opcode.name == "GLOBAL"}
    assert classes == {"vocab FreqVocab", "collections Counter",
                       "__builtin__ set"}
