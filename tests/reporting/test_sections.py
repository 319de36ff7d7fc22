"""The tables of a report, against the runs they were made of."""

import io
import os

import numpy as np
import pytest

import evaluation
import report
from conftest import ROOT
from data.known_datasets import PUBLISHED_RESULTS
from reporting import sections, stats
from reporting import runs as run_files
from reporting.page import Table
from written_runs import USERS, sections_of, table_of, text_of, two_runs, user_columns, whole, write_results, write_run, write_users


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
        return run_files.Run(0, "x", "x", {}, {}, None,
                               {"data_files": {"x": dict.fromkeys(files)}}, {})

    def datasets(*runs):
        return {row[1] for row in sections.published_rows(runs)}

    assert datasets(run("ml-1m-x.vocab")) == {"ml-1m"}
    assert datasets(run("ml-1m-x.vocab"), run("beauty-x.his")) == {
        "ml-1m", "beauty"}
    assert datasets(run("sample-x.vocab")) == {"ml-1m", "beauty"}


def test_published_rows_come_on_demand_alone(two_runs):
    blocks = sections_of([two_runs[0][0]])[0]["Results, protocol paper"]
    assert "published" not in " ".join(
        row[0] for row in table_of(blocks).rows)


def test_published_rows_are_those_of_the_documentation():
    with io.open(os.path.join(ROOT, "docs", "evaluation.md"),
                 encoding="utf-8") as stream:
        page = [[cell.strip() for cell in line.strip("|\n").split("|")]
                for line in stream]
    order = ["hit@1", "hit@5", "hit@10", "ndcg@5", "ndcg@10", "ap"]
    for _, _, what, values in PUBLISHED_RESULTS:
        name = what.replace("training log", "published log")
        assert [name] + [values.get(metric, u"\u2013")
                         for metric in order] in page


def test_published_rows_name_known_protocols_and_metrics():
    for protocol, dataset, what, values in PUBLISHED_RESULTS:
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
    known, = stats.compare(ours[:, None], theirs[:, None], 12345)
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
                        if isinstance(block, Table)]
    assert differing.rows == [["seed", "1", "2"]]
    assert ["flags.learning_rate", "0.0001"] in equal.rows
    assert ["hardware.cpus", "2"] in equal.rows


def test_tables_are_printed_and_plots_are_not(whole):
    assert whole[1] == ["Runs"] + [
        "Results, protocol %s" % name for name in evaluation.PROTOCOLS] + [
            "cross against self"]
