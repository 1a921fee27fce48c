"""ConfigReceiver: refusals, the packets' encoder, and its testbench."""

import re
from typing import Any

import pytest

from ohmweave.rtl.network.config_receiver import ConfigReceiver, config_packet
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench

CASES = [(simulator, {"link_bits": 16, "data_output": True}) for simulator in SIMULATORS] + [
    ("icarus", {"link_bits": 16, "data_output": False}),
    ("icarus", {"link_bits": 24, "data_output": True}),
]


@pytest.mark.parametrize(("simulator", "parameters"), CASES, ids=str)
def test_testbench(simulator: str, parameters: dict[str, Any]) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    run_testbench(ConfigReceiver(**parameters), "tb_config_receiver", simulator, parameters=parameters)


@pytest.mark.parametrize("link_bits", [15, 65, 16.0, True])
def test_refusals(link_bits: Any) -> None:
    message = f"ConfigReceiver link_bits must be a whole number from 16 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        ConfigReceiver(link_bits=link_bits)


def test_no_data_port() -> None:
    assert "data" in ConfigReceiver(link_bits=16).signature.members
    assert "data" not in ConfigReceiver(link_bits=16, data_output=False).signature.members


def test_packet() -> None:
    assert config_packet(0x101, 2, [7, 8]) == [0x10101, 0x10002, 0x10002, 0x10007, 0x10008]
    assert config_packet(1, 2, [], link_bits=20) == [0x100001, 0x100002, 0x100000]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0x10000, 0, []), "A packet's unit must be from 0 to 65535, not 65536"),
        ((0, -1, []), "A packet's address must be from 0 to 65535, not -1"),
        ((0, 0, [0] * 65536), "A packet's count of words must be from 0 to 65535, not 65536"),
        ((0, 0, [3, 65536]), "A packet's word must be from 0 to 65535, not 65536"),
    ],
)
def test_packet_refusals(arguments: tuple[int, int, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config_packet(*arguments)
