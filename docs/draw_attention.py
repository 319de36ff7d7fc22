"""Draws docs/attention.svg: the attention block with its three maps.

    python docs/draw_attention.py [--output FILE]

The picture brings its own card and colours, so that it can be read on a light
page and on a dark one; the same script writes the same bytes.
"""

import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402

WIDTH, HEIGHT = 940, 380
SEQUENCE, PROJECTED, MAPS = 24, 168, 336    # left edges of the columns
TRUNK = 290                                 # where Q and K branch
SUM, PRODUCT, DENSE = 690, 770, 822
MAP_WIDTH, MAP_HEIGHT = 296, 68
QUERIES, KEYS, VALUES = 110, 200, 322       # heights of Q, K and V
ROWS = (65, 155, 245)                       # heights of the maps
MIDDLE = ROWS[1]
APART = 15                                  # half the distance of two inputs

# The ink of text and wires, then the fill of boxes; queries, keys and values
# in Okabe and Ito's colours.
_LIGHT = {"card": ("#d0d7de", "#ffffff"), "ink": ("#1f2328", "#1f2328"),
          "muted": ("#59636e", "#59636e"), "plain": ("#6e7781", "#f6f8fa"),
          "q": ("#0072b2", "#e6f2fa"), "k": ("#c25400", "#fdeee3"),
          "v": ("#00805d", "#e3f6f0")}
_DARK = {"card": ("#3d444d", "#0d1117"), "ink": ("#f0f6fc", "#f0f6fc"),
         "muted": ("#9198a1", "#9198a1"), "plain": ("#9198a1", "#161b22"),
         "q": ("#58a6dd", "#10283a"), "k": ("#f0883e", "#3a2210"),
         "v": ("#3fb68b", "#0f3026")}


# --- parts ------------------------------------------------------------------

def style(colours):
    """CSS rules of a palette: boxes and circles, wires, arrowheads, text."""
    rules = []
    for name, (ink, fill) in sorted(colours.items()):
        rules += [".%s { stroke: %s; fill: %s }" % (name, ink, fill),
                  "path.%s { fill: none }" % name,
                  "polygon.%s, text.%s { fill: %s; stroke: none }"
                  % (name, name, ink)]
    return " ".join(rules)


def text(x, y, content, kind="ink", size=15, anchor="middle"):
    return ('<text class="%s" x="%g" y="%g" font-size="%g" text-anchor="%s">'
            "%s</text>" % (kind, x, y, size, anchor, content))


def box(x, middle, width, height, kind):
    return ('<rect class="%s" x="%g" y="%g" width="%g" height="%g" rx="7" '
            'stroke-width="1.5"/>'
            % (kind, x, middle - height / 2.0, width, height))


def circle(x, y, sign):
    """A circle that joins wires: what it does with them stands in it."""
    return ('<circle class="plain" cx="%g" cy="%g" r="18" stroke-width="1.5"/>'
            % (x, y) + text(x, y + 7, sign, size=22))


def wire(kind, *points):
    """A line through points, with an arrowhead along its last stretch."""
    (x, y), (to_x, to_y) = points[-2:]
    across, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    back_x, back_y = to_x - 9 * across, to_y - 9 * down
    tip = "%g,%g %g,%g %g,%g" % (
        to_x, to_y, back_x + 4.5 * down, back_y + 4.5 * across,
        back_x - 4.5 * down, back_y - 4.5 * across)
    end = to_x - 8 * across, to_y - 8 * down
    line = "M" + " L".join("%g %g" % point for point in points[:-1] + (end,))
    return ('<path class="%s" d="%s" stroke-width="1.8" '
            'stroke-linejoin="round"/><polygon class="%s" points="%s"/>'
            % (kind, line, kind, tip))


def transposed(name):
    return '%s<tspan dy="-5" font-size="10">T</tspan>' % name


# --- the picture ------------------------------------------------------------

def projection(name, what, middle):
    """The sequence's wire to Q, K or V, and its box."""
    kind = name.lower()
    start = SEQUENCE + 92
    return [wire("plain", (start, KEYS), (start + 24, KEYS),
                 (start + 24, middle), (PROJECTED, middle)),
            box(PROJECTED, middle, 88, 50, kind),
            text(PROJECTED + 44, middle - 1, name, kind, 19),
            text(PROJECTED + 44, middle + 16, what, "muted", 12)]


