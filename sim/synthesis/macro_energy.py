"""What macros did in the recorded windows, times the cited energy of each operation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ohmweave.params import ArrayParams
from ohmweave.sim.synthesis.flat import Box, Flat
from ohmweave.sim.synthesis.macros import MacroFigures, Macros
from ohmweave.sim.synthesis.mapped import MEMORY_CELL
from ohmweave.sim.synthesis.replay import count_ones

__all__ = ["Operations", "operations"]

PJ = 1e-12
WORD = 64
#: All cycles of a window but the last, which none follows.
_PAIRS = np.uint64((1 << (WORD - 1)) - 1)
_SIZES = ("WIDTH", "SIZE", "ABITS", "RD_PORTS", "WR_PORTS")


@dataclass
class Operations:
    """Macros of one kind, all together: how many there are, and their reads and writes in a cycle."""

    figures: MacroFigures
    count: int = 0
    reads: float = 0.0
    writes: float = 0.0

    def add(self, other: "Operations") -> None:
        self.count += other.count
        self.reads += other.reads
        self.writes += other.writes

    @property
    def energy(self) -> float:
        """J of a cycle."""
        return (self.reads * self.figures.read_energy_pj + self.writes * self.figures.write_energy_pj) * PJ

    def watts(self, frequency_hz: float) -> float:
        return self.energy * frequency_hz + self.count * self.figures.leakage_w


def number(value: object) -> int:
    """A parameter as Yosys writes it: binary digits, or a number."""
    return value if isinstance(value, int) else int(str(value), 2)


def _ones(values: np.ndarray) -> float:
    """Share of the cycles in which any of the rows is 1."""
    if not len(values):
        return 0.0
    together = np.bitwise_or.reduce(values, axis=0)
    return float(count_ones(together[None, :])[0]) / (WORD * values.shape[1])


def operations(
    flat: Flat,
    values: np.ndarray,
    models: Mapping[str, object],
    macros: Macros,
    node_nm: float | None = None,
) -> dict[tuple[int, str], Operations]:
    """(Number of a module, kind of macro) → what those in it did; kinds of memories are "memory WIDTH×DEPTH".

    values  of all nets, in words of 64 cycles
    models  name → what each macro is made from
    node_nm where the memories' figures are going to be used, as `Macros.memory` takes it
    """
    found: dict[tuple[int, str], Operations] = {}
    for box in flat.boxes:
        kind, pins = box.kind, box.pins
        if kind == MEMORY_CELL:
            name, one = _memory(box, values, macros, node_nm)
        elif isinstance(models.get(kind), ArrayParams):
            name = kind
            model = models[kind]
            assert isinstance(model, ArrayParams)
            one = Operations(
                macros.crossbar(model), 1, _ones(values[pins["start"]]), _ones(values[pins["write"]])
            )
        elif kind in models:
            name, one = kind, Operations(macros.macro(models[kind]), 1)
        else:
            continue
        found.setdefault((box.module, name), Operations(one.figures)).add(one)
    return found


def _memory(box: Box, values: np.ndarray, macros: Macros, node_nm: float | None) -> tuple[str, Operations]:
    """A memory: a port reads when it is enabled, and one without a clock when its address changes."""
    pins, sizes = box.pins, {name: number(box.parameters[name]) for name in _SIZES}
    width, depth = sizes["WIDTH"], sizes["SIZE"]
    ports = max(1, sizes["RD_PORTS"] + sizes["WR_PORTS"])
    one = Operations(macros.memory(width, depth, ports, node_nm), 1)
    clocked, address = number(box.parameters["RD_CLK_ENABLE"]), sizes["ABITS"]
    for port in range(sizes["RD_PORTS"]):
        if clocked >> port & 1:
            one.reads += _ones(values[pins["RD_EN"][port : port + 1]])
        else:
            nets = pins["RD_ADDR"][port * address : (port + 1) * address]
            one.reads += _ones((values[nets] ^ (values[nets] >> np.uint64(1))) & _PAIRS)
    for port in range(sizes["WR_PORTS"]):
        one.writes += _ones(values[pins["WR_EN"][port * width : (port + 1) * width]])
    return f"memory {width}×{depth}", one
