"""Makes data/<name>.txt from what a source publishes, or from your own file.

    python data/prepare_data.py ml-1m
    python data/prepare_data.py --input=my.csv --user_column=user \\
        --item_column=item --time_column=time

writes, all at once or not at all, <data_dir><name>{.txt,.items.tsv,.users.tsv,
.json}: interactions, original ids, and the record of what was done.
"""

import collections
import contextlib
import functools
import io
import json
import os
import re
import shutil
import sys
import time
import zipfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402  first: it explains what is missing

from absl import app  # noqa: E402
from absl import flags  # noqa: E402

from data import (  # noqa: E402
    download, interactions, known_datasets, raw_formats, sequences)

ENDINGS = (".txt", ".items.tsv", ".users.tsv", ".json")
DATASETS = known_datasets.DATASETS
COLUMNS = ("user_column", "item_column", "time_column", "rating_column")


def define_flags(values=flags.FLAGS):
    """Defines this command's flags. Only `__main__` calls it, and tests."""
    def define(kind, *arguments, **options):
        getattr(flags, "DEFINE_" + kind)(
            *arguments, flag_values=values, **options)

    define("string", "data_dir", "./data/", "Folder of the outputs; downloads "
           "go to its folder raw/.")
    define("string", "name", None, "Name of the outputs; default: the dataset's, "
           "or the input's up to its first dot.")
    define("string", "input", None, "A local file instead of a download, or "
           "your own file.")
    define("string", "source", None, "Which of a dataset's files, by its name; "
           "default: the first that docs/data.md lists.")
    define("string", "url", None, "Another place to download the file from.")
    define("enum", "format", None, ["csv", "tsv", "jsonl"],
           "Of your own file, gzipped or not; tsv has no quotes. Default: what "
           "its name ends in.")
    define("boolean", "header", True, "The first line of your csv or tsv holds "
           "the columns' names; without, columns are numbered from 1.")
    define("string", "user_column", None, "Column, or JSON key, of the user.")
    define("string", "item_column", None, "Column, or JSON key, of the item.")
    define("string", "time_column", None, "Column, or JSON key, of the time: "
           "all numbers, or all ISO dates.")
    define("string", "rating_column", None, "Column, or JSON key, of the rating.")
    define("integer", "min_user_count", None, "Interactions that a user has at "
           "least; default: the dataset's, 1 for your own.", lower_bound=1)
    define("integer", "min_item_count", None, "Interactions that an item has "
           "at least; default: the dataset's, 1 for your own.", lower_bound=1)
    define("enum", "filter", None, ["once", "items-then-users", "k-core"],
           "Counts are taken once over all interactions; or users are counted "
           "over what the items' minimum left; or both until nothing changes. "
           "Default: the dataset's.")
    define("float", "min_rating", None, "Leaves out lower ratings; default: "
           "none are.")
    define("enum", "duplicates", None, ["keep", "first", "last"],
           "When a user takes an item again; default: the dataset's.")
    define("string", "ties", None, "Order of a user's equal times: file-order, "
           "item-id or random:SEED; default: file-order.")
    define("enum", "on_error", "stop", ["stop", "skip"],
           "What a malformed line does: stop, or be left out and counted.")


# --- what was asked for -----------------------------------------------------

def chosen_dataset(args, arguments):
    """The Dataset that the arguments name, or None for one's own file.

    Raises:
        ValueError: the arguments do not go together.
    """
    if len(arguments) > 1 or (arguments and arguments[0] not in DATASETS):
        raise ValueError("%s is no dataset; give one of %s, or your own file "
                         "with --input" % (
                             util.quote(" ".join(arguments)),
                             ", ".join(DATASETS)))
    own = [name for name in COLUMNS + ("format",) if getattr(args, name)]
    own += [] if args.header else ["noheader"]
    if arguments:
        if own:
            raise ValueError("--%s is for your own file; leave it out, or "
                             "leave out %s" % (own[0], arguments[0]))
        return DATASETS[arguments[0]]
    if not args.input:
        raise ValueError("give a dataset (%s), or your own file with --input"
                         % ", ".join(DATASETS))
    columns = [getattr(args, name) for name in COLUMNS if getattr(args, name)]
    for name in COLUMNS[:3]:
        if not getattr(args, name):
            raise ValueError("--%s is missing: the column of %s that holds the "
                             "%s" % (name, args.input, name.split("_")[0]))
    if len(set(columns)) < len(columns):
        raise ValueError("user, item, time and rating are columns of their "
                         "own, not %s" % ", ".join(columns))
    if args.source or args.url:
        raise ValueError("--source and --url are for a dataset; give its name "
                         "(%s)" % ", ".join(DATASETS))
    return None


