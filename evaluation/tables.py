"""What a person reads of an evaluation: the published line and a table."""

from evaluation.baselines import BASELINES
from evaluation.metrics import METRIC_LABELS, METRICS


def published_line(metrics, users):
    """The line that the published code prints, for comparison by eye.

    Args:
        metrics: dict, name in METRICS -> float.
        users: int.
    """
    # The third separator is a full-width comma there, and so it is here.
    return ("ndcg@1:{ndcg@1}, hit@1:{hit@1}\uff0c ndcg@5:{ndcg@5}, "
            "hit@5:{hit@5}, ndcg@10:{ndcg@10}, hit@10:{hit@10}, ap:{ap}, "
            "valid_user:{users}".format(users=float(users), **metrics))


def _short_interval(low, high):
    """Two bounds in at most 9 characters: .123-.456."""
    return "-".join("1.00" if bound >= 0.9995 else ("%.3f" % bound)[1:]
                    for bound in (low, high))


def summary_table(results, protocols):
    """A text table that fits a screen: a row per protocol, 80 columns wide.

    NDCG@10 and HR@10 of the model with their intervals, and of the baselines.

    Args:
        results: dict, the `results` and `intervals` of an Evaluator with all
            BASELINES.
        protocols: names in PROTOCOLS.
    """
    metrics = ("ndcg@10", "hit@10")
    lines = ["%-8s" % "" + "".join(" %-35s" % METRIC_LABELS[metric]
                                   for metric in metrics),
             "protocol" + 2 * " model 95 %      popular transitions"]
    for protocol in protocols:
        text = "%-8s" % protocol
        for metric in metrics:
            key = "%s/%s" % (protocol, metric)
            text += " %s %s %7s %11s" % tuple(
                [_short(results[key]), _short_interval(
                    results[key + "/low"], results[key + "/high"])]
                + [_short(results["%s/%s" % (name, key)])
                   for name in BASELINES])
        lines.append(text)
    return "\n".join(line.rstrip() for line in lines)


def _short(value):
    """A metric in 5 characters: .1234."""
    return "1.000" if value >= 0.99995 else ("%.4f" % value)[1:]


def results_table(results, protocols, seeds=1):
    """A text table: rankings in rows, metrics in columns, 95 columns wide.

    Below each ranking's values stand their intervals; under several seeds
    the model's mean and standard deviation over them follow.

    Args:
        results: dict, the `results`, `intervals` and `spread` of an Evaluator
            with all BASELINES.
        protocols: names in PROTOCOLS.
        seeds: int.
    """
    def line(protocol, label, texts):
        return "%-8s%-17s" % (protocol, label) + "".join(
            "%10s" % text for text in texts)

    def number(key):
        return "%.4f" % results[key]

    lines = [line("protocol", " ranked by", METRIC_LABELS.values())]
    for protocol in protocols:
        for name in ("model",) + BASELINES:
            prefix = protocol if name == "model" else name + "/" + protocol
            keys = ["%s/%s" % (prefix, metric) for metric in METRICS]
            lines.append(line(protocol, " " + name.replace("_", " "),
                              map(number, keys)))
            lines.append(line("", "", [
                _short_interval(results[key + "/low"], results[key + "/high"])
                for key in keys]))
            if name == "model" and seeds > 1 and protocol != "full":
                for label, ending in ((" mean, %d seeds" % seeds, "/mean"),
                                      (" deviation", "/std")):
                    lines.append(line(protocol, label, [
                        number(key + ending) for key in keys]))
    return "\n".join(lines)
