"""What the studies' scripts train, on a machine made of stand-ins."""

import fcntl
import os
import pickle
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from conftest import command, ITEMS, LENGTH, results_of, ROOT, run_flags
from experiment import record
from stand_ins import copy_project, Machine
from studies import other_mask_id, sampled_noise

# A stand-in for a dataset's script: notes its name, variables and arguments, and
# ends as the file named after the run says.
NOTES = """
{ env; echo "script=${0##*/}"; printf '%s\\n' "$@" end; } >> "$LOG"
[ ! -f "ends-${model_dir##*/}" ] || exit "$(cat "ends-${model_dir##*/}")"
mkdir -p "$model_dir"
echo > "$model_dir/eval_results.txt"
"""


# The first recipe called fast, which the studies of its time go on with.
FIRST_FAST = {"recipe": "fast", "short_train_steps": "0",
              "learning_rate": "3e-3", "num_warmup_steps": "100"}


def recipe_of(run):
    """What a training is given of FIRST_FAST's values."""
    return {key: run[key] for key in FIRST_FAST if key in run}


@pytest.fixture
def trainings(tmp_path):
    """A function, name of a study -> list of dicts, what each training is
    given; the run's name is under "run". Its argument `status` is how the
    script ends."""
    (tmp_path / "bin").mkdir()
    machine = Machine(tmp_path / "bin", "env", "flock", "sed")
    copy_project(tmp_path)
    for folder in ("studies", "bert_train"):
        shutil.copytree(os.path.join(ROOT, folder), str(tmp_path / folder))
    machine.add_venv("exit 0")
    for script in ("run_ml-1m.sh", "run_beauty.sh"):
        machine.add(script, NOTES)
        shutil.move(str(machine.folder / script), str(tmp_path))

    def run_study(name, status=0):
        log = tmp_path / "log"
        log.write_text("")
        ended, _, errors = machine.run_copy(
            tmp_path, os.path.join("studies", name + ".sh"))
        assert ended == status, errors
        found = []
        for text in log.read_text().split("\nend\n")[:-1]:
            given = dict(line.lstrip("-").split("=", 1)
                         for line in text.splitlines() if "=" in line)
            folder, given["run"] = os.path.split(given["model_dir"])
            assert folder == "./checkpoints/studies/" + name
            found.append(given)
        return found

    return run_study


def test_every_form_but_the_recipes_own_is_trained_with_three_seeds(trainings):
    runs = trainings("attention_forms")
    assert {(run["attention_form"], run["random_seed"]) for run in runs} == {
        (form, seed) for seed in "123" for form in (
            "self", "cross", "cross_difference", "cross_gram")}
    assert len({run["run"] for run in runs}) == len(runs) == 12
    for run in runs:
        assert run["script"] == "run_ml-1m.sh"
        assert recipe_of(run) == {"recipe": "fast"}
        assert "num_train_steps" not in run


def test_on_beauty_two_forms_are_trained_with_three_seeds(trainings):
    runs = trainings("beauty_forms")
    assert [(run["run"], run["attention_form"], run["random_seed"])
            for run in runs] == [
                ("%s-%s" % (form, seed), form, seed) for seed in "123"
                for form in ("cross_published", "self")]
    for run in runs:
        assert run["script"] == "run_beauty.sh"
        assert recipe_of(run) == {"recipe": "fast"}
        assert "holdout_validation" not in run


def test_on_beauty_both_forms_are_validated_at_three_rates(trainings):
    runs = trainings("beauty_rates")
    assert {(run["attention_form"], run["learning_rate"]) for run in runs} == {
        (form, rate) for form in ("cross_published", "self")
        for rate in ("5e-4", "1e-3", "2e-3")}
    assert len({run["run"] for run in runs}) == len(runs) == 6
    for run in runs:
        assert run["script"] == "run_beauty.sh"
        assert run["run"] == "%(attention_form)s-%(learning_rate)s" % run
        assert [run["recipe"], run["random_seed"], run["holdout_validation"],
                run["selection_metric"]] == ["fast", "1", "True",
                                             "full/ndcg@10"]