def chosen_source(args, dataset):
    """The Source to take: --source, or by the input's name, or the first.

    Raises:
        ValueError: --source is not one of the dataset's.
    """
    names = [source.file for source in dataset.sources]
    if args.source and args.source not in names:
        raise ValueError("--source=%s is not of this dataset; it has %s"
                         % (args.source, ", ".join(names)))
    given = os.path.basename(args.input or "")
    for source in dataset.sources:
        # Its file may be unpacked.
        if args.source == source.file or not args.source and given in (
                source.file, re.sub(r"\.gz\Z", "", source.file)):
            return source
    return dataset.sources[0]


def own_source(args):
    """A Source for one's own file."""
    base = re.sub(r"\.gz\Z", "", args.input)
    ending = args.format or os.path.splitext(base)[1][1:].lower()
    columns = [getattr(args, name) for name in COLUMNS]
    if ending in ("csv", "tsv"):
        rows = functools.partial(
            raw_formats.delimited, columns=columns, header=args.header,
            delimiter="," if ending == "csv" else "\t")
    elif ending in ("jsonl", "json", "ndjson"):
        if not args.header:
            raise ValueError("--noheader is for csv and tsv; the keys of JSON "
                             "lines are the columns, so leave it out")
        rows = functools.partial(raw_formats.json_lines, columns=columns)
    else:
        raise ValueError("%s: its name does not say whether it is csv, tsv or "
                         "jsonl; say it with --format" % args.input)
    return known_datasets.Source(os.path.basename(args.input), None, False,
                                 None, rows, "utf-8", None, None, None)


def chosen_filters(args, dataset, source):
    """Choices: what the flags say, else the dataset's.

    Raises:
        ValueError: --ties is malformed, or there are no ratings to compare.
    """
    defaults = dataset.choices if dataset else known_datasets.OWN
    choices = interactions.Choices(*[
        default if getattr(args, name) is None else getattr(args, name)
        for name, default in zip(defaults._fields, defaults)])
    interactions.parse_ties(choices.ties)
    if choices.min_rating is not None and not (dataset or args.rating_column):
        raise ValueError("--min_rating needs --rating_column")
    if choices.min_rating is not None and source.rows is raw_formats.steam:
        raise ValueError("--min_rating=%s: %s has no ratings; leave it out"
                         % (choices.min_rating, source.file))
    return choices


