"""A tiny dataset and the commands run on it, shared by the tests."""

import collections
import contextlib
import glob
import io
import json
import os
import random
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

# Two processors for the replicas, said before TensorFlow looks: while the
# tests are collected.
tf.config.experimental.set_virtual_device_configuration(
    tf.config.experimental.list_physical_devices("CPU")[0],
    [tf.config.experimental.VirtualDeviceConfiguration()] * 2)

USERS, ITEMS, LENGTH, MASKED = 31, 140, 11, 3
CONFIG = {
    "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 17, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 13,
    "type_vocab_size": 2, "initializer_range": 0.02}

Dataset = collections.namedtuple("Dataset", "folder prefix config")


def command(script, *arguments, **options):
    """Runs a script of the project; returns (status, output, errors)."""
    start = options.pop("start", [])
    python = options.pop("python", sys.executable)
    process = subprocess.Popen(
        start + [python, os.path.join(ROOT, script)] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    output, errors = process.communicate()
    return process.returncode, output.decode("utf-8"), errors.decode("utf-8")


def defined_by(module):
    """FlagValues with the flags that a command defines, and no others."""
    everyones, values = flags.FLAGS, flags.FlagValues()
    before = set(everyones)
    with mock.patch.object(flags, "FLAGS", values):
        module.define_flags()
    for name in set(everyones) - before:
        flags.DEFINE_flag(everyones[name], values, module.__name__)
        delattr(everyones, name)
    return values


def in_process(module, *arguments):
    """As `command`, without a process: for what builds no graph."""
    values, status, line = defined_by(module), 0, ""
    name = os.path.basename(module.__file__)
    with mock.patch.object(flags, "FLAGS", values), \
            contextlib.redirect_stdout(io.StringIO()) as output, \
            contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            module.main(values([name] + list(arguments)))
        except flags.Error as error:  # which absl's app takes
            status, line = 1, "FATAL Flags parsing error:\n  %s\n" % error
        except SystemExit as ended:   # a text goes to the errors
            status, line = 1, "%s\n" % ended.code
    return status, output.getvalue(), errors.getvalue() + line


def generate(folder, *arguments, **options):
    """gen_data_fin.py on <folder>/tiny.txt with the sizes of these tests."""
    return command(
        "gen_data_fin.py", "--dataset_name=tiny", "--data_dir=%s" % folder,
        "--signature=-x", "--max_seq_length=%d" % LENGTH,
        "--max_predictions_per_seq=%d" % MASKED, "--masked_lm_prob=0.3",
        "--prop_sliding_window=0.5", "--dupe_factor=2", "--pool_size=2",
        *arguments, **options)


def run_flags(dataset, model_dir, **changes):
    """The flags of run.py for a dataset, as a list; None leaves one out."""
    values = {
        "bert_config_file": dataset.config,
        "train_input_file": dataset.prefix + ".train.tfrecord",
        "test_input_file": dataset.prefix + ".test.tfrecord",
        "vocab_filename": dataset.prefix + ".vocab",
        "user_history_filename": dataset.prefix + ".his",
        "checkpointDir": str(model_dir), "signature": "/run",
        "max_seq_length": LENGTH, "max_predictions_per_seq": MASKED,
        "batch_size": 7, "num_train_steps": 5, "num_warmup_steps": 2,
        "learning_rate": 1e-3,
        "bucket_by_length": False}  # a smaller graph, so a quicker start
    values.update(changes)
    return ["--%s=%s" % item for item in sorted(values.items())
            if item[1] is not None]


def write_interactions(path, users=USERS, items=ITEMS, seed=7):
    """Users with 3 to 20 interactions, every item at least once."""
    rng = random.Random(seed)
    catalogue = list(range(1, items + 1))
    rng.shuffle(catalogue)
    with open(str(path), "w") as stream:
        for user in range(1, users + 1):
            own = catalogue[(user - 1) * items // users:user * items // users]
            own += rng.sample(range(1, items + 1), rng.randint(3, 16))
            for item in own:
                stream.write("%d %d\n" % (user, item))


def results_of(folder):
    """eval_results.txt as (config, dict of str)."""
    text = open(os.path.join(str(folder), "run", "eval_results.txt")).read()
    config, _, lines = text.partition("}\n")
    return json.loads(config + "}"), dict(
        line.split(" = ") for line in lines.splitlines())


def scalars_of(folder):
    """dict, tag -> {step: value} of a folder's TensorBoard events."""
    scalars = {}
    for path in glob.glob(os.path.join(str(folder), "events.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    scalars.setdefault(value.tag, {})[event.step] = \
                        value.simple_value
    return scalars


def users_of(folder):
    """eval_users.tsv as an OrderedDict, column -> int array."""
    with open(os.path.join(str(folder), "run", "eval_users.tsv")) as stream:
        names = stream.readline().rstrip("\n").split("\t")
        rows = np.array([[int(text) for text in line.split("\t")]
                         for line in stream])
    return collections.OrderedDict(zip(names, rows.T))


@pytest.fixture(scope="session")
def bound(tmp_path_factory):
    """The start of a command line that file modes bind, a list: root, whom
    they do not bind, gives its right to pass over them up."""
    gone = "-dac_override,-dac_read_search"
    start = [] if os.getuid() else [
        "setpriv", "--bounding-set=" + gone, "--inh-caps=" + gone]
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o555)
    if start and not shutil.which(start[0]) or not subprocess.call(
            start + ["touch", str(closed / "x")], stderr=subprocess.DEVNULL):
        pytest.skip("root may write anywhere, and cannot give that up")
    return start


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A generated dataset and a tiny model config for it."""
    folder = tmp_path_factory.mktemp("data")
    write_interactions(folder / "tiny.txt")
    status, _, errors = generate(folder)
    assert status == 0, errors
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIG))
    return Dataset(folder, str(folder / "tiny-x"), str(config))


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    """The folder of a model trained for 5 steps and evaluated, its output."""
    folder = tmp_path_factory.mktemp("model")
    status, output, errors = command("run.py", *run_flags(
        dataset, folder, do_train=True, do_eval=True))
    assert status == 0, errors
    return folder, output, errors


@pytest.fixture(scope="session")
def named(dataset, trained, tmp_path_factory):
    """A copy of the trained model directory whose recorded data have an id
    map: item 3 is "B 3" with the title "Th\u00e9 3", user 7 is "u7"."""
    folder = tmp_path_factory.mktemp("named")
    shutil.copytree(str(trained[0] / "run"), str(folder / "run"))
    for ending in (".vocab", ".his"):
        shutil.copy(dataset.prefix + ending, str(folder))
    for kind, head, line, count in (
            ("items", u"item\toriginal_id\ttitle\n",
             u"%d\tB %d\tTh\u00e9 %d\n", ITEMS),
            ("users", u"user\toriginal_id\n", u"%d\tu%d\n", USERS)):
        with io.open(str(folder / ("tiny.%s.tsv" % kind)), "w",
                     encoding="utf-8") as stream:
            stream.write(head)
            for number in range(1, count + 1):
                stream.write(line % ((number,) * line.count("%d")))
    path = str(folder / "run" / "run_config.json")
    with open(path) as stream:
        record = json.load(stream)
    record["flags"].update(
        vocab_filename=str(folder / "tiny-x.vocab"),
        user_history_filename=str(folder / "tiny-x.his"))
    with open(path, "w") as stream:
        json.dump(record, stream)
    return folder / "run"


@pytest.fixture(scope="session")
def held_out(dataset, tmp_path_factory):
    """The tiny dataset again, with its validation items held out."""
    folder = tmp_path_factory.mktemp("held_out")
    shutil.copy(str(dataset.folder / "tiny.txt"), str(folder))
    status, _, errors = generate(folder, "--holdout_validation")
    assert status == 0, errors
    return dataset._replace(folder=folder, prefix=str(folder / "tiny-x"))


def selecting(held_out, folder, **changes):
    """run.py's flags for a training with validation."""
    return run_flags(held_out, folder, **dict(dict(
        do_train=True, do_eval=True, eval_every_steps=2,
        bucket_by_length=True, selection_metric="paper/ap",
        valid_input_file=held_out.prefix + ".valid.tfrecord"), **changes))


@pytest.fixture(scope="session")
def selected(held_out, tmp_path_factory):
    """The folder of a model trained with validation, output and log."""
    folder = tmp_path_factory.mktemp("selected")
    status, output, errors = command("run.py", *selecting(
        held_out, folder, eval_seeds=2, full_table=True,
        candidates_file=folder / "candidates.tsv.gz"))
    assert status == 0, errors
    return folder, output, errors
