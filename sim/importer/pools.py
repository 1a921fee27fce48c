"""Handlers of pools and of means over space."""

from collections.abc import Callable
from math import prod

import numpy as np

from ohmweave.sim.importer.lower import Op, View
from ohmweave.sim.importer.record import AveragePool, MaxPool, Pad
from ohmweave.sim.importer.window import PADDINGS, Pads, Pair, window

__all__ = ["POOLS"]


def _pool(op: Op) -> tuple[str, Pair, Pair, Pads, Pads]:
    """Input, kernel, strides, the file's pads, and what the ceiling added to them."""
    source = op.map(0)
    kernel: Pair = op.wholes("kernel_shape", (), 1, count=2)  # type: ignore[assignment]
    size: Pair = op.lowering.shapes[source][1:]
    strides, pads, dilations = window(op, size, kernel)
    if dilations != (1, 1):
        op.refuse_attribute("dilations", "1 in each direction", list(dilations))
    if any(pads[i] >= kernel[i % 2] for i in range(4)):
        op.refuse_attribute("pads", f"less than the kernel {list(kernel)}", list(pads))
    more = [0, 0, 0, 0]
    if op.flag("ceil_mode") and op.text("auto_pad", "NOTSET", PADDINGS) == "NOTSET":
        for i in (0, 1):
            padded = size[i] + pads[i] + pads[2 + i]
            outputs = -(-(padded - kernel[i]) // strides[i]) + 1
            if (outputs - 1) * strides[i] >= size[i] + pads[i]:
                outputs -= 1  # the last window would start beyond the map
            more[2 + i] = max(0, (outputs - 1) * strides[i] + kernel[i] - padded)
    return source, kernel, strides, pads, tuple(more)  # type: ignore[return-value]


def max_pool(op: Op) -> None:
    op.accept("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")
    op.single_output()
    source, kernel, stride, pads, more = _pool(op)
    op.map_result(op.emit(MaxPool, [source], kernel=kernel, stride=stride, pads=_sum(pads, more)))


def _sum(pads: Pads, more: Pads) -> Pads:
    return tuple(one + other for one, other in zip(pads, more, strict=True))  # type: ignore[return-value]


def average_pool(op: Op) -> None:
    op.accept("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
    source, kernel, stride, pads, more = _pool(op)
    include = op.flag("count_include_pad")
    if include and any(more):
        # The file's border counts, and what the ceiling adds does not.
        if any(pads):
            source = op.emit(Pad, [source], before=(0, *pads[:2]), after=(0, *pads[2:]))
        pads, include = (0, 0, 0, 0), False
    pads = _sum(pads, more)
    op.map_result(
        op.emit(
            AveragePool,
            [source],
            kernel=kernel,
            stride=stride,
            pads=pads,
            include_pad=include or not any(pads),
        )
    )


def _global_pool(op: Op, kind: type[MaxPool] | type[AveragePool]) -> None:
    op.accept()
    source = op.map(0)
    size = op.lowering.shapes[source][1:]
    more = {"include_pad": True} if kind is AveragePool else {}
    op.map_result(op.emit(kind, [source], kernel=size, stride=(1, 1), **more))


def global_average_pool(op: Op) -> None:
    _global_pool(op, AveragePool)


def global_max_pool(op: Op) -> None:
    _global_pool(op, MaxPool)


def reduce_mean(op: Op) -> None:
    op.accept("axes", "keepdims", "noop_with_empty_axes")
    op.flag("noop_with_empty_axes", only=0)
    keep = op.flag("keepdims", default=1)
    view = op.view(0)
    axes = op.attributes.get("axes")
    if op.given(1):
        axes = op.integers(1, "axes")
    rank = len(view.shape)
    axes = axes or list(range(rank))
    if any(not -rank <= axis < rank for axis in axes):
        op.refuse(f"must have axes from {-rank} to {rank - 1}, not {axes}")
    axes = sorted({axis % rank for axis in axes})
    channels, height, width = op.lowering.shapes[view.tensor]
    # What is averaged into one element has to be all pixels of one channel.
    kept = [axis for axis in range(rank) if axis not in axes]
    rows = view.indices().transpose(kept + axes).reshape(-1, max(1, prod(view.shape[axis] for axis in axes)))
    rows = np.sort(rows, axis=1)
    pixels = height * width
    order = rows[:, 0] // pixels
    if rows.shape != (channels, pixels) or not np.array_equal(
        rows, order[:, None] * pixels + np.arange(pixels)
    ):
        op.refuse(f"must have axes that are the two spatial ones, not {axes}")
    tensor = op.emit(AveragePool, [view.tensor], kernel=(height, width), stride=(1, 1), include_pad=True)
    shape = [1 if axis in axes else side for axis, side in enumerate(view.shape)]
    shape = shape if keep else [view.shape[axis] for axis in kept]
    op.result(View(tensor, tuple(shape), order.reshape(shape)))


POOLS: dict[str, Callable[[Op], None]] = {
    "AveragePool": average_pool, "GlobalAveragePool": global_average_pool, "GlobalMaxPool": global_max_pool,
    "MaxPool": max_pool, "ReduceMean": reduce_mean,
}  # fmt: skip
