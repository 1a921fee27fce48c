"""The ReRAM half around the array's Verilog model: its testbench on both simulators, refusals."""

import dataclasses
from pathlib import Path

import pytest

from ohmweave.params import PEParams
from ohmweave.rtl.crossbar import verilog_model
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.reram_half import ReRAMHalf
from ohmweave.testbench.pe_cases import PES
from ohmweave.testbench.runner import available, run_testbench


def with_array(params: PEParams, **array: int | str) -> PEParams:
    return dataclasses.replace(params, array=dataclasses.replace(params.array, **array))  # type: ignore[arg-type]


TINY = PES["tiny"]
CASES = {
    "full": with_array(PES["full"], write_cycles=1),
    "tiny": TINY,
    # A read a cycle, and vectors of three blocks.
    "fast": dataclasses.replace(with_array(TINY, read_cycles=1, write_cycles=1), vector_blocks=3),
    "pairs": with_array(TINY, sign_scheme="pairs", cols=32, colmux=8, read_cycles=2),
    # Sums of a finite ADC.
    "single": PES["single"],
    # Cells of two bits, DACs of eight; three column groups.
    "wide": with_array(PES["wide"], read_cycles=3),
}
RUNS = [("verilator", "full"), *(("icarus", case) for case in CASES if case != "full")]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_reram_half(simulator: str, case: str, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    model = tmp_path / "model.v"
    model.write_text(verilog_model(params.array))
    half = ReRAMHalf(params=params)
    ran = run_testbench(
        half,
        "tb_reram_half",
        simulator,
        sources=[model],
        parameters=dataclasses.asdict(params),
        verilog_text=emit_verilog(emit_rtlil(half, "dut")),
    )
    assert ran == 5 + 4 + 4


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^params must be PEParams, not 'tiny'$"):
        ReRAMHalf(params="tiny")  # type: ignore[arg-type]
