"""What the figures show."""

import struct

import numpy as np
import pytest

from reporting import plots
from written_runs import kept_figures, two_runs, whole


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


def ticks_of(axis):
    return [text.get_text() for text in axis.get_xticklabels()]


def test_a_run_may_have_any_name(figures):
    """No part of it is a formula, and it stands in the legend."""
    names = ["$\\frac$", "_x", "a$b$_{"]
    plots.bars([("", [plots.Bars(name, i, False, [0.1], [0.0], [0.2])
                      for i, name in enumerate(names)])], ["HR@10"], "HR@10")
    plots.dots([("", [np.array([0.1, 0.2])] * 3)], names, "HR@10")
    wanted = [r"\$\frac\$", " _x", r"a\$b\$_{"]
    assert legend_of(figures[0]) == wanted
    assert ticks_of(figures[1].axes[0]) == wanted


def test_every_axis_is_named_and_every_series_in_the_legend(whole):
    assert len(whole[2]) == 8
    for figure in whole[2]:
        for axis in figure.axes:
            assert axis.get_ylabel()
            # The bars' groups are named by their ticks.
            assert axis.get_xlabel() or ticks_of(axis) == [
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


def test_curves_may_stand_over_something_else_than_steps(figures):
    plots.curves([("", [plots.Line("a", 0, False, [0.5, 2.5], [7.0, 6.0])])],
                 "loss", False, xlabel="minutes")
    axis, = figures[0].axes
    assert axis.get_xlabel() == "minutes"
    assert axis.lines[0].get_xydata().tolist() == [[0.5, 7.0], [2.5, 6.0]]


@pytest.mark.parametrize("count, marker", [(3, "o"), (plots.FEW, "o"),
                                           (plots.FEW + 1, "None")])
def test_the_logged_points_are_marked_where_they_are_few(figures, count,
                                                         marker):
    steps = np.arange(count)
    plots.curves([("", [plots.Line("a", 0, False, steps, 0.5 * steps)])],
                 "loss", False)
    line, = figures[0].axes[0].lines
    assert (line.get_marker(), line.get_linestyle()) == (marker, "-")


def test_what_is_no_straight_line_is_joined_only_where_points_are_many(
        figures):
    many = np.arange(plots.FEW + 1)
    plots.curves(
        [("", [plots.Line("few", 0, False, [1, 101, 300], [0.0, 1e-3, 1e-5]),
               plots.Line("many", 1, False, many, 1e-5 * many)])],
        "learning rate", True, join_few=False)
    few, dense = figures[0].axes[0].lines
    assert few.get_xydata().tolist() == [[1, 0.0], [101, 1e-3], [300, 1e-5]]
    assert (few.get_linestyle(), few.get_marker()) == ("None", "o")
    assert (dense.get_linestyle(), dense.get_marker()) == ("-", "None")


def test_equal_curves_can_all_be_seen(figures):
    for join_few in (True, False):
        plots.curves([("", [plots.Line("run %d" % i, i, False, [1, 2], [3, 4])
                            for i in range(3)])], "loss", False, join_few)
    for figure in figures:
        lines = figure.axes[0].lines
        for sizes in ([line.get_linewidth() for line in lines],
                      [line.get_markersize() for line in lines]):
            assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


def test_a_bin_without_users_leaves_a_gap(figures):
    png = plots.points(
        [("full", [plots.Bars("a", 0, False, [0.5, np.nan, 0.2],
                              [0.4, np.nan, 0.1], [0.6, np.nan, 0.3])])],
        ["1", "2", "3"], ["n = 4", "n = 0", "n = 7"], "items", "NDCG@10")
    assert png_size(png)[0] > 1000
    axis, = figures[0].axes
    assert axis.get_xlabel() == "items"
    assert ticks_of(axis) == ["1\nn = 4", "2\nn = 0", "3\nn = 7"]


def test_points_of_a_bin_stand_side_by_side_and_nothing_joins_them(figures):
    values = [0.5, 0.4, 0.2]
    plots.points(
        [("full", [plots.Bars("a", 0, False, values, None, None),
                   plots.Bars("b", 1, False, values, None, None),
                   plots.Bars("popular", 0, True, values, None, None)])],
        ["1", "2", "3"], ["n = 4"] * 3, "items", "NDCG@10")
    lines = figures[0].axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["None"] * 3
    assert len({line.get_marker() for line in lines} - {"None"}) == 3
    for i in range(3):
        places = [line.get_xdata()[i] for line in lines]
        assert i - 0.5 < places[0] < places[1] < places[2] < i + 0.5
        assert [line.get_ydata()[i] for line in lines] == [values[i]] * 3


def test_long_bins_are_named_on_two_lines_above_their_users(figures):
    plots.points(
        [("full", [plots.Bars("a", 0, False, [0.5, 0.4], None, None)])],
        ["1", u"1000\u20132000"], ["n = 40", "n = 39"], "items", "NDCG@10")
    assert ticks_of(figures[0].axes[0]) == [
        "1\nn = 40", u"1000\u2013\n2000\nn = 39"]


def test_thirty_runs_look_different(figures):
    plots.curves(
        [("", [plots.Line("run %d" % i, i, False, [1, 2], [i, i])
               for i in range(30)])], "loss", False)
    lines = figures[0].axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 30
