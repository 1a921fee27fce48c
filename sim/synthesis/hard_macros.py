"""Timing of what is not made of cells: memories and macros, at the library's process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.macro_liberty import clock_to_data
from ohmweave.sim.synthesis.macros import MacroFigures, Macros
from ohmweave.sim.synthesis.mapped import MEMORY_CELL
from ohmweave.sim.synthesis.scaling import delay_factor
from ohmweave.sim.synthesis.timing_records import Hard

__all__ = ["HardMacros"]

#: FO4 of the cells of SG13G2 as measured (docs/synthesis.md), ns, and their node: what unit gates count in.
FO4_NS, FO4_NODE = 0.0614, 130


@dataclass(frozen=True)
class HardMacros:
    """What static timing asks about cells that the library has not.

    models  kind of cell → the array that it is
    """

    library: Library
    macros: Macros
    process: Process
    models: Mapping[str, object]

    def reads(self, kind: str) -> tuple[float, int] | None:
        """Access time of an array, and the cycles that the netlist gives a read; None: it is none."""
        model = self.models.get(kind)
        if not isinstance(model, (ArrayParams, CacheArrayParams)):
            return None
        return self._access(self.macros.macro(model)), model.read_cycles

    def at(self, period: float) -> Callable[[str, Mapping[str, Any]], Hard | None]:
        """Times at a clock of this period, of which a read takes all its cycles but the rest of the last.

        Inputs have to be there as early before the edge as those of a flip-flop: nobody cites other times.
        """
        setup = min(
            (_setup(self.library, name) for name, cell in self.library.cells.items() if cell.is_ff),
            default=0.0,
        )

        def hard(kind: str, cell: Mapping[str, Any]) -> Hard | None:
            if kind == MEMORY_CELL:
                parameters = {name: _number(value) for name, value in cell["parameters"].items()}
                ports = parameters["RD_PORTS"] + parameters["WR_PORTS"]
                width, depth = parameters["WIDTH"], parameters["SIZE"]
                figures = self.macros.memory(width, depth, ports, self.process.node_nm)
                through = frozenset() if parameters["RD_CLK_ENABLE"] else frozenset({"RD_ADDR"})
                return Hard(self._access(figures), setup, through)
            read = self.reads(kind)
            return None if read is None else Hard(clock_to_data(*read, period), setup)

        return hard

    def _access(self, figures: MacroFigures) -> float:
        """In the library's unit of time."""
        if self.process.node_nm is not None:
            return self.process.figures(figures).access_ns
        return figures.access_ns / (FO4_NS * delay_factor(FO4_NODE, figures.node_nm))


def _number(value: object) -> int:
    """A parameter in Yosys' JSON: bits as text where it has 32 of them or fewer, or a number."""
    if isinstance(value, int):
        return value
    bits = str(value)
    return int(bits, 2) if bits and set(bits) <= {"0", "1"} else 0


def _setup(library: Library, name: str) -> float:
    tables = (
        table
        for arc in library.cells[name].arcs
        if arc.kind == "setup"
        for table in (arc.rise, arc.fall)
        if table is not None
    )
    return max((float(table.at(0.0, 0.0)) for table in tables), default=0.0)
