"""run_own.sh: which commands it runs on which file, with stand-ins for them."""

import os
import shlex

import pytest

from conftest import ROOT
from stand_ins import copy_project, Machine

COLUMNS = ("--user_column=u", "--item_column=i", "--time_column=t")
DEFAULTS = "-mp1.0-sw0.5-mlp0.4-df10-mpps8-msl20-ho"

# Says what it is asked to run, and makes what the script looks for. What
# FAILING names fails.
PYTHON = """
[ "$1" != -u ] || shift
case "$1" in *.py) echo "$*" >> "$LOG";; esac
[ "$1" != "${FAILING:-}" ] || exit 1
for word; do case "$word" in
  --name=*|--dataset_name=*) name=${word#*=};;
  --data_dir=*) folder=${word#*=};;
  --signature=*) signature=${word#*=};;
  --input=*) input=${word#*=};;
esac; done
case "$1" in
  data/prepare_data.py) cat "$input" > "${folder:-data}/$name.txt";;
  data/choose_sizes.py)
    echo "max_seq_length=20 max_predictions_per_seq=8  # short"
    echo "masked_lm_prob=0.4 prop_sliding_window=0.5  # why not"
    echo "dupe_factor=10 dim=64 batch_size=256"
    echo "eval_every_steps=100 num_train_steps=900"
    echo {} > of-these-sizes.json
    echo "bert_config_file=of-these-sizes.json";;
  gen_data_fin.py) echo x > "$folder/$name$signature.train.tfrecord";;
  run.py|report.py)
    for word; do case "$word" in
      --checkpointDir=*)
        mkdir -p "${word#*=}"
        [[ " $* " == *" --do_eval=False "* ]] \
          || echo "${FOUND:-1}" > "${word#*=}/eval_results.txt";;
      --output=*) mkdir -p "${word#*=}"; echo x > "${word#*=}/report.html";;
    esac; done
    echo "tables";;
esac"""


class Project(object):
    """A copy of the project beside somebody's ratings.csv."""

    def __init__(self, folder):
        (folder / "bin").mkdir()
        self.home = folder / "home"
        self.home.mkdir()
        self.ratings = self.home / "ratings.csv"
        self.ratings.write_text("u,i,t\nann,mug,1\n")
        self.folder = folder / "project"
        self.folder.mkdir()
        copy_project(self.folder, "run_own.sh", "requirements-report.txt")
        self._machine = Machine(folder / "bin")
        self._machine.add_venv(PYTHON)

    def run(self, *arguments, **environment):
        """(status, the commands that were run, output, errors)."""
        log = self.folder / "log"
        log.write_text("")
        status, output, errors = self._machine.run_copy(
            self.folder, "run_own.sh", *arguments, cwd=str(self.home),
            environment=environment)
        return status, log.read_text().splitlines(), output, errors

    def refused(self, *arguments, **environment):
        """The one line with which it ends before any command."""
        status, commands, output, errors = self.run(*arguments, **environment)
        assert (status, commands, output) == (1, [], "")
        line, = [line for line in errors.splitlines()
                 if not line.startswith("setting up")]
        assert line.startswith("run_own.sh: error: ")
        return line


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def scripts(commands):
    return [command.split()[0] for command in commands]


ALL = ["data/prepare_data.py", "data/choose_sizes.py", "gen_data_fin.py",
       "run.py", "report.py"]
AGAIN = ["data/choose_sizes.py", "run.py"]     # run.py knows how far it was


# --- from the file to the report --------------------------------------------

def test_a_file_is_prepared_generated_trained_and_reported(project):
    status, commands, _, errors = project.run("ratings.csv", *COLUMNS)
    assert status == 0, errors
    assert scripts(commands) == ALL
    prepare, choose, generate, train, report = map(str.split, commands)
    # The file is found from where the caller is.
    assert prepare[1:] == list(COLUMNS) + [
        "--name=ratings", "--data_dir=./data/", "--input=%s" % project.ratings]
    assert choose[1:] == ["./data/ratings.txt"]
    model = "./checkpoints/ratings%s-64" % DEFAULTS
    for word in ("--dataset_name=ratings", "--max_seq_length=20",
                 "--signature=" + DEFAULTS, "--holdout_validation=True"):
        assert word in generate
    for word in ("--valid_input_file=./data/ratings%s.valid.tfrecord"
                 % DEFAULTS, "--checkpointDir=" + model,
                 "--bert_config_file=of-these-sizes.json",
                 "--output_bias=log_popularity", "--learning_rate=1e-3",
                 "--early_stopping_patience=5", "--eval_every_steps=100",
                 "--num_train_steps=900"):
        assert word in train
    assert report[1:] == [
        model, "--output=report/ratings%s-64" % DEFAULTS]


