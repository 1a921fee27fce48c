"""Convolution buffer: pixels in, windows out."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal, ValueLike
from amaranth.lib import data, memory, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer.geometry import UNITS, ConvConfig, part_config
from ohmweave.rtl.conv_buffer.reader import ColumnReader, bottom_of
from ohmweave.rtl.conv_buffer.window import WINDOW_FIELDS, WindowRegister
from ohmweave.rtl.conv_buffer.writer import LINE_FIELDS, LineWriter

__all__ = ["ConvBuffer"]


class ConvBuffer(Component):
    """Line buffer that gives one window of a convolution after another of a stream of images.

    `banks` line memories of one write and one read port, `width` words deep, hold the last image rows; a column of
    the window is read out of all of them at once and shifted into the window register, so that a window costs only
    the columns that the one before did not have (reuse of k/s; Re-ReRAM, section V, "fast-convolution buffer"). A
    word has `lanes` channels of one row for kernels up to 3×3 of the `re-reram` preset; for larger kernels fewer
    channels of 2, 4 or 8 rows share it, so that the pixels of a window always fit the array (`BufferParams.groups`).
    Images follow each other without a gap: the rows of the next are further rows of the same ring.

    Windows may have other numbers of rows than of columns, with strides and padding of their own: n windows of k×k that
    share a read of the array are one of k × (k + (n-1)·s) with column stride n·s; a 1×1 kernel on pixels of n words is
    one of 1×n with column stride n.

    In place (Re-ReRAM, section V: the space of inputs that are done with is written by their outputs at once): with
    `alternate` the images alternate between two configurations, as do an image of one layer and the image of its
    results, which is the next layer's input and whose rows follow in the slots that the first image leaves. The two
    must have the same slots (`banks × groups`); `in_place()` says whether a layer's results always find a slot, so
    that nothing comes to a standstill. Writer, reader and window register each change over by themselves at the end of
    an image, without a cycle lost.

    Parameters
    ----------
    params : BufferParams

    Ports
    -----
    config : In(ConvConfig(params))
        From `conv_config()`. All zero: nothing is taken or given. It may change while `clear` or the reset is high.
    other : In(ConvConfig(params))
        Configuration of the images 1, 3, 5, ..., counted from 0 since `clear` or the reset. Constant as `config` is.
    alternate : In(1)
        `other` is used; else all images are as `config` says. Constant as `config` is.
    clear : In(1)
        Forgets everything, as the reset does; the window is not to be taken meanwhile. `pixel.ready` is low from the
        cycle after it went high to the cycle after it went low; a pixel taken with it is forgotten.
    pixel : In(stream(lanes × act_bits))
        Pixels in raster order, channel c in lane c; lanes from L = `pixel_lanes(k)` on are ignored. `ready` is
        registered state alone, the same for all pixels of a row.
    window : Out(stream(window_lanes × act_bits))
        Lane ((j × rows) + i) × L + c is channel c of kernel column j and kernel row i; the other lanes are zero. Pixels
        in the padding are what `config.fill` says, zero by default. Windows come in raster order.
    pixel_layer : Out(1)
        The next pixel to be taken belongs to an image of `other`. A register.
    window_layer : Out(1)
        The window offered is of an image of `other`. A register.
    spare : Out(1)
        Besides the row being written a whole further row has a place by now, so that all pixels of both would be
        taken without a wait. Registered state alone, low with `pixel.ready` from `clear` on.

    Latency and throughput
    ----------------------
    A window has n new columns: columns - pad for the first of a row of windows, min(stride, columns) for the others
    (pad and stride in columns). Of them, z lie right of the image.

    - Last pixel taken in cycle c → window valid in cycle c + 4 + z + w, w windows before it in its row having the same
      last pixel, if none of those before it was left waiting.
    - The window before taken in cycle c and the pixels there → valid in cycle c + n + 1. So a consumer that takes a
      window every 6 cycles, as the array does, never waits while n is 5 or less: for strides up to 5, and 6 or 7
      columns with padding. Of 7 columns that begin a row the first is kept aside while the last window of the row
      before waits: c + 7.
    - Pixels: one a cycle. A pixel is refused only if its row would overwrite a row of the image being read that
      a window still needs: with y the first image row of the row of windows being read, rows up to
      y + row_slots(k) - 1 are taken, over the end of the image into the next ones. The columns read run at most
      three ahead of the window offered.

    All of this holds across the images' ends too, whether they alternate or not.

    Raises
    ------
    TypeError
        If `params` is not a `BufferParams`.
    """

    def __init__(self, *, params: BufferParams):
        if not isinstance(params, BufferParams):
            raise TypeError(f"params must be BufferParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "config": In(ConvConfig(params)),
                "other": In(ConvConfig(params)),
                "alternate": In(1),
                "clear": In(1),
                "pixel": In(stream.Signature(params.lanes * params.act_bits)),
                "window": Out(stream.Signature(params.window_lanes * params.act_bits)),
                "pixel_layer": Out(1),
                "window_layer": Out(1),
                "spare": Out(1),
            }
        )

    @property
    def params(self) -> BufferParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params = self._params
        writer = LineWriter(params=params)
        reader = ColumnReader(params=params)
        window = WindowRegister(params=params)
        # Copies of what comes from outside, so that `pixel.ready` is a function of registers alone.
        cleared = Signal(init=1)
        m.d.sync += cleared.eq(self.clear)
        for name, part in (("writer", writer), ("reader", reader), ("window_register", window)):
            m.submodules[name] = ResetInserter(self.clear | cleared)(part)
        # Of the image being written, of the one being read and of the one whose column comes out of the memories.
        writing = Signal(part_config(params, LINE_FIELDS))
        reading = Signal(ConvConfig(params))
        showing = Signal(part_config(params, WINDOW_FIELDS))
        self._load(m, writing, cleared, writer.image_end, writer.layer)
        self._load(m, reading, cleared, reader.next_frame & self.alternate, reader.layer)
        with m.If(reader.renew):
            m.d.sync += _copy(showing, reading)
        m.d.comb += [
            writer.config.eq(writing),
            writer.height.eq(reading.in_height),
            writer.alternate.eq(self.alternate),
            reader.config.eq(reading),
            reader.alternate.eq(self.alternate),
            window.config.eq(showing),
        ]

        # First row, counted as the writer does, whose slot a window still needs, and the last row that the windows
        # being read need: registers, since `pixel.ready`, the memories' enables and all that is read hang on them. The
        # images of both configurations begin with as many slots.
        limit, bottom = Signal.like(writer.limit), Signal.like(reader.bottom)
        with m.If(cleared):
            m.d.sync += [limit.eq(self.config.slots), bottom.eq(bottom_of(self.config, 0))]
        with m.Elif(reader.next_frame):
            m.d.sync += limit.eq(reading.slots)
            with m.If(self.alternate & ~reader.layer):
                m.d.sync += bottom.eq(bottom_of(self.other, 0))
            with m.Else():
                m.d.sync += bottom.eq(bottom_of(self.config, 0))
        with m.Elif(reader.row_end):
            m.d.sync += [limit.eq(limit + reader.step), bottom.eq(reader.next_bottom)]

        word = params.lanes * params.act_bits
        for bank in range(params.banks):
            # Two words at least: an address of no bits is not Verilog.
            lines = memory.Memory(shape=word, depth=max(2, params.width), init=[])
            m.submodules[f"bank_{bank}"] = lines
            write = lines.write_port(granularity=word // UNITS)
            read = lines.read_port()
            # The address of a bank whose turn it is not rests, out of range if there is such an address: the memory
            # does not toggle, and CXXRTL, which else spells out an empty write in every cycle, passes it by.
            m.d.comb += [
                write.addr.eq(Mux(writer.bank[bank] & self.pixel.valid, writer.column, -1)),
                write.data.eq(writer.data),
                write.en.eq(writer.enable.word_select(bank, UNITS)),
                read.addr.eq(reader.address),
                read.en.eq(reader.read),
                window.words[bank].eq(read.data),
            ]
        m.d.comb += [
            writer.pixel.payload.eq(self.pixel.payload),
            writer.pixel.valid.eq(self.pixel.valid & ~cleared),
            self.pixel.ready.eq(writer.pixel.ready & ~cleared),
            writer.limit.eq(limit),
            writer.next_frame.eq(reader.next_frame),
            reader.row.eq(writer.row),
            reader.column.eq(writer.column),
            reader.bottom.eq(bottom),
            window.word.payload.eq(reader.word.payload),
            window.word.valid.eq(reader.word.valid),
            reader.word.ready.eq(window.word.ready),
            self.window.payload.eq(window.window.payload),
            self.window.valid.eq(window.window.valid),
            window.window.ready.eq(self.window.ready),
            self.pixel_layer.eq(writer.layer),
            self.window_layer.eq(window.layer),
            self.spare.eq((writer.row + 1 < limit) & ~cleared),
        ]
        return m

    def _load(self, m: Module, target: data.View, cleared: Signal, end: ValueLike, layer: Signal) -> None:
        """Configuration of the first image after `cleared`, and of the next at the end of one of `layer`.

        Registers that are seldom loaded rather than multiplexers: a simulator has nothing to do for them.
        """
        with m.If(cleared | end):
            with m.If(cleared | layer):
                m.d.sync += _copy(target, self.config)
            with m.Else():
                m.d.sync += _copy(target, self.other)


def _copy(target: data.View, source: data.View) -> list:
    """Fields of `target` as those of the same names in `source`."""
    return [target[name].eq(source[name]) for name, _ in target.shape()]
