"""The tables of a report, against the runs they were made of."""

import io
import json
import os
import re

import numpy as np
import pytest

import evaluation
import report
from conftest import ROOT
from data.known_datasets import PUBLISHED_RESULTS
from reporting import sections, stats
from reporting import runs as run_files
from reporting.page import NOTHING, Figure, Table
from written_runs import (
    USERS, kept_figures, sections_of, table_of, text_of, two_runs, user_columns, whole,
    write_evaluation, write_results, write_run, write_scalars, write_users)

LABELS = ["NDCG@1", "HR@1", "NDCG@5", "HR@5", "NDCG@10", "HR@10", "MRR"]


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
    assert table.header == ["ranked by"] + LABELS
    ranks = two_runs[1][1]["paper"]
    for cell, metric in zip(table.rows[1][1:], evaluation.METRICS):
        assert cell == "%.4f\n[%.4f, %.4f]" % (
            (evaluation.ranking_metrics(ranks)[metric],)
            + evaluation.bootstrap_intervals(ranks)[metric])


# --- names ------------------------------------------------------------------

def test_metrics_have_one_name_in_tables_text_and_plots(whole):
    blocks, _, figures = whole
    explained = "HR@k, NDCG@k and MRR are hit@k, ndcg@k and ap in " \
        "eval_results.txt and in --metrics."
    texts = list(blocks)
    for title, section in blocks.items():
        for block in section:
            if isinstance(block, Table) and "Configuration" not in title:
                texts += sum(block.rows, block.header)
            elif isinstance(block, str):
                texts.append(block)
            elif not isinstance(block, Table):
                texts += [block.name, block.caption]
    for figure in figures:
        for axis in figure.axes:
            texts += [axis.get_ylabel(), axis.get_xlabel(), axis.get_title()]
            texts += [text.get_text() for text in axis.get_xticklabels()]
    assert texts.count(explained) == 1
    texts.remove(explained)
    for text in texts:
        assert not re.search("hit@|ndcg@|hit_at|\\bap\\b", text), text
    for label in ("NDCG@10", "HR@10", "MRR"):
        assert sum(label in text for text in texts) > 8


# --- published rows ---------------------------------------------------------

def run_of(*files, **evaluation_files):
    """A run whose training's data files have these names."""
    evaluated = None
    if evaluation_files:
        evaluated = {"data_files": {
            flag: {name: "5" * 64} for flag, name in evaluation_files.items()}}
    return run_files.Run(0, "x", "x", {}, {}, None, {"data_files": {
        "x": dict.fromkeys(files)}} if files else None, evaluated, {})


@pytest.mark.parametrize("file, dataset", [
    ("ml-1m.vocab", "ml-1m"), ("ml-1m-ho.his", "ml-1m"),
    ("ml-1m-mp1.0-sw0.5-mlp0.2-df10-mpps40-msl200.train.tfrecord", "ml-1m"),
    ("beauty-mp1.0-sw-1-mlp0.6-df10-mpps30-msl50-ho.test.tfrecord", "beauty"),
    ("beauty-mp1.0-sw0.1.train.tfrecord-00001-of-00004", "beauty"),
    ("ml-1m-own.vocab", "ml-1m-own"), ("ml-1m-x.his", "ml-1m-x"),
    ("ml-1million.his", "ml-1million"), ("beauty2014-ho.his", "beauty2014"),
    ("beauty-own-mp1.0-sw0.5.valid.tfrecord", "beauty-own"),
    ("my-ml-1m.vocab", "my-ml-1m"), ("sample-ho.vocab", "sample")])
def test_a_dataset_is_told_by_its_exact_name(file, dataset):
    assert run_files.dataset_names(run_of(file)) == [dataset]
    rows = sections.published_rows([run_of(file)])
    assert {row[1] for row in rows} == {dataset} & {"ml-1m", "beauty"}
    notes = sections.published_notes([run_of(file)])
    if rows:
        assert len(notes) == 1 and notes[0].startswith("Rows marked published")
    else:
        assert notes == [
            "No published numbers are known for x (%s). They are for ml-1m "
            "and beauty, told by the recorded data files: exactly this name, "
            "followed by the signature that gen_data_fin.py makes." % dataset]


def test_a_dataset_is_told_by_the_evaluation_where_no_training_is_recorded():
    run = run_of(test_input_file="beauty-ho.test.tfrecord")
    assert run_files.dataset_names(run) == ["beauty"]
    assert {row[1] for row in sections.published_rows([run])} == {"beauty"}


