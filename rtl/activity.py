"""What a PE does in a cycle, and which of its links move a flit: what is counted of a chip that runs."""

import enum

from amaranth.lib import data

from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_node import RADIX

__all__ = [
    "LINKS", "NODE_LINKS", "STATES", "ActivityLayout", "PEActivity", "PEState", "link_numbers", "tree_nodes",
]  # fmt: skip


class PEState(enum.IntEnum):
    """What a PE does in a cycle: the first of these that is so. As a number its bit in `PEActivity`.

    READ       the array reads, or holds sums that are not taken
    COMPUTE    the arithmetic half executes an instruction: requantisation, pooling, whatever the program says
    OUTPUT     a flit of the PE's own, or a vector for the sender, is there and is not taken
    NEIGHBOUR  an instruction waits for partial sums, or for the second operand, which others send
    INPUT      nothing of this: the PE waits for pixels, or for its turn to let a frame in
    OFF        the stage is not enabled; none of the bits
    """

    READ = 0
    COMPUTE = 1
    OUTPUT = 2
    NEIGHBOUR = 3
    INPUT = 4
    OFF = 5


#: States that have a bit.
STATES = tuple(state for state in PEState if state != PEState.OFF)
#: Links of a PE, in the order of their bits: to the neighbours, to the collection tree, from the distribution tree.
LINKS = ("north", "east", "south", "west", "collection", "tree")
#: Links of a node of the trees: from above, and upward.
NODE_LINKS = ("down", "up")


class PEActivity(data.StructLayout):
    """One bit of `state` is 1, bit n for `PEState` n, and none of a PE that is off.

    A bit of `flits` says that a flit of data goes over the link in this cycle; configuration does not count.
    """

    def __init__(self) -> None:
        super().__init__({"state": len(STATES), "flits": len(LINKS)})


def tree_nodes(params: GroupParams) -> int:
    """Nodes of each of the trees."""
    return (RADIX**params.levels - 1) // (RADIX - 1)


def link_numbers(params: GroupParams) -> int:
    """How many numbers the links of a group have: 6n … 6n + 5 are those of PE n, then two of each node follow.

    The numbers of links to neighbours that are not there stand for nothing.
    """
    return len(LINKS) * params.pes + len(NODE_LINKS) * tree_nodes(params)


class ActivityLayout(data.StructLayout):
    """Of a group: its PEs, then `NODE_LINKS` of the nodes of the trees, in the order of their unit numbers."""

    def __init__(self, params: GroupParams):
        nodes = tree_nodes(params)
        super().__init__(
            {
                "pes": data.ArrayLayout(PEActivity(), params.pes),
                **({"nodes": data.ArrayLayout(len(NODE_LINKS), nodes)} if nodes else {}),
            }
        )
