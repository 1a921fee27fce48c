"""The links of a chip that flits are counted on: their bits in a group's `activity`, and what people call them."""

from dataclasses import dataclass

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import LINKS, STATES, PEActivity, link_numbers
from ohmweave.rtl.group import STEPS, mesh_neighbour
from ohmweave.rtl.network.tree_node import RADIX

__all__ = ["Link", "links"]


@dataclass(frozen=True)
class Link:
    """A link between two units of a chip.

    source, target  what a report calls them: "PE 12", "node 1.3" (of level 1), "entry 2", "host"
    number          as the host selects it, one of `activity.link_numbers`
    bit             its bit in `ActivityLayout`
    """

    source: str
    target: str
    number: int
    bit: int

    @property
    def name(self) -> str:
        """As in `PE 12 -> PE 13`."""
        return f"{self.source} -> {self.target}"


def links(params: GroupParams) -> tuple[Link, ...]:
    """All links of a group, in the order of their bits: those of each PE, then those of each node of the trees.

    Of a PE those to its neighbours (north, east, south, west, where there are such), to the collection tree and from
    the distribution tree; of a node from above and upward. What comes from an entry, or leaves into a frame buffer, is
    called so.
    """
    named: list[tuple[str, str] | None] = []
    for unit in range(params.pes):
        for side in range(len(STEPS)):
            neighbour = mesh_neighbour(unit, side, params.side)
            named.append(None if neighbour is None else (f"PE {unit}", f"PE {neighbour}"))
        source, target = _above(params, params.levels, unit)
        named += [(f"PE {unit}", target), (source, f"PE {unit}")]
    for level in range(params.levels):
        for index in range(RADIX**level):
            source, target = _above(params, level, index)
            named += [(source, f"node {level}.{index}"), (f"node {level}.{index}", target)]
    numbered = zip(named, _bits(params), strict=True)
    return tuple(Link(*ends, number, bit) for number, (ends, bit) in enumerate(numbered) if ends is not None)


def _bits(params: GroupParams) -> list[int]:
    """The bit of each number in `ActivityLayout`."""
    size = PEActivity().size
    of_pes = [unit * size + len(STATES) + n for unit in range(params.pes) for n in range(len(LINKS))]
    of_nodes = range(params.pes * size, params.pes * size + link_numbers(params) - len(of_pes))
    return [*of_pes, *of_nodes]


def _above(params: GroupParams, level: int, index: int) -> tuple[str, str]:
    """What a node, or below the last level a PE, gets data from, and what it gives them to."""
    if not level:
        return "host", "host"
    node = f"node {level - 1}.{index // RADIX}"
    if params.entries == 1 or level != params.entry_level:
        return node, node
    return f"entry {index}", f"exit {index}" if params.exit_flits else node
