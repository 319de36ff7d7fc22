"""Curves of event files over steps and time, and of curves.tsv."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from reporting import events
from written_runs import two_runs, write_scalars


def write_events(path, start, points):
    """An event file with times of one's own.

    points: list of (time, step, value); a value of None is the note that a
    checkpoint was saved.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.python_io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.Event(wall_time=start, file_version="brain.Event:2")
                     .SerializeToString())
        for time, step, value in points:
            event = tf.Event(wall_time=time, step=step)
            if value is None:
                event.session_log.status = tf.SessionLog.CHECKPOINT
            else:
                event.summary.value.add(tag="x", simple_value=value)
            writer.write(event.SerializeToString())


@pytest.fixture
def resumed(tmp_path):
    """A training that was killed at step 200, 20 seconds past its checkpoint
    at 150, and resumed an hour later; it validated twice in each half."""
    write_events(tmp_path / "events.out.1", 1000.0, [
        (1000.5, 0, None), (1010.0, 1, 7.0), (1050.0, 100, 6.0),
        (1060.0, 150, None), (1080.0, 200, 5.5)])
    write_events(tmp_path / "events.out.2", 5000.0, [
        (5001.0, 150, None), (5005.0, 151, 5.7), (5030.0, 250, 5.0),
        (5040.0, 250, None)])
    write_events(tmp_path / "eval_valid" / "events.out.1", 1000.25, [
        (1055.0, 100, 0.25), (1066.0, 150, 0.5)])
    write_events(tmp_path / "eval_valid" / "events.out.2", 5000.25, [
        (5020.0, 200, 0.625), (5044.0, 250, 0.75)])
    return tmp_path


# --- event files ------------------------------------------------------------

def test_curves_of_all_event_folders_are_read(two_runs):
    curves = events.read_curves(two_runs[1][0])
    assert list(curves) == ["", "eval", "eval_valid"]
    steps, values, _ = curves[""]["loss"]
    assert steps.tolist() == [100, 200, 300]
    assert values.tolist() == [7.5, 4.0, 5.0]
    assert curves["eval_valid"]["paper/ndcg@10"][0].tolist() == [100, 200, 300]


def test_a_resumed_training_goes_on_in_the_next_event_file(tmp_path):
    write_scalars(tmp_path, {"loss": {100: 7.0, 200: 6.0}}, suffix=".1")
    write_scalars(tmp_path, {"loss": {300: 4.0, 200: 5.0}}, suffix=".2")
    first, second = sorted(os.listdir(str(tmp_path)),
                           key=lambda name: name[-1])
    os.rename(str(tmp_path / first), str(tmp_path / "events.out.tfevents.10"))
    os.rename(str(tmp_path / second), str(tmp_path / "events.out.tfevents.11"))
    steps, values, _ = events.read_curves(str(tmp_path))[""]["loss"]
    assert steps.tolist() == [100, 200, 300]
    assert values.tolist() == [7.0, 5.0, 4.0]


def test_an_event_file_that_was_cut_off_is_read_up_to_there(tmp_path, capfd):
    write_scalars(tmp_path, {"loss": {100: 7.0, 200: 6.0}})
    name, = os.listdir(str(tmp_path))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-3])
    assert events.read_curves(str(tmp_path))[""]["loss"][0].tolist() == [
        100]
    assert "damaged" in capfd.readouterr().err


def test_an_event_file_that_may_not_be_read_is_an_error_with_its_name(
        tmp_path, monkeypatch):
    write_scalars(tmp_path, {"loss": {100: 7.0}})
    name, = os.listdir(str(tmp_path))

    def denied(path):
        raise tf.errors.PermissionDeniedError(None, None, path + "; denied")

    monkeypatch.setattr(tf.train, "summary_iterator", denied)
    with pytest.raises(ValueError, match="%s cannot be read" % name):
        events.read_curves(str(tmp_path))


# --- time -------------------------------------------------------------------

