"""The README tells the truth: every block in it runs, and what it shows is what comes out."""
from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from interactiveai_eval import __version__
from interactiveai_eval.demo.gsm8k_sample import MODELS

from .judged import published
from .programs import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PYTHON = [source for language, source in BLOCKS if language == "python"]
SHELL = [source for language, source in BLOCKS if language == "sh"]
TEXT = [source for language, source in BLOCKS if language == "text"]
DEMO, TESTS, *COMMANDS = SHELL


def in_shell(command, folder):
    """Run a command as the README has it, with this Python as `python3`."""
    return subprocess.run(
        ["sh", "-ec", command.replace("python3 ", f"{sys.executable} ")],
        cwd=folder,
        env=environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def test_there_are_two_set_up_commands_of_one_line_each():
    assert DEMO == "python3 -m interactiveai_eval demo\n"
    assert TESTS.count("\n") == 1 and TESTS.endswith("-m pytest\n")


@pytest.mark.parametrize("source", PYTHON, ids=lambda source: source.strip().splitlines()[0])
def test_every_python_block_runs_as_it_stands(source, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", source],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )

    # Development mode tells of steps of a loop over 0.1 s: on a busy machine the imports of a first call take that.
    told = [line for line in ran.stderr.splitlines() if not re.match(r"Executing <Task .* took 0\.\d+ seconds$", line)]
    assert ran.returncode == 0 and told == [], ran.stderr
    if "raise_for_checks" in source:
        assert ran.stdout == (
            "0.75 (0.30 - 0.95) of 4 items\n"
            "{'equal': 1, 'regressed': 1, 'improved': 2} 1.0\n"
            "True []\n"
            "exact 0.301 0.5\n"
        )


def test_the_demo_prints_the_table_that_the_readme_shows(tmp_path):
    ran = in_shell(DEMO, tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert TEXT[0] in ran.stdout
    assert (tmp_path / "gsm8k-demo.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.fixture(scope="module")
def published_runs(tmp_path_factory):
    """A folder with the four runs that the worked comparison is about."""
    folder = tmp_path_factory.mktemp("published")
    for model in MODELS:
        published(model).save(folder / f"{model}.json")
    return folder


CONSOLE = [shown for language, source in BLOCKS if language == "console" for shown in source.split("$ ")[1:]]


@pytest.mark.parametrize("shown", CONSOLE, ids=lambda shown: " ".join(shown.split()[3:6]))
def test_the_worked_comparison_is_what_the_tool_prints(shown, published_runs):
    command, _, output = shown.partition("\n")

    ran = in_shell(command, published_runs)

    assert (ran.stdout, ran.stderr) == (output, "")
    assert ran.returncode == (1 if " check " in command else 0)


def test_the_shell_commands_run(tmp_path):
    ran = in_shell("".join(COMMANDS), tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert "exact   2  1.000  0.342 - 1.000" in ran.stdout and (tmp_path / "sums.html").exists()
    assert f"lib/evals: {__version__}, intact, the same as this one" in ran.stdout


def test_every_promise_names_its_test():
    """A promise whose test was renamed or dropped is one that nobody keeps."""
    table = README.partition("## Security and promises")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!promise|---)(.*?) \| (.*?) \|$", table, re.MULTILINE)

    assert len(rows) >= 15
    for promise, named in rows:
        file, name = re.fullmatch(r"`(test_\w+\.py)::(test_\w+)`", named).groups()
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), promise


def test_ci_runs_the_readmes_test_command():
    """The command itself cannot be run by a test that it runs; CI runs it in a clean clone."""
    assert TESTS.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# -- where things are --------------------------------------------------------------------------------------------------

PACKAGE = ROOT / "interactiveai_eval"
PLACES = README.partition("## Where things are")[2].partition("\n## ")[0]
ROWS = [re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| (`.*?) \|", PLACES, re.MULTILINE)]
HEIGHTS = {name: height for height, row in enumerate(ROWS) for name in row}


def height(module):
    """The row of the list in which a module (`running/book.py`) or its room is named; the higher the further down."""
    top = module.split("/")[0]
    return HEIGHTS["_*.py" if re.match("_[a-z]", top) else top if top == module else top + "/"]


def imported(module):
    """The modules of the package that one needs when it runs, now or later; what only types need does not count."""
    waiting = [ast.parse((PACKAGE / module).read_text(encoding="ascii"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.ImportFrom) and node.level:
            place = (PACKAGE / module).parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for found in (place / alias.name for alias in node.names) if place.is_dir() else [place]:
                files = (found.with_suffix(".py"), found / "__init__.py", place / "__init__.py")
                yield next(file for file in files if file.exists()).relative_to(PACKAGE).as_posix()


def test_the_files_that_the_list_of_places_names_in_a_folder_are_there():
    folder, named = re.search(r"^In `(\w+/)`, (.*?)\n\n", PLACES + "\n\n", re.MULTILINE | re.DOTALL).groups()
    names = set(re.findall(r"`(\w+\.py)`", named))

    assert "outbox.py" in names
    assert names <= {path.name for path in (PACKAGE / folder).iterdir()}


def test_imports_go_down_the_list_of_places_and_in_no_circle():
    modules = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    needs = {module: set(imported(module)) - {"__init__.py"} for module in modules if module != "__init__.py"}

    assert {name.partition("/")[0] for name in modules if not re.match("_[a-z]", name)} == {
        name.rstrip("/") for name in HEIGHTS if name != "_*.py"
    }
    assert [(module, other) for module in needs for other in needs[module] if height(other) < height(module)] == []
    while needs:
        ready = [module for module, others in needs.items() if not others & set(needs)]
        assert ready, f"a circle: {sorted(needs)}"
        needs = {module: others for module, others in needs.items() if module not in ready}
