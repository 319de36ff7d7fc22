"""Which sizes are chosen for which data, and how they are printed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

import modeling
from conftest import ROOT, command
from data import choose_sizes
from data.choose_sizes import SIZES, choose, model_config


def chosen(lengths, **given):
    """The values for users with these numbers of interactions: dict."""
    return {name: choice.value for name, choice in choose(
        np.array(lengths), given).items()}


# --- the rules --------------------------------------------------------------

@pytest.mark.parametrize("lengths, length", [
    ([3, 4, 5], 10), ([11], 20), ([51], 100), ([100], 100), ([101], 200),
    ([2000], 200),
    ([10] * 9 + [300], 10),         # 90 % of the users, one is cut
    ([10] * 8 + [300] * 2, 200)])   # 80 % are too few
def test_l_is_the_first_that_holds_nine_of_ten_sequences(lengths, length):
    assert chosen(lengths)["max_seq_length"] == length


@pytest.mark.parametrize("lengths, share", [
    ([9, 10], 0.6), ([10, 10], 0.4), ([3, 96], 0.4), ([3, 97], 0.2)])
def test_of_short_sequences_a_larger_share_is_masked(lengths, share):
    assert chosen(lengths)["masked_lm_prob"] == share


@pytest.mark.parametrize("given, most", [
    ({}, 20),                                              # 0.4 of 50
    ({"masked_lm_prob": 0.25}, 12),                        # 12.5, to the even
    ({"max_seq_length": 7, "masked_lm_prob": 0.5}, 4),     # 3.5, to the even
    ({"max_seq_length": 3, "masked_lm_prob": 0.1}, 1)])
def test_m_is_what_is_masked_of_a_full_window(given, most):
    assert chosen([3] * 8 + [50] * 2, **given)[
        "max_predictions_per_seq"] == most


@pytest.mark.parametrize("lengths, step", [
    ([3, 22], -1.0),    # L is 20, and 22 - 2 are trained on
    ([3, 23], 0.5)])
def test_windows_overlap_where_a_user_has_several(lengths, step):
    assert chosen(lengths, max_seq_length=20)["prop_sliding_window"] == step


@pytest.mark.parametrize("lengths, given, counted", [
    ([3, 4, 2], {}, "3 windows"),
    # 30 of 32 are trained on: windows at 0, 5, 10, 15 and 20.
    ([32], {"max_seq_length": 10}, "5 windows"),
    ([32, 3], {"max_seq_length": 10, "prop_sliding_window": -1.0},
     "4 windows")])
def test_windows_are_counted_without_the_items_held_out(
        lengths, given, counted):
    reason = choose(np.array(lengths), given)["dupe_factor"].reason
    assert reason.startswith(counted + ", ")


@pytest.mark.parametrize("users, factor", [
    (7, 10), (181818, 10),     # 11 instances of each are 1,999,998
    (181819, 9), (1000000, 1), (3000000, 1)])
def test_many_windows_have_fewer_maskings(users, factor):
    assert chosen([3] * users)["dupe_factor"] == factor


@pytest.mark.parametrize("interactions, width", [
    (1999999, 64), (2000000, 128), (19999999, 128), (20000000, 256)])
def test_more_interactions_make_a_wider_model(interactions, width):
    assert chosen([interactions])["dim"] == width


@pytest.mark.parametrize("users, steps", [
    (40, 100),         # an epoch is 11 * 40 / 256 = 2 steps
    (6000, 300),       # 257.8
    (50000, 1000),     # 2148.4 are long to wait for
    (100000, 1400)])   # 10 / 3 * 100,000 / 256 = 1302.1 for a tenth
def test_a_validation_comes_with_an_epoch_within_bounds(users, steps):
    sizes = chosen([3] * users)
    assert sizes["eval_every_steps"] == steps
    assert sizes["num_train_steps"] == 100 * steps


def test_smaller_batches_make_longer_epochs():
    sizes = chosen([3] * 6000, batch_size=128)
    assert sizes["eval_every_steps"] == 600      # 515.6


# --- what is given ----------------------------------------------------------

def test_what_is_given_stays_and_the_rest_follows():
    sizes = chosen([5] * 10, max_seq_length=7, dim=48)
    assert (sizes["max_seq_length"], sizes["dim"]) == (7, 48)
    assert sizes["max_predictions_per_seq"] == 4     # 0.6 of 7


def test_everything_can_be_given():
    given = {name: 1 for name in SIZES}
    assert choose(np.array([4]), given) == {
        name: (1, "given") for name in SIZES}


def test_a_step_of_no_items_is_an_error():
    with pytest.raises(ValueError, match="prop_sliding_window 0.01 of max_seq"):
        choose(np.array([40]), {"prop_sliding_window": 0.01,
                                "max_seq_length": 20})


def test_users_that_cannot_be_tested_are_an_error():
    assert chosen([2, 3])["max_seq_length"] == 10
    with pytest.raises(ValueError) as error:
        choose(np.array([2, 1, 2]), {})
    assert "none of the 3 users has 3 interactions" in str(error.value)


# --- the model --------------------------------------------------------------

@pytest.mark.parametrize("width, heads", [
    (64, 2), (128, 4), (256, 8), (48, 1), (100, 2), (7, 1)])
def test_heads_are_32_wide_or_more_and_divide_the_model(width, heads):
    assert model_config(width, 13)["num_attention_heads"] == heads


def test_the_model_config_is_one_of_those_that_are_shipped():
    with open(os.path.join(
            ROOT, "bert_train", "bert_config_ml-20m_128.json")) as stream:
        shipped = json.load(stream)
    del shipped["vocab_size"]                 # run.py asks the vocabulary
    assert model_config(128, 200) == shipped
    modeling.BertConfig.from_dict(model_config(128, 200))


# --- the command ------------------------------------------------------------

@pytest.fixture
def shop(tmp_path):
    """Interactions in a folder whose name a shell would take apart."""
    folder = tmp_path / "it's $HOME"
    folder.mkdir()
    (folder / "shop.txt").write_text("".join(
        "%d %d\n" % (user, item) for user in range(1, 6)
        for item in range(1, 13)))
    return folder / "shop.txt"


def test_a_shell_can_take_over_what_is_printed(shop):
    status, output, errors = command(
        "data/choose_sizes.py", str(shop), "--dim=96")
    assert status == 0, errors
    assert len(output.splitlines()) == len(SIZES) + 1
    assert all("  # " in line for line in output.splitlines())
    said = subprocess.check_output(
        ["bash", "-uc", 'eval "$1"; echo "$max_seq_length $masked_lm_prob '
         '$max_predictions_per_seq $dim"; cat "$bert_config_file"', "-",
         output]).decode()
    sizes, _, config = said.partition("\n")
    assert sizes == "20 0.4 8 96"             # 12 interactions per user
    assert json.loads(config) == model_config(96, 20)
    assert sorted(path.name for path in shop.parent.iterdir()) == [
        "shop-msl20-96.bert_config.json", "shop.txt"]


def config_of(shop):
    """What the command says of the model config of these interactions."""
    return choose_sizes.write_model_config(
        str(shop)[:-len(".txt")], choose(np.array([12] * 5), {}))


def test_an_edited_model_config_is_kept_and_said(shop, capsys):
    path, reason = config_of(shop)
    capsys.readouterr()
    with open(path) as stream:
        written = stream.read()
    for content, reason_then in ((written, reason),
                                 ("{}", "as it was there")):
        with open(path, "w") as stream:
            stream.write(content)
        os.utime(path, (7, 7))
        assert config_of(shop) == (path, reason_then)
        assert os.path.getmtime(path) == 7
    line, = capsys.readouterr().err.splitlines()
    assert "kept %s, which differs" % path in line and "remove it" in line


def test_a_closed_folder_serves_where_the_model_config_is_there(bound, shop):
    asked = ("data/choose_sizes.py", str(shop))
    shop.parent.chmod(0o555)
    status, output, errors = command(*asked, start=bound)
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert "the folder %s cannot be written to" % shop.parent in errors
    shop.parent.chmod(0o755)
    config_of(shop)
    shop.parent.chmod(0o555)
    status, _, errors = command(*asked, start=bound)
    assert (status, errors) == (0, "")


def test_a_reader_that_leaves_early_is_one_line(shop):
    closed, stream = os.pipe()
    os.close(closed)
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "data", "choose_sizes.py"),
         str(shop)], stdout=stream, stderr=subprocess.PIPE)
    os.close(stream)
    errors = process.communicate()[1].decode()
    assert process.returncode == 1 and errors == (
        "choose_sizes.py: error: [Errno 32] Broken pipe\n")


@pytest.mark.parametrize("arguments, parts", [
    ([], ["one interactions file"]),
    (["ratings.csv"], ["one interactions file", "prepare_data.py"]),
    (["nope.txt"], ["nope.txt"])])
def test_no_interactions_file_is_one_line(tmp_path, arguments, parts):
    status, output, errors = command(
        "data/choose_sizes.py", *arguments, cwd=str(tmp_path))
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith("choose_sizes.py: error: ")
    for part in parts:
        assert part in errors


def test_users_that_cannot_be_tested_are_one_line_with_the_file(tmp_path):
    (tmp_path / "pairs.txt").write_text("1 1\n1 2\n2 1\n")
    status, _, errors = command(
        "data/choose_sizes.py", "pairs.txt", cwd=str(tmp_path))
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "pairs.txt: none of the 2 users" in errors
    assert len(list(tmp_path.iterdir())) == 1


def test_every_size_is_a_flag_that_is_unset_by_itself():
    values = flags.FlagValues()
    choose_sizes.define_flags(values)
    values(("choose_sizes.py", "--prop_sliding_window=-1"))
    assert {name for name in SIZES if values[name].present} == {
        "prop_sliding_window"}
