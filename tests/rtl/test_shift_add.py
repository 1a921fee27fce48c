"""The shift-and-add against Python's integers on every simulator."""

import dataclasses

import pytest

from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.reram_half.shift_add import ShiftAdd
from ohmweave.testbench.pe_cases import PES
from ohmweave.testbench.runner import available, run_testbench

CASES = PES | {
    # Sums of 32 bits and more wrap around.
    "narrow": dataclasses.replace(PES["tiny"], lane_bits=24),
    "pairs": dataclasses.replace(
        PES["full"], array=dataclasses.replace(PES["full"].array, sign_scheme="pairs")
    ),
}
RUNS = [("verilator", "wide"), *(("icarus", case) for case in CASES)]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_shift_add(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    array = params.array
    known = {
        "columns_at_once": array.columns_at_once,
        "sum_bits": array.sum_bits,
        "lane_bits": params.lane_bits,
        "cell_bits": array.cell_bits,
        "dac_bits": array.dac_bits,
        "offset": array.sign_scheme == "offset",
        "group_bits": (array.colmux - 1).bit_length(),
    }
    block = ShiftAdd(params=params)
    text = emit_verilog(emit_rtlil(block, "dut"))
    assert run_testbench(block, "tb_shift_add", simulator, parameters=known, verilog_text=text) == 4 + 2


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^params must be PEParams, not 'tiny'$"):
        ShiftAdd(params="tiny")  # type: ignore[arg-type]
