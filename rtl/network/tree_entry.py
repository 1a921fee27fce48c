"""A point at which data enter the distribution tree below its root."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, flit_stream
from ohmweave.rtl.network.config_receiver import ConfigReceiver

__all__ = ["FIRST_ENTRY_UNIT", "EntryRegister", "TreeEntry", "entry_unit"]

#: Unit number of the first entry; the others follow.
FIRST_ENTRY_UNIT = 0x200


def entry_unit(number: int) -> int:
    """Unit number of an entry."""
    return FIRST_ENTRY_UNIT + number


class EntryRegister(enum.IntEnum):
    """Addresses of an entry's configuration registers.

    OPEN  bit 0: 0: data come from the parent; 1: from the entry point
    """

    OPEN = 0


class TreeEntry(Component):
    """Stands in front of a node of the distribution tree, or of a PE, and lets data in beside those of its parent.

    Configuration flits from the parent always pass, to what is below and to the entry's own register
    (`EntryRegister`). Data come from the parent or, while the entry is open, from the entry point; the others wait,
    and behind data of the parent configuration too. After reset the entry is closed.

    Order is kept: data of the entry point follow the packet that opened it, and go before one that closes it if they
    were taken before. Packets of the parent stay whole: while one lacks flits, no data of the entry point get between.
    So a host may offer data at any time: what is configured before the packet that opens an entry acts on all of them.
    (Re-ReRAM, section VI: the dispatch unit enters the tree at any level.)

    Latency: 1 cycle. Data from the entry point follow a configuration flit after 1 cycle at the earliest, those of
    either input follow a word for the entry after 2.
    Throughput: 1 flit a cycle, of both inputs together; of an open entry, configuration goes first.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 16 to 64.

    Ports
    -----
    unit : In(16)
        The entry's unit number; constant.
    parent : In(flit_stream(link_bits))
        From the node above. `ready` depends on the flit's `config`.
    entry : In(stream(link_bits))
        Data from the entry point. `ready` depends on whether the parent offers configuration.
    o : Out(flit_stream(link_bits))
        To the node, or the PE, below. Registered; its `ready` reaches those of the inputs within the cycle.

    Raises
    ------
    TypeError
        `link_bits` is not a number of its range.
    """

    def __init__(self, *, link_bits: int):
        whole("TreeEntry link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        super().__init__(
            {
                "unit": In(CONFIG_BITS),
                "parent": In(flit_stream(link_bits)),
                "entry": In(stream.Signature(link_bits)),
                "o": Out(flit_stream(link_bits)),
            }
        )
        self._link_bits = link_bits

    @property
    def link_bits(self) -> int:
        return self._link_bits

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = ConfigReceiver(
            link_bits=self.link_bits, data_output=False, open_output=True
        )
        is_config = self.parent.p.config
        is_open = Signal()
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            # Behind a word that is about to become the register, data of both inputs wait. The parent's do not wait
            # for the rest of a packet, which is behind them.
            self.parent.ready.eq(free & (is_config | ~(is_open | receiver.config.valid))),
            self.entry.ready.eq(
                free & is_open & ~(self.parent.valid & is_config | receiver.open | receiver.config.valid)
            ),
            # The receiver is never stalled.
            receiver.unit.eq(self.unit),
            receiver.flits.payload.eq(self.parent.payload),
            receiver.flits.valid.eq(self.parent.valid & self.parent.ready),
            receiver.config.ready.eq(1),
        ]
        with m.If(receiver.config.valid & (receiver.config.p.address == EntryRegister.OPEN)):
            m.d.sync += is_open.eq(receiver.config.p.data[0])

        with m.If(self.parent.valid & self.parent.ready):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.parent.payload)]
        with m.Elif(self.entry.valid & self.entry.ready):
            m.d.sync += [self.o.valid.eq(1), self.o.p.data.eq(self.entry.payload), self.o.p.config.eq(0)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
