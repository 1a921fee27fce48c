"""How the maps of a section's copies come to those of the next: whole frames in turn, through frame buffers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm

from ohmweave.rtl.network.tree_entry import EntryData, entry_writes
from ohmweave.sim.entries import with_entries
from ohmweave.sim.mapping.cut import Cut
from ohmweave.sim.mapping.regions import Region
from ohmweave.sim.mapping.times import stream_flits
from ohmweave.sim.program import Program

__all__ = ["by_sections"]


@dataclass
class _Port:
    """What an entry, and the exit beside it, is told; as in `entry_writes`."""

    opened: int = EntryData.ABOVE
    sources: Sequence[int] = ()
    in_turn: int = 0
    targets: Sequence[int] = ()
    out_turn: int = 0


def by_sections(
    program: Program, sections: Sequence[Sequence[Cut]], regions: Sequence[Sequence[Region]]
) -> Program:
    """The program with its copies' entries and exits opened.

    Copy c of C gets the maps c, c + C, … from the copies before, each of which makes every so manyth of them.
    """
    ports = [_Port() for _ in range(program.params.entries)]
    for region in regions[0]:
        ports[region.entry].opened = EntryData.POINT
    for cuts, before, after in zip(sections, regions, regions[1:], strict=False):
        turn = stream_flits(cuts[0].output, program.params.pe)
        for copy, region in enumerate(before):
            port = ports[region.exit]
            port.targets = [after[each].entry for each in _in_turn(copy, len(before), len(after))]
            port.out_turn = turn
        for copy, region in enumerate(after):
            port = ports[region.entry]
            port.opened = EntryData.BUFFERS
            port.sources = [before[each].exit for each in _in_turn(copy, len(after), len(before))]
            port.in_turn = turn
    told = {
        number: entry_writes(
            opened=port.opened,
            exit=bool(port.targets),
            sources=port.sources,
            in_turn=port.in_turn,
            targets=port.targets,
            out_turn=port.out_turn,
        )
        for number, port in enumerate(ports)
    }
    hosts = {region.entry for region in regions[0]}
    return with_entries(program, told, [int(entry in hosts) for entry in range(program.params.entries)])


def _in_turn(copy: int, copies: int, others: int) -> list[int]:
    """Which of the others make, or take, the maps of a copy, one after the other until it begins again."""
    return [(copy + turn * copies) % others for turn in range(lcm(copies, others) // copies)]
