"""Writes masked training and test instances, vocabulary and history.

    python gen_data_fin.py --dataset_name=ml-1m

reads <data_dir><dataset_name>.txt and writes, all at once or not at all,
<data_dir><dataset_name><signature>{.train.tfrecord,.test.tfrecord,.vocab,.his};
with --holdout_validation .valid.tfrecord as well, with --num_shards=N
.train.tfrecord-00000-of-0000N and so on in the place of .train.tfrecord.
"""

import collections
import concurrent.futures
import contextlib
import functools
import glob
import multiprocessing.util
import os
import pickle
import shlex
import signal
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool

import util  # first: it explains what is missing

import numpy as np
from absl import app
from absl import flags

import vocab

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from data import generation  # noqa: E402
from data.generation import shard_name  # noqa: E402
from data.instances import TrainingInstances, serialize_last  # noqa: E402
from data.known_datasets import DATASETS  # noqa: E402
from data.sequences import FEWEST, data_partition  # noqa: E402
from data.windows import window_step  # noqa: E402

# What an interactions file holds, as ids: the FreqVocab; two OrderedDicts,
# user -> int32 array, of whole sequences and of what is trained on; a list of
# (file ending, such an OrderedDict of sequences whose last item is asked for).
Dataset = collections.namedtuple("Dataset", "words whole train asking")


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    generation.define_shared_flags()
    flags.adopt_module_key_flags(generation)
    flags.DEFINE_integer("pool_size", 10, "Worker processes.", lower_bound=1,
                         upper_bound=1000)
    flags.DEFINE_integer("shard_index", None,
                         "Write this one of the shards alone, 0 to N-1; shard "
                         "0 comes with the other files.")


def check_source(source):
    """Raises ValueError where the interactions file is missing."""
    if os.path.exists(source):
        return
    folder, name = os.path.split(source)
    there = sorted(os.path.basename(path) for path in glob.glob(
        os.path.join(glob.escape(folder), "*.txt")))
    raise ValueError(
        "no file %s (there is %s); correct --dataset_name and --data_dir, or "
        "make it: %s" % (source, ", ".join(there) or "no .txt file",
                         _how_to_make(folder, os.path.splitext(name)[0])))


def _how_to_make(folder, name):
    """The command that makes <folder>/<name>.txt: str."""
    path = shlex.quote(os.path.join(folder, name + ".txt"))
    if name == "sample":
        return "python data/make_sample.py --output=" + path
    command = "python data/prepare_data.py %s" % (
        name if name in DATASETS else "--input=YOUR_FILE")
    if os.path.normpath(folder) == "data":  # the default
        return command
    return "%s --data_dir=%s" % (command, shlex.quote(folder or "."))


# --- processes --------------------------------------------------------------

_instances = None  # what the worker processes inherit by fork


