"""The raw formats, their broken lines and damaged archives."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from conftest import ROOT

from data import raw_formats

plain_settings = settings(max_examples=150, deadline=None, database=None,
                          derandomize=True)
COLUMNS = ["user", "item", "time", None]


def write(path, content):
    with open(str(path), "wb") as stream:
        stream.write(content)
    return str(path)


def read(tmp_path, content, rows, skip=False, encoding="utf-8", member=None):
    """(rows, Lines) of a file of these bytes."""
    path = write(tmp_path / "raw", content)
    with raw_formats.open_source(path, member) as (stream, position):
        lines = raw_formats.Lines(stream, path, skip, encoding, position)
        return list(rows(lines)), lines


def csv_rows(lines):
    return raw_formats.delimited(lines, COLUMNS)


def tsv_rows(lines):
    return raw_formats.delimited(lines, COLUMNS, delimiter="\t")


def json_rows(lines):
    return raw_formats.json_lines(lines, COLUMNS)


def refused(tmp_path, content, rows, *parts, **options):
    with pytest.raises(ValueError) as error:
        read(tmp_path, content, rows, **options)
    for part in parts:
        assert part in str(error.value), str(error.value)
    assert len(str(error.value)) < 500


# --- delimited --------------------------------------------------------------

HEAD = b"user,item,time\n"


@pytest.mark.parametrize("content, expected", [
    (HEAD + b"a,b,1\n", [("a", "b", "1", None)]),
    (b"time,x,item,user\n1,0,b,a\n", [("a", "b", "1", None)]),
    (HEAD + b"a,b,1", [("a", "b", "1", None)]),
    (b"\xef\xbb\xbf" + HEAD + b"a,b,1\n", [("a", "b", "1", None)]),
    (b"user,item,time\r\na,b,1\r\n\r\n", [("a", "b", "1", None)]),
    (b"\n \n" + HEAD + b"\na,b,1\n  \n", [("a", "b", "1", None)]),
    (b' "user" , item ,time\n', None),
    (b'user, item ,time\n"a,""q""","b\nc",1\n', [("a,\"q\"", "b\nc", "1", None)]),
    (HEAD + u"\u00fc\u2028,\x85\u00a0\x1c,1\n".encode("utf-8"),
     [(u"\u00fc\u2028", u"\x85\u00a0\x1c", "1", None)]),
    (HEAD, [])],
    ids=["plain", "any-order", "no-last-newline", "bom", "crlf", "empty-lines",
         "quotes-after-space", "quotes", "exotic-spaces", "no-rows"])
def test_csv_as_rfc_4180_has_it(tmp_path, content, expected):
    if expected is None:
        refused(tmp_path, content, csv_rows, "raw:1:")
    else:
        assert read(tmp_path, content, csv_rows)[0] == expected


def test_tsv_takes_quotes_as_they_are(tmp_path):
    rows, _ = read(tmp_path, b'user\titem\ttime\n"a\t"b"\t1\n', tsv_rows)
    assert rows == [('"a', '"b"', "1", None)]


def test_columns_go_by_number_where_there_is_no_header(tmp_path):
    def rows(lines):
        return raw_formats.delimited(lines, ["2", "1", "4", "3"], header=False)
    assert read(tmp_path, b"i,u,5.0,9,more\nj,v,4.0,8\n", rows)[0] == [
        ("u", "i", "9", "5.0"), ("v", "j", "8", "4.0")]
    refused(tmp_path, b"i,u,5.0,9\nj,v,4.0\n", rows, "raw:2: 3 columns",
            "should be 4", "j,v,4.0")


@pytest.mark.parametrize("number", ["0", "-1", "user", "", "1.0", "9" * 40])
def test_a_column_number_starts_at_1(tmp_path, number):
    refused(tmp_path, b"a,b,1\n", lambda lines: raw_formats.delimited(
        lines, ["1", "2", number, None], header=False), "numbered from 1")


