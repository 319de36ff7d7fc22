"""The TFRecord schema that writer and reader share, and the `input_fn`."""

import collections
import functools
import itertools

import tensorflow.compat.v1 as tf

SHUFFLE_BUFFER = 100000   # instances; about 130 MB of ML-1M's
PARSE_THREADS = 2
ID_FEATURES = ("input_ids", "input_mask", "masked_lm_positions",
               "masked_lm_ids")
FEATURES = ("info",) + ID_FEATURES + ("masked_lm_weights",)


def feature_spec(max_seq_length, max_predictions_per_seq):
    """The features of one instance, all of fixed length, zero-padded at the end.

    Args:
        max_seq_length: int, L.
        max_predictions_per_seq: int, M.

    Returns:
        dict, name -> tf.FixedLenFeature.
    """
    def ints(length):
        return tf.FixedLenFeature([length], tf.int64)

    return {
        "info": ints(1),                                     # the user
        "input_ids": ints(max_seq_length),
        "input_mask": ints(max_seq_length),                  # 1 = an item
        "masked_lm_positions": ints(max_predictions_per_seq),
        "masked_lm_ids": ints(max_predictions_per_seq),
        "masked_lm_weights":                                 # 1.0 = a real one
            tf.FixedLenFeature([max_predictions_per_seq], tf.float32),
    }


def serialize_instance(user, input_ids, positions, label_ids, max_seq_length,
                       max_predictions_per_seq):
    """One masked sequence as the bytes of a tf.train.Example.

    Args:
        user: int.
        input_ids: list of n <= L ints, masked.
        positions, label_ids: lists of k <= M ints, the masked positions and
            the ids that were there.
        max_seq_length, max_predictions_per_seq: int, L and M.

    Returns:
        bytes, the same on every runtime.
    """
    length, masked = len(input_ids), len(positions)
    no_items = [0] * (max_seq_length - length)
    no_masks = [0] * (max_predictions_per_seq - masked)
    example = tf.train.Example()
    feature = example.features.feature
    for name, values in (
            ("info", [user]),
            ("input_ids", input_ids + no_items),
            ("masked_lm_positions", positions + no_masks),
            ("masked_lm_ids", label_ids + no_masks)):
        feature[name].int64_list.value.extend(values)
    feature["input_mask"].CopyFrom(
        _ones_then_zeros("int64_list", length, max_seq_length))
    feature["masked_lm_weights"].CopyFrom(
        _ones_then_zeros("float_list", masked, max_predictions_per_seq))
    # Protocol buffers promise no order of map entries unless asked.
    return example.SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=None)
def _ones_then_zeros(kind, ones, length):
    """A tf.train.Feature that is made once: copying one is a third of the cost."""
    feature = tf.train.Feature()
    getattr(feature, kind).value.extend([1] * ones + [0] * (length - ones))
    return feature


def record_lengths(path):
    """The lengths L and M that a TFRecord file was written with.

    Args:
        path: str, one file.

    Returns:
        (max_seq_length, max_predictions_per_seq), read from its first record.

    Raises:
        ValueError: the file is no TFRecord file of this project's schema.
    """
    try:
        record = next(tf.python_io.tf_record_iterator(path), None)
        example = tf.train.Example.FromString(record or b"")
    except Exception as error:  # TensorFlow's and protobuf's own errors
        raise ValueError("%s: not a readable TFRecord file (%s); generate it "
                         "again with gen_data_fin.py"
                         % (path, str(error).split("\n")[0]))
    feature = example.features.feature
    missing = [name for name in FEATURES if name not in feature]
    if missing:
        raise ValueError("%s: its first record lacks %s; generate it with "
                         "gen_data_fin.py" % (path, ", ".join(missing)))
    length = len(feature["input_ids"].int64_list.value)
    masked = len(feature["masked_lm_positions"].int64_list.value)
    for name, spec in feature_spec(length, masked).items():
        values = (feature[name].float_list if spec.dtype == tf.float32
                  else feature[name].int64_list).value
        if [len(values)] != spec.shape or not values:
            raise ValueError(
                "%s: its first record has %d values of type %s in %s, not %d; "
                "generate it with gen_data_fin.py" % (
                    path, len(values), spec.dtype.name, name, spec.shape[0]))
    return length, masked


def check_record_lengths(paths, max_seq_length, max_predictions_per_seq):
    """Raises ValueError when a file's lengths differ from the flags'."""
    for path in paths:
        found = record_lengths(path)
        expected = (max_seq_length, max_predictions_per_seq)
        for flag, there, here in zip(
                ("max_seq_length", "max_predictions_per_seq"), found, expected):
            if there != here:
                raise ValueError(
                    "%s: written with %s %d, but --%s=%d; pass --%s=%d or "
                    "generate the file again"
                    % (path, flag, there, flag, here, flag, there))


