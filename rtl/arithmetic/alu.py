"""One lane of the ALU."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import (
    MAX_MULT,
    MAX_SHIFT,
    MIN_SHIFT,
    MULT_BITS,
    QUOTIENT_BITS,
    STAGES,
    ScaleLayout,
)
from ohmweave.rtl.arithmetic.lane_group import Lane
from ohmweave.rtl.isa import AluOp, Format

__all__ = ["FORMAT_BITS", "AluLane"]

#: Bits of the unsigned formats.
FORMAT_BITS = {Format.U4: 4, Format.U8: 8, Format.U16: 16}
#: Bits of the multiplier that one partial product has.
DIGIT_BITS = 4


class AluLane(Lane):
    """Adds, subtracts, multiplies, compares; and saturates, also what the divider or the SFU lane beside it found.

    Re-ReRAM, section IV.B. A value is clipped to the signed range of a lane, and then to that of its `size`. Three
    stages:

    1. a sum, a comparison, or the products with the multiplier's four digits;
    2. the sum of the products and of half a unit of the result, so that the shift rounds; and which bits of it have to
       be equal to its sign for the result to fit;
    3. the shift and, beside it, whether those bits are: else an end of the range.

    An operand is what was taken with it, or one of two registers. FORWARD is what one operation leaves to the next:
    all operations but MUL leave their value, clipped to the lane, from the first stage, so that the next finds it a
    cycle later; what MUL gives, and what is clipped to a format, comes from the last. `result` is what an operation
    found that was in the last stage when this one was taken.

    Parameters: params, of the PE.

    Ports:
    `take`, `a` and `b` are there and go to the first stage, where FORWARD is the operand instead if `forward_a`,
    `forward_b`, or else `result` of the first cycle there if `result_a`, `result_b`;
    `op`, of what is in the first stage, one that is none gives 0; `x`, `y`, its operands; `quotient`, what DIV gives,
    `scale`, what ISQRT gives;
    `done`, for each stage: what is in it moves on, from the last one to `result`;
    `keep_first`, `keep_last`, what moves on there is FORWARD from now on;
    `size`, format of what is in the second stage.
    Latency: three stages; `result` is there after the last. Throughput: one operation a cycle.
    """

    module = "alu_lanes"
    common = frozenset(
        {
            "take", "forward_a", "forward_b", "result_a", "result_b", "op", "done", "keep_first", "keep_last", "size",
        }
    )  # fmt: skip

    def __init__(self, *, params: PEParams):
        self._bits = bits = params.lane_bits
        super().__init__(
            {
                "take": In(1),
                "a": In(signed(bits)),
                "b": In(signed(bits)),
                "forward_a": In(1),
                "forward_b": In(1),
                "result_a": In(1),
                "result_b": In(1),
                "op": In(AluOp),
                "x": Out(signed(bits)),
                "y": Out(signed(bits)),
                "quotient": In(signed(QUOTIENT_BITS + 2)),
                "scale": In(ScaleLayout().size),
                "done": In(STAGES),
                "keep_first": In(1),
                "keep_last": In(1),
                "size": In(Format),
                "result": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._bits
        forward = Signal(signed(bits))
        value = Signal(signed(bits))
        self._operand(m, "x", self.a, self.forward_a, self.result_a, forward)
        self._operand(m, "y", self.b, self.forward_b, self.result_b, forward)
        self._value(m, value)

        # One addend for each digit of the multiplier; all others have a single one.
        scale = data.View(ScaleLayout(), self.y.as_unsigned()[: ScaleLayout().size])
        digits = MULT_BITS // DIGIT_BITS
        addends = [Signal(signed(bits + DIGIT_BITS), name=f"addend_{n}") for n in range(digits)]
        amount = Signal(range(MAX_SHIFT - MIN_SHIFT + 1))
        with m.If(self.done[0]):
            with m.If(self.op == AluOp.MUL):
                # The amount is modulo 64, as the shift's code is.
                m.d.sync += amount.eq(scale.shift - MIN_SHIFT)
                for n, addend in enumerate(addends):
                    m.d.sync += addend.eq(self.x * scale.mult.word_select(n, DIGIT_BITS))
            with m.Else():
                m.d.sync += amount.eq(-MIN_SHIFT)
                m.d.sync += addends[0].eq(value)
                m.d.sync += [addend.eq(0) for addend in addends[1:]]

        # The largest product and half a unit.
        largest = (2 ** (bits - 1) - 1) * MAX_MULT + 2 ** (MAX_SHIFT - 1)
        full = Signal(signed(largest.bit_length() + 1))
        # Bits at and above the end of the result's range.
        above = Signal(len(full))
        places, form = Signal.like(amount), Signal(Format)
        with m.If(self.done[1]):
            # 2^(s-1) for a shift s ≥ 1, which is the amount - 16.
            half = (Const(1) << amount)[1 - MIN_SHIFT :]
            terms = (addend << DIGIT_BITS * n for n, addend in enumerate(addends))
            m.d.sync += [full.eq(sum(terms, start=half)), places.eq(amount), form.eq(self.size)]
            # From the place of the amount on.
            reached = Const(-1, len(full) - MIN_SHIFT) << amount
            with m.Switch(self.size):
                for each, width in FORMAT_BITS.items():
                    with m.Case(each):
                        m.d.sync += above.eq(reached[-MIN_SHIFT - width :])
                with m.Default():
                    m.d.sync += above.eq(reached << bits - 1 + MIN_SHIFT)

        found = Signal(signed(bits))
        self._shift(m, found, full, places, above, form)
        with m.If(self.done[2]):
            m.d.sync += self.result.eq(found)
        with m.If(self.keep_last):
            m.d.sync += forward.eq(found)
        # The later operation's.
        with m.If(self.keep_first):
            m.d.sync += forward.eq(value)
        return m

    def _operand(
        self, m: Module, name: str, given: Value, forward: Value, result: Value, kept: Value
    ) -> None:
        """An operand of the first stage: of registers alone, as all outputs are, and one gate behind them."""
        held = Signal(self._bits, name=f"held_{name}")
        forwards, results = Signal(name=f"forwards_{name}"), Signal(name=f"results_{name}")
        with m.If(self.take):
            m.d.sync += [
                held.eq(Mux(forward | result, 0, given)),
                forwards.eq(forward),
                results.eq(result & ~forward),
            ]
        m.d.comb += getattr(self, name).eq(
            held | kept & forwards.replicate(self._bits) | self.result & results.replicate(self._bits)
        )

    def _value(self, m: Module, value: Signal) -> None:
        """What the first stage finds, clipped to a lane."""
        bits = self._bits
        subtracts = Signal()
        total = Signal(signed(bits + 1))
        clipped = Signal(signed(bits))
        less = total[-1]
        flipped = self.y.as_unsigned() ^ subtracts.replicate(bits)
        m.d.comb += [
            subtracts.eq((self.op == AluOp.SUB) | (self.op == AluOp.MAX) | (self.op == AluOp.MIN)),
            # One adder: a carry goes in below.
            total.eq((Cat(1, self.x).as_signed() + Cat(subtracts, flipped).as_signed()) >> 1),
            clipped.eq(saturated(total, bits)),
        ]
        with m.Switch(self.op):
            with m.Case(AluOp.ADD, AluOp.SUB):
                m.d.comb += value.eq(clipped)
            with m.Case(AluOp.RELU):
                m.d.comb += value.eq(Mux(self.x < 0, 0, self.x))
            with m.Case(AluOp.MAX):
                m.d.comb += value.eq(Mux(less, self.y, self.x))
            with m.Case(AluOp.MIN):
                m.d.comb += value.eq(Mux(less, self.x, self.y))
            with m.Case(AluOp.DIV):
                m.d.comb += value.eq(saturated(self.quotient, bits))
            with m.Case(AluOp.ISQRT):
                m.d.comb += value.eq(self.scale)

    def _shift(self, m: Module, found: Signal, full: Value, places: Value, above: Value, size: Value) -> None:
        """`full` moved down by `places` - 16, or an end of the range of `size` if one of its bits `above` counts."""
        bits = self._bits
        sign, wide = full[-1], size == Format.WIDE
        # The longest way first: what it leaves is narrower for those behind.
        shifted: Value = full << -MIN_SHIFT
        for n in reversed(range(len(places))):
            nearer = Signal(signed(bits + 2**n - 1), name=f"shifted_{n}")
            m.d.comb += nearer.eq(Mux(places[n], shifted >> 2**n, shifted))
            shifted = nearer
        limit = Signal(signed(bits))
        with m.If(~sign):
            m.d.comb += limit.eq(2 ** (bits - 1) - 1)
            with m.Switch(size):
                for each, width in FORMAT_BITS.items():
                    with m.Case(each):
                        m.d.comb += limit.eq(2**width - 1)
        with m.Elif(wide):
            m.d.comb += limit.eq(-(2 ** (bits - 1)))
        over = ((full ^ sign.replicate(len(full))) & above).any()
        m.d.comb += found.eq(Mux(over | (sign & ~wide), limit, shifted))


def saturated(value: Value, bits: int) -> Value:
    """`value`, a signed number, clipped to `bits` bits."""
    if len(value) <= bits:
        return value
    top = 2 ** (bits - 1) - 1
    fits = value[bits - 1 :].all() | ~value[bits - 1 :].any()
    return Mux(fits, value, Mux(value < 0, ~top, top))