@pytest.mark.parametrize("content, parts", [
    (b"", ("raw: the file is empty; give one whose first line",)),
    (b" \n\n", ("raw: the file is empty",)),
    (b"a,b,1\n", ("raw:1: 0 columns are named 'user'", "'a', 'b', '1'")),
    (b"user,user,item,time\n", ("raw:1: 2 columns are named 'user'",)),
    (HEAD + b"a,b\n", ("raw:2: 2 columns", "should be 3", "a,b",
                       "--on_error=skip")),
    (HEAD + b"a,b,1,2\n", ("raw:2: 4 columns", "a,b,1,2")),
    (HEAD + b"a,b,1\n,,,,,\n", ("raw:3: 6 columns",)),
    (HEAD + b"a,b,1\n\"a,b,1\nc,d,2\n", ("raw:3: not well-formed",)),
    (HEAD + b"\"a\"x,b,1\n", ("raw:2: not well-formed",)),
    (HEAD + b"a\rb,b,1\n", ("raw:2: not well-formed",)),
    (HEAD + b"a,\xff\xfeb,1\n", ("raw:2:", "is not UTF-8", "\\xff")),
    (HEAD + b"a,b\x00,1\n", ("raw:2:", "NUL byte")),
    (u"user,item,time\n".encode("utf-16"), ("raw:1:", "UTF-8")),
    (u"user,item,time\n".encode("utf-16-le"), ("raw:1:", "NUL byte")),
    (HEAD + b"a" + b",b" * 1000000 + b"\n", ("raw:2: 1000001 columns",)),
    (HEAD + b"a" * 200000 + b",b,1\n", ("raw:2: not well-formed", "limit")),
    (b"x," * 1000000 + b"\n", ("raw:1:", "...")),
    (HEAD + b"a" * (raw_formats.LONGEST_LINE + 9) + b"\n",
     ("raw:2: a line of more than",))],
    ids=["empty", "blank", "no-header", "twice", "few", "many", "only-commas",
         "open-quote", "after-quote", "bare-cr", "latin-1", "nul", "utf-16",
         "utf-16-le", "million-columns", "long-field", "million-names",
         "long-line"])
def test_a_malformed_line_is_named(tmp_path, content, parts):
    refused(tmp_path, content, csv_rows, *parts)


def test_skipped_lines_are_counted_and_the_first_quoted(tmp_path):
    bad = [b"a,b\n", b"\xff,b,1\n", b"a,\x00,1\n", b"\"a\"x,b,1\n",
           b"a" * (raw_formats.LONGEST_LINE + 9) + b"\n", b",\n", b"z\n"]
    good = [b"u%d,i,%d\n" % (n, n) for n in range(len(bad))]
    content = HEAD + b"".join(b + g for b, g in zip(bad, good))
    rows, lines = read(tmp_path, content, csv_rows, skip=True)
    assert rows == [("u%d" % n, "i", str(n), None) for n in range(len(bad))]
    assert lines.skipped == len(bad)
    assert len(lines.examples) == raw_formats.EXAMPLES
    assert [example.split("raw:")[1].split(":")[0]
            for example in lines.examples] == ["2", "4", "6", "8", "10"]


def test_a_quote_that_never_closes_is_skipped_with_what_it_swallowed(tmp_path):
    rows, lines = read(tmp_path, HEAD + b"a,b,1\n\"c,d,2\ne,f,3\n", csv_rows,
                       skip=True)
    assert rows == [("a", "b", "1", None)]
    assert lines.skipped == 2
    assert re.match(r".*raw:3: .*\(down to line 4\)$", lines.examples[0])


@pytest.mark.parametrize("content", [b"\xff,item,time\na,b,1\n", b"\"user\n",
                                     b"a,b,1\n", b""])
def test_a_bad_header_is_never_skipped(tmp_path, content):
    for skip in (False, True):
        with pytest.raises(ValueError, match="raw:") as error:
            read(tmp_path, content, csv_rows, skip=skip)
        assert "--on_error" not in str(error.value)


# --- MovieLens --------------------------------------------------------------

def test_ratings_dat_and_movies_dat(tmp_path):
    rows, _ = read(tmp_path, b"1::1193::5::978300760\n\n2::661::3::9\r\n",
                   raw_formats.double_colon)
    assert rows == [("1", "1193", "978300760", "5"), ("2", "661", "9", "3")]
    rows, _ = read(
        tmp_path, u"1::Les Mis\u00e9rables (1995)::Drama\n2::a::b::C\n".encode(
            "latin-1"), raw_formats.double_colon_titles, encoding="latin-1")
    assert rows == [("1", u"Les Mis\u00e9rables (1995)"), ("2", "a::b")]


