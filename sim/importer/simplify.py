"""Folding in a float graph: what a convolution can take in, it does, so that little is left between layers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ohmweave.sim.importer.record import (
    AveragePool,
    ChannelAffine,
    Clip,
    Conv,
    ConvTranspose,
    FloatGraph,
    FloatNode,
    MaxPool,
    Pad,
    Permute,
    Shape,
)

__all__ = ["simplify"]


def simplify(graph: FloatGraph) -> FloatGraph:
    """The same function with batch normalisation, constants, padding and shuffles folded into convolutions."""
    work = _Work(graph)
    work.drop_unread()
    changed = True
    while changed:
        # All of them every time: one makes room for another.
        changed = sum(work.sweep(rule) for rule in _RULES) > 0
    return work.graph()


class _Work:
    """A graph under change: nodes by the tensor that they make."""

    def __init__(self, graph: FloatGraph) -> None:
        self.original = graph
        self.nodes: dict[str, FloatNode] = {node.output: node for node in graph.nodes}
        self.output = graph.output
        self.count()

    def count(self) -> None:
        self.reads: dict[str, int] = {self.original.input: 0, **dict.fromkeys(self.nodes, 0), self.output: 1}
        for node in self.nodes.values():
            for name in node.inputs:
                self.reads[name] += 1

    def alone(self, name: str) -> FloatNode | None:
        """What makes a tensor, if a single node reads it."""
        return self.nodes.get(name) if self.reads[name] == 1 else None

    def join(self, first: FloatNode, second: FloatNode, made: FloatNode) -> None:
        """Put `made` in the place of two nodes of which the second alone reads the first."""
        self.nodes = {
            name: made if node is second else node for name, node in self.nodes.items() if node is not first
        }

    def skip(self, node: FloatNode) -> None:
        """Take out a node that changes nothing."""
        del self.nodes[node.output]
        (source,) = node.inputs
        for name, each in self.nodes.items():
            if node.output in each.inputs:
                inputs = tuple(source if one == node.output else one for one in each.inputs)
                self.nodes[name] = replace(each, inputs=inputs)
        if self.output == node.output:
            self.output = source

    def sweep(self, rule: "Callable[[_Work, FloatNode], bool]") -> bool:
        changed = False
        for node in list(self.nodes.values()):
            if self.nodes.get(node.output) is node and rule(self, node):
                self.count()
                changed = True
        return changed

    def drop_unread(self) -> None:
        while True:
            self.count()
            unread = [name for name in self.nodes if not self.reads[name]]
            if not unread:
                return
            for name in unread:
                del self.nodes[name]

    def graph(self) -> FloatGraph:
        shapes: dict[str, Shape] = {self.original.input: self.original.input_shape}
        for node in self.nodes.values():
            shapes[node.output] = node.out_shape(*(shapes[name] for name in node.inputs))
        return replace(self.original, nodes=tuple(self.nodes.values()), output=self.output, shapes=shapes)


def _scaled_outputs(conv: Conv | ConvTranspose, scale: np.ndarray, shift: np.ndarray) -> dict[str, Any]:
    """Weights and bias of a convolution whose output channels are scaled and shifted."""
    if isinstance(conv, Conv):
        weights = conv.weights * scale[:, None, None, None]
    else:
        # (in, out / groups): the groups' inputs follow each other.
        per_group = scale.reshape(conv.groups, 1, -1, 1, 1)
        shaped = conv.weights.reshape(conv.groups, -1, *conv.weights.shape[1:])
        weights = (shaped * per_group).reshape(conv.weights.shape)
    return {
        "weights": weights.astype(np.float32),
        "bias": (conv.bias * scale + shift).astype(np.float32),
        "weight_scale": None if conv.weight_scale is None else conv.weight_scale * np.abs(scale),
    }


def _affine_after_conv(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, ChannelAffine):
        return False
    conv = work.alone(node.inputs[0])
    if not isinstance(conv, Conv | ConvTranspose):
        return False
    if conv.weight_scale is not None and not np.all(node.scale):
        return False
    work.join(conv, node, replace(conv, output=node.output, **_scaled_outputs(conv, node.scale, node.shift)))
    return True


def _affine_before_conv(work: _Work, node: FloatNode) -> bool:
    """Scales always; a shift only where no border of zeros stands between."""
    if not isinstance(node, Conv):
        return False
    affine = work.alone(node.inputs[0])
    if not isinstance(affine, ChannelAffine) or node.weight_scale is not None:
        return False
    if np.any(affine.shift) and any(node.pads):
        return False
    out, inputs = node.weights.shape[:2]
    # Input channel of each of a group's: the groups of outputs take neighbouring inputs.
    channel = np.arange(out)[:, None] // (out // node.groups) * inputs + np.arange(inputs)
    weights = node.weights * affine.scale[channel][:, :, None, None]
    bias = node.bias + (node.weights.sum((2, 3)) * affine.shift[channel]).sum(1)
    work.join(
        affine,
        node,
        replace(node, inputs=affine.inputs, weights=weights.astype(np.float32), bias=bias.astype(np.float32)),
    )
    return True


def _affine_after_affine(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, ChannelAffine):
        return False
    before = work.alone(node.inputs[0])
    if not isinstance(before, ChannelAffine):
        return False
    made = replace(
        node,
        inputs=before.inputs,
        scale=before.scale * node.scale,
        shift=before.shift * node.scale + node.shift,
    )
    work.join(before, node, made)
    return True


def _nothing(work: _Work, node: FloatNode) -> bool:
    """Nodes that change nothing."""
    same = (
        (isinstance(node, ChannelAffine) and np.all(node.scale == 1) and not np.any(node.shift))
        or (isinstance(node, Clip) and node.low == -np.inf and node.high == np.inf)
        or (isinstance(node, Pad) and not any(node.before) and not any(node.after))
        or (
            isinstance(node, MaxPool | AveragePool)
            and node.kernel == node.stride == (1, 1)
            and not any(node.pads)
        )
    )
    if same and len(work.nodes) > 1:
        work.skip(node)
        return True
    return False


def _clip_after_clip(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, Clip):
        return False
    before = work.alone(node.inputs[0])
    if not isinstance(before, Clip):
        return False
    low, high = (float(np.clip(limit, node.low, node.high)) for limit in (before.low, before.high))
    work.join(before, node, replace(node, inputs=before.inputs, low=low, high=high))
    return True


def _clip_after_pool(work: _Work, node: FloatNode) -> bool:
    """A limit commutes with a maximum; before the pool it may be a convolution's."""
    if not isinstance(node, Clip):
        return False
    pool = work.alone(node.inputs[0])
    if not isinstance(pool, MaxPool):
        return False
    nodes = dict(work.nodes)
    clip = replace(node, inputs=pool.inputs, output=pool.output)
    after = replace(pool, inputs=(pool.output,), output=node.output)
    nodes[pool.output], nodes[node.output] = clip, after
    work.nodes = nodes
    return True


