"""Several entries of the distribution tree: what is dealt to which, and all simulators of it the same."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.network.tree_entry import entry_unit
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.copies import copied
from ohmweave.sim.entries import copies_below, first_pes
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor, from_network
from ohmweave.sim.graph_golden import logits
from ohmweave.sim.images import ImageSet
from ohmweave.sim.library import builtin
from ohmweave.sim.program import Program
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
#: An entry above each PE.
EACH = replace(TINY, entries=4)
#: Entries above nodes.
NODES = replace(TINY, levels=2, entries=4)


def network(layers: int = 2) -> Graph:
    """Convolutions of two channels, and a last layer that sees the whole map."""
    random = np.random.default_rng(layers)
    nodes = [
        Conv(
            name=f"conv{n}",
            input=f"conv{n - 1}" if n else "image",
            weights=random.integers(-8, 8, (2, 2, 3, 3)).astype(np.int16),
            weight_bits=4,
            pads=(1,) * 4,
            bias=random.integers(-50, 50, 2),
            mult=np.full(2, 900, np.uint16),
            shift=np.full(2, 14, np.int8),
            bits=4,
        )
        for n in range(layers - 1)
    ]
    last = Conv(
        name="logits",
        input=nodes[-1].name,
        weights=random.integers(-8, 8, (2, 2, 5, 6)).astype(np.int16),
        weight_bits=4,
        bias=np.zeros(2, np.int64),
        bits=RAW_BITS,
    )
    return Graph(name="net", input=Tensor(name="image", shape=(2, 5, 6), bits=4), nodes=(*nodes, last))


def images(count: int) -> ImageSet:
    pixels = np.random.default_rng(3).integers(0, 256, (count, 5, 6, 2), dtype=np.uint8)
    return ImageSet("random", pixels, None)


def program_of(graph: Graph, params: GroupParams, copies: int) -> Program:
    mapped = copied([tiled(stage, params) for stage in stages(graph)], params, copies)
    return compile_chain(mapped.layers, params, copies=copies)


def job_of(program: Program, count: int) -> Job:
    return replace(Job.of(program, program.encode(images(count).pixels >> 4)), idle_limit=5_000)


def compare(program: Program, job: Job, backend: str = "cxxrtl", jobs: int = 1) -> Result:
    """The cycle model and a simulator of the netlist."""
    model, netlist = (simulate(program.params, job, name, jobs=jobs) for name in ("cycle", backend))
    for field in dataclasses.fields(Result):
        if field.name not in ("build_s", "run_s"):
            np.testing.assert_array_equal(
                getattr(model, field.name), getattr(netlist, field.name), err_msg=field.name
            )
    return netlist


@pytest.mark.parametrize(
    ("copies", "block", "levels", "entries", "below", "first"),
    [
        (3, 1, 2, 1, (3,), [0, 1, 2]),
        (4, 1, 1, 4, (1, 1, 1, 1), [0, 1, 2, 3]),
        (6, 1, 2, 4, (2, 2, 1, 1), [0, 1, 4, 5, 8, 12]),
        (3, 4, 2, 4, (1, 1, 1, 0), [0, 4, 8]),
        # Blocks larger than what is below an entry.
        (3, 4, 2, 16, (1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), [0, 4, 8]),
        (1, 16, 2, 4, (1, 0, 0, 0), [0]),
    ],
)
def test_copies_are_spread_evenly(
    copies: int, block: int, levels: int, entries: int, below: tuple[int, ...], first: list[int]
) -> None:
    params = replace(TINY, levels=levels, entries=entries)
    assert copies_below(copies, block, params) == below
    assert first_pes(below, block, params) == first


def test_frames_of_each_entry() -> None:
    """Images in the order of the copies, those of an entry flit by flit in turn; the last frame filled up."""
    params = replace(TINY, levels=2, entries=4)
    program = program_of(network(), params, 6)
    pixels = images(7).pixels >> 4
    flits = program.inbound.flits(pixels, None, 16)
    frames = program.encode(pixels)
    each = flits.shape[1]
    assert frames.shape == (2, 4, 2 * each)
    assert program.entry_flits(frames) == (2 * each, 2 * each, each, each)
    for entry, (first, second) in enumerate([(0, 1), (2, 3)]):
        np.testing.assert_array_equal(frames[0, entry, ::2], flits[first])
        np.testing.assert_array_equal(frames[0, entry, 1::2], flits[second])
    np.testing.assert_array_equal(frames[0, 2, :each], flits[4])
    np.testing.assert_array_equal(frames[0, 3, :each], flits[5])
    np.testing.assert_array_equal(frames[1, 0, ::2], flits[6])
    assert not frames[1, 0, 1::2].any()
    assert not frames[1, 1:].any()
    job = Job.of(program, frames)
    assert [len(data) for data in job.entry_data] == [4 * each, 4 * each, 2 * each, 2 * each]
    assert not job.host_data.size


def test_frame_buffers_that_nothing_uses() -> None:
    """As many copies fit, and their configuration is the same."""
    made = []
    for params in (EACH, replace(EACH, exit_flits=16)):
        mapped = copied([tiled(stage, params) for stage in stages(network())], params, None)
        made.append((mapped.count, compile_chain(mapped.layers, params, copies=mapped.count)))
    assert made[0][0] == made[1][0] > 1
    assert (made[0][1].config == made[1][1].config).all()


def test_one_chain_enters_by_the_root() -> None:
    program = program_of(network(), NODES, 1)
    assert program.entry_copies == ()
    assert job_of(program, 3).entries == 0
    assert (program.config == program_of(network(), replace(NODES, entries=1), 1).config).all()


@pytest.mark.parametrize(("copies", "count"), [(4, 11), (2, 1), (3, 8)])
def test_entries_of_pes(copies: int, count: int) -> None:
    """Also fewer copies than entries, and fewer images than copies."""
    program = program_of(network(), EACH, copies)
    job = job_of(program, count)
    result = compare(program, job)
    found = program.decode(result.outputs, count).transpose(0, 3, 1, 2).reshape(count, -1)
    assert (found == logits(network(), images(count).pixels).reshape(count, -1)).all()


@pytest.mark.parametrize("backend", [pytest.param("verilator", marks=pytest.mark.nightly), "icarus", "pysim"])
def test_simulators_agree(backend: str) -> None:
    program = program_of(network(), EACH, 4)
    compare(program, job_of(program, 8), backend)


def test_shares_of_the_frames() -> None:
    program = program_of(network(), EACH, 4)
    compare(program, job_of(program, 20), jobs=2)


@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("copies", [3, 4])
def test_entries_of_nodes(layers: int, copies: int) -> None:
    """Blocks of one PE, several below an entry, and of four."""
    count = 3 * copies if layers == 2 else copies
    program = program_of(network(layers), NODES, count)
    assert sum(map(bool, program.entry_copies)) == min(4, count)
    compare(program, job_of(program, 3 * count + 1))


def test_frames_by_the_root() -> None:
    """A chip with entries takes frames at its root as one without does; a register more lies on their way."""
    program = program_of(network(4), NODES, 1)
    compare(program, job_of(program, 3))


def test_entries_of_different_lengths() -> None:
    """Frames that are none of the network's, on entries of which one is idle: what is below it waits for good."""
    program = program_of(network(), EACH, 2)
    job = job_of(program, 6)
    flits = job.lengths[0]
    short = replace(job, entry_flits=(flits, flits - 3, 0, 0), outputs_per_frame=3)
    compare(program, short)


