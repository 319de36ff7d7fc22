"""Which checkpoints are there, are whole, and fit a model config."""

import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from conftest import command, run_flags
from experiment import checkpoints
from experiment.checkpoints import checkpoint_mismatch
from tiny_model import MASKED_FORMS, SHAPES, make_config

GRAM_SHAPES = dict(SHAPES)
for _layer in ("layer_0", "layer_1"):
    GRAM_SHAPES["bert/encoder/%s/attention/output/dense/kernel" % _layer] = [
        30, 15]


def test_a_checkpoint_of_the_same_sizes_fits_with_or_without_slots():
    for form in MASKED_FORMS:
        config = make_config(attention_form=form)
        assert checkpoint_mismatch(config, SHAPES) is None
        trained = dict(SHAPES, global_step=[])
        trained.update({name + slot: shape for name, shape in SHAPES.items()
                        for slot in ("/adam_m", "/adam_v")})
        assert checkpoint_mismatch(config, trained) is None
    assert checkpoint_mismatch(
        make_config(attention_form="cross_gram"), GRAM_SHAPES) is None


@pytest.mark.parametrize("changes, name, theirs, ours", [
    (dict(vocab_size=30), "word_embeddings", [31, 15], [30, 15]),
    (dict(hidden_size=12), "word_embeddings", [31, 15], [31, 12]),
    (dict(max_position_embeddings=8), "position_embeddings", [9, 15], [8, 15]),
    (dict(type_vocab_size=2), "token_type_embeddings", [3, 15], [2, 15]),
    (dict(intermediate_size=10), "layer_0/intermediate/dense/kernel",
     [15, 11], [15, 10]),
    (dict(attention_form="cross_gram"),
     "layer_0/attention/output/dense/kernel", [15, 15], [30, 15]),
    (dict(num_hidden_layers=3), "layer_2/attention/self/query/kernel",
     "missing", [15, 15]),
])
def test_a_checkpoint_of_another_size_is_told_with_both_shapes(
        changes, name, theirs, ours):
    fault = checkpoint_mismatch(make_config(**changes), SHAPES)
    for part in (name, str(theirs), str(ours)):
        assert part in fault


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_variable_of_the_model_must_be_there(name):
    fault = checkpoint_mismatch(make_config(), {
        other: shape for other, shape in SHAPES.items() if other != name})
    assert fault.startswith("its %s is missing" % name)


def test_a_gram_checkpoint_fits_no_other_form():
    for form in MASKED_FORMS:
        fault = checkpoint_mismatch(make_config(attention_form=form),
                                             GRAM_SHAPES)
        assert "attention/output/dense/kernel" in fault
        assert "[30, 15]" in fault and "[15, 15]" in fault


def test_a_checkpoint_with_more_layers_does_not_fit():
    fault = checkpoint_mismatch(make_config(num_hidden_layers=1),
                                         SHAPES)
    assert "more than the 1 layers" in fault


def test_a_checkpoint_of_something_else_does_not_fit():
    fault = checkpoint_mismatch(make_config(), {"global_step": []})
    assert "bert/embeddings/word_embeddings is missing" in fault


# --- damaged files ------------------------------------------------------------

def write_checkpoints(folder, *steps):
    """Checkpoints of a few values at these steps; their names."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("a", initializer=np.arange(700, dtype=np.float32))
        tf.get_variable("b", initializer=np.float32(3.0))
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(save_relative_paths=True)
        return [saver.save(session, str(folder / "model.ckpt"),
                           global_step=step, write_meta_graph=False)
                for step in steps]


def flip(path, place):
    """Turns a bit of a file's byte, counted from its end where negative."""
    with open(path, "rb+") as stream:
        stream.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 4]))


def cut(path, size):
    with open(path, "rb+") as stream:
        stream.truncate(size)


DATA, INDEX = ".data-00000-of-00001", ".index"
DAMAGES = {
    "data cut": (DATA, lambda path: cut(path, 1000)),
    "data empty": (DATA, lambda path: cut(path, 0)),
    "data gone": (DATA, os.remove),
    "bit of the data": (DATA, lambda path: flip(path, 1234)),
    "last bit of the data": (DATA, lambda path: flip(path, -1)),
    "index cut": (INDEX, lambda path: cut(path, 60)),
    "index empty": (INDEX, lambda path: cut(path, 0)),
    "bit of the index": (INDEX, lambda path: flip(path, 5))}
