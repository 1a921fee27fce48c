"""Tensors and nodes of an integer graph: frozen records that refuse what is not legal.

A tensor is a map (channels, height, width) of unsigned numbers of 4, 8 or 16 bits with a zero point, the number that
stands for 0; or, `RAW_BITS` wide, of signed sums as they are. A node has a name, which is also that of the tensor
that it makes, and names the tensors that it reads. With x, r the numbers read, w the weights and

    round_shift(v, s) = (v + 2^(s-1)) >> s  for s > 0 (arithmetic shift),  v << -s  for s <= 0

the nodes that compute make sums v of at most 48 bits, two's complement, and scale them by channel:

    Conv     v = Σ x·w + bias [+ round_shift(r·in_mult, in_shift)]      the bracket if there is a residual r
    SumPool  v = Σ x + bias
    Add      v = Σ round_shift(x_i·in_mult_i, in_shift_i) + bias        one or two tensors x_i
    q = clip(round_shift(v·mult, shift), low, high)                     or v itself of a raw node

Padding is the zero point of x, and so are the places that no pixel falls on in a transposed convolution: what zero
points add to a sum is the same everywhere and taken off by `bias`, which also adds the zero point of q.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ohmweave.check import whole
from ohmweave.sim.graph_base import (
    MAX_CHANNELS,
    MAX_SHIFT,
    MAX_SIZE,
    MAX_STRIDE,
    MIN_SHIFT,
    Node,
    Pads,
    Pair,
    Scaled,
    Tensor,
    check_bits,
    check_range,
    check_tuple,
    no_mult,
    no_shift,
    scaled_bound,
    window_count,
)

__all__ = ["CONCAT_AXES", "MAX_PARTS", "Add", "Concat", "Conv", "Flatten", "MaxPool", "Select", "SumPool"]

#: What a concatenation adds up, in the order of a tensor's shape.
CONCAT_AXES = ("channels", "rows", "columns")
#: Most tensors that one puts together.
MAX_PARTS = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Scaled):
    """A convolution (cross-correlation), perhaps transposed, perhaps with a residual added before scaling.

    weights             int16 (out, in/groups, kernel height, kernel width) of `weight_bits` bits, two's complement
    stride, dilation    (y, x)
    pads                (top, left, bottom, right), each less than the kernel, dilated; filled with x's zero point
    groups              input and output channels fall into that many groups of neighbours
    transposed          x at (y, x) adds its products with weights[…, ky, kx] to the output at
                        (y·stride + ky·dilation - top, x·stride + kx·dilation - left); pads are taken off the output
    output_padding      (y, x) rows and columns added to a transposed output's end, less than its stride
    residual            name of a tensor of the output's shape, None for none
    in_mult, in_shift   uint16 and int8 (out,): scale of the residual; of length 0 without one
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("weights", "bias", "mult", "shift", "in_mult", "in_shift")

    input: str
    weights: np.ndarray
    weight_bits: int = 8
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    transposed: bool = False
    output_padding: Pair = (0, 0)
    residual: str | None = None
    in_mult: np.ndarray = field(default_factory=no_mult)
    in_shift: np.ndarray = field(default_factory=no_shift)

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"node {self.name}:"
        self._input("input")
        self._array("weights", np.int16, (None, None, None, None))
        whole(f"{what} output channels", self.weights.shape[0], 1, MAX_CHANNELS)
        whole(f"{what} input channels of a group", self.weights.shape[1], 1, MAX_CHANNELS)
        for side, size in zip(("height", "width"), self.kernel, strict=True):
            whole(f"{what} kernel {side}", size, 1, MAX_SIZE)
        check_bits(f"{what} weight_bits", self.weight_bits)
        top = 1 << (self.weight_bits - 1)
        check_range(f"{what} weights", self.weights, -top, top - 1)
        self._check_scale(self.weights.shape[0])
        check_tuple(f"{what} stride", self.stride, "y, x", 1, MAX_STRIDE)
        check_tuple(f"{what} dilation", self.dilation, "y, x", 1, MAX_STRIDE)
        check_tuple(f"{what} pads", self.pads, "top, left, bottom, right", 0, MAX_SIZE)
        for index, side in enumerate(("top", "left", "bottom", "right")):
            whole(f"{what} pads, {side},", self.pads[index], 0, self.extent[index % 2] - 1)
        whole(f"{what} groups", self.groups, 1, MAX_CHANNELS)
        if self.channels % self.groups:
            raise self.refuse(
                f"groups must divide the {self.channels} output channels, and {self.groups} does not"
            )
        if not isinstance(self.transposed, bool):
            raise self.refuse(f"transposed must be true or false, not {self.transposed!r}")
        check_tuple(f"{what} output_padding", self.output_padding, "y, x", 0, MAX_STRIDE)
        for side, more, stride in zip("yx", self.output_padding, self.stride, strict=True):
            whole(f"{what} output_padding, {side},", more, 0, stride - 1 if self.transposed else 0)
        if self.residual is not None:
            self._input("residual")
        for key, dtype in (("in_mult", np.uint16), ("in_shift", np.int8)):
            self._array(key, dtype, (0 if self.residual is None else self.channels,))
        check_range(f"{what} in_shift", self.in_shift, MIN_SHIFT, MAX_SHIFT)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,) if self.residual is None else (self.input, self.residual)

    @property
    def kernel(self) -> Pair:
        return (self.weights.shape[2], self.weights.shape[3])

    @property
    def extent(self) -> Pair:
        """Height and width that the dilated kernel covers."""
        return ((self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1)

    @property
    def in_channels(self) -> int:
        return self.weights.shape[1] * self.groups

    @property
    def rows(self) -> int:
        """Products of one output."""
        return int(np.prod(self.weights.shape[1:]))

    @property
    def window_weights(self) -> np.ndarray:
        """Weights in the order in which a window meets them: turned by half a turn if transposed."""
        return self.weights[:, :, ::-1, ::-1] if self.transposed else self.weights

    @property
    def window_stride(self) -> Pair:
        return (1, 1) if self.transposed else self.stride

    @property
    def spread(self) -> Pair:
        """A pixel of x stands on every spread-th place of the map that windows are cut from; (1, 1) mostly."""
        return self.stride if self.transposed else (1, 1)

    @property
    def window_pads(self) -> Pads:
        """Border of the map that windows are cut from, (top, left, bottom, right)."""
        if not self.transposed:
            return self.pads
        (height, width), (top, left, bottom, right), more = self.extent, self.pads, self.output_padding
        return (
            height - 1 - top,
            width - 1 - left,
            height - 1 - bottom + more[0],
            width - 1 - right + more[1],
        )

    def out_size(self, height: int, width: int) -> Pair:
        """Of the output for an input of that size; not positive if no window fits."""
        top, left, bottom, right = self.window_pads
        height, width = ((height - 1) * self.spread[0] + 1, (width - 1) * self.spread[1] + 1)
        return (
            window_count(height, self.extent[0], self.window_stride[0], top + bottom),
            window_count(width, self.extent[1], self.window_stride[1], left + right),
        )

    def sum_bound(self, inputs: Sequence[Tensor]) -> np.ndarray:
        wide = self.weights.astype(np.int64).reshape(self.channels, -1)
        bound = inputs[0].top * np.maximum(np.maximum(wide, 0).sum(1), np.maximum(-wide, 0).sum(1))
        bound += np.abs(self.bias)
        if self.residual is not None:
            bound += scaled_bound(inputs[1].top, self.in_mult, self.in_shift)
        return bound

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        channels, height, width = inputs[0].shape
        if channels != self.in_channels:
            raise self.refuse(f"input channels must be {channels}, not {self.in_channels}")
        result = self._scaled((self.channels, *self.out_size(height, width)), inputs)
        if self.residual is not None and inputs[1].shape != result.shape:
            raise self.refuse(f"the residual must have the shape {result.shape}, not {inputs[1].shape}")
        return result


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Scaled):
    """One or two tensors of one shape, each scaled by channel, then their sum: one is a change of scale.

    in_mult, in_shift   uint16 and int8 (tensors, channels)
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("bias", "mult", "shift", "in_mult", "in_shift")

    terms: tuple[str, ...]
    in_mult: np.ndarray
    in_shift: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        self._inputs("terms", 2)
        self._check_scale(None)
        for key, dtype in (("in_mult", np.uint16), ("in_shift", np.int8)):
            self._array(key, dtype, (len(self.terms), self.channels))
        check_range(f"node {self.name}: in_shift", self.in_shift, MIN_SHIFT, MAX_SHIFT)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.terms

    def sum_bound(self, inputs: Sequence[Tensor]) -> np.ndarray:
        bound = np.abs(self.bias)
        for tensor, mult, shift in zip(inputs, self.in_mult, self.in_shift, strict=True):
            bound = bound + scaled_bound(tensor.top, mult, shift)
        return bound

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        shape = inputs[0].shape
        if shape[0] != self.channels:
            raise self.refuse(f"channels must be {shape[0]}, not {self.channels}")
        for tensor in inputs:
            if tensor.shape != shape:
                raise self.refuse(f"terms must have the same shape, not {shape} and {tensor.shape}")
        return self._scaled(shape, inputs)


def _check_windows(node: "SumPool | MaxPool") -> None:
    what = f"node {node.name}:"
    check_tuple(f"{what} kernel", node.kernel, "height, width", 1, MAX_SIZE)
    check_tuple(f"{what} stride", node.stride, "y, x", 1, MAX_SIZE)
    check_tuple(f"{what} pads", node.pads, "top, left, bottom, right", 0, MAX_SIZE)
    for index, side in enumerate(("top", "left", "bottom", "right")):
        whole(f"{what} pads, {side},", node.pads[index], 0, node.kernel[index % 2] - 1)


def _pooled_shape(node: "SumPool | MaxPool", tensor: Tensor) -> tuple[int, int, int]:
    channels, height, width = tensor.shape
    top, left, bottom, right = node.pads
    return (
        channels,
        window_count(height, node.kernel[0], node.stride[0], top + bottom),
        window_count(width, node.kernel[1], node.stride[1], left + right),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool(Scaled):
    """Sums of windows, padding (the zero point) included: average pooling, by the right scale."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("bias", "mult", "shift")

    input: str
    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._input("input")
        self._check_scale(None)
        _check_windows(self)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def sum_bound(self, inputs: Sequence[Tensor]) -> np.ndarray:
        return np.abs(self.bias) + inputs[0].top * self.kernel[0] * self.kernel[1]

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        if inputs[0].shape[0] != self.channels:
            raise self.refuse(f"channels must be {inputs[0].shape[0]}, not {self.channels}")
        return self._scaled(_pooled_shape(self, inputs[0]), inputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Node):
    """Maxima of windows; padding never wins."""

    input: str
    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._input("input")
        _check_windows(self)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        return self._map(_pooled_shape(self, inputs[0]), inputs[0].bits, inputs[0].zero_point)


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Node):
    """Several tensors of the same bits and zero point, one after the other; they differ along the axis only.

    parts  at most 256; a tensor may stand among them more than once
    axis   "channels"; or "rows", the maps below each other; or "columns", side by side
    """

    parts: tuple[str, ...]
    axis: str = "channels"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._inputs("parts", MAX_PARTS)
        if self.axis not in CONCAT_AXES:
            raise self.refuse(f"axis must be one of {', '.join(CONCAT_AXES)}, not {self.axis!r}")

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.parts

    @property
    def side(self) -> int:
        """The axis as a place of a tensor's shape."""
        return CONCAT_AXES.index(self.axis)

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        first, side = inputs[0], self.side
        others = [index for index in range(3) if index != side]
        kept = " and ".join(("channels", "height", "width")[index] for index in others)
        for each in inputs:
            for key, one, other in (
                (kept, *(tuple(tensor.shape[index] for index in others) for tensor in (first, each))),
                ("bits", first.bits, each.bits),
                ("zero point", first.zero_point, each.zero_point),
            ):
                if one != other:
                    raise self.refuse(f"parts must have the same {key}, not {one} and {other}")
        shape = list(first.shape)
        shape[side] = sum(each.shape[side] for each in inputs)
        return self._map((shape[0], shape[1], shape[2]), first.bits, first.zero_point)


