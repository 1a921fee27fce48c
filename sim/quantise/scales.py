"""Scales: of tensors, and as the integers that the hardware multiplies and shifts by."""

from dataclasses import dataclass

import numpy as np

from ohmweave.sim.graph import MAX_SHIFT, MIN_SHIFT

__all__ = ["TensorScale", "encode", "from_range", "value_of"]


@dataclass(frozen=True, eq=False)
class TensorScale:
    """real = scale·(number - zero), both (channels,) float64; where channels differ, only of the image."""

    scale: np.ndarray
    zero: np.ndarray
    bits: int

    @property
    def step(self) -> float:
        """The one scale of a tensor whose channels do not differ."""
        return float(self.scale[0])

    @property
    def point(self) -> int:
        return int(self.zero[0])

    @property
    def uniform(self) -> bool:
        return bool(np.all(self.scale == self.scale[0]) and np.all(self.zero == self.zero[0]))


def from_range(low: float, high: float, bits: int) -> tuple[float, int]:
    """Scale and zero point of the numbers of `bits` bits for reals from `low` ≤ 0 to `high` ≥ 0."""
    top = (1 << bits) - 1
    scale = (high - low) / top
    if not scale > 1e-30:
        return 1.0, 0  # never anything but 0
    return scale, int(np.clip(np.rint(-low / scale), 0, top))


def encode(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mult, uint16, and shift, int8, of which mult·2^-shift is nearest to `factor` ≥ 0, with 16 bits of it."""
    factor = np.asarray(factor, np.float64)
    positive = np.where(factor > 0, factor, 1.0)
    shift = np.clip(15 - np.floor(np.log2(positive)), MIN_SHIFT, MAX_SHIFT)
    mult = np.rint(factor * 2.0**shift)
    over = (mult > 0xFFFF) & (shift > MIN_SHIFT)
    shift = np.where(over, shift - 1, shift)
    mult = np.clip(np.rint(factor * 2.0**shift), 0, 0xFFFF)
    shift = np.where(mult > 0, shift, 0)
    return mult.astype(np.uint16), shift.astype(np.int8)


def value_of(mult: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """What `encode` made of a factor."""
    return np.ldexp(mult.astype(np.float64), -shift.astype(np.int64))
