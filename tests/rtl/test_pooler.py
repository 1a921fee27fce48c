"""Pooler against maxima taken window by window, on every simulator."""

import pytest

from ohmweave.rtl.pooler import Pooler
from ohmweave.testbench.pe_cases import PES, RUNS
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_pooler(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = PES[case]
    known = {
        "act_bits": params.buffer.act_bits,
        "lanes": params.result_lanes,
        "width": params.buffer.map_width,
        "words": params.array.cols // params.result_lanes,
    }
    assert run_testbench(Pooler(params=params), "tb_pooler", simulator, parameters=known) == 5
