"""Images that are sent in blocks of pixels: the convolution of the blocks is that of the pixels."""

from dataclasses import replace

import numpy as np
import pytest
from mapping_graphs import conv, residual, striding

from ohmweave.presets import PRESETS
from ohmweave.sim.graph import Graph, Tensor
from ohmweave.sim.mapping.cut import Cutter
from ohmweave.sim.mapping.mapped import mapped
from ohmweave.sim.space_to_depth import Blocks, space_to_depth
from ohmweave.sim.stages import Stage, stages

TINY = PRESETS["tiny"]
SEED = 11


def stage_of(*, size: tuple[int, int], ins: int = 3, **more) -> Stage:
    first = conv("conv", "image", ins=ins, outs=5, **more)
    logits = replace(striding(3).nodes[1], input="conv", weights=np.ones((4, 5, 1, 1), np.int16))
    graph = Graph(name="one", input=Tensor(name="image", shape=(ins, *size), bits=4), nodes=(first, logits))
    return replace(stages(graph)[0], fill=np.arange(3, 3 + ins))


def sums(stage: Stage, maps: np.ndarray) -> np.ndarray:
    """Of all windows, (N, height, width, out), one after the other; maps (N, height, width, channels)."""
    top, left, bottom, right = stage.pads
    count, height, width, channels = maps.shape
    whole = np.empty((count, height + top + bottom, width + left + right, channels), np.int64)
    whole[:] = stage.fill
    whole[:, top : top + height, left : left + width] = maps
    rows, columns = stage.kernel
    weights = stage.weights.astype(np.int64)
    found = np.zeros((count, *stage.conv_size, len(weights)), np.int64)
    for y in range(stage.conv_size[0]):
        for x in range(stage.conv_size[1]):
            top, left = y * stage.stride[0], x * stage.stride[1]
            window = whole[:, top : top + rows, left : left + columns]
            found[:, y, x] = np.einsum("nyxc,ocyx->no", window, weights)
    return found


@pytest.mark.parametrize(
    ("size", "more"),
    [
        ((8, 12), {"kernel": 7, "stride": (2, 2)}),
        ((9, 7), {"kernel": 3, "stride": (2, 2)}),
        ((9, 7), {"kernel": 3, "stride": (2, 2), "pads": (0, 1, 1, 0)}),
        ((12, 12), {"kernel": 4, "stride": (4, 4), "pads": (0, 0, 0, 0)}),
        ((10, 13), {"kernel": 5, "stride": (3, 3), "pads": (2, 1, 2, 2)}),
    ],
)
def test_same_sums(size, more):
    stage = stage_of(size=size, **more)
    found = space_to_depth(stage)
    assert found is not None
    made, blocks = found
    print(f"seed {SEED}")
    images = np.random.default_rng(SEED).integers(0, 16, (2, *size, stage.main.shape[0]))
    sent = blocks.of(images)
    assert sent.shape[3:] + sent.shape[1:3] == made.main.shape
    assert blocks.fits(stage.main.shape)
    assert made.stride == (1, 1)
    assert made.conv_size == stage.conv_size
    assert np.array_equal(sums(made, sent), sums(stage, images))


def test_order_of_a_block():
    """Row by row of a block, channel by channel of a pixel, with the border around."""
    blocks = Blocks(2, (1, 0, 0, 1), (7, 8))
    image = np.arange(1, 7).reshape(1, 1, 3, 2)
    assert blocks.of(image).tolist() == [[[[7, 8, 7, 8, 1, 2, 3, 4], [7, 8, 7, 8, 5, 6, 7, 8]]]]
    assert blocks.fits((2, 1, 3))
    assert not blocks.fits((2, 2, 3))
    assert not blocks.fits((2, 1, 4))
    assert not blocks.fits((3, 1, 3))


@pytest.mark.parametrize(
    ("size", "more"),
    [
        ((8, 8), {"kernel": 3}),  # nothing to gain
        ((8, 8), {"kernel": 3, "stride": (2, 1)}),
        ((6, 6), {"kernel": 1, "stride": (2, 2)}),  # only pixels that are read are sent
        ((13, 8), {"kernel": 3, "stride": (4, 4), "pads": (0, 0, 0, 0)}),  # windows end before the map does
    ],
)
def test_not_possible(size, more):
    assert space_to_depth(stage_of(size=size, **more)) is None


def test_only_where_windows_then_share_a_read():
    """Of windows of 6 columns with stride 2 no two fit the buffer side by side, but those of blocks do."""
    wide = Cutter(striding(6), TINY.pe).cut()
    assert wide.blocks == Blocks(2, (2, 2, 2, 2), (0,))
    assert wide.image.tensor.shape == (4, 8, 8)
    # Two windows of 3 columns with stride 2 share a read as they are.
    assert Cutter(striding(3), TINY.pe).cut().blocks is None
    # What another stage reads, too, comes as it is; and what is no image of the host's has no blocks.
    graph = striding(6)
    again = conv("again", "image", ins=1, outs=4, kernel=6, stride=(2, 2), pads=(2, 2, 2, 2), seed=3)
    added = replace(graph.nodes[1], stride=(1, 1), **residual("again"))
    both = replace(graph, nodes=(graph.nodes[0], again, added))
    assert Cutter(both, TINY.pe).cut().blocks is None
    later = replace(graph.nodes[0], name="later", input="image")
    first = conv("first", "image", ins=1, outs=1, kernel=1, bits=4)
    two = replace(graph, nodes=(first, replace(later, input="first"), replace(graph.nodes[1], input="later")))
    assert Cutter(two, TINY.pe, (1, 3)).cut().blocks is None
    # Few channels share reads as they are, and are not cut.
    assert Cutter(two, TINY.pe).most_rows("first") == 1


def test_a_program_has_its_images_in_blocks():
    program = mapped(striding(6), replace(TINY, levels=2)).program()
    assert program.inbound.blocks == Blocks(2, (2, 2, 2, 2), (0,))
    assert program.inbound.channels == 4