@dataclass(frozen=True, eq=False, kw_only=True)
class Select(Node):
    """Chosen channels and pixels with a border: slices, padding, channel shuffles.

    Channel c, pixel (top + i, left + j) of the output is pixel (start + step·i) in y, likewise j in x, of channel
    `channels[c]` of the input; the zero point where channels[c] is -1 and on the border.

    channels            int32 (out,), -1 for a channel that is the zero point everywhere
    start, step, size   (y, x): first pixel, distance and number of the pixels chosen
    pads                (top, left, bottom, right): border around them
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("channels",)

    input: str
    channels: np.ndarray
    size: Pair
    start: Pair = (0, 0)
    step: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"node {self.name}:"
        self._input("input")
        self._array("channels", np.int32, (None,))
        whole(f"{what} the number of channels", len(self.channels), 1, MAX_CHANNELS)
        check_tuple(f"{what} size", self.size, "y, x", 1, MAX_SIZE)
        check_tuple(f"{what} start", self.start, "y, x", 0, MAX_SIZE - 1)
        check_tuple(f"{what} step", self.step, "y, x", 1, MAX_SIZE)
        check_tuple(f"{what} pads", self.pads, "top, left, bottom, right", 0, MAX_SIZE)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        (tensor,) = inputs
        check_range(f"node {self.name}: channels", self.channels, -1, tensor.shape[0] - 1)
        for index, side in enumerate(("y", "x")):
            last = self.start[index] + (self.size[index] - 1) * self.step[index]
            whole(f"node {self.name}: the last pixel chosen in {side}", last, 0, tensor.shape[1 + index] - 1)
        top, left, bottom, right = self.pads
        shape = (len(self.channels), top + self.size[0] + bottom, left + self.size[1] + right)
        return self._map(shape, tensor.bits, tensor.zero_point)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Node):
    """(C, H, W) as (C·H·W, 1, 1), row by row of each channel after the other."""

    input: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self._input("input")

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def result(self, inputs: Sequence[Tensor]) -> Tensor:
        (tensor,) = inputs
        return self._map((tensor.size, 1, 1), tensor.bits, tensor.zero_point)
