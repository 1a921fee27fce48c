"""The documentation names only what exists: tests, files, commands and options; the pictures are the scripts'."""

import ast
import re
import runpy
from pathlib import Path

import click
import pytest

from ohmweave.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEST = re.compile(r"`((?:tests|testbench)/[\w/]+\.py)(?:::(\w+))?`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^\s*(?:\$ )?ohmweave (\w+)([^\n]*)$", re.MULTILINE)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing_tests(text: str) -> list[str]:
    """Names of tests that are none."""
    missing = []
    for file, function in TEST.findall(text):
        path = ROOT / file
        if not path.is_file() or (function and function not in functions(path)):
            missing.append(f"{file}::{function}")
    return missing


def unknown_commands(text: str) -> list[str]:
    """Command lines with a command or an option that the program does not have."""
    unknown = []
    for name, rest in COMMAND.findall(text):
        command = cli.commands.get(name)
        options = {"--help", "-h"}
        if command is not None:
            options |= {
                option
                for parameter in command.params
                if isinstance(parameter, click.Option)
                for option in parameter.opts
            }
        if command is None or set(re.findall(r"--[\w-]+", rest)) - options:
            unknown.append(f"ohmweave {name}{rest}")
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_tests_exist(page):
    assert not missing_tests(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page):
    assert not unknown_commands(page.read_text())


def test_test_plan_covers_every_test_file():
    """A test file that no line of the plan names has been forgotten."""
    named = {file for file, _ in TEST.findall((ROOT / "docs" / "testplan.md").read_text())}
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    assert not found - named


def test_every_block_is_in_the_index():
    links = set(LINK.findall((ROOT / "docs" / "index.md").read_text()))
    assert not {f"blocks/{path.name}" for path in (ROOT / "docs" / "blocks").glob("*.md")} - links


def test_picture_is_what_its_script_draws():
    draw = runpy.run_path(str(ROOT / "scripts" / "draw_block_diagram.py"))["draw"]
    assert (ROOT / "docs" / "block-diagram.svg").read_text() == draw()


def test_timeline_is_what_its_script_measures():
    """The figure and the page, down to each cycle; they are written anew by running the script."""
    script = runpy.run_path(str(ROOT / "scripts" / "draw_timeline.py"))
    timeline = script["measure"]()
    assert (ROOT / "docs" / "timeline.md").read_text() == script["page"](timeline)
    assert (ROOT / "docs" / "timeline.svg").read_text() == script["draw"](timeline)


def test_wrong_names_are_found():
    assert missing_tests("`tests/test_docs.py::test_nothing`")
    assert missing_tests("`tests/test_none.py`")
    assert not missing_tests("`tests/test_docs.py::test_wrong_names_are_found`")
    assert unknown_commands("ohmweave walk")
    assert unknown_commands("    $ ohmweave run lenet5 --speed 3")
    assert not unknown_commands("ohmweave run lenet5 --limit 3")
