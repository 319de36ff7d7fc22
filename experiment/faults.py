"""What TensorFlow's errors of files and memory mean: one line with a remedy."""

import contextlib
import os
import re

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402


@contextlib.contextmanager
def one_line_faults(paths, folder, safe, size=lambda: None):
    """Ends the process with one line for an error whose cause is outside the
    program; others pass.

    Args:
        paths: list of str, the input files that are read.
        folder: str, what is written to.
        safe: function -> str, what is not lost and how to go on.
        size: function -> int, bytes of what is written next, or None where
            they are not known.
    """
    try:
        yield
    except (tf.errors.OpError, OSError) as error:
        checkpoint = re.search(r"model\.ckpt-[0-9]+", str(error))
        line = (util.no_room(
            folder, checkpoint.group() if checkpoint else "the next file",
            size(), safe())
                if util.is_disk_full(error) else _explain(error, paths, folder))
        if line is None:
            raise
        with util.one_line_errors("run.py"):
            raise ValueError(line)


def cause(error):
    """The line of one of TensorFlow's errors that says what is wrong: str.

    In 2.x the node and where it was made come before it.
    """
    text = re.sub(r"\AGraph execution error:.*?(\nNode: [^\n]*)+\n", "",
                  str(error), flags=re.DOTALL)
    return text.split("\n")[0]


def _explain(error, paths, folder):
    """The line for an error: str, or None where its cause is not known."""
    text = cause(error)
    for path in paths:
        if not os.path.isfile(path):
            return ("%s is gone, while it was read; put it back, then the same "
                    "command goes on" % path)
    if isinstance(error, (tf.errors.DataLossError,
                          tf.errors.InvalidArgumentError)):
        try:
            for path in paths:
                _check_records(path)
        except ValueError as damage:
            return str(damage)
    elif isinstance(error, tf.errors.ResourceExhaustedError):
        return ("the memory does not suffice (%s); a smaller --batch_size or "
                "--eval_batch_size, a smaller model or --num_sampled needs "
                "less" % text)
    elif "start gRPC server" in text:
        return ("this task's address in TF_CONFIG cannot be served (%s); end "
                "what listens there, or correct it" % text)
    elif not os.path.isdir(folder):
        return ("the folder %s, to be written to, is not there; put it back, "
                "or begin anew" % folder)
    return text if isinstance(
        error, (OSError, tf.errors.PermissionDeniedError)) else None


def _check_records(path):
    """Raises ValueError for a record that is damaged, or of other lengths than
    the first."""
    lengths = input_pipeline.record_lengths(path)
    for _ in input_pipeline.read_instances([path]):
        pass
    for number, record in enumerate(tf.python_io.tf_record_iterator(path), 1):
        feature = tf.train.Example.FromString(record).features.feature
        found = tuple(len(feature[name].int64_list.value)
                      for name in ("input_ids", "masked_lm_positions"))
        if found != lengths:
            raise ValueError(
                "%s: record %d has the lengths %d and %d, the first %d and %d; "
                "generate it again with gen_data_fin.py"
                % ((path, number) + found + lengths))
