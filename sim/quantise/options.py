"""What a user chooses about post-training quantisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType

from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph import BITS

__all__ = ["INPUT_BITS", "RANGES", "LayerBits", "QuantiseOptions", "parse_layer_bits"]

#: How the range of a tensor is chosen.
RANGES = ("minmax", "percentile", "mse")
INPUT_BITS = (4, 8)


def _bits(what: str, value: object, among: tuple[int, ...] = BITS) -> None:
    if isinstance(value, bool) or value not in among:
        raise OhmweaveError(f"{what} must be one of {', '.join(map(str, among))}, not {value!r}")


@dataclass(frozen=True, kw_only=True)
class LayerBits:
    """Bits of one layer's weights and of its output; None for those of the whole network."""

    weight_bits: int | None = None
    act_bits: int | None = None

    def __post_init__(self) -> None:
        for what in ("weight_bits", "act_bits"):
            if getattr(self, what) is not None:
                _bits(f"{what} of a layer", getattr(self, what))


@dataclass(frozen=True, kw_only=True)
class QuantiseOptions:
    """Options of `quantise`.

    weight_bits, act_bits  of all layers that `layers` does not name
    input_bits             top bits of each pixel that the first layer sees
    range                  of activations: `minmax`, all values that calibration saw; `percentile`, all but the rarest;
                           `mse`, the range of least squared error, also of weights of 4 bits
    percentile             share of the values, in percent, that `percentile` keeps
    mean, std              what the float network's images are normalised with after pixel / 255: one number, or
                           one for each channel
    layers                 bits by layer, by the names that the integer graph has
    """

    weight_bits: int = 8
    act_bits: int = 8
    input_bits: int = 8
    range: str = "mse"
    percentile: float = 99.99
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layers: Mapping[str, LayerBits] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        _bits("weight_bits", self.weight_bits)
        _bits("act_bits", self.act_bits)
        _bits("input_bits", self.input_bits, INPUT_BITS)
        if self.range not in RANGES:
            raise OhmweaveError(f"range must be one of {', '.join(RANGES)}, not {self.range!r}")
        if not 50 <= self.percentile <= 100:
            raise OhmweaveError(f"percentile must be from 50 to 100, not {self.percentile!r}")
        for what in ("mean", "std"):
            value = getattr(self, what)
            if not value or not all(isfinite(each) for each in value):
                raise OhmweaveError(f"{what} must be one finite number or one a channel, not {value!r}")
        if min(self.std) <= 0:
            raise OhmweaveError(f"std must be positive, not {min(self.std)!r}")

    def per_channel(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """mean and std of each input channel."""
        for what in ("mean", "std"):
            count = len(getattr(self, what))
            if count not in (1, channels):
                raise OhmweaveError(f"{what} must have 1 or {channels} numbers for this network, not {count}")
        mean, std = ((each * channels if len(each) == 1 else each) for each in (self.mean, self.std))
        return mean, std


def parse_layer_bits(texts: "tuple[str, ...] | list[str]") -> dict[str, LayerBits]:
    """`NAME=WEIGHTS` or `NAME=WEIGHTS/ACTIVATIONS`, such as `conv1=8/16`."""
    result: dict[str, LayerBits] = {}
    for text in texts:
        name, equals, bits = text.partition("=")
        parts = bits.split("/")
        if (
            not name
            or not equals
            or len(parts) > 2
            or not all(part.isascii() and part.isdigit() for part in parts)
        ):
            raise OhmweaveError(
                f"bits of a layer must be NAME=WEIGHTS or NAME=WEIGHTS/ACTIVATIONS, not {text!r}"
            )
        if name in result:
            raise OhmweaveError(f"bits of layer {name} must be given once")
        result[name] = LayerBits(
            weight_bits=int(parts[0]), act_bits=int(parts[1]) if len(parts) == 2 else None
        )
    return result
