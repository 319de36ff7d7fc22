"""Kills generation, training, evaluation and export at random moments, many
times.

    python benchmarks/kill.py --times=50

After each kill -9 no file under a final name may be partial, and a plain
re-run of the same command must end with what an undisturbed one ends with: the
same bytes of generated files and results, and of a training the same weights,
moments and validations, to the last bit. A training that goes on has an order
of data of its own; so the undisturbed one goes on from the same step, from a
checkpoint of a training that nothing befell.
"""

import glob
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402

util.quiet_tensorflow()
import tensorflow.compat.v1 as tf  # noqa: E402

from benchmarks.synthetic import write_interactions  # noqa: E402
from experiment import checkpoints  # noqa: E402

CONFIG = {
    "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3,
    "intermediate_size": 17, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 11,
    "type_vocab_size": 2, "initializer_range": 0.02}
STEPS = 60


class Failure(Exception):
    """A kill did what it must not do."""


def command(script, *flags):
    return [sys.executable, os.path.join(ROOT, script)] + list(flags)


def run_whole(arguments):
    """Runs a command to its end; its errors, str."""
    process = subprocess.run(arguments, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, universal_newlines=True)
    if process.returncode or "Traceback" in process.stderr:
        raise Failure("%s\n%s" % (" ".join(arguments), process.stderr))
    return process.stderr


def kill_after(arguments, seconds):
    """Runs a command and kills it; whether it was still there."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def sums(folder, names):
    """dict, name -> SHA-256 of a file's content, None where there is none."""
    found = {}
    for name in names:
        path = os.path.join(folder, name)
        found[name] = None
        if os.path.exists(path):
            with open(path, "rb") as stream:
                found[name] = hashlib.sha256(stream.read()).hexdigest()
    return found


class Place(object):
    """A folder with a small dataset, and the commands that are killed in it."""

    NAMES = ["x-s" + ending for ending in (
        ".train.tfrecord", ".test.tfrecord", ".valid.tfrecord", ".vocab",
        ".his")]
    RESULTS = ["run/eval_results.txt", "run/eval_users.tsv"]

    def __init__(self, folder):
        self.folder = folder
        write_interactions(os.path.join(folder, "x.txt"), 300, 500, 6000, 3)
        with open(os.path.join(folder, "config.json"), "w") as stream:
            json.dump(CONFIG, stream)

    def path(self, name):
        return os.path.join(self.folder, name)

    def generation(self):
        return command(
            "gen_data_fin.py", "--dataset_name=x", "--signature=-s",
            "--data_dir=%s/" % self.folder, "--max_seq_length=11",
            "--max_predictions_per_seq=3", "--dupe_factor=30",
            "--pool_size=2", "--holdout_validation")

    def training(self):
        return command(
            "run.py", "--do_train", "--bert_config_file=" +
            self.path("config.json"), "--checkpointDir=" + self.path("run"),
            "--train_input_file=" + self.path("x-s.train.tfrecord"),
            "--valid_input_file=" + self.path("x-s.valid.tfrecord"),
            "--test_input_file=" + self.path("x-s.test.tfrecord"),
            "--vocab_filename=" + self.path("x-s.vocab"),
            "--user_history_filename=" + self.path("x-s.his"),
            "--batch_size=16", "--save_checkpoints_steps=5",
            "--eval_every_steps=10", "--num_train_steps=%d" % STEPS,
            "--learning_rate=1e-3", "--nobucket_by_length",
            "--keep_checkpoint_max=0")

    def evaluation(self):
        return command("run.py", "--do_eval",
                       "--checkpointDir=" + self.path("run"))

    def export(self):
        return command("run.py", "--do_export", "--top_k=3",
                       "--checkpointDir=" + self.path("run"))

    def answers(self):
        """dict, version of an export -> what it recommends."""
        folder = self.path("run/export")
        versions = [name for name in os.listdir(folder) if name.isdigit()] \
            if os.path.isdir(folder) else []
        return {version: answer_of(os.path.join(folder, version))
                for version in versions}

    def check_checkpoints(self):
        """Raises Failure where a checkpoint that TensorFlow would take, or
        one of the files under their final names, is not whole."""
        for folder in (self.path("run"), self.path("run/best")):
            for path in checkpoints.saved(folder):
                damage = checkpoints.find_damage(path)
                if damage:
                    raise Failure(damage)
            for name in ("run_config.json", "selection.json",
                         "bert_config.json"):
                if os.path.exists(os.path.join(folder, name)):
                    with open(os.path.join(folder, name)) as stream:
                        json.load(stream)

    def state(self):
        """What a training ended with: (its variables' bytes, validations)."""
        newest = checkpoints.latest(self.path("run"))
        if os.path.basename(newest) != "model.ckpt-%d" % STEPS:
            raise Failure("the training ended with %s" % newest)
        return values_of(newest), self.validations()

    def validations(self):
        """list of [step, value], those before a kill."""
        path = self.path("run/best/selection.json")
        if not os.path.exists(path):
            return []
        with open(path) as stream:
            return json.load(stream)["evaluations"]


def values_of(checkpoint):
    """dict, variable -> bytes."""
    return {name: tf.train.load_variable(checkpoint, name).tobytes()
            for name, _ in tf.train.list_variables(checkpoint)}


