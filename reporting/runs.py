"""Reads what run.py wrote into a model directory."""

import collections
import gzip
import io
import json
import math
import os
import re
import zlib

import numpy as np

import evaluation
import util
from data.sequences import MAX_ID
from experiment import record
from experiment.record import RESULTS_FILE, USERS_FILE
from reporting.events import read_curves

# How gen_data_fin.py names its files: <dataset><signature><ending>, where the
# signature is made of its hyper-parameters unless it is given.
_SIGNATURE = re.compile(r"(-(mp|sw|mlp|df|mpps|msl)-?[0-9.]+)*(-ho)?$")
_ENDING = re.compile(r"\.(vocab|his|(train|valid|test)\.tfrecord"
                     r"(-[0-9]+-of-[0-9]+)?)$")
_NOT_GENERATED = ("items_file", "candidates_file")
# Flags that do not make a training: where a run lies, how much of it is kept,
PLACE_FLAGS = ("checkpointDir", "signature", "keep_checkpoint_max")
# ... names of files whose content is recorded, and what the recorded model
# config holds, whether a flag gave it or not,
NAMING_FLAGS = record.OVERRIDES + (
    "bert_config_file", "train_input_file", "valid_input_file",
    "user_history_filename", "vocab_filename")
# ... and what evaluations and predictions alone read.
_OTHER_FLAGS = (record.EVALUATION_FLAGS + record.PREDICTION_FLAGS
                + ("items_file",))

_HOW = "write it with run.py --do_eval"
_USER_COLUMNS = ["user", "item", "history_length", "target_count"]
_TOLERANCE = 1e-9  # between the two files' metrics: both are float64

# `number` counts the runs of a report, from 0.
# `users` is None for a run without eval_users.tsv, `record` for one without
# run_config.json, `evaluation` for one without eval_config.json; `curves` is
# what `events.read_curves` returns.
Run = collections.namedtuple("Run", "number name folder config results "
                                    "users record evaluation curves")
# int64 arrays [users], by user; ranks: column ("paper", "most_popular/paper")
# -> array.
Users = collections.namedtuple("Users", "user item history_length "
                                        "target_count ranks")


def read_run(folder, name, number):
    """Run of a model directory.

    Args:
        folder: str.
        name: str, what the report calls it.
        number: int, its place among the runs of the report.

    Raises:
        ValueError: what is missing or damaged, and how to make it.
    """
    if not os.path.isdir(folder):
        raise ValueError("no folder %s; pass model directories, which are "
                         "checkpointDir + signature of run.py" % folder)
    path = os.path.join(folder, RESULTS_FILE)
    if not os.path.exists(path):
        raise ValueError("%s has no %s; %s" % (folder, RESULTS_FILE, _HOW))
    config, results = read_results(path)
    path, users = os.path.join(folder, USERS_FILE), None
    if not os.path.exists(path):
        path += ".gz"  # as it is published
    if os.path.exists(path):
        users = read_users(path)
        _check_same_evaluation(folder, results, users)
    evaluated = record.read_evaluation(folder)
    trained = record.read(folder)
    if evaluated:
        _check_same_step(folder, results, evaluated)
        if trained:
            _check_same_model(folder, evaluated)
    return Run(number, name, folder, config, results, users, trained,
               evaluated, read_curves(folder))


def read_results(path):
    """eval_results.txt: a JSON config, then `key = value` lines.

    Returns:
        dict, the config, and dict, key -> float, but for the str "validation".

    Raises:
        ValueError: what is damaged, as path:line.
    """
    text = _read_text(path)
    try:
        config, end = json.JSONDecoder().raw_decode(text)
        if not isinstance(config, dict):
            raise ValueError("%s is none" % util.quote(config))
    except (ValueError, RecursionError) as error:
        raise ValueError("%s: no model config at its start (%s); %s again"
                         % (path, error, _HOW))
    first = text.count("\n", 0, end) + 1
    results = {}
    for number, line in enumerate(text[end:].split("\n"), first):
        if not line.strip():
            continue
        key, equals, value = line.partition(" = ")
        if not equals:
            raise ValueError("%s:%d: %r is not 'key = value'; %s again"
                             % (path, number, line, _HOW))
        results[key] = _parse_value(key, value, "%s:%d" % (path, number))
    if not evaluated_protocols(results):
        raise ValueError("%s holds no ranking metrics such as %s/%s; %s again"
                         % (path, evaluation.PROTOCOLS[0],
                            evaluation.METRICS[0], _HOW))
    return config, results


