"""Entries of the distribution tree: what they were told, and the register that each of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.network.tree_entry import EntryData, EntryRegister, entry_unit
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.exits import (
    TURNS_CONFIG,
    TURNS_STATE,
    X_OFFERED,
    X_TAKEN,
    X_TOLD,
    X_TURNS,
    ExitSettings,
    Order,
    moves,
    order,
    turn_of,
)
from ohmweave.sim.cycle.state import N_OFFERED, N_TAKEN

__all__ = ["EntrySettings", "below_entries", "enter", "entry_settings", "entry_tables", "offers"]

# Registers: a flit is offered, and was taken; data that are left at the entry point; whose turn of buffers it is.
(E_OFFERED, E_TAKEN, E_LEFT, E_TURNS) = range(4)
ENTRY_STATE = E_TURNS + TURNS_STATE
# Settings: as in `EntrySettings`, the row of the node above and the place there, all data, flits of a frame, the turns.
(E_OPENED, E_FIRST, E_SETTLED, E_PARENT, E_CHILD, E_DATA, E_FLITS, E_TOLD) = range(8)
ENTRY_CONFIG = E_TOLD + TURNS_CONFIG


#: As a plain number, for the processes.
BUFFERS = int(EntryData.BUFFERS)


@dataclass(frozen=True)
class EntrySettings:
    """What an entry was told.

    opened   where data come from, an `EntryData`
    first    cycle from which on they are taken
    settled  cycle from which on they are taken by what is below
    sources  frame buffers that it takes from, where it does
    exit     the frame buffer beside it
    """

    opened: int
    first: int
    settled: int
    sources: Order
    exit: ExitSettings


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
        words = {address: value for address, value, _ in writes.get(unit, ())}
        # Data wait behind a word for the entry, and behind one for a PE.
        leaf = params.entry_level == params.levels
        settled = last + 2 + (end == number) if leaf else last + 1 + settling
        sources, targets = (
            order(words, flits=flits_of, count=count, table=table, entries=params.entries)
            for flits_of, count, table in (
                (EntryRegister.IN_TURN, EntryRegister.IN_COUNT, EntryRegister.IN_TABLE),
                (EntryRegister.OUT_TURN, EntryRegister.OUT_COUNT, EntryRegister.OUT_TABLE),
            )
        )
        leaves = bool(params.exit_flits and words.get(EntryRegister.EXIT, 0) & 1)
        first = last + 1 + (end == unit)
        found.append(
            EntrySettings(_data(words, params), first, settled, sources, ExitSettings(leaves, targets))
        )
    return found


def _data(words: Mapping[int, int], params: GroupParams) -> int:
    word = words.get(EntryRegister.OPEN, 0)
    if params.exit_flits and word & EntryData.BUFFERS:
        return EntryData.BUFFERS
    return EntryData(word & EntryData.POINT)


def below_entries(params: GroupParams) -> range:
    """The first PE below each of several entries."""
    return range(0, params.pes if params.entries > 1 else 0, params.entry_pes)


def entry_tables(
    params: GroupParams, told: Sequence[EntrySettings], rows: Mapping[tuple[int, int], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Registers and settings of the entries; `rows`: (level, index) → row of each node of the trees."""
    state = np.zeros((len(told), ENTRY_STATE), np.int64)
    settings = np.zeros((len(told), ENTRY_CONFIG), np.int64)
    for number, each in enumerate(told):
        above = rows[params.entry_level - 1, number // RADIX]
        settings[number, :E_DATA] = each.opened, each.first, each.settled, above, number % RADIX
        settings[number, E_TOLD:] = each.sources.settings
    return state, settings


@process
def offers(e: np.ndarray, c: np.ndarray, cycle: int) -> int:
    """Whether what is below an entry finds a flit there that it may take."""
    return 1 if e[E_OFFERED] != 0 and cycle >= c[E_SETTLED] else 0


@process
def enter(
    number: int, e: np.ndarray, c: np.ndarray, nodes: np.ndarray, exits: np.ndarray, exit_settings: np.ndarray,
    cycle: int,
) -> int:  # fmt: skip
    """An entry; when it takes a flit at the entry point, the number of that flit from 1 on, else 0."""
    free = e[E_OFFERED] == 0 or e[E_TAKEN] != 0
    e[E_TAKEN] = 0
    if not free:
        return 0
    e[E_OFFERED] = 0
    if c[E_OPENED] == BUFFERS:
        buffer = turn_of(e, E_TURNS, c, E_TOLD)
        x, told = exits[buffer], exit_settings[buffer]
        # A buffer whose flit another entry took in this cycle may be on that entry's turn no longer.
        free = x[X_OFFERED] != 0 and x[X_TAKEN] == 0 and cycle >= c[E_FIRST]
        if free and turn_of(x, X_TURNS, told, X_TOLD) == number:
            x[X_TAKEN] = 1
            e[E_OFFERED] = 1
            moves(x, X_TURNS, told, X_TOLD)
            moves(e, E_TURNS, c, E_TOLD)
        return 0
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