def test_every_batch_size_sees_the_same_number_of_sequences(trainings):
    runs = trainings("batch_size")
    assert [(run["batch_size"], run.get("recipe", "published"))
            for run in runs] == [("256", "published"), ("16", "published"),
                                 ("1", "published"), ("256", "fast")]
    for run in runs:
        batch, steps = int(run["batch_size"]), int(run["num_train_steps"])
        assert 400000 - batch < batch * steps <= 400000
        assert steps // int(run["eval_every_steps"]) in (20, 21)
        assert run["holdout_validation"] == "True"
    assert [recipe_of(run) for run in runs] == [{}, {}, {}, FIRST_FAST]


def test_of_the_plateau_one_thing_is_changed_at_a_time(trainings, tmp_path):
    runs = trainings("plateau")
    changes = ("hidden_dropout_prob", "attention_probs_dropout_prob",
               "bert_config_file", "output_bias")
    assert [(recipe_of(run), [key for key in changes if key in run])
            for run in runs] == [
                ({}, []), ({"learning_rate": "3e-4"}, []),
                ({"learning_rate": "1e-3"}, []),
                ({"learning_rate": "3e-3"}, []),
                ({}, ["hidden_dropout_prob", "attention_probs_dropout_prob"]),
                ({}, ["bert_config_file"]), ({}, ["output_bias"]),
                (FIRST_FAST, []),
                ({"learning_rate": "3e-3", "num_warmup_steps": "1000"}, []),
                (dict(FIRST_FAST, num_warmup_steps="1000"), []), ({}, [])]
    config = (tmp_path / runs[5]["bert_config_file"]).read_text()
    assert config.count('"initializer_range": 0.1,') == 1
    folder = "./checkpoints/studies/plateau"
    assert runs[10]["init_checkpoint"] == folder + "/rate-1e-3/best"
    assert runs[10]["test_input_file"] == folder + "/other-mask.test.tfrecord"
    assert runs[10]["do_train"] == "False"


def test_a_sampled_softmax_is_trained_by_the_fast_recipe(trainings):
    runs = trainings("sampled_softmax")
    assert {(run["num_sampled"], run["random_seed"]) for run in runs} == {
        (sampled, seed) for sampled in ("100", "1000") for seed in "123"}
    for run in runs:
        assert recipe_of(run) == {"recipe": "fast"}
        assert "num_train_steps" not in run


def test_the_wider_model_is_trained_as_validation_chose(trainings):
    runs = trainings("width")
    chosen = {
        "recipe": "fast", "dim": "128", "short_train_steps": "15000",
        "short_learning_rate": "2e-3", "short_warmup_steps": "1000",
        "hidden_dropout_prob": "0.1", "attention_probs_dropout_prob": "0.1",
        "shift_positions": "False"}
    for run in runs:
        assert {key: run.get(key) for key in chosen} == chosen
        assert "learning_rate" not in run
    assert [[run.get(key) for key in (
        "run", "num_train_steps", "random_seed", "holdout_validation",
        "selection_metric")] for run in runs] == [
            ["128-1", "3000", "1", None, None],
            ["128-6000-validated", "6000", None, "True", "full/ndcg@10"],
            ["128-6000-1", "6000", "1", None, None]]


def test_the_published_models_are_asked_again_with_less_popularity(trainings):
    runs = trainings("popularity_discount")
    assert [run["run"] for run in runs] == [
        "%s-%s" % (model, share) for model in ("fast", "wide")
        for share in ("0", "0.25", "0.5", "0.75", "1")]
    folder = "./checkpoints/studies/popularity_discount/"
    for run in runs:
        published = "pretrained/ml-1m-cross_published-" + run["run"].split("-")[0]
        assert run["bert_config_file"] == published + "/bert_config.json"
        assert run["do_train"] == "False"
        assert run["init_checkpoint"] == (
            published if run["run"].endswith("-0")
            else folder + run["run"] + "-model")


def test_what_is_evaluated_is_not_trained_again(trainings):
    assert len(trainings("sampled_softmax")) == 6
    assert trainings("sampled_softmax") == []


