"""The picture of quality over minutes."""

import re
import xml.etree.ElementTree

import numpy as np
import pytest

from conftest import command
from pretrained import draw_minutes
from reporting import events

SVG = "{http://www.w3.org/2000/svg}"


def publish(folder, seconds, protocol="full", values=(0.1, 0.15)):
    """A folder with the curves of a published model."""
    folder.mkdir()
    curve = events.Curve(np.arange(1, len(values) + 1), np.array(values),
                         np.array(seconds))
    events.write_table(str(folder / "curves.tsv"), {
        "eval_valid": {"%s/%s" % (protocol, metric): curve
                       for metric in ("ndcg@10", "hit@10", "ap")}})
    return str(folder)


@pytest.fixture
def models(tmp_path):
    return [publish(tmp_path / "slow", [600.0, 1200.0]),
            publish(tmp_path / "fast", [60.0, 240.0], values=(0.05, 0.2))]


def test_every_validation_is_a_dot_at_its_minute_and_value(models, tmp_path):
    output = tmp_path / "minutes.svg"
    status, _, errors = command("pretrained/draw_minutes.py", *models +
                                ["--names=a,b<c", "--output=%s" % output])
    assert status == 0, errors
    root = xml.etree.ElementTree.fromstring(output.read_bytes())
    texts = [element.text for element in root.iter(SVG + "text")]
    assert texts[:2] == ["a", "b<c"]
    assert "validation NDCG@10, protocol full" in texts
    assert "validation HR@10, protocol full" in texts
    dots = [(element.get("class"), float(element.get("cx")),
             float(element.get("cy"))) for element in root.iter(SVG + "circle")]
    # Two of the legend, then the panels: the axes end at 20 minutes and 0.2,
    # so that a minute is 19 wide and 0.05 is 61 high.
    assert dots[2:6] == [
        ("dot0", 70 + 190.0, 322 - 122.0), ("dot0", 70 + 380.0, 322 - 183.0),
        ("dot1", 70 + 19.0, 322 - 61.0), ("dot1", 70 + 76.0, 78.0)]
    assert [(kind, x - 460, y) for kind, x, y in dots[6:]] == dots[2:6]


def test_the_picture_brings_colours_for_light_and_dark_pages(models, tmp_path):
    draw_minutes.draw(models, None, str(tmp_path / "x.svg"), False)
    text = (tmp_path / "x.svg").read_text()
    light, dark = re.search("<style>(.*) @media .prefers-color-scheme: dark. "
                            "{(.*)}</style>", text).groups()
    assert re.findall(r"\.(\w+) \{", light) == re.findall(r"\.(\w+) \{", dark)
    assert set(re.findall(r'class="(\w+)"', text)) <= set(
        re.findall(r"\.(\w+) \{", light))
    assert "fill: #ffffff" in light and "fill: #0d1117" in dark


def test_a_model_directory_is_drawn_from_its_events(selected, tmp_path,
                                                    models):
    curves = draw_minutes.validations(str(selected[0] / "run"))
    known = events.read_curves(str(selected[0] / "run"))["eval_valid"]
    assert set(curves) == set(known) and "paper/ndcg@10" in curves
    assert curves["paper/ap"].steps.tolist() == [2, 4, 5]
    assert (np.diff(curves["paper/ap"].seconds) > 0.0).all()
    assert curves["paper/ap"].seconds[0] > 0.0


@pytest.mark.parametrize("most, ticks", [
    (20, [0, 5, 10, 15, 20]), (21, [0, 5, 10, 15, 20, 25]),
    (0.17, [0, 0.05, 0.1, 0.15, 0.2]), (0.051, [0, 0.02, 0.04, 0.06]),
    (26.5, [0, 10, 20, 30]), (4000, [0, 1000, 2000, 3000, 4000]),
    (0.0009, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001])])
def test_ticks_are_round_and_hold_what_is_drawn(most, ticks):
    assert draw_minutes.linear_ticks(most) == pytest.approx(ticks)


def test_a_logarithmic_axis_has_powers_of_ten():
    assert draw_minutes.log_ticks(0.5, 2500) == pytest.approx(
        [0.1, 1, 10, 100, 1000, 10000])
    assert draw_minutes.log_ticks(2, 10) == pytest.approx([1, 10])
    assert draw_minutes.log_ticks(10, 10) == pytest.approx([10, 100])
    assert draw_minutes.place(10, [1, 10, 100], 40, 80, log=True) == 60
    assert draw_minutes.place(25, [0, 100], 40, 80) == 50


def refusal(*arguments):
    status, _, errors = command("pretrained/draw_minutes.py", *arguments)
    assert status == 1 and len(errors.splitlines()) == 1, errors
    return errors


def test_what_cannot_be_drawn_is_one_line(models, tmp_path):
    output = "--output=%s" % (tmp_path / "x.svg")
    assert "1 models given; from 2 to 4" in refusal(models[0], output)
    assert "--names=a gives 1 names to 2 models" in refusal(
        *models + ["--names=a", output])
    assert "no folder" in refusal(models[0], str(tmp_path / "none"), output)
    (tmp_path / "empty").mkdir()
    assert "empty holds no validations; train with run.py " \
        "--valid_input_file" in refusal(models[0], str(tmp_path / "empty"),
                                        output)
    other = publish(tmp_path / "other", [1.0, 2.0], protocol="paper")
    assert "no protocol that all of the models validated under; they have " \
        "slow: full; other: paper" in refusal(models[0], other, output)
    unknown = publish(tmp_path / "unknown", [np.nan, np.nan])
    assert "so the minutes are not known" in refusal(models[0], unknown,
                                                     output)
    assert not (tmp_path / "x.svg").exists()
