"""Copies the test file of a model with another id in the place of [MASK].

    python studies/other_mask_id.py checkpoints/mine other.test.tfrecord

In the published code the ids of the special tokens follow Python's hash seed:
a test file of another generation than the training file's asks the model with
a token that it was not trained on. Here it becomes [NO_USE].
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402
from experiment import record  # noqa: E402


def replace_id(serialized, old, new):
    """bytes of a tf.train.Example, an id of its input_ids replaced."""
    example = tf.train.Example.FromString(serialized)
    ids = example.features.feature["input_ids"].int64_list
    ids.value[:] = [new if value == old else value for value in ids.value]
    return example.SerializeToString(deterministic=True)


def copy_test_file(model_dir, target):
    """Writes the test records of a model directory's record, changed."""
    recorded = record.read(model_dir)
    if recorded is None:
        raise ValueError("%s has no %s; train it with run.py first"
                         % (model_dir, record.FILE))
    flags = recorded["flags"]
    if not flags.get("test_input_file"):
        raise ValueError("%s was trained without --test_input_file; train it "
                         "with one" % model_dir)
    words = util.load_pickle(flags["vocab_filename"], "FreqVocab")
    mask, other = words.convert_tokens_to_ids(["[MASK]", "[NO_USE]"])
    util.check_parent(target, "target")
    with util.AtomicFiles() as files:
        with tf.python_io.TFRecordWriter(files.path(target)) as writer:
            for path in input_pipeline.expand_files(
                    flags["test_input_file"], "test_input_file"):
                for serialized in tf.python_io.tf_record_iterator(path):
                    writer.write(replace_id(serialized, mask, other))


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("model_dir", help="what run.py trained")
    parser.add_argument("target", help="the test file to write")
    given = parser.parse_args()
    with util.one_line_errors("other_mask_id.py"):
        copy_test_file(given.model_dir, given.target)
