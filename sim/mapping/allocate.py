"""How many rows of PEs each stage gets: the slowest stage is made faster, as long as there are PEs.

PEs that are left can shorten the way of a single frame: a stage's last row comes out after the last row of what it
reads, and the time of that row adds up over the stages one behind the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.cut import Cut, Cutter
from ohmweave.sim.mapping.times import Times, longest, piece_times

__all__ = ["Allocation", "Step", "allocated", "quicker"]


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


def allocated(graph: Graph, pe: PEParams, pes: int, run: tuple[int, int] | None = None) -> Allocation:
    """The stages of a network, or a run of them as in `Cutter`, on at most `pes` PEs.

    Step by step the slowest stage is cut into more rows, by its output channels, until it is faster; a stage that is
    no faster with more rows, or for which no PEs are left, ends the course.
    """
    cutter = Cutter(graph, pe, run)
    rows: dict[str, int] = {}
    best = cutter.cut()
    if len(best.pieces) > pes:
        raise OhmweaveError(
            f"{graph.name} needs {len(best.pieces)} PEs for all its stages at once, {len(best.pieces) - pes} more than "
            f"the {pes} of the chip"
        )
    steps = [_slowest(best, pe)]
    course = [Allocation(cutter, best, rows, tuple(steps))]
    while (made := _faster(cutter, pe, rows, steps[-1], pes)) is not None:
        best, rows = made
        steps.append(_slowest(best, pe))
        course.append(Allocation(cutter, best, rows, tuple(steps)))
    # The last steps may have made stages faster than one that takes as long and cannot be: the first is as good.
    return next(each for each in course if each.interval == course[-1].interval)


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


@dataclass(frozen=True)
class _Widening:
    """A stage in so many more rows of PEs: PEs more, and the cycles by which a row of its map takes less."""

    stage: str
    rows: int
    pes: int
    gain: float


def quicker(start: Allocation, pe: PEParams, pes: int) -> Iterator[Allocation]:
    """The same with PEs that are left, at most `pes` in all, for stages whose rows of pixels come slowly.

    First that with the most PEs, then those without the half of the steps that gains least for each PE, and so on,
    which are easier to lay out; last the allocation as it is.
    """
    steps: list[_Widening] = []
    left = pes - len(start.cut.pieces)
    for step in sorted(_widenings(start, pe), key=lambda step: -step.gain / step.pes):
        # A stage's steps come in their order, or not at all.
        done = max(
            (each.rows for each in steps if each.stage == step.stage), default=_rows(start, step.stage)
        )
        if step.pes <= left and step.rows == 2 * done:
            steps.append(step)
            left -= step.pes
    while steps:
        rows = {**start.rows, **{step.stage: step.rows for step in steps}}
        try:
            cut = start.cutter.cut(rows)
        except OhmweaveError:  # rows that are no whole flits together
            pass
        else:
            yield replace(start, cut=cut, rows=rows)
        steps = steps[: len(steps) // 2]
    yield start


def _rows(allocation: Allocation, stage: str) -> int:
    """Rows of PEs that a stage has."""
    return sum(piece.final for piece in allocation.cut.of(stage))


def _widenings(start: Allocation, pe: PEParams) -> Iterator[_Widening]:
    """Each stage in twice as many rows, and again, as long as that is faster."""
    for stage in start.cutter.stages:
        pieces, rows = start.cut.of(stage.name), _rows(start, stage.name)
        cycles = longest(piece_times(piece, pe) for piece in pieces).longest
        while 2 * rows <= start.cutter.most_rows(stage.name):
            rows *= 2
            try:
                wider = start.cutter.cut({**start.rows, stage.name: rows}).of(stage.name)
            except OhmweaveError:  # rows that are no whole flits
                break
            faster = longest(piece_times(piece, pe) for piece in wider).longest
            if faster >= cycles or len(wider) <= len(pieces):
                break
            gain = (cycles - faster) / stage.result.shape[1]
            yield _Widening(stage.name, rows, len(wider) - len(pieces), gain)
            pieces, cycles = wider, faster