@pytest.mark.nightly
@pytest.mark.parametrize("entries", [4, 16])
@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("levels", [2, 3])
def test_larger_chips(levels: int, layers: int, entries: int) -> None:
    params = replace(TINY, levels=levels, entries=entries)
    for copies in (4**levels // layers, 4 ** (levels - 1) // layers - 1):
        if copies > 1:
            program = program_of(network(layers), params, copies)
            compare(program, job_of(program, 2 * copies + 1))


def refusal(params: GroupParams, job: Job, backend: str) -> str:
    with pytest.raises(OhmweaveError) as found:
        simulate(params, job, backend)
    return str(found.value)


@pytest.mark.parametrize("backend", ["cxxrtl", "cycle", "icarus"])
def test_an_entry_that_nobody_opened(backend: str) -> None:
    """Nothing overtakes configuration: without the packets that open the entries, nothing enters."""
    program = program_of(network(), EACH, 4)
    job = job_of(program, 4)
    closed = replace(job, config=job.config[:-16], idle_limit=500)
    assert [int(flit) & 0xFFFF for flit in job.config[-16::4]] == [entry_unit(entry) for entry in range(4)]
    assert refusal(EACH, closed, backend) == (
        "the simulation hangs: 0 of 16 outputs came, and then nothing was transferred for 500 cycles; "
        "each waits for the next: PE 0 (conv0 + logits): its main receiver waits for a frame; "
        "entry 0: it was never opened"
    )


@pytest.mark.parametrize("backend", ["cxxrtl", "verilator", "icarus", "pysim", "cycle"])
def test_frames_for_other_chips(backend: str) -> None:
    program = program_of(network(), EACH, 4)
    job = job_of(program, 4)
    assert refusal(TINY, job, backend) == "the frames are for 4 entries, and the chip has 1"
    fewer = replace(job, frames=job.frames[:, :3], entry_flits=job.lengths[:3])
    assert refusal(EACH, fewer, backend) == "the frames are for 3 entries, and the chip has 4"


@pytest.mark.parametrize("lengths", [(1, 2, 3), (1, 2, 3, 99), (1, 2, 3, -1)])
def test_lengths_refused(lengths: tuple[int, ...]) -> None:
    job = job_of(program_of(network(), EACH, 4), 4)
    message = rf"^Flits at the entries must be from 0 to {job.lengths[0]} at each of 4, not \("
    with pytest.raises(ValueError, match=message):
        replace(job, entry_flits=lengths)


@pytest.mark.parametrize(("entries", "count", "interval"), [(1, 12, 196), (4, 48, 49), (16, 64, 36.75)])
def test_lenet(entries: int, count: int, interval: float) -> None:
    """196 flits an image: 256 PEs by the root alone, by four entries, and by as many as the arrays can keep up with."""
    params = replace(FULL, levels=4, entries=entries)
    images = builtin_images(3 * count)
    report = run(builtin("lenet5"), images, params, arch="256 PEs", backend="cycle", copies=None).report
    assert report.mismatches == 0
    assert [layer.pes for layer in report.layers] == [count] * 4
    assert report.cycles is not None
    assert report.cycles.interval == interval


def builtin_images(count: int) -> ImageSet:
    pixels = np.random.default_rng(5).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    return ImageSet("random", pixels, None)


def test_lenet_is_as_many_copies_as_entries_feed() -> None:
    graph = from_network(builtin("lenet5"))
    params = replace(FULL, levels=2, entries=16)
    # Blocks of four PEs below entries of one: each has the entry above its first.
    mapped = copied([tiled(stage, params) for stage in stages(graph)], params, None)
    program = compile_chain(mapped.layers, params, copies=mapped.count)
    assert (mapped.count, program.entry_copies) == (4, (1, 0, 0, 0) * 4)
