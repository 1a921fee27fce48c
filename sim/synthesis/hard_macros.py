"""Timing of what is not made of cells: memories and macros, at the library's process."""

from collections.abc import Callable, Mapping
from typing import Any

from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.macros import MacroFigures, Macros
from ohmweave.sim.synthesis.mapped import MEMORY_CELL
from ohmweave.sim.synthesis.scaling import delay_factor
from ohmweave.sim.synthesis.timing_records import Hard

__all__ = ["hard_macros"]

#: FO4 of the cells of SG13G2 as measured (docs/synthesis.md), ns, and their node: what unit gates count in.
FO4_NS, FO4_NODE = 0.0614, 130


def hard_macros(
    library: Library, macros: Macros, process: Process, models: Mapping[str, object]
) -> Callable[[str, Mapping[str, Any]], Hard | None]:
    """What static timing asks about cells that the library has not.

    An array has as many cycles for a read as the netlist gives it, so that each of them takes its share of the access
    time. Inputs have to be there as early before the edge as those of a flip-flop: nobody cites other times.
    """
    setup = min((_setup(library, name) for name, cell in library.cells.items() if cell.is_ff), default=0.0)

    def time(figures: MacroFigures, cycles: int = 1) -> float:
        if process.node_nm is not None:
            return process.figures(figures).access_ns / cycles
        fo4 = FO4_NS * delay_factor(FO4_NODE, figures.node_nm)
        return figures.access_ns / fo4 / cycles

    def hard(kind: str, cell: Mapping[str, Any]) -> Hard | None:
        if kind == MEMORY_CELL:
            parameters = {name: _number(value) for name, value in cell["parameters"].items()}
            ports = parameters["RD_PORTS"] + parameters["WR_PORTS"]
            figures = macros.memory(parameters["WIDTH"], parameters["SIZE"], ports, process.node_nm)
            through = frozenset() if parameters["RD_CLK_ENABLE"] else frozenset({"RD_ADDR"})
            return Hard(time(figures), setup, through)
        model = models.get(kind)
        if isinstance(model, (ArrayParams, CacheArrayParams)):
            return Hard(time(macros.macro(model), model.read_cycles), setup)
        return None

    return hard


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
