"""Measures generation, training and evaluation, and how their cost grows.

    python benchmarks/bench.py --output=bench.json

Every measurement is a process of its own, repeated; repeats of all of a
part's measurements alternate, so that a busy machine hurts each alike. Prints
Markdown tables of medians (and ranges) and writes everything as JSON. Data
are synthetic, of the sizes of ML-1M and Beauty; with --data_dir, ml-1m.txt and
beauty.txt there are taken instead. Nothing is left but the JSON file.
"""

import collections
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402  first: it explains what is missing

import numpy as np  # noqa: E402
from absl import app  # noqa: E402
from absl import flags  # noqa: E402

from benchmarks import synthetic  # noqa: E402
from data.sequences import read_sequences  # noqa: E402

# users, items, interactions, fewest a user, L, M, masked_lm_prob
Dataset = collections.namedtuple(
    "Dataset", "users items interactions shortest length masked share config")
DATASETS = {
    "ml-1m": Dataset(6040, 3416, 999611, 18, 200, 40, 0.2, "ml-1m_64"),
    "beauty": Dataset(40226, 54542, 353962, 5, 50, 30, 0.6, "beauty_64"),
    "ml-20m": Dataset(138493, 26744, 20000263, 20, 200, 40, 0.2, "ml-20m_64"),
}
PARTS = ("generation", "training", "evaluation", "growth", "ml-20m")
CATALOGUES = (5000, 50000, 500000)
LENGTHS = (50, 100, 200)
BATCHES = (64, 128, 256, 512)
DUPLICATES = (1, 10, 20)
SHARES_OF_USERS = (0.25, 0.5, 1.0)
STEPS = {"fast": 5, "plain": 3}   # that a process measures
NUM_SAMPLED = 1000


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.DEFINE_string("output", "bench.json", "The JSON file to write.")
    flags.DEFINE_string("data_dir", "", "Folder of ml-1m.txt and beauty.txt, "
                        "taken in place of synthetic data.")
    flags.DEFINE_integer("repeats", 3, "Processes per measurement.",
                         lower_bound=1)
    flags.DEFINE_list("parts", list(PARTS[:-1]),
                      "What to measure, of %s; ml-20m takes some minutes and "
                      "6 GB of disk." % ", ".join(PARTS))


# --- one process ------------------------------------------------------------

