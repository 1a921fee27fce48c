"""The expander: its testbench on both simulators, refusals."""

import dataclasses

import pytest

from ohmweave.presets import PRESETS
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.reram_half.expander import Expander
from ohmweave.rtl.reram_half.layouts import WINDOW_BITS
from ohmweave.rtl.reram_half.signs import sign_scheme
from ohmweave.testbench.runner import available, run_testbench

FULL = PRESETS["re-reram"].pe.array
ARRAYS = {
    "full": FULL,
    "tiny": PRESETS["tiny"].pe.array,
    "pairs": dataclasses.replace(FULL, sign_scheme="pairs"),
    # Blocks of several slices lead beyond the last group.
    "three": dataclasses.replace(FULL, cols=48, colmux=3),
    "one": dataclasses.replace(FULL, colmux=1),
}
RUNS = [("verilator", "pairs"), *(("icarus", case) for case in ARRAYS)]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_expander(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    array = ARRAYS[case]
    known = {
        "colmux": array.colmux, "signs": sign_scheme(array).signs, "window_bits": WINDOW_BITS
    }  # fmt: skip
    expander = Expander(array=array)
    text = emit_verilog(emit_rtlil(expander, "dut"))
    ran = run_testbench(expander, "tb_expander", simulator, parameters=known, verilog_text=text)
    assert ran == 4 + 2 + 3


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^Array must be ArrayParams, not 'tiny'$"):
        Expander(array="tiny")  # type: ignore[arg-type]
