"""How many rows of PEs each stage gets: the slowest stage is made faster, as long as there are PEs."""

from collections.abc import Mapping
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.cut import Cut, Cutter
from ohmweave.sim.mapping.times import Times, piece_times

__all__ = ["Allocation", "Step", "allocated"]


@dataclass(frozen=True)
class Step:
    """The network after a step: the PEs that it takes, its slowest stage, and what binds it."""

    pes: int
    stage: str
    times: Times


@dataclass(frozen=True, eq=False)
class Allocation:
    """A network cut up for some PEs, and the steps that led there; the first has as few PEs as can be."""

    cutter: Cutter
    cut: Cut
    rows: Mapping[str, int]
    steps: tuple[Step, ...]

    def cuts(self, copies: int) -> tuple[Cut, ...]:
        """One of each of so many copies, with pieces of its own."""
        return (self.cut, *(self.cutter.cut(self.rows) for _ in range(copies - 1)))

    @property
    def interval(self) -> int:
        """Cycles from frame to frame that the slowest stage allows."""
        return self.steps[-1].times.longest


def allocated(graph: Graph, pe: PEParams, pes: int) -> Allocation:
    """The stages of a network on at most `pes` PEs.

    Step by step the slowest stage is cut into more rows, by its output channels, until it is faster; a stage that is
    no faster with more rows, or for which no PEs are left, ends the course.
    """
    cutter = Cutter(graph, pe)
    rows: dict[str, int] = {}
    best = cutter.cut()
    if len(best.pieces) > pes:
        raise OhmweaveError(
            f"{graph.name} needs {len(best.pieces)} PEs for all its stages at once, {len(best.pieces) - pes} more than "
            f"the {pes} of the chip"
        )
    steps = [_slowest(best, pe)]
    while True:
        slow = steps[-1]
        made = _faster(cutter, pe, rows, slow, pes)
        if made is None:
            return Allocation(cutter, best, rows, tuple(steps))
        best, rows = made
        steps.append(_slowest(best, pe))


def _slowest(found: Cut, pe: PEParams) -> Step:
    times = [(piece_times(piece, pe), piece.stage.name) for piece in found.pieces]
    slow, name = max(times, key=lambda each: each[0].longest)
    return Step(len(found.pieces), name, slow)


def _faster(
    cutter: Cutter, pe: PEParams, rows: Mapping[str, int], slow: Step, pes: int
) -> tuple[Cut, dict[str, int]] | None:
    """The cut in which the slowest stage has just so many more rows that it is faster."""
    for more in range(rows.get(slow.stage, 1) + 1, cutter.most_rows(slow.stage) + 1):
        wider = {**rows, slow.stage: more}
        try:
            found = cutter.cut(wider)
        except OhmweaveError:  # rows that are no whole flits
            return None
        if len(found.pieces) > pes:
            return None
        if max(piece_times(piece, pe).longest for piece in found.of(slow.stage)) < slow.times.longest:
            return found, wider
    return None
