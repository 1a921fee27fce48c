"""Vector unit in lockstep with its model; its lanes stand in the netlist once, and idle ones can sleep."""

from dataclasses import replace

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.rtl.arithmetic import CYCLES, VectorUnit
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.sim.backends.hierarchy import partition, ports, split_modules
from ohmweave.testbench import lane_model as model
from ohmweave.testbench.runner import available, run_testbench

TINY, FULL = PRESETS["tiny"].pe, PRESETS["re-reram"].pe
CASES = {
    "tiny": TINY,
    "full": FULL,
    # 12 lanes; lanes that do not go into groups of four; the narrowest and the widest.
    "three": replace(TINY, vector_blocks=3, lane_bits=25),
    "narrow": replace(TINY, array=replace(TINY.array, colmux=8), vector_blocks=1, lane_bits=24),
    "wide": replace(TINY, vector_blocks=1, lane_bits=64),
}  # fmt: skip
RUNS = [("verilator", "full"), *(("icarus", case) for case in CASES)]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_vector_unit(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    exhaustive = simulator == "verilator"
    known = {
        "bits": params.lane_bits,
        "lanes": params.alu_lanes,
        "requests": 20 if case == "full" else 60,
        "exhaustive": exhaustive,
    }
    unit = VectorUnit(params=params, tag=3)
    netlist = emit_verilog(emit_rtlil(unit, "dut"))
    ran = run_testbench(unit, "tb_vector_unit", simulator, parameters=known, verilog_text=netlist)
    assert ran == (8 if exhaustive else 6)


def test_lanes_stand_in_the_netlist_once() -> None:
    netlist = emit_rtlil(VectorUnit(params=FULL), "unit")
    assert netlist.modules == ("unit", "alu_lanes", "dividers", "sfu_lanes")
    modules = split_modules(netlist.rtlil)
    assert modules["unit"].count("cell \\alu_lanes ") == FULL.alu_lanes // 4


def test_lanes_are_parts_of_a_simulation() -> None:
    """C++ of 32 lanes flattened into one function would take minutes to compile."""
    netlist = emit_rtlil(VectorUnit(params=FULL), "unit")
    modules = split_modules(netlist.rtlil)
    parts = partition(modules, netlist.top, netlist.modules, ())
    assert [part.top for part in parts] == ["alu_lanes", "sfu_lanes", "unit"]
    # Signed ports are ports, too.
    names = {port.name for port in ports(modules["alu_lanes.lane_0"])}
    assert {"take", "op", "size", "a", "b", "quotient", "scale", "result"} <= names


def test_cycles_of_operations() -> None:
    assert {int(op): cycles for op, cycles in CYCLES.items()} == {
        op: model.CYCLES.get(op, 1) for op in model.OPS
    }


def test_refuses_what_are_no_parameters() -> None:
    with pytest.raises(TypeError) as caught:
        VectorUnit(params=TINY.array)
    assert str(caught.value) == f"params must be PEParams, not {TINY.array!r}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lane_bits": 23}, "lane_bits must be a whole number from 24 to 64, not 23"),
        ({"lane_bits": 65}, "lane_bits must be a whole number from 24 to 64, not 65"),
        ({"lane_bits": 48.0}, "lane_bits must be a whole number from 24 to 64, not 48.0"),
        ({"vector_blocks": 0}, "vector_blocks must be a whole number from 1 to 4, not 0"),
        ({"vector_blocks": 5}, "vector_blocks must be a whole number from 1 to 4, not 5"),
    ],
)
def test_refused_parameters(values: dict, sentence: str) -> None:
    with pytest.raises(OhmweaveError) as caught:
        replace(TINY, **values)
    assert str(caught.value) == sentence
