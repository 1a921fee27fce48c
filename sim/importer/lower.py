"""From ONNX's nodes to those of `record`: what the handlers of single operators share.

Between nodes that compute there may be any number of reshapes and transposes. They are followed symbolically: a
`View` says, for each element of the ONNX tensor, which element of a (channels, height, width) tensor it is. A node
that computes asks for a view as a map; what is one, perhaps with channels in another order, is given, and the rest
is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NoReturn

import numpy as np
import onnx
from onnx import AttributeProto

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.fold import MAX_ELEMENTS, Constants
from ohmweave.sim.importer.read import node_name
from ohmweave.sim.importer.record import Clip, Conv, ConvTranspose, FloatNode, Permute, Quantised, Shape

__all__ = ["Lowering", "Op", "View", "WeightScale", "times"]


@dataclass(frozen=True, eq=False)
class View:
    """An ONNX tensor: its shape, and which element of `tensor` each of its elements is.

    index  None: (1, channels, height, width) just as it is
    host   the operator that the host computes on it afterwards, such as Softmax; None for none
    """

    tensor: str
    shape: tuple[int, ...]
    index: np.ndarray | None = None
    host: str | None = None

    def indices(self) -> np.ndarray:
        if self.index is not None:
            return self.index
        return np.arange(int(np.prod(self.shape))).reshape(self.shape)

    def viewed(self, index: np.ndarray) -> "View":
        """The same elements in other places."""
        return replace(self, shape=index.shape, index=index)


@dataclass(frozen=True, eq=False)
class WeightScale:
    """Steps of a constant that a DequantizeLinear made: along `axis` if there are several."""

    scale: np.ndarray
    axis: int
    bits: int

    def along(self, axis: int, count: int) -> np.ndarray | None:
        """One step for each of `count` entries along `axis`, if that is what the file gives."""
        if self.scale.size == 1:
            return np.full(count, self.scale.reshape(-1)[0])
        return self.scale.reshape(-1) if self.axis == axis and self.scale.size == count else None


class Lowering:
    """The float nodes so far, their tensors' shapes, and what each ONNX value is."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.scales: dict[str, WeightScale] = {}
        self.nodes: list[FloatNode] = []
        self.shapes: dict[str, Shape] = {}
        self.views: dict[str, View] = {}
        #: Outputs of QuantizeLinear: view of the tensor, scale, zero point.
        self.quantised: dict[str, tuple[View, float, int]] = {}
        self.notes: list[str] = []

    def fresh(self, name: str) -> str:
        """A tensor's name that is not taken, like `name`."""
        result, count = name, 1
        while result in self.shapes:
            count += 1
            result = f"{name}.{count}"
        return result

    def add(self, node: FloatNode) -> str:
        """Append a node; its output."""
        self.nodes.append(node)
        self.shapes[node.output] = node.out_shape(*(self.shapes[name] for name in node.inputs))
        shape = self.shapes[node.output]
        if min(shape) < 1 or prod(shape) > MAX_ELEMENTS:
            raise OhmweaveError(
                f"node {node.name}: the output must have from 1 to {MAX_ELEMENTS} elements, and has the size "
                f"{times(shape)}"
            )
        return node.output

    def map_of(self, view: View, op: "Op") -> str:
        """The (channels, height, width) tensor that a view is; reordered where its channels are."""
        order = self.order_of(view)
        if order is not None:
            return self.permuted(view.tensor, order)
        shape, index = self.shapes[view.tensor], view.indices()
        if index.ndim not in (2, 4) or index.shape[0] != 1:
            op.refuse(f"must have an input of 1×channels×height×width, not {times(view.shape)}")
        features = index.ndim == 4 and shape[1:] == (1, 1) and index.shape[2:] != (1, 1)
        if features and self._unflatten(view.tensor, index[0]):
            return view.tensor
        op.refuse(
            f"must have an input whose reshapes and transposes only reorder channels, and {view.tensor} of "
            f"{times(shape)} arrives as {times(view.shape)} in another order"
        )

    def order_of(self, view: View) -> np.ndarray | None:
        """Which channel each channel of a view is; None if it is no map, or its pixels are in another order."""
        channels, height, width = self.shapes[view.tensor]
        if view.index is None:
            return np.arange(channels)
        index = view.index[..., np.newaxis, np.newaxis] if view.index.ndim == 2 else view.index
        if index.ndim != 4 or index.shape[0] != 1 or index.shape[2:] != (height, width):
            return None
        order = index[0, :, 0, 0] // (height * width)
        expected = order[:, None, None] * (height * width) + np.arange(height * width).reshape(height, width)
        return order if np.array_equal(index[0], expected) else None

    def permuted(self, tensor: str, order: np.ndarray) -> str:
        if np.array_equal(order, np.arange(len(order))):
            return tensor
        output = self.fresh(f"{tensor}.shuffled")
        return self.add(Permute(name=output, inputs=(tensor,), output=output, order=order))

    def _unflatten(self, tensor: str, index: np.ndarray) -> bool:
        """Make a fully connected layer whose features are then a map into a transposed convolution of one pixel."""
        producers = {node.output: place for place, node in enumerate(self.nodes)}
        readers = [node for node in self.nodes for name in node.inputs if name == tensor]
        chain = []
        while not readers and tensor in producers:
            node = self.nodes[producers[tensor]]
            chain.append(node.output)
            if isinstance(node, Conv):
                break
            if not isinstance(node, Clip | Quantised):
                return False
            (tensor,) = node.inputs
            readers = [each for each in self.nodes if tensor in each.inputs and each is not node]
        if readers or tensor not in producers or not isinstance(node, Conv):
            return False
        single = self.shapes[node.inputs[0]][1:] == (1, 1) and node.kernel == (1, 1) and node.groups == 1
        bias = node.bias[index]
        same = np.array_equal(bias, np.broadcast_to(bias[:, :1, :1], bias.shape))
        scale = node.weight_scale
        if not single or not same or (scale is not None and len(np.unique(scale)) > 1):
            return False
        weights = node.weights[:, :, 0, 0].T[:, index]  # in, channels, height, width
        channels = index.shape[0]
        self.nodes[producers[tensor]] = ConvTranspose(
            name=node.name,
            inputs=node.inputs,
            output=node.output,
            weights=np.ascontiguousarray(weights),
            bias=np.ascontiguousarray(bias[:, 0, 0]),
            weight_scale=None if scale is None else scale[:channels],
            weight_bits=node.weight_bits,
        )
        for name in chain:
            self.shapes[name] = index.shape
        return True


