"""The crossbar array with streams around it: reads, results and programming."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar.macro import CrossbarMacro

__all__ = ["Crossbar", "RowLayout"]


class RowLayout(data.StructLayout):
    """A `row` and the `levels` of its cells, column 0 in the lowest bits."""

    def __init__(self, array: ArrayParams):
        super().__init__({"row": Shape.cast(range(array.rows)), "levels": array.cols * array.cell_bits})


class Crossbar(Component):
    """Handshakes and timing of a crossbar macro: one read or one row's programming at a time.

    A read multiplies the vector `x` with one column group; the result waits at `result` until it is taken.
    Programming goes before reading when both are offered. The vector is latched with the request, so `x` may
    change as soon as that was taken (Re-ReRAM, section IV: an array of 1152×256 cells, 16 columns read at once in
    6 cycles).

    Other ways to use the array wrap this component: an input of several bit slices is one request each, and two
    columns for the two signs of a weight are columns of one group.

    Latency: a request taken in cycle c gives its result in cycle c + read_cycles; a row taken in cycle c is
    programmed for reads and rows taken from cycle c + write_cycles on.
    Throughput: one read every read_cycles if results are taken at once, since the next request is taken in the
    cycle in which a result leaves; one row every write_cycles.

    Parameters
    ----------
    array : ArrayParams

    Ports
    -----
    id : In(16)
        Number of this array in the chip, constant; for the simulation's direct load.
    x : In(rows·dac_bits)
        Inputs, unsigned, wordline 0 in the lowest bits; sampled in the cycle in which a request is taken.
    request : In(stream(range(colmux)))
        Column group to read. `ready` is combinational from `result.ready` and `program.valid`.
    result : Out(stream(struct))
        `sums`, one of sum_bits for each column of the group, and `reference`, the reference column's. `valid` is
        registered and the payload comes from the macro's registers.
    program : In(stream(RowLayout(array)))
        `row`, and `levels`, cols of cell_bits each, column 0 in the lowest bits. A row beyond the last is taken
        and ignored. `ready` is a function of local state alone.
    busy : Out(1)
        A read or a row's programming is under way, or a result has not been taken. Registered: from the cycle after
        a request to the cycle in which its result leaves.

    Raises
    ------
    TypeError
        `array` is not an ArrayParams.
    """

    def __init__(self, *, array: ArrayParams):
        if not isinstance(array, ArrayParams):
            raise TypeError(f"Array must be ArrayParams, not {array!r}")
        result = {
            "sums": data.ArrayLayout(array.sum_bits, array.columns_at_once),
            "reference": array.sum_bits,
        }
        super().__init__(
            {
                "id": In(16),
                "x": In(array.rows * array.dac_bits),
                "request": In(stream.Signature(Shape.cast(range(array.colmux)))),
                "result": Out(stream.Signature(data.StructLayout(result))),
                "program": In(stream.Signature(RowLayout(array))),
                "busy": Out(1),
            }
        )
        self._array = array

    @property
    def array(self) -> ArrayParams:
        return self._array

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.macro = macro = CrossbarMacro(array=self._array)

        # Cycles until the sums are there, and until the next row may be written or anything read.
        reading = Signal(range(self._array.read_cycles))
        writing = Signal(range(self._array.write_cycles))
        waiting = Signal()

        idle = Signal()
        read = Signal()
        write = Signal()
        m.d.comb += [
            idle.eq((reading == 0) & (writing == 0)),
            self.program.ready.eq(idle),
            self.request.ready.eq(idle & ~self.program.valid & (~waiting | self.result.ready)),
            read.eq(self.request.valid & self.request.ready),
            write.eq(self.program.valid & self.program.ready),
            self.busy.eq(~idle | waiting),
            self.result.valid.eq(waiting),
            self.result.p.sums.eq(macro.sums),
            self.result.p.reference.eq(macro.reference),
            macro.id.eq(self.id),
            macro.start.eq(read),
            macro.group.eq(self.request.payload),
            macro.x.eq(self.x),
            macro.write.eq(write),
            macro.row.eq(self.program.p.row),
            macro.levels.eq(self.program.p.levels),
        ]

        with m.If(waiting & self.result.ready):
            m.d.sync += waiting.eq(0)
        if self._array.read_cycles == 1:
            with m.If(read):
                m.d.sync += waiting.eq(1)
        else:
            with m.If(read):
                m.d.sync += reading.eq(self._array.read_cycles - 1)
            with m.Elif(reading != 0):
                m.d.sync += reading.eq(reading - 1)
                with m.If(reading == 1):
                    m.d.sync += waiting.eq(1)
        if self._array.write_cycles > 1:
            with m.If(write):
                m.d.sync += writing.eq(self._array.write_cycles - 1)
            with m.Elif(writing != 0):
                m.d.sync += writing.eq(writing - 1)
        return m
