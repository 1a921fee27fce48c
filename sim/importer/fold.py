"""Shapes and constants: what a file computes from constants and shapes alone is computed once, here.

`onnx.shape_inference` gives the shapes, with the batch set to 1; `onnx.reference` evaluates the nodes. Only what can be
part of an expression of shapes or weights is folded, and nothing before the size of its result is known to be
small: a file of a hundred bytes may describe terabytes.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.read import first_line, node_name

__all__ = ["Constants", "fold", "static_input"]

#: Tensors by name.
Constants = dict[str, np.ndarray]

#: Most elements of a tensor.
MAX_ELEMENTS = 1 << 26
MAX_ROUNDS = 8
MAX_SIDE = 1 << 16
FOLDABLE = frozenset((
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Exp",
    "Expand", "Flatten", "Floor", "Gather", "GatherND", "Greater", "Identity", "Less", "Log", "Max", "Min",
    "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterND", "Shape", "Size", "Slice", "Split", "Sqrt",
    "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
))  # fmt: skip
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def static_input(path: Path, model: onnx.ModelProto) -> tuple[str, tuple[int, ...]]:
    """The one input's name and shape without the batch, which is set to 1 in the model."""
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise OhmweaveError(
            f"{path} must have one input and one output, not {len(inputs)} and {len(model.graph.output)}"
        )
    (value,) = inputs
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in FLOATS:
        known = TensorProto.DataType.items()
        kind = next(
            (name for name, number in known if number == tensor.elem_type and number), "no known tensor"
        )
        raise OhmweaveError(f"the input {value.name} of {path} must be float, not {kind.lower()}")
    dims = tensor.shape.dim
    sizes = tuple(dim.dim_value for dim in dims[1:])
    if len(dims) not in (2, 4) or not all(1 <= size <= MAX_SIDE for size in sizes):
        shown = "×".join(str(dim.dim_value or dim.dim_param or "?") for dim in dims)
        raise OhmweaveError(
            f"the input {value.name} of {path} must be batch×channels×height×width or batch×features "
            f"with all but the batch given and at most {MAX_SIDE}, not {shown or 'a scalar'}"
        )
    if int(np.prod(sizes, dtype=object)) > MAX_ELEMENTS:
        raise OhmweaveError(
            f"the input {value.name} of {path} must have at most {MAX_ELEMENTS} elements an image"
        )
    dims[0].ClearField("dim_param")
    dims[0].dim_value = 1
    return value.name, sizes


def fold(path: Path, model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], Constants]:
    """The nodes that are left, and all constants."""
    constants: Constants = {}
    for tensor in model.graph.initializer:
        constants[tensor.name] = _array(path, tensor)
    if model.graph.sparse_initializer:
        raise OhmweaveError(f"{path} must have dense tensors only, and has sparse ones")
    nodes = list(model.graph.node)
    shapes: dict[str, tuple[int, ...]] = {}
    for _ in range(MAX_ROUNDS):
        found = len(nodes)
        if any(node.op_type in ("Shape", "Size", "ConstantOfShape", "Expand") for node in nodes):
            shapes = _shapes(path, model, nodes, constants)
        nodes = [node for node in nodes if not _fold_node(node, constants, shapes, model)]
        if len(nodes) == found:
            break
    return nodes, constants


def _array(path: Path, tensor: onnx.TensorProto) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise OhmweaveError(f"tensor {tensor.name!r} of {path} must be whole: {first_line(error)}") from None


def _shapes(
    path: Path, model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: Constants
) -> dict[str, tuple[int, ...]]:
    """Static shapes by name. The weights stay out of it: only their types and small constants are shown."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.graph.name = "shapes"
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(onnx.ValueInfoProto(name=each.name) for each in model.graph.output)
    light.graph.node.extend(nodes)
    given = {each.name for each in model.graph.input}
    for name, value in constants.items():
        if value.size <= 4096:
            light.graph.initializer.append(numpy_helper.from_array(value, name))
        elif name not in given:
            kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            light.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise OhmweaveError(f"the shapes of {path} must fit with a batch of 1: {first_line(error)}") from None
    result = {}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            result[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return result


def _fold_node(
    node: onnx.NodeProto,
    constants: Constants,
    shapes: Mapping[str, tuple[int, ...]],
    model: onnx.ModelProto,
) -> bool:
    """Whether the node's outputs became constants."""
    if node.op_type not in FOLDABLE or node.domain not in ("", "ai.onnx"):
        return False
    if any(attribute.HasField("g") for attribute in node.attribute):
        return False
    names = [name for name in node.input if name]
    feeds = {name: constants[name] for name in names if name in constants}
    if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
        # Only the shape counts; an array that looks as if it had that shape takes no memory.
        feeds = {node.input[0]: np.broadcast_to(np.float32(0), shapes[node.input[0]])}
    if len(feeds) != len(set(names)):
        return False
    _check_growth(node, feeds)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            values = ReferenceEvaluator(
                node, opsets={each.domain: each.version for each in model.opset_import}
            ).run(None, feeds)
    except Exception as error:  # the evaluator raises whatever NumPy does
        raise OhmweaveError(
            f"node {node_name(node)} ({node.op_type}) must be computable: {first_line(error)}"
        ) from None
    for name, value in zip(node.output, values, strict=False):
        if name:
            constants[name] = np.asarray(value)
    return True


def _check_growth(node: onnx.NodeProto, feeds: Mapping[str, np.ndarray]) -> None:
    """Refuse what would make a large tensor of small ones."""
    values = [feeds[name] for name in node.input if name]
    size = 0.0
    if node.op_type == "ConstantOfShape":
        size = float(np.prod(values[0].astype(float)))
    elif node.op_type == "Expand":
        size = float(np.prod(np.maximum(values[1].astype(float), 1))) * values[0].size
    elif node.op_type == "Tile":
        size = float(np.prod(values[1].astype(float))) * values[0].size
    elif node.op_type == "Range":
        start, limit, step = (float(value.reshape(-1)[0]) for value in values)
        size = abs((limit - start) / step) if step else np.inf
    elif node.op_type not in ("Shape", "Size") and values:
        # Broadcasting: no side is longer than the longest of the operands.
        if node.op_type in ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Where", "Equal", "Less",
                            "Greater", "And", "Or"):  # fmt: skip
            rank = max(value.ndim for value in values)
            sides = [(1,) * (rank - value.ndim) + value.shape for value in values]
            size = float(np.prod(np.max(np.array(sides, float).reshape(len(sides), rank), axis=0)))
        elif node.op_type == "Gather" and values[0].ndim:
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
            side = values[0].shape[axis] if -values[0].ndim <= axis < values[0].ndim else 1
            size = float(values[1].size) * values[0].size / max(1, side)
        elif node.op_type == "GatherND":
            size = float(values[1].size) * values[0].size
        elif node.op_type == "Concat":
            size = float(sum(value.size for value in values))
    if not size <= MAX_ELEMENTS:
        raise OhmweaveError(
            f"node {node_name(node)} ({node.op_type}) must give at most {MAX_ELEMENTS} elements"
        )
