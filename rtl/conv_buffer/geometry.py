"""What a convolution asks of the buffer, worked out before the run so that the hardware neither divides nor multiplies.

A buffer of `banks` line memories holds image row r of a stream of images in slot r mod (banks × groups), rows being
counted on over frame boundaries. A slot is a bank, slot mod banks, and a group of lanes in that bank's words,
slot div banks. Groups are counted in eighths of a word, so that a group counter of three bits wraps by itself for
1, 2, 4 and 8 groups.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from amaranth.lib import data

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams, Kernel
from ohmweave.rtl.fill import FillLayout, fill_values

__all__ = [
    "MAX_HEIGHT",
    "UNITS",
    "ConvConfig",
    "Convolution",
    "conv_config",
    "in_place",
    "kernels",
    "part_config",
]

#: Rows of the highest image; nothing but counters depends on it.
MAX_HEIGHT = 4096
#: Parts of a memory word that are written on their own.
UNITS = 8
#: Pixels that one window may give, in place.
MAX_RESULTS = 4


class ConvConfig(data.StructLayout):
    """Configuration of one buffer: plain bit fields, lowest first.

    kernel         rows of a window; 0 is a buffer that takes and gives nothing
    columns        columns of a window
    pad            padding rows above and below the image
    stride         rows from one window to the next
    skip           columns between two windows that belong to neither: max(column stride - columns, 0)
    first_rows     rows of the image that the first row of windows reaches: kernel - pad
    first_columns  columns of the image that complete the first window of a row: columns - column pad
    next_columns   columns that complete each further one: min(column stride, columns)
    group_step     one group in eighths of a word, modulo 8
    slots          image rows that the buffer holds: banks × groups
    in_width, in_height   the image
    last_x, last_y        the last output position: output size - 1
    start_bank, start_group   slot of row -pad of the first image
    row_bank, row_group       slots from one row of windows to the next
    frame_bank, frame_group   slots from the last row of windows of one image to the first of the next
    fill           what pixels in the padding are: `ohmweave.rtl.fill`
    """

    def __init__(self, params: BufferParams):
        width_bits = (params.width + 2 * UNITS).bit_length()
        height_bits = (MAX_HEIGHT + 2 * UNITS).bit_length()
        bank_bits = (params.banks - 1).bit_length()
        fields: dict[str, Any] = {
            "kernel": 3,
            "columns": 3,
            "pad": 3,
            "stride": 3,
            "skip": 3,
            "first_rows": 3,
            "first_columns": 3,
            "next_columns": 3,
            "group_step": 3,
            "slots": 8,
            "in_width": width_bits,
            "in_height": height_bits,
            "last_x": width_bits,
            "last_y": height_bits,
            "start_bank": bank_bits,
            "start_group": 3,
            "row_bank": bank_bits,
            "row_group": 3,
            "frame_bank": bank_bits,
            "frame_group": 3,
            "fill": FillLayout(params),
        }
        super().__init__(fields)


def part_config(params: BufferParams, names: Sequence[str]) -> data.StructLayout:
    """The fields of `ConvConfig` that one part of the buffer reads."""
    whole_config = ConvConfig(params)
    return data.StructLayout({name: whole_config[name].shape for name in names})


class Convolution(NamedTuple):
    """One layer's convolution: `config` has a value for each field of `ConvConfig`."""

    config: dict[str, Any]
    out_height: int
    out_width: int


def kernels(params: BufferParams) -> list[tuple[int, int]]:
    """Rows and columns of the windows that the buffer is built for."""
    sizes = range(1, params.max_kernel + 1)
    return list(product(sizes, sizes))


def _group_units(params: BufferParams, kernel: Kernel) -> int:
    """Eighths of a memory word that one pixel takes."""
    return UNITS // params.groups(kernel)


