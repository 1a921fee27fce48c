"""Arrival times along an ordered graph: delays by slope and load, the longest path, and the way back along it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ohmweave.sim.synthesis.timing_cells import TREE_STEPS, TimingLibrary
from ohmweave.sim.synthesis.timing_levels import Ordered, order
from ohmweave.sim.synthesis.timing_records import CLOCK, Graph, nodes_of

__all__ = ["NEVER", "Run", "longest", "path_to", "run"]

NEVER = -np.inf


@dataclass
class Run:
    """A graph with its times.

    arrivals, slews  of each node
    delays           of each edge, at the slews and loads that it has
    steps            levels of the tree of buffers behind each edge; 0 for none
    ends             ns from each end of a path to the clock's edge: setup times
    """

    graph: Graph
    ordered: Ordered
    arrivals: np.ndarray
    slews: np.ndarray
    delays: np.ndarray
    steps: np.ndarray
    ends: np.ndarray


def run(graph: Graph, timing: TimingLibrary) -> Run:
    """All inputs change with the clock, and so do all registers: times, and with them the slews for everything else."""
    ordered = order(graph)
    arrivals = np.full(graph.nodes, NEVER)
    slews = np.zeros(graph.nodes)
    around = timing.around
    starts = [np.array([CLOCK]), *(nodes_of(nets[nets > 1]) for nets in graph.inputs.values())]
    for nodes in starts:
        arrivals[nodes] = 0.0
        slews[nodes] = around.slew_ns
    # Nodes beyond the nets are where a port's bits meet; they are no load.
    loads = np.concatenate([np.repeat(graph.loads, 2), np.zeros(graph.nodes - 2 * len(graph.loads))])
    edges = ordered.edges
    delays = np.zeros(len(edges["src"]))
    steps = np.zeros(len(delays), np.int8)
    for (begin, end), group, into in zip(ordered.starts, ordered.groups, ordered.into, strict=True):
        part = {name: values[begin:end] for name, values in edges.items()}
        slew = slews[part["src"]]
        delay, follow, taken = _through(part, slew, loads[part["dst"]], timing)
        delays[begin:end], steps[begin:end] = delay, taken
        arrival = arrivals[part["src"]] + delay
        follow = np.where(arrival > NEVER, follow, 0.0)
        # An input may drive a net that is given in `starts` only if nothing else does.
        arrivals[into] = np.maximum.reduceat(arrival, group)
        slews[into] = np.maximum.reduceat(follow, group)
    ends = graph.ends["fixed"].copy()
    checked = graph.ends["table"] >= 0
    which = graph.ends["table"][checked]
    data = slews[graph.ends["node"][checked]]
    ends[checked] = timing.tables.at(which, data, np.full(len(which), around.slew_ns))
    return Run(graph, ordered, arrivals, slews, delays, steps, ends)


def _through(
    part: dict[str, np.ndarray], slew: np.ndarray, load: np.ndarray, timing: TimingLibrary
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delay and slew behind each edge, and the levels of buffers; buffers stand where they are faster."""
    around = timing.around
    delay, follow = _driven(part, slew, load, timing)
    steps = np.zeros(len(delay), np.int8)
    heavy = np.flatnonzero((load > 4 * around.buffer_ff) & ((part["delay"] >= 0) | (part["resistance"] > 0)))
    if len(heavy):
        some = {name: values[heavy] for name, values in part.items()}
        for levels in range(1, TREE_STEPS + 1):
            driven, more, behind = around.tree(load[heavy], levels)
            other = _driven(some, slew[heavy], driven, timing)[0] + more
            better = other < delay[heavy]
            delay[heavy[better]] = other[better]
            follow[heavy[better]] = behind[better]
            steps[heavy[better]] = levels
    return delay, follow, steps


def _driven(
    part: dict[str, np.ndarray], slew: np.ndarray, load: np.ndarray, timing: TimingLibrary
) -> tuple[np.ndarray, np.ndarray]:
    """Delay and slew of each edge with that load at its end."""
    extra = load - timing.around.load_ff
    delay = part["fixed"] + part["resistance"] * extra
    follow = np.where(part["fixed_slew"] < 0, slew, part["fixed_slew"] + part["slope"] * extra)
    cells = np.flatnonzero(part["delay"] >= 0)
    if len(cells):
        delay[cells] = timing.tables.at(part["delay"][cells], slew[cells], load[cells])
        follow[cells] = timing.tables.at(part["slew"][cells], slew[cells], load[cells])
    return delay, np.maximum(follow, 0.0)


def longest(ran: Run, sources: Sequence[np.ndarray]) -> np.ndarray:
    """(nodes, sources) longest time from any node of each source; -inf where none leads."""
    edges = ran.ordered.edges
    times = np.full((ran.graph.nodes, len(sources)), NEVER)
    for place, nodes in enumerate(sources):
        times[nodes, place] = 0.0
    for (begin, end), group, into in zip(
        ran.ordered.starts, ran.ordered.groups, ran.ordered.into, strict=True
    ):
        arrival = times[edges["src"][begin:end]] + ran.delays[begin:end, None]
        times[into] = np.maximum(times[into], np.maximum.reduceat(arrival, group, axis=0))
    return times


def path_to(ran: Run, node: int, times: np.ndarray) -> list[int]:
    """Numbers of the edges of the longest path to a node, from its start; `times` of each node."""
    edges = ran.ordered.edges
    by_node = np.argsort(edges["dst"], kind="stable")
    first = np.searchsorted(edges["dst"][by_node], np.arange(ran.graph.nodes + 1))
    found: list[int] = []
    while True:
        into = by_node[first[node] : first[node + 1]]
        if not len(into):
            break
        arrival = times[edges["src"][into]] + ran.delays[into]
        best = int(np.argmax(arrival))
        if arrival[best] == NEVER:
            break
        found.append(int(into[best]))
        node = int(edges["src"][into[best]])
    return found[::-1]
