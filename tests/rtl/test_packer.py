"""Packer against flits cut from a flat list, on every simulator."""

import dataclasses

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.packer import Packer
from ohmweave.testbench.pe_cases import PES, RUNS
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_packer(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = PES[case]
    known = {
        "act_bits": params.buffer.act_bits,
        "lanes": params.result_lanes,
        "link_bits": params.link_bits,
    }
    assert run_testbench(Packer(params=params), "tb_packer", simulator, parameters=known) == 3


@pytest.mark.parametrize("lanes", [3, 16])
def test_refuses_links_that_do_not_carry_raw_results(lanes: int) -> None:
    array = dataclasses.replace(PES["tiny"].array, cols=lanes * 4)
    params = dataclasses.replace(PES["tiny"], array=array, result_lanes=lanes, link_bits=4 * lanes)
    with pytest.raises(OhmweaveError) as error:
        Packer(params=params)
    assert str(error.value) == f"link_bits must divide 32, not {4 * lanes}"
