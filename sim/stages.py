"""A graph as stages: what PEs do in one go, one convolution with all that follows it inside the PE.

A stage reads the array with windows of its main tensor, adds a side tensor to the sums perhaps, scales, and pools
perhaps. Nodes that are no convolutions become one: an `Add` passes its first term through the array with weights of
one and adds the second, a `SumPool` has weights of one, grouped convolutions have zeros between their blocks, dilated
ones between their taps. Nodes that only move numbers (`Concat`, `Select`, `Flatten`) are no stages: whoever sends the
frames arranges them, as `arrange` says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ohmweave.rtl.arithmetic.constants import CONSTANTS
from ohmweave.rtl.arithmetic.layouts import MAX_WINDOW_PIXELS
from ohmweave.sim.graph import (
    Add,
    Concat,
    Conv,
    Flatten,
    Graph,
    MaxPool,
    Node,
    Scaled,
    Select,
    SumPool,
    Tensor,
)

__all__ = ["MOVES", "Pool", "Scale", "Stage", "arrange", "passed", "sent_pixels", "stages", "steps"]

#: Nodes that only move numbers.
MOVES = (Concat, Select, Flatten)
#: Pixels of the largest window that the arithmetic half pools, and its longest side.
MAX_POOL_PIXELS, MAX_POOL_SIDE = MAX_WINDOW_PIXELS, 7
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Scale:
    """round_shift(x·mult, shift), by channel."""

    mult: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Pool:
    """Maxima of windows of what the convolution gives; padding never wins."""

    kernel: Pair
    stride: Pair
    pads: Pads


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """One convolution and what follows it.

    name         of the stage: the node that its array computes
    result       the tensor that leaves
    main, side   the tensors that enter; the side one has a number for each sum, or there is none
    sent         of the main tensor only every (y, x)-th pixel is sent: those that a window of one pixel reads
    weights      int16 (out, in, height, width) of `weight_bits` bits: the window's, zeros included
    stride, pads, spread   of the windows; a pixel stands on every spread-th place
    fill         what stands on the others and on the border, of each channel
    expanded     these places are sent, too: (top, left, bottom, right) border and spread of what is sent, after
                 which nothing is left to pad or to spread; where the results have more pixels than the main tensor
                 and a side tensor travels beside it
    main_scale   of the sums, before the side tensor is added; None for 1
    side_scale   of the side tensor
    bias, scale  then; a raw stage has no scale
    low, high    limits of the scaled numbers
    sum_bound    the largest that a sum can be, or its negative
    whole_frame  the results of all pixels are added up before `bias` and `scale`
    pool         None for none
    merged       pixels next to each other that a window gives, each with channels of its own (`ohmweave.sim.merging`)
    """

    name: str
    result: Tensor
    main: Tensor
    side: Tensor | None = None
    sent: Pair = (1, 1)
    weights: np.ndarray
    weight_bits: int
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    spread: Pair = (1, 1)
    fill: np.ndarray
    expanded: tuple[Pads, Pair] | None = None
    main_scale: Scale | None = None
    side_scale: Scale | None = None
    bias: np.ndarray
    scale: Scale | None
    low: int
    high: int
    sum_bound: int
    whole_frame: bool = False
    pool: Pool | None = None
    merged: int = 1

    @property
    def kernel(self) -> Pair:
        return (self.weights.shape[2], self.weights.shape[3])

    @property
    def out_channels(self) -> int:
        return self.weights.shape[0]

    @property
    def sent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what is sent of the main tensor."""
        channels, height, width = self.main.shape
        height, width = -(-height // self.sent[0]), -(-width // self.sent[1])
        if self.expanded is not None:
            (top, left, bottom, right), (step_y, step_x) = self.expanded
            height = (height - 1) * step_y + 1 + top + bottom
            width = (width - 1) * step_x + 1 + left + right
        return (channels, height, width)

    @property
    def map_size(self) -> Pair:
        """Height and width of the map that windows are cut from, its border not counted."""
        _, height, width = self.sent_shape
        return ((height - 1) * self.spread[0] + 1, (width - 1) * self.spread[1] + 1)

    @property
    def conv_size(self) -> Pair:
        """Windows in a column and in a row."""
        top, left, bottom, right = self.pads
        (height, width), (kernel_y, kernel_x) = self.map_size, self.kernel
        return (
            (height + top + bottom - kernel_y) // self.stride[0] + 1,
            (width + left + right - kernel_x) // self.stride[1] + 1,
        )

    @property
    def pixels(self) -> Pair:
        """Height and width of what the convolution gives, before it is pooled."""
        if self.whole_frame:
            return (1, 1)
        height, width = self.conv_size
        return (height, width * self.merged)

    @property
    def raw(self) -> bool:
        return self.scale is None


def steps(graph: Graph) -> tuple[Stage | Node, ...]:
    """Stages and nodes that only move numbers, in an order in which each reads what is there."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    result: list[Stage | Node] = []
    pooled: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, MOVES):
            result.append(node)
        elif isinstance(node, MaxPool):
            if node.name not in pooled:
                result += _pooled(graph, node, None)
        else:
            stage = _STAGE[type(node)](graph, node)
            following = readers.get(node.name, [])
            pool = following[0] if len(following) == 1 else None
            # The second buffer holds either what is to be pooled or the side tensor.
            if isinstance(pool, MaxPool) and stage.side is None and not stage.raw:
                pooled.add(pool.name)
                result += _pooled(graph, pool, stage)
            else:
                result.append(stage)
    return tuple(
        each for step in result for each in (_within_constants(step) if isinstance(step, Stage) else [step])
    )


def _within_constants(stage: Stage) -> list[Stage]:
    """The stage, or two where it needs more constants a channel than a PE has: limits then have one of their own.

    The largest of limited numbers is the limited largest number, so that it may stand behind a pool.
    """
    limits = (stage.low > 0) + (stage.high < stage.result.top) if stage.scale is not None else 0
    scales = (stage.main_scale is not None) + (stage.side_scale is not None) + 2
    if scales + limits <= CONSTANTS:
        return [stage]
    free = replace(stage.result, name=f"{stage.result.name}_free")
    fill = np.zeros(free.shape[0], np.int64)
    limited = replace(
        passed(stage.result.name, free, fill), result=stage.result, low=stage.low, high=stage.high
    )
    return [replace(stage, result=free, low=0, high=free.top), limited]


def stages(graph: Graph) -> tuple[Stage, ...]:
    """The stages alone."""
    return tuple(step for step in steps(graph) if isinstance(step, Stage))


def _pooled(graph: Graph, node: MaxPool, stage: Stage | None) -> list[Stage]:
    """Stages of a pool, of which `stage`, if there is one, does the first part; else the pool's input is passed on."""
    made: list[Stage] = []
    value = graph.tensors[node.input]
    result = graph.tensors[node.name]
    pools = _pools(node)
    for place, pool in enumerate(pools):
        last = place == len(pools) - 1
        name = node.name if last else f"{node.name}_{place}"
        top, left, bottom, right = pool.pads
        height, width = (
            (value.shape[1] + top + bottom - pool.kernel[0]) // pool.stride[0] + 1,
            (value.shape[2] + left + right - pool.kernel[1]) // pool.stride[1] + 1,
        )
        step = Tensor(
            name=name, shape=(result.shape[0], height, width), bits=result.bits, zero_point=result.zero_point
        )
        before = (
            stage if stage is not None and not place else passed(name, value, graph.zero_points(node.input))
        )
        made.append(replace(before, result=step, pool=pool))
        value = step
    assert value.shape == result.shape
    return made


def _pools(node: MaxPool) -> list[Pool]:
    """A pool as pools of windows that a PE takes: at most 9 pixels, 7 in a row."""
    if node.kernel[0] * node.kernel[1] <= MAX_POOL_PIXELS and max(node.kernel) <= MAX_POOL_SIDE:
        return [Pool(node.kernel, node.stride, node.pads)]
    top, left, bottom, right = node.pads
    pools = []
    for place, (size, stride) in enumerate(_cut(node.kernel[1], node.stride[1])):
        pools.append(Pool((1, size), (1, stride), (0, 0, 0, 0) if place else (0, left, 0, right)))
    for place, (size, stride) in enumerate(_cut(node.kernel[0], node.stride[0])):
        pools.append(Pool((size, 1), (stride, 1), (0, 0, 0, 0) if place else (top, 0, bottom, 0)))
    return pools


def _cut(size: int, stride: int) -> list[Pair]:
    """Sides and strides of windows whose maxima, one after the other, are those of a window of `size`."""
    found = []
    while size > MAX_POOL_SIDE:
        found.append((MAX_POOL_SIDE, 1))
        size -= MAX_POOL_SIDE - 1
    return [*found, (size, stride)]


def _convolution(graph: Graph, node: Conv) -> Stage:
    main = graph.tensors[node.input]
    side = None if node.residual is None else graph.tensors[node.residual]
    weights, stride, sent = _dense(node), node.window_stride, (1, 1)
    if weights.shape[2:] == (1, 1) and not any(node.window_pads):
        stride, sent = (1, 1), stride
    pads, spread, expanded = node.window_pads, node.spread, None
    if side is not None and (
        spread != (1, 1) or side.shape[1] > main.shape[1] or side.shape[2] > main.shape[2]
    ):
        pads, spread, expanded = (0, 0, 0, 0), (1, 1), (pads, spread)
    return Stage(
        **_scaled(graph, node),
        main=main,
        side=side,
        sent=sent,
        weights=weights,
        weight_bits=node.weight_bits,
        stride=stride,
        pads=pads,
        spread=spread,
        expanded=expanded,
        fill=graph.zero_points(node.input),
        side_scale=None if side is None else Scale(node.in_mult, node.in_shift),
    )


def _scaled(graph: Graph, node: Scaled) -> dict[str, Any]:
    """What every stage takes from its node: name, result, and what is made of the sums."""
    return {
        "name": node.name,
        "result": graph.tensors[node.name],
        "bias": node.bias,
        "scale": None if node.raw else Scale(node.mult, node.shift),
        "low": node.low,
        "high": node.high,
        "sum_bound": int(node.sum_bound([graph.tensors[name] for name in node.inputs]).max()),
    }


def _dense(node: Conv) -> np.ndarray:
    """Weights of all input channels and all places that the kernel covers."""
    inputs = node.weights.shape[1]
    outputs = node.channels // node.groups
    weights = np.zeros((node.channels, node.in_channels, *node.extent), np.int16)
    for group in range(node.groups):
        out = slice(group * outputs, (group + 1) * outputs)
        taps = weights[out, group * inputs : (group + 1) * inputs]
        taps[:, :, :: node.dilation[0], :: node.dilation[1]] = node.window_weights[out]
    return weights


def _identity(channels: int, kernel: Pair = (1, 1)) -> np.ndarray:
    """Weights that add up each channel's window."""
    weights = np.zeros((channels, channels, *kernel), np.int16)
    weights[np.arange(channels), np.arange(channels)] = 1
    return weights


def _addition(graph: Graph, node: Add) -> Stage:
    main = graph.tensors[node.terms[0]]
    side = graph.tensors[node.terms[1]] if len(node.terms) > 1 else None
    scales = [Scale(mult, shift) for mult, shift in zip(node.in_mult, node.in_shift, strict=True)]
    return Stage(
        **_scaled(graph, node),
        main=main,
        side=side,
        weights=_identity(main.shape[0]),
        weight_bits=4,
        fill=graph.zero_points(main.name),
        main_scale=scales[0],
        side_scale=None if side is None else scales[1],
    )


def _sum(graph: Graph, node: SumPool) -> Stage:
    main = graph.tensors[node.input]
    whole = node.kernel == main.shape[1:] and not any(node.pads)
    return Stage(
        **_scaled(graph, node),
        main=main,
        weights=_identity(main.shape[0], (1, 1) if whole else node.kernel),
        weight_bits=4,
        stride=(1, 1) if whole else node.stride,
        pads=node.pads,
        fill=graph.zero_points(main.name),
        whole_frame=whole,
    )


def passed(name: str, main: Tensor, fill: np.ndarray) -> Stage:
    """The tensor through the array unchanged."""
    channels = main.shape[0]
    return Stage(
        name=name,
        result=main,
        main=main,
        weights=_identity(channels),
        weight_bits=4,
        fill=fill,
        bias=np.zeros(channels, np.int64),
        scale=Scale(np.ones(channels, np.uint16), np.zeros(channels, np.int8)),
        low=0,
        high=main.top,
        sum_bound=main.top,
    )


_STAGE: dict[type[Node], Callable[..., Stage]] = {Conv: _convolution, Add: _addition, SumPool: _sum}


def sent_pixels(stage: Stage, values: np.ndarray) -> np.ndarray:
    """What is sent of the main tensor, (N, height, width, channels)."""
    values = values[:, :: stage.sent[0], :: stage.sent[1]]
    if stage.expanded is None:
        return values
    (top, left, _, _), (step_y, step_x) = stage.expanded
    _, height, width = stage.sent_shape
    expanded = np.empty((len(values), height, width, values.shape[3]), values.dtype)
    expanded[:] = stage.fill
    behind_y = top + (values.shape[1] - 1) * step_y + 1
    behind_x = left + (values.shape[2] - 1) * step_x + 1
    expanded[:, top:behind_y:step_y, left:behind_x:step_x] = values
    return expanded


def arrange(graph: Graph, node: Node, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a node that only moves numbers makes of its inputs, (N, height, width, channels)."""
    if isinstance(node, Concat):
        return np.concatenate([values[name] for name in node.parts], axis=(3, 1, 2)[node.side])
    if isinstance(node, Flatten):
        x = values[node.input]
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), 1, 1, -1)
    assert isinstance(node, Select)
    x = values[node.input]
    zero = graph.tensors[node.input].zero_point
    (y, x0), (step_y, step_x), (height, width) = node.start, node.step, node.size
    chosen = x[:, y::step_y, x0::step_x][:, :height, :width]
    moved = np.where(node.channels >= 0, chosen[..., np.maximum(node.channels, 0)], zero)
    top, left, bottom, right = node.pads
    return np.pad(moved, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=zero)
