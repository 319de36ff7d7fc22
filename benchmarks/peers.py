"""Our BERT4Rec beside RecTools': quality after the same time of training.

    python benchmarks/peers.py --data=ml-1m --minutes=20

Both train on data/<data>.txt without each user's last item, with the same
width, layers, heads, L and batch, for the same seconds from the end of the
first step to the end of the last; ours first, never both at once. Ours trains
by the first fast recipe (docs/studies.md), RecTools by its own defaults
(benchmarks/rectools_peer.py). Both rank the same candidates, drawn once by
our evaluation, and `evaluation` ranks the scores of both. Prints a Markdown
table and writes a JSON file. The peer has an environment of its own:
benchmarks/requirements-peers.txt says how to make it.
"""

import collections
import json
import os
import platform
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402  first: it explains what is missing

import numpy as np  # noqa: E402
from absl import app  # noqa: E402
from absl import flags  # noqa: E402

import evaluation  # noqa: E402

util.quiet_tensorflow()
import input_pipeline  # noqa: E402
from data.sequences import data_partition  # noqa: E402
from experiment import record  # noqa: E402
from reporting import events, runs  # noqa: E402

PEER = os.path.join("benchmarks", "rectools_peer.py")
PROTOCOLS = ("seed", "paper", "full")
METRICS = ("ndcg@10", "hit@10")
MEASURED_STEPS = 30   # by which the number of steps is chosen
BATCH = 256           # users ranked at once
# As the run_*.sh scripts have them: M, masked_lm_prob, prop_sliding_window.
# Not ml-20m: of the peer's logits for all L positions, 5.5 GB a copy, several
# are alive at once.
Masking = collections.namedtuple("Masking", "masked share step")
MASKINGS = {"ml-1m": Masking(40, 0.2, 0.5), "beauty": Masking(30, 0.6, 0.1),
            "steam": Masking(20, 0.4, 0.5),
            "sample": Masking(10, 0.2, 0.5)}
