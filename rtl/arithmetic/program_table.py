"""The instruction table of the arithmetic half."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite
from ohmweave.rtl.isa import WORD_BITS

__all__ = ["ProgramTable"]

HALVES = WORD_BITS // CONFIG_BITS


class ProgramTable(Component):
    """Instructions, written half a word at a time: i at addresses 2i (low half) and 2i + 1.

    Halves that were never written read as 0, so that a place that was never written holds no legal instruction.
    Writes beyond the table are taken and ignored.

    Parameters: entries.
    Ports: `config`, writes; `address`, `enable`: the place to read; `word`: what was read, until the next read.
    Latency: 1 cycle. Throughput: a read and a write a cycle.
    """

    def __init__(self, *, entries: int):
        self._entries = entries
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "enable": In(1),
                "address": In(range(entries)),
                "word": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = memory = Memory(shape=WORD_BITS, depth=self._entries, init=[])
        write = memory.write_port(granularity=CONFIG_BITS)
        read = memory.read_port()
        # One bit more an entry and half: that it has been written.
        written = [Signal(1 << len(self.address), name=f"written_{half}") for half in range(HALVES)]
        known = Signal(HALVES)

        place = self.config.p.address[1:]
        m.d.comb += [
            self.config.ready.eq(1),
            write.addr.eq(place),
            write.data.eq(self.config.p.data.replicate(HALVES)),
        ]
        with m.If(self.config.valid & (place < self._entries)):
            for half in range(HALVES):
                with m.If(self.config.p.address[0] == half):
                    m.d.comb += write.en[half].eq(1)
                    m.d.sync += written[half].bit_select(place[: len(self.address)], 1).eq(1)

        m.d.comb += [read.addr.eq(self.address), read.en.eq(self.enable)]
        with m.If(self.enable):
            for half in range(HALVES):
                m.d.sync += known[half].eq(written[half].bit_select(self.address, 1))
        halves = data.View(data.ArrayLayout(CONFIG_BITS, HALVES), read.data)
        for half in range(HALVES):
            m.d.comb += self.word.word_select(half, CONFIG_BITS).eq(Mux(known[half], halves[half], 0))
        return m