def _end_with(parent, _):
    """In a worker: leaves Ctrl-C to the parent, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _serialize_chunk(chunk):
    return _instances.serialize(chunk)


def serialize_all(instances, chunks, pool_size):
    """Yields each chunk's list of serialized instances.

    Args:
        instances: TrainingInstances.
        chunks: range, the chunks to make.
        pool_size: int, worker processes; 1 works in this one.

    Raises:
        Whatever a worker raised; BrokenProcessPool when one was killed;
        ValueError when one cannot be started.
    """
    global _instances
    pool_size = min(pool_size, len(chunks))
    if pool_size == 1:
        for chunk in chunks:
            yield instances.serialize(chunk)
        return
    _instances = instances
    # Python 3.6 has no initializer for the workers of an executor.
    multiprocessing.util.register_after_fork(
        instances, functools.partial(_end_with, os.getpid()))
    fork = ({} if sys.version_info < (3, 7)  # where forking is the only way
            else {"mp_context": multiprocessing.get_context("fork")})
    with util.deferred_stops() as stop_if_asked, \
            concurrent.futures.ProcessPoolExecutor(pool_size, **fork) as pool:
        pending = collections.deque()

        def made():
            records = pending.popleft().result()
            stop_if_asked()  # before the last of them ends the loop
            return records

        for chunk in chunks:  # a bounded queue keeps the memory flat
            pending.append(_submit(pool, chunk, pool_size))
            if len(pending) > 2 * pool_size:
                yield made()
        while pending:
            yield made()


def _submit(pool, chunk, pool_size):
    """The future of a chunk; the first ones start the workers."""
    try:
        return pool.submit(_serialize_chunk, chunk)
    except OSError as error:
        # Else the interpreter waits for those that were started. A young one
        # has its parent's handler still, which takes SIGTERM.
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)
        raise ValueError("--pool_size=%d: no more processes can be started "
                         "(%s); give a lower one" % (pool_size, error))


# --- the command ------------------------------------------------------------

def build_vocab(sequences):
    """FreqVocab of whole sequences: dict, user -> int array of items."""
    distinct = np.unique(np.concatenate(list(sequences.values())))
    tokens = {item: vocab.item_token(item) for item in distinct.tolist()}
    return vocab.FreqVocab(collections.OrderedDict(
        (vocab.user_token(user), [tokens[item] for item in items.tolist()])
        for user, items in sequences.items()))


def _print_statistics(path, partition, lengths):
    total = int(lengths.sum())
    util.log("%s: %d users, %d items, %d interactions, %.1f per user (from %d to "
             "%d), density %.2f%%" % (
                 path, partition.usernum, partition.itemnum, total,
                 lengths.mean(), lengths.min(), lengths.max(),
                 100.0 * total / (partition.usernum * partition.itemnum)))


def read_dataset(source, holdout_validation):
    """Reads interactions, splits them and gives the items their ids.

    Args:
        source: str, the interactions file.
        holdout_validation: bool, keep the validation items out of training.

    Returns:
        Dataset.

    Raises:
        ValueError, IOError: as `sequences.data_partition`.
    """
    partition = data_partition(source)
    whole = collections.OrderedDict(
        (user, np.concatenate([items, partition.valid[user],
                               partition.test[user]]))
        for user, items in partition.train.items())
    _print_statistics(source, partition,
                      np.array([len(items) for items in whole.values()]))

    words = build_vocab(whole)
    item_ids = {int(token.split("_")[1]): number
                for token, number in words.token_to_ids.items()
                if token in words.counter}
    whole_ids = collections.OrderedDict(
        (user, np.array([item_ids[item] for item in items.tolist()], np.int32))
        for user, items in whole.items())
    # The published protocol trains on the validation item as well.
    held_out = ([partition.valid, partition.test] if holdout_validation
                else [partition.test])
    train_ids = collections.OrderedDict(
        (user, ids[:len(ids) - sum(len(items[user]) for items in held_out)])
        for user, ids in whole_ids.items())
    testable = collections.OrderedDict(
        (user, ids) for user, ids in whole_ids.items()
        if len(partition.test[user]))
    asking = [(".test.tfrecord", testable)]
    if holdout_validation:
        asking.append((".valid.tfrecord", collections.OrderedDict(
            (user, ids[:-1]) for user, ids in testable.items())))
    return Dataset(words, whole_ids, train_ids, asking)


# --- the files --------------------------------------------------------------

def generate(source, target, options, pool_size, holdout_validation=False,
             num_shards=None, shard_index=None):
    """Reads interactions and writes the files of one dataset, or a shard.

    Shard 0 comes with the files that are not cut, every other one alone, so
    that processes that share the work write no file twice.

    Args:
        source: str, the interactions file.
        target: str, the outputs' names up to their endings.
        options: Options.
        pool_size: int, worker processes.
        holdout_validation: bool; keep the validation items out of training
            and write them as .valid.tfrecord.
        num_shards: int, files that the training file is cut into; None: it is
            not.
        shard_index: int, the shard to write; None: all of them.

    Raises:
        ValueError: malformed input, options that fit no window, shards that
            cannot be, a .valid.tfrecord of an earlier run that would not fit
            the rest, files that cannot be written, or a worker that was
            killed.
        IOError: a file cannot be read.
    """
    started = time.time()
    window_step(options.max_seq_length, options.prop_sliding_window)
    generation.check_shards(num_shards, shard_index)
    check_source(source)
    util.check_writable(os.path.dirname(target) or ".", "data_dir")
    if os.path.exists(target + ".valid.tfrecord") and not holdout_validation:
        raise ValueError(generation.stale_validation(target))
    data = read_dataset(source, holdout_validation)
    instances = TrainingInstances(
        data.train, data.words.token_to_ids["[MASK]"], data.words.item_count,
        options)
    _check_amounts(data, instances, source, num_shards)
    indices = range(num_shards or 1) if shard_index is None else [shard_index]
    shards = collections.OrderedDict(
        (shard_name(target, index, num_shards),
         instances.shard(index, num_shards or 1)) for index in indices)
    written = [".train.tfrecord-*-of-%05d" % num_shards if len(shards) > 1
               else shard_name("", indices[0], num_shards)]
    with _explained(target, pool_size, lambda: _record_bytes(instances) * (
            sum(map(len, shards.values())) * instances.CHUNK
            + len(data.asking[0][1]))), util.AtomicFiles() as files:
        if 0 in indices:
            written += _write_others(data, target, options, files)
        _write_training(instances, shards, pool_size, files)
    util.log("wrote %s{%s} in %.1f s; validation items are %s" % (
        target, ",".join(written), time.time() - started,
        "held out" if holdout_validation else "folded into train"))
    generation.log_other_files(target, num_shards)


def _check_amounts(data, instances, source, num_shards):
    """Says what the interactions come to; raises ValueError where nobody can
    be tested, or there are too few instances for the shards."""
    testable = len(data.asking[0][1])
    if not testable:
        raise ValueError(
            "%s: none of its %d users has the %d interactions that a test item "
            "needs; give longer sequences" % (source, len(data.whole), FEWEST))
    util.log("vocabulary size %d; %d windows (%d of one item); %d training "
             "instances; %d test instances, %d users too short for one" % (
                 data.words.get_vocab_size(), len(instances.windows),
                 instances.one_item_windows, len(instances), testable,
                 len(data.whole) - testable))
    if (num_shards or 1) > instances.chunks:
        raise ValueError(
            "--num_shards=%d: a shard is made of chunks of %d instances, and "
            "%s gives %d of them; give at most %d" % (
                num_shards, instances.CHUNK, source, instances.chunks,
                instances.chunks))


@contextlib.contextmanager
def _explained(target, pool_size, size):
    """Raises ValueError for what may keep the files from being written.

    Args:
        target: str, the outputs' names up to their endings.
        pool_size: int, worker processes.
        size: function -> int, the files' bytes, about.
    """
    try:
        yield
    except BrokenProcessPool:
        raise ValueError(
            "a worker process was killed, as a system does that is short of "
            "memory; a lower --pool_size than %d needs less. What was there "
            "before is unchanged" % pool_size)
    except (tf.errors.OpError, OSError) as error:
        if not util.is_disk_full(error):
            raise ValueError("%s: %s" % (target, str(error).split("\n")[0]))
        raise ValueError(util.no_room(
            os.path.dirname(target) or ".", target + ".*", size(),
            "make room and run again; what was there before is unchanged"))


def _write_others(data, target, options, files):
    """Writes all but the training file; returns the files' endings."""
    with open(files.path(target + ".vocab"), "wb") as stream:
        pickle.dump(data.words, stream, generation.PICKLE_PROTOCOL)
    with open(files.path(target + ".his"), "wb") as stream:
        pickle.dump(generation.build_history(data.words.item_count, data.whole),
                    stream, generation.PICKLE_PROTOCOL)
    for ending, sequences in data.asking:
        with tf.python_io.TFRecordWriter(files.path(target + ending)) as writer:
            for record in serialize_last(
                    sequences, data.words.token_to_ids["[MASK]"], options):
                writer.write(record)
    return [ending for ending, _ in data.asking] + [".vocab", ".his"]