CHECKPOINT_TEXTS = {
    "gone": None, "empty": b"", "other": b"hello", "binary": bytes(range(256)),
    "names what is not there": b'model_checkpoint_path: "model.ckpt-77"'}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damage_is_found_and_the_file_is_named(tmp_path, damage):
    ending, destroy = DAMAGES[damage]
    older, newest = write_checkpoints(tmp_path, 10, 20)
    assert checkpoints.find_damage(newest) is None
    destroy(newest + ending)
    assert checkpoints.find_damage(older) is None
    found = checkpoints.find_damage(newest)
    assert found.startswith(newest + (".data" if ending == DATA else INDEX))
    assert "\n" not in found
    with pytest.raises(ValueError) as error:
        checkpoints.check_sound(newest)
    assert str(error.value) == (
        "%s; put the file back, or take another checkpoint: "
        "--init_checkpoint=%s" % (found, older))


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_training_goes_on_from_the_newest_sound_checkpoint(
        tmp_path, capsys, damage):
    ending, destroy = DAMAGES[damage]
    names = write_checkpoints(tmp_path, 9, 10, 20, 30)
    for name in names[2:]:
        destroy(name + ending)
    assert checkpoints.newest_sound(str(tmp_path)) == names[1]
    lines = capsys.readouterr().err.splitlines()
    assert [names[3 - number] in line for number, line in enumerate(lines)] \
        == [True, True]
    checkpoints.point_at(names[1])
    assert tf.train.latest_checkpoint(str(tmp_path)) == names[1]
    assert list(tf.train.get_checkpoint_state(
        str(tmp_path)).all_model_checkpoint_paths) == names[:2]


def test_what_is_named_already_is_left_as_it_is(tmp_path, monkeypatch):
    """Also by a relative name: TensorFlow counts and removes what is listed."""
    write_checkpoints(tmp_path, 10)
    write_checkpoints(tmp_path, 20)
    text = (tmp_path / "checkpoint").read_bytes()
    monkeypatch.chdir(tmp_path)
    checkpoints.point_at(os.path.join(".", "model.ckpt-20"))
    assert (tmp_path / "checkpoint").read_bytes() == text
    assert b"ckpt-10" not in text


def test_a_checkpoint_of_another_name_can_be_trained_on(tmp_path):
    for path in write_checkpoints(tmp_path, 10):
        for ending in (DATA, INDEX):
            os.rename(path + ending, str(tmp_path / "bert") + ending)
    write_checkpoints(tmp_path, 20)
    checkpoints.point_at(str(tmp_path / "bert"))
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert list(state.all_model_checkpoint_paths) == [str(tmp_path / "bert")]


def test_in_place_of_a_damaged_best_one_the_newest_is_offered(tmp_path):
    (tmp_path / "best").mkdir()
    best, = write_checkpoints(tmp_path / "best", 10)
    newest, = write_checkpoints(tmp_path, 10)
    flip(best + DATA, 3)
    with pytest.raises(ValueError, match="put the file back, or take another "
                       "checkpoint: --init_checkpoint=%s$" % newest):
        checkpoints.check_sound(best)


@pytest.mark.parametrize("ending", ["", INDEX, DATA])
def test_a_checkpoint_may_be_named_by_any_of_its_files(tmp_path, ending):
    name, = write_checkpoints(tmp_path, 9)
    assert checkpoints.named_checkpoint(name + ending) == name


def test_no_sound_checkpoint_is_an_error(tmp_path):
    for name in write_checkpoints(tmp_path, 9, 10):
        flip(name + DATA, 3)
    with pytest.raises(ValueError, match="none of its checkpoints can be read"):
        checkpoints.newest_sound(str(tmp_path))


@pytest.mark.parametrize("text", sorted(CHECKPOINT_TEXTS))
def test_checkpoints_are_found_by_their_files(tmp_path, capsys, text):
    names = write_checkpoints(tmp_path, 9, 100, 20)
    os.remove(str(tmp_path / "checkpoint"))
    if CHECKPOINT_TEXTS[text] is not None:
        (tmp_path / "checkpoint").write_bytes(CHECKPOINT_TEXTS[text])
    assert checkpoints.latest(str(tmp_path)) == names[1]
    line, = [line for line in capsys.readouterr().err.splitlines()
             if "taken" in line]
    assert "%s/checkpoint is missing, damaged" % tmp_path in line
    assert names[1] in line


