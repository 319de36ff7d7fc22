"""What the figures show."""

import struct

import numpy as np
import pytest

from reporting import plots
from written_runs import kept_figures, whole


@pytest.fixture
def figures():
    """The figures that are drawn while a test runs."""
    with kept_figures() as drawn:
        yield drawn


def png_size(content):
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def legend_of(figure):
    legend, = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_every_axis_is_named_and_every_series_in_the_legend(whole):
    assert len(whole[2]) == 8
    for figure in whole[2]:
        for axis in figure.axes:
            assert axis.get_ylabel()
            # The bars' groups are named by their ticks.
            assert axis.get_xlabel() or [
                text.get_text() for text in axis.get_xticklabels()] == [
                    "NDCG@10", "HR@10", "MRR"]
        assert {"self", "cross"} <= {
            label.split(",")[0] for label in legend_of(figure)}


def test_bars_end_where_the_values_do(figures):
    png = plots.bars(
        [("paper", [plots.Bars("a", 0, False, [0.5, 0.25], [0.4, 0.2],
                                      [0.7, 0.3]),
                    plots.Bars("old", 1, False, [0.3, 0.1], None,
                                      None)])], ["NDCG@10", "MRR"], "mean")
    assert png_size(png)[0] > 1000
    axis, = figures[0].axes
    assert [bar.get_height() for bar in axis.patches] == [0.5, 0.25, 0.3, 0.1]
    segments = axis.collections[0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [
        pytest.approx([0.4, 0.7]), pytest.approx([0.2, 0.3])]
    assert legend_of(figures[0]) == ["a", "old"]


def test_curves_hold_the_points(figures):
    plots.curves(
        [("", [plots.Line("a", 0, False, [100, 200], [7.0, 6.0]),
               plots.Line("b", 1, True, [100], [5.0])])], "loss", False)
    axis, = figures[0].axes
    assert [line.get_xydata().tolist() for line in axis.lines] == [
        [[100.0, 7.0], [200.0, 6.0]], [[100.0, 5.0]]]
    assert [line.get_linestyle() for line in axis.lines] == ["-", "--"]
    assert axis.get_xlabel() == "training step"


def test_a_bin_without_users_leaves_a_gap(figures):
    png = plots.points(
        [("full", [plots.Bars("a", 0, False, [0.5, np.nan, 0.2],
                                     [0.4, np.nan, 0.1], [0.6, np.nan, 0.3])])],
        ["1", "2", "3"], "items", "NDCG@10")
    assert png_size(png)[0] > 1000
    assert figures[0].axes[0].get_xlabel() == "items"


def test_thirty_runs_look_different(figures):
    plots.curves(
        [("", [plots.Line("run %d" % i, i, False, [1, 2], [i, i])
               for i in range(30)])], "loss", False)
    lines = figures[0].axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 30
