"""Read side of the convolution buffer: which column is read when."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer.geometry import ConvConfig
from ohmweave.rtl.conv_buffer.ring import SlotLayout, add_slot
from ohmweave.rtl.conv_buffer.writer import ROW_BITS

__all__ = ["ColumnLayout", "ColumnReader", "bottom_of"]


class ColumnLayout(data.StructLayout):
    """What is to be done with the words at the memories' outputs.

    slot   slot of the window's first row
    rows   rows of the window that lie in the image; the others are padding
    store  the first column of a row of windows is kept aside until the second comes (7 columns in 6 cycles)
    clear  the older columns of the window become padding, or the one kept aside
    last   the window is complete
    layer  the column is of image 1, 3, 5, ... since the reset, with `alternate`
    """

    def __init__(self, params: BufferParams):
        super().__init__(
            {
                "slot": SlotLayout(params.banks),
                "rows": params.max_kernel,
                "store": 1,
                "clear": 1,
                "last": 1,
                "layer": 1,
            }
        )


def bottom_of(config: data.View, top: ValueLike) -> Value:
    """Last image row of a row of windows that begins `top` rows below the first one."""
    reach = top + config.first_rows - 1
    return Mux(reach < config.in_height, reach, config.in_height - 1)


class ColumnReader(Component):
    """Walks over all columns of all rows of windows of one image after another, one column a cycle.

    A column is read as soon as the pixel of its last row inside the image has been written. Columns right of the
    image come without a read, columns left of it cost nothing.

    Ports
        config        In(ConvConfig(params)); of the image being read
        alternate     In(1)  the image after it has another configuration
        row, column   In   the writer's position
        bottom        In   last image row of the row of windows being read; a register
        next_bottom   Out  of the row of windows behind it, if that is of the same image
        row_end       Out(1)  this cycle's column is the last of a row of windows
        step          Out  image rows that nothing needs any more from there on, besides those before
        next_frame    Out(1)  this cycle's column is the last of the image
        layer         Out(1)  with `alternate`: the image being read is 1, 3, 5, ... since the reset
        renew         Out(1)  this cycle's column is the first with this configuration
        read          Out(1)  read every bank at `address`
        address       Out
        word          Out(stream(ColumnLayout(params))); valid with the words at the memories' outputs
    """

    def __init__(self, *, params: BufferParams):
        self._params = params
        config = ConvConfig(params)
        width = config["in_width"].width
        super().__init__(
            {
                "config": In(ConvConfig(params)),
                "alternate": In(1),
                "row": In(signed(ROW_BITS)),
                "column": In(width),
                "bottom": In(ROW_BITS),
                "next_bottom": Out(ROW_BITS),
                "row_end": Out(1),
                "step": Out(config["stride"].shape),
                "next_frame": Out(1),
                "layer": Out(1),
                "renew": Out(1),
                "read": Out(1),
                "address": Out(width),
                "word": Out(stream.Signature(ColumnLayout(params))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params, config = self._params, self.config

        # Position: `top` counts from the padding above the image, `x` from the image's first column.
        top = Signal(ROW_BITS)
        x = Signal.like(self.address)
        filled = Signal(3)
        window_x = Signal.like(config.last_x)
        window_y = Signal.like(config.last_y)
        fresh = Signal(init=1)
        # Slot of row `top` of the image, which lies `pad` below the window's first row.
        slot = Signal(SlotLayout(params.banks))
        # No column has been read with this configuration.
        untouched = Signal(init=1)

        # Rows: is column x there down to the last row of the window that lies in the image?
        inside = Signal()
        written = Signal()
        issue = Signal()
        m.d.comb += [
            self.next_bottom.eq(bottom_of(config, top + config.stride)),
            inside.eq(x < config.in_width),
            written.eq((self.row > self.bottom) | ((self.row == self.bottom) & (x < self.column))),
            issue.eq((~inside | written) & config.kernel.any() & (~self.word.valid | self.word.ready)),
            self.read.eq(issue & inside),
            self.address.eq(x),
            self.renew.eq(issue & untouched),
        ]

        # Rows of the padding are no rows of the image, so that the first steps are shorter. Padding has few rows.
        above = Signal(range(8))  # rows of it above `top`, if any
        m.d.comb += [
            above.eq(Mux(top < config.pad, config.pad - top[:3], 0)),
            self.step.eq(Mux(config.stride > above, config.stride - above, 0)),
        ]

        window_end = Signal()
        row_end = self.row_end
        m.d.comb += [
            window_end.eq(issue & (filled + 1 == Mux(fresh, config.first_columns, config.next_columns))),
            row_end.eq(window_end & (window_x == config.last_x)),
            self.next_frame.eq(row_end & (window_y == config.last_y)),
        ]
        first = add_slot(m, params.banks, slot, config.start_bank, config.start_group, config.group_step)
        with m.If(issue):
            store = fresh & (filled == 0) & (config.first_columns == 7) if params.max_kernel > 6 else 0
            second = fresh & (filled == 1) & (config.first_columns == 7) if params.max_kernel > 6 else 0
            m.d.sync += [
                self.word.valid.eq(1),
                self.word.p.slot.eq(first),
                self.word.p.store.eq(store),
                self.word.p.clear.eq(fresh & (filled == 0) | second),
                self.word.p.last.eq(window_end),
                self.word.p.layer.eq(self.layer),
                untouched.eq(0),
                x.eq(x + 1),
                filled.eq(filled + 1),
            ]
            for row in range(params.max_kernel):
                at = top + row
                m.d.sync += self.word.p.rows[row].eq(
                    (row < config.kernel) & inside & (at >= config.pad) & (at < config.in_height + config.pad)
                )
        with m.Elif(self.word.ready):
            m.d.sync += self.word.valid.eq(0)

        with m.If(window_end):
            m.d.sync += [x.eq(x + 1 + config.skip), filled.eq(0), fresh.eq(0), window_x.eq(window_x + 1)]
        next_row = add_slot(m, params.banks, slot, config.row_bank, config.row_group, config.group_step)
        next_frame = add_slot(m, params.banks, slot, config.frame_bank, config.frame_group, config.group_step)
        with m.If(self.next_frame):
            m.d.sync += [
                x.eq(0), fresh.eq(1), window_x.eq(0), window_y.eq(0), top.eq(0), slot.eq(next_frame)
            ]  # fmt: skip
        with m.Elif(row_end):
            m.d.sync += [
                x.eq(0), fresh.eq(1), window_x.eq(0), window_y.eq(window_y + 1),
                top.eq(top + config.stride), slot.eq(next_row),
            ]  # fmt: skip
        with m.If(self.next_frame & self.alternate):
            m.d.sync += [self.layer.eq(~self.layer), untouched.eq(1)]
        return m
