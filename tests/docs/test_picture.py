"""docs/attention.svg is what its script draws."""

import io
import os
import xml.etree.ElementTree

from conftest import ROOT, command

PICTURE = os.path.join(ROOT, "docs", "attention.svg")


def test_attention_svg_is_what_its_script_draws(tmp_path):
    status, _, errors = command("docs/draw_attention.py",
                                "--output=%s" % (tmp_path / "drawn.svg"))
    assert status == 0, errors
    drawn = (tmp_path / "drawn.svg").read_bytes()
    with open(PICTURE, "rb") as stream:
        assert stream.read() == drawn, (
            "docs/attention.svg is stale; draw it again with: "
            "python docs/draw_attention.py")


def test_it_shows_the_three_maps_of_cross_attention():
    with io.open(PICTURE, encoding="utf-8") as stream:
        root = xml.etree.ElementTree.fromstring(stream.read())
    texts = ["".join(element.itertext()).replace(u"\u00a0", " ")
             for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for formula in (u"softmax( Q KT / \u221ad )", u"softmax( Q QT / 2\u221ad )",
                    u"softmax( K KT / 2\u221ad )"):
        assert texts.count(formula) == 1
    assert texts.count("dropout") == 3
