"""Entries of the distribution tree: what they were told, and the register that each of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_entry import EntryRegister, entry_unit
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import N_OFFERED, N_TAKEN

__all__ = ["EntrySettings", "below_entries", "enter", "entry_settings", "entry_tables", "offers"]

# Registers: a flit is offered, and was taken; data that are left at the entry point.
(E_OFFERED, E_TAKEN, E_LEFT) = range(3)
ENTRY_STATE = 3
# Settings: as in `EntrySettings`, the row of the node above and the place there, all data, flits of a frame.
(E_OPENED, E_FIRST, E_SETTLED, E_PARENT, E_CHILD, E_DATA, E_FLITS) = range(7)
ENTRY_CONFIG = 7


@dataclass(frozen=True)
class EntrySettings:
    """What an entry was told.

    opened   data come from the entry point, and no longer from above
    first    cycle from which on they are taken
    settled  cycle from which on they are taken by what is below
    """

    opened: bool
    first: int
    settled: int


def entry_settings(
    params: GroupParams,
    writes: Mapping[int, Sequence[tuple[int, int, int]]],
    end: int | None,
    flits: int,
    settling: int,
) -> list[EntrySettings]:
    """The entries of a chip that is sent so many configuration flits; none where there is but the root.

    writes    unit → (address, word, number of the flit)
    end       the unit that the last flit writes to, if it does
    settling  cycles from a configuration flit to data in a node
    """
    found = []
    last = flits - 1 + 2 * params.entry_level  # when the entries take the last flit
    for number in range(params.entries if params.entries > 1 else 0):
        unit = entry_unit(number)
        words = [value for address, value, _ in writes.get(unit, ()) if address == EntryRegister.OPEN]
        # Data wait behind a word for the entry, and behind one for a PE.
        leaf = params.entry_level == params.levels
        settled = last + 2 + (end == number) if leaf else last + 1 + settling
        opened = bool(words and words[-1] & 1)
        found.append(EntrySettings(opened, last + 1 + (end == unit), settled))
    return found


def below_entries(params: GroupParams) -> range:
    """The first PE below each of several entries."""
    return range(0, params.pes if params.entries > 1 else 0, params.pes // params.entries)


def entry_tables(
    params: GroupParams, told: Sequence[EntrySettings], rows: Mapping[tuple[int, int], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Registers and settings of the entries; `rows`: (level, index) → row of each node of the trees."""
    state = np.zeros((len(told), ENTRY_STATE), np.int64)
    settings = np.zeros((len(told), ENTRY_CONFIG), np.int64)
    for number, each in enumerate(told):
        above = rows[params.entry_level - 1, number // RADIX]
        settings[number, :E_DATA] = each.opened, each.first, each.settled, above, number % RADIX
    return state, settings


@process
def offers(e: np.ndarray, c: np.ndarray, cycle: int) -> int:
    """Whether what is below an entry finds a flit there that it may take."""
    return 1 if e[E_OFFERED] != 0 and cycle >= c[E_SETTLED] else 0


@process
def enter(e: np.ndarray, c: np.ndarray, nodes: np.ndarray, cycle: int) -> int:
    """An entry; when it takes a flit at the entry point, the number of that flit from 1 on, else 0."""
    free = e[E_OFFERED] == 0 or e[E_TAKEN] != 0
    e[E_TAKEN] = 0
    if not free:
        return 0
    e[E_OFFERED] = 0
    if c[E_OPENED] != 0:
        if e[E_LEFT] == 0 or cycle < c[E_FIRST]:
            return 0
        e[E_OFFERED] = 1
        e[E_LEFT] -= 1
        return c[E_DATA] - e[E_LEFT]
    above, child = c[E_PARENT], c[E_CHILD]
    if nodes[above, N_OFFERED] >> child & 1 != 0:
        nodes[above, N_TAKEN] |= 1 << child
        e[E_OFFERED] = 1
    return 0
