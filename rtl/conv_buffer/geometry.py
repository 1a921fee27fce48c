"""What a convolution asks of the buffer, worked out before the run so that the hardware neither divides nor multiplies.

A buffer of `banks` line memories holds image row r of a stream of images in slot r mod (banks × groups), rows being
counted on over frame boundaries. A slot is a bank, slot mod banks, and a group of lanes in that bank's words,
slot div banks. Groups are counted in eighths of a word, so that a group counter of three bits wraps by itself for
1, 2, 4 and 8 groups.
"""

from typing import NamedTuple

from amaranth.lib import data

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams

__all__ = [
    "MAX_HEIGHT",
    "UNITS",
    "ConvConfig",
    "Convolution",
    "conv_config",
    "kernels",
]

#: Rows of the highest image; nothing but counters depends on it.
MAX_HEIGHT = 4096
#: Parts of a memory word that are written on their own.
UNITS = 8


class ConvConfig(data.StructLayout):
    """Configuration of one buffer: plain bit fields, lowest first.

    kernel         k; 0 is a buffer that takes and gives nothing
    pad            zero rows and columns around the image
    stride         rows from one window to the next
    skip           columns between two windows that belong to neither: max(stride - k, 0)
    first_columns  columns of the image that complete the first window of a row: k - pad
    next_columns   columns that complete each further one: min(stride, k)
    group_step     one group in eighths of a word, modulo 8
    slots          image rows that the buffer holds: banks × groups
    in_width, in_height   the image
    last_x, last_y        the last output position: output size - 1
    start_bank, start_group   slot of row -pad of the first image
    row_bank, row_group       slots from one row of windows to the next
    frame_bank, frame_group   slots from the last row of windows of one image to the first of the next
    """

    def __init__(self, params: BufferParams):
        width_bits = (params.width + 2 * UNITS).bit_length()
        height_bits = (MAX_HEIGHT + 2 * UNITS).bit_length()
        bank_bits = (params.banks - 1).bit_length()
        fields: dict[str, int] = {
            "kernel": 3,
            "pad": 3,
            "stride": 3,
            "skip": 2,
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
        }
        super().__init__(fields)


class Convolution(NamedTuple):
    """One layer's convolution: `config` has a value for each field of `ConvConfig`."""

    config: dict[str, int]
    out_height: int
    out_width: int


def kernels(params: BufferParams) -> range:
    """Kernel sizes that the buffer is built for."""
    return range(1, params.max_kernel + 1)


def _group_units(params: BufferParams, kernel: int) -> int:
    """Eighths of a memory word that one pixel takes."""
    return UNITS // params.groups(kernel)


def conv_config(
    params: BufferParams,
    kernel: int,
    stride: int,
    pad: int,
    in_height: int,
    in_width: int,
    *,
    channels: int = 1,
) -> Convolution:
    """Configuration and output size of a convolution; `OhmweaveError` says why the buffer cannot run one."""
    whole("kernel", kernel, 1, params.max_kernel)
    whole("stride", stride, 1, params.max_stride)
    whole("pad", pad, 0, kernel - 1)
    whole("in_height", in_height, 1, MAX_HEIGHT)
    whole("in_width", in_width, 1, params.width)
    whole(f"channels of a {kernel}×{kernel} kernel", channels, 1, params.pixel_lanes(kernel))
    for name, size in (("in_height", in_height), ("in_width", in_width)):
        if size + 2 * pad < kernel:
            raise OhmweaveError(f"{name} must be at least kernel - 2 × pad, {kernel - 2 * pad}, not {size}")
    out_height = (in_height + 2 * pad - kernel) // stride + 1
    out_width = (in_width + 2 * pad - kernel) // stride + 1
    unit = _group_units(params, kernel)

    def slot(name: str, rows: int) -> dict[str, int]:
        group, bank = divmod(rows % params.row_slots(kernel), params.banks)
        return {f"{name}_bank": bank, f"{name}_group": group * unit}

    config = {
        "kernel": kernel,
        "pad": pad,
        "stride": stride,
        "skip": max(stride - kernel, 0),
        "first_columns": kernel - pad,
        "next_columns": min(stride, kernel),
        "group_step": unit % UNITS,
        "slots": params.row_slots(kernel),
        "in_width": in_width,
        "in_height": in_height,
        "last_x": out_width - 1,
        "last_y": out_height - 1,
        **slot("start", -pad),
        **slot("row", stride),
        **slot("frame", in_height - (out_height - 1) * stride),
    }
    return Convolution(config, out_height, out_width)
