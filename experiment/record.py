"""What a training, and an evaluation, was made of: `run_config.json` and
`eval_config.json` in the model directory."""

import collections
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import time

import vocab
from data.sequences import FEWEST

FILE = "run_config.json"
EVALUATION_FILE = "eval_config.json"
# What else is in the model directory.
RESULTS_FILE = "eval_results.txt"
USERS_FILE = "eval_users.tsv"
BEST_FOLDER = "best"                # the checkpoint that validation chose
VALIDATION_FOLDER = "eval_valid"    # the curves of validations
# Keys of the model config that a flag of the same name overrides.
OVERRIDES = ("attention_form", "hidden_dropout_prob",
             "attention_probs_dropout_prob")
HELD_OUT, FOLDED, UNKNOWN = "held out", "folded into train", "unknown"
# What only an evaluation reads, and what it reads beside a training.
EVALUATION_FLAGS = (
    "allow_missing_users", "candidates_file", "do_eval", "eval_batch_size",
    "eval_seeds", "eval_users", "full_table", "protocols", "test_input_file",
    "use_pop_random")
# What says what one call is to recommend, and where to.
PREDICTION_FLAGS = (
    "allow_seen", "do_export", "do_predict", "export_embeddings",
    "predict_input_file", "predict_items", "predict_output_file",
    "predict_user", "top_k")
SHARED_FLAGS = (
    "attention_form", "bert_config_file", "bucket_by_length", "checkpointDir",
    "ignore_checksums", "init_checkpoint", "max_predictions_per_seq",
    "max_seq_length", "signature", "user_history_filename", "vocab_filename",
    "xla")
PACKAGES = ("tensorflow", "numpy", "six", "tqdm", "google.protobuf")


# --- data -------------------------------------------------------------------

def validation_of(windows, user_history):
    """Whether training windows hold the users' validation items.

    Told from the data themselves: the last window of a user ends at the
    second-to-last item of the whole sequence, or at the one before.

    Args:
        windows: iterable of (user, list of ids), as
            `input_pipeline.read_windows` yields.
        user_history: dict, "user_<u>" -> [ids of the whole sequence].

    Returns:
        HELD_OUT or FOLDED, or UNKNOWN when no window tells.
    """
    folded = held_out = 0
    for user, window in windows:
        history = user_history.get(vocab.user_token(user), [[]])[0]
        if len(history) < FEWEST:
            continue
        size = len(window)
        with_item = window == history[-1 - size:-1]
        without = window == history[-2 - size:-2]
        if with_item != without:
            folded += with_item
            held_out += without
    if not folded + held_out:
        return UNKNOWN
    # Both occur where windows start one item apart, as often as each other; a
    # sequence that repeats itself may give a few more of the wrong kind.
    return FOLDED if folded * 4 > held_out else HELD_OUT


