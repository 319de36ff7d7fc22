"""A machine made of stand-ins, for tests of the shell scripts."""

import os
import shutil
import stat
import subprocess

from conftest import ROOT

TOOLS = ("bash", "basename", "cat", "cksum", "cp", "dirname", "mkdir")


class Machine(object):
    """A PATH that holds a few tools and stand-ins, and nothing else."""

    def __init__(self, folder, *further):
        self.folder = folder
        for tool in TOOLS + further:
            (folder / tool).symlink_to(shutil.which(tool))

    def add(self, name, script):
        path = self.folder / name
        path.write_text("#!%s\n%s\n" % (shutil.which("bash"), script))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def add_python(self, name, version):
        self.add(name, "echo %s" % version)

    def run(self, script, **environment):
        """(status, output, errors) of a script that sources common.sh."""
        process = subprocess.Popen(
            ["bash", "-c", "source ./common.sh; " + script, "run_test.sh"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(environment, PATH=str(self.folder)))
        output, errors = process.communicate()
        return process.returncode, output.decode().split(), errors.decode()

    def add_venv(self, script):
        """A python3 whose virtual environments' python is this script."""
        self.add("python-of-the-venv", script)
        self.add("python3", (
            'if [ "$1" = -m ]; then mkdir -p "$3/bin"; '
            'cp "${0%/*}/python-of-the-venv" "$3/bin/python"; '
            'elif [[ "$2" != *ensurepip* ]]; then echo 3.11; fi'))

    def run_copy(self, folder, name, *arguments, **options):
        """(status, output, errors) of a script's copy in a folder."""
        environment = dict(PATH=str(self.folder), VENVS=str(folder / "venvs"),
                           LOG=str(folder / "log"))
        environment.update(options.pop("environment", {}))
        process = subprocess.Popen(
            ["bash", str(folder / name)] + list(arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            **options)
        output, errors = process.communicate()
        assert b"unbound" not in errors, errors
        return process.returncode, output.decode(), errors.decode()


def copy_project(folder, *names):
    """Copies files of the project's top level, and makes data/."""
    (folder / "data").mkdir()
    for name in ("common.sh", "requirements.txt") + names:
        shutil.copy(os.path.join(ROOT, name), str(folder))
