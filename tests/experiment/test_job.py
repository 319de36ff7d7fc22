"""Bad input to run.py, found before any graph is built."""

import argparse
import json
import shutil
from unittest import mock

import pytest

import conftest
import evaluation
import gen_data_fin
import run
from conftest import (
    CONFIG, ITEMS, LENGTH, MASKED, USERS, command, in_process, run_flags)
from data import generation
from data.sequences import read_sequences
from experiment import job
from experiment.job import check_job


def config_with(folder, **changes):
    path = folder / "changed.json"
    path.write_text(json.dumps(dict(CONFIG, **changes)))
    return str(path)


def arguments(dataset, folder, **changes):
    """The flags of run.py as main() hands them to the checks."""
    values = dict(
        do_train=True, do_eval=True, init_checkpoint=None, attention_form=None,
        mixed_precision=False,
        hidden_dropout_prob=None, attention_probs_dropout_prob=None,
        output_bias="zeros",
        protocols=list(evaluation.PROTOCOLS), num_sampled=0,
        valid_input_file=None, eval_every_steps=0, early_stopping_patience=0,
        selection_metric="paper/ndcg@10", candidates_file=None, eval_seeds=1,
        ignore_checksums=False, allow_missing_users=False, eval_users=None,
        distribution_strategy="none",
        eval_batch_size=256, do_predict=False, do_export=False,
        export_embeddings=False, top_k=10, predict_input_file=None,
        predict_output_file=None, predict_user=None, predict_items=None,
        items_file=None)
    values.update(flag.lstrip("-").split("=", 1) for flag in run_flags(
        dataset, folder / "model"))
    values.update(max_seq_length=LENGTH, max_predictions_per_seq=MASKED,
                  batch_size=7)
    values.update({key: str(value) if key.endswith(("file", "filename",
                                                    "init_checkpoint"))
                   else value for key, value in changes.items()})
    return argparse.Namespace(**values)


def predicting(trained, **changes):
    """Changes for a job that recommends with a trained model alone."""
    return dict(dict(
        do_train=False, do_eval=False, do_predict=True,
        output_bias="log_popularity",
        init_checkpoint=trained[0] / "run" / "model.ckpt-5"), **changes)


def assert_refused(dataset, folder, *parts, **changes):
    """The checks raise one ValueError that has all the parts, write nothing."""
    with pytest.raises(ValueError) as error:
        check_job(arguments(dataset, folder, **changes))
    for part in parts:
        assert part in str(error.value)
    assert not (folder / "model").exists()


def test_an_error_is_one_line_with_status_1_and_no_traceback(dataset, tmp_path):
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path / "model", do_train=True, train_input_file="nowhere"))
    assert (status, output) == (1, "")
    assert errors == (
        "run.py: error: --train_input_file: no file matches 'nowhere'; "
        "generate it with gen_data_fin.py, or correct the name\n")
    assert not (tmp_path / "model").exists()


def test_nothing_to_do(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--do_train", do_train=False,
                   do_eval=False)


def test_a_missing_input_file(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--train_input_file", "nowhere*",
                   train_input_file="nowhere*")


@pytest.mark.parametrize("flag", ["vocab_filename", "user_history_filename"])
def test_two_files_where_one_is_needed(dataset, tmp_path, flag):
    path = getattr(arguments(dataset, tmp_path), flag)
    shutil.copy(path, str(tmp_path / "second"))
    two = "%s,%s" % (path, tmp_path / "second")
    assert_refused(dataset, tmp_path, "--%s=%s names 2 files; one is needed"
                   % (flag, two), **{flag: two})


