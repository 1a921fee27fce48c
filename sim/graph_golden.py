"""Golden model of integer graphs: the integers in NumPy, with no notion of time or of the hardware's structure.

Sums of products go through BLAS in floating point, and so does scaling, wherever every intermediate result is a whole
number (or one times a power of two) that the mantissa holds: then no order of additions rounds anything. The bounds
come from the weights of each node. What does not fit is computed in int64. A graph's sums have at most 48 bits, so
that double precision always holds those of products.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ohmweave.errors import OhmweaveError
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

__all__ = ["activations", "classify", "compute", "logits"]

# Elements of the largest map of a batch of images, and entries of an im2col matrix: what fits caches, roughly.
BATCH_ELEMENTS = 1 << 22
CHUNK_ENTRIES = 1 << 19

# Sums of products below this are exact in float32; in float64 all are.
SINGLE = 1 << 24
# Products of scaling below this are exact in float64, with as much again added for rounding.
SCALED = 1 << 51
# What a sum scaled to the left is cut to before: far beyond every clip, and still of 64 bits after the shift.
FAR = 1 << 40


def logits(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Logits (N, *graph.logits_shape) of `graph.logits_dtype`, of images (N, H, W) or (N, H, W, C), uint8."""
    name = graph.output.name
    scores = activations(graph, images, [name])[name]
    return scores.reshape(len(scores), *graph.logits_shape).astype(graph.logits_dtype)


