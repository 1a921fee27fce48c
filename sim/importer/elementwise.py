"""Handlers of operators that work element by element, and of batch normalisation."""

from collections.abc import Callable
from math import prod

import numpy as np

from ohmweave.sim.importer.lower import Op, View
from ohmweave.sim.importer.record import Add, ChannelAffine, Clip

__all__ = ["ELEMENTWISE"]


def batch_normalization(op: Op) -> None:
    op.accept("epsilon", "momentum", "training_mode")
    op.flag("training_mode", only=0)
    op.single_output()
    view = op.view(0)
    source = op.lowering.map_of(view, op)
    channels = op.lowering.shapes[source][0]
    scale, bias, mean, variance = (
        op.floats(index, f"{what} of batch normalisation").astype(np.float64)
        for index, what in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance"))
    )
    if any(each.shape != (channels,) for each in (scale, bias, mean, variance)):
        op.refuse(f"must have scale, bias, mean and variance of {channels} entries")
    variance = variance + op.number("epsilon", 1e-5)
    if variance.min() <= 0:
        op.refuse("must have a variance that is positive")
    factor = scale / np.sqrt(variance)
    op.like(view, op.emit(ChannelAffine, [source], scale=factor, shift=bias - mean * factor))


def _affine(op: Op, view: View, scale: np.ndarray | float, shift: np.ndarray | float) -> None:
    """x·scale + shift for constants that broadcast to the shape of x and are the same for all pixels."""
    shape = op.lowering.shapes[view.tensor]
    fields = []
    for what, value in (("scale", scale), ("shift", shift)):
        value = np.asarray(value, np.float64)
        if value.size == 1:
            fields.append((what, np.full(shape[0], value.reshape(-1)[0])))
            continue
        if view.index is None and value.shape[-2:] == (1, 1) and value.size == shape[0]:
            fields.append((what, value.reshape(-1)))
            continue
        try:
            value = np.broadcast_to(value, view.shape)
        except ValueError:
            op.refuse(f"must have a constant that broadcasts to {list(view.shape)}, not {list(value.shape)}")
        flat = np.empty(prod(shape))
        flat[view.indices().reshape(-1)] = value.reshape(-1)
        placed = flat.reshape(shape[0], -1)
        if not (placed == placed[:, :1]).all():
            op.refuse("must have a constant that is the same for all pixels of a channel")
        fields.append((what, placed[:, 0]))
    op.result(View(op.emit(ChannelAffine, [view.tensor], **dict(fields)), view.shape, view.index))


def add(op: Op) -> None:
    op.accept()
    for constant, tensor in ((0, 1), (1, 0)):
        if op.is_constant(constant):
            return _affine(op, op.view(tensor), 1.0, op.floats(constant, "a constant"))
    return _sum(op, [op.view(0), op.view(1)])


def add_many(op: Op) -> None:
    """Sum: any number of tensors."""
    op.accept()
    if any(op.is_constant(index) for index in range(len(op.node.input))):
        op.refuse("must have inputs that depend on the image; Add takes constants")
    return _sum(op, [op.view(index) for index in range(len(op.node.input))])


def _sum(op: Op, views: list[View]) -> None:
    first = views[0]
    for each in views[1:]:
        if each.shape != first.shape:
            op.refuse(
                f"must have inputs of the same shape or a constant, not {list(first.shape)} and {list(each.shape)}"
            )
        shapes = (op.lowering.shapes[first.tensor], op.lowering.shapes[each.tensor])
        same = (first.index is None) == (each.index is None)
        if same and first.index is not None and each.index is not None:
            same = np.array_equal(first.index, each.index)
        if same and shapes[0] == shapes[1]:
            tensor = op.emit(Add, [first.tensor, each.tensor])
            first = View(tensor, first.shape, first.index)
        else:
            pair = [op.lowering.map_of(view, op) for view in (first, each)]
            tensor = op.emit(Add, pair)
            op.like(first, tensor)
            first = op.lowering.views[op.node.output[0]]
    op.result(first)


def subtract(op: Op) -> None:
    op.accept()
    if op.is_constant(0):
        return _affine(op, op.view(1), -1.0, op.floats(0, "a constant"))
    return _affine(op, op.view(0), 1.0, -op.floats(1, "a second operand"))


def multiply(op: Op) -> None:
    op.accept()
    for constant, tensor in ((0, 1), (1, 0)):
        if op.is_constant(constant):
            return _affine(op, op.view(tensor), op.floats(constant, "a constant"), 0.0)
    op.refuse("must have one operand that is constant")


def divide(op: Op) -> None:
    op.accept()
    divisor = op.floats(1, "a divisor")
    if not divisor.all():
        op.refuse("must have a divisor that is nowhere 0")
    return _affine(op, op.view(0), 1 / divisor.astype(np.float64), 0.0)


def _clip(op: Op, low: float, high: float) -> None:
    view = op.view(0)
    tensor = op.emit(Clip, [view.tensor], low=low, high=high)
    op.result(View(tensor, view.shape, view.index))


def relu(op: Op) -> None:
    op.accept()
    _clip(op, 0.0, np.inf)


def clip(op: Op) -> None:
    op.accept()
    limits = []
    for index, what, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        value = (
            np.asarray(op.constant(index, f"a {what}"), np.float64) if op.given(index) else np.array(default)
        )
        if value.size != 1 or np.isnan(value).any():
            op.refuse(f"must have a {what} that is one number")
        limits.append(float(value.reshape(-1)[0]))
    if limits[0] > limits[1]:
        op.refuse(f"must have a min of at most its max, not {limits[0]:g} and {limits[1]:g}")
    _clip(op, *limits)


ELEMENTWISE: dict[str, Callable[[Op], None]] = {
    "Add": add, "BatchNormalization": batch_normalization, "Clip": clip, "Div": divide, "Mul": multiply,
    "Relu": relu, "Sub": subtract, "Sum": add_many,
}  # fmt: skip