@pytest.mark.parametrize("line", [b"1::2::3", b"1::2::3::4::5", b"1,2,3,4"])
def test_a_malformed_line_of_ratings_dat_is_named(tmp_path, line):
    refused(tmp_path, b"1::2::3::4\n" + line, raw_formats.double_colon,
            "raw:2:", line.decode(), "user::item::rating::time")
    refused(tmp_path, b"1::2", raw_formats.double_colon_titles, "raw:1:")


def test_movies_csv_has_commas_in_titles(tmp_path):
    rows, _ = read(tmp_path, b"movieId,title,genres\n"
                   b'11,"American President, The (1995)",Drama\n',
                   raw_formats.csv_titles)
    assert rows == [("11", "American President, The (1995)")]


# --- JSON lines -------------------------------------------------------------

def test_json_lines_take_text_and_numbers(tmp_path):
    content = (b'{"user": "a", "item": 5, "time": 1.5, "more": [1]}\n\n'
               b'{"time": "2014-01-02", "item": "\\u00fc\\n", "user": -3}\r\n')
    assert read(tmp_path, content, json_rows)[0] == [
        ("a", "5", "1.5", None), ("-3", u"\u00fc\n", "2014-01-02", None)]


@pytest.mark.parametrize("line, part", [
    (b"[1]", "object with keys"), (b"{", "is not an object"),
    (b"user", "is not an object"), (b"'user'", "is not an object"),
    (b"{'user': 1}", "is not an object"), (b'{"user": 1}', "'item': None"),
    (b'{"user": 1, "item": null, "time": 1}', "'item': None"),
    (b'{"user": true, "item": 1, "time": 1}', "'user': True"),
    (b'{"user": 1.5, "item": 1, "time": 1}', "not an id"),
    (b'{"user": NaN, "item": 1, "time": 1}', "not an id"),
    (b'{"user": 1, "item": 1, "time": [1]}', "text or a number"),
    (b'{"user": 1, "item": 1, "time": ' + b"[" * 100000, "is not an object"),
    (b'{"user": ' + b"[" * 100000 + b"]" * 100000, "is not an object")],
    ids=lambda value: str(value)[:40])
def test_a_malformed_object_is_named(tmp_path, line, part):
    good = b'{"user": 1, "item": 2, "time": 3}\n'
    refused(tmp_path, good + line + b"\n", json_rows, "raw:2:", part)
    rows, lines = read(tmp_path, good + line + b"\n" + good, json_rows,
                       skip=True)
    assert len(rows) == 2 and lines.skipped == 1


# --- Steam ------------------------------------------------------------------

REVIEW = {"username": u"Chaos Syr\u00e9n", "hours": 0.1, "products": 41,
          "product_id": "725280", "page_order": 0, "date": "2017-12-17",
          "text": "it's \"fine\" (: [[[ \\ {", "early_access": False}
USER = {"user_id": "js41637", "user_url": "http://steam/js41637", "reviews": [
    {"funny": "", "posted": "Posted November 5, 2011.", "item_id": "1250",
     "recommend": True, "review": "don't"},
    {"posted": "Posted June 24.", "item_id": "22200"}]}


def python_2(record):
    """repr as Python 2 wrote it, and the real archives have it."""
    return "{%s}" % ", ".join(
        "u%r: %s%s" % (key, "u" if isinstance(value, str) else "",
                       ascii(value)) for key, value in record.items())


@pytest.mark.parametrize("form", [json.dumps, repr, python_2])
def test_steam_reviews_of_both_archives_in_every_notation(tmp_path, form):
    content = (form(REVIEW) + "\n").encode("utf-8")
    assert read(tmp_path, content, raw_formats.steam)[0] == [
        (u"Chaos Syr\u00e9n", "725280", "2017-12-17", None)]
    content = (form(USER) + "\n").encode("utf-8")
    assert read(tmp_path, content, raw_formats.steam)[0] == [
        ("js41637", "1250", "2011-11-05", None),
        ("js41637", "22200", "2016-06-24", None)]


