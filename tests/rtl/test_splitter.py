"""Splitter against its model on both simulators, and what its configuration refuses."""

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.splitter import MAX_MERGED, Splitter, SplitterConfig, splitter_config
from ohmweave.testbench.link_cases import LINKS
from ohmweave.testbench.runner import available, run_testbench

BUFFERS = {name: LINKS[name].buffer for name in ("tiny", "full")}
#: Pixels of a word, channels of a pixel.
CHOICE = {
    "tiny": [(1, 1), (1, 7), (2, 1), (2, 4), (3, 2), (4, 2)],
    "full": [(1, 127), (2, 6), (2, 64), (3, 5), (4, 1), (4, 32)],
}
RUNS = [("verilator", "tiny"), ("icarus", "tiny"), ("icarus", "full")]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_splitter(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = BUFFERS[case]
    layout = SplitterConfig(params)
    choice = [
        (pixels, channels, layout.const(splitter_config(params, pixels, channels)).as_bits())
        for pixels, channels in CHOICE[case]
    ]
    known = {"act_bits": params.act_bits, "lanes": params.lanes, "choice": choice}
    block = Splitter(params=params)
    text = emit_verilog(emit_rtlil(block, "dut"))
    assert (
        run_testbench(block, "tb_splitter", simulator, parameters=known, verilog_text=text)
        == 4 * len(choice) + 2
    )


def test_refusals() -> None:
    params = BUFFERS["tiny"]
    for pixels in (0, MAX_MERGED + 1, True):
        with pytest.raises(OhmweaveError) as caught:
            splitter_config(params, pixels, 1)
        assert (
            str(caught.value)
            == f"The pixels of a word must be a whole number from 1 to {MAX_MERGED}, not {pixels!r}"
        )
    for channels in (0, params.lanes):
        with pytest.raises(OhmweaveError) as caught:
            splitter_config(params, 1, channels)
        sentence = (
            f"The channels of a pixel must be a whole number from 1 to {params.lanes - 1}, not {channels}"
        )
        assert str(caught.value) == sentence
    with pytest.raises(OhmweaveError) as caught:
        splitter_config(params, 3, 3)
    assert str(caught.value) == f"3 pixels of 3 channels do not fit a word of {params.lanes} lanes"
    with pytest.raises(TypeError, match=r"^params must be BufferParams, not 'tiny'$"):
        Splitter(params="tiny")  # type: ignore[arg-type]
