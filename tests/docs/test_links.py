"""Every relative link and anchor in README.md and docs/*.md resolves."""

import glob
import io
import os
import re

import pytest

from conftest import ROOT

PAGES = sorted(os.path.relpath(path, ROOT) for path in [
    os.path.join(ROOT, "README.md")]
    + glob.glob(os.path.join(ROOT, "docs", "*.md")))


def prose(page):
    """A page without its code: str. Spans in backticks keep their text."""
    with io.open(os.path.join(ROOT, page), encoding="utf-8") as stream:
        return re.sub(r"^```.*?^```$", "", stream.read(), flags=re.M | re.S)


def links(page):
    """list of (file, anchor or ""), relative to the top of the project."""
    found = []
    for target in re.findall(r"\]\(([^()\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(
                os.path.dirname(page), path)) if path else page
            found.append((path, anchor))
    return found


def anchors(page):
    """list of str, the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in headings]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for path, anchor in links(page):
        assert os.path.exists(os.path.join(ROOT, path)), path
        if anchor:
            assert anchor in anchors(path), "%s#%s" % (path, anchor)


@pytest.mark.parametrize("page", PAGES)
def test_headings_of_a_page_have_anchors_of_their_own(page):
    assert len(set(anchors(page))) == len(anchors(page))


def test_the_readme_leads_to_every_page():
    assert {path for path, _ in links("README.md")}.issuperset(
        set(PAGES) - {"README.md"})