def _pair(name: str, value: Any, low: int, high: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a value that is given as such or as one number for both."""
    if not isinstance(value, tuple):
        whole(name, value, low, min(high))
        return value, value
    if len(value) != 2:
        raise OhmweaveError(f"{name} must be a number or rows and columns, not {value!r}")
    for axis, size, most in zip(("rows", "columns"), value, high, strict=True):
        whole(f"{name} in {axis}", size, low, most)
    return value


def conv_config(
    params: BufferParams,
    kernel: Kernel,
    stride: Kernel,
    pad: Kernel,
    in_height: int,
    in_width: int,
    *,
    channels: int = 1,
    fill: Sequence[int] = (0,),
    planes: int = 1,
    out: tuple[int, int] | None = None,
) -> Convolution:
    """Configuration and output size of a convolution; `OhmweaveError` says why the buffer cannot run one.

    kernel, stride, pad   rows and columns, or one number for both
    channels              of a pixel, each of `planes` bit planes
    fill                  value of a pixel in the padding in each channel; those of channel 3 on are the same
    out                   rows and columns of windows, if not as many as the padded image has: fewer, or more, which
                          reach further into the padding behind the image
    """
    side = params.max_kernel
    rows, columns = kernel = _pair("kernel", kernel, 1, (side, side))
    down, along = _pair("stride", stride, 1, (params.max_stride, max(params.max_stride, side)))
    if isinstance(pad, tuple):
        above, before = _pair("pad", pad, 0, (rows - 1, columns - 1))
    else:
        above, before = _pair("pad", pad, 0, (min(kernel) - 1,) * 2)
    whole("in_height", in_height, 1, MAX_HEIGHT)
    whole("in_width", in_width, 1, params.width)
    filling = fill_values(params, fill, planes=planes, kernel=kernel)
    whole(f"channels of a {rows}×{columns} kernel", channels, 1, params.pixel_lanes(kernel) // planes)
    for name, size, extent, border in (
        ("in_height", in_height, rows, above),
        ("in_width", in_width, columns, before),
    ):
        if out is None and size + 2 * border < extent:
            raise OhmweaveError(
                f"{name} must be at least kernel - 2 × pad, {extent - 2 * border}, not {size}"
            )
    out_height = (in_height + 2 * above - rows) // down + 1
    out_width = (in_width + 2 * before - columns) // along + 1
    if out is not None:
        out_height, out_width = out
        whole("rows of windows", out_height, 1, (in_height + above - 1) // down + 1)
        whole("columns of windows", out_width, 1, (in_width + before - 1) // along + 1)
    unit = _group_units(params, kernel)

    def slot(name: str, rows: int) -> dict[str, int]:
        group, bank = divmod(rows % params.row_slots(kernel), params.banks)
        return {f"{name}_bank": bank, f"{name}_group": group * unit}

    config = {
        "kernel": rows,
        "columns": columns,
        "pad": above,
        "stride": down,
        "skip": max(along - columns, 0),
        "first_rows": rows - above,
        "first_columns": columns - before,
        "next_columns": min(along, columns),
        "group_step": unit % UNITS,
        "slots": params.row_slots(kernel),
        "in_width": in_width,
        "in_height": in_height,
        "last_x": out_width - 1,
        "last_y": out_height - 1,
        **slot("start", -above),
        **slot("row", down),
        **slot("frame", in_height - (out_height - 1) * down),
        "fill": filling,
    }
    return Convolution(config, out_height, out_width)


def in_place(params: BufferParams, first: Convolution, second: Convolution) -> None:
    """Check that `first`, fed with its images, and `second`, fed with the results of `first`, can share one buffer.

    Images of the two alternate in the ring: row y of the results is written as row in_height + y, counted from the
    image that they come from, once windows of row y of that image have been read. The reader then still keeps the
    rows from max(y × stride - pad, 0) on. If all from there to in_height + y have a slot, for every y, then no result
    ever waits for a window that is read after its own: whatever stands between windows and results, and however
    little it holds, the buffer does not come to a standstill. Windows of row 0 may wait until the image is there as a
    whole, because its results are no pixels before; that takes in_height slots, fewer than for y = 0.

    `OhmweaveError` says why they cannot: the two must have the same slots, and `second` images of the size of the
    results, of which a window may give several side by side.
    """
    groups = [layer.config["slots"] // params.banks for layer in (first, second)]
    if groups[0] != groups[1] or first.config["group_step"] != second.config["group_step"]:
        raise OhmweaveError(
            f"image rows in a word must be the same for both layers in place, not {groups[0]} and {groups[1]}"
        )
    height, width = second.config["in_height"], second.config["in_width"]
    if height != first.out_height:
        raise OhmweaveError(
            f"in_height of the second layer in place must be the first layer's rows of windows, {first.out_height}, "
            f"not {height}"
        )
    if width % first.out_width or not 1 <= width // first.out_width <= MAX_RESULTS:
        raise OhmweaveError(
            f"in_width of the second layer in place must be 1 to {MAX_RESULTS} times the first layer's columns of "
            f"windows, {first.out_width}, not {width}"
        )
    own, stride, pad, slots = (first.config[name] for name in ("in_height", "stride", "pad", "slots"))
    held = [own + y - max(y * stride - pad, 0) + 1 for y in range(height)]
    if max(held) > slots:
        raise OhmweaveError(
            f"rows held while row {held.index(max(held))} of the results is written must be at most {slots}, "
            f"not {max(held)}"
        )
