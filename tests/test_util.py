"""Atomic outputs, guarded pickles, progress and errors."""

import builtins
import collections
import io
import os
import pickle
import re
import signal
import subprocess
import sys

import pytest

import util
import vocab

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def write(path, content):
    """Writes bytes and returns the name as a str."""
    with open(str(path), "wb") as stream:
        stream.write(content)
    return str(path)


# --- AtomicFiles ------------------------------------------------------------

def test_outputs_appear_together_when_the_block_ends_well(tmp_path):
    names = [str(tmp_path / name) for name in ("one", "two")]
    with util.AtomicFiles() as files:
        for name in names:
            write(files.path(name), name.encode())
        assert not any(map(os.path.exists, names))
    assert sorted(os.listdir(str(tmp_path))) == ["one", "two"]
    for name in names:
        assert open(name, "rb").read() == name.encode()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_nothing_and_passes_its_error_on(
        tmp_path, error):
    with pytest.raises(error):
        with util.AtomicFiles() as files:
            write(files.path(str(tmp_path / "one")), b"half")
            files.path(str(tmp_path / "two"))  # named, never written
            raise error()
    assert os.listdir(str(tmp_path)) == []


def test_old_outputs_survive_a_failing_block_and_yield_to_a_good_one(tmp_path):
    name = write(tmp_path / "one", b"old")
    with pytest.raises(ValueError):
        with util.AtomicFiles() as files:
            write(files.path(name), b"half")
            raise ValueError
    assert open(name, "rb").read() == b"old"
    with util.AtomicFiles() as files:
        write(files.path(name), b"new")
    assert open(name, "rb").read() == b"new"
    assert os.listdir(str(tmp_path)) == ["one"]


def test_the_temporary_name_is_in_the_folder_of_the_final_one(tmp_path):
    with util.AtomicFiles() as files:
        temporary = files.path(str(tmp_path / "one"))
        assert os.path.dirname(temporary) == str(tmp_path)
        write(temporary, b"")


def test_a_folder_in_the_place_of_an_output_is_said_before_writing(tmp_path):
    (tmp_path / "two").mkdir()
    old = write(tmp_path / "one", b"old")
    with pytest.raises(ValueError, match="two: a folder is in the place"):
        with util.AtomicFiles() as files:
            write(files.path(old), b"new")
            files.path(str(tmp_path / "two"))
    assert open(old, "rb").read() == b"old"
    assert sorted(os.listdir(str(tmp_path))) == ["one", "two"]


