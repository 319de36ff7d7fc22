"""The input files of --do_predict, and what is wrong with its flags."""

import argparse
import io
from unittest import mock

import pytest

import util
from experiment import requests
from experiment.names import read_names
from vocab import FreqVocab


def write(path, text):
    with io.open(str(path), "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
    return str(path)


def test_text_lines(tmp_path):
    path = write(tmp_path / "a.tsv", u"ann b\t1 x\t2\r\n\n\u00e9\t\n7\t 3 3 ")
    assert list(requests.read_requests(path)) == [
        ("ann b", ["1", "x", "2"]), (u"\u00e9", []), ("7", ["3", "3"])]


def test_json_lines(tmp_path):
    path = write(tmp_path / "a.jsonl", u'{"items": ["tea pot", 2], "key": 5}\n'
                 u'\n{"key": "\u00e9", "items": [], "more": 1}\n')
    assert list(requests.read_requests(path)) == [
        ("5", ["tea pot", "2"]), (u"\u00e9", [])]


@pytest.mark.parametrize("name, line", [
    ("a.tsv", u"k\t1 2\n"), ("a.jsonl", u'{"key": "k", "items": [1, 2]}\n')])
def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path, name, line):
    path = write(tmp_path / name, u"\ufeff" + line)
    assert list(requests.read_requests(path)) == [("k", ["1", "2"])]
    for encoding in ("utf-16-le", "utf-16-be"):
        write(path, (u"\ufeff" + line).encode(encoding))
        with pytest.raises(ValueError) as error:
            list(requests.read_requests(path))
        assert str(error.value) == path + ": it is UTF-16 text; save it as UTF-8"


@pytest.mark.parametrize("name, line", [
    ("a.tsv", "1 2 3"), ("a.txt", "\t1 2"), ("a.txt", b"\xff\t1"),
    ("a.jsonl", "k\t1 2"), ("a.jsonl", "[1, 2]"), ("a.jsonl", '{"key": "k"}'),
    ("a.jsonl", '{"key": "k", "items": "12"}'),
    ("a.jsonl", '{"key": "k", "items": [1, null]}'),
    ("a.jsonl", '{"key": "k", "items": [true]}'),
    ("a.jsonl", '{"key": 1.5, "items": []}'), ("a.jsonl", b"\xff"),
    ("a.jsonl", '{"key": "\\ud800", "items": []}'),
    ("a.jsonl", "[" * 200000)])
def test_a_malformed_line_is_named(tmp_path, name, line):
    good = b'{"key": "k", "items": [1]}' if name.endswith("l") else b"k\t1"
    bad = line if isinstance(line, bytes) else line.encode()
    path = write(tmp_path / name, good + b"\n\n" + bad + b"\n")
    with pytest.raises(ValueError) as error:
        list(requests.read_requests(path))
    assert str(error.value).startswith("%s:3: " % path)


NAMES = read_names(FreqVocab({"user_1": ["item_2", "item_4"]}), "x.vocab")


def check(**changes):
    values = dict(predict_input_file=None, predict_output_file=None,
                  predict_user=None, predict_items=None,
                  checkpointDir="model", signature="")
    values.update({flag: str(value) for flag, value in changes.items()})
    return requests.check_requests(argparse.Namespace(**values), NAMES)


def test_the_lines_that_ask_are_counted(tmp_path):
    assert check() is None
    assert check(predict_input_file=write(tmp_path / "a.tsv",
                                          "a\t1\n\nb\t2\n")) == 2


def test_requests_that_do_not_fit(tmp_path):
    write(tmp_path / "a.csv", "a\t1")
    write(tmp_path / "bad.tsv", "a\t1\nb\n")
    write(tmp_path / "recommendations.tsv", "a\t1\n")
    for changes, parts in (
            ({"predict_input_file": tmp_path / "a.csv"},
             ["--predict_input_file", "a.csv", ".tsv, .txt, .jsonl"]),
            ({"predict_output_file": tmp_path / "a.json"},
             ["--predict_output_file", "a.json", ".tsv, .jsonl"]),
            ({"predict_output_file": tmp_path / "no" / "a.tsv"},
             ["--predict_output_file", "no folder"]),
            ({"predict_input_file": tmp_path / "no.tsv"},
             ["--predict_input_file", "no file"]),
            ({"predict_input_file": tmp_path / "bad.tsv"}, ["bad.tsv:2: 'b'"]),
            ({"predict_user": 9}, ["no user '9'"]),
            ({"predict_user": 1, "predict_output_file": tmp_path / "o.tsv"},
             ["--predict_user prints its answer"]),
            ({"predict_input_file": tmp_path / "bad.tsv",
              "predict_output_file": tmp_path / "bad.tsv"},
             ["bad.tsv would be replaced by the answers"]),
            ({"predict_input_file": tmp_path / "recommendations.tsv",
              "checkpointDir": tmp_path},
             ["recommendations.tsv would be replaced by the answers"]),
            ({"predict_user": 1, "predict_items": "2"},
             ["--predict_user and --predict_items"])):
        with pytest.raises(ValueError) as error:
            check(**changes)
        for part in parts:
            assert part in str(error.value)


def test_where_nothing_is_written_the_folder_may_be_closed():
    closed = mock.patch.object(util, "check_writable", side_effect=IOError)
    with closed:
        assert check() is None and check(predict_user=1) is None
        with pytest.raises(IOError):
            check(predict_output_file="a.tsv")


@pytest.mark.parametrize("k", [0, 3])
def test_a_k_beyond_the_catalogue(k):
    requests.check_k(2, NAMES.items, "--top_k")
    with pytest.raises(ValueError, match="--top_k=%d is .* 1 to the 2 items"
                       % k):
        requests.check_k(k, NAMES.items, "--top_k")
