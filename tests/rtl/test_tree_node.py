"""TreeNode: refusals, its registers, and its testbench on one node and on a tree 1-4-16."""

import re
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.rtl.flit import MAX_TURN, flit_stream
from ohmweave.rtl.network.tree_node import (
    FIRST_NODE_UNIT,
    RADIX,
    NodeRegister,
    TreeNode,
    node_writes,
)
from ohmweave.testbench.runner import SIMULATORS, available, run_testbench


class Tree(Component):
    """A root with four nodes below it, with the ports of one node of 16 children."""

    down: In(flit_stream(16))
    down_o: Out(flit_stream(16)).array(RADIX**2)
    up_i: In(flit_stream(16)).array(RADIX**2)
    up_o: Out(flit_stream(16))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.root = root = TreeNode(link_bits=16)
        m.d.comb += root.unit.eq(FIRST_NODE_UNIT)
        connect(m, flipped(self.down), root.down)
        connect(m, root.up_o, flipped(self.up_o))
        for n in range(RADIX):
            m.submodules[f"node_{n}"] = node = TreeNode(link_bits=16)
            m.d.comb += node.unit.eq(FIRST_NODE_UNIT + 1 + n)
            connect(m, root.down_o[n], node.down)
            connect(m, node.up_o, root.up_i[n])
            for k in range(RADIX):
                connect(m, node.down_o[k], flipped(self.down_o[RADIX * n + k]))
                connect(m, flipped(self.up_i[RADIX * n + k]), node.up_i[k])
        return m


@pytest.mark.parametrize(
    ("simulator", "levels", "registered_ready"),
    [("verilator", 2, False), ("icarus", 2, False), ("icarus", 1, False), ("icarus", 1, True)],
)
def test_testbench(simulator: str, levels: int, registered_ready: bool) -> None:
    assert simulator in SIMULATORS
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    tree = Tree() if levels == 2 else TreeNode(link_bits=16, registered_ready=registered_ready)
    run_testbench(tree, "tb_tree_node", simulator, parameters={"levels": levels})


@pytest.mark.parametrize("link_bits", [15, 65, None])
def test_refusals(link_bits: Any) -> None:
    message = f"TreeNode link_bits must be a whole number from 16 to 64, not {link_bits!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        TreeNode(link_bits=link_bits)


def test_node_writes() -> None:
    none = {register + n: 0 for register in (NodeRegister.TURN, NodeRegister.DEAL) for n in range(RADIX)}
    assert node_writes(children=[0, 3], select=2) == {0: 0b1001, NodeRegister.SELECT: 3} | none
    assert node_writes(children=iter([1, 1])) == {0: 0b0010, NodeRegister.SELECT: 0} | none
    assert node_writes(select=1, turns={1: 7, 3: MAX_TURN}) == {0: 0, 1: 2} | none | {3: 7, 5: MAX_TURN}
    assert node_writes(children=[2], deals={0: 9, 2: 8}) == {0: 0b0100, 1: 0} | none | {6: 9, 8: 8}
    for children in ([], [0, 1]):
        message = f"A node's children must be one where they take turns, not {children}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            node_writes(children=children, deals={0: 9, 1: 8})


@pytest.mark.parametrize("length", [0, MAX_TURN + 1])
def test_turns_refused(length: int) -> None:
    message = f"The turn of a node's child must be a whole number from 1 to {MAX_TURN}, not {length}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        node_writes(select=0, turns={0: length})
    with pytest.raises(ValueError, match=f"^{message}$"):
        node_writes(children=[0], deals={0: length})


@pytest.mark.parametrize(
    "arguments", [{"children": [0, 4]}, {"select": 4}, {"turns": {4: 1}}, {"deals": {4: 1}}]
)
def test_node_writes_refusals(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^A node's child must be from 0 to 3, not 4$"):
        node_writes(**arguments)
