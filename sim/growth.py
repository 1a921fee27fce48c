"""Larger kernels, by zeros: the convolution buffer then holds more rows of the map, of fewer channels each."""

from dataclasses import replace

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.sim.pe_config import bordered
from ohmweave.sim.tiling import Tiling, tile

__all__ = ["MAX_GROWTH", "grown"]

#: Zeros at most on a side of a kernel.
MAX_GROWTH = 3


def grown(tiling: Tiling, by: tuple[int, ...], pe: PEParams) -> Tiling:
    """The layer with zeros above and below, left and right of its kernel, and as many more pixels of border.

    `OhmweaveError` if it cannot be.
    """
    if not any(by):
        return tiling
    stage = tiling.stage
    # A finite ADC would clip the sums of more rows elsewhere.
    if bordered(tiling) or stage.spread != (1, 1) or tiling.words > 1 or not pe.array.lossless:
        raise OhmweaveError(f"the kernel of {stage.name} cannot grow")
    around = ((0, 0), (0, 0), (by[0],) * 2, (by[1],) * 2)
    top, left, bottom, right = (pad + more for pad, more in zip(stage.pads, by * 2, strict=True))
    return tile(replace(stage, weights=np.pad(stage.weights, around), pads=(top, left, bottom, right)), pe)
