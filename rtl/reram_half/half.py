"""The ReRAM half of a PE."""

from typing import Any

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.crossbar import Crossbar, RowLayout
from ohmweave.rtl.decoder import InstructionLayout
from ohmweave.rtl.fault import ErrorLayout
from ohmweave.rtl.flit import ConfigWrite
from ohmweave.rtl.indexing_filter import IndexingFilter
from ohmweave.rtl.isa import Class
from ohmweave.rtl.reram_half.controller import Controller
from ohmweave.rtl.reram_half.expander import Expander
from ohmweave.rtl.reram_half.layouts import RECEIVERS, ReadLayout, ReRAMConfig
from ohmweave.rtl.reram_half.row_mask import RowMask
from ohmweave.rtl.reram_half.shift_add import ShiftAdd
from ohmweave.rtl.reram_half.vectors import Vectors
from ohmweave.rtl.tile_controller import TileController

__all__ = ["ReRAMHalf"]

#: Results that may be on their way to buffer 1 though it is full: one waits for it, one is being built.
PROMISED = 2


class ReRAMHalf(Component):
    """Windows to vectors of results, by a program (Re-ReRAM, sections IV and V).

    The controller starts frames: of transfers into the buffers, which are outside, and of reads. For a frame of reads
    the expander makes the reads of each window out of the indices of its blocks, the tile controller brings them to
    the array together with the windows, the sums are shifted and added up to results, and these are put together to
    vectors for the arithmetic half.

    Where a frame of reads is of both buffers and buffer 1 holds what becomes of buffer 0's results, a window of buffer
    0 is read only if fewer than `PROMISED` results are on their way to buffer 1, one more while it is `spare`: results
    that have no place there would hold up those of buffer 1's windows, which make places.

    Parameters
    ----------
    params : PEParams

    Ports
    -----
    id : In(16)
        Number of the array, constant.
    config : In(ReRAMConfig(params))
        Changes only while `clear` is high.
    clear : In(1)
        Forgets all work under way, as the reset does; the tables, the cells and rows being programmed stay.
    program : In(stream(ConfigWrite)), always ready
        Instruction table: addresses 2n and 2n + 1 of `Controller`.
    index : In(stream(ConfigWrite)), always ready
        Index table of the blocks, as in `IndexingFilter`, of at most colmux entries.
    rows : In(stream(RowLayout(array)))
        Rows to program, as in `Crossbar`; they go before reads.
    window_0, window_1 : In(stream(rows·dac_bits))
        Windows of the two buffers. A window is taken with its last read.
    feeds : In(1)
        Results of buffer 0's windows go to buffer 1.
    written, spare : In(1)
        What a window of buffer 0 gave is written to buffer 1; a whole further row has a place there.
    src : Out(1)
        Number of the buffer that the frame of reads under way, or the last one, names; nothing where it names both.
    working : In(1)
        The arithmetic half works on results that it has taken.
    receive : array of Out(stream(InstructionLayout(Class.N))), in the order of `RECEIVERS`
        Starts the receiver of buffer 0, of buffer 1, of the arithmetic half.
    result : Out(stream(VectorLayout(params)))
        Vectors of results, registered; alu_lanes channels each, lane_bits wide, signed.
    result_src : Out(1)
        Number of the buffer whose window the vector at `result` comes from.
    result_more : Out(1)
        Another vector waits behind that at `result`, or will in the next cycle.
    busy : Out(1)
        The array is reading or being programmed, or holds sums.
    error : Out(ErrorLayout(reram_program))
        As in `Controller`.

    Timing
    ------
    Latency: the last read of a vector taken by the array in cycle c → vector in cycle c + read_cycles + 2. The first
    read of a frame starts in the cycle after that in which its instruction was issued, if its window is there.
    Throughput: a window of B blocks takes B·S·signs·P·read_cycles cycles, S slices, P planes, without a gap from
    block to block, window to window and frame to frame for arrays of 2 and more cycles a read, as long as windows are
    there and vectors are taken in time. Of one cycle a read a vector takes 2 cycles at least, and a frame one more.

    `window.ready` comes from the windows' and indices' valids, `rows.valid` and registers, and from no other ready.

    Raises `TypeError` when `params` is not a PEParams.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        array = params.array
        window = stream.Signature(array.rows * array.dac_bits)
        super().__init__(
            {
                "id": In(16),
                "config": In(ReRAMConfig(params)),
                "clear": In(1),
                "program": In(stream.Signature(ConfigWrite)),
                "index": In(stream.Signature(ConfigWrite)),
                "rows": In(stream.Signature(RowLayout(array))),
                "window_0": In(window),
                "window_1": In(window),
                "feeds": In(1),
                "written": In(1),
                "spare": In(1),
                "src": Out(1),
                "working": In(1),
                "receive": Out(stream.Signature(InstructionLayout(Class.N))).array(len(RECEIVERS)),
                "result": Out(stream.Signature(VectorLayout(params))),
                "result_src": Out(1),
                "result_more": Out(1),
                "busy": Out(1),
                "error": Out(ErrorLayout(params.reram_program)),
            }
        )

    @property
    def params(self) -> PEParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params, array = self._params, self._params.array

        def held_in_reset(name: str, component: Any) -> Any:
            m.submodules[name] = ResetInserter(self.clear)(component)
            return component

        m.submodules.controller = controller = Controller(params=params)
        m.submodules.filter = index = IndexingFilter(entries=array.colmux)
        m.submodules.crossbar = crossbar = Crossbar(array=array)
        m.submodules.mask = mask = RowMask(params=params.buffer)
        expander = held_in_reset("expander", Expander(array=array))
        tile = held_in_reset("tile", TileController(arrays=1, groups=array.colmux))
        shift_add = held_in_reset("shift_add", ShiftAdd(params=params))
        vectors = held_in_reset("vectors", Vectors(params=params))

        # Instructions.
        connect(m, flipped(self.program), controller.program)
        connect(m, flipped(self.index), index.config)
        connect(m, flipped(self.rows), crossbar.program)
        connect(m, controller.frame, expander.frame)
        connect(m, index.index, expander.index)
        for inside, outside in zip(controller.receive, self.receive, strict=True):
            connect(m, inside, flipped(outside))
        m.d.comb += [
            controller.config.eq(self.config),
            controller.clear.eq(self.clear),
            controller.reading.eq(
                expander.running | crossbar.busy | shift_add.o.valid | vectors.o.valid | self.working
            ),
            self.src.eq(expander.src),
            # While the array reads it programs nothing, so that reading ends before the wait does.
            controller.programming.eq(self.rows.valid | crossbar.busy),
            crossbar.id.eq(self.id),
            self.busy.eq(crossbar.busy),
            self.error.eq(controller.error),
        ]

        # Reads to the array. What `clear` finds in it is thrown away, and nothing is read before.
        starts = Signal()
        ends = Signal()
        outstanding = Signal()
        stale = Signal()
        drains = Signal()
        request = tile.request[0]
        m.d.comb += [
            drains.eq(self.clear | stale),
            tile.index.valid.eq(expander.read.valid),
            tile.index.p.index.eq(expander.read.p.group),
            tile.index.p.first.eq(expander.read.p.first),
            tile.index.p.last.eq(expander.read.p.end),
            expander.read.ready.eq(tile.index.ready),
            crossbar.request.valid.eq(request.valid & ~drains),
            crossbar.request.payload.eq(request.payload),
            request.ready.eq(crossbar.request.ready & ~drains),
            starts.eq(crossbar.request.valid & crossbar.request.ready),
            ends.eq(crossbar.result.valid & crossbar.result.ready),
        ]
        with m.If(starts | ends):
            m.d.sync += outstanding.eq(starts)
        with m.If(self.clear | ends):
            m.d.sync += stale.eq(self.clear & outstanding & ~ends)

        # The window that is read. In place those of both buffers come from buffer 0, a frame of each in turn.
        physical = Signal()
        m.d.comb += [
            physical.eq(expander.read.p.src & ~self.config.in_place),
            expander.window.eq(Cat(self.window_0.valid, self.window_1.valid)),
        ]
        with m.If(expander.running):
            with m.If(physical):
                m.d.comb += [
                    tile.window.valid.eq(self.window_1.valid),
                    self.window_1.ready.eq(tile.window.ready),
                ]
            with m.Else():
                m.d.comb += [
                    tile.window.valid.eq(self.window_0.valid),
                    self.window_0.ready.eq(tile.window.ready),
                ]
        self._keep_room(m, expander)
        m.d.comb += [
            mask.window_0.eq(self.window_0.payload),
            mask.window_1.eq(self.window_1.payload),
            mask.src.eq(physical),
            mask.split.eq(expander.split),
            mask.planes.eq(expander.planes),
            mask.plane.eq(expander.read.p.plane),
            # Whenever a read can start: that it does is known too late for so many bits.
            mask.enable.eq(
                expander.running & crossbar.program.ready & (self.window_0.valid | self.window_1.valid)
            ),
            crossbar.x.eq(mask.x),
        ]

        # Sums to vectors. One read at a time is in the array, so that one register tells which.
        read = Signal(ReadLayout(array))
        with m.If(starts):
            m.d.sync += read.eq(expander.read.payload)
        m.d.comb += [
            # What is stale finds a tile that was reset, and waits for nothing.
            tile.result[0].valid.eq(crossbar.result.valid),
            crossbar.result.ready.eq(tile.result[0].ready | drains),
            tile.forward.ready.eq(1),
            shift_add.i.valid.eq(tile.write_back.valid),
            tile.write_back.ready.eq(shift_add.i.ready),
            shift_add.i.p.sums.eq(crossbar.result.p.sums),
            shift_add.i.p.reference.eq(crossbar.result.p.reference),
            shift_add.i.p.read.eq(read),
        ]
        connect(m, shift_add.o, vectors.i)
        connect(m, vectors.o, flipped(self.result))
        m.d.comb += [self.result_src.eq(vectors.src), self.result_more.eq(vectors.more)]
        return m

    def _keep_room(self, m: Module, expander: Expander) -> None:
        """Count the results on their way to buffer 1, and let no window of buffer 0 begin that has no place."""
        promised = Signal(range(PROMISED + 2))
        begins = Signal()
        begun = Signal()
        read = expander.read
        m.d.comb += [
            expander.room.eq(~self.feeds | (promised < PROMISED) | ((promised == PROMISED) & self.spare)),
            begins.eq(read.valid & read.ready & ~begun & ~read.p.src),
        ]
        with m.If(read.valid & read.ready):
            m.d.sync += begun.eq(~read.p.end)
        with m.If(expander.both & self.feeds & (begins | self.written)):
            m.d.sync += promised.eq(promised + begins - self.written)
        with m.If(self.clear):
            m.d.sync += [promised.eq(0), begun.eq(0)]
