"""Number formats of the lanes, and how long their operations take."""

from amaranth.hdl import signed
from amaranth.lib import data

from ohmweave.check import whole
from ohmweave.params import PEParams
from ohmweave.rtl.isa import AluOp

__all__ = [
    "CYCLES", "MAX_MULT", "MAX_SHIFT", "MIN_SHIFT", "MULT_BITS", "NORMALISING", "QUOTIENT_BITS", "ROOT_BITS",
    "SHIFT_BITS", "STAGES", "ScaleLayout", "VectorLayout", "scale_word",
]  # fmt: skip

MULT_BITS = 16
SHIFT_BITS = 6
MAX_MULT = 2**MULT_BITS - 1
#: The 64 codes of a shift are its value modulo 64: 48 … 63 are the shifts -16 … -1.
MIN_SHIFT, MAX_SHIFT = -16, 47
#: A quotient is at most 2^QUOTIENT_BITS, of either sign.
QUOTIENT_BITS = 24

#: Stages of the lanes.
STAGES = 3
#: Bits of a root after its leading one: those of a multiplier, and some to round by.
ROOT_BITS = 18
#: Cycles that take 1, 2, 4, 8, 16 pairs of leading zeros away.
NORMALISING = 5
#: Cycles in the first stage. A division takes the operands, their magnitudes, compares, finds the bits, compares,
#: rounds; a root takes the operand, normalises, prepares, finds the bits, rounds.
CYCLES = {
    op: {AluOp.DIV: QUOTIENT_BITS + 5, AluOp.ISQRT: ROOT_BITS + NORMALISING + 3}.get(op, 1) for op in AluOp
}


class ScaleLayout(data.StructLayout):
    """A scale, mult / 2^shift, in the low bits of a lane's operand; the bits above count for nothing.

    mult   unsigned
    shift  modulo 64, from -16 to 47
    """

    def __init__(self) -> None:
        super().__init__({"mult": MULT_BITS, "shift": SHIFT_BITS})


class VectorLayout(data.ArrayLayout):
    """One value a lane."""

    def __init__(self, params: PEParams):
        super().__init__(signed(params.lane_bits), params.alu_lanes)


def scale_word(mult: int, shift: int) -> int:
    """The operand that multiplies by mult / 2^shift."""
    whole("mult", mult, 0, MAX_MULT)
    whole("shift", shift, MIN_SHIFT, MAX_SHIFT)
    return mult | (shift % 2**SHIFT_BITS) << MULT_BITS