@pytest.mark.parametrize("flag", ["items_file", "candidates_file"])
def test_files_that_were_not_generated_are_no_dataset(flag):
    run = run_of(test_input_file="beauty-ho.test.tfrecord", **{flag: "some.tsv"})
    assert run_files.dataset_names(run) == ["beauty"]


def test_published_rows_are_those_of_all_runs_and_name_who_has_none():
    runs = [run_of("ml-1m.his"), run_of("beauty.his"), run_of("steam.his"),
            run_of()]
    assert sections.published_rows(runs) == list(PUBLISHED_RESULTS)
    known, unknown = sections.published_notes(runs)
    assert "known for x (steam), x (no data file recorded)." in unknown


def test_a_dataset_without_published_numbers_gets_a_note_and_no_rows(tmp_path):
    write_run(tmp_path / "run", 1)
    (tmp_path / "run" / "run_config.json").unlink()
    write_evaluation(tmp_path / "run", {"vocab_filename": {
        "ml-1m-x.vocab": "5" * 64}})
    blocks, _ = sections_of([str(tmp_path / "run")], names=["one"],
                            reference=True)
    for protocol in evaluation.PROTOCOLS:
        rows = table_of(blocks["Results, protocol " + protocol]).rows
        assert [row[0] for row in rows] == ["one", "most popular",
                                            "item transitions"]
    text = text_of(blocks["Results, protocol seed"])
    assert "No published numbers are known for one (ml-1m-x)." in text
    assert "Rows marked published" not in text


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


# --- results and comparisons ------------------------------------------------

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


def test_a_run_under_another_protocol_alone_does_not_lack_intervals(tmp_path):
    folders = [write_run(tmp_path / name, seed, [protocol])[0]
               for seed, (name, protocol) in enumerate(
                   [("a", "paper"), ("b", "full")])]
    sections, _ = sections_of(folders, protocols=["full"])
    assert "Without intervals" not in text_of(
        sections["Results, protocol full"])


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


def resume(folder, steps, began_from=None):
    """Makes the record of a run that of a training resumed at these steps."""
    path = folder / "run_config.json"
    found = json.loads(path.read_text())
    starts = [dict(found, started_from_step=step) for step in [0] + steps]
    path.write_text(json.dumps(dict(
        starts[-1], earlier_starts=starts[:-1],
        began_from=began_from and dict(found, started_from_step=began_from))))


def test_resumed_trainings_are_told_with_their_steps(whole, tmp_path):
    for name, steps, began_from in (("a", [40, 70], None), ("b", [], 9)):
        write_run(tmp_path / name, 1, ["paper"])
        resume(tmp_path / name, steps, began_from)
    sections, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert "Resumed, with the data in another order from there on than in " \
        "one go: a at step 40, 70; what b began from at step 9." in text_of(
            sections["Runs"])
    rows = [block for block in sections[TRAINING]
            if isinstance(block, Table)][0].rows
    assert ["resumed_at_steps", "40, 70", "none"] in rows
    assert ["began_from.resumed_at_steps", NOTHING, "9"] in rows
    assert "earlier_starts" not in str(rows)
    assert "Resumed" not in text_of(whole[0]["Runs"])


def test_flags_that_a_resumed_training_had_before_are_told(tmp_path):
    write_run(tmp_path / "a", 1, ["paper"])
    resume(tmp_path / "a", [40, 70])
    path = tmp_path / "a" / "run_config.json"
    found = json.loads(path.read_text())
    found["earlier_starts"][0]["flags"].update(learning_rate=0.5, top_k=3)
    found["earlier_starts"][1]["flags"].update(batch_size=64)
    found["flags"]["batch_size"] = 16
    path.write_text(json.dumps(found))
    sections, _ = sections_of([str(tmp_path / "a")])
    assert "a at step 40, 70 (before with --batch_size=64, " \
        "--learning_rate=0.5)." in text_of(sections["Runs"])


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
        for metric in ("NDCG@10", "HR@10", "MRR")]
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
    rows = table_of(sections["again against self"]).rows
    assert len(rows) == 4 * 3  # protocols, metrics
    for row in rows:
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


def test_the_axis_of_a_breakdown_counts_the_users_of_the_bins(whole):
    for figure, title in zip(whole[2][-2:], (
            "NDCG@10 by items before the test item",
            "NDCG@10 by training interactions of the target item")):
        rows = [row for row in table_of(whole[0][title]).rows
                if row[2] == "self"]
        assert sum(int(row[1]) for row in rows) == USERS
        for axis in figure.axes:
            ticks = [tick.get_text().replace(u"\u2013\n", u"\u2013")
                     for tick in axis.get_xticklabels()]
            assert ticks == ["%s\nn = %s" % tuple(row[:2]) for row in rows]
            assert axis.get_xlabel().endswith("; n: users")


