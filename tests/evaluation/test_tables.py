"""What a person reads."""

import collections

import pytest

from evaluation.tables import (
    _short_interval, published_line, results_table, summary_table)
from ranking_data import NAMES

LABELS = ["NDCG@1", "HR@1", "NDCG@5", "HR@5", "NDCG@10", "HR@10", "MRR"]


def test_the_published_line_to_the_letter():
    metrics = dict(zip(NAMES, [0.25, 0.25, 0.4350105, 0.5786, 0.5, 1.0,
                               1.0 / 3]))
    assert published_line(metrics, 6040) == (
        u"ndcg@1:0.25, hit@1:0.25\uff0c ndcg@5:0.4350105, hit@5:0.5786, "
        u"ndcg@10:0.5, hit@10:1.0, ap:0.3333333333333333, valid_user:6040.0")


def table_of(protocols, seeds=1):
    """(a results table of distinct numbers, the numbers by key)."""
    keys = [prefix + protocol + "/" + name for protocol in protocols
            for prefix in ("", "most_popular/", "item_transitions/")
            for name in NAMES]
    values = collections.OrderedDict()
    for i, key in enumerate(keys):
        values[key] = 0.0101 * (1 + i)
        values[key + "/low"] = values[key] - 0.01
        values[key + "/high"] = values[key] + 0.01
        values[key + "/mean"] = values[key] + 0.0001
        values[key + "/std"] = 0.0002
    return results_table(values, protocols, seeds), values


def test_the_table_has_two_lines_a_ranking_and_holds_every_number():
    table, values = table_of(("full", "paper"))
    lines = table.splitlines()
    assert lines[0].split() == ["protocol", "ranked", "by"] + LABELS
    assert [line.split()[:-7] for line in lines[1:]] == [
        row for protocol in ("full", "paper")
        for row in ([protocol, "model"], [], [protocol, "most", "popular"], [],
                    [protocol, "item", "transitions"], [])]
    points = [key for key in values if key.count("@") + key.count("ap")
              and not key.endswith(("low", "high", "mean", "std"))]
    assert [number for line in lines[1::2] for number in line.split()[-7:]] == [
        "%.4f" % values[key] for key in points]
    assert [number for line in lines[2::2] for number in line.split()] == [
        "%s-%s" % tuple(("%.3f" % values[key + side])[1:]
                        for side in ("/low", "/high")) for key in points]
    assert {len(line) for line in lines} == {95}        # columns stand in line


def test_the_table_shows_mean_and_deviation_of_several_seeds():
    table, values = table_of(("full", "paper"), seeds=5)
    lines = [line for line in table.splitlines()
             if "mean" in line or "deviation" in line]
    assert [line.split()[:-7] for line in lines] == [
        ["paper", "mean,", "5", "seeds"], ["paper", "deviation"]]
    assert lines[0].split()[-7:] == [
        "%.4f" % values["paper/%s/mean" % name] for name in NAMES]
    assert lines[1].split()[-7:] == ["0.0002"] * 7


@pytest.mark.parametrize("low, high, text", [
    (0.0, 0.0004, ".000-.000"), (0.12345, 0.9994, ".123-.999"),
    (0.99951, 1.0, "1.00-1.00"), (0.9512, 0.9894, ".951-.989")])
def test_an_interval_takes_nine_characters(low, high, text):
    assert _short_interval(low, high) == text


def test_the_summary_fits_a_screen_and_has_a_row_per_protocol():
    _, values = table_of(("seed", "full"))
    values["full/hit@10"], values["full/ndcg@10"] = 1.0, 0.97531
    lines = summary_table(values, ("seed", "full")).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 4
    assert lines[0].split() == ["NDCG@10", "HR@10"]
    assert lines[1].split() == ["protocol"] + 2 * [
        "model", "95", "%", "popular", "transitions"]

    def cells(protocol, metric):
        key = protocol + "/" + metric
        return ["%.4f" % values[key],
                "-".join(("%.3f" % values[key + side])[1:]
                         for side in ("/low", "/high")),
                "%.4f" % values["most_popular/" + key],
                "%.4f" % values["item_transitions/" + key]]

    for line, protocol in zip(lines[2:], ("seed", "full")):
        wanted = cells(protocol, "ndcg@10") + cells(protocol, "hit@10")
        assert line.split() == [protocol] + [
            "1.000" if text == "1.0000" else
            text[1:] if text.startswith("0.") else text for text in wanted]
    assert "1.000" in lines[3]