def run_process(arguments):
    """Runs Python on these arguments.

    Returns:
        (standard output, wall seconds, CPU seconds, peak memory in MB of the
        largest process it was or waited for).

    Raises:
        ValueError: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started = time.time()
        process = subprocess.Popen([sys.executable] + arguments, cwd=ROOT,
                                   stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.time() - started
        out.seek(0)
        errors.seek(0)
        if status:
            raise ValueError("%s failed: %s" % (
                " ".join(arguments),
                errors.read().decode("utf-8", "replace")[-300:]))
        return (out.read().decode(), wall, usage.ru_utime + usage.ru_stime,
                usage.ru_maxrss / 1024.0)


class Figure(object):
    """One measurement, repeated: seconds and memory of each repeat."""

    def __init__(self, name, measure):
        """measure: function without arguments -> (seconds, MB, further dict)."""
        self.name, self._measure = name, measure
        self.seconds, self.megabytes, self.further = [], [], {}

    def repeat(self):
        seconds, megabytes, self.further = self._measure()
        self.seconds.append(seconds)
        self.megabytes.append(megabytes)
        util.log("%s: %.3g s, %.0f MB" % (self.name, seconds, megabytes))

    def median(self):
        return float(np.median(self.seconds))

    def record(self):
        return collections.OrderedDict([
            ("name", self.name), ("median_seconds", self.median()),
            ("seconds", self.seconds), ("peak_mb", self.megabytes)]
            + sorted(self.further.items()))


class Bench(object):
    """The measurements of a run, their files and their results."""

    def __init__(self, folder, data_dir, repeats):
        self._folder, self._data_dir, self._repeats = folder, data_dir, repeats
        self.figures = collections.OrderedDict()
        self.ratios = collections.OrderedDict()
        self.environment = {}
        self.real = []

    def measure(self, figures):
        """Repeats figures in turn and keeps them."""
        for _, figure in itertools.product(range(self._repeats), figures):
            figure.repeat()
        self.figures.update((figure.name, figure) for figure in figures)

    def ratio(self, name, slow, fast):
        """Keeps the median over the repeats of one figure by another."""
        self.ratios[name] = float(np.median(np.divide(
            self.figures[slow].seconds, self.figures[fast].seconds)))

    # --- data

    def interactions(self, dataset, share=1.0):
        """The name of a dataset's interactions file, without .txt."""
        name = "%s-%g" % (dataset, share)
        path = os.path.join(self._folder, name + ".txt")
        given = os.path.join(self._data_dir, dataset + ".txt")
        sizes = DATASETS[dataset]
        if os.path.exists(path):
            pass
        elif share < 1.0:
            self._cut_users(dataset, int(sizes.users * share), path)
        elif self._data_dir and os.path.exists(given):
            shutil.copy(given, path)
            self.real.append(dataset)
        else:
            # Elsewhere: what this process ever held, its children begin with.
            writer = multiprocessing.Process(
                target=synthetic.write_interactions, args=(path,) + sizes[:4])
            writer.start()
            writer.join()
        return name

    def _cut_users(self, dataset, users, path):
        whole = os.path.join(self._folder, self.interactions(dataset) + ".txt")
        sequences = read_sequences(whole)
        with open(path, "w") as stream:
            for user in itertools.islice(sequences, users):
                stream.write("".join("%d %d\n" % (user, item)
                                     for item in sequences[user].tolist()))

    # --- generation

    def generation(self, dataset, label, share=1.0, **changed):
        """A Figure: the whole command, Python's and TensorFlow's start too."""
        sizes = DATASETS[dataset]
        options = dict(
            dataset_name=self.interactions(dataset, share), pool_size=2,
            max_seq_length=sizes.length, max_predictions_per_seq=sizes.masked,
            masked_lm_prob=sizes.share, mask_prob=1.0, dupe_factor=10,
            prop_sliding_window=0.1 if dataset == "beauty" else 0.5,
            data_dir=self._folder + "/")
        options.update(changed)
        options["signature"] = "-" + label
        target = os.path.join(self._folder, options["dataset_name"] + "-"
                              + label)

        def measure():
            _, wall, cpu, megabytes = run_process(
                ["gen_data_fin.py"] + ["--%s=%s" % option
                                       for option in sorted(options.items())])
            return wall, megabytes, {"cpu_seconds": cpu, "bytes": os.path.getsize(
                target + ".train.tfrecord")}

        return Figure("generation " + label, measure)

    def files(self, dataset, label):
        """run.py's flags for a dataset that was generated under a label."""
        sizes = DATASETS[dataset]
        target = os.path.join(self._folder, "%s-1-%s" % (dataset, label))
        if not os.path.exists(target + ".train.tfrecord"):
            self.generation(dataset, label).repeat()
        return dict(
            train_input_file=target + ".train.tfrecord",
            test_input_file=target + ".test.tfrecord",
            vocab_filename=target + ".vocab", checkpointDir="none",
            user_history_filename=target + ".his", batch_size=256,
            max_seq_length=sizes.length, max_predictions_per_seq=sizes.masked,
            bert_config_file="bert_train/bert_config_%s.json" % sizes.config)

    # --- training and evaluation

    def process_figure(self, name, kind, options):
        """A Figure of measure.py: the median of the seconds it prints."""
        def measure():
            printed, _, _, megabytes = run_process(
                ["benchmarks/measure.py", kind]
                + ["--%s=%s" % option for option in sorted(options.items())])
            found = json.loads(printed.splitlines()[-1])
            seconds = found.pop("seconds")
            self.environment = found
            return float(np.median(seconds)), megabytes, {}

        return Figure(name, measure)

    def training(self, name, options, graph="fast", **changed):
        """A Figure: one training step."""
        return self.process_figure(
            "training step " + name, "training",
            dict(options, graph=graph, measured_steps=STEPS[graph], **changed))

    def config_with(self, vocab_size):
        """A model config of another catalogue: its file's name."""
        with open(os.path.join(ROOT, "bert_train",
                               "bert_config_ml-1m_64.json")) as stream:
            config = json.load(stream)
        config["vocab_size"] = vocab_size
        path = os.path.join(self._folder, "config-%d.json" % vocab_size)
        with open(path, "w") as stream:
            json.dump(config, stream)
        return path


# --- the parts --------------------------------------------------------------

def bench_generation(bench):
    bench.measure([bench.generation(name, name) for name in ("ml-1m", "beauty")])


def bench_training(bench):
    for name in ("ml-1m", "beauty"):
        options = bench.files(name, name)
        bench.measure([bench.training("%s, %s graph" % (name, graph), options,
                                      graph) for graph in ("plain", "fast")])
        bench.ratio("training step %s, plain / fast" % name,
                    "training step %s, plain graph" % name,
                    "training step %s, fast graph" % name)


