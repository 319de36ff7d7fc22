"""docs/flags.md lists every flag as the commands define them."""

import glob
import io
import os

import pytest

from conftest import ROOT, command

REMEDY = ("docs/flags.md is stale; write it again with: "
          "python docs/write_flags.py")


def read(path):
    with io.open(str(path), encoding="utf-8") as stream:
        return stream.read()


def test_flags_md_is_what_its_script_writes(tmp_path):
    pytest.importorskip("apache_beam")  # which has no release for Python 3.7
    status, _, errors = command("docs/write_flags.py",
                                "--output=%s" % (tmp_path / "flags.md"))
    assert status == 0, errors
    written = read(tmp_path / "flags.md")
    assert read(os.path.join(ROOT, "docs", "flags.md")) == written, REMEDY


def test_every_command_with_flags_is_in_it():
    page = read(os.path.join(ROOT, "docs", "flags.md"))
    scripts = [path for depth in ("*.py", "*/*.py")
               for path in glob.glob(os.path.join(ROOT, depth))
               if "\ndef define_flags(" in read(path)]
    assert scripts
    for script in scripts:
        name = os.path.relpath(script, ROOT)
        assert "\n## %s\n" % name in page, (
            "add %s to COMMANDS in docs/write_flags.py" % name)
