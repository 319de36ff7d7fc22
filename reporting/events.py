"""The curves of a training over steps and over time: from the event files of a
model directory, or from the curves.tsv of a published one."""

import collections
import glob
import io
import os

import numpy as np

import util
from experiment import record

TRAINING = ""           # the folder of the training's own curves
VALIDATION = record.VALIDATION_FOLDER
TABLE_FILE = "curves.tsv"
SHORT = "short"         # a published model's folder of what came before
_HEADER = "curve\tstep\tvalue\tseconds"
_PUBLISHED = ("loss", "learning_rate")  # of the training's own

# int array, float array, float array [points]: the seconds that the training
# had worked by then, its validations included.
Curve = collections.namedtuple("Curve", "steps values seconds")
# One event file: the wall time of its beginning, and its Points.
_File = collections.namedtuple("_File", "start points")
# tag is None for what is no scalar, as a note that a checkpoint was saved.
_Point = collections.namedtuple("_Point", "tag step value time")


def read_curves(folder):
    """The scalars of a model directory's event files, or the curves.tsv of a
    published one.

    Time is counted from the start of the training's first event file, and
    stands still from the end of a training until the first step after its
    resumption is done. What was trained past the checkpoint that a training
    was resumed from is lost: it is left out, and its time is not counted.
    Without an event file of the training the seconds are NaN.

    Args:
        folder: str, the model directory.

    Returns:
        OrderedDict, TRAINING and the name of every eval* folder -> dict, tag
        -> Curve.

    Raises:
        ValueError: curves.tsv is damaged.
    """
    table = os.path.join(folder, TABLE_FILE)
    if os.path.exists(table):
        return _read_table(table)
    files = collections.OrderedDict()
    for path in [folder] + sorted(glob.glob(os.path.join(
            glob.escape(folder), "eval*", ""))):
        name = TRAINING if path == folder else os.path.basename(
            os.path.dirname(path))
        # By name is by time.
        files[name] = [_read(event_file) for event_file in sorted(glob.glob(
            os.path.join(glob.escape(path), "events.out.*")))]
    clock = _Clock(files[TRAINING], files.get(VALIDATION, []))
    curves = collections.OrderedDict()
    for name, found in files.items():
        scalars = {}
        for file in found:
            for point in file.points:
                if point.tag is not None and not clock.is_lost(point):
                    scalars.setdefault(point.tag, {})[point.step] = point
        if scalars:
            curves[name] = {tag: _curve(points, clock)
                            for tag, points in scalars.items()}
    return curves


def short_folder(folder):
    """The folder with the curves of the training on short windows that came
    before a model's own, or None: beside a model directory, in a published
    one."""
    for short in (os.path.abspath(folder) + "-" + SHORT,
                  os.path.join(folder, SHORT)):
        if os.path.isdir(short):
            return short
    return None


def _read(path):
    """_File of an event file."""
    util.quiet_tensorflow()
    import tensorflow.compat.v1 as tf  # seconds; only event files need it
    start, points = None, []
    try:
        for event in tf.train.summary_iterator(path):
            start = event.wall_time if start is None else start
            points += [_Point(value.tag, event.step, value.simple_value,
                              event.wall_time)
                       for value in event.summary.value
                       if value.HasField("simple_value")]
            if event.HasField("session_log"):
                points.append(_Point(None, event.step, None, event.wall_time))
    except tf.errors.DataLossError:
        util.log("%s ends in a damaged record; what comes before it is used"
                 % path)
    except tf.errors.OpError as error:
        raise ValueError("%s cannot be read (%s); allow that, or leave it out"
                         % (path, str(error).split("\n")[0]))
    return _File(start, points)


def _curve(points, clock):
    ordered = [points[step] for step in sorted(points)]
    return Curve(np.array([point.step for point in ordered]),
                 np.array([point.value for point in ordered]),
                 np.array([clock.seconds(point.time) for point in ordered]))


class _Clock(object):
    """The time that a training had worked, without pauses and lost work."""

    def __init__(self, sessions, validations):
        """sessions: list of _File, one each time that the training was begun
        or resumed. validations: list of _File."""
        sessions = [found for found in sessions if found.start is not None]
        self._starts = [session.start for session in sessions]
        firsts = [min([(point.step, point.time) for point in session.points
                       if point.tag is not None] or [(np.inf, np.inf)])
                  for session in sessions]
        self._firsts = [step for step, _ in firsts]
        # Work begins with the first file, and again with a first step done.
        self._begins = self._starts[:1] + [time for _, time in firsts[1:]]
        times = [point.time for found in sessions + validations
                 for point in found.points if not self.is_lost(point)]
        self._worked = [0.0]  # by the start of each session
        for i, following in enumerate(self._starts[1:]):
            end = max([self._starts[i]] + [
                time for time in times if self._starts[i] <= time < following])
            self._worked.append(self._worked[-1]
                                + max(0.0, end - self._begins[i]))

    def is_lost(self, point):
        """Whether the training was resumed from before this point, later."""
        return any(point.time < start and point.step >= first
                   for start, first in zip(self._starts, self._firsts))

    def seconds(self, time):
        """float, the time worked by a wall time; NaN before all sessions."""
        session = np.searchsorted(self._starts, time, side="right") - 1
        if session < 0:
            return np.nan
        return self._worked[session] + max(0.0, time - self._begins[session])


# --- curves.tsv --------------------------------------------------------------

def write_table(path, curves):
    """Writes the training's curves, then the validations', a point a line.

    Args:
        path: str, the file's name.
        curves: as `read_curves` returns.
    """
    with open(path, "w") as stream:
        stream.write(_HEADER + "\n")
        for folder in (TRAINING, VALIDATION):
            for tag, curve in sorted(curves.get(folder, {}).items()):
                if folder == VALIDATION or tag in _PUBLISHED:
                    for point in zip(*curve):
                        stream.write("%s\t%d\t%.6g\t%.1f\n" % (
                            (os.path.join(folder, tag),) + point))


def _read_table(path):
    """What `write_table` wrote, as `read_curves` returns it."""
    points, number = collections.OrderedDict(), 0
    util.check_utf8(path)
    with io.open(path, encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            fields = line.rstrip("\n").split("\t")
            try:
                if number == 1 and fields != _HEADER.split("\t"):
                    raise ValueError("the columns are %s" % ", ".join(fields))
                if number > 1:
                    name, step, value, seconds = fields
                    folder = (VALIDATION if name.startswith(VALIDATION + "/")
                              else TRAINING)
                    tag = name[len(folder):].lstrip("/")
                    points.setdefault(folder, {}).setdefault(tag, []).append(
                        (int(step), float(value), float(seconds)))
            except ValueError as error:
                raise ValueError(
                    "%s:%d: %s, where %s belong; publish the model directory "
                    "again" % (path, number, error,
                               ", ".join(_HEADER.split("\t"))))
    if not number:
        raise ValueError("%s is empty; publish the model directory again" % path)
    return collections.OrderedDict(
        (folder, {tag: Curve(*[np.array(column) for column in zip(*found)])
                  for tag, found in tags.items()})
        for folder, tags in points.items())
