"""Several windows in one read of the array, where a layer has fewer channels than columns are read at once.

The array reads blocks of columns, however few of them a layer has channels for (Re-ReRAM, section VII, figure 12).
Windows next to each other are then read together: the window becomes as wide as all of them, and each has the columns
of its own channels, whose weights stand where its pixels are. What comes out are the pixels in their order.
"""

from dataclasses import replace

import numpy as np

from ohmweave.params import PEParams
from ohmweave.rtl.reram_half.signs import sign_scheme, slices_of
from ohmweave.rtl.splitter import MAX_MERGED
from ohmweave.sim.stages import Scale, Stage

__all__ = ["merged"]


def merged(stage: Stage, pe: PEParams) -> Stage:
    """The stage with as many windows in a read as need the fewest reads; the stage itself where that is one."""
    array, buffer = pe.array, pe.buffer
    planes = stage.main.bits // buffer.act_bits
    channels = stage.out_channels
    slices = slices_of(max(stage.weight_bits, array.cell_bits), array)
    outs = array.cols // (slices * sign_scheme(array).signs)
    # A finite ADC would clip the sums of more rows elsewhere. Residuals and frames' sums belong to single pixels.
    if not array.lossless or stage.side is not None or stage.whole_frame or stage.expanded is not None:
        return stage

    def reads(pixels: int) -> float:
        """Blocks read for each pixel."""
        return -(-pixels * channels // array.columns_at_once) / pixels

    def fits(pixels: int) -> bool:
        rows, columns = stage.kernel
        kernel, stride = (rows, columns + (pixels - 1) * stage.stride[1]), pixels * stage.stride[1]
        waiting = 1 if stage.pool is None else stage.result.bits // buffer.act_bits
        return (
            stage.conv_size[1] % pixels == 0
            and kernel[1] <= buffer.max_kernel
            and stride <= buffer.max_kernel
            and pixels * channels <= min(pe.alu_lanes, outs, buffer.lanes // waiting)
            and stage.main.shape[0] <= buffer.pixel_lanes(kernel) // max(planes, 1)
        )

    pixels = min((n for n in range(1, MAX_MERGED + 1) if n == 1 or fits(n)), key=reads)
    return stage if pixels == 1 else _side_by_side(stage, pixels)


def _side_by_side(stage: Stage, pixels: int) -> Stage:
    outs, ins, rows, columns = stage.weights.shape
    step = stage.stride[1]
    weights = np.zeros((pixels, outs, ins, rows, columns + (pixels - 1) * step), stage.weights.dtype)
    for pixel in range(pixels):
        weights[pixel, ..., pixel * step : pixel * step + columns] = stage.weights
    return replace(
        stage,
        merged=pixels,
        weights=weights.reshape(pixels * outs, *weights.shape[2:]),
        stride=(stage.stride[0], pixels * step),
        main_scale=_repeated(stage.main_scale, pixels),
        bias=np.tile(stage.bias, pixels),
        scale=_repeated(stage.scale, pixels),
    )


def _repeated(scale: Scale | None, times: int) -> Scale | None:
    return None if scale is None else Scale(np.tile(scale.mult, times), np.tile(scale.shift, times))
