"""Sender against the bits of all elements in a row, on every simulator."""

import dataclasses

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.sender import Sender, sender_config
from ohmweave.testbench.link_cases import LINKS, RUNS
from ohmweave.testbench.runner import available, run_testbench

TINY = LINKS["tiny"]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_sender(simulator: str, case: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params = LINKS[case]
    known = {"link_bits": params.link_bits, "lanes": params.alu_lanes, "lane_bits": params.lane_bits}
    assert run_testbench(Sender(params=params), "tb_sender", simulator, parameters=known) == 4


@pytest.mark.parametrize("wide_bits", [12, 18, 52, True, 16.0])
def test_refused_width(wide_bits: object) -> None:
    with pytest.raises(OhmweaveError) as error:
        sender_config(wide_bits=wide_bits)  # type: ignore[arg-type]
    assert str(error.value) == f"wide_bits must be a multiple of 4 from 16 to 48, not {wide_bits!r}"


def test_raw_results_have_32_bits() -> None:
    assert sender_config() == {"wide_bits": 32}


def test_refused_parameters() -> None:
    with pytest.raises(TypeError) as type_error:
        Sender(params=TINY.buffer)  # type: ignore[arg-type]
    assert str(type_error.value).startswith("params must be PEParams, not BufferParams(")
    array = dataclasses.replace(TINY.array, cols=12)
    params = dataclasses.replace(TINY, array=array, link_bits=12)
    with pytest.raises(OhmweaveError) as error:
        Sender(params=params)
    assert str(error.value) == "link_bits must be 4 times a power of two, not 12"
