"""How far the gradients of a sampled softmax are from the full softmax's.

    python studies/sampled_noise.py checkpoints/mine 100 1000

At the checkpoint of a model directory that run.py evaluates, for one batch of
its training file, without dropout: the gradient of the encoder's weights by
the full softmax, and by 40 draws of each number of items. The draw is all that
differs between these. Prints a Markdown table.
"""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import input_pipeline  # noqa: E402
import modeling  # noqa: E402
from experiment import checkpoints, recall  # noqa: E402
from experiment.job import load_config  # noqa: E402
from model import masked_item  # noqa: E402

DRAWS = 40


def compare(full, drawn):
    """(error, cosine) of gradients beside the full one.

    Args:
        full: float [P]. drawn: float [draws, P].

    Returns:
        the root mean square over draws of |drawn - full| / |full|, and the
        mean of cos(drawn, full): floats.
    """
    norm = np.linalg.norm(full)
    errors = np.linalg.norm(drawn - full, axis=1) / norm
    cosines = drawn.dot(full) / (np.linalg.norm(drawn, axis=1) * norm)
    return float(np.sqrt(np.mean(errors ** 2))), float(np.mean(cosines))


def read_batch(args):
    """dict of arrays: one training batch of the flags' file."""
    files = input_pipeline.expand_files(
        args.train_input_file, "train_input_file")
    with tf.Graph().as_default(), tf.Session() as session:
        features = tf.data.make_one_shot_iterator(input_pipeline.make_input_fn(
            files, args.max_seq_length, args.max_predictions_per_seq,
            args.batch_size, True, seed=args.random_seed)()).get_next()
        return session.run(features)


def gradients(config, batch, checkpoint, num_sampled=None, draws=1):
    """float64 array [draws, P], the gradient of the encoder's P weights.

    Args:
        config: BertConfig, without dropout.
        batch: dict of arrays. checkpoint: str.
        num_sampled: int, or None for the full softmax.
        draws: int.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        head = (config,) + modeling.encode_masked_rows(
            config, True, {name: tf.constant(value)
                           for name, value in batch.items()})
        loss = (masked_item.chunked_item_loss(*head) if num_sampled is None
                else masked_item.sampled_item_loss(*head,
                                                   num_sampled=num_sampled))
        weights = [variable for variable in tf.trainable_variables()
                   if "/encoder/" in variable.name]
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient
                          in tf.gradients(loss, weights)], axis=0)
        tf.train.Saver(tf.trainable_variables()).restore(session, checkpoint)
        return np.array([session.run(flat) for _ in range(draws)], np.float64)


def table(model_dir, numbers):
    """Yields the lines of the table for the numbers of items, ints.

    Raises:
        ValueError: no trained model is there, or a number cannot be drawn.
    """
    args = recall.of_directory(model_dir, {
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    config = load_config(args, None)
    for number in numbers:
        if not 0 < number < config.vocab_size:
            raise ValueError("%d ids cannot be sampled; choose a number from "
                             "1 to %d" % (number, config.vocab_size - 1))
    _, checkpoint = checkpoints.find_checkpoint(model_dir, config, args)
    batch = read_batch(args)
    full, = gradients(config, batch, checkpoint)
    yield "| items sampled | error / full gradient | cosine to it |"
    yield "|---|---|---|"
    for number in numbers:
        yield "| %d | %.2f | %.2f |" % ((number,) + compare(
            full, gradients(config, batch, checkpoint, number, DRAWS)))


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("model_dir", help="what run.py trained")
    parser.add_argument("numbers", type=int, nargs="+",
                        help="how many items to sample")
    given = parser.parse_args()
    with util.one_line_errors("sampled_noise.py"):
        for line in table(given.model_dir, given.numbers):
            print(line, flush=True)
