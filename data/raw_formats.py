"""Reads raw interaction files line by line: the sources' and people's own.

A format is a generator over `Lines` that yields (user, item, time, rating),
all as the text that stands in the file, rating None where there is none.
Nothing is unpacked to disk, and no text is evaluated as code.
"""

import ast
import codecs
import contextlib
import csv
import gzip
import io
import json
import os
import posixpath
import re
import zipfile

import util

BUFFER = 1 << 20
EXAMPLES = 5               # skipped lines that the report quotes
LONGEST_LINE = 1 << 24     # bytes
MIB = 1 << 20


class Damaged(ValueError):
    """An archive that cannot be read to its end."""


# --- files and lines --------------------------------------------------------

@contextlib.contextmanager
def open_source(path, member=None):
    """Opens a plain, gzipped or zipped file for reading, by its first bytes.

    Args:
        path: str, the file's name.
        member: str, the base name of the file inside a zip; None: its only
            one. Without meaning for other files.

    Yields:
        (binary stream, function that says how many bytes of `path` were read).

    Raises:
        Damaged: the zip is damaged.
        ValueError: it has no such member, or several.
        IOError: the file cannot be read.
    """
    with open(path, "rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic == b"PK\x03\x04":
            archive, stream = _open_member(raw, path, member)
            with archive, stream:
                yield io.BufferedReader(stream, BUFFER), raw.tell
        elif magic.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream, raw.tell
        else:
            yield raw, raw.tell


def _open_member(raw, path, wanted):
    """(ZipFile, stream of the member named `wanted`, or of the only one)."""
    try:
        archive = zipfile.ZipFile(raw)
    except Exception as error:
        raise _damaged(path, error)
    name = _member_name(archive, path, wanted)
    try:
        return archive, archive.open(name)
    except Exception as error:
        raise _damaged(path, error)


def _member_name(archive, path, wanted):
    names = [name for name in archive.namelist() if not name.endswith("/")]
    found = [name for name in names
             if wanted is None or posixpath.basename(name) == wanted]
    if len(found) != 1:
        raise ValueError("%s: it holds %d files%s where one is needed; give "
                         "the file itself" % (
                             path, len(found),
                             " named " + wanted if wanted else ""))
    return found[0]


def _damaged(where, error):
    """What a damaged archive raised, and that may be anything, as Damaged.

    An error of the system, which has a number, stays what it is.
    """
    if getattr(error, "errno", None) or isinstance(error, MemoryError):
        return error
    return Damaged("%s: damaged or truncated: %s; get the file again"
                   % (where, error or type(error).__name__))


class Lines(object):
    """The text lines of a binary stream, with their numbers.

    A line that cannot be used is `reject`ed: by this class when it is no text,
    by the formats and by who takes their rows for what it says.

    Attributes:
        path: str, the file's name.
        skip: bool, whether a rejected line is left out; None: it may not be.
        number: int, of the line yielded last, from 1.
        skipped: int, how many lines were left out under on_error skip.
        examples: list of str, what was wrong with the first of them.
    """

    def __init__(self, stream, path, skip=False, encoding="utf-8",
                 position=None):
        self._stream, self.path, self._encoding = stream, path, encoding
        self._position = position or (lambda: 0)
        self.skip = skip
        self.number, self.skipped, self.examples = 0, 0, []

    def reject(self, problem, first=None):
        """Raises ValueError with the place, or counts it where that is asked.

        Args:
            problem: str, what is wrong.
            first: int, the line where it begins; None: the current one.
        """
        first = first or self.number
        if first < self.number:
            problem += " (down to line %d)" % self.number
        message = "%s:%d: %s" % (self.path, first, problem)
        if not self.skip:
            raise ValueError(message + (
                "" if self.skip is None else
                "; correct it, or leave such lines out with --on_error=skip"))
        self.skipped += self.number - first + 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(message)

    def __iter__(self):
        progress = util.Progress(os.path.getsize(self.path) // MIB, "MiB")
        shown = 0
        for line in iter(self._read_line, b""):
            self.number += 1
            if not self.number & 0xffff and self._position() // MIB > shown:
                progress.update(self._position() // MIB - shown,
                                "line %d" % self.number)
                shown = self._position() // MIB
            if self.number == 1 and line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8):]
            if len(line) > LONGEST_LINE:
                while line and not line.endswith(b"\n"):
                    line = self._read_line()
                self.reject("a line of more than %d bytes" % LONGEST_LINE)
                continue
            try:
                text = line.decode(self._encoding)
            except UnicodeDecodeError as error:
                self.reject("%s is not UTF-8 text; save the file as UTF-8"
                            % util.quote(line[error.start:]))
                continue
            if "\0" in text:
                self.reject("%s holds a NUL byte; save the file as UTF-8 text"
                            % util.quote(text))
                continue
            yield text
        progress.close()

    def _read_line(self):
        try:
            return self._stream.readline(LONGEST_LINE + 1)
        except Exception as error:
            raise _damaged("%s, after line %d" % (self.path, self.number),
                           error)


