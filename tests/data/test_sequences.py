"""Reading interactions files and the ids beside them, and the split."""

import collections
import re
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from data import sequences as sequences_module
from data.sequences import data_partition, read_id_map, read_sequences

LARGEST = 9223372036854775807  # 2^63 - 1

plain_settings = settings(max_examples=150, deadline=None, database=None,
                          derandomize=True)


def write(path, content):
    """Writes bytes and returns the name as a str."""
    with open(str(path), "wb") as stream:
        stream.write(content)
    return str(path)


def as_lists(groups):
    """OrderedDict of arrays -> list of (user, list), so that order counts."""
    return [(user, items.tolist()) for user, items in groups.items()]


# --- read_sequences ---------------------------------------------------------

# Files are read in blocks; where they are cut must not matter.
block_sizes = [1, 9, 2 ** 20]


@pytest.fixture(params=block_sizes)
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(sequences_module, "BLOCK_BYTES", request.param)


def test_users_come_in_the_order_of_their_first_lines(tmp_path):
    path = write(tmp_path / "toy.txt", b"9 1\n2 1\n5 1\n2 3\n")
    assert list(read_sequences(path)) == [9, 2, 5]


def test_interleaved_users_keep_their_own_items_in_file_order(
        tmp_path, block_bytes):
    path = write(tmp_path / "toy.txt", b"9 4\n2 7\n9 3\n2 7\n9 5\n2 1\n")
    assert as_lists(read_sequences(path)) == [
        (9, [4, 3, 5]), (2, [7, 7, 1])]


@pytest.mark.parametrize("content", [
    b"3 4\n\n3 5\n\n", b"\n \t\n3 4\n3 5", b"3\t4\n3\t\t5\n",
    b"3 4\r\n3 5\r\n", b"  3 4  \n\t3   5\n", b"003 4\n3 05\n"],
    ids=["blank-lines", "no-last-newline", "tabs", "crlf", "spaces-around",
         "leading-zeros"])
def test_white_space_is_free(tmp_path, block_bytes, content):
    path = write(tmp_path / "toy.txt", content)
    assert as_lists(read_sequences(path)) == [(3, [4, 5])]


def test_ids_are_integers_up_to_the_largest_int64(tmp_path):
    path = write(tmp_path / "toy.txt", b"%d %d\n" % (LARGEST, LARGEST))
    sequences = read_sequences(path)
    assert as_lists(sequences) == [(LARGEST, [LARGEST])]
    assert type(list(sequences)[0]) is int
    assert sequences[LARGEST].dtype == np.int64


MALFORMED = collections.OrderedDict([
    ("one-field", (b"77", "77")),
    ("three-fields", (b"77 8 9", "77 8 9")),
    ("letters", (b"77 abc", "abc")),
    ("user-zero", (b"0 8", "0")),
    ("item-zero", (b"77 0", "0")),
    ("negative", (b"77 -8", "-8")),
    ("plus-sign", (b"77 +8", "+8")),
    ("float", (b"77 8.0", "8.0")),
    ("exponent", (b"1e3 8", "1e3")),
    ("underscore", (b"1_000 8", "1_000")),
    ("beyond-int64", (b"77 9223372036854775808", "9223372036854775808")),
    ("nul-byte", (b"77 8\x00", "8\\x00")),
    ("byte-order-mark", (b"\xef\xbb\xbf77 8", "\\ufeff77")),
    ("arabic-digits", (u"\u0661 8".encode("utf-8"), u"\u0661")),
    ("full-width-digits", (u"77 \uff18".encode("utf-8"), u"\uff18")),
    ("no-utf-8", (b"77 \xff", u"\ufffd")),
    ("comma", (b"77,8", "77,8")),
])


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_is_an_error_with_its_place_and_text(
        tmp_path, block_bytes, name):
    line, found = MALFORMED[name]
    path = write(tmp_path / "toy.txt", b"5 6\n\n" + line + b"\n5 7\n")
    with pytest.raises(ValueError) as error:
        read_sequences(path)
    assert path + ":3:" in str(error.value)
    assert "'%s'" % found in str(error.value)
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path, block_bytes):
    path = write(tmp_path / "toy.txt", b"\xef\xbb\xbf3 4\n3 5\n")
    assert as_lists(read_sequences(path)) == [(3, [4, 5])]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("read, text", [
    (read_sequences, u"3 4\n3 5\n"),
    (read_id_map, u"item\toriginal_id\n1\ta\n")])
def test_a_file_in_utf_16_is_named_as_such(tmp_path, read, text, encoding):
    path = write(tmp_path / "toy.txt", (u"\ufeff" + text).encode(encoding))
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(error.value) == path + ": it is UTF-16 text; save it as UTF-8"


def test_a_long_malformed_line_is_quoted_in_part(tmp_path):
    path = write(tmp_path / "toy.txt", b"1 2 " + b"x" * 100000 + b"\n")
    with pytest.raises(ValueError, match=":1: '1 2 xxx") as error:
        read_sequences(path)
    assert len(str(error.value)) < 300 + len(path)