def answer_of(folder):
    """The items and scores that a SavedModel gives for a sequence: list."""
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(session, ["serve"], folder) \
            .signature_def["serving_default"]
        items, scores = session.run(
            [signature.outputs[name].name for name in ("items", "scores")],
            {signature.inputs["items"].name: [["3", "141", "59"]]})
    return items.tolist() + scores.tolist()


def kill_generation(place, rng, wanted, seconds):
    """One kill of a generation over no files; then a plain re-run."""
    for name in Place.NAMES:
        if os.path.exists(place.path(name)):
            os.remove(place.path(name))
    killed = kill_after(place.generation(), rng.uniform(0, seconds))
    for name, value in sums(place.folder, Place.NAMES).items():
        if value not in (None, wanted[name]):
            raise Failure("%s is partial" % name)
    run_whole(place.generation())
    if sums(place.folder, Place.NAMES) != wanted:
        raise Failure("a re-run of the generation wrote other bytes")
    left = [name for name in os.listdir(place.folder) if ".tmp-" in name]
    if left:
        raise Failure("left behind: %s" % left)
    return killed


def kill_training(place, rng, wanted, seconds):
    """One kill of a training from its start; then a plain re-run.

    Args:
        wanted: (str, the model directory of an undisturbed training; its
            `Place.state`).
    """
    run, (undisturbed, ended) = place.path("run"), wanted
    shutil.rmtree(run)
    killed = kill_after(place.training(), rng.uniform(0, seconds))
    place.check_checkpoints()
    start = checkpoints.latest(run)
    before = place.validations()
    if before != ended[1][:len(before)]:
        raise Failure("validations before a kill: %s" % before)
    if start:
        name = os.path.basename(start)
        same = os.path.join(undisturbed, name)
        if values_of(start) != values_of(same):
            raise Failure("%s is another than without a kill" % name)
        if name not in ("model.ckpt-0", "model.ckpt-%d" % STEPS):
            ended = _goes_on(place, same)
    run_whole(place.training())
    place.check_checkpoints()
    if place.state() != ended:
        raise Failure("a re-run of the training ended otherwise")
    return killed


def _goes_on(place, checkpoint):
    """What a training ends with that goes on from a checkpoint, with the
    validations in the model directory, which is left as it is."""
    run, aside = place.path("run"), place.path("aside")
    os.rename(run, aside)
    os.mkdir(run)
    for path in glob.glob(checkpoint + ".*"):
        shutil.copy(path, run)
    if os.path.exists(os.path.join(aside, "best", "selection.json")):
        shutil.copytree(os.path.join(aside, "best"), os.path.join(run, "best"))
    run_whole(place.training())
    ended = place.state()
    shutil.rmtree(run)
    os.rename(aside, run)
    return ended


def kill_evaluation(place, rng, wanted, seconds):
    """One kill of an evaluation over old results; then a plain re-run."""
    killed = kill_after(place.evaluation(), rng.uniform(0, seconds))
    if sums(place.folder, Place.RESULTS) != wanted:
        raise Failure("results are partial")
    for name in Place.RESULTS:
        os.remove(place.path(name))
    kill_after(place.evaluation(), rng.uniform(0, seconds))
    for name, value in sums(place.folder, Place.RESULTS).items():
        if value not in (None, wanted[name]):
            raise Failure("%s is partial" % name)
    run_whole(place.evaluation())
    if sums(place.folder, Place.RESULTS) != wanted:
        raise Failure("a re-run of the evaluation gave other results")
    return killed


def kill_export(place, rng, wanted, seconds):
    """One kill of an export beside earlier versions; then a plain re-run."""
    killed = kill_after(place.export(), rng.uniform(0, seconds))
    before = place.answers()
    run_whole(place.export())
    after = place.answers()
    if any(answer != wanted for answer in after.values()):
        raise Failure("a version of the export is partial")
    if len(after) != len(before) + 1:
        raise Failure("a re-run of the export wrote no version")
    left = set(os.listdir(place.path("run/export"))) - set(after)
    if left:
        raise Failure("left behind: %s" % sorted(left))
    return killed


def timed(arguments):
    """Runs a command; the seconds that it took."""
    started = time.time()
    run_whole(arguments)
    return time.time() - started


def kill_in_turn(folder, times, seed):
    """Kills one after the other; yields (what, whether it was still there)."""
    rng, place = random.Random(seed), Place(folder)
    generation = timed(place.generation())
    files = sums(folder, Place.NAMES)
    training = timed(place.training())
    evaluation = timed(place.evaluation())
    results = sums(folder, Place.RESULTS)
    export = timed(place.export())
    (answer,) = place.answers().values()
    trained = place.path("trained")
    shutil.copytree(place.path("run"), trained)
    ended = place.state()
    for number in range(times):
        what = ("generation", "training", "evaluation", "export")[number % 4]
        if what == "generation":
            killed = kill_generation(place, rng, files, generation)
        elif what == "training":
            killed = kill_training(place, rng, (trained, ended), training)
        else:
            shutil.rmtree(place.path("run"))
            shutil.copytree(trained, place.path("run"))
            killed = (kill_evaluation(place, rng, results, evaluation)
                      if what == "evaluation" else
                      kill_export(place, rng, answer, export))
        yield what, killed


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=12345)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, util.one_line_errors(
            "kill.py", Failure):
        for number, (what, killed) in enumerate(
                kill_in_turn(folder, given.times, given.seed), 1):
            util.log("%d: %s, %s" % (number, what, "killed" if killed
                                     else "it was through already"))
    util.log("%d times, nothing partial and nothing lost" % given.times)