def test_a_named_checkpoint_is_taken_though_it_is_not_the_last(tmp_path,
                                                              capsys):
    names = write_checkpoints(tmp_path, 9, 100, 20)
    assert checkpoints.latest(str(tmp_path)) == names[2]
    assert capsys.readouterr().err == ""


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        assert checkpoints.latest(str(folder)) is None
        assert checkpoints.newest_sound(str(folder)) is None
    # Killed before the first was whole: there is nothing to go on from.
    (tmp_path / "model.ckpt-0.data-00000-of-00001").write_bytes(b"x")
    assert checkpoints.latest(str(tmp_path)) is None


def test_a_named_checkpoint_that_is_gone_is_an_error_without_others(tmp_path):
    name, = write_checkpoints(tmp_path, 9)
    os.remove(name + INDEX)
    with pytest.raises(ValueError, match="model.ckpt-9, which has no .index"):
        checkpoints.latest(str(tmp_path))


def test_what_was_not_finished_is_removed(tmp_path):
    names = write_checkpoints(tmp_path, 9)
    (tmp_path / "model.ckpt-10_temp_abc").mkdir()
    (tmp_path / "model.ckpt-10_temp_abc" / "part").write_bytes(b"x")
    assert checkpoints.remove_unfinished(str(tmp_path)) == [
        str(tmp_path / "model.ckpt-10_temp_abc")]
    assert checkpoints.saved(str(tmp_path)) == names
    assert checkpoints.remove_unfinished(str(tmp_path)) == []


def test_what_is_not_asked_for_may_be_damaged(dataset, trained, tmp_path):
    """Neither the newest one, where another is named, nor any beside it."""
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    newest = str(tmp_path / "run" / "model.ckpt-5")
    cut(newest + ".index", 20)
    for given, fault in ((None, "model.ckpt-5.index is damaged"),
                         (tmp_path / "run" / "model.ckpt-0", None)):
        status, _, errors = command("run.py", *run_flags(
            dataset, tmp_path, do_eval=True, **(
                {"init_checkpoint": given} if given else {})))
        assert status == (1 if fault else 0), errors
        if fault:
            assert fault in errors and errors.rstrip().endswith(
                "--init_checkpoint=%s" % (tmp_path / "run" / "model.ckpt-0"))


def test_where_another_checkpoint_is_evaluated_the_directorys_is_not_read(
        dataset, trained, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint").write_bytes(
        CHECKPOINT_TEXTS["names what is not there"])
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True,
        init_checkpoint=trained[0] / "run" / "model.ckpt-5.index"))
    assert status == 0, errors


def test_training_on_with_a_damaged_best_one_says_how(dataset, selected,
                                                      tmp_path):
    shutil.copytree(str(selected[0] / "run"), str(tmp_path / "run"))
    best, = checkpoints.saved(str(tmp_path / "run" / "best"))
    flip(best + DATA, 1234)
    flags = ["--checkpointDir=%s" % (tmp_path / "run"), "--do_train",
             "--num_train_steps=6"]
    status, _, errors = command("run.py", *flags)
    assert status == 1, errors
    assert errors.splitlines()[-1].endswith(
        "or remove the folder %s to choose anew from the next validation on"
        % (tmp_path / "run" / "best"))
    shutil.rmtree(str(tmp_path / "run" / "best"))
    status, _, errors = command("run.py", *flags)
    assert status == 0, errors
    assert "step 6: paper/ap" in errors and "the best so far" in errors


def test_the_commands_name_damage_and_go_on(dataset, trained, tmp_path):
    """Evaluation refuses; training falls back; `checkpoint` may be lost."""
    shutil.copytree(str(trained[0] / "run"), str(tmp_path / "run"))
    newest = str(tmp_path / "run" / "model.ckpt-5")
    cut(newest + DATA, 1000)
    status, output, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_eval=True))
    assert (status, output) == (1, "")
    line, = errors.splitlines()
    assert line.startswith("run.py: error: %s.data-00000-of-00001 is damaged"
                           % newest)
    assert line.endswith("--init_checkpoint=%s"
                         % (tmp_path / "run" / "model.ckpt-0"))
    os.remove(str(tmp_path / "run" / "checkpoint"))
    status, _, errors = command("run.py", *run_flags(
        dataset, tmp_path, do_train=True, do_eval=True))
    assert status == 0, errors
    assert "passed over: %s.data" % newest in errors
    assert "from step 0 to 5;" in errors
    assert checkpoints.find_damage(newest) is None
    for name, _ in tf.train.list_variables(newest):
        assert (tf.train.load_variable(newest, name) == tf.train.load_variable(
            str(trained[0] / "run" / "model.ckpt-5"), name)).all()
