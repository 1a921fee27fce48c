"""A network as an ONNX graph of integers: somebody else's code computes the same logits."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import ohmweave
from ohmweave.errors import OhmweaveError
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.npz import atomic_path

__all__ = ["export_onnx", "onnx_model"]

# The first operator set in which every operator used here takes the integer types used here.
OPSET = 14
IR_VERSION = 8


def export_onnx(network: Network, path: Path) -> None:
    """Write `onnx_model(network)`; the file appears whole or not at all."""
    data = onnx_model(network).SerializeToString(deterministic=True)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(data)


def onnx_model(network: Network) -> onnx.ModelProto:
    """Input `images` (N, C, H, W), uint8, raw pixels; output `logits` (N, classes), int32; nothing floats.

    Each layer's output is a value called `<layer>_out`.
    """
    graph = _Graph()
    value = "images"
    if network.input_bits < 8:
        amount = graph.constant("input_shift", np.array(8 - network.input_bits, np.uint8))
        value = graph.node("BitShift", [value, amount], "input", direction="RIGHT")
    for layer in network.layers:
        value = _layer(graph, layer, value, network.act_bits)
    graph.node("Flatten", [value], "logits", axis=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *network.input_shape])],
            [helper.make_tensor_value_info("logits", TensorProto.INT32, ["N", network.classes])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ohmweave",
        producer_version=ohmweave.__version__,
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except ValueError as error:  # a model beyond protobuf's 2 GB
        raise OhmweaveError(f"the network {network.name} is too large for one ONNX file: {error}") from None
    return model


class _Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{output}_node", **attributes))
        return output


def _layer(graph: _Graph, layer: ConvLayer, value: str, act_bits: int) -> str:
    """Nodes of one layer; the name of its output."""
    name = layer.name
    output = f"{name}_out"

    def column(key: str, values: np.ndarray) -> str:
        """Constant with one entry for each output channel."""
        return graph.constant(f"{name}_{key}", values.reshape(-1, 1, 1))

    v = graph.node(
        "ConvInteger",
        [value, graph.constant(f"{name}_weights", layer.weights)],
        f"{name}_sum",
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.pad] * 4,
    )
    bias = column("bias", layer.bias)
    if layer.raw:
        return graph.node("Add", [v, bias], output)
    v = graph.node("Add", [v, bias], f"{name}_biased")
    # The product needs more than 32 bits. Div rounds towards zero, which is the arithmetic shift from 0 up; a
    # negative v gives an output of 0 and so does v = 0, because the half that is added is less than the divisor.
    zero = graph.constant(f"{name}_zero", np.array(0, np.int32))
    v = graph.node("Max", [v, zero], f"{name}_positive")
    v = graph.node("Cast", [v], f"{name}_wide", to=TensorProto.INT64)
    shift = layer.shift.astype(np.int64)
    one = np.int64(1)
    v = graph.node("Mul", [v, column("mult", layer.mult.astype(np.int64))], f"{name}_product")
    v = graph.node("Add", [v, column("half", one << (shift - 1))], f"{name}_rounded")
    v = graph.node("Div", [v, column("divisor", one << shift)], f"{name}_scaled")
    top = graph.constant(f"{name}_top", np.array(2**act_bits - 1, np.int64))
    v = graph.node("Min", [v, top], f"{name}_clipped")
    if layer.pool == 1:
        return graph.node("Cast", [v], output, to=TensorProto.UINT8)
    v = graph.node("Cast", [v], f"{name}_narrow", to=TensorProto.UINT8)
    side = [layer.pool] * 2
    return graph.node("MaxPool", [v], output, kernel_shape=side, strides=side)
