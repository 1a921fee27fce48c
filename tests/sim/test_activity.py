"""What PEs did and links carried, by hand and in every simulator."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.rtl.activity import PEState
from ohmweave.rtl.links import links
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.cycle.compiled import COMPILED
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.layerwise import run_layers
from ohmweave.sim.program import Program
from ohmweave.sim.random_graph import Limits, random_graph
from ohmweave.sim.stages import stages

TINY = PRESETS["tiny"]


def conv(name: str, source: str, inputs: int, outputs: int, bits: int) -> Conv:
    random = np.random.default_rng([inputs, outputs])
    scale = (
        {}
        if bits == RAW_BITS
        else {"mult": np.full(outputs, 3, np.uint16), "shift": np.full(outputs, 5, np.int8)}
    )
    return Conv(
        name=name, input=source, weights=random.integers(-8, 8, (outputs, inputs, 3, 3)).astype(np.int16),
        weight_bits=4, bias=np.zeros(outputs, np.int64), bits=bits, **scale,  # type: ignore[arg-type]
    )  # fmt: skip


TWO = Graph(
    name="two",
    input=Tensor(name="image", shape=(2, 5, 6), bits=4),
    nodes=(conv("one", "image", 2, 4, 4), conv("two", "one", 4, 3, RAW_BITS)),
)
IMAGES = 3


def job_of() -> Job:
    program = compile_chain([tiled(stage, TINY) for stage in stages(TWO)], TINY)
    pixels = np.random.default_rng(1).integers(0, 16, (IMAGES, 5, 6, 2), dtype=np.uint8)
    return Job.of(program, program.encode(pixels))


def carried(result: Result) -> dict[str, int]:
    """Flits of the links that carried any."""
    return {link.name: int(n) for link, n in zip(links(TINY), result.flits, strict=True) if n}


def test_two_layers_by_hand() -> None:
    """A PE each: 3×4 and 1×2 windows of one read; 30 pixels of 8 bits, 12 of 16, 2 of 3 sums of 32 bits."""
    job = job_of()
    result = simulate(TINY, job)
    span = int(result.last_out[-1] - result.first_in[0] + 1)
    assert (result.states.sum(axis=1) == span).all()
    np.testing.assert_array_equal(result.states[:, PEState.READ], result.busy)
    read_cycles = TINY.pe.array.read_cycles
    np.testing.assert_array_equal(result.busy, [IMAGES * 12 * read_cycles, IMAGES * 2 * read_cycles, 0, 0])
    # The others were told nothing; of these two neither waits for partial sums, nor for whoever takes results.
    np.testing.assert_array_equal(result.states[:, PEState.OFF], [0, 0, span, span])
    assert not result.states[:, [PEState.OUTPUT, PEState.NEIGHBOUR]].any()
    assert (result.states[:2, [PEState.COMPUTE, PEState.INPUT]] > 0).all()
    assert carried(result) == {
        "host -> node 0.0": IMAGES * 15,
        "node 0.0 -> PE 0": IMAGES * 15,
        "PE 0 -> PE 1": IMAGES * 12,
        "PE 1 -> node 0.0": IMAGES * 12,
        "node 0.0 -> host": IMAGES * 12,
    }


@pytest.mark.parametrize("backend", ["verilator", "icarus", "pysim"])
def test_every_simulator(backend: str) -> None:
    if backend == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")
    expected, found = simulate(TINY, job_of()), simulate(TINY, job_of(), backend)
    for name in ("busy", "states", "flits", "cycles"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_shares_have_the_first_one_s() -> None:
    job = job_of()
    whole, first = simulate(TINY, job, jobs=2), simulate(TINY, replace(job, frames=job.frames[:2]))
    np.testing.assert_array_equal(whole.states, first.states)
    np.testing.assert_array_equal(whole.flits, first.flits)


@pytest.mark.skipif(not COMPILED, reason="numba is not here")
def test_graphs_reach_every_state() -> None:
    """A graph whose stages wait for partial sums, and for whoever takes what they send."""
    found = np.zeros(len(PEState), np.int64)

    def both(program: Program, frames: np.ndarray) -> Result:
        job = Job.of(program, frames)
        netlist, model = simulate(TINY, job), simulate(TINY, job, "cycle")
        for name in ("states", "flits"):
            np.testing.assert_array_equal(getattr(model, name), getattr(netlist, name), err_msg=name)
        found[:] += netlist.states.sum(axis=0)
        return netlist

    graph = random_graph(8, Limits(size=7, channels=6, steps=4))
    channels, height, width = graph.input.shape
    images = np.random.default_rng(8).integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    tilings = [tiled(stage, TINY) for stage in stages(graph)]
    run_layers(graph, tilings, images, TINY, both, lambda _done, _total: None)
    assert (found > 0).all(), found
