"""From results to flits, at the exit of a PE."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.requantizer import RAW_BITS, ResultLayout

__all__ = ["Packer", "PackerConfig"]


class PackerConfig(data.StructLayout):
    """raw   send raw results of 32 bits, low half first, instead of activations"""

    def __init__(self) -> None:
        super().__init__({"raw": 1})


class Packer(Component):
    """Packs the results of a frame into flits without gaps; a frame's last flit is filled up with zeros.

    Parameters: params, of the PE; `OhmweaveError` unless link_bits divides 32.
    Ports: `config`, constant while results come; `i`, results, `last` on a frame's last; `o`, flits.
    Latency: 1 cycle from the results that fill a flit or end a frame.
    Throughput: one word of results a cycle as activations, and one cycle more at a frame's end if its last word
    fills a flit and leaves something over; raw, a result takes 32 / link_bits cycles.
    """

    def __init__(self, *, params: PEParams):
        if RAW_BITS % params.link_bits:
            raise OhmweaveError(f"link_bits must divide {RAW_BITS}, not {params.link_bits}")
        self._params = params
        super().__init__(
            {
                "config": In(PackerConfig()),
                "i": In(stream.Signature(ResultLayout(params))),
                "o": Out(flit_stream(params.link_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        act, lanes, link = self._params.buffer.act_bits, self._params.result_lanes, self._params.link_bits
        advance = Signal()
        word = Signal(link)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.o.p.data.eq(word)]
        with m.If(advance):
            m.d.sync += self.o.valid.eq(0)

        # Raw: one part of link_bits after the other of the same word of results.
        parts = RAW_BITS // link
        part = Signal(range(lanes * parts))
        last_part = Signal(range(lanes * parts))
        m.d.comb += last_part.eq(self.i.p.count * parts + (parts - 1))

        # Activations: those that do not fill a flit yet wait in `rest`.
        rest = Signal(act * (lanes - 1))
        fill = Signal(range(lanes))
        flush = Signal()
        counted = Signal(act * lanes)
        for lane, value in enumerate(self.i.p.activations):
            with m.If(lane <= self.i.p.count):
                m.d.comb += counted[act * lane : act * (lane + 1)].eq(value)
        joined = Signal(act * (2 * lanes - 1))
        total = Signal(range(2 * lanes))
        m.d.comb += [joined.eq(rest | (counted << (fill * act))), total.eq(fill + self.i.p.count + 1)]

        with m.If(self.config.raw):
            m.d.comb += self.i.ready.eq(advance & (part == last_part))
            with m.If(advance & self.i.valid):
                m.d.sync += [
                    self.o.valid.eq(1),
                    word.eq(self.i.p.raw.as_value().word_select(part, link)),
                    part.eq(part + 1),
                ]
                with m.If(part == last_part):
                    m.d.sync += part.eq(0)
        with m.Elif(flush), m.If(advance):
            m.d.sync += [self.o.valid.eq(1), word.eq(rest), flush.eq(0), rest.eq(0), fill.eq(0)]
        with m.Else():
            m.d.comb += self.i.ready.eq(advance)
            with m.If(advance & self.i.valid):
                m.d.sync += [rest.eq(joined), fill.eq(total), word.eq(joined)]
                with m.If(total >= lanes):
                    m.d.sync += [self.o.valid.eq(1), rest.eq(joined >> link), fill.eq(total - lanes)]
                    m.d.sync += flush.eq(self.i.p.last & (total != lanes))
                with m.Elif(self.i.p.last):
                    m.d.sync += [self.o.valid.eq(1), rest.eq(0), fill.eq(0)]
        return m
