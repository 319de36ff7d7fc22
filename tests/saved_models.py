"""A process that has TensorFlow and a SavedModel, and nothing of this project."""

import json
import subprocess
import sys

from conftest import ITEMS, LENGTH

# What a server does: rows of a JSON request become one tensor, the signature
# is called, and the tensors of its answer become rows.
LOADER = """
import json, sys
import numpy as np
import tensorflow.compat.v1 as tf
folder, signature = sys.argv[1:]
request = json.load(sys.stdin)
with tf.Graph().as_default(), tf.Session() as session:
    loaded = tf.saved_model.loader.load(session, ["serve"], folder)
    called = loaded.signature_def[signature]
    items = np.array([row["items"] for row in request["instances"]], object)
    names = sorted(called.outputs)
    found = session.run([called.outputs[name].name for name in names],
                        {called.inputs["items"].name: items})
assert not {"modeling", "util", "vocab", "experiment"} & set(sys.modules)
rows = [dict(zip(names, [
    [one.decode("utf-8") for one in value] if value.dtype == object
    else value.tolist() for value in row])) for row in zip(*found)]
print(json.dumps({"predictions": rows}))
"""
# In the order in which Recommender makes batches.
HISTORIES = [[], ["x"], ["B 9"], ["B 3", "B 5"],
             ["B %d" % n for n in range(1, 2 * LENGTH)],
             ["B %d" % n for n in range(1, ITEMS - 2)],      # but three
             ["B %d" % n for n in range(1, ITEMS + 1)]]


def instances(histories):
    """The rows of a request, as long as each other."""
    longest = max(map(len, histories))
    return [{"items": items + [""] * (longest - len(items))}
            for items in histories]


def ask(folder, request, signature="serving_default", python=sys.executable):
    """The rows that another process answers to the rows of a request."""
    process = subprocess.Popen(
        [python, "-c", LOADER, str(folder), signature], cwd=str(folder),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    answer, errors = process.communicate(
        json.dumps({"instances": request}).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(answer.decode())["predictions"]