def hold(tmp_path, study, name):
    """The open file by which a copy of a study's script has a training."""
    folder = tmp_path / "checkpoints" / "studies" / study
    folder.mkdir(parents=True)
    held = open(str(folder / (".%s.lock" % name)), "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def test_what_another_copy_trains_is_left_to_it(trainings, tmp_path):
    with hold(tmp_path, "sampled_softmax", "100-2"):
        runs = trainings("sampled_softmax")
    assert len(runs) == 5
    assert "100-2" not in {run["run"] for run in runs}
    assert [run["run"] for run in trainings("sampled_softmax")] == ["100-2"]


def test_the_other_mask_waits_for_the_model_that_it_asks(trainings, tmp_path):
    held = hold(tmp_path, "plateau", "rate-1e-3")

    def finish():
        folder = tmp_path / "checkpoints" / "studies" / "plateau" / "rate-1e-3"
        folder.mkdir()
        (folder / "eval_results.txt").write_text("")
        with open(str(tmp_path / "log"), "a") as log:
            log.write("finished=1\n")
        held.close()

    def finish_after_the_others():
        while log.read_text().count("\nend\n") < 9:
            time.sleep(0.05)
        time.sleep(1.0)  # by now it waits
        finish()

    log = tmp_path / "log"
    log.write_text("")
    thread = threading.Thread(target=finish_after_the_others)
    thread.daemon = True
    thread.start()
    runs = trainings("plateau")
    thread.join()
    assert [run["run"] for run in runs if "finished" in run] == ["other-mask"]


def test_a_system_without_locks_is_no_copy_that_trains(trainings, tmp_path):
    (tmp_path / "bin" / "flock").unlink()
    (tmp_path / "bin" / "flock").symlink_to(shutil.which("false"))
    assert trainings("width") == []  # as where a copy holds all of them
    (tmp_path / "bin" / "flock").unlink()
    flock = tmp_path / "bin" / "flock"
    flock.write_text("#!%s\necho 'flock: No locks available' >&2\nexit 71\n"
                     % shutil.which("bash"))
    flock.chmod(0o755)
    assert trainings("width", status=1) == []


def test_one_published_model_that_fails_leaves_the_other_to_be_asked(
        trainings, tmp_path):
    (tmp_path / "ends-fast-0").write_text("1")
    names = [run["run"] for run in trainings("popularity_discount", status=1)]
    assert names[:2] == ["fast-0", "wide-0"] and len(names) == 6


def test_after_a_failed_training_the_others_run(trainings, tmp_path):
    (tmp_path / "ends-1000-2").write_text("1")
    (tmp_path / "ends-100-1").write_text("1")
    assert len(trainings("sampled_softmax", status=1)) == 6
    (tmp_path / "ends-1000-2").unlink()
    (tmp_path / "ends-100-1").unlink()
    assert [run["run"] for run in trainings("sampled_softmax")] == [
        "1000-2", "100-1"]


def test_a_stopped_training_stops_the_script(trainings, tmp_path):
    (tmp_path / "ends-1000-2").write_text("143")
    assert [run["run"] for run in trainings("sampled_softmax", status=143)] == [
        "1000-1", "1000-2"]


def test_no_model_is_asked_with_another_mask_before_it_is_done(trainings,
                                                               tmp_path):
    (tmp_path / "ends-rate-1e-3").write_text("1")
    names = [run["run"] for run in trainings("plateau", status=1)]
    assert names[2] == "rate-1e-3" and names[-1] == "fast-warm-up"
    assert len(names) == 10 and "other-mask" not in names


def ids_of(path):
    """int array [users, L], the input ids of a TFRecord file."""
    return np.array([
        list(tf.train.Example.FromString(record).features.feature[
            "input_ids"].int64_list.value)
        for record in tf.python_io.tf_record_iterator(str(path))])


def test_the_other_mask_needs_a_trained_model(tmp_path):
    status, _, errors = command("studies/other_mask_id.py", str(tmp_path),
                                str(tmp_path / "other.tfrecord"))
    assert status == 1 and "has no run_config.json" in errors
    assert len(errors.splitlines()) == 1


def test_the_other_mask_needs_a_folder_to_be_written_to(trained, tmp_path):
    with pytest.raises(ValueError, match="--target: no folder"):
        other_mask_id.copy_test_file(str(trained[0] / "run"),
                                     str(tmp_path / "gone" / "x"))


def test_the_other_mask_needs_a_test_file(trained, tmp_path, monkeypatch):
    recorded = record.read(str(trained[0] / "run"))
    recorded["flags"]["test_input_file"] = None
    monkeypatch.setattr(record, "read", lambda _: recorded)
    with pytest.raises(ValueError, match="without --test_input_file"):
        other_mask_id.copy_test_file("mine", str(tmp_path / "x"))


def test_the_other_mask_is_all_that_changes(dataset, trained, tmp_path):
    other = tmp_path / "other.tfrecord"
    status, _, errors = command("studies/other_mask_id.py",
                                str(trained[0] / "run"), str(other))
    assert status == 0, errors
    before, after = ids_of(dataset.prefix + ".test.tfrecord"), ids_of(other)
    assert before.shape[1] == LENGTH
    # [pad], [MASK] and [NO_USE] come after the items, in this order.
    mask, no_use = ITEMS + 2, ITEMS + 3
    assert ((before == mask).sum(axis=1) == 1).all()
    assert (after == np.where(before == mask, no_use, before)).all()


def test_drawn_gradients_are_compared_with_the_full_one():
    error, cosine = sampled_noise.compare(
        np.array([3.0, 4.0]), np.array([[3.0, 4.0], [-3.0, -4.0], [4.0, -3.0]]))
    assert error == pytest.approx(np.sqrt((0 + 2 ** 2 + 2) / 3.0))
    assert cosine == pytest.approx((1 - 1 + 0) / 3.0)


def test_the_more_items_are_sampled_the_nearer_the_gradient(trained):
    status, output, errors = command(
        "studies/sampled_noise.py", str(trained[0] / "run"), "3", "30",
        str(ITEMS))
    assert status == 0, errors
    _, errors, cosines = np.array([
        line.split("|")[1:-1] for line in output.splitlines()[2:]], float).T
    assert np.all(np.diff(errors) < 0) and errors[0] > 1 and errors[2] < 0.5
    assert np.all(np.diff(cosines) > 0) and cosines[2] > 0.9


def test_what_cannot_be_sampled_is_one_line(trained, tmp_path):
    for folder, number, message in (
            (str(trained[0] / "run"), "0", "0 ids cannot be sampled"),
            (str(trained[0] / "run"), "1000", "1000 ids cannot be sampled"),
            (str(tmp_path), "1", "no run_config.json")):
        status, _, errors = command("studies/sampled_noise.py", folder, number)
        assert status == 1
        assert message in errors.splitlines()[-1]
        assert "Traceback" not in errors


BIAS = "cls/predictions/output_bias"


@pytest.fixture(scope="module")
def discounted(trained, tmp_path_factory):
    """The trained model, half of the log popularity taken off its scores."""
    folder = tmp_path_factory.mktemp("discounted") / "half"
    status, _, errors = command("studies/popularity_discount.py",
                                str(trained[0] / "run"), "0.5", str(folder))
    assert status == 0, errors
    return folder


def test_a_discount_is_taken_off_the_output_bias_alone(
        discounted, trained, dataset):
    before = tf.train.load_checkpoint(str(trained[0] / "run" / "model.ckpt-5"))
    after = tf.train.load_checkpoint(str(discounted / "model.ckpt-5"))
    for name in after.get_variable_to_shape_map():
        assert (before.get_tensor(name) == after.get_tensor(name)).all() or (
            name == BIAS)
    with open(dataset.prefix + ".his", "rb") as stream:
        histories = pickle.load(stream)
    seen = sum([history[:-1] for history, in histories.values()], [])
    size = ITEMS + 4  # [pad] and three special tokens
    shares = np.array([1.0 + seen.count(i) for i in range(size)])
    shares /= len(seen) + size
    np.testing.assert_allclose(
        before.get_tensor(BIAS) - after.get_tensor(BIAS),
        0.5 * np.log(shares), rtol=1e-4)


def test_a_discounted_model_is_evaluated_as_any_other(
        discounted, dataset, trained, tmp_path):
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True, init_checkpoint=discounted))
    assert status == 0, errors
    assert results_of(tmp_path)[1]["global_step"] == "5"


def test_what_cannot_be_discounted_is_one_line(discounted, trained, tmp_path):
    new = tmp_path / "new"
    for source, share, target, message in (
            (trained[0] / "run", "0.5", discounted, "holds a model already"),
            (trained[0] / "run", "nan", new, "a share of nan"),
            (tmp_path, "0.5", new, "no run_config.json")):
        status, _, errors = command("studies/popularity_discount.py",
                                    str(source), share, str(target))
        assert not new.exists()
        assert status == 1 and message in errors.splitlines()[-1]
        assert "Traceback" not in errors
