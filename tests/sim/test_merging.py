"""Windows that share a read: which layers, how many, and that nothing else changes."""

import dataclasses

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, MaxPool, Tensor
from ohmweave.sim.images import ImageSet
from ohmweave.sim.merging import merged
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages
from ohmweave.sim.tiling import tile

TINY, FULL = PRESETS["tiny"], PRESETS["re-reram"]
SEED = 7


def network(
    channels: int, *, inputs: int = 1, size: int = 12, kernel: int = 3, stride: int = 1, pad: int = 1,
    pool: int = 0, bits: int = 4, weight_bits: int = 4, zero_point: int = 0,
) -> Graph:  # fmt: skip
    """One convolution, pooled perhaps, and one of a single pixel whose sums are the output."""
    random = np.random.default_rng(SEED)
    weights = random.integers(-8, 8, (channels, inputs, kernel, kernel)).astype(np.int16)
    conv = Conv(
        name="conv", input="image", weights=weights, weight_bits=weight_bits, stride=(stride, stride), pads=(pad,) * 4,
        bias=random.integers(-50, 400, channels), mult=random.integers(200, 900, channels).astype(np.uint16),
        shift=np.full(channels, 12, np.int8), bits=bits, high=(1 << bits) - 1,
    )  # fmt: skip
    nodes = [conv]
    if pool:
        nodes.append(MaxPool(name="pool", input="conv", kernel=(pool, pool), stride=(pool, pool)))
    last = Conv(
        name="logits", input=nodes[-1].name, weights=random.integers(-8, 8, (2, channels, 1, 1)).astype(np.int16),
        weight_bits=4, bias=np.zeros(2, np.int64), bits=RAW_BITS,
    )  # fmt: skip
    nodes.append(last)
    image = Tensor(name="image", shape=(inputs, size, size), bits=bits, zero_point=zero_point)
    return Graph(name="merged", input=image, nodes=tuple(nodes))


# tiny reads 4 columns at once, has 8 lanes of arithmetic and windows of at most 7 columns.
CASES = [
    # graph, pixels that share a read, cycles that an image takes beyond the array's or the link's
    (network(2), 2, 0),
    (network(1), 4, 0),
    (network(1, kernel=5, pad=2), 3, 0),  # 4 would be 8 columns wide
    (network(1, size=10, kernel=3), 2, 0),  # 10 is no multiple of 4, nor of 3
    (network(3), 1, 0),  # 6 channels are 2 blocks, no fewer than 3 and 3; and 8 lanes hold no 12
    (network(4), 1, 0),
    (network(2, stride=2, kernel=4, size=12), 2, 0),
    # The lanes have more to do than the array in 6 cycles: 2 cycles for a vector, 4 for its window, 2 or 3 behind that.
    (network(1, pool=2), 4, 81),
    # No vectors of a next frame go before the last windows: it ends sooner.
    (network(2, pool=3), 2, -2),
    (network(2, pool=2, bits=8), 2, 0),
    (network(2, inputs=3, pool=2, zero_point=5), 2, -1),
    (network(2, pool=2, weight_bits=8), 2, 0),  # 4 columns of two slices each
    (network(2, weight_bits=16), 2, 0),  # all 16 columns
    (network(3, weight_bits=16), 1, 0),
]


@pytest.mark.parametrize(("graph", "pixels"), [case[:2] for case in CASES])
def test_which_are_merged(graph, pixels):
    stage, _ = stages(graph)
    found = merged(stage, TINY.pe)
    assert found.merged == pixels
    assert found.pixels == stage.conv_size
    assert found.conv_size[1] * pixels == stage.conv_size[1]


def test_what_is_not_merged():
    """Sums that a finite ADC would clip elsewhere."""
    stage, _ = stages(network(1))
    array = dataclasses.replace(TINY.pe.array, adc_bits=6)
    assert merged(stage, dataclasses.replace(TINY.pe, array=array)) is stage


def test_lenet_at_full_size():
    """The first layer of LeNet-5, 6 channels of blocks of 16 columns: half of the reads."""
    stage, _ = stages(network(6, size=28, kernel=5, pad=2, pool=2))
    tiling = tile(merged(stage, FULL.pe), FULL.pe)
    assert (tiling.windows, tiling.kernel, tiling.stride) == (392, (5, 6), (1, 2))


@pytest.mark.parametrize(("graph", "pixels", "more"), CASES)
def test_merged_layers(graph, pixels, more):
    """Through the netlist, against golden: two images of random numbers."""
    channels, height, width = graph.input.shape
    images = np.random.default_rng(SEED).integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    report = run(graph, ImageSet("random", images, None), TINY, arch="tiny").report
    assert report.mismatches == 0
    assert report.cycles is not None
    first, last = stages(graph)
    bounds = [2 * last.conv_size[0] * last.conv_size[1] * last.out_channels]  # flits out, two a sum
    for stage, together in ((first, pixels), (last, merged(last, TINY.pe).merged)):
        windows = stage.conv_size[0] * stage.conv_size[1] // together
        blocks = -(-stage.out_channels * together // TINY.pe.array.columns_at_once)
        passes = stage.main.bits // TINY.pe.buffer.act_bits * stage.weight_bits // TINY.pe.array.cell_bits
        bounds.append(windows * blocks * passes * TINY.pe.array.read_cycles)
    assert report.cycles.interval == max(bounds) + more
