"""--do_export: a SavedModel that takes and gives original ids."""

import io
import os
import shutil

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from experiment import model_fn  # noqa: E402
from experiment.recommender import (  # noqa: E402
    restore, score_items, top_items)

FOLDER = "export"             # in the model directory; its versions 1, 2, ...
VOCABULARY = "items.txt"      # the asset: an item's id a line, in dense order
SCORES = "scores"             # the signature beside serving_default


def export(job, checkpoint):
    """Writes the next version of a model, whole or not at all.

    Returns:
        str, its folder: <model directory>/export/<n>.

    Raises:
        ValueError: an item's id does not fit on a line of the vocabulary.
    """
    folder = os.path.join(job.model_dir, FOLDER)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    util.remove_leftovers(folder)
    # TensorFlow Serving loads what is called by a number, and nothing else.
    temporary = util.temporary_name(os.path.join(folder, "new"))
    os.mkdir(temporary)
    try:
        vocabulary = os.path.join(temporary, VOCABULARY)
        _write_vocabulary(job.names, vocabulary)
        _save(job, checkpoint, vocabulary, os.path.join(temporary, "model"))
        version = 1 + max([0] + [int(name) for name in os.listdir(folder)
                                 if name.isdigit()])
        target = os.path.join(folder, str(version))
        os.rename(os.path.join(temporary, "model"), target)
    finally:
        shutil.rmtree(temporary)
    util.log("exported %s to %s" % (checkpoint, target))
    return target


def _write_vocabulary(names, path):
    for item in names.items:
        if "\n" in item or "\r" in item:
            raise ValueError("the item id %r has a line break, which the "
                             "vocabulary of a SavedModel cannot hold; give "
                             "the item another id" % item)
    with io.open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(item + u"\n" for item in names.items[1:])


def _save(job, checkpoint, vocabulary, folder):
    """Saves the graph with its two signatures to a folder that it makes."""
    with tf.Graph().as_default(), tf.Session(
            config=model_fn.session_config(job.args)) as session:
        items = tf.placeholder(tf.string, [None, None], "items")
        histories = _dense_ids(items, vocabulary)
        # TensorFlow 1.15 cannot read the resource variables of 2.15.
        with tf.variable_scope(tf.get_variable_scope(), use_resource=False):
            scores, empty = score_items(job.config, histories,
                                        job.args.max_seq_length, job.words)
        ids, best = top_items(scores, histories, job.args.top_k,
                              job.args.allow_seen)
        recommended = _original_ids(ids, vocabulary)
        restore(session, checkpoint)
        builder = tf.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.tag_constants.SERVING], {
                name: tf.saved_model.predict_signature_def(
                    {"items": items}, outputs)
                for name, outputs in (
                    (tf.saved_model.signature_constants.
                     DEFAULT_SERVING_SIGNATURE_DEF_KEY,
                     {"items": recommended, "scores": best,
                      "most_popular": empty}),
                    (SCORES, {"scores": scores}))},
            assets_collection=tf.get_collection(
                tf.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.tables_initializer(),
            # What an older TensorFlow does not know is left at its default.
            strip_default_attrs=True)
        builder.save()


def _dense_ids(items, vocabulary):
    """int32 [B, T], the vocabulary's ids of original ones; of others 0."""
    table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER), -1)
    return tf.cast(table.lookup(items) + 1, tf.int32)


def _original_ids(ids, vocabulary):
    """string [B, K], the original ids of the vocabulary's; of 0 ""."""
    table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        vocabulary, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        tf.string, tf.lookup.TextFileIndex.WHOLE_LINE), "")
    return table.lookup(tf.cast(ids, tf.int64) - 1)
