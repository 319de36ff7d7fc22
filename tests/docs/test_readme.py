"""README.md: short, and its published numbers are the recorded ones."""

import io
import os
import re

from conftest import ROOT
from data.known_datasets import PUBLISHED_RESULTS

# Beside a number of the README: which of PUBLISHED_RESULTS it is.
SOURCES = {"log of the published code": "training log, 400,000 steps, run 1",
           "BERT4Rec paper": "BERT4Rec paper"}


def readme():
    with io.open(os.path.join(ROOT, "README.md"), encoding="utf-8") as stream:
        return stream.read()


def test_a_person_reads_it_in_five_minutes():
    assert len(readme().encode("utf-8")) <= 12000, (
        "README.md has outgrown 12 kB; move what is long to docs/")


def test_published_numbers_are_the_recorded_ones():
    rows = re.findall(
        r"^\| ([\w-]+) \|.*\| (\S+) / (\S+) \(([^)]+)\) \|", readme(), re.M)
    assert len(rows) == 3
    for dataset, hits, gains, source in rows:
        values, = [row[3] for row in PUBLISHED_RESULTS
                   if row[1:3] == (dataset, SOURCES[source])]
        assert (hits, gains) == (values["hit@10"], values["ndcg@10"])


def test_the_headline_number_is_that_of_the_published_log():
    found = re.search(r"after ([\d,]+) steps: HR@10 (\S+) and NDCG@10 (\S+)\. ",
                      readme())
    values, = [row[3] for row in PUBLISHED_RESULTS if row[2] ==
               "training log, %s steps, run 1" % found.group(1)]
    assert found.group(2, 3) == (values["hit@10"], values["ndcg@10"])
