"""A whole network on a chip: how often, on which PEs, over which links."""

from collections.abc import Sequence
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.allocate import Allocation, allocated
from ohmweave.sim.mapping.layout import Layout, laid_out
from ohmweave.sim.mapping.program import compile_mapped, piece_plan
from ohmweave.sim.mapping.times import stream_flits
from ohmweave.sim.program import Program

__all__ = ["Mapped", "mapped"]


@dataclass(frozen=True, eq=False)
class Mapped:
    """Copies of a network side by side, each on a block of PEs and laid out alike.

    copies      that take images in turn
    allocation  how one of them is cut into pieces
    layout      where these stand in the first block
    link        cycles that an image takes on the busiest of the links into the chip and out of it
    """

    params: GroupParams
    copies: int
    allocation: Allocation
    layout: Layout
    link: int

    @property
    def interval(self) -> float:
        """Cycles from image to image that the slowest stage, or the host's link, allows."""
        return max(self.allocation.interval / self.copies, self.link)

    @property
    def block(self) -> int:
        """PEs of a copy's block."""
        return self.params.pes // self.copies

    def program(self) -> Program:
        return compile_mapped(self.allocation.cut, self.layout, self.params, copies=self.copies)


def mapped(graph: Graph, params: GroupParams, copies: int | None = 1) -> Mapped:
    """The network on the chip, so many times; None: as many times as images follow each other soonest.

    `OhmweaveError` says why not all of its stages can be on the chip at once, or how many PEs are missing.
    """
    counts = [1 << bit for bit in range(params.pes.bit_length())] if copies is None else [copies]
    choices: list[tuple[float, int, int, Allocation, int]] = []
    for count in counts:
        if params.pes % count:
            raise OhmweaveError(
                f"copies of {graph.name} must divide the {params.pes} PEs of the chip, which {count} do not"
            )
        try:
            allocation = allocated(graph, params.pe, params.pes // count)
            for piece in allocation.cut.pieces:
                piece_plan(piece, params)  # refuses what no PE can do
        except OhmweaveError:
            if not choices:
                raise
            break
        output, image = allocation.cut.output, allocation.cut.image
        ways = min(count, params.entries)
        link = max(stream_flits(output, params.pe), -(-stream_flits(image, params.pe) // ways))
        pes = count * len(allocation.cut.pieces)
        choices.append((max(allocation.interval / count, link), pes, count, allocation, link))
    for _, _, count, allocation, link in sorted(choices, key=lambda choice: choice[:3]):
        block = range(params.pes // count)
        try:
            layout = laid_out(allocation.cut, block, _entry(block))
        except OhmweaveError:
            if len(choices) == 1:
                raise
            continue
        return Mapped(params, count, allocation, layout, link)
    raise OhmweaveError(f"{graph.name} has more streams between its stages than the mesh has links")


def _entry(block: Sequence[int]) -> Sequence[int]:
    """The first PEs of a block that a node of the tree has all below it: it sends the image to all of them at once."""
    below = 1
    while below * RADIX <= len(block):
        below *= RADIX
    return block[:below]
