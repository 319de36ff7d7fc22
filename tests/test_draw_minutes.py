"""The picture of quality over minutes."""

import numpy as np
import pytest

from conftest import command
from pretrained import draw_minutes
from reporting import events, plots


def publish(folder, seconds, protocols=("full",), values=(0.1, 0.15)):
    """A folder with the curves of a published model."""
    folder.mkdir()
    curve = events.Curve(np.arange(1, len(values) + 1), np.array(values),
                         np.array(seconds))
    events.write_table(str(folder / "curves.tsv"), {
        "eval_valid": {"%s/%s" % (protocol, metric): curve
                       for metric in ("ndcg@10", "hit@10", "ap")
                       for protocol in protocols}})
    return str(folder)


@pytest.fixture
def models(tmp_path):
    return [publish(tmp_path / "slow", [600.0, 1200.0]),
            publish(tmp_path / "fast", [60.0, 240.0], ("paper", "full"),
                    values=(0.05, 0.2))]


def test_every_validation_is_at_its_minute_and_value(models, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "curves",
                        lambda *args, **options: drawn.append((args, options)))
    draw_minutes.picture(models, ["a", "b"])
    ((panels, ylabel), options), = drawn
    assert ylabel == "validation, protocol full"  # the one that both have
    assert options == {"from_zero": True, "xlabel": "minutes of training"}
    assert [title for title, _ in panels] == ["NDCG@10", "HR@10"]
    for _, lines in panels:
        assert [(line.label, line.number, list(line.x), list(line.values))
                for line in lines] == [("a", 0, [10.0, 20.0], [0.1, 0.15]),
                                       ("b", 1, [1.0, 4.0], [0.05, 0.2])]


def test_a_short_training_comes_first_with_all_of_its_time(models, tmp_path):
    publish(tmp_path / "fast-short", [30.0, 90.0], values=(0.01, 0.02))
    curves = events.read_curves(str(tmp_path / "fast-short"))
    curves[events.TRAINING] = {"loss": events.Curve(
        np.array([9]), np.array([7.0]), np.array([100.0]))}
    events.write_table(str(tmp_path / "fast-short" / "curves.tsv"), curves)
    found = draw_minutes.from_its_first_step(models[1] + "/")
    assert "paper/ap" not in found           # the short one has no such curve
    curve = found["full/ap"]
    np.testing.assert_allclose(curve.seconds, [30.0, 90.0, 160.0, 340.0])
    np.testing.assert_allclose(curve.values, [0.01, 0.02, 0.05, 0.2])
    assert curve.steps.tolist() == [1, 2, 1, 2]
    assert (draw_minutes.from_its_first_step(models[0])["full/ap"].values
            == [0.1, 0.15]).all()
    # As publish.py lays it out.
    (tmp_path / "fast-short").rename(tmp_path / "fast" / "short")
    np.testing.assert_allclose(
        draw_minutes.from_its_first_step(models[1])["full/ap"].seconds,
        curve.seconds)


def test_a_later_evaluation_of_the_short_training_takes_no_time_of_it(
        models, monkeypatch):
    curve = events.Curve(np.array([1]), np.array([0.5]), np.array([50.0]))
    late = events.Curve(np.array([1]), np.array([0.5]), np.array([4000.0]))
    monkeypatch.setattr(events, "short_folder", lambda folder: models[0])
    monkeypatch.setattr(events, "read_curves", lambda folder: {
        events.VALIDATION: {"full/ap": curve}, "eval": {"full/ap": late}})
    found = draw_minutes.from_its_first_step(models[1])["full/ap"]
    assert found.seconds.tolist() == [50.0, 100.0]


def test_the_command_writes_a_png(models, tmp_path):
    output = tmp_path / "minutes.png"
    status, _, errors = command("pretrained/draw_minutes.py", *models +
                                ["--output=%s" % output])
    assert status == 0, errors
    assert output.read_bytes().startswith(b"\x89PNG")


def test_a_model_directory_is_drawn_from_its_events(selected):
    curves = draw_minutes.validations(str(selected[0] / "run"))
    known = events.read_curves(str(selected[0] / "run"))["eval_valid"]
    assert set(curves) == set(known) and "paper/ndcg@10" in curves
    assert curves["paper/ap"].steps.tolist() == [2, 4, 5]
    assert (np.diff(curves["paper/ap"].seconds) > 0.0).all()
    assert curves["paper/ap"].seconds[0] > 0.0


def refusal(*arguments):
    status, _, errors = command("pretrained/draw_minutes.py", *arguments)
    assert status == 1 and len(errors.splitlines()) == 1, errors
    return errors


def test_what_cannot_be_drawn_is_one_line(models, tmp_path):
    output = "--output=%s" % (tmp_path / "x.png")
    assert "--names=a gives 1 names to 2 models" in refusal(
        *models + ["--names=a", output])
    assert "no folder" in refusal(models[0], str(tmp_path / "none"), output)
    (tmp_path / "empty").mkdir()
    assert "empty holds no validations; train with run.py " \
        "--valid_input_file" in refusal(models[0], str(tmp_path / "empty"),
                                        output)
    other = publish(tmp_path / "other", [1.0, 2.0], protocols=("paper",))
    assert "no protocol that all of the models validated under; they have " \
        "slow: full; other: paper" in refusal(models[0], other, output)
    unknown = publish(tmp_path / "unknown", [np.nan, np.nan])
    assert "so the minutes are not known" in refusal(models[0], unknown,
                                                     output)
    assert "--output: %s is a folder" % tmp_path in refusal(
        *models + ["--output=%s" % tmp_path])
    (tmp_path / "file").write_text("")
    assert "file is no folder; give another" in refusal(
        *models + ["--output=%s" % (tmp_path / "file" / "x.png")])
    assert not (tmp_path / "x.png").exists()
