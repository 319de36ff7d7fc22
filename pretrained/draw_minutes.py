"""Draws validation quality over the minutes of training, as SVG.

    python pretrained/draw_minutes.py checkpoints/a checkpoints/b \\
        --names=published,fast --output=docs/minutes.svg

A MODEL is a model directory with its event files, or a folder of publish.py
with its curves.tsv. The picture brings its own card and colours, so that it
can be read on a light page and on a dark one.
"""

import argparse
import collections
import html
import io
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402
import evaluation  # noqa: E402
from reporting import events  # noqa: E402

METRICS = ("ndcg@10", "hit@10")
WIDTH, HEIGHT = 940, 380
LEFTS, PANEL_WIDTH = (70, 530), 380     # of the two panels
TOP, BOTTOM = 78, 322                   # heights of an axis's ends
TICKS = 6                               # at most, of an axis

# Text and lines, then the card; the curves have Okabe and Ito's colours.
_LIGHT = ("#1f2328", "#59636e", "#d0d7de", "#ffffff",
          ("#0072b2", "#c25400", "#00805d", "#a8437f"))
_DARK = ("#f0f6fc", "#9198a1", "#3d444d", "#0d1117",
         ("#58a6dd", "#f0883e", "#3fb68b", "#d98cb8"))
_DASHES = ("none", "7 4", "2 4", "10 4 2 4")  # told apart without colour, too

# minutes and values: float arrays [points].
Line = collections.namedtuple("Line", "name minutes values")


# --- what is drawn -----------------------------------------------------------

def validations(folder):
    """dict, "<protocol>/<metric>" -> Curve, of a model.

    Raises:
        ValueError: there are no validations, or their times are not known.
    """
    curves = events.read_curves(folder).get(events.VALIDATION, {})
    if not curves:
        raise ValueError("%s holds no validations; train with run.py "
                         "--valid_input_file" % folder)
    if any(math.isnan(second) for curve in curves.values()
           for second in curve.seconds):
        raise ValueError("%s has no event files of its training, so the "
                         "minutes are not known" % folder)
    return curves


def panels_of(found, names):
    """One panel a metric, under the first protocol that all models share.

    Args:
        found: list of what `validations` returns.
        names: list of str.

    Returns:
        list of (title, list of Line).

    Raises:
        ValueError: they share no protocol.
    """
    for protocol in evaluation.PROTOCOLS:
        keys = ["%s/%s" % (protocol, metric) for metric in METRICS]
        if all(key in curves for key in keys for curves in found):
            return [("validation %s, protocol %s" % (
                evaluation.METRIC_LABELS[metric], protocol), [
                    Line(name, curves[key].seconds / 60.0, curves[key].values)
                    for name, curves in zip(names, found)])
                    for metric, key in zip(METRICS, keys)]
    raise ValueError("no protocol that all of the models validated under; "
                     "they have %s" % "; ".join("%s: %s" % (
                         name, ", ".join(sorted({
                             key.split("/")[0] for key in curves})))
                         for name, curves in zip(names, found)))


# --- axes --------------------------------------------------------------------

def linear_ticks(most):
    """list of float from 0 to the first tick not below `most`: the finest of
    steps 1, 2 and 5 times a power of ten with TICKS ticks or less."""
    power = 10.0 ** math.floor(math.log10(most / TICKS))
    step = next(times * power for times in (1, 2, 5, 10, 20)
                if math.ceil(most / (times * power)) < TICKS)
    return [i * step for i in range(int(math.ceil(most / step)) + 1)]


def log_ticks(least, most):
    """list of float, the powers of ten around what is drawn."""
    return [10.0 ** power for power in range(
        int(math.floor(math.log10(least))),
        max(int(math.ceil(math.log10(most))),
            int(math.floor(math.log10(least))) + 1) + 1)]


def place(value, ticks, start, end, log=False):
    """float, where a value stands between the ends of an axis."""
    scale = math.log10 if log else float
    low, high = scale(ticks[0]), scale(ticks[-1])
    return start + (end - start) * (scale(value) - low) / (high - low)


# --- parts of the picture ----------------------------------------------------

def style(palette):
    """CSS rules of a palette."""
    ink, muted, rule, card, colours = palette
    rules = [".ink { fill: %s }" % ink, ".muted { fill: %s }" % muted,
             ".rule { stroke: %s }" % rule,
             ".card { stroke: %s; fill: %s }" % (rule, card)]
    for i, colour in enumerate(colours):
        rules += [".line%d { stroke: %s; fill: none }" % (i, colour),
                  ".dot%d { fill: %s }" % (i, colour)]
    return " ".join(rules)


def text(x, y, content, kind="muted", size=13, anchor="middle"):
    return ('<text class="%s" x="%.1f" y="%.1f" font-size="%g" '
            'text-anchor="%s">%s</text>'
            % (kind, x, y, size, anchor, html.escape(content)))


