"""Division on one lane, a few bits of the quotient a cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import CYCLES, QUOTIENT_BITS
from ohmweave.rtl.arithmetic.lane_group import Lane
from ohmweave.rtl.isa import AluOp

__all__ = ["Divider"]

#: Bits of the quotient that one cycle gives: as many subtractions, one after the other.
BITS_A_CYCLE = QUOTIENT_BITS // CYCLES[AluOp.DIV]


class Divider(Lane):
    """Rounded quotient of two signed numbers, halves up: clip(⌊a/b + 1/2⌋, -2^24, 2^24).

    By zero: 2^24 with the sign of `a`, and 0/0 = 0. Restoring division of the magnitudes, radix 2^6: what is left of
    the dividend above its low 24 bits is the first remainder, and if that is not below the divisor the quotient is
    out of range. The last cycle also rounds and puts the sign back.

    Parameters: params, of the PE.
    Ports: `step`, one cycle of a division; `first`, it is its first, with `a` and `b`; `quotient`, of the fourth
    step, in that cycle.
    Latency and throughput: 4 cycles, one division at a time.
    """

    module = "dividers"
    common = frozenset({"step", "first"})

    def __init__(self, *, params: PEParams):
        self._bits = params.lane_bits
        super().__init__(
            {
                "step": In(1),
                "first": In(1),
                "a": In(signed(self._bits)),
                "b": In(signed(self._bits)),
                "quotient": Out(signed(QUOTIENT_BITS + 2)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._bits
        # Between cycles: the remainder; low bits of the dividend that are still to come, then bits of the quotient.
        remainder, low = Signal(bits), Signal(QUOTIENT_BITS)
        divisor, negative, above = Signal(bits), Signal(), Signal()
        # The same in this cycle, before the subtractions.
        dividend = Signal(bits)
        rest, digits = Signal(bits), Signal(QUOTIENT_BITS)
        by, sign, over = Signal(bits), Signal(), Signal()
        with m.If(self.step):
            with m.If(self.first):
                m.d.comb += [
                    dividend.eq(Mux(self.a < 0, -self.a, self.a)),
                    rest.eq(dividend >> QUOTIENT_BITS),
                    digits.eq(dividend),
                    # Zero by anything is zero, and by zero, too.
                    by.eq(Mux(self.b < 0, -self.b, self.b) | (self.a == 0)),
                    sign.eq(self.a[-1] ^ self.b[-1]),
                    over.eq(rest >= by),
                ]
            with m.Else():
                m.d.comb += [
                    rest.eq(remainder), digits.eq(low), by.eq(divisor), sign.eq(negative), over.eq(above),
                ]  # fmt: skip
        found: list[Signal] = []
        for n in range(BITS_A_CYCLE):
            shifted = Signal(bits + 1, name=f"shifted_{n}")
            fits = Signal(name=f"fits_{n}")
            after = Signal(bits, name=f"rest_{n}")
            with m.If(self.step):
                m.d.comb += [
                    shifted.eq(Cat(digits[QUOTIENT_BITS - 1 - n], rest)),
                    fits.eq(shifted >= by),
                    after.eq(Mux(fits, shifted - by, shifted)),
                ]
            rest = after
            found.insert(0, fits)
        magnitude, rounded = Signal(QUOTIENT_BITS), Signal(QUOTIENT_BITS + 1)
        with m.If(self.step):
            m.d.comb += [
                magnitude.eq(Cat(*found, digits)),
                # Halves go up: away from zero for a positive quotient, towards it for a negative one.
                rounded.eq(magnitude + ((rest << 1) + ~sign > by)),
                self.quotient.eq(Mux(over, 1 << QUOTIENT_BITS, rounded)),
            ]
            with m.If(sign):
                m.d.comb += self.quotient.eq(-Mux(over, 1 << QUOTIENT_BITS, rounded))
            m.d.sync += [
                remainder.eq(rest), low.eq(magnitude), divisor.eq(by), negative.eq(sign), above.eq(over),
            ]  # fmt: skip
        return m
