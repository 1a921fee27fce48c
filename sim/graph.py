"""Integer graphs: what every view computes, described without any hardware.

A graph takes images of uint8 pixels, uses the top bits of each (`pixel >> (8 - bits)`), and computes node after node
(see graph_nodes) up to the one raw node, whose sums are its output, the logits.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph_base import (
    BITS,
    MAX_SHIFT,
    MIN_SHIFT,
    RAW_BITS,
    Node,
    Scaled,
    Tensor,
    check_bits,
    check_name,
)
from ohmweave.sim.graph_nodes import Add, Concat, Conv, Flatten, MaxPool, Select, SumPool
from ohmweave.sim.network import Network
from ohmweave.sim.npz import read_npz, write_npz

__all__ = [
    "BITS", "MAX_SHIFT", "MIN_SHIFT", "RAW_BITS", "Add", "Concat", "Conv", "Flatten", "Graph", "MaxPool", "Node",
    "Scaled", "Select", "SumPool", "Tensor", "contents", "from_network", "load", "save",
]  # fmt: skip

FORMAT = "ohmweave-graph-1"
MAX_FILE_BYTES = 1 << 30
MAX_NODES = 4096

#: Types of nodes by the name that they have in files.
NODES: dict[str, type[Node]] = {
    each.__name__: each for each in (Conv, Add, SumPool, MaxPool, Concat, Select, Flatten)
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """An integer graph.

    input   the tensor of an image, 4 or 8 bits: the top bits of each uint8 pixel
    nodes   in an order in which each reads only the input and what stands before it; the last, and no other, is raw:
            its tensor is the output
    fill    the input's zero point of each channel, where channels differ: what convolutions that read the input
            pad it with, and then nothing else may read it; empty for `input.zero_point` in every channel
    """

    name: str
    input: Tensor
    nodes: tuple[Node, ...]
    fill: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_name("a graph's name", self.name)
        if not isinstance(self.input, Tensor):
            raise OhmweaveError(f"a graph's input must be a Tensor, not {type(self.input).__name__}")
        check_bits("the input's bits", self.input.bits, (4, 8))
        if not isinstance(self.fill, tuple) or len(self.fill) not in (0, self.input.shape[0]):
            raise OhmweaveError(
                f"fill must be a tuple of one number for each of {self.input.shape[0]} channels, or empty, "
                f"not {self.fill!r}"
            )
        for each in self.fill:
            whole("fill", each, 0, self.input.top)
        if not isinstance(self.nodes, tuple) or not all(type(each) in NODES.values() for each in self.nodes):
            raise OhmweaveError(f"a graph's nodes must be a tuple of {', '.join(NODES)}")
        whole("the number of nodes", len(self.nodes), 1, MAX_NODES)
        self._check_nodes()

    def _check_nodes(self) -> None:
        tensors = {self.input.name: self.input}
        for node in self.nodes:
            if node.name in tensors:
                raise OhmweaveError(f"nodes and the input must have different names, not {node.name} twice")
            for name in node.inputs:
                if name not in tensors:
                    raise node.refuse(f"reads {name}, which is neither the input nor a node before it")
            if self.fill and not isinstance(node, Conv) and self.input.name in node.inputs:
                raise node.refuse("an input with a fill for each channel can only be read by convolutions")
            if self.fill and isinstance(node, Conv) and node.residual == self.input.name:
                raise node.refuse("an input with a fill for each channel cannot be a residual")
            if getattr(node, "raw", False) != (node is self.nodes[-1]):
                raise node.refuse("the last node, and no other, must be raw")
            tensors[node.name] = node.result([tensors[name] for name in node.inputs])
        used = {name for node in self.nodes for name in node.inputs}
        for name in tensors:
            if name not in used and name != self.nodes[-1].name:
                raise OhmweaveError(f"every tensor must be read by a node, and {name} is not")
        object.__setattr__(self, "_tensors", MappingProxyType(tensors))

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name: the input first, then in the order of the nodes."""
        return self._tensors  # type: ignore[attr-defined]

    @property
    def output(self) -> Tensor:
        """The raw tensor."""
        return self.tensors[self.nodes[-1].name]

    @cached_property
    def node(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return MappingProxyType({each.name: each for each in self.nodes})

    @property
    def logits_shape(self) -> tuple[int, ...]:
        """Of the logits of an image: (channels,) where the output is one pixel, else (channels, height, width)."""
        return self.output.shape[:1] if self.output.shape[1:] == (1, 1) else self.output.shape

    @cached_property
    def logits_dtype(self) -> type[np.signedinteger]:
        """int32 if the logits fit it whatever the image, else int64."""
        node = self.nodes[-1]
        assert isinstance(node, Scaled)
        bound = node.sum_bound([self.tensors[name] for name in node.inputs]).max()
        return np.int32 if bound < 1 << 31 else np.int64

    def zero_points(self, name: str) -> np.ndarray:
        """What each channel of that tensor is padded with, int64 (channels,)."""
        tensor = self.tensors[name]
        if self.fill and tensor is self.input:
            return np.array(self.fill, np.int64)
        return np.full(tensor.shape[0], tensor.zero_point, np.int64)


def from_network(network: Network) -> Graph:
    """The same integers as a graph; a network of 4 or 8 bits of input, and of 4, 8 or 16 of activations and weights."""
    check_bits("input_bits of a network that becomes a graph", network.input_bits, (4, 8))
    check_bits("act_bits of a network that becomes a graph", network.act_bits)
    check_bits("weight_bits of a network that becomes a graph", network.weight_bits)
    taken = {layer.name for layer in network.layers}
    value = "image" if "image" not in taken else "image_"
    image = Tensor(name=value, shape=network.input_shape, bits=network.input_bits)
    nodes: list[Node] = []
    for layer in network.layers:
        pooled = layer.pool > 1
        name = f"{layer.name}_conv" if pooled else layer.name
        scale: dict[str, Any] = {"bits": RAW_BITS}
        if not layer.raw:
            scale = {"bits": network.act_bits, "mult": layer.mult, "shift": layer.shift.astype(np.int8)}
        conv = Conv(
            name=name,
            input=value,
            weights=layer.weights.astype(np.int16),
            weight_bits=network.weight_bits,
            bias=layer.bias.astype(np.int64),
            stride=(layer.stride, layer.stride),
            pads=(layer.pad,) * 4,
            **scale,
        )
        nodes.append(conv)
        if pooled:
            block = (layer.pool, layer.pool)
            nodes.append(MaxPool(name=layer.name, input=name, kernel=block, stride=block))
        value = layer.name
    return Graph(name=network.name, input=image, nodes=tuple(nodes))


_HEADER = ("name", "input", "nodes", "fill")


def _plain(kind: type[Node]) -> list[str]:
    """Fields of a node that stand in the header of a file: all that are no arrays."""
    return [each.name for each in fields(kind) if each.name not in kind.ARRAYS]


def contents(graph: Graph) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All that a graph is: a header that JSON can hold, and the arrays `<node>.weights`, `<node>.bias` and so on.

    Weights of 4 and 8 bits are int8.
    """
    header: dict[str, Any] = {"format": FORMAT, "name": graph.name, "fill": graph.fill}
    header["input"] = {each.name: getattr(graph.input, each.name) for each in fields(Tensor)}
    header["nodes"] = [
        {"type": type(node).__name__} | {key: getattr(node, key) for key in _plain(type(node))}
        for node in graph.nodes
    ]
    arrays = {f"{node.name}.{key}": getattr(node, key) for node in graph.nodes for key in node.ARRAYS}
    for node in graph.nodes:
        if isinstance(node, Conv) and node.weight_bits <= 8:
            arrays[f"{node.name}.weights"] = node.weights.astype(np.int8)
    return header, arrays


def save(graph: Graph, path: Path) -> None:
    """Write a graph as `.npz`: `header`, JSON, and the arrays of its `contents`."""
    header, arrays = contents(graph)
    write_npz(Path(path), {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)} | arrays)


def load(path: Path) -> Graph:
    """Read what `save` wrote; `OhmweaveError` says in one sentence what is wrong with a file that is not that."""
    arrays = read_npz(Path(path), what="the graph file", max_bytes=MAX_FILE_BYTES, names=6 * MAX_NODES + 1)
    broken = f"the graph file {path} must be one that this program wrote:"
    try:
        header: Any = json.loads(arrays.pop("header").tobytes())
    except (KeyError, ValueError, RecursionError):
        raise OhmweaveError(f"{broken} its header is missing or is not JSON") from None
    if not isinstance(header, dict) or header.pop("format", None) != FORMAT:
        raise OhmweaveError(f"{broken} its format is not {FORMAT}")
    if sorted(header) != sorted(_HEADER) or not isinstance(header["nodes"], list):
        raise OhmweaveError(f"{broken} its header must have exactly {', '.join(_HEADER)}")
    nodes = [_checked_node(broken, each) for each in header["nodes"]]
    image = header["input"]
    if not isinstance(image, dict) or sorted(image) != sorted(each.name for each in fields(Tensor)):
        raise OhmweaveError(f"{broken} its input must have exactly name, shape, bits, zero_point")
    if set(arrays) != {f"{values['name']}.{key}" for kind, values in nodes for key in kind.ARRAYS}:
        raise OhmweaveError(f"{broken} its arrays must be exactly those of its nodes")
    for kind, values in nodes:
        weights = f"{values['name']}.weights"
        if kind is Conv and arrays[weights].dtype == np.int8:
            arrays[weights] = arrays[weights].astype(np.int16)
    try:
        made = tuple(
            kind(**values, **{key: arrays[f"{values['name']}.{key}"] for key in kind.ARRAYS})
            for kind, values in nodes
        )
        return Graph(
            name=header["name"], input=Tensor(**_tuples(image)), nodes=made, fill=_tuple(header["fill"])
        )
    except OhmweaveError as error:
        raise OhmweaveError(f"the graph file {path} is not valid: {error}") from None


def _checked_node(broken: str, value: Any) -> tuple[Any, dict[str, Any]]:
    """Type and plain fields of a node of a file's header."""
    kind = NODES.get(str(value.pop("type", None))) if isinstance(value, dict) else None
    if kind is None:
        raise OhmweaveError(f"{broken} each node's type must be one of {', '.join(NODES)}")
    if kind is Concat:  # of channels in files that name no axis
        value.setdefault("axis", "channels")
    if sorted(value) != sorted(_plain(kind)):
        raise OhmweaveError(f"{broken} each {kind.__name__} must have exactly {', '.join(_plain(kind))}")
    return kind, _tuples(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # JSON has no tuples


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _tuple(value) for key, value in values.items()}
