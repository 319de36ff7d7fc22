"""Times a training step of one process and of several on this machine.

    python benchmarks/workers.py --bert_config_file=... --train_input_file=... ...

Takes run.py's flags for a training; they go to every process. A step's time is
told by the log of the first process, between its first line of progress and
its last, so starts do not count. The processes share the machine's cores.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import util  # noqa: E402

PROCESSES = (1, 2)
STEPS = 60                # of a training
REPEATS = 3
_PROGRESS = re.compile(r"(\d\d):(\d\d):(\d\d) (\d+)/\d+ steps")


def free_addresses(count):
    """list of str, addresses on this machine that nothing listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = ["127.0.0.1:%d" % one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return addresses


def environments(count):
    """The environment of each of `count` processes that train together."""
    if count == 1:
        return [os.environ]
    cluster = {"worker": free_addresses(count)}
    return [dict(os.environ, TF_CONFIG=json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": index}}))
            for index in range(count)]


def seconds_per_step(log):
    """float, by the first and the last line of progress in a log of run.py.

    Args:
        log: str; a training of less than a day.

    Raises:
        ValueError: it has no two such lines.
    """
    lines = [[int(number) for number in line.groups()]
             for line in _PROGRESS.finditer(log)]
    if len(lines) < 2:
        raise ValueError("no two lines of progress in %r" % log[-800:])
    times = [3600 * hours + 60 * minutes + seconds
             for hours, minutes, seconds, _ in lines]
    return (times[-1] - times[0]) % 86400 / float(lines[-1][3] - lines[0][3])


def train(flags, count):
    """str, the log of the first of `count` processes that train together."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, os.path.join(ROOT, "run.py"), "--do_train",
                   "--num_train_steps=%d" % STEPS,
                   "--checkpointDir=%s/run" % folder]
        if count > 1:
            command.append("--distribution_strategy=multi_worker")
        processes = [subprocess.Popen(
            command + flags, env=environment, universal_newlines=True,
            stderr=subprocess.PIPE if number == 0 else subprocess.DEVNULL)
                     for number, environment in enumerate(environments(count))]
        log = processes[0].communicate()[1]
        for process in processes:
            process.wait()
    return log


def main(flags):
    steps = {count: [] for count in PROCESSES}
    for _ in range(REPEATS):
        for count in PROCESSES:
            steps[count].append(seconds_per_step(train(flags, count)))
            print("%d process(es): %.3f s a step" % (count, steps[count][-1]))
    one = statistics.median(steps[1])
    for count in PROCESSES:
        median = statistics.median(steps[count])
        print("%d process(es): median %.3f s a step, %.2f of one process's"
              % (count, median, median / one))


if __name__ == "__main__":
    with util.one_line_errors("benchmarks/workers.py"):
        main(sys.argv[1:])