def test_a_user_without_reviews_is_no_error(tmp_path):
    assert read(tmp_path, b"{'user_id': 'a', 'reviews': []}\n",
                raw_formats.steam)[0] == []


def test_a_bad_review_costs_no_other_of_its_user(tmp_path):
    user = dict(USER, reviews=[
        {"item_id": "1", "posted": "yesterday"}, "x", None, USER["reviews"][0]])
    content = (repr(user) + "\n").encode("utf-8")
    refused(tmp_path, content, raw_formats.steam, "raw:1:", "'yesterday'")
    rows, lines = read(tmp_path, content, raw_formats.steam, skip=True)
    assert rows == [("js41637", "1250", "2011-11-05", None)]
    assert lines.skipped == 3


HOSTILE = [
    "__import__('os').system('touch %s')", "open('%s', 'w')",
    "{'username': open('%s', 'w')}", "[].__class__", "{1: 2}[1]", "f'{1}'",
    "lambda: 0", "1+1", "-1-1", "1j", "{**{}}", "{[]: 1}", "{1:", "'a' 'b'",
    "x", "(" * 90 + ")" * 90, "[" * 100000 + "]" * 100000,
    "-" * 100000 + "1", "1" + "+1" * 100000, "a" + ".a" * 100000,
    "{1:" * 9999 + "1" + "}" * 9999, "'" + "\\" * 9999, "{'a': 1e999999}",
    "{" + "'a': 1, " * 9999 + "}", "u'\\ud800'", "'\\N{nothing}'", "9" * 9999]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_literal_is_data_or_refused_and_never_run(tmp_path, number):
    marker = str(tmp_path / "ran")
    line = HOSTILE[number].replace("%s", marker).encode("utf-8")
    refused(tmp_path, line + b"\n", raw_formats.steam, "raw:1:")
    assert not os.path.exists(marker)


def test_a_chain_that_crashes_the_interpreter_is_refused_before():
    code = ("import sys; sys.path[:0] = ['.']; from data import raw_formats\n"
            "for chain in ('1' + '+1' * 3000000, 'a' + '.a' * 3000000,\n"
            "              '[' * 5000 + ']' * 5000):\n"
            "    try: raw_formats._literal(chain)\n"
            "    except ValueError: print('refused')")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = process.communicate()
    assert (process.returncode, output.split(), errors) == (
        0, [b"refused"] * 3, b"")


plain_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(),
              st.floats(allow_nan=False, allow_infinity=False), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner, inner),
                            st.dictionaries(st.text(), inner)), max_leaves=9)


@plain_settings
@given(value=plain_values)
def test_what_repr_prints_is_read_back(value):
    assert raw_formats._literal(repr(value)) == value


# --- archives ---------------------------------------------------------------

TEXT = HEAD + b"".join(b"u%d,i%d,%d\n" % (n, n * n, n) for n in range(2000))
ROWS = [("u%d" % n, "i%d" % (n * n), str(n), None) for n in range(2000)]


def gzipped(content=TEXT):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


def zipped(members=(("ml/ratings.csv", TEXT), ("ml/README", b"x"))):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("content, member", [
    (TEXT, "ratings.csv"), (b"PK,XY," + TEXT.replace(b"\nu", b"\n,,u"), None),
    (gzipped(), None), (zipped(), "ratings.csv"),
    (zipped([("only.csv", TEXT)]), None),
    (zipped([("../../ratings.csv", TEXT)]), "ratings.csv"),
    (zipped([("/ratings.csv", TEXT)]), "ratings.csv")],
    # Not by their bytes, in which a zip has the time: every process that runs
    # tests must name them alike.
    ids=["plain", "PK text", "gzip", "zip", "the one member", "above", "root"])
def test_files_open_by_their_first_bytes(tmp_path, content, member):
    rows, lines = read(tmp_path, content, csv_rows, member=member)
    assert rows == ROWS and lines.number == 2001
    assert os.listdir(str(tmp_path)) == ["raw"]  # nothing is unpacked


@pytest.mark.parametrize("members, part", [
    ([("a.csv", TEXT)], "holds 0 files named ratings.csv"),
    ([("a/ratings.csv", TEXT), ("b/ratings.csv", TEXT)], "holds 2 files")])
