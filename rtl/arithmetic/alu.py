"""One lane of the ALU."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.divider import Divider
from ohmweave.rtl.arithmetic.formats import MAX_SHIFT, MIN_SHIFT, MULT_BITS, ScaleLayout
from ohmweave.rtl.isa import AluOp, Format

__all__ = ["FORMAT_BITS", "AluLane"]

#: Bits of the unsigned formats.
FORMAT_BITS = {Format.U4: 4, Format.U8: 8, Format.U16: 16}


class AluLane(Component):
    """Adds, subtracts, multiplies, divides, compares, and saturates what it and the SFU lane beside it found.

    Re-ReRAM, section IV.B. A value is clipped to the signed range of a lane, and then to that of its `size`.

    Parameters: params, of the PE.
    Ports: `enable`, a cycle of operation `op` on this lane; `first`, it is the first, with operands `a` and `b`;
    `write`, it is the last: `result` is set at its end, in format `size`; `special`, what ISQRT writes.
    Latency: a cycle, DIV four; nothing is kept from one operation to the next but `result`. An `op` that is none
    gives 0.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        bits = params.lane_bits
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                "write": In(1),
                "op": In(AluOp),
                "size": In(Format),
                "a": In(signed(bits)),
                "b": In(bits),
                "special": In(ScaleLayout().size),
                "result": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._params.lane_bits
        b = self.b.as_signed()
        m.submodules.divider = divider = Divider(params=self._params)
        m.d.comb += [
            divider.step.eq(self.enable & (self.op == AluOp.DIV)),
            divider.first.eq(self.first),
            divider.a.eq(self.a),
            divider.b.eq(b),
        ]
        product = self._product(m)
        value = Signal(signed(bits + 1))
        clipped = Signal(signed(bits))
        with m.If(self.write):
            with m.Switch(self.op):
                with m.Case(AluOp.ADD):
                    m.d.comb += value.eq(self.a + b)
                with m.Case(AluOp.SUB):
                    m.d.comb += value.eq(self.a - b)
                with m.Case(AluOp.MUL):
                    m.d.comb += value.eq(product)
                with m.Case(AluOp.DIV):
                    m.d.comb += value.eq(divider.quotient)
                with m.Case(AluOp.ISQRT):
                    m.d.comb += value.eq(self.special)
                with m.Case(AluOp.RELU):
                    m.d.comb += value.eq(Mux(self.a < 0, 0, self.a))
                with m.Case(AluOp.MAX):
                    m.d.comb += value.eq(Mux(self.a < b, b, self.a))
                with m.Case(AluOp.MIN):
                    m.d.comb += value.eq(Mux(self.a < b, self.a, b))
            m.d.comb += clipped.eq(saturated(value, bits))
            with m.Switch(self.size):
                for size, width in FORMAT_BITS.items():
                    with m.Case(size):
                        top = 2**width - 1
                        m.d.sync += self.result.eq(
                            Mux(clipped < 0, 0, Mux(clipped[width:].any(), top, clipped))
                        )
                with m.Default():
                    m.d.sync += self.result.eq(clipped)
        return m

    def _product(self, m: Module) -> Signal:
        """a · mult / 2^shift, rounded, halves up, and clipped to one bit more than a lane."""
        bits = self._params.lane_bits
        scale = data.View(ScaleLayout(), self.b[: ScaleLayout().size])
        full = Signal(signed(bits + MULT_BITS))
        # The rounding shift (p + 2^(s-1)) >> s is ((p >> (s-1)) + 1) >> 1 for every s, also for s <= 0 with
        # the product as many places up as the shift can be negative, and one more: no wide rounding constant.
        up = 1 - MIN_SHIFT
        shifted = Signal(signed(len(full) + up))
        rounded = Signal(signed(len(shifted)))
        product = Signal(signed(bits + 1))
        amount = Signal(range(MAX_SHIFT - MIN_SHIFT + 1))
        with m.If(self.write & (self.op == AluOp.MUL)):
            m.d.comb += [
                full.eq(self.a * scale.mult),
                # Modulo 64, as the shift's code is.
                amount.eq(scale.shift - MIN_SHIFT),
                shifted.eq((full << up) >> amount),
                rounded.eq((shifted + 1) >> 1),
                product.eq(saturated(rounded, bits + 1)),
            ]
        return product


def saturated(value: Signal, bits: int) -> Mux:
    """`value` clipped to `bits` bits, signed."""
    top = 2 ** (bits - 1) - 1
    fits = value[bits - 1 :].all() | ~value[bits - 1 :].any()
    return Mux(fits, value, Mux(value < 0, ~top, top))
