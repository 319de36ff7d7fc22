"""What the shell scripts choose, on machines made of stand-ins."""

import fcntl
import json
import os
import shutil
import threading

import pytest

from conftest import ROOT
from data.generation import Options, default_signature
from stand_ins import copy_project, Machine

DATASETS = ("ml-1m", "beauty", "steam", "ml-20m", "sample")


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "bin").mkdir()
    return Machine(tmp_path / "bin")


CHOOSE = 'choose_python; echo "$PYTHON"'


def test_python3_is_taken_when_it_is_supported(machine):
    machine.add_python("python3", "3.9")
    machine.add_python("python3.11", "3.11")
    assert machine.run(CHOOSE)[:2] == (0, ["python3"])


def test_else_the_first_supported_one_that_answers(machine):
    machine.add_python("python3", "3.12")
    machine.add("python3.10", "echo 'no such version' >&2; exit 127")
    machine.add_python("python3.7", "3.7")
    assert machine.run(CHOOSE)[:2] == (0, ["python3.7"])


def test_else_uv_provides_one(machine, tmp_path):
    machine.add_python("python3", "3.13")
    machine.add("uv", '[ "$2" = find ] && echo /somewhere/python3.11')
    assert machine.run(CHOOSE)[:2] == (0, ["/somewhere/python3.11"])
    machine.add("uv", 'if [ "$2" = install ]; then echo > "$LOG"; '
                      'elif [ -e "$LOG" ]; then echo /new/python3.11; '
                      'else exit 2; fi')
    assert machine.run(CHOOSE, LOG=str(tmp_path / "installed"))[:2] == (
        0, ["/new/python3.11"])


def test_else_one_line_says_what_was_found_and_what_works(machine):
    machine.add_python("python3", "3.8")
    status, _, errors = machine.run(CHOOSE)
    assert (status, len(errors.splitlines())) == (1, 1)
    for part in ("3.8", "3.6 3.7 3.9 3.10 3.11", "PYTHON=", "uv"):
        assert part in errors


def test_the_variable_python_comes_first_and_must_be_supported(machine):
    machine.add_python("python3", "3.11")
    machine.add_python("mine", "3.6")
    assert machine.run(CHOOSE, PYTHON="mine")[:2] == (0, ["mine"])
    machine.add_python("mine", "3.12")
    status, _, errors = machine.run(CHOOSE, PYTHON="mine")
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "PYTHON=mine is 3.12" in errors
    assert "no working Python" in machine.run(CHOOSE, PYTHON="absent")[2]


def test_a_python_without_venv_is_one_clear_line(machine, tmp_path):
    machine.add("python3", 'case "$*" in *ensurepip*) exit 1;; esac; echo 3.11')
    status, _, errors = machine.run("set_up", VENVS=str(tmp_path / "venvs"))
    assert status == 1 and "apt install python3.11-venv" in errors
    assert not (tmp_path / "venvs").exists()


def test_an_answering_nvidia_smi_brings_the_cuda_wheels(machine):
    machine.add("nvidia-smi", "exit 0")
    plain = ["-r", "requirements.txt"]
    assert machine.run("pip_arguments 3.11")[1] == plain + [
        "tensorflow[and-cuda]==2.15.1"]
    assert machine.run("pip_arguments 3.7")[1] == plain
    machine.add("nvidia-smi", "exit 9")
    assert machine.run("pip_arguments 3.11")[1] == plain


def test_without_nvidia_smi_there_are_no_cuda_wheels(machine):
    assert machine.run("pip_arguments 3.11")[1] == ["-r", "requirements.txt"]


def test_a_finished_environment_is_not_set_up_again(machine, tmp_path):
    venvs = tmp_path / "venvs"
    venv = venvs / "3.11"
    machine.add_venv('echo "$@" >> "$LOG"')
    environment = dict(VENVS=str(venvs), LOG=str(tmp_path / "pip"))
    script = 'set_up >/dev/null; echo "$PYTHON"'
    first = machine.run(script, **environment)
    assert first[:2] == (0, [str(venv / "bin" / "python")]), first[2]
    installed = (tmp_path / "pip").read_text().splitlines()
    assert "--upgrade pip" in installed[0]
    assert "-r requirements.txt" in installed[1]
    second = machine.run(script, **environment)
    assert second[:2] == first[:2]
    assert (tmp_path / "pip").read_text().splitlines() == installed


