"""The table of a half's instructions."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite
from ohmweave.rtl.isa import WORD_BITS

__all__ = ["InstructionTable"]


class InstructionTable(Component):
    """Instructions, loaded once and read as often as they are executed (Re-ReRAM, section IV).

    A memory of `words` words, one for each half of a PE. Words of which not both halves were written since the reset
    read as zero, which is no instruction.

    Parameters: words, 2 to 64; `TypeError` else.

    Ports
    -----
    config : In(stream(ConfigWrite)), always ready
        Address 2n holds the low half of word n, 2n + 1 the high half; others are ignored.
    address, read : In(range(words)), In(1)
        The word to read, and to read it now. An address beyond the table reads as zero.
    word : Out(32)
        The word read last; it stays, also when the table is written.

    Latency: address in cycle c → word in cycle c + 1. Throughput: a word and a write a cycle.
    """

    def __init__(self, *, words: int):
        whole("Words", words, 2, 64, error=TypeError)
        self._words = words
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "address": In(range(words)),
                "read": In(1),
                "word": Out(WORD_BITS),
            }
        )

    @property
    def words(self) -> int:
        """Instructions at most."""
        return self._words

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = table = memory.Memory(shape=WORD_BITS, depth=self._words, init=[])
        write_port = table.write_port(granularity=CONFIG_BITS)
        read_port = table.read_port()

        write = self.config.payload
        enable = Signal()
        # Which half words hold anything: what was never written has no defined value.
        written = Signal(2 * self._words)
        known = Signal()
        m.d.comb += [
            self.config.ready.eq(1),
            enable.eq(self.config.valid & (write.address < 2 * self._words)),
            write_port.addr.eq(write.address[1:]),
            write_port.data.eq(write.data.replicate(WORD_BITS // CONFIG_BITS)),
            write_port.en.eq(enable << write.address[0]),
            read_port.addr.eq(self.address),
            read_port.en.eq(self.read),
            self.word.eq(Mux(known, read_port.data, 0)),
        ]
        with m.If(enable):
            m.d.sync += written.bit_select(write.address, 1).eq(1)
        with m.If(self.read):
            m.d.sync += known.eq(written.word_select(self.address, 2).all())
        return m