def test_an_empty_input_file(dataset, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert_refused(dataset, tmp_path, "--test_input_file", "empty",
                   test_input_file=tmp_path / "empty")


def test_a_training_file_with_a_missing_shard(dataset, tmp_path):
    for index in (0, 2):
        (tmp_path / ("x.train.tfrecord-%05d-of-00003" % index)).write_bytes(b"x")
    assert_refused(dataset, tmp_path, "--train_input_file", "missing 00001",
                   train_input_file="%s/x.train.tfrecord-*-of-00003" % tmp_path)


def test_a_file_that_is_no_tfrecord(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "tiny-x.vocab", "TFRecord",
                   train_input_file=dataset.prefix + ".vocab")


def test_lengths_that_differ_from_the_flags(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--max_seq_length=11", max_seq_length=12)
    assert_refused(dataset, tmp_path, "--max_predictions_per_seq=3",
                   max_predictions_per_seq=4)


def test_a_length_above_the_position_embeddings(dataset, tmp_path):
    assert_refused(
        dataset, tmp_path, "--max_seq_length=11", "max_position_embeddings 10",
        bert_config_file=config_with(tmp_path, max_position_embeddings=10))


def test_a_vocabulary_that_does_not_fit_the_config(dataset, tmp_path):
    assert_refused(
        dataset, tmp_path, "vocab_size is 99", '"vocab_size": %d' % (ITEMS + 4),
        bert_config_file=config_with(tmp_path, vocab_size=99))


def test_an_unknown_config_key(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "changed.json", "'hiden_size'", "77",
                   bert_config_file=config_with(tmp_path, hiden_size=77))


def test_a_pickle_with_a_foreign_class(dataset, tmp_path):
    evil = tmp_path / "evil.vocab"
    evil.write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR."
                     % str(tmp_path / "touched").encode())
    assert_refused(dataset, tmp_path, "posix.system", vocab_filename=evil)
    assert not (tmp_path / "touched").exists()


def test_an_unknown_protocol(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "'popular'", "seed, paper, uniform, full",
                   protocols=["seed", "popular"])


def test_a_protocol_that_is_named_twice(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--protocols=seed,full,seed names one "
                   "twice", protocols=["seed", "full", "seed"])


@pytest.mark.parametrize("metric", ["paper/ndcg@20", "papers/ndcg@10", "ap",
                                    "paper/", "paper/ap/low"])
def test_an_unknown_selection_metric(dataset, tmp_path, metric):
    assert_refused(dataset, tmp_path, repr(metric), "seed, paper, uniform, full",
                   "ndcg@1, hit@1, ndcg@5, hit@5, ndcg@10, hit@10, ap",
                   selection_metric=metric)


@pytest.mark.parametrize("flag", ["eval_every_steps",
                                  "early_stopping_patience"])
def test_validation_flags_without_a_validation_file(dataset, tmp_path, flag):
    assert_refused(dataset, tmp_path, "--%s=3" % flag, "--valid_input_file",
                   "--holdout_validation", **{flag: 3})


def test_validation_items_that_are_in_the_training_file(dataset, held_out,
                                                        tmp_path):
    assert_refused(
        dataset, tmp_path, "--train_input_file", "--holdout_validation",
        valid_input_file=held_out.prefix + ".valid.tfrecord")


def test_going_on_without_the_validation_a_training_began_with(
        held_out, selected, tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "again" / "run"))
    assert_refused(held_out, tmp_path, "best", "--valid_input_file",
                   checkpointDir=str(tmp_path / "again"), signature="/run")


@pytest.mark.parametrize("flag", ["test_input_file", "vocab_filename",
                                  "user_history_filename"])
def test_other_data_than_those_of_the_training(dataset, trained, tmp_path,
                                               flag):
    ending = {"test_input_file": ".test.tfrecord", "vocab_filename": ".vocab",
              "user_history_filename": ".his"}[flag]
    conftest.write_interactions(tmp_path / "tiny.txt", seed=8)
    gen_data_fin.generate(
        str(tmp_path / "tiny.txt"), str(tmp_path / "other"),
        generation.Options(LENGTH, MASKED, 1.0, 1, 0.3, 0.5, 1), 1)
    changes = {flag: str(tmp_path / "other") + ending, "do_train": False,
               "init_checkpoint": trained[0] / "run" / "model.ckpt-5"}
    assert_refused(dataset, tmp_path, "--%s: other%s" % (flag, ending),
                   "--ignore_checksums", **changes)
    job = check_job(arguments(dataset, tmp_path, ignore_checksums=True,
                                     **changes))
    assert job.checksums[flag] and job.validation == "folded into train"


def test_candidates_that_lack_users(dataset, tmp_path):
    sequences = read_sequences(str(dataset.folder / "tiny.txt"))
    (tmp_path / "c.tsv").write_text(
        "user\tprotocol\ttarget\tnegatives\n" + "".join(
            "%d\tpaper\t%d\t%d\n" % (user, items[-1], items[0])
            for user, items in sequences.items()
            if user > 4 and items[0] != items[-1]))
    assert_refused(dataset, tmp_path, "c.tsv", "4 of %d test users" % USERS,
                   candidates_file=str(tmp_path / "c.tsv"),
                   protocols=["paper", "full"])


@pytest.mark.parametrize("flag", ["checkpointDir", "init_checkpoint"])
def test_a_name_that_tensorflow_takes_for_a_pattern(dataset, tmp_path, flag):
    (tmp_path / "a[1]").mkdir()
    assert_refused(dataset, tmp_path, "--" + flag, "a[1]", "give another name",
                   **{flag: str(tmp_path / "a[1]" / "model.ckpt-1")})


def test_candidates_where_none_are_drawn(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--candidates_file: protocol full draws",
                   candidates_file=str(tmp_path / "c.tsv"), protocols=["full"])


def test_an_output_without_a_prediction(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--predict_output_file=a.tsv needs",
                   predict_output_file="a.tsv")


