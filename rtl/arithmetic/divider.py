"""Division on one lane, a bit of the quotient a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import QUOTIENT_BITS
from ohmweave.rtl.arithmetic.lane_group import Lane

__all__ = ["Divider"]


class Divider(Lane):
    """Rounded quotient of two signed numbers, halves up: clip(⌊a/b + 1/2⌋, -2^24, 2^24).

    By zero: 2^24 with the sign of `a`, and 0/0 = 0. Restoring division of the magnitudes: what is left of the dividend
    above its low 24 bits is the first remainder, and if that is not below the divisor the quotient is out of range.
    Then a comparison tells which way it is rounded, and the sign is put back.

    Parameters: params, of the PE.
    Ports: `first`, with `a` and `b`; after it `measure`, `check`, 24 times `step`, and `round`, a cycle each, with any
    number of cycles between them; `quotient`, after that until the next `first`.
    Latency: 28 cycles from `first` to `quotient`, one division at a time.
    """

    module = "dividers"
    common = frozenset({"first", "measure", "check", "step", "round"})

    def __init__(self, *, params: PEParams):
        self._bits = params.lane_bits
        super().__init__(
            {
                "first": In(1),
                "measure": In(1),
                "check": In(1),
                "step": In(1),
                "round": In(1),
                "a": In(signed(self._bits)),
                "b": In(signed(self._bits)),
                "quotient": Out(signed(QUOTIENT_BITS + 2)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._bits
        # Low bits of the dividend that are still to come, then bits of the quotient.
        rest, low = Signal(bits), Signal(QUOTIENT_BITS)
        by, negative, over, up = Signal(bits), Signal(), Signal(), Signal()
        dividend, magnitude = Signal(signed(bits)), Signal(bits)
        with m.If(self.first):
            # Operands come late in the cycle.
            m.d.sync += [Cat(low, rest).eq(self.a.as_unsigned()), by.eq(self.b)]
        with m.If(self.measure):
            m.d.comb += [
                dividend.eq(Cat(low, rest)),
                magnitude.eq(Mux(dividend < 0, -dividend, dividend)),
            ]
            m.d.sync += [
                rest.eq(magnitude >> QUOTIENT_BITS),
                low.eq(magnitude),
                # Zero by anything is zero, and by zero, too.
                by.eq(Mux(by[-1], -by, by) | (dividend == 0)),
                negative.eq(dividend[-1] ^ by[-1]),
            ]
        with m.If(self.check):
            m.d.sync += over.eq(rest >= by)
        shifted = Signal(bits + 1)
        less = Signal(signed(bits + 2))
        with m.If(self.step):
            m.d.comb += [shifted.eq(Cat(low[-1], rest)), less.eq(shifted - by)]
            m.d.sync += [rest.eq(Mux(less < 0, shifted, less)), low.eq(Cat(less >= 0, low))]
        with m.If(self.round):
            # Halves go up: away from zero for a positive quotient, towards it for a negative one.
            m.d.sync += up.eq(Cat(~negative, rest) > by)
        with m.If(over):
            m.d.comb += self.quotient.eq(Mux(negative, -(1 << QUOTIENT_BITS), 1 << QUOTIENT_BITS))
        with m.Else():
            # The magnitude and `up`, or the negative of their sum: -(x + 1) is ~x.
            flipped = (Cat(low, 0) ^ negative.replicate(QUOTIENT_BITS + 1)).as_signed()
            m.d.comb += self.quotient.eq(flipped + (up ^ negative))
        return m
