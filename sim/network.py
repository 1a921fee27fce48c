"""Integer networks: what every view computes, described without any hardware.

All layers are convolutions with square kernels; a fully connected layer is one whose output is a single pixel. With
x the unsigned input, w the signed weights and, per output channel, `bias`, `mult` and `shift`, a layer computes

    v = Σ x·w + bias                                      (zeros around the image, `pad` wide)
    q = clip((v·mult + 2^(shift-1)) >> shift, 0, 2^act_bits - 1)    (arithmetic shift; this is the ReLU too)

and then the maximum of each `pool`×`pool` block, blocks that do not fit dropped. The last layer is raw: its v are
the logits. A network's input is the top `input_bits` bits of each uint8 pixel.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.sim.npz import read_npz, write_npz

__all__ = ["BUILTIN", "ConvLayer", "Network", "builtin", "load", "save"]

#: Names of the networks that are shipped.
BUILTIN = ("lenet5",)

FORMAT = "ohmweave-network-1"
MAX_FILE_BYTES = 512 << 20
MAX_LAYERS = 512
MAX_SIZE = 4096
BIAS_BITS = 24


def _array(what: str, value: object, dtype: type, dims: int) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != dims:
        kind = f"{value.dtype} of {value.ndim}" if isinstance(value, np.ndarray) else type(value).__name__
        raise OhmweaveError(f"{what} must be an array of {np.dtype(dtype)} of {dims} dimensions, not {kind}")


def _range(what: str, value: np.ndarray, low: int, high: int) -> None:
    if value.size and not low <= value.min() <= value.max() <= high:
        raise OhmweaveError(f"{what} must be from {low} to {high}, not {value.min()} to {value.max()}")


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvLayer:
    """One convolution with requantisation and max pooling.

    weights      int8 (out, in, kernel, kernel)
    bias         int32 (out,), of 24 bits
    mult, shift  uint16 and uint8 (out,): requantisation; 1 and 1 where the layer is raw, which has none
    stride, pad  of the convolution, the same in both directions; pad is less than the kernel's side
    pool         side of the pooling blocks, 1 for none
    raw          whether v itself is the output
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray
    mult: np.ndarray
    shift: np.ndarray
    stride: int = 1
    pad: int = 0
    pool: int = 1
    raw: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or len(self.name) > 64:
            raise OhmweaveError(
                f"a layer's name must be letters, digits and underscores, at most 64, not {self.name!r}"
            )
        what = f"layer {self.name}:"
        _array(f"{what} weights", self.weights, np.int8, 4)
        out, inputs, height, width = self.weights.shape
        whole(f"{what} output channels", out, 1, MAX_SIZE)
        whole(f"{what} input channels", inputs, 1, MAX_SIZE)
        whole(f"{what} kernel", height, 1, 16)
        if height != width:
            raise OhmweaveError(f"{what} kernel must be square, not {height}×{width}")
        _array(f"{what} bias", self.bias, np.int32, 1)
        _array(f"{what} mult", self.mult, np.uint16, 1)
        _array(f"{what} shift", self.shift, np.uint8, 1)
        for key in ("bias", "mult", "shift"):
            if len(getattr(self, key)) != out:
                raise OhmweaveError(
                    f"{what} {key} must have one entry for each of {out} output channels, "
                    f"not {len(getattr(self, key))}"
                )
        _range(f"{what} bias", self.bias, -(2 ** (BIAS_BITS - 1)), 2 ** (BIAS_BITS - 1) - 1)
        _range(f"{what} shift", self.shift, 1, 39)
        whole(f"{what} stride", self.stride, 1, 16)
        whole(f"{what} pad", self.pad, 0, self.kernel - 1)
        whole(f"{what} pool", self.pool, 1, 16)
        if not isinstance(self.raw, bool):
            raise OhmweaveError(f"{what} raw must be true or false, not {self.raw!r}")
        if self.raw and self.pool != 1:
            raise OhmweaveError(f"{what} a raw layer must have pool 1, not {self.pool}")
        for key in ("weights", "bias", "mult", "shift"):
            # A copy of its own that nobody can change: the record is shared by all views.
            array = np.array(getattr(self, key), order="C")
            array.setflags(write=False)
            object.__setattr__(self, key, array)

    @property
    def out_channels(self) -> int:
        return self.weights.shape[0]

    @property
    def in_channels(self) -> int:
        return self.weights.shape[1]

    @property
    def kernel(self) -> int:
        return self.weights.shape[2]

    @property
    def rows(self) -> int:
        """Products of one output: wordlines that the layer takes."""
        return self.in_channels * self.kernel**2

    def conv_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the convolution's output for an input of that size; not positive if none fits."""
        return tuple((size + 2 * self.pad - self.kernel) // self.stride + 1 for size in (height, width))  # type: ignore[return-value]

    def out_shape(self, in_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of the output, after pooling."""
        height, width = self.conv_size(*in_shape[1:])
        return (self.out_channels, height // self.pool, width // self.pool)


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """An integer network.

    input_shape  (channels, height, width) of an image
    input_bits   top bits of each uint8 pixel that are the first layer's input
    act_bits     bits of the activations between layers, unsigned
    weight_bits  bits of the weights, two's complement
    """

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[ConvLayer, ...]
    input_bits: int = 4
    act_bits: int = 4
    weight_bits: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or len(self.name) > 64:
            raise OhmweaveError(
                f"a network's name must be letters, digits and underscores, at most 64, not {self.name!r}"
            )
        if not isinstance(self.input_shape, tuple) or len(self.input_shape) != 3:
            raise OhmweaveError(
                f"the input shape must be (channels, height, width), not {self.input_shape!r}"
            )
        for what, size in zip(("channels", "height", "width"), self.input_shape, strict=True):
            whole(f"input {what}", size, 1, MAX_SIZE)
        whole("input_bits", self.input_bits, 1, 8)
        whole("act_bits", self.act_bits, 1, 8)
        whole("weight_bits", self.weight_bits, 2, 8)
        if not isinstance(self.layers, tuple) or not all(isinstance(each, ConvLayer) for each in self.layers):
            raise OhmweaveError("a network's layers must be a tuple of ConvLayer")
        whole("the number of layers", len(self.layers), 1, MAX_LAYERS)
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise OhmweaveError(f"layers must have different names, not {', '.join(names)}")
        self._check_chain()

    def _check_chain(self) -> None:
        channels, *size = self.input_shape
        for layer in self.layers:
            what = f"layer {layer.name}:"
            if layer.in_channels != channels:
                raise OhmweaveError(f"{what} input channels must be {channels}, not {layer.in_channels}")
            low = -(2 ** (self.weight_bits - 1))
            _range(f"{what} weights", layer.weights, low, -low - 1)
            if layer.raw != (layer is self.layers[-1]):
                raise OhmweaveError(f"{what} the last layer, and no other, must be raw")
            channels, *size = layer.out_shape((channels, size[0], size[1]))
            if min(size) < 1:
                raise OhmweaveError(
                    f"{what} the output must have at least one pixel, not {size[0]}×{size[1]}"
                )
        if size != [1, 1]:
            raise OhmweaveError(f"the last layer's output must be one pixel, not {size[0]}×{size[1]}")

    @property
    def classes(self) -> int:
        return self.layers[-1].out_channels

    @cached_property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(channels, height, width) of the input and of each layer's output."""
        shapes = [self.input_shape]
        for layer in self.layers:
            shapes.append(layer.out_shape(shapes[-1]))
        return tuple(shapes)

    def in_bits(self, index: int) -> int:
        """Bits of the inputs of layer `index`."""
        return self.act_bits if index else self.input_bits


def builtin(name: str) -> Network:
    """The shipped network of that name."""
    if name not in BUILTIN:
        raise OhmweaveError(f"a built-in network must be one of {', '.join(BUILTIN)}, not {name!r}")
    with resources.as_file(resources.files(__package__) / "data" / f"{name}.npz") as path:
        return load(path)


_HEADER = ("name", "input_shape", "input_bits", "act_bits", "weight_bits", "layers")
_LAYER_HEADER = ("name", "stride", "pad", "pool", "raw")
_LAYER_ARRAYS = ("weights", "bias", "mult", "shift")


def save(network: Network, path: Path) -> None:
    """Write a network as `.npz`: `header`, JSON, and the arrays `<layer>.weights`, `.bias`, `.mult` and `.shift`."""
    header = {"format": FORMAT} | {key: getattr(network, key) for key in _HEADER}
    header["layers"] = [{key: getattr(layer, key) for key in _LAYER_HEADER} for layer in network.layers]
    arrays = {f"{layer.name}.{key}": getattr(layer, key) for layer in network.layers for key in _LAYER_ARRAYS}
    write_npz(Path(path), {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)} | arrays)


def load(path: Path) -> Network:
    """Read what `save` wrote; `OhmweaveError` says in one sentence what is wrong with a file that is not that."""
    arrays = read_npz(Path(path), what="the network file", max_bytes=MAX_FILE_BYTES)
    broken = f"the network file {path} must be one that this program wrote:"
    try:
        header: Any = json.loads(arrays.pop("header").tobytes())
    except (KeyError, ValueError, RecursionError):
        raise OhmweaveError(f"{broken} its header is missing or is not JSON") from None
    if not isinstance(header, dict) or header.pop("format", None) != FORMAT:
        raise OhmweaveError(f"{broken} its format is not {FORMAT}")
    layers: Any = header.get("layers")
    if sorted(header) != sorted(_HEADER) or not isinstance(layers, list):
        raise OhmweaveError(f"{broken} its header must have exactly {', '.join(_HEADER)}")
    if not all(isinstance(layer, dict) and sorted(layer) == sorted(_LAYER_HEADER) for layer in layers):
        raise OhmweaveError(f"{broken} each layer must have exactly {', '.join(_LAYER_HEADER)}")
    expected = {f"{layer['name']}.{key}" for layer in layers for key in _LAYER_ARRAYS}
    if set(arrays) != expected:
        raise OhmweaveError(f"{broken} its arrays must be exactly those of its layers")
    if isinstance(header["input_shape"], list):  # JSON has no tuples
        header["input_shape"] = tuple(header["input_shape"])
    try:
        for layer in layers:
            layer |= {key: arrays[f"{layer['name']}.{key}"] for key in _LAYER_ARRAYS}
        header["layers"] = tuple(ConvLayer(**layer) for layer in layers)
        return Network(**header)
    except OhmweaveError as error:
        raise OhmweaveError(f"the network file {path} is not valid: {error}") from None
