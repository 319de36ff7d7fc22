"""Fuzzed input: whatever a file or a flag holds, the checks end with an error
that is one line, import and call nothing, and write nothing."""

import builtins
import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import tensorflow.compat.v1 as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import input_pipeline
import modeling
import util
from experiment import consistency, recall, record, selection
from experiment.job import check_job
from reporting import runs
from test_faults import own_flags
from test_job import arguments

fuzzed = settings(max_examples=150, deadline=None, database=None,
                  derandomize=True,
                  suppress_health_check=list(HealthCheck))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=9), inner, max_size=3), max_leaves=6)
# (where to, as a share of the content; what to put there; how much it replaces)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6),
                           st.integers(0, 40)), min_size=1, max_size=4)


def edited(content, edits):
    """Bytes with some of them replaced."""
    for share, new, size in edits:
        place = int(share * len(content))
        content = content[:place] + new + content[place + size:]
    return content


def ends_well(function, *arguments):
    """Calls a reader; its result, or None where it raised its one error."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        assert str(error)
        return None


# --- pickles ---------------------------------------------------------------------

ALLOWED = {("vocab", "FreqVocab"), ("collections", "Counter"),
           ("collections", "OrderedDict"), ("builtins", "set"),
           ("__builtin__", "set")}
NAMES = st.sampled_from(sorted(ALLOWED) + [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"),
    ("builtins", "getattr"), ("__builtin__", "open"), ("subprocess", "Popen"),
    ("builtins", "set.__class__"), ("vocab", "collections.abc"), ("util", "log"),
    ("vocab", "FreqVocab.__init__.__globals__"), ("copyreg", "_reconstructor")])


def opcodes(name):
    """The start of a pickle that asks for a class and calls it."""
    module, attribute = (part.encode() for part in name)
    text = [b"\x8c" + bytes([len(part)]) + part for part in (module, attribute)]
    return st.sampled_from([
        b"c" + module + b"\n" + attribute + b"\n",
        b"\x80\x04" + text[0] + text[1] + b"\x93"])


PICKLES = st.tuples(NAMES.flatmap(opcodes), st.lists(st.sampled_from([
    b")", b"(", b"t", b"R", b"}", b"]", b"b", b"\x81", b"s", b"a", b"u", b"e",
    b"0", b"2", b"K\x03", b"N", b"\x88", b"q\x01", b"h\x01", b"\x85", b"\x86",
    b"X\x03\x00\x00\x00abc", b"i", b"o", b"P1\n", b"Q", b"\x82\x01"]),
    max_size=9)).map(lambda parts: parts[0] + b"".join(parts[1]) + b".")


@pytest.fixture
def watched(monkeypatch):
    """Lists what unpickling looks up; a look-up of another class fails."""
    found = []
    original = pickle.Unpickler.find_class

    class Watching(util._Unpickler):
        def find_class(self, module, name):
            loaded = util._Unpickler.find_class(self, module, name)
            found.append((module, name))
            assert loaded is original(self, module, name)
            return loaded

    def forbidden(*given, **named):
        raise AssertionError("called with %r" % (given,))

    monkeypatch.setattr(util, "_Unpickler", Watching)
    for module, name in ((os, "system"), (subprocess, "Popen"),
                         (builtins, "eval")):
        monkeypatch.setattr(module, name, forbidden)
    return found


def read_both(path):
    """Reads a file as a vocabulary and as a history, and checks them."""
    words = ends_well(util.load_pickle, path, "FreqVocab")
    if words is not None:
        ends_well(consistency.check_vocabulary, path, words)
    history = ends_well(util.load_pickle, path, "dict")
    if history is not None:
        ends_well(consistency.check_history, path, history)


@fuzzed
@given(content=PICKLES)
def test_a_pickle_calls_nothing_but_what_its_files_need(watched, tmp_path,
                                                        content):
    path = tmp_path / "x"
    path.write_bytes(content)
    modules = set(sys.modules)
    read_both(str(path))
    assert set(watched) <= ALLOWED
    assert set(sys.modules) == modules


@fuzzed
@given(ending=st.sampled_from([".vocab", ".his"]), edits=EDITS)
def test_a_damaged_pickle_is_a_value_error(dataset, watched, tmp_path, ending,
                                           edits):
    with open(dataset.prefix + ending, "rb") as stream:
        content = stream.read()
    (tmp_path / "x").write_bytes(edited(content, edits))
    read_both(str(tmp_path / "x"))
    assert set(watched) <= ALLOWED


# --- records ----------------------------------------------------------------------

READERS = {
    "run_config.json": lambda folder: record.read(folder),
    "eval_config.json": lambda folder: record.read_evaluation(folder),
    "bert_config.json": lambda folder: modeling.BertConfig.from_json_file(
        folder + "/bert_config.json"),
    "best/selection.json": lambda folder: selection.Selection(
        folder, "paper/ap"),
    "eval_results.txt": lambda folder: runs.read_results(
        folder + "/eval_results.txt"),
    "eval_users.tsv": lambda folder: runs.read_users(
        folder + "/eval_users.tsv")}


@pytest.fixture
def folder(selected, tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    for name, read in READERS.items():
        assert read(str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_record_saved_by_another_program_is_read_or_named(folder, name):
    """With a byte order mark; in UTF-16, which JSON may be in and lines not."""
    def read():
        found = READERS[name](str(folder))
        return str(getattr(found, "__dict__", found))

    wanted = read()
    text = u"\ufeff" + (folder / name).read_bytes().decode("utf-8")
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        (folder / name).write_bytes(text.encode(encoding))
        if encoding == "utf-8" or name.endswith(".json"):
            assert read() == wanted
        else:
            with pytest.raises(ValueError, match="%s: it is UTF-16 text; save "
                               "it as UTF-8" % name):
                read()


@fuzzed
@given(name=st.sampled_from(sorted(READERS)), edits=EDITS)
def test_a_damaged_record_is_read_or_refused(folder, selected, name, edits):
    content = (selected[0] / "run" / name).read_bytes()
    (folder / name).write_bytes(edited(content, edits))
    ends_well(READERS[name], str(folder))


@fuzzed
@given(name=st.sampled_from([name for name in sorted(READERS)
                             if name.endswith(".json")]), value=JSON, data=st.data())
def test_a_record_of_another_shape_is_read_or_refused(folder, selected, name,
                                                      value, data):
    whole = json.loads((selected[0] / "run" / name).read_text())
    key = data.draw(st.sampled_from(sorted(whole) + [None]))
    changed = value if key is None else dict(whole, **{key: value})
    (folder / name).write_text(json.dumps(changed))
    ends_well(READERS[name], str(folder))


@fuzzed
@given(value=JSON, data=st.data())
def test_a_recorded_flag_may_hold_anything(dataset, folder, selected, value,
                                           data):
    whole = json.loads((selected[0] / "run" / "run_config.json").read_text())
    flag = data.draw(st.sampled_from(sorted(whole["flags"])))
    whole["flags"][flag] = value
    (folder / "run_config.json").write_text(json.dumps(whole))
    defined = own_flags()
    defaults = recall.argparse.Namespace(**dict(
        {name: other.default for name, other in defined.items()},
        checkpointDir=str(folder), do_eval=True))

    def recalled():
        args = recall.complete(defaults, {"checkpointDir", "do_eval"})
        util.check_values(defined, vars(args))
        return check_job(args)

    before = sorted(os.listdir(str(folder)))
    ends_well(recalled)
    assert sorted(os.listdir(str(folder))) == before


# --- TFRecords ---------------------------------------------------------------------

def read_all(path, history):
    """Every reader of run.py's checks."""
    if ends_well(input_pipeline.record_lengths, path) is None:
        return
    ends_well(lambda: list(input_pipeline.read_windows([path], 9)))
    ends_well(input_pipeline.read_targets, [path])
    for left_out in (0, 1):
        ends_well(lambda: consistency.check_asked(
            "x", input_pipeline.read_instances([path]), history, left_out))
    ends_well(lambda: consistency.check_windows(
        input_pipeline.read_windows([path], 9), history, 140))


