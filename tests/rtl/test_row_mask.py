"""The row mask, on both simulators."""

import pytest

from ohmweave.params import BufferParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.reram_half.row_mask import RowMask
from ohmweave.testbench.runner import available, run_testbench

BUFFERS = {
    "full": PRESETS["re-reram"].pe.buffer,
    "tiny": PRESETS["tiny"].pe.buffer,
    # 24 lanes are divided by 8 at most, and the window is no whole number of words.
    "odd": BufferParams(lanes=24, width=9, banks=6, act_bits=8, window_lanes=225),
}
RUNS = [("verilator", "tiny"), *(("icarus", case) for case in BUFFERS)]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_row_mask(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    buffer = BUFFERS[case]
    known = {"lanes": buffer.lanes, "window_lanes": buffer.window_lanes, "act_bits": buffer.act_bits}
    assert run_testbench(RowMask(params=buffer), "tb_row_mask", simulator, parameters=known) == 1


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^params must be BufferParams, not 'tiny'$"):
        RowMask(params="tiny")  # type: ignore[arg-type]
