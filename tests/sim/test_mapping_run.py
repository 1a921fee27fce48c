"""Whole networks on a chip, shortcuts included: what leaves the netlist is the golden model's."""

from dataclasses import replace

import numpy as np
import pytest
from mapping_graphs import LIMITS, conv, spanning, striding

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden, library
from ohmweave.sim.backends import Job, Result, simulate
from ohmweave.sim.graph import RAW_BITS, Graph, MaxPool, Tensor
from ohmweave.sim.images import ImageSet
from ohmweave.sim.mapping import cut as cut_module
from ohmweave.sim.mapping.mapped import Mapped, mapped
from ohmweave.sim.mapping.times import piece_times
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.run import measure, run
from ohmweave.sim.stages import stages

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
#: 16 small PEs, and 64 large ones.
CHIP, LARGE = replace(TINY, levels=2), replace(FULL, levels=3)


def simulated(
    graph: Graph, found: Mapped, *, images: int = 4, backend: str = "cxxrtl", seed: int = 1
) -> tuple[Result, bool]:
    """A run, and whether all of its outputs are golden's."""
    random = np.random.default_rng(seed)
    channels, height, width = graph.input.shape
    pixels = random.integers(0, 256, (images, height, width, channels), dtype=np.uint8)
    program = found.program()
    frames = program.encode(pixels >> (8 - graph.input.bits))
    result = simulate(found.params, replace(Job.of(program, frames), idle_limit=20_000), backend=backend)
    given = program.decode(result.outputs, images)
    expected = graph_golden.logits(graph, pixels).reshape(images, -1)
    if given.shape[1:3] != (1, 1):
        given = given.transpose(0, 3, 1, 2)
    return result, bool((given.reshape(images, -1) == expected).all())


def fitting(params: GroupParams, copies: int, count: int) -> list[tuple[int, Graph, Mapped]]:
    """Random graphs that fit a chip so many times; those with the most PEs of a hundred."""
    found = []
    for seed in range(100):
        graph = random_graph(seed, LIMITS)
        try:
            found.append((seed, graph, mapped(graph, params, copies)))
        except OhmweaveError:
            continue
    found.sort(key=lambda each: -len(each[2].sections[0][0].pieces))
    assert len(found) >= count
    return found[:count]


@pytest.mark.parametrize(("copies", "entries"), [(1, 1), (2, 1), (4, 1), (2, 4), (4, 4)])
def test_random_graphs(copies, entries):
    """Merged slices, partial sums, shortcuts, pools, averages: every output, and frames as often as predicted."""
    kinds = {"joined": 0, "partial": 0, "side": 0}
    for seed, graph, found in fitting(replace(CHIP, entries=entries), copies, 12 if entries == 1 else 6):
        pieces = found.sections[0][0].pieces
        kinds["joined"] += any(piece.before is not None for piece in pieces)
        kinds["partial"] += any(piece.partial is not None for piece in pieces)
        kinds["side"] += any(piece.side is not None for piece in pieces)
        print(f"seed {seed}: {len(pieces)} pieces, {copies} copies")
        result, equal = simulated(graph, found, images=4 * copies)
        assert equal
        interval = measure(result, copies).interval
        assert interval is not None
        # One that is over before the array can read again is bound by what is not counted: at least its stages' depth.
        assert interval >= found.interval or found.interval < 100
    if copies == 1:
        assert all(kinds.values()), kinds


def test_the_buffer_decides_how_many_layers_a_shortcut_may_skip(monkeypatch):
    """Six rows wait in the second buffer: with one more to come the streams stand still, as the refusal says."""
    graph = spanning(5)
    _, equal = simulated(graph, mapped(graph, CHIP))
    assert equal
    monkeypatch.setattr(cut_module, "check_flow", lambda stages, pe: None)
    graph = spanning(7)
    with pytest.raises(OhmweaveError, match=r"^the simulation hangs: 0 of \d+ outputs came"):
        simulated(graph, mapped(graph, CHIP))


def test_resnet20():
    """All 23 stages on 64 PEs: images follow each other as fast as the first layer's array reads, at no loss."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    result, equal = simulated(graph, mapped(graph, LARGE), images=2, backend="cycle")
    assert equal
    cycles = measure(result)
    assert (cycles.latency, cycles.interval) == (10_378, 6144)


@pytest.mark.nightly
def test_resnet20_on_the_netlist():
    """The same on the netlist: equal, cycle for cycle."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    result, equal = simulated(graph, mapped(graph, LARGE), images=10)
    assert equal
    cycles = measure(result)
    assert (cycles.latency, cycles.interval) == (10_378, 6144)


