"""Joins the frame buffers behind the collection tree to the entries of the distribution tree."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole

__all__ = ["FrameCrossbar"]


class FrameCrossbar(Component):
    """A buffer's flit goes to an entry while the one's turn is the other's: each names the other.

    (Re-ReRAM, section VI: frames go from one part of the chip to the next through the dispatch unit.)

    Latency: none, it is combinational. Throughput: 1 flit a cycle of each buffer.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 1 to 64.
    entries : int
        Entries, and as many buffers, 2 to 256.

    Ports
    -----
    i : In(stream(link_bits)).array(entries)
        From the buffers.
    to : In(range(entries)).array(entries)
        The entry that each buffer's flits are for.
    from_ : In(range(entries)).array(entries)
        The buffer that each entry takes from.
    o : Out(stream(link_bits)).array(entries)
        To the entries. `valid` depends on that of a buffer, the buffers' `ready` on that of an entry.

    Raises
    ------
    TypeError
        A parameter is not a number of its range.
    """

    def __init__(self, *, link_bits: int, entries: int):
        whole("FrameCrossbar link_bits", link_bits, 1, 64, error=TypeError)
        whole("FrameCrossbar entries", entries, 2, 256, error=TypeError)
        super().__init__(
            {
                "i": In(stream.Signature(link_bits)).array(entries),
                "to": In(range(entries)).array(entries),
                "from_": In(range(entries)).array(entries),
                "o": Out(stream.Signature(link_bits)).array(entries),
            }
        )
        self._entries = entries

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for e in range(self._entries):
            with m.Switch(self.from_[e]):
                for k in range(self._entries):
                    with m.Case(k):
                        m.d.comb += [
                            self.o[e].valid.eq(self.i[k].valid & (self.to[k] == e)),
                            self.o[e].payload.eq(self.i[k].payload),
                        ]
        for k in range(self._entries):
            with m.Switch(self.to[k]):
                for e in range(self._entries):
                    with m.Case(e):
                        m.d.comb += self.i[k].ready.eq(self.o[e].ready & (self.from_[e] == k))
        return m
