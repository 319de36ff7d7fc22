"""--do_predict: recommendations for many, to a file, or for one, by eye."""

import io
import json
import os

import util
from data import sequences
from experiment import requests
from experiment.recommender import BY_POPULARITY, Recommender

SHOWN = 10       # items of a history that are printed, the last ones


def predict(job, checkpoint):
    """Prints or writes what the flags of a job ask for.

    Raises:
        ValueError, IOError: an unknown user, or a file that cannot be written.
    """
    one = any(getattr(job.args, flag) is not None for flag in requests.ONE)
    if not one:
        util.check_writable(
            os.path.dirname(requests.output_path(job.args)) or ".",
            "predict_output_file")
    util.log("recommending with %s; items are called as in %s" % (
        checkpoint, job.names.path or "the interactions file, by numbers"))
    recommender = Recommender(job, checkpoint)
    if one:
        util.say(one_table(job, recommender))
    else:
        write(job, recommender)


# --- many -------------------------------------------------------------------

def write(job, recommender):
    """Writes the recommendations of all users, or of the input file's lines,
    as they are made."""
    args, path = job.args, requests.output_path(job.args)
    if args.predict_input_file is not None:
        total = job.requests
        asked = ((key,) + job.names.known_ids(items) for key, items
                 in requests.read_requests(args.predict_input_file))
    else:
        total = len(job.user_history)
        asked = ((job.names.user(token), lists[0], 0)
                 for token, lists in job.user_history.items())
    if not os.path.isdir(os.path.dirname(path) or "."):
        os.makedirs(os.path.dirname(path))
    progress = util.Progress(total, "sequences")
    unknown = affected = popular = 0
    with util.AtomicFiles() as files:
        with io.open(files.path(path), "w", encoding="utf-8",
                     newline="\n") as stream:
            as_json = path.endswith(".jsonl")
            if not as_json:
                stream.write(u"\t".join(_columns(job.names)) + u"\n")
            for found in recommender.stream(asked, args.top_k,
                                            args.allow_seen):
                stream.write(_json_line(found) if as_json
                             else _tsv_lines(found))
                unknown += found.unknown
                affected += found.unknown > 0
                popular += found.by == BY_POPULARITY
                progress.update(1)
    progress.close()
    if unknown:
        util.log("skipped %d unknown items of %d sequences"
                 % (unknown, affected))
    if popular:
        util.log("%d sequences without a known item got the most popular ones"
                 % popular)
    util.log("recommendations for %d in %s" % (total, path))


def _columns(names):
    return ["key", "rank", "item"] + (["title"] if names.titles else []) + [
        "score", "by"]


def _tsv_lines(found):
    """A line per recommendation, the best first: str."""
    lines = []
    for rank, (item, score) in enumerate(zip(found.items, found.scores), 1):
        fields = [found.key, str(rank), item, repr(score), found.by]
        if found.titles:
            fields.insert(3, found.titles[rank - 1])
        lines.append(u"\t".join(map(sequences.escape, fields)) + u"\n")
    return u"".join(lines)


def _json_line(found):
    values = found._asdict()
    if found.titles is None:
        del values["titles"]
    return json.dumps(values, ensure_ascii=False) + u"\n"


# --- one, by eye ------------------------------------------------------------

def one_table(job, recommender):
    """The last items of one history and what is recommended after it: str."""
    args, names = job.args, job.names
    if args.predict_user is not None:
        asked = recommender.of_user(args.predict_user)
        title = "user %s" % args.predict_user
    else:
        asked = ("",) + names.known_ids(args.predict_items.split())
        title = "these items"
    found, = recommender.stream([asked], args.top_k, args.allow_seen)
    history = asked[1]
    first = max(0, len(history) - SHOWN)
    head = "%s: %d items%s" % (
        title, len(history), ", the last %d" % SHOWN if first else "")
    if found.unknown:
        head += "; %d unknown ones skipped" % found.unknown
    blocks = [head]
    if history:
        blocks.append(_aligned([_row(names, number, names.items[i],
                                     names.titles and names.titles[i])
                                for number, i in enumerate(
                                    history[first:], first + 1)]))
    blocks.append("recommended, by the %s:" % found.by
                  if found.by != BY_POPULARITY else "the most popular items:")
    blocks.append(_aligned([
        _row(names, rank, item, found.titles and found.titles[rank - 1],
             "%.4f" % score) for rank, (item, score)
        in enumerate(zip(found.items, found.scores), 1)]))
    return "\n".join(blocks)


def _row(names, number, item, title, score=None):
    return ["%5d" % number, item] + [score] * (score is not None) + (
        [title] if names.titles else [])


def _aligned(rows):
    """Rows of cells below each other, columns as wide as needed: str."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width
                               in zip(row, widths)).rstrip() for row in rows)
