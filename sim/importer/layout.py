"""Handlers of the operators that only move elements, or leave them as they are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ohmweave.sim.graph_nodes import CONCAT_AXES
from ohmweave.sim.importer.lower import Op, View, times
from ohmweave.sim.importer.record import Concat, Pad, Slice

__all__ = ["HOST", "MOVING"]

#: What may stand at the end of a network, and is then left to the host.
HOST = ("LogSoftmax", "Sigmoid", "Softmax", "Tanh")


def identity(op: Op) -> None:
    op.accept()
    op.result(op.layout_view(0))


def dropout(op: Op) -> None:
    op.accept("seed")
    if op.given(2) and bool(np.any(op.constant(2, "a training_mode"))):
        op.refuse("must have its training_mode false")
    op.result(op.layout_view(0))


def cast(op: Op) -> None:
    op.accept("to", "saturate", "round_mode")
    if op.whole("to", 0) not in (1, 10, 11, 16):
        op.refuse_attribute("to", "a float type", op.attributes.get("to"))
    op.result(op.layout_view(0))


def at_end(op: Op) -> None:
    """Softmax and its like: the host's."""
    op.accept("axis")
    view = op.layout_view(0)
    op.lowering.notes.append(f"{op.node.op_type} of node {op.name} at the end is left to the host")
    op.result(replace(view, host=f"{op.node.op_type} of node {op.name}"))


def _axes(op: Op, axes: list[int], rank: int, what: str = "axes") -> list[int]:
    if any(not -rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) != len(axes):
        op.refuse(f"must have {what} from {-rank} to {rank - 1}, each once, not {axes}")
    return [axis % rank for axis in axes]


def flatten(op: Op) -> None:
    op.accept("axis")
    view = op.layout_view(0)
    axis = op.whole("axis", 1)
    if not -len(view.shape) <= axis <= len(view.shape):
        op.refuse_attribute("axis", f"from {-len(view.shape)} to {len(view.shape)}", axis)
    axis = axis % len(view.shape) if axis < 0 else axis
    before = int(np.prod(view.shape[:axis]))
    op.result(view.viewed(view.indices().reshape(before, -1)))


def reshape(op: Op) -> None:
    op.accept("allowzero")
    view = op.layout_view(0)
    shape = op.integers(1, "a shape")
    if not op.flag("allowzero"):
        shape = [view.shape[i] if side == 0 and i < len(view.shape) else side for i, side in enumerate(shape)]
    try:
        index = view.indices().reshape(shape)
    except ValueError:
        op.refuse(
            f"must have a shape for a batch of 1 that holds the {int(np.prod(view.shape))} elements of its input, "
            f"not {shape}"
        )
    op.result(view.viewed(index))


def squeeze(op: Op) -> None:
    op.accept()
    view = op.layout_view(0)
    rank = len(view.shape)
    axes = [axis for axis, side in enumerate(view.shape) if side == 1 and axis]
    if op.given(1):
        axes = _axes(op, op.integers(1, "axes"), rank)
    if any(view.shape[axis] != 1 for axis in axes):
        op.refuse(f"must have axes of one element, not {axes} of {list(view.shape)}")
    op.result(view.viewed(np.squeeze(view.indices(), tuple(axes))))


def unsqueeze(op: Op) -> None:
    op.accept()
    view = op.layout_view(0)
    axes = op.integers(1, "axes")
    if len(view.shape) + len(axes) > 16:
        op.refuse(f"must give at most 16 dimensions, not {len(view.shape) + len(axes)}")
    _axes(op, axes, len(view.shape) + len(axes))
    op.result(view.viewed(np.expand_dims(view.indices(), tuple(axes))))


