"""What to take next: the graph that recommends, and a session around it."""

import collections.abc
import itertools

import numpy as np

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

import modeling  # noqa: E402
from experiment import faults, model_fn, recall, record  # noqa: E402
from experiment.job import check_job  # noqa: E402
from experiment.requests import check_k  # noqa: E402
from model import masked_item  # noqa: E402

BY_MODEL, BY_POPULARITY = "model", "most popular"
SORTED_BATCHES = 8       # that are read at a time
# The score of what is never recommended: the least that JSON can hold.
EXCLUDED = np.finfo(np.float32).min

# `key` is the user or the name of the sequence; `items`, `titles` (or None)
# and `scores` go from the best to the K-th; `by` is BY_MODEL or BY_POPULARITY;
# `unknown` counts the items of the history that were skipped.
Recommendations = collections.namedtuple(
    "Recommendations", "key items titles scores by unknown")


# --- the graph --------------------------------------------------------------

def score_items(config, histories, max_seq_length, words):
    """How much each item is expected after a history.

    [MASK] is put after the last L - 1 items, as a test sequence has it. An
    empty history scores by how often an item occurs.

    Args:
        config: BertConfig.
        histories: int32 [B, T], items in order; zeros, anywhere, are skipped.
        max_seq_length: int, L.
        words: vocab.FreqVocab.

    Returns:
        (scores, float32 [B, items], of the ids from 1 in their order, so not
         of padding and special tokens; empty, bool [B]).
    """
    is_item = histories > 0
    counts = tf.reduce_sum(tf.cast(is_item, tf.int32), axis=1)       # [B]
    kept = tf.minimum(counts, max_seq_length - 1)
    width = tf.reduce_max(kept) + 1
    if not model_fn.may_trim(config):
        width = tf.constant(max_seq_length)
    # The place of each item once gaps and the oldest are gone.
    places = tf.cumsum(tf.cast(is_item, tf.int32), axis=1) - 1
    places -= (counts - kept)[:, tf.newaxis]
    taken = tf.where(tf.logical_and(is_item, places >= 0))           # [n, 2]
    targets = tf.stack([tf.cast(taken[:, 0], tf.int32),
                        tf.gather_nd(places, taken)], axis=1)
    mask_id, = words.convert_tokens_to_ids(["[MASK]"])
    ids = tf.scatter_nd(targets, tf.gather_nd(histories, taken),
                        tf.stack([tf.shape(histories)[0], width]))
    ids += tf.one_hot(kept, width, on_value=mask_id, off_value=0,
                      dtype=tf.int32)
    model = modeling.BertModel(
        config, False, ids, tf.sequence_mask(kept + 1, width, tf.int32),
        scope="bert", output_positions=kept[:, tf.newaxis])
    scores = masked_item.item_scores(
        config, model.get_rows_output()[:, 0], model.get_embedding_table())
    scores = tf.debugging.check_numerics(
        scores[:, 1:words.get_item_count() + 1], "scores of the model")
    empty = tf.equal(counts, 0)
    popularity = tf.zeros_like(scores) + _counts(words)
    return tf.where(empty, popularity, scores), empty


def _counts(words):
    """float32 array [items], how often each item occurs."""
    tokens = words.convert_ids_to_tokens(
        list(range(1, words.get_item_count() + 1)))
    return np.array([words.counter[token] for token in tokens], np.float32)


def top_items(scores, histories, k, allow_seen):
    """The K items that score highest; of equal ones the lower id first.

    Args:
        scores: float32 [B, items], of the ids from 1.
        histories: int32 [B, T], whose items are left out. k: int.
        allow_seen: bool, they are not.

    Returns:
        (ids, int32 [B, K]; their scores, float32 [B, K]). Where fewer than K
        items are left, the rest are 0 and EXCLUDED.
    """
    batch, count = tf.unstack(tf.shape(scores))
    rows = tf.zeros_like(histories) + tf.range(batch)[:, tf.newaxis]
    seen = tf.scatter_nd(tf.stack([rows, histories], axis=2),
                         tf.ones_like(histories, tf.float32),
                         tf.stack([batch, count + 1]))[:, 1:] > 0.0
    left_out = tf.logical_and(seen, tf.logical_not(allow_seen))
    scores, ids = tf.nn.top_k(
        tf.where(left_out, tf.fill([batch, count], EXCLUDED), scores), k)
    return (ids + 1) * tf.cast(scores > EXCLUDED, tf.int32), scores


def restore(session, checkpoint):
    """Gives the graph's variables their values of a checkpoint."""
    tf.train.Saver(tf.trainable_variables()).restore(session, checkpoint)


# --- the session ------------------------------------------------------------

