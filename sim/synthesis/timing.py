"""Static timing of a mapped netlist, module by module: the longest path between two clock edges, and what is on it.

Delays and slopes come from the tables of the library (NLDM), at the load of all input pins of a net. Each distinct
module is looked at once; where it is instantiated, a model of its ports stands for it. What the estimate leaves out,
and so what a layout adds: wires, the clock tree and its skew, and the area of the buffers that it takes to be on nets
with a large load. A memory or an array has the access time of its macro, and a register's setup time.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.timing_cells import TimingLibrary
from ohmweave.sim.synthesis.timing_graph import build
from ohmweave.sim.synthesis.timing_model import clocked, port_model
from ohmweave.sim.synthesis.timing_records import CLOCK, Hard, PortModel, nodes_of
from ohmweave.sim.synthesis.timing_run import NEVER, Run, longest, path_to, run

__all__ = ["GROUPS", "Analysis", "Path", "Step", "Timing"]

#: Kinds of paths of the block itself, by where they start and end.
GROUPS = ("register to register", "input to register", "register to output", "input to output")
NO_MACROS: Callable[[str, Mapping[str, Any]], Hard | None] = lambda kind, cell: None  # noqa: E731


@dataclass(frozen=True)
class Step:
    """A cell on a path.

    instance  with the instances of the modules around it
    cell      of the library, or a macro
    pins      from, to
    signal    at its output
    delay_ns, slew_ns, load_ff  of the cell, at its output
    buffers   levels of a tree of buffers that the net is taken to have; their delay is in `delay_ns`
    """

    instance: str
    cell: str
    pins: tuple[str, str]
    signal: str
    delay_ns: float
    slew_ns: float
    load_ff: float
    buffers: int


@dataclass(frozen=True)
class Path:
    """The longest path of a kind.

    module      in which it is
    start, end  a port, or the signal of a register and its cell
    setup_ns    of the register at its end, which is in `delay_ns`
    """

    module: str
    delay_ns: float
    start: str
    end: str
    setup_ns: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Timing:
    """Paths of a block.

    longest  of all
    groups   the longest of each kind that the block has; those between registers are those of the modules in it too
    models   of all modules
    """

    longest: Path | None
    groups: Mapping[str, Path]
    models: Mapping[str, PortModel]

    @property
    def critical_path_ns(self) -> float:
        return self.longest.delay_ns if self.longest is not None else 0.0

    @property
    def fmax_mhz(self) -> float:
        """Of the longest path; infinite where there is none."""
        return 1e3 / self.critical_path_ns if self.critical_path_ns else np.inf


class Analysis:
    """Runs and models of modules, each made once; `timing` of any of them.

    modules  name → mapped module, as Yosys writes it in JSON
    hard     what a cell is that is neither of the library nor a module: its times, or None

    Raises `OhmweaveError` for what is not mapped, and for a combinational loop.
    """

    def __init__(
        self,
        modules: Mapping[str, Mapping[str, Any]],
        library: Library,
        hard: Callable[[str, Mapping[str, Any]], Hard | None] = NO_MACROS,
    ):
        self.modules = modules
        self.library = library
        self.hard = hard
        self.times = TimingLibrary(library)
        self.runs: dict[str, Run] = {}
        self.models: dict[str, PortModel] = {}

    def again(
        self, hard: Callable[[str, Mapping[str, Any]], Hard | None], kinds: Collection[str]
    ) -> "Analysis":
        """The same with other times of these kinds of cells: what has none of them below it is kept."""
        other = Analysis(self.modules, self.library, hard)
        other.times = self.times
        for name in self.runs:
            below = {
                cell["type"] for each in self._below(name) for cell in self.modules[each]["cells"].values()
            }
            if below.isdisjoint(kinds):
                other.runs[name], other.models[name] = self.runs[name], self.models[name]
        return other

    def visit(self, name: str) -> None:
        """Models of a module and of all below it, each once."""
        if name in self.runs:
            return
        below = {cell["type"] for cell in self.modules[name]["cells"].values()}
        for child in sorted(below & set(self.modules)):
            self.visit(child)
        graph = build(name, self.modules[name], self.times, self.models, self.hard)
        self.runs[name] = run(graph, self.times)
        self.models[name] = port_model(self.runs[name], self.times)

    def timing(self, top: str) -> Timing:
        self.visit(top)
        ran = self.runs[top]
        ports = [nodes_of(nets[nets > 1]) for nets in ran.graph.inputs.values()]
        inputs = np.concatenate([*ports, np.zeros(0, np.int64)]).astype(np.int64)
        from_inputs = longest(ran, [inputs])[:, 0]
        groups: dict[str, Path] = {}
        for kind, times, to_port in (
            (GROUPS[1], from_inputs, False),
            (GROUPS[2], clocked(ran), True),
            (GROUPS[3], from_inputs, True),
        ):
            if (found := self._end(ran, times, to_port)) is not None:
                groups[kind] = self._path(top, times, *found)
        inside = {name: self.models[name].inside for name in self._below(top)}
        inside = {name: delay for name, delay in inside.items() if delay > NEVER}
        if inside:
            name = max(inside, key=lambda each: inside[each])
            times = clocked(self.runs[name])
            found = self._end(self.runs[name], times, False)
            assert found is not None
            groups[GROUPS[0]] = self._path(name, times, *found)
        first = max(groups.values(), key=lambda path: path.delay_ns, default=None)
        return Timing(first, {kind: groups[kind] for kind in GROUPS if kind in groups}, self.models)

    def _below(self, top: str) -> dict[str, None]:
        """A module and all in it."""
        found: dict[str, None] = {}
        pending = [top]
        while pending:
            name = pending.pop()
            if name not in found:
                found[name] = None
                pending += {cell["type"] for cell in self.modules[name]["cells"].values()} & set(self.runs)
        return found

    def _end(self, ran: Run, times: np.ndarray, to_port: bool) -> tuple[int, float] | None:
        """Number of the end with the longest path and its time, of registers or of ports."""
        ends = ran.graph.ends
        ports = np.array([not kind for _, kind in ran.graph.instances] or [True])[ends["cell"]]
        found = np.where(ports == to_port, times[ends["node"]] + ran.ends, NEVER)
        if not len(found) or found.max() == NEVER:
            return None
        return int(np.argmax(found)), float(found.max())

    def _path(self, name: str, times: np.ndarray, end: int, delay: float) -> Path:
        ran = self.runs[name]
        graph = ran.graph
        node = int(graph.ends["node"][end])
        edges = path_to(ran, node, times)
        steps = self._steps(name, edges, "")
        start = int(ran.ordered.edges["src"][edges[0]]) if edges else node
        instance, kind = graph.instances[graph.ends["cell"][end]]
        pin = graph.pairs[graph.ends["pair"][end]][0]
        setup = float(ran.ends[end])
        if kind in self.runs:
            # Into a module: the rest of the path is in there.
            inner = self.runs[kind]
            nets = inner.graph.inputs[pin]
            further = longest(inner, [nodes_of(nets[nets > 1])])[:, 0]
            found = self._end(inner, further, False)
            assert found is not None
            rest = self._path(kind, further, *found)
            steps += tuple(_below(instance, step) for step in rest.steps)
            ending, setup = f"{instance}.{rest.end}", rest.setup_ns
        else:
            ending = f"output {instance}" if not kind else f"{self._register(name, instance, kind)} ({kind})"
        if start == CLOCK and steps:
            starting = f"{steps[0].signal} ({steps[0].cell})"
        else:
            starting = f"input {graph.names.get(start // 2, '')}"
        return Path(name, delay, starting, ending, setup, steps)

    def _register(self, module: str, instance: str, kind: str) -> str:
        """A register by the signal at one of its outputs; what has none, and a macro, by its own name."""
        cell = self.library.cells.get(kind)
        names = self.runs[module].graph.names
        for pin in cell.outputs if cell else ():
            bits = self.modules[module]["cells"][instance]["connections"].get(pin) or ["x"]
            if bits[0] in names:
                return names[bits[0]]
        return instance

    def _steps(self, module: str, edges: list[int], above: str) -> tuple[Step, ...]:
        """The cells of a path, those in the modules that it goes through too."""
        ran = self.runs[module]
        graph, columns = ran.graph, ran.ordered.edges
        found: list[Step] = []
        for edge in edges:
            number = columns["cell"][edge]
            node = int(columns["dst"][edge])
            delay = float(ran.delays[edge])
            net = node // 2 if node < 2 * len(graph.loads) else 0
            load = float(graph.loads[net])
            signal = graph.names.get(net, "")
            if number < 0:
                # From a port's bits to the port, or what the load at it adds to the last cell.
                if delay and found:
                    last = found[-1]
                    found[-1] = Step(
                        last.instance, last.cell, last.pins, signal or last.signal, last.delay_ns + delay,
                        float(ran.slews[node]), load, last.buffers + int(ran.steps[edge]),
                    )  # fmt: skip
                continue
            instance, kind = graph.instances[number]
            pins = graph.pairs[columns["pair"][edge]]
            if kind in self.runs:
                found += self._through(kind, pins, instance)
            else:
                if not signal and columns["src"][edge] == CLOCK:
                    signal = self._register(module, instance, kind)
                found.append(
                    Step(
                        instance,
                        kind,
                        pins,
                        signal,
                        delay,
                        float(ran.slews[node]),
                        load,
                        int(ran.steps[edge]),
                    )
                )
        return tuple(_below(above, step) for step in found)

    def _through(self, kind: str, pins: tuple[str, str], instance: str) -> tuple[Step, ...]:
        """The cells in a module from one of its inputs, or from its clock, to an output."""
        inner = self.runs[kind]
        if pins[0] in inner.graph.inputs and pins[0] != "clk":
            nets = inner.graph.inputs[pins[0]]
            times = longest(inner, [nodes_of(nets[nets > 1])])[:, 0]
        else:
            times = clocked(inner)
        nets = inner.graph.outputs[pins[1]]
        nodes = nodes_of(nets[nets > 1])
        node = int(nodes[np.argmax(times[nodes])])
        return self._steps(kind, path_to(inner, node, times), instance)


def _below(above: str, step: Step) -> Step:
    """A step as seen from outside of the instance that it is in."""
    if not above:
        return step
    instance, signal = f"{above}.{step.instance}", f"{above}.{step.signal}" if step.signal else ""
    return Step(
        instance, step.cell, step.pins, signal, step.delay_ns, step.slew_ns, step.load_ff, step.buffers
    )
