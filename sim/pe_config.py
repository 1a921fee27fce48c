"""What one PE is sent to run its share of a stage: cells, programs, constants, and the settings of all its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ohmweave.params import PEParams
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.conv_buffer import Convolution, conv_config
from ohmweave.rtl.encoding import Instruction, encode, instruction_writes
from ohmweave.rtl.indexing_filter import index_table
from ohmweave.rtl.isa import Half
from ohmweave.rtl.pe import StageConfig
from ohmweave.rtl.receiver import receiver_config
from ohmweave.rtl.registers import register_writes
from ohmweave.rtl.reram_half.signs import levels
from ohmweave.rtl.sender import sender_config
from ohmweave.rtl.side_receiver import side_config
from ohmweave.rtl.splitter import splitter_config
from ohmweave.rtl.spreader import spreader_config
from ohmweave.sim.graph_base import RAW_BITS
from ohmweave.sim.second_buffer import side_words
from ohmweave.sim.stage_program import Arithmetic, arithmetic, blocks, constants, reading
from ohmweave.sim.stages import Stage
from ohmweave.sim.tiling import Columns, Tiling

__all__ = [
    "RAW_WIDTHS", "Plan", "Share", "SideLink", "array_cells", "bordered", "cell_levels", "leaving_bits", "main_buffer",
    "main_receiver", "partial_bits", "plan", "program_place", "raw_width", "share_config", "share_writes", "split",
    "splitter", "spreader", "wide_bits",
]  # fmt: skip

#: Bits that a sum can leave the chip with, two's complement: a host takes them apart by nibbles.
RAW_WIDTHS = (32, 48)
#: Bits of elements of side streams are multiples of it, and at least `MIN_PARTIAL`.
UNIT = 4
MIN_PARTIAL = 16
#: Channels that can have fill values of their own; all others share one.
FILLED = 3


@dataclass(frozen=True)
class Share:
    """A PE's part of a stage.

    levels   of the cells
    writes   (address in the PE, data), the last of which enables the stage
    """

    levels: np.ndarray
    writes: list[tuple[int, int]]


@dataclass(frozen=True)
class Plan:
    """All of a PE's part of a stage but the numbers in its cells and constants.

    settings   of `StageConfig`
    reading    program of the ReRAM half
    arithmetic  that of the arithmetic half
    """

    settings: dict[str, Any]
    reading: list[Instruction]
    arithmetic: Arithmetic


@dataclass(frozen=True, kw_only=True)
class SideLink:
    """How the pixels of a side tensor come.

    channels  activations of the side tensor's bits that a pixel on the link has, whatever they are
    first     the first of them that is taken
    size      height and width of the grid on which the pixels lie
    stride    of those that stand beside results
    apart     they come by a link of their own, at a pace of their own, and not between those of the main tensor
    """

    channels: int
    first: int
    size: tuple[int, int]
    stride: tuple[int, int]
    apart: bool = False


def partial_bits(tiling: Tiling) -> int:
    """Bits of a partial sum, two's complement: what the inputs and the weights of all but the last PE can add up to."""
    return _sum_bits(tiling.stage, tiling.shares[-1][0])


