"""Copies a model with a share of the log popularity taken off its scores.

    python studies/popularity_discount.py pretrained/mine 0.5 checkpoints/other

A score is a log probability but for a constant that all items of a sequence
share, so the copy ranks by p(item) / popularity(item)^share: its output bias is
lowered by share * log popularity. `run.py --do_eval --init_checkpoint=...`
evaluates it as any other.
"""

import os
import shutil
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import evaluation  # noqa: E402
import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import checkpoints, recall, record  # noqa: E402
from experiment.job import check_job  # noqa: E402
from pretrained.publish import write_slim  # noqa: E402

BIAS = "cls/predictions/output_bias"


def copy_discounted(model_dir, share, target):
    """Writes the evaluated checkpoint of a model directory to a new one.

    Args:
        model_dir: str, with the record of a training; the data files that it
            names are read.
        share: float, of the log popularity in training.
        target: str, the folder to make.

    Raises:
        ValueError, IOError: no trained model is there, or other data; the
            folder is there already; the share is no number.
    """
    if not np.isfinite(share):
        raise ValueError("a share of %s cannot be taken off; give a number "
                         "like 0.5" % share)
    if os.path.exists(os.path.join(target, "checkpoint")):
        raise ValueError("%s holds a model already; remove it, or take "
                         "another name" % target)
    job = check_job(recall.of_directory(model_dir, {"do_eval": True}))
    popularity = evaluation.log_popularity(
        job.user_history, job.validation == record.HELD_OUT,
        job.config.vocab_size)
    bias = tf.train.load_variable(job.checkpoint, BIAS)
    os.makedirs(target, exist_ok=True)
    for name in (checkpoints.CONFIG_FILE, record.FILE):
        shutil.copy(os.path.join(model_dir, name), target)
    write_slim(job.checkpoint, target,
               {BIAS: (bias - share * popularity).astype(np.float32)})


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("model_dir", help="what run.py trained")
    parser.add_argument("share", type=float, help="0 leaves the scores alone")
    parser.add_argument("target", help="the folder to make")
    given = parser.parse_args()
    with util.one_line_errors("popularity_discount.py"):
        copy_discounted(given.model_dir, given.share, given.target)