def bench_evaluation(bench):
    bench.measure([
        bench.process_figure("evaluation %s, four protocols" % name,
                             "evaluation", bench.files(name, name))
        for name in ("ml-1m", "beauty")])


def bench_growth(bench):
    bench.measure(
        [bench.generation("ml-1m", "ml-1m with %g of the users" % share, share)
         for share in SHARES_OF_USERS]
        + [bench.generation("ml-1m", "ml-1m with dupe_factor %d" % duplicates,
                            dupe_factor=duplicates)
           for duplicates in DUPLICATES]
        + [bench.generation("ml-1m", "ml-1m with L %d" % length,
                            max_seq_length=length) for length in LENGTHS])
    options = bench.files("ml-1m", "ml-1m")
    lengths = []
    for length in LENGTHS:
        cut = dict(bench.files("ml-1m", "ml-1m with L %d" % length),
                   max_seq_length=length)
        lengths.append(bench.training("with L %d" % length, cut))
    batches = [bench.training("with batch %d" % size, options, batch_size=size)
               for size in BATCHES]
    catalogues = []
    for size in CATALOGUES:
        changed = dict(options, bert_config_file=bench.config_with(size))
        catalogues += [
            bench.training("with %d items, full softmax" % size, changed),
            bench.training("with %d items, num_sampled %d" % (
                size, NUM_SAMPLED), changed, num_sampled=NUM_SAMPLED)]
    bench.measure(lengths + batches + catalogues)


def bench_ml_20m(bench):
    bench.measure([bench.generation("ml-20m", "ml-20m")])


# --- what a person reads ----------------------------------------------------

def table(bench, found):
    """What `describe` found, the figures and the ratios, in Markdown."""
    lines = [found["date"] + "; " + found["data"] + " data"]
    if bench.environment:
        lines[0] += "; %(cpu)s, %(cores)d cores, %(memory_gb).0f GB" \
            % bench.environment["hardware"]
        lines[0] += "; Python %s, TensorFlow %s" % (
            bench.environment["python"],
            bench.environment["packages"]["tensorflow"])
    lines += ["", "| %d repeats | median | range | peak memory |"
              % found["repeats"], "|---|---|---|---|"]
    for figure in bench.figures.values():
        lines.append("| %s | %.3g s | %.3g to %.3g | %.0f MB |" % (
            figure.name, figure.median(), min(figure.seconds),
            max(figure.seconds), max(figure.megabytes)))
    if bench.ratios:
        lines += ["", "| ratio | median of pairs |", "|---|---|"]
        lines += ["| %s | %.2f |" % item for item in bench.ratios.items()]
    return "\n".join(lines)


def describe(bench, args):
    """OrderedDict: when, where and on what was measured."""
    return collections.OrderedDict([
        ("date", time.strftime("%Y-%m-%d")), ("repeats", args.repeats),
        ("data", "real %s, otherwise synthetic" % " and ".join(bench.real)
         if bench.real else "synthetic"),
        ("environment", bench.environment)])


def check_places(args):
    """Raises ValueError where data are missing or the result has no folder."""
    for dataset in ("ml-1m", "beauty") if args.data_dir else ():
        path = os.path.join(args.data_dir, dataset + ".txt")
        if not os.path.exists(path):
            raise ValueError("--data_dir: no file %s; make it (python data/"
                             "prepare_data.py %s), or leave the flag out for "
                             "synthetic data" % (path, dataset))
    util.check_parent(args.output, "output")


def main(argv):
    args = flags.FLAGS
    with util.one_line_errors("bench.py", (ValueError, IOError)):
        unknown = sorted(set(args.parts) - set(PARTS))
        if argv[1:] or unknown:
            raise ValueError("%r is no part; the parts are %s" % (
                (argv[1:] + unknown)[0], ", ".join(PARTS)))
        check_places(args)
        folder = tempfile.mkdtemp(prefix="bench-")
        try:
            bench = Bench(folder, args.data_dir, args.repeats)
            run_part = {"generation": bench_generation, "growth": bench_growth,
                        "training": bench_training, "ml-20m": bench_ml_20m,
                        "evaluation": bench_evaluation}
            for part in PARTS:
                if part in args.parts:
                    run_part[part](bench)
        finally:
            shutil.rmtree(folder)
        found = describe(bench, args)
        found["figures"] = [f.record() for f in bench.figures.values()]
        found["ratios"] = bench.ratios
        with util.AtomicFiles() as files:
            with open(files.path(args.output), "w") as stream:
                json.dump(found, stream, indent=2)
                stream.write("\n")
    print(table(bench, found))
    util.log("everything is in %s" % args.output)


if __name__ == "__main__":
    define_flags()
    app.run(main)
