"""Vectors of elements of configurable width: what the blocks between flits and vectors have in common."""

from amaranth.hdl import Cat, Const, Value, signed
from amaranth.lib import data, stream

from ohmweave.params import PEParams
from ohmweave.rtl.isa import Format

__all__ = [
    "FORMAT_BITS",
    "MAX_WIDTH",
    "UNIT",
    "WIDE_BITS",
    "WIDTHS",
    "OutputLayout",
    "bits_of",
    "low_units",
    "values_layout",
    "vector_stream",
]

#: Elements are multiples of this many bits wide.
UNIT = 4
MAX_WIDTH = 48
#: Bits that an element on a link can have.
WIDTHS = range(UNIT, MAX_WIDTH + 1, UNIT)
#: Bits of elements that are sent as they are in the lanes, in two's complement: partial sums and logits.
WIDE_BITS = range(16, MAX_WIDTH + 1, UNIT)
#: Bits of the formats of an activation.
FORMAT_BITS = {Format.U4: 4, Format.U8: 8, Format.U16: 16}


def values_layout(params: PEParams) -> data.ArrayLayout:
    """The lanes of a vector, signed."""
    return data.ArrayLayout(signed(params.lane_bits), params.alu_lanes)


def vector_stream(params: PEParams) -> stream.Signature:
    """Stream of vectors."""
    return stream.Signature(values_layout(params))


class OutputLayout(data.StructLayout):
    """A vector that leaves the arithmetic half.

    values  the lanes
    size    format of an activation; `WIDE` is the same as `fuse`
    fuse    the elements are partial sums, as wide as the sender is configured
    count   lanes that count - 1
    last    the frame ends
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "values": values_layout(params),
                "size": 2,
                "fuse": 1,
                "count": range(params.alu_lanes),
                "last": 1,
            }
        )


def low_units(units: Value) -> Value:
    """As many bits as the widest element has, those of the lowest `units` units set."""
    return Const((1 << MAX_WIDTH) - 1, MAX_WIDTH) >> bits_of((MAX_WIDTH // UNIT - units)[:4])


def bits_of(units: Value, elements: int = 1) -> Value:
    """How many bits so many units have, of so many elements, a power of two; no logic."""
    return Cat(Const(0, (UNIT * elements).bit_length() - 1), units)