def transpose(op: Op) -> None:
    view = op.layout_view(0)
    op.accept("perm")
    rank = len(view.shape)
    order = list(op.attributes.get("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)):
        op.refuse_attribute("perm", f"the axes 0 to {rank - 1} in some order", order)
    op.result(view.viewed(view.indices().transpose(order)))


def _map_axis(op: Op, views: list[View], axis: int) -> int:
    """Which of channels, height and width an axis of all views runs along; channels where it does along several, as
    that of features does."""
    if all(view.index is None for view in views):
        return axis - 1
    along: set[int] = set()
    for view in views:
        line = np.moveaxis(view.indices(), axis, 0).reshape(view.shape[axis], -1)[:, 0]
        places = np.unravel_index(line, op.lowering.shapes[view.tensor])
        along |= {i for i in range(3) if np.any(places[i] != places[i][0])}
    return along.pop() if len(along) == 1 else 0


def concat(op: Op) -> None:
    op.accept("axis")
    views = [op.view(index) for index in range(len(op.node.input))]
    rank = len(views[0].shape)
    (axis,) = _axes(op, [op.whole("axis", 1)], rank, "an axis")
    shapes = [op.lowering.shapes[view.tensor] for view in views]
    sides = {tuple(side for i, side in enumerate(view.shape) if i != axis) for view in views}
    if any(len(view.shape) != rank for view in views) or len(sides) != 1:
        op.refuse(f"must have inputs that differ along axis {axis} only")
    if axis == 0 or views[0].shape[0] != 1:
        op.refuse("must leave the batch as it is")
    along = _map_axis(op, views, axis)
    for shape in shapes:
        if any(shape[i] != shapes[0][i] for i in range(3) if i != along):
            op.refuse(
                f"must join maps that differ in their {CONCAT_AXES[along]} only, not {times(shapes[0])} and "
                f"{times(shape)}"
            )
    if len(views) == 1:
        return op.result(views[0])
    tensors = [view.tensor for view in views]
    orders = [op.lowering.order_of(view) if along else None for view in views]
    if rank == 4 and axis == along + 1 and all(order is not None for order in orders):
        # Channels that are in different orders could not be put right afterwards.
        tensors = [
            op.lowering.permuted(tensor, order) for tensor, order in zip(tensors, orders, strict=True)
            if order is not None
        ]  # fmt: skip
        return op.map_result(op.emit(Concat, tensors, axis=along))
    tensor = op.emit(Concat, tensors, axis=along)
    if axis == 1 and all(view.index is None for view in views):
        return op.map_result(tensor)
    shape = op.lowering.shapes[tensor]
    places = np.arange(int(np.prod(shape))).reshape(shape)
    parts = np.split(places, np.cumsum([each[along] for each in shapes])[:-1], along)
    index = np.concatenate(
        [part.reshape(-1)[view.indices()] for part, view in zip(parts, views, strict=True)], axis
    )
    return op.result(View(tensor, index.shape, index))


def pad(op: Op) -> None:
    op.accept("mode")
    op.text("mode", "constant", ("constant",))
    view = op.view(0)
    rank = len(view.shape)
    pads = op.integers(1, "pads")
    axes = _axes(op, op.integers(3, "axes"), rank) if op.given(3) else list(range(rank))
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0 or max(pads, default=0) > 1 << 16:
        op.refuse(f"must have {2 * len(axes)} pads from 0 to 65536, not {pads}")
    value = float(op.floats(2, "a value").reshape(-1)[0]) if op.given(2) else 0.0
    before, after = ([0] * max(rank, 4) for _ in range(2))
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    if before[0] or after[0] or rank not in (2, 4):
        op.refuse("must leave the batch as it is")
    source = op.lowering.map_of(view, op)
    tensor = op.emit(Pad, [source], before=tuple(before[1:4]), after=tuple(after[1:4]), value=value)
    op.like(view, tensor)


def _cut(op: Op, view: View, cuts: dict[int, tuple[int, int, int]], output: int = 0) -> None:
    """Emit a slice; cuts: axis → start, step, size."""
    if len(view.shape) not in (2, 4):
        op.refuse(f"must have an input of 2 or 4 dimensions, not {len(view.shape)}")
    source = op.lowering.map_of(view, op)
    shape = op.lowering.shapes[source]
    start, step, size = [0, 0, 0], [1, 1, 1], list(shape)
    for axis, (first, stride, count) in cuts.items():
        if axis == 0:
            if (first, count) != (0, 1):
                op.refuse("must leave the batch as it is")
            continue
        start[axis - 1], step[axis - 1], size[axis - 1] = first, stride, count
    tensor = source
    if tuple(size) != shape:
        tensor = op.lowering.add(
            Slice(
                name=op.name,
                inputs=(source,),
                output=op.lowering.fresh(op.node.output[output]),
                start=(start[0], start[1], start[2]),
                step=(step[0], step[1], step[2]),
                size=(size[0], size[1], size[2]),
            )
        )
    op.like(view, tensor, output)


def cut(op: Op) -> None:
    """Slice."""
    op.accept()
    view = op.view(0)
    rank = len(view.shape)
    starts, ends = op.integers(1, "starts"), op.integers(2, "ends")
    axes = _axes(op, op.integers(3, "axes"), rank) if op.given(3) else list(range(len(starts)))
    steps = op.integers(4, "steps") if op.given(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= rank:
        op.refuse("must have as many starts, ends, axes and steps as each other")
    if min(steps, default=1) < 1:
        op.refuse(f"must have steps of at least 1, not {steps}")
    cuts = {}
    for first, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen = range(view.shape[axis])[first:end:step]
        if not len(chosen):
            op.refuse(f"must keep at least one element along axis {axis}")
        cuts[axis] = (chosen.start, step, len(chosen))
    _cut(op, view, cuts)


def split(op: Op) -> None:
    op.accept("axis", "num_outputs")
    view = op.view(0)
    (axis,) = _axes(op, [op.whole("axis", 0)], len(view.shape), "an axis")
    total, count = view.shape[axis], len(op.node.output)
    part = -(-total // count)
    sizes = op.integers(1, "sizes") if op.given(1) else [part] * (count - 1) + [total - part * (count - 1)]
    if len(sizes) != count or sum(sizes) != total or min(sizes) < 1:
        op.refuse(f"must have sizes of at least 1 that add up to {total}, not {sizes}")
    start = 0
    for output, size in enumerate(sizes):
        if op.node.output[output]:
            _cut(op, view, {axis: (start, 1, size)}, output)
        start += size


MOVING: dict[str, Callable[[Op], None]] = {
    "Cast": cast, "Concat": concat, "Dropout": dropout, "Flatten": flatten, "Identity": identity, "Pad": pad,
    "Reshape": reshape, "Slice": cut, "Split": split, "Squeeze": squeeze, "Transpose": transpose,
    "Unsqueeze": unsqueeze, **dict.fromkeys(HOST, at_end),
}  # fmt: skip