@fuzzed
@given(edits=EDITS)
def test_a_damaged_tfrecord_file_is_read_or_refused(dataset, tmp_path, edits):
    with open(dataset.prefix + ".test.tfrecord", "rb") as stream:
        content = stream.read()
    (tmp_path / "x").write_bytes(edited(content, edits))
    read_all(str(tmp_path / "x"), util.load_pickle(dataset.prefix + ".his",
                                                   "dict"))


VALUES = st.lists(st.integers(-2 ** 63, 2 ** 63 - 1) | st.integers(-2, 12),
                  max_size=5)


@fuzzed
@given(features=st.dictionaries(st.sampled_from(input_pipeline.FEATURES), VALUES,
                                min_size=4), weights=st.lists(
                                    st.floats(width=32), max_size=4))
def test_whole_records_with_any_values_are_read_or_refused(
        dataset, tmp_path, features, weights):
    example = tf.train.Example()
    for name, values in features.items():
        example.features.feature[name].int64_list.value.extend(values)
    if weights:
        example.features.feature["masked_lm_weights"].float_list.value.extend(
            weights)
    path = str(tmp_path / "x")
    with tf.python_io.TFRecordWriter(path) as writer:
        writer.write(input_pipeline.serialize_instance(
            1, [3, 4], [1], [5], 5, 4))
        writer.write(example.SerializeToString())
    read_all(path, util.load_pickle(dataset.prefix + ".his", "dict"))


# --- flags --------------------------------------------------------------------------

@fuzzed
@given(text=st.text(max_size=30) | st.sampled_from(
    ["", "..", "/", "/dev/null", "a" * 5000, "*", "[", "x,y", "\0", "-1", "1e999",
     "nan", "0x10", "1" + "0" * 400]), data=st.data())
def test_any_text_of_a_flag_is_taken_or_refused(dataset, tmp_path, text, data):
    defined = own_flags()
    name = data.draw(st.sampled_from(sorted(defined)))

    def job():
        value = defined[name].parser.parse(text)
        values = dict({key: flag.default for key, flag in defined.items()},
                      **vars(arguments(dataset, tmp_path)))
        values[name] = value
        util.check_values(defined, values)
        return check_job(recall.argparse.Namespace(**values))

    before = sorted(os.listdir(str(tmp_path)))
    there = sorted(os.listdir("."))
    ends_well(job)
    assert sorted(os.listdir(str(tmp_path))) == before
    assert sorted(os.listdir(".")) == there
