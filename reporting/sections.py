"""What a report says: its tables and figures, made of runs."""

import collections

import evaluation
from evaluation import METRIC_LABELS
from data.known_datasets import PUBLISHED_RESULTS
from experiment import record
from reporting import stats
from reporting.figures import (
    FACTORS, bars_figure, breakdown_section, curves_section)
from reporting.groups import (
    group_comparison, group_figures, group_section, grouped, seed_groups)
from reporting.page import NOTHING, Section, Table, interval_cell, p_cell
from reporting.runs import (
    RESULTS_FILE, USERS_FILE, candidate_notes, check_same_users, dataset_names,
    earlier_flags, evaluated_protocols, of_evaluation, of_training, resumed_at,
    user_metrics)

CANDIDATES = {
    "seed": "100 items by popularity, outside the model's input window",
    "paper": "100 items by popularity, outside the whole history",
    "uniform": "100 uniformly drawn items, outside the whole history",
    "full": "every item outside the whole history"}
UNKNOWN = "unknown"  # a cell whose file is missing


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
                      % (record.FILE, ", ".join(without)))
    resumed = [words for run in runs
               for words in _resumed(run.name, run.record)]
    if resumed:
        blocks.append("Resumed, with the data in another order from there on "
                      "than in one go: %s." % "; ".join(resumed))
    return Section("Runs", blocks)


def _resumed(name, recorded):
    """list of str: a training, the steps at which it was resumed and which
    flags were others before, and the trainings that it began from."""
    if not recorded:
        return []
    steps = ", ".join(map(str, resumed_at(recorded)))
    before = sorted({"--%s=%s" % item for flags in earlier_flags(recorded)
                     for item in flags.items()})
    return _resumed("what %s began from" % name, recorded.get("began_from")) + (
        ["%s at step %s%s" % (name, steps, " (before with %s)"
                              % ", ".join(before) if before else "")]
        if steps else [])


def _cell(value, form):
    return NOTHING if value is None else form % value


def results_section(runs, protocol, published):
    """All metrics of the runs, their baselines and the published rows."""
    rows, missing = [], []
    for run in runs:
        if protocol not in evaluated_protocols(run.results):
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
              Table(["ranked by"] + list(METRIC_LABELS.values()), rows, 1)]
    blocks += _candidate_notes(runs, protocol)
    if missing:
        blocks.append("Not evaluated under this protocol: %s."
                      % ", ".join(missing))
    return Section("Results, protocol %s" % protocol, blocks)


def _candidate_notes(runs, protocol):
    """list of str: which evaluations had other candidates by their flags."""
    notes = []
    flags = [(run.name, run.evaluation["flags"]) for run in runs
             if run.evaluation and protocol in evaluated_protocols(run.results)]
    uniform = [name for name, values in flags
               if not (values.get("use_pop_random", True)
                       or values.get("candidates_file"))]
    if protocol == "seed" and uniform:
        notes.append("Drawn uniformly instead, by --use_pop_random=False: %s."
                     % ", ".join(uniform))
    of_file = ["%s (%s)" % (name, values["candidates_file"])
               for name, values in flags if values.get("candidates_file")]
    if protocol != "full" and of_file:
        notes.append("The candidates are those of --candidates_file: %s."
                     % ", ".join(of_file))
    return notes


