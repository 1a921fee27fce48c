"""A whole network on a chip: how often, on which PEs, over which links."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.allocate import Allocation, Step, allocated, quicker
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.kept import kept_layout
from ohmweave.sim.mapping.layout import Layout
from ohmweave.sim.mapping.program import compile_mapped, piece_plan
from ohmweave.sim.mapping.regions import Region, regions, started
from ohmweave.sim.mapping.sections import Division, divisions
from ohmweave.sim.mapping.times import longest, piece_times, stream_flits
from ohmweave.sim.program import Program

__all__ = ["AIMS", "INTERVAL", "LATENCY", "Choice", "Mapped", "mapped", "whole_run"]

#: What PEs are for: images that follow each other soon, and then, if any are left, a short way for each.
INTERVAL, LATENCY = "interval", "latency"
AIMS = (INTERVAL, LATENCY)

#: The copies of a section.
Cuts = tuple[Cut, ...]


@dataclass(frozen=True, eq=False)
class Mapped:
    """A network on a chip: one section, or several one behind the other, each in some copies side by side.

    sections  the copies of each
    layout    where their pieces stand, and over which links their streams go
    link      cycles that an image takes on the busiest of the links into the chip and out of it
    steps     in which PEs were shared out to the stages; none where there are several sections
    regions   of the copies of several sections; none of a single section
    """

    params: GroupParams
    sections: tuple[Cuts, ...]
    layout: Layout
    link: int
    steps: tuple[Step, ...] = ()
    regions: tuple[tuple[Region, ...], ...] = ()

    @property
    def copies(self) -> int:
        """Images that enter side by side."""
        return len(self.sections[0])

    @property
    def pieces(self) -> list[Piece]:
        return [piece for cuts in self.sections for cut in cuts for piece in cut.pieces]

    @property
    def interval(self) -> float:
        """Cycles from image to image that the slowest stage, or a link of the host or between sections, allows."""
        maps = [
            stream_flits(stream, self.params.pe) / len(cuts)
            for cuts in self.sections
            for stream in (cuts[0].image, cuts[0].output)
            if len(self.sections) > 1
        ]
        return max(self.link, *maps, *(_slowest(cuts, self.params) for cuts in self.sections))

    def program(self) -> Program:
        return compile_mapped(self.sections, self.layout, self.params, regions=self.regions)


def _slowest(cuts: Sequence[Cut], params: GroupParams) -> float:
    """Cycles from image to image of a section."""
    return longest(piece_times(piece, params.pe) for piece in cuts[0].pieces).longest / len(cuts)


@dataclass(frozen=True)
class Choice:
    """A way to have the network on the chip, which is laid out if it is taken."""

    interval: float
    pes: int
    lay_out: Callable[[], Mapped]


def mapped(graph: Graph, params: GroupParams, copies: int | None = 1, *, aim: str = INTERVAL) -> Mapped:
    """The network on the chip, as a whole so many times; None: in the way in which images follow each other soonest,
    which may be in sections of different numbers of copies.

    aim  one of `AIMS`; PEs of sections are for the interval alone

    `OhmweaveError` says why not all of its stages can be on the chip at once, or how many PEs are missing.
    """
    if aim not in AIMS:
        raise OhmweaveError(f"the aim must be one of {', '.join(AIMS)}, not {aim!r}")
    choices = _of_copies(graph, params, copies, aim)
    if copies is None and params.exit_flits:
        choices += [
            Choice(division.interval, division.pes, partial(_laid_out_sections, graph, params, division))
            for division in divisions(graph, params)
            if len(division.runs) > 1
        ]
    choices.sort(key=lambda choice: (choice.interval, choice.pes))
    for choice in choices:
        try:
            return choice.lay_out()
        except OhmweaveError:
            if len(choices) == 1:
                raise
    raise OhmweaveError(f"{graph.name} has more streams between its stages than the mesh has links")


def _of_copies(graph: Graph, params: GroupParams, copies: int | None, aim: str) -> list[Choice]:
    """The whole network, so many times, or as many times as it fits."""
    counts = [1 << bit for bit in range(params.pes.bit_length())] if copies is None else [copies]
    choices: list[Choice] = []
    for count in counts:
        if params.pes % count:
            raise OhmweaveError(
                f"copies of {graph.name} must divide the {params.pes} PEs of the chip, which {count} do not"
            )
        try:
            choices.append(_whole(graph, params, count, aim))
        except OhmweaveError:
            if not choices:
                raise
            break
    return choices


def whole_run(graph: Graph, params: GroupParams, run: tuple[int, int], aim: str = INTERVAL) -> Choice:
    """A run of a network's stages, (first, behind the last), on the chip as a whole; `OhmweaveError` if too large."""
    return _whole(graph, params, 1, aim, run)