@lru_cache(maxsize=64)  # stages that are mapped together
def _sum_bits(stage: Stage, channels: int) -> int:
    """Bits of a sum of the stage's first input channels."""
    weights = stage.weights[:, :channels].astype(np.int64)
    axes = (1, 2, 3)
    top = stage.main.top
    low, high = (np.minimum(weights, 0).sum(axes).min() * top, np.maximum(weights, 0).sum(axes).max() * top)
    bits = max(int(high).bit_length(), int(-low - 1).bit_length() if low else 0, MIN_PARTIAL - 1) + 1
    return -(-bits // UNIT) * UNIT


def raw_width(bound: int) -> int:
    """The narrowest of `RAW_WIDTHS` for numbers from -bound to bound."""
    return next(width for width in RAW_WIDTHS if bound < 1 << (width - 1))


def wide_bits(stage: Stage) -> int:
    """Bits of a sum that leaves the last PE of a stage; as many as can be where none does."""
    return leaving_bits(stage) if stage.raw else RAW_BITS


def leaving_bits(stage: Stage) -> int:
    """Bits of the numbers that leave the last PE of a stage."""
    return raw_width(stage.sum_bound) if stage.raw else stage.result.bits


def share_config(
    made: Plan,
    tiling: Tiling,
    pe: PEParams,
    *,
    tile: int,
    outs: tuple[int, int],
    columns: Columns | None = None,
) -> Share:
    """What PE `tile` of a row of them is sent for the channels `outs` of the output.

    columns  what the array holds, if more than the channels that are computed
    """
    rows = tiling.weights(tile, *outs) if columns is None else tiling.rows(tile, columns.weights)
    read = range(blocks(outs[1] - outs[0], pe)) if columns is None else columns.blocks
    post, pool = made.arithmetic.post, made.arithmetic.pool
    return Share(
        array_cells(pe, cell_levels(tiling, pe, rows)),
        share_writes(
            pe,
            made.settings,
            index=index_table(read),
            reading=made.reading,
            arithmetic=post + pool,
            constants=constants(made.arithmetic, pe, *outs),
        ),
    )


def cell_levels(tiling: Tiling, pe: PEParams, rows: np.ndarray) -> np.ndarray:
    """Levels of the cells that weights (rows, channels) of a stage are kept in."""
    return levels(rows, max(tiling.stage.weight_bits, pe.array.cell_bits), pe.array)


def array_cells(pe: PEParams, *parts: np.ndarray) -> np.ndarray:
    """The whole array's cells, the columns of the parts side by side."""
    cells = np.zeros((pe.array.rows, pe.array.cols), np.uint8)
    column = 0
    for part in parts:
        cells[: part.shape[0], column : column + part.shape[1]] = part
        column += part.shape[1]
    return cells


def share_writes(
    pe: PEParams,
    settings: Mapping[str, Any],
    *,
    index: Sequence[tuple[int, int]],
    reading: Sequence[Instruction],
    arithmetic: Sequence[Instruction],
    constants: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """All that a PE is configured with: (address in the PE, data)."""
    return [
        *_at(Region.INDEX, index),
        *_at(Region.RERAM_PROGRAM, _table(reading, Half.RERAM)),
        *_at(Region.ARITHMETIC_PROGRAM, _table(arithmetic, Half.ARITHMETIC)),
        *_at(Region.CONSTANTS, constants),
        # Last, because its final word enables the stage.
        *_at(Region.STAGE, register_writes(StageConfig(pe), settings)),
    ]


def plan(
    tiling: Tiling,
    pe: PEParams,
    *,
    tile: int,
    channels: int,
    link_channels: int,
    link_first: int = 0,
    side: SideLink | None = None,
    pruned: bool = False,
) -> Plan:
    """What PE `tile` of a row of them does for a pass of `channels`; `OhmweaveError` for what it cannot do.

    link_channels  activations of the main tensor's bits that a pixel on the link has, whatever they are
    link_first     the main tensor's channel that is the first of them
    side           of the last PE of a row, where the stage has a side tensor
    pruned         the array holds more columns than are computed
    """
    stage = tiling.stage
    first, final = tile == 0, tile == len(tiling.shares) - 1
    made = arithmetic(stage, first=first, final=final, channels=channels)
    beside = side if final and stage.side is not None else None
    program = reading(
        tiling,
        pe,
        tile=tile,
        first=first,
        side=None if beside is None else beside.apart,
        channels=channels,
        index=pruned,
    )
    settings: dict[str, Any] = {
        "buffers": [
            main_buffer(tiling, pe, tile).config,
            _second_buffer(tiling, pe, beside, channels) if final else {},
        ],
        "main": main_receiver(tiling, pe, tile, link_channels, link_first),
        "spreader": spreader(tiling, pe, tile),
        "pooling": int(stage.pool is not None and final),
        "splitter": splitter(stage, pe, channels),
        "reram": {
            "length": len(program),
            "windows": [tiling.windows - 1, 0],
            "split": [split(tiling, pe), 0],
        },
        "arithmetic": _arithmetic(tiling, pe, made.post, made.pool, channels, final=final),
        "sender": sender_config(wide_bits=wide_bits(stage) if final else partial_bits(tiling)),
        "enable": 1,
    }
    if beside is not None:
        assert stage.side is not None
        settings["shortcut"] = receiver_config(
            pe,
            pixels=beside.size[0] * beside.size[1],
            channels=beside.channels,
            first=beside.first,
            taken=channels,
            planes=stage.side.bits // pe.buffer.act_bits,
            kernel=(1, side_words(stage, pe, channels)),
        )
    if not first:
        settings["side"] = side_config(
            pe, width=partial_bits(tiling), signed=True, pixels=tiling.windows, channels=channels
        )
    return Plan(settings, program, made)


def split(tiling: Tiling, pe: PEParams) -> int:
    """Logarithm to the base 2 of the pixels that share a word of the buffer."""
    return pe.buffer.groups(tiling.kernel).bit_length() - 1


def _at(region: Region, writes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(region.address(local), word) for local, word in writes]


def _table(program: Sequence[Instruction], half: Half) -> list[tuple[int, int]]:
    return [
        write
        for place, instruction in enumerate(program)
        for write in instruction_writes(place, encode(instruction, half))
    ]


def bordered(tiling: Tiling) -> bool:
    """Whether the border is put around the map before the buffer, which pads the same on both sides or not at all."""
    top, left, bottom, right = tiling.stage.pads
    rows, columns = tiling.stage.kernel
    return (top, left) != (bottom, right) or top >= rows or left >= columns


def main_receiver(
    tiling: Tiling, pe: PEParams, tile: int, link_channels: int, link_first: int = 0
) -> Mapping[str, Any]:
    """How the stage's pixels are taken from a link on which they have so many channels, from `link_first` on."""
    first, behind = tiling.shares[tile]
    return receiver_config(
        pe,
        pixels=tiling.stage.sent_shape[1] * tiling.stage.sent_shape[2],
        channels=link_channels,
        first=first - link_first,
        taken=behind - first,
        planes=tiling.planes,
        kernel=tiling.kernel,
        word=tiling.word(tile),
    )


def spreader(tiling: Tiling, pe: PEParams, tile: int) -> Mapping[str, Any]:
    """What is put between the pixels of a transposed convolution, and around a map."""
    stage = tiling.stage
    border = stage.pads if bordered(tiling) else (0, 0, 0, 0)
    if stage.spread == (1, 1) and not any(border):
        return {}  # transparent
    return spreader_config(
        pe.buffer,
        height=stage.sent_shape[1],
        width=stage.sent_shape[2],
        step=stage.spread,
        border=border,
        **_fill(tiling, tile),
    )


def splitter(stage: Stage, pe: PEParams, channels: int) -> Mapping[str, Any]:
    """How results of several windows that were read together are taken apart."""
    return splitter_config(pe.buffer, stage.merged, channels // stage.merged) if stage.merged > 1 else {}


def program_place(
    program: Sequence[Instruction], *, first: int, pixels: int, channels: int, row: int = 0
) -> Mapping[str, Any]:
    """`ProgramConfig` of a program of the arithmetic half: where it stands, and what it runs for."""
    return {
        "enable": 1,
        "first": first,
        "last": first + len(program) - 1,
        "last_pixel": pixels - 1,
        "last_channel": channels - 1,
        "row": row,
    }


def _fill(tiling: Tiling, tile: int) -> dict[str, Any]:
    """What stands in places that no pixel is sent for."""
    first, behind = tiling.shares[tile]
    values = [int(each) for each in tiling.stage.fill[first:behind]][: tiling.word(tile)]
    if len(set(values[FILLED:])) == 1:  # the rest share one
        values = values[: FILLED + 1]
    return {"fill": values, "planes": tiling.planes, "kernel": tiling.kernel}


def main_buffer(tiling: Tiling, pe: PEParams, tile: int) -> Convolution:
    """How the convolution buffer makes the stage's windows."""
    stage = tiling.stage
    height, width = tiling.map_size
    pads = (0, 0)
    if bordered(tiling):
        height += stage.pads[0] + stage.pads[2]
        width += stage.pads[1] + stage.pads[3]
    else:
        pads = stage.pads[:2]
    filled = _fill(tiling, tile)
    return conv_config(
        pe.buffer,
        tiling.kernel,
        tiling.stride,
        pads,
        height,
        width,
        channels=tiling.word(tile),
        fill=filled["fill"],
        planes=tiling.planes,
    )


def _second_buffer(tiling: Tiling, pe: PEParams, side: SideLink | None, channels: int) -> Mapping[str, Any]:
    """What waits for the arithmetic half: pixels of the side tensor for its results, or its results for the pool."""
    stage = tiling.stage
    if stage.pool is not None:
        height, width = stage.pixels
        pool = stage.pool
        _, out_height, out_width = stage.result.shape
        return conv_config(
            pe.buffer, pool.kernel, pool.stride, pool.pads[:2], height, width, out=(out_height, out_width)
        ).config
    if side is not None:
        # One window a result; what lies beside them on the link, pixel for pixel, is not looked at. A pixel is one
        # word, or several next to each other.
        words = side_words(stage, pe, channels)
        (height, width), (down, along) = side.size, side.stride
        return conv_config(
            pe.buffer, (1, words), (down, along * words), 0, height, width * words, out=stage.conv_size
        ).config
    return {}


def _arithmetic(
    tiling: Tiling,
    pe: PEParams,
    post: Sequence[Instruction],
    pool: Sequence[Instruction],
    channels: int,
    *,
    final: bool,
) -> Mapping[str, Any]:
    stage = tiling.stage
    pooled = stage.pool if final else None
    waiting = 1
    if pooled is not None:
        waiting = stage.result.bits // pe.buffer.act_bits
    elif final and stage.side is not None:
        waiting = stage.side.bits // pe.buffer.act_bits
    settings: dict[str, Any] = {
        "post": program_place(post, first=0, pixels=tiling.windows, channels=channels),
        "planes": waiting.bit_length() - 1,
    }
    if pooled is not None:
        _, height, width = stage.result.shape
        settings["pool"] = program_place(pool, first=len(post), pixels=height * width, channels=channels)
        settings["last_window_pixel"] = pooled.kernel[0] * pooled.kernel[1] - 1
    return settings
