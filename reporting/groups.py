"""Groups of runs that differ in the training seed alone: which they are, and
what a report says of them."""

import collections
import json
import os

import numpy as np

from evaluation import METRIC_LABELS
from reporting import plots, stats
from reporting.page import NOTHING, Figure, Section, Table, p_cell
from reporting.runs import (
    NAMING_FLAGS, PLACE_FLAGS, candidate_notes, check_same_users,
    earlier_flags, of_training, user_metrics, validation_chose)

# Flags that may differ within a group.
_FREE = ("random_seed",) + PLACE_FLAGS + NAMING_FLAGS
# A record of an older revision lacks the flags that came later. They were off.
_OFF = (None, False, 0, "", "none")
_SURROUNDINGS = ("python", "packages", "git_revision", "git_dirty")

# `runs` have a seed each; `number` counts the groups.
Group = collections.namedtuple("Group", "number name runs")


# --- which they are ----------------------------------------------------------

def seed_groups(runs):
    """The groups of two runs or more.

    Runs are of one group where the recorded flags of the training, from its
    first start to its last, the content of the data files and the model config
    are the same, and the evaluation's users and candidates, too. So is the
    step, unless validation chose it. Trainings that they began from may differ
    in the seed as well.
    A seed that comes again is no other training: that run stands alone.

    Args:
        runs: list of runs.Run.

    Returns:
        list of Group, in the order of their first runs.
    """
    found = collections.OrderedDict()
    for run in runs:
        if run.record:
            found.setdefault(_all_but_seed(run), collections.OrderedDict()
                             ).setdefault(run.record["seed"], run)
    members = [list(by_seed.values()) for by_seed in found.values()
               if len(by_seed) > 1]
    return [Group(number, name, group) for number, (name, group) in enumerate(
        zip(_group_names(members), members))]


def _all_but_seed(run):
    """str, the same for runs that differ in the training seed alone."""
    return json.dumps([
        _recipe(run.record), _ranked(run),
        not validation_chose(run) and run.results.get("global_step")],
        sort_keys=True)


def _recipe(recorded):
    """list, what a training was made of but for its seed."""
    training = of_training(recorded)
    flags = {flag: value for flag, value in training["flags"].items()
             if flag not in _FREE and value not in _OFF}
    earlier = recorded.get("began_from")
    if earlier:  # then it is known, wherever its checkpoint lies
        flags["init_checkpoint"] = os.path.basename(
            flags.get("init_checkpoint", ""))
    return [flags, list(filter(None, earlier_flags(recorded))),
            _sums(training), training.get("model_config"),
            earlier and _recipe(earlier)]


def _ranked(run):
    """What decides who was ranked among what, as far as it is recorded: list."""
    evaluated = run.evaluation or {}
    flags, sums = evaluated.get("flags", {}), _sums(evaluated)
    return [flags.get("use_pop_random"), sums.get("test_input_file"),
            sums.get("candidates_file", flags.get("candidates_file")),
            run.users and [run.users.user.tolist(), run.users.item.tolist()]]


def _sums(recorded):
    """dict, flag -> the checksums of its files, whatever they are called."""
    return {flag: sorted(sums.values())
            for flag, sums in recorded.get("data_files", {}).items()}


def _group_names(groups):
    """What the names of a group's runs share, where that tells the groups
    apart; else all of the runs' names."""
    shared = []
    for group in groups:
        words = [run.name.replace("/", "-").split("-") for run in group]
        shared.append("-".join(
            parts[0] for parts in zip(*words) if len(set(parts)) == 1))
    return [name if name and shared.count(name) == 1
            else ", ".join(run.name for run in group)
            for name, group in zip(shared, groups)]


def grouped(groups, *runs):
    """Whether each of the runs is in some group."""
    return all(any(run in group.runs for group in groups) for run in runs)


# --- what a report says of them ----------------------------------------------

