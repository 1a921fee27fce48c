"""What nodes of integer graphs are made of: tensors, checks, and the scaling that several share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError

__all__ = [
    "BITS", "MAX_CHANNELS", "MAX_SHIFT", "MAX_SIZE", "MAX_STRIDE", "MIN_SHIFT", "RAW_BITS", "Node", "Pads", "Pair",
    "Scaled", "Tensor", "check_bits", "check_name", "check_range", "check_tuple", "no_mult", "no_shift",
    "scaled_bound", "window_count",
]  # fmt: skip

#: Bits of a number of a tensor, and of a weight.
BITS = (4, 8, 16)
#: Bits of a sum, two's complement.
RAW_BITS = 48
MIN_SHIFT, MAX_SHIFT = -16, 47

MAX_SIZE = 4096
MAX_CHANNELS = 1 << 17
MAX_ELEMENTS = 1 << 28
MAX_STRIDE = 16
SUM_BOUND = 1 << (RAW_BITS - 1)

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > 64:
        raise OhmweaveError(f"{what} must be letters, digits and underscores, at most 64, not {name!r}")


def check_bits(what: str, bits: object, among: Sequence[int] = BITS) -> None:
    if isinstance(bits, bool) or bits not in among:
        texts = [str(each) for each in among]
        raise OhmweaveError(f"{what} must be {', '.join(texts[:-1])} or {texts[-1]}, not {bits!r}")


def check_tuple(what: str, value: object, parts: str, low: int, high: int) -> None:
    """Whole numbers, one for each of the comma-separated `parts`."""
    names = parts.split(", ")
    if not isinstance(value, tuple) or len(value) != len(names):
        raise OhmweaveError(f"{what} must be ({parts}), not {value!r}")
    for part, each in zip(names, value, strict=True):
        whole(f"{what}, {part},", each, low, high)


def check_array(what: str, value: object, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    """A read-only copy; None in `shape` is any length."""
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != len(shape):
        kind = f"{value.dtype} of {value.ndim}" if isinstance(value, np.ndarray) else type(value).__name__
        dims = f"{len(shape)} dimension{'s' * (len(shape) > 1)}"
        raise OhmweaveError(f"{what} must be an array of {np.dtype(dtype)} of {dims}, not {kind}")
    if any(want is not None and have != want for have, want in zip(value.shape, shape, strict=True)):
        text = ", ".join("any" if want is None else str(want) for want in shape)
        raise OhmweaveError(f"{what} must have the shape ({text}), not {value.shape}")
    copy = np.array(value, order="C")
    copy.setflags(write=False)
    return copy


def check_range(what: str, value: np.ndarray, low: int, high: int) -> None:
    if value.size and not low <= value.min() <= value.max() <= high:
        raise OhmweaveError(f"{what} must be from {low} to {high}, not {value.min()} to {value.max()}")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A map of numbers: unsigned of `bits` bits, 0 standing at `zero_point`; signed if of RAW_BITS."""

    name: str
    shape: tuple[int, int, int]
    bits: int
    zero_point: int = 0

    def __post_init__(self) -> None:
        check_name("a tensor's name", self.name)
        what = f"tensor {self.name}:"
        check_tuple(f"{what} shape", self.shape, "channels, height, width", 1, MAX_CHANNELS)
        for side, size in zip(("height", "width"), self.shape[1:], strict=True):
            whole(f"{what} shape, {side},", size, 1, MAX_SIZE)
        whole(f"{what} channels × height × width", self.size, 1, MAX_ELEMENTS)
        check_bits(f"{what} bits", self.bits, (*BITS, RAW_BITS))
        whole(f"{what} zero point", self.zero_point, 0, 0 if self.raw else self.top)

    @property
    def size(self) -> int:
        channels, height, width = self.shape
        return channels * height * width

    @property
    def raw(self) -> bool:
        return self.bits == RAW_BITS

    @property
    def top(self) -> int:
        """Largest number."""
        return SUM_BOUND - 1 if self.raw else (1 << self.bits) - 1


