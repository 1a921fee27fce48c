"""From vectors to flits, at the exit of a PE."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.elements import (
    FORMAT_BITS,
    MAX_WIDTH,
    UNIT,
    WIDE_BITS,
    OutputLayout,
    bits_of,
)
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.held import Held
from ohmweave.rtl.side_receiver import check_width

__all__ = ["Sender", "SenderConfig", "sender_config"]


class SenderConfig(data.StructLayout):
    """From `sender_config()`.

    wide_bits   bits of partial sums and of other elements that are no activations
    """

    def __init__(self) -> None:
        super().__init__({"wide_bits": 6})


def sender_config(*, wide_bits: int = 32) -> dict[str, int]:
    """A value for each field of `SenderConfig`; raw logits have 32 bits."""
    check_width("wide_bits", wide_bits, WIDE_BITS)
    return {"wide_bits": wide_bits}


class Sender(Component):
    """Packs the vectors of a frame into flits without gaps; a frame's last flit is filled up with zeros.

    Of a vector the lanes 0 … count are sent: as activations of 4, 8 or 16 bits by `size`, or, with `fuse` or size
    `WIDE`, as two's complement of wide_bits, low bits first. Elements follow each other without gaps across vectors and
    pixels. Elements wider than the lanes are filled up with the sign; of others the low bits are sent.

    Parameters: params, of the PE; `TypeError` if it is none, `OhmweaveError` unless link_bits is 4 times a power of
    two.
    Ports: `config`, constant while vectors come; `i`, vectors; `o`, flits (`config` is 0).
    Latency: 2 cycles from a vector to its first flit.
    Throughput: a flit a cycle, without a gap between vectors and frames if the next vector is there when the one
    before goes, in the cycle of its last full flit; then a frame of N bits takes ⌈N / link_bits⌉ cycles. A vector of
    less than a flit takes one cycle. A vector is taken while none is inside, or in the cycle in which the one inside
    goes. Two flits wait where `o` is not ready, and `i.ready` is a register.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        self._per_flit = per_flit = params.link_bits // UNIT
        if params.link_bits % UNIT or per_flit & (per_flit - 1):
            raise OhmweaveError(f"link_bits must be {UNIT} times a power of two, not {params.link_bits}")
        super().__init__(
            {
                "config": In(SenderConfig()),
                "i": In(stream.Signature(OutputLayout(params))),
                "o": Out(flit_stream(params.link_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        link, per_flit, lanes = self._params.link_bits, self._per_flit, self._params.alu_lanes
        words = -(-lanes * MAX_WIDTH // link)
        # The bits of the vector that is being sent: the flits' worth that goes next and that behind it, and all behind
        # the first of these, of which flit `ahead` comes next. So the vector has a register that is not shifted.
        head = Signal(2 * link, reset_less=True)
        m.submodules.raw = raw = Held(max(words - 2, 1) * link)
        first, behind = Signal.like(head), Signal.like(raw.d)
        ahead = Signal(range(words + 1))
        last = Signal()
        left = Signal(range(lanes * MAX_WIDTH // UNIT + 1))  # units of it that are still to be sent
        rest = Signal(link)  # bits of the vectors before that do not fill a flit
        fill = Signal(range(per_flit))  # units in it that the next frame does not throw out
        flit = Signal(link)
        # A flit for which there was no room at `o`. So nothing inside, and no vector, waits for `o.ready` in its cycle.
        spare = Signal(link)
        # A vector is inside, and the units left of it fit into the next flit and the rest behind it; a frame has ended
        # and left something over. What they will be tells what is ready then: the lanes hang on it.
        busy, ends, flush, has_spare = (Signal(name=name) for name in ("busy", "ends", "flush", "has_spare"))
        ready = Signal(init=1)
        goes_out, is_flit = Signal(link), Signal()
        sends_rest, sends_word, full = Signal(), Signal(), Signal()
        total = Signal(range(3 * per_flit))
        after = Signal.like(fill)  # `fill` behind a vector that goes
        m.d.comb += [
            sends_rest.eq(~has_spare & flush),
            sends_word.eq(~has_spare & ~flush & busy),
            full.eq(~ends | (total >= per_flit)),
            is_flit.eq(sends_rest | (sends_word & (full | last))),
            total.eq(fill + left),  # only looked at if it ends
            after.eq(Mux(last, 0, total)),
            self.i.ready.eq(ready),
            self.o.p.data.eq(flit),
        ]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(has_spare | is_flit),
                flit.eq(Mux(has_spare, spare, goes_out)),
            ]
        with m.Elif(is_flit):
            m.d.sync += spare.eq(goes_out)
        with m.If(sends_rest):
            m.d.comb += goes_out.eq(rest)
            m.d.sync += rest.eq(0)
        with m.Elif(sends_word):
            # The bits beyond `fill` in `rest` are those that the next word puts there again.
            joined = Signal(3 * link)
            place = bits_of(fill)
            m.d.comb += [joined.eq(rest | (head << place)), goes_out.eq(joined)]
            m.d.sync += [
                rest.eq(Mux(full, joined[link:], joined)),
                head.eq(Cat(head[link:], raw.q.word_select(ahead, link))),
                ahead.eq(ahead + 1),
                left.eq(left - per_flit),
            ]
            with m.If(ends):
                m.d.sync += fill.eq(after)
                with m.If(last & ~full):
                    m.d.sync += rest.eq(0)
        units = Signal(range(MAX_WIDTH // UNIT + 1))  # of an element
        # No units without a vector: the simulators then cut none.
        with m.If(self.i.valid):
            m.d.comb += units.eq(self.config.wide_bits[UNIT.bit_length() - 1 :])
            with m.If(~self.i.p.fuse), m.Switch(self.i.p.size):
                for name, bits in FORMAT_BITS.items():
                    with m.Case(int(name)):
                        m.d.comb += units.eq(bits // UNIT)
        size = (self.i.p.count + 1) * units
        taken = self.i.valid & ready
        with m.If(taken):
            m.d.sync += [last.eq(self.i.p.last), head.eq(first), ahead.eq(0), left.eq(size)]
        # No `with m.If`: Icarus would not begin a process of signals that have not changed since the start.
        ends_then = Mux(sends_word, fill + left < 3 * per_flit, ends)
        flush_then = Mux(sends_word & ends, last & full & (total != per_flit), flush)
        then = {
            "busy": Mux(ready, self.i.valid, busy),
            "ends": Mux(taken, size + Mux(busy, after, fill) < 2 * per_flit, ends_then),
            "flush": Mux(sends_rest, 0, flush_then),
            "has_spare": self.o.valid & ~self.o.ready & (has_spare | is_flit),
        }
        later = {name: Signal(name=f"next_{name}") for name in then}
        m.d.comb += [later[name].eq(value) for name, value in then.items()]
        m.d.sync += [
            *(state.eq(later[state.name]) for state in (busy, ends, flush, has_spare)),
            ready.eq(~later["busy"] | (later["ends"] & ~later["flush"] & ~later["has_spare"])),
        ]
        self._cut(m, units, first, behind)
        m.d.comb += [
            raw.take.eq(taken),
            raw.d.eq(behind),
        ]
        return m

    def _cut(self, m: Module, units: Signal, head: Signal, behind: Signal) -> None:
        """The lanes that count, cut to the width of their elements, zero behind them; their lowest bits in `head`.

        No module of its own: parts of a payload that go by several names are feedback to CXXRTL.
        """
        lanes = [Signal(MAX_WIDTH, name=f"lane_{lane}") for lane in range(self._params.alu_lanes)]
        for number, lane in enumerate(lanes):
            with m.If(units.any() & (number <= self.i.p.count)):
                m.d.comb += lane.eq(_widened(self.i.p.values[number]))
        with m.Switch(units):
            for bits in sorted({*FORMAT_BITS.values(), *WIDE_BITS}):
                with m.Case(bits // UNIT):
                    cut = Cat(lane[:bits] for lane in lanes)
                    m.d.comb += [head.eq(cut), behind.eq(cut[len(head) :])]


def _widened(lane: Value) -> Value:
    """A lane with as many bits as the widest element, its own sign above."""
    return Cat(lane, lane[-1].replicate(max(0, MAX_WIDTH - len(lane))))[:MAX_WIDTH]
