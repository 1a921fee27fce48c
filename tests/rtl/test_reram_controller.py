"""The controller of the ReRAM half: its testbench on both simulators, refusals."""

import dataclasses

import pytest

from ohmweave.rtl.instruction_table import InstructionTable
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.reram_half.controller import Controller
from ohmweave.rtl.reram_half.layouts import WINDOW_BITS
from ohmweave.rtl.reram_half.signs import sign_scheme
from ohmweave.testbench.pe_cases import PES
from ohmweave.testbench.runner import available, run_testbench

CASES = PES | {"small": dataclasses.replace(PES["tiny"], reram_program=2)}
RUNS = [("verilator", "full"), *(("icarus", case) for case in ("full", "single", "small"))]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_controller(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = CASES[case]
    known = {
        "words": params.reram_program,
        "colmux": params.array.colmux,
        "signs": sign_scheme(params.array).signs,
        "lanes": params.buffer.lanes,
        "window_bits": WINDOW_BITS,
    }
    controller = Controller(params=params)
    text = emit_verilog(emit_rtlil(controller, "dut"))
    ran = run_testbench(controller, "tb_reram_controller", simulator, parameters=known, verilog_text=text)
    assert ran == 3 + 5


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^params must be PEParams, not 'tiny'$"):
        Controller(params="tiny")  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [1, 65, 2.0, True])
def test_table_refuses(words: object) -> None:
    with pytest.raises(TypeError, match=rf"^Words must be a whole number from 2 to 64, not {words!r}$"):
        InstructionTable(words=words)  # type: ignore[arg-type]
