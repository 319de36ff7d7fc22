"""What a report says: its tables and figures, made of runs."""

import collections

import numpy as np

import evaluation
import report_plots
import report_runs
import report_stats
import run_record
from report_page import Figure, Section, Table

AXIS_NAMES = dict(
    {name: name.replace("ndcg", "NDCG").replace("hit", "HR")
     for name in evaluation.METRICS}, ap="MRR")
CANDIDATES = {
    "seed": "100 items by popularity, outside the model's input window",
    "paper": "100 items by popularity, outside the whole history",
    "uniform": "100 uniformly drawn items, outside the whole history",
    "full": "every item outside the whole history"}

# Published numbers, as printed in their sources: protocol, dataset, what, and
# the metrics that the source gives. For the eye alone: nothing is computed
# from them. Sources, by row: the published cross-attention code's training
# log (two runs); Sun et al., BERT4Rec, CIKM 2019, table 2, whose popularity
# negatives exclude the whole history; the benchmarks of the open
# implementations RecTools (ML-1M) and BERT4Rec_AC (Beauty); unsampled, the
# range of open BERT4Rec implementations that starts at Petrov & Macdonald,
# RecSys 2022, and SASRec by Klenitskiy & Vasilev, RecSys 2023.
PUBLISHED = (
    ("seed", "ml-1m", "training log, 400,000 steps, run 1", {
        "hit@1": ".2733", "hit@5": ".5786", "hit@10": ".6868",
        "ndcg@5": ".4350", "ndcg@10": ".4701", "ap": ".4138"}),
    ("seed", "ml-1m", "training log, 400,000 steps, run 2", {
        "hit@1": ".2690", "hit@5": ".5695", "hit@10": ".6791",
        "ndcg@5": ".4278", "ndcg@10": ".4634", "ap": ".4078"}),
    ("paper", "ml-1m", "BERT4Rec paper", {
        "hit@1": ".2863", "hit@5": ".5876", "hit@10": ".6970",
        "ndcg@5": ".4454", "ndcg@10": ".4818", "ap": ".4254"}),
    ("paper", "ml-1m", "BERT4Rec, RecTools", {
        "hit@10": ".7151", "ndcg@10": ".5020"}),
    ("full", "ml-1m", "BERT4Rec, open implementations", {
        "hit@10": u".2821\u2013.2921", "ndcg@10": u".1516\u2013.1618"}),
    ("full", "ml-1m", "SASRec, full cross-entropy", {
        "hit@10": ".3152", "ndcg@10": ".1821"}),
    ("paper", "beauty", "BERT4Rec paper", {
        "hit@10": ".3025", "ndcg@10": ".1862", "ap": ".1701"}),
    ("paper", "beauty", "BERT4Rec, BERT4Rec_AC", {
        "hit@10": ".3123", "ndcg@10": ".1909", "ap": ".1722"}),
)
# Columns of eval_users.tsv that a metric is broken down by.
FACTORS = (("history_length", "items before the test item"),
           ("target_count", "training interactions of the target item"))
NOTHING = u"\u2013"  # a cell without a value


# --- sections: runs, results ------------------------------------------------

def runs_section(runs):
    """What the runs are."""
    rows = [[run.name, run.folder,
             str(run.results.get("validation", NOTHING)),
             str(run.config.get("attention_form", NOTHING)),
             str(run.record["seed"] if run.record else NOTHING),
             _cell(run.results.get("global_step"), "%d"),
             _cell(run.results.get("valid_user"), "%d")] for run in runs]
    blocks = [Table(["run", "model directory", "validation items",
                     "attention form", "seed", "step", "test users"], rows, 5)]
    if len({row[2] for row in rows}) > 1:
        blocks.append("The runs differ in what became of the validation items: "
                      "those folded into train are training data that the "
                      "other runs did not have.")
    without = [run.name for run in runs if run.record is None]
    if without:
        blocks.append("No %s, so nothing is known of flags and versions: %s."
                      % (run_record.FILE, ", ".join(without)))
    return Section("Runs", blocks)