FAST = {"learning_rate": 3e-3, "output_bias": "log_popularity",
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.DEFINE_enum("data", "ml-1m", sorted(MASKINGS),
                      "The dataset, of data/<data>.txt.")
    flags.DEFINE_float("minutes", 20.0, "Minutes of training, about, of each; "
                       "ours chooses its steps by them, and the peer gets the "
                       "seconds that these took.", lower_bound=0.05)
    flags.DEFINE_integer("dim", 64, "Width: the model config is "
                         "bert_train/bert_config_<data>_<dim>.json.")
    flags.DEFINE_string("attention_form", "self", "Ours; self is BERT4Rec.")
    flags.DEFINE_integer("batch_size", 256, "Sequences in a batch of both.",
                         lower_bound=1)
    flags.DEFINE_integer("random_seed", 12345, "Of both trainings.")
    flags.DEFINE_string("peer_python", ".venv/peers/bin/python",
                        "A Python with benchmarks/requirements-peers.txt.")
    flags.DEFINE_string("folder", None, "A new folder for data, models and "
                        "scores; default: checkpoints/peers-<data>.")
    flags.DEFINE_string("output", "peers.json", "The JSON file to write.")


# --- processes ---------------------------------------------------------------

def run_process(command):
    """The last line that a command prints; its log goes to ours.

    Raises:
        ValueError: it failed.
    """
    util.log("running %s" % " ".join(command[:3]))
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = process.communicate()
    if process.returncode:
        raise ValueError("%s failed with exit status %d; its log is above"
                         % (" ".join(command[:3]), process.returncode))
    return (output.decode("utf-8").splitlines() or [""])[-1]


def run_ours(script, *words, **options):
    """The last line that a script of this project prints."""
    return run_process([sys.executable, script] + list(words) + [
        "--%s=%s" % option for option in sorted(options.items())])


# --- the two trainings -------------------------------------------------------

def train_ours(files, args):
    """Trains and evaluates ours; a new candidates file is written.

    Args:
        files: dict, run.py's flags of files.
        args: the flags.

    Returns:
        OrderedDict: steps, seconds and metrics; under "baselines" a dict,
        name -> metrics.
    """
    options = dict(files, batch_size=args.batch_size,
                   attention_form=args.attention_form,
                   random_seed=args.random_seed, **FAST)
    measured = json.loads(run_ours(
        "benchmarks/measure.py", "training", measured_steps=MEASURED_STEPS,
        **{name: value for name, value in options.items()
           if name != "candidates_file"}))
    steps = max(2, int(round(60 * args.minutes / np.mean(measured["seconds"]))))
    run_ours("run.py", do_train=True, do_eval=True, num_train_steps=steps,
             save_checkpoints_steps=steps, protocols=",".join(PROTOCOLS),
             **options)
    curve = events.read_curves(
        files["checkpointDir"])[events.TRAINING]["loss"]
    _, results = runs.read_results(os.path.join(
        files["checkpointDir"], record.RESULTS_FILE))
    seconds = float(curve.seconds[-1] - curve.seconds[0])
    described = describe(steps, seconds, seconds / (steps - 1), results,
                         measured["packages"])
    described["baselines"] = {
        name: {key: float(results[name + "/" + key]) for key in metric_keys()}
        for name in evaluation.BASELINES}
    return described


def train_peer(files, sequences, sizes, seconds, args, script=PEER):
    """Trains the peer for the seconds and ranks its scores.

    Args:
        files: dict, run.py's flags of files; candidates_file is there.
        sequences: Partition, as `data_partition` returns.
        sizes: dict, width, layers, heads and length.
        seconds: float.
        args: the flags.
        script: str, the peer's.

    Returns:
        OrderedDict: steps, seconds and metrics.
    """
    words = util.load_pickle(files["vocab_filename"], "FreqVocab")
    targets = input_pipeline.read_targets([files["test_input_file"]])
    catalogue = np.array([
        int(words.id_to_tokens[i].split("_")[1])
        for i in range(1, words.get_item_count() + 1)])
    train = [(user, np.concatenate([items, sequences.valid[user]]))
             for user, items in sequences.train.items()]
    names = [os.path.join(args.folder, name)
             for name in ("peer.npz", "peer.json", "scores.npy")]
    np.savez(names[0], targets=np.array(list(targets)), catalogue=catalogue,
             users=np.concatenate([np.full(len(items), user)
                                   for user, items in train]),
             items=np.concatenate([items for _, items in train]))
    with open(names[1], "w") as stream:
        json.dump(dict(sizes, batch=args.batch_size, seconds=seconds,
                       seed=args.random_seed), stream)
    found = json.loads(run_process([args.peer_python, script] + names))
    results = rank_scores(np.load(names[2], mmap_mode="r"), files, words,
                          targets)
    described = describe(found.pop("steps"), found.pop("training_seconds"),
                         found.pop("seconds_per_step"), results,
                         found.pop("packages"))
    described.update(found)
    return described


def rank_scores(scores, files, words, targets):
    """Ranks given scores among the candidates of the file.

    Args:
        scores: float array [users, 1 + items]: rows as `targets`, column i is
            the item of id i.
        files: dict with candidates_file, test_input_file and
            user_history_filename.
        words: vocab.FreqVocab.
        targets: OrderedDict, test user -> id of the target.

    Returns:
        OrderedDict, "<protocol>/<metric>" -> float.
    """
    history = util.load_pickle(files["user_history_filename"], "dict")
    evaluator = evaluation.Evaluator(
        words, history, PROTOCOLS, baselines=(),
        candidates=evaluation.read_candidates(
            files["candidates_file"], words, targets, PROTOCOLS))
    users, items = np.array(list(targets)), np.array(list(targets.values()))
    # With given candidates and no baselines the input is not looked at.
    for start in range(0, len(users), BATCH):
        part = slice(start, start + BATCH)
        evaluator.add(users[part], np.zeros((len(users[part]), 1), np.int64),
                      items[part], np.asarray(scores[part]))
    return evaluator.results()


def describe(steps, seconds, seconds_per_step, results, packages):
    """What is kept of a training."""
    return collections.OrderedDict(
        [("steps", steps), ("training_seconds", seconds),
         ("seconds_per_step", seconds_per_step)]
        + [(key, float(results[key])) for key in metric_keys()]
        + [("packages", packages)])


def metric_keys():
    return ["%s/%s" % (protocol, metric)
            for protocol in PROTOCOLS for metric in METRICS]


# --- the command -------------------------------------------------------------

def prepare(args):
    """Generates in the folder.

    Returns:
        run.py's flags of files, and dict of width, layers, heads and length.

    Raises:
        ValueError: something is missing, or in the way.
    """
    source = os.path.join(ROOT, "data", args.data + ".txt")
    config = os.path.join(ROOT, "bert_train", "bert_config_%s_%d.json"
                          % (args.data, args.dim))
    if not os.path.exists(source):
        raise ValueError("no %s; make it with python data/prepare_data.py %s"
                         % (source, args.data))
    if not os.path.exists(config):
        raise ValueError("--dim=%d: no %s" % (args.dim, config))
    if not os.path.exists(args.peer_python):
        raise ValueError("--peer_python: no %s; benchmarks/requirements-"
                         "peers.txt says how to make it" % args.peer_python)
    util.check_parent(args.output, "output")
    if os.path.exists(args.folder):
        raise ValueError("--folder: %s is there already; remove it, or name "
                         "another" % args.folder)
    os.makedirs(args.folder)
    shutil.copy(source, args.folder)
    with open(config) as stream:
        model = json.load(stream)
    masking, length = MASKINGS[args.data], model["max_position_embeddings"]
    run_ours("gen_data_fin.py", dataset_name=args.data, signature="-peers",
             data_dir=args.folder + "/", max_seq_length=length,
             max_predictions_per_seq=masking.masked, mask_prob=1.0,
             masked_lm_prob=masking.share, prop_sliding_window=masking.step,
             dupe_factor=10)
    prefix = os.path.join(args.folder, args.data + "-peers")
    model["vocab_size"] = util.load_pickle(prefix + ".vocab",
                                           "FreqVocab").get_vocab_size()
    config = os.path.join(args.folder, "bert_config.json")
    with open(config, "w") as stream:
        json.dump(model, stream)
    return {"bert_config_file": config, "vocab_filename": prefix + ".vocab",
            "train_input_file": prefix + ".train.tfrecord",
            "test_input_file": prefix + ".test.tfrecord",
            "user_history_filename": prefix + ".his",
            "max_seq_length": length,
            "max_predictions_per_seq": masking.masked,
            "checkpointDir": os.path.join(args.folder, "ours"),
            "candidates_file": os.path.join(args.folder, "candidates.tsv.gz")
            }, {"width": model["hidden_size"], "length": length,
                "layers": model["num_hidden_layers"],
                "heads": model["num_attention_heads"]}


def table(found):
    """What was found, in Markdown."""
    lines = ["%(date)s; %(data)s; d %(width)d, %(layers)d layers, %(heads)d "
             "heads, L %(length)d, batch %(batch_size)d; random_seed "
             "%(random_seed)d" % found
             + "; %(cpu)s, %(cores)d cores" % found["hardware"], "",
             "| | s / step | steps | minutes | " + " | ".join(
                 "%s, %s" % (evaluation.METRIC_LABELS[metric], protocol)
                 for protocol in PROTOCOLS for metric in METRICS) + " |",
             "|---" * (4 + len(metric_keys())) + "|"]
    for values in found["ours"], found["peer"]:
        lines.append(row(values["name"], "%.3g | %d | %.1f" % (
            values["seconds_per_step"], values["steps"],
            values["training_seconds"] / 60.0), values))
    for name in evaluation.BASELINES:
        lines.append(row(name.replace("_", " "), "– | – | –",
                         found["ours"]["baselines"][name]))
    return "\n".join(lines)


def row(name, effort, metrics):
    """A line of the table."""
    return "| %s | %s | %s |" % (name, effort, " | ".join(
        "%.4f" % metrics[key] for key in metric_keys()))


def main(argv):
    args = flags.FLAGS
    with util.one_line_errors("peers.py"):
        if argv[1:]:
            raise ValueError("%r is no flag" % argv[1])
        args.folder = os.path.abspath(
            args.folder or os.path.join("checkpoints", "peers-" + args.data))
        files, sizes = prepare(args)
        ours = train_ours(files, args)
        peer = train_peer(
            files, data_partition(os.path.join(args.folder, args.data + ".txt")),
            sizes, ours["training_seconds"], args)
        ours["name"] = "here, %s, TensorFlow %s" % (
            args.attention_form, ours["packages"]["tensorflow"])
        peer["name"] = "RecTools %(rectools)s, torch %(torch)s" \
            % peer["packages"]
        found = collections.OrderedDict(
            [("date", time.strftime("%Y-%m-%d")), ("data", args.data)]
            + sorted(sizes.items())
            + [("batch_size", args.batch_size),
               ("random_seed", args.random_seed),
               ("python", platform.python_version()),
               ("hardware", record.hardware([])),
               ("ours", ours), ("peer", peer)])
        util.say(table(found))
        with util.AtomicFiles() as written:
            record.write(written.path(args.output), found)
    util.log("everything is in %s, models and scores in %s"
             % (args.output, args.folder))


if __name__ == "__main__":
    define_flags()
    app.run(main)
