"""The house rules of docs/architecture.md, held against the code."""

import ast
import io
import os
import re
import subprocess

import pytest

from conftest import ROOT

DRAWING = os.path.join(ROOT, "docs", "architecture.md")
MOST_LINES = 450

TOP_LEVEL = {
    # commands
    "gen_data_fin.py", "gen_data_beam.py", "run.py", "report.py",
    "run_sample.sh", "run_own.sh", "run_ml-1m.sh", "run_beauty.sh",
    "run_steam.sh", "run_ml-20m.sh",
    "evaluate_pretrained.sh", "run_tests.sh", "common.sh",
    # published modules, and the schema
    "modeling.py", "optimization.py", "vocab.py", "util.py",
    "input_pipeline.py",
    # what a checkout needs
    "README.md", "LICENSE", "requirements.txt", "requirements-report.txt",
    "requirements-beam.txt", ".gitignore"}
FOLDERS = {"bert_train", "benchmarks", "data", "docs", "evaluation",
           "experiment", "model", "pretrained", "reporting",
           "studies", "tests", ".ci"}


def tracked():
    """list of str, the files of this checkout."""
    try:
        listed = subprocess.check_output(["git", "-C", ROOT, "ls-files"],
                                         stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    return [name for name in listed.decode().splitlines()
            if os.path.exists(os.path.join(ROOT, name))]


def read(name):
    with io.open(os.path.join(ROOT, name), encoding="utf-8") as stream:
        return stream.read()


def modules():
    """dict, dotted name -> syntax tree, of all modules but the tests."""
    return {name[:-len(".py")].replace("/", ".").replace(".__init__", ""):
            ast.parse(read(name))
            for name in tracked()
            if name.endswith(".py") and not name.startswith("tests/")}


def imported(tree, inside_functions=False):
    """set of str, the dotted names that a module imports: when it is imported
    itself, or by its functions when they are called."""
    names = set()

    def look(node, inside):
        for child in ast.iter_child_nodes(node):
            deeper = inside or isinstance(child, ast.FunctionDef)
            if isinstance(child, ast.Import) and inside == inside_functions:
                names.update(alias.name for alias in child.names)
            elif (isinstance(child, ast.ImportFrom)
                  and inside == inside_functions):
                names.add(child.module)
                names.update("%s.%s" % (child.module, alias.name)
                             for alias in child.names)
            look(child, deeper)

    look(tree, False)
    return names


def local_imports(trees, **options):
    """dict, module -> set of the project's modules that it imports."""
    return {name: imported(tree, **options).intersection(trees) - {name}
            for name, tree in trees.items()}


def drawn():
    """list of (unit, set of units), from the top of the drawing."""
    lines = re.findall(r"^(\w+) +<- (.+)$", read(DRAWING), re.M)
    return [(unit, set(names.split()) - {"nothing"}) for unit, names in lines]


def unit(name):
    """The package of a module, or the module itself at the top level."""
    return name.split(".")[0]


def reached(names, imports):
    """set of str: these modules and all that importing them imports."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports[name]
    return found


# --- imports -----------------------------------------------------------------

def test_imports_are_those_that_are_drawn():
    found = {}
    for name, names in local_imports(modules()).items():
        found.setdefault(unit(name), set()).update(
            unit(other) for other in names if unit(other) != unit(name))
    assert found == dict(drawn()), "mend the import, or docs/architecture.md"


def test_a_line_of_the_drawing_imports_from_the_lines_below_it():
    below = set()
    for name, names in reversed(drawn()):
        assert names <= below, name
        below.add(name)


def test_no_module_imports_itself_by_way_of_others():
    imports = local_imports(modules())
    assert [name for name, names in imports.items()
            if name in reached(names, imports)] == []


def test_evaluation_alone_gives_its_names_as_a_package():
    trees = modules()
    assert {name for name, tree in trees.items() if imported(tree) and any(
        other.startswith(name + ".") for other in trees)} == {"evaluation"}


def test_one_function_alone_imports_of_the_project():
    imports = local_imports(modules(), inside_functions=True)
    assert {name: names for name, names in imports.items() if names} == {
        "util": {"data.sequences", "data"}}


def test_evaluation_imports_numpy_alone():
    standard = {"collections", "gzip", "io", "zlib"}
    for name, tree in modules().items():
        if unit(name) == "evaluation":
            assert {unit(other) for other in imported(tree)} <= standard | {
                "evaluation", "numpy"}, name


def test_what_needs_no_tensorflow():
    trees = modules()
    imports = local_imports(trees)
    without = [name for name in trees
               if unit(name) in ("util", "vocab", "evaluation", "reporting")
               or name in ("experiment.record", "experiment.names",
                           "experiment.requests")
               or unit(name) == "data" and name not in (
                       "data.instances", "data.beam_steps", "data.beam_pipeline")]
    assert len(without) > 20
    for name in without:
        for other in reached([name], imports):
            assert "tensorflow" not in map(unit, imported(trees[other])), (
                "%s imports TensorFlow through %s" % (name, other))


# --- sizes and places --------------------------------------------------------

def test_no_module_is_too_long_to_read():
    lengths = {name: read(name).count("\n") for name in tracked()
               if name.endswith(".py") and not name.startswith("tests/")}
    assert {name: length for name, length in lengths.items()
            if length > MOST_LINES} == {}


def test_the_top_level_holds_what_has_earned_its_place():
    names = tracked()
    assert {name for name in names if "/" not in name} <= TOP_LEVEL
    assert {name.split("/")[0] for name in names if "/" in name} <= FOLDERS
