"""Reports of small hand-written runs: reading, tables, page, plots, errors."""

import argparse
import base64
import contextlib
import html.parser
import io
import json
import os
import struct
from unittest import mock

from matplotlib.figure import Figure
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import evaluation
import report
import report_page
import report_plots
import report_runs
import report_sections
import report_stats
from conftest import ROOT, command

USERS = 43
COLUMNS = ["user", "item", "history_length", "target_count"]


# --- hand-written runs ------------------------------------------------------

def write_scalars(folder, values, suffix=""):
    """An event file; values: dict, tag -> {step: value}."""
    with tf.Graph().as_default():
        writer = tf.summary.FileWriter(str(folder), filename_suffix=suffix)
    for tag, points in values.items():
        for step, value in points.items():
            writer.add_summary(tf.Summary(value=[tf.Summary.Value(
                tag=tag, simple_value=value)]), step)
    writer.close()


def user_columns(seed, protocols=evaluation.PROTOCOLS, users=USERS):
    """dict, column -> list, as run.py writes them to eval_users.tsv."""
    rng = np.random.RandomState(seed)
    same = np.random.RandomState(17)  # what does not depend on the run
    columns = [("user", (3 * np.arange(users) + 2).tolist()),
               ("item", same.randint(1, 900, users).tolist()),
               ("history_length", same.randint(2, 60, users).tolist()),
               ("target_count", same.geometric(0.02, users).tolist())]
    columns += [(protocol, rng.geometric(0.1, users).tolist())
                for protocol in protocols]
    columns += [("%s/%s" % (name, protocol),
                 same.geometric(0.04, users).tolist())
                for name in evaluation.BASELINES for protocol in protocols]
    return dict(columns), [name for name, _ in columns]


def write_users(folder, columns, order):
    with open(os.path.join(str(folder), "eval_users.tsv"), "w") as stream:
        stream.write("\t".join(order) + "\n")
        for row in zip(*[columns[name] for name in order]):
            stream.write("\t".join(map(str, row)) + "\n")


def write_results(folder, columns, intervals=True, **extra):
    """eval_results.txt of the ranks in user columns."""
    results = dict(global_step=300, valid_user=len(columns["user"]),
                   loss=4.5, validation="folded into train", **extra)
    for column, ranks in columns.items():
        if column in COLUMNS:
            continue
        for metric, value in evaluation.ranking_metrics(ranks).items():
            results["%s/%s" % (column, metric)] = value
        for metric, bounds in evaluation.bootstrap_intervals(ranks).items():
            if intervals:
                results["%s/%s/low" % (column, metric)] = bounds[0]
                results["%s/%s/high" % (column, metric)] = bounds[1]
    with open(os.path.join(str(folder), "eval_results.txt"), "w") as stream:
        stream.write(json.dumps({"hidden_size": 12, "attention_form": "cross"},
                                indent=2) + "\n")
        for key in sorted(results):
            stream.write("%s = %s\n" % (key, results[key]))


def write_run(folder, seed, protocols=evaluation.PROTOCOLS, curves=False):
    """A run directory as run.py leaves it; returns its name and columns."""
    folder.mkdir()
    columns, order = user_columns(seed, protocols)
    write_users(folder, columns, order)
    write_results(folder, columns)
    (folder / "run_config.json").write_text(json.dumps({
        "seed": seed, "validation": "held out",
        "git_revision": "abc<&>", "hardware": {"cpus": 2},
        "packages": {"numpy": "1.19.5"}, "flags": {"learning_rate": 1e-4},
        "data_files": {"test_input_file": {"ml-1m-x.his": "5" * 64}}}))
    if curves:
        write_scalars(folder, {
            "loss": {100: 7.5, 200: 6.0 - seed, 300: 5.0},
            "learning_rate": {100: 1e-3, 200: 5e-4, 300: 0.0}})
        write_scalars(folder / "eval", {
            "%s/%s" % (protocol, metric): {150: 0.1, 300: 0.2 + 0.01 * seed}
            for protocol in protocols for metric in evaluation.METRICS})
        write_scalars(folder / "eval_valid", {
            "paper/ndcg@10": {100: 0.1, 200: 0.15, 300: 0.14}})
    return str(folder), columns


