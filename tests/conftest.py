"""A tiny dataset and the commands run on it, shared by the tests."""

import collections
import json
import os
import random
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402

util.quiet_tensorflow()

USERS, ITEMS, LENGTH, MASKED = 31, 140, 11, 3
CONFIG = {
    "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 17, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 13,
    "type_vocab_size": 2, "initializer_range": 0.02}

Dataset = collections.namedtuple("Dataset", "folder prefix config")


def command(script, *arguments, **options):
    """Runs a script of the project; returns (status, output, errors)."""
    python = options.pop("python", sys.executable)
    process = subprocess.Popen(
        [python, os.path.join(ROOT, script)] + list(arguments),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    output, errors = process.communicate()
    return process.returncode, output.decode("utf-8"), errors.decode("utf-8")


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