def _parse_value(key, text, place):
    """A value of eval_results.txt: float, but for whether validation items
    were held out."""
    if key == "validation":
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "/" in key and not 0.0 <= value <= 1.0:
        raise ValueError("%s: %s is %s, which is no %s; %s again" % (
            place, key, util.quote(text),
            "metric" if "/" in key else "number", _HOW))
    return value


def _read_text(path):
    """A file's text; what is no UTF-8 is left to the checks of its lines."""
    util.check_utf8(path)
    try:
        with (gzip.open if path.endswith(".gz") else io.open)(
                path, "rt", encoding="utf-8-sig", errors="replace") as stream:
            return stream.read()
    except (EOFError, zlib.error, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError("%s: damaged (%s); %s again" % (path, error, _HOW))


def evaluated_protocols(results):
    """list of the protocols that a run's results hold, in the usual order."""
    return [protocol for protocol in evaluation.PROTOCOLS
            if all("%s/%s" % (protocol, metric) in results
                   for metric in evaluation.METRICS)]


def read_users(path):
    """eval_users.tsv, packed by gzip or not, as Users.

    Raises:
        ValueError: what is damaged, as path:line.
    """
    lines = _read_text(path).splitlines()
    header = lines[0].split("\t") if lines else []
    if header[:4] != _USER_COLUMNS or len(header) < 5:
        raise ValueError("%s:1: the columns are not %s and ranks; %s again"
                         % (path, ", ".join(_USER_COLUMNS), _HOW))
    if len(lines) < 2:
        raise ValueError("%s holds no users; %s again" % (path, _HOW))
    rows = np.array([_parse_user(line, len(header), path, number)
                     for number, line in enumerate(lines[1:], 2)], np.int64)
    _check_distinct(rows[:, 0], path)
    rows = rows[np.argsort(rows[:, 0])]
    columns = collections.OrderedDict(zip(header, rows.T))
    return Users(*[columns.pop(name) for name in _USER_COLUMNS], ranks=columns)


def _parse_user(line, width, path, number):
    """One line's integers, checked."""
    fields = line.split("\t")
    if len(fields) != width:
        raise ValueError("%s:%d: %d fields where the header has %d; %s again"
                         % (path, number, len(fields), width, _HOW))
    for field in fields:
        if not re.match("[0-9]{1,19}$", field) or int(field) > MAX_ID:
            raise ValueError("%s:%d: %r is not a count from 0; %s again"
                             % (path, number, field, _HOW))
    return [int(field) for field in fields]


def _check_distinct(users, path):
    first = np.unique(users, return_index=True)[1]
    repeated = np.setdiff1d(np.arange(len(users)), first)
    if len(repeated):
        raise ValueError("%s:%d: user %d has a line already; %s again"
                         % (path, repeated[0] + 2, users[repeated[0]], _HOW))


def _check_same_evaluation(folder, results, users):
    """The two files must come from one evaluation."""
    for protocol in evaluated_protocols(results):
        if protocol not in users.ranks:
            raise ValueError("%s has no ranks for protocol %s, which %s has; "
                             "write both with one run.py --do_eval"
                             % (os.path.join(folder, USERS_FILE), protocol,
                                RESULTS_FILE))
    for column, ranks in users.ranks.items():
        for metric, values in evaluation.metric_values(ranks).items():
            key = "%s/%s" % (column, metric)
            found = results.get(key, math.nan)
            if not abs(values.mean() - found) <= _TOLERANCE:
                raise ValueError(
                    "%s: %s is %.6f in %s, %.6f by %s; write both with one "
                    "run.py --do_eval" % (folder, key, found, RESULTS_FILE,
                                          values.mean(), USERS_FILE))


def _check_same_step(folder, results, evaluated):
    """Another step's record is that of another evaluation."""
    if evaluated["step"] != results.get("global_step"):
        raise ValueError("%s: step %s in %s, %s in %s; write both with one "
                         "run.py --do_eval" % (
                             folder, evaluated["step"], record.EVALUATION_FILE,
                             results.get("global_step"), RESULTS_FILE))


def _check_same_model(folder, evaluated):
    """The results must be of the model whose training lies beside them."""
    if record.own_folder(evaluated, folder) is None:
        raise ValueError(
            "%s: its results are of %s, not of the training that is recorded "
            "there; run.py --do_eval without --init_checkpoint evaluates that "
            "one, another --checkpointDir keeps the results apart"
            % (folder, evaluated["checkpoint"]))


def check_same_users(reference, other):
    """Raises ValueError unless both runs ranked the same items of the same
    users."""
    ours, theirs = reference.users, other.users
    only = [len(np.setdiff1d(one.user, two.user))
            for one, two in ((ours, theirs), (theirs, ours))]
    if any(only):
        raise ValueError(
            "the runs cannot be compared: %d users are only in %s and %d only "
            "in %s; compare runs over the same test file, or pass --nocompare"
            % (only[0], reference.name, only[1], other.name))
    differing = np.count_nonzero(ours.item != theirs.item)
    if differing:
        raise ValueError(
            "the runs cannot be compared: %d of %d users have another test "
            "item in %s than in %s; compare runs over the same test file, or "
            "pass --nocompare"
            % (differing, len(ours.user), reference.name, other.name))


def candidate_notes(reference, other, protocols):
    """list of str: protocols whose candidates, or the data that they were
    drawn by, differ between two runs over the same users."""
    notes = []
    for protocol in protocols:
        column = "most_popular/" + protocol
        if column in reference.users.ranks and column in other.users.ranks:
            differing = np.count_nonzero(
                reference.users.ranks[column] != other.users.ranks[column])
            if differing:
                notes.append(
                    "Protocol %s: the most-popular baseline ranks %d users "
                    "differently in %s and %s, so their candidates or their "
                    "training data differ." % (
                        protocol, differing, reference.name, other.name))
    return notes


def user_metrics(run, protocols, metrics):
    """float array [users, columns], each user's metrics; the columns are the
    metrics of the first protocol, then of the next."""
    return np.stack([
        evaluation.metric_values(run.users.ranks[protocol])[metric]
        for protocol in protocols for metric in metrics], axis=1)


# --- what the runs are about ------------------------------------------------

def of_training(recorded):
    """A training's record without what only evaluations and predictions
    read; of its starts, the steps."""
    return dict(
        {key: value for key, value in recorded.items()
         if key not in ("started_from_step", "earlier_starts")},
        resumed_at_steps=resumed_at(recorded),
        began_from=recorded.get("began_from") and of_training(
            recorded["began_from"]),
        **{part: {flag: value for flag, value in recorded[part].items()
                  if flag not in _OTHER_FLAGS}
           for part in ("flags", "data_files")})


def resumed_at(recorded):
    """list of int, the steps at which a training was resumed; of a record
    that is older than `earlier_starts`, the last of them alone."""
    starts = (recorded.get("earlier_starts") or []) + [recorded]
    return [start["started_from_step"] for start in starts
            if start["started_from_step"]]


def earlier_flags(recorded):
    """The flags that a resumed training had before, where they were others:
    list, a start each, of dict, flag -> value."""
    last = recorded["flags"]
    return [{flag: value for flag, value in sorted(start["flags"].items())
             if value != last.get(flag, value)
             and flag not in _OTHER_FLAGS + PLACE_FLAGS + NAMING_FLAGS}
            for start in recorded.get("earlier_starts") or []]


def validation_chose(run):
    """Whether the run's results are of the best checkpoint by validation."""
    return bool(run.evaluation) and record.own_folder(
        run.evaluation, run.folder) == record.BEST_FOLDER


def of_evaluation(recorded):
    """An evaluation's record without what only trainings read."""
    read = record.EVALUATION_FLAGS + record.SHARED_FLAGS
    return dict(recorded, **{
        part: {flag: value for flag, value in recorded.get(part, {}).items()
               if flag in read} for part in ("flags", "data_files")})


def dataset_names(run):
    """The datasets that a run's data files are named after.

    Returns:
        list of str, sorted; empty where no record names a file. What is left
        of a signature that was given by hand stays in the name.
    """
    files = [name for found in (run.record, run.evaluation) if found
             for flag, names in found.get("data_files", {}).items()
             if flag not in _NOT_GENERATED for name in names]
    return sorted({_SIGNATURE.sub("", _ENDING.sub("", name))
                   for name in files})
