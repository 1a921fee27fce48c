"""Networks larger than the chip in parts, each on it as a whole, one after the other (Re-ReRAM, section VII-B).

All images pass through a part; then the chip is configured for the next, whose weights are written into its arrays. The
host keeps the map between two parts, so that one can begin where a single map crosses, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.connect import connected, crossings
from ohmweave.sim.mapping.mapped import INTERVAL, Mapped, whole_run
from ohmweave.sim.stages import Stage

__all__ = ["Parts", "parted"]

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Parts:
    """A network's parts in their order.

    why  not all of it is on the chip at once; empty where that was not asked
    """

    parts: Sequence[Mapped]
    why: str = ""

    @property
    def interval(self) -> float:
        """Cycles an image that all parts together allow, the writing of weights not counted."""
        return sum(part.interval for part in self.parts)


def parted(graph: Graph, params: GroupParams, *, aim: str = INTERVAL, why: str = "") -> Parts:
    """The parts that take an image the fewest cycles together, as few of them as can be.

    A part of few stages has more PEs for each; one of many has them at work at the same time.

    aim  of each part, one of `mapped.AIMS`
    """
    stages = connected(graph)
    places = sorted(crossings(stages))
    refused: set[Pair] = set()
    laid_out: dict[Pair, Mapped] = {}

    @cache
    def cycles(run: Pair) -> float | None:
        """Of a part; None for one that is larger than the chip."""
        try:
            return whole_run(graph, params, run, aim).interval
        except OhmweaveError:
            return None

    while True:
        costs = {run: cycles(run) for run in combinations(places, 2) if run not in refused}
        chosen = _fewest_cycles(places, {run: cost for run, cost in costs.items() if cost is not None})
        if chosen is None:
            raise _too_large(
                graph, params, stages, next(run for run in pairwise(places) if costs.get(run) is None), aim
            )
        for run in chosen:
            if run in laid_out:
                continue
            try:
                laid_out[run] = whole_run(graph, params, run, aim).lay_out()
            except OhmweaveError:  # links run out: other parts may have enough
                refused.add(run)
                break
        else:
            return Parts([laid_out[run] for run in chosen], why)


def _too_large(
    graph: Graph, params: GroupParams, stages: Sequence[Stage], run: Pair, aim: str
) -> OhmweaveError:
    """What is said of a network that has no place to be cut inside of a run that does not fit."""
    first, behind = run
    names = f" from {stages[first].name} to {stages[behind - 1].name}" if behind - first > 1 else ""
    try:
        whole_run(graph, params, run, aim).lay_out()
    except OhmweaveError as error:
        return OhmweaveError(f"{graph.name} cannot run in parts, of which one{names} is too large: {error}")
    raise AssertionError("a run that was refused fits")


def _fewest_cycles(places: Sequence[int], costs: dict[Pair, float]) -> list[Pair] | None:
    """Runs from the first to the last place with the least sum, of these as few as can be; None if there are none."""
    best: dict[int, tuple[float, int, list[Pair]]] = {places[0]: (0.0, 0, [])}
    for behind in places[1:]:
        ways = [
            (best[first][0] + costs[first, behind], best[first][1] + 1, [*best[first][2], (first, behind)])
            for first in places
            if first in best and (first, behind) in costs
        ]
        if ways:
            best[behind] = min(ways)
    return best[places[-1]][2] if places[-1] in best else None
