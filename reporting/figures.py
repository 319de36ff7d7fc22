"""The figures of a report, and the tables that go with them."""

import collections

import numpy as np

import evaluation
from evaluation import METRIC_LABELS
from reporting import events, plots, stats
from reporting.page import NOTHING, Figure, Section, Table, interval_cell

# Columns of eval_users.tsv that a metric is broken down by.
FACTORS = (("history_length", "items before the test item"),
           ("target_count", "training interactions of the target item"))
# Event tag, its axis, and whether what is between two logged points is about
# a straight line. The rate is none: it has corners and a jump.
TRAINING_CURVES = (
    ("loss", "training loss,\nnats per masked item", True),
    ("learning_rate", "learning rate", False))


# --- breakdown ----------------------------------------------------

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
    bounds = stats.quantile_bounds(pooled)
    labels = stats.bin_labels(pooled, bounds)
    rankers = _rankers(runs, protocols)
    binned = [_bin_metrics(ranker, stats.bin_indices(
        getattr(ranker.users, factor), bounds), len(bounds), metric, seed)
        for ranker in rankers]
    rows = [[labels[j], "%d" % counts[j], ranker.label]
            + [interval_cell(metrics[protocol][j]) if protocol in metrics
               else NOTHING for protocol in protocols]
            for j in range(len(labels))
            for ranker, (counts, metrics) in zip(rankers, binned)]
    panels = [("protocol %s" % protocol, [
        plots.Bars(ranker.label, ranker.number, ranker.baseline,
                   *metrics[protocol].T)
        for ranker, (_, metrics) in zip(rankers, binned)
        if protocol in metrics]) for protocol in protocols]
    title = "%s by %s" % (METRIC_LABELS[metric], what)
    users = [_range_text(in_bin) for in_bin in zip(*[
        counts for counts, _ in binned[:len(runs)]])]
    return Section(title, [
        Figure("by_%s.png" % factor,
               plots.points(panels, labels, ["n = " + text for text in users],
                            what + "; n: users", METRIC_LABELS[metric]),
               "%s with 95 %% bootstrap intervals, in bins of about equally "
               "many users; n: the users in the bin%s." % (
                   title, u", fewest\u2013most of a run"
                   if any(u"\u2013" in text for text in users) else "")
               + (" The baselines are those of %s." % runs[0].name
                  if len(runs) > 1 else "")),
        Table([what, "users", "ranked by"] + list(protocols), rows, 3)])


def _range_text(numbers):
    """"12", or "7\\u201312" of numbers that differ."""
    return u"\u2013".join("%d" % number
                          for number in sorted({min(numbers), max(numbers)}))


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


# --- metrics and curves ------------------------------------------------------

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
    return Figure("metrics.png", plots.bars(
        panels, [METRIC_LABELS[metric] for metric in metrics],
        "mean over test users"),
        "Ranking metrics by protocol, with 95 % bootstrap intervals over "
        "users; the baselines are those of the first run.")


def _bars(run, prefix, metrics, label, number, baseline):
    """plots.Bars, or None where the run has no such results."""
    keys = ["%s/%s" % (prefix, metric) for metric in metrics]
    if any(key not in run.results for key in keys):
        return None
    low = high = None
    if all(key + "/low" in run.results for key in keys):
        low, high = ([run.results[key + end] for key in keys]
                     for end in ("/low", "/high"))
    return plots.Bars(label, number, baseline,
                      [run.results[key] for key in keys], low, high)


def curves_section(runs, protocols, metrics):
    """Loss, learning rate and ranking metrics over the training steps."""
    blocks, single = _training_figures(runs)
    figures, single_ranked = _ranking_figures(runs, protocols, metrics)
    blocks += figures
    texts = (_grouped(single, "%s (%s)")
             + _grouped(single_ranked, "%s (protocol %s)"))
    if texts:
        blocks.append("Logged at one step only, so no curve is drawn: %s."
                      % "; ".join(texts))
    without = [run.name for run in runs if events.TRAINING not in run.curves]
    if without:
        blocks.append("No event files of a training: %s." % ", ".join(without))
    return Section("Curves", blocks)


def _training_figures(runs):
    """list of Figure, and pairs of a label and what of it is one point."""
    figures, single = [], []
    for tag, ylabel, straight in TRAINING_CURVES:
        what = tag.replace("_", " ")
        lines, points = _split([
            plots.Line(run.name, run.number, False,
                       *run.curves[events.TRAINING][tag][:2])
            for run in runs if tag in run.curves.get(events.TRAINING, ())])
        single += [(label, what) for label in points]
        if lines:
            figures.append(Figure(
                tag + ".png", plots.curves([("", lines)], ylabel,
                                           from_zero=tag != "loss",
                                           join_few=straight),
                _training_caption(what, lines, straight)))
    return figures, single


def _ranking_figures(runs, protocols, metrics):
    """list of Figure, and pairs of a label and a protocol that is one point."""
    figures, single = [], []
    for metric in metrics:
        panels = []
        for protocol in protocols:
            lines, points = _split(_ranking_lines(runs, protocol, metric))
            single += [(label, protocol) for label in points]
            if lines:
                panels.append(("protocol %s" % protocol, lines))
        if panels:
            label = METRIC_LABELS[metric]
            figures.append(Figure(
                "curve_%s.png" % label.lower().replace("@", "_at_"),
                plots.curves(panels, label, from_zero=True),
                "%s over the training steps, one point per evaluation."
                % label))
    return figures, single


def _split(lines):
    """The lines of two points or more, and the labels of the others."""
    return ([line for line in lines if len(line.x) > 1],
            [line.label for line in lines if len(line.x) < 2])


def _training_caption(what, lines, straight):
    text = "%s, as logged during training." % what.capitalize()
    few = ["%s %d" % (line.label, len(line.x)) for line in lines
           if len(line.x) <= plots.FEW]
    if few:
        text += " Each logged point is marked (%s)%s." % (
            ", ".join(few), "" if straight else
            ", and none are joined: what lies between was not logged")
    if len(lines) > 1:
        text += " Of equal curves the lower ones are drawn wider."
    return text


def _grouped(pairs, form):
    """list of str, one per first element, with all of its second ones."""
    seconds = collections.OrderedDict()
    for first, second in pairs:
        seconds.setdefault(first, collections.OrderedDict())[second] = None
    return [form % (first, ", ".join(found))
            for first, found in seconds.items()]


def _ranking_lines(runs, protocol, metric):
    """A line for every eval* folder that has the metric; those of other data
    than the test set are dashed."""
    lines = []
    for run in runs:
        for folder, scalars in run.curves.items():
            tag = "%s/%s" % (protocol, metric)
            if folder and tag in scalars:
                kind = folder[len("eval"):].strip("_-") or "test"
                lines.append(plots.Line(
                    "%s, %s" % (run.name, kind), run.number, kind != "test",
                    *scalars[tag][:2]))
    return lines
