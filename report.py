"""Compares runs: tables, paired tests, breakdowns, plots, one HTML page.

    python report.py RUN [RUN ...] [--output=report/] [--reference]

A RUN is a model directory, checkpointDir + signature of run.py, that run.py
--do_eval has evaluated. Writes report.md, report.html and PNG files.
"""

import os
import sys

import util  # first: it explains what is missing

from absl import app
from absl import flags

import evaluation

try:
    from reporting.runs import evaluated_protocols, read_run
    from reporting.sections import make_sections
except ImportError as error:
    sys.exit("report.py: error: %s; pip install -r requirements-report.txt"
             % error)
from reporting.page import Figure, to_html, to_markdown

HEADLINE_METRICS = ("ndcg@10", "hit@10", "ap")


def define_flags():
    """Defines this command's flags. Only `__main__` calls it."""
    flags.FLAGS.set_gnu_getopt(True)  # flags may come after the runs
    flags.DEFINE_string("output", "report/", "Folder of the report.")
    flags.DEFINE_list("names", None,
                      "What the report calls the runs, comma-separated; "
                      "default: their folders' names, without the beginning "
                      "that they share.")
    flags.DEFINE_list("protocols", None,
                      "Evaluation protocols, comma-separated; default: those "
                      "that the runs were evaluated under.")
    flags.DEFINE_list("metrics", list(HEADLINE_METRICS),
                      "Metrics that are tested, plotted and broken down (the "
                      "first one), comma-separated, by their names in "
                      "eval_results.txt; the tables show all.")
    flags.DEFINE_bool("compare", True,
                      "Test every further run against the first one.")
    flags.DEFINE_bool("reference", False,
                      "Add published numbers of the runs' datasets, labelled "
                      "so; a note names the runs that have none.")
    flags.DEFINE_integer("random_seed", 12345, "Of the bootstrap resamples.",
                         lower_bound=0, upper_bound=2 ** 31 - 1)


# --- checks -----------------------------------------------------------------

def read_runs(folders, names):
    """list of Run; names: list of str, or None.

    Raises:
        ValueError: no run, one run twice, too many names, one that cannot be
            printed, or a run that cannot be read.
    """
    if not folders:
        raise ValueError("no run given; report.py RUN [RUN ...], where a RUN "
                         "is a model directory of run.py")
    real = [os.path.realpath(folder) for folder in folders]
    for folder in folders:
        if real.count(os.path.realpath(folder)) > 1:
            raise ValueError("%s is given more than once; a run is compared "
                             "with others" % folder)
    names = names or _short_names(
        [os.path.abspath(folder) for folder in folders])
    if len(names) != len(folders) or len(set(names)) != len(names):
        raise ValueError("--names=%s does not give each of the %d runs a name "
                         "of its own" % (",".join(names), len(folders)))
    for name in names:
        if not (name and name.isprintable()):
            raise ValueError("the name %s of a run cannot be printed; give "
                             "others with --names" % ascii(name))
    return [read_run(folder, name, number)
            for number, (folder, name) in enumerate(zip(folders, names))]


def _short_names(paths):
    """The ends of the paths that tell them apart: as few folders as possible,
    without the beginning that they share up to a hyphen."""
    parts = [path.strip(os.sep).split(os.sep) for path in paths]
    count = 1
    while len({tuple(names[-count:]) for names in parts}) < len(parts):
        count += 1
    words = ["/".join(names[-count:]).split("-") for names in parts]
    shared = len(os.path.commonprefix(words)) if len(paths) > 1 else 0
    shared = min([shared] + [len(name) - 1 for name in words])
    return ["-".join(name[shared:]) for name in words]


def check_choice(flag, chosen, known):
    """Raises ValueError naming what is not known and what is, or what is named
    twice."""
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise ValueError("--%s: unknown %s %r; the %s are %s" % (
            flag, flag[:-1], ", ".join(unknown), flag, ", ".join(known)))
    if len(set(chosen)) < len(chosen):
        raise ValueError("--%s=%s names one twice; name each once"
                         % (flag, ",".join(chosen)))


def choose_protocols(runs, wanted):
    """The protocols of the report; `wanted` is --protocols or None."""
    evaluated = {protocol for run in runs
                 for protocol in evaluated_protocols(run.results)}
    for protocol in wanted or ():
        if protocol not in evaluated:
            raise ValueError("no run was evaluated under protocol %s; run.py "
                             "--do_eval --protocols=%s does that"
                             % (protocol, protocol))
    return [protocol for protocol in evaluation.PROTOCOLS
            if protocol in (wanted or evaluated)]


# --- the command ------------------------------------------------------------

def write_report(folder, title, sections):
    """report.md, report.html and the PNG files, all of them or none."""
    if not os.path.isdir(folder):
        os.makedirs(folder)
    figures = [block for section in sections for block in section.blocks
               if isinstance(block, Figure)]
    contents = [(figure.name, figure.png) for figure in figures]
    contents += [
        ("report.md", ("# %s\n\n" % title
                       + to_markdown(sections)).encode("utf-8")),
        ("report.html", to_html(title, sections).encode("utf-8"))]
    with util.AtomicFiles() as files:
        for name, content in contents:
            with open(files.path(os.path.join(folder, name)), "wb") as stream:
                stream.write(content)


def main(argv):
    args = flags.FLAGS
    with util.one_line_stops("report.py", "an earlier report is unchanged"), \
            util.one_line_errors("report.py"):
        check_choice("metrics", args.metrics, evaluation.METRICS)
        if args.protocols is not None:
            check_choice("protocols", args.protocols, evaluation.PROTOCOLS)
        if not args.output:
            raise ValueError("--output is empty; name a folder")
        if os.path.exists(args.output) and not os.path.isdir(args.output):
            raise ValueError("--output: %s is a file; name a folder"
                             % args.output)
        util.check_writable(args.output, "output")
        runs = read_runs(argv[1:], args.names)
        printed, further = make_sections(
            runs, choose_protocols(runs, args.protocols), args)
        write_report(args.output, "BERT4Rec runs: " + ", ".join(
            run.name for run in runs), printed + further)
    util.say(to_markdown(printed).rstrip("\n"))
    util.log("report in %s" % os.path.join(args.output, "report.html"))


if __name__ == "__main__":
    define_flags()
    app.run(main)
