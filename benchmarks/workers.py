"""Times a training step of one process and of several on this machine.

    python benchmarks/workers.py --bert_config_file=... --train_input_file=... ...

Takes run.py's flags for a training; they go to every process. A step's time is
the difference of a long and a short training over the difference of their
steps, so starts do not count. The processes share the machine's cores.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PROCESSES = (1, 2)
SHORT, LONG = 10, 40      # steps
REPEATS = 3


def environments(count):
    """The environment of each of `count` processes that train together."""
    if count == 1:
        return [os.environ]
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    cluster = {"worker": ["127.0.0.1:%d" % one.getsockname()[1]
                          for one in sockets]}
    for one in sockets:
        one.close()
    return [dict(os.environ, TF_CONFIG=json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": index}}))
            for index in range(count)]


def seconds_of(flags, count, steps):
    """float, the seconds that a training by `count` processes takes in all."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, os.path.join(ROOT, "run.py"), "--do_train",
                   "--num_train_steps=%d" % steps,
                   "--checkpointDir=%s/run" % folder]
        if count > 1:
            command.append("--distribution_strategy=multi_worker")
        with open(os.path.join(folder, "log"), "w+") as log:
            started = time.time()
            processes = [subprocess.Popen(command + flags, env=environment,
                                          stdout=log, stderr=log)
                         for environment in environments(count)]
            failed = any([process.wait() for process in processes])
            seconds = time.time() - started
            if failed:
                log.seek(0)
                sys.exit("benchmarks/workers.py: error: " + log.read()[-800:])
    return seconds


def main(flags):
    steps = {count: [] for count in PROCESSES}
    for _ in range(REPEATS):
        for count in PROCESSES:
            difference = (seconds_of(flags, count, LONG)
                          - seconds_of(flags, count, SHORT))
            steps[count].append(difference / (LONG - SHORT))
            print("%d process(es): %.3f s a step" % (count, steps[count][-1]))
    one = statistics.median(steps[1])
    for count in PROCESSES:
        median = statistics.median(steps[count])
        print("%d process(es): median %.3f s a step, %.2f of one process's"
              % (count, median, median / one))


if __name__ == "__main__":
    main(sys.argv[1:])
