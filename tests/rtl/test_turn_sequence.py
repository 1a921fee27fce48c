"""TurnSequence: refusals, and its testbench."""

import re
from typing import Any

import pytest

from ohmweave.rtl.network.turn_sequence import TurnSequence
from ohmweave.testbench.runner import available, run_testbench

PARAMETERS = {"numbers": 16, "turn": 2, "count": 3, "table": 16}


@pytest.mark.parametrize(
    ("simulator", "changed"),
    [
        ("verilator", {}),
        ("verilator", {"numbers": 2}),
        ("verilator", {"numbers": 256, "table": 65520, "turn": 0}),
        ("icarus", {"numbers": 4}),
    ],
)
def test_testbench(simulator: str, changed: dict[str, int]) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = PARAMETERS | changed
    run_testbench(TurnSequence(**parameters), "tb_turn_sequence", simulator, parameters=parameters)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("numbers", 1, "2 to 256"),
        ("numbers", 257, "2 to 256"),
        ("numbers", True, "2 to 256"),
        ("turn", -1, "0 to 65535"),
        ("turn", 65536, "0 to 65535"),
        ("count", 2.0, "0 to 65535"),
        ("table", 65521, "0 to 65520"),
    ],
)
def test_refusals(name: str, value: Any, accepted: str) -> None:
    message = f"TurnSequence {name} must be a whole number from {accepted}, not {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TurnSequence(**PARAMETERS | {name: value})
