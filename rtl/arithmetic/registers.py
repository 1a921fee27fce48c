"""Registers R0 … R3 of the arithmetic half."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout

__all__ = ["REGISTERS", "VectorRegisters"]

REGISTERS = 4


class VectorRegisters(Component):
    """Four registers for each vector of a pixel, in a memory of one row a register; two are read at once.

    What was never written reads as 0. What is being written is read already.

    Parameters: params, of the PE.
    Ports: `load`: read rows `a_row` and `b_row`, each where `a_load`, `b_load`; `a`, `b`: what they hold, from the
    next cycle on until the next `load`, writes in the meantime included, while `active`; else 0.
    `write`, `row`: in the next cycle this row is written, `data`: with this. Row = 4 × vector + register.
    Latency: 1 cycle for a read, none from `data` to `a` and `b`. Throughput: two reads and a write a cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        row = range(REGISTERS * params.vectors)
        vector = VectorLayout(params)
        super().__init__(
            {
                "load": In(1),
                "a_load": In(1),
                "b_load": In(1),
                "a_row": In(row),
                "b_row": In(row),
                "active": In(1),
                "a": Out(vector),
                "b": Out(vector),
                "write": In(1),
                "row": In(row),
                "data": In(vector),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = REGISTERS * self._params.vectors
        m.submodules.rows = memory = Memory(shape=self.data.shape().size, depth=rows, init=[])
        port = memory.write_port()
        write, row = Signal(), Signal.like(self.row)
        written = Signal(1 << len(self.row))
        m.d.sync += [write.eq(self.write), row.eq(self.row)]
        with m.If(write):
            m.d.comb += [port.en.eq(1), port.addr.eq(row), port.data.eq(self.data)]
            m.d.sync += written.bit_select(row, 1).eq(1)
        for name in ("a", "b"):
            read = memory.read_port(transparent_for=[port])
            held_row = Signal(self.row.shape(), name=f"{name}_held_row")
            held, fresh = Signal(name=f"{name}_held"), Signal(name=f"{name}_fresh")
            new_row, new_load = getattr(self, f"{name}_row"), getattr(self, f"{name}_load")
            # What is held is being written; worked out a cycle before, since all bits of a vector wait for it.
            m.d.sync += fresh.eq(self.write & (self.row == Mux(self.load, new_row, held_row)))
            m.d.comb += read.en.eq(0)  # the port's own default is 1
            with m.If(self.load):
                m.d.comb += [read.en.eq(new_load), read.addr.eq(new_row)]
                m.d.sync += [held_row.eq(new_row), held.eq(new_load)]
            with m.Elif(fresh & held):
                # Read again what is written while the reader waits.
                m.d.comb += [read.en.eq(1), read.addr.eq(held_row)]
            value = getattr(self, name).as_value()
            with m.If(self.active & held):
                with m.If(fresh):
                    m.d.comb += value.eq(self.data)
                with m.Elif(written.bit_select(held_row, 1)):
                    m.d.comb += value.eq(read.data)
        return m
