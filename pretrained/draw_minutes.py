"""Draws validation quality over the minutes of training, as PNG.

    python pretrained/draw_minutes.py checkpoints/a checkpoints/b \\
        --names=published,fast --output=docs/minutes.png

A MODEL is a model directory with its event files, or a folder of publish.py
with its curves.tsv. What a script trained on short windows before, with
short_train_steps, comes first: <MODEL>-short beside a model directory.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402
import numpy as np  # noqa: E402
import evaluation  # noqa: E402
from reporting import events  # noqa: E402
try:
    from reporting import plots
except ImportError as error:
    sys.exit("draw_minutes.py: error: %s; pip install -r "
             "requirements-report.txt" % error)

METRICS = ("ndcg@10", "hit@10")


def validations(folder):
    """dict, "<protocol>/<metric>" -> Curve, of a model.

    Raises:
        ValueError: no such folder, no validations, or unknown times.
    """
    if not os.path.isdir(folder):
        raise ValueError("no folder %s; pass model directories, or folders of "
                         "publish.py" % folder)
    curves = events.read_curves(folder).get(events.VALIDATION, {})
    if not curves:
        raise ValueError("%s holds no validations; train with run.py "
                         "--valid_input_file" % folder)
    if any(np.isnan(curve.seconds).any() for curve in curves.values()):
        raise ValueError("%s has no event files of its training, so the "
                         "minutes are not known" % folder)
    return curves


def from_its_first_step(folder):
    """`validations` of a model, after those of the short training before it.

    The short one's time, to its last point, comes before the model's own.
    """
    own = validations(folder)
    short = events.short_folder(folder)
    if short is None:
        return own
    first = validations(short)
    curves = events.read_curves(short)  # and of evaluations, at any time
    taken = max(curve.seconds.max()
                for folder in (events.TRAINING, events.VALIDATION)
                for curve in curves.get(folder, {}).values())
    return {tag: events.Curve(
        np.append(first[tag].steps, own[tag].steps),
        np.append(first[tag].values, own[tag].values),
        np.append(first[tag].seconds, taken + own[tag].seconds))
            for tag in own if tag in first}


def shared_protocol(found, names):
    """str, the first protocol that all models validated under.

    Args:
        found: list of what `validations` returns.
        names: list of str, for the message.

    Raises:
        ValueError: there is none.
    """
    validated = [[protocol for protocol in evaluation.PROTOCOLS
                  if "%s/%s" % (protocol, METRICS[0]) in curves]
                 for curves in found]
    for protocol in evaluation.PROTOCOLS:
        if all(protocol in protocols for protocols in validated):
            return protocol
    raise ValueError("no protocol that all of the models validated under; "
                     "they have %s" % "; ".join(
                         "%s: %s" % (name, ", ".join(protocols))
                         for name, protocols in zip(names, validated)))


def picture(folders, names):
    """bytes, a PNG: a panel a metric, a line a model.

    Args:
        folders: list of str, the models.
        names: list of str.

    Raises:
        ValueError: what is missing.
    """
    if len(names) != len(folders):
        raise ValueError("--names=%s gives %d names to %d models"
                         % (",".join(names), len(names), len(folders)))
    found = [from_its_first_step(folder) for folder in folders]
    protocol = shared_protocol(found, names)
    panels = []
    for metric in METRICS:
        curves = [model["%s/%s" % (protocol, metric)] for model in found]
        panels.append((evaluation.METRIC_LABELS[metric], [
            plots.Line(name, number, False, curve.seconds / 60.0, curve.values)
            for number, (name, curve) in enumerate(zip(names, curves))]))
    return plots.curves(panels, "validation, protocol %s" % protocol,
                        from_zero=True, xlabel="minutes of training")


def main(args):
    with util.one_line_stops("draw_minutes.py", "nothing was written"), \
            util.one_line_errors("draw_minutes.py"):
        names = (args.names.split(",") if args.names else
                 [os.path.basename(os.path.abspath(folder))
                  for folder in args.models])
        util.check_parent(args.output, "output")
        content = picture(args.models, names)
        with util.AtomicFiles() as files:
            with open(files.path(args.output), "wb") as stream:
                stream.write(content)
    util.log("wrote %s" % args.output)


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL",
                        help="a model directory, or a folder of publish.py")
    parser.add_argument("--names", help="what they are called, comma-separated;"
                        " default: their folders' names")
    parser.add_argument("--output", required=True, help="the PNG file")
    main(parser.parse_args())
