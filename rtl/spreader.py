"""Zero insertion and borders, between the receiver and a convolution buffer."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import BufferParams, Kernel
from ohmweave.rtl.conv_buffer.geometry import MAX_HEIGHT, UNITS
from ohmweave.rtl.fill import FillLayout, fill_values, fill_word

__all__ = ["MAX_BORDER", "MAX_STEP", "Spreader", "SpreaderConfig", "spread_size", "spreader_config"]

#: Places from one word to the next.
MAX_STEP = 4
#: Fill words on one side of the map.
MAX_BORDER = 15
SIDES = ("top", "left", "bottom", "right")


class SpreaderConfig(data.StructLayout):
    """Geometry of the spread map, from `spreader_config()`. All zero: words pass as they are.

    spread          0: words pass as they are, nothing else matters
    top, left       fill rows above the first word, fill words left of it
    gap_y, gap_x    fill rows between rows, fill words between words: step - 1
    end_y, end_x    place of the last row and of the last word of a row
    last_y, last_x  last place of the spread map
    fill            what a fill word holds
    """

    def __init__(self, params: BufferParams):
        column = (params.width - 1).bit_length() or 1
        row = (MAX_HEIGHT - 1).bit_length()
        super().__init__(
            {
                "spread": 1,
                "top": MAX_BORDER.bit_length(),
                "left": MAX_BORDER.bit_length(),
                "gap_y": (MAX_STEP - 1).bit_length(),
                "gap_x": (MAX_STEP - 1).bit_length(),
                "end_y": row,
                "end_x": column,
                "last_y": row,
                "last_x": column,
                "fill": FillLayout(params),
            }
        )


def spread_size(
    height: int, width: int, *, step: Sequence[int] = (1, 1), border: Sequence[int] = (0, 0, 0, 0)
) -> tuple[int, int]:
    """Rows and columns of the spread map of a frame; step (y, x), border (top, left, bottom, right)."""
    top, left, bottom, right = border
    return (height - 1) * step[0] + 1 + top + bottom, (width - 1) * step[1] + 1 + left + right


def spreader_config(
    params: BufferParams,
    *,
    height: int,
    width: int,
    step: Sequence[int] = (1, 1),
    border: Sequence[int] = (0, 0, 0, 0),
    fill: Sequence[int] = (0,),
    planes: int = 1,
    kernel: Kernel = 1,
) -> dict[str, Any]:
    """A value for each field of `SpreaderConfig`; `OhmweaveError` for what the spreader cannot do.

    height, width   words of a frame
    step            rows and columns from one word to the next
    border          fill rows and columns around: top, left, bottom, right
    fill            value of a fill word in each channel; those of channel 3 on are the same
    planes, kernel  as in `receiver_config()`
    """
    whole("height", height, 1, MAX_HEIGHT)
    whole("width", width, 1, params.width)
    if not isinstance(step, Sequence) or len(step) != 2:
        raise OhmweaveError(f"step must be two numbers, rows and columns, not {step!r}")
    whole("row step", step[0], 1, MAX_STEP)
    whole("column step", step[1], 1, MAX_STEP)
    if not isinstance(border, Sequence) or len(border) != len(SIDES):
        raise OhmweaveError(f"border must be four numbers, {', '.join(SIDES)}, not {border!r}")
    for side, size in zip(SIDES, border, strict=True):
        whole(f"{side} border", size, 0, MAX_BORDER)
    rows, columns = spread_size(height, width, step=step, border=border)
    for name, size, most in (("rows", rows, MAX_HEIGHT), ("columns", columns, params.width)):
        if size > most:
            raise OhmweaveError(f"{name} of the spread map must be at most {most}, not {size}")
    top, left, bottom, right = border
    return {
        "spread": int((rows, columns) != (height, width)),
        "top": top,
        "left": left,
        "gap_y": step[0] - 1,
        "gap_x": step[1] - 1,
        "end_y": rows - 1 - bottom,
        "end_x": columns - 1 - right,
        "last_y": rows - 1,
        "last_x": columns - 1,
        "fill": fill_values(params, fill, planes=planes, kernel=kernel),
    }


class Spreader(Component):
    """Turns a frame of height × width words into a larger map: words on every step-th place, fill words elsewhere.

    Between two words of a row stand step_x - 1 fill words, between two rows step_y - 1 rows of them, and a border of
    fill words surrounds it all. So a transposed convolution is a convolution over the spread map, and padding may
    differ from side to side. A fill word holds the zero point of each channel.

    Parameters
    ----------
    params : BufferParams
        Of the buffer behind it.

    Ports
    -----
    config : In(SpreaderConfig(params))
        From `spreader_config()`; changes only under reset. All zero: words pass as they are.
    i : In(stream(lanes × act_bits))
        Words of a frame in raster order.
    o : Out(stream(lanes × act_bits))
        Words of the spread map in raster order. In a fill word with P planes of Lp lanes, lanes p × Lp + c have
        plane p of channel c's value, and lanes from P × Lp on are zero.

    Latency and throughput
    ----------------------
    - A word passes in the cycle in which it is taken: `o` and `i.ready` follow `i` and `o.ready` combinationally.
      `i.ready` is low while a fill word is due.
    - A word a cycle at `o`: a frame takes R × C cycles, with R = (height - 1) × step_y + 1 + top + bottom and
      C = (width - 1) × step_x + 1 + left + right, if `o` is always taken and each word there when its place comes.
    - From the first word of a frame being offered to it being taken: top × C + left cycles. The fill words before
      it wait for it, those after the last word go out by themselves.

    Raises
    ------
    TypeError
        If `params` is not a `BufferParams`.
    """

    def __init__(self, *, params: BufferParams):
        if not isinstance(params, BufferParams):
            raise TypeError(f"params must be BufferParams, not {params!r}")
        self._params = params
        word = stream.Signature(params.lanes * params.act_bits)
        super().__init__({"config": In(SpreaderConfig(params)), "i": In(word), "o": Out(word)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params, config = self._params, self.config
        x = _Axis.of(config.left, config.gap_x, config.end_x, config.last_x, "x")
        y = _Axis.of(config.top, config.gap_y, config.end_y, config.last_y, "y")
        filling = Signal()
        # Wide values are copied, and composed, only in the branch that is taken.
        with m.If(config.spread):
            m.d.comb += filling.eq(~(x.word & y.word))
        with m.If(filling):
            m.d.comb += self.o.valid.eq(self.i.valid | (x.at != 0) | (y.at != 0))
            with m.If(self.o.valid):
                fill = fill_word(
                    m,
                    config.fill,
                    act_bits=params.act_bits,
                    lanes=params.lanes,
                    pixel_lanes={params.lanes * units // UNITS for units in (1, 2, 4, 8)},
                )
                m.d.comb += self.o.payload.eq(fill)
        with m.Else():
            m.d.comb += [
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready),
                self.o.payload.eq(self.i.payload),
            ]
        with m.If(config.spread & self.o.valid & self.o.ready):
            x.advance(m)
            with m.If(x.end):
                y.advance(m)
        return m


class _Axis(NamedTuple):
    """Place in a row, or the row, of the spread map, and whether words stand there."""

    at: Signal
    since: Signal  # fill places since the last word or the beginning
    passed: Signal  # a word was there
    begun: Signal
    stands: Signal  # a word stands here, once it has begun
    following: Value  # and at the next place
    word: Value
    end: Value

    @classmethod
    def of(cls, border: Value, gap: Value, end: Value, last: Value, name: str) -> "_Axis":
        at = Signal(len(last), name=f"{name}_at")
        since = Signal(len(border), name=f"{name}_since")
        passed = Signal(name=f"{name}_passed")
        # A register, as much hangs on it; what it is at the first place is not known to the reset.
        begun, stands = Signal(name=f"{name}_begun"), Signal(name=f"{name}_stands")
        word = Mux(begun, stands, border == 0)
        then = Mux(word, gap == 0, since + 1 == Mux(passed, gap, border)) & (at < end)
        following = Mux(at == last, border == 0, then)
        return cls(at, since, passed, begun, stands, following, word, at == last)

    def advance(self, m: Module) -> None:
        m.d.sync += [self.at.eq(self.at + 1), self.since.eq(self.since + 1)]
        m.d.sync += [self.begun.eq(1), self.stands.eq(self.following)]
        with m.If(self.word):
            m.d.sync += [self.since.eq(0), self.passed.eq(1)]
        with m.If(self.end):
            m.d.sync += [self.at.eq(0), self.since.eq(0), self.passed.eq(0)]
