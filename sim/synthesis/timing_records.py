"""Records of static timing: a netlist as a graph, and what stands for a module or a macro in one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["CLOCK", "Columns", "Graph", "Hard", "PortModel", "nodes_of"]

#: The node of the clock's edge; nodes 2 and 3 up are rise and fall of the nets, at 2 × number + edge.
CLOCK = 0


@dataclass(frozen=True)
class Hard:
    """What is not made of cells: a memory or an analog macro.

    access_ns  from the clock's edge to its outputs
    setup_ns   that its inputs have to be there before it
    through    inputs that reach the outputs without a clock, after `access_ns`
    """

    access_ns: float
    setup_ns: float
    through: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PortModel:
    """Timing of a module by its ports: the longest of all bits of a port.

    inputs, outputs  names
    capacitances     input → fF of each bit
    setups           inputs, ns to the registers behind them with their setup; -inf for none
    delays           (inputs + 1, outputs) from an input, and in the last row from the clock, to an output; -inf: none
    slews            of outputs
    resistances      of outputs, ns more for each fF more than the load that all outputs have
    slopes           the same of their slews
    widths           port → bits
    inside           longest path between two registers
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    capacitances: Mapping[str, np.ndarray]
    setups: np.ndarray
    delays: np.ndarray
    slews: np.ndarray
    resistances: np.ndarray
    slopes: np.ndarray
    inside: float


@dataclass
class Graph:
    """Edges, sorted by nothing yet, and what starts and ends paths.

    nodes      how many
    loads      fF of each net
    src, dst   nodes of each edge
    delay, slew  numbers of the tables, -1 for what is fixed
    fixed, fixed_slew  ns of those that are
    resistance, slope  of the fixed ones and their slews, ns/fF beyond the load of a port
    cell, pins  of each edge, for reports: number of the instance and of the pair of pins
    end_node, end_table, end_fixed, end_cell, end_pin
    """

    name: str
    nodes: int
    loads: np.ndarray
    instances: list[tuple[str, str]]
    pairs: list[tuple[str, str]]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    edges: dict[str, np.ndarray] = field(default_factory=dict)
    ends: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


class Columns:
    """Arrays that are added to piece by piece; what is missing of a piece is `default`."""

    def __init__(self, **defaults: float):
        self.defaults = defaults
        self.pieces: list[dict[str, Any]] = []

    def add(self, count: int, **values: Any) -> None:
        if count:
            self.pieces.append({"count": count} | values)

    def arrays(self) -> dict[str, np.ndarray]:
        found = {}
        for name, default in self.defaults.items():
            kind = np.int64 if isinstance(default, int) else np.float64
            parts = [np.broadcast_to(piece.get(name, default), piece["count"]) for piece in self.pieces]
            found[name] = np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)
        return found


def nodes_of(nets: np.ndarray) -> np.ndarray:
    """Both edges of nets, in turn."""
    return np.stack([2 * nets, 2 * nets + 1], axis=-1).ravel()
