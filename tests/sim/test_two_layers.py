"""Two layers of a chain on one PE: random ones through the netlist, which fit, and how chains are folded."""

import dataclasses

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import Job, simulate
from ohmweave.sim.compiler import compile_chain, is_chain, tiled
from ohmweave.sim.folding import folded
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.graph_golden import logits
from ohmweave.sim.images import ImageSet
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.two_layers import TwoLayers, two_layers

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
IMAGES = 3


def alone(params: GroupParams) -> GroupParams:
    """A chip of one such PE."""
    return dataclasses.replace(params, levels=0)


def conv(
    name: str, source: str, inputs: int, outputs: int, kernel: tuple[int, int] = (3, 3), *, seed: int = 1,
    weight_bits: int = 4, bits: int = 4, **options: object,
) -> Conv:  # fmt: skip
    random = np.random.default_rng([seed, len(name), inputs, outputs])
    top = 1 << weight_bits - 1
    raw = bits == RAW_BITS
    # Sums of random numbers use the range of the results.
    spread = 0.3 * top * (1 << bits if not raw else 16) * np.sqrt(inputs * kernel[0] * kernel[1])
    scale = {} if raw else {
        "mult": np.rint(((1 << bits) / spread) * random.uniform(1e4, 4e4, outputs)).astype(np.uint16),
        "shift": np.full(outputs, 14, np.int8),
    }  # fmt: skip
    return Conv(
        name=name,
        input=source,
        weights=random.integers(-top, top, (outputs, inputs, *kernel)).astype(np.int16),
        weight_bits=weight_bits,
        bias=random.integers(-50, 50, outputs),
        bits=bits,
        **scale,
        **options,  # type: ignore[arg-type]
    )


def chain(*nodes: Conv, shape: tuple[int, int, int], bits: int = 4) -> Graph:
    return Graph(name="chain", input=Tensor(name="image", shape=shape, bits=bits), nodes=nodes)