# --- delimited text ---------------------------------------------------------

def delimited(lines, columns, delimiter=",", header=True, width=None):
    """CSV with RFC 4180's quotes, or tab-separated text without quotes.

    Args:
        lines: Lines.
        columns: list of four str: the names of the columns of user, item,
            time and rating in the first line, or without header their numbers
            from 1; None for no rating.
        delimiter: str, one character.
        header: bool, whether the first line holds the columns' names.
        width: int, columns that every line has; None: as many as the header,
            or as `columns` needs.

    Yields:
        (user, item, time, rating).

    Raises:
        ValueError: a column is missing, or a line is malformed.
    """
    rows = csv.reader(lines, delimiter=delimiter, strict=True,
                      quoting=csv.QUOTE_NONE if delimiter == "\t"
                      else csv.QUOTE_MINIMAL)
    if header:
        names = _header(rows, lines)
        picks = [_position(names, name, lines) for name in columns]
        width = len(names)
    else:
        picks = [_number(name) for name in columns]
    least = width or 1 + max(pick for pick in picks if pick is not None)
    user, item, time, rating = picks
    while True:
        first = lines.number + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            lines.reject("not well-formed: %s" % error, first)
            continue
        if _is_empty(row):
            continue
        if len(row) < least or len(row) > (width or len(row)):
            lines.reject("%d columns where there should be %d: %s" % (
                len(row), least, util.quote(delimiter.join(row[:9]))), first)
            continue
        yield (row[user], row[item], row[time],
               None if rating is None else row[rating])


def _is_empty(row):
    """Whether the line of a row held nothing, or white space alone."""
    return len(row) < 2 and not "".join(row).strip()


def _header(rows, lines):
    """The names in the first line that is not empty; never skipped."""
    skip, lines.skip = lines.skip, None
    try:
        names = [name.strip() for name in next(
            row for row in rows if not _is_empty(row))]
    except StopIteration:
        raise ValueError("%s: the file is empty; give one whose first line "
                         "names its columns" % lines.path)
    except csv.Error as error:
        lines.reject("not well-formed: %s" % error)
    lines.skip = skip
    return names


def _position(names, name, lines):
    """Where the column `name` is; None for None."""
    if name is None:
        return None
    if names.count(name) != 1:
        lines.skip = None
        lines.reject("%d columns are named %r; the first line names %s%s" % (
            names.count(name), name, ", ".join(map(util.quote, names[:20])),
            ", ..." if len(names) > 20 else ""))
    return names.index(name)


def _number(name):
    """A column's number from 1, as text -> its index from 0."""
    if name is None:
        return None
    if not re.match(r"[1-9][0-9]{0,5}\Z", name):
        raise ValueError("%r is not the number of a column; without header "
                         "columns are numbered from 1" % name)
    return int(name) - 1


def double_colon(lines):
    """MovieLens-1M's ratings.dat: user::item::rating::time."""
    for line in lines:
        fields = line.strip().split("::")
        if fields == [""]:
            continue
        if len(fields) != 4:
            lines.reject("%s is not user::item::rating::time"
                         % util.quote(line))
            continue
        user, item, rating, time = fields
        yield user, item, time, rating


def double_colon_titles(lines):
    """MovieLens-1M's movies.dat, item::title::genres, as (item, title)."""
    for line in lines:
        fields = line.strip().split("::")
        if len(fields) >= 3:
            yield fields[0], "::".join(fields[1:-1])
        elif fields != [""]:
            lines.reject("%s is not item::title::genres" % util.quote(line))


