"""An integer graph as an ONNX graph of standard integer operators: somebody else's code computes the same logits.

Tensors of 4 and 8 bits are uint8, those of 16 are int32. `ConvInteger` multiplies bytes: numbers and weights of 16 bits
are cut into a high and a low byte, whose sums are shifted and added in int64, as are bias, residuals and scaling.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import ohmweave
from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph import (
    RAW_BITS,
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
from ohmweave.sim.graph_base import Pads
from ohmweave.sim.npz import atomic_path

__all__ = ["export_onnx", "onnx_model"]

OPSET = 21
IR_VERSION = 10
# Most that the 32-bit sums of one ConvInteger may come to.
ACCUMULATOR = (1 << 31) - 1


def export_onnx(graph: Graph, path: Path) -> None:
    """Write `onnx_model(graph)`; the file appears whole or not at all."""
    data = onnx_model(graph).SerializeToString(deterministic=True)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(data)


def onnx_model(graph: Graph) -> onnx.ModelProto:
    """Input `images` (N, C, H, W), uint8, raw pixels; output `logits` (N, classes) or (N, C, H, W); nothing floats.

    Each tensor is a value called `<name>_out`.
    """
    export = _Export(graph)
    for node in graph.nodes:
        export.add(node)
    value = export.value[graph.output.name]
    if graph.logits_dtype is np.int32:
        value = export.cast(value, np.int32)
    shape = export.constant(np.array([0, *graph.logits_shape], np.int64))
    export.node("Reshape", [value, shape], "logits")
    kind = TensorProto.INT32 if graph.logits_dtype is np.int32 else TensorProto.INT64
    model = helper.make_model(
        helper.make_graph(
            export.nodes,
            graph.name,
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *graph.input.shape])],
            [helper.make_tensor_value_info("logits", kind, ["N", *graph.logits_shape])],
            export.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ohmweave",
        producer_version=ohmweave.__version__,
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except ValueError as error:  # a model beyond protobuf's 2 GB
        raise OhmweaveError(f"the graph {graph.name} is too large for one ONNX file: {error}") from None
    return model


class _Export:
    """Nodes and constants under construction; `value` is the ONNX value of each tensor."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[Any, ...], str] = {}
        self.value = {graph.input.name: "images"}
        if graph.input.bits < 8:
            amount = self.constant(np.array(8 - graph.input.bits, np.uint8))
            shifted = self.node("BitShift", ["images", amount], f"{graph.input.name}_out", direction="RIGHT")
            self.value = {graph.input.name: shifted}

    def constant(self, value: np.ndarray) -> str:
        """Name of an initializer, one for equal values."""
        value = np.ascontiguousarray(value).reshape(value.shape)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = f"constant{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(value, self._known[key]))
        return self._known[key]

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{output}_node", **attributes))
        return output

    def add(self, node: Node) -> None:
        """The ONNX nodes of one node."""
        tensors = [self.graph.tensors[name] for name in node.inputs]
        values = [self.value[name] for name in node.inputs]
        result = self.graph.tensors[node.name]
        if isinstance(node, Scaled):
            v = {Conv: self.conv, SumPool: self.sum_pool, Add: self.sum}[type(node)](node, tensors, values)
            value = self.scaled(node, v)
        elif isinstance(node, MaxPool):
            value = self.max_pool(node, tensors[0], values[0])
        elif isinstance(node, Concat):
            value = self.node("Concat", values, f"{node.name}_out", axis=1 + node.side)
        elif isinstance(node, Select):
            value = self.select(node, tensors[0], values[0])
        else:
            assert isinstance(node, Flatten)
            shape = self.constant(np.array([0, *result.shape], np.int64))
            value = self.node("Reshape", [values[0], shape], f"{node.name}_out")
        self.value[node.name] = value

    def cast(self, value: str, dtype: type[np.integer], name: str | None = None) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [value], f"{value}_{np.dtype(dtype)}" if name is None else name, to=kind)

    def column(self, values: np.ndarray) -> str:
        """Constant with one entry for each channel."""
        return self.constant(values.astype(np.int64).reshape(-1, 1, 1))

    def round_shift(self, value: str, mult: np.ndarray, shift: np.ndarray, name: str, most: int) -> str:
        """round_shift(value·mult, shift) by channel, where that is from 0 to `most`.

        It is more than `most` where the true one is, and less than 1 where the true one is below 0: Div rounds
        towards zero and the shift rounds down. What is shifted to the left is cut before, so that it does not
        overflow.
        """
        wide = shift.astype(np.int64)
        one = np.int64(1)
        value = self.node("Mul", [value, self.column(mult)], f"{name}/product")
        if (wide > 0).any():
            half = np.where(wide > 0, one << np.maximum(wide - 1, 0), 0)
            value = self.node("Add", [value, self.column(half)], f"{name}/rounded")
            value = self.node("Div", [value, self.column(one << np.maximum(wide, 0))], f"{name}/scaled")
        if (wide < 0).any():
            left = wide < 0
            low, high = (
                self.column(np.where(left, each, limit))
                for each, limit in ((-1, np.iinfo(np.int64).min), (most + 1, np.iinfo(np.int64).max))
            )
            value = self.clipped(value, low, high, f"{name}/cut")
            value = self.node("Mul", [value, self.column(one << np.maximum(-wide, 0))], f"{name}/shifted")
        return value

    def clipped(self, value: str, low: str, high: str, name: str) -> str:
        """int64 values between limits. Max, Min and Clip would do, but for ONNX Runtime's of int64, which take numbers
        from 2^31 to 2^32 - 1 for negative ones in its builds up to 1.31 at least."""
        below = self.node("Less", [value, low], f"{name}/below")
        value = self.node("Where", [below, low, value], f"{name}/raised")
        above = self.node("Greater", [value, high], f"{name}/above")
        return self.node("Where", [above, high, value], name)

    def scaled(self, node: Scaled, v: str) -> str:
        """The output of a node whose sums, int64 and without bias, are `v`."""
        output = f"{node.name}_out"
        bias = self.column(node.bias)
        if node.raw:
            return self.node("Add", [v, bias], output)
        v = self.node("Add", [v, bias], f"{node.name}/sum")
        q = self.round_shift(v, node.mult, node.shift, f"{node.name}/q", node.high)
        low, high = (self.constant(np.array(each, np.int64)) for each in (node.low, node.high))
        q = self.clipped(q, low, high, f"{node.name}/clipped")
        return self.cast(q, _TYPES[node.bits], output)

    def sum(self, node: Scaled, tensors: list[Tensor], values: list[str]) -> str:
        assert isinstance(node, Add)
        terms = [
            self.term(value, mult, shift, f"{node.name}/term{index}")
            for index, (value, mult, shift) in enumerate(
                zip(values, node.in_mult, node.in_shift, strict=True)
            )
        ]
        return terms[0] if len(terms) == 1 else self.node("Add", terms, f"{node.name}/terms")

    def term(self, value: str, mult: np.ndarray, shift: np.ndarray, name: str) -> str:
        # The product has at most 32 bits, and none is negative: nothing is cut.
        return self.round_shift(self.cast(value, np.int64, f"{name}/wide"), mult, shift, name, 1 << 32)

    def conv(self, node: Scaled, tensors: list[Tensor], values: list[str]) -> str:
        assert isinstance(node, Conv)
        tensor, value, weights = tensors[0], values[0], node.window_weights
        fill = self.graph.zero_points(node.input)
        if node.spread != (1, 1):
            value = self.spread(value, tensor, node.spread, fill, node.name)
        # Weights as unsigned bytes with a zero point: ONNX Runtime's products of unsigned bytes are exact on every
        # processor, while those of an unsigned and a signed one saturate at 16 bits on some.
        if node.weight_bits == 16:
            slices = [((weights >> 8) + 128, 128, 8), (weights & 255, 0, 0)]
        else:
            offset = 1 << (node.weight_bits - 1)
            slices = [(weights + offset, offset, 0)]
        options = {
            "strides": list(node.window_stride),
            "dilations": list(node.dilation),
            "group": node.groups,
        }
        v = self.products(node.name, value, tensor, node.window_pads, fill, slices, options)
        if node.residual is None:
            return v
        residual = self.term(values[1], node.in_mult, node.in_shift, f"{node.name}/residual")
        return self.node("Add", [v, residual], f"{node.name}/with_residual")

    def sum_pool(self, node: Scaled, tensors: list[Tensor], values: list[str]) -> str:
        assert isinstance(node, SumPool)
        (tensor,), (value,) = tensors, values
        if node.kernel == tensor.shape[1:] and not any(node.pads):
            axes = self.constant(np.array([2, 3], np.int64))
            wide = self.cast(value, np.int64, f"{node.name}/wide")
            return self.node("ReduceSum", [wide, axes], f"{node.name}/v", keepdims=1)
        slices = [(np.ones((tensor.shape[0], 1, *node.kernel), np.int16), 0, 0)]
        options = {"strides": list(node.stride), "group": tensor.shape[0]}
        fill = self.graph.zero_points(node.input)
        return self.products(node.name, value, tensor, node.pads, fill, slices, options)

    def products(
        self,
        name: str,
        value: str,
        tensor: Tensor,
        pads: Pads,
        fill: np.ndarray,
        slices: list[tuple[np.ndarray, int, int]],
        options: dict[str, Any],
    ) -> str:
        """Σ x·w of all windows, int64: a sum of convolutions of bytes, each shifted into its place.

        slices  (bytes, their zero point, shift) that make up the weights
        """
        if any(pads) and fill.any():
            border = [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]]
            value, pads = self.padded(value, tensor, border, fill, f"{name}/padded"), (0, 0, 0, 0)
        planes = [(value, 0)]
        if tensor.bits == 16:
            byte = self.constant(np.array(256, np.int32))
            high, low = (
                self.node("Div", [value, byte], f"{name}/high"),
                self.node("Mod", [value, byte], f"{name}/low"),
            )
            planes = [(self.cast(high, np.uint8), 8), (self.cast(low, np.uint8), 0)]
        terms: list[str] = []
        zero = self.constant(np.array(0, np.uint8))
        for plane, plane_shift in planes:
            for levels, zero_point, slice_shift in slices:
                for inputs in _parts(name, levels, options["group"]):
                    part, label = plane, f"{name}/term{len(terms)}"
                    if inputs != slice(0, levels.shape[1]):
                        part = self.cut(plane, 1, inputs.start, inputs.stop, 1, f"{label}/part")
                    weights = self.constant(levels[:, inputs].astype(np.uint8))
                    operands = [part, weights, zero, self.constant(np.array(zero_point, np.uint8))]
                    term = self.node("ConvInteger", operands, f"{label}/sum", pads=list(pads), **options)
                    term = self.cast(term, np.int64)
                    if plane_shift + slice_shift:
                        place = self.constant(np.array(1 << (plane_shift + slice_shift), np.int64))
                        term = self.node("Mul", [term, place], f"{label}/placed")
                    terms.append(term)
        total = terms[0]
        for index, term in enumerate(terms[1:]):
            total = self.node("Add", [total, term], f"{name}/total{index}")
        return total

    def cut(self, value: str, axis: int, start: int, stop: int, step: int, name: str) -> str:
        amounts = [self.constant(np.array([each], np.int64)) for each in (start, stop, axis, step)]
        return self.node("Slice", [value, *amounts], name)

    def padded(self, value: str, tensor: Tensor, amounts: list[int], fill: np.ndarray, name: str) -> str:
        """A border of `fill`, by channel; axis 1 has the channels of `tensor`."""
        pads = self.constant(np.array(amounts, np.int64))
        numbers = [self.constant(np.array(each, _TYPES[tensor.bits])) for each in fill]
        if len(set(numbers)) == 1:
            return self.node("Pad", [value, pads, numbers[0]], name)
        parts = []
        for channel, number in enumerate(numbers):
            part = self.cut(value, 1, channel, channel + 1, 1, f"{name}/cut{channel}")
            parts.append(self.node("Pad", [part, pads, number], f"{name}/channel{channel}"))
        return self.node("Concat", parts, name, axis=1)

    def spread(self, value: str, tensor: Tensor, spread: tuple[int, int], fill: np.ndarray, name: str) -> str:
        """Pixels `spread` apart: each padded to a block of its own, and the last blocks cut to their pixels."""
        channels, height, width = tensor.shape
        shapes = ([0, channels, height, 1, width, 1], [0, channels, height * spread[0], width * spread[1]])
        pixels, blocks = (self.constant(np.array(shape, np.int64)) for shape in shapes)
        value = self.node("Reshape", [value, pixels], f"{name}/pixels")
        amounts = [0] * 9 + [spread[0] - 1, 0, spread[1] - 1]
        value = self.padded(value, tensor, amounts, fill, f"{name}/blocks")
        value = self.node("Reshape", [value, blocks], f"{name}/blocks_map")
        value = self.cut(value, 2, 0, (height - 1) * spread[0] + 1, 1, f"{name}/rows")
        return self.cut(value, 3, 0, (width - 1) * spread[1] + 1, 1, f"{name}/spread")

    def max_pool(self, node: MaxPool, tensor: Tensor, value: str) -> str:
        output = f"{node.name}_out"
        if tensor.bits < 16:
            options = {
                "kernel_shape": list(node.kernel),
                "strides": list(node.stride),
                "pads": list(node.pads),
            }
            return self.node("MaxPool", [value], output, **options)
        # MaxPool takes bytes only: the maximum of maps moved against each other, in y and then in x.
        if any(node.pads):
            top, left, bottom, right = node.pads
            zeros = np.zeros(tensor.shape[0], np.int64)
            value = self.padded(
                value, tensor, [0, 0, top, left, 0, 0, bottom, right], zeros, f"{node.name}/padded"
            )
        for side, axis in enumerate("yx"):
            size = tensor.shape[1 + side] + node.pads[side] + node.pads[2 + side]
            kernel, stride = node.kernel[side], node.stride[side]
            span = (size - kernel) // stride * stride + 1
            parts = [
                self.cut(value, 2 + side, first, first + span, stride, f"{node.name}/{axis}{first}")
                for first in range(kernel)
            ]
            value = self.node("Max", parts, f"{node.name}/{axis}" if axis == "y" else output)
        return value

    def select(self, node: Select, tensor: Tensor, value: str) -> str:
        name, zero = node.name, np.full(1, tensor.zero_point)
        for side, axis in enumerate("yx"):
            start, size, step = node.start[side], node.size[side], node.step[side]
            if (start, size, step) != (0, tensor.shape[1 + side], 1):
                value = self.cut(
                    value, 2 + side, start, start + (size - 1) * step + 1, step, f"{name}/{axis}"
                )
        chosen = node.channels
        if (chosen < 0).any():  # taken from one more channel behind the others
            value = self.padded(value, tensor, [0, 0, 0, 0, 0, 1, 0, 0], zero, f"{name}/one_more")
            chosen = np.where(chosen < 0, tensor.shape[0], chosen)
        value = self.node(
            "Gather", [value, self.constant(chosen.astype(np.int64))], f"{name}/channels", axis=1
        )
        if any(node.pads):
            top, left, bottom, right = node.pads
            value = self.padded(value, tensor, [0, 0, top, left, 0, 0, bottom, right], zero, f"{name}/border")
        return self.node("Identity", [value], f"{name}_out")


#: Type of a tensor's numbers by its bits.
_TYPES: dict[int, type[np.integer]] = {4: np.uint8, 8: np.uint8, 16: np.int32, RAW_BITS: np.int64}


def _parts(name: str, levels: np.ndarray, groups: int) -> list[slice]:
    """Ranges of the input channels, each few enough for sums of 32 bits whatever the bytes."""
    inputs, kernel = levels.shape[1], levels.shape[2] * levels.shape[3]
    step = ACCUMULATOR // (255 * (1 if (levels == 1).all() else 255)) // kernel
    if step >= inputs:
        return [slice(0, inputs)]
    if step < 1 or groups > 1:
        raise OhmweaveError(
            f"node {name}: windows of {inputs * kernel} numbers in a group are too large for ConvInteger"
        )
    return [slice(first, min(first + step, inputs)) for first in range(0, inputs, step)]