def random_chain(seed: int, lanes: int, columns: int, width: int) -> Graph:
    """Two convolutions, the first of them transposed perhaps."""
    random = np.random.default_rng(seed)
    shape = (
        int(random.integers(1, lanes // 2 + 1)),
        *(int(random.integers(2, min(width, 10))) for _ in range(2)),
    )
    kernels = [tuple(random.integers(1, 5, 2).tolist()) for _ in range(2)]
    weight_bits = int(random.choice([4, 4, 8]))
    bits = random.choice([(4, 4), (4, 4), (4, 4), (8, 8), (8, 4), (4, 8)]).tolist()
    middle, outputs = int(random.integers(1, lanes)), int(random.integers(1, columns // 2))
    uneven = tuple(int(random.integers(0, kernels[0][side % 2])) for side in range(4))
    even = tuple(int(random.integers(0, size)) for size in kernels[1]) * 2
    strides = [tuple(random.integers(1, 4, 2).tolist()) for _ in range(2)]
    first = conv(
        "one", "image", shape[0], middle, kernels[0], seed=seed, weight_bits=weight_bits, bits=bits[1],
        pads=uneven, stride=strides[0], transposed=bool(random.random() < 0.3),
    )  # fmt: skip
    second = conv(
        "two", "one", middle, outputs, kernels[1], seed=seed, weight_bits=weight_bits, bits=RAW_BITS,
        pads=even, stride=strides[1],
    )  # fmt: skip
    return chain(first, second, shape=shape, bits=bits[0])


def pair_of(graph: Graph, params: GroupParams, in_place: bool | None = None) -> TwoLayers | None:
    return two_layers(*(tiled(stage, params) for stage in stages(graph)), params.pe, in_place=in_place)


def random_pairs(params: GroupParams, seeds: range) -> dict[int, tuple[Graph, TwoLayers]]:
    """The random chains whose layers fit one PE, in one buffer if they can."""
    array, buffer = params.pe.array, params.pe.buffer
    found = {}
    for seed in seeds:
        try:
            graph = random_chain(seed, buffer.lanes, array.cols, buffer.width)
            made = [tiled(stage, params) for stage in stages(graph)]
            pair = None
            if is_chain(graph, made, params):
                pair = two_layers(*made, params.pe, in_place=True) or two_layers(*made, params.pe)
        except OhmweaveError:  # an empty map, or a layer that fits no PE
            continue
        if pair is not None:
            found[seed] = graph, pair
    return found


PAIRS = random_pairs(alone(TINY), range(120))


def check(
    graph: Graph, layers: list[Tiling | TwoLayers], params: GroupParams, backend: str = "cxxrtl"
) -> list[int]:
    """Images through the netlist; the cycles in which they were finished."""
    random = np.random.default_rng(7)
    channels, height, width = graph.input.shape
    images = random.integers(0, 256, (IMAGES, height, width, channels), dtype=np.uint8)
    program = compile_chain(layers, params)
    job = Job.of(program, program.encode(images >> (8 - graph.input.bits)))
    result = simulate(params, dataclasses.replace(job, idle_limit=20_000), backend=backend)
    values = program.decode(result.outputs).transpose(0, 3, 1, 2)
    expected = logits(graph, images)
    assert len(np.unique(expected)) > 1
    assert (values.reshape(expected.shape) == expected).all()
    return result.last_out.tolist()


def test_both_ways_occur() -> None:
    print(f"seeds {list(PAIRS)}")
    in_place = [pair.in_place for _, pair in PAIRS.values()]
    assert in_place.count(True) >= 8
    assert in_place.count(False) >= 20
    assert any(graph.nodes[0].transposed and not pair.in_place for graph, pair in PAIRS.values())
    grown = [pair for graph, pair in PAIRS.values() if pair.first.stage.kernel != graph.nodes[0].extent]
    assert any(pair.in_place for pair in grown)


@pytest.mark.parametrize("seed", PAIRS)
def test_random_pairs(seed: int) -> None:
    """Every sum that leaves is golden's."""
    graph, pair = PAIRS[seed]
    check(graph, [pair], alone(TINY))


@pytest.mark.parametrize("backend", ["verilator", "icarus", "pysim"])
@pytest.mark.parametrize("in_place", [False, True])
def test_simulators_agree(backend: str, in_place: bool) -> None:
    graph, pair = next(found for found in PAIRS.values() if found[1].in_place == in_place)
    assert check(graph, [pair], alone(TINY), backend) == check(graph, [pair], alone(TINY))


# What does not fit one PE: of the preset `tiny` it has 4 blocks of 4 columns, and 2 vectors of 8 channels.
REFUSED = {
    "nothing": ([conv("a", "image", 2, 4), conv("b", "a", 4, 4)], True),
    "columns": ([conv("a", "image", 2, 8), conv("b", "a", 8, 12, (1, 1))], False),
    "vectors": ([conv("a", "image", 2, 4), conv("b", "a", 4, 9)], False),
    "slices": ([conv("a", "image", 2, 4), conv("b", "a", 4, 4, weight_bits=8)], False),
    "an uneven border": ([conv("a", "image", 2, 4), conv("b", "a", 4, 4, pads=(1, 0, 0, 0))], False),
    "a transposed second layer": (
        [conv("a", "image", 2, 4), conv("b", "a", 4, 4, stride=(2, 2), transposed=True)],
        False,
    ),
    "planes": ([conv("a", "image", 2, 4, bits=8), conv("b", "a", 4, 4)], False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits(name: str) -> None:
    nodes, fits = REFUSED[name]
    graph = chain(*nodes, conv("end", "b", nodes[1].channels, 1, (1, 1), bits=RAW_BITS), shape=(2, 9, 9))
    first, second, _ = (tiled(stage, TINY) for stage in stages(graph))
    assert (two_layers(first, second, TINY.pe) is not None) == fits


def test_a_kernel_grows_no_further_than_it_has_to() -> None:
    """With results of the first row over an image of five rows, six are held, and there are six without growth."""
    graph = chain(conv("a", "image", 2, 3), conv("b", "a", 3, 3, (1, 1), bits=RAW_BITS), shape=(2, 5, 5))
    pair = pair_of(graph, TINY, in_place=True)
    assert pair is not None
    assert pair.in_place
    assert (pair.first.kernel, pair.second.kernel) == ((3, 3), (1, 1))
    graph = chain(conv("a", "image", 2, 3), conv("b", "a", 3, 3, (1, 1), bits=RAW_BITS), shape=(2, 7, 7))
    pair = pair_of(graph, TINY, in_place=True)
    assert pair is not None
    assert pair.in_place
    assert TINY.pe.buffer.groups(pair.first.kernel) == TINY.pe.buffer.groups(pair.second.kernel) == 2
    # A finite ADC would clip the sums of a larger kernel elsewhere.
    array = dataclasses.replace(TINY.pe.array, adc_bits=7)
    clipped = dataclasses.replace(TINY, pe=dataclasses.replace(TINY.pe, array=array))
    assert pair_of(graph, clipped, in_place=True) is None
    # In place only where it is asked for, or where inputs of other bits leave nothing else.
    pair = pair_of(graph, TINY)
    assert pair is not None
    assert not pair.in_place
    graph = chain(
        conv("a", "image", 2, 3, bits=8), conv("b", "a", 3, 3, (1, 1), bits=RAW_BITS), shape=(2, 5, 5)
    )
    pair = pair_of(graph, TINY)
    assert pair is not None
    assert pair.in_place
    assert pair_of(graph, TINY, in_place=False) is None


def row(count: int) -> Graph:
    """A chain; the layers in the middle have the most windows."""
    nodes = [conv(f"l{n}", f"l{n - 1}" if n else "image", 2, 2) for n in range(count - 1)]
    return chain(*nodes, conv("end", f"l{count - 2}", 2, 2, bits=RAW_BITS), shape=(2, 16, 16))


def names(layers: list[Tiling | TwoLayers] | None) -> list[str]:
    assert layers is not None
    return [layer.name for layer in layers]


def test_folding() -> None:
    """As few PEs are shared as have to be, such that the busiest has as little to do as can be."""
    four, five, seven = ([tiled(stage, TINY) for stage in stages(row(count))] for count in (4, 5, 7))
    assert names(folded(four, TINY)) == ["l0", "l1", "l2", "end"]
    # 14², 12², 10², 8² and 6² windows of half a read each: two layers in the middle have fewer than the first.
    assert names(folded(five, TINY)) == ["l0", "l1", "l2 + l3", "end"]
    assert len(names(folded(seven, TINY))) == 4
    nine = [tiled(stage, TINY) for stage in stages(row(7))] * 2
    assert folded(nine, TINY) is None
    assert folded(five, alone(TINY)) is None


def test_folding_needs_layers_that_fit_together() -> None:
    """Wide layers do not share a PE, so that a chain of five needs five."""
    nodes = [conv(f"l{n}", f"l{n - 1}" if n else "image", 8, 8, (1, 1), weight_bits=8) for n in range(4)]
    graph = chain(*nodes, conv("end", "l3", 8, 8, (1, 1), weight_bits=8, bits=RAW_BITS), shape=(8, 3, 3))
    made = [tiled(stage, TINY) for stage in stages(graph)]
    assert folded(made[:4], TINY) is not None
    assert folded(made, TINY) is None


@pytest.mark.parametrize("count", [5, 7])
def test_a_run_of_more_layers_than_pes(count: int) -> None:
    graph = row(count)
    assert is_chain(graph, [tiled(stage, TINY) for stage in stages(graph)], TINY)
    pixels = np.random.default_rng(count).integers(0, 256, (5, 16, 16, 2), dtype=np.uint8)
    outcome = run(graph, ImageSet("random", pixels, None), TINY, arch="tiny")
    record = outcome.report.record()
    assert (outcome.logits == logits(graph, pixels)).all()
    assert (record["mismatches"], record["mapping"]) == (0, "pipeline")
    assert sum(name.count("+") + 1 for name in (layer["name"] for layer in record["layers"])) == count
    assert len(record["layers"]) == 4
    # The interval is that of the busiest PE.
    layers = folded([tiled(stage, TINY) for stage in stages(graph)], TINY)
    reads = max(
        sum(part.windows * -(-part.stage.out_channels // 4) for part in each.parts) for each in layers or ()
    )
    # The second of two layers on it has its last windows when the first one's last result has come through the lanes.
    waits = {5: 0, 7: 9}[count]
    assert record["cycles"]["interval"] == reads * TINY.pe.array.read_cycles + waits


BORDER = {"pads": (1, 1, 1, 1)}
#: Layers, the shape of their input, and cycles from image to image in both buffers and in one.
FULL_SIZE = {
    "3×3 16→16 twice": (
        [conv("a", "image", 16, 16, **BORDER), conv("b", "a", 16, 16, **BORDER)], (16, 32, 32), (12288, 12288)
    ),
    "3×3 64→64 twice": (
        [conv("a", "image", 64, 64, **BORDER), conv("b", "a", 64, 64, **BORDER)], (64, 8, 8), (3082, 3072)
    ),
    "transposed 4×4/2 32→16, 3×3 16→16": (
        [
            conv("a", "image", 32, 16, (4, 4), stride=(2, 2), transposed=True, **BORDER),
            conv("b", "a", 16, 16, **BORDER),
        ],
        (32, 8, 8),
        (3072, None),
    ),
}  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("name", FULL_SIZE)
@pytest.mark.parametrize("in_place", [False, True])
def test_full_size(name: str, in_place: bool) -> None:
    """The array reads without a gap, or nearly."""
    nodes, shape, intervals = FULL_SIZE[name]
    params = dataclasses.replace(FULL, levels=1)
    graph = chain(*nodes, conv("end", "b", nodes[1].channels, 1, (1, 1), bits=RAW_BITS), shape=shape)
    first, second, last = (tiled(stage, params) for stage in stages(graph))
    pair = two_layers(first, second, params.pe, in_place=in_place)
    assert (pair is None) == (intervals[in_place] is None)
    if pair is not None:
        cycles = check(graph, [pair, last], params)
        assert set(np.diff(cycles).tolist()) == {intervals[in_place]}
