"""A library as timing sees it: edges of each cell by number, and what stands for all that is not in the netlist."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ohmweave.sim.synthesis.cells import Arc, Cell, Library, Table
from ohmweave.sim.synthesis.timing_tables import Tables

__all__ = ["RISE", "CellEdges", "Edge", "Surroundings", "TimingLibrary"]

RISE, FALL = 0, 1
#: Inverters that load a port, and steps of a tree of buffers.
PORT_FANOUT, TREE_STEPS = 4, 4


@dataclass(frozen=True)
class Edge:
    """An edge at pin `source` makes one at pin `target`: numbers of the tables of its delay and slew."""

    source: str
    source_edge: int
    target: str
    target_edge: int
    delay: int
    slew: int


@dataclass(frozen=True)
class Check:
    """An edge at `pin` has to be there before the clock's by what table `table` says."""

    pin: str
    edge: int
    table: int


@dataclass(frozen=True)
class CellEdges:
    """Edges through a cell, those from its clock, and its setup times; `capacitances` of its inputs."""

    through: tuple[Edge, ...]
    clocked: tuple[Edge, ...]
    checks: tuple[Check, ...]
    capacitances: Mapping[str, float]


@dataclass(frozen=True)
class Surroundings:
    """What is outside of a module, and of the clock.

    slew_ns        of inputs and of the clock: that in a chain of inverters with a fan-out of four
    load_ff        of each output: four inverters
    buffer_ns      delay and slew of a buffer by the load that it drives, at the fan-outs of `buffer_loads`
    """

    slew_ns: float
    load_ff: float
    buffer_ff: float
    buffer_loads: np.ndarray
    buffer_ns: np.ndarray
    buffer_slews: np.ndarray

    def tree(self, load: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A tree of buffers of `steps` levels before `load`, of the same fan-out at each.

        Gives the load of the driver, the delay of the buffers and the slew behind them.
        """
        fanout = np.maximum(load / self.buffer_ff, 1.0) ** (1 / (steps + 1))
        driven = fanout * self.buffer_ff
        delay = steps * np.interp(driven, self.buffer_loads, self.buffer_ns)
        return driven, delay, np.interp(driven, self.buffer_loads, self.buffer_slews)


class TimingLibrary:
    """Edges of all cells, and the tables that they name."""

    def __init__(self, library: Library):
        self.library = library
        self._numbers: dict[int, int] = {}
        self._tables: list[Table] = []
        self.cells = {name: self._edges(cell) for name, cell in library.cells.items()}
        self.tables = Tables(self._tables)
        self.around = _surroundings(library)
        # Of the smallest flip-flop: what macros have for a setup time, whose own is not known.
        self.setup_ns = self._setup()

    def _number(self, table: Table) -> int:
        # Tables are shared by cells as they were read.
        if id(table) not in self._numbers:
            self._numbers[id(table)] = len(self._tables)
            self._tables.append(table)
        return self._numbers[id(table)]

    def _edges(self, cell: Cell) -> CellEdges:
        through: list[Edge] = []
        clocked: list[Edge] = []
        checks: list[Check] = []
        for arc in cell.arcs:
            if arc.kind == "setup":
                for edge, table in ((RISE, arc.rise), (FALL, arc.fall)):
                    if table is not None:
                        checks.append(Check(arc.target, edge, self._number(table)))
            # Transparent latches count as registers: nothing is borrowed through them.
            elif arc.kind == "edge":
                clocked += self._pairs(arc, (RISE if arc.rising else FALL,))
            elif arc.kind == "combinational" and not cell.is_latch and not cell.is_ff:
                through += self._pairs(arc, (RISE, FALL))
        inputs = {name: cell.pins[name].capacitance for name in cell.inputs}
        return CellEdges(tuple(through), tuple(clocked), tuple(checks), inputs)

    def _pairs(self, arc: Arc, sources: tuple[int, ...]) -> list[Edge]:
        """Which edge makes which, with the tables of the target's."""
        found = []
        tables = ((RISE, arc.rise, arc.rise_slew), (FALL, arc.fall, arc.fall_slew))
        for target, delay, slew in tables:
            for source in sources:
                possible = (
                    arc.kind == "edge"
                    or arc.sense == "none"
                    or (arc.sense == "positive") == (source == target)
                )
                if delay is not None and possible:
                    # A table of slews may be missing where nobody was expected to ask.
                    number = self._number(delay)
                    follow = self._number(slew) if slew is not None else number
                    found.append(Edge(arc.source, source, arc.target, target, number, follow))
        return found

    def _setup(self) -> float:
        registers = [cell for cell in self.library.cells.values() if cell.is_ff and cell.usable]
        first = min(registers, key=lambda cell: (cell.area, cell.name))
        slew = np.array([self.around.slew_ns])
        found = [
            self.tables.at(np.array([check.table]), slew, slew)[0] for check in self.cells[first.name].checks
        ]
        return max([0.0, *map(float, found)])


def _chain(cell: Cell, load: float) -> tuple[float, float]:
    """Delay, mean of both edges, and slew in a chain of one gate, each with the load."""
    arc = next(arc for arc in cell.arcs if arc.kind == "combinational")
    turns = arc.sense == "negative"
    assert arc.rise is not None
    assert arc.fall is not None
    assert arc.rise_slew is not None
    assert arc.fall_slew is not None
    rise = fall = 0.0
    for _ in range(20):
        before = (fall, rise) if turns else (rise, fall)
        rise, fall = arc.rise_slew.at(before[0], load), arc.fall_slew.at(before[1], load)
    before = (fall, rise) if turns else (rise, fall)
    return (arc.rise.at(before[0], load) + arc.fall.at(before[1], load)) / 2, (rise + fall) / 2


def _surroundings(library: Library) -> Surroundings:
    inverter = library.smallest("!A")
    assert inverter is not None, "checked when the library was read"
    unit = inverter.pins[inverter.inputs[0]].capacitance
    _, slew = _chain(inverter, PORT_FANOUT * unit)
    best: tuple[float, Surroundings] | None = None
    for cell in library.cells.values():
        # Of a library without buffers two inverters do; the delay of one counts twice.
        if not cell.usable or not (cell.is_gate("A") or (cell is inverter)):
            continue
        times = 1 if cell is not inverter else 2
        own = cell.pins[cell.inputs[0]].capacitance
        if own <= 0 or not any(arc.kind == "combinational" for arc in cell.arcs):
            continue
        loads = own * np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
        figures = np.array([_chain(cell, load) for load in loads])
        found = Surroundings(slew, PORT_FANOUT * unit, own, loads, times * figures[:, 0], figures[:, 1])
        # The one with which the smallest inverter drives 64 like it fastest.
        delay = min(
            _chain(inverter, float(driven[0]))[0] + float(more[0])
            for driven, more, _ in (found.tree(np.array([64 * unit]), steps) for steps in range(1, 4))
        )
        if best is None or delay < best[0]:
            best = delay, found
    assert best is not None
    return best[1]