def csv_titles(lines):
    """MovieLens-20M's movies.csv as (item, title)."""
    for item, title, _, _ in delimited(
            lines, ["movieId", "title", "movieId", None]):
        yield item, title


# --- JSON lines and Python literals -----------------------------------------

def json_lines(lines, columns):
    """One JSON object a line; `columns` are the keys, None for no rating."""
    user, item, time, rating = columns
    for record in _records(lines, json.loads):
        try:
            yield (_id(record, user), _id(record, item), _value(record, time),
                   None if rating is None else _value(record, rating))
        except ValueError as error:
            lines.reject(str(error))


def steam(lines):
    """The Steam reviews of either archive, as JSON or as Python literals.

    In steam_reviews.json.gz a line is a review: username, product_id, date.
    In australian_user_reviews.json.gz a line is a user: user_id and a list
    `reviews`, each with item_id and posted.
    """
    for record in _records(lines, _json_or_literal):
        if isinstance(record.get("reviews"), list):
            calls = [(_australian, record, review)
                     for review in record["reviews"]]
        else:
            calls = [(_review, record)]
        for call in calls:
            try:
                yield call[0](*call[1:])
            except ValueError as error:
                lines.reject(str(error))


def _review(record):
    return (_id(record, "username"), _id(record, "product_id"),
            _value(record, "date"), None)


def _australian(user, review):
    if not isinstance(review, dict):
        raise ValueError("%s is not a review" % util.quote(review))
    return (_id(user, "user_id"), _id(review, "item_id"),
            _posted(_value(review, "posted")), None)


_MONTHS = ("January February March April May June July August September "
           "October November December").split()
_POSTED = re.compile(r"Posted (%s) ([0-9]{1,2})(?:, ([0-9]{4}))?\.?\Z"
                     % "|".join(_MONTHS))

# Steam leaves out the year of a review of the current year. The archive was
# made in 2016: the dates that name a year end in 2015.
_ARCHIVE_YEAR = 2016


def _posted(text):
    """'Posted November 5, 2011.' -> '2011-11-05'."""
    match = _POSTED.match(text.strip())
    if not match:
        raise ValueError("%s is not a date as in 'Posted November 5, 2011.'"
                         % util.quote(text))
    month, day, year = match.groups()
    return "%04d-%02d-%02d" % (int(year or _ARCHIVE_YEAR),
                               _MONTHS.index(month) + 1, int(day))


def _records(lines, parse):
    """The objects (dicts) of lines, each parsed by `parse`."""
    for line in lines:
        text = line.strip()
        if not text:
            continue
        try:
            record = parse(text)
        except (ValueError, RecursionError) as error:
            lines.reject("%s is not an object: %s"
                         % (util.quote(text), util.quote(str(error))))
            continue
        if isinstance(record, dict):
            yield record
        else:
            lines.reject("%s is not an object with keys" % util.quote(text))


def _id(record, name):
    """An id of a record as text; a fraction is no id."""
    return _value(record, name, (str, int))


def _value(record, name, types=(str, int, float)):
    """A value of a record as text."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, types):
        raise ValueError("%r: %s is not %s; the keys here are %s" % (
            name, util.quote(value),
            "text or a number" if float in types else "an id",
            ", ".join(map(util.quote, list(record)[:9]))))
    return str(value)


def _json_or_literal(text):
    try:
        return json.loads(text)
    except ValueError:
        return _literal(text)


_STRING = re.compile(
    r"""[uUbB]?(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")""", re.S)
_SKELETON = re.compile(
    r"(?:[\[\](){},:\s]|True|False|None"
    r"|-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?(?=\s*(?:[\])},:]|\Z)))*\Z")
_DEEPEST = 20


def _literal(text):
    """A Python literal of plain values; ast.literal_eval behind a guard.

    literal_eval runs no code, but a long chain of operators or deep brackets
    exhausts the interpreter's C stack before it can refuse them. So what is
    left without the strings must be values, commas and brackets, not deep.

    Raises:
        ValueError: the text is no such literal.
    """
    skeleton = _STRING.sub(",", text)
    depth = deepest = 0
    for bracket in re.findall(r"[\[\](){}]", skeleton):
        depth += 1 if bracket in "[({" else -1
        deepest = max(deepest, depth)
    if deepest > _DEEPEST or not _SKELETON.match(skeleton):
        raise ValueError("neither JSON nor a plain Python literal")
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError(str(error))
