"""Write side of the convolution buffer."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer.geometry import MAX_HEIGHT, UNITS, ConvConfig, kernels, part_config
from ohmweave.rtl.conv_buffer.ring import SlotLayout, add_slot

__all__ = ["LINE_FIELDS", "ROW_BITS", "LineWriter"]

#: Bits of a row number relative to the image being read: one image behind to one image and all slots ahead.
ROW_BITS = (MAX_HEIGHT + 256).bit_length() + 1
#: What the writer knows of the image being written.
LINE_FIELDS = ("in_width", "in_height", "group_step")


class LineWriter(Component):
    """Puts the pixels of one image after another into the slots of the line memories.

    Row and column count what was written, the row relative to the image that is being read, so that it goes down
    by the image's height (and may become negative) with `next_frame`, and is past the height once the next
    image streams in.

    Ports
        config      In(part_config(params, LINE_FIELDS)); of the image being written
        alternate   In(1)       the image after it has another configuration
        pixel       In(stream(lanes × act_bits)); taken while the row written is below `limit`
        limit       In(signed)  first row for which there is no slot yet
        next_frame  In(1)       the reader goes on to the next image
        height      In          of the image that it leaves
        row         Out(signed) complete rows
        column      Out         complete pixels of the row after them
        image_end   Out(1)      with `alternate`: this cycle's pixel is the last of its image
        layer       Out(1)      with `alternate`: the pixels are of image 1, 3, 5, ... since the reset
        bank        Out(banks)  the bank of the row being written, one bit for each
        enable      Out(8 × banks) eighths of each bank's word to write in this cycle, at address `column`
        data        Out(lanes × act_bits)
    """

    def __init__(self, *, params: BufferParams):
        self._params = params
        word = params.lanes * params.act_bits
        size = ConvConfig(params)
        super().__init__(
            {
                "config": In(part_config(params, LINE_FIELDS)),
                "alternate": In(1),
                "pixel": In(stream.Signature(word)),
                "limit": In(signed(ROW_BITS)),
                "next_frame": In(1),
                "height": In(size["in_height"].width),
                "row": Out(signed(ROW_BITS)),
                "column": Out(size["in_width"].width),
                "image_end": Out(1),
                "layer": Out(1),
                "bank": Out(params.banks),
                "enable": Out(UNITS * params.banks),
                "data": Out(word),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params, config = self._params, self.config
        slot = Signal(SlotLayout(params.banks))
        write = Signal()
        row_end = Signal()
        m.d.comb += [
            self.pixel.ready.eq(self.row < self.limit),
            write.eq(self.pixel.valid & self.pixel.ready),
            row_end.eq(write & (self.column + 1 == config.in_width)),
            self.bank.eq(Cat(slot.bank == bank for bank in range(params.banks))),
        ]
        m.d.sync += self.row.eq(self.row + row_end - Mux(self.next_frame, self.height, 0))
        following = add_slot(m, params.banks, slot, 1, 0, config.group_step)
        unit = params.lanes * params.act_bits // UNITS
        with m.If(write):
            m.d.sync += self.column.eq(self.column + 1)
            # Every group gets the pixel, the enables pick one.
            with m.Switch(config.group_step):
                for units in sorted({UNITS // params.groups(kernel) for kernel in kernels(params)}):
                    with m.Case(units % UNITS):
                        part = self.pixel.payload[: units * unit]
                        m.d.comb += self.data.eq(Cat(*[part] * (UNITS // units)))
                        mask = Signal(UNITS, name=f"mask_{units}")
                        m.d.comb += mask.eq(((1 << units) - 1) << slot.group)
                        with m.Switch(slot.bank):
                            for bank in range(params.banks):
                                with m.Case(bank):
                                    m.d.comb += self.enable.word_select(bank, UNITS).eq(mask)
        with m.If(row_end):
            m.d.sync += [self.column.eq(0), slot.eq(following)]
        # Rows of the image being written, as `row` is of another image. Nobody asks while all images are alike.
        line = Signal.like(config.in_height)
        with m.If(row_end & self.alternate):
            m.d.sync += line.eq(line + 1)
            with m.If(line + 1 == config.in_height):
                m.d.comb += self.image_end.eq(1)
                m.d.sync += [line.eq(0), self.layer.eq(~self.layer)]
        return m
