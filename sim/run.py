"""One run: compile the network, simulate the netlist, check every output against the golden model, measure.

A network runs in one of the ways of `ohmweave.sim.ways`: as a pipeline, or one stage after the other.
"""

import contextlib
import errno
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim import golden, graph_golden
from ohmweave.sim.batch import Batch, batches
from ohmweave.sim.cache import is_full
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.connections import check_connections
from ohmweave.sim.copies import Copies
from ohmweave.sim.graph import Graph, from_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.layerwise import PassRun, run_layers
from ohmweave.sim.mapping.mapped import INTERVAL, Mapped
from ohmweave.sim.mapping.parts import Parts
from ohmweave.sim.network import Network
from ohmweave.sim.npz import replaceable
from ohmweave.sim.program import Program
from ohmweave.sim.report import Cycles, LayerUse, LinkUse, Report, SimTimes, versions
from ohmweave.sim.stages import MOVES, Stage, stages
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.use import Ran, link_use, use_of
from ohmweave.sim.ways import AUTO, LAYERS, PARTS, PIPELINE, Layers, Way, way

if TYPE_CHECKING:
    from ohmweave.sim.backends import Result

__all__ = [
    "BACKENDS",
    "BUILDING",
    "CHECKING",
    "GOLDEN",
    "MAPPING",
    "SIMULATING",
    "Outcome",
    "Progress",
    "compiled",
    "planned",
    "run",
]

GOLDEN = "golden"
#: What `run` takes as `backend`: the simulators of the netlist, the default first, the cycle
#: model, and the golden model alone.
BACKENDS = ("cxxrtl", "verilator", "icarus", "pysim", "cycle", GOLDEN)
#: What the report calls ways to run; all others are pipelines.
_KIND = {Layers: LAYERS, Parts: PARTS}
# The package whose version is reported beside those that every run needs.
PACKAGES = {"verilator": ("verilator",)}

#: What a run does, one after the other, as `Progress` is told.
MAPPING = "placing the layers"
BUILDING = "building the simulation"
SIMULATING = "simulating"
CHECKING = "checking against the golden model"

#: Called with what is being done, how much of it is done, and how much there is; 0 of 0 where nobody knows.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """The report, and the logits (N, classes) that it is about."""

    report: Report
    logits: np.ndarray


