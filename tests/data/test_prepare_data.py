"""From a source's raw format, or one's own file, to data/<name>.txt."""

import collections
import gzip
import hashlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import zipfile

import pytest
from absl import flags
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

import util
from conftest import command, ROOT
from local_server import Page
from local_server import Server

from data import known_datasets, prepare_data
from data.sequences import read_id_map, read_sequences

plain_settings = settings(max_examples=60, deadline=None, database=None,
                          derandomize=True)
OUTPUTS = [".items.tsv", ".json", ".txt", ".users.tsv"]


def prepare(folder, *arguments):
    """The command's work on a folder, in this process."""
    values = flags.FlagValues()
    prepare_data.define_flags(values)
    rest = values(("prepare_data.py", "--data_dir=%s" % folder) + arguments)
    with util.one_line_errors("prepare_data.py"):
        prepare_data.prepare(values, rest[1:])


def refused(folder, *arguments):
    """The one line that the command ends with; nothing was written."""
    before = snapshot(folder)
    with pytest.raises(SystemExit) as error:
        prepare(folder, *arguments)
    message = str(error.value.code)
    assert message.startswith("prepare_data.py: error: ")
    assert "\n" not in message
    assert snapshot(folder) == before
    return message


def snapshot(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(".lock")}


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes)
                     else content.encode("utf-8"))
    return "--input=%s" % path


def outputs(folder, name):
    return sorted(path.name[len(name):] for path in folder.iterdir()
                  if path.name.startswith(name + "."))


def sequences(folder, name):
    """User -> list of items in original ids, by the files' own definition."""
    users = read_id_map(str(folder / (name + ".users.tsv")))
    items = read_id_map(str(folder / (name + ".items.tsv")))
    read = read_sequences(str(folder / (name + ".txt")))
    assert list(read) == list(users) == list(range(1, len(users) + 1))
    numbers = [item for own in read.values() for item in own.tolist()]
    assert list(collections.OrderedDict.fromkeys(numbers)) == list(items) \
        == list(range(1, len(items) + 1))
    return {users[user][0]: [items[item][0] for item in own.tolist()]
            for user, own in read.items()}


def record(folder, name):
    return json.loads((folder / (name + ".json")).read_text())


# --- the published sources --------------------------------------------------

# User 7 comes first and meets items 1 to 6, user 3 items 1 to 5, user 5 items
# 1 to 4; the times run against the lines. Times 10 x n, n of the item.
def made_up(users=(("7", 6), ("3", 5), ("5", 4))):
    return [(user, str(item), 10 * item) for user, count in users
            for item in range(count, 0, -1)]


def zipped(path, members):
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def gzipped(path, text):
    with gzip.open(str(path), "wb") as stream:
        stream.write(text.encode("utf-8"))
    return path


def ml_1m_members():
    ratings = "".join("%s::%s::4::%d\n" % row for row in made_up())
    movies = "".join(u"%d::T\u00eftre, Le %d (1999)::Drama\n" % (n, n)
                     for n in range(1, 10))
    return [("ml-1m/", ""), ("ml-1m/README", "x"),
            ("ml-1m/movies.dat", movies.encode("latin-1")),
            ("ml-1m/ratings.dat", ratings)]


def ml_20m_members():
    ratings = "userId,movieId,rating,timestamp\n" + "".join(
        "%s,%s,3.5,%d\r\n" % row for row in made_up())
    movies = 'movieId,title,genres\n1,"Tab\t, The",Drama\n6,"""X""",Drama\n'
    return [("ml-20m/ratings.csv", ratings), ("ml-20m/movies.csv", movies),
            ("ml-20m/tags.csv", "x")]


def amazon_ratings():
    return "".join("A%s,B00%s,5.0,%d\n" % row for row in made_up())


def amazon_reviews():
    return "".join(json.dumps({
        "reviewerID": "A" + user, "asin": "B00" + item, "overall": 5.0,
        "reviewText": u"it's \u00fc", "unixReviewTime": time}) + "\n"
        for user, item, time in made_up())