def _metric_cells(results, prefix):
    """A value and, where it is known, its interval, for every metric."""
    cells = []
    for metric in evaluation.METRICS:
        key = "%s/%s" % (prefix, metric)
        if key + "/low" in results:
            cells.append(interval_cell([
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


def reading_notes(runs, protocols):
    """list of str: how to read the tables, and which runs lack what."""
    notes = ["HR@k, NDCG@k and MRR are hit@k, ndcg@k and ap in %s and in "
             "--metrics." % RESULTS_FILE,
             "In square brackets: the 95 % bootstrap interval over test users. "
             "It says how far other users would move the number, not how far "
             "another training seed would."]
    first = "%s/" + evaluation.METRICS[0]
    without = [run.name for run in runs if any(
        first % protocol in run.results
        and first % protocol + "/low" not in run.results
        for protocol in protocols)]
    if without:
        notes.append("Without intervals, which an older %s does not hold "
                     "(run.py --do_eval writes them): %s."
                     % (RESULTS_FILE, ", ".join(without)))
    without = [run.name for run in runs if run.users is None]
    if without:
        notes.append("Without %s (run.py --do_eval writes it), so in no test "
                     "and no breakdown: %s."
                     % (USERS_FILE, ", ".join(without)))
    return notes


def published_rows(runs):
    """The PUBLISHED_RESULTS of the runs' datasets, by their exact names."""
    names = {name for run in runs for name in dataset_names(run)}
    return [row for row in PUBLISHED_RESULTS if row[1] in names]


def published_notes(runs):
    """list of str: what the published rows are, and which runs have none."""
    notes = []
    if published_rows(runs):
        notes.append("Rows marked published are printed as their sources give "
                     "them, for the dataset they name. They are no results of "
                     "these runs, and other code drew their candidates.")
    without = ["%s (%s)" % (run.name, ", ".join(dataset_names(run))
                            or "no data file recorded")
               for run in runs if not published_rows([run])]
    if without:
        known = collections.OrderedDict.fromkeys(
            row[1] for row in PUBLISHED_RESULTS)
        notes.append("No published numbers are known for %s. They are for %s, "
                     "told by the recorded data files: exactly this name, "
                     "followed by the signature that gen_data_fin.py makes."
                     % (", ".join(without), " and ".join(known)))
    return notes


# --- sections: comparison ---------------------------------------------------

def comparison_section(reference, other, protocols, metrics, seed):
    """Paired tests of one run against another."""
    check_same_users(reference, other)
    title = "%s against %s" % (other.name, reference.name)
    protocols = [protocol for protocol in protocols
                 if protocol in reference.users.ranks
                 and protocol in other.users.ranks]
    if not protocols:
        return Section(title, ["No protocol was evaluated in both runs."])
    values = [user_metrics(run, protocols, metrics)
              for run in (reference, other)]
    rows = []
    results = stats.compare(values[0], values[1], seed)
    for i, found in enumerate(results):
        equal = len(values[0]) - found.better - found.worse
        rows.append([
            protocols[i // len(metrics)],
            METRIC_LABELS[metrics[i % len(metrics)]],
            "%.4f" % values[0][:, i].mean(), "%.4f" % values[1][:, i].mean(),
            "%+.4f\n[%+.4f, %+.4f]" % (found.difference, found.low, found.high),
            "%.4f" % found.bootstrap_p, p_cell(found.wilcoxon_p, "no user differs"),
            _cell(found.effect, "%+.3f"),
            "%d / %d / %d" % (found.better, equal, found.worse)])
    blocks = [Table(["protocol", "metric", reference.name, other.name,
                     "difference", "p, bootstrap", "p, Wilcoxon", "d_z",
                     "users better / equal / worse"], rows, 2)]
    blocks += _comparison_notes(reference, other, protocols, len(rows))
    return Section(title, blocks)


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
           stats.SAMPLES, other.name, tests)]
    return notes + candidate_notes(reference, other, protocols)


def _comparisons(runs, groups, protocols, args):
    """Every further run against the first and every further group of seeds
    against the first; runs of groups stand for their groups alone."""
    alone = [other for other in runs[1:]
             if not grouped(groups, runs[0], other)]
    return [comparison_section(runs[0], other, protocols, args.metrics,
                               args.random_seed) for other in alone] + [
        group_comparison(groups[0], other, protocols, args.metrics)
        for other in groups[1:]]


# --- sections: configuration ------------------------------------------------

def configuration_sections(runs):
    """What the trainings and the evaluations were made of."""
    return [
        _configuration_section(
            "training", record.FILE, "--do_train", runs,
            [run.record and of_training(run.record) for run in runs],
            [{"model_config": run.config} for run in runs]),
        _configuration_section(
            "evaluation", record.EVALUATION_FILE, "--do_eval", runs,
            [run.evaluation and of_evaluation(run.evaluation)
             for run in runs], [{} for _ in runs])]


def _configuration_section(what, file, flag, runs, records, otherwise):
    """What records hold, what differs between the runs first.

    Args:
        what: str, "training" or "evaluation".
        file: str, the records' file. flag: str, of run.py, that writes it.
        runs: list of Run.
        records: list of dict, None for a run without the file.
        otherwise: list of dict, what is known of a run without the file.
    """
    missing = [run.name for run, found in zip(runs, records) if not found]
    flat = [dict(_flatten("", found or known))
            for found, known in zip(records, otherwise)]
    rows = [[key] + [values.get(key, NOTHING if found else UNKNOWN)
                     for values, found in zip(flat, records)]
            for key in sorted(set().union(*flat))]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    equal = [row for row in rows if len(set(row[1:])) == 1]
    header = ["key"] + [run.name for run in runs]
    blocks = []
    if missing:
        blocks.append("No %s (run.py %s writes it), so the flags and versions "
                      "of the %s are unknown: %s."
                      % (file, flag, what, ", ".join(missing)))
    if differing:
        blocks += ["What differs between the runs, or is unknown of some:"
                   if missing else "What differs between the runs:",
                   Table(header, differing, len(header))]
    if equal and len(runs) > 1:
        blocks.append("What is the same in all of them:")
        header, equal = ["key", "value"], [row[:2] for row in equal]
    if equal:
        blocks.append(Table(header, equal, len(header)))
    return Section("Configuration of the %s" % what, blocks)


def _flatten(prefix, value):
    """Pairs of a dotted key and a str, from nested dicts."""
    if not isinstance(value, dict):
        text = ", ".join(map(str, value)) or "none" \
            if isinstance(value, list) else str(value)
        return [(prefix, text)]
    return [pair for key in value for pair in _flatten(
        "%s.%s" % (prefix, key) if prefix else key, value[key])]


# --- all of them ------------------------------------------------------------

def make_sections(runs, protocols, args):
    """All of the report.

    Args:
        runs: list of runs.Run.
        protocols: list of str.
        args: the flags.

    Returns:
        list of Section to print, list of further ones.
    """
    ranked = [run for run in runs if run.users is not None]
    published = published_rows(runs) if args.reference else ()
    results = [results_section(runs, protocol, published)
               for protocol in protocols]
    results[0].blocks[:0] = reading_notes(runs, protocols) + (
        published_notes(runs) if args.reference else [])
    groups = seed_groups(runs)
    further = [Section("Metrics", [bars_figure(runs, protocols, args.metrics)]),
               curves_section(runs, protocols, args.metrics)]
    if groups:
        results.append(group_section(runs, groups, protocols, args.metrics))
        further.insert(1, Section("Metrics by training seed", group_figures(
            groups, protocols, args.metrics)))
    comparisons = []
    if args.compare:
        comparisons = _comparisons(ranked, seed_groups(ranked), protocols, args)
    broken_down = [protocol for protocol in protocols
                   if any(protocol in run.users.ranks for run in ranked)]
    if broken_down:
        further += [breakdown_section(ranked, broken_down, args.metrics[0],
                                      factor, what, args.random_seed)
                    for factor, what in FACTORS]
    return ([runs_section(runs)] + results + comparisons,
            further + configuration_sections(runs))