def test_time_is_that_since_the_start_of_the_training(tmp_path):
    write_events(tmp_path / "events.out.1", 1000.0, [
        (1010.0, 1, 7.0), (1050.5, 100, 6.0)])
    write_events(tmp_path / "eval_valid" / "events.out.1", 1000.25, [
        (1055.0, 100, 0.25)])
    curves = events.read_curves(str(tmp_path))
    assert curves[""]["x"].seconds.tolist() == [10.0, 50.5]
    assert curves["eval_valid"]["x"].seconds.tolist() == [55.0]


def test_the_pause_before_a_resumption_and_lost_work_take_no_time(resumed):
    curves = events.read_curves(str(resumed))
    # The first half ends with the validation of step 150, at 66 seconds.
    steps, values, seconds = curves[""]["x"]
    assert steps.tolist() == [1, 100, 151, 250]
    assert values.tolist() == pytest.approx([7.0, 6.0, 5.7, 5.0])
    assert seconds.tolist() == [10.0, 50.0, 66.0, 91.0]
    steps, values, seconds = curves["eval_valid"]["x"]
    assert steps.tolist() == [100, 150, 200, 250]
    assert values.tolist() == [0.25, 0.5, 0.625, 0.75]
    assert seconds.tolist() == [55.0, 66.0, 81.0, 105.0]


def test_a_resumption_without_a_step_loses_nothing_of_the_others(resumed):
    write_events(resumed / "events.out.15", 3000.0, [(3001.0, 150, None)])
    seconds = events.read_curves(str(resumed))[""]["x"].seconds
    assert seconds.tolist() == [10.0, 50.0, 66.0, 91.0]


def test_without_the_trainings_events_time_is_not_known(tmp_path):
    write_events(tmp_path / "eval_valid" / "events.out.1", 1000.0, [
        (1055.0, 100, 0.25)])
    assert np.isnan(events.read_curves(
        str(tmp_path))["eval_valid"]["x"].seconds).all()


def test_a_validation_before_the_first_step_takes_no_time(resumed):
    write_events(resumed / "eval_valid" / "events.out.15", 5000.1, [
        (5003.0, 150, 0.5)])
    curve = events.read_curves(str(resumed))["eval_valid"]["x"]
    assert curve.steps.tolist() == [100, 150, 200, 250]
    assert curve.seconds.tolist() == [55.0, 66.0, 81.0, 105.0]


# --- curves.tsv -------------------------------------------------------------

def test_the_table_holds_the_curves_and_their_time(tmp_path):
    curve = events.Curve(np.array([1, 250]), np.array([7.5, 0.125]),
                         np.array([10.04, 96.25]))
    events.write_table(str(tmp_path / "curves.tsv"), {
        "": {"loss": curve, "global_step/sec": curve},
        "eval": {"full/ap": curve}, "eval_valid": {"full/ap": curve}})
    assert (tmp_path / "curves.tsv").read_text() == (
        "curve\tstep\tvalue\tseconds\n"
        "loss\t1\t7.5\t10.0\nloss\t250\t0.125\t96.2\n"
        "eval_valid/full/ap\t1\t7.5\t10.0\n"
        "eval_valid/full/ap\t250\t0.125\t96.2\n")
    curves = events.read_curves(str(tmp_path))
    assert {name: list(found) for name, found in curves.items()} == {
        "": ["loss"], "eval_valid": ["full/ap"]}
    assert [column.tolist() for column in curves["eval_valid"]["full/ap"]] == [
        [1, 250], [7.5, 0.125], [10.0, 96.2]]


@pytest.mark.parametrize("content, fault", [
    ("", " is empty"),
    ("curve\tstep\tvalue\nloss\t1\t7.5\n",
     ":1: the columns are curve, step, value"),
    ("curve\tstep\tvalue\tseconds\nloss\t1\t7.5\n", ":2: not enough values"),
    ("curve\tstep\tvalue\tseconds\nloss\tx\t7.5\t1\n", ":2: invalid lit")])
def test_a_damaged_table_is_an_error_with_its_line(tmp_path, content, fault):
    (tmp_path / "curves.tsv").write_text(content)
    with pytest.raises(ValueError, match="curves.tsv" + fault) as error:
        events.read_curves(str(tmp_path))
    assert "publish the model directory again" in str(error.value)
