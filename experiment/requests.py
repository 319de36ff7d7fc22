"""What is asked of --do_predict: its input file, and its flags checked."""

import io
import json
import numbers
import os

import util

INPUTS, OUTPUTS = (".tsv", ".txt", ".jsonl"), (".tsv", ".jsonl")
OUTPUT_FILE = "recommendations.tsv"       # in the model directory
ONE = ("predict_user", "predict_items")   # flags that ask for one table
ASKING = ("predict_input_file",) + ONE


def read_requests(path):
    """Yields (key, items), a str and a list of str, of an input file.

    Args:
        path: str; a .jsonl has a line {"key": ..., "items": [...]} each, any
            other file `key<TAB>item item item ...`. Blank lines are skipped.

    Raises:
        ValueError: a malformed line, named as path:line.
        IOError: the file cannot be read.
    """
    parse = _parse_json if path.endswith(".jsonl") else _parse_text
    util.check_utf8(path)
    with io.open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield parse(text.rstrip("\r\n"))
            except ValueError as error:  # JSON's and UTF-8's errors are such
                raise ValueError("%s:%d: %s: %s" % (
                    path, number,
                    util.quote(line.decode("utf-8", "replace").strip()), error))


def _parse_text(line):
    key, tab, items = line.partition("\t")
    if not (key and tab):
        raise ValueError("no key; write key<TAB>item item item ...")
    return key, items.split()


def _parse_json(line):
    wanted = ValueError('not a sequence; write {"key": "a", "items": ["1", '
                        '"2"]}, ids as text or integers')
    try:
        found = json.loads(line)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # or no text
        key, items = found["key"], found["items"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise wanted
    if not isinstance(items, list) or not all(
            type(one) in (str, int) for one in [key] + items):
        raise wanted
    return str(key), [str(item) for item in items]


def output_path(args):
    """str, where --do_predict writes."""
    return args.predict_output_file or os.path.join(
        args.checkpointDir + args.signature, OUTPUT_FILE)


def check_k(k, items, flag):
    """Raises ValueError for a K that the catalogue does not have.

    Args:
        k: int. items: list, of `Names`. flag: str, for the error.
    """
    if (not isinstance(k, numbers.Integral) or isinstance(k, bool)
            or not 1 <= k < len(items)):
        raise ValueError("%s=%r is not a whole number from 1 to the %d items of the "
                         "catalogue; choose another"
                         % (flag, k, len(items) - 1))


def check_requests(args, names):
    """Looks at the prediction's flags and at every line of its input file.

    Args:
        args: the flags. names: Names.

    Returns:
        int, the lines that ask for something; None without an input file.

    Raises:
        ValueError, IOError: what does not fit.
    """
    asking = [flag for flag in ASKING if getattr(args, flag) is not None]
    if len(asking) > 1:
        raise ValueError("--%s and --%s do not go together; pass one of them"
                         % tuple(asking[:2]))
    for flag, endings in (("predict_input_file", INPUTS),
                          ("predict_output_file", OUTPUTS)):
        path = getattr(args, flag)
        if path is not None and not path.endswith(endings):
            raise ValueError("--%s=%s ends in none of %s; rename it"
                             % (flag, path, ", ".join(endings)))
    if args.predict_user is not None:
        names.user_token(args.predict_user)
    if args.predict_output_file is not None:
        util.check_parent(args.predict_output_file, "predict_output_file")
        _check_output(args)
    if args.predict_input_file is None:
        return None
    if not os.path.isfile(args.predict_input_file):
        raise ValueError("--predict_input_file: no file %s; correct the name"
                         % args.predict_input_file)
    if os.path.realpath(args.predict_input_file) == os.path.realpath(
            output_path(args)):
        raise ValueError("--predict_input_file=%s would be replaced by the "
                         "answers; name another --predict_output_file"
                         % args.predict_input_file)
    return sum(1 for _ in read_requests(args.predict_input_file))


def _check_output(args):
    """Raises ValueError for an output that is not written."""
    for flag in ONE:
        if getattr(args, flag) is not None:
            raise ValueError("--%s prints its answer; leave "
                             "--predict_output_file out" % flag)


def asks_for_users(args):
    """Whether the users' histories are needed."""
    return bool(args.do_predict and args.predict_input_file is None
                and args.predict_items is None)
