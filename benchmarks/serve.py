"""Measures a SavedModel of run.py --do_export, called in this process.

    python benchmarks/serve.py --saved_model=checkpoints/mine/export/1 \\
        --input_file=sequences.tsv

A request is a batch of the file's sequences, as long as its longest. Network
and JSON are not in it. Prints a Markdown table.
"""

import itertools
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402  first: it explains what is missing

import numpy as np  # noqa: E402
from absl import app  # noqa: E402
from absl import flags  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment.requests import read_requests  # noqa: E402

WARM_UP = 5


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.DEFINE_string("saved_model", None, "A folder export/<n>.")
    flags.DEFINE_string("input_file", None,
                        "Sequences, as --predict_input_file of run.py.")
    flags.DEFINE_list("batch_sizes", ["1", "64"], "Sequences per request.")
    flags.DEFINE_integer("requests", 300, "Requests of each size.",
                         lower_bound=1)
    flags.mark_flags_as_required(["saved_model", "input_file"])


def batches(sequences, size):
    """Yields object arrays [size, T] of the sequences, over and over.

    Args:
        sequences: list of lists of str. size: int.
    """
    endless = itertools.cycle(sequences)
    while True:
        rows = list(itertools.islice(endless, size))
        longest = max(map(len, rows))
        yield np.array([row + [""] * (longest - len(row)) for row in rows],
                       object)


def time_requests(folder, sequences, size, count):
    """list of float, the seconds of each of `count` requests."""
    seconds = []
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.loader.load(
            session, ["serve"], folder).signature_def["serving_default"]
        outputs = [found.name for found in signature.outputs.values()]
        items = signature.inputs["items"].name
        for batch in itertools.islice(batches(sequences, size),
                                      WARM_UP + count):
            started = time.time()
            session.run(outputs, {items: batch})
            seconds.append(time.time() - started)
    return seconds[WARM_UP:]


def table_row(size, seconds):
    """A line of the table: str."""
    rate = len(seconds) / sum(seconds)
    return "| %d | %.4g | %.4g | %.3g ms | %.3g ms |" % (
        size, rate, rate * size, 1e3 * np.percentile(seconds, 50),
        1e3 * np.percentile(seconds, 99))


def main(argv):
    args = flags.FLAGS
    with util.one_line_errors("serve.py"):
        sequences = [items for _, items in read_requests(args.input_file)]
        if not sequences:
            raise ValueError("--input_file: %s holds no sequences; give some"
                             % args.input_file)
        if not all(size.isdigit() and int(size) for size in args.batch_sizes):
            raise ValueError("--batch_sizes=%s: give whole numbers from 1"
                             % ",".join(args.batch_sizes))
        print("| batch | requests/s | sequences/s | p50 | p99 |\n"
              "|---|---|---|---|---|")
        for size in map(int, args.batch_sizes):
            print(table_row(size, time_requests(
                args.saved_model, sequences, size, args.requests)))


if __name__ == "__main__":
    define_flags()
    app.run(main)
