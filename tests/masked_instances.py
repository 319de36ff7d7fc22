"""Options and decoded instances that the tests of generation share."""

import collections

import numpy as np
import tensorflow.compat.v1 as tf

from data.generation import Options
from data.instances import TrainingInstances

ITEMS = 20          # in the masking tests the items are 1 .. 20,
MASK = 22           # so [pad] is 21 and [MASK] 22

Instance = collections.namedtuple("Instance", "user input_ids positions labels")


def options(**changed):
    values = dict(max_seq_length=7, max_predictions_per_seq=3, mask_prob=0.6,
                  dupe_factor=3, masked_lm_prob=0.3, prop_sliding_window=0.5,
                  random_seed=11)
    values.update(changed)
    return Options(**values)


def decode(record, length, limit):
    """Parses a serialized instance and checks its lengths and padding."""
    feature = tf.train.Example.FromString(record).features.feature
    assert sorted(feature) == [
        "info", "input_ids", "input_mask", "masked_lm_ids",
        "masked_lm_positions", "masked_lm_weights"]
    ints = {name: list(feature[name].int64_list.value) for name in feature}
    weights = list(feature["masked_lm_weights"].float_list.value)
    assert [len(ints["info"]), len(ints["input_ids"]),
            len(ints["input_mask"])] == [1, length, length]
    assert [len(ints["masked_lm_positions"]), len(ints["masked_lm_ids"]),
            len(weights)] == [limit] * 3
    n, k = sum(ints["input_mask"]), int(sum(weights))
    assert ints["input_mask"] == [1] * n + [0] * (length - n)
    assert weights == [1.0] * k + [0.0] * (limit - k)
    assert n >= 1 and 1 <= k <= n
    assert all(ints["input_ids"][:n])
    assert ints["input_ids"][n:] == [0] * (length - n)
    assert ints["masked_lm_positions"][k:] == [0] * (limit - k)
    assert ints["masked_lm_ids"][k:] == [0] * (limit - k)
    return Instance(ints["info"][0], ints["input_ids"][:n],
                    ints["masked_lm_positions"][:k],
                    ints["masked_lm_ids"][:k])


def unmask(instance):
    """The window as it was before masking."""
    window = list(instance.input_ids)
    for position, label in zip(instance.positions, instance.labels):
        window[position] = label
    return window


def training_instances(sequences, **changed):
    return TrainingInstances(
        collections.OrderedDict((user, np.array(ids, np.int32))
                                for user, ids in sequences),
        MASK, ITEMS, options(**changed))


def serialized(made):
    """Every instance, chunk after chunk."""
    return [record for chunk in range(made.chunks)
            for record in made.serialize(chunk)]