@pytest.mark.parametrize("backend", ["cycle", "cxxrtl"])
@pytest.mark.parametrize("kernel", [3, 6], ids=["pixels", "blocks"])
@pytest.mark.parametrize("pool", [False, True], ids=["", "pooled"])
def test_parts_of_a_block_of_results(kernel, pool, backend):
    """Rows of PEs with half a block of results each, whose windows share reads: half the time."""
    # 16 channels are 2 blocks of 8 columns, half of which are as many bits as a link has.
    array = replace(CHIP.pe.array, cols=32)
    chip = replace(CHIP, pe=replace(CHIP.pe, array=array))
    graph = striding(kernel, outs=16)
    if pool:
        wide, logits = graph.nodes
        small = MaxPool(name="small", input="wide", kernel=(2, 2), stride=(2, 2))
        graph = replace(graph, nodes=(wide, small, replace(logits, input="small")))
    assert cut_module.Cutter(graph, chip.pe).most_rows("wide") == 4
    found = mapped(graph, chip)
    gives = [piece.gives for piece in found.sections[0][0].of("wide")]
    assert gives == [(0, 4), (4, 8), (8, 12), (12, 16)]
    times = [piece_times(piece, chip.pe) for piece in found.sections[0][0].of("wide")]
    assert {time.array for time in times} == {36 // 2 * array.read_cycles}
    # A map of all results then takes longer on its link than the arrays, and one of 144 pixels on its way in.
    assert times[-1].flits_out == (36 if pool else 144)
    assert times[-1].flits_in == (144 if kernel == 3 else 64)
    assert found.interval == (108 if pool and kernel == 6 else 144)
    result, equal = simulated(graph, found, images=3, backend=backend)
    assert equal
    # Three images are two intervals; where it is pooled nothing comes behind the last, which ends a cycle sooner.
    assert measure(result).interval == found.interval - bool(pool) / 2


def test_aim():
    """PEs that an interval leaves shorten the way of an image; images follow each other as before."""
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    soon, short = (mapped(graph, LARGE, aim=aim) for aim in ("interval", "latency"))
    assert short.interval == soon.interval
    assert len(soon.pieces) < len(short.pieces) <= LARGE.pes
    result, equal = simulated(graph, short, images=2, backend="cycle")
    assert equal
    cycles = measure(result)
    assert (cycles.latency, cycles.interval) == (9560, 6144)
    with pytest.raises(OhmweaveError) as error:
        mapped(graph, LARGE, aim="speed")
    assert str(error.value) == "the aim must be one of interval, latency, not 'speed'"


def test_ways_to_run():
    """What fits runs at once unless it is asked to go layer by layer; the results are the same."""
    seed, graph, found = fitting(CHIP, 1, 1)[0]
    print(f"seed {seed}")
    channels, height, width = graph.input.shape
    pixels = np.random.default_rng(seed).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    images = ImageSet("random", pixels, None)
    outcomes = {
        mapping: run(graph, images, CHIP, arch="tiny", mapping=mapping)
        for mapping in ("auto", "pipeline", "layers")
    }
    assert {each: outcome.report.mapping for each, outcome in outcomes.items()} == {
        "auto": "pipeline",
        "pipeline": "pipeline",
        "layers": "layers",
    }
    for outcome in outcomes.values():
        assert outcome.report.mismatches == 0
        assert (outcome.logits == outcomes["auto"].logits).all()
    counts = {layer.name: layer.pes for layer in outcomes["auto"].report.layers}
    assert sum(counts.values()) == len(found.sections[0][0].pieces)


@pytest.mark.parametrize(("size", "rows", "cycles"), [(62, 4, 31 * 31 * 6), (64, 8, 32 * 32 * 6 // 2)])
def test_a_pool_does_not_hold_up_the_array(size, rows, cycles):
    """A block of columns for each pixel, and a pool behind it: results go first, and the windows wait for a row.

    An odd number of windows in a row cannot share reads by twos.
    """
    nodes = (
        conv("conv", "image", ins=3, outs=64, kernel=7, stride=(2, 2)),
        MaxPool(name="pool", input="conv", kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1)),
        conv("logits", "pool", ins=64, outs=16, kernel=1, stride=(4, 4), bits=RAW_BITS,
             mult=np.zeros(0, np.uint16), shift=np.zeros(0, np.int8)),
    )  # fmt: skip
    graph = Graph(name="pooled", input=Tensor(name="image", shape=(3, size, size), bits=4), nodes=nodes)
    found = mapped(graph, LARGE)
    gives = [piece.gives for piece in found.sections[0][0].of("conv")]
    assert gives == [(64 // rows * row, 64 // rows * (row + 1)) for row in range(rows)]
    times = [piece_times(piece, LARGE.pe).array for piece in found.sections[0][0].of("conv")]
    assert set(times) == {cycles}
    result, equal = simulated(graph, found, images=3, backend="cycle")
    assert equal
    assert measure(result).interval == found.interval


def test_pool_of_an_average():
    """What a frame's average gives is one pixel, also where it is pooled then."""
    graph = random_graph(90, LIMITS)
    assert any(stage.whole_frame and stage.pool is not None for stage in stages(graph))
    channels, height, width = graph.input.shape
    pixels = np.random.default_rng(90).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    for mapping in ("pipeline", "layers"):
        assert (
            run(graph, ImageSet("random", pixels, None), CHIP, arch="tiny", mapping=mapping).report.mismatches
            == 0
        )


def test_refusals():
    graph = library.builtin("resnet20-w4a4")
    assert isinstance(graph, Graph)
    images = ImageSet("black", np.zeros((1, 32, 32, 3), np.uint8), None)
    with pytest.raises(OhmweaveError) as error:
        run(graph, images, FULL, arch="re-reram", mapping="pipeline")
    assert str(error.value) == (
        "resnet20_w4a4 needs 23 PEs for all its stages at once, 7 more than the 16 of the chip"
    )
    with pytest.raises(OhmweaveError) as error:
        run(graph, images, FULL, arch="re-reram", copies=2)
    assert str(error.value) == (
        "copies are of networks whose layers all fit the chip at once, and resnet20_w4a4 runs in parts: "
        "resnet20_w4a4 needs 23 PEs for all its stages at once, 15 more than the 8 of the chip"
    )
    with pytest.raises(OhmweaveError) as error:
        run(graph, images, FULL, arch="re-reram", mapping="both")
    assert str(error.value) == "the mapping must be one of auto, pipeline, parts, layers, not 'both'"
