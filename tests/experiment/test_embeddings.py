"""The items' vectors for TensorBoard's projector and for NumPy."""

import io

import numpy as np
import tensorflow.compat.v1 as tf

from conftest import CONFIG, ITEMS
from experiment import embeddings
from experiment.job import check_job
from experiment.recall import of_directory


def written(folder, tmp_path):
    """(job, dict of name -> lines, array) of what is written."""
    job = check_job(of_directory(str(folder), dict(export_embeddings=True)))
    embeddings.write(job._replace(model_dir=str(tmp_path)), job.checkpoint)
    there = tmp_path / "embeddings"
    lines = {}
    for name in ("vectors.tsv", "metadata.tsv"):
        with io.open(str(there / name), encoding="utf-8") as stream:
            lines[name] = [line.rstrip("\n").split("\t") for line in stream]
    assert len(list(there.iterdir())) == 4
    assert (there / "projector_config.pbtxt").read_text() == embeddings.PROJECTOR
    return job, lines, np.load(str(there / "items.npy"))


def test_a_line_of_each_file_is_an_item_of_the_vocabulary(named, tmp_path):
    job, lines, array = written(named, tmp_path)
    table = tf.train.load_variable(job.checkpoint,
                                   "bert/embeddings/word_embeddings")
    assert array.dtype == np.float32
    assert array.shape == (ITEMS, CONFIG["hidden_size"])
    assert (array == table[1:ITEMS + 1]).all()      # no padding, no [MASK]
    assert (np.array(lines["vectors.tsv"], np.float32) == array).all()
    assert lines["metadata.tsv"][0] == ["title", "item", "count"]
    tokens = [job.words.id_to_tokens[i] for i in range(1, ITEMS + 1)]
    assert lines["metadata.tsv"][1:] == [
        [u"Th\u00e9 " + token[5:], "B " + token[5:],
         str(job.words.counter[token])] for token in tokens]


def test_without_an_id_map_the_labels_are_numbers(trained, tmp_path):
    _, lines, _ = written(trained[0] / "run", tmp_path)
    assert lines["metadata.tsv"][0] == ["item", "count"]
    assert sorted(int(row[0]) for row in lines["metadata.tsv"][1:]) == list(
        range(1, ITEMS + 1))