def test_it_prints_sizes_with_reasons_and_what_to_do_next(project):
    _, _, output, _ = project.run("ratings.csv", *COLUMNS)
    lines = output.splitlines()
    assert lines[0] == "max_seq_length=20 max_predictions_per_seq=8  # short"
    assert lines.count("tables") == 1      # run.py's, not those of the report
    python = project.folder / "venvs" / "3.11" / "bin"
    assert lines[-4:] == [
        "the report:      report/ratings%s-64/report.html" % DEFAULTS,
        "recommend:       %s/python run.py --do_predict --checkpointDir="
        "./checkpoints/ratings%s-64" % (python, DEFAULTS),
        "the curves:      %s/tensorboard --logdir ./checkpoints" % python,
        "evaluate again:  %s/python run.py --do_eval --checkpointDir="
        "./checkpoints/ratings%s-64" % (python, DEFAULTS)]


def test_what_to_do_next_can_be_pasted_where_folders_have_spaces(project):
    _, _, output, _ = project.run("ratings.csv", *COLUMNS,
                                  CKPT_DIR="./it's here")
    model = "./it's here/ratings%s-64" % DEFAULTS
    recommend, curves, again = map(shlex.split, output.splitlines()[-3:])
    assert recommend[-2:] == ["--do_predict", "--checkpointDir=" + model]
    assert curves[-2:] == ["--logdir", "./it's here"]
    assert again[-1] == "--checkpointDir=" + model


def test_flags_go_to_prepare_data_and_after_two_hyphens_to_run(project):
    _, commands, _, _ = project.run(
        str(project.ratings), "--name=shop", "--ties=item-id", *COLUMNS
        + ("--", "--xla", "--attention_form=self"))
    prepare, _, _, train, report = map(str.split, commands)
    for word in ("--name=shop", "--ties=item-id"):
        assert word in prepare
    assert train[-2:] == ["--xla", "--attention_form=self"]
    model = "./checkpoints/shop%s-64-self" % DEFAULTS
    assert "--checkpointDir=" + model in train and model in report


def test_another_dataset_of_a_longer_name_is_not_in_the_way(project):
    (project.folder / "checkpoints" / ("shop-2" + DEFAULTS)).mkdir(parents=True)
    flags = ("--name=shop",) + COLUMNS
    assert project.run("ratings.csv", *flags, FAILING="run.py")[0] == 1
    project.ratings.write_text("u,i,t\nbob,mug,1\n")
    status, commands, _, errors = project.run("ratings.csv", *flags)
    assert status == 0, errors
    assert scripts(commands)[0] == "data/prepare_data.py"


def test_without_evaluation_there_is_no_report(project):
    status, commands, output, errors = project.run(
        "ratings.csv", *COLUMNS + ("--", "--do_eval=False"))
    assert status == 0, errors
    assert scripts(commands) == ALL[:-1] and "the report:" not in output


def test_the_same_file_may_have_moved(project):
    project.run("ratings.csv", *COLUMNS)
    (project.home / "new").mkdir()
    project.ratings.rename(project.home / "new" / "ratings.csv")
    status, commands, _, _ = project.run("new/ratings.csv", *COLUMNS)
    assert (status, scripts(commands)) == (0, AGAIN)


def test_another_data_dir_holds_all_of_the_data(project):
    elsewhere = project.home / "disk"
    elsewhere.mkdir()
    _, commands, _, _ = project.run(
        "ratings.csv", "--data_dir=disk", *COLUMNS)     # from the caller's
    assert scripts(commands) == ALL
    assert "--data_dir=%s/" % elsewhere in commands[2].split()
    assert "--vocab_filename=%s/ratings%s.vocab" % (
        elsewhere, DEFAULTS) in commands[3].split()
    assert list((project.folder / "data").iterdir()) == []


def test_what_the_environment_sets_is_not_chosen(project):
    _, commands, _, _ = project.run(
        "ratings.csv", *COLUMNS, max_seq_length="30", dim="128",
        learning_rate="3e-3", early_stopping_patience="2")
    assert commands[1].split()[2:] == ["--max_seq_length=30", "--dim=128"]
    for word in ("--learning_rate=3e-3", "--early_stopping_patience=2"):
        assert word in commands[3].split()


def test_a_model_config_of_the_environment_is_taken(project):
    (project.folder / "mine.json").write_text("{}")
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS,
                                    bert_config_file="mine.json")
    assert "--bert_config_file=mine.json" in commands[3].split()


# --- again ------------------------------------------------------------------

