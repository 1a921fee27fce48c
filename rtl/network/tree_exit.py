"""Where results leave the collection tree, and the buffer that holds them until other PEs take them."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.check import power, whole
from ohmweave.params import EXIT_FLITS
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite, flit_stream
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.network.tree_entry import EntryRegister
from ohmweave.rtl.network.turn_sequence import TurnSequence

__all__ = ["FrameBuffer", "TreeExit"]


class FrameBuffer(Component):
    """Holds up to `depth` words, in order: a bank of the on-chip cache.

    Latency: 2 cycles: a word taken in cycle c is offered in cycle c + 2 at the earliest, or in the cycle after the one
    before it was taken. Throughput: 1 word a cycle. `i.ready` while fewer than `depth` words are held; one taken in
    cycle c makes room in cycle c + 1.

    Parameters: link_bits, of a word, 1 to 64, `TypeError` otherwise; depth, a power of two from 16 to 131072,
    `OhmweaveError` otherwise.

    Ports: `i` and `o`, streams of link_bits, whose `ready` and `valid` depend on registers only.
    """

    def __init__(self, *, link_bits: int, depth: int):
        whole("FrameBuffer link_bits", link_bits, 1, 64, error=TypeError)
        power("FrameBuffer depth", depth, *EXIT_FLITS)
        super().__init__({"i": In(stream.Signature(link_bits)), "o": Out(stream.Signature(link_bits))})
        self._link_bits = link_bits
        self._depth = depth

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._link_bits, depth=self._depth)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
        ]
        # Before its first read the memory's output is unknown.
        with m.If(fifo.r_rdy):
            m.d.comb += self.o.payload.eq(fifo.r_data)
        return m


class TreeExit(Component):
    """Stands between a branch of the collection tree and its parent, and lets the branch's data leave the tree.

    Closed, as after reset, flits pass to the parent. Open, the branch's data go into a frame buffer instead, and the
    parent is offered nothing. What the buffer holds is offered at `o`, to the entries of the distribution tree that
    its sequence names, each for a turn: also while the exit is closed, so that closing it loses nothing. To open or
    close it while the branch sends something sends a part of that each way. Of the registers of the entry beside it
    (`EntryRegister`) those named EXIT and OUT_… are its own. (Re-ReRAM, section VI: the dispatch unit; on-chip cache.)

    Latency: closed, 0 cycles. Open, 2 cycles: a flit that the buffer takes in cycle c is at `o` in cycle c + 2 at the
    earliest. The branch waits while the buffer holds `depth` flits; one that leaves in cycle c makes room in cycle
    c + 1. `to` follows the last transfer of a turn after 1 cycle. A write at `config` in cycle c acts in cycle c + 1.
    Throughput: 1 flit a cycle.

    Parameters
    ----------
    link_bits : int
        Bits of a flit's data, 16 to 64.
    depth : int
        Flits that the frame buffer holds, a power of two from 16 to 131072.
    entries : int
        Entries of the distribution tree, 2 to 256.

    Ports
    -----
    config : In(stream(ConfigWrite))
        Writes to the registers of the entry beside it. Always ready.
    branch : In(flit_stream(link_bits))
        From the node, or the PE, below.
    parent : Out(flit_stream(link_bits))
        To the node above; `ready` reaches the branch within the cycle while the exit is closed.
    o : Out(stream(link_bits))
        From the frame buffer.
    to : Out(range(entries))
        The entry that `o` is for.

    Raises
    ------
    TypeError
        `link_bits` or `entries` is not a number of its range.
    OhmweaveError
        `depth` is not a power of two of its range.
    """

    def __init__(self, *, link_bits: int, depth: int, entries: int):
        whole("TreeExit link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        whole("TreeExit entries", entries, 2, 256, error=TypeError)
        power("TreeExit depth", depth, *EXIT_FLITS)
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "branch": In(flit_stream(link_bits)),
                "parent": Out(flit_stream(link_bits)),
                "o": Out(stream.Signature(link_bits)),
                "to": Out(range(entries)),
            }
        )
        self._link_bits = link_bits
        self._depth = depth
        self._entries = entries

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # What a chip has many of is shared; this component itself is not, since a simulator that cuts a netlist into
        # parts would cut through the paths from the branch to the parent.
        buffer = instantiate(
            m, platform, "buffer", "frame_buffer",
            lambda: FrameBuffer(link_bits=self._link_bits, depth=self._depth),
        )  # fmt: skip
        sequence = instantiate(
            m, platform, "sequence", "exit_sequence",
            lambda: TurnSequence(
                numbers=self._entries,
                turn=EntryRegister.OUT_TURN,
                count=EntryRegister.OUT_COUNT,
                table=EntryRegister.OUT_TABLE,
            ),
        )  # fmt: skip
        leaves = Signal()
        write = self.config.p
        with m.If(self.config.valid & (write.address == EntryRegister.EXIT)):
            m.d.sync += leaves.eq(write.data[0])

        m.d.comb += [
            self.parent.payload.eq(self.branch.payload),
            self.parent.valid.eq(self.branch.valid & ~leaves),
            self.branch.ready.eq(Mux(leaves, buffer.i.ready, self.parent.ready)),
        ]
        # Nothing moves in the buffer while other flits pass.
        with m.If(leaves):
            m.d.comb += [buffer.i.payload.eq(self.branch.p.data), buffer.i.valid.eq(self.branch.valid)]
        connect(m, buffer.o, flipped(self.o))
        connect(m, flipped(self.config), sequence.config)
        m.d.comb += [
            sequence.moves.eq(self.o.valid & self.o.ready),
            self.to.eq(sequence.current),
        ]
        return m