def _pad_before_window(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, Conv | AveragePool | MaxPool):
        return False
    pad = work.alone(node.inputs[0])
    if not isinstance(pad, Pad) or pad.before[0] or pad.after[0]:
        return False
    extra = (*pad.before[1:], *pad.after[1:])
    if isinstance(node, MaxPool):
        fits = pad.value <= -3e38
    elif isinstance(node, AveragePool):
        fits = pad.value == 0 and not any(node.pads)
    else:
        fits = pad.value == 0
    if isinstance(node, Conv):
        extent = [(side - 1) * step + 1 for side, step in zip(node.kernel, node.dilation, strict=True)]
    else:
        extent = list(node.kernel)
    pads: Any = tuple(one + other for one, other in zip(node.pads, extra, strict=True))
    if not fits or any(pads[i] >= extent[i % 2] for i in range(4)):
        return False
    more = {"include_pad": True} if isinstance(node, AveragePool) else {}
    work.join(pad, node, replace(node, inputs=pad.inputs, pads=pads, **more))  # type: ignore[arg-type]
    return True


def _permute_before_conv(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, Conv) or node.groups != 1:
        return False
    permute = work.alone(node.inputs[0])
    if not isinstance(permute, Permute):
        return False
    weights = np.empty_like(node.weights)
    weights[:, permute.order] = node.weights
    work.join(permute, node, replace(node, inputs=permute.inputs, weights=weights))
    return True


def _permute_after_conv(work: _Work, node: FloatNode) -> bool:
    if not isinstance(node, Permute):
        return False
    conv = work.alone(node.inputs[0])
    if not isinstance(conv, Conv) or conv.groups != 1:
        return False
    scale = None if conv.weight_scale is None else conv.weight_scale[node.order]
    made = replace(
        conv,
        output=node.output,
        weights=conv.weights[node.order],
        bias=conv.bias[node.order],
        weight_scale=scale,
    )
    work.join(conv, node, made)
    return True


_RULES = (
    _nothing, _affine_after_conv, _affine_after_affine, _affine_before_conv, _clip_after_clip, _clip_after_pool,
    _pad_before_window, _permute_before_conv, _permute_after_conv,
)  # fmt: skip