def arguments(**changes):
    """The flags of report.py."""
    values = dict(protocols=None, metrics=list(report.HEADLINE_METRICS),
                  names=None, compare=True, reference=False, random_seed=12345)
    values.update(changes)
    return argparse.Namespace(**values)


def sections_of(folders, drawn=False, **changes):
    """dict, title -> blocks of a whole report; the titles to print.

    Drawing takes seconds: without `drawn` the figures are empty.
    """
    args = arguments(**changes)
    runs = report.read_runs(folders, args.names)
    draw = {name: getattr(report_plots, name) if drawn
            else lambda *arguments, **options: b""
            for name in ("bars", "points", "curves")}
    with mock.patch.multiple(report_plots, **draw):
        printed, further = report_sections.make_sections(
            runs, report.choose_protocols(runs, args.protocols), args)
    return ({section.title: section.blocks for section in printed + further},
            [section.title for section in printed])


def table_of(blocks):
    """The only table among blocks."""
    table, = [block for block in blocks
              if isinstance(block, report_page.Table)]
    return table


def text_of(blocks):
    return " ".join(block for block in blocks if isinstance(block, str))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two runs over the same users, with curves, and their columns."""
    folder = tmp_path_factory.mktemp("runs")
    return [write_run(folder / name, seed, curves=True)
            for name, seed in (("self", 1), ("cross", 2))]


class KeptFigure(Figure):
    """A figure that remembers that it was drawn."""

    drawn = []

    def __init__(self, *arguments, **options):
        Figure.__init__(self, *arguments, **options)
        self.drawn.append(self)


@contextlib.contextmanager
def kept_figures():
    """The list of the figures that are drawn inside."""
    with mock.patch.object(KeptFigure, "drawn", []), \
            mock.patch.object(report_plots, "Figure", KeptFigure):
        yield KeptFigure.drawn


@pytest.fixture(scope="module")
def whole(two_runs):
    """All sections of the report on the two runs, what of it is printed, and
    the figures."""
    with kept_figures() as figures:
        return sections_of([name for name, _ in two_runs], drawn=True,
                           reference=True) + (figures,)


# --- reading a run ----------------------------------------------------------

def test_results_are_the_config_and_the_values(tmp_path):
    folder, columns = write_run(tmp_path / "run", 1)
    config, results = report_runs.read_results(folder + "/eval_results.txt")
    assert config == {"hidden_size": 12, "attention_form": "cross"}
    assert results["validation"] == "folded into train"
    assert results["full/ap"] == evaluation.ranking_metrics(
        columns["full"])["ap"]


def test_users_are_read_in_order_of_their_numbers(tmp_path):
    columns, order = user_columns(1, ["paper"])
    backwards = {name: values[::-1] for name, values in columns.items()}
    write_users(tmp_path, backwards, order)
    users = report_runs.read_users(str(tmp_path / "eval_users.tsv"))
    for name in COLUMNS:
        assert getattr(users, name).tolist() == columns[name]
    assert {name: ranks.tolist() for name, ranks in users.ranks.items()} == {
        name: columns[name] for name in order[4:]}


def test_curves_of_all_event_folders_are_read(two_runs):
    curves = report_runs.read_curves(two_runs[1][0])
    assert list(curves) == ["", "eval", "eval_valid"]
    steps, values = curves[""]["loss"]
    assert steps.tolist() == [100, 200, 300]
    assert values.tolist() == [7.5, 4.0, 5.0]
    assert curves["eval_valid"]["paper/ndcg@10"][0].tolist() == [100, 200, 300]


def test_a_resumed_training_goes_on_in_the_next_event_file(tmp_path):
    write_scalars(tmp_path, {"loss": {100: 7.0, 200: 6.0}}, suffix=".1")
    write_scalars(tmp_path, {"loss": {300: 4.0, 200: 5.0}}, suffix=".2")
    first, second = sorted(os.listdir(str(tmp_path)),
                           key=lambda name: name[-1])
    os.rename(str(tmp_path / first), str(tmp_path / "events.out.tfevents.10"))
    os.rename(str(tmp_path / second), str(tmp_path / "events.out.tfevents.11"))
    steps, values = report_runs.read_curves(str(tmp_path))[""]["loss"]
    assert steps.tolist() == [100, 200, 300]
    assert values.tolist() == [7.0, 5.0, 4.0]


def test_an_event_file_that_was_cut_off_is_read_up_to_there(tmp_path, capfd):
    write_scalars(tmp_path, {"loss": {100: 7.0, 200: 6.0}})
    name, = os.listdir(str(tmp_path))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-3])
    assert report_runs.read_curves(str(tmp_path))[""]["loss"][0].tolist() == [
        100]
    assert "damaged" in capfd.readouterr().err


# --- bad input --------------------------------------------------------------

def read_error(folder):
    with pytest.raises(ValueError) as error:
        report_runs.read_run(str(folder), "run", 0)
    return str(error.value)


def test_no_such_folder(tmp_path):
    assert "no folder %s" % (tmp_path / "none") in read_error(tmp_path / "none")


def test_a_run_without_results_says_how_to_make_them(tmp_path):
    message = read_error(tmp_path)
    assert "has no eval_results.txt" in message
    assert "run.py --do_eval" in message


@pytest.mark.parametrize("content, fault", [
    ("", "no model config"),
    ("global_step = 4\n", "no model config"),
    ('{\n "a": 1\n}\nglobal_step: 4\n', "eval_results.txt:4: 'global_step: 4'"),
    ('{\n "a": 1\n}\nloss = 4.0\n', "no ranking metrics such as seed/ndcg@1")])
def test_damaged_results(tmp_path, content, fault):
    (tmp_path / "eval_results.txt").write_text(content)
    assert fault in read_error(tmp_path)


@pytest.mark.parametrize("line, change, fault", [
    (0, ("item", "thing"), "eval_users.tsv:1: the columns are not user, item"),
    (5, ("\t", " "), "eval_users.tsv:6: 1 fields where the header has 7"),
    (5, ("\t", "\t-"), "eval_users.tsv:6: '-"),
    (5, ("\t", "\t0.5"), "eval_users.tsv:6: '0.5"),
    (5, ("\t", "\t99999999999999999"), "is not a count from 0"),
    (5, ("\t", u"\u0663\t"), "eval_users.tsv:6: "),
    (3, ("8\t", "5\t"), "eval_users.tsv:4: user 5 has a line already")])
def test_damaged_users(tmp_path, line, change, fault):
    folder = tmp_path / "run"
    write_run(folder, 1, ["paper"])
    lines = (folder / "eval_users.tsv").read_text().splitlines()
    assert lines[line] != lines[line].replace(*change)
    lines[line] = lines[line].replace(*change)
    (folder / "eval_users.tsv").write_text("\n".join(lines) + "\n")
    assert fault in read_error(folder)


def test_a_users_file_without_users(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    write_users(tmp_path / "run", {name: [] for name in COLUMNS + ["paper"]},
                COLUMNS + ["paper"])
    assert "holds no users" in read_error(tmp_path / "run")


def test_files_of_two_evaluations_are_refused(tmp_path):
    write_run(tmp_path / "run", 1)
    write_results(tmp_path / "run", user_columns(2)[0])
    message = read_error(tmp_path / "run")
    assert "seed/ndcg@5 is 0." in message and "eval_users.tsv" in message


def test_ranks_that_the_results_have_no_protocol_for(tmp_path):
    write_run(tmp_path / "run", 1)
    write_users(tmp_path / "run", *user_columns(1, ["paper"]))
    assert "no ranks for protocol seed" in read_error(tmp_path / "run")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"data_files": []}'])
def test_a_damaged_record(tmp_path, content):
    write_run(tmp_path / "run", 1, ["paper"])
    (tmp_path / "run" / "run_config.json").write_text(content)
    assert "run_config.json: not the record of a training" in read_error(
        tmp_path / "run")


def test_no_run_and_one_run_twice(two_runs):
    with pytest.raises(ValueError, match="no run given"):
        report.read_runs([], None)
    name = two_runs[0][0]
    with pytest.raises(ValueError, match="given more than once"):
        report.read_runs([name, name + "/"], None)


def test_names_must_fit_the_runs(two_runs):
    folders = [name for name, _ in two_runs]
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="--names=%s" % ",".join(names)):
            report.read_runs(folders, names)


def test_unknown_choices_list_the_known_ones():
    with pytest.raises(ValueError, match="'test'; the protocols are seed, "
                                         "paper, uniform, full"):
        report.check_choice("protocols", ["seed", "test"],
                            evaluation.PROTOCOLS)
    with pytest.raises(ValueError, match="'mrr'; the metrics are ndcg@1, hit"):
        report.check_choice("metrics", ["mrr"], evaluation.METRICS)


def test_a_protocol_that_no_run_was_evaluated_under(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    with pytest.raises(ValueError, match="no run was evaluated under protocol "
                                         "full; run.py --do_eval"):
        sections_of([str(tmp_path / "run")], protocols=["paper", "full"])


def test_mismatched_users_are_counted(two_runs, tmp_path):
    columns, order = user_columns(2)
    short = {name: values[2:-1] for name, values in columns.items()}
    short["user"] = short["user"][:-1] + [100001]
    write_users(tmp_path, short, order)
    write_results(tmp_path, short)
    folders = [two_runs[0][0], str(tmp_path)]
    with pytest.raises(ValueError, match="4 users are only in self and 1 only "
                                         "in %s" % tmp_path.name):
        sections_of(folders)
    titles = sections_of(folders, compare=False)[0]
    assert not any("against" in title for title in titles)


def test_mismatched_items_are_counted(two_runs, tmp_path):
    columns, order = user_columns(2)
    columns["item"][4] += 1
    write_users(tmp_path, columns, order)
    write_results(tmp_path, columns)
    with pytest.raises(ValueError, match="1 of 43 users have another test"):
        sections_of([two_runs[0][0], str(tmp_path)])


# --- tables -----------------------------------------------------------------

def test_runs_are_named_by_what_tells_them_apart():
    assert report._short_names(["/x/a", "/x/b"]) == ["a", "b"]
    assert report._short_names(["/x/self/m-64", "/x/cross/m-64"]) == [
        "self/m-64", "cross/m-64"]
    assert report._short_names(["/x/m-l2-self-64", "/x/m-l2-cross-64"]) == [
        "self-64", "cross-64"]
    assert report._short_names(["/x/m-l2", "/x/m-l2-64"]) == ["l2", "l2-64"]
    assert report._short_names(["/x/m-l2-64"]) == ["m-l2-64"]


def test_results_hold_runs_then_baselines_then_published_rows(whole, two_runs):
    table = table_of(whole[0]["Results, protocol paper"])
    assert [row[0] for row in table.rows] == [
        "self", "cross", "most popular", "item transitions",
        "published, ml-1m: BERT4Rec paper",
        "published, ml-1m: BERT4Rec, RecTools"]
    assert table.header == ["ranked by"] + list(evaluation.METRICS)
    ranks = two_runs[1][1]["paper"]
    for cell, metric in zip(table.rows[1][1:], evaluation.METRICS):
        assert cell == "%.4f\n[%.4f, %.4f]" % (
            (evaluation.ranking_metrics(ranks)[metric],)
            + evaluation.bootstrap_intervals(ranks)[metric])


def test_published_rows_are_those_of_the_runs_dataset(tmp_path):
    def run(*files):
        return report_runs.Run(0, "x", "x", {}, {}, None,
                               {"data_files": {"x": dict.fromkeys(files)}}, {})

    def datasets(*runs):
        return {row[1] for row in report_sections.published_rows(runs)}

    assert datasets(run("ml-1m-x.vocab")) == {"ml-1m"}
    assert datasets(run("ml-1m-x.vocab"), run("beauty-x.his")) == {
        "ml-1m", "beauty"}
    assert datasets(run("sample-x.vocab")) == {"ml-1m", "beauty"}


def test_published_rows_come_on_demand_alone(two_runs):
    blocks = sections_of([two_runs[0][0]])[0]["Results, protocol paper"]
    assert "published" not in " ".join(
        row[0] for row in table_of(blocks).rows)


def test_published_rows_are_those_of_the_readme():
    with io.open(os.path.join(ROOT, "README.md"), encoding="utf-8") as stream:
        readme = [[cell.strip() for cell in line.strip("|\n").split("|")]
                  for line in stream]
    order = ["hit@1", "hit@5", "hit@10", "ndcg@5", "ndcg@10", "ap"]
    for name, what in (
            ("published log, 400,000 steps, run 1",
             "training log, 400,000 steps, run 1"),
            ("published log, 400,000 steps, run 2",
             "training log, 400,000 steps, run 2"),
            ("BERT4Rec paper", "BERT4Rec paper")):
        values, = [row[3] for row in report_sections.PUBLISHED
                   if row[1:3] == ("ml-1m", what)]
        assert [name] + [values[metric] for metric in order] in readme


def test_published_rows_name_known_protocols_and_metrics():
    for protocol, dataset, what, values in report_sections.PUBLISHED:
        assert protocol in evaluation.PROTOCOLS
        assert set(values) <= set(evaluation.METRICS)


def test_candidate_seeds_have_a_row_of_mean_and_deviation(tmp_path):
    columns, _ = user_columns(1, ["paper", "full"])
    spread = {"paper/%s/%s" % (metric, part): value
              for metric in evaluation.METRICS
              for part, value in (("mean", 0.25), ("std", 0.0125))}
    write_results(tmp_path, columns, **spread)
    sections, _ = sections_of([str(tmp_path)], names=["run"])
    rows = table_of(sections["Results, protocol paper"]).rows
    assert rows[1] == [u"run, mean \u00b1 s.d. over candidate seeds"] + [
        u"0.2500 \u00b1 0.0125"] * len(evaluation.METRICS)
    rows = table_of(sections["Results, protocol full"]).rows
    assert "seeds" not in rows[1][0]


def test_baselines_that_differ_get_a_row_a_run(tmp_path):
    for name, seed in (("a", 1), ("b", 1)):
        write_run(tmp_path / name, seed, ["paper"])
    columns, order = user_columns(1, ["paper"])
    columns["most_popular/paper"][3] += 40
    write_users(tmp_path / "b", columns, order)
    write_results(tmp_path / "b", columns)
    sections, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert [row[0] for row in table_of(
        sections["Results, protocol paper"]).rows] == [
            "a", "b", "most popular (a)", "most popular (b)",
            "item transitions"]
    assert "most-popular baseline ranks 1 users differently" in text_of(
        sections["b against a"])


def test_an_older_run_is_shown_without_intervals_and_says_so(two_runs,
                                                             tmp_path):
    columns, _ = user_columns(2)
    write_results(tmp_path, columns, intervals=False)
    sections, _ = sections_of([two_runs[0][0], str(tmp_path)],
                              names=["new", "old"])
    blocks = sections["Results, protocol seed"]
    assert table_of(blocks).rows[1][1] == "%.4f" % evaluation.ranking_metrics(
        columns["seed"])["ndcg@1"]
    assert "Without intervals" in text_of(blocks)
    assert "Without eval_users.tsv" in text_of(blocks)
    assert "No run_config.json" in text_of(sections["Runs"])
    assert "No event files of a training: old" in text_of(sections["Curves"])
    assert not any("against" in title for title in sections)


def test_a_protocol_that_one_run_lacks(two_runs, tmp_path):
    write_run(tmp_path / "run", 2, ["paper"])
    sections, _ = sections_of([two_runs[0][0], str(tmp_path / "run")])
    assert "Not evaluated under this protocol: run." in text_of(
        sections["Results, protocol full"])
    assert {row[0] for row in table_of(sections["run against self"]).rows} == {
        "paper"}


def test_runs_without_a_common_protocol_are_not_compared(tmp_path):
    write_run(tmp_path / "a", 1, ["paper"])
    write_run(tmp_path / "b", 1, ["full"])
    sections, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert sections["b against a"] == [
        "No protocol was evaluated in both runs."]


def test_differing_use_of_the_validation_items_is_pointed_out(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 1, ["paper"])
    results = tmp_path / "b" / "eval_results.txt"
    results.write_text(results.read_text().replace("folded into train",
                                                   "held out"))
    sections, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert "differ in what became of the validation items" in text_of(
        sections["Runs"])


def test_comparison_is_that_of_the_users_ranks(whole, two_runs):
    table = table_of(whole[0]["cross against self"])
    assert [row[:2] for row in table.rows] == [
        [protocol, metric] for protocol in evaluation.PROTOCOLS
        for metric in report.HEADLINE_METRICS]
    ours, theirs = (evaluation.metric_values(columns["uniform"])["ap"]
                    for _, columns in two_runs)
    row = dict(zip(table.header, table.rows[8]))
    known, = report_stats.compare(ours[:, None], theirs[:, None], 12345)
    assert row["self"] == "%.4f" % ours.mean()
    assert row["cross"] == "%.4f" % theirs.mean()
    assert row["difference"] == "%+.4f\n[%+.4f, %+.4f]" % (
        theirs.mean() - ours.mean(), known.low, known.high)
    assert row["p, Wilcoxon"] == "%.4f" % known.wilcoxon_p
    assert row["p, bootstrap"] == "%.4f" % known.bootstrap_p
    assert row["d_z"] == "%+.3f" % known.effect
    assert row["users better / equal / worse"] == "%d / %d / %d" % (
        (theirs > ours).sum(), (theirs == ours).sum(), (theirs < ours).sum())


def test_equal_ranks_are_called_equal(two_runs, tmp_path):
    write_run(tmp_path / "again", 1)
    sections, _ = sections_of([two_runs[0][0], str(tmp_path / "again")])
    for row in table_of(sections["again against self"]).rows:
        assert row[4:] == ["+0.0000\n[+0.0000, +0.0000]", "1.0000",
                           "no user differs", "+0.000", "0 / 43 / 0"]


@pytest.mark.parametrize("title, column", [
    ("NDCG@10 by items before the test item", "history_length"),
    ("NDCG@10 by training interactions of the target item", "target_count")])
def test_breakdown_bins_are_those_of_a_loop_over_users(whole, two_runs, title,
                                                       column):
    table = table_of(whole[0][title])
    _, columns = two_runs[1]
    sizes = 0
    for row in [row for row in table.rows if row[2] == "cross"]:
        low, _, high = row[0].partition(u"\u2013")
        inside = [u for u in range(USERS)
                  if int(low) <= columns[column][u] <= int(high or low)]
        sizes += len(inside)
        assert row[1] == str(len(inside))
        gains = [1 / np.log2(columns["full"][u] + 2)
                 if columns["full"][u] < 10 else 0.0 for u in inside]
        value, interval = row[3 + table.header[3:].index("full")].split("\n")
        assert value == "%.4f" % np.mean(gains)
        low, high = map(float, interval.strip("[]").split(","))
        assert low <= np.mean(gains) <= high
    assert sizes == USERS


def test_breakdown_has_the_baselines_beside_the_runs(whole):
    rows = table_of(whole[0]["NDCG@10 by items before the test item"]).rows
    assert [row[2] for row in rows[:4]] == ["self", "cross", "most popular",
                                            "item transitions"]


def test_configuration_shows_differences_first(whole):
    differing, equal = [block for block in whole[0]["Configuration"]
                        if isinstance(block, report_page.Table)]
    assert differing.rows == [["seed", "1", "2"]]
    assert ["flags.learning_rate", "0.0001"] in equal.rows
    assert ["hardware.cpus", "2"] in equal.rows


def test_tables_are_printed_and_plots_are_not(whole):
    assert whole[1] == ["Runs"] + [
        "Results, protocol %s" % name for name in evaluation.PROTOCOLS] + [
            "cross against self"]


# --- Markdown and HTML ------------------------------------------------------

class Page(html.parser.HTMLParser):
    """Collects what a page holds and checks that its tags are balanced."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        html.parser.HTMLParser.__init__(self)
        self.links, self.images, self.text, self._open = [], [], "", []
        self.ids = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "img":
            self.images.append(attributes["src"])
            assert attributes["alt"]
        if "href" in attributes:
            self.links.append(attributes["href"])
        self.ids.append(attributes.get("id"))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def written(whole, two_runs, tmp_path_factory):
    """The folder of a written report."""
    folder = tmp_path_factory.mktemp("report") / "new"
    report.write_report(str(folder), "A <report>", [
        report_page.Section(title, blocks)
        for title, blocks in whole[0].items()])
    return folder


