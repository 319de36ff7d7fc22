"""The figures of README.md and docs/studies.md are those of the records in
studies/, to the last digit that is written."""

import functools
import io
import os
import re
from decimal import Decimal

import numpy as np
import pytest

from conftest import ROOT
from evaluation import PROTOCOLS
from reporting import events, runs, stats

STUDIES = "docs/studies.md"


def seeds_1_to_3(name):
    return ["%s-%d" % (name, seed) for seed in (1, 2, 3)]


FAST = seeds_1_to_3("fast_seeds/ml-1m")


# --- what is written ---------------------------------------------------------

def section(document, heading):
    """The text under a heading, up to the next one: str."""
    with io.open(os.path.join(ROOT, document), encoding="utf-8") as stream:
        text = stream.read().split("\n%s\n" % heading, 1)[1]
    return re.split(r"^#+ ", text, flags=re.M)[0]


def table(document, heading, number=0):
    """The rows of a section's table but its head: list of list of str."""
    found = re.findall(r"(?:^\|.*\n)+", section(document, heading), re.M)[number]
    return [[cell.strip() for cell in row.strip("|").split("|")]
            for row in found.strip().split("\n")[2:]]


def check(values, *cells):
    """Asserts that the decimal numbers written in the cells are the values, in
    order, rounded."""
    written = re.findall(u"[+\u2212]?(?:\\d*\\.\\d+|\\d+e-\\d+)", " ".join(cells))
    assert len(written) == len(values), cells
    for text, value in zip(written, values):
        number = Decimal(text.replace(u"\u2212", "-"))
        last_digit = Decimal(10) ** number.as_tuple().exponent
        assert abs(number - Decimal(value)) <= last_digit / 2, (cells, value)


def of_protocol(protocol):
    """The two metrics that the tables have under a protocol, NDCG@10 first."""
    return ["%s/%s" % (protocol.strip("`"), metric)
            for metric in ("ndcg@10", "hit@10")]


def key_of(measure):
    """The key of "`paper`, HR@10" in eval_results.txt."""
    return measure.replace("`", "").replace("HR", "hit").lower().replace(
        ", ", "/")


# --- what is recorded --------------------------------------------------------

@functools.lru_cache(maxsize=None)
def recorded(name):
    """runs.Run of a folder in studies/."""
    return runs.read_run(os.path.join(ROOT, "studies", name), name, 0)


def results(name, *keys):
    """Values of a run's eval_results.txt: list of float."""
    return [recorded(name).results[key] for key in keys]


def of_seeds(names, key):
    """A metric of each of some runs: float array."""
    return np.concatenate([results(name, key) for name in names])


def means_and_deviations(names, keys):
    """Over some runs, of one metric after the other: list of float."""
    return [number for key in keys for number in (
        of_seeds(names, key).mean(), of_seeds(names, key).std(ddof=1))]


def validated(name, tag, steps):
    """A validation curve at some steps: list of float."""
    curve = recorded(name).curves[events.VALIDATION][tag]
    return [curve.values[list(curve.steps).index(step)] for step in steps]


def nearest(name, step):
    """The validated step that is nearest to one: int."""
    steps = recorded(name).curves[events.VALIDATION]["full/ndcg@10"].steps
    return steps[np.argmin(np.abs(steps - step))]


def compared(reference, other, key):
    """stats.GroupComparison of two groups of runs."""
    protocol, metric = key.split("/")
    return stats.compare_groups(*[
        np.stack([runs.user_metrics(recorded(name), [protocol], [metric])
                  for name in names], axis=1)
        for names in (reference, other)])[0]


# --- README.md ---------------------------------------------------------------

def test_the_readmes_results_are_those_of_three_fast_seeds():
    rows = table("README.md", "## Results")
    assert [row[0] for row in rows] == ["`seed`", "`paper`", "`full`"]
    for (protocol, gains, gains_interval, hits, hits_interval, three,
         popularity, transitions) in rows:
        keys = of_protocol(protocol)
        check(results(FAST[0], *keys), gains, hits)
        check(results(FAST[0], *[key + end for key in keys
                                 for end in ("/low", "/high")]),
              gains_interval, hits_interval)
        check(means_and_deviations(FAST, keys), three)
        check(results(FAST[0], *["most_popular/" + key for key in keys]),
              popularity)
        check(results(FAST[0], *["item_transitions/" + key for key in keys]),
              transitions)


