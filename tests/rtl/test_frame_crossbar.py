"""FrameCrossbar: refusals, and its testbench."""

import re
from typing import Any

import pytest

from ohmweave.rtl.network.frame_crossbar import FrameCrossbar
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(
    ("simulator", "entries", "link_bits"), [("verilator", 4, 16), ("icarus", 16, 64), ("icarus", 2, 1)]
)
def test_testbench(simulator: str, entries: int, link_bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = {"entries": entries, "link_bits": link_bits}
    assert (
        run_testbench(FrameCrossbar(**parameters), "tb_frame_crossbar", simulator, parameters=parameters) == 2
    )


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("entries", 1, "2 to 256"),
        ("entries", 257, "2 to 256"),
        ("entries", None, "2 to 256"),
        ("link_bits", 0, "1 to 64"),
        ("link_bits", 65, "1 to 64"),
    ],
)
def test_refusals(name: str, value: Any, accepted: str) -> None:
    message = f"FrameCrossbar {name} must be a whole number from {accepted}, not {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        FrameCrossbar(**{"entries": 4, "link_bits": 16} | {name: value})
