"""One lane of the special function unit: inverse square roots."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import MULT_BITS, NORMALISING, ROOT_BITS, ScaleLayout
from ohmweave.rtl.arithmetic.lane_group import Lane

__all__ = ["SfuLane"]

EXTRA = ROOT_BITS + 1 - MULT_BITS


class SfuLane(Lane):
    """The scale nearest to 1/√x of a whole number x; x below 1 counts as 1.

    Re-ReRAM, section IV.B. With x·4^z = M normalised to 2^(w-2) ≤ M < 2^w the multiplier is
    2^(w/2 + 15) / √M, rounded to nearest, and the shift w/2 + 15 - z; a multiplier of 2^16, which does not fit, becomes
    2^15 with the shift one less. So the scale is 1/√x within 2^-16 of it, relatively.

    The root is found digit by digit: y with the remainder R = 2^(w + 2j) - M·y² ≥ 0 after j digits, the next of which
    is 1 if 4R ≥ T = (4y + 1)·M. T is kept: the next one is 2T - M after a digit 0 and 2T + 3M after a 1, so that both
    are there when the comparison is.

    Parameters: params, of the PE.
    Ports: `first`, x is in `a`; after it `normalise` with level 4, 3, … 0 as `level`, `prepare`, and 18 times `step`, a
    cycle each, with any number of cycles between them; `scale`, after that until the next `first`.
    Latency: 25 cycles from `first` to `scale`, one root at a time.
    """

    module = "sfu_lanes"
    common = frozenset({"first", "normalise", "level", "prepare", "step"})

    def __init__(self, *, params: PEParams):
        self._bits = params.lane_bits
        super().__init__(
            {
                "first": In(1),
                "normalise": In(1),
                "level": In(range(NORMALISING)),
                "prepare": In(1),
                "step": In(1),
                "a": In(signed(self._bits)),
                "scale": Out(ScaleLayout().size),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Pairs of bits of the largest x, a positive signed number, are w / 2.
        pairs = self._bits // 2
        width = 2 * pairs
        mantissa, places = Signal(width), Signal(NORMALISING)
        root = Signal(ROOT_BITS + 1)
        remainder = Signal(width + ROOT_BITS + 2)
        trial = Signal(len(remainder) + 1)
        thrice = Signal(width + 2)
        with m.If(self.first):
            m.d.sync += [mantissa.eq(Mux(self.a < 1, 1, self.a)), places.eq(0)]
        with m.If(self.normalise), m.Switch(self.level):
            for level in range((pairs - 1).bit_length()):
                count = 2 << level
                with m.Case(level), m.If(~mantissa[-count:].any()):
                    m.d.sync += [mantissa.eq(mantissa << count), places[level].eq(1)]
        with m.If(self.prepare):
            m.d.sync += [
                root.eq(1),
                remainder.eq((1 << width) - mantissa),
                trial.eq((mantissa << 2) + mantissa),
                thrice.eq((mantissa << 1) + mantissa),
            ]
        with m.If(self.step):
            less = Signal(signed(len(remainder) + 3))
            m.d.comb += less.eq((remainder << 2) - trial)
            digit = less >= 0
            m.d.sync += [
                root.eq(Cat(digit, root)),
                remainder.eq(Mux(digit, less, remainder << 2)),
                trial.eq(Mux(digit, (trial << 1) + thrice, (trial << 1) - mantissa)),
            ]
        rounded = Signal(MULT_BITS + 1)
        shift = width // 2 + MULT_BITS - 1 - places
        m.d.comb += [
            rounded.eq((root + (1 << (EXTRA - 1))) >> EXTRA),
            self.scale.eq(Mux(rounded[-1], Cat(rounded[1:], (shift - 1)[:6]), Cat(rounded[:-1], shift[:6]))),
        ]
        return m
