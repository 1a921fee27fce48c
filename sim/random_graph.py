"""Random legal graphs within limits, for tests."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ohmweave.sim.graph import RAW_BITS, Concat, Flatten, Graph, MaxPool, Select, SumPool
from ohmweave.sim.graph_average import average_nodes, average_parts
from ohmweave.sim.graph_nodes import CONCAT_AXES
from ohmweave.sim.random_nodes import KINDS, Limits, NodeBuilder

__all__ = ["KINDS", "Limits", "random_graph"]

# Most parts of an average that leaves its border out: each is a stage of the hardware.
PARTS = 9


def random_graph(seed: int, limits: Limits | None = None) -> Graph:
    """A legal graph, the same for the same seed and limits.

    Scales are such that the numbers of random images use the range of each tensor; some channels have extreme
    scales or biases, or always give the same.
    """
    return _Builder(seed, Limits() if limits is None else limits).graph(f"random_{seed}")


class _Builder(NodeBuilder):
    """The steps that a graph is made of, by their kind: true for one that was made."""

    def graph(self, name: str) -> Graph:
        steps: dict[str, Callable[[], bool]] = {kind: getattr(self, f"step_{kind}") for kind in KINDS}
        for _ in range(self.draw(0, self.limits.steps)):
            for kind in self.rng.permutation(list(self.limits.kinds)).tolist():
                if steps[kind]():
                    break
        # Mostly a convolution of the whole map; any node that makes sums may be the last.
        if self.nodes and self.chance(0.1):
            self.add((self.last,), bits=RAW_BITS)
            return self.made(name)
        shape = self.tensors[self.last].shape
        if self.nodes and self.chance(0.1):
            self.append_scaled(SumPool, shape[0], RAW_BITS, input=self.last, kernel=shape[1:])
            return self.made(name)
        whole = max(shape[1:]) <= self.limits.max_kernel and self.chance(0.7)
        kernel = shape[1:] if whole else None
        self.conv(self.last, bits=RAW_BITS, kernel=kernel)
        return self.made(name)

    def made(self, name: str) -> Graph:
        return Graph(name=name, input=self.tensors["image"], nodes=tuple(self.nodes), fill=self.fill)

    def step_conv(self) -> bool:
        return self.conv(self.last)

    def step_pointwise(self) -> bool:
        return self.conv(self.last, kernel=(1, 1), same=True)

    def step_depthwise(self) -> bool:
        channels = self.tensors[self.last].shape[0]
        most = self.limits.channels // channels
        return most > 0 and self.conv(
            self.last, groups=channels, outputs=channels * self.draw(1, min(3, most))
        )

    def step_grouped(self) -> bool:
        channels = self.tensors[self.last].shape[0]
        groups = [each for each in range(2, channels) if channels % each == 0]
        if not groups:
            return False
        count = self.choose(groups)
        return self.conv(
            self.last, groups=count, outputs=count * self.draw(1, max(1, self.limits.channels // count))
        )

    def step_transposed(self) -> bool:
        limits, shape = self.limits, self.tensors[self.last].shape
        for _ in range(20):
            kernel, stride, dilation, more, pads, sizes = [], [], [], [], [0] * 4, []
            for side in range(2):
                kernel.append(self.draw(1, limits.max_kernel))
                stride.append(self.draw(1, limits.max_stride))
                dilation.append(self.draw(1, limits.max_dilation) if self.chance(0.2) else 1)
                more.append(self.draw(0, stride[side] - 1))
                extent = (kernel[side] - 1) * dilation[side] + 1
                pads[side], pads[2 + side] = self.draw(0, extent - 1), self.draw(0, extent - 1)
                border = extent - pads[side] - pads[2 + side] + more[side]
                sizes.append((shape[1 + side] - 1) * stride[side] + border)
            if 1 <= min(sizes) <= max(sizes) <= limits.size:
                groups = self.choose([each for each in range(1, shape[0] + 1) if shape[0] % each == 0])
                return self.conv(
                    self.last,
                    outputs=groups * self.draw(1, max(1, limits.channels // groups)),
                    groups=groups,
                    transposed=True,
                    kernel=tuple(kernel),
                    stride=tuple(stride),
                    dilation=tuple(dilation),
                    pads=tuple(pads),
                    output_padding=tuple(more),
                )
        return False

    def step_residual(self) -> bool:
        """Perhaps a convolution, then one with a residual: any tensor made before that has its output's shape."""
        if self.chance(0.5):
            self.conv(self.last, same=True)
        shape = self.tensors[self.last].shape
        fitting = [
            name
            for name, tensor in self.tensors.items()
            if tensor.shape[1:] == shape[1:] and tensor.shape[0] <= self.limits.channels
        ]
        if self.fill:
            fitting = [name for name in fitting if name != "image"]
        if not fitting:
            return False
        residual = self.choose(fitting)
        tensor = self.tensors[residual]
        (mult,), (shift,) = self.input_scales([tensor], tensor.shape[0])
        outputs = tensor.shape[0]
        return self.conv(
            self.last, outputs=outputs, same=True, residual=residual, in_mult=mult, in_shift=shift
        )

    def step_add(self) -> bool:
        if self.last == "image" and self.fill:
            return False
        shape = self.tensors[self.last].shape
        fitting = [name for name, tensor in self.tensors.items() if tensor.shape == shape]
        if self.fill and "image" in fitting:
            fitting.remove("image")
        terms = [self.last, self.choose(fitting)]
        return self.add(tuple(self.rng.permutation(terms).tolist()))

    def step_rescale(self) -> bool:
        return not (self.last == "image" and self.fill) and self.add((self.last,))

    def step_concat(self) -> bool:
        """Convolutions of one tensor, and perhaps the tensor itself, side by side."""
        source = self.last
        tensor = self.tensors[source]
        parts = [source] if self.chance(0.5) and not (source == "image" and self.fill) else []
        room = self.limits.channels - tensor.shape[0] * len(parts)
        if room < 1:
            return False
        for _ in range(self.draw(1, min(3, room))):
            outputs = self.draw(1, max(1, room // 3))
            self.conv(source, same=True, outputs=outputs, bits=tensor.bits, zero_point=tensor.zero_point)
            parts.append(self.last)
        self.append(Concat(name=self.name, parts=tuple(self.rng.permutation(parts).tolist())))
        return True

    def step_join(self) -> bool:
        """Convolutions of one tensor, and perhaps the tensor itself, or parts of them, below or beside each other."""
        source = self.last
        tensor = self.tensors[source]
        if tensor.shape[0] > self.limits.channels or self.limits.size < 2:
            return False
        side = self.draw(1, 2)
        room = self.limits.size
        parts: list[str] = []
        while room and (len(parts) < 2 or self.chance(0.5)):
            self.last = source
            if (source == "image" and self.fill) or self.chance(0.6):
                bits, zero = tensor.bits, tensor.zero_point
                self.conv(source, same=True, outputs=tensor.shape[0], bits=bits, zero_point=zero)
            most = min(tensor.shape[side], room - (not parts))
            if most < tensor.shape[side] or self.chance(0.3):
                self.cut(side, self.draw(1, most))
            parts.append(self.last)
            room -= self.tensors[self.last].shape[side]
        self.append(Concat(name=self.name, parts=tuple(parts), axis=CONCAT_AXES[side]))
        return True

    def step_max_pool(self) -> bool:
        found = self.windows(self.tensors[self.last].shape)
        if found is None or (self.last == "image" and self.fill):
            return False
        self.append(MaxPool(name=self.name, input=self.last, **found))
        return True

    def step_sum_pool(self) -> bool:
        shape = self.tensors[self.last].shape
        found = self.windows(shape)
        if self.chance(0.3):
            found = {"kernel": shape[1:]}  # the mean of the whole map
        if found is None or (self.last == "image" and self.fill):
            return False
        self.append_scaled(SumPool, shape[0], input=self.last, **found)
        return True

    def step_average(self) -> bool:
        """A pool whose border does not count, in parts."""
        name, source, tensor = self.name, self.last, self.tensors[self.last]
        if source == "image" and self.fill:
            return False
        for _ in range(20):
            windows = self.windows(tensor.shape)
            if windows and any(windows["pads"]) and average_parts(tensor.shape[1:], **windows) <= PARTS:
                break
        else:
            return False
        bits = self.choose(self.limits.bits)
        zero, top = self.zero_point(bits), 2**bits - 1
        # The map's own numbers, of which averages are a part of the range.
        bias, spread = self.middle(self.values[source].reshape(-1, tensor.shape[0]).astype(np.float64))
        scale = max(zero, top - zero) / (spread * self.rng.uniform(0.3, 1))
        low = zero if self.chance(0.5) else 0

        def scaled(count: int) -> dict[str, Any]:
            mult, shift = self.mult_shift(scale / count)
            shifted = np.rint((bias + zero / scale) * count).astype(np.int64)
            return {
                "bias": shifted, "mult": mult, "shift": shift, "bits": bits, "zero_point": zero, "low": low,
            }  # fmt: skip

        for node in average_nodes(
            name, source, tensor.shape, **windows, scaled=scaled, label=lambda suffix: f"{name}_{suffix}"
        ):
            self.append(node)
        return True

    def step_select(self) -> bool:
        channels, *sizes = self.tensors[self.last].shape
        if self.last == "image" and self.fill:
            return False
        start = [self.draw(0, (size - 1) // 2) for size in sizes]
        step = [self.draw(1, 2) for _ in sizes]
        size = [
            self.draw(1, (whole - first - 1) // each + 1)
            for whole, first, each in zip(sizes, start, step, strict=True)
        ]
        pads = [self.draw(0, 2) if self.chance(0.4) else 0 for _ in range(4)]
        if any(size[each] + pads[each] + pads[2 + each] > self.limits.size for each in range(2)):
            pads = [0] * 4
        low = -1 if self.chance(0.5) else 0
        chosen = self.rng.integers(low, channels, self.draw(1, self.limits.channels)).astype(np.int32)
        if self.chance(0.3):
            chosen = np.arange(channels, dtype=np.int32)
        self.append(
            Select(
                name=self.name,
                input=self.last,
                channels=chosen,
                size=(size[0], size[1]),
                start=(start[0], start[1]),
                step=(step[0], step[1]),
                pads=(pads[0], pads[1], pads[2], pads[3]),
            )
        )
        return True

    def step_shuffle(self) -> bool:
        channels, height, width = self.tensors[self.last].shape
        if self.last == "image" and self.fill:
            return False
        order = self.rng.permutation(channels).astype(np.int32)
        self.append(Select(name=self.name, input=self.last, channels=order, size=(height, width)))
        return True

    def step_flatten(self) -> bool:
        if (self.last == "image" and self.fill) or not self.chance(0.3):
            return False
        self.append(Flatten(name=self.name, input=self.last))
        return True