def test_a_new_candidates_file_in_no_folder(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--candidates_file", "nowhere",
                   candidates_file=str(tmp_path / "nowhere" / "c.tsv"))
    assert_refused(dataset, tmp_path, "--candidates_file", "name a file in it",
                   candidates_file=str(tmp_path))


def test_more_samples_than_items(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--num_sampled=143", num_sampled=143)


def test_evaluation_without_a_checkpoint(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "no model directory", "--do_train",
                   do_train=False)
    (tmp_path / "empty").mkdir()
    assert_refused(dataset, tmp_path, "no checkpoint in", "--do_train",
                   do_train=False, checkpointDir=str(tmp_path / "empty"),
                   signature="")


def test_an_init_checkpoint_that_is_not_there(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "nowhere.index is not there", "the common start",
                   init_checkpoint=tmp_path / "nowhere")


def test_an_init_checkpoint_folder_without_checkpoint(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(dataset, tmp_path, "no checkpoint in the folder", "empty",
                   init_checkpoint=tmp_path / "empty")


def test_a_checkpoint_of_another_size(dataset, trained, tmp_path):
    assert_refused(
        dataset, tmp_path, "intermediate", "[12, 17]", "[12, 18]",
        init_checkpoint=trained[0] / "run" / "model.ckpt-5",
        bert_config_file=config_with(tmp_path, intermediate_size=18))


@pytest.mark.parametrize("form", ["self", "cross_gram"])
def test_a_checkpoint_of_another_attention_form(dataset, trained, tmp_path,
                                                form):
    assert_refused(dataset, tmp_path, "checkpoint", "does not fit",
                   init_checkpoint=trained[0] / "run" / "model.ckpt-5",
                   attention_form=form)


def test_an_argument_that_is_no_flag():
    status, _, errors = in_process(run, "--bert_config_file=x",
                                   "--checkpointDir=y", "do_train")
    assert status == 1 and "'do_train'" in errors


@pytest.mark.parametrize("flag", ["--batch_size=0",
                                  "--attention_form=crossed"])
def test_a_flag_outside_its_range_is_named(flag):
    status, _, errors = in_process(run, "--bert_config_file=x",
                                   "--checkpointDir=y", flag)
    assert status == 1 and flag.split("=")[0].strip("-") in errors


def test_too_small_a_catalogue_names_the_remedy(tmp_path):
    conftest.write_interactions(tmp_path / "tiny.txt", users=9, items=90)
    assert conftest.generate(tmp_path)[0] == 0
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    small = conftest.Dataset(tmp_path, str(tmp_path / "tiny-x"),
                             str(tmp_path / "config.json"))
    flags = dict(do_train=True, do_eval=True, num_train_steps=1)
    status, _, errors = in_process(run, *run_flags(small, tmp_path, **flags))
    assert status == 1
    assert "catalogue is too small" in errors.splitlines()[-1]
    assert not (tmp_path / "run").exists()       # nothing was trained
    status, output, errors = command("run.py", *run_flags(
        small, tmp_path, protocols="full", **flags))
    assert status == 0, errors
    assert output.splitlines()[2].startswith("full")


def test_the_catalogue_need_suffice_for_those_who_are_ranked_alone(monkeypatch):
    words = mock.Mock(get_item_count=lambda: 120)
    history = {"user_1": [list(range(1, 9))], "user_2": [list(range(1, 50))]}
    args = argparse.Namespace(
        do_eval=True, do_train=False, protocols=["paper"],
        candidates_file=None, eval_seeds=1, max_seq_length=5,
        allow_missing_users=False)
    monkeypatch.setattr(job.input_pipeline, "read_targets", {
        "all": {1: 3, 2: 3}, "one": {1: 3}}.get)
    for users, files, missing, refused in (
            (None, "one", False, "user 2"), ([1], "all", False, None),
            ([2], "all", False, "user 2"), (None, "all", True, "user 2"),
            (None, "one", True, None)):
        args.allow_missing_users = missing
        try:
            job._check_catalogue(words, history, {"test_input_file": files},
                                 users, args)
            assert refused is None
        except ValueError as error:
            assert refused is not None and refused in str(error)


def test_candidates_of_a_file_are_those_of_the_first_seed_alone(tmp_path):
    words = mock.Mock(get_item_count=lambda: 120)
    args = argparse.Namespace(
        do_eval=True, do_train=False, protocols=["paper"],
        candidates_file=str(tmp_path / "c.tsv"), eval_seeds=1, max_seq_length=5,
        allow_missing_users=False)
    asked = words, {"user_2": [list(range(1, 50))]}, {}, [2], args
    with pytest.raises(ValueError):
        job._check_catalogue(*asked)                # it is to be written
    (tmp_path / "c.tsv").write_text("")
    job._check_catalogue(*asked)
    args.eval_seeds = 2
    with pytest.raises(ValueError, match="user 2"):
        job._check_catalogue(*asked)


def test_an_evaluator_of_a_cluster_has_to_be_asked_to_evaluate(
        dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(
        {"cluster": {"chief": ["h:1"], "ps": ["h:2"]},
         "task": {"type": "evaluator", "index": 0}}))
    status, _, errors = in_process(run, *run_flags(
        dataset, tmp_path, do_train=True,
        distribution_strategy="parameter_server"))
    assert status == 1 and "pass --do_eval" in errors.splitlines()[-1]


def test_dropout_flags_override_the_model_config(dataset, tmp_path):
    config = check_job(arguments(
        dataset, tmp_path, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.25)).config
    assert config.hidden_dropout_prob == 0.0
    assert config.attention_probs_dropout_prob == 0.25
    config = check_job(arguments(dataset, tmp_path)).config
    assert config.hidden_dropout_prob == CONFIG["hidden_dropout_prob"]


def test_what_recommending_reads(dataset, trained, tmp_path):
    job = check_job(arguments(dataset, tmp_path, **predicting(trained)))
    assert set(job.files) == {"vocab_filename", "user_history_filename"}
    for asked in ({"predict_items": "1 2"},
                  {"do_predict": False, "do_export": True},
                  {"do_predict": False, "export_embeddings": True}):
        job = check_job(arguments(dataset, tmp_path, **predicting(
            trained, user_history_filename="gone", **asked)))
        assert set(job.files) == {"vocab_filename"}


def test_to_ask_is_to_predict(dataset, trained, tmp_path):
    assert check_job(arguments(dataset, tmp_path, **predicting(
        trained, do_predict=False, predict_user="3"))).args.do_predict


def test_recommending_that_cannot_be_done(dataset, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for parts, changes in (
            (("--vocab_filename is needed",), {"vocab_filename": ""}),
            (("--user_history_filename",), {"user_history_filename": ""}),
            (("--max_seq_length is needed",), {"max_seq_length": None}),
            (("--top_k=141", "140 items"), {"top_k": ITEMS + 1}),
            (("--top_k=141",), {"top_k": ITEMS + 1, "do_predict": False,
                                "do_export": True}),
            (("no checkpoint in",), {
                "init_checkpoint": "", "signature": "",
                "checkpointDir": str(tmp_path / "empty")}),
            (("no model directory",), {"init_checkpoint": ""}),
            (("no user '77'",), {"predict_user": "77"}),
            (("in.csv",), {"predict_input_file": "in.csv"}),
            (("--items_file",), {"items_file": "nowhere.items.tsv"})):
        assert_refused(dataset, tmp_path, *parts,
                       **predicting(trained, **changes))


def test_a_training_keeps_what_items_were_called(dataset, named, tmp_path):
    """The id map's ids are part of the data; its titles are not."""
    there = dict(vocab_filename=named.parent / "tiny-x.vocab",
                 user_history_filename=named.parent / "tiny-x.his")
    job = check_job(arguments(dataset, tmp_path, **there))
    items = named.parent / "tiny.items.tsv"
    assert job.args.items_file == str(items)
    assert set(job.checksums["items_file"]) == {"tiny.items.tsv",
                                                "tiny.users.tsv"}
    assert "items_file" not in check_job(
        arguments(dataset, tmp_path, do_train=False, **dict(
            there, init_checkpoint=named / "model.ckpt-5"))).checksums
    shutil.copytree(str(named), str(tmp_path / "copy"))
    shutil.copy(str(named.parent / "tiny.users.tsv"), str(tmp_path))
    with open(str(named / "run_config.json")) as stream:
        record = json.load(stream)
    record["data_files"]["items_file"] = job.checksums["items_file"]
    (tmp_path / "copy" / "run_config.json").write_text(json.dumps(record))
    asked = dict(there, items_file=tmp_path / "tiny.items.tsv",
                 init_checkpoint=tmp_path / "copy" / "model.ckpt-5")
    text = items.read_text(encoding="utf-8")
    (tmp_path / "tiny.items.tsv").write_text(
        text.replace(u"Th\u00e9", "The"), encoding="utf-8")
    check_job(arguments(dataset, tmp_path, **predicting((named.parent,), **asked)))
    (tmp_path / "tiny.items.tsv").write_text(
        text.replace("B 3", "C 3"), encoding="utf-8")
    assert_refused(dataset, tmp_path, "--items_file", "--ignore_checksums",
                   **predicting((named.parent,), **asked))


def test_a_popularity_bias_without_a_history(dataset, tmp_path):
    assert_refused(dataset, tmp_path, "--output_bias", "--user_history_filename",
                   output_bias="log_popularity", do_eval=False,
                   user_history_filename="")
