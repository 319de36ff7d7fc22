"""Small hand-written runs, and reports made of them."""

import argparse
import contextlib
import json
import os
from unittest import mock

from matplotlib.figure import Figure
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import evaluation
import report
from reporting import plots, sections
from reporting.page import Table


USERS = 43
COLUMNS = ["user", "item", "history_length", "target_count"]


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


def write_evaluation(folder, data_files=(), **flags):
    """eval_config.json; flags: those that are not the usual ones."""
    (folder / "eval_config.json").write_text(json.dumps({
        "evaluated": "2026-11-24T10:00:00+0000", "checkpoint": "model.ckpt-300",
        "step": 300, "packages": {"numpy": "1.26.4"},
        "data_files": dict(data_files), "flags": dict({
            "eval_seeds": 3, "protocols": ["paper", "full"],
            "eval_batch_size": 64, "use_pop_random": True,
            "candidates_file": None, "learning_rate": 1e-4}, **flags)}))


def write_run(folder, seed, protocols=evaluation.PROTOCOLS, curves=False,
              form=None, **flags):
    """A run directory as run.py leaves it; returns its name and columns.

    Its training had other evaluation flags than its evaluation. Another seed
    has another attention form, too, where none is given. flags: those of the
    training that are not the usual ones.
    """
    folder.mkdir()
    columns, order = user_columns(seed, protocols)
    write_users(folder, columns, order)
    write_results(folder, columns)
    (folder / "run_config.json").write_text(json.dumps({
        "seed": seed, "started_from_step": 0, "validation": "held out",
        "git_revision": "abc<&>", "hardware": {"cpus": 2},
        "packages": {"numpy": "1.19.5"},
        "model_config": {"attention_form": form or "form %d" % seed},
        "flags": dict({
            "learning_rate": 1e-4, "eval_seeds": 1, "top_k": 10,
            "protocols": ["seed"],
            "eval_batch_size": 256, "use_pop_random": False,
            "candidates_file": "training.tsv", "test_input_file": "x"},
            **flags),
        "data_files": {
            "train_input_file": {"ml-1m-mp1.0-sw0.5.train.tfrecord": "5" * 64},
            "test_input_file": {"ml-1m-mp1.0-sw0.5.test.tfrecord": "6" * 64}}}))
    write_evaluation(folder, {"test_input_file": {
        "ml-1m-mp1.0-sw0.5.test.tfrecord": "7" * 64}})
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
    draw = {name: getattr(plots, name) if drawn
            else lambda *arguments, **options: b""
            for name in ("bars", "points", "curves", "dots")}
    with mock.patch.multiple(plots, **draw):
        printed, further = sections.make_sections(
            runs, report.choose_protocols(runs, args.protocols), args)
    return ({section.title: section.blocks for section in printed + further},
            [section.title for section in printed])


def table_of(blocks):
    """The only table among blocks."""
    table, = [block for block in blocks
              if isinstance(block, Table)]
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
            mock.patch.object(plots, "Figure", KeptFigure):
        yield KeptFigure.drawn


@pytest.fixture(scope="module")
def whole(two_runs):
    """All sections of the report on the two runs, what of it is printed, and
    the figures."""
    with kept_figures() as figures:
        return sections_of([name for name, _ in two_runs], drawn=True,
                           reference=True) + (figures,)
