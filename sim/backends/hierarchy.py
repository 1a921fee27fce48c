"""Cuts a netlist's RTLIL into the parts that CXXRTL translates separately."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Part", "Port", "black_box", "mangle", "partition", "ports", "repeated", "split_modules"]

_MODULE = re.compile(r"^(?:attribute [^\n]*\n)*module \\(\S+)\n.*?^end\n", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell \\(\S+) ", re.MULTILINE)
_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) ", re.MULTILINE)
_PORT = re.compile(r"^  wire (?:width (\d+) )?(input|output) \d+\s+(?:signed )?\\(\S+)$", re.MULTILINE)

#: Bits of memory that make a shared module large.
LARGE_MEMORY = 1024
#: Cells that a shared module would add to its parent beyond its own if each of its instances were flattened: many
#: copies of the same lane make C++ that takes compilers minutes.
LARGE_COPIES = 1000


@dataclass(frozen=True)
class Port:
    """One port of a module; `name` without RTLIL's backslash."""

    name: str
    width: int
    output: bool


@dataclass(frozen=True)
class Part:
    """What is translated together: module `top`, flattened but for the parts and macros below it."""

    top: str
    modules: tuple[str, ...]
    children: tuple[str, ...]
    macros: tuple[str, ...]


def split_modules(rtlil: str) -> dict[str, str]:
    """Text of each module by name, attributes included."""
    return {match[1]: match[0] for match in _MODULE.finditer(rtlil)}


def ports(text: str) -> list[Port]:
    """Ports of a module."""
    return [
        Port(name=name, width=int(width or 1), output=direction == "output")
        for width, direction, name in _PORT.findall(text)
    ]


def repeated(modules: Mapping[str, str], part: Part) -> list[str]:
    """Children that a part has several instances of."""
    count = Counter(_CELL.findall("".join(modules[name] for name in part.modules)))
    return [child for child in part.children if count[child] > 1]


def partition(
    modules: Mapping[str, str], top: str, shared: Collection[str], macros: Collection[str]
) -> list[Part]:
    """Parts of the design, children before parents.

    A shared module becomes a part of its own if there is a macro or a large memory in it: a tile, or a buffer that
    waits for one, large and often idle; or if its parent has many instances of it, as of the lanes of a vector. What
    is smaller is flattened into its parent, where it costs less than the comparison of its inputs would, and does not
    come between the combinational paths of its parent.
    """
    cells = {name: set(_CELL.findall(text)) for name, text in modules.items()}
    below: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in below:
            below[name] = {name}.union(*(reach(cell) for cell in cells[name] if cell in modules))
        return below[name]

    def large(name: str) -> bool:
        memory = sum(
            int(width) * int(size)
            for module in reach(name)
            for width, size in _MEMORY.findall(modules[module])
        )
        return memory >= LARGE_MEMORY or any(cells[module] & set(macros) for module in reach(name))

    # Copies beside large modules are the nodes of the networks between these: ready paths through a node lead both
    # ways, which would be feedback between parts.
    networks = {
        parent for parent, inside in cells.items() if any(large(cell) for cell in inside & set(shared))
    }
    instances = [Counter(_CELL.findall(text)) for name, text in modules.items() if name not in networks]

    def copied(name: str) -> bool:
        size = sum(modules[module].count("\n  cell ") for module in reach(name))
        most = max((count[name] for count in instances), default=0)
        return (most - 1) * size >= LARGE_COPIES

    lanes = {name for name in shared if copied(name)}
    cut = {name for name in shared if name != top and (large(name) or reach(name) & lanes)}
    parts: dict[str, Part] = {}

    def add(name: str) -> None:
        inside: dict[str, None] = {}
        children: dict[str, None] = {}
        pending = [name]
        while pending:
            module = pending.pop()
            if module in inside:
                continue
            inside[module] = None
            for cell in sorted(cells[module]):
                if cell in cut:
                    children[cell] = None
                elif cell in modules:
                    pending.append(cell)
        used = set().union(*(cells[module] for module in inside)) & set(macros)
        for child in children:
            if child not in parts:
                add(child)
        parts[name] = Part(name, tuple(inside), tuple(children), tuple(sorted(used)))

    add(top)
    return list(parts.values())


def black_box(name: str, module_ports: Iterable[Port], mealy: Collection[str]) -> str:
    """RTLIL of a black box for CXXRTL; all outputs but those in `mealy` change at a clock edge only."""
    lines = ["attribute \\cxxrtl_blackbox 1", "attribute \\blackbox 1", f"module \\{name}"]
    for number, port in enumerate(module_ports):
        if port.output:
            lines.append(f"  attribute \\cxxrtl_{'comb' if port.name in mealy else 'sync'} 1")
        elif port.name == "clk":
            lines.append('  attribute \\cxxrtl_edge "p"')
        direction = "output" if port.output else "input"
        lines.append(f"  wire width {port.width} {direction} {number} \\{port.name}")
    return "\n".join([*lines, "end", ""])


def mangle(name: str) -> str:
    """CXXRTL's C++ name of a public RTLIL name."""
    return "p_" + "".join(
        "__" if char == "_" else char if char.isalnum() else f"_{ord(char):02x}_" for char in name
    )
