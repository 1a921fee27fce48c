"""What PEs make of a stage that was cut up, in NumPy: words in buffers, windows, rows of cells, arithmetic."""

import numpy as np

from ohmweave.sim.stages import Stage, sent_pixels
from ohmweave.sim.tiling import Tiling

__all__ = ["run_stage"]


def run_stage(tiling: Tiling, main: np.ndarray, side: np.ndarray | None) -> np.ndarray:
    """The stage's result, (N, height, width, channels), from its tensors of that form."""
    stage = tiling.stage
    sent = sent_pixels(stage, main).astype(np.int64)
    parts = []
    for outs in tiling.passes:
        sums = sum(
            (_windows(tiling, tile, sent) @ _combined(tiling, tile, outs))
            for tile in range(len(tiling.shares))
        )
        beside = None if side is None else side[..., slice(*outs)].astype(np.int64)
        parts.append(_arithmetic(stage, sums, beside, slice(*outs)))
    return np.concatenate(parts, axis=3)


def _windows(tiling: Tiling, tile: int, sent: np.ndarray) -> np.ndarray:
    """Lanes of each window of a PE, of all planes: (N, height, width, lanes used); each plane with its weight."""
    stage = tiling.stage
    first, behind = tiling.shares[tile]
    share, word = sent[..., first:behind], tiling.word(tile)
    count, height, width, channels = share.shape
    words = np.pad(share, ((0, 0), (0, 0), (0, 0), (0, tiling.words * word - channels)))
    words = words.reshape(count, height, width * tiling.words, word)
    # The map with its spread pixels and its border, wide enough for the last window.
    rows, columns = tiling.kernel
    step_y, step_x = stage.spread
    top, left, bottom, right = stage.pads
    virtual = np.zeros(
        (
            count,
            (height - 1) * step_y + 1 + top + bottom,
            (words.shape[2] - 1) * step_x + 1 + left + right,
            word,
        ),
        np.int64,
    )
    virtual[:] = np.pad(stage.fill[first:behind], (0, tiling.words * word - channels))[:word]
    virtual[
        :,
        top : top + (height - 1) * step_y + 1 : step_y,
        left : left + (words.shape[2] - 1) * step_x + 1 : step_x,
    ] = words
    out_height, out_width = stage.conv_size
    lanes = np.zeros(
        (count, out_height, out_width, columns, rows, tiling.planes, tiling.lanes // tiling.planes), np.int64
    )
    for column in range(columns):
        for row in range(rows):
            stride_y, stride_x = tiling.stride
            pixels = virtual[:, row::stride_y, column::stride_x][:, :out_height, :out_width]
            for plane in range(tiling.planes):
                bits = stage.main.bits // tiling.planes
                value = (pixels >> (bits * plane) & ((1 << bits) - 1)) << (bits * plane)
                lanes[:, :, :, column, row, plane, :word] = value
    return lanes.reshape(count, out_height, out_width, -1)


def _combined(tiling: Tiling, tile: int, outs: tuple[int, int]) -> np.ndarray:
    return tiling.weights(tile, *outs).astype(np.int64)


def _arithmetic(stage: Stage, sums: np.ndarray, side: np.ndarray | None, outs: slice) -> np.ndarray:
    if stage.main_scale is not None:
        sums = _scaled(sums, stage.main_scale.mult[outs], stage.main_scale.shift[outs])
    if side is not None:
        assert stage.side_scale is not None
        sums = sums + _scaled(side, stage.side_scale.mult[outs], stage.side_scale.shift[outs])
    if stage.whole_frame:
        sums = sums.sum(axis=(1, 2), keepdims=True)
    values = sums + stage.bias[outs]
    if stage.scale is None:
        return _apart(stage, values)
    values = _scaled(values, stage.scale.mult[outs], stage.scale.shift[outs])
    values = _apart(stage, np.clip(values, stage.low, stage.high).astype(np.int64))
    if stage.pool is None:
        return values
    (rows, columns), (step_y, step_x), (top, left, _, _) = (
        stage.pool.kernel,
        stage.pool.stride,
        stage.pool.pads,
    )
    _, height, width = stage.result.shape
    border = np.pad(values, ((0, 0), (top, rows), (left, columns), (0, 0)))
    blocks = [
        border[:, y::step_y, x::step_x][:, :height, :width] for y in range(rows) for x in range(columns)
    ]
    return np.max(blocks, axis=0)


def _apart(stage: Stage, values: np.ndarray) -> np.ndarray:
    """Pixels that were computed side by side, each with channels of its own."""
    count, height, width, channels = values.shape
    return values.reshape(count, height, width * stage.merged, channels // stage.merged)


def _scaled(values: np.ndarray, mult: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Exact: Python's whole numbers where the product may pass 64 bits."""
    product = values.astype(object) * mult.astype(object)
    shift = shift.astype(int)
    right = np.maximum(shift, 0)
    half = np.where(right > 0, 2 ** np.maximum(right - 1, 0), 0).astype(object)
    moved = (product + half) // (2 ** right.astype(object)) * 2 ** np.maximum(-shift, 0).astype(object)
    return moved
