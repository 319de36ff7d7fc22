"""A report's sections as Markdown and as one self-contained HTML page."""

import base64
import collections
import html

import numpy as np

# A report is a list of sections, a section's blocks are str (a paragraph),
# Table and Figure. A cell is text; a newline in it is a line break on the
# page. The columns from `numbers_from` on are aligned right.
Section = collections.namedtuple("Section", "title blocks")
Table = collections.namedtuple("Table", "header rows numbers_from")
Figure = collections.namedtuple("Figure", "name png caption")
NOTHING = u"\u2013"  # a cell without a value

_STYLE = """
body { max-width: 66rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
       background: #fff; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem;
     border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.35;
        margin: 1rem 0; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; }
.text td { overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #666; vertical-align: bottom; }
.number { text-align: right; } td.number { white-space: nowrap;
          font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #444; }
nav li { display: inline-block; margin-right: 1.2rem; } nav ul { padding: 0; }
@media print {
  body { max-width: none; margin: 0; font-size: 10pt; }
  table { font-size: 7.5pt; } nav { display: none; }
  .wide { overflow: visible; } a { color: inherit; }
  figure, tr { break-inside: avoid; } h2, p { break-after: avoid; }
  thead { display: table-header-group; }
}
"""


def interval_cell(estimate):
    """Text of (value, low, high), floats; NOTHING where they are NaN."""
    if np.isnan(estimate[0]):
        return NOTHING
    return "%.4f\n[%.4f, %.4f]" % tuple(estimate)


def p_cell(p, without):
    """Text of a p-value; `without` where it is None."""
    if p is None:
        return without
    if p == 0:  # smaller than any float64
        return "<1e-300"
    return "%.4f" % p if p >= 1e-4 else "%.0e" % p


# --- Markdown ---------------------------------------------------------------

def to_markdown(sections):
    """Markdown text; figures are links to the PNG files beside it."""
    parts = []
    for section in sections:
        parts.append("## " + section.title)
        parts.extend(_markdown_block(block) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def _markdown_block(block):
    if isinstance(block, Table):
        return _markdown_table(block)
    if isinstance(block, Figure):
        return "![%s](%s)" % (block.caption, block.name)
    return block


def _markdown_table(table):
    """Aligned columns, so that it reads well as plain text too."""
    rows = [[cell.replace("\n", " ").replace("|", "\\|") for cell in row]
            for row in [table.header] + table.rows]
    widths = [max(3, max(len(row[i]) for row in rows))
              for i in range(len(table.header))]
    lines = []
    for row in rows:
        lines.append("| " + " | ".join(
            cell.rjust(width) if i >= table.numbers_from else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths))) + " |")
    lines.insert(1, "|" + "|".join(
        "-" * (width + 1) + (":" if i >= table.numbers_from else "-")
        for i, width in enumerate(widths)) + "|")
    return "\n".join(lines)


# --- HTML -------------------------------------------------------------------

def to_html(title, sections):
    """One page with its style and images inside; it loads nothing."""
    parts = ["<!DOCTYPE html>", '<html lang="en">', "<head>",
             '<meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width">',
             "<title>%s</title>" % html.escape(title),
             "<style>%s</style>" % _STYLE, "</head>", "<body>",
             "<h1>%s</h1>" % html.escape(title), "<nav><ul>"]
    parts += ['<li><a href="#s%d">%s</a></li>'
              % (i, html.escape(section.title))
              for i, section in enumerate(sections)]
    parts.append("</ul></nav>")
    for i, section in enumerate(sections):
        parts.append('<h2 id="s%d">%s</h2>' % (i, html.escape(section.title)))
        parts.extend(_html_block(block) for block in section.blocks)
    return "\n".join(parts + ["</body>", "</html>"]) + "\n"


def _html_block(block):
    if isinstance(block, Table):
        return _html_table(block)
    if isinstance(block, Figure):
        caption = html.escape(block.caption)
        return ('<figure><img alt="%s" src="data:image/png;base64,%s">'
                "<figcaption>%s</figcaption></figure>" % (
                    caption, base64.b64encode(block.png).decode("ascii"),
                    caption))
    return "<p>%s</p>" % html.escape(block)


def _html_table(table):
    def row(cells, tag):
        return "<tr>%s</tr>" % "".join("<%s%s>%s</%s>" % (
            tag, ' class="number"' if i >= table.numbers_from else "",
            html.escape(cell).replace("\n", "<br>"), tag)
            for i, cell in enumerate(cells))

    text = table.numbers_from == len(table.header)
    return ('<div class="wide"><table%s><thead>%s</thead>\n<tbody>%s</tbody>'
            "</table></div>" % (
                ' class="text"' if text else "", row(table.header, "th"),
                "\n".join(row(cells, "td") for cells in table.rows)))
