"""TreeExit and its buffer: refusals, and their testbench."""

import re
from typing import Any

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.network.tree_exit import FrameBuffer, TreeExit
from ohmweave.testbench.runner import available, run_testbench

PARAMETERS = {"link_bits": 16, "depth": 16, "entries": 16}


@pytest.mark.parametrize(
    ("simulator", "changed"),
    [
        ("verilator", {}),
        ("verilator", {"depth": 1024, "entries": 256}),
        ("icarus", {"entries": 4, "depth": 64}),
        ("icarus", {"entries": 2, "link_bits": 64, "depth": 32}),
    ],
)
def test_testbench(simulator: str, changed: dict[str, int]) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = PARAMETERS | changed
    run_testbench(TreeExit(**parameters), "tb_tree_exit", simulator, parameters=parameters)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("link_bits", 15, "16 to 64"),
        ("link_bits", 65, "16 to 64"),
        ("entries", 1, "2 to 256"),
        ("entries", 257, "2 to 256"),
        ("entries", None, "2 to 256"),
    ],
)
def test_refusals(name: str, value: Any, accepted: str) -> None:
    message = f"TreeExit {name} must be a whole number from {accepted}, not {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TreeExit(**PARAMETERS | {name: value})


@pytest.mark.parametrize("depth", [0, 8, 24, 262144, 16.0, True])
def test_refused_depths(depth: Any) -> None:
    message = f"must be a power of two from 16 to 131072, not {depth!r}"
    with pytest.raises(OhmweaveError, match=f"^TreeExit depth {re.escape(message)}$"):
        TreeExit(**PARAMETERS | {"depth": depth})
    with pytest.raises(OhmweaveError, match=f"^FrameBuffer depth {re.escape(message)}$"):
        FrameBuffer(link_bits=16, depth=depth)


@pytest.mark.parametrize("link_bits", [0, 65])
def test_refused_words_of_the_buffer(link_bits: int) -> None:
    message = f"FrameBuffer link_bits must be a whole number from 1 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        FrameBuffer(link_bits=link_bits, depth=16)


def test_largest_buffer_is_accepted() -> None:
    assert FrameBuffer(link_bits=64, depth=131072).signature