def _cell(value, form):
    return NOTHING if value is None else form % value


def results_section(runs, protocol, published):
    """All metrics of the runs, their baselines and the published rows."""
    rows, missing = [], []
    for run in runs:
        if protocol not in report_runs.evaluated_protocols(run.results):
            missing.append(run.name)
            continue
        rows.append([run.name] + _metric_cells(run.results, protocol))
        key = "%s/%s" % (protocol, evaluation.METRICS[0])
        if key + "/mean" in run.results:
            rows.append([run.name + u", mean \u00b1 s.d. over candidate seeds"]
                        + [u"%.4f \u00b1 %.4f" % tuple(
                            run.results["%s/%s/%s" % (protocol, metric, part)]
                            for part in ("mean", "std"))
                           for metric in evaluation.METRICS])
    rows += baseline_rows(runs, protocol)
    rows += [["published, %s: %s" % (dataset, what)]
             + [values.get(metric, NOTHING) for metric in evaluation.METRICS]
             for where, dataset, what, values in published
             if where == protocol]
    blocks = ["The test item is ranked among %s." % CANDIDATES[protocol],
              Table(["ranked by"] + list(evaluation.METRICS), rows, 1)]
    if missing:
        blocks.append("Not evaluated under this protocol: %s."
                      % ", ".join(missing))
    return Section("Results, protocol %s" % protocol, blocks)


def _metric_cells(results, prefix):
    """A value and, where it is known, its interval, for every metric."""
    cells = []
    for metric in evaluation.METRICS:
        key = "%s/%s" % (prefix, metric)
        if key + "/low" in results:
            cells.append(_interval_cell([
                results[key + end] for end in ("", "/low", "/high")]))
        else:
            cells.append("%.4f" % results[key])
    return cells


def baseline_rows(runs, protocol):
    """A row for each baseline, one a run where the runs' differ."""
    rows = []
    for baseline in evaluation.BASELINES:
        prefix = "%s/%s" % (baseline, protocol)
        found = collections.OrderedDict()
        for run in runs:
            if "%s/%s" % (prefix, evaluation.METRICS[0]) in run.results:
                cells = _metric_cells(run.results, prefix)
                found.setdefault(tuple(cells), []).append(run.name)
        for cells, names in found.items():
            label = baseline.replace("_", " ")
            if len(found) > 1:
                label += " (%s)" % ", ".join(names)
            rows.append([label] + list(cells))
    return rows


def reading_notes(runs, protocols, reference):
    """list of str: how to read the tables, and which runs lack what."""
    notes = ["In square brackets: the 95 % bootstrap interval over test users. "
             "It says how far other users would move the number, not how far "
             "another training seed would."]
    without = [run.name for run in runs if not any(
        "%s/%s/low" % (protocol, evaluation.METRICS[0]) in run.results
        for protocol in protocols)]
    if without:
        notes.append("Without intervals, which an older %s does not hold "
                     "(run.py --do_eval writes them): %s."
                     % (report_runs.RESULTS_FILE, ", ".join(without)))
    without = [run.name for run in runs if run.users is None]
    if without:
        notes.append("Without %s (run.py --do_eval writes it), so in no test "
                     "and no breakdown: %s."
                     % (report_runs.USERS_FILE, ", ".join(without)))
    if reference:
        notes.append("Rows marked published are printed as their sources give "
                     "them, for the dataset they name. They are no results of "
                     "these runs, and other code drew their candidates.")
    return notes


def published_rows(runs):
    """The PUBLISHED rows of the runs' datasets, or all where none is known."""
    named = [name for run in runs if run.record
             for names in run.record["data_files"].values() for name in names]
    known = [row for row in PUBLISHED
             if any(name.startswith(row[1]) for name in named)]
    return known or PUBLISHED


# --- sections: comparison ---------------------------------------------------

