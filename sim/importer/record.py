"""Float networks as the importer leaves them: few kinds of nodes, everything static, one image at a time.

A tensor is one image's (channels, height, width); the batch is not part of it. A fully connected layer is a
convolution whose kernel covers the whole map, so that no node reshapes anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "Add", "AveragePool", "ChannelAffine", "Clip", "Concat", "Conv", "ConvTranspose", "FloatGraph", "FloatNode",
    "MaxPool", "Pad", "Permute", "Quantised", "Shape", "Slice", "conv_size",
]  # fmt: skip

#: (channels, height, width)
Shape = tuple[int, int, int]


def conv_size(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width of what a window of that kernel gives; not positive where it does not fit."""
    before, after = pads[:2], pads[2:]
    height, width = (
        (size[i] + before[i] + after[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    return height, width


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatNode:
    """name: that of the ONNX node, for messages; inputs, output: tensors."""

    name: str
    inputs: tuple[str, ...]
    output: str

    def out_shape(self, *shapes: Shape) -> Shape:
        """Of the output, for inputs of these shapes."""
        return shapes[0]

    @property
    def text(self) -> str:
        return f"node {self.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(FloatNode):
    """weights (out, in / groups, kernel height, kernel width), bias (out,), float32; pads top, left, bottom, right.

    weight_scale  (out,): where the file says it, the step that the weights are multiples of; None otherwise
    """

    weights: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    weight_scale: np.ndarray | None = None
    weight_bits: int | None = None

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[2:]

    def out_shape(self, *shapes: Shape) -> Shape:
        size = conv_size(shapes[0][1:], self.kernel, self.stride, self.pads, self.dilation)
        return (self.weights.shape[0], *size)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose(FloatNode):
    """weights (in, out / groups, kernel height, kernel width); extra: rows and columns added at the end."""

    weights: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    extra: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    weight_scale: np.ndarray | None = None
    weight_bits: int | None = None

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[2:]

    def out_shape(self, *shapes: Shape) -> Shape:
        height, width = (
            self.stride[i] * (shapes[0][1 + i] - 1)
            + self.extra[i]
            + self.dilation[i] * (self.kernel[i] - 1)
            + 1
            - self.pads[i]
            - self.pads[2 + i]
            for i in (0, 1)
        )
        return (self.weights.shape[1] * self.groups, height, width)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelAffine(FloatNode):
    """x·scale + shift, both (channels,): batch normalisation or a constant that no convolution took in."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip(FloatNode):
    """Limits; ReLU is from 0 to infinity."""

    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(FloatNode):
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def out_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], *conv_size(shapes[0][1:], self.kernel, self.stride, self.pads))


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool(FloatNode):
    """include_pad: whether the border counts; without a border it makes no difference."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    include_pad: bool = False

    @property
    def leaves_border_out(self) -> bool:
        return any(self.pads) and not self.include_pad

    def out_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], *conv_size(shapes[0][1:], self.kernel, self.stride, self.pads))


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(FloatNode):
    """The sum of two tensors of the same shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(FloatNode):
    """The inputs one after the other along an axis of (channels, height, width)."""

    axis: int = 0

    def out_shape(self, *shapes: Shape) -> Shape:
        channels, height, width = (
            sum(shape[i] for shape in shapes) if i == self.axis else shapes[0][i] for i in range(3)
        )
        return (channels, height, width)


@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(FloatNode):
    """Output channel c is input channel order[c]."""

    order: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(FloatNode):
    """before, after: (channels, height, width)"""

    before: Shape
    after: Shape
    value: float = 0.0

    def out_shape(self, *shapes: Shape) -> Shape:
        channels, height, width = (
            size + low + high for size, low, high in zip(shapes[0], self.before, self.after, strict=True)
        )
        return (channels, height, width)


@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(FloatNode):
    """start, step, size: (channels, height, width); size counts what is kept."""

    start: Shape
    step: Shape
    size: Shape

    def out_shape(self, *shapes: Shape) -> Shape:
        return self.size


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantised(FloatNode):
    """QuantizeLinear and DequantizeLinear: (clip(round(x / scale) + zero, low, high) - zero)·scale."""

    scale: float
    zero: int
    low: int
    high: int


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatGraph:
    """A float network.

    nodes    in an order in which each comes after those that it reads
    output   the tensor that leaves
    shapes   of every tensor
    notes    sentences about what was left out, for people
    """

    name: str
    input: str
    output: str
    nodes: tuple[FloatNode, ...]
    shapes: Mapping[str, Shape]
    notes: tuple[str, ...] = field(default=())

    @property
    def input_shape(self) -> Shape:
        return self.shapes[self.input]

    def readers(self) -> dict[str, list[FloatNode]]:
        """The nodes that read each tensor."""
        result: dict[str, list[FloatNode]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                result[name].append(node)
        return result

    def convolutions(self) -> Iterator[Conv | ConvTranspose]:
        for node in self.nodes:
            if isinstance(node, Conv | ConvTranspose):
                yield node
