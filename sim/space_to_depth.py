"""Blocks of the image's pixels sent as one pixel of more channels, where a layer's stride is as large as they are.

A window that moves on by two pixels of few channels is one that moves on by one pixel of four times as many, and half
as wide. So it leaves room beside it in the convolution buffer, and windows next to each other can share a read of the
array (`ohmweave.sim.merging`). The host, which sends the image, sends its pixels in this order, and those of the border
with them: a buffer's fill values are of fewer channels than a block has.
"""

from dataclasses import dataclass, replace

import numpy as np

from ohmweave.sim.stages import Stage

__all__ = ["Blocks", "space_to_depth"]


@dataclass(frozen=True)
class Blocks:
    """How an image is sent.

    Channel (row · side + column) · channels + c of a block is channel c of its pixel (row, column).

    side    rows and columns of a block
    border  pixels sent around the image: top, left, bottom, right
    fill    their value in each channel
    """

    side: int
    border: tuple[int, int, int, int]
    fill: tuple[int, ...]

    def of(self, images: np.ndarray) -> np.ndarray:
        """Images (N, height, width, channels) as they are sent."""
        top, left, bottom, right = self.border
        count, height, width, channels = images.shape
        sent = np.empty((count, height + top + bottom, width + left + right, channels), images.dtype)
        sent[:] = self.fill
        sent[:, top : top + height, left : left + width] = images
        rows, columns = (size // self.side for size in sent.shape[1:3])
        blocks = sent.reshape(count, rows, self.side, columns, self.side, channels)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows, columns, -1)

    def fits(self, shape: tuple[int, int, int]) -> bool:
        """Whether images (channels, height, width) can be sent so."""
        channels, height, width = shape
        top, left, bottom, right = self.border
        whole = (height + top + bottom) % self.side == 0 == (width + left + right) % self.side
        return whole and len(self.fill) == channels


def space_to_depth(stage: Stage) -> tuple[Stage, Blocks] | None:
    """The stage that reads blocks of its stride's size, and how they are sent; None where that is not possible."""
    step = stage.stride[0]
    channels, height, width = stage.main.shape
    top, left, _, _ = stage.pads
    plain = stage.spread == (1, 1) == stage.sent and stage.expanded is None and stage.side is None
    if stage.stride != (step, step) or step == 1 or not plain:
        return None
    outs, ins, rows, columns = stage.weights.shape
    kernel = (-(-rows // step), -(-columns // step))
    count = stage.conv_size
    # The windows begin with whole blocks, and end with the border, or before the map does.
    size = tuple((number - 1 + side) * step for number, side in zip(count, kernel, strict=True))
    behind = (size[0] - top - height, size[1] - left - width)
    if min(behind) < 0:
        return None
    weights = np.zeros((outs, ins, kernel[0] * step, kernel[1] * step), stage.weights.dtype)
    weights[:, :, :rows, :columns] = stage.weights
    weights = weights.reshape(outs, ins, kernel[0], step, kernel[1], step).transpose(0, 3, 5, 1, 2, 4)
    blocks = Blocks(step, (top, left, *behind), tuple(stage.fill.tolist()))
    shape = (channels * step * step, size[0] // step, size[1] // step)
    made = replace(
        stage,
        main=replace(stage.main, shape=shape),
        weights=np.ascontiguousarray(weights).reshape(outs, -1, *kernel),
        stride=(1, 1),
        pads=(0, 0, 0, 0),
        fill=np.zeros(shape[0], stage.fill.dtype),
    )
    return made, blocks
