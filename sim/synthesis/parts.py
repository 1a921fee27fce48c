"""A netlist's modules one by one, as they go to synthesis: each distinct one once, with what it instantiates as
black boxes."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ohmweave.sim.backends.design import Design
from ohmweave.sim.backends.hierarchy import Port, ports, split_modules
from ohmweave.sim.cache import content_key
from ohmweave.sim.synthesis.mapped import Memory

__all__ = ["MEMORY_MACRO", "Part", "Parts", "split"]

#: Attribute of a memory that stays one.
MEMORY_MACRO = "ohmweave_macro"

# Where a line came from is of no use here; silicon has no initial values: what matters has a reset.
_NOISE = re.compile(
    r"^ *attribute \\(?:src|generator|top|init|amaranth\.\S+|enum_\S+|cxxrtl_\S+) [^\n]*\n", re.MULTILINE
)
_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) \\(\S+)$", re.MULTILINE)
_MEMORY_PORT = re.compile(
    r'^  cell \$mem(rd|wr)_v2 [^\n]*\n(?:    [^\n]*\n)*?    parameter \\MEMID "\\\\(\S+)"', re.MULTILINE
)
_CELL = re.compile(r"^(  cell )\\(\S+) ", re.MULTILINE)
_PORT_LINE = re.compile(r"^(  wire (?:width \d+ )?(?:input|output) )\d+( [^\n]*)\n\n?", re.MULTILINE)
_HEADER = re.compile(r"^module \\(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """A module for synthesis.

    name      of the module, and of those that are equal to it
    text      RTLIL
    children  modules that it instantiates, and how often
    macros    macros that it instantiates, and how often
    stubs     RTLIL of the ports of each of these
    memories  of its own
    """

    name: str
    text: str
    children: Mapping[str, int]
    macros: Mapping[str, int]
    stubs: Mapping[str, str]
    memories: tuple[Memory, ...]

    @property
    def size(self) -> int:
        """Roughly how much work it is to make gates of it."""
        return len(self.text)

    @property
    def key(self) -> str:
        """Hash of all that a synthesis of it reads but the cells."""
        return content_key(self.text, *self.stubs.values())


@dataclass(frozen=True)
class Parts:
    """The distinct modules of a netlist, children before parents; `merged` says which others are equal to which."""

    top: str
    modules: Mapping[str, Part]
    merged: Mapping[str, str]


def _stub(name: str, module_ports: list[Port]) -> str:
    lines = ["attribute \\blackbox 1", f"module \\{name}"]
    for number, port in enumerate(module_ports):
        direction = "output" if port.output else "input"
        lines.append(f"  wire width {port.width} {direction} {number} \\{port.name}")
    return "\n".join([*lines, "end", ""])


def _anonymous(text: str) -> str:
    """What a module does: its text without its name and without the order of its ports."""
    rest = _PORT_LINE.sub("", _HEADER.sub("module", text, count=1))
    return "\n".join([*sorted(f"{port[1]}{port[2]}" for port in _PORT_LINE.finditer(text)), rest])


def _memories(text: str, threshold: int) -> tuple[Memory, ...]:
    ports = Counter(_MEMORY_PORT.findall(text))
    return tuple(
        Memory(
            name=name,
            width=int(width),
            depth=int(depth),
            read_ports=ports["rd", name],
            write_ports=ports["wr", name],
            kind="macro" if int(width) * int(depth) >= threshold else "flip-flops",
        )
        for width, depth, name in _MEMORY.findall(text)
    )


def _mark(text: str, threshold: int) -> str:
    """Mark the memories with at least so many bits."""

    def marked(memory: re.Match[str]) -> str:
        large = int(memory[1]) * int(memory[2]) >= threshold
        return f"  attribute \\{MEMORY_MACRO} 1\n{memory[0]}" if large else memory[0]

    return _MEMORY.sub(marked, text)


def split(design: Design, memory_threshold_bits: int) -> Parts:
    """Cut a netlist into its distinct modules; memories with at least `memory_threshold_bits` bits stay memories."""
    texts = {name: _NOISE.sub("", text) for name, text in split_modules(design.rtlil).items()}
    macro_ports = {
        name: ports(next(iter(split_modules(stub).values()))) for name, stub in design.stubs.items()
    }
    parts: dict[str, Part] = {}
    merged: dict[str, str] = {}
    # Text without the module's own name → the first module that has it.
    seen: dict[str, str] = {}

    def visit(name: str) -> None:
        if name in merged:
            return
        cells = Counter(cell for _, cell in _CELL.findall(texts[name]))
        below = [cell for cell in cells if cell in texts]
        for child in below:
            visit(child)
        text = _CELL.sub(lambda cell: f"{cell[1]}\\{merged.get(cell[2], cell[2])} ", texts[name])
        anonymous = _anonymous(text)
        merged[name] = first = seen.setdefault(anonymous, name)
        if first != name:
            return
        children: Counter[str] = Counter()
        for child in below:
            children[merged[child]] += cells[child]
        macros = {cell: count for cell, count in cells.items() if cell in macro_ports}
        stubs = {child: _stub(child, ports(texts[child])) for child in sorted(children)}
        stubs |= {macro: _stub(macro, macro_ports[macro]) for macro in sorted(macros)}
        memories = _memories(text, memory_threshold_bits)
        parts[name] = Part(name, _mark(text, memory_threshold_bits), dict(children), macros, stubs, memories)

    visit(design.top)
    return Parts(design.top, parts, {name: first for name, first in merged.items() if name != first})
