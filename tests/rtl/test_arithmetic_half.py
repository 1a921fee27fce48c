"""Arithmetic half against an interpreter of its instructions, on every simulator."""

from dataclasses import replace

import pytest

from ohmweave.rtl.arithmetic.half import ArithmeticHalf
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.testbench.pe_cases import PES
from ohmweave.testbench.runner import available, run_testbench

#: Vectors of 2 channels: words of one, two and four of them, as at full size, by activations of 4, 2 planes and one.
SHORT = replace(PES["tiny"], array=replace(PES["tiny"].array, colmux=8), vector_blocks=1)
CASES = PES | {"short": SHORT}
PROGRAMS, TIMES = ("tb_arithmetic_half", None, 9), ("tb_arithmetic_times", None, 7)
#: Larger sizes are slow to build and to drive.
FEW = ("tb_arithmetic_half", "(requantised|pooled_windows|random_programs_at_once)$", 3)
RUNS = [
    ("icarus", "tiny", *PROGRAMS),
    ("icarus", "tiny", *TIMES),
    pytest.param("icarus", "wide", *FEW, marks=pytest.mark.nightly),
    ("icarus", "short", "tb_arithmetic_half", "(residual|pooled_windows|random_programs)$", 3),
    ("verilator", "tiny", *TIMES),
    ("verilator", "full", *FEW),
]


@pytest.mark.parametrize(("simulator", "case", "testbench", "testcase", "tests"), RUNS)
def test_arithmetic_half(simulator: str, case: str, testbench: str, testcase: str | None, tests: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    known = {
        "lanes": params.alu_lanes,
        "lane_bits": params.lane_bits,
        "vectors": params.vectors,
        "buffer_lanes": params.buffer.lanes,
        "window_lanes": params.buffer.window_lanes,
        "act_bits": params.buffer.act_bits,
        "table": params.arithmetic_program,
    }
    half = ArithmeticHalf(params=params)
    # Each lane's module once, which is quicker to build.
    text = emit_verilog(emit_rtlil(half, "dut"))
    ran = run_testbench(half, testbench, simulator, parameters=known, verilog_text=text, testcase=testcase)
    assert ran == tests


@pytest.mark.parametrize("params", [None, 32, PES["tiny"].buffer])
def test_refuses(params: object) -> None:
    with pytest.raises(TypeError, match=r"^params must be PEParams, not "):
        ArithmeticHalf(params=params)  # type: ignore[arg-type]
