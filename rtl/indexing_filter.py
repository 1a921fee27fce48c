"""The indexing filter: the indices that pruning left, one a cycle, from a table of strides."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import ConfigWrite

__all__ = [
    "COUNT",
    "DENSE",
    "LATENCY",
    "MAX_ENTRIES",
    "TABLE",
    "IndexLayout",
    "IndexingFilter",
    "index_table",
]

#: Address of the number of significant indices; writing it restarts the filter, 0 stops it.
COUNT = 0
#: Address of the flag that nothing is pruned: every stride is one and the table is not read.
DENSE = 1
#: Address of the first stride; entry i is at TABLE + i.
TABLE = 2
#: The most entries that the 16-bit address space holds.
MAX_ENTRIES = 2**16 - TABLE
#: Cycles from the transfer of a write to COUNT to the first index offered.
LATENCY = 3


class IndexLayout(data.StructLayout):
    """An `index` below `entries`, and whether it is the `first` or the `last` of its round."""

    def __init__(self, entries: int):
        super().__init__({"index": range(entries), "first": 1, "last": 1})


def index_table(significant: Sequence[int]) -> list[tuple[int, int]]:
    """Writes, as (address, data) in order, that make the filter walk the indices `significant`.

    The first write stops the filter and the last one starts it, so that no round mixes two tables. An empty
    sequence leaves it silent. Raises `ValueError` when the indices do not ascend.
    """
    indices = [int(index) for index in significant]
    ends = [-1, *indices, MAX_ENTRIES]
    if any(after <= before for before, after in pairwise(ends)):
        raise ValueError(
            f"Significant indices must be in ascending order from 0 to {MAX_ENTRIES - 1}, not {indices!r}"
        )
    if not indices:
        return [(COUNT, 0)]
    dense = indices == list(range(len(indices)))
    writes = [(COUNT, 0), (DENSE, int(dense))]
    if not dense:
        strides = [after - before for before, after in pairwise([-1, *indices])]
        writes += [(TABLE + i, stride) for i, stride in enumerate(strides)]
    return [*writes, (COUNT, len(indices))]


class IndexingFilter(Component):
    """Index generator that skips what was pruned (Re-ReRAM, section V, figure 7).

    The index table of a pruned network holds, for each significant entry, the stride from the significant
    entry before it; the first stride counts from -1, so that strides of one are a network in which nothing
    is pruned. The filter adds the strides up and so overrides the addresses of a plain counter: an entry
    that was pruned costs no cycle. Rounds follow each other, prefetched, until COUNT is written again.

    Parameters
    ----------
    entries
        indices at most, and words of the table: 1 … 65534

    Ports
    -----
    config : In(stream(ConfigWrite)), always ready
        COUNT      number of significant indices; more than `entries` counts as `entries`. The write restarts
                   the filter: an index that is offered and not taken is withdrawn. 0 stops it.
        DENSE      bit 0: strides of one, the table is not read; used from the next write to COUNT on
        TABLE + i  stride before significant index i; after a reset to be written in ascending order
        Other addresses are ignored.
    index : Out(stream(IndexLayout(entries)))
        The significant indices, cyclically. `first` and `last` mark the ends of a round, both when COUNT is 1.

    Timing
    ------
    Latency: a write to COUNT taken in cycle c offers the first index in cycle c + LATENCY = c + 3; nothing is
    offered in the two cycles between.
    Throughput: one index a cycle for every COUNT, pruned or not, also from one round to the next; n indices
    are taken in n cycles.

    Bad tables
    ----------
    A round always has COUNT indices, so no table can hang the filter. An index never passes entries - 1:
    strides that lead beyond it give entries - 1. A stride of 0 counts as 1, and so does one that was never
    written since the reset. A stride that is written while the filter runs is used when it is next read.
    After a reset: COUNT 0, DENSE 0, no stride written.

    Raises `TypeError` when `entries` is out of range.
    """

    def __init__(self, *, entries: int):
        whole("Entries", entries, 1, MAX_ENTRIES, error=TypeError)
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "index": Out(stream.Signature(IndexLayout(entries))),
            }
        )
        self._entries = entries

    @property
    def entries(self) -> int:
        """Indices at most."""
        return self._entries

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entries = self._entries
        # At least one bit: a memory of width 0 is no Verilog.
        skip_bits = max(1, (entries - 1).bit_length())
        m.submodules.table = table = memory.Memory(shape=skip_bits, depth=entries, init=[])
        write_port = table.write_port()
        read_port = table.read_port()

        write = self.config.payload
        count = Signal(range(entries + 1))
        dense = Signal()
        running_dense = Signal()
        # A word that was never written has no defined value: entries below `written` are known to be there.
        written = Signal(range(entries + 1))
        restart = Signal()
        entry = Signal(16)
        m.d.comb += [
            self.config.ready.eq(1),
            restart.eq(self.config.valid & (write.address == COUNT)),
            entry.eq(write.address - TABLE),
            write_port.addr.eq(entry),
            # What is stored is how many entries the stride skips.
            write_port.data.eq(
                Mux(write.data > entries, entries - 1, Mux(write.data == 0, 0, write.data - 1))
            ),
            write_port.en.eq(self.config.valid & (write.address >= TABLE) & (entry < entries)),
        ]
        with m.If(write_port.en & (entry == written)):
            m.d.sync += written.eq(written + 1)
        with m.If(self.config.valid & (write.address == DENSE)):
            m.d.sync += dense.eq(write.data[0])
        with m.If(restart):
            m.d.sync += [
                count.eq(Mux(write.data > entries, entries, write.data)),
                running_dense.eq(dense),
            ]

        # Three stages that move together whenever the offered index is taken: table address, stride, index.
        move = Signal()
        position = Signal(range(entries))
        at_end = Signal()
        stage_valid = Signal()
        stage_first = Signal()
        stage_last = Signal()
        stage_plain = Signal()
        m.d.comb += [
            move.eq(~self.index.valid | self.index.ready),
            at_end.eq(position == count - 1),
            read_port.addr.eq(position),
            read_port.en.eq(move & ~running_dense),
        ]
        with m.If(move):
            m.d.sync += [
                position.eq(Mux(at_end | (count == 0), 0, position + 1)),
                stage_valid.eq(count != 0),
                stage_first.eq(position == 0),
                stage_last.eq(at_end),
                stage_plain.eq(running_dense | (position >= written)),
            ]

        skip = Signal(skip_bits)
        base = Signal(range(entries + 1))
        following = Signal(range(2 * entries))
        m.d.comb += [
            skip.eq(Mux(stage_plain, 0, read_port.data)),
            base.eq(Mux(stage_first, 0, self.index.payload.index + 1)),
            following.eq(base + skip),
        ]
        with m.If(move):
            m.d.sync += self.index.valid.eq(stage_valid)
            with m.If(stage_valid):
                m.d.sync += [
                    self.index.payload.index.eq(Mux(following > entries - 1, entries - 1, following)),
                    self.index.payload.first.eq(stage_first),
                    self.index.payload.last.eq(stage_last),
                ]
        with m.If(restart):
            m.d.sync += [position.eq(0), stage_valid.eq(0), self.index.valid.eq(0)]
        return m
