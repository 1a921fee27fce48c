"""Copies of a chain below the entries of the distribution tree (Re-ReRAM, section VI: the dispatch unit enters it)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_entry import EntryData, EntryRegister, entry_unit
from ohmweave.sim.program import Program, packets

__all__ = ["by_entries", "copies_below", "first_pes", "with_entries"]


def copies_below(copies: int, block: int, params: GroupParams) -> tuple[int, ...]:
    """How many of the copies, on blocks of so many PEs, each entry has below it: as even as can be.

    Blocks that are larger than what is below an entry get their flits by the entry above their first PE.
    """
    below = params.entry_pes
    step = max(1, block // below)
    each, more = divmod(copies, params.entries // step)
    return tuple(0 if entry % step else each + (entry // step < more) for entry in range(params.entries))


def first_pes(counts: Sequence[int], block: int, params: GroupParams) -> list[int]:
    """First PE of each copy, where `counts` of them are below the entries."""
    below = params.entry_pes
    return [entry * below + copy * block for entry, count in enumerate(counts) for copy in range(count)]


def by_entries(program: Program, counts: Sequence[int]) -> Program:
    """The program with its frames dealt out by the entries, `counts` copies by each."""
    told = {entry: {EntryRegister.OPEN: EntryData.POINT} for entry, count in enumerate(counts) if count}
    return with_entries(program, told, counts)


def with_entries(program: Program, told: Mapping[int, Mapping[int, int]], counts: Sequence[int]) -> Program:
    """The program with what some entries are told, address → word, and so many copies that get frames by each.

    What opens an entry stands behind everything else, so that no data overtake any of it.
    """
    flits: list[int] = []
    opening: list[int] = []
    for entry, writes in told.items():
        rest = [write for write in writes.items() if write[0] != EntryRegister.OPEN]
        flits += packets(entry_unit(entry), rest)
        opening += packets(entry_unit(entry), [(EntryRegister.OPEN, writes[EntryRegister.OPEN])])
    config = np.concatenate([program.config, np.array(flits + opening, program.config.dtype)])
    return replace(program, config=config, entry_copies=tuple(counts))