def test_the_readmes_wide_model_is_the_studys():
    found = re.search(
        r"HR@10 are (\S+ / \S+) under `full` and (\S+ / \S+) under `paper`.*, "
        r"six hours, (\S+ / \S+) and (\S+ / \S+)\. ",
        section("README.md", "## Results"))
    for written, (name, protocol) in zip(found.groups(), [
            (name, protocol) for name in ("width/128-1", "width/128-6000-1")
            for protocol in ("full", "paper")]):
        check(results(name, *of_protocol(protocol)), written)


def test_the_readmes_forms_are_those_of_the_studies():
    here = {(row[0], row[1].strip("`")): row[4].replace("3 seeds", "")
            for row in table("README.md", "## Results", 1)}
    check(results(FAST[0], "seed/hit@10", "seed/ndcg@10"),
          here.pop(("ml-1m", "cross_published")))
    assert len(here) == 3
    for (dataset, form), written in here.items():
        study = "beauty" if dataset == "beauty" else "attention"
        names = seeds_1_to_3("%s_forms/%s" % (study, form))
        check([of_seeds(names, "paper/" + metric).mean()
               for metric in ("hit@10", "ndcg@10")], written)


def test_the_readmes_gains_of_cross_attention_are_those_of_the_studies():
    found = re.search(
        r"`self` (\S+) \(95 % (\S+) to (\S+)\), \[`cross`\]\S+ (\S+) "
        r"\((\S+) to (\S+)\); on Beauty (\S+) \((\S+) to (\S+)\)", section("README.md", "## Results"))
    ours, cross, beauty = [
        compared(seeds_1_to_3(folder + "/self"), names, "paper/ndcg@10")
        for folder, names in (
            ("attention_forms", FAST),
            ("attention_forms", seeds_1_to_3("attention_forms/cross")),
            ("beauty_forms", seeds_1_to_3("beauty_forms/cross_published")))]
    check(ours[:3] + cross[:3] + beauty[:3],
          *[text.rstrip(",;.") for text in found.groups()])


# --- docs/studies.md ---------------------------------------------------------

@pytest.mark.parametrize("heading,prefix", [
    ("## Does cross-attention help?", ""),
    ("### The same by the first fast recipe", "first-")])
def test_five_forms(heading, prefix):
    def of_form(form):
        if form == "cross_published" and not prefix:
            return FAST
        return seeds_1_to_3("attention_forms/%s%s" % (prefix, form))

    rows = table(STUDIES, heading)
    assert len(rows) == 10
    for protocol, form, gains, hits in rows:
        check(means_and_deviations(of_form(form.strip("`")),
                                   of_protocol(protocol)), gains, hits)
    rows = table(STUDIES, heading, 1)
    assert len(rows) == 4
    for measure, *cells in rows:
        for form, cell in zip(("cross", "cross_published", "cross_difference",
                               "cross_gram"), cells):
            check(compared(of_form("self"), of_form(form), key_of(measure))[:4],
                  cell)


def test_two_forms_on_beauty():
    forms = {form: seeds_1_to_3("beauty_forms/" + form)
             for form in ("cross_published", "self")}
    rows = table(STUDIES, "### On Beauty")
    assert len(rows) == 8
    for i, (_, protocol, gains, gains_mean, hits, hits_mean, popularity,
            transitions) in enumerate(rows):
        names = forms["cross_published" if i < 4 else "self"]
        keys = of_protocol(protocol)
        check(list(of_seeds(names, keys[0])) + list(of_seeds(names, keys[1])),
              gains, hits)
        check(means_and_deviations(names, keys), gains_mean, hits_mean)
        if i < 4:
            check(results(names[0], *[
                ranker + "/" + key for ranker in ("most_popular",
                                                  "item_transitions")
                for key in keys]), popularity, transitions)
    rows = table(STUDIES, "### On Beauty", 1)
    assert len(rows) == 4
    for protocol, metric, *cells in rows:
        check(compared(forms["cross_published"], forms["self"],
                       key_of("%s, %s" % (protocol, metric))), *cells)


def test_two_forms_on_beauty_at_three_rates():
    rows = table(STUDIES, "### Each form at its own rate on Beauty")
    assert len(rows) == 6
    for run, *cells in rows:
        form, rate = run.replace("`", "").split(", ")
        check(validated("beauty_rates/%s-%s" % (form, rate), "full/ndcg@10",
                        range(1000, 5001, 1000)), *cells)


