"""Building float networks layer by layer, with seeded weights or a user's."""

from collections.abc import Mapping
from math import sqrt

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.record import (
    Add,
    AveragePool,
    ChannelAffine,
    Clip,
    Conv,
    ConvTranspose,
    FloatGraph,
    FloatNode,
    MaxPool,
    Shape,
)

__all__ = ["Sketch"]

EPSILON = 1e-5


class Sketch:
    """A network under construction; each method adds a layer and gives its output's name.

    weights  tensors by the names of their layers, as PyTorch calls them; None for seeded ones
    """

    def __init__(self, name: str, shape: Shape, weights: Mapping[str, np.ndarray] | None, seed: int) -> None:
        self.name = name
        self.weights = weights
        self.rng = np.random.default_rng(seed)
        self.nodes: list[FloatNode] = []
        self.shapes: dict[str, Shape] = {"image": shape}
        self.used: set[str] = set()

    def _add(self, node: FloatNode) -> str:
        self.nodes.append(node)
        self.shapes[node.output] = node.out_shape(*(self.shapes[name] for name in node.inputs))
        return node.output

    def _given(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        assert self.weights is not None
        if name not in self.weights:
            raise OhmweaveError(f"the weights of {self.name} must hold a tensor {name}, and do not")
        value = self.weights[name]
        if value.shape != shape or not np.isfinite(value).all():
            raise OhmweaveError(
                f"the weights of {self.name} must hold {name} as finite numbers of shape {list(shape)}, "
                f"not {list(value.shape)}"
            )
        self.used.add(name)
        return value.astype(np.float32)

    def _drawn(self, shape: tuple[int, ...], fan_in: float) -> np.ndarray:
        """He's initialisation: sums of rectified inputs keep their spread."""
        return (self.rng.standard_normal(shape) * sqrt(2 / fan_in)).astype(np.float32)

    def conv(self, name: str, source: str, out: int, kernel: int, stride: int = 1, pad: int = 0) -> str:
        inputs = self.shapes[source][0]
        shape = (out, inputs, kernel, kernel)
        weights = (
            self._drawn(shape, inputs * kernel**2)
            if self.weights is None
            else self._given(f"{name}.weight", shape)
        )
        bias = np.zeros(out, np.float32)
        return self._add(
            Conv(
                name=name, inputs=(source,), output=name, weights=weights, bias=bias, stride=(stride, stride),
                pads=(pad,) * 4,
            )
        )  # fmt: skip

    def conv_transpose(self, name: str, source: str, out: int, kernel: int, stride: int, pad: int) -> str:
        inputs = self.shapes[source][0]
        shape = (inputs, out, kernel, kernel)
        weights = (
            self._drawn(shape, inputs * kernel**2 / stride**2)
            if self.weights is None
            else self._given(f"{name}.weight", shape)
        )
        return self._add(
            ConvTranspose(
                name=name, inputs=(source,), output=name, weights=weights, bias=np.zeros(out, np.float32),
                stride=(stride, stride), pads=(pad,) * 4,
            )
        )  # fmt: skip

    def batch_norm(self, name: str, source: str) -> str:
        """Of seeded networks it changes nothing until `statistics` has measured."""
        count = self.shapes[source][0]
        scale, shift = np.ones(count), np.zeros(count)
        if self.weights is not None:
            gamma, beta, mean, variance = (
                self._given(f"{name}.{key}", (count,)).astype(np.float64)
                for key in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gamma / np.sqrt(np.maximum(variance, 0) + EPSILON)
            shift = beta - mean * scale
        return self._add(ChannelAffine(name=name, inputs=(source,), output=name, scale=scale, shift=shift))

    def relu(self, name: str, source: str) -> str:
        return self._add(Clip(name=name, inputs=(source,), output=name, low=0.0))

    def max_pool(self, name: str, source: str, kernel: int, stride: int, pad: int) -> str:
        return self._add(
            MaxPool(
                name=name, inputs=(source,), output=name, kernel=(kernel, kernel), stride=(stride, stride),
                pads=(pad,) * 4,
            )
        )  # fmt: skip

    def global_average(self, name: str, source: str) -> str:
        size = self.shapes[source][1:]
        return self._add(
            AveragePool(
                name=name, inputs=(source,), output=name, kernel=size, stride=(1, 1), include_pad=True
            )
        )

    def linear(self, name: str, source: str, out: int) -> str:
        """On one pixel."""
        inputs = self.shapes[source][0]
        weights, bias = self._drawn((out, inputs), 2 * inputs), np.zeros(out, np.float32)
        if self.weights is not None:
            weights, bias = self._given(f"{name}.weight", (out, inputs)), self._given(f"{name}.bias", (out,))
        weights = weights[:, :, np.newaxis, np.newaxis]
        return self._add(Conv(name=name, inputs=(source,), output=name, weights=weights, bias=bias))

    def add(self, name: str, first: str, second: str) -> str:
        return self._add(Add(name=name, inputs=(first, second), output=name))

    def graph(self, notes: tuple[str, ...]) -> FloatGraph:
        """The network; its output is the last layer's."""
        if self.weights is not None:
            unknown = sorted(
                key
                for key in self.weights
                if key not in self.used and not key.endswith("num_batches_tracked")
            )
            if unknown:
                raise OhmweaveError(
                    f"the weights must be those of {self.name}, which has no {unknown[0]}"
                    + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
                )
        return FloatGraph(
            name=self.name,
            input="image",
            output=self.nodes[-1].output,
            nodes=tuple(self.nodes),
            shapes=self.shapes,
            notes=notes,
        )
