"""Vectors of results, on both simulators."""

import dataclasses

import pytest

from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.reram_half.vectors import Vectors
from ohmweave.testbench.pe_cases import PES
from ohmweave.testbench.runner import available, run_testbench

TINY = PES["tiny"]
CASES = {
    "tiny": TINY,
    "full": PES["full"],
    "one": dataclasses.replace(TINY, vector_blocks=1),
    "three": dataclasses.replace(TINY, vector_blocks=3, lane_bits=33),
}
RUNS = [("verilator", "three"), *(("icarus", case) for case in CASES)]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_vectors(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    known = {
        "block_bits": params.lane_bits * params.array.columns_at_once,
        "vector_blocks": params.vector_blocks,
    }
    block = Vectors(params=params)
    text = emit_verilog(emit_rtlil(block, "dut"))
    assert run_testbench(block, "tb_vectors", simulator, parameters=known, verilog_text=text) == 4 + 3


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^params must be PEParams, not 'tiny'$"):
        Vectors(params="tiny")  # type: ignore[arg-type]
