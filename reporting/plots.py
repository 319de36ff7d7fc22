"""The figures of a report, as PNG bytes. They know no files and no runs."""

import collections
import io

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart with every kind of colour blindness
# (without yellow and black: too pale, too loud).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v")  # 6 x 5: thirty runs without repeat
_GREYS = ("#595959", "#a6a6a6")
_BASELINE_MARKERS = ("x", "*")
_HATCHES = ("//", "..")
FEW = 100  # points of a line up to which each is marked

# A curve; `number` is its run's, for the colour, and a second kind of curve
# of that run is dashed.
Line = collections.namedtuple("Line", "label number dashed x values")
# Bars or points with intervals: arrays [groups]; low and high are None where
# there are none. `number` counts runs and baselines apart.
Bars = collections.namedtuple("Bars", "label number baseline values low high")


def curves(panels, ylabel, from_zero, join_few=True, xlabel="training step"):
    """Lines over training steps, or over what `xlabel` says.

    Args:
        panels: list of (title, list of Line); an empty title is left out.
        ylabel: str.
        from_zero: bool, whether the y axis starts at 0.
        join_few: bool, whether points are joined where a line has FEW of them
            or less. False for what is known to be no straight line between
            two points.
        xlabel: str.

    Returns:
        bytes, a PNG.
    """
    figure, axes = _grid(len(panels))
    for axis, (title, lines) in zip(axes, panels):
        for i, line in enumerate(lines):
            # Of curves that lie on one another the lower ones are wider.
            covered = sum(np.array_equal(line.values, other.values)
                          for other in lines[i + 1:])
            wider = 2.5 * min(covered, 4)
            few = len(line.x) <= FEW
            joined = join_few or not few
            axis.plot(line.x, line.values, label=_plain(line.label),
                      color=_COLOURS[line.number % len(_COLOURS)],
                      linestyle=("--" if line.dashed else "-") if joined
                      else "none", linewidth=1.3 + wider,
                      marker=_MARKERS[line.number % len(_MARKERS)]
                      if few else None, markersize=4 + wider,
                      markerfacecolor="white" if line.dashed else None)
        axis.set_title(title)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        last = axis.dataLim.x1 or 1
        axis.set_xlim(-0.02 * last, 1.04 * last)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(
            6, steps=(1, 2, 5, 10), integer=True))
        axis.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axis.ticklabel_format(axis="y", scilimits=(-4, 4))
        if from_zero:
            _show_zero(axis)
    return _finish(figure, axes)


def bars(panels, groups, ylabel):
    """Groups of bars with intervals.

    Args:
        panels: list of (title, list of Bars).
        groups: list of str, the tick labels.
        ylabel: str.

    Returns:
        bytes, a PNG.
    """
    figure, axes = _grid(len(panels))
    for axis, (title, series) in zip(axes, panels):
        width = 0.8 / len(series)
        for i, item in enumerate(series):
            axis.bar(_places(groups, i, len(series), width), item.values,
                     0.92 * width, label=_plain(item.label), color=_colour(item),
                     hatch=_HATCHES[item.number % len(_HATCHES)]
                     if item.baseline else None, edgecolor="white",
                     linewidth=0, yerr=_errors(item), capsize=2,
                     error_kw={"elinewidth": 1})
        axis.set_title(title)
        axis.set_ylabel(ylabel)
        axis.set_xticks(range(len(groups)))
        axis.set_xticklabels(groups)
    return _finish(figure, axes)


