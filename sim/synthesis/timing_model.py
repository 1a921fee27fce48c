"""The timing of a module as seen from its ports, so that what instantiates it need not look inside."""

from collections.abc import Sequence

import numpy as np

from ohmweave.sim.synthesis.timing_cells import TimingLibrary
from ohmweave.sim.synthesis.timing_levels import Ordered
from ohmweave.sim.synthesis.timing_records import CLOCK, PortModel, nodes_of
from ohmweave.sim.synthesis.timing_run import NEVER, Run, _driven, longest

__all__ = ["clocked", "port_model"]

#: Inputs whose paths are followed side by side: memory of so many times for each node.
CHUNK = 16


def clocked(ran: Run) -> np.ndarray:
    """Time of each node from the clock's edge alone: nothing comes from the inputs."""
    return longest(ran, [np.array([CLOCK])])[:, 0]


def port_model(ran: Run, timing: TimingLibrary) -> PortModel:
    """Delays between ports at the slews and loads that all ports have."""
    graph = ran.graph
    inputs, outputs = tuple(graph.inputs), tuple(graph.outputs)
    out_nodes = [nodes_of(graph.outputs[port][graph.outputs[port] > 1]) for port in outputs]
    registers = graph.ends["cell"], graph.ends["node"]
    # Ends that are no ports: their instances have a type.
    inside = np.array([bool(kind) for _, kind in graph.instances] or [False])[registers[0]]
    nodes, setups_of = registers[1][inside], ran.ends[inside]

    def ends(times: np.ndarray) -> np.ndarray:
        """Longest to a register, by source."""
        if not len(nodes):
            return np.full(times.shape[1], NEVER)
        return np.max(times[nodes] + setups_of[:, None], axis=0)

    def to_outputs(times: np.ndarray) -> np.ndarray:
        return np.array([times[each].max(axis=0, initial=NEVER) for each in out_nodes]).reshape(
            len(outputs), times.shape[1]
        )

    delays = np.full((len(inputs) + 1, len(outputs)), NEVER)
    setups = np.full(len(inputs), NEVER)
    from_clock = clocked(ran)[:, None]
    delays[-1] = to_outputs(from_clock)[:, 0]
    sources = [nodes_of(graph.inputs[port][graph.inputs[port] > 1]) for port in inputs]
    cone = _cone(ran, sources)
    for begin in range(0, len(inputs), CHUNK):
        times = longest(cone, sources[begin : begin + CHUNK])
        end = begin + times.shape[1]
        delays[begin:end] = to_outputs(times).T
        setups[begin:end] = ends(times)
    slews = np.array([ran.slews[each].max(initial=0.0) for each in out_nodes])
    resistances, slopes = _drive(ran, timing, out_nodes)
    return PortModel(
        inputs=inputs,
        outputs=outputs,
        capacitances={port: graph.loads[nets] for port, nets in graph.inputs.items()},
        setups=setups,
        delays=delays,
        slews=slews,
        resistances=resistances,
        slopes=slopes,
        inside=float(ends(from_clock)[0]),
    )


def _cone(ran: Run, sources: Sequence[np.ndarray]) -> Run:
    """The part that inputs reach without a register: few edges of most modules."""
    edges = ran.ordered.edges
    reached = np.zeros(ran.graph.nodes, bool)
    for nodes in sources:
        reached[nodes] = True
    for begin, end in ran.ordered.starts:
        reached[edges["dst"][begin:end][reached[edges["src"][begin:end]]]] = True
    kept = reached[edges["src"]]
    # The order stays: the number of a level is as good as the level's place.
    level = np.zeros(ran.graph.nodes, np.int64)
    for number, into in enumerate(ran.ordered.into):
        level[into] = number + 1
    small = Ordered({name: values[kept] for name, values in edges.items()}, level)
    return Run(ran.graph, small, ran.arrivals, ran.slews, ran.delays[kept], ran.steps[kept], ran.ends)


def _drive(ran: Run, timing: TimingLibrary, out_nodes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """ns more for each fF more at an output, of delay and slew: of what drives its slowest bit."""
    edges = ran.ordered.edges
    owner = np.full(ran.graph.nodes, -1)
    for place, nodes in enumerate(out_nodes):
        owner[nodes] = place
    into = np.flatnonzero(owner[edges["dst"]] >= 0)
    part = {name: values[into] for name, values in edges.items()}
    slew = ran.slews[part["src"]]
    low = np.full(len(into), timing.around.load_ff)
    slow, fast = _driven(part, slew, 2 * low, timing), _driven(part, slew, low, timing)
    found = []
    for more, base in zip(slow, fast, strict=True):
        worst = np.zeros(len(out_nodes))
        np.maximum.at(worst, owner[part["dst"]], (more - base) / low)
        found.append(worst)
    return found[0], found[1]
