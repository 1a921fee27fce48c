"""Order of a graph's nodes, so that each comes after all that leads to it; loops are found and named."""

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.timing_records import Graph

__all__ = ["Ordered", "order"]


class Ordered:
    """A graph's edges by the level of the node where they end, those of one node side by side.

    edges   as in the graph, in this order
    starts  level by level (first edge, one behind the last)
    groups  level by level: where each node's edges begin, from the level's first
    into    the node of each of these groups
    """

    def __init__(self, edges: dict[str, np.ndarray], level: np.ndarray):
        dst = edges["dst"]
        sorting = np.lexsort((dst, level[dst]))
        self.edges = {name: values[sorting] for name, values in edges.items()}
        dst = self.edges["dst"]
        levels = level[dst]
        bounds = np.flatnonzero(np.diff(levels, prepend=-1))
        self.starts = list(zip(bounds, [*bounds[1:], len(dst)], strict=True)) if len(dst) else []
        first = np.flatnonzero(np.diff(dst, prepend=-1))
        self.groups = []
        self.into = []
        for begin, end in self.starts:
            group = first[np.searchsorted(first, begin) : np.searchsorted(first, end)]
            self.groups.append(group - begin)
            self.into.append(dst[group])


def order(graph: Graph) -> Ordered:
    """Edges by levels. Raises `OhmweaveError` with the names of the signals of a loop."""
    src, dst = graph.edges["src"], graph.edges["dst"]
    by_source = np.argsort(src, kind="stable")
    first = np.searchsorted(src[by_source], np.arange(graph.nodes + 1))
    waiting = np.bincount(dst, minlength=graph.nodes)
    level = np.zeros(graph.nodes, np.int64)
    front = np.flatnonzero(waiting == 0)
    reached, depth = len(front), 0
    while len(front):
        depth += 1
        counts = first[front + 1] - first[front]
        offsets = np.repeat(first[front] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        after = dst[by_source[offsets + np.arange(int(counts.sum()))]]
        nodes, times = np.unique(after, return_counts=True)
        waiting[nodes] -= times
        front = nodes[waiting[nodes] == 0]
        level[front] = depth
        reached += len(front)
    if reached < graph.nodes:
        raise OhmweaveError(f"{graph.name} has a combinational loop through {_loop(graph, waiting > 0)}")
    return Ordered(graph.edges, level)


def _loop(graph: Graph, held: np.ndarray, most: int = 8) -> str:
    """Names along one of the loops among the nodes that wait for each other."""
    src, dst = graph.edges["src"], graph.edges["dst"]
    inner = held[src] & held[dst]
    # Whatever waits has one before it that waits: going back ends in a loop.
    before = dict(zip(dst[inner].tolist(), src[inner].tolist(), strict=True))
    node = next(iter(before))
    seen: dict[int, int] = {}
    while node not in seen:
        seen[node] = len(seen)
        node = before[node]
    loop = [each for each, place in seen.items() if place >= seen[node]]
    names = dict.fromkeys(graph.names.get(each // 2, "") for each in reversed(loop))
    found = [name for name in names if name]
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")
