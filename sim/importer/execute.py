"""A float network run by ONNX Runtime, tensor by tensor: the reference that quantisation measures against."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.record import (
    Add,
    AveragePool,
    ChannelAffine,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    FloatGraph,
    FloatNode,
    MaxPool,
    Pad,
    Permute,
    Quantised,
    Slice,
)

__all__ = ["GraphBuilder", "emit", "float_model", "run_float"]

OPSET = 17
IR_VERSION = 8
#: Most bytes of the tensors of one batch, and most images in it.
BATCH_BYTES = 128 << 20
BATCH_IMAGES = 32


class GraphBuilder:
    """ONNX nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def float_model(graph: FloatGraph, outputs: Sequence[str] = ()) -> onnx.ModelProto:
    """The network as ONNX with a free batch; `outputs` are given besides the network's own."""
    builder = GraphBuilder()
    for node in graph.nodes:
        emit(builder, node, graph)
    wanted = list(dict.fromkeys([*outputs, graph.output]))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *graph.shapes[name]])
        for name in [graph.input, *wanted]
    ]
    made = helper.make_graph(builder.nodes, "float", values[:1], values[1:], builder.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def emit(builder: GraphBuilder, node: FloatNode, graph: FloatGraph) -> None:
    """Append the ONNX nodes of a float node."""
    out, first = node.output, node.inputs[0]

    def constant(key: str, value: Any, dtype: Any = np.float32) -> str:
        return builder.constant(f"{out}/{key}", np.asarray(value, dtype))

    if isinstance(node, Conv | ConvTranspose):
        inputs = [first, constant("weights", node.weights), constant("bias", node.bias)]
        more = {"output_padding": list(node.extra)} if isinstance(node, ConvTranspose) else {}
        builder.node(
            type(node).__name__, inputs, out, strides=list(node.stride), pads=list(node.pads),
            dilations=list(node.dilation), group=node.groups, **more,
        )  # fmt: skip
    elif isinstance(node, ChannelAffine):
        scaled = builder.node(
            "Mul", [first, constant("scale", node.scale.reshape(-1, 1, 1))], f"{out}/scaled"
        )
        builder.node("Add", [scaled, constant("shift", node.shift.reshape(-1, 1, 1))], out)
    elif isinstance(node, Clip):
        limits = [
            constant(key, value) if np.isfinite(value) else ""
            for key, value in (("low", node.low), ("high", node.high))
        ]
        builder.node("Clip", [first, *limits], out)
    elif isinstance(node, MaxPool | AveragePool):
        flag = {} if isinstance(node, MaxPool) else {"count_include_pad": int(node.include_pad)}
        builder.node(
            type(node).__name__, [first], out, kernel_shape=list(node.kernel), strides=list(node.stride),
            pads=list(node.pads), **flag,
        )  # fmt: skip
    elif isinstance(node, Add):
        builder.node("Add", list(node.inputs), out)
    elif isinstance(node, Concat):
        builder.node("Concat", list(node.inputs), out, axis=1 + node.axis)
    elif isinstance(node, Permute):
        builder.node("Gather", [first, constant("order", node.order, np.int64)], out, axis=1)
    elif isinstance(node, Pad):
        pads = constant("pads", [0, *node.before, 0, *node.after], np.int64)
        builder.node("Pad", [first, pads, constant("value", node.value)], out)
    elif isinstance(node, Slice):
        shape = graph.shapes[first]
        ends = [min(shape[i], node.start[i] + node.step[i] * (node.size[i] - 1) + 1) for i in range(3)]
        ranges = [
            constant(key, value, np.int64)
            for key, value in (("start", node.start), ("end", ends), ("axes", [1, 2, 3]), ("step", node.step))
        ]
        builder.node("Slice", [first, *ranges], out)
    elif isinstance(node, Quantised):
        # By plain arithmetic: every bit width, and no half-integer type.
        steps = builder.node("Div", [first, constant("scale", node.scale)], f"{out}/steps")
        whole = builder.node("Round", [steps], f"{out}/whole")
        limits = [constant("low", node.low - node.zero), constant("high", node.high - node.zero)]
        clipped = builder.node("Clip", [whole, *limits], f"{out}/clipped")
        builder.node("Mul", [clipped, f"{out}/scale"], out)
    else:
        raise TypeError(f"no ONNX for {type(node).__name__}")


def run_float(
    graph: FloatGraph, images: Iterator[np.ndarray] | np.ndarray, outputs: Sequence[str], *, threads: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Tensors of each batch, by name, float32 (n, C, H, W).

    images   float32 (N, C, H, W), or an iterator of such batches
    outputs  names of tensors; the input may be among them

    Memory: the tensors of one batch and the weights, twice.
    """
    import onnxruntime  # slow to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Threads that wait by turning in circles take the cores from whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    inner = [name for name in dict.fromkeys(outputs) if name != graph.input]
    try:
        data = float_model(graph, inner).SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        del data
        for batch in batches(graph, images) if isinstance(images, np.ndarray) else images:
            values = session.run(inner, {graph.input: batch}) if inner else []
            result = dict(zip(inner, values, strict=True))
            if graph.input in outputs:
                result[graph.input] = batch
            yield result
    except (ValueError, RuntimeError) as error:  # ONNX Runtime's own errors are RuntimeErrors
        raise OhmweaveError(
            f"ONNX Runtime cannot run the network {graph.name}: {str(error).splitlines()[0]}"
        ) from None


def batch_size(graph: FloatGraph) -> int:
    """Images that are run at once."""
    size = 4 * sum(int(np.prod(shape)) for shape in graph.shapes.values())
    return int(np.clip(BATCH_BYTES // size, 1, BATCH_IMAGES))


def batches(graph: FloatGraph, images: np.ndarray) -> Iterator[np.ndarray]:
    step = batch_size(graph)
    for start in range(0, len(images), step):
        yield np.ascontiguousarray(images[start : start + step], np.float32)
