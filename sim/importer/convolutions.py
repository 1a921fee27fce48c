"""Handlers of the operators with weights: convolutions and fully connected layers."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ohmweave.sim.importer.lower import Op, View
from ohmweave.sim.importer.record import Conv, ConvTranspose
from ohmweave.sim.importer.window import PADDINGS, Pair, window

__all__ = ["CONVOLUTIONS"]


def _kernel_of(op: Op, weights: np.ndarray) -> Pair:
    if weights.ndim != 4 or not weights.size:
        op.refuse(f"must have weights of 4 dimensions, that is 2 spatial ones, not {weights.ndim}")
    kernel: Pair = weights.shape[2:]
    if tuple(op.attributes.get("kernel_shape", kernel)) != kernel:
        op.refuse_attribute("kernel_shape", f"{list(kernel)} as the weights", op.attributes["kernel_shape"])
    return kernel


def _bias(op: Op, count: int) -> np.ndarray:
    if not op.given(2):
        return np.zeros(count, np.float32)
    bias = op.floats(2, "a bias")
    if bias.shape != (count,):
        op.refuse(f"must have a bias of {count} entries, not {list(bias.shape)}")
    return bias


def _scale(op: Op, index: int, axis: int, count: int) -> dict[str, Any]:
    """The step of the weights, where a DequantizeLinear gave one for each output channel."""
    given = op.lowering.scales.get(op.node.input[index])
    scale = None if given is None else given.along(axis, count)
    return {} if given is None or scale is None else {"weight_scale": scale, "weight_bits": given.bits}


def conv(op: Op) -> None:
    op.accept("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    weights = op.floats(1, "weights")
    kernel = _kernel_of(op, weights)
    source = op.map(0)
    channels, height, width = op.lowering.shapes[source]
    strides, pads, dilations = window(op, (height, width), kernel)
    groups = op.whole("group", 1)
    count = weights.shape[0]
    if groups < 1 or count % groups or weights.shape[1] * groups != channels:
        op.refuse(
            f"must have weights for {channels} input channels, and its {groups} groups of {weights.shape[1]} "
            f"give {count} outputs"
        )
    op.map_result(
        op.emit(
            Conv, [source], weights=weights, bias=_bias(op, count), stride=strides, pads=pads,
            dilation=dilations, groups=groups, **_scale(op, 1, 0, count),
        )
    )  # fmt: skip


def conv_transpose(op: Op) -> None:
    op.accept(
        "auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"
    )
    weights = op.floats(1, "weights")
    kernel = _kernel_of(op, weights)
    source = op.map(0)
    channels, *size = op.lowering.shapes[source]
    strides: Pair = op.wholes("strides", (1, 1), 1)  # type: ignore[assignment]
    dilations: Pair = op.wholes("dilations", (1, 1), 1)  # type: ignore[assignment]
    extra: Pair = op.wholes("output_padding", (0, 0), 0)  # type: ignore[assignment]
    groups = op.whole("group", 1)
    if groups < 1 or weights.shape[0] != channels or channels % groups:
        op.refuse(f"must have weights for {channels} input channels in groups, not {weights.shape[0]}")
    mode = op.text("auto_pad", "NOTSET", PADDINGS)
    pads: Sequence[int] = op.wholes("pads", (0, 0, 0, 0), 0)
    if "output_shape" in op.attributes or mode.startswith("SAME"):
        wanted = op.wholes("output_shape", [each * step for each, step in zip(size, strides, strict=True)], 1)
        before, after = [], []
        for i in (0, 1):
            total = strides[i] * (size[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - wanted[i]
            if total < 0:
                op.refuse_attribute("output_shape", f"at most {wanted[i] + total} in each direction", wanted)
            before.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
            after.append(total - before[-1])
        pads = (*before, *after)
    elif mode == "VALID":
        pads = (0, 0, 0, 0)
    count = weights.shape[1] * groups
    op.map_result(
        op.emit(
            ConvTranspose, [source], weights=weights, bias=_bias(op, count), stride=strides, pads=tuple(pads),
            extra=extra, dilation=dilations, groups=groups,
            **(_scale(op, 1, 1, count) if groups == 1 else _scale(op, 1, -1, count)),
        )
    )  # fmt: skip


def _fully_connected(op: Op, view: View, weights: np.ndarray, bias: np.ndarray, axis: int) -> None:
    """weights (features, outputs), in the order in which `view` gives the features."""
    op_shape = op.lowering.shapes[view.tensor]
    features, count = weights.shape
    if prod(view.shape) != view.shape[-1] or view.shape[-1] != features or prod(op_shape) != features:
        op.refuse(f"must have an input of 1×{features} for its weights, not {list(view.shape)}")
    placed = np.empty((count, features), np.float32)
    placed[:, view.indices().reshape(-1)] = weights.T
    tensor = op.emit(
        Conv, [view.tensor], weights=placed.reshape(count, *op_shape), bias=bias, **_scale(op, 1, axis, count)
    )
    op.result(View(tensor, (*view.shape[:-1], count), np.arange(count).reshape(*view.shape[:-1], count)))


def gemm(op: Op) -> None:
    op.accept("alpha", "beta", "transA", "transB")
    op.flag("transA", only=0)
    weights = op.floats(1, "weights")
    if weights.ndim != 2:
        op.refuse(f"must have weights of 2 dimensions, not {weights.ndim}")
    transposed = op.flag("transB")
    if transposed:
        weights = weights.T
    count = weights.shape[1]
    bias = np.zeros(count, np.float32)
    if op.given(2):
        given = op.floats(2, "a bias")
        if given.size not in (1, count) or given.ndim > 2 or given.shape[-1:] not in ((), (1,), (count,)):
            op.refuse(f"must have a bias of {count} entries, not {list(given.shape)}")
        bias = np.broadcast_to(given.reshape(-1), count) * np.float32(op.number("beta", 1.0))
    alpha = op.number("alpha", 1.0)
    if alpha != 1.0:
        weights = weights * np.float32(alpha)
        op.lowering.scales.pop(op.node.input[1], None)
    _fully_connected(op, op.view(0), weights, bias, 0 if transposed else 1)


def matmul(op: Op) -> None:
    op.accept()
    weights = op.floats(1, "weights as its second operand")
    if weights.ndim != 2:
        op.refuse(f"must have weights of 2 dimensions, not {weights.ndim}")
    _fully_connected(op, op.view(0), weights, np.zeros(weights.shape[1], np.float32), 1)


CONVOLUTIONS: dict[str, Callable[[Op], None]] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul,
}  # fmt: skip