def test_runs_over_other_users_have_their_range_on_the_axis(two_runs, tmp_path):
    columns, order = user_columns(2)
    short = {name: values[:-5] for name, values in columns.items()}
    write_users(tmp_path, short, order)
    write_results(tmp_path, short)
    with kept_figures() as figures:
        blocks, _ = sections_of([two_runs[0][0], str(tmp_path)], drawn=True,
                                names=["all", "some"], compare=False)
    title = "NDCG@10 by items before the test item"
    counts = {name: [int(row[1]) for row in table_of(blocks[title]).rows
                     if row[2] == name] for name in ("all", "some")}
    assert sum(counts["all"]) == USERS and sum(counts["some"]) == USERS - 5
    notes = [tick.get_text().split("\n")[-1]
             for tick in figures[-2].axes[0].get_xticklabels()]
    assert notes == ["n = %d" % a if a == b else u"n = %d\u2013%d" % (b, a)
                     for a, b in zip(counts["all"], counts["some"])]
    figure, = [block for block in blocks[title] if isinstance(block, Figure)]
    assert figure.caption.endswith(
        u"n: the users in the bin, fewest\u2013most of a run. The baselines "
        "are those of all.")


# --- curves -----------------------------------------------------------------

def curves_of(folder, **changes):
    """The blocks of the section, and the figures' lines by figure name."""
    with kept_figures() as figures:
        blocks = sections_of([str(folder)], drawn=True, names=["one"],
                             **changes)[0]["Curves"]
    shown = [block for block in blocks if isinstance(block, Figure)]
    drawn = figures[1:1 + len(shown)]  # after the bars
    return blocks, {
        block.name: [line for axis in figure.axes for line in axis.lines]
        for block, figure in zip(shown, drawn)}


def test_the_rate_of_a_short_training_is_its_logged_points(tmp_path):
    write_run(tmp_path / "run", 1, ["paper"])
    write_scalars(tmp_path / "run", {
        "loss": {1: 7.5, 101: 6.0, 130: 5.0},
        "learning_rate": {1: 0.0, 101: 1e-3}})
    blocks, lines = curves_of(tmp_path / "run")
    loss, = lines["loss.png"]
    assert loss.get_xdata().tolist() == [1, 101, 130]
    assert (loss.get_linestyle(), loss.get_marker()) == ("-", "o")
    rate, = lines["learning_rate.png"]
    assert rate.get_xdata().tolist() == [1, 101]
    assert (rate.get_linestyle(), rate.get_marker()) == ("None", "o")
    assert [block.caption for block in blocks] == [
        "Loss, as logged during training. Each logged point is marked (one 3).",
        "Learning rate, as logged during training. Each logged point is marked "
        "(one 2), and none are joined: what lies between was not logged."]


def test_a_single_point_is_no_curve_and_the_page_says_so(tmp_path):
    write_run(tmp_path / "run", 1)
    write_scalars(tmp_path / "run", {"loss": {1: 7.5},
                                     "learning_rate": {1: 0.0}})
    write_scalars(tmp_path / "run" / "eval", {
        "%s/%s" % (protocol, metric): {300: 0.2}
        for protocol in evaluation.PROTOCOLS for metric in evaluation.METRICS})
    blocks, lines = curves_of(tmp_path / "run")
    assert lines == {}
    assert blocks == [
        "Logged at one step only, so no curve is drawn: one (loss, learning "
        "rate); one, test (protocol seed, paper, uniform, full)."]


def test_a_single_point_beside_a_curve_is_left_out(tmp_path):
    write_run(tmp_path / "run", 1)
    write_scalars(tmp_path / "run" / "eval", {"paper/ndcg@10": {300: 0.2}})
    write_scalars(tmp_path / "run" / "eval_valid", {
        "paper/ndcg@10": {100: 0.1, 300: 0.15}})
    blocks, lines = curves_of(tmp_path / "run")
    assert list(lines) == ["curve_ndcg_at_10.png"]
    line, = lines["curve_ndcg_at_10.png"]
    assert line.get_label() == "one, valid"
    assert line.get_xdata().tolist() == [100, 300]
    assert line.get_ydata() == pytest.approx([0.1, 0.15])
    assert blocks[1] == "Logged at one step only, so no curve is drawn: one, " \
        "test (protocol paper)."


# --- configuration ----------------------------------------------------------

TRAINING = "Configuration of the training"
EVALUATION = "Configuration of the evaluation"