def test_a_number_of_thousands_of_digits_is_an_error_with_its_place(tmp_path):
    path = write(tmp_path / "toy.txt", b"5 6\n5 " + b"9" * 5000 + b"\n")
    with pytest.raises(ValueError) as error:
        read_sequences(path)
    assert path + ":2:" in str(error.value)
    assert "'999" in str(error.value)
    assert len(str(error.value)) < 300 + len(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \t\r\n",
                                     b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_interactions_is_an_error(tmp_path, content):
    path = write(tmp_path / "toy.txt", content)
    with pytest.raises(ValueError, match="no interactions") as error:
        read_sequences(path)
    assert path in str(error.value)


def test_a_missing_file_is_an_io_error(tmp_path):
    with pytest.raises(IOError, match="absent.txt"):
        read_sequences(str(tmp_path / "absent.txt"))


ids = st.one_of(st.integers(1, 4), st.integers(1, LARGEST))


@plain_settings
@given(pairs=st.lists(st.tuples(ids, ids), min_size=1, max_size=40),
       block=st.sampled_from(block_sizes))
def test_any_pairs_are_grouped_as_a_plain_dict_groups_them(
        tmp_path_factory, pairs, block):
    path = write(tmp_path_factory.getbasetemp() / "pairs.txt",
                 b"".join(b"%d %d\n" % pair for pair in pairs))
    expected = collections.OrderedDict()
    for user, item in pairs:
        expected.setdefault(user, []).append(item)
    with mock.patch.object(sequences_module, "BLOCK_BYTES", block):
        assert as_lists(read_sequences(path)) == list(expected.items())


LINE = re.compile(br"[ \t\r\v\f]*([0-9]{1,19})[ \t\r\v\f]+([0-9]{1,19})"
                  br"[ \t\r\v\f]*\Z")


def is_well_formed(content):
    """The format's own definition, written down as a regular expression."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    lines = [line for line in content.split(b"\n") if line.strip()]
    matches = [LINE.match(line) for line in lines]
    return bool(lines) and all(
        match and all(1 <= int(field) <= LARGEST for field in match.groups())
        for match in matches)


fragments = st.sampled_from(
    [b"1", b"2", b"0", b"9223372036854775807", b" ", b" ", b"\n", b"\n", b"\t",
     b"\r\n", b"-", b".", b"x", b"\x00", b"\xef\xbb\xbf", b"\xff", b"\x1c",
     b"\x85", u"\u0661".encode("utf-8")])


@plain_settings
@given(content=st.one_of(
    st.binary(max_size=30),
    st.lists(fragments, max_size=15).map(b"".join),
    st.lists(st.sampled_from([b"1 2\n", b"3 1\r\n", b"2\t2\n", b"1 2 3\n",
                              b"4\n"]), max_size=4).map(b"".join)),
    block=st.sampled_from(block_sizes))
def test_any_bytes_are_read_or_refused_with_their_place(
        tmp_path_factory, content, block):
    path = write(tmp_path_factory.getbasetemp() / "fuzz.txt", content)
    with mock.patch.object(sequences_module, "BLOCK_BYTES", block):
        if is_well_formed(content):
            sequences = read_sequences(path)
            assert sum(map(len, sequences.values())) == sum(
                1 for line in content.split(b"\n") if line.strip())
        else:
            with pytest.raises(ValueError) as error:
                read_sequences(path)
            assert str(error.value).startswith(path + ":")


# --- data_partition ---------------------------------------------------------

@pytest.mark.parametrize("items, train, valid, test", [
    ([4], [4], [], []),
    ([4, 5], [4, 5], [], []),
    ([4, 5, 6], [4], [5], [6]),
    ([4, 5, 6, 4], [4, 5], [6], [4])])
def test_the_last_two_are_held_out_of_three_or_more(
        tmp_path, items, train, valid, test):
    path = write(tmp_path / "toy.txt",
                 b"".join(b"8 %d\n" % item for item in items))
    split = data_partition(path)
    assert split.train[8].tolist() == train
    assert split.valid[8].tolist() == valid
    assert split.test[8].tolist() == test


def test_the_split_keeps_all_users_in_order_and_counts_distinct_items(
        tmp_path):
    path = write(tmp_path / "toy.txt",
                 b"9 30\n2 10\n9 20\n2 10\n9 30\n5 40\n9 10\n")
    split = data_partition(path)
    assert as_lists(split.train) == [(9, [30, 20]), (2, [10, 10]), (5, [40])]
    assert as_lists(split.valid) == [(9, [30]), (2, []), (5, [])]
    assert as_lists(split.test) == [(9, [10]), (2, []), (5, [])]
    assert (split.usernum, split.itemnum) == (3, 4)


def test_the_split_refuses_a_malformed_file(tmp_path):
    path = write(tmp_path / "toy.txt", b"1 2\n1 b\n")
    with pytest.raises(ValueError, match=":2: 'b'"):
        data_partition(path)


# --- read_id_map ------------------------------------------------------------

def test_an_id_map_gives_original_ids_and_titles(tmp_path):
    path = write(tmp_path / "x.items.tsv", u"item\toriginal_id\ttitle\n1\tB00"
                 u"\tThe \\t\u00dc\n2\ta\\tb\\\\n\t\n".encode("utf-8"))
    assert list(read_id_map(path).items()) == [
        (1, ("B00", u"The \t\u00dc")), (2, ("a\tb\\n", ""))]
    path = write(tmp_path / "x.users.tsv",
                 b"\xef\xbb\xbfuser\toriginal_id\n1\tann\n")
    assert list(read_id_map(path).items()) == [(1, ("ann", ""))]


def test_an_id_map_may_have_been_saved_with_other_line_ends(tmp_path):
    path = write(tmp_path / "x.users.tsv",
                 b"user\toriginal_id\r\n1\tann\r\n2\ta\\r\r\n")
    assert list(read_id_map(path).values()) == [("ann", ""), ("a\r", "")]


@pytest.mark.parametrize("line", [b"1", b"x\ta", b"1\ta\tb\tc", b"-1\ta",
                                  b"\xc2\xb2\ta", b"1\tcaf\xe9", b""])
def test_a_malformed_line_of_an_id_map_is_named(tmp_path, line):
    path = write(tmp_path / "map.tsv", b"item\toriginal_id\n1\ta\n%s\n" % line)
    with pytest.raises(ValueError, match="map.tsv:3: "):
        read_id_map(path)