def window_count(size: int, kernel: int, stride: int, border: int) -> int:
    """Windows along one side of a map; not positive if none fits."""
    return (size + border - kernel) // stride + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """What all nodes have: a name, tensors that they read and one that they make."""

    #: Fields of a node that are arrays, in the order in which they are stored.
    ARRAYS: ClassVar[tuple[str, ...]] = ()

    name: str

    def __post_init__(self) -> None:
        check_name("a node's name", self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors that the node reads."""
        raise NotImplementedError

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        """The tensor that it makes of `inputs`, in the order of the property; a refusal if it cannot."""
        raise NotImplementedError

    def refuse(self, sentence: str) -> OhmweaveError:
        return OhmweaveError(f"node {self.name}: {sentence}")

    def _array(self, key: str, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
        array = check_array(f"node {self.name}: {key}", getattr(self, key), dtype, shape)
        object.__setattr__(self, key, array)
        return array

    def _input(self, key: str) -> None:
        check_name(f"node {self.name}: {key}", getattr(self, key))

    def _inputs(self, key: str, most: int) -> None:
        value = getattr(self, key)
        if not isinstance(value, tuple) or not 1 <= len(value) <= most:
            raise self.refuse(f"{key} must be a tuple of 1 to {most} names, not {value!r}")
        for each in value:
            check_name(f"node {self.name}: {key}", each)

    def _map(self, shape: tuple[int, int, int], bits: int, zero_point: int) -> Tensor:
        if min(shape[1:]) < 1:
            raise self.refuse(f"the output must have at least one pixel, not {shape[1]}×{shape[2]}")
        return Tensor(name=self.name, shape=shape, bits=bits, zero_point=zero_point)


def no_mult() -> np.ndarray:
    return np.zeros(0, np.uint16)


def no_shift() -> np.ndarray:
    return np.zeros(0, np.int8)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scaled(Node):
    """Nodes that make sums v and scale them: q = clip(round_shift(v·mult, shift), low, high).

    bias        int64 (channels,), of 48 bits, added to v
    mult, shift uint16 and int8, -16 … 47, (channels,); of length 0 where the node is raw
    bits        of q: 4, 8, 16; RAW_BITS: the node is raw, v itself is its output
    zero_point  of q; `bias` has to contain it
    low, high   q is clipped to these; None: the largest number of `bits` bits
    """

    bias: np.ndarray
    mult: np.ndarray = field(default_factory=no_mult)
    shift: np.ndarray = field(default_factory=no_shift)
    bits: int = 8
    zero_point: int = 0
    low: int = 0
    high: int = None  # type: ignore[assignment]

    def _check_scale(self, channels: int | None) -> None:
        what = f"node {self.name}:"
        check_bits(f"{what} bits", self.bits, (*BITS, RAW_BITS))
        top = 0 if self.raw else (1 << self.bits) - 1
        if self.high is None:
            object.__setattr__(self, "high", top)
        whole(f"{what} zero_point", self.zero_point, 0, top)
        whole(f"{what} high", self.high, 0, top)
        whole(f"{what} low", self.low, 0, self.high)
        channels = len(self._array("bias", np.int64, (channels,)))
        whole(f"{what} channels", channels, 1, MAX_CHANNELS)
        check_range(f"{what} bias", self.bias, -SUM_BOUND, SUM_BOUND - 1)
        self._array("mult", np.uint16, (0 if self.raw else channels,))
        self._array("shift", np.int8, (0 if self.raw else channels,))
        check_range(f"{what} shift", self.shift, MIN_SHIFT, MAX_SHIFT)

    @property
    def raw(self) -> bool:
        return self.bits == RAW_BITS

    @property
    def channels(self) -> int:
        """Of the output."""
        return len(self.bias)

    def sum_bound(self, inputs: Sequence[Tensor]) -> np.ndarray:
        """Magnitude that neither v nor any part of it can exceed, in whatever order it is added; (channels,)."""
        raise NotImplementedError

    def _scaled(self, shape: tuple[int, int, int], inputs: Sequence[Tensor]) -> Tensor:
        result = self._map(shape, self.bits, self.zero_point)
        bound = int(self.sum_bound(inputs).max())
        if bound >= SUM_BOUND:
            raise self.refuse(
                f"sums must fit {RAW_BITS} bits, two's complement, and can be as large as {bound}"
            )
        return result


def scaled_bound(top: int, mult: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Largest round_shift(x·mult, shift) of x from 0 to `top`: 48 bits at most, so exact in int64."""
    product = np.int64(top) * mult.astype(np.int64)
    right = np.maximum(shift, 0).astype(np.int64)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return ((product + half) >> right) << np.maximum(-shift.astype(np.int64), 0)