def times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a scalar"


class Op:
    """One ONNX node under the hands of its handler."""

    def __init__(self, lowering: Lowering, node: onnx.NodeProto, opset: int) -> None:
        self.lowering = lowering
        self.node = node
        self.opset = opset
        self.name = node_name(node)
        self.attributes = {each.name: _value(self, each) for each in node.attribute}

    def refuse(self, what: str) -> NoReturn:
        raise OhmweaveError(f"operator {self.node.op_type} of node {self.name} {what}")

    def refuse_attribute(self, name: str, accepted: str, value: object) -> NoReturn:
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        self.refuse(f"must have its attribute {name} {accepted}, not {shown!r}")

    def accept(self, *names: str) -> None:
        """Refuse attributes that are not named."""
        for name in self.attributes:
            if name not in names:
                self.refuse(
                    f"has the attribute {name}, which is not supported; supported are {', '.join(names) or 'none'}"
                )

    def whole(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            self.refuse_attribute(name, "a whole number", value)
        return value

    def flag(self, name: str, *, only: int | None = None, default: int = 0) -> bool:
        value = self.whole(name, default)
        if value not in (0, 1) or (only is not None and value != only):
            self.refuse_attribute(name, "0 or 1" if only is None else str(only), value)
        return bool(value)

    def number(self, name: str, default: float) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            self.refuse_attribute(name, "a number", value)
        return float(value)

    def text(self, name: str, default: str, accepted: Iterable[str]) -> str:
        value = self.attributes.get(name, default.encode())
        accepted = tuple(accepted)
        if not isinstance(value, bytes) or value.decode("utf-8", "replace") not in accepted:
            self.refuse_attribute(name, f"one of {', '.join(accepted)}", value)
        return value.decode()

    def wholes(
        self, name: str, default: Sequence[int], low: int, high: int = 1 << 20, *, count: int | None = None
    ) -> tuple[int, ...]:
        """Whole numbers, as many as `default` has or as `count` says."""
        value = self.attributes.get(name, list(default))
        wanted = len(default) if count is None else count
        right = isinstance(value, list) and len(value) == wanted
        if not right or not all(isinstance(each, int) and low <= each <= high for each in value):
            self.refuse_attribute(name, f"{wanted} whole numbers from {low} to {high}", value)
        return tuple(value)

    # Inputs

    def given(self, index: int) -> bool:
        return index < len(self.node.input) and bool(self.node.input[index])

    def is_constant(self, index: int) -> bool:
        return self.given(index) and self.node.input[index] in self.lowering.constants

    def constant(self, index: int, what: str) -> np.ndarray:
        if not self.given(index):
            self.refuse(f"must have {what}")
        name = self.node.input[index]
        if name not in self.lowering.constants:
            self.refuse(f"must have {what} that are constant, and {name} is computed")
        return self.lowering.constants[name]

    def floats(self, index: int, what: str) -> np.ndarray:
        """A constant as float32, finite."""
        value = self.constant(index, what)
        if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
            self.refuse(f"must have {what} that are float, not {value.dtype}")
        with np.errstate(over="ignore"):
            value = np.asarray(value, np.float32)
        if not np.isfinite(value).all():
            self.refuse(f"must have {what} that are finite, and some are not")
        return value

    def integers(self, index: int, what: str) -> list[int]:
        value = self.constant(index, what)
        if value.dtype.kind not in "iu" or value.ndim > 1:
            self.refuse(f"must have {what} that are a list of whole numbers, not {value.dtype}")
        return [int(each) for each in value.reshape(-1)]

    def layout_view(self, index: int) -> View:
        """An input for an operator that only moves elements, which may follow what the host computes."""
        if not self.given(index):
            self.refuse(f"must have at least {index + 1} inputs")
        name = self.node.input[index]
        if name in self.lowering.views:
            return self.lowering.views[name]
        if name in self.lowering.constants:
            self.refuse(f"must have an input that depends on the image, and {name} is constant")
        if name in self.lowering.quantised:
            self.refuse(
                "cannot read quantised integers: a QuantizeLinear must be followed by a DequantizeLinear"
            )
        self.refuse(f"reads {name}, an output that is not supported")

    def view(self, index: int) -> View:
        view = self.layout_view(index)
        if view.host is not None:
            self.refuse(f"follows {view.host}, which is supported at the end of the network only")
        return view

    def map(self, index: int) -> str:
        """An input as (channels, height, width)."""
        return self.lowering.map_of(self.view(index), self)

    # Outputs

    def single_output(self) -> None:
        if any(self.node.output[1:]):
            self.refuse("must have one output")

    def output_name(self, suffix: str = "") -> str:
        return self.lowering.fresh(self.node.output[0] + suffix)

    def emit(self, kind: type[FloatNode], inputs: Sequence[str], **fields: Any) -> str:
        """Append a node that makes this operator's output, or a part of it."""
        output = self.output_name()
        return self.lowering.add(kind(name=self.name, inputs=tuple(inputs), output=output, **fields))

    def result(self, view: View, output: int = 0) -> None:
        self.lowering.views[self.node.output[output]] = view

    def map_result(self, tensor: str, output: int = 0) -> None:
        """The output is a map (1, channels, height, width)."""
        self.result(View(tensor, (1, *self.lowering.shapes[tensor])), output)

    def like(self, view: View, tensor: str, output: int = 0) -> None:
        """The output is `tensor`, with as many dimensions as the map that `view` was."""
        shape = self.lowering.shapes[tensor]
        if len(view.shape) == 2:
            self.result(View(tensor, (1, shape[0]), np.arange(shape[0])[np.newaxis]), output)
        else:
            self.map_result(tensor, output)


def _value(op: "Op", attribute: onnx.AttributeProto) -> Any:
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        op.refuse("has a graph of its own, which is not supported")
    try:
        value = onnx.helper.get_attribute_value(attribute)
    except ValueError:
        op.refuse(f"has an attribute {attribute.name} of an unknown type")
    if attribute.type == AttributeProto.INTS:
        return [int(each) for each in value]
    return value
