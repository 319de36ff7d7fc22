"""--export_embeddings: the items' vectors for the projector and NumPy."""

import io
import os

import numpy as np

import util

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from data import sequences  # noqa: E402

FOLDER = "embeddings"                      # in the model directory
# TensorBoard looks for this file in its --logdir.
PROJECTOR = """embeddings {
  tensor_name: "items"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
}
"""


def write(job, checkpoint):
    """Writes the embeddings of all items, in the vocabulary's order.

    items.npy is float32 [items, H]; a line of vectors.tsv and of metadata.tsv
    (after its head) is an item: its vector; its title, id and how often it
    occurs.
    """
    names = job.names
    table = tf.train.load_variable(
        checkpoint, "bert/embeddings/word_embeddings")
    vectors = table[1:len(names.items)]
    counts = [job.words.counter[token]
              for token in job.words.convert_ids_to_tokens(
                  list(range(1, len(names.items))))]
    folder = os.path.join(job.model_dir, FOLDER)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with util.AtomicFiles() as files:
        def text(name):
            return io.open(files.path(os.path.join(folder, name)), "w",
                           encoding="utf-8", newline="\n")

        with open(files.path(os.path.join(folder, "items.npy")),
                  "wb") as stream:
            np.save(stream, vectors)
        with text("vectors.tsv") as stream:
            for vector in vectors:
                stream.write(u"\t".join(map(str, vector)) + u"\n")
        with text("metadata.tsv") as stream:
            stream.write(u"%sitem\tcount\n" % ("title\t" * bool(names.titles)))
            for number, count in enumerate(counts, 1):
                fields = [names.items[number], str(count)]
                if names.titles:
                    fields.insert(0, names.titles[number])
                stream.write(u"\t".join(map(sequences.escape, fields)) + u"\n")
        with text("projector_config.pbtxt") as stream:
            stream.write(PROJECTOR)
    util.log("%d embeddings of %s in %s" % (len(vectors), checkpoint, folder))
