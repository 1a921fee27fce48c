"""One lane of the ALU."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import (
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
#: Places that a product is moved up by before it is moved down: by as many as a shift can be negative, and one more.
UP = 1 - MIN_SHIFT


class AluLane(Lane):
    """Adds, subtracts, multiplies, compares; and saturates, also what the divider or the SFU lane beside it found.

    Re-ReRAM, section IV.B. A value is clipped to the signed range of a lane, and then to that of its `size`. Four
    stages:

    1. a sum, a comparison, or the products with the multiplier's four digits;
    2. the sum of the products;
    3. the shift;
    4. rounding and clipping.

    FORWARD, the operand that one operation leaves to the next, is a register beside them. All operations but MUL leave
    their value, clipped to the lane, from the first stage, so that the next finds it a cycle later; what MUL gives,
    and what is clipped to a format, comes from the last.

    Parameters: params, of the PE.

    Ports:
    `take`, `a` and `b` are there and go to the first stage, where FORWARD is the operand instead if `forward_a`,
    `forward_b`;
    `op`, of what is in the first stage, one that is none gives 0; `x`, `y`, its operands; `quotient`, what DIV gives,
    `scale`, what ISQRT gives;
    `done`, for each stage: what is in it moves on, from the last one to `result`;
    `keep_first`, `keep_last`, what moves on there is FORWARD from now on;
    `size`, format of what is in the last stage.
    Latency: four stages; `result` is there after the last. Throughput: one operation a cycle.
    """

    module = "alu_lanes"
    common = frozenset({"take", "forward_a", "forward_b", "op", "done", "keep_first", "keep_last", "size"})

    def __init__(self, *, params: PEParams):
        self._bits = bits = params.lane_bits
        super().__init__(
            {
                "take": In(1),
                "a": In(signed(bits)),
                "b": In(signed(bits)),
                "forward_a": In(1),
                "forward_b": In(1),
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
        # Operands of the first stage, and whether FORWARD stands in for them.
        held_a, held_b = Signal(signed(bits)), Signal(signed(bits))
        named_a, named_b = Signal(), Signal()
        forward = Signal(signed(bits))
        value = Signal(signed(bits))
        with m.If(self.take):
            m.d.sync += [
                held_a.eq(self.a),
                held_b.eq(self.b),
                named_a.eq(self.forward_a),
                named_b.eq(self.forward_b),
            ]
        # Of registers alone, as all outputs are.
        m.d.comb += [self.x.eq(Mux(named_a, forward, held_a)), self.y.eq(Mux(named_b, forward, held_b))]
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
                m.d.sync += amount.eq(UP - 1)
                m.d.sync += addends[0].eq(value)
                m.d.sync += [addend.eq(0) for addend in addends[1:]]

        full = Signal(signed(bits + MULT_BITS))
        places = Signal.like(amount)
        with m.If(self.done[1]):
            m.d.sync += [
                full.eq(
                    sum(
                        (addend << DIGIT_BITS * n for n, addend in enumerate(addends[1:], 1)),
                        start=addends[0],
                    )
                ),
                places.eq(amount),
            ]

        # The rounding shift (p + 2^(s-1)) >> s is ((p >> (s-1)) + 1) >> 1 for every s, also for s <= 0 with the
        # product moved up: no rounding constant as wide as it.
        shifted = Signal(signed(len(full) + UP))
        with m.If(self.done[2]):
            m.d.sync += shifted.eq((full << UP) >> places)

        clipped = Signal(signed(bits))
        self._clip(m, clipped, shifted)
        with m.If(self.done[3]):
            m.d.sync += self.result.eq(clipped)

        with m.If(self.keep_last):
            m.d.sync += forward.eq(clipped)
        # The later operation's.
        with m.If(self.keep_first):
            m.d.sync += forward.eq(value)
        return m

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

    def _clip(self, m: Module, clipped: Signal, shifted: Signal) -> None:
        """`shifted` rounded and without its last bit, clipped to the lane and to `size`."""
        bits = self._bits
        rounded = Signal(signed(len(shifted) - 1))
        m.d.comb += rounded.eq((shifted >> 1) + shifted[0])
        with m.Switch(self.size):
            for size, width in FORMAT_BITS.items():
                with m.Case(size):
                    top = 2**width - 1
                    m.d.comb += clipped.eq(Mux(rounded < 0, 0, Mux(rounded[width:].any(), top, rounded)))
            with m.Default():
                m.d.comb += clipped.eq(saturated(rounded, bits))


def saturated(value: Value, bits: int) -> Value:
    """`value`, a signed number, clipped to `bits` bits."""
    if len(value) <= bits:
        return value
    top = 2 ** (bits - 1) - 1
    fits = value[bits - 1 :].all() | ~value[bits - 1 :].any()
    return Mux(fits, value, Mux(value < 0, ~top, top))
