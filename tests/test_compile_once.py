"""Objects of Verilator's runtime are compiled once and kept; everything else is compiled as it comes."""

import os
import sys
from pathlib import Path

import pytest

from ohmweave.sim.cache import CACHE_VARIABLE
from ohmweave.testbench.compile_once import command, main

#: A compiler that counts its runs, and fails for a source that says so.
COMPILER = """
import sys
from pathlib import Path
log = Path(sys.argv[1])
log.write_text(log.read_text() + "x")
text = Path(sys.argv[-1]).read_text()
if text == "fault":
    raise SystemExit(3)
Path(sys.argv[sys.argv.index("-o") + 1]).write_text(f"object of {text}")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a runtime of one source, a compiler, and a cache of its own."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "runtime.cpp").write_text("runtime")
    (tmp_path / "design.cpp").write_text("design")
    (tmp_path / "compiler.py").write_text(COMPILER)
    (tmp_path / "log").write_text("")
    monkeypatch.setenv("VERILATOR_ROOT", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compiled(place: Path, source: str, target: str, *flags: str) -> int:
    compiler = [sys.executable, str(place / "compiler.py"), str(place / "log")]
    return main([*compiler, *flags, "-c", "-o", target, source])


def test_the_runtime_is_compiled_once(place):
    source = str(place / "include" / "runtime.cpp")
    os.mkdir("elsewhere")
    for target in ("runtime.o", "elsewhere/runtime.o"):
        assert compiled(place, source, target) == 0
        assert Path(target).read_text() == "object of runtime"
    assert (place / "log").read_text() == "x"
    assert compiled(place, source, "runtime.o", "-O0") == 0
    assert (place / "log").read_text() == "xx"
    Path(source).write_text("another")
    assert compiled(place, source, "runtime.o") == 0
    assert Path("runtime.o").read_text() == "object of another"


def test_designs_are_compiled_each_time(place):
    for _ in range(2):
        assert compiled(place, "design.cpp", "design.o") == 0
    assert (place / "log").read_text() == "xx"
    assert Path("design.o").read_text() == "object of design"


def test_faults_are_the_compilers(place):
    source = place / "include" / "runtime.cpp"
    source.write_text("fault")
    assert compiled(place, str(source), "runtime.o") == 3
    assert not Path("runtime.o").exists()


def test_the_command_runs_this_module():
    program, script = command().split()
    assert program == sys.executable
    assert Path(script).name == "compile_once.py"
