"""Frame buffers behind the collection tree: what they were told, what each holds, and whose turn it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.network.turn_sequence import PLACES
from ohmweave.sim.cycle.compiled import process

__all__ = ["ExitSettings", "Order", "exit_tables", "leave", "moves", "numbers_of", "order", "turn_of"]

# Registers of a sequence of turns: place in its table, flits of the turn; its settings: flits of a turn, places, table.
(T_PLACE, T_MOVED, TURNS_STATE) = range(3)
(T_FLITS, T_COUNT, T_TABLE) = range(3)
TURNS_CONFIG = T_TABLE + PLACES
# Registers of a frame buffer: flits in its memory; the one behind that is offered, and was taken; whose turn it is.
(X_HELD, X_OFFERED, X_TAKEN, X_TURNS) = range(4)
EXIT_STATE = X_TURNS + TURNS_STATE
# Settings: whether it is open, flits of its memory, row of the node or PE below or -1, whether that is a PE, the turns.
(X_OPEN, X_DEPTH, X_ROW, X_LEAF, X_TOLD) = range(5)
EXIT_CONFIG = X_TOLD + TURNS_CONFIG


@dataclass(frozen=True)
class Order:
    """Whose turn it is: the numbers one after the other, in a circle, each for so many flits; 0: for ever."""

    numbers: tuple[int, ...]
    flits: int

    @property
    def settings(self) -> list[int]:
        """As in the rows of the tables."""
        return [self.flits, len(self.numbers), *self.numbers, *(0,) * (PLACES - len(self.numbers))]


@dataclass(frozen=True)
class ExitSettings:
    """What a frame buffer was told.

    opened   the branch of the collection tree beside the entry leaves into it
    targets  entries that it gives to
    """

    opened: bool
    targets: Order


def order(words: Mapping[int, int], *, flits: int, count: int, table: int, entries: int) -> Order:
    """What the registers at these addresses say of a chip with so many entries."""
    numbers = words.get(count, 0) % PLACES or PLACES
    return Order(
        tuple(words.get(table + place, 0) % entries for place in range(numbers)), words.get(flits, 0)
    )


def exit_tables(
    params: GroupParams,
    told: Sequence[ExitSettings],
    rows: Mapping[tuple[int, int], int],
    pes: Mapping[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Registers and settings of the frame buffers.

    told  one beside each entry; none where there are no frame buffers
    rows  (level, index) → row of each node of the trees
    pes   unit → row of each PE
    """
    state = np.zeros((len(told), EXIT_STATE), np.int64)
    settings = np.zeros((len(told), EXIT_CONFIG), np.int64)
    leaf = params.entry_level == params.levels
    for number, each in enumerate(told):
        below = pes.get(number, -1) if leaf else rows[params.entry_level, number]
        # One flit is behind the memory.
        settings[number, :X_TOLD] = each.opened, params.exit_flits - 1, below, leaf
        settings[number, X_TOLD:] = each.targets.settings
    return state, settings


def numbers_of(c: np.ndarray, told: int) -> list[int]:
    """All numbers of a sequence with its settings from `told` on."""
    numbers: list[int] = c[told + T_TABLE : told + T_TABLE + c[told + T_COUNT]].tolist()
    return numbers


@process
def turn_of(s: np.ndarray, at: int, c: np.ndarray, told: int) -> int:
    """Whose turn it is, of a sequence with its registers from `at` and its settings from `told` on."""
    return c[told + T_TABLE + s[at + T_PLACE]]


@process
def moves(s: np.ndarray, at: int, c: np.ndarray, told: int) -> None:
    """A flit of a sequence's turn was transferred; a turn of 0 flits has no end."""
    s[at + T_MOVED] += 1
    if s[at + T_MOVED] == c[told + T_FLITS]:
        s[at + T_MOVED] = 0
        s[at + T_PLACE] += 1
        if s[at + T_PLACE] == c[told + T_COUNT]:
            s[at + T_PLACE] = 0


@process
def leave(x: np.ndarray, c: np.ndarray, offered: int) -> int:
    """A frame buffer's cycle, after that of the entries; 1 if it takes the flit that its branch offers (`offered`)."""
    taken = 1 if offered != 0 and x[X_HELD] != c[X_DEPTH] else 0
    if x[X_HELD] != 0 and (x[X_OFFERED] == 0 or x[X_TAKEN] != 0):
        x[X_HELD] -= 1
        x[X_OFFERED] = 1
    elif x[X_TAKEN] != 0:
        x[X_OFFERED] = 0
    x[X_HELD] += taken
    x[X_TAKEN] = 0
    return taken