@pytest.fixture
def ctrl_c():
    """Ctrl-C comes through: in the background, where the suite may run, a
    shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number, status", [
    (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_amid_the_renames_waits_for_the_last(tmp_path, monkeypatch,
                                                    ctrl_c, number, status):
    replace = os.replace

    def stopped_replace(*names):
        replace(*names)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(os, "replace", stopped_replace)
    with pytest.raises(SystemExit) as error:
        with util.one_line_stops("tool.py", "all is well"):
            with util.AtomicFiles() as files:
                for name in ("one", "two"):
                    write(files.path(str(tmp_path / name)), b"new")
    assert error.value.code == status
    assert sorted(os.listdir(str(tmp_path))) == ["one", "two"]


def temporary_of_a_killed_process(path):
    """Lets a process end without a chance to clean up; the file it leaves."""
    process = subprocess.Popen([sys.executable, "-c", (
        "import os, sys; sys.path.insert(0, %r); import util\n"
        "with util.AtomicFiles() as files:\n"
        "    open(files.path(%r), 'w').close()\n"
        "    os.kill(os.getpid(), 9)\n") % (ROOT, str(path))])
    assert process.wait() == -9
    left, = path.parent.glob(path.name + ".tmp-*")
    return left


def test_what_a_killed_process_left_is_removed_and_named(tmp_path, capsys):
    left = temporary_of_a_killed_process(tmp_path / "one")
    mine = str(left).rsplit("-", 1)[0]
    others = [tmp_path / "one.tmp-17", tmp_path / "one.tmp-elsewhere-99999999",
              tmp_path / os.path.basename("%s-%d" % (mine, os.getppid())),
              tmp_path / os.path.basename(mine + "-x")]
    for other in others:
        other.write_bytes(b"")
    with util.AtomicFiles() as files:
        write(files.path(str(tmp_path / "two")), b"")
        write(files.path(str(tmp_path / "three")), b"")
    assert sorted(tmp_path.iterdir()) == sorted(
        others + [tmp_path / "two", tmp_path / "three"])
    line, = capsys.readouterr().err.splitlines()
    assert line.endswith("removed what a killed run left: %s" % left)


# --- load_pickle ------------------------------------------------------------

def small_vocab():
    return vocab.FreqVocab(collections.OrderedDict([
        ("user_2", ["item_9", "item_4"]), ("user_1", ["item_4"])]))


class Calls(object):
    """Pickles as a call, as a hostile file would."""

    def __init__(self, function, argument):
        self._call = function, (argument,)

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("protocol", [2, 4])
def test_vocabulary_and_history_round_trip(tmp_path, protocol):
    words, history = small_vocab(), {"user_2": [[1, 2]], "user_1": [[1]]}
    path = write(tmp_path / "x.vocab", pickle.dumps(words, protocol))
    assert util.load_pickle(path, "FreqVocab").__dict__ == words.__dict__
    path = write(tmp_path / "x.his", pickle.dumps(history, protocol))
    assert util.load_pickle(path, "dict") == history


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function, names", [
    (os.system, ("posix.system", "nt.system")),
    (eval, ("builtins.eval", "__builtin__.eval")),
    (builtins.__import__, ("builtins.__import__", "__builtin__.__import__")),
    (collections.deque, ("collections.deque",))],
    ids=["system", "eval", "import", "deque"])
def test_a_foreign_class_is_refused_by_name(
        tmp_path, protocol, function, names):
    content = pickle.dumps({"user_1": Calls(function, "os")}, protocol)
    path = write(tmp_path / "x.his", content)
    with pytest.raises(ValueError) as error:
        util.load_pickle(path, "dict")
    assert any(name in str(error.value) for name in names)
    assert path in str(error.value)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_foreign_call_is_not_made(tmp_path, protocol):
    marker = str(tmp_path / "called")
    for hostile in (Calls(os.system, "echo > '%s'" % marker),
                    Calls(eval, "open(%r, 'w').close()" % marker)):
        content = pickle.dumps(hostile, protocol)
        path = write(tmp_path / "x.vocab", content)
        with pytest.raises(ValueError):
            util.load_pickle(path, "FreqVocab")
        assert not os.path.exists(marker)
        pickle.loads(content)  # and an ordinary unpickler does make it
        assert os.path.exists(marker)
        os.remove(marker)


def test_no_path_leads_through_an_admitted_class(tmp_path):
    name = b"FreqVocab.__init__.__globals__"
    path = write(tmp_path / "x.vocab",
                 b"\x80\x04\x8c\x05vocab\x8c" + bytes(bytearray([len(name)]))
                 + name + b"\x93.")
    with pytest.raises(ValueError, match="FreqVocab.__init__.__globals__"):
        util.load_pickle(path, "dict")


def test_every_truncation_of_a_pickle_is_a_value_error(tmp_path):
    content = pickle.dumps(small_vocab(), 2)
    for length in range(len(content)):
        path = write(tmp_path / "x.vocab", content[:length])
        with pytest.raises(ValueError, match="x.vocab: "):
            util.load_pickle(path, "FreqVocab")


@pytest.mark.parametrize("content", [
    b"", b"user_1 1\n", b"\x00\x01\x02", b"{}", b"PK\x03\x04", b"(lp0\n",
    b"cabsent_module\nName\n."])
def test_what_is_no_pickle_is_a_value_error_with_the_name(tmp_path, content):
    path = write(tmp_path / "x.vocab", content)
    with pytest.raises(ValueError) as error:
        util.load_pickle(path, "FreqVocab")
    assert str(error.value).startswith(path + ": ")


@pytest.mark.parametrize("content", [
    b"\x80\x63.",                       # protocol 99
    b"I12 drummers\n.",                 # text that starts as an opcode does
    b"\x82\x08.",                       # an extension code
    b"\x80\x04\x95" + b"\xff" * 8,      # a frame of 2^64 - 1 bytes
    b"\x8e" + b"\xff" * 8], ids=repr)
def test_a_damaged_opcode_is_a_value_error_with_the_name(tmp_path, content):
    path = write(tmp_path / "x.vocab", content)
    with pytest.raises(ValueError) as error:
        util.load_pickle(path, "FreqVocab")
    assert str(error.value).startswith(path + ": ")


def test_an_object_of_another_type_is_a_value_error_that_names_both(tmp_path):
    path = write(tmp_path / "x.his", pickle.dumps({"user_1": [[1]]}, 2))
    with pytest.raises(ValueError, match="holds a dict where a FreqVocab"):
        util.load_pickle(path, "FreqVocab")
    path = write(tmp_path / "x.vocab", pickle.dumps(small_vocab(), 2))
    with pytest.raises(ValueError, match="holds a FreqVocab where a dict"):
        util.load_pickle(path, "dict")


def test_a_missing_pickle_is_an_io_error(tmp_path):
    with pytest.raises(IOError, match="absent.vocab"):
        util.load_pickle(str(tmp_path / "absent.vocab"), "dict")


# --- what a person sees -----------------------------------------------------

class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_prints_plain_lines_where_there_is_no_terminal(capsys):
    progress = util.Progress(7, "instances", interval=0)
    progress.update(3)
    progress.update(4, note="loss 0.5")
    progress.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err and "\x1b" not in err and err.endswith("\n")
    first, second = err.splitlines()
    assert "3/7 instances" in first and "loss" not in first
    assert "7/7 instances" in second and second.endswith(", loss 0.5")


def test_progress_prints_a_line_an_interval_and_one_at_the_end(capsys):
    progress = util.Progress(5, "instances", interval=3600)
    for _ in range(5):
        progress.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "5/5 instances" in lines[0]


def test_progress_goes_on_from_its_initial_count(capsys):
    progress = util.Progress(10, "steps", initial=8, interval=0)
    progress.update(1)
    assert "9/10 steps" in capsys.readouterr().err


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = util.Progress(4, "instances")
    progress.update(4, note="loss 0.5")
    progress.close()
    assert "\r" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()


def test_log_prints_one_line_with_the_time_to_standard_error(capsys):
    util.log("reading")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(r"\d\d:\d\d:\d\d reading\n\Z", err)


@pytest.mark.parametrize("encoding, printed", [
    ("ascii", b"\x3f 1\n"), ("latin-1", b"\xb1 1\n"),
    ("utf-8", b"\xc2\xb1 1\n")])
def test_what_is_said_is_printed_whatever_the_encoding(encoding, printed):
    code = "import util; util.say(u'\\xb1 1')"
    assert subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT,
        env=dict(os.environ, PYTHONIOENCODING=encoding)) == printed


@pytest.mark.parametrize("error", [ValueError, IOError])
def test_an_expected_error_becomes_one_line_and_exit_status_1(error):
    code = ("import util\n"
            "with util.one_line_errors('tool.py'):\n"
            "    raise %s('no such\\n  thing')\n" % error.__name__)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True)
    out, err = process.communicate()
    assert process.returncode == 1
    assert out == ""
    assert err == "tool.py: error: no such thing\n"


def test_an_unexpected_error_keeps_its_traceback():
    with pytest.raises(KeyError):
        with util.one_line_errors("tool.py"):
            raise KeyError("a bug")


def test_the_expected_errors_can_be_named():
    with pytest.raises(SystemExit, match="tool.py: error: 'gone'"):
        with util.one_line_errors("tool.py", (KeyError,)):
            raise KeyError("gone")
    with pytest.raises(ValueError):
        with util.one_line_errors("tool.py", (KeyError,)):
            raise ValueError


def test_a_block_without_error_does_not_exit():
    with util.one_line_errors("tool.py"):
        reached = True
    assert reached


@pytest.mark.parametrize("given, fault", [
    ([], "the following arguments are required: size"),
    (["x"], "argument size: invalid int value: 'x'"),
    (["1", "stray"], "unrecognized arguments: stray")])
def test_what_a_helper_command_cannot_parse_is_one_line(given, fault):
    parser = util.ArgumentParser("Helps.\n\nAnd more.")
    parser.add_argument("size", type=int)
    assert parser.description == "Helps."
    assert parser.parse_args(["3"]).size == 3
    with pytest.raises(SystemExit) as error:
        parser.parse_args(given)
    assert error.value.code.endswith(
        ": error: %s; --help tells what it takes" % fault)


def test_a_stop_that_is_ignored_stays_ignored(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with util.deferred_stops() as stop_if_asked:
            os.kill(os.getpid(), signal.SIGINT)
            stop_if_asked()
            with pytest.raises(util.Stopped):
                os.kill(os.getpid(), signal.SIGTERM)
                stop_if_asked()
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_another_task_removes_first_is_no_fault(tmp_path, monkeypatch):
    process = subprocess.Popen(["true"])
    process.wait()
    left = tmp_path / ("x.tmp-%s-%d" % (util._MACHINE, process.pid))
    left.write_text("")
    remove = os.remove
    monkeypatch.setattr(os, "remove", lambda path: (remove(path), remove(path)))
    util.remove_leftovers(str(tmp_path))
    assert not left.exists()


def test_leftovers_go_from_every_folder_that_is_written_to(tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    with util.AtomicFiles() as files:
        for name in "ab":
            (tmp_path / name).mkdir()
            (tmp_path / name / ("x.tmp-%s-%d" % (util._MACHINE, process.pid))
             ).write_text("")
            with open(files.path(str(tmp_path / name / "y")), "w"):
                pass
    assert [os.listdir(str(tmp_path / name)) for name in "ab"] == [["y"]] * 2


def test_quiet_tensorflow_respects_the_environment(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    util.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    util.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_blanks_in_a_name_stay_and_lines_become_one():
    with pytest.raises(SystemExit) as error:
        with util.one_line_errors("tool.py"):
            raise ValueError("no file 'two  blanks'\nof these")
    assert error.value.code == "tool.py: error: no file 'two  blanks' of these"


@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_a_library_makes_of_a_stop_is_a_stop(number, status, ctrl_c,
                                                  capsys):
    with pytest.raises(SystemExit) as stop:
        with util.one_line_stops("tool.py", "all is well"):
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt as error:
                raise RuntimeError("%r in step 3" % error)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert stop.value.code == status
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith("tool.py: stopped by") and "all is well" in line


def test_an_error_without_a_stop_is_an_error():
    with pytest.raises(RuntimeError):
        with util.one_line_stops("tool.py", "all is well"):
            raise RuntimeError


@pytest.mark.parametrize("number, raised", [
    (signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, util.Stopped)])
def test_a_deferred_stop_is_raised_when_it_is_asked_for(number, raised,
                                                        ctrl_c):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with util.deferred_stops() as stop_if_asked:
        stop_if_asked()
        os.kill(os.getpid(), number)  # nothing happens here
        with pytest.raises(raised) as error:
            stop_if_asked()
        assert error.type is raised
    assert before == [signal.getsignal(one)
                      for one in (signal.SIGINT, signal.SIGTERM)]