def sha256_of(path):
    """str, the SHA-256 of a file's bytes, read a megabyte at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(2 ** 20), b""):
            digest.update(block)
    return digest.hexdigest()


def checksums(files):
    """Checksums by flag and file name, without folders: data may move. Where
    files of a flag share a name, the later ones have their paths.

    Args:
        files: dict, flag -> list of str.

    Returns:
        OrderedDict, flag -> OrderedDict of file name -> SHA-256.
    """
    found = collections.OrderedDict()
    for flag, paths in sorted(files.items()):
        for path in paths:
            sums = found.setdefault(flag, collections.OrderedDict())
            name = os.path.basename(path)
            sums[path if name in sums else name] = sha256_of(path)
    return found


def check_checksums(record, found, folder):
    """Raises ValueError when a file is none of those that a run was given.

    A file may have another name, and flags that the run did not have are
    passed over.

    Args:
        record: dict, as `read` returns. found: as `checksums` returns.
        folder: str, where the record is, for the error.
    """
    for flag, sums in found.items():
        recorded = record["data_files"].get(flag)
        for name, value in sums.items():
            if recorded and value not in recorded.values():
                raise ValueError(
                    "--%s: %s (SHA-256 %s...) is not the data that %s was "
                    "trained with (%s...); pass that file, or "
                    "--ignore_checksums to go on all the same" % (
                        flag, name, value[:12], folder,
                        sorted(recorded.values())[0][:12]))


# --- the record -------------------------------------------------------------

def own_folder(evaluated, model_dir):
    """Where in a model directory, whatever it was called then, the checkpoint
    lies that an evaluation there is of: "" or BEST_FOLDER; None where it is
    another directory's.

    Args:
        evaluated: dict, as `read_evaluation` returns. model_dir: str.
    """
    flags = evaluated["flags"]
    called = "%s%s" % (flags.get("checkpointDir") or "",
                       flags.get("signature") or "")
    folder = os.path.dirname(os.path.abspath(evaluated["checkpoint"]))
    for name in (model_dir, called):
        for part in ("", BEST_FOLDER):
            if folder == os.path.abspath(os.path.join(name, part)):
                return part
    return None


def earlier_starts(recorded, step):
    """The starts of a training whose steps are in the checkpoint that it now
    goes on from.

    Args:
        recorded: dict, as `read` returns for its model directory, or None.
        step: int, the checkpoint's.

    Returns:
        list of dict, the records of those starts, oldest first.
    """
    starts = [] if recorded is None else (
        recorded.get("earlier_starts") or []) + [
        {key: value for key, value in recorded.items()
         if key not in ("began_from", "earlier_starts")}]
    return [start for start in starts if start["started_from_step"] < step]


def describe(flags, model_config, data_files, validation, step, began_from,
             earlier, gpus):
    """The record of a training that starts now.

    Args:
        flags: dict, every flag's value.
        model_config: dict.
        data_files: as `checksums` returns.
        validation: HELD_OUT, FOLDED or UNKNOWN.
        step: int, the step it starts from.
        began_from: the record of the training whose checkpoint this one began
            from, or None.
        earlier: list, as `earlier_starts` returns.
        gpus: list of str.

    Returns:
        OrderedDict that JSON can hold.
    """
    return collections.OrderedDict([
        ("started", _now()),
        ("started_from_step", step),
        ("seed", flags["random_seed"]),
        ("validation", validation),
        ("flags", collections.OrderedDict(sorted(flags.items()))),
        ("model_config", model_config),
        ("data_files", data_files),
        ("began_from", began_from),
        ("earlier_starts", earlier)] + _surroundings(gpus))


def describe_evaluation(flags, checkpoint, step, data_files, gpus):
    """The record of an evaluation.

    Args:
        flags: dict, every flag's value.
        checkpoint: str, what was evaluated.
        step: int, its training step.
        data_files: as `checksums` returns.
        gpus: list of str.

    Returns:
        OrderedDict that JSON can hold.
    """
    return collections.OrderedDict([
        ("evaluated", _now()),
        ("checkpoint", checkpoint),
        ("step", step),
        ("flags", collections.OrderedDict(sorted(flags.items()))),
        ("data_files", data_files)] + _surroundings(gpus))


def _now():
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _surroundings(gpus):
    """Pairs of key and value: versions, revision, machine."""
    revision, dirty = git_revision()
    return [("python", platform.python_version()),
            ("packages", packages()),
            ("git_revision", revision),
            ("git_dirty", dirty),
            ("hardware", hardware(gpus))]


def packages():
    """OrderedDict, package -> version, of what is imported."""
    return collections.OrderedDict(
        (name, sys.modules[name].__version__) for name in PACKAGES)


def hardware(gpus):
    """OrderedDict: processor, cores, memory, and the GPUs given by name."""
    return collections.OrderedDict([
        ("cpu", _cpu_name()),
        ("cores", len(os.sched_getaffinity(0))
         if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        ("memory_gb", round(os.sysconf("SC_PAGE_SIZE") * os.sysconf(
            "SC_PHYS_PAGES") / 1e9, 1)),
        ("gpus", gpus)])


def git_revision(folder=os.path.dirname(os.path.abspath(__file__))):
    """(revision, whether tracked files differ from it), or (None, None)."""
    def git(*arguments):
        return subprocess.check_output(
            ("git", "-C", folder) + arguments,
            stderr=subprocess.DEVNULL).decode().strip()

    try:
        return (git("rev-parse", "HEAD"),
                bool(git("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _cpu_name():
    try:
        with io.open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except IOError:
        pass
    return platform.processor() or platform.machine()


def write(path, record):
    """Writes a record as JSON."""
    with open(path, "w") as stream:
        json.dump(record, stream, indent=2)
        stream.write("\n")


def read(folder):
    """The record of a training in a model directory, or None where there is
    none.

    Raises:
        ValueError: it is no such record.
    """
    return _read(os.path.join(folder, FILE), "a training", _TRAINING_RULES)


def read_evaluation(folder):
    """The record of an evaluation in a model directory, or None where there
    is none.

    Raises:
        ValueError: it is no such record.
    """
    return _read(os.path.join(folder, EVALUATION_FILE), "an evaluation", {
        "flags": _is_table, "data_files": _are_checksums,
        "checkpoint": lambda value: isinstance(value, str),
        "step": _is_integer})


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_table(value):
    return isinstance(value, dict)


def _are_checksums(value):
    return _is_table(value) and all(
        _is_table(sums) and all(isinstance(one, str) for one in sums.values())
        for sums in value.values())


def _is_earlier_training(value):
    """Whether it is a training's record, or None: older ones lack it."""
    return value is None or _is_table(value) and all(
        fits(value.get(key)) for key, fits in _TRAINING_RULES.items())


def _are_starts(value):
    """Whether they are a training's earlier starts, or None: older ones lack
    them."""
    return value is None or isinstance(value, list) and all(
        _is_table(start) and _is_table(start.get("flags"))
        and _is_integer(start.get("started_from_step"))
        for start in value)


_TRAINING_RULES = {
    "flags": _is_table, "data_files": _are_checksums,
    "validation": (HELD_OUT, FOLDED, UNKNOWN).__contains__,
    "seed": _is_integer, "started_from_step": _is_integer,
    "began_from": _is_earlier_training, "earlier_starts": _are_starts}


def _read(path, what, rules):
    """A record, or None; rules: dict, key -> test of its value."""
    if not os.path.exists(path):
        return None
    try:
        with open(path, "rb") as stream:  # json tells UTF-8 from -16
            record = json.load(stream)
        if not _is_table(record):
            raise ValueError("it is %r" % record)
        for key, fits in rules.items():
            if not fits(record.get(key)):
                raise ValueError("%s is %r" % (key, record.get(key)))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("%s: not the record of %s (%s); remove it to go on "
                         "without" % (path, what, error))
    return record
