"""The best checkpoint, kept apart, and when validation ends a training."""

import errno
import json
import os

import pytest

from experiment import selection


def make_checkpoint(folder, step):
    """Stand-ins for a checkpoint's files; returns their names' start."""
    start = os.path.join(str(folder), "model.ckpt-%d" % step)
    for ending in (".index", ".data-00000-of-00001", ".meta"):
        with open(start + ending, "w") as stream:
            stream.write("%s of %d" % (ending, step))
    return start


def add(chosen, folder, step, value):
    chosen.add(step, value, make_checkpoint(folder, step),
               [str(folder / "notes.json")])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    return tmp_path


def run_through(folder, values):
    """A Selection after validations at steps 10, 20, ...."""
    chosen = selection.Selection(str(folder), "paper/ap")
    for number, value in enumerate(values, 1):
        add(chosen, folder, 10 * number, value)
    return chosen


@pytest.mark.parametrize("values, best, since", [
    ([0.1], 10, 0), ([0.1, 0.2, 0.3], 30, 0), ([0.3, 0.2, 0.1], 10, 2),
    ([0.1, 0.3, 0.2], 20, 1), ([0.2, 0.2, 0.2], 10, 2)])
def test_the_best_is_the_first_of_the_highest(folder, values, best, since):
    chosen = run_through(folder, values)
    assert chosen.best() == [best, max(values)]
    assert chosen.since_best() == since


def test_before_any_validation_there_is_no_best(folder):
    chosen = selection.Selection(str(folder), "paper/ap")
    assert (chosen.best(), chosen.since_best()) == (None, 0)
    assert not chosen.exhausted(1)
    assert not (folder / "best").exists()


@pytest.mark.parametrize("patience, ends", [(0, False), (1, True), (2, True),
                                            (3, False)])
def test_patience_counts_validations_without_improvement(folder, patience,
                                                         ends):
    assert run_through(folder, [0.3, 0.2, 0.1]).exhausted(patience) == ends


def test_the_best_checkpoint_alone_is_kept_with_what_stands_beside_it(folder):
    for values, step in (([0.1, 0.3], 20), ([0.1, 0.3, 0.2], 20),
                         ([0.1, 0.3, 0.2, 0.4], 40)):
        run_through(folder, values)
        assert sorted(os.listdir(str(folder / "best"))) == [
            "checkpoint", "model.ckpt-%d.data-00000-of-00001" % step,
            "model.ckpt-%d.index" % step, "notes.json", "selection.json"]
        index = folder / "best" / ("model.ckpt-%d.index" % step)
        assert index.read_text() == ".index of %d" % step
        for name in os.listdir(str(folder / "best")):
            os.remove(str(folder / "best" / name))


@pytest.mark.parametrize("function", ["shutil.copyfile", "json.dump"])
def test_where_a_better_one_cannot_be_kept_the_best_before_is(
        folder, monkeypatch, function):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "full")

    chosen = run_through(folder, [0.1])
    record = (folder / "best" / "selection.json").read_text()
    monkeypatch.setattr(function, fail)
    with pytest.raises(OSError):
        add(chosen, folder, 20, 0.3)
    assert (folder / "best" / "selection.json").read_text() == record
    again = selection.Selection(str(folder), "paper/ap")
    assert again.best() == [10, 0.1]
    if function == "shutil.copyfile":
        assert (folder / "best" / "model.ckpt-10.index").read_text() == (
            ".index of 10")
        assert selection.tf.train.latest_checkpoint(
            str(folder / "best")).endswith("model.ckpt-10")


def test_the_folder_may_move(folder):
    run_through(folder, [0.1, 0.3])
    (folder / "best").rename(folder / "moved")
    state = selection.tf.train.get_checkpoint_state(str(folder / "moved"))
    assert state.model_checkpoint_path == str(folder / "moved/model.ckpt-20")


def test_a_new_run_goes_on_with_best_value_and_patience(folder):
    run_through(folder, [0.1, 0.3, 0.2])
    chosen = selection.Selection(str(folder), "paper/ap")
    assert chosen.evaluations == [[10, 0.1], [20, 0.3], [30, 0.2]]
    assert (chosen.best(), chosen.since_best()) == ([20, 0.3], 1)
    add(chosen, folder, 40, 0.25)
    assert chosen.exhausted(2)
    written = json.loads((folder / "best" / "selection.json").read_text())
    assert written == {"metric": "paper/ap", "best_step": 20, "best_value": 0.3,
                       "evaluations": chosen.evaluations}


def test_from_an_earlier_step_later_validations_are_made_again(folder):
    chosen = run_through(folder, [0.1, 0.2, 0.1, 0.1])
    chosen.go_back(40)
    assert len(chosen.evaluations) == 4
    chosen.go_back(30)
    assert chosen.evaluations == [[10, 0.1], [20, 0.2], [30, 0.1]]
    chosen.go_back(10)              # the best is in best/ all the same
    assert chosen.evaluations == [[10, 0.1], [20, 0.2]]
    add(chosen, folder, 15, 0.3)
    assert chosen.best() == [15, 0.3] and chosen.since_best() == 0


def test_another_metric_than_before_is_refused(folder):
    run_through(folder, [0.1])
    with pytest.raises(ValueError, match="selected by paper/ap, not full/ap"):
        selection.Selection(str(folder), "full/ap")


@pytest.mark.parametrize("text", ["", "[]", '{"metric": "paper/ap"}',
                                  '{"metric": "x", "evaluations": [1]}',
                                  '{"metric": "paper/ap", "evaluations": '
                                  '[[10, NaN]]}',
                                  '{"metric": "paper/ap", "evaluations": '
                                  '[[10, 0.1], [20, 1e999]]}',
                                  '{"metric": "paper/ap", "evaluations": '
                                  '[[1e999, 0.1]]}', "\xff", "[" * 10 ** 5])
def test_a_damaged_record_is_named(folder, text):
    run_through(folder, [0.1])
    (folder / "best" / "selection.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="selection.json: not a record"):
        selection.Selection(str(folder), "paper/ap")
