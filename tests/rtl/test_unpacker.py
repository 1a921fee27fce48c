"""Unpacker against its cycle model on every simulator."""

import dataclasses

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.unpacker import Unpacker
from ohmweave.testbench.pe_cases import PES, RUNS
from ohmweave.testbench.runner import available, run_testbench

CHANNELS = {"tiny": [1, 2, 3, 4, 5, 6, 7, 8], "wide": [1, 2, 3, 7, 8], "single": [1, 3, 8]}
FULL_CHANNELS = [1, 3, 4, 6, 17, 120, 128]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_unpacker(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = PES[case]
    known = {
        "act_bits": params.buffer.act_bits,
        "per_flit": params.link_bits // params.buffer.act_bits,
        "lanes": params.buffer.lanes,
        "channels": CHANNELS.get(case, FULL_CHANNELS),
    }
    assert run_testbench(Unpacker(params=params), "tb_unpacker", simulator, parameters=known) == 4


@pytest.mark.parametrize("lanes", [3, 16])
def test_refuses_flits_that_do_not_fit(lanes: int) -> None:
    array = dataclasses.replace(PES["tiny"].array, cols=lanes * 4)
    params = dataclasses.replace(PES["tiny"], array=array, result_lanes=lanes, link_bits=4 * lanes)
    with pytest.raises(OhmweaveError) as error:
        Unpacker(params=params)
    assert str(error.value) == f"Activations of a flit must be a power of two up to lanes, 8, not {lanes}"