def _restore(record):
    """(user, ids with the masked ones put back, the ids that were masked) of a
    serialized instance: an int and two lists."""
    feature = tf.train.Example.FromString(record).features.feature
    (user,), ids, mask, positions, labels = [
        list(feature[name].int64_list.value) for name in (
            "info", "input_ids", "input_mask", "masked_lm_positions",
            "masked_lm_ids")]
    real = int(sum(feature["masked_lm_weights"].float_list.value))
    if not labels[:real]:
        raise ValueError("it masks no item")
    ids = ids[:sum(mask)]
    for position, label in zip(positions[:real], labels):
        ids[position] = label
    return user, ids, labels[:real]


def read_instances(paths):
    """Yields (user, ids with the masked ones put back, the ids that were
    masked) of every record: an int and two lists.

    Args:
        paths: list of str, TFRecord files.

    Raises:
        ValueError: a file is damaged.
    """
    for path in paths:
        try:
            for record in tf.python_io.tf_record_iterator(path):
                yield _restore(record)
        except Exception as error:  # TensorFlow's and protobuf's own errors
            raise ValueError("%s: a damaged record (%s); generate it again "
                             "with gen_data_fin.py"
                             % (path, str(error).split("\n")[0]))


def read_windows(paths, limit):
    """Yields (user, list of ids) of the first records of each file, unmasked.

    Args:
        paths: list of str, TFRecord files.
        limit: int, records of all files together, or one of each.
    """
    for path in paths:
        for user, ids, _ in itertools.islice(
                read_instances([path]), max(1, limit // len(paths))):
            yield user, ids


def read_targets(paths):
    """OrderedDict, user -> id of the masked item, of test or validation files.

    Args:
        paths: list of str, TFRecord files.
    """
    return collections.OrderedDict(
        (user, labels[0]) for user, _, labels in read_instances(paths))


def make_input_fn(paths, max_seq_length, max_predictions_per_seq, batch_size,
                  is_training, seed=None, trim=True, users=None):
    """The Estimator's `input_fn`.

    In training, instances are shuffled through a buffer, each is seen once
    an epoch, epochs repeat for ever and every batch is full; in evaluation
    the order is that of the files and the last batch may be smaller. Where
    tf.distribute has several processes read, each reads a part of its own:
    some of the files where they divide evenly, else some of the records.

    Args:
        paths: list of str, TFRecord files.
        max_seq_length, max_predictions_per_seq: int, L and M of the files.
        batch_size: int, B, over all replicas.
        is_training: bool.
        seed: int, of the shuffle; used in training alone.
        trim: bool; cut the padding that a whole batch shares. It changes no
            result but cross_gram's, whose scores read padded positions.
        users: int array, whose instances alone are read; None: everyone's.

    Returns:
        A function of a tf.distribute.InputContext, or of nothing, that builds
        the tf.data.Dataset of dicts, name -> int32 [B, length] tensor (float32
        for the weights, int64 for the users), B being one replica's share.
    """
    spec = feature_spec(max_seq_length, max_predictions_per_seq)

    def parse(records):
        features = tf.parse_example(records, spec)
        return {name: tf.cast(value, tf.int32) if name in ID_FEATURES else value
                for name, value in features.items()}

    def input_fn(input_context=None):
        part, parts, share = 0, 1, batch_size
        if input_context is not None:
            part = input_context.input_pipeline_id
            parts = input_context.num_input_pipelines
            share = input_context.get_per_replica_batch_size(batch_size)
        dataset = _read_part(paths, part, parts)
        if users is not None:
            dataset = dataset.filter(functools.partial(_is_of, users))
        if is_training:
            own_seed = None if seed is None else seed + part
            dataset = dataset.shuffle(SHUFFLE_BUFFER, seed=own_seed).repeat()
        dataset = dataset.batch(share)
        dataset = dataset.map(parse, num_parallel_calls=PARSE_THREADS)
        if trim:
            dataset = dataset.map(_trim)
        return dataset.prefetch(2).with_options(_without_autotuning())

    return input_fn


def _read_part(paths, part, parts):
    """The serialized instances that reader `part` of `parts` has to itself."""
    if len(paths) % parts == 0:
        return tf.data.TFRecordDataset(paths[part::parts])
    return tf.data.TFRecordDataset(paths).shard(parts, part)


def _is_of(users, record):
    """Whether a serialized instance is of one of some users: bool tensor."""
    user = tf.parse_single_example(
        record, {"info": tf.FixedLenFeature([1], tf.int64)})["info"]
    return tf.reduce_any(tf.equal(user, tf.constant(users, tf.int64)))


def _trim(features):
    """Cuts sequences and masked positions to the longest of the batch."""
    length = tf.reduce_max(tf.reduce_sum(features["input_mask"], axis=1))
    masked = tf.reduce_max(tf.reduce_sum(
        tf.cast(features["masked_lm_weights"] > 0.0, tf.int32), axis=1))
    return {name: value if name == "info"
                  else value[:, :length] if name.startswith("input")
                  else value[:, :masked]
            for name, value in features.items()}


def _without_autotuning():
    """Options that start no tuning thread: there is nothing here to tune.

    In TensorFlow 2.15 that thread sleeps for up to a minute between looks,
    and closing a session waits for it.
    """
    options = tf.data.Options()
    if hasattr(options, "autotune"):
        options.autotune.enabled = False
    else:  # TensorFlow 1.15
        options.experimental_optimization.autotune = False
    return options
