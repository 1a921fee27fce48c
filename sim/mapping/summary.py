"""What a way of running a network comes to: stages, where they stand, and what bounds them, before anything runs."""

from dataclasses import dataclass
from itertools import pairwise

from ohmweave.params import GroupParams
from ohmweave.rtl.group import mesh_side
from ohmweave.sim.compiler import compile_chain
from ohmweave.sim.copies import Copies
from ohmweave.sim.mapping.mapped import Mapped
from ohmweave.sim.mapping.parts import Parts
from ohmweave.sim.mapping.times import Times, longest, net_flits, piece_times, tiling_times
from ohmweave.sim.ways import Layers, Way

__all__ = ["LinkUse", "StageUse", "Summary", "summary"]


@dataclass(frozen=True)
class StageUse:
    """A stage: its PEs in each copy, and the most cycles that one is at work for an image, on each of what it does."""

    name: str
    units: tuple[tuple[int, ...], ...]
    times: Times

    @property
    def copies(self) -> int:
        return len(self.units)

    @property
    def pes(self) -> int:
        return sum(len(copy) for copy in self.units)


@dataclass(frozen=True)
class LinkUse:
    """A link of the mesh: the unit and the side that it leaves by, whose results it carries.

    flits  that it carries for an image, on average where other copies' links carry those of other images
    """

    unit: int
    side: int
    stage: str
    flits: float


@dataclass(frozen=True)
class Summary:
    """A network on a chip.

    interval  cycles from image to image that the slowest stage, or the host's link, allows: a prediction
    course    (PEs, slowest stage, its cycles) after each step of the allocation
    parts     of a network that is on the chip part by part; `links` are theirs
    why       it runs layer by layer or in parts; empty where all stages are on the chip at once, `links` and `units`
              where they go layer by layer
    """

    params: GroupParams
    copies: int
    stages: tuple[StageUse, ...]
    links: tuple[LinkUse, ...]
    interval: float
    course: tuple[tuple[int, str, int], ...]
    why: str = ""
    parts: tuple["Summary", ...] = ()

    @property
    def pes(self) -> int:
        """PEs that work; of a network that runs layer by layer or in parts, in the largest of them."""
        if self.parts:
            return max(part.pes for part in self.parts)
        counts = [stage.pes for stage in self.stages]
        return max(counts) if self.why else sum(counts)

    @property
    def link_count(self) -> int:
        """Links of the mesh, both directions."""
        side = self.params.side
        return 4 * side * (side - 1)

    def busy(self, link: LinkUse) -> float:
        """Share of the time in which a link has a flit."""
        return link.flits / self.interval

    @property
    def slowest(self) -> StageUse:
        """The stage that allows the fewest images, all of its copies together."""
        return max(self.stages, key=lambda stage: stage.times.longest / stage.copies)


def summary(chosen: Way, params: GroupParams) -> Summary:
    if isinstance(chosen, Mapped):
        return _of_mapped(chosen)
    if isinstance(chosen, Copies):
        return _of_copies(chosen, params)
    if isinstance(chosen, Parts):
        return _of_parts(chosen, params)
    return _of_layers(chosen, params)


def _of_parts(chosen: Parts, params: GroupParams) -> Summary:
    parts = tuple(_of_mapped(part) for part in chosen.parts)
    stages = tuple(stage for part in parts for stage in part.stages)
    return Summary(params, 1, stages, (), chosen.interval, (), chosen.why or "as it was asked to", parts)


def _of_mapped(chosen: Mapped) -> Summary:
    placement, pe = chosen.layout.placement, chosen.params.pe
    stages: list[StageUse] = []
    copies: dict[str, int] = {}
    for cuts in chosen.sections:
        for name in dict.fromkeys(piece.stage.name for piece in cuts[0].pieces):
            units = tuple(tuple(placement[piece] for piece in cut.of(name)) for cut in cuts)
            stages.append(
                StageUse(name, units, longest(piece_times(piece, pe) for piece in cuts[0].of(name)))
            )
            copies[name] = len(cuts)
    links = []
    for route in chosen.layout.routes:
        source = route.net.source
        name = source.stage.name
        links += [LinkUse(*link, name, net_flits(source, pe) / copies[name]) for link in route.links]
    course = [(step.pes, step.stage, step.times.longest) for step in chosen.steps]
    return Summary(chosen.params, chosen.copies, tuple(stages), tuple(links), chosen.interval, tuple(course))


def _of_copies(chosen: Copies, params: GroupParams) -> Summary:
    """A chain: what its program says, since it places the layers itself."""
    program = compile_chain(chosen.layers, params, copies=chosen.count)
    stages = []
    for layer, placed in zip(chosen.layers, program.stages, strict=True):
        each = [tiling_times(tiling, params.pe) for tiling in layer.parts]
        times = Times(
            array=sum(part.array for part in each),
            sums=0,
            flits_in=each[0].flits_in,
            flits_out=each[-1].flits_out,
        )
        stages.append(StageUse(placed.name, tuple((unit,) for unit in placed.units), times))
    links = []
    for before, after in pairwise(stages):
        for (here,), (there,) in zip(before.units, after.units, strict=True):
            flits = before.times.flits_out / chosen.count
            links.append(LinkUse(here, mesh_side(here, there), before.name, flits))
    slowest = max(stages, key=lambda stage: stage.times.longest).times.longest
    link = max(-(-stages[0].times.flits_in // min(params.entries, chosen.count)), stages[-1].times.flits_out)
    return Summary(params, chosen.count, tuple(stages), tuple(links), max(slowest / chosen.count, link), ())


def _of_layers(chosen: Layers, params: GroupParams) -> Summary:
    stages = tuple(
        StageUse(tiling.name, (tuple(range(tiling.pes)),), tiling_times(tiling, params.pe))
        for tiling in chosen.tilings
    )
    return Summary(
        params,
        1,
        stages,
        (),
        sum(stage.times.longest for stage in stages),
        (),
        chosen.why or "as it was asked to",
    )
