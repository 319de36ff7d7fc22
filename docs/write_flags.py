"""Writes docs/flags.md: every flag of every command, from its definition.

    python docs/write_flags.py [--output FILE]

It needs what the commands need: requirements.txt,
requirements-report.txt and requirements-beam.txt.
"""

import importlib
import io
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402  first: it explains what is missing
from absl import flags  # noqa: E402

# What a person calls, in the order of use, and what stands before the table.
COMMANDS = (
    ("data/prepare_data.py", "After the name of a dataset, or with `--input` "
     "alone. See [data.md](data.md)."),
    ("data/choose_sizes.py", "After the name of the interactions file; "
     "run_own.sh calls it. See [data.md](data.md#sizes)."),
    ("gen_data_fin.py", "See [data.md](data.md), and [scaling.md](scaling.md) "
     "for the shards."),
    ("gen_data_beam.py", "Every other flag goes to Beam. See "
     "[scaling.md](scaling.md#apache-beam)."),
    ("run.py", "A flag that is not given is taken from the model directory's "
     "record, where there is one. See [training.md](training.md), "
     "[evaluation.md](evaluation.md) and "
     "[recommendations.md](recommendations.md)."),
    ("report.py", "After the model directories. See [reports.md](reports.md)."),
    ("benchmarks/bench.py", "See [performance.md](performance.md)."),
    ("benchmarks/peers.py", "See [performance.md](performance.md"
     "#beside-another-bert4rec)."),
    ("benchmarks/measure.py", "`bench.py` calls it. It takes run.py's flags "
     "as well."),
    ("benchmarks/serve.py", "See [recommendations.md](recommendations.md#cost)."))

HEAD = u"""# Flags

Written by `python docs/write_flags.py` from the flags' own definitions: correct
them there. Every command prints the same with `--help`. A flag is written
`--name=value`; a switch `--name` or `--noname`. Without a default, a flag is
optional unless a command asks for it.
"""


def own_flags(script):
    """list of absl flags that a script's --help prints.

    The flags are taken back: commands share names.
    """
    module = importlib.import_module(
        os.path.splitext(script)[0].replace(os.sep, "."))
    before = set(flags.FLAGS)
    module.define_flags()
    own = flags.FLAGS.get_key_flags_for_module(module.__name__)
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    return own


def values_of(flag):
    """What a flag's value may be: str."""
    parser, kind = flag.parser, flag.flag_type()
    if kind == "bool":
        return "switch"
    if kind in ("enum", "string enum"):
        return ", ".join("`%s`" % value for value in parser.enum_values)
    if kind not in ("int", "float"):
        return "list" if isinstance(parser, flags.ListParser) else "text"
    low, high = parser.lower_bound, parser.upper_bound
    noun = "integer" if kind == "int" else "number"
    if high is not None:
        return "%s, %s to %s" % (noun, low, high)
    return noun if low is None else "%s from %s" % (noun, low)


def default_of(flag):
    """A flag's default as one would write it: str."""
    if flag.default is None or flag.default == "":
        return ""
    if flag.flag_type() == "bool":
        return "on" if flag.default else "off"
    if isinstance(flag.default, (list, tuple)):
        return "`%s`" % ",".join(flag.default)
    return "`%s`" % flag.default


def help_of(flag):
    """A flag's help for a cell of a Markdown table, on one line; absl puts
    an enum's values before it."""
    text = re.sub(r"\A<[a-z_|0-9-]+>: ", "", " ".join(flag.help.split()))
    return re.sub(r"([|*])", r"\\\1", text.replace("<", "&lt;"))


def section(script, note):
    """A command's heading, note and table: str."""
    lines = ["## %s" % script, "", note, "",
             "| flag | values | default | what it does |", "|---|---|---|---|"]
    for flag in own_flags(script):
        lines.append("| `--%s` | %s | %s | %s |" % (
            flag.name, values_of(flag), default_of(flag), help_of(flag)))
    return "\n".join(lines) + "\n"


def page():
    """docs/flags.md: str."""
    return "\n".join([HEAD] + [section(*command) for command in COMMANDS])


if __name__ == "__main__":
    arguments = util.ArgumentParser(__doc__)
    arguments.add_argument("--output", default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "flags.md"))
    with io.open(arguments.parse_args().output, "w", encoding="utf-8",
                 newline="\n") as stream:
        stream.write(page())
