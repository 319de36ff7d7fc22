"""Files, progress and errors: what every command of the project shares."""

import argparse
import codecs
import collections
import contextlib
import errno
import glob
import io
import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import time
import warnings


def _name_missing_package(kind, error, traceback):
    """One line for a package that is not installed; else the usual report."""
    package = (getattr(error, "name", None) or "").split(".")[0]
    if package in ("absl", "apache_beam", "numpy", "six", "tensorflow", "tqdm"):
        sys.stderr.write(
            "%s: error: %s; activate the environment that the scripts made "
            "(source .venv/<version>/bin/activate), or pip install -r "
            "requirements%s\n" % (
                os.path.basename(sys.argv[0]), error, "-beam.txt on Python 3.10 "
                "or 3.11" if package == "apache_beam" else ".txt"))
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _name_missing_package  # before the first import that may fail
import six  # noqa: E402,F401  TensorFlow would miss it with a page of traces
from tqdm import tqdm  # noqa: E402


def _machine():
    """Host name and process namespace: where a process number means one."""
    try:
        return "%s-%d" % (socket.gethostname(),
                          os.stat("/proc/self/ns/pid").st_ino)
    except OSError:  # a system without namespaces
        return socket.gethostname()


_MACHINE = _machine()

# The only classes that `.vocab` and `.his` files are made of.
_PICKLE_CLASSES = {
    ("vocab", "FreqVocab"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("__builtin__", "set"),
}


# --- files ------------------------------------------------------------------

class AtomicFiles(object):
    """Output files that appear under their final names all together, or not.

    Use as a context manager: write to `path(final_name)` inside the block.
    When the block ends well every file is renamed, and Ctrl-C and SIGTERM
    wait for the last; when it raises, no temporary file is left behind. What
    killed processes of this machine left in the same folders is removed. Of
    the main thread, as signals are.
    """

    def __init__(self):
        self._temporary, self._folders = collections.OrderedDict(), set()

    def path(self, final_name):
        """The temporary name to write `final_name` under.

        Raises:
            ValueError: a folder has that name, which no rename replaces.
        """
        if os.path.isdir(final_name):
            raise ValueError(in_the_way(final_name))
        folder = os.path.dirname(final_name) or "."
        if folder not in self._folders:
            remove_leftovers(folder)
            self._folders.add(folder)
        self._temporary[final_name] = temporary_name(final_name)
        return self._temporary[final_name]

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        try:
            if error_type is None:
                with deferred_stops() as stop_if_asked:
                    for final_name, temporary in self._temporary.items():
                        os.replace(temporary, final_name)
                stop_if_asked()
        finally:
            for temporary in self._temporary.values():
                if os.path.exists(temporary):
                    os.remove(temporary)


def in_the_way(path):
    """The line for a folder that is called as a file is to be: str."""
    return "%s: a folder is in the place of this file; move it away" % path


def temporary_name(final_name):
    """What this process calls a file or folder until it is whole: str."""
    return "%s.tmp-%s-%d" % (final_name, _MACHINE, os.getpid())


def remove_leftovers(folder):
    """Removes, and names, temporary files and folders of processes that are
    gone.

    Their names hold machine and process: what another machine writes into a
    shared folder is left alone.
    """
    removed = []
    for path in sorted(glob.glob(os.path.join(
            glob.escape(folder), "*.tmp-%s-*" % glob.escape(_MACHINE)))):
        process = path.rsplit("-", 1)[1]
        if process.isdigit() and not _is_alive(int(process)):
            try:
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
            except FileNotFoundError:
                continue  # a task beside this one was at it, too
            removed.append(path)
    if removed:
        log("removed what a killed run left: %s" % ", ".join(removed))


def _is_alive(process):
    """Whether a process of this machine, named by its number, is there."""
    try:
        os.kill(process, 0)  # no signal: it only looks
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def is_disk_full(error):
    """Whether an OSError, or one of TensorFlow's, speaks of a full disk, a
    quota or a limit on a file's size."""
    return any(os.strerror(number) in str(error) for number in (
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def no_room(folder, what, needed, safe):
    """The line for a full disk: str.

    Args:
        folder: str, where there is no room. what: str, what was written.
        needed: int, its bytes, about; None where they are not known.
        safe: str, what to do and what is safe.
    """
    free = shutil.disk_usage(folder).free
    room = "%.1f MB are free" % (free / 1e6)
    if needed is not None:
        room = "about %.1f MB, and %s, so at least %.1f MB are missing" % (
            needed / 1e6, room, max(0.1, (needed - free) / 1e6))
    return "%s: no room for %s: %s; %s" % (folder, what, room, safe)


def check_writable(folder, flag):
    """Raises ValueError where a folder cannot be written to or made.

    Args:
        folder: str. flag: str, the flag that it comes from.
    """
    there = os.path.abspath(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise ValueError("--%s: %s is no folder; give another" % (flag, there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError("--%s: the folder %s cannot be written to; allow that, "
                         "or give another" % (flag, there))


def check_parent(path, flag):
    """Raises ValueError where no file of this name can be written: its folder
    is missing or closed, or it is a folder itself.

    Args:
        path: str. flag: str, the flag that it comes from.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.exists(folder):
        raise ValueError("--%s: no folder %s; make it, or correct the name"
                         % (flag, folder))
    if os.path.isdir(path):
        raise ValueError("--%s: %s is a folder; name a file in it"
                         % (flag, path))
    check_writable(folder, flag)


def check_utf8(path):
    """Raises ValueError for a file that begins as UTF-16, which some programs
    save by default."""
    with open(path, "rb") as stream:
        if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError("%s: it is UTF-16 text; save it as UTF-8" % path)


class _Unpickler(pickle.Unpickler):
    """Admits the classes of vocabulary and history files and no other."""

    def find_class(self, module, name):
        if (module, name) not in _PICKLE_CLASSES:
            raise pickle.UnpicklingError(
                "it holds the class %s.%s, which no vocabulary or history "
                "file needs" % (module, name))
        return pickle.Unpickler.find_class(self, module, name)


def load_pickle(path, expected_type):
    """Reads a `.vocab` or `.his` file, refusing foreign classes.

    Args:
        path: str, the file's name.
        expected_type: str, the name of the class that the object must have.

    Returns:
        The object.

    Raises:
        ValueError: the file is damaged, of another kind, or holds a class
            that these files do not need (named in the message).
        IOError: the file cannot be read.
    """
    with open(path, "rb") as stream:
        content = stream.read()
    try:
        loaded = _Unpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError("%s: not loaded: %s; generate the file again with "
                         "gen_data_fin.py" % (path, error or "it ends early"))
    found = type(loaded).__name__
    if found != expected_type:
        raise ValueError("%s: holds a %s where a %s is needed; check the file "
                         "name" % (path, found, expected_type))
    return loaded


def data_partition(path):
    """`data.sequences.data_partition`, under its published name."""
    from data import sequences  # here, since util is below everything else
    return sequences.data_partition(path)


# --- what a person sees -----------------------------------------------------

def log(message):
    """Prints one line with the time to standard error."""
    tqdm.write("%s %s" % (time.strftime("%H:%M:%S"), message), file=sys.stderr)
    sys.stderr.flush()


def say(text):
    """Prints text to standard output, with ? for what its encoding lacks: that
    of Python 3.6 without a locale is ASCII."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def check_values(defined, values):
    """Raises ValueError for a value that its flag does not take.

    A record may hold anything, and absl lets NaN pass for a number.

    Args:
        defined: mapping, name -> absl flag.
        values: dict, name -> value.
    """
    for name, value in sorted(values.items()):
        flag = defined[name]
        if value is None and flag.default is None:
            continue
        try:
            if isinstance(flag.default, list) and not (
                    isinstance(value, list)
                    and all(isinstance(part, str) for part in value)):
                raise TypeError("it must be a list of texts")
            parsed = flag.parser.parse(value)
            if isinstance(parsed, float) and abs(parsed) > sys.float_info.max \
                    or parsed != parsed:
                raise ValueError("it must be finite")
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError("--%s=%s: %s" % (name, quote(value), error))


def quote(value, width=60):
    """A value for a message: on one line and not too long."""
    text = repr(value)
    return text if len(text) <= width else text[:width] + "..."


class Progress(object):
    """A tqdm bar on a terminal, a plain line every `interval` seconds elsewhere."""

    def __init__(self, total, unit, initial=0, interval=10):
        self._total, self._unit, self._done = total, unit, initial
        self._start, self._started_at = time.time(), initial
        self._interval, self._next = interval, time.time() + interval
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, unit=" " + unit, initial=initial,
                             dynamic_ncols=True)

    def update(self, count, note=""):
        """Counts `count` more units; `note` is shown beside them."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.time() >= self._next or self._done == self._total:
            self._next = time.time() + self._interval
            rate = (self._done - self._started_at) / max(
                time.time() - self._start, 1e-9)
            left = (self._total - self._done) / max(rate, 1e-9)
            log("%d/%d %s, %.4g %s/s, %s left%s" % (
                self._done, self._total, self._unit, rate, self._unit,
                tqdm.format_interval(left), ", " + note if note else ""))

    def close(self):
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def one_line_errors(command, errors=(ValueError, IOError)):
    """Turns these errors into one line and exit status 1, without traceback."""
    try:
        yield
    except errors as error:
        sys.exit("%s: error: %s" % (command, " ".join(
            line.strip() for line in str(error).splitlines())))
    except MemoryError as error:
        sys.exit("%s: error: the memory does not suffice (%s); smaller sizes "
                 "need less" % (command, error or "none is left"))


class ArgumentParser(argparse.ArgumentParser):
    """For helper commands: what does not parse is one line, exit status 1."""

    def __init__(self, doc):
        """doc: str, the script's docstring; its first line describes it."""
        super(ArgumentParser, self).__init__(description=doc.split("\n")[0])

    def error(self, message):
        sys.exit("%s: error: %s; --help tells what it takes"
                 % (self.prog, message))


class Stopped(KeyboardInterrupt):
    """SIGTERM, which a scheduler sends; Ctrl-C is its parent class."""


@contextlib.contextmanager
def _stops_handled(handler):
    """Gives Ctrl-C and SIGTERM a handler, but where they are to be ignored."""
    before = {number: signal.signal(number, handler)
              for number in (signal.SIGINT, signal.SIGTERM)
              if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


@contextlib.contextmanager
def one_line_stops(command, what_is_left):
    """Turns Ctrl-C and SIGTERM into one line and their exit status, 130 and
    143; what the block has begun is cleaned up as after an error.

    A library, such as Beam, may raise another error for what the signal
    raised: after a signal any error is taken for a stop.

    Args:
        command: str. what_is_left: str, the end of the line.
    """
    came = []

    def stop(number, frame):
        came.append(number)
        raise Stopped if number == signal.SIGTERM else KeyboardInterrupt

    with _stops_handled(stop):
        try:
            yield
        except KeyboardInterrupt as error:
            exit_stopped(command, signal.SIGTERM if isinstance(error, Stopped)
                         else signal.SIGINT, what_is_left)
        except Exception:
            if not came:
                raise
            exit_stopped(command, came[0], what_is_left)


@contextlib.contextmanager
def deferred_stops():
    """Lets Ctrl-C and SIGTERM wait where an exception at any moment would do
    harm, as amid the locks of a process pool.

    Yields:
        function without arguments: raises KeyboardInterrupt or Stopped, which
        `one_line_stops` takes, if one of them has come.
    """
    came = []

    def raise_what_came():
        if came:
            raise Stopped if came[0] == signal.SIGTERM else KeyboardInterrupt

    with _stops_handled(lambda number, _: came.append(number)):
        yield raise_what_came


def exit_stopped(command, number, what_is_left):
    """Ends the process with one line and the status of a signal."""
    sys.stderr.write("%s: stopped by %s; %s\n" % (
        command, "Ctrl-C" if number == signal.SIGINT else "SIGTERM",
        what_is_left))
    sys.exit(128 + number)


def quiet_tensorflow():
    """Silences TensorFlow's start-up notices. Call it before importing it.

    They speak of deprecated functions and of GPU libraries that were not
    found; `run.py` says in one line which devices it uses. A value of
    TF_CPP_MIN_LOG_LEVEL in the environment is respected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)
    # Of tf.distribute, which takes a dataset apart.
    warnings.filterwarnings("ignore", message="To make it possible to preserve "
                            "tf.data options", category=UserWarning)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
