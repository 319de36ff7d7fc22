"""The generation of gen_data_fin.py as a pipeline of Apache Beam."""

import collections
import functools
import itertools
import json
import os
import pickle
import shutil
import tempfile
import uuid

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput

import util
import vocab
from data import beam_steps as steps, generation
from data.beam_steps import FAULTS, Fault

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

OUTCOME = "outcome.json"  # among the temporary files
BATCH = 64                # windows that are masked together, at most


# --- files ------------------------------------------------------------------

def write_records(entries, skip, stream):
    """Writes a TFRecord file.

    Args:
        entries: list of bytes; sorted, they are in the order of the file.
        skip: int, bytes of each that are not of the record.
        stream: binary file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "records")  # TensorFlow writes to names
        with tf.python_io.TFRecordWriter(path) as writer:
            for entry in sorted(entries):
                writer.write(entry[skip:])
        with open(path, "rb") as written:
            shutil.copyfileobj(written, stream)


def write_shard(batches, stream):
    """Writes a shard, of lists of hash and instance as one bytes."""
    write_records(itertools.chain.from_iterable(batches), steps.NUMBER.size,
                  stream)


def write_history(history, catalogue, stream):
    """Writes `.his`: of an iterable of Sequence, of ids, to a binary file."""
    pickle.dump(generation.build_history(len(catalogue.items), collections.OrderedDict(
        (each.user, each.items)
        for each in sorted(history, key=lambda sequence: sequence.place))),
        stream, generation.PICKLE_PROTOCOL)


def write_vocabulary(users, catalogue, user_count, stream):
    """Writes `.vocab`: users is an iterable of int, those of the history."""
    words = vocab.FreqVocab.from_counts(
        catalogue.counter, set(map(vocab.user_token, users)), user_count)
    pickle.dump(words, stream, generation.PICKLE_PROTOCOL)


def write_file(named, folder, write, *arguments):
    """Writes a file under a name of this attempt's own.

    Args:
        named: (final name, iterable), what `write` takes first.
        folder: str, for temporary names.
        write: function of the iterable, arguments and a binary file.

    Yields:
        (final name, that name), or a Fault: it cannot be written.
    """
    final_name, content = named
    name = FileSystems.join(folder, uuid.uuid4().hex)
    try:
        with FileSystems.create(
                name, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            write(content, *arguments, stream)
    except (EnvironmentError, tf.errors.OpError) as error:
        yield TaggedOutput(FAULTS, Fault(b"", "%s: %s" % (
            final_name, str(error).split("\n")[0])))
        return
    yield final_name, name


def publish(_, written, faults, final_names, user_count, folder):
    """Gives all files their final names, and writes what came of it.

    Args:
        written: list of (final name, temporary name).
        faults: list of Fault.
        final_names: list of str, those that there must be, in order.
        user_count: int.
        folder: str, where OUTCOME is written: as JSON the message of the first
            fault, or null.
    """
    steps.tally(users=user_count)
    written = dict(written)
    message = _first_fault(written, faults, final_names, user_count)
    if message is None:
        # An attempt before this one may have got half way.
        waiting = [name for name in final_names
                   if FileSystems.exists(written[name])]
        FileSystems.rename([written[name] for name in waiting], waiting)
    with FileSystems.create(FileSystems.join(folder, OUTCOME)) as stream:
        stream.write(json.dumps(message).encode())


def _first_fault(written, faults, final_names, user_count):
    """What is wrong, by the first in the input: str or None."""
    if faults:
        return min(faults).message
    if not user_count:
        return ("--input: no interactions in the files; write one 'user item' "
                "a line")
    missing = [name for name in final_names if name not in written]
    if any(name.endswith(".test.tfrecord") for name in missing):
        return ("--input: none of its %d users has the 3 interactions that a "
                "test item needs; give longer sequences" % user_count)
    if missing:
        return ("--num_shards=%d: %d of them would be empty; give fewer" % (
            sum(".train.tfrecord" in name for name in final_names),
            len(missing)))
    return None


def read_outcome(folder):
    """The message of `publish`: str, or None where all is well."""
    with FileSystems.open(FileSystems.join(folder, OUTCOME)) as stream:
        return json.loads(stream.read().decode())


# --- all of it --------------------------------------------------------------

def build(pipeline, files, target, folder, options, holdout_validation=False,
          num_shards=None, eval_users=None):
    """Adds the whole generation to a pipeline.

    Args:
        pipeline: beam.Pipeline.
        files: list of (path, bytes), as `find_files` gives them.
        target: str, the outputs' names up to their endings.
        folder: str, for files that are not whole yet; on the filesystem of
            `target`.
        options: generation.Options.
        holdout_validation: bool; keep the validation items out of training
            and write them as .valid.tfrecord.
        num_shards: int, files that the training file is cut into; None: it is
            not.
        eval_users: int; of the users with a test item only so many, drawn by
            the seed, are in the test, validation and history files. None: all
            users are.
    """
    read, faults = (
        pipeline
        | "files" >> beam.Create([(number,) + file
                                  for number, file in enumerate(files)])
        | "ranges" >> beam.FlatMap(steps.ranges)
        | "spread ranges" >> beam.Reshuffle()
        | "read" >> beam.FlatMap(steps.read_range).with_outputs(
            FAULTS, main="read"))
    users = (read | "by user" >> beam.GroupByKey()
             | "join" >> beam.Map(steps.join))
    catalogue = AsSingleton(
        users
        | "some users" >> beam.BatchElements(max_batch_size=1000)
        | "count" >> beam.FlatMap(steps.count)
        | "add counts" >> beam.CombinePerKey(steps.add_counts)
        | "all items" >> beam.combiners.ToList()
        | "number items" >> beam.Map(steps.number_items, AsList(faults)))
    user_count = AsSingleton(
        users | "count users" >> beam.combiners.Count.Globally())
    sequences_of_ids = users | "ids" >> beam.FlatMap(steps.to_ids, catalogue)

    outputs = _Outputs(target, folder)
    _add_evaluation_files(outputs, sequences_of_ids, catalogue, user_count,
                          options, holdout_validation, eval_users)
    outputs.add_shards(
        sequences_of_ids
        | "windows" >> beam.FlatMap(steps.windows_of, options,
                                    holdout_validation)
        | "spread windows" >> beam.Reshuffle()
        | "some windows" >> beam.BatchElements(BATCH, BATCH)
        | "mask" >> beam.FlatMap(steps.mask, catalogue, options,
                                 num_shards or 1),
        num_shards)
    written, unwritten = outputs.written()
    (pipeline
     | "at the end" >> beam.Create([None])
     | "publish" >> beam.Map(
         publish, AsList(written),
         AsList((faults, unwritten) | "all faults" >> beam.Flatten()),
         outputs.names, user_count, folder))


def _add_evaluation_files(outputs, sequences_of_ids, catalogue, user_count,
                          options, holdout_validation, eval_users):
    """Adds .test.tfrecord, .valid.tfrecord, .his and .vocab."""
    kept = sequences_of_ids
    testable = kept | "testable" >> beam.Filter(steps.is_testable)
    if eval_users is not None:
        chosen = AsSingleton(
            testable
            | "hash users" >> beam.Map(steps.hashed_user,
                                       options.random_seed)
            | "choose users" >> beam.combiners.Top.Smallest(eval_users)
            | "chosen users" >> beam.Map(
                lambda pairs: frozenset(user for _, user in pairs)))
        kept = testable = testable | "evaluated" >> beam.Filter(
            lambda sequence, users: sequence.user in users, chosen)
    for ending, left_out in [(".test.tfrecord", 0), (".valid.tfrecord", 1)][
            :1 + holdout_validation]:
        outputs.add(
            ending, testable | "ask %s" % ending >> beam.Map(
                steps.ask_last, left_out, catalogue, options),
            write_records, steps.PLACE.size)
    outputs.add(".his", kept, write_history, catalogue)
    outputs.add(
        ".vocab", kept | "users" >> beam.Map(lambda sequence: sequence.user),
        write_vocabulary, catalogue, user_count)


class _Outputs(object):
    """The files that a pipeline writes.

    Attributes:
        names: list of str, their final names.
    """

    def __init__(self, target, folder):
        self.names, self._target, self._folder = [], target, folder
        self._written, self._faults = [], []

    def add(self, ending, content, write, *arguments):
        """One file of all elements of a collection, as `write_file` takes
        them."""
        name = self._target + ending
        self.names.append(name)
        self._collect(ending, content | "%s together" % ending >> beam.Map(
            lambda element: (name, element)), write, *arguments)

    def add_shards(self, content, num_shards):
        """The training files, of a collection of (shard, list of bytes)."""
        name = functools.partial(generation.shard_name, self._target,
                                 num_shards=num_shards)
        self.names += [name(index) for index in range(num_shards or 1)]
        self._collect(".train.tfrecord", content | "names of shards" >> beam.Map(
            lambda numbered: (name(numbered[0]), numbered[1])), write_shard)

    def _collect(self, label, named, write, *arguments):
        written, faults = (
            named
            | "%s whole" % label >> beam.GroupByKey()
            | label >> beam.FlatMap(
                write_file, self._folder, write, *arguments).with_outputs(
                    FAULTS, main="written"))
        self._written.append(written)
        self._faults.append(faults)

    def written(self):
        """Collections of (final name, temporary name) and of Fault."""
        return (self._written | "written" >> beam.Flatten(),
                self._faults | "unwritten" >> beam.Flatten())
