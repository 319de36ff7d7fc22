"""What TensorFlow's errors of files and memory mean: one line with a remedy."""

import os
import shutil

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402


def explain(error, paths):
    """Raises a ValueError in the place of an error of TensorFlow whose cause
    is outside the program.

    Args:
        error: tf.errors.OpError.
        paths: list of str, the input files that were read.

    Raises:
        ValueError: the file, or what lacks, and the remedy.
        The error itself, where its cause is not known.
    """
    gone = [path for path in paths if not os.path.isfile(path)]
    if gone:
        raise ValueError("%s is gone, while it was read; put it back, then the "
                         "same command goes on" % gone[0])
    if isinstance(error, (tf.errors.DataLossError,
                          tf.errors.InvalidArgumentError)):
        for _ in input_pipeline.read_instances(paths):
            pass  # a damaged record is an error that names the file
        for path in paths:
            _check_lengths(path)
    if isinstance(error, tf.errors.ResourceExhaustedError) and not (
            util.is_disk_full(error)):
        raise ValueError("the memory does not suffice (%s); a smaller "
                         "--batch_size, a smaller model or --num_sampled needs "
                         "less" % str(error).split("\n")[0])
    raise error


def _check_lengths(path):
    """Raises ValueError where the records of a file differ in length."""
    lengths = input_pipeline.record_lengths(path)
    for number, record in enumerate(tf.python_io.tf_record_iterator(path), 1):
        feature = tf.train.Example.FromString(record).features.feature
        found = tuple(len(feature[name].int64_list.value)
                      for name in ("input_ids", "masked_lm_positions"))
        if found != lengths:
            raise ValueError(
                "%s: record %d has the lengths %d and %d, the first %d and %d; "
                "generate it again with gen_data_fin.py"
                % ((path, number) + found + lengths))


def disk_full(folder, what, needed, safe):
    """The line for a full disk: str.

    Args:
        folder: str, where there is no room. what: str, what was written.
        needed: int, its bytes. safe: str, what is not lost.
    """
    free = shutil.disk_usage(folder).free
    return ("%s: no room for %s, which takes about %.1f MB; %.1f MB are free, "
            "about %.1f MB are missing; %s" % (
                folder, what, needed / 1e6, free / 1e6,
                max(0.1, (needed - free) / 1e6), safe))
