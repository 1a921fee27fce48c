"""Networks cut into sections, each on the chip as often as it has to be: slow layers more often than large ones.

A layer of few channels and many pixels is slow on its PE and takes few PEs; one of many channels is fast, and its
weights alone take many. So the chip has the first layers many times, each copy with images of its own, and the last
ones once. From section to section a map leaves the chip's collection tree into a frame buffer, and enters the
distribution tree again when its turn comes: each copy of the next section gets whole frames one after the other.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.flit import MAX_TURN
from ohmweave.sim.graph import Graph, Tensor
from ohmweave.sim.mapping.connect import crossings
from ohmweave.sim.mapping.cut import Cut, Cutter, Stream
from ohmweave.sim.mapping.times import longest, piece_times, stream_flits

__all__ = ["Division", "Run", "divisions"]

#: Intervals that are offered, from the shortest on.
OFFERED = 8
#: Share of the chip's PEs that a division may take: with fewer left free, links run out.
FULL = 15 / 16
#: What a PE is said to cost more in a stage of several rows, whose slices are put together on links of the mesh; where
#: these are too few for the division with the fewest PEs, that with the least costs may have enough.
JOINING = 0.2


@dataclass(frozen=True, eq=False)
class Run:
    """A section: stages [first, behind) of the network, so many copies of them, and the rows of PEs of some stages."""

    first: int
    behind: int
    copies: int
    rows: Mapping[str, int]

    def cuts(self, graph: Graph, params: GroupParams) -> tuple[Cut, ...]:
        cutter = Cutter(graph, params.pe, (self.first, self.behind))
        return tuple(cutter.cut(self.rows) for _ in range(self.copies))


@dataclass(frozen=True, eq=False)
class Division:
    """A network's sections.

    interval  cycles from image to image that its slowest copies, each with its share of the images, allow
    pes       that all copies take
    """

    runs: tuple[Run, ...]
    interval: float
    pes: int


@dataclass(frozen=True)
class _Choice:
    """So many rows of PEs for a stage."""

    rows: int
    pes: int
    cycles: int

    def cost(self, joining: float) -> float:
        return self.pes * (1 + joining * (self.rows > 1))


class _Divider:
    """Finds the sections with the fewest PEs for an interval."""

    def __init__(self, graph: Graph, params: GroupParams):
        self._cutter = Cutter(graph, params.pe)
        self._params = params
        self._stages = self._cutter.stages
        self._choices = self._of_stages()
        # Where the network can begin, be cut and end: number of the stage behind → flits of the map there.
        self._flits = self._crossing()

    def _of_stages(self) -> list[list[_Choice]]:
        """For each stage from one row of PEs on, as long as more rows make it faster."""
        most = [self._cutter.most_rows(stage.name) for stage in self._stages]
        found: list[list[_Choice]] = [[] for _ in self._stages]
        # Rows of which the widest is narrower than with fewer of them.
        useful = {-(-blocks // width) for blocks in set(most) for width in range(1, blocks + 1)}
        for rows in sorted(useful):
            each = {stage.name: min(rows, blocks) for stage, blocks in zip(self._stages, most, strict=True)}
            try:
                cut = self._cutter.cut(each)
            except OhmweaveError:  # rows that are no whole flits
                continue
            for stage, choices in zip(self._stages, found, strict=True):
                pieces = cut.of(stage.name)
                cycles = longest(piece_times(piece, self._params.pe) for piece in pieces).longest
                if not choices or cycles < choices[-1].cycles:
                    choices.append(_Choice(each[stage.name], len(pieces), cycles))
        return found

    def _crossing(self) -> dict[int, int]:
        found = {number: self._map(tensor) for number, tensor in crossings(self._stages).items()}
        last = len(self._stages)
        return {
            number: flits for number, flits in found.items() if flits <= MAX_TURN or number in (0, last)
        } | {last: 0}

    def _map(self, tensor: Tensor) -> int:
        return stream_flits(Stream(tensor, (0, tensor.shape[0]), tensor.bits), self._params.pe)

    def intervals(self) -> list[float]:
        """All that copies of a stage, or of a map between sections, can bring about."""
        cycles = {choice.cycles for choices in self._choices for choice in choices}
        cycles.update(flits for flits in self._flits.values() if flits)
        return sorted({each / copies for each in cycles for copies in self._copies})

    @property
    def _copies(self) -> range:
        """A copy needs an entry of its own."""
        return range(1, self._params.entries + 1)

    def division(self, interval: float, joining: float = 0.0) -> Division | None:
        """That with the least costs, then the fewest copies, for an interval; None where none is so fast."""
        sections = self._sections(interval, joining)
        # (stages so far, entries that their copies take, copies of the last section) → costs, and the sections.
        found: dict[tuple[int, int, int], tuple[float, tuple[tuple[int, int, int], ...]]] = {
            (0, 0, self._params.entries): (0.0, ())
        }
        for behind in sorted(self._flits):
            for (first, to, copies), cost in sections.items():
                if to != behind:
                    continue
                for (stages, used, many), (before, runs) in list(found.items()):
                    # A frame buffer sends one frame at a time, as fast as its reader reads: more copies than those that
                    # fill the buffers would be slower, each for itself, and wait for each other.
                    if stages == first and copies <= many and used + copies <= self._params.entries:
                        new = (before + cost, (*runs, (first, to, copies)))
                        key = (to, used + copies, copies)
                        found[key] = min(found.get(key, new), new)
        ends = [
            (cost, used, runs)
            for (stages, used, _), (cost, runs) in found.items()
            if stages == len(self._stages)
        ]
        if not ends:
            return None
        _, _, runs = min(ends)
        made = tuple(Run(*run, self._rows(*run, interval)) for run in runs)
        return Division(made, interval, sum(run.copies * self._pes(run) for run in made))

    def _pes(self, run: Run) -> int:
        """PEs of a copy."""
        choices = zip(self._stages, self._choices, strict=True)
        each = {stage.name: {choice.rows: choice.pes for choice in made} for stage, made in choices}
        return sum(each[name][rows] for name, rows in run.rows.items())

    def _sections(self, interval: float, joining: float) -> dict[tuple[int, int, int], float]:
        """(first stage, stage behind, copies) → costs of all copies, of all sections that are fast enough."""
        found: dict[tuple[int, int, int], float] = {}
        for copies in self._copies:
            limit = interval * copies
            fast = [
                next((each for each in choices if each.cycles <= limit), None) for choices in self._choices
            ]
            for first, flits_in in self._flits.items():
                cost = 0.0
                for number in range(first, len(fast) if flits_in <= limit else first):
                    choice = fast[number]
                    if choice is None:
                        break
                    cost += choice.cost(joining)
                    if self._flits.get(number + 1, limit + 1) <= limit:
                        found[first, number + 1, copies] = copies * cost
        return found

    def _rows(self, first: int, behind: int, copies: int, interval: float) -> dict[str, int]:
        return {
            stage.name: next(each.rows for each in choices if each.cycles <= interval * copies)
            for stage, choices in zip(self._stages[first:behind], self._choices[first:behind], strict=True)
        }


def divisions(graph: Graph, params: GroupParams) -> list[Division]:
    """Ways to divide a network among the PEs of a chip, the fastest first; `OhmweaveError` as from `Cutter`."""
    divider = _Divider(graph, params)
    found: list[Division] = []
    offered = 0
    intervals = divider.intervals()

    def fits(interval: float) -> bool:
        made = divider.division(interval)
        return made is not None and made.pes <= FULL * params.pes

    # The more time there is, the fewer PEs it takes.
    for interval in intervals[bisect_left(intervals, True, key=fits) :]:
        made = [divider.division(interval, joining) for joining in (JOINING, 0.0)]
        assert made[-1] is not None
        if found and made[-1].pes >= found[-1].pes:
            continue
        found += [each for each in made if each is not None and each.pes <= FULL * params.pes]
        offered += 1
        if offered == OFFERED:
            break
    return found