def group_section(runs, groups, protocols, metrics):
    """Mean and deviation of each group's runs."""
    rows = []
    for protocol in protocols:
        for group in groups:
            values = _seed_values(group, protocol, metrics)
            if len(values) > 1:
                rows.append([protocol, group.name, "%d" % len(values)] + [
                    u"%.4f \u00b1 %.4f" % pair for pair in zip(
                        values.mean(axis=0), values.std(axis=0, ddof=1))])
    blocks = ["%s: %s." % (group.name, ", ".join(
        "%s (seed %s)" % (run.name, run.record["seed"]) for run in group.runs))
        for group in groups]
    blocks += [
        Table(["protocol", "runs", "n"] + [METRIC_LABELS[metric]
                                           for metric in metrics], rows, 2),
        u"Mean \u00b1 standard deviation (n - 1) over n trainings that differ "
        "in the seed alone. The deviation is of one training, not of the mean."]
    blocks += _other_differences(groups)
    alone = [run.name for run in runs if not grouped(groups, run)]
    if alone:
        blocks.append("In no such group: %s." % ", ".join(alone))
    return Section("Training seeds", blocks)


def _seed_values(group, protocol, metrics):
    """float array [runs, metrics] of the runs that have the protocol."""
    keys = ["%s/%s" % (protocol, metric) for metric in metrics]
    return np.array([[run.results[key] for key in keys] for run in group.runs
                     if all(key in run.results for key in keys)])


def _other_differences(groups):
    """list of str: groups whose runs differ in more than what a group is made
    by."""
    notes = []
    for group in groups:
        differing = [key.replace("_", " ") for key in _SURROUNDINGS
                     if len({json.dumps(run.record.get(key), sort_keys=True)
                             for run in group.runs}) > 1]
        if differing:
            notes.append("The runs of %s differ in their %s, too."
                         % (group.name, " and ".join(differing)))
    return notes


def group_figures(groups, protocols, metrics):
    """A figure for each metric, a panel for each protocol."""
    figures = []
    for i, metric in enumerate(metrics):
        panels = []
        for protocol in protocols:
            values = [_seed_values(group, protocol, metrics)
                      for group in groups]
            if all(len(found) for found in values):
                panels.append(("protocol %s" % protocol,
                               [found[:, i] for found in values]))
        label = METRIC_LABELS[metric]
        if panels:
            figures.append(Figure(
                "seeds_%s.png" % label.lower().replace("@", "_at_"),
                plots.dots(panels, [group.name for group in groups], label),
                "%s of each training, a dot a seed; the line is their mean. "
                "The axis does not start at 0." % label))
    return figures


def group_comparison(reference, other, protocols, metrics):
    """Tests of one group against another."""
    runs = reference.runs + other.runs
    for run in runs[1:]:
        check_same_users(runs[0], run)
    title = "%s against %s, over training seeds" % (other.name, reference.name)
    protocols = [protocol for protocol in protocols
                 if all(protocol in run.users.ranks for run in runs)]
    if not protocols or len(runs[0].users.user) < 2:
        return Section(title, ["No two users were ranked under one protocol "
                               "by all of these runs."])
    values = [np.stack([user_metrics(run, protocols, metrics)
                        for run in group.runs], axis=1)
              for group in (reference, other)]
    means = [found.mean(axis=(0, 1)) for found in values]
    rows = [[
        protocols[i // len(metrics)], METRIC_LABELS[metrics[i % len(metrics)]],
        "%.4f" % means[0][i], "%.4f" % means[1][i],
        "%+.4f\n[%+.4f, %+.4f]" % (found.difference, found.low, found.high),
        p_cell(found.p, NOTHING), p_cell(found.welch_p, NOTHING)]
        for i, found in enumerate(stats.compare_groups(*values))]
    return Section(title, [
        Table(["protocol", "metric", reference.name, other.name, "difference",
               "p, users and seeds", "p, seeds (Welch)"], rows, 2),
        "%d users, each ranked by all runs; %d and %d training seeds; "
        "difference = %s minus %s. Interval (95 %%) and the first p hold for "
        "other users and other seeds: two-way variance, t with Satterthwaite's "
        "degrees of freedom. The second p is Welch's t-test of the seeds' "
        "means: it holds for these users alone. The %d tests are not corrected "
        "for their number."
        % (len(runs[0].users.user), len(reference.runs), len(other.runs),
           other.name, reference.name, len(rows))]
        # Within a group they are the same.
        + candidate_notes(reference.runs[0], other.runs[0], protocols))
