"""Random nodes of a graph under construction, with scales that use the range of each tensor."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmweave.sim.graph import BITS, MAX_SHIFT, MIN_SHIFT, RAW_BITS, Add, Conv, Node, Select, Tensor
from ohmweave.sim.graph_golden import compute

__all__ = ["KINDS", "Limits", "NodeBuilder"]

#: What a graph is made of: a kind is one node or a few, such as the branches of a concatenation.
KINDS = (
    "conv", "pointwise", "depthwise", "grouped", "transposed", "residual", "add", "rescale", "concat", "join",
    "max_pool", "sum_pool", "average", "select", "shuffle", "flatten",
)  # fmt: skip
# Pixels that the scales are chosen by.
SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a random graph has to keep to.

    steps        most kinds, one after the other, before the last convolution
    channels     most channels of a tensor, except what a flattening gives
    size         largest height and width of a map
    max_kernel, max_stride, max_dilation   of windows
    input_bits, bits, weight_bits          that tensors and weights are drawn from
    kinds        of KINDS
    zero_points  whether tensors have zero points other than 0
    """

    steps: int = 6
    channels: int = 10
    size: int = 11
    max_kernel: int = 5
    max_stride: int = 3
    max_dilation: int = 2
    input_bits: tuple[int, ...] = (4, 8)
    bits: tuple[int, ...] = BITS
    weight_bits: tuple[int, ...] = BITS
    kinds: tuple[str, ...] = KINDS
    zero_points: bool = True


