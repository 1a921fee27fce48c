"""TreeEntry: refusals, and its testbench."""

import re
from typing import Any

import pytest

from ohmweave.rtl.network.tree_entry import EntryRegister, TreeEntry, entry_unit, entry_writes
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(("simulator", "link_bits"), [("verilator", 16), ("icarus", 16), ("icarus", 32)])
def test_testbench(simulator: str, link_bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    run_testbench(
        TreeEntry(link_bits=link_bits), "tb_tree_entry", simulator, parameters={"link_bits": link_bits}
    )


@pytest.mark.parametrize(
    ("simulator", "exits", "side"),
    [("verilator", 16, "frames"), ("icarus", 4, "entry"), ("icarus", 2, "frames"), ("icarus", 256, "frames")],
)
def test_exits(simulator: str, exits: int, side: str) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    parameters = {"link_bits": 16, "exits": exits}
    run_testbench(
        TreeEntry(**parameters), "tb_tree_entry", simulator, parameters={**parameters, "side": side}
    )


@pytest.mark.parametrize("exits", [1, 257, -1, True, None])
def test_refused_exits(exits: Any) -> None:
    message = f"TreeEntry exits must be a whole number from 2 to 256, not {exits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TreeEntry(link_bits=16, exits=exits)


@pytest.mark.parametrize("link_bits", [15, 65, None])
def test_refusals(link_bits: Any) -> None:
    message = f"TreeEntry link_bits must be a whole number from 16 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TreeEntry(link_bits=link_bits)


def test_units_are_behind_those_of_nodes() -> None:
    """Of the largest chip: 85 nodes, and as many entries as PEs."""
    assert entry_unit(0) >= FIRST_NODE_UNIT + 1 + 4 + 16 + 64
    assert entry_unit(255) < 2**16


def test_writes() -> None:
    """In this order: what opens comes last."""
    assert list(entry_writes(opened=1).items()) == [(1, 0), (0, 1)]
    writes = entry_writes(opened=2, exit=True, sources=[3, 255], in_turn=65535, targets=[0] * 16, out_turn=1)
    first = [(2, 65535), (3, 2), (16, 3), (17, 255), (4, 1), (5, 16), *((32 + n, 0) for n in range(16))]
    assert list(writes.items()) == [*first, (1, 1), (0, 2)]
    assert writes[EntryRegister.OPEN] == 2
    assert list(entry_writes(opened=0, exit=True, targets=[7], out_turn=9)) == [4, 5, 32, 1, 0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"opened": 3}, "What an entry is opened to must be a whole number from 0 to 2, not 3"),
        ({"opened": True}, "What an entry is opened to must be a whole number from 0 to 2, not True"),
        ({"sources": []}, "The number of an entry's sources must be a whole number from 1 to 16, not 0"),
        (
            {"sources": [1] * 17},
            "The number of an entry's sources must be a whole number from 1 to 16, not 17",
        ),
        ({"in_turn": 0}, "The turn of an entry's sources must be a whole number from 1 to 65535, not 0"),
        (
            {"in_turn": 65536},
            "The turn of an entry's sources must be a whole number from 1 to 65535, not 65536",
        ),
        ({"sources": [256]}, "Each of an entry's sources must be a whole number from 0 to 255, not 256"),
        ({"targets": [0, -1]}, "Each of an entry's targets must be a whole number from 0 to 255, not -1"),
        ({"targets": ()}, "The number of an entry's targets must be a whole number from 1 to 16, not 0"),
        ({"out_turn": 1.5}, "The turn of an entry's targets must be a whole number from 1 to 65535, not 1.5"),
        ({"opened": 1}, "An entry's sources must be none where it has no turns, not [1, 2]"),
        ({"exit": False}, "An entry's targets must be none where it has no turns, not [3]"),
    ],
)
def test_refused_writes(changed: dict[str, Any], message: str) -> None:
    accepted: dict[str, Any] = {
        "opened": 2, "exit": True, "sources": [1, 2], "in_turn": 7, "targets": [3], "out_turn": 9,
    }  # fmt: skip
    assert entry_writes(**accepted)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        entry_writes(**accepted | changed)
