"""One lane of the special function unit: inverse square roots."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import CYCLES, MULT_BITS, ScaleLayout
from ohmweave.rtl.arithmetic.lane_group import Lane
from ohmweave.rtl.isa import AluOp

__all__ = ["SfuLane"]

BITS_A_CYCLE = 3
#: Steps between the cycle that normalises and the one that rounds.
STEPS = CYCLES[AluOp.ISQRT] - 2
#: Bits of the root after its leading one: those of the multiplier, and some to round by.
DIGITS = STEPS * BITS_A_CYCLE
EXTRA = DIGITS + 1 - MULT_BITS


class SfuLane(Lane):
    """The scale nearest to 1/√x of a whole number x; x below 1 counts as 1.

    Re-ReRAM, section IV.B. With x·4^z = M normalised to 2^(w-2) ≤ M < 2^w the multiplier is
    2^(w/2 + 15) / √M, rounded to nearest, and the shift w/2 + 15 - z; a multiplier of 2^16, which does not fit, becomes
    2^15 with the shift one less. So the scale is 1/√x within 2^-16 of it, relatively.

    The root is found digit by digit: y with the remainder R = 2^(w + 2j) - M·y² ≥ 0 after j digits, the next of which
    is 1 if 4R ≥ (4y + 1)·M. P = M·y is kept, so that there is no multiplication.

    Parameters: params, of the PE.
    Ports: `start`, x is in `a`; `step`, the next three digits; `scale`, in the cycle after the last step.
    Latency: 8 cycles with the one that normalises, six steps, and the one in which `scale` is taken.
    """

    module = "sfu_lanes"
    common = frozenset({"start", "step", "finish"})

    def __init__(self, *, params: PEParams):
        self._bits = params.lane_bits
        super().__init__(
            {
                "start": In(1),
                "step": In(1),
                "finish": In(1),
                "a": In(signed(self._bits)),
                "scale": Out(ScaleLayout().size),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Pairs of bits of the largest x, a positive signed number, are w / 2.
        pairs = self._bits // 2
        width = 2 * pairs
        mantissa, places = Signal(width), Signal(range(pairs))
        root = Signal(DIGITS + 1)
        product = Signal(width + DIGITS + 1)
        remainder = Signal(width + DIGITS + 2)
        self._normalise(m, mantissa, places, root, product, remainder)
        self._step(m, mantissa, root, product, remainder)
        rounded = Signal(MULT_BITS + 1)
        with m.If(self.finish):
            shift = width // 2 + MULT_BITS - 1 - places
            m.d.comb += [
                rounded.eq((root + (1 << (EXTRA - 1))) >> EXTRA),
                self.scale.eq(
                    Mux(rounded[-1], Cat(rounded[1:], (shift - 1)[:6]), Cat(rounded[:-1], shift[:6]))
                ),
            ]
        return m

    def _normalise(
        self, m: Module, mantissa: Signal, places: Signal, root: Signal, product: Signal, remainder: Signal
    ) -> None:
        """x to the top, two bits at a time, and the recurrence's first state, y = 1."""
        width = len(mantissa)
        value = Signal(width, name="value")
        moved: list[Signal] = []
        with m.If(self.start):
            m.d.comb += value.eq(Mux(self.a < 1, 1, self.a))
        for level in reversed(range(len(places))):
            empty = Signal(name=f"empty_{level}")
            shifted = Signal(width, name=f"shifted_{level}")
            count = 2 << level
            with m.If(self.start):
                m.d.comb += [
                    empty.eq(~value[-count:].any()),
                    shifted.eq(Mux(empty, value << count, value)),
                ]
            value = shifted
            moved.insert(0, empty)
        with m.If(self.start):
            m.d.sync += [
                mantissa.eq(value),
                places.eq(Cat(*moved)),
                root.eq(1),
                product.eq(value),
                remainder.eq((1 << width) - value),
            ]

    def _step(self, m: Module, mantissa: Signal, root: Signal, product: Signal, remainder: Signal) -> None:
        rest, multiple = remainder, product
        found: list[Signal] = []
        for n in range(BITS_A_CYCLE):
            trial = Signal(len(remainder) + 1, name=f"trial_{n}")
            fits = Signal(name=f"fits_{n}")
            next_rest = Signal.like(remainder, name=f"rest_{n}")
            next_multiple = Signal.like(product, name=f"multiple_{n}")
            with m.If(self.step):
                m.d.comb += [
                    trial.eq((multiple << 2) + mantissa),
                    fits.eq((rest << 2) >= trial),
                    next_rest.eq((rest << 2) - Mux(fits, trial, 0)),
                    next_multiple.eq((multiple << 1) + Mux(fits, mantissa, 0)),
                ]
            rest, multiple = next_rest, next_multiple
            found.insert(0, fits)
        with m.If(self.step):
            m.d.sync += [remainder.eq(rest), product.eq(multiple), root.eq(Cat(*found, root))]
