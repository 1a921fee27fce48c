"""Words in front of a point where data enter the chip."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole

__all__ = ["DispatchQueue", "WordLayout"]


class WordLayout(data.StructLayout):
    """`flits` of link_bits in the lowest bits of `data`, 1 to word_bits / link_bits; `last`: with them a frame ends."""

    def __init__(self, word_bits: int, link_bits: int):
        super().__init__({"data": word_bits, "flits": range(word_bits // link_bits + 1), "last": 1})


class DispatchQueue(Component):
    """Holds up to `depth` words, and hands them on flit by flit, lowest bits first.

    Latency: 2 cycles. Throughput: a word a cycle in, a flit a cycle out.

    Parameters: word_bits, a multiple of link_bits; link_bits; depth, words, 2 to 4096.

    Ports
    -----
    i : In(stream(WordLayout))
    o : Out(stream(link_bits))
    last : Out(1)
        The flit at `o` is the last of a frame.
    clear : In(1)
        Forgets everything.

    Raises
    ------
    TypeError
        A parameter is no whole number of its range.
    """

    def __init__(self, *, word_bits: int, link_bits: int, depth: int):
        whole("DispatchQueue link_bits", link_bits, 1, 64, error=TypeError)
        whole("DispatchQueue word_bits", word_bits, link_bits, 512, error=TypeError)
        whole("DispatchQueue depth", depth, 2, 4096, error=TypeError)
        if word_bits % link_bits:
            raise TypeError(f"DispatchQueue word_bits must be a multiple of {link_bits}, not {word_bits}")
        self._word_bits = word_bits
        self._link_bits = link_bits
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(WordLayout(word_bits, link_bits))),
                "o": Out(stream.Signature(link_bits)),
                "last": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = WordLayout(self._word_bits, self._link_bits)
        words = SyncFIFOBuffered(width=layout.size, depth=self._depth)
        m.submodules.words = ResetInserter(self.clear)(words)
        parts = self._word_bits // self._link_bits
        part = Signal(range(parts))
        word = data.View(layout, words.r_data)
        final = Signal()
        m.d.comb += [
            words.w_en.eq(self.i.valid),
            words.w_data.eq(self.i.payload),
            self.i.ready.eq(words.w_rdy),
            final.eq(part == word.flits - 1),
            self.o.valid.eq(words.r_rdy),
            self.last.eq(final & word.last),
            words.r_en.eq(self.o.valid & self.o.ready & final),
        ]
        with m.Switch(part):
            for n in range(parts):
                with m.Case(n):
                    m.d.comb += self.o.payload.eq(word.data.word_select(n, self._link_bits))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += part.eq(part + 1)
            with m.If(final):
                m.d.sync += part.eq(0)
        with m.If(self.clear):
            m.d.sync += part.eq(0)
        return m
