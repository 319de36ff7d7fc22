"""What a model directory tells of itself, and what a call must say."""

import argparse
import json

import pytest

from experiment.recall import complete, of_directory

RECORD = {
    "data_files": {}, "validation": "held out", "seed": 12345,
    "started_from_step": 0,
    "flags": {"batch_size": 7, "protocols": ["paper", "full"], "xla": False,
              "do_train": True, "init_checkpoint": "older", "gone": 3,
              "top_k": 3, "predict_user": "9", "items_file": "x.items.tsv",
              "vocab_filename": None, "attention_form": "self",
              "bert_config_file": "elsewhere.json"}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run_config.json").write_text(json.dumps(RECORD))
    (tmp_path / "bert_config.json").write_text("{}")
    return tmp_path


def completed(folder, *given, **values):
    defaults = dict(
        checkpointDir=str(folder), signature="", batch_size=256, xla=False,
        protocols=["seed"], do_train=False, init_checkpoint=None, top_k=10,
        predict_user=None, items_file=None, vocab_filename=None,
        attention_form=None, bert_config_file=None)
    return vars(complete(argparse.Namespace(**dict(defaults, **values)),
                         set(given)))


def test_flags_that_are_not_given_are_those_of_the_record(folder, capsys):
    values = completed(folder)
    assert values["batch_size"] == 7
    assert values["protocols"] == ["paper", "full"]
    assert values["bert_config_file"] == str(folder / "bert_config.json")
    assert "gone" not in values                  # of another version
    logged, = capsys.readouterr().err.splitlines()
    for part in (str(folder), "batch_size=7", "protocols=paper,full",
                 "bert_config_file="):
        assert part in logged
    assert "xla" not in logged                   # as it would be anyway


def test_a_given_flag_wins_even_at_its_default(folder):
    values = completed(folder, "batch_size", "bert_config_file",
                       bert_config_file="mine.json")
    assert values["batch_size"] == 256
    assert values["bert_config_file"] == "mine.json"


def test_an_id_map_that_is_gone_is_looked_for_beside_a_given_vocabulary(
        folder, tmp_path):
    def maps(*given, **changes):
        return [completed(folder, *given, **changes)["items_file"],
                of_directory(str(folder), changes).items_file]

    assert maps() == ["x.items.tsv"] * 2
    moved = {"vocab_filename": str(tmp_path / "a.vocab")}
    assert maps("vocab_filename", **moved) == [
        str(tmp_path / "x.items.tsv")] * 2
    assert maps("vocab_filename", "items_file", items_file="y.items.tsv",
                **moved) == ["y.items.tsv"] * 2
    there = tmp_path / "there.items.tsv"
    there.write_text(u"")
    (folder / "run_config.json").write_text(json.dumps(dict(
        RECORD, flags=dict(RECORD["flags"], items_file=str(there)))))
    assert maps("vocab_filename", **moved) == [str(there)] * 2


def test_what_a_call_is_to_do_is_not_taken_nor_is_the_form(folder):
    values = completed(folder)
    assert values["do_train"] is False and values["init_checkpoint"] is None
    assert values["top_k"] == 10 and values["predict_user"] is None
    assert values["items_file"] == "x.items.tsv"  # part of the data
    assert values["attention_form"] is None      # bert_config.json has it


def test_a_new_directory_has_nothing_to_tell(tmp_path, capsys):
    assert completed(tmp_path / "new")["batch_size"] == 256
    assert capsys.readouterr().err == ""


def test_the_signature_is_part_of_the_directory(folder):
    assert completed(folder.parent, signature="/" + folder.name)[
        "batch_size"] == 7


def test_a_checkpoint_that_is_named_brings_its_own_record(folder, tmp_path):
    for named in (folder, folder / "model.ckpt-3"):
        values = completed(folder / "new", init_checkpoint=str(named))
        assert values["batch_size"] == 7
        assert values["bert_config_file"] == str(folder / "bert_config.json")


def test_a_training_that_starts_from_a_checkpoint_does_not_take_its_record(
        folder):
    values = completed(folder / "new", do_train=True,
                       init_checkpoint=str(folder / "model.ckpt-3"))
    assert values["batch_size"] == 256


def test_a_training_without_a_checkpoint_begins_from_what_it_was_to(folder):
    assert completed(folder, do_train=True)["init_checkpoint"] == "older"
    assert completed(folder, "init_checkpoint", do_train=True,
                     init_checkpoint="mine")["init_checkpoint"] == "mine"


def test_a_training_that_goes_on_still_tells_what_it_began_from(folder):
    (folder / "model.ckpt-7.index").write_bytes(b"")
    assert completed(folder, do_train=True)["init_checkpoint"] == "older"


def test_from_python_a_directory_gives_all_but_what_the_call_is_to_do(folder):
    values = vars(of_directory(str(folder), dict(do_predict=True, xla=True)))
    assert values["batch_size"] == 7 and values["xla"] is True
    assert values["do_predict"] is True and not values["do_train"]
    assert values["top_k"] is values["init_checkpoint"] is None
    assert values["checkpointDir"] + values["signature"] == str(folder)
    assert values["bert_config_file"] == str(folder / "bert_config.json")


def test_from_python_a_directory_without_a_record_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no run_config.json in"):
        of_directory(str(tmp_path), {})