def test_a_zip_holds_the_member_once(tmp_path, members, part):
    refused(tmp_path, zipped(members), csv_rows, part, member="ratings.csv")


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("archive", [gzipped(), zipped()],
                         ids=["gzip", "zip"])
def test_a_truncated_archive_is_an_error_even_where_lines_are_skipped(
        tmp_path, archive, skip):
    for end in list(range(4, 60)) + list(range(60, len(archive), 97)) + [
            len(archive) - 1]:
        refused(tmp_path, archive[:end], csv_rows, "raw", "damaged or trunc",
                "get the file again", member="ratings.csv", skip=skip)


@plain_settings
@given(position=st.integers(0, 10 ** 6), flip=st.integers(1, 255),
       kind=st.booleans())
def test_a_flipped_byte_is_found_or_does_no_harm(
        tmp_path_factory, position, flip, kind):
    archive = bytearray(gzipped() if kind else zipped())
    archive[position % len(archive)] ^= flip
    folder = tmp_path_factory.getbasetemp()
    try:
        rows, _ = read(folder, bytes(archive), csv_rows, member="ratings.csv")
    except ValueError as error:
        assert str(folder) in str(error)
    else:
        assert rows == ROWS


def test_a_missing_file_is_an_io_error(tmp_path):
    with pytest.raises(IOError, match="absent"):
        with raw_formats.open_source(str(tmp_path / "absent")):
            pass


# --- any bytes --------------------------------------------------------------

def expected_rows(content):
    """Rows of quote-free CSV by its definition, or None where it is malformed."""
    rows, width = [], None
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    for line in content.split(b"\n"):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None
        text = text.rstrip("\r")
        if "\0" in text or "\r" in text:
            return None
        if not text.strip():
            continue
        fields = text.split(",")
        if width is None:
            names = [field.strip() for field in fields]
            if any(names.count(name) != 1 for name in COLUMNS[:3]):
                return None
            picks, width = [names.index(name) for name in COLUMNS[:3]], len(names)
        elif len(fields) != width:
            return None
        else:
            rows.append(tuple(fields[pick] for pick in picks) + (None,))
    return None if width is None else rows


fragments = st.sampled_from(
    [b"a", b"-1", b"9" * 30, b",", b",", b"a,b,1", b"a,b,1\n", b"\n", b"\n",
     b"\r\n", b" ", b"\x00", b"\xef\xbb\xbf", b"\xff", b"\x1c", b"\xc2\x85",
     u"\u2028\u0661".encode("utf-8"), b"\t", b";"])
heads = st.sampled_from([HEAD, b"time,item,user\r\n", b"\xef\xbb\xbf" + HEAD,
                         b"x," + HEAD, b"user,item\n", b""])


@settings(plain_settings, max_examples=400)
@given(head=heads, parts=st.lists(fragments, max_size=12), skip=st.booleans())
def test_any_text_without_quotes_is_read_as_defined_or_refused(
        tmp_path_factory, head, parts, skip):
    content = head + b"".join(parts)
    folder = tmp_path_factory.getbasetemp()
    expected = expected_rows(content)
    try:
        rows, lines = read(folder, content, csv_rows, skip=skip)
    except ValueError as error:
        assert expected is None
        assert "raw:" in str(error)
    else:
        assert lines.skipped > 0 if expected is None else rows == expected
        assert skip or not lines.skipped


@plain_settings
@given(content=st.binary(max_size=200), skip=st.booleans(),
       rows=st.sampled_from([csv_rows, tsv_rows, json_rows, raw_formats.steam,
                             raw_formats.double_colon]),
       start=st.sampled_from([b"", HEAD, b'{"user": ', b"\x1f\x8b\x08", b"PK",
                              b"PK\x03\x04"]))
def test_any_bytes_are_rows_or_a_value_error(
        tmp_path_factory, content, skip, rows, start):
    try:
        found, _ = read(tmp_path_factory.getbasetemp(), start + content, rows,
                        skip=skip)
    except ValueError as error:
        assert "raw" in str(error)
    else:
        assert all(len(row) == 4 for row in found)