def points(panels, groups, notes, xlabel, ylabel):
    """Points with intervals in ordered groups, side by side in each.

    Nothing joins them: beside one another, lines would stand at different
    heights where the points do not.

    Args: as `bars`, and
        notes: list of str, one to stand below each tick label.
        xlabel: str.
    """
    if max(len(name) for name in groups) > 8:  # "1234\u20135678" on two lines
        groups = [name.replace(u"\u2013", u"\u2013\n") for name in groups]
    groups = ["%s\n%s" % pair for pair in zip(groups, notes)]
    figure, axes = _grid(len(panels), height=3.3)
    for axis, (title, series) in zip(axes, panels):
        for i, item in enumerate(series):
            markers = _BASELINE_MARKERS if item.baseline else _MARKERS
            axis.errorbar(_places(groups, i, len(series),
                                  min(0.14, 0.8 / len(series))), item.values,
                          yerr=_errors(item), label=_plain(item.label),
                          color=_colour(item), elinewidth=1.2,
                          marker=markers[item.number % len(markers)],
                          markersize=5, capsize=2, linestyle="none")
        axis.set_title(title)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        axis.set_xticks(range(len(groups)))
        axis.set_xticklabels(groups)
        axis.set_xticks(np.arange(1, len(groups)) - 0.5, minor=True)
        axis.tick_params(axis="x", which="minor", length=0)
        axis.grid(True, axis="x", which="minor", linewidth=0.5, color="#dddddd")
        axis.set_xlim(-0.5, len(groups) - 0.5)
        _show_zero(axis)
    return _finish(figure, axes, handlelength=1)


def dots(panels, groups, ylabel):
    """A dot for every value of a group, and a line at their mean.

    Args:
        panels: list of (title, list of float arrays, one a group).
        groups: list of str, the tick labels.
        ylabel: str.

    Returns:
        bytes, a PNG.
    """
    figure, axes = _grid(len(panels))
    for axis, (title, values) in zip(axes, panels):
        for i, found in enumerate(values):
            axis.plot(i + 0.06 * (np.arange(len(found))
                                  - (len(found) - 1) / 2.0), found, "o",
                      color=_COLOURS[i % len(_COLOURS)], markersize=5,
                      label=_plain(groups[i]))
            axis.hlines(np.mean(found), i - 0.3, i + 0.3, linewidth=1.3,
                        color=_COLOURS[i % len(_COLOURS)])
        axis.set_title(title)
        axis.set_ylabel(ylabel)
        axis.set_xticks(range(len(groups)))
        axis.set_xticklabels([_plain(name) for name in groups])
        axis.set_xlim(-0.5, len(groups) - 0.5)
    return _finish(figure, axes, handlelength=1)


# --- shared -----------------------------------------------------------------

def _grid(count, height=2.9):
    """A figure of page width and its axes, two a row."""
    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(9.2, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def _places(groups, i, count, width):
    """float array [groups], where series i of `count` stands."""
    return np.arange(len(groups)) + (i - (count - 1) / 2.0) * width


def _plain(name):
    """A run's name to be shown as it is: "$" would begin a formula, and "_" at
    the start keep it out of the legend."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _colour(item):
    palette = _GREYS if item.baseline else _COLOURS
    return palette[item.number % len(palette)]


def _errors(item):
    """Distances below and above the values, as matplotlib wants them."""
    if item.low is None:
        return None
    return np.maximum(0, [np.subtract(item.values, item.low),
                          np.subtract(item.high, item.values)])


def _show_zero(axis):
    """Makes the y axis reach from 0, with room for markers at both ends."""
    top = axis.dataLim.y1 or 1
    axis.set_ylim(-0.03 * top, 1.06 * top)


def _finish(figure, axes, handlelength=3):
    """Grid, fonts, one legend under all panels; the PNG's bytes."""
    labels = collections.OrderedDict()
    for axis in axes:
        axis.grid(True, axis="y", linewidth=0.5, color="#dddddd")
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for handle, label in zip(*axis.get_legend_handles_labels()):
            labels.setdefault(label, handle)
    figure.tight_layout()
    longest = max(len(label) for label in labels)
    figure.legend(list(labels.values()), list(labels), loc="upper center",
                  bbox_to_anchor=(0.5, 0.0), frameon=False,
                  handlelength=handlelength,
                  ncol=max(1, min(len(labels), 110 // (longest + 8))))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=140, bbox_inches="tight")
    return stream.getvalue()
