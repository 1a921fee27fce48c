"""A block on silicon: from its name to its areas and its critical path, and the files that say so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ohmweave import __version__
from ohmweave.config import Architecture
from ohmweave.sim.npz import write_files
from ohmweave.sim.synthesis.area import Areas, Process, areas, process_of
from ohmweave.sim.synthesis.blocks import block_source
from ohmweave.sim.synthesis.cell_energy import check_powers
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.flow import DEFAULT_THRESHOLD, Progress, synthesise
from ohmweave.sim.synthesis.hard_macros import HardMacros
from ohmweave.sim.synthesis.library import load_library, unit_gates
from ohmweave.sim.synthesis.macros import Macros, load_macros
from ohmweave.sim.synthesis.mapped import Synthesised
from ohmweave.sim.synthesis.read_timing import timing_with_reads
from ohmweave.sim.synthesis.timing import Path as TimingPath
from ohmweave.sim.synthesis.timing import Timing
from ohmweave.sim.synthesis.tool import find_tool
from ohmweave.sim.synthesis.treemap import drawings
from ohmweave.sim.synthesis.treemap_areas import area_tree

__all__ = ["UNIT_FO4_NS", "Silicon", "silicon", "write_silicon"]

#: FO4 of NanGate45's inverters as measured, ns: what an FO4 of the unit gates is taken for where ns are asked for.
UNIT_FO4_NS = 0.022


@dataclass(frozen=True)
class Silicon:
    """All about a mapped block."""

    arch: str
    block: str
    settings: tuple[str, ...]
    library: Library
    macros: Macros
    process: Process
    synthesised: Synthesised
    areas: Areas
    timing: Timing

    @property
    def fo4_ns(self) -> float:
        return UNIT_FO4_NS if self.library.unit == "NAND2" else self.library.fo4_ns

    @property
    def area_unit(self) -> str:
        """As people read it."""
        return "NAND2" if self.library.unit == "NAND2" else "µm²"

    def ns(self, delay: float) -> float:
        """A delay of the library in ns."""
        return delay * self.fo4_ns if self.library.unit == "NAND2" else delay

    def record(self) -> dict[str, Any]:
        """What `area.json` holds."""
        path = self.timing.critical_path_ns
        ns = self.ns(path)
        return {
            "arch": self.arch,
            "block": self.block,
            "set": list(self.settings),
            "library": self.library.name,
            **self.areas.record(),
            "critical_path_ns": ns,
            "critical_path_fo4": ns / self.fo4_ns,
            "fmax_mhz": 1e3 / ns if ns else None,
            "fo4_ns": self.fo4_ns,
            "critical_path": self._path(self.timing.longest),
            "paths": {kind: self._path(found) for kind, found in self.timing.groups.items()},
            "node_nm": self.process.node_nm,
            "macros": self.macros.name,
            "memory_threshold_bits": self.synthesised.memory_threshold_bits,
            "memories": self._memories(),
            "tool": self.synthesised.tool,
            "version": __version__,
        }

    def _path(self, path: TimingPath | None) -> dict[str, Any] | None:
        if path is None:
            return None
        steps = [
            {
                "instance": step.instance, "cell": step.cell, "from": step.pins[0], "to": step.pins[1],
                "delay_ns": self.ns(step.delay_ns), "load_ff": step.load_ff, "buffers": step.buffers,
            }
            for step in path.steps
        ]  # fmt: skip
        return {
            "module": path.module, "start": path.start, "end": path.end, "delay_ns": self.ns(path.delay_ns),
            "setup_ns": self.ns(path.setup_ns), "steps": steps,
        }  # fmt: skip

    def _memories(self) -> list[dict[str, Any]]:
        instances = self.synthesised.instances()
        return [
            {
                "module": name, "name": memory.name, "width": memory.width, "depth": memory.depth,
                "read_ports": memory.read_ports, "write_ports": memory.write_ports, "kind": memory.kind,
                "instances": instances[name],
            }
            for name, module in self.synthesised.modules.items()
            for memory in module.memories
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """What the screen says below the table."""
        record = self.record()
        threshold = self.synthesised.memory_threshold_bits
        found = [
            f"memories with {threshold} bits or more are macros, the others flip-flops; macros from {self.macros.name}"
            + ("" if self.process.node_nm is None else f", scaled to {self.process.node_nm:g} nm")
        ]
        path = self.timing.longest
        if path is not None:
            found.append(
                f"critical path {record['critical_path_ns']:.3f} ns ({record['critical_path_fo4']:.1f} FO4 of "
                f"{self.fo4_ns:.4g} ns), {record['fmax_mhz']:.0f} MHz without wires and clock tree"
            )
            cells = f"{len(path.steps)} cells in {path.module}"
            found.append(f"  from {path.start} to {path.end}, through {cells}")
        return found


def silicon(
    architecture: Architecture,
    block: str,
    *,
    settings: Sequence[str] = (),
    liberty: Sequence[Path] = (),
    dont_use: Sequence[str] = (),
    node_nm: float | None = None,
    macro_table: Path | None = None,
    memory_threshold_bits: int = DEFAULT_THRESHOLD,
    tool_name: str | None = None,
    limit_bytes: int | None = None,
    powers: bool = False,
    progress: Progress | None = None,
) -> Silicon:
    """Synthesise a block; the options are those of `ohmweave synth`.

    powers  whether the cells must have energies

    Raises `OhmweaveError`, one sentence, for whatever does not fit, before anything takes long where that can be.
    """
    source = block_source(architecture, block, settings)
    tool = find_tool(tool_name)
    macros = load_macros(macro_table)
    library = load_library(liberty) if liberty else unit_gates()
    process = process_of(library, node_nm)
    if powers:
        check_powers(library)
    if progress is not None:
        progress("netlist", 0, 0)
    synthesised = synthesise(
        source.design(),
        library,
        memory_threshold_bits=memory_threshold_bits,
        dont_use=dont_use,
        tool=tool,
        limit_bytes=limit_bytes,
        progress=progress,
    )
    if progress is not None:
        progress("timing", 0, 0)
    hard = HardMacros(library, macros, process, synthesised.macros)
    return Silicon(
        arch=architecture.name,
        block=block,
        settings=tuple(settings),
        library=library,
        macros=macros,
        process=process,
        synthesised=synthesised,
        areas=areas(synthesised, library, macros, process),
        timing=timing_with_reads(synthesised.netlists(), synthesised.top, library, hard),
    )


def write_silicon(result: Silicon, out: Path, more: Mapping[str, str | bytes] | None = None) -> list[Path]:
    """Write `area.json` and the treemap into a folder, which is made if it is missing; return the files.

    more  files by name that are written with them, or not at all
    """
    record = result.record()
    unit = result.area_unit
    tree = area_tree(result.synthesised, result.areas)
    title = f"{result.block} of {result.arch} on {result.library.name}: {record['total']:,.0f} {unit}"
    files = {"area.json": json.dumps(record, indent=2) + "\n"} | drawings("area", tree, title, unit)
    return write_files(out, files | dict(more or {}))