def test_the_same_command_again_prepares_and_generates_nothing(project):
    project.run("ratings.csv", *COLUMNS)
    status, commands, _, errors = project.run("ratings.csv", *COLUMNS)
    assert (status, scripts(commands)) == (0, AGAIN)
    for name in ("./data/ratings.txt",
                 "./data/ratings%s.train.tfrecord" % DEFAULTS,
                 "report/ratings%s-64/report.html" % DEFAULTS):
        assert name + " is there already" in errors


def test_other_results_make_another_report(project):
    project.run("ratings.csv", *COLUMNS)
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS, FOUND="2")
    assert scripts(commands) == AGAIN + ["report.py"]


@pytest.mark.parametrize("failing", ALL)
def test_what_failed_is_done_again_and_what_had_not_is_not(project, failing):
    status, commands, _, _ = project.run(
        "ratings.csv", *COLUMNS, FAILING=failing)
    assert (status, scripts(commands)) == (1, ALL[:ALL.index(failing) + 1])
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS)
    made = ALL[:ALL.index(failing)]
    assert scripts(commands) == [
        name for name in ALL if name not in made or name in AGAIN]


def test_changed_data_are_prepared_anew_while_no_model_knows_them(project):
    project.run("ratings.csv", *COLUMNS, FAILING="data/choose_sizes.py")
    project.ratings.write_text("u,i,t\nann,mug,1\nbob,mug,2\n")
    _, commands, _, _ = project.run(
        "ratings.csv", *COLUMNS, FAILING="data/choose_sizes.py")
    assert scripts(commands) == ALL[:2]
    _, commands, _, _ = project.run(
        "ratings.csv", "--min_item_count=2", *COLUMNS)
    assert scripts(commands) == ALL


def test_data_that_a_model_was_trained_on_are_not_overwritten(project):
    project.run("ratings.csv", *COLUMNS)
    line = project.refused("ratings.csv", "--min_item_count=2", *COLUMNS)
    for part in ("./data/ratings.txt", "--name", "remove"):
        assert part in line
    project.ratings.write_text("u,i,t\nann,mug,1\nbob,mug,2\n")
    assert project.refused("ratings.csv", *COLUMNS) == line
    status, _, _, _ = project.run("ratings.csv", "--name=newer", *COLUMNS)
    assert status == 0


def test_interactions_that_it_did_not_make_are_not_overwritten(project):
    sample = project.folder / "data" / "sample.txt"
    sample.write_text("7 7\n")
    assert "./data/sample.txt was made of other data" in project.refused(
        "ratings.csv", "--name=sample", *COLUMNS)
    assert sample.read_text() == "7 7\n"


def test_interactions_that_were_changed_since_are_made_anew(project):
    project.run("ratings.csv", *COLUMNS, FAILING="run.py")
    made = project.folder / "data" / "ratings.txt"
    before = made.read_text()
    made.write_text("7 7\n")
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS)
    assert scripts(commands)[0] == "data/prepare_data.py"
    assert made.read_text() == before
    # Now there is a model of them.
    made.write_text("7 7\n")
    assert "./data/ratings.txt was made of other data" in project.refused(
        "ratings.csv", *COLUMNS)
    assert made.read_text() == "7 7\n"


def test_generated_files_follow_the_interactions(project):
    project.run("ratings.csv", *COLUMNS, FAILING="run.py")
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS, FAILING="run.py")
    assert "gen_data_fin.py" not in scripts(commands)
    project.ratings.write_text("u,i,t\nbob,mug,1\n")
    _, commands, _, _ = project.run("ratings.csv", *COLUMNS)
    assert "gen_data_fin.py" in scripts(commands)


def test_other_masks_generate_anew_under_the_same_signature(project):
    for mask_prob, generated in (("1.0", True), ("1.0", False), ("0.5", True)):
        _, commands, _, _ = project.run("ratings.csv", *COLUMNS,
                                        signature="-a", mask_prob=mask_prob)
        assert ("gen_data_fin.py" in scripts(commands)) == generated


# --- what cannot be ---------------------------------------------------------

@pytest.mark.parametrize("arguments, part", [
    ((), "the file comes first"),
    (COLUMNS + ("ratings.csv",), "the file comes first"),
    (("nope.csv",) + COLUMNS, "no file nope.csv"),
    (("ratings.csv", "--user_column", "u"), "'u' is not a flag"),
    (("ratings.csv", "--name=") + COLUMNS, "no name; give them one with")])
def test_wrong_arguments_are_one_line_before_the_set_up(
        project, arguments, part):
    assert part in project.refused(*arguments)
    assert not (project.folder / "venvs").exists()


def test_it_can_be_called_directly():
    assert os.access(os.path.join(ROOT, "run_own.sh"), os.X_OK)