class NodeBuilder:
    """Nodes under construction, with what their tensors are for a few random images."""

    def __init__(self, seed: int, limits: Limits) -> None:
        self.rng = np.random.default_rng(seed)
        self.limits = limits
        shape = (self.draw(1, min(4, limits.channels)), self.draw(1, limits.size), self.draw(1, limits.size))
        bits = self.choose(limits.input_bits)
        self.fill: tuple[int, ...] = ()
        zero = self.zero_point(bits)
        self.tensors = {"image": Tensor(name="image", shape=shape, bits=bits, zero_point=zero)}
        self.values = {"image": self.rng.integers(0, 2**bits, (SAMPLES, *shape[1:], shape[0]), np.uint8)}
        self.nodes: list[Node] = []
        self.last = "image"
        if limits.zero_points and self.chance(0.3):
            self.fill = tuple(self.draw(0, 2**bits - 1) for _ in range(shape[0]))

    def draw(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def choose(self, among: Any) -> Any:
        return among[self.draw(0, len(among) - 1)]

    def zero_point(self, bits: int) -> int:
        if not self.limits.zero_points or self.chance(0.6):
            return 0
        return self.draw(0, 2**bits - 1)

    @property
    def name(self) -> str:
        return f"node{len(self.nodes)}"

    def append(self, node: Node) -> None:
        """One node more, and its numbers for the sample images."""
        tensors = [self.tensors[name] for name in node.inputs]
        self.tensors[node.name] = node.result(tensors)
        self.values[node.name] = self.compute(node)
        self.nodes.append(node)
        self.last = node.name

    def compute(self, node: Node) -> np.ndarray:
        tensors = [self.tensors[name] for name in node.inputs]
        fill = np.full(tensors[0].shape[0], tensors[0].zero_point)
        if self.fill and node.inputs[0] == "image":
            fill = np.array(self.fill)
        return compute(node, tensors, [self.values[name] for name in node.inputs], fill)

    def append_scaled(
        self, kind: type, channels: int, bits: int | None = None, zero_point: int | None = None, **values: Any
    ) -> None:
        """A node that scales, with scales such that its output uses its range."""
        zero_bias = np.zeros(channels, np.int64)
        unscaled = kind(name=self.name, bias=zero_bias, bits=RAW_BITS, **values)
        tensors = [self.tensors[name] for name in unscaled.inputs]
        shape = unscaled.result(tensors).shape
        bits = self.choose(self.limits.bits) if bits is None else bits
        bias, spread = self.middle(self.compute(unscaled).reshape(-1, shape[0]).astype(np.float64))
        if bits == RAW_BITS:
            self.append(kind(name=self.name, bias=np.rint(bias).astype(np.int64), bits=bits, **values))
            return
        top = 2**bits - 1
        zero = self.zero_point(bits) if zero_point is None else zero_point
        scale = max(zero, top - zero) / spread
        mult, shift = self.mult_shift(scale)
        bias += zero / scale
        exact = np.rint(np.clip(bias, -(2.0**44), 2.0**44)).astype(np.int64)
        odd = self.rng.random(channels) < 0.05
        exact[odd] = self.rng.choice([-(2**46), 2**46 - 1, 0, 1], odd.sum())
        odd = self.rng.random(channels) < 0.03
        mult[odd] = self.rng.choice([0, 1, 65535], odd.sum())
        odd = self.rng.random(channels) < 0.03
        shift[odd] = self.rng.choice([MIN_SHIFT, 0, MAX_SHIFT], odd.sum())
        clips = {"low": zero} if self.chance(0.5) else {}
        if self.chance(0.1):
            clips = {"low": self.draw(0, zero), "high": self.draw(zero, top)}
        scaled = {"mult": mult, "shift": shift, "bits": bits, "zero_point": zero} | clips
        self.append(kind(name=self.name, bias=exact, **scaled, **values))

    def middle(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bias of sums (…, channels), and about how far from 0 they are with it.

        Batch normalisation would do the same: any quantile of the sums, rather than their middle, gets to be 0.
        """
        bias = -np.array([np.quantile(column, self.rng.uniform(0.2, 0.8)) for column in v.T])
        return bias, np.maximum(np.abs(v + bias).max(0) * self.rng.uniform(0.3, 1.2, len(bias)), 1)

    def mult_shift(self, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers of any number of significant bits and the shifts that make them about `scale`."""
        most = np.floor(np.log2(65535 / scale))
        shift = np.clip(most - self.rng.integers(0, 12, len(scale)), MIN_SHIFT, MAX_SHIFT)
        mult = np.clip(np.rint(scale * 2.0**shift), 1, 65535)
        return mult.astype(np.uint16), shift.astype(np.int8)

    def windows(self, shape: tuple[int, int, int], dilated: bool = False) -> dict[str, Any] | None:
        """Kernel, stride, pads and perhaps dilation of windows that fit a map of that shape, None after bad luck."""
        limits, kernel, stride, dilation, extent = self.limits, [], [], [], []
        for _ in range(2):
            kernel.append(self.draw(1, limits.max_kernel))
            stride.append(self.draw(1, limits.max_stride))
            dilation.append(self.draw(1, limits.max_dilation) if dilated and self.chance(0.3) else 1)
            extent.append((kernel[-1] - 1) * dilation[-1] + 1)
        if self.chance(0.5):  # what networks have mostly
            kernel[1], stride[1], dilation[1], extent[1] = kernel[0], stride[0], dilation[0], extent[0]
        pads = tuple(self.draw(0, extent[index % 2] - 1) if self.chance(0.5) else 0 for index in range(4))
        for side in range(2):
            size = shape[1 + side] + pads[side] + pads[2 + side]
            if size < extent[side] or (size - extent[side]) // stride[side] + 1 > limits.size:
                return None
        found = {"stride": tuple(stride), "pads": pads, "kernel": tuple(kernel)}
        return found | ({"dilation": tuple(dilation)} if dilated else {})

    def weights(self, shape: tuple[int, ...]) -> dict[str, Any]:
        bits = self.choose(self.limits.weight_bits)
        top = 2 ** (bits - 1)
        extreme = self.chance(0.2)
        weights = self.rng.choice([-top, top - 1], shape) if extreme else self.rng.integers(-top, top, shape)
        return {"weights": weights.astype(np.int16), "weight_bits": bits}

    def conv(
        self,
        source: str,
        *,
        outputs: int | None = None,
        groups: int = 1,
        same: bool = False,
        kernel: tuple[int, ...] | None = None,
        bits: int | None = None,
        **options: Any,
    ) -> bool:
        """A convolution of `source`; with `same`, one that keeps height and width."""
        shape = self.tensors[source].shape
        if kernel is not None:
            found: dict[str, Any] | None = {"kernel": kernel}
        elif same:
            side = 2 * self.draw(0, (self.limits.max_kernel - 1) // 2) + 1
            found = {"kernel": (side, side), "pads": (side // 2,) * 4}
        else:
            found = next(filter(None, (self.windows(shape, dilated=True) for _ in range(30))), None)
        if found is None:
            found = {"kernel": (1, 1)}
        outputs = self.draw(1, self.limits.channels) if outputs is None else outputs
        made = self.weights((outputs, shape[0] // groups, *found.pop("kernel")))
        self.append_scaled(Conv, outputs, bits, input=source, groups=groups, **made, **found, **options)
        return True

    def input_scales(self, tensors: list[Tensor], channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Scales of what is added: to some 20 bits, so that none drowns the others."""
        pairs = [
            self.mult_shift(2.0 ** (20 - tensor.bits) * self.rng.uniform(0.01, 2, channels))
            for tensor in tensors
        ]
        return np.array([mult for mult, _ in pairs]), np.array([shift for _, shift in pairs])

    def add(self, terms: tuple[str, ...], bits: int | None = None) -> bool:
        channels = self.tensors[terms[0]].shape[0]
        mult, shift = self.input_scales([self.tensors[name] for name in terms], channels)
        self.append_scaled(Add, channels, bits, terms=terms, in_mult=mult, in_shift=shift)
        return True

    def cut(self, side: int, count: int) -> None:
        """So many rows or columns of the last tensor."""
        shape = self.tensors[self.last].shape
        size, start = list(shape[1:]), [0, 0]
        start[side - 1], size[side - 1] = self.draw(0, size[side - 1] - count), count
        channels = np.arange(shape[0], dtype=np.int32)
        self.append(
            Select(
                name=self.name, input=self.last, channels=channels, start=(start[0], start[1]), size=(size[0], size[1])
            )
        )  # fmt: skip