def test_an_environment_that_pip_could_not_fill_is_not_taken_for_one(
        machine, tmp_path):
    machine.add_venv('[[ "$*" = *upgrade* ]]')
    for _ in range(2):
        assert machine.run("set_up; echo reached", VENVS=str(tmp_path))[:2] == (
            1, [])


def test_of_two_first_runs_the_second_waits_for_the_first(machine, tmp_path):
    (machine.folder / "flock").symlink_to(shutil.which("flock"))
    machine.add_venv('echo "$@" >> "$LOG"')
    environment = dict(VENVS=str(tmp_path), LOG=str(tmp_path / "pip"))
    with open(str(tmp_path / ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = []
        script = threading.Thread(target=lambda: results.append(
            machine.run("set_up", **environment)))
        script.start()
        script.join(1.0)
        assert script.is_alive() and not (tmp_path / "pip").exists()
        # What the first one leaves: it was made of these requirements.
        (tmp_path / "3.11" / "bin").mkdir(parents=True)
        with open(os.path.join(ROOT, "requirements.txt")) as requirements:
            (tmp_path / "3.11" / "installed").write_text(
                "-r\nrequirements.txt\n" + requirements.read())
    script.join()
    assert results[0][0] == 0, results
    assert not (tmp_path / "pip").exists()


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_a_script_and_three_widths_or_one(name):
    assert os.access(os.path.join(ROOT, "run_%s.sh" % name), os.X_OK)
    for width in (64,) if name == "sample" else (64, 128, 256):
        assert os.path.exists(os.path.join(
            ROOT, "bert_train", "bert_config_%s_%d.json" % (name, width)))


# max_position_embeddings, dropouts of attention and else, vocab_size.
MODELS = {"ml-1m": (200, 0.2, 0.2, 3420), "beauty": (50, 0.2, 0.5, 54546),
          "steam": (50, 0.1, 0.1, 13048), "ml-20m": (200, 0.1, 0.1, 26748)}


@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_model_configs_are_the_published_ones(name, width):
    places, attention_rate, hidden_rate, vocab_size = MODELS[name]
    with open(os.path.join(ROOT, "bert_train", "bert_config_%s_%d.json"
                           % (name, width))) as stream:
        assert json.load(stream) == {
            "attention_form": "cross_published",
            "attention_probs_dropout_prob": attention_rate,
            "hidden_act": "gelu", "hidden_dropout_prob": hidden_rate,
            "hidden_size": width, "initializer_range": 0.02,
            "intermediate_size": 4 * width, "max_position_embeddings": places,
            "num_attention_heads": width // 32, "num_hidden_layers": 2,
            "type_vocab_size": 2, "vocab_size": vocab_size}


SIZES = dict(
    dataset_name="sample", max_seq_length="50", dim="64",
    masked_lm_prob="0.2", max_predictions_per_seq="10", num_train_steps="9",
    prop_sliding_window="0.5")


def commands_of(machine, words="", **environment):
    """The arguments of both commands that run_dataset runs, as two lists."""
    status, said, errors = machine.run(
        "set_up() { PYTHON=echo; }; run_dataset %s --xla" % words,
        **dict(SIZES, **environment))
    assert status == 0, errors
    start = said.index("run.py")
    end = said.index("recommend:", start)  # what to do next
    return said[:start - 1], said[start - 1:end]


def test_a_dataset_is_generated_then_trained_and_evaluated(machine):
    generation, training = commands_of(machine)
    name = "./data/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10-msl50"
    assert "--holdout_validation=False" in generation
    assert "--train_input_file=%s.train.tfrecord" % name in training
    assert not any("valid_input_file" in word for word in training)
    assert training[-1] == "--xla"


def test_at_the_end_it_says_how_to_go_on(machine):
    status, said, errors = machine.run(
        "set_up() { PYTHON=venv/python; }; venv/python() { :; }; run_dataset",
        **SIZES)
    assert status == 0, errors
    said = " ".join(said)
    assert said.startswith(
        "recommend: venv/python run.py --do_predict --checkpointDir="
        "./checkpoints/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10-msl50-64 "
        "the curves: venv/tensorboard --logdir ./checkpoints a report: ")
    assert said.endswith("venv/python report.py ./checkpoints/sample"
                         "-mp1.0-sw0.5-mlp0.2-df10-mpps10-msl50-64")


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_what_is_neither_true_nor_false_is_refused(machine, value):
    status, _, errors = machine.run("run_dataset", **dict(
        SIZES, holdout_validation=value))
    assert status == 1
    assert "holdout_validation=%s is neither" % value in errors


def test_holdout_validation_has_files_of_its_own_and_chooses_by_them(machine):
    generation, training = commands_of(machine, holdout_validation="True")
    name = "./data/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10-msl50-ho"
    assert "--holdout_validation=True" in generation
    assert "--signature=" + name[len("./data/sample"):] in generation
    assert "--train_input_file=%s.train.tfrecord" % name in training
    assert "--valid_input_file=%s.valid.tfrecord" % name in training
    assert training[-1] == "--xla"


def test_the_script_and_the_generator_name_files_alike(machine):
    generation, _ = commands_of(machine, holdout_validation="True")
    values = dict(word[2:].split("=") for word in generation
                  if word.startswith("--"))
    options = Options(
        *[kind(values[name]) for name, kind in zip(Options._fields, (
            int, int, float, int, float, float))], random_seed=0)
    assert values["signature"] == default_signature(options, True)


@pytest.mark.parametrize("words, environment", [
    ("--attention_form=self", {}), ("", {"attention_form": "self"})])
def test_another_attention_form_has_a_directory_of_its_own(
        machine, words, environment):
    _, own = commands_of(machine, words=words, **environment)
    _, default = commands_of(machine)
    directory, = [word for word in default
                  if word.startswith("--checkpointDir")]
    assert directory.endswith("-msl50-64")
    assert directory + "-self" in own
    assert "--attention_form=self" in own
    assert "--attention_form=cross_published" in default


def test_the_form_of_a_model_config_is_taken_and_a_given_one_wins(
        machine, tmp_path):
    config = tmp_path / "mine.json"
    config.write_text('{"attention_form" :"cross_gram", "hidden_size": 64}')
    _, training = commands_of(machine, bert_config_file=str(config))
    assert "--attention_form=cross_gram" in training
    directory, = [word for word in training
                  if word.startswith("--checkpointDir")]
    assert directory.endswith("-msl50-64-cross_gram")
    _, training = commands_of(machine, bert_config_file=str(config),
                              attention_form="self")
    assert "--attention_form=self" in training
    config.write_text('{"hidden_size": 64}')
    _, training = commands_of(machine, bert_config_file=str(config))
    assert "--attention_form=cross_published" in training


@pytest.mark.parametrize("words, part", [
    ("--attention_form self", "'self' is not a flag"),
    ("--xla stray", "'stray' is not a flag"),
    ("-attention_form=self", "'-attention_form=self' is not a flag"),
    ("--signature=-mine", "set model_dir= before"),
    ("--checkpointDir=x/y", "set model_dir= before"),
    ("--bert_config_file=x", "set bert_config_file= before")])
def test_arguments_that_would_be_missed_are_refused(machine, words, part):
    status, said, errors = machine.run(
        "set_up() { :; }; PYTHON=echo; run_dataset " + words, **SIZES)
    assert (status, said) == (1, [])
    assert part in errors and len(errors.splitlines()) == 1


def test_what_was_not_trained_here_is_recommended_from_where_it_lies(machine):
    """As a command that can be pasted, whatever the folder is called."""
    status, said, errors = machine.run(
        "set_up() { :; }; PYTHON=echo; run_dataset --do_train=False "
        "--init_checkpoint=pretrained/mine", CKPT_DIR="./none yet", **SIZES)
    assert status == 0, errors
    assert (
        "echo run.py --do_predict --init_checkpoint=pretrained/mine "
        "--checkpointDir=./none\\ yet/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10"
        "-msl50-64 ") in " ".join(said)


@pytest.mark.parametrize("words", ["--do_train=False", "--do_train=0",
                                   "--do_train=f", "--nodo_train"])
def test_without_training_no_short_windows_come_first(machine, words):
    assert len(calls_of(machine, words)) == 2


def test_the_published_recipe_is_the_default(machine):
    _, training = commands_of(machine, num_train_steps="",
                              published_steps="400000")
    assert {"--num_train_steps=400000", "--learning_rate=1e-4",
            "--num_warmup_steps=100", "--output_bias=zeros"} <= set(training)
    assert not any("dropout" in word for word in training)  # the config's


FAST = {"--output_bias=log_popularity", "--hidden_dropout_prob=0.0",
        "--attention_probs_dropout_prob=0.0"}


def test_the_fast_recipe_has_a_directory_of_its_own(machine):
    _, training = commands_of(
        machine, num_train_steps="", published_steps="400000", recipe="fast")
    assert {"--num_train_steps=5000", "--learning_rate=3e-3",
            "--num_warmup_steps=1000"} | FAST <= set(training)
    directory, = [word for word in training
                  if word.startswith("--checkpointDir")]
    assert directory.endswith("-msl50-64-fast")


def calls_of(machine, words="", **environment):
    """The arguments of every command that run_dataset runs, as lists, for the
    fast recipe and windows longer than 50."""
    values = dict(SIZES, max_seq_length="200", max_predictions_per_seq="40",
                  num_train_steps="", published_steps="400000", recipe="fast")
    status, said, errors = machine.run(
        'set_up() { PYTHON=say; }; say() { echo "call $*"; }; '
        'say_next() { :; }; run_dataset ' + words,
        **dict(values, **environment))
    assert status == 0, errors
    return [call.split() for call in " ".join(said).split("call ")[1:]]


def test_in_the_fast_recipe_windows_of_50_come_first(machine):
    long, short, train_short, train_long = calls_of(machine, "--xla")
    directory = ("--checkpointDir=./checkpoints/sample"
                 "-mp1.0-sw0.5-mlp0.2-df10-mpps40-msl200-64-fast")
    assert {"gen_data_fin.py", "--max_seq_length=50",
            "--max_predictions_per_seq=10",
            "--signature=-mp1.0-sw0.5-mlp0.2-df10-mpps10-msl50"} <= set(short)
    assert {"run.py", directory + "-short", "--max_seq_length=50",
            "--max_predictions_per_seq=10", "--num_train_steps=10000",
            "--num_warmup_steps=2000", "--learning_rate=3e-3", "--xla",
            "--shift_positions",
            "--train_input_file=./data/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10"
            "-msl50.train.tfrecord"} | FAST <= set(train_short)
    assert train_short[-1] == "--do_eval=False"  # the last one counts
    assert {"gen_data_fin.py", "--max_seq_length=200",
            "--max_predictions_per_seq=40"} <= set(long)
    assert {"run.py", directory, "--max_seq_length=200",
            "--max_predictions_per_seq=40", "--num_train_steps=2500",
            "--num_warmup_steps=100", "--learning_rate=1e-3", "--xla",
            directory.replace("checkpointDir", "init_checkpoint") + "-short"
            } | FAST <= set(train_long)
    assert not {"--do_eval=False", "--shift_positions"} & set(train_long)
    assert not any("init_checkpoint" in word for word in train_short)


def test_steps_and_rates_among_the_arguments_are_the_longer_trainings(machine):
    words = ["--num_train_steps=30", "--learning_rate=5e-4",
             "--num_warmup_steps=4", "--batch_size=9"]
    _, _, short, long = calls_of(machine, " ".join(words))
    assert short[-5:] == [
        "--batch_size=9", "--num_train_steps=10000", "--num_warmup_steps=2000",
        "--learning_rate=3e-3", "--do_eval=False"]
    assert long[-4:] == words


def test_from_a_checkpoint_no_short_windows_come_first(machine):
    _, only = calls_of(machine, "--init_checkpoint=mine")
    assert [word for word in only if "init_checkpoint" in word] == [
        "--init_checkpoint=mine"]
    assert "--max_seq_length=200" in only


def test_the_short_windows_may_keep_their_positions(machine):
    _, _, short, _ = calls_of(machine, "--noshift_positions")
    assert [word for word in short if word.endswith("shift_positions")] == [
        "--shift_positions", "--noshift_positions"]  # the last one counts


@pytest.mark.parametrize("masks, of_short", [("40", 10), ("3", 1), ("5", 2)])
def test_short_windows_have_masks_in_proportion_and_at_least_one(
        machine, masks, of_short):
    _, generation, training, _ = calls_of(machine,
                                          max_predictions_per_seq=masks)
    flag = "--max_predictions_per_seq=%d" % of_short
    assert flag in generation and flag in training


def test_the_short_training_can_be_set(machine):
    own = dict(short_train_steps="7", short_learning_rate="2e-3",
               short_warmup_steps="3", model_dir="mine", random_seed="7")
    _, _, short, long = calls_of(machine, num_train_steps="9", **own)
    assert {"--num_train_steps=7", "--learning_rate=2e-3", "--random_seed=7",
            "--num_warmup_steps=3", "--checkpointDir=mine-short"} <= set(short)
    assert {"--num_train_steps=9", "--init_checkpoint=mine-short",
            "--checkpointDir=mine", "--random_seed=7"} <= set(long)


@pytest.mark.parametrize("words, environment", [
    ("", {"recipe": "published"}), ("", {"short_train_steps": "0"}),
    ("--do_train=False", {}), ("--nodo_train", {})])
def test_where_no_short_training_is_asked_for_there_is_none(
        machine, words, environment):
    _, only = calls_of(machine, words, **environment)
    assert "--max_seq_length=200" in only
    assert not any("init_checkpoint" in word for word in only)


def test_windows_of_50_may_come_first_in_the_published_recipe(machine):
    _, _, short, long = calls_of(machine, recipe="published",
                                 short_train_steps="5000")
    assert {"--num_train_steps=5000", "--learning_rate=3e-3",
            "--output_bias=zeros"} <= set(short)
    assert {"--num_train_steps=400000", "--learning_rate=1e-4"} <= set(long)


def test_a_training_that_has_begun_no_longer_needs_the_short_one(
        machine, tmp_path):
    (tmp_path / "checkpoint").write_text("")
    _, only = calls_of(machine, model_dir=str(tmp_path))
    assert {"--max_seq_length=200",
            "--init_checkpoint=%s-short" % tmp_path} <= set(only)


def test_a_short_training_that_fails_ends_the_script(machine):
    status, said, _ = machine.run(
        'set_up() { PYTHON=say; }; say() { echo "$@"; [ "$2" != run.py ]; }; '
        "run_dataset", **dict(SIZES, max_seq_length="200",
                              short_train_steps="5"))
    assert status == 1
    trainings = " ".join(said).split("run.py")[1:]
    assert ["--max_seq_length=50" in text for text in trainings] == [True]


@pytest.mark.parametrize("changes, message", [
    (dict(short_train_steps="5k", max_seq_length="200"),
     "short_train_steps=5k is no number of steps"),
    (dict(short_train_steps="5", max_seq_length="50"),
     "where max_seq_length is above 50, and it is 50")])
def test_a_short_training_that_cannot_be_is_one_clear_line(
        machine, changes, message):
    status, _, errors = machine.run("run_dataset", **dict(SIZES, **changes))
    assert (status, len(errors.splitlines())) == (1, 1)
    assert message in errors


def test_the_short_training_keeps_validation_items_out_too(machine):
    _, short, train_short, _ = calls_of(machine, holdout_validation="True")
    assert "--holdout_validation=True" in short
    assert ("--valid_input_file=./data/sample-mp1.0-sw0.5-mlp0.2-df10-mpps10"
            "-msl50-ho.valid.tfrecord") in train_short


@pytest.mark.parametrize("words, environment", [
    ("--random_seed=7", {}), ("", {"random_seed": "7"})])
def test_another_training_seed_has_a_directory_of_its_own(
        machine, words, environment):
    _, training = commands_of(machine, words, recipe="fast", **environment)
    directory, = [word for word in training
                  if word.startswith("--checkpointDir")]
    assert directory.endswith("-msl50-64-fast-7")
    assert "--random_seed=7" in training
    assert "--random_seed=12345" in commands_of(machine)[1]


def test_a_dataset_may_have_a_fast_rate_and_warm_up_of_its_own(machine):
    own = dict(fast_learning_rate="2e-3", fast_warmup_steps="7")
    _, fast = commands_of(machine, recipe="fast", **own)
    assert {"--learning_rate=2e-3", "--num_warmup_steps=7"} <= set(fast)
    _, published = commands_of(machine, **own)
    assert {"--learning_rate=1e-4", "--num_warmup_steps=100"} <= set(published)


def test_every_value_of_a_recipe_can_be_set(machine):
    own = dict(num_train_steps="7", learning_rate="2e-3",
               num_warmup_steps="3", output_bias="zeros",
               hidden_dropout_prob="0.3", attention_probs_dropout_prob="0.4")
    for recipe in ("published", "fast"):
        _, training = commands_of(machine, recipe=recipe,
                                  fast_learning_rate="1e-3", **own)
        assert {"--%s=%s" % item for item in own.items()} <= set(training)


def test_another_recipe_is_one_clear_line(machine):
    status, _, errors = machine.run("run_dataset", recipe="best", **SIZES)
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "recipe=best" in errors and "published and fast" in errors


def test_a_missing_model_config_is_one_clear_line_before_any_work(machine):
    status, said, errors = machine.run("run_dataset", **dict(SIZES, dim="65"))
    assert (status, said, len(errors.splitlines())) == (1, [], 1)
    for part in ("./bert_train/bert_config_sample_65.json", "dim=",
                 "bert_config_file="):
        assert part in errors


# A stand-in for the environment's python: says what it is asked to run.
SAYS_ITS_SCRIPT = """
case "$1 $2" in
  *prepare_data*|*make_sample*) echo "$2 ${3-}" >> "$LOG"; exit "$STATUS";;
  -u*) echo "$2" >> "$LOG"; printf '%s\n' "$@" >> "$LOG.words";;
esac"""


def run_dataset(machine, folder, name, status=0, there=False):
    """(status, the scripts that run_<name>.sh runs) in a copy of the project."""
    copy_project(folder, "run_%s.sh" % name)
    shutil.copytree(os.path.join(ROOT, "bert_train"),
                    str(folder / "bert_train"))
    if there:
        (folder / "data" / (name + ".txt")).write_text("1 1\n")
    machine.add_venv(SAYS_ITS_SCRIPT)
    done, _, _ = machine.run_copy(folder, "run_%s.sh" % name, environment=dict(
        STATUS=str(status)))
    return done, (folder / "log").read_text().splitlines()


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_interactions_file_is_made_first(machine, tmp_path, name):
    make = ("data/make_sample.py " if name == "sample"
            else "data/prepare_data.py " + name)
    assert run_dataset(machine, tmp_path, name) == (
        0, [make, "gen_data_fin.py", "run.py"])


# L, M, masked_lm_prob, prop_sliding_window, dim, num_train_steps.
PUBLISHED = {"ml-1m": (200, 40, 0.2, 0.5, 64, 400000),
             "beauty": (50, 30, 0.6, 0.1, 64, 400000),
             "steam": (50, 20, 0.4, 0.5, 256, 800000),
             "ml-20m": (200, 20, 0.2, 0.5, 64, 400000)}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_dataset_has_the_published_hyper_parameters(machine, tmp_path, name):
    length, masks, prob, window, dim, steps = PUBLISHED[name]
    run_dataset(machine, tmp_path, name, there=True)
    words = (tmp_path / "log.words").read_text().splitlines()
    start = words.index("run.py")
    signature = "-mp1.0-sw%s-mlp%s-df10-mpps%d-msl%d" % (
        window, prob, masks, length)
    assert {"--dataset_name=" + name, "--max_seq_length=%d" % length,
            "--max_predictions_per_seq=%d" % masks, "--mask_prob=1.0",
            "--dupe_factor=10", "--masked_lm_prob=%s" % prob,
            "--prop_sliding_window=%s" % window, "--signature=" + signature,
            "--holdout_validation=False"} <= set(words[:start])
    assert {"--checkpointDir=./checkpoints/%s%s-%d" % (name, signature, dim),
            "--bert_config_file=./bert_train/bert_config_%s_%d.json"
            % (name, dim), "--attention_form=cross_published",
            "--max_seq_length=%d" % length,
            "--max_predictions_per_seq=%d" % masks,
            "--num_train_steps=%d" % steps, "--batch_size=256",
            "--learning_rate=1e-4", "--num_warmup_steps=100",
            "--output_bias=zeros", "--random_seed=12345"
            } <= set(words[start:])


def test_an_interactions_file_that_is_there_is_taken(machine, tmp_path):
    assert run_dataset(machine, tmp_path, "steam", there=True) == (
        0, ["gen_data_fin.py", "run.py"])


def test_a_dataset_that_cannot_be_made_ends_the_script(machine, tmp_path):
    assert run_dataset(machine, tmp_path, "ml-1m", status=1) == (
        1, ["data/prepare_data.py ml-1m"])
