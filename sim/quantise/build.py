"""Integer nodes of planned steps, once the scales of all tensors are known."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ohmweave.sim import graph as integer
from ohmweave.sim.graph_average import average_nodes
from ohmweave.sim.graph_base import SUM_BOUND, scaled_bound
from ohmweave.sim.graph_nodes import CONCAT_AXES
from ohmweave.sim.importer.record import (
    Add,
    AveragePool,
    ChannelAffine,
    Concat,
    Conv,
    ConvTranspose,
    MaxPool,
    Pad,
    Permute,
    Slice,
)
from ohmweave.sim.quantise.options import QuantiseOptions
from ohmweave.sim.quantise.plan import Plan, Step, free_name
from ohmweave.sim.quantise.ranges import shrunk_steps
from ohmweave.sim.quantise.scales import TensorScale, encode, value_of

__all__ = ["Builder"]

#: A fully connected layer whose map has a longer side is one on a flattened map: a convolution's windows have limits.
MAX_KERNEL = 7
#: Least scale of a channel's sums in steps of its output: finer sums gain nothing and need longer factors.
FINEST = 2.0**-24
#: Bits by which the sums of an Add are finer than the coarsest term; fewer where the sums are the output.
ADD_BITS, RAW_ADD_BITS = 16, 12


class Builder:
    """Makes the nodes of a plan.

    scales  of the image and of every tensor but the raw one
    names   tensor → name of the integer tensor
    """

    def __init__(
        self,
        plan: Plan,
        scales: Mapping[str, TensorScale],
        names: Mapping[str, str],
        options: QuantiseOptions,
    ) -> None:
        self.plan = plan
        self.scales = scales
        self.names = names
        self.options = options
        self.nodes: list[integer.Node] = []
        self.taken = set(names.values())
        self.logit_scale = 1.0

    def build(self) -> tuple[integer.Node, ...]:
        for step in self.plan.steps:
            self._step(step)
        return tuple(self.nodes)

    def _step(self, step: Step) -> None:
        node = step.node
        name, inputs = self.names[step.output], tuple(self.names[each] for each in step.inputs)
        if isinstance(node, Conv | ConvTranspose):
            self._conv(step, node)
        elif isinstance(node, Add | ChannelAffine):
            self._add(step, node)
        elif isinstance(node, AveragePool):
            self._sum_pool(step, node)
        elif isinstance(node, MaxPool):
            self.nodes.append(
                integer.MaxPool(
                    name=name, input=inputs[0], kernel=node.kernel, stride=node.stride, pads=node.pads
                )
            )
        elif isinstance(node, Concat):
            self.nodes.append(integer.Concat(name=name, parts=inputs, axis=CONCAT_AXES[node.axis]))
        else:
            self.nodes.append(self._select(node, name, inputs[0], self.plan.shapes[step.inputs[0]]))

    def _inner(self, name: str, suffix: str) -> str:
        """Name of one of the nodes that make up the node `name`."""
        return free_name(f"{name[: 57 - len(suffix)]}_{suffix}", self.taken)

    def _select(self, node: Any, name: str, source: str, shape: tuple[int, int, int]) -> integer.Select:
        channels = np.arange(shape[0])
        start, move, size, pads = (0, 0), (1, 1), shape[1:], (0, 0, 0, 0)
        if isinstance(node, Permute):
            channels = node.order
        elif isinstance(node, Slice):
            channels = channels[node.start[0] :: node.step[0]][: node.size[0]]
            start, move, size = node.start[1:], node.step[1:], node.size[1:]
        elif isinstance(node, Pad):
            channels = np.pad(channels, (node.before[0], node.after[0]), constant_values=-1)
            pads = (*node.before[1:], *node.after[1:])
        else:
            raise TypeError(f"no integers for {type(node).__name__}")
        return integer.Select(
            name=name, input=source, channels=channels.astype(np.int32), start=start, step=move, size=size,
            pads=pads,
        )  # fmt: skip

    # Steps that compute

    def _scaled(self, step: Step, unit: np.ndarray, bias: np.ndarray, bound: np.ndarray) -> dict[str, Any]:
        """Fields of a scaled node.

        unit   (channels,): what 1 of the sums is
        bias   (channels,): in that unit, without the zero point of the output
        bound  (channels,): of the sums without the bias
        """
        room = float(SUM_BOUND - 1 - bound.max(initial=0))
        fields: dict[str, Any] = {"bits": integer.RAW_BITS}
        if step.raw:
            self.logit_scale = float(unit[0])
        else:
            scale = self.scales[step.output]
            mult, shift = encode(unit / scale.step)
            factor = value_of(mult, shift)
            bias = bias + np.where(factor > 0, scale.point / np.where(factor > 0, factor, 1), 0)
            top = (1 << scale.bits) - 1
            limits = [
                int(np.clip(np.rint(limit / scale.step) + scale.point, 0, top))
                if np.isfinite(limit)
                else default
                for limit, default in ((step.low, 0), (step.high, top))
            ]
            fields = {
                "bits": scale.bits, "zero_point": scale.point, "mult": mult, "shift": shift,
                "low": limits[0], "high": limits[1],
            }  # fmt: skip
        return fields | {"bias": np.rint(np.clip(bias, -room, room)).astype(np.int64)}

    def _finest(self, step: Step) -> float:
        return 0.0 if step.raw else self.scales[step.output].step * FINEST

    def _conv(self, step: Step, node: Conv | ConvTranspose) -> None:
        source = self.scales[step.inputs[0]]
        weights = _outputs_first(node)
        out, per_group = weights.shape[:2]
        channel = np.arange(out)[:, None] // (out // node.groups) * per_group + np.arange(per_group)
        largest = float(source.scale.max())
        carried = node.weight_scale
        if not source.uniform:
            weights = weights * (source.scale / largest)[channel][:, :, None, None]
            carried = carried if np.all(source.scale == source.scale[0]) else None
        bits, steps, values = self._weights(step, node, weights, carried, self._finest(step) / largest)
        unit = largest * steps
        offsets = (values.sum((2, 3)) * source.zero[channel]).sum(1)
        bias = np.asarray(node.bias, np.float64) / unit - offsets
        rows = values.reshape(out, -1)
        bound = ((1 << source.bits) - 1) * np.maximum(
            np.maximum(rows, 0).sum(1), np.maximum(-rows, 0).sum(1)
        ).astype(np.float64)
        more: dict[str, Any] = {}
        if step.residual is not None:
            other = self.scales[step.residual]
            in_mult, in_shift = encode(other.step / unit)
            bias -= other.point * value_of(in_mult, in_shift)
            bound += scaled_bound((1 << other.bits) - 1, in_mult, in_shift)
            more = {"residual": self.names[step.residual], "in_mult": in_mult, "in_shift": in_shift}
        name, stem = self.names[step.output], self.names[step.inputs[0]]
        kernel = values.shape[2:]
        pads, stride = node.pads, node.stride
        whole = isinstance(node, Conv) and node.groups == 1 and not any(pads)
        if whole and max(kernel) > MAX_KERNEL and kernel == self.plan.shapes[step.inputs[0]][1:]:
            flat = self._inner(name, "flat")
            self.nodes.append(integer.Flatten(name=flat, input=stem))
            stem, values, stride = flat, values.reshape(out, -1, 1, 1), (1, 1)
        if isinstance(node, ConvTranspose):
            more |= {"transposed": True, "output_padding": node.extra}
        self.nodes.append(
            integer.Conv(
                name=name, input=stem, weights=np.ascontiguousarray(values.astype(np.int16)), weight_bits=bits,
                stride=stride, pads=pads, dilation=node.dilation, groups=node.groups,
                **self._scaled(step, unit, bias, bound), **more,
            )
        )  # fmt: skip

    def _weights(
        self,
        step: Step,
        node: Conv | ConvTranspose,
        weights: np.ndarray,
        carried: np.ndarray | None,
        least: float,
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """Bits, step of each output channel, and the integers, float64."""
        layer = self.options.layers.get(self.names[step.output])
        bits = (layer and layer.weight_bits) or self.options.weight_bits
        rows = weights.reshape(len(weights), -1).astype(np.float64)
        if carried is not None and node.weight_bits is not None:
            bits = node.weight_bits
            if step.raw and np.any(carried != carried[0]):
                # The sums are the output: one scale for all. 16 bits keep the file's to a 500th of a step.
                bits, carried = 16, np.full(len(carried), np.abs(rows).max() / 32767)
            values = np.rint(rows / carried[:, None])
            if values.size and not -(1 << (bits - 1)) <= values.min() <= values.max() < 1 << (bits - 1):
                bits = 16
            return bits, carried.astype(np.float64), values.reshape(weights.shape)
        top = (1 << (bits - 1)) - 1
        if step.raw:
            rows = rows.reshape(1, -1)
        steps = np.abs(rows).max(1, initial=0) / top
        if self.options.range == "mse" and bits == 4:  # of 8 bits the gain is a thousandth of a step
            steps = shrunk_steps(rows, np.where(steps > 0, steps, 1), top) * (steps > 0)
        steps = np.maximum(steps, least)
        steps = np.where(steps > 0, steps, 1.0)
        values = np.clip(np.rint(rows / steps[:, None]), -top, top).reshape(weights.shape)
        return bits, np.broadcast_to(steps, len(weights)), values

    def _add(self, step: Step, node: Add | ChannelAffine) -> None:
        channels = self.plan.shapes[step.output][0]
        factors = []
        for name in step.inputs:
            own = node.scale if isinstance(node, ChannelAffine) else np.ones(channels)
            factors.append(self.scales[name].scale * own)
        shift = node.shift if isinstance(node, ChannelAffine) else np.zeros(channels)
        coarsest = max(float(each.max()) for each in factors)
        if step.raw and len(step.inputs) == 1 and np.all(factors[0] == coarsest) and not np.any(shift):
            unit = coarsest  # the numbers themselves
        else:
            unit = (coarsest or 1.0) * 2.0 ** -(RAW_ADD_BITS if step.raw else ADD_BITS)
        in_mult, in_shift = encode(np.stack(factors) / unit)
        bias = shift / unit
        bound = np.zeros(channels)
        for name, mult, places in zip(step.inputs, in_mult, in_shift, strict=True):
            bias = bias - self.scales[name].zero * value_of(mult, places)
            bound += scaled_bound((1 << self.scales[name].bits) - 1, mult, places)
        self.nodes.append(
            integer.Add(
                name=self.names[step.output], terms=tuple(self.names[name] for name in step.inputs),
                in_mult=in_mult, in_shift=in_shift, **self._scaled(step, np.full(channels, unit), bias, bound),
            )
        )  # fmt: skip

    def _sum_pool(self, step: Step, node: AveragePool) -> None:
        source, shape = self.scales[step.inputs[0]], self.plan.shapes[step.inputs[0]]
        name, stem = self.names[step.output], self.names[step.inputs[0]]
        windows: dict[str, Any] = {"kernel": node.kernel, "stride": node.stride, "pads": node.pads}

        def scaled(count: int) -> dict[str, Any]:
            """Of windows of so many places."""
            ones = np.ones(shape[0])
            bound = count * ((1 << source.bits) - 1) * ones
            return self._scaled(step, source.step / count * ones, -count * source.point * ones, bound)

        if node.leaves_border_out:
            self.nodes += average_nodes(
                name, stem, shape, **windows, scaled=scaled, label=partial(self._inner, name)
            )
        else:
            count = node.kernel[0] * node.kernel[1]
            self.nodes.append(integer.SumPool(name=name, input=stem, **windows, **scaled(count)))


def _outputs_first(node: Conv | ConvTranspose) -> np.ndarray:
    """Weights (out, in / groups, kernel height, kernel width)."""
    if isinstance(node, Conv):
        return node.weights
    inputs, per_group, *kernel = node.weights.shape
    groups = node.groups
    shaped = node.weights.reshape(groups, inputs // groups, per_group, *kernel)
    return shaped.transpose(0, 2, 1, 3, 4).reshape(groups * per_group, inputs // groups, *kernel)
