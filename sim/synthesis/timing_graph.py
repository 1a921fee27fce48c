"""A module's netlist as a graph of edges between nodes, in arrays: an edge of a signal is a node."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.timing_cells import CellEdges, TimingLibrary
from ohmweave.sim.synthesis.timing_records import CLOCK, Columns, Graph, Hard, PortModel, nodes_of

__all__ = ["build"]


def _nets(bits: Sequence[Any]) -> np.ndarray:
    """Numbers of nets; what is constant is net 1, which nothing drives."""
    return np.array([bit if isinstance(bit, int) else 1 for bit in bits], np.int64)


def build(
    name: str,
    module: Mapping[str, Any],
    timing: TimingLibrary,
    children: Mapping[str, PortModel],
    hard: Callable[[str, Mapping[str, Any]], Hard | None],
) -> Graph:
    """The graph of a module as Yosys writes it in JSON.

    children  models of the modules that it instantiates
    hard      what a cell is that is neither of the library nor one of them
    """
    by_type: dict[str, list[str]] = {}
    for instance, cell in module["cells"].items():
        by_type.setdefault(cell["type"], []).append(instance)
    graph = _empty(name, module)
    builder = _Builder(graph, module["cells"], timing)
    for kind, instances in by_type.items():
        if kind in timing.cells:
            builder.cells(kind, instances, timing.cells[kind])
        else:
            for instance in instances:
                cell = module["cells"][instance]
                if kind in children:
                    builder.child(instance, cell, children[kind])
                elif (found := hard(kind, cell)) is not None:
                    builder.hard(instance, cell, found)
                elif kind != "$scopeinfo":
                    raise OhmweaveError(f"{name} must be mapped onto the library, and {instance} is a {kind}")
    for port, nets in graph.outputs.items():
        np.add.at(graph.loads, nets, timing.around.load_ff)
        builder.end(nodes_of(nets), -1, 0.0, port, "")
    graph.loads[1] = 0.0
    builder.finish()
    return graph


def _empty(name: str, module: Mapping[str, Any]) -> Graph:
    most = 1
    ports: dict[str, dict[str, np.ndarray]] = {"input": {}, "output": {}, "inout": {}}
    for port, record in module["ports"].items():
        ports[record["direction"]][port] = _nets(record["bits"])
    names: dict[int, str] = {}
    for net, record in sorted(module["netnames"].items(), key=lambda item: item[1].get("hide_name", 0)):
        bits = record["bits"]
        for place, bit in enumerate(bits):
            if isinstance(bit, int):
                most = max(most, bit)
                names.setdefault(bit, net if len(bits) == 1 else f"{net}[{place}]")
    for cell in module["cells"].values():
        for bits in cell["connections"].values():
            most = max([most, *(bit for bit in bits if isinstance(bit, int))])
    for nets in [*ports["input"].values(), *ports["output"].values()]:
        most = max(most, int(nets.max(initial=1)))
    return Graph(
        name=name,
        nodes=2 * (most + 1),
        loads=np.zeros(most + 1),
        instances=[],
        pairs=[],
        inputs=ports["input"],
        outputs=ports["output"],
        names=names,
    )


class _Builder:
    """Adds cells to a graph, all of one type at once."""

    def __init__(self, graph: Graph, cells: Mapping[str, Any], timing: TimingLibrary):
        self.graph = graph
        self.cells_ = cells
        self.timing = timing
        self.pairs: dict[tuple[str, str], int] = {}
        self.edges = Columns(
            src=0,
            dst=0,
            delay=-1,
            slew=-1,
            fixed=0.0,
            fixed_slew=-1.0,
            resistance=0.0,
            slope=0.0,
            cell=-1,
            pair=-1,
        )
        self.ends = Columns(node=0, table=-1, fixed=0.0, cell=-1, pair=-1)

    def pair(self, source: str, target: str) -> int:
        if (source, target) not in self.pairs:
            self.pairs[source, target] = len(self.pairs)
            self.graph.pairs.append((source, target))
        return self.pairs[source, target]

    def instance(self, name: str, kind: str) -> int:
        self.graph.instances.append((name, kind))
        return len(self.graph.instances) - 1

    def cells(self, kind: str, instances: list[str], edges: CellEdges) -> None:
        """Cells of the library."""
        numbers = np.array([self.instance(name, kind) for name in instances])
        connections = [self.cells_[name]["connections"] for name in instances]
        pins = {pin for each in connections[:1] for pin in each} | set(edges.capacitances)
        nets = {pin: _nets([(each.get(pin) or ["x"])[0] for each in connections]) for pin in pins}
        for pin, capacitance in edges.capacitances.items():
            np.add.at(self.graph.loads, nets[pin], capacitance)
        for edge in (*edges.through, *edges.clocked):
            if edge.source not in nets or edge.target not in nets:
                continue
            clocked = edge in edges.clocked
            used = nets[edge.target] > 1
            if not clocked:
                used &= nets[edge.source] > 1
            self.edges.add(
                int(used.sum()),
                src=CLOCK if clocked else (2 * nets[edge.source] + edge.source_edge)[used],
                dst=(2 * nets[edge.target] + edge.target_edge)[used],
                delay=edge.delay,
                slew=edge.slew,
                cell=numbers[used],
                pair=self.pair(edge.source, edge.target),
            )
        for check in edges.checks:
            used = nets[check.pin] > 1
            self.ends.add(
                int(used.sum()),
                node=(2 * nets[check.pin] + check.edge)[used],
                table=check.table,
                cell=numbers[used],
                pair=self.pair(check.pin, ""),
            )

    def end(self, nodes: np.ndarray, table: int, fixed: float, instance: str, pin: str) -> None:
        """Nodes where a path ends; `instance` is the port's name where there is no `pin`."""
        number = self.instance(instance, "" if not pin else self.cells_[instance]["type"])
        self.ends.add(len(nodes), node=nodes, table=table, fixed=fixed, cell=number, pair=self.pair(pin, ""))

    def _joined(self, nets: np.ndarray) -> int:
        """A node that all edges of a port's nets meet in, or spread from."""
        self.graph.nodes += 1
        return self.graph.nodes - 1

    def child(self, instance: str, cell: Mapping[str, Any], model: PortModel) -> None:
        """An instance of a module with a model."""
        number = self.instance(instance, cell["type"])
        connections = {port: _nets(bits) for port, bits in cell["connections"].items()}
        into: dict[int, int] = {}
        for place, port in enumerate(model.inputs):
            nets = connections.get(port, np.zeros(0, np.int64))
            np.add.at(self.graph.loads, nets, model.capacitances[port][: len(nets)])
            nets = nets[nets > 1]
            if not len(nets):
                continue
            nodes = nodes_of(nets)
            if model.setups[place] > -np.inf:
                self.ends.add(
                    len(nodes), node=nodes, fixed=model.setups[place], cell=number, pair=self.pair(port, "")
                )
            if (model.delays[place] > -np.inf).any():
                into[place] = self._joined(nets)
                self.edges.add(len(nodes), src=nodes, dst=into[place], cell=-1, pair=self.pair(port, port))
        for place, port in enumerate(model.outputs):
            nets = connections.get(port, np.zeros(0, np.int64))
            nets = nets[nets > 1]
            column = model.delays[:, place]
            if not len(nets) or not (column > -np.inf).any():
                continue
            out = self._joined(nets)
            sources = [(source, node) for source, node in into.items() if column[source] > -np.inf]
            if column[-1] > -np.inf:
                sources.append((len(model.inputs), CLOCK))
            for source, node in sources:
                start = model.inputs[source] if source < len(model.inputs) else "clk"
                self.edges.add(
                    1, src=node, dst=out, fixed=column[source], cell=number, pair=self.pair(start, port)
                )
            self.edges.add(
                2 * len(nets), src=out, dst=nodes_of(nets), fixed_slew=model.slews[place],
                resistance=model.resistances[place], slope=model.slopes[place], pair=self.pair(port, port),
            )  # fmt: skip

    def hard(self, instance: str, cell: Mapping[str, Any], found: Hard) -> None:
        """A memory or an analog macro: each input loads its driver like a port's load."""
        number = self.instance(instance, cell["type"])
        slew = self.timing.around.slew_ns
        direction = cell.get("port_directions", {})
        address: list[tuple[str, int]] = []
        for pin, bits in cell["connections"].items():
            nets = _nets(bits)
            np.add.at(self.graph.loads, nets, self.timing.around.load_ff)
            nets = nets[nets > 1]
            if direction.get(pin) == "output" or not len(nets):
                continue
            if pin in found.through:
                address.append((pin, self._joined(nets)))
                nodes = nodes_of(nets)
                self.edges.add(len(nodes), src=nodes, dst=address[-1][1], pair=self.pair(pin, pin))
            else:
                self.ends.add(
                    2 * len(nets),
                    node=nodes_of(nets),
                    fixed=found.setup_ns,
                    cell=number,
                    pair=self.pair(pin, ""),
                )
        for pin, bits in cell["connections"].items():
            nets = _nets(bits)
            nets = nets[nets > 1]
            if direction.get(pin) != "output" or not len(nets):
                continue
            for source, node in address or [("clk", CLOCK)]:
                nodes = nodes_of(nets)
                self.edges.add(
                    len(nodes), src=node, dst=nodes, fixed=found.access_ns, fixed_slew=slew, cell=number,
                    pair=self.pair(source, pin),
                )  # fmt: skip

    def finish(self) -> None:
        self.graph.edges = self.edges.arrays()
        self.graph.ends = self.ends.arrays()
