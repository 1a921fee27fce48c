"""Numbers as they travel on a link: packed without gaps, lowest bits first, each frame from a flit of its own on."""

from collections.abc import Sequence

import numpy as np

__all__ = ["flit_type", "flits_per_frame", "pack", "unpack"]

#: All widths of numbers on a link that a host sends or takes are multiples of it.
UNIT = 4


def flit_type(link_bits: int) -> np.dtype:
    """Type of the data of a flit."""
    return np.dtype(f"<u{link_bits // 8}")


def flits_per_frame(numbers: int, bits: int, link_bits: int) -> int:
    """Flits of a frame of so many numbers of `bits` bits."""
    return -(-numbers * bits // link_bits)


def pack(parts: Sequence[tuple[np.ndarray, int]], link_bits: int) -> np.ndarray:
    """Flits (N, F) of frames of pixels: of each pixel the numbers of all parts one after the other.

    parts   unsigned numbers (N, pixels, channels) and their bits, a multiple of 4
    """
    units = np.concatenate([_units(numbers, bits) for numbers, bits in parts], axis=2)
    frames = units.reshape(len(units), -1)
    frames = np.pad(frames, ((0, 0), (0, -frames.shape[1] % (link_bits // UNIT))))
    packed = frames[:, ::2] | frames[:, 1::2] << 4
    return np.ascontiguousarray(packed).view(flit_type(link_bits))


def _units(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Each number as `bits`/4 numbers of 4 bits, the lowest first."""
    count, pixels, _ = numbers.shape
    steps = np.arange(0, bits, UNIT, dtype=np.uint8)
    cut = (numbers[..., None] >> steps) & 15
    return cut.astype(np.uint8).reshape(count, pixels, -1)


def unpack(flits: np.ndarray, numbers: int, bits: int, *, signed: bool = False) -> np.ndarray:
    """Numbers (N, numbers), int64, from the flits (N, F) of frames; `bits` is a multiple of 4."""
    data = np.ascontiguousarray(flits).view(np.uint8).reshape(len(flits), -1)
    halves = np.stack([data & 15, data >> 4], axis=2).reshape(len(flits), -1)
    per = bits // UNIT
    units = halves[:, : numbers * per].reshape(len(flits), numbers, per)
    values = np.zeros((len(flits), numbers), np.int64)
    for place in range(per):
        values |= units[:, :, place].astype(np.int64) << (UNIT * place)
    if signed:
        values -= (values >> (bits - 1)) << bits
    return values
