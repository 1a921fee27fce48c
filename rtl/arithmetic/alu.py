"""One lane of the ALU."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import MAX_SHIFT, MIN_SHIFT, MULT_BITS, QUOTIENT_BITS, ScaleLayout
from ohmweave.rtl.arithmetic.lane_group import Lane
from ohmweave.rtl.isa import AluOp, Format

__all__ = ["FORMAT_BITS", "AluLane"]

#: Bits of the unsigned formats.
FORMAT_BITS = {Format.U4: 4, Format.U8: 8, Format.U16: 16}


class AluLane(Lane):
    """Adds, subtracts, multiplies, compares; and saturates, also what the divider or the SFU lane beside it found.

    Re-ReRAM, section IV.B. A value is clipped to the signed range of a lane, and then to that of its `size`.

    Parameters: params, of the PE.
    Ports: `enable`, set `result` to that of operation `op` in format `size`, on operands `a` and `b`, or for DIV
    `quotient` and for ISQRT `scale`. An `op` that is none gives 0.
    Latency: a cycle. Throughput: one operation a cycle.
    """

    module = "alu_lanes"
    common = frozenset({"enable", "op", "size"})

    def __init__(self, *, params: PEParams):
        self._params = params
        bits = params.lane_bits
        super().__init__(
            {
                "enable": In(1),
                "op": In(AluOp),
                "size": In(Format),
                "a": In(signed(bits)),
                "b": In(bits),
                "quotient": In(signed(QUOTIENT_BITS + 2)),
                "scale": In(ScaleLayout().size),
                "result": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._params.lane_bits
        b = self.b.as_signed()
        product = self._product(m)
        value = Signal(signed(max(bits + 1, QUOTIENT_BITS + 2)))
        clipped = Signal(signed(bits))
        with m.If(self.enable):
            with m.Switch(self.op):
                with m.Case(AluOp.ADD):
                    m.d.comb += value.eq(self.a + b)
                with m.Case(AluOp.SUB):
                    m.d.comb += value.eq(self.a - b)
                with m.Case(AluOp.MUL):
                    m.d.comb += value.eq(product)
                with m.Case(AluOp.DIV):
                    m.d.comb += value.eq(self.quotient)
                with m.Case(AluOp.ISQRT):
                    m.d.comb += value.eq(self.scale)
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
        with m.If(self.enable & (self.op == AluOp.MUL)):
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