def output_prefix(args, arguments):
    """<data_dir><name>, checked.

    Raises:
        ValueError: the name is no plain name, or an output is the input.
    """
    name = args.name or (arguments or [
        os.path.basename(args.input).split(".")[0]])[0]
    if not re.match(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", name):
        raise ValueError("--name=%s: a name is made of letters, digits, '_', "
                         "'-' and '.'" % name)
    prefix = os.path.join(args.data_dir, name)
    for ending in ENDINGS:
        if args.input and os.path.exists(prefix + ending) and os.path.samefile(
                prefix + ending, args.input):
            raise ValueError("%s would be overwritten; choose another --name"
                             % args.input)
    return prefix


def check_replaced(prefix, file):
    """Raises ValueError where there are interactions of this name already
    that were made of another file, or not by this command.

    Args:
        prefix: str, <data_dir><name>. file: str, the input.
    """
    there = prefix + ".txt"
    if not os.path.exists(there):
        return
    try:
        with io.open(prefix + ".json", encoding="utf-8") as stream:
            origin = json.load(stream)["source"]["file"]
    except (EnvironmentError, ValueError, KeyError, TypeError):
        origin = "something that %s.json does not tell" % prefix
    if origin != os.path.basename(file):
        raise ValueError("%s was made of %s, and would be replaced; choose "
                         "another --name, or move it away" % (there, origin))


# --- reading ----------------------------------------------------------------

def read(path, source, choices, skip):
    """Reads a source's file.

    Args:
        path: str, the file.
        source: known_datasets.Source.
        choices: interactions.Choices.
        skip: bool, leave malformed lines out and count them.

    Returns:
        (interactions.Interactions, titles: dict of item id to title, lists of
        raw_formats.Lines that were read).

    Raises:
        ValueError: a malformed line or a damaged archive.
        IOError: a file cannot be read.
    """
    with raw_formats.open_source(path, source.member) as (stream, position):
        lines = raw_formats.Lines(stream, path, skip, source.encoding, position)
        found = read_interactions(lines, source.rows(lines), choices.min_rating)
    beside = titles_file(path, source)
    if beside is None:
        return found, {}, [lines]
    with raw_formats.open_source(beside, source.titles_member) as (stream, _):
        more = raw_formats.Lines(stream, beside, skip, source.encoding)
        return found, dict(source.titles(more)), [lines, more]


def titles_file(path, source):
    """The file with the titles: the same zip, one beside an unpacked `path`.

    None where there are no titles.
    """
    if source.titles is None or zipfile.is_zipfile(path):
        return source.titles and path
    beside = os.path.join(os.path.dirname(path), source.titles_member)
    return beside if os.path.exists(beside) else None


def read_interactions(lines, rows, min_rating):
    """Collects the rows of `lines`; the lines reject what does not fit."""
    found = interactions.Interactions(min_rating)
    for user, item, moment, rating in rows:
        try:
            found.add(user, item, moment, rating)
        except ValueError as error:
            lines.reject(str(error))
    return found


# --- what a person reads ----------------------------------------------------

def statistics(prepared):
    """users, items, interactions, average_length, density, tied."""
    users, items = len(prepared.user_ids), len(prepared.item_ids)
    count = len(prepared.users)
    return collections.OrderedDict([
        ("users", users), ("items", items), ("interactions", count),
        ("average_length", count / float(users)),
        ("density", count / (float(users) * items)),
        ("tied", prepared.tied)])


def as_published(name, value, published):
    """A statistic, printed as precisely as the published one."""
    if name == "average_length":
        return "%.1f" % value
    if name == "density":
        return "%.2f %%" % (100 * value)
    if published.endswith(" M"):
        return "%.1f M" % (value / 1e6)
    return "{:,}".format(value)


def statistics_table(found, published):
    """The statistics, beside the published ones where there are any: str."""
    rows = []
    for name in known_datasets.Published._fields:
        there = getattr(published, name) if published else ""
        here = as_published(name, found[name], there)
        exact = as_published(name, found[name], "")
        rows.append((name.replace("_", " "), exact, there, "" if not there else
                     "agrees" if here == there else "differs"))
    head = ("", "here", "published" if published else "", "")
    return "\n".join(("%-14s %12s %12s  %s" % row).rstrip()
                     for row in [head] + rows)


def write_id_map(path, kind, ids, titles):
    """Writes the original ids, number 1 first, and titles where there are any.

    data.sequences.read_id_map reads it.
    """
    with io.open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(u"%s\toriginal_id%s\n" % (kind, "\ttitle" if titles else ""))
        for number, original in enumerate(ids, 1):
            fields = [str(number), sequences.escape(original)]
            if titles:
                fields.append(sequences.escape(titles.get(original, "")))
            stream.write("\t".join(fields) + "\n")


def record(args, arguments, path, source, choices, prepared, found, lines):
    """What was done, for the .json file: the same input gives the same bytes."""
    ordered = collections.OrderedDict
    return ordered([
        ("dataset", arguments[0] if arguments else None),
        ("source", ordered([
            ("file", os.path.basename(path)),
            ("url", None if args.input else args.url or source.url),
            ("bytes", os.path.getsize(path)),
            ("sha256", download.checksum(path, "sha256"))])),
        ("columns", ordered((name, getattr(args, name))
                            for name in COLUMNS + ("format", "header"))),
        ("choices", ordered(choices._asdict(), on_error=args.on_error)),
        ("left_out", ordered(
            [("malformed", sum(each.skipped for each in lines))]
            + prepared.steps)),
        ("statistics", found)])


def report(choices, prepared, found, lines, published):
    """Prints choices, what was left out, and the statistics."""
    for each in lines:
        for example in each.examples:
            util.log("left out %s" % example)
    print("choices: %s" % ", ".join(
        "%s=%s" % (name, "none" if value is None else value)
        for name, value in zip(choices._fields, choices)))
    malformed = [("malformed", sum(each.skipped for each in lines))]
    print("left out: %s" % ", ".join(
        "%s %d" % step for step in malformed + prepared.steps))
    print("ties: %d interactions (%.1f %%) share user and time with another; "
          "their order is %s" % (
              prepared.tied, 100.0 * prepared.tied / found["interactions"],
              choices.ties))
    print(statistics_table(found, published))


# --- all of it --------------------------------------------------------------

def prepare(args, arguments):
    """Does what the flags and arguments say."""
    started = time.time()
    util.check_values(args, {"min_rating": args.min_rating})
    dataset = chosen_dataset(args, arguments)
    source = chosen_source(args, dataset) if dataset else own_source(args)
    choices = chosen_filters(args, dataset, source)
    if not os.path.isdir(args.data_dir):
        raise ValueError("--data_dir=%s is not a folder; make it, or correct "
                         "the name" % args.data_dir)
    util.check_writable(args.data_dir, "data_dir")
    if args.input and os.path.exists(args.input) and not os.path.isfile(
            args.input):
        raise ValueError("--input=%s is no plain file, and a pipe cannot be "
                         "read twice; save it as one first" % args.input)
    prefix = output_prefix(args, arguments)
    check_replaced(prefix, args.input or source.file)
    path = args.input or obtain(args, source)

    try:
        raw, titles, lines = read(path, source, choices,
                                  args.on_error == "skip")
    except raw_formats.Damaged as error:
        if args.input:
            raise
        raise ValueError("%s: delete %s, and the next run downloads it"
                         % (error, path))
    try:
        prepared = interactions.prepare(raw, choices)
    except ValueError as error:
        raise ValueError("%s: %s%s" % (path, error, _malformed(lines)))
    found = statistics(prepared)
    with _room_in(args.data_dir), util.AtomicFiles() as files:
        interactions.write(files.path(prefix + ".txt"), prepared.users,
                           prepared.items)
        write_id_map(files.path(prefix + ".items.tsv"), "item",
                     prepared.item_ids, titles)
        write_id_map(files.path(prefix + ".users.tsv"), "user",
                     prepared.user_ids, {})
        with open(files.path(prefix + ".json"), "w") as stream:
            json.dump(record(args, arguments, path, source, choices, prepared,
                             found, lines), stream, indent=2)
            stream.write("\n")
    report(choices, prepared, found, lines, source.published)
    util.log("wrote %s{%s} in %.1f s" % (prefix, ",".join(ENDINGS),
                                         time.time() - started))


def _malformed(lines):
    """What of a file with nothing left was left out as malformed: str."""
    examples = [example for each in lines for example in each.examples]
    return "; %d malformed lines were left out, the first: %s" % (
        sum(each.skipped for each in lines), examples[0]) if examples else ""


def obtain(args, source):
    """Downloads the source unless it is there; returns its name."""
    folder = os.path.join(args.data_dir, "raw")
    if not os.path.isdir(folder):
        os.mkdir(folder)
    path = os.path.join(folder, source.file)
    with _room_in(folder):
        download.fetch(args.url or source.url, path, source.has_md5)
    return path


@contextlib.contextmanager
def _room_in(folder):
    """Says where, when there is no room to write any more."""
    try:
        yield
    except OSError as error:
        if not util.is_disk_full(error):
            raise
        raise ValueError("%s: no room (%s), %.1f MB are free; make room and "
                         "run again" % (folder, error.strerror,
                                        shutil.disk_usage(folder).free / 1e6))


def main(argv):
    with util.one_line_stops(
            "prepare_data.py", "no interactions were written or changed; a "
            "download goes on from where it is"), \
            util.one_line_errors("prepare_data.py"):
        prepare(flags.FLAGS, argv[1:])


if __name__ == "__main__":
    define_flags()
    app.run(main)