def test_the_page_loads_nothing(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http:" not in text and "https:" not in text
    assert "url(" not in text and "@import" not in text
    assert all(source.startswith("data:image/png;base64,")
               for source in page.images)
    assert all(link[0] == "#" and link[1:] in page.ids for link in page.links)


def test_the_page_holds_every_figure_and_every_table(written, whole):
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    names = sorted(name for name in os.listdir(str(written))
                   if name.endswith(".png"))
    assert names == ["by_history_length.png", "by_target_count.png",
                     "curve_ap.png", "curve_hit_at_10.png",
                     "curve_ndcg_at_10.png", "learning_rate.png", "loss.png",
                     "metrics.png"]
    embedded = {base64.b64decode(source.split(",")[1])
                for source in page.images}
    assert embedded == {(written / name).read_bytes() for name in names}
    for blocks in whole[0].values():
        for block in blocks:
            if isinstance(block, report_page.Table):
                for cell in sum(block.rows, block.header):
                    assert all(part in page.text for part in cell.split("\n"))


def test_text_is_escaped(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "A &lt;report&gt;" in text and "abc&lt;&amp;&gt;" in text


def test_markdown_links_the_figures_beside_it(written):
    text = (written / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A <report>\n")
    for name in os.listdir(str(written)):
        assert (name.endswith(".png")) == ("](%s)" % name in text)


def test_nothing_else_is_left_in_the_folder(written):
    assert not [name for name in os.listdir(str(written)) if "tmp" in name]


def test_a_markdown_table_is_aligned_text():
    assert report_page.to_markdown([report_page.Section("T", [
        "Text.", report_page.Table(
            ["run", "value"], [["a|b", "0.1\n[0, 1]"], ["c", "12"]], 1)])]) == (
                "## T\n\n"
                "Text.\n\n"
                "| run  |      value |\n"
                "|------|-----------:|\n"
                "| a\\|b | 0.1 [0, 1] |\n"
                "| c    |         12 |\n")


# --- plots ------------------------------------------------------------------

@pytest.fixture
def figures():
    """The figures that are drawn while a test runs."""
    with kept_figures() as drawn:
        yield drawn


def png_size(content):
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def legend_of(figure):
    legend, = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_every_axis_is_named_and_every_series_in_the_legend(whole):
    assert len(whole[2]) == 8
    for figure in whole[2]:
        for axis in figure.axes:
            assert axis.get_ylabel()
            # The bars' groups are named by their ticks.
            assert axis.get_xlabel() or [
                text.get_text() for text in axis.get_xticklabels()] == [
                    "NDCG@10", "HR@10", "MRR"]
        assert {"self", "cross"} <= {
            label.split(",")[0] for label in legend_of(figure)}


def test_bars_end_where_the_values_do(figures):
    png = report_plots.bars(
        [("paper", [report_plots.Bars("a", 0, False, [0.5, 0.25], [0.4, 0.2],
                                      [0.7, 0.3]),
                    report_plots.Bars("old", 1, False, [0.3, 0.1], None,
                                      None)])], ["NDCG@10", "MRR"], "mean")
    assert png_size(png)[0] > 1000
    axis, = figures[0].axes
    assert [bar.get_height() for bar in axis.patches] == [0.5, 0.25, 0.3, 0.1]
    segments = axis.collections[0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [
        pytest.approx([0.4, 0.7]), pytest.approx([0.2, 0.3])]
    assert legend_of(figures[0]) == ["a", "old"]


def test_curves_hold_the_points(figures):
    report_plots.curves(
        [("", [report_plots.Line("a", 0, False, [100, 200], [7.0, 6.0]),
               report_plots.Line("b", 1, True, [100], [5.0])])], "loss", False)
    axis, = figures[0].axes
    assert [line.get_xydata().tolist() for line in axis.lines] == [
        [[100.0, 7.0], [200.0, 6.0]], [[100.0, 5.0]]]
    assert [line.get_linestyle() for line in axis.lines] == ["-", "--"]
    assert axis.get_xlabel() == "training step"


def test_a_bin_without_users_leaves_a_gap(figures):
    png = report_plots.points(
        [("full", [report_plots.Bars("a", 0, False, [0.5, np.nan, 0.2],
                                     [0.4, np.nan, 0.1], [0.6, np.nan, 0.3])])],
        ["1", "2", "3"], "items", "NDCG@10")
    assert png_size(png)[0] > 1000
    assert figures[0].axes[0].get_xlabel() == "items"


def test_thirty_runs_look_different(figures):
    report_plots.curves(
        [("", [report_plots.Line("run %d" % i, i, False, [1, 2], [i, i])
               for i in range(30)])], "loss", False)
    lines = figures[0].axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 30


# --- the command ------------------------------------------------------------

def test_the_command_prints_the_tables_and_writes_the_report(two_runs,
                                                             tmp_path):
    folder = tmp_path / "out"
    status, output, errors = command(
        "report.py", two_runs[0][0], two_runs[1][0], "--protocols=paper",
        "--metrics=hit@5", "--names=one,two", "--output=%s" % folder)
    assert status == 0, errors
    assert "## two against one" in output and "## Results, protocol paper" in \
        output
    assert "protocol full" not in output
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert output in text and "curve_hit_at_5.png" in text
    assert os.path.exists(str(folder / "report.html"))


def test_an_error_is_one_line_and_nothing_is_written(two_runs, tmp_path):
    status, output, errors = command(
        "report.py", two_runs[0][0], "--protocols=test",
        "--output=%s" % (tmp_path / "out"))
    assert (status, output) == (1, "")
    assert errors == (
        "report.py: error: --protocols: unknown protocol 'test'; the protocols "
        "are seed, paper, uniform, full\n")
    assert not os.path.exists(str(tmp_path / "out"))


def test_an_output_that_is_a_file_is_refused(two_runs, tmp_path):
    (tmp_path / "out").write_text("kept")
    status, _, errors = command("report.py", two_runs[0][0],
                                "--output=%s" % (tmp_path / "out"))
    assert status == 1
    assert errors == "report.py: error: --output: %s is a file; name a " \
        "folder\n" % (tmp_path / "out")
    assert (tmp_path / "out").read_text() == "kept"


@pytest.mark.parametrize("package", ["matplotlib", "scipy"])
def test_a_missing_package_names_the_requirements_file(package, tmp_path):
    (tmp_path / (package + ".py")).write_text(
        "raise ImportError(\"No module named '%s'\")\n" % package)
    status, output, errors = command("report.py", env=dict(
        os.environ, PYTHONPATH=str(tmp_path)))
    assert (status, output) == (1, "")
    assert errors == ("report.py: error: No module named '%s'; pip install -r "
                      "requirements-report.txt\n" % package)