@pytest.mark.parametrize("number,prefix", [(0, ""), (1, "first-")])
def test_training_seeds(number, prefix):
    names = seeds_1_to_3("fast_seeds/%sml-1m" % prefix)
    rows = table(STUDIES, "## How much do training seeds differ?", number)
    assert [row[0].strip("`") for row in rows] == list(PROTOCOLS)
    for protocol, *cells in rows:
        check([number for key in of_protocol(protocol)
               for number in list(of_seeds(names, key))
               + means_and_deviations(names, [key])], *cells)


def test_a_wider_model():
    rows = table(STUDIES, "## What does a wider model give?")
    assert [row[0].strip("`") for row in rows] == list(PROTOCOLS)
    for protocol, *cells in rows:
        keys = of_protocol(protocol)
        check(results("width/128-1", *[key + end for key in keys for end in (
            "", "/low", "/high")]) + results(FAST[0], *keys), *cells)


def test_twice_the_whole_windows():
    heading = "### Twice the whole windows"
    curve, rows = [table(STUDIES, heading, i) for i in (0, 1)]
    check(validated("width/128-6000-validated", "full/ndcg@10",
                    range(500, 6500, 500)), *curve[0][1:])
    assert [row[0].strip("`") for row in rows] == list(PROTOCOLS)
    for protocol, *cells in rows:
        keys = of_protocol(protocol)
        check(results("width/128-6000-1", *[
            key + end for key in keys for end in ("", "/low", "/high")])
              + results("width/128-1", *keys), *cells)


def test_batch_sizes():
    heading = "## Does BERT4Rec need thirty times the training?"
    curves, evaluated = [table(STUDIES, heading, i) for i in range(2)]
    assert len(curves) == len(evaluated) == 4
    for run, *cells in curves:
        name = re.match("`(.*?)`", run).group(1)
        batch = int(name.split("-")[0])
        check(validated("batch_size/" + name, "full/ndcg@10", [
            nearest("batch_size/" + name, sequences / batch) for sequences in (
                20000, 60000, 100000, 200000, 300000, 400000)]), *cells[:6])
    for run, *cells, step in evaluated:
        name = "batch_size/" + run.strip("`")
        check(results(name, *[
            key for protocol in ("seed", "paper", "full")
            for key in of_protocol(protocol)]), *cells)
        assert results(name, "global_step") == [int(step.replace(",", ""))]


def test_what_keeps_a_model_at_popularity():
    heading = "## Why do people stay at popularity?"
    rows = table(STUDIES, heading)
    assert len(rows) == 10
    for run, _, learned, *cells in rows:
        name = "plateau/" + run.strip("`")
        curve = recorded(name).curves[events.VALIDATION]["seed/hit@10"]
        check(validated(name, "seed/hit@10", [250, 500, 1000, 2000, 5000]),
              *cells)
        reached = curve.steps[curve.values >= .25]
        assert learned == ("{:,}".format(reached[0]) if len(reached)
                           else "never")
    found = re.search(r"has HR@10 (\S+) and NDCG@10 (\S+) under `seed`.*, and "
                      r"(\S+) and (\S+) where .*`full`: (\S+) / (\S+) and (\S+) "
                      r"/ (\S+)\)", section(STUDIES, heading))
    check([number for protocol in ("seed", "full")
           for name in ("rate-1e-3", "other-mask")
           for number in results("plateau/" + name, *reversed(
               of_protocol(protocol)))], *found.groups())


def test_a_sampled_softmax():
    rows = table(STUDIES, "## What does a sampled softmax cost in quality?")
    assert [row[0].strip("`") for row in rows] == list(PROTOCOLS)
    sampled = seeds_1_to_3("sampled_softmax/1000")
    for protocol, *cells in rows:
        check([number for key in of_protocol(protocol)
               for number in means_and_deviations(FAST, [key])
               + means_and_deviations(sampled, [key])
               + list(compared(FAST, sampled, key)[:3])], *cells)


def test_without_a_discount_of_popularity_the_models_are_the_published():
    rows = table(STUDIES, "## What does a sampled metric reward?")
    for number, name, ranker in ((0, FAST[0], ""), (5, "width/128-1", ""),
                                 (10, FAST[0], "item_transitions/")):
        check(results(name, *[ranker + key for protocol in PROTOCOLS
                              for key in of_protocol(protocol)]),
              *rows[number][1:])
