"""Networks larger than the chip in parts, each on it as a whole, one after the other (Re-ReRAM, section VII-B).

All images pass through a part; then the chip is configured for the next, whose weights are written into its arrays. The
host keeps the map between two parts, so that one can begin where a single map crosses, and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.connect import connected, crossings
from ohmweave.sim.mapping.mapped import INTERVAL, Choice, Mapped, whole_run

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
    choices: dict[Pair, Choice] = {}
    refused: dict[Pair, OhmweaveError] = {}
    for run in combinations(places, 2):
        try:
            choices[run] = whole_run(graph, params, run, aim)
        except OhmweaveError as error:  # larger than the chip
            refused[run] = error
    laid_out: dict[Pair, Mapped] = {}
    while True:
        chosen = _fewest_cycles(places, {run: choice.interval for run, choice in choices.items()})
        if chosen is None:
            first, behind = next(run for run in pairwise(places) if run in refused)
            names = f" from {stages[first].name} to {stages[behind - 1].name}" if behind - first > 1 else ""
            raise OhmweaveError(
                f"{graph.name} cannot run in parts, of which one{names} is too large: {refused[first, behind]}"
            )
        for run in chosen:
            if run in laid_out:
                continue
            try:
                laid_out[run] = choices[run].lay_out()
            except OhmweaveError as error:  # links run out: other parts may have enough
                refused[run] = error
                del choices[run]
                break
        else:
            return Parts([laid_out[run] for run in chosen], why)


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
