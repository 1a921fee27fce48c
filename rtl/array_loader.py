"""Programs the rows of an array from configuration writes."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar import RowLayout
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite
from ohmweave.rtl.registers import word_writes

__all__ = ["ROW", "ArrayLoader", "row_writes"]

#: Local address whose write programs the gathered levels into the row that is its data.
ROW = 0xFFF


def row_writes(array: ArrayParams, row: int, levels: Sequence[int]) -> list[tuple[int, int]]:
    """The (local address, data) writes that program one row."""
    bits = sum(int(level) << (array.cell_bits * column) for column, level in enumerate(levels))
    return [*word_writes(bits, array.cols * array.cell_bits), (ROW, row)]


class ArrayLoader(Component):
    """Gathers the levels of one row, 16 bits a write, and has the array program them.

    A write to local address n sets bits 16n … 16n+15 of the levels; a write to `ROW` programs them into the row that
    it names. The levels stay, so that equal rows need no second gathering.

    Ports: `config`, writes, not ready while the array takes a row; `program`, rows.
    Latency: `program` is valid in the cycle after the write to `ROW`. Throughput: a row takes one cycle for each 16
    bits and one more, plus the array's write_cycles.
    """

    def __init__(self, *, array: ArrayParams):
        self._array = array
        super().__init__(
            {"config": In(stream.Signature(ConfigWrite)), "program": Out(stream.Signature(RowLayout(array)))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self._array.cols * self._array.cell_bits
        levels = Signal(-(-size // CONFIG_BITS) * CONFIG_BITS)
        write = self.config.payload
        m.d.comb += [
            self.config.ready.eq(~self.program.valid),
            self.program.p.levels.eq(levels),
        ]
        with m.If(self.program.ready):
            m.d.sync += self.program.valid.eq(0)
        with m.If(self.config.valid & self.config.ready):
            with m.If(write.address == ROW):
                m.d.sync += [self.program.valid.eq(1), self.program.p.row.eq(write.data)]
            with m.Elif(write.address < len(levels) // CONFIG_BITS):
                m.d.sync += levels.word_select(write.address, CONFIG_BITS).eq(write.data)
        return m
