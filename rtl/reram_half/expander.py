"""From a frame and the indices of its blocks to the reads of the array."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import ArrayParams
from ohmweave.rtl.indexing_filter import IndexLayout
from ohmweave.rtl.reram_half.layouts import FrameLayout, ReadLayout
from ohmweave.rtl.reram_half.signs import sign_scheme

__all__ = ["Expander"]


class Expander(Component):
    """Reads of a frame: for each window, for each block, for each slice, for each sign, for each plane.

    A frame of both buffers has windows of either, each buffer's as many as the frame says: two layers share the array
    by the columns that each has of it (Re-ReRAM, section VII, figure 12). When a window has been read, the next is
    one of buffer 1 if one is there, else one of buffer 0 if one is there and `room` is given.

    A weight of several slices lies in several column groups, and an input of several planes is read in several
    passes (Re-ReRAM, section IV). Block b has the column groups (b·S + j)·signs + sign for slice j of S and the
    `signs` of the array's sign scheme. Blocks are counted, or come from the indexing filter, one round a window.

    Parameters
    ----------
    array : ArrayParams

    Ports
    -----
    frame : In(stream(FrameLayout(array)))
        A frame of reads; ready while none is under way.
    index : In(stream(IndexLayout(colmux)))
        Blocks of a frame with `index`, transferred with the last read of each. What stands before a round's `first`
        at the beginning of a window is thrown away, one a cycle: the rest of a round that was interrupted.
    window : In(2)
        One of each buffer's windows is there; only frames of both buffers look at it.
    room : In(1)
        There is a place for the results of a window of buffer 0; only frames of both buffers look at it.
    read : Out(stream(ReadLayout(array)))
    running : Out(1)
        A frame is under way: there are windows that have not been read to their end.
    src, both, planes : Out(1), Out(1), Out(2)
        Of the frame under way, or of the last one, registers. `src` means nothing where it is of both buffers.
    split : Out(2)
        Of the window that is read.

    Timing
    ------
    Latency: a frame taken in cycle c gives its first read in cycle c + 1. A frame whose last read is taken in cycle
    c is followed by another's first read in cycle c + 2 at the earliest.
    Throughput: a read a cycle; a window of B blocks takes B·S·signs·P reads.

    `read.valid` comes from `index.valid`, `window`, `room` and registers; `index.ready` also from `read.ready`,
    `frame.ready` from a register. What is offered stays, whatever becomes of `window` and `room`.

    Errors
    ------
    A column group beyond the last reads the last one. `planes` and `slices` of 3 count as 2. A frame with `index` and
    an index table that is empty waits forever.

    Raises `TypeError` when `array` is not an ArrayParams.
    """

    def __init__(self, *, array: ArrayParams):
        if not isinstance(array, ArrayParams):
            raise TypeError(f"Array must be ArrayParams, not {array!r}")
        self._array = array
        super().__init__(
            {
                "frame": In(stream.Signature(FrameLayout(array))),
                "index": In(stream.Signature(IndexLayout(array.colmux))),
                "window": In(2),
                "room": In(1),
                "read": Out(stream.Signature(ReadLayout(array))),
                "running": Out(1),
                "both": Out(1),
                "src": Out(1),
                "split": Out(2),
                "planes": Out(2),
            }
        )

    @property
    def array(self) -> ArrayParams:
        return self._array

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        colmux = self._array.colmux
        signs = sign_scheme(self._array).signs

        frame = Signal(FrameLayout(self._array))
        # Buffers of which there are windows left.
        left = Signal(2)
        running = Signal()
        # Beginning of a window: only the first index of a round counts.
        begins = Signal(init=1)
        next_block = Signal(range(colmux))
        slice_ = Signal(2)
        sign = Signal(range(signs))
        plane = Signal(2)

        # Whose window: of both buffers', chosen when the window before is over and one is there.
        src = Signal()
        chosen = Signal()
        choice = Signal()
        waits = Signal()
        m.d.comb += [running.eq(left.any()), choice.eq(src)]
        with m.If(frame.both & ~chosen):
            m.d.comb += [
                choice.eq(self.window[1] & left[1]),
                waits.eq(~choice & ~(self.window[0] & left[0] & self.room)),
            ]
        mine = Signal()
        first_block = Signal(range(colmux))
        end_block = Signal(range(colmux))
        m.d.comb += [
            mine.eq(frame.both & ~choice),
            first_block.eq(Mux(mine, 0, frame.first)),
            end_block.eq(Mux(mine, frame.first - 1, frame.blocks)),
        ]
        block = Signal(range(colmux))
        m.d.comb += block.eq(Mux(begins, first_block, next_block))

        index = self.index.payload
        number = Signal(range(colmux))
        last_block = Signal()
        there = Signal()
        skips = Signal()
        with m.If(frame.index):
            m.d.comb += [
                skips.eq(running & begins & self.index.valid & ~index.first),
                there.eq(running & self.index.valid & (index.first | ~begins)),
                number.eq(index.index),
                last_block.eq(index.last),
            ]
        with m.Else():
            m.d.comb += [there.eq(running & ~waits), number.eq(block), last_block.eq(block == end_block)]

        # Number of the column group; eight groups to a block at most.
        place = Signal(range(8 * colmux))
        with m.Switch(frame.slices):
            with m.Case(0):
                m.d.comb += place.eq(number)
            with m.Case(1):
                m.d.comb += place.eq((number << 1) | slice_)
            with m.Default():
                m.d.comb += place.eq((number << 2) | slice_)
        group = Signal(range(8 * colmux))
        m.d.comb += group.eq((place << 1) | sign if signs == 2 else place)

        last_slice = Signal()
        last_sign = Signal()
        last_plane = Signal()
        last = Signal()
        taken = Signal()
        m.d.comb += [
            last_slice.eq(slice_ == Mux(frame.slices == 0, 0, Mux(frame.slices == 1, 1, 3))),
            last_sign.eq(sign == signs - 1),
            last_plane.eq(plane == Mux(frame.planes == 0, 0, Mux(frame.planes == 1, 1, 3))),
            last.eq(last_slice & last_sign & last_plane),
            taken.eq(there & self.read.ready),
            self.frame.ready.eq(~running),
            self.index.ready.eq(skips | (taken & last & frame.index)),
            self.read.valid.eq(there),
            self.read.p.src.eq(choice),
            self.read.p.group.eq(Mux(group > colmux - 1, colmux - 1, group)),
            self.read.p.plane.eq(plane),
            self.read.p.slice.eq(slice_),
            self.read.p.sign.eq(sign),
            self.read.p.top.eq(last_slice),
            self.read.p.first.eq((slice_ == 0) & (sign == 0) & (plane == 0)),
            self.read.p.last.eq(last),
            self.read.p.end.eq(last & last_block),
            self.running.eq(running),
            self.both.eq(frame.both),
            self.src.eq(src),
            self.split.eq(Mux(choice, frame.split[1], frame.split[0])),
            self.planes.eq(frame.planes),
        ]

        with m.If(there):
            m.d.sync += [src.eq(choice), chosen.eq(1)]
        with m.If(taken):
            m.d.sync += [begins.eq(last & last_block), next_block.eq(block + last), plane.eq(plane + 1)]
            with m.If(last_plane):
                m.d.sync += [plane.eq(0), sign.eq(~last_sign)]
            with m.If(last_plane & last_sign):
                m.d.sync += [sign.eq(0), slice_.eq(Mux(last_slice, 0, slice_ + 1))]
            with m.If(last & last_block):
                m.d.sync += chosen.eq(0)
                for buffer in range(2):
                    windows = frame.windows[buffer]
                    with m.If(choice == buffer):
                        m.d.sync += windows.eq(windows - 1)
                        with m.If(windows == 0):
                            m.d.sync += left[buffer].eq(0)
        with m.If(self.frame.valid & self.frame.ready):
            given = self.frame.payload
            m.d.sync += [
                frame.eq(given), src.eq(given.src), left.eq(Mux(given.both, 3, Mux(given.src, 2, 1))), chosen.eq(0)
            ]  # fmt: skip
        return m
