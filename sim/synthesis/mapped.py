"""Modules that are mapped onto cells: what they hold, and the netlist itself."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["MEMORY_CELL", "Memory", "Module", "Synthesised", "read_module", "write_module"]

#: Type of a cell that is a memory; its size and ports are in its parameters.
MEMORY_CELL = "$mem_v2"
NETLIST_FILE, FACTS_FILE = "netlist.json.gz", "module.json"


@dataclass(frozen=True)
class Memory:
    """A memory of the RTL, `depth` words of `width` bits; `kind`: "macro" or "flip-flops"."""

    name: str
    width: int
    depth: int
    read_ports: int
    write_ports: int
    kind: str

    @property
    def bits(self) -> int:
        return self.width * self.depth

    @property
    def ports(self) -> int:
        return self.read_ports + self.write_ports


@dataclass(frozen=True)
class Module:
    """A mapped module.

    cells     type → how many it has itself
    children  module → how often it instantiates that
    macros    macro → how often
    memories  all of them; those that are macros are cells of the type MEMORY_CELL in the netlist
    path      its netlist, as Yosys writes it in JSON, with nothing in it that timing and power do not read
    """

    name: str
    cells: Mapping[str, int]
    children: Mapping[str, int]
    macros: Mapping[str, int]
    memories: tuple[Memory, ...]
    path: Path

    def netlist(self) -> dict[str, Any]:
        """Its ports, cells and names of nets."""
        return _read(self.path)


@lru_cache(maxsize=8)
def _read(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rt") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


@dataclass(frozen=True)
class Synthesised:
    """A mapped block.

    modules  name → module, children before parents; equal ones stand once
    macros   name → what the macro is made from
    memory_threshold_bits  memories with as many bits or more are macros
    tool     which Yosys, with its version
    cpu_seconds, peak_bytes  of all runs of it together, of the largest; 0 where everything was found in the cache
    """

    top: str
    modules: Mapping[str, Module]
    macros: Mapping[str, object]
    memory_threshold_bits: int
    tool: str
    cpu_seconds: float
    peak_bytes: int

    def instances(self) -> dict[str, int]:
        """How often each module is in the block."""
        count: Counter[str] = Counter({self.top: 1})
        for name, module in reversed(list(self.modules.items())):
            for child, times in module.children.items():
                count[child] += times * count[name]
        return {name: count[name] for name in self.modules}

    def netlists(self) -> dict[str, dict[str, Any]]:
        """All netlists."""
        return {name: module.netlist() for name, module in self.modules.items()}


def write_module(
    folder: Path,
    name: str,
    netlist: Mapping[str, Any],
    children: Mapping[str, int],
    macros: Mapping[str, int],
    memories: tuple[Memory, ...],
) -> None:
    """Write what Yosys made of a module into a folder of the cache."""
    known = {*children, *macros}
    cells = Counter(cell["type"] for cell in netlist["cells"].values())
    kept = {
        "attributes": {},
        "ports": {
            port: {key: record[key] for key in ("direction", "bits")}
            for port, record in netlist["ports"].items()
        },
        "cells": dict(_slim_cells(netlist["cells"])),
        "netnames": {
            net: {"hide_name": record["hide_name"], "bits": record["bits"], "attributes": {}}
            for net, record in netlist["netnames"].items()
            if not record["hide_name"]
        },
    }
    with gzip.open(folder / NETLIST_FILE, "wt", compresslevel=1) as stream:
        # As one text: json.dump would write it bit by bit.
        stream.write(json.dumps(kept, separators=(",", ":")))
    facts = {
        "name": name,
        "cells": {kind: count for kind, count in sorted(cells.items()) if kind not in known},
        "children": dict(children),
        "macros": dict(macros),
        "memories": [asdict(memory) for memory in memories],
    }
    (folder / FACTS_FILE).write_text(json.dumps(facts))


def _slim_cells(cells: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for instance, cell in cells.items():
        kept = {"hide_name": 0, "type": cell["type"], "parameters": {}, "attributes": {}}
        kept |= {"connections": cell["connections"]}
        if cell["type"] == MEMORY_CELL:
            kept["parameters"] = cell["parameters"]
        if "port_directions" in cell:
            kept["port_directions"] = cell["port_directions"]
        yield instance, kept


def read_module(folder: Path) -> Module:
    """What `write_module` wrote."""
    facts = json.loads((folder / FACTS_FILE).read_text())
    facts["memories"] = tuple(Memory(**memory) for memory in facts["memories"])
    return Module(**facts, path=folder / NETLIST_FILE)