def rule(x, y, to_x, to_y):
    return ('<path class="rule" d="M%.1f %.1f L%.1f %.1f"/>'
            % (x, y, to_x, to_y))


def stroke(number, points):
    return ('<path class="line%d" d="M%s" stroke-width="2" '
            'stroke-dasharray="%s"/>' % (number, " L".join(
                "%.1f %.1f" % point for point in points), _DASHES[number]))


def panel(left, title, lines, log):
    """list of str: axes, then lines with a dot at each validation."""
    minutes = [minute for line in lines for minute in line.minutes]
    across = (log_ticks(min(minutes), max(minutes)) if log
              else linear_ticks(max(minutes)))
    up = linear_ticks(max(value for line in lines for value in line.values))
    parts = [text(left, TOP - 14, title, "ink", 15, "start"),
             text(left + PANEL_WIDTH / 2.0, BOTTOM + 42, "minutes of training"
                  + (", logarithmic" if log else ""))]
    for tick in up:
        y = place(tick, up, BOTTOM, TOP)
        parts += [rule(left, y, left + PANEL_WIDTH, y),
                  text(left - 8, y + 4, "%g" % round(tick, 9), anchor="end")]
    for tick in across:
        x = place(tick, across, left, left + PANEL_WIDTH, log)
        parts += [rule(x, BOTTOM, x, BOTTOM + 5),
                  text(x, BOTTOM + 20, "{:,.9g}".format(tick))]
    for number, line in enumerate(lines):
        points = [(place(minute, across, left, left + PANEL_WIDTH, log),
                   place(value, up, BOTTOM, TOP))
                  for minute, value in zip(line.minutes, line.values)]
        parts.append(stroke(number, points))
        parts += ['<circle class="dot%d" cx="%.1f" cy="%.1f" r="3"/>'
                  % ((number,) + point) for point in points]
    return parts


def picture(panels, log):
    """The SVG file's text.

    Args:
        panels: list of two (title, list of Line).
        log: bool, whether the minutes' axis is logarithmic.
    """
    names = [line.name for line in panels[0][1]]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
             'width="%d" height="%d" role="img" font-family="system-ui, '
             "'Segoe UI', 'DejaVu Sans', sans-serif\">"
             % (WIDTH, HEIGHT, WIDTH, HEIGHT),
             "<title>%s over minutes of training: %s</title>" % (
                 " and ".join(html.escape(title) for title, _ in panels),
                 html.escape(", ".join(names))),
             "<style>%s @media (prefers-color-scheme: dark) { %s }</style>"
             % (style(_LIGHT), style(_DARK)),
             '<rect class="card" x="0.75" y="0.75" width="%g" height="%g" '
             'rx="10" stroke-width="1.5"/>' % (WIDTH - 1.5, HEIGHT - 1.5)]
    apart = (WIDTH - 2.0 * LEFTS[0]) / len(names)
    for number, name in enumerate(names):
        x = LEFTS[0] + number * apart
        parts += [stroke(number, [(x, 30), (x + 34, 30)]),
                  '<circle class="dot%d" cx="%.1f" cy="30" r="3"/>'
                  % (number, x + 17), text(x + 42, 35, name, "ink", 14,
                                           "start")]
    for left, (title, lines) in zip(LEFTS, panels):
        parts += panel(left, title, lines, log)
    return "\n".join(parts + ["</svg>"]) + "\n"


def draw(folders, names, output, log):
    """Writes the picture of two or more models.

    Raises:
        ValueError: what is missing.
    """
    names = names or [os.path.basename(os.path.abspath(folder))
                      for folder in folders]
    if len(names) != len(folders):
        raise ValueError("--names=%s gives %d names to %d models"
                         % (",".join(names), len(names), len(folders)))
    if not 2 <= len(folders) <= len(_DASHES):
        raise ValueError("%d models given; from 2 to %d can be told apart"
                         % (len(folders), len(_DASHES)))
    for folder in folders:
        if not os.path.isdir(folder):
            raise ValueError("no folder %s; pass model directories, or folders "
                             "of publish.py" % folder)
    panels = panels_of([validations(folder) for folder in folders], names)
    with util.AtomicFiles() as files:
        with io.open(files.path(output), "w", encoding="utf-8") as stream:
            stream.write(picture(panels, log))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL",
                        help="a model directory, or a folder of publish.py")
    parser.add_argument("--names", help="what they are called, comma-separated;"
                        " default: their folders' names")
    parser.add_argument("--output", required=True, help="the SVG file")
    parser.add_argument("--log", action="store_true",
                        help="a logarithmic axis of minutes")
    given = parser.parse_args()
    with util.one_line_errors("draw_minutes.py", (ValueError, IOError)):
        draw(given.models, given.names and given.names.split(","),
             given.output, given.log)
    util.log("wrote %s" % given.output)
