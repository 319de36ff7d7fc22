"""The TFRecord schema that writer and reader share, and the `input_fn`."""

import collections
import functools
import glob
import itertools
import os
import re

import tensorflow.compat.v1 as tf

SHUFFLE_BUFFER = 100000   # instances; about 130 MB of ML-1M's
PARSE_THREADS = 2
_SHARD = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\Z", re.DOTALL)
ID_FEATURES = ("input_ids", "input_mask", "masked_lm_positions",
               "masked_lm_ids")
FEATURES = ("info",) + ID_FEATURES + ("masked_lm_weights",)


def expand_files(pattern, flag):
    """Expands a comma-separated list of names and globs, each sorted.

    What a glob matches of shards must be whole: a stale or missing one would
    change the data unseen. A name that is spelled out is meant.

    Args:
        pattern: str, e.g. "data/a.tfrecord,data/b-*.tfrecord".
        flag: str, the flag the pattern came from, for the error.

    Returns:
        list of str, existing non-empty files that may be read.

    Raises:
        ValueError: a part matches nothing, shards are missing or mixed with
            others, or a file is empty or may not be read.
    """
    files = []
    # A folder's name may hold a comma.
    parts = [pattern] if os.path.exists(pattern) else pattern.split(",")
    for part in parts:
        name = part.strip()
        matches = [name] if os.path.exists(name) else sorted(glob.glob(name))
        if not matches:
            raise ValueError("--%s: no file matches %r; generate it with "
                             "gen_data_fin.py, or correct the name"
                             % (flag, name))
        if matches != [name]:
            _check_shards(matches, name, flag)
        files.extend(matches)
    for name in files:
        if not os.path.isfile(name) or os.path.getsize(name) == 0:
            raise ValueError("--%s: %s is empty or not a file; generate it "
                             "again with gen_data_fin.py" % (flag, name))
        if not os.access(name, os.R_OK):
            raise ValueError("--%s: %s cannot be read; allow that, or give "
                             "another" % (flag, name))
    return files


def _check_shards(matches, pattern, flag):
    """Raises ValueError when of a sharded file a glob matches not just a whole
    set, or besides the set the uncut file or one that is being written."""
    shards = collections.OrderedDict()  # (start of the names, N) -> indices
    for name in matches:
        found = _SHARD.match(name)
        if found:
            base, index, count = found.groups()
            shards.setdefault((base, count), set()).add(int(index))
    for (base, count), indices in shards.items():
        whole = "%s-*-of-%s" % (base, count)
        for name in matches:
            found = _SHARD.match(name)
            related = name == base or name.startswith((base + "-", base + "."))
            if related and (
                    not found or found.group(1, 3) != (base, count)):
                raise ValueError(
                    "--%s: %r matches shards of %s and %s as well, the same "
                    "data in another cut or half-written; write %s for the "
                    "shards alone" % (flag, pattern, whole, name, whole))
        missing = sorted(set(range(int(count))) - indices)
        if missing:
            raise ValueError(
                "--%s: of the %d shards of %s there are %d; missing %s%s; "
                "generate them with gen_data_fin.py --shard_index, or name the "
                "files one by one to take those alone" % (
                    flag, int(count), whole, len(indices),
                    ", ".join("%05d" % index for index in missing[:5]),
                    ", ..." if missing[5:] else ""))


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