def activations(
    graph: Graph, images: np.ndarray, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Tensors by name, (N, C, H, W): uint8 up to 8 bits, uint16 of 16, int64 of the raw one; all if `names` is None."""
    images = _checked(graph, images)
    wanted = list(graph.tensors if names is None else names)
    for name in wanted:
        if name not in graph.tensors:
            raise OhmweaveError(f"the graph {graph.name} has no tensor {name}")
    result = {
        name: np.empty((len(images), *graph.tensors[name].shape), _dtype(graph.tensors[name]))
        for name in wanted
    }
    step = max(1, BATCH_ELEMENTS // max(tensor.size for tensor in graph.tensors.values()))
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        for name, values in _run(graph, images[part]):
            if name in result:
                result[name][part] = values.transpose(0, 3, 1, 2)
    return result


def classify(scores: np.ndarray) -> np.ndarray:
    """Labels of logits (N, classes): the class with the largest, the first of equal ones."""
    return np.argmax(scores, axis=1)


def _checked(graph: Graph, images: np.ndarray) -> np.ndarray:
    """The images as (N, H, W, C), or a refusal."""
    channels, height, width = graph.input.shape
    shapes = [f"(N, {height}, {width}, {channels})"] + [f"(N, {height}, {width})"] * (channels == 1)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise OhmweaveError(f"images must be an array of uint8, not {kind}")
    if channels == 1 and images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[1:] != (height, width, channels):
        raise OhmweaveError(f"images must have the shape {' or '.join(shapes)}, not {images.shape}")
    return images


def _run(graph: Graph, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values (N, H, W, C) of one tensor after the other; those that nothing reads any more are forgotten."""
    last_reader = {name: node.name for node in graph.nodes for name in node.inputs}
    values = {graph.input.name: images >> (8 - graph.input.bits)}
    yield graph.input.name, values[graph.input.name]
    for node in graph.nodes:
        tensors = [graph.tensors[name] for name in node.inputs]
        fill = graph.zero_points(node.inputs[0])
        values[node.name] = compute(node, tensors, [values[name] for name in node.inputs], fill)
        yield node.name, values[node.name]
        for name in set(node.inputs):
            if last_reader[name] == node.name:
                del values[name]


def compute(
    node: Node, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    """What one node makes of `values` (N, H, W, C) of its input `tensors`.

    fill  what each channel of the first input is padded with
    """
    return _COMPUTE[type(node)](node, tensors, values, fill)


def _dtype(tensor: Tensor) -> type[np.integer]:
    return np.int64 if tensor.raw else np.uint8 if tensor.bits <= 8 else np.uint16


def _bordered(
    x: np.ndarray,
    pads: tuple[int, int, int, int],
    spread: tuple[int, int],
    fill: np.ndarray | int,
    dtype: type[np.number],
) -> np.ndarray:
    """x (N, H, W, C) as `dtype` with pixels `spread` apart and a border of `fill`."""
    if not any(pads) and spread == (1, 1):
        return x.astype(dtype, copy=False)
    top, left, bottom, right = pads
    count, height, width, channels = x.shape
    height, width = (height - 1) * spread[0] + 1, (width - 1) * spread[1] + 1
    wide = np.empty((count, top + height + bottom, left + width + right, channels), dtype)
    wide[:] = fill
    wide[:, top : top + height : spread[0], left : left + width : spread[1]] = x
    return wide


def _conv(
    node: Conv, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    out = node.result(tensors)
    products = int(np.abs(node.weights.astype(np.int64)).reshape(node.channels, -1).sum(1).max())
    dtype = np.float32 if products * tensors[0].top < SINGLE else np.float64
    x = _bordered(values[0], node.window_pads, node.spread, fill, dtype)
    # Rows in the order in which a window's numbers lie in memory: y, x, channel.
    weights = np.ascontiguousarray(node.window_weights.transpose(2, 3, 1, 0), dtype)
    scale = _scaler(node, tensors)
    residual = None
    if node.residual is not None:
        residual = _round_shift_factors(node.in_mult, node.in_shift)
    result = np.empty((len(x), *out.shape[1:], out.shape[0]), _dtype(out))
    for images, rows in _chunks(len(x), out.shape[1], out.shape[2] * node.rows * node.groups):
        first, last = rows.start * node.window_stride[0], (rows.stop - 1) * node.window_stride[0]
        v = _sums(node, x[images, first : last + node.extent[0]], weights)
        if residual is not None:
            v = v + _scaled_input(values[1][images, rows], residual)
        result[images, rows] = scale(v)
    return result


def _chunks(count: int, height: int, row_entries: int) -> Iterator[tuple[slice, slice]]:
    """Images and rows of the output whose windows, together, are an im2col matrix of bounded size."""
    if row_entries * height > CHUNK_ENTRIES:
        step = max(1, CHUNK_ENTRIES // row_entries)
        for image in range(count):
            for row in range(0, height, step):
                yield slice(image, image + 1), slice(row, min(row + step, height))
        return
    step = CHUNK_ENTRIES // (row_entries * height)
    for image in range(0, count, step):
        yield slice(image, min(image + step, count)), slice(0, height)


def _sums(node: Conv, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ x·w of every window of x (N, H, W, C), in x's type; weights (kernel height, width, in/groups, out)."""
    kernel_y, kernel_x, inputs, outputs = weights.shape
    windows = sliding_window_view(x, node.extent, axis=(1, 2))
    windows = windows[:, :: node.window_stride[0], :: node.window_stride[1]]
    # (N, H, W, kernel height, kernel width, C)
    windows = windows[..., :: node.dilation[0], :: node.dilation[1]].transpose(0, 1, 2, 4, 5, 3)
    shape = windows.shape[:3]
    if node.groups == 1:
        # The im2col matrix, a copy unless the kernel is one place.
        return (windows.reshape(-1, node.rows) @ weights.reshape(-1, outputs)).reshape(*shape, outputs)
    each = outputs // node.groups
    if inputs == 1:  # depthwise: a product of maps for each place of the kernel
        total = np.zeros((*shape, outputs), x.dtype)
        for y in range(kernel_y):
            for z in range(kernel_x):
                part = windows[..., y, z, :]
                total += (np.repeat(part, each, axis=-1) if each > 1 else part) * weights[y, z, 0]
        return total
    total = np.empty((*shape, outputs), x.dtype)
    for group in range(node.groups):
        part = windows[..., group * inputs : (group + 1) * inputs].reshape(-1, node.rows)
        columns = slice(group * each, (group + 1) * each)
        total[..., columns] = (part @ weights[..., columns].reshape(-1, each)).reshape(*shape, each)
    return total


Factors = tuple[np.ndarray, np.ndarray]


def _round_shift_factors(mult: np.ndarray, shift: np.ndarray) -> Factors:
    """a, b with round_shift(x·mult, shift) = floor(x·a + b) by channel, exact in float64 for x of at most 16 bits."""
    wide = shift.astype(np.int64)
    return np.ldexp(mult.astype(np.float64), -wide), np.where(wide > 0, 0.5, 0.0)


def _scaled_input(x: np.ndarray, factors: Factors) -> np.ndarray:
    return np.floor(x * factors[0] + factors[1])


def _scaler(node: Scaled, tensors: Sequence[Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """What makes the output of sums without their bias: whole numbers in any type that holds them."""
    bias = node.bias
    if node.raw:
        return lambda v: v.astype(np.int64) + bias
    dtype = np.uint8 if node.bits <= 8 else np.uint16
    low, high = node.low, node.high
    mult, shift = node.mult.astype(np.int64), node.shift.astype(np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    if (node.sum_bound(tensors).astype(np.float64) * mult).max() < SCALED:
        a, b = (
            np.ldexp(mult.astype(np.float64), -shift),
            np.ldexp((bias * mult + half).astype(np.float64), -shift),
        )

        def by_floats(v: np.ndarray) -> np.ndarray:
            q = v * a
            q += b
            np.floor(q, out=q)
            return np.clip(q, low, high, out=q).astype(dtype)

        return by_floats
    right, left = np.maximum(shift, 0), np.maximum(-shift, 0)

    def by_integers(v: np.ndarray) -> np.ndarray:
        q = ((v.astype(np.int64) + bias) * mult + half) >> right
        return np.clip(np.clip(q, -FAR, FAR) << left, low, high).astype(dtype)

    return by_integers


def _add(node: Add, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray) -> np.ndarray:
    v: np.ndarray | float = 0.0
    for x, mult, shift in zip(values, node.in_mult, node.in_shift, strict=True):
        v = v + _scaled_input(x, _round_shift_factors(mult, shift))
    return _scaler(node, tensors)(np.asarray(v))


def _pool(
    node: SumPool | MaxPool, x: np.ndarray, fill: np.ndarray | int, dtype: type[np.number], operator: np.ufunc
) -> np.ndarray:
    """Windows reduced by an operator: first down the columns, then along the rows."""
    x = _bordered(x, node.pads, (1, 1), fill, dtype)
    for axis in (1, 2):
        kernel, stride = node.kernel[axis - 1], node.stride[axis - 1]
        count = (x.shape[axis] - kernel) // stride + 1
        parts = [
            x[(slice(None),) * axis + (slice(first, first + (count - 1) * stride + 1, stride),)]
            for first in range(kernel)
        ]
        total = parts[0].copy()
        for part in parts[1:]:
            operator(total, part, out=total)
        x = total
    return x


def _sum_pool(
    node: SumPool, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    return _scaler(node, tensors)(_pool(node, values[0], fill, np.int64, np.add))


def _max_pool(
    node: MaxPool, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    # Every window has a number of the map, and none is less than 0.
    return _pool(node, values[0], 0, values[0].dtype.type, np.maximum)


def _concat(
    node: Concat, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    return np.concatenate(values, axis=(3, 1, 2)[node.side])


def _select(
    node: Select, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    (x,), zero = values, tensors[0].zero_point
    rows, columns = (
        slice(start, start + (size - 1) * step + 1, step)
        for start, size, step in zip(node.start, node.size, node.step, strict=True)
    )
    chosen = x[:, rows, columns][..., node.channels]  # -1 takes the last channel, replaced at once
    chosen[..., node.channels < 0] = zero
    return _bordered(chosen, node.pads, (1, 1), zero, x.dtype.type)


def _flatten(
    node: Flatten, tensors: Sequence[Tensor], values: Sequence[np.ndarray], fill: np.ndarray
) -> np.ndarray:
    return values[0].transpose(0, 3, 1, 2).reshape(len(values[0]), 1, 1, -1)


_COMPUTE: Mapping[type[Node], Callable[..., np.ndarray]] = {
    Conv: _conv,
    Add: _add,
    SumPool: _sum_pool,
    MaxPool: _max_pool,
    Concat: _concat,
    Select: _select,
    Flatten: _flatten,
}