def _whole(
    graph: Graph, params: GroupParams, count: int, aim: str, run: tuple[int, int] | None = None
) -> Choice:
    """All stages, or a run of them, so many times."""
    allocation = allocated(graph, params.pe, params.pes // count, run)
    _check(allocation.cut, params)
    output, image = allocation.cut.output, allocation.cut.image
    ways = min(count, params.entries)
    link = max(stream_flits(output, params.pe), -(-stream_flits(image, params.pe) // ways))
    interval = max(allocation.interval / count, link)
    lay_out = partial(_laid_out_copies, params, allocation, count, link, aim)
    return Choice(interval, count * len(allocation.cut.pieces), lay_out)


def _laid_out_copies(params: GroupParams, start: Allocation, count: int, link: int, aim: str) -> Mapped:
    allocations = quicker(start, params.pe, params.pes // count) if aim == LATENCY else iter((start,))
    for allocation in allocations:
        cuts = allocation.cuts(count)
        # Several copies get their images by the entries, each of which has a part of the tree below it.
        entered = params.entry_pes if count > 1 else params.pes
        try:
            _check(allocation.cut, params)
            layout = _in_blocks(cuts, range(params.pes // count), entered)
        except OhmweaveError:
            if allocation is start:
                raise
            continue
        return Mapped(params, (cuts,), layout, link, allocation.steps)
    raise AssertionError("the allocation that others begin with is the last of them")


def _laid_out_sections(graph: Graph, params: GroupParams, division: Division) -> Mapped:
    """Sections of different numbers of copies."""
    sections = tuple(run.cuts(graph, params) for run in division.runs)
    for cuts in sections:
        _check(cuts[0], params)
    places = regions(sections, params)
    begin, allowed = started(sections, places, params)
    pieces = [piece for cuts in sections for cut in cuts for piece in cut.pieces]
    layout = kept_layout(pieces, range(params.pes), allowed, begin)
    link = stream_flits(sections[-1][0].output, params.pe)
    return Mapped(params, sections, layout, link, regions=tuple(map(tuple, places)))


def _check(cut: Cut, params: GroupParams) -> None:
    """Refuse what no PE can do."""
    for piece in cut.pieces:
        piece_plan(piece, params)


def _in_blocks(cuts: Sequence[Cut], block: range, entered: int) -> Layout:
    """Copies on blocks of PEs, laid out alike; images come to no more than the first `entered` PEs of a block."""
    first = cuts[0]
    # The first PEs of a block that a node of the tree has all below it: it sends the image to all of them at once.
    below = 1
    while below * RADIX <= min(len(block), entered):
        below *= RADIX
    readers = [piece for piece in first.pieces if piece.reads(first.image)]
    if len(readers) > below:
        raise OhmweaveError(
            f"the image goes to {len(readers)} pieces, and a branch of the tree to {below} PEs"
        )
    allowed = dict.fromkeys(readers, block[:below])
    return kept_layout(first.pieces, block, allowed).repeated(cuts, len(block))
