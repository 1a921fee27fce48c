"""Signals of the RTLIL that are each other's bits, by name: of several names for a net, mapping keeps some."""

import re
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from ohmweave.sim.synthesis.flat import Flat

__all__ = ["Aliases", "aliases_of", "nets_by_alias"]

#: Module → signal → (its first bit, other signal, that one's first bit, bits).
Aliases: TypeAlias = dict[str, dict[str, list[tuple[int, str, int, int]]]]

_WIRE = re.compile(r"^  wire (?:width (\d+) )?.*?\\(\S+)$")
_CELL = re.compile(r"^  cell \\\S+ \\(\S+)$")
_SIGNAL = r"\\(\S+)(?: \[(\d+)(?::(\d+))?\])?"
# At a module's level, in one of its cells, or first in a process, which a switch behind it may take back.
_CONNECT = re.compile(rf"^(?P<depth> *)(?:connect|assign) {_SIGNAL} (?P<value>.*)$")
_ITEM = re.compile(rf"(?:{_SIGNAL}|\$\S+(?: \[\d+(?::\d+)?\])?|(?P<constant>(?P<bits>\d+)'\S+))(?: |$)")
#: Names that a name may lead to, one behind the other.
DEPTH = 4


def aliases_of(modules: Mapping[str, str]) -> Aliases:
    """By module, from its RTLIL; a port of an instance has the instance's name before its own."""
    found: Aliases = {}
    for name, text in modules.items():
        widths: dict[str, int] = {}
        here = found.setdefault(name, {})
        cell = None
        pairs: list[tuple[str, int, str, int, int]] = []
        taken_back: set[str] = set()
        for line in text.splitlines():
            if wire := _WIRE.match(line):
                widths[wire[2]] = int(wire[1] or 1)
            elif opened := _CELL.match(line):
                cell = opened[1]
            elif line == "  end":
                cell = None
            elif pair := _CONNECT.match(line):
                first = pair[2] if cell is None else f"{cell}.{pair[2]}"
                if len(pair["depth"]) > 4:
                    taken_back.add(first)
                    continue
                low = int(pair[4] or pair[3] or 0)
                for other, other_low, bits in _items(pair["value"], widths):
                    if other:
                        pairs.append((first, low, other, other_low, bits))
                    low += bits
        for first, low, other, other_low, bits in pairs:
            if first not in taken_back:
                here.setdefault(first, []).append((low, other, other_low, bits))
                here.setdefault(other, []).append((other_low, first, low, bits))
    return found


def _items(text: str, widths: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Signals of a value, the lowest bits first: name, first bit, bits; no name for a constant.

    Up to what is neither, of which the width is not known.
    """
    text = text.strip().removeprefix("{ ").removesuffix(" }")
    found: list[tuple[str, int, int]] = []
    for item in reversed(list(_ITEM.finditer(text))):
        if item["constant"]:
            found.append(("", 0, int(item["bits"])))
        elif item[1] is None:
            break
        else:
            low = int(item[3] or item[2] or 0)
            found.append((item[1], low, int(item[2]) - low + 1 if item[2] else widths.get(item[1], 1)))
    return found


def nets_by_alias(flat: Flat, aliases: Aliases, name: str, bits: int) -> np.ndarray | None:
    """Nets of a signal that the netlist has by other names alone, -1 where by none; None if all are."""
    parts = name.split(".")
    nets = np.full(bits, -1, np.int64)
    for count in range(len(parts)):
        path, local = ".".join(parts[:count]), ".".join(parts[count:])
        known = aliases.get(flat.paths.get(path, ""), {})
        if local in known:
            _fill(nets, flat, known, f"{path}." if path else "", local)
    return None if (nets < 0).all() else nets


def _fill(
    nets: np.ndarray,
    flat: Flat,
    known: Mapping[str, list[tuple[int, str, int, int]]],
    path: str,
    local: str,
) -> None:
    """Follow the aliases of a signal until the netlist has one."""
    pending = [(0, local, 0, len(nets))]
    seen = {local}
    for _ in range(DEPTH):
        following = []
        for at, name, low, bits in pending:
            for start, other, other_low, size in known.get(name, ()):
                # The bits of `nets` that both the signal before and this one have.
                first, last = max(low, start), min(low + bits, start + size)
                if first >= last or other in seen:
                    continue
                place, other_first = at + first - low, other_low + first - start
                found = flat.names.get(f"{path}{other}")
                if found is None:
                    following.append((place, other, other_first, last - first))
                    continue
                there = found[other_first : other_first + last - first]
                here = nets[place : place + len(there)]
                here[here < 0] = there[here < 0]
        seen |= {name for _, name, _, _ in following}
        pending = following
