"""report.py as a user runs it."""

import os
from unittest import mock

import pytest

import report
from conftest import command, in_process
from written_runs import two_runs


def test_the_command_prints_the_tables_and_writes_the_report(two_runs,
                                                             tmp_path):
    folder = tmp_path / "out"
    status, output, errors = command(
        "report.py", two_runs[0][0], two_runs[1][0], "--protocols=paper",
        "--metrics=hit@5", "--names=one,two", "--output=%s" % folder)
    assert status == 0, errors
    assert "## two against one" in output and "## Results, protocol paper" in \
        output
    assert "protocol full" not in output
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert output in text and "curve_hr_at_5.png" in text
    assert os.path.exists(str(folder / "report.html"))


def test_an_error_is_one_line_and_nothing_is_written(two_runs, tmp_path):
    status, output, errors = command(
        "report.py", two_runs[0][0], "--protocols=test",
        "--output=%s" % (tmp_path / "out"))
    assert (status, output) == (1, "")
    assert errors == (
        "report.py: error: --protocols: unknown protocol 'test'; the protocols "
        "are seed, paper, uniform, full\n")
    assert not os.path.exists(str(tmp_path / "out"))


def test_ctrl_c_is_one_line_and_nothing_is_written(two_runs, tmp_path):
    with mock.patch.object(report, "read_runs", side_effect=KeyboardInterrupt):
        _, output, errors = in_process(report, two_runs[0][0],
                                       "--output=%s" % (tmp_path / "out"))
    assert (output, errors) == (
        "", "report.py: stopped by Ctrl-C; an earlier report is unchanged\n"
        "130\n")
    assert not os.path.exists(str(tmp_path / "out"))


def test_a_name_that_cannot_be_printed_is_refused(two_runs):
    for name in ("a\udcff", "a\nb", "\0"):
        with pytest.raises(ValueError, match="cannot be printed; give others "
                           "with --names"):
            report.read_runs([run for run, _ in two_runs], [name, "b"])


def test_an_output_or_a_name_that_is_empty_is_refused(two_runs):
    status, _, errors = command("report.py", two_runs[0][0], "--output=")
    assert (status, errors) == (
        1, "report.py: error: --output is empty; name a folder\n")
    with pytest.raises(ValueError, match="the name '' of a run"):
        report.read_runs([run for run, _ in two_runs], ["a", ""])


def test_an_output_that_is_a_file_is_refused(two_runs, tmp_path):
    (tmp_path / "out").write_text("kept")
    status, _, errors = command("report.py", two_runs[0][0],
                                "--output=%s" % (tmp_path / "out"))
    assert status == 1
    assert errors == "report.py: error: --output: %s is a file; name a " \
        "folder\n" % (tmp_path / "out")
    assert (tmp_path / "out").read_text() == "kept"


@pytest.mark.parametrize("package", ["matplotlib", "scipy"])
def test_a_missing_package_names_the_requirements_file(package, tmp_path):
    (tmp_path / (package + ".py")).write_text(
        "raise ImportError(\"No module named '%s'\")\n" % package)
    status, output, errors = command("report.py", env=dict(
        os.environ, PYTHONPATH=str(tmp_path)))
    assert (status, output) == (1, "")
    assert errors == ("report.py: error: No module named '%s'; pip install -r "
                      "requirements-report.txt\n" % package)
