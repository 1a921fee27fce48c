"""The cycle model against the netlist: every output, and every stamp and count, the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.isa import AluOp, Format
from ohmweave.sim import library
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.backends import cycle as backend
from ohmweave.sim.backends.design import ChipSource
from ohmweave.sim.compiler import compile_chain, compile_pass, is_chain, tiled
from ohmweave.sim.copies import copied
from ohmweave.sim.cycle.compiled import COMPILED
from ohmweave.sim.cycle.lanes import operate
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor, from_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.layerwise import run_layers
from ohmweave.sim.program import Program, packets
from ohmweave.sim.random_graph import Limits as GraphLimits
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.random_network import Limits, random_network
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.two_layers import two_layers
from ohmweave.testbench import arithmetic_model

TINY = PRESETS["tiny"]
ALONE = replace(TINY, levels=0)
LIMITS = Limits(
    layers=TINY.pes,
    rows=TINY.pe.array.rows,
    out_channels=TINY.pe.array.cols,
    size=TINY.pe.buffer.width,
    in_channels=TINY.pe.buffer.pixel_lanes,
)
GRAPH_LIMITS = GraphLimits(size=7, channels=6, steps=4)


def same(netlist: Result, model: Result) -> None:
    """Outputs, stamps, cycles of all, what each PE did in them, and flits over each link."""
    np.testing.assert_array_equal(model.outputs, netlist.outputs)
    for name in ("first_in", "last_out", "busy", "states", "flits"):
        np.testing.assert_array_equal(getattr(model, name), getattr(netlist, name), err_msg=name)
    assert (model.cycles, model.shards, model.simulated) == (
        netlist.cycles, netlist.shards, netlist.simulated,
    )  # fmt: skip


def compare(params: GroupParams, job: Job, jobs: int = 1) -> Result:
    """A job on the netlist and in the model."""
    netlist = simulate(params, job, jobs=jobs)
    same(netlist, simulate(params, job, "cycle", jobs=jobs))
    return netlist


def pixels_of(graph: Graph, seed: int, images: int) -> np.ndarray:
    channels, height, width = graph.input.shape
    return np.random.default_rng(seed).integers(0, 256, (images, height, width, channels), dtype=np.uint8)


def compare_graph(seed: int, params: GroupParams = TINY, images: int = 2) -> int:
    """All passes of all stages of a random graph; how many."""
    graph = random_graph(seed, GRAPH_LIMITS)
    try:
        tilings = [tiled(stage, params) for stage in stages(graph)]
    except OhmweaveError as error:  # it does not fit the chip
        pytest.skip(str(error))

    def both(program: Program, frames: np.ndarray) -> Result:
        return compare(params, Job.of(program, frames))

    ran = run_layers(graph, tilings, pixels_of(graph, seed, images), params, both, lambda _done, _total: None)
    return len(ran.passes)


def compare_chain(graph: Graph, layers: list, params: GroupParams, images: int = 3) -> Result:
    """A chain as a pipeline."""
    program = compile_chain(layers, params)
    frames = program.encode(pixels_of(graph, 7, images) >> (8 - graph.input.bits))
    return compare(params, replace(Job.of(program, frames), idle_limit=20_000))


def compare_network(seed: int) -> None:
    graph = from_network(random_network(seed, LIMITS))
    tilings = [tiled(stage, TINY) for stage in stages(graph)]
    if not is_chain(graph, tilings, TINY) or len(tilings) > TINY.pes:
        pytest.skip("no chain of as many layers as PEs")
    compare_chain(graph, tilings, TINY)


# Among them rows over several PEs, passes beside each other, side tensors, pools, averages, transposed convolutions.
@pytest.mark.parametrize("seed", [0, 1, 5, 8, 9, 13, 17, 24, 27, 35])
def test_random_graphs(seed: int) -> None:
    assert compare_graph(seed) > 0


# Of two to four layers.
@pytest.mark.parametrize("seed", [4, 5, 6, 12, 17])
def test_random_chains(seed: int) -> None:
    compare_network(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 350))
def test_many_random_graphs(seed: int) -> None:
    compare_graph(seed, images=3)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_random_chains(seed: int) -> None:
    compare_network(seed)


def knobs(**array: object) -> GroupParams:
    return replace(TINY, pe=replace(TINY.pe, array=replace(TINY.pe.array, **array)))


#: Other chips: a single PE, more of them, wide links, columns for signs, fast and slow reads, vectors of one block.
CHIPS = {
    "one PE": ALONE,
    "16 PEs": replace(TINY, levels=2),
    "links of 32 bits": replace(TINY, pe=replace(TINY.pe, link_bits=32)),
    "links of 64 bits": replace(TINY, pe=replace(TINY.pe, link_bits=64)),
    "pairs": knobs(sign_scheme="pairs"),
    "reads of one cycle": knobs(read_cycles=1),
    "reads of two cycles": knobs(read_cycles=2),
    "reads of nine cycles": knobs(read_cycles=9),
    "coarse sense units": knobs(adc_bits=8, adc_drop=2),
    "vectors of one block": replace(TINY, pe=replace(TINY.pe, vector_blocks=1)),
    "narrow lanes": replace(TINY, pe=replace(TINY.pe, lane_bits=25)),
    "for FPGAs": PRESETS["tiny-fpga"],
}


@pytest.mark.nightly
@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("seed", range(400, 412))
def test_other_chips(seed: int, name: str) -> None:
    compare_graph(seed, CHIPS[name])


def conv(
    name: str, source: str, inputs: int, outputs: int, kernel: int, bits: int = 4, **options: object
) -> Conv:
    random = np.random.default_rng([inputs, outputs, kernel])
    scale = (
        {}
        if bits == RAW_BITS
        else {"mult": np.full(outputs, 3, np.uint16), "shift": np.full(outputs, 5, np.int8)}
    )
    return Conv(
        name=name, input=source, weights=random.integers(-8, 8, (outputs, inputs, kernel, kernel)).astype(np.int16),
        weight_bits=4, bias=random.integers(-50, 50, outputs), bits=bits, **scale, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def pair(
    outputs: int, kernels: tuple[int, int], pads: tuple[int, int], size: int
) -> tuple[Graph, list[Tiling]]:
    first = conv("one", "image", 3, outputs, kernels[0], pads=(pads[0],) * 4)
    second = conv("two", "one", outputs, 3, kernels[1], RAW_BITS, pads=(pads[1],) * 4)
    image = Tensor(name="image", shape=(3, size, size), bits=4)
    graph = Graph(name="pair", input=image, nodes=(first, second))
    return graph, [tiled(stage, ALONE) for stage in stages(graph)]


def pairs() -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    for size in (5, 7, 9):
        for outputs in (2, 5):
            for kernels in ((1, 1), (3, 1), (1, 3), (3, 3)):
                yield size, outputs, kernels, (kernels[0] // 2, kernels[1] // 2)
                yield size, outputs, kernels, (0, 0)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "which",
    [
        number if number in (4, 12) else pytest.param(number, marks=pytest.mark.nightly)
        for number in range(len(list(pairs())))
    ],
)
def test_two_layers_on_one_pe(which: int, in_place: bool) -> None:
    """In both buffers, and in one of them."""
    size, outputs, kernels, pads = list(pairs())[which]
    graph, tilings = pair(outputs, kernels, pads, size)
    made = two_layers(*tilings, ALONE.pe, in_place=in_place)
    if made is None:
        pytest.skip("they do not fit one PE so")
    compare_chain(graph, [made], ALONE)


@pytest.mark.parametrize("channels", range(9, 16, 2))
def test_a_sender_that_is_always_busy(channels: int) -> None:
    """More flits than the array has cycles, of vectors that end anywhere in a flit."""
    params = knobs(read_cycles=1)
    nodes = (conv("one", "image", 1, channels, 1, 8), conv("two", "one", channels, 1, 1, RAW_BITS))
    graph = Graph(name="wide", input=Tensor(name="image", shape=(1, 5, 6), bits=4), nodes=nodes)
    program = compile_pass(tiled(stages(graph)[0], params), 0, params)
    compare(params, Job.of(program, program.encode(pixels_of(graph, 7, 3) >> 4)))


TWO = Graph(
    name="two",
    input=Tensor(name="image", shape=(2, 5, 6), bits=4),
    nodes=(conv("one", "image", 2, 4, 3), conv("two", "one", 4, 3, 3, RAW_BITS)),
)


@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize("copies", [1, 3])
def test_copies(images: int, copies: int) -> None:
    """Frames are dealt out by the tree, and results taken in turn."""
    chip = copied([tiled(stage, TINY) for stage in stages(TWO)], TINY, copies)
    program = compile_chain(chip.layers, TINY, copies=chip.count)
    frames = program.encode(pixels_of(TWO, 7, images) >> 4)
    compare(TINY, replace(Job.of(program, frames), idle_limit=20_000))


def job_of(images: int = 2) -> Job:
    """Two layers, a PE each."""
    program = compile_chain([tiled(stage, TINY) for stage in stages(TWO)], TINY)
    return Job.of(program, program.encode(pixels_of(TWO, 1, images) >> 4))


def test_shares_of_the_frames() -> None:
    compare(TINY, job_of(5), jobs=2)


def test_frames_that_fit_nothing() -> None:
    """Frames of the host that are none of the receivers, and outputs that begin anywhere."""
    job = job_of(6)
    frames = job.frames[:, :-1].copy()
    compare(TINY, replace(job, frames=frames, outputs_per_frame=5), jobs=2)


def refusal(job: Job, params: GroupParams = TINY, name: str = "cycle") -> str:
    with pytest.raises(OhmweaveError) as found:
        simulate(params, job, name)
    return str(found.value)


def test_hangs_as_the_netlist() -> None:
    """One output more than there will be."""
    job = job_of()
    job = replace(job, outputs_per_frame=job.outputs_per_frame + 1, idle_limit=500)
    assert refusal(job) == refusal(job, name="cxxrtl")


def test_refusals(tmp_path) -> None:
    job = job_of()
    told = packets(0, [(Region.ROUTES.address(0), 0)])
    late = replace(job, config=np.concatenate([job.config, np.array(told, np.uint32)]))
    assert refusal(late) == "the cycle model takes no configuration of PE 0 after it was enabled"
    rows = np.array(packets(0, [(Region.ARRAY.address(0), 1)]), np.uint32)
    programmed = replace(job, config=np.concatenate([rows, job.config]))
    assert (
        refusal(programmed)
        == "the cycle model takes the levels that arrays are loaded with, and PE 0 is programmed row by row"
    )
    data = replace(job, config=np.concatenate([job.config[:-1], job.config[-1:] & 0xFFFF]))
    assert refusal(data) == "the cycle model takes no data between configuration flits"
    assert refusal(replace(job, config=job.config[:0])) == "the configuration is for no PE of the chip"
    place = job.config.tolist().index(1 << 16 | Region.RERAM_PROGRAM.address(0))
    broken = job.config.copy()
    broken[place + 2] = 1 << 16 | 0xFFFF
    assert refusal(replace(job, config=broken)).startswith(
        "the cycle model runs legal programs, and instruction 0 of the ReRAM half of PE 0 is not: "
    )
    with pytest.raises(OhmweaveError, match=r"^the cycle backend has no signals to write waveforms of$"):
        simulate(TINY, job, "cycle", waves=tmp_path / "waves.vcd")
    with pytest.raises(OhmweaveError, match=r"^jobs must be at least 1, not 0$"):
        simulate(TINY, job, "cycle", jobs=0)
    with pytest.raises(OhmweaveError, match=r"^the cycle backend runs groups of PEs, and this chip is none$"):
        backend.simulate(ChipSource(lambda: None), job)  # type: ignore[arg-type,return-value]


def test_run(small_network, small_images) -> None:
    """Through the program, with the report of the netlist."""
    pixels, labels = small_images
    images = ImageSet("test", pixels[..., None], labels)
    netlist, model = (
        run(small_network, images, TINY, arch="tiny", backend=each) for each in ("cxxrtl", "cycle")
    )
    np.testing.assert_array_equal(model.logits, netlist.logits)
    assert (model.report.mismatches, model.report.cycles) == (0, netlist.report.cycles)
    assert model.report.layers == netlist.report.layers


@pytest.mark.parametrize("backend", ["cycle", pytest.param("cxxrtl", marks=pytest.mark.nightly)])
def test_preset_for_fpgas(backend: str) -> None:
    """Two layers of 3×3 as a pipeline on its PEs, short programs and all, as the golden model has them."""
    images = ImageSet("random", pixels_of(TWO, 5, 3), None)
    ran = run(TWO, images, PRESETS["tiny-fpga"], arch="tiny-fpga", backend=backend)
    assert (ran.report.mapping, ran.report.mismatches) == ("pipeline", 0)
    # Of the first layer: 12 windows, 4 columns, a read of 17 cycles each.
    assert ran.report.cycles.interval == 12 * 4 * 17
    assert len(np.unique(ran.logits)) > 10


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["lenet5", "resnet20-w4a4", "resnet20"])
def test_networks_of_full_size(name: str) -> None:
    """The pipeline, and all passes of all layers."""
    network = library.builtin(name)
    shape = network.input.shape if isinstance(network, Graph) else network.input_shape
    pixels = np.random.default_rng(3).integers(0, 256, (2, *shape[1:], shape[0]), dtype=np.uint8)
    netlist, model = (
        run(network, ImageSet("random", pixels, None), PRESETS["re-reram"], arch="re-reram", backend=each)
        for each in ("cxxrtl", "cycle")
    )
    np.testing.assert_array_equal(model.logits, netlist.logits)
    assert (model.report.mismatches, model.report.cycles) == (0, netlist.report.cycles)
    assert model.report.layers == netlist.report.layers


@pytest.mark.skipif(not COMPILED, reason="numba is not here")
def test_the_same_without_numba() -> None:
    """The processes as plain Python."""
    script = (
        "import json, sys; sys.path.insert(0, 'tests/sim'); import test_cycle as t;"
        "r = t.simulate(t.TINY, t.job_of(), 'cycle');"
        "print(json.dumps([r.last_out.tolist(), r.busy.tolist(), r.cycles, r.outputs.tolist()]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    here = simulate(TINY, job_of(), "cycle")
    assert json.loads(ran.stdout) == [
        here.last_out.tolist(), here.busy.tolist(), here.cycles, here.outputs.tolist(),
    ]  # fmt: skip


def operands(bits: int) -> np.ndarray:
    """The ends of the range, what lies around nothing, and random numbers of every size."""
    random = np.random.default_rng(bits)
    top = (1 << (bits - 1)) - 1
    sizes = [1 << int(size) for size in random.integers(0, bits - 1, 300)]
    return np.array([0, 1, -1, top, -top - 1, *(random.integers(-size, size) for size in sizes)])


@pytest.mark.parametrize("bits", [24, 25, 48, 64])
@pytest.mark.parametrize("op", AluOp)
def test_operations(op: AluOp, bits: int) -> None:
    """Every operation on every format is that of the testbench's model, number by number."""
    random = np.random.default_rng(op)
    a = operands(bits)
    b = random.permutation(a)
    for size in Format:
        expected = [
            arithmetic_model.saturate(arithmetic_model.operate(op, int(x), int(y), bits), size, bits)
            for x, y in zip(a, b, strict=True)
        ]
        np.testing.assert_array_equal(operate(op, a, b, size, bits), expected)