def comparison_section(reference, other, protocols, metrics, seed):
    """Paired tests of one run against another."""
    report_runs.check_same_users(reference, other)
    title = "%s against %s" % (other.name, reference.name)
    protocols = [protocol for protocol in protocols
                 if protocol in reference.users.ranks
                 and protocol in other.users.ranks]
    if not protocols:
        return Section(title, ["No protocol was evaluated in both runs."])
    values = [np.stack([
        evaluation.metric_values(run.users.ranks[protocol])[metric]
        for protocol in protocols for metric in metrics], axis=1)
        for run in (reference, other)]
    rows = []
    results = report_stats.compare(values[0], values[1], seed)
    for i, found in enumerate(results):
        equal = len(values[0]) - found.better - found.worse
        rows.append([
            protocols[i // len(metrics)], metrics[i % len(metrics)],
            "%.4f" % values[0][:, i].mean(), "%.4f" % values[1][:, i].mean(),
            "%+.4f\n[%+.4f, %+.4f]" % (found.difference, found.low, found.high),
            "%.4f" % found.bootstrap_p, _p_cell(found.wilcoxon_p),
            _cell(found.effect, "%+.3f"),
            "%d / %d / %d" % (found.better, equal, found.worse)])
    blocks = [Table(["protocol", "metric", reference.name, other.name,
                     "difference", "p, bootstrap", "p, Wilcoxon", "d_z",
                     "users better / equal / worse"], rows, 2)]
    blocks += _comparison_notes(reference, other, protocols, len(rows))
    return Section(title, blocks)


def _p_cell(p):
    if p is None:
        return "no user differs"
    return "%.4f" % p if p >= 1e-4 else "%.0e" % p


def _comparison_notes(reference, other, protocols, tests):
    """How the table was made, and what speaks against reading it."""
    notes = [
        "%d users, each ranked by both runs; difference = %s minus %s. "
        "Interval and p by paired bootstrap (%d resamples of users); Wilcoxon "
        "signed-rank test, two-sided, over the users that differ; d_z = mean "
        "difference / standard deviation of the differences; better: users "
        "that %s ranks better on the metric. The %d tests are not corrected "
        "for their number. They speak of these two trained models: another "
        "training seed is another model."
        % (len(reference.users.user), other.name, reference.name,
           report_stats.SAMPLES, other.name, tests)]
    for protocol in protocols:
        column = "most_popular/" + protocol
        if column in reference.users.ranks and column in other.users.ranks:
            differing = np.count_nonzero(
                reference.users.ranks[column] != other.users.ranks[column])
            if differing:
                notes.append(
                    "Protocol %s: the most-popular baseline ranks %d users "
                    "differently in the two runs, so their candidates or "
                    "their training data differ." % (protocol, differing))
    return notes


# --- sections: breakdown ----------------------------------------------------

# A run's or a baseline's ranks: protocol -> int array [users].
Ranker = collections.namedtuple("Ranker", "label number baseline users ranks")


def breakdown_section(runs, protocols, metric, factor, what, seed):
    """One metric in quantile bins of a column of eval_users.tsv.

    Args:
        runs: runs with users.
        protocols: list of str.
        metric: str.
        factor: str, "history_length" or "target_count".
        what: str, what the column counts, for readers.
        seed: int, of the intervals.
    """
    pooled = np.concatenate([getattr(run.users, factor) for run in runs])
    bounds = report_stats.quantile_bounds(pooled)
    labels = report_stats.bin_labels(pooled, bounds)
    rankers = _rankers(runs, protocols)
    binned = [_bin_metrics(ranker, report_stats.bin_indices(
        getattr(ranker.users, factor), bounds), len(bounds), metric, seed)
        for ranker in rankers]
    rows = [[labels[j], "%d" % counts[j], ranker.label]
            + [_interval_cell(metrics[protocol][j]) if protocol in metrics
               else NOTHING for protocol in protocols]
            for j in range(len(labels))
            for ranker, (counts, metrics) in zip(rankers, binned)]
    panels = [("protocol %s" % protocol, [
        report_plots.Bars(ranker.label, ranker.number, ranker.baseline,
                          *metrics[protocol].T)
        for ranker, (_, metrics) in zip(rankers, binned)
        if protocol in metrics]) for protocol in protocols]
    title = "%s by %s" % (AXIS_NAMES[metric], what)
    return Section(title, [
        Figure("by_%s.png" % factor,
               report_plots.points(panels, labels, what, AXIS_NAMES[metric]),
               "%s with 95 %% bootstrap intervals, in bins of about equally "
               "many users." % title),
        Table([what, "users", "ranked by"] + list(protocols), rows, 3)])


def _rankers(runs, protocols):
    """list of Ranker: the runs, then the baselines of the first run."""
    rankers = [Ranker(run.name, run.number, False, run.users,
                      _columns(run, "", protocols)) for run in runs]
    return rankers + [
        Ranker(name.replace("_", " "), number, True, runs[0].users,
               _columns(runs[0], name + "/", protocols))
        for number, name in enumerate(evaluation.BASELINES)
        if _columns(runs[0], name + "/", protocols)]


def _columns(run, prefix, protocols):
    return {protocol: run.users.ranks[prefix + protocol]
            for protocol in protocols if prefix + protocol in run.users.ranks}


def _bin_metrics(ranker, indices, bins, metric, seed):
    """The users in each bin and their metric.

    Returns:
        int array [bins], and dict, protocol -> float array [bins, 3]: mean
        and bounds, NaN where nobody is.
    """
    metrics = {protocol: np.full((bins, 3), np.nan)
               for protocol in ranker.ranks}
    counts = np.bincount(indices, minlength=bins)
    for j in np.flatnonzero(counts):
        for protocol, ranks in ranker.ranks.items():
            inside = ranks[indices == j]
            metrics[protocol][j] = (
                evaluation.metric_values(inside)[metric].mean(),
            ) + evaluation.bootstrap_intervals(inside, seed=seed)[metric]
    return counts, metrics


def _interval_cell(estimate):
    """Text of (value, low, high)."""
    if np.isnan(estimate[0]):
        return NOTHING
    return "%.4f\n[%.4f, %.4f]" % tuple(estimate)


# --- sections: figures ------------------------------------------------------

def bars_figure(runs, protocols, metrics):
    """The chosen metrics of runs and baselines with their intervals."""
    panels = []
    for protocol in protocols:
        series = [_bars(run, protocol, metrics, run.name, run.number, False)
                  for run in runs]
        series += [_bars(runs[0], "%s/%s" % (baseline, protocol), metrics,
                         baseline.replace("_", " "), i, True)
                   for i, baseline in enumerate(evaluation.BASELINES)]
        panels.append(("protocol %s" % protocol,
                       [item for item in series if item]))
    return Figure("metrics.png", report_plots.bars(
        panels, [AXIS_NAMES[metric] for metric in metrics],
        "mean over test users"),
        "Ranking metrics by protocol, with 95 % bootstrap intervals over "
        "users; the baselines are those of the first run.")


def _bars(run, prefix, metrics, label, number, baseline):
    """report_plots.Bars, or None where the run has no such results."""
    keys = ["%s/%s" % (prefix, metric) for metric in metrics]
    if any(key not in run.results for key in keys):
        return None
    low = high = None
    if all(key + "/low" in run.results for key in keys):
        low, high = ([run.results[key + end] for key in keys]
                     for end in ("/low", "/high"))
    return report_plots.Bars(label, number, baseline,
                             [run.results[key] for key in keys], low, high)


def curves_section(runs, protocols, metrics):
    """Loss, learning rate and ranking metrics over the training steps."""
    blocks = []
    for tag, ylabel in (("loss", "training loss, nats per masked item"),
                        ("learning_rate", "learning rate")):
        lines = [report_plots.Line(run.name, run.number, False,
                                   *run.curves[""][tag]) for run in runs
                 if tag in run.curves.get("", ())]
        if lines:
            blocks.append(Figure(
                tag + ".png", report_plots.curves(
                    [("", lines)], ylabel, from_zero=tag != "loss"),
                "%s, as logged during training; of equal curves the lower ones "
                "are drawn wider." % tag.replace("_", " ").capitalize()))
    for metric in metrics:
        panels = [("protocol %s" % protocol,
                   _ranking_lines(runs, protocol, metric))
                  for protocol in protocols]
        panels = [panel for panel in panels if panel[1]]
        if panels:
            blocks.append(Figure(
                "curve_%s.png" % metric.replace("@", "_at_"),
                report_plots.curves(panels, AXIS_NAMES[metric], from_zero=True),
                "%s over the training steps, one point an evaluation."
                % AXIS_NAMES[metric]))
    without = [run.name for run in runs if "" not in run.curves]
    if without:
        blocks.append("No event files of a training: %s." % ", ".join(without))
    return Section("Curves", blocks)


def _ranking_lines(runs, protocol, metric):
    """A line for every eval* folder that has the metric; those of other data
    than the test set are dashed."""
    lines = []
    for run in runs:
        for folder, scalars in run.curves.items():
            tag = "%s/%s" % (protocol, metric)
            if folder and tag in scalars:
                kind = folder[len("eval"):].strip("_-") or "test"
                lines.append(report_plots.Line(
                    "%s, %s" % (run.name, kind), run.number, kind != "test",
                    *scalars[tag]))
    return lines


# --- sections: configuration ------------------------------------------------

def configuration_section(runs):
    """What run_config.json and the model configs hold, differences first."""
    flat = [dict(_flatten("", run.record or {"model_config": run.config}))
            for run in runs]
    rows = [[key] + [values.get(key, NOTHING) for values in flat]
            for key in sorted(set().union(*flat))]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    equal = [row for row in rows if len(set(row[1:])) == 1]
    header = ["key"] + [run.name for run in runs]
    blocks = []
    if differing:
        blocks += ["What differs between the runs:",
                   Table(header, differing, len(header))]
    if equal and len(runs) > 1:
        blocks.append("What is the same in all of them:")
        header, equal = ["key", "value"], [row[:2] for row in equal]
    if equal:
        blocks.append(Table(header, equal, len(header)))
    return Section("Configuration", blocks)


def _flatten(prefix, value):
    """Pairs of a dotted key and a str, from nested dicts."""
    if not isinstance(value, dict):
        text = ", ".join(map(str, value)) if isinstance(value, list) \
            else str(value)
        return [(prefix, text)]
    return [pair for key in value for pair in _flatten(
        "%s.%s" % (prefix, key) if prefix else key, value[key])]


# --- all of them ------------------------------------------------------------

def make_sections(runs, protocols, args):
    """All of the report.

    Args:
        runs: list of report_runs.Run.
        protocols: list of str.
        args: the flags.

    Returns:
        list of Section to print, list of further ones.
    """
    ranked = [run for run in runs if run.users is not None]
    published = published_rows(runs) if args.reference else ()
    results = [results_section(runs, protocol, published)
               for protocol in protocols]
    results[0].blocks[:0] = reading_notes(runs, protocols, args.reference)
    comparisons = []
    if args.compare:
        comparisons = [comparison_section(ranked[0], other, protocols,
                                          args.metrics, args.random_seed)
                       for other in ranked[1:]]
    further = [Section("Metrics", [bars_figure(runs, protocols, args.metrics)]),
               curves_section(runs, protocols, args.metrics)]
    broken_down = [protocol for protocol in protocols
                   if any(protocol in run.users.ranks for run in ranked)]
    if broken_down:
        further += [breakdown_section(ranked, broken_down, args.metrics[0],
                                      factor, what, args.random_seed)
                    for factor, what in FACTORS]
    return ([runs_section(runs)] + results + comparisons,
            further + [configuration_section(runs)])
