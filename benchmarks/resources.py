"""Trains for many tiny steps and prints what the process holds meanwhile.

    python benchmarks/resources.py --steps=2000

Makes its own small dataset; prints memory and open files of the training at
four moments, read from /proc.
"""

import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import util  # noqa: E402
from benchmarks.kill import Place, run_whole  # noqa: E402


def held_by(process):
    """(megabytes of memory, open files) of a process, by its number."""
    with open("/proc/%d/status" % process) as stream:
        kilobytes = [int(line.split()[1]) for line in stream
                     if line.startswith("VmRSS")][0]
    return kilobytes / 1024.0, len(os.listdir("/proc/%d/fd" % process))


def steps_done(folder):
    """int, the step of the newest checkpoint in a folder; -1: none."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    return max([int(name[len("model.ckpt-"):-len(".index")]) for name in names
                if name.endswith(".index")] or [-1])


def main(steps):
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        run_whole(place.generation())
        process = subprocess.Popen(
            place.training() + ["--num_train_steps=%d" % steps,
                                "--save_checkpoints_steps=%d" % max(
                                    steps // 40, 1),
                                "--eval_every_steps=%d" % (steps // 4),
                                "--keep_checkpoint_max=3"],
            stderr=subprocess.DEVNULL)
        due = [steps // 10, steps // 4, steps // 2, steps * 9 // 10]
        while process.poll() is None and due:
            done = steps_done(place.path("run"))
            if done >= due[0]:
                print("after step %d: %.0f MB, %d open files"
                      % ((done,) + held_by(process.pid)))
                due.pop(0)
            time.sleep(0.05)
        if process.wait():
            sys.exit("the training ended with status %d" % process.returncode)


if __name__ == "__main__":
    parser = util.ArgumentParser(__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    main(parser.parse_args().steps)
