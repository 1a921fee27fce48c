"""Dependencies point one way: rtl ← sim, testbench ← command line; and nothing uses the folders' bare names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"src/ohmweave": "ohmweave", "rtl": "ohmweave.rtl", "sim": "ohmweave.sim"}
FOLDERS |= {"testbench": "ohmweave.testbench"}

#: Package → what it must not import. The command line, the only one that may import all, is `ohmweave` itself.
FORBIDDEN = {
    "ohmweave.rtl": ("ohmweave.sim", "ohmweave.testbench", "ohmweave.cli", "ohmweave.commands"),
    "ohmweave.sim": ("ohmweave.testbench", "ohmweave.cli", "ohmweave.commands", "cocotb", "torch"),
    "ohmweave.testbench": ("ohmweave.cli", "ohmweave.commands", "torch"),
    "ohmweave": ("ohmweave.testbench", "cocotb", "torch"),
}
#: The records that the hardware is built from know nothing of it, nor of the user.
FORBIDDEN |= {
    f"ohmweave.{module}": ("ohmweave.rtl", "ohmweave.sim", "ohmweave.cli", "ohmweave.commands", "amaranth")
    for module in ("params", "presets", "check", "errors", "config")
}
BARE = ("rtl", "sim", "testbench")


def imports(source: str) -> Iterator[str]:
    """Every module that a source names in an import, those inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import is left as it is written, with its dots: it is refused as such.
            name = "." * node.level + (node.module or "")
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def problems(module: str, source: str) -> list[str]:
    """What is wrong with the imports of a module."""
    forbidden = [name for package, names in FORBIDDEN.items() if within(module, package) for name in names]
    if module.startswith("ohmweave.testbench"):
        forbidden = [name for name in forbidden if name not in ("cocotb", "ohmweave.testbench")]
    # A package imports of itself what it likes.
    forbidden = [name for name in forbidden if not within(module, name)]
    found = []
    for name in imports(source):
        if name.startswith("."):
            found.append(f"{module} imports {name}: name it in full")
        found += [f"{module} imports {name}" for bad in (*forbidden, *BARE) if within(name, bad)]
    return sorted(set(found))


def modules() -> list[tuple[str, Path]]:
    found = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append((".".join([package, *parts]).removesuffix(".__init__"), path))
    for folder in ("tests", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.append((".".join(path.relative_to(ROOT).with_suffix("").parts), path))
    return found


def test_all_folders_are_looked_at():
    names = {name for name, _ in modules()}
    assert {"ohmweave.cli", "ohmweave.params", "ohmweave.rtl.netlist", "ohmweave.sim.run"} <= names
    assert {"ohmweave.testbench.runner", "tests.test_layers", "scripts.lint"} <= names


def test_dependencies_point_one_way():
    found = [problem for name, path in modules() for problem in problems(name, path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ohmweave.rtl.pe", "import ohmweave.sim.golden"),
        ("ohmweave.rtl.pe", "from ohmweave import sim"),
        ("ohmweave.rtl.pe", "def f():\n    from ohmweave.testbench.stream import start"),
        ("ohmweave.sim.run", "from ohmweave.testbench import runner"),
        ("ohmweave.sim.run", "from ohmweave.cli import main"),
        ("ohmweave.commands.run", "import cocotb"),
        ("ohmweave.params", "from ohmweave.rtl import flit"),
        ("ohmweave.presets", "import amaranth.hdl"),
        ("ohmweave.cli", "import rtl"),
        ("tests.rtl.test_pe", "from sim.golden import logits"),
        ("ohmweave.sim.run", "from . import golden"),
        ("ohmweave.sim.run", "from .golden import logits"),
    ],
)
def test_wrong_imports_are_found(module, source):
    assert problems(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ohmweave.sim.compiler", "from ohmweave.rtl.pe import PE"),
        ("ohmweave.testbench.tb_pe", "import cocotb\nfrom ohmweave.sim import golden"),
        ("ohmweave.commands.run", "from ohmweave.sim.run import run"),
        ("ohmweave.rtl.pe", "import simplejson"),
    ],
)
def test_right_imports_pass(module, source):
    assert not problems(module, source)
