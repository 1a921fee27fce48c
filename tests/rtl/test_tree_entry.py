"""TreeEntry: refusals, and its testbench."""

import re
from typing import Any

import pytest

from ohmweave.rtl.network.tree_entry import TreeEntry, entry_unit
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT
from ohmweave.testbench.runner import available, run_testbench


@pytest.mark.parametrize(("simulator", "link_bits"), [("verilator", 16), ("icarus", 16), ("icarus", 32)])
def test_testbench(simulator: str, link_bits: int) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    run_testbench(
        TreeEntry(link_bits=link_bits), "tb_tree_entry", simulator, parameters={"link_bits": link_bits}
    )


@pytest.mark.parametrize("link_bits", [15, 65, None])
def test_refusals(link_bits: Any) -> None:
    message = f"TreeEntry link_bits must be a whole number from 16 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TreeEntry(link_bits=link_bits)


def test_units_are_behind_those_of_nodes() -> None:
    """Of the largest chip: 85 nodes, and as many entries as PEs."""
    assert entry_unit(0) >= FIRST_NODE_UNIT + 1 + 4 + 16 + 64
    assert entry_unit(255) < 2**16