def _record_bytes(instances):
    """About what one record of a TFRecord file takes, told from some."""
    records = instances.serialize(0)
    return sum(len(record) + 16 for record in records) // len(records)


def _write_training(instances, shards, pool_size, files):
    """Writes training files: dict, name -> range of chunks, each range
    beginning where the one before it ends."""
    ranges = list(shards.values())
    chunks = range(ranges[0].start, ranges[-1].stop)
    progress = util.Progress(
        min(chunks.stop * instances.CHUNK, len(instances))
        - chunks.start * instances.CHUNK,
        "instances")
    with contextlib.closing(
            serialize_all(instances, chunks, pool_size)) as stream:
        for name, own in shards.items():
            with tf.python_io.TFRecordWriter(files.path(name)) as writer:
                for _, records in zip(own, stream):
                    for record in records:
                        writer.write(record)
                    progress.update(len(records))
    progress.close()


def main(argv):
    args = flags.FLAGS
    with util.one_line_stops(
            "gen_data_fin.py", "nothing was written or changed"), \
            util.one_line_errors("gen_data_fin.py"):
        if argv[1:]:
            raise ValueError("%r is not a flag; flags are written --name=value"
                             % argv[1])
        source = os.path.join(args.data_dir, args.dataset_name + ".txt")
        options, target = generation.read_flags(args)
        generate(source, target, options, args.pool_size,
                 args.holdout_validation, args.num_shards, args.shard_index)


if __name__ == "__main__":
    define_flags()
    app.run(main)
