"""A part of the chip as one netlist of cells: its mapped modules put together, down to the parts and macros in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmweave.sim.synthesis.cells import Library

__all__ = ["Box", "Flat", "FlatCells", "flatten"]


@dataclass(frozen=True)
class FlatCells:
    """All cells of one type: the net of each pin, by pin, and the module that each is in, as a number."""

    kind: str
    nets: Mapping[str, np.ndarray]
    module: np.ndarray


@dataclass(frozen=True)
class Box:
    """What is no cell: a memory, a macro or a part; its module, as a number, the nets of each pin and its direction."""

    path: str
    kind: str
    module: int
    pins: Mapping[str, np.ndarray]
    directions: Mapping[str, str]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Flat:
    """A part. Net 0 is constant 0, net 1 constant 1; what is undefined is 0.

    nets      how many
    cells     of the library, by type
    boxes     what is no cell
    names     signal, with the instances around it → its nets
    modules   name of each module, by number
    paths     instance, "" for the part itself → the module that it is of
    inputs    nets of the part's inputs
    """

    nets: int
    cells: list[FlatCells]
    boxes: list[Box]
    names: dict[str, np.ndarray]
    modules: list[str]
    paths: dict[str, str]
    inputs: np.ndarray


class _Builder:
    def __init__(self, netlists: Mapping[str, Mapping[str, Any]], library: Library, boxes: Collection[str]):
        self.netlists = netlists
        self.library = library
        self.boxes_of = boxes
        self.parent: list[int] = [0, 1]
        self.modules: dict[str, int] = {}
        self.cells: dict[str, dict[str, list[int]]] = {}
        self.owner: dict[str, list[int]] = {}
        self.boxes: list[tuple[str, str, int, dict[str, list[int]], dict[str, str], Mapping[str, Any]]] = []
        self.names: dict[str, list[int]] = {}
        self.paths: dict[str, str] = {}

    def new(self) -> int:
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def find(self, net: int) -> int:
        """The net that stands for all that are joined with it."""
        while self.parent[net] != net:
            self.parent[net] = self.parent[self.parent[net]]
            net = self.parent[net]
        return net

    def join(self, first: int, second: int) -> None:
        first, second = sorted((self.find(first), self.find(second)))
        self.parent[second] = first

    def add(self, name: str, path: str, ports: Mapping[str, list[int]] | None) -> dict[str, list[int]]:
        """A module's cells; `ports` are the nets outside. Gives the nets of its ports."""
        module = self.netlists[name]
        number = self.modules.setdefault(name, len(self.modules))
        self.paths[path.removesuffix(".")] = name
        local: dict[Any, int] = {"0": 0, "1": 1, "x": 0, "z": 0}
        if ports is not None:
            for port, record in module["ports"].items():
                for bit, net in zip(record["bits"], ports.get(port, ()), strict=False):
                    if bit in local:
                        self.join(local[bit], net)
                    else:
                        local[bit] = net

        def nets(bits: list[Any]) -> list[int]:
            for bit in bits:
                if bit not in local:
                    local[bit] = self.new()
            return [local[bit] for bit in bits]

        for instance, cell in module["cells"].items():
            kind, connections = cell["type"], cell["connections"]
            inside = f"{path}{instance}"
            if kind in self.library.cells:
                columns = self.cells.setdefault(kind, {pin: [] for pin in self.library.cells[kind].pins})
                for pin, column in columns.items():
                    # A pin that is not connected drives a net of its own, or reads 0.
                    bits = connections.get(pin) or []
                    output = self.library.cells[kind].pins[pin].direction == "output"
                    column.append(nets(bits)[0] if bits else self.new() if output else 0)
                self.owner.setdefault(kind, []).append(number)
            elif kind in self.netlists and kind not in self.boxes_of:
                self.add(kind, f"{inside}.", {port: nets(bits) for port, bits in connections.items()})
            else:
                pins = {pin: nets(bits) for pin, bits in connections.items()}
                self.boxes.append(
                    (inside, kind, number, pins, self.directions(kind, cell), cell["parameters"])
                )
        for net, record in module["netnames"].items():
            if not record.get("hide_name"):
                # Yosys keeps RTLIL's backslash where a name would seem to be none without it.
                public = net.removeprefix("\\")
                self.names.setdefault(f"{path}{public}", nets(record["bits"]))
        return {port: nets(record["bits"]) for port, record in module["ports"].items()}

    def directions(self, kind: str, cell: Mapping[str, Any]) -> dict[str, str]:
        if kind in self.netlists:
            return {port: record["direction"] for port, record in self.netlists[kind]["ports"].items()}
        given: dict[str, str] = cell.get("port_directions", {})
        return given


def flatten(
    netlists: Mapping[str, Mapping[str, Any]], top: str, library: Library, boxes: Collection[str] = ()
) -> Flat:
    """Module `top` with all in it but the modules `boxes`."""
    builder = _Builder(netlists, library, boxes)
    ports = builder.add(top, "", None)
    final = np.array([builder.find(net) for net in range(len(builder.parent))], np.int64)

    def joined(nets: list[int]) -> np.ndarray:
        return final[np.array(nets, np.int64)]

    inputs = [
        net
        for port, record in netlists[top]["ports"].items()
        if record["direction"] == "input"
        for net in ports[port]
    ]
    return Flat(
        nets=len(final),
        cells=[
            FlatCells(
                kind, {pin: joined(nets) for pin, nets in columns.items()}, np.array(builder.owner[kind])
            )
            for kind, columns in builder.cells.items()
        ],
        boxes=[
            Box(path, kind, module, {pin: joined(nets) for pin, nets in pins.items()}, directions, parameters)
            for path, kind, module, pins, directions, parameters in builder.boxes
        ],
        names={name: joined(nets) for name, nets in builder.names.items()},
        modules=list(builder.modules),
        paths=builder.paths,
        inputs=joined(inputs),
    )
