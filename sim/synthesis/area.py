"""Areas of a mapped block: cells, memories and macros apart, each module with its instances."""

from dataclasses import dataclass
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.macros import MacroFigures, Macros
from ohmweave.sim.synthesis.mapped import Memory, Module, Synthesised
from ohmweave.sim.synthesis.scaling import check_node, nand2_area

__all__ = ["Areas", "ModuleArea", "Process", "areas", "process_of"]

#: Process of libraries by what their names begin with, nm.
KNOWN_NODES = {
    "nangate": 45, "freepdk45": 45, "sky130": 130, "sg13g2": 130, "asap7": 7, "osu018": 180, "gf180": 180,
    "osu035": 350,
}  # fmt: skip


@dataclass(frozen=True)
class Process:
    """Where the macros of a block stand.

    node_nm  that their figures are scaled to; None: each stays at its own, and is counted in NAND2 of that
    """

    node_nm: float | None

    def figures(self, figures: MacroFigures) -> MacroFigures:
        """A macro's figures at the node."""
        return figures if self.node_nm is None else figures.at(self.node_nm)

    def area(self, figures: MacroFigures) -> float:
        """Its area in the unit of the library."""
        if self.node_nm is None:
            return figures.area_um2 / nand2_area(figures.node_nm)
        return figures.at(self.node_nm).area_um2


def process_of(library: Library, node_nm: float | None = None) -> Process:
    """The node of a library: as it is given, or as its name says.

    Raises `OhmweaveError` where neither tells, or for a node that no factor leads to.
    """
    if library.unit == "NAND2":
        if node_nm is not None:
            raise OhmweaveError("--node goes with --liberty: unit gates have no process node")
        return Process(None)
    if node_nm is None:
        name = library.name.lower()
        node_nm = next((node for start, node in KNOWN_NODES.items() if name.startswith(start)), None)
        if node_nm is None:
            raise OhmweaveError(
                f"the process node of the library {library.name!r} is not known: give it with --node NM"
            )
    check_node(node_nm)
    return Process(float(node_nm))


@dataclass(frozen=True)
class ModuleArea:
    """One instance of a module, without the modules in it, and how many there are."""

    name: str
    instances: int
    logic: float
    memory: float
    macro: float
    cells: int

    @property
    def area(self) -> float:
        return self.logic + self.memory + self.macro


@dataclass(frozen=True)
class Areas:
    """Areas of a block in `unit`; modules with the largest share first."""

    unit: str
    modules: tuple[ModuleArea, ...]

    @property
    def logic(self) -> float:
        return sum(module.instances * module.logic for module in self.modules)

    @property
    def memory(self) -> float:
        return sum(module.instances * module.memory for module in self.modules)

    @property
    def macro(self) -> float:
        return sum(module.instances * module.macro for module in self.modules)

    @property
    def total(self) -> float:
        return self.logic + self.memory + self.macro

    def record(self) -> dict[str, Any]:
        """As `area.json` has it."""
        return {
            "unit": self.unit,
            "logic": self.logic,
            "memory": self.memory,
            "macro": self.macro,
            "total": self.total,
            "modules": [
                {
                    "name": module.name,
                    "instances": module.instances,
                    "area": module.area,
                    "logic": module.logic,
                    "memory": module.memory,
                    "macro": module.macro,
                    "cells": module.cells,
                }
                for module in self.modules
            ],
        }


def areas(synthesised: Synthesised, library: Library, macros: Macros, process: Process) -> Areas:
    """Areas of all modules of a block."""
    instances = synthesised.instances()
    found = [
        ModuleArea(
            name=name,
            instances=instances[name],
            logic=_logic(module, library),
            memory=sum(
                process.area(macros.memory(memory.width, memory.depth, memory.ports, process.node_nm))
                for memory in kept_memories(module)
            ),
            macro=sum(
                count * process.area(macros.macro(synthesised.macros[kind]))
                for kind, count in module.macros.items()
            ),
            cells=sum(count for kind, count in module.cells.items() if kind in library.cells),
        )
        for name, module in synthesised.modules.items()
    ]
    found.sort(key=lambda module: (-module.instances * module.area, module.name))
    return Areas(library.unit, tuple(found))


def kept_memories(module: Module) -> list[Memory]:
    """The memories of a module that are macros."""
    return [memory for memory in module.memories if memory.kind == "macro"]


def _logic(module: Module, library: Library) -> float:
    return sum(
        count * library.cells[kind].area for kind, count in module.cells.items() if kind in library.cells
    )