def attention_map(row, first, second, scale, what):
    """One map: two inputs, the formula, dropout, the wire to the sum."""
    parts = []
    for name, offset in ((first, -APART), (second, APART)):
        height = QUERIES if name == "Q" else KEYS
        parts += [wire(name.lower(), (PROJECTED + 88, height), (TRUNK, height),
                       (TRUNK, row + offset), (MAPS, row + offset)),
                  text(MAPS - 22, row + offset - 5,
                       transposed(name) if offset > 0 else name,
                       name.lower(), 13)]
    formula = 'softmax( %s %s<tspan dy="5">&#160;/ %s )</tspan>' % (
        first, transposed(second), scale)
    end = MAPS + MAP_WIDTH
    return parts + [
        box(MAPS, row, MAP_WIDTH, MAP_HEIGHT, "plain"),
        text(MAPS + 16, row - 11, what, "muted", 12, "start"),
        text(MAPS + 16, row + 16, formula, size=17, anchor="start"),
        box(end - 86, row, 72, 26, "card"),
        text(end - 50, row + 4.5, "dropout", size=12.5),
        wire("plain", (end, row), (SUM - 18, row)) if row == MIDDLE else
        wire("plain", (end, row), (SUM, row),
             (SUM, MIDDLE + (18 if row > MIDDLE else -18)))]


def picture():
    """The SVG: str."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
        'width="%d" height="%d" role="img" '
        'font-family="system-ui, \'Segoe UI\', \'DejaVu Sans\', sans-serif">'
        % (WIDTH, HEIGHT, WIDTH, HEIGHT),
        "<title>Cross-attention: softmax(QK\u1d40/\u221ad), softmax(QQ\u1d40/2"
        "\u221ad) and softmax(KK\u1d40/2\u221ad), each with dropout, are "
        "summed and multiplied with V</title>",
        "<style>%s @media (prefers-color-scheme: dark) { %s }</style>"
        % (style(_LIGHT), style(_DARK)),
        '<rect class="card" x="0.75" y="0.75" width="%g" height="%g" rx="10" '
        'stroke-width="1.5"/>' % (WIDTH - 1.5, HEIGHT - 1.5),
        box(SEQUENCE, KEYS, 92, 56, "plain"),
        text(SEQUENCE + 46, KEYS - 2, "sequence", size=14),
        text(SEQUENCE + 46, KEYS + 16, "[B, L, H]", "muted", 12)]
    for name, what, middle in (("Q", "dense", QUERIES), ("K", "dense", KEYS),
                               ("V", "dense", VALUES)):
        parts += projection(name, what, middle)
    root = "\u221ad"
    for row, first, second, scale, what in zip(
            ROWS, "QQK", "QKK", ("2" + root, root, "2" + root),
            ("query \u2013 query", "query \u2013 key", "key \u2013 key")):
        parts += attention_map(row, first, second, scale, what)
    parts += [
        wire("v", (PROJECTED + 88, VALUES), (PRODUCT, VALUES),
             (PRODUCT, MIDDLE + 18)),
        wire("plain", (SUM + 18, MIDDLE), (PRODUCT - 18, MIDDLE)),
        circle(SUM, MIDDLE, "+"),
        circle(PRODUCT, MIDDLE, "\u00d7"),
        text(PRODUCT + 12, MIDDLE + 38, "V", "v", 13, "start"),
        wire("plain", (PRODUCT + 18, MIDDLE), (DENSE, MIDDLE)),
        box(DENSE, MIDDLE, 72, 50, "plain"),
        text(DENSE + 36, MIDDLE - 1, "dense", size=14),
        text(DENSE + 36, MIDDLE + 16, "output", "muted", 12),
        wire("plain", (DENSE + 72, MIDDLE), (WIDTH - 12, MIDDLE)),
        text(MAPS, HEIGHT - 20, "in every head, of width d; padded keys are "
             "masked in all three maps", "muted", 12.5, "start"),
        "</svg>"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("--output", default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "attention.svg"))
    with io.open(parser.parse_args().output, "w", encoding="utf-8",
                 newline="\n") as stream:
        stream.write(picture())