def run(
    network: Network | Graph,
    images: ImageSet,
    params: GroupParams,
    *,
    arch: str,
    backend: str = BACKENDS[0],
    jobs: int = 1,
    copies: int | None = 1,
    mapping: str = AUTO,
    aim: str = INTERVAL,
    program: Program | None = None,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run images through a network on a chip.

    arch      what the report calls the chip
    backend   one of `BACKENDS`
    jobs      simulations side by side, each with a share of the images
    copies    of the network on the chip, which take images in turn; None: as many as make it faster
    mapping   one of `ways.MAPPINGS`
    aim       one of `mapped.AIMS`: what PEs that are left are for
    program   of the network for the chip, compiled before, in place of `copies`, `mapping` and `aim`
    waves     file for the waveforms of the simulation
    progress  told how far it is
    """
    if backend not in BACKENDS:
        raise OhmweaveError(f"the backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    graph = _graph(network)
    # Also when only the golden model runs: the report is about a chip that the network fits.
    told = progress or _silent
    told(MAPPING, 0, 0)
    chosen = program or planned(network, params, copies=copies, mapping=mapping, aim=aim)
    placed = _placed(chosen)
    if backend == GOLDEN and waves is not None:
        raise OhmweaveError("waveforms need a simulator, and the golden backend is none")
    start = time.perf_counter()
    if backend == GOLDEN:
        logits = _expected(network, images, params)
        measured = _Measured(
            logits, None, placed, SimTimes(build_s=0.0, run_s=time.perf_counter() - start, cycles_per_s=None)
        )
        mismatches = 0
    else:
        chip = _Chip(params, backend, jobs, waves, told)
        if isinstance(chosen, Layers):
            measured = _run_layers(graph, chosen.tilings, images, chip)
        elif isinstance(chosen, Parts):
            measured = _run_parts(graph, chosen.parts, images, chip)
        else:
            made = chosen if isinstance(chosen, Program) else compiled(chosen, params)
            measured = _run_pipeline(graph, made, images, chip)
        told(CHECKING, 0, 0)
        expected = _expected(network, images, params).reshape(len(images), -1)
        mismatches = int((measured.logits.reshape(len(images), -1) != expected).any(axis=1).sum())
    report = Report(
        model=network.name,
        arch=arch,
        backend=backend,
        mapping=_KIND.get(type(chosen), PIPELINE),
        parts=[[layer.name for layer in _placed(part)] for part in chosen.parts]
        if isinstance(chosen, Parts)
        else [],
        written=measured.written,
        host=_moves(graph) if isinstance(chosen, Layers) else {},
        images=len(images),
        correct=_correct(measured.logits, images),
        mismatches=mismatches,
        cycles=measured.cycles,
        layers=measured.layers,
        links=measured.links,
        batch=measured.batch,
        sim=measured.sim,
        versions=versions(PACKAGES.get(backend, ())),
    )
    return Outcome(report, measured.logits)


def planned(
    network: Network | Graph,
    params: GroupParams,
    *,
    copies: int | None = 1,
    mapping: str = AUTO,
    aim: str = INTERVAL,
) -> Way:
    """How a network would run on a chip; `OhmweaveError` if it cannot."""
    graph = _graph(network)
    tilings = [tiled(stage, params) for stage in _named_stages(network, graph)]
    _check_adc(network, tilings, params)
    return way(graph, tilings, params, copies=copies, mapping=mapping, aim=aim)


def _graph(network: Network | Graph) -> Graph:
    return network if isinstance(network, Graph) else from_network(network)


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


def _named_stages(network: Network | Graph, graph: Graph) -> tuple[Stage, ...]:
    """The stages of a graph, those of a network by the names of its layers."""
    found = stages(graph)
    if isinstance(network, Graph):
        return found
    return tuple(replace(stage, name=stage.result.name) for stage in found)


def _check_adc(network: Network | Graph, tilings: Sequence[Tiling], params: GroupParams) -> None:
    """Refuse what the golden model of a finite ADC does not describe: sums that are put together of several reads."""
    if params.pe.array.lossless:
        return
    if isinstance(network, Graph):
        raise OhmweaveError(
            f"a finite ADC is modelled for networks of plain layers, and {network.name} is a graph"
        )
    layers = {layer.name for layer in network.layers}
    for tiling in tilings:
        name = tiling.stage.name
        if tiling.stage.result.name not in layers or tiling.reads > 1 or len(tiling.shares) > 1:
            raise OhmweaveError(
                f"a finite ADC is modelled for layers that one PE reads once a window, and {name} is none"
            )


def _moves(graph: Graph) -> dict[str, int]:
    """How many nodes of each kind only move numbers, which the host does."""
    kinds = [type(node).__name__.lower() for node in graph.nodes if isinstance(node, MOVES)]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _expected(network: Network | Graph, images: ImageSet, params: GroupParams) -> np.ndarray:
    """Logits of the golden model."""
    if isinstance(network, Graph):
        return graph_golden.logits(network, images.pixels)
    return golden.logits(network, images.pixels, array=params.pe.array)


def _correct(logits: np.ndarray, images: ImageSet) -> int | None:
    if images.labels is None or logits.ndim != 2:
        return None
    return int((golden.classify(logits) == images.labels).sum())


@dataclass(frozen=True)
class _Measured:
    """What a run gave, however it ran."""

    logits: np.ndarray
    cycles: Cycles | None
    layers: Sequence[LayerUse]
    sim: SimTimes
    links: LinkUse | None = None
    batch: Sequence[Batch] = ()
    written: int | None = None


@dataclass(frozen=True)
class _Chip:
    """Runs programs in a simulator."""

    params: GroupParams
    backend: str
    jobs: int
    waves: Path | None
    progress: Progress

    def simulate(
        self, program: Program, frames: np.ndarray, progress: Callable[[int, int], None]
    ) -> "Result":
        # The backends bring the whole hardware generator with them, which the golden model does without.
        from ohmweave.sim.backends import Job, simulate

        check_connections(program)
        job = Job.of(program, frames)
        with _whole(self.waves) as unfinished:
            return simulate(
                self.params, job, backend=self.backend, jobs=self.jobs, waves=unfinished, progress=progress
            )


def compiled(chosen: Copies | Mapped, params: GroupParams) -> Program:
    """The program of a network that is on the chip as a whole."""
    if isinstance(chosen, Mapped):
        return chosen.program()
    return compile_chain(chosen.layers, params, copies=chosen.count)


def _placed(chosen: Way | Program) -> list[LayerUse]:
    """The layers and their PEs, of which nothing was measured."""
    if isinstance(chosen, Program):
        return [LayerUse(stage.name, None, None, len(stage.units)) for stage in chosen.stages]
    if isinstance(chosen, Mapped):
        counts = Counter(piece.stage.name for piece in chosen.pieces)
        return [LayerUse(name, None, None, pes) for name, pes in counts.items()]
    if isinstance(chosen, Parts):
        return [layer for part in chosen.parts for layer in _placed(part)]
    layers = chosen.tilings if isinstance(chosen, Layers) else chosen.layers
    count = chosen.count if isinstance(chosen, Copies) else 1
    return [LayerUse(each.name, None, None, each.pes * count) for each in layers]


def _pixels(graph: Graph, images: ImageSet) -> np.ndarray:
    """Numbers (N, height, width, channels) of the graph's input."""
    return images.pixels.reshape(*images.pixels.shape[:3], -1) >> (8 - graph.input.bits)


def _run_pipeline(graph: Graph, program: Program, images: ImageSet, chip: _Chip) -> _Measured:
    chip.progress(BUILDING, 0, 0)
    pixels = _pixels(graph, images)
    result = chip.simulate(
        program,
        program.encode(pixels),
        lambda done, total: chip.progress(SIMULATING, done * program.copies, total * program.copies),
    )
    cycles = measure(result, program.copies)
    return _Measured(
        logits=_logits(graph, program.decode(result.outputs, len(images))),
        cycles=cycles,
        layers=layer_use(program, result, cycles.interval),
        sim=_times([result]),
        links=link_use(
            chip.params, [result], result.shards[0] * program.copies, cycles.interval or cycles.latency
        ),
        batch=batches([result], len(images), program.copies),
        written=_written([program]),
    )


def _run_parts(graph: Graph, parts: Sequence[Mapped], images: ImageSet, chip: _Chip) -> _Measured:
    """All images through one part after the other."""
    _refuse_waves(chip)
    chip.progress(BUILDING, 0, 0)
    values = _pixels(graph, images)
    programs = [part.program() for part in parts]
    results: list[Result] = []
    layers: list[LayerUse] = []
    for number, program in enumerate(programs):
        chip.progress(SIMULATING, number, len(programs))
        result = chip.simulate(program, program.encode(values), lambda _done, _total: None)
        results.append(result)
        cycles = measure(result)
        layers += layer_use(program, result, cycles.latency if cycles.interval is None else cycles.interval)
        # Numbers between stages are not negative; the last ones may be.
        values = program.decode(result.outputs)
    cycles = _one_after_the_other(results)
    return _Measured(
        logits=_logits(graph, values),
        cycles=cycles,
        layers=layers,
        sim=_times(results),
        links=link_use(chip.params, results, results[0].shards[0], cycles.interval or cycles.latency),
        batch=batches(results, len(images)),
        written=_written(programs),
    )


def _written(programs: Iterable[Program]) -> int:
    """Cells that are written in all: each program writes the whole of the arrays that it uses."""
    return sum(levels.size for program in programs for levels in program.levels.values())


def _refuse_waves(chip: _Chip) -> None:
    if chip.waves is not None:
        raise OhmweaveError("waveforms are of one configuration of the chip, and this network needs several")


def _one_after_the_other(results: Sequence["Result"]) -> Cycles:
    """Of configurations of the chip that all images pass through."""
    each = [measure(result) for result in results]
    intervals = [cycles.interval for cycles in each if cycles.interval is not None]
    return Cycles(
        latency=sum(cycles.latency for cycles in each),
        interval=sum(intervals) if len(intervals) == len(each) else None,
        total=sum(cycles.total for cycles in each),
    )


def _run_layers(graph: Graph, tilings: Sequence[Tiling], images: ImageSet, chip: _Chip) -> _Measured:
    _refuse_waves(chip)
    chip.progress(BUILDING, 0, 0)
    ran = run_layers(
        graph,
        tilings,
        images.pixels,
        chip.params,
        lambda program, frames: chip.simulate(program, frames, lambda _done, _total: None),
        lambda done, total: chip.progress(SIMULATING, done, total),
    )
    results = [each.result for each in ran.passes]
    cycles = _one_after_the_other(results)
    return _Measured(
        logits=_logits(graph, ran.values),
        cycles=cycles,
        layers=[stage_use(tiling, ran.passes) for tiling in tilings],
        sim=_times(results),
        links=link_use(chip.params, results, results[0].shards[0], cycles.interval or cycles.latency),
        batch=batches(results, len(images)),
        written=_written(each.program for each in ran.passes),
    )


def _logits(graph: Graph, values: np.ndarray) -> np.ndarray:
    """(N, height, width, channels) in the shape and type of the golden model's logits."""
    maps = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    return maps.reshape(len(values), *graph.logits_shape).astype(graph.logits_dtype)


def _times(results: Sequence["Result"]) -> SimTimes:
    run_s = sum(result.run_s for result in results)
    simulated = sum(result.simulated for result in results)
    return SimTimes(
        build_s=sum(result.build_s for result in results),
        run_s=run_s,
        cycles_per_s=simulated / run_s if run_s > 0 else None,
    )


def stage_use(tiling: Tiling, passes: Sequence[PassRun]) -> LayerUse:
    """How the PEs of one stage spent the intervals of its passes; of several PEs, the busiest counts."""
    mine = [each for each in passes if each.tiling is tiling]
    runs = [Ran(each.result, each.program.stages[0].units, each.result.shards[0]) for each in mine]
    measured = [measure(each.result) for each in mine]
    interval = sum(cycles.latency if cycles.interval is None else cycles.interval for cycles in measured)
    return use_of(tiling.stage.name, tiling.pes, runs, interval)


@contextlib.contextmanager
def _whole(waves: Path | None) -> Iterator[Path | None]:
    """Where to write the waves so that they appear only when they are whole: the same name in a folder beside."""
    if waves is None:
        yield None
        return
    target = replaceable(waves)
    try:
        folder = tempfile.TemporaryDirectory(prefix=".ohmweave-waves-", dir=target.parent)
    except OSError as error:
        raise OhmweaveError(f"{waves} cannot be written: {error.strerror or error}") from None
    with folder as name:
        yield Path(name) / waves.name
        if is_full(Path(name)):  # which no simulator notices
            raise OhmweaveError(f"{waves} cannot be written: {os.strerror(errno.ENOSPC)}")
        try:
            (Path(name) / waves.name).replace(target)
        except OSError as error:
            raise OhmweaveError(f"{waves} cannot be written: {error.strerror or error}") from None


def measure(result: "Result", copies: int = 1) -> Cycles:
    """Latency of the first frame, which finds the pipeline empty, and the interval of the first simulation's images.

    copies  images of a frame
    """
    count = result.shards[0]
    first, last = int(result.last_out[0]), int(result.last_out[count - 1])
    return Cycles(
        latency=first - int(result.first_in[0]) + 1,
        interval=None if count == 1 else (last - first) / (count - 1) / copies,
        total=result.simulated,
    )


def layer_use(program: Program, result: "Result", interval: float | None) -> list[LayerUse]:
    """How each layer's PEs spent an interval of the first simulation; of several PEs, the busiest counts.

    Of copies a PE works on an image for as many intervals as there are copies, of which the mean counts.
    """
    images = result.shards[0] * program.copies
    return [
        use_of(stage.name, len(stage.units), [Ran(result, stage.units, images)], interval)
        for stage in program.stages
    ]