def steam_reviews():
    return "".join(repr({
        "username": user, "product_id": item, "text": "it's [(",
        "date": "2017-01-%02d" % (time // 10)}) + "\n"
        for user, item, time in made_up())


def australian_reviews():
    return "".join(repr({"user_id": user, "reviews": [
        {"item_id": item, "posted": "Posted May %d, 2014." % (time // 10)}
        for name, item, time in made_up() if name == user]}) + "\n"
        for user in ("7", "3", "5"))


def fixture(folder, name):
    """A source's file in its real format, as small as the default filter allows."""
    path = folder / name
    if name == "ml-1m.zip":
        return zipped(path, ml_1m_members())
    if name == "ml-20m.zip":
        return zipped(path, ml_20m_members())
    if name == "ratings_Beauty.csv":
        path.write_text(amazon_ratings())
        return path
    return gzipped(path, {
        "reviews_Beauty_5.json.gz": amazon_reviews,
        "steam_reviews.json.gz": steam_reviews,
        "australian_user_reviews.json.gz": australian_reviews}[name]())


SOURCES = [(dataset, source.file)
           for dataset, known in known_datasets.DATASETS.items()
           for source in known.sources]
FEW = ("--min_user_count=4", "--min_item_count=2")


@pytest.mark.parametrize("dataset, file", SOURCES)
def test_every_source_is_read_in_its_raw_format(tmp_path, dataset, file):
    (tmp_path / "source").mkdir()
    path = fixture(tmp_path / "source", file)
    prepare(tmp_path, dataset, "--input=%s" % path, *FEW)
    assert outputs(tmp_path, dataset) == OUTPUTS
    user, item = ("A", "B00") if dataset == "beauty" else ("", "")
    assert sequences(tmp_path, dataset) == {
        user + "7": [item + n for n in "12345"],
        user + "3": [item + n for n in "12345"],
        user + "5": [item + n for n in "1234"]}
    users = read_id_map(str(tmp_path / (dataset + ".users.tsv")))
    assert [users[n][0] for n in (1, 2, 3)] == [user + n for n in "735"]
    assert os.listdir(str(tmp_path / "source")) == [file]


def test_titles_stand_beside_the_items(tmp_path):
    prepare(tmp_path, "ml-1m", "--input=%s" % fixture(tmp_path, "ml-1m.zip"),
            *FEW)
    items = read_id_map(str(tmp_path / "ml-1m.items.tsv"))
    assert items[3] == ("3", u"T\u00eftre, Le 3 (1999)")
    prepare(tmp_path, "ml-20m", "--input=%s" % fixture(tmp_path, "ml-20m.zip"),
            "--min_user_count=1")
    items = read_id_map(str(tmp_path / "ml-20m.items.tsv"))
    assert [items[n][1] for n in (1, 2, 6)] == ["Tab\t, The", "", '"X"']


def test_an_unpacked_ratings_file_takes_the_titles_beside_it(tmp_path):
    (tmp_path / "ml-1m").mkdir()
    for name, content in ml_1m_members()[2:]:
        write(tmp_path / name, content)
    path = tmp_path / "ml-1m" / "ratings.dat"
    prepare(tmp_path, "ml-1m", "--input=%s" % path, *FEW)
    items = read_id_map(str(tmp_path / "ml-1m.items.tsv"))
    assert items[1] == ("1", u"T\u00eftre, Le 1 (1999)")
    (tmp_path / "ml-1m" / "movies.dat").unlink()
    prepare(tmp_path, "ml-1m", "--input=%s" % path, *FEW)
    items = read_id_map(str(tmp_path / "ml-1m.items.tsv"))
    assert items[1] == ("1", "")


@pytest.mark.parametrize("dataset, left", [
    # Default counts of five. Items 1 to 4 have three users, 5 two, 6 one.
    ("ml-1m", None), ("ml-20m", {"7": "123456", "3": "12345"})])
def test_the_datasets_own_filters_hold_without_flags(tmp_path, dataset, left):
    path = fixture(tmp_path, dataset + ".zip")
    if left is None:
        assert "no interaction is left" in refused(
            tmp_path, dataset, "--input=%s" % path)
    else:
        prepare(tmp_path, dataset, "--input=%s" % path)
        assert sequences(tmp_path, dataset) == {
            user: list(items) for user, items in left.items()}


# What the papers' files show: items below five go, and users are counted
# before (ML-1M) or after (Beauty, Steam).
CROWD = [("u%d" % n, item, n) for n in range(5) for item in "abcde"]
EDGE = CROWD + [("edge", item, n) for n, item in enumerate("abcdr")]


@pytest.mark.parametrize("dataset, name, form, edge", [
    ("ml-1m", "ratings.dat", "%s::%s::1::%d\n", list("abcd")),
    ("beauty", "ratings.csv", "%s,%s,1.0,%d\n", None)])
def test_a_user_whose_rare_item_goes_stays_only_where_counted_before(
        tmp_path, dataset, name, form, edge):
    source = write(tmp_path / name, "".join(form % row for row in EDGE))
    prepare(tmp_path, dataset, source)
    left = sequences(tmp_path, dataset)
    assert left.pop("edge", None) == edge
    assert left == {"u%d" % n: list("abcde") for n in range(5)}


def test_steam_drops_the_second_review_of_a_game(tmp_path):
    text = "".join(json.dumps({"username": u, "product_id": i,
                               "date": "2017-01-%02d" % (t + 1)}) + "\n"
                   for u, i, t in CROWD + [("u0", "a", 20)])
    prepare(tmp_path, "steam", write(tmp_path / "s.json", text))
    assert sequences(tmp_path, "steam")["u0"] == list("abcde")
    prepare(tmp_path, "steam", "--duplicates=last",
            write(tmp_path / "s.json", text))
    assert sequences(tmp_path, "steam")["u0"] == list("bcdea")


# --- what is printed and recorded -------------------------------------------

def test_the_choices_are_printed_and_recorded(tmp_path, capsys):
    path = fixture(tmp_path, "ml-1m.zip")
    prepare(tmp_path, "ml-1m", "--input=%s" % path, "--min_user_count=2",
            "--min_item_count=2", "--filter=k-core", "--min_rating=3.5",
            "--duplicates=last", "--ties=random:3", "--name=mine",
            "--on_error=skip")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        "choices: min_user_count=2, min_item_count=2, filter=k-core, "
        "min_rating=3.5, duplicates=last, ties=random:3")
    kept = record(tmp_path, "mine")
    assert kept["dataset"] == "ml-1m"
    assert kept["choices"] == {
        "min_user_count": 2, "min_item_count": 2, "filter": "k-core",
        "min_rating": 3.5, "duplicates": "last", "ties": "random:3",
        "on_error": "skip"}
    assert kept["source"] == {
        "file": "ml-1m.zip", "url": None, "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert kept["statistics"]["interactions"] == 14
    assert kept["left_out"] == {
        "malformed": 0, "rating below --min_rating": 0, "duplicates": 0,
        "user and item counts": 1}


def test_the_same_input_gives_the_same_bytes(tmp_path):
    path = fixture(tmp_path, "ml-1m.zip")
    contents = []
    for _ in range(2):
        prepare(tmp_path, "ml-1m", "--input=%s" % path, "--ties=random:1", *FEW)
        contents.append(snapshot(tmp_path))
    assert contents[0] == contents[1]


def test_ties_are_counted_and_their_policy_named(tmp_path, capsys):
    source = write(tmp_path / "x.csv", "u,i,t\n1,9,5\n1,8,5\n1,7,6\n")
    columns = ("--user_column=u", "--item_column=i", "--time_column=t")
    prepare(tmp_path, source, "--ties=item-id", *columns)
    assert sequences(tmp_path, "x") == {"1": ["8", "9", "7"]}
    assert ("ties: 2 interactions (66.7 %) share user and time with another; "
            "their order is item-id") in capsys.readouterr().out
    assert record(tmp_path, "x")["statistics"]["tied"] == 2


def statistics(users, items, interactions):
    return {"users": users, "items": items, "interactions": interactions,
            "average_length": interactions / float(users),
            "density": interactions / (float(users) * items)}


@pytest.mark.parametrize("dataset, numbers", [
    ("ml-1m", (6040, 3416, 999611)), ("ml-20m", (138493, 26744, 20000263)),
    ("beauty", (40226, 54542, 353962)), ("steam", (281428, 13044, 3488885))])
def test_the_published_numbers_agree_with_themselves(dataset, numbers):
    published = known_datasets.DATASETS[dataset].sources[0].published
    table = prepare_data.statistics_table(statistics(*numbers), published)
    rows = table.splitlines()[1:]
    assert len(rows) == 5 and all(row.endswith("  agrees") for row in rows)


def test_every_row_can_differ():
    published = known_datasets.DATASETS["ml-1m"].sources[0].published
    table = prepare_data.statistics_table(
        statistics(6041, 3417, 999612), published)
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["here", "published"]
    assert rows[1] == ["users", "6,041", "6,040", "differs"]
    assert rows[2] == ["items", "3,417", "3,416", "differs"]
    assert rows[3] == ["interactions", "999,612", "999,611", "differs"]
    assert rows[4] == ["average", "length", "165.5", "165.5", "agrees"]
    other = prepare_data.statistics_table(statistics(5000, 3000, 1), published)
    assert other.count("differs") == 5
    rounded = known_datasets.DATASETS["steam"].sources[0].published
    table = prepare_data.statistics_table(
        statistics(281428, 13044, 3560000), rounded)
    assert "3,560,000        3.5 M  differs" in table


def test_without_published_numbers_no_row_is_judged(tmp_path, capsys):
    columns = ("--user_column=u", "--item_column=i", "--time_column=t")
    prepare(tmp_path, write(tmp_path / "x.csv", "u,i,t\n1,9,5\n"), *columns)
    out = capsys.readouterr().out
    assert "agrees" not in out and "published" not in out
    assert re.search(r"density +100.00 %", out)


# --- one's own files --------------------------------------------------------

OWN = ("--user_column=who", "--item_column=what", "--time_column=when")
ROWS = [("z\u00fc", "x,1", "2014-01-02T10:00:00Z", 4),
        ("b", "-9", "2014-01-02", 2.5), ("z\u00fc", "y\t\\", "2013-12-31", 5),
        ("b", "x,1", "2014-01-01 23:59", 3)]
EXPECTED = {"z\u00fc": ["y\t\\", "x,1"], "b": ["x,1", "-9"]}


def as_csv(rows):
    return "rating,what,ignored,who,when\n" + "".join(
        '%s,"%s",,%s,%s\n' % (rating, what, who, when)
        for who, what, when, rating in rows)


def as_tsv(rows):
    return "who\twhen\twhat\trating\n" + "".join(
        "%s\t%s\t%s\t%s\n" % (who, when, what, rating)
        for who, what, when, rating in rows)


def as_jsonl(rows):
    return "".join(json.dumps(dict(zip(
        ("who", "what", "when", "rating"), row))) + "\n" for row in rows)


@pytest.mark.parametrize("zip_it", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("ending, form", [
    ("csv", as_csv), ("tsv", as_tsv), ("jsonl", as_jsonl), ("CSV", as_csv)])
def test_ones_own_file_in_every_format(tmp_path, ending, form, zip_it):
    rows = [(who, what.replace("\t", " ") if ending == "tsv" else what, when,
             rating) for who, what, when, rating in ROWS]
    expected = {who: [what.replace("\t", " ") if ending == "tsv" else what
                      for what in own] for who, own in EXPECTED.items()}
    path = tmp_path / ("mine." + ending + (".gz" if zip_it else ""))
    content = form(rows).encode("utf-8")
    write(path, gzip.compress(content) if zip_it else content)
    prepare(tmp_path, "--input=%s" % path, *OWN)
    assert sequences(tmp_path, "mine") == expected
    prepare(tmp_path, "--input=%s" % path, "--name=good", "--min_rating=3",
            "--rating_column=rating", *OWN)
    assert sequences(tmp_path, "good")["b"] == ["x,1"]
    assert record(tmp_path, "good")["left_out"][
        "rating below --min_rating"] == 1
    assert record(tmp_path, "good")["columns"]["rating_column"] == "rating"


def test_a_file_without_header_and_telling_name(tmp_path):
    source = write(tmp_path / "log", "5,a,x\n4,a,y\n")
    prepare(tmp_path, source, "--format=csv", "--noheader", "--user_column=2",
            "--item_column=3", "--time_column=1")
    assert sequences(tmp_path, "log") == {"a": ["y", "x"]}
    assert record(tmp_path, "log")["columns"] == {
        "user_column": "2", "item_column": "3", "time_column": "1",
        "rating_column": None, "format": "csv", "header": False}


def test_malformed_lines_stop_or_are_left_out_and_reported(tmp_path, capsys):
    bad = ["b,,3", "b,x", "b,x,soon", "b,x,2014-01-02", ",x,3", "b,x,\u0663"]
    text = "who,what,when\na,x,2\n" + "".join(
        "%s\na,y%d,%d\n" % (line, n, n) for n, line in enumerate(bad))
    source = write(tmp_path / "own.csv", text)
    message = refused(tmp_path, source, *OWN)
    assert "own.csv:3: the item is empty" in message
    prepare(tmp_path, source, "--on_error=skip", *OWN)
    assert sequences(tmp_path, "own") == {
        "a": ["y0", "y1", "x", "y2", "y3", "y4", "y5"]}
    out, errors = capsys.readouterr()
    assert "left out: malformed 6, " in out
    for number, part in ((3, "empty"), (5, "2 columns"), (7, "'soon'"),
                         (9, "'2014-01-02' is a date")):
        assert re.search(r"own.csv:%d: .*%s" % (number, part), errors)
    assert record(tmp_path, "own")["left_out"]["malformed"] == 6


@pytest.mark.parametrize("text", [
    "who,what,when\n", "", "who,what,when\nb,x,soon\n", "\n\n"])
def test_a_file_without_a_single_interaction_is_an_error(tmp_path, text):
    source = write(tmp_path / "own.csv", text)
    assert "own.csv" in refused(tmp_path, source, "--on_error=skip", *OWN)


def test_where_all_lines_are_malformed_the_first_is_told(tmp_path):
    source = write(tmp_path / "own.csv", "who,what,when\nb,x,soon\nb,,2\n")
    assert re.search(
        "no interactions.*; 2 malformed lines were left out, the first: .*"
        "own.csv:2: .*'soon'",
        refused(tmp_path, source, "--on_error=skip", *OWN))


@pytest.mark.parametrize("arguments, parts", [
    ((), ("ml-1m, ml-20m, beauty, steam", "--input")),
    (("ml-2m",), ("'ml-2m' is no dataset", "ml-1m")),
    (("ml-1m", "beauty"), ("'ml-1m beauty' is no dataset",)),
    (("--input=x.csv",), ("--user_column is missing",)),
    (("--input=x.csv",) + OWN[:2], ("--time_column is missing", "time")),
    (("--input=x.csv", "--rating_column=who") + OWN, ("of their own",)),
    (("--input=x.csv", "--min_rating=3") + OWN, ("--rating_column",)),
    (("--input=absent.csv",) + OWN, ("absent.csv",)),
    (("--input=x",) + OWN, ("--format",)),
    (("--input=x.jsonl.gz", "--noheader") + OWN, ("--noheader", "JSON")),
    (("--input=x.csv", "--name=../x") + OWN, ("--name=../x",)),
    (("--input=.csv", "--format=csv") + OWN, ("--name=",)),
    (("--input=x.csv", "--ties=random") + OWN, ("random:SEED",)),
    (("--input=x.csv", "--source=ml-1m.zip") + OWN, ("--source",)),
    (("--input=x.csv", "--url=http://x") + OWN, ("--url",)),
    (("ml-1m", "--input=x", "--user_column=u"), ("--user_column", "own")),
    (("ml-1m", "--input=x", "--noheader"), ("--noheader", "own")),
    (("ml-1m", "--source=steam_reviews.json.gz"), ("ml-1m.zip",)),
    (("ml-1m", "--data_dir=absent"), ("absent", "--data_dir"))])
def test_arguments_that_do_not_go_together_are_one_line(
        tmp_path, arguments, parts, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    message = refused(tmp_path, *arguments)
    for part in parts:
        assert part in message, message


def test_an_input_is_never_overwritten(tmp_path):
    source = write(tmp_path / "x.txt", "who,what,when\na,x,2\n")
    message = refused(tmp_path, source, "--format=csv", *OWN)
    assert "would be overwritten" in message and "--name" in message


def test_interactions_of_another_file_are_never_replaced(tmp_path):
    rows = "who,what,when\na,x,2\n"
    prepare(tmp_path, write(tmp_path / "web.2024.csv", rows), *OWN)
    prepare(tmp_path, "--input=%s" % (tmp_path / "web.2024.csv"), *OWN)
    message = refused(tmp_path, write(tmp_path / "web.2025.csv", rows), *OWN)
    assert "web.txt was made of web.2024.csv" in message and "--name" in message
    (tmp_path / "hand.txt").write_text("1 1\n")
    message = refused(tmp_path, write(tmp_path / "hand.csv", rows), *OWN)
    assert "hand.json does not tell" in message


@pytest.mark.parametrize("flags_given", [
    ("--input=x.csv", "--name=x") + OWN, ("ml-1m",)])
def test_a_closed_folder_is_said_before_the_work(tmp_path, monkeypatch,
                                                 flags_given):
    (tmp_path / "closed").mkdir()
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write
    message = refused(tmp_path / "closed", *flags_given)
    assert "--data_dir: the folder" in message and "cannot be written" in message


# The command, which waits once it has read its input.
WAITING = """
import time
from data import prepare_data
def wait(*_):
    print("all is read", flush=True)
    time.sleep(60)
prepare_data.interactions.prepare = wait
prepare_data.define_flags()
prepare_data.app.run(prepare_data.main)"""


@pytest.mark.parametrize("number, status", [
    (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_stopped_leaves_nothing(tmp_path, number, status):
    path = write(tmp_path / "x.csv", "who,what,when\na,x,2\n")
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "--data_dir=%s" % tmp_path, path]
        + list(OWN), stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=ROOT), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == b"all is read\n"
    process.send_signal(number)
    errors = process.communicate()[1].decode()
    assert process.returncode == status
    line, = errors.splitlines()
    assert "; no interactions were written or changed" in line
    assert os.listdir(str(tmp_path)) == ["x.csv"]


def test_a_pipe_is_no_input(tmp_path):
    os.mkfifo(str(tmp_path / "x.csv"))
    assert "is no plain file, and a pipe cannot be read twice" in refused(
        tmp_path, "--input=%s" % (tmp_path / "x.csv"), *OWN)


def test_a_full_disk_is_told_with_the_folder(tmp_path):
    path = write(tmp_path / "x.csv", "who,what,when\n" + "a,x,2\n" * 20000)
    process = subprocess.Popen(
        [sys.executable, prepare_data.__file__, "--data_dir=%s" % tmp_path,
         path] + list(OWN), stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (5000, 5000)))
    errors = process.communicate()[1].decode()
    assert process.returncode == 1
    assert re.search(r"^prepare_data.py: error: %s: no room \(File too large\), "
                     r"[0-9.]+ MB are free; make room and run again$"
                     % re.escape(str(tmp_path)), errors, re.MULTILINE)
    assert os.listdir(str(tmp_path)) == ["x.csv"]


def test_old_outputs_survive_a_bad_input(tmp_path):
    good = write(tmp_path / "x.csv", "who,what,when\na,x,2\n")
    prepare(tmp_path, good, *OWN)
    refused(tmp_path, write(tmp_path / "bad.csv", "who,what,when\na,x\n"),
            "--name=x", *OWN)


def test_a_rating_cannot_be_asked_for_where_a_dataset_has_none(tmp_path):
    assert "--min_rating=3.0: steam_reviews.json.gz has no ratings" in refused(
        tmp_path, "steam", "--url=http://nowhere", "--min_rating=3")


def test_an_unpacked_source_is_known_by_its_name(tmp_path):
    path = write(tmp_path / "reviews_Beauty_5.json", amazon_reviews())
    prepare(tmp_path, "beauty", path, *FEW)
    assert record(tmp_path, "beauty")["source"]["file"] == (
        "reviews_Beauty_5.json")


# --- id maps ----------------------------------------------------------------

@plain_settings
@given(ids=st.lists(st.text(st.characters(blacklist_categories=["Cs"]),
                            min_size=1), min_size=1, unique=True),
       title=st.text(st.characters(blacklist_categories=["Cs"])),
       with_titles=st.booleans())
def test_every_id_and_title_comes_back(
        tmp_path_factory, ids, title, with_titles):
    path = str(tmp_path_factory.getbasetemp() / "map.tsv")
    titles = {ids[0]: title} if with_titles else {}
    prepare_data.write_id_map(path, "item", ids, titles)
    expected = [(n, (original, titles.get(original, "")))
                for n, original in enumerate(ids, 1)]
    assert list(read_id_map(path).items()) == expected
    with io.open(path, encoding="utf-8", newline="") as stream:
        lines = stream.read().split("\n")
    assert len(lines) == len(ids) + 2
    assert {line.count("\t") for line in lines[:-1]} == {1 + with_titles}


# --- downloads --------------------------------------------------------------

@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


def test_a_dataset_is_downloaded_once_and_then_at_hand(
        tmp_path, server, monkeypatch):
    body = fixture(tmp_path, "ml-1m.zip").read_bytes()
    (tmp_path / "ml-1m.zip").unlink()
    server.pages["/ml-1m.zip"] = Page(body)
    server.pages["/ml-1m.zip.md5"] = Page(
        ("MD5 (ml-1m.zip) = %s\n" % hashlib.md5(body).hexdigest()).encode())
    known = known_datasets.DATASETS["ml-1m"]
    source = known.sources[0]._replace(url=server.base + "/ml-1m.zip")
    monkeypatch.setitem(known_datasets.DATASETS, "ml-1m",
                        known._replace(sources=[source]))
    for _ in range(2):
        prepare(tmp_path, "ml-1m", *FEW)
        assert len(sequences(tmp_path, "ml-1m")) == 3
    assert len(server.requests) == 2
    assert record(tmp_path, "ml-1m")["source"]["url"] == source.url
    assert sorted(os.listdir(str(tmp_path / "raw"))) == [
        "ml-1m.zip", "ml-1m.zip.lock"]


def test_another_source_is_downloaded_from_another_place(tmp_path, server):
    body = fixture(tmp_path, "reviews_Beauty_5.json.gz").read_bytes()
    server.pages["/mirror/x"] = Page(body)
    prepare(tmp_path, "beauty", "--source=reviews_Beauty_5.json.gz",
            "--url=%s/mirror/x" % server.base, "--name=beauty5", *FEW)
    assert len(sequences(tmp_path, "beauty5")) == 3
    assert (tmp_path / "raw" / "reviews_Beauty_5.json.gz").exists()


def test_a_damaged_download_is_named_for_deletion_and_then_loaded_anew(
        tmp_path, server):
    body = fixture(tmp_path, "reviews_Beauty_5.json.gz").read_bytes()
    flags_given = ("beauty", "--source=reviews_Beauty_5.json.gz",
                   "--url=%s/x" % server.base) + tuple(FEW)
    server.pages["/x"] = Page(body[:-8] + b"CRC." + body[-4:])
    for _ in range(2):
        with pytest.raises(SystemExit) as error:
            prepare(tmp_path, *flags_given)
        named = re.search("damaged or truncated.* delete (.*), and the next",
                          str(error.value.code)).group(1)
    server.pages["/x"] = Page(body)
    os.remove(named)
    prepare(tmp_path, *flags_given)
    assert len(sequences(tmp_path, "beauty")) == 3


def test_a_damaged_input_of_ones_own_is_not_said_to_be_deleted(tmp_path):
    source = write(tmp_path / "x.csv.gz", b"\x1f\x8b no gzip")
    message = refused(tmp_path, source, *OWN)
    assert "get the file again" in message and "delete" not in message


@pytest.mark.parametrize("page, part", [
    (None, "answers 404"), (Page(b"PK\x03\x04 no zip"), "damaged or truncated"),
    (Page(b"1::2::3\n"), "ml-1m.zip:1: '1::2::3")])
def test_a_download_that_is_no_dataset_leaves_no_output(
        tmp_path, server, page, part):
    server.pages["/x"] = page
    with pytest.raises(SystemExit) as error:
        prepare(tmp_path, "ml-1m", "--url=%s/x" % server.base)
    assert part in str(error.value.code)
    assert outputs(tmp_path, "ml-1m") == []


# --- any bytes --------------------------------------------------------------

pieces = st.sampled_from([
    b"a", b"b", b"1", b"-2", b"9" * 40, b",", b",", b",", b"\n", b"\n", b"\n",
    b"a,x,1\n", b"b,y,2\n", b"a,y,1\n", b'"', b"\r", b"\x00", b"\xff", b" ",
    b"\xef\xbb\xbf", b"2014-01-02", b"1.5", b"\\", b"nan", b"\t"])


@settings(plain_settings, max_examples=200)
@given(parts=st.lists(pieces, max_size=20), skip=st.booleans(),
       ending=st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_bytes_become_consistent_files_or_one_line(
        tmp_path_factory, parts, skip, ending):
    folder = tmp_path_factory.mktemp("fuzz")
    source = write(folder / ("x." + ending),
                   b"who,what,when\n" + b"".join(parts))
    try:
        prepare(folder, source, "--on_error=%s" % ("skip" if skip else "stop"),
                *OWN)
    except SystemExit as error:
        assert re.match(r"prepare_data.py: error: [^\n]+\Z", error.code)
        assert outputs(folder, "x") == [".%s" % ending]
    else:
        found = sequences(folder, "x")
        counts = record(folder, "x")["statistics"]
        assert counts["users"] == len(found)
        assert counts["interactions"] == sum(map(len, found.values()))
        assert not list(folder.glob("*.tmp-*"))


def test_the_command_itself(tmp_path):
    path = fixture(tmp_path, "ml-1m.zip")
    status, out, errors = command(
        "data/prepare_data.py", "ml-1m", "--input", str(path),
        "--data_dir=%s" % tmp_path, *FEW)
    assert status == 0, errors
    assert "users                     3        6,040  differs" in out
    assert "Traceback" not in errors and outputs(tmp_path, "ml-1m")[1:] == [
        ".json", ".txt", ".users.tsv", ".zip"]