class Recommender(object):
    """Recommends with one checkpoint, from Python or for run.py.

        model = load("checkpoints/mine")
        model.recommend(["17", ["3", "5"]], k=5)  # a user, a sequence
    """

    def __init__(self, job, checkpoint):
        """Builds the graph and loads the checkpoint.

        Args:
            job: Job with names.
            checkpoint: str.
        """
        self._names, self._history = job.names, job.user_history
        self._batch_size = job.args.eval_batch_size
        with tf.Graph().as_default():
            self._inputs = [tf.placeholder(tf.int32, [None, None]),
                            tf.placeholder(tf.int32, []),
                            tf.placeholder(tf.bool, [])]
            scores, empty = score_items(
                job.config, self._inputs[0], job.args.max_seq_length,
                job.words)
            self._outputs = top_items(scores, *self._inputs) + (empty,)
            self._session = tf.Session(
                config=model_fn.session_config(job.args))
            restore(self._session, checkpoint)

    def recommend(self, sequences_or_users, k=10, allow_seen=False):
        """Recommends what to take next.

        Args:
            sequences_or_users: list; a list or tuple in it is a sequence of
                item ids, oldest first, anything else is a user's id. Ids are
                str; an int is taken for its digits.
            k: int, items each. allow_seen: bool, items of the history too.

        Returns:
            list of Recommendations, one each; the key of a sequence is its
            index here.

        Raises:
            ValueError: an unknown user, no list, or k is not within the
                catalogue.
        """
        if isinstance(sequences_or_users, (str, bytes, dict)) or not isinstance(
                sequences_or_users, collections.abc.Iterable):
            raise ValueError("%r is no list; for one user ask with [%r]"
                             % ((sequences_or_users,) * 2))
        check_k(k, self._names.items, "k")
        asked = [(str(index),) + self._names.known_ids(one)
                 if isinstance(one, (list, tuple)) else self.of_user(one)
                 for index, one in enumerate(sequences_or_users)]
        return list(self.stream(asked, k, allow_seen))

    def of_user(self, user):
        """(key, vocabulary's ids of the whole history, 0) of a user's id."""
        return str(user), self._history[self._names.user_token(user)][0], 0

    def stream(self, asked, k, allow_seen):
        """Yields the Recommendations of histories, some batches at a time.

        Args:
            asked: iterable of (key, list of the vocabulary's ids, number of
                unknown items).
            k, allow_seen: see `recommend`.

        Raises:
            ValueError: the model's scores are not finite.
        """
        asked, size = iter(asked), self._batch_size
        while True:
            read = list(itertools.islice(asked, SORTED_BATCHES * size))
            if not read:
                return
            # Batches of similar lengths: less padding is computed.
            order = sorted(range(len(read)), key=lambda i: len(read[i][1]))
            found = [None] * len(read)
            for batch in (order[start:start + size]
                          for start in range(0, len(order), size)):
                results = self._top([read[i][1] for i in batch], k, allow_seen)
                for i, result in zip(batch, zip(*results)):
                    found[i] = self._named(read[i][0], read[i][2], *result)
            for one in found:
                yield one

    def _top(self, histories, k, allow_seen):
        """(ids [B, K], scores [B, K], empty [B]) of lists of ids."""
        padded = np.zeros([len(histories), max(map(len, histories))], np.int32)
        for row, history in zip(padded, histories):
            row[:len(history)] = history
        try:
            return self._session.run(
                self._outputs, dict(zip(self._inputs, (padded, k, allow_seen))))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("the checkpoint cannot recommend: %s; if its "
                             "training diverged, take an earlier one"
                             % faults.cause(error))

    def _named(self, key, unknown, ids, scores, empty):
        names = self._names
        ids = ids[ids > 0]
        # As short as tells a float32 from all others.
        scores = [float(str(score)) for score in scores[:len(ids)]]
        return Recommendations(
            key, [names.items[i] for i in ids],
            names.titles and [names.titles[i] for i in ids], scores,
            BY_POPULARITY if empty else BY_MODEL, unknown)


def load(model_dir, **flags):
    """The Recommender of a model directory, by the directory's record.

    Args:
        model_dir: str or path.
        **flags: of run.py, in place of recorded ones; e.g. vocab_filename
            where the data have moved.

    Raises:
        ValueError, IOError: as run.py --do_predict ends with.
    """
    asking = sorted(set(flags).intersection(record.PREDICTION_FLAGS))
    if asking:
        raise ValueError("%s is for run.py; the model's recommend() is asked "
                         "here" % asking[0])
    args = recall.of_directory(
        model_dir, dict(flags, do_predict=True, top_k=1))
    for flag in ("eval_batch_size", "max_seq_length"):
        value = getattr(args, flag, None)
        if not isinstance(value, int) or value < 1:
            raise ValueError("%s=%r is not a whole number from 1; give another"
                             % (flag, value))
    try:
        job = check_job(args)
    except AttributeError as error:
        raise ValueError("%s: %s lacks a flag (%s); run.py takes its default"
                         % (model_dir, record.FILE, error))
    return Recommender(job, job.checkpoint)
