"""A report as Markdown and as one page."""

import base64
import html.parser
import os

import pytest

import report
from reporting.page import Section, Table, p_cell, to_markdown
from written_runs import two_runs, whole


class Page(html.parser.HTMLParser):
    """Collects what a page holds and checks that its tags are balanced."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        html.parser.HTMLParser.__init__(self)
        self.links, self.images, self.text, self._open = [], [], "", []
        self.ids = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "link", "iframe", "object")
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "img":
            self.images.append(attributes["src"])
            assert attributes["alt"]
        if "href" in attributes:
            self.links.append(attributes["href"])
        self.ids.append(attributes.get("id"))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def written(whole, two_runs, tmp_path_factory):
    """The folder of a written report."""
    folder = tmp_path_factory.mktemp("report") / "new"
    report.write_report(str(folder), "A <report>", [
        Section(title, blocks)
        for title, blocks in whole[0].items()])
    return folder


def test_no_p_is_printed_as_zero():
    assert [p_cell(p, "none") for p in (None, 0.25, 3e-7, 0.0)] == [
        "none", "0.2500", "3e-07", "<1e-300"]


def test_the_page_loads_nothing(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http:" not in text and "https:" not in text
    assert "url(" not in text and "@import" not in text
    assert all(source.startswith("data:image/png;base64,")
               for source in page.images)
    assert all(link[0] == "#" and link[1:] in page.ids for link in page.links)


def test_the_page_holds_every_figure_and_every_table(written, whole):
    page = Page((written / "report.html").read_text(encoding="utf-8"))
    names = sorted(name for name in os.listdir(str(written))
                   if name.endswith(".png"))
    assert names == ["by_history_length.png", "by_target_count.png",
                     "curve_hr_at_10.png", "curve_mrr.png",
                     "curve_ndcg_at_10.png", "learning_rate.png", "loss.png",
                     "metrics.png"]
    embedded = {base64.b64decode(source.split(",")[1])
                for source in page.images}
    assert embedded == {(written / name).read_bytes() for name in names}
    for blocks in whole[0].values():
        for block in blocks:
            if isinstance(block, Table):
                for cell in sum(block.rows, block.header):
                    assert all(part in page.text for part in cell.split("\n"))


def test_text_is_escaped(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "A &lt;report&gt;" in text and "abc&lt;&amp;&gt;" in text


def test_markdown_links_the_figures_beside_it(written):
    text = (written / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A <report>\n")
    for name in os.listdir(str(written)):
        assert (name.endswith(".png")) == ("](%s)" % name in text)


def test_nothing_else_is_left_in_the_folder(written):
    assert not [name for name in os.listdir(str(written)) if "tmp" in name]


def test_a_markdown_table_is_aligned_text():
    assert to_markdown([Section("T", [
        "Text.", Table(
            ["run", "value"], [["a|b", "0.1\n[0, 1]"], ["c", "12"]], 1)])]) == (
                "## T\n\n"
                "Text.\n\n"
                "| run  |      value |\n"
                "|------|-----------:|\n"
                "| a\\|b | 0.1 [0, 1] |\n"
                "| c    |         12 |\n")