def test_configuration_shows_differences_first(whole):
    differing, equal = [block for block in whole[0][TRAINING]
                        if isinstance(block, Table)]
    assert differing.rows == [
        ["model_config.attention_form", "form 1", "form 2"],
        ["seed", "1", "2"]]
    assert ["flags.learning_rate", "0.0001"] in equal.rows
    assert ["hardware.cpus", "2"] in equal.rows


def test_evaluation_flags_are_those_of_the_evaluation(tmp_path):
    for name, seeds in (("a", 3), ("b", 5)):
        write_run(tmp_path / name, 1, ["paper", "full"])
        write_evaluation(tmp_path / name, {
            "test_input_file": {"ml-1m.test.tfrecord": "7" * 64},
            "train_input_file": {"ml-1m.train.tfrecord": "8" * 64}},
            eval_seeds=seeds)
    blocks, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    differing, equal = [block for block in blocks[EVALUATION]
                        if isinstance(block, Table)]
    assert differing.rows == [["flags.eval_seeds", "3", "5"]]
    assert equal.rows == [
        ["checkpoint", "model.ckpt-300"],
        ["data_files.test_input_file.ml-1m.test.tfrecord", "7" * 64],
        ["evaluated", "2026-11-24T10:00:00+0000"],
        ["flags.candidates_file", "None"], ["flags.eval_batch_size", "64"],
        ["flags.protocols", "paper, full"], ["flags.use_pop_random", "True"],
        ["packages.numpy", "1.26.4"], ["step", "300"]]
    training = table_of(blocks[TRAINING])
    assert [row[0] for row in training.rows] == [
        "began_from",
        "data_files.train_input_file.ml-1m-mp1.0-sw0.5.train.tfrecord",
        "flags.learning_rate", "git_revision", "hardware.cpus",
        "model_config.attention_form", "packages.numpy", "resumed_at_steps",
        "seed", "validation"]


def test_an_unrecorded_evaluation_is_unknown_and_not_guessed(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 1, ["paper"])
    (tmp_path / "b" / "eval_config.json").unlink()
    blocks, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    assert blocks[EVALUATION][:2] == [
        "No eval_config.json (run.py --do_eval writes it), so the flags and "
        "versions of the evaluation are unknown: b.",
        "What differs between the runs, or is unknown of some:"]
    rows = table_of(blocks[EVALUATION]).rows
    assert ["flags.eval_seeds", "3", "unknown"] in rows
    assert {row[2] for row in rows} == {"unknown"}
    alone, _ = sections_of([str(tmp_path / "b")])
    assert alone[EVALUATION] == [blocks[EVALUATION][0]]
    assert "eval_seeds" not in str(alone[TRAINING])
    assert "top_k" not in str(alone[TRAINING])


def test_an_unrecorded_training_is_unknown_but_for_its_model(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, 1, ["paper"])
    (tmp_path / "b" / "run_config.json").unlink()
    blocks, _ = sections_of([str(tmp_path / "a"), str(tmp_path / "b")])
    rows = table_of(blocks[TRAINING]).rows
    assert ["flags.learning_rate", "0.0001", "unknown"] in rows
    assert ["model_config.attention_form", "form 1", "cross"] in rows
    assert blocks[TRAINING][0].startswith(
        "No run_config.json (run.py --do_train writes it)")


def test_other_candidates_than_the_protocols_are_told(tmp_path):
    for name, protocols, flags in (
            ("one", evaluation.PROTOCOLS, {"use_pop_random": False}),
            ("two", evaluation.PROTOCOLS, {"use_pop_random": False,
                                           "candidates_file": "some.tsv"}),
            ("three", ["paper", "full"], {"use_pop_random": False,
                                          "candidates_file": "a.tsv"})):
        write_run(tmp_path / name, 1, protocols)
        write_evaluation(tmp_path / name, **flags)
    blocks, _ = sections_of(
        [str(tmp_path / name) for name in ("one", "two", "three")],
        names=["one", "two", "three"])
    uniform = "Drawn uniformly instead, by --use_pop_random=False: one."
    for protocol in evaluation.PROTOCOLS:
        text = text_of(blocks["Results, protocol " + protocol])
        assert (uniform in text) == (protocol == "seed")
        of_file = "those of --candidates_file: two (some.tsv)" + (
            ", three (a.tsv)." if protocol == "paper" else ".")
        assert (of_file in text) == (protocol != "full")


def test_tables_are_printed_and_plots_are_not(whole):
    assert whole[1] == ["Runs"] + [
        "Results, protocol %s" % name for name in evaluation.PROTOCOLS] + [
            "cross against self"]
