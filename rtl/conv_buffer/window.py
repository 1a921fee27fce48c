"""Window register of the convolution buffer, and the way of a column into it."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer.geometry import UNITS, kernels, part_config
from ohmweave.rtl.conv_buffer.reader import ColumnLayout
from ohmweave.rtl.fill import fill_word

__all__ = ["WINDOW_FIELDS", "WindowRegister"]

#: What the window register knows of the image of a column.
WINDOW_FIELDS = ("kernel", "columns", "first_columns", "group_step", "fill")


class WindowRegister(Component):
    """Turns the banks' words into one column of the window and shifts it in.

    Lane ((j × rows) + i) × L + c of the window is channel c of kernel column j and kernel row i, with
    L = pixel_lanes(kernel); lanes from rows × columns × L on are zero. Columns come in on top and move down by
    rows × L lanes.

    Ports
        config  In(part_config(params, WINDOW_FIELDS)); of the image of `word`
        words   In(ArrayLayout(lanes × act_bits, banks))  outputs of the line memories
        word    In(stream(ColumnLayout(params)))
        window  Out(stream(window_lanes × act_bits))
        layer   Out(1)  that of the columns in the window
    """

    def __init__(self, *, params: BufferParams):
        self._params = params
        super().__init__(
            {
                "config": In(part_config(params, WINDOW_FIELDS)),
                "words": In(data.ArrayLayout(params.lanes * params.act_bits, params.banks)),
                "word": In(stream.Signature(ColumnLayout(params))),
                "window": Out(stream.Signature(params.window_lanes * params.act_bits)),
                "layer": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        word = self.word
        shift = Signal()
        m.d.comb += [
            shift.eq(word.valid & ~word.p.store & (~self.window.valid | self.window.ready)),
            # The column kept aside does not wait for the window: its place is empty by then.
            word.ready.eq(~self.window.valid | self.window.ready | (word.valid & word.p.store)),
        ]
        with m.If(shift):
            m.d.sync += self.window.valid.eq(word.p.last)
        with m.Elif(self.window.ready):
            m.d.sync += self.window.valid.eq(0)

        # What a pixel beside the image is; where it is zero nothing of this is evaluated.
        params = self._params
        filled = Signal()
        m.d.comb += filled.eq(self.config.fill.values.as_value().any())
        with m.If(word.valid & filled):
            filler = fill_word(
                m,
                self.config.fill,
                act_bits=params.act_bits,
                lanes=params.lanes,
                pixel_lanes={params.lanes * units // UNITS for units in (1, 2, 4, 8)},
            )
        column = self._column(m, filled, filler)
        spare = None
        if self._params.max_kernel > 6:
            spare = Signal(max(rows * self._lane_bits((rows, 7)) for rows in range(1, 8)))
            with m.If(word.valid & word.p.store), m.Switch(self.config.kernel):
                for rows in range(1, 8):
                    with m.Case(rows):
                        m.d.sync += spare.eq(Cat(row[: self._lane_bits((rows, 7))] for row in column[:rows]))
        with m.If(shift):
            # The windows of another layer may leave lanes free that the ones before used. They become zero with every
            # column rather than with its first alone: that would be a multiplexer of the whole window, evaluated in
            # every cycle, while this gives the register one enable.
            m.d.sync += [self.layer.eq(word.p.layer), self.window.p.eq(0)]
            with m.Switch(self.config.kernel):
                for rows in range(1, self._params.max_kernel + 1):
                    with m.Case(rows), m.Switch(self.config.columns):
                        for columns in range(1, self._params.max_kernel + 1):
                            with m.Case(columns):
                                self._shift(m, column, filled, filler, spare, rows, columns)
        return m

    def _shift(
        self, m: Module, column: list[Signal], filled: Signal, filler: Signal, spare: Signal | None,
        rows: int, columns: int,
    ) -> None:  # fmt: skip
        """Take one column into a window of this size."""
        window, clear = self.window.p, self.word.p.clear
        bits = self._lane_bits((rows, columns))
        step, size = rows * bits, rows * columns * bits
        m.d.sync += window[size - step : size].eq(Cat(row[:bits] for row in column[:rows]))
        if columns == 1:
            return
        with m.If(~clear):
            m.d.sync += window[: size - step].eq(window[step:size])
        with m.Elif(filled):
            m.d.sync += window[: size - step].eq(filler[:bits].replicate(rows * (columns - 1)))
        with m.Else():
            m.d.sync += window[: size - step].eq(0)
        if spare is not None and columns == 7:
            with m.If(clear & (self.config.first_columns == 7)):
                m.d.sync += window[size - 2 * step : size - step].eq(spare)

    def _lane_bits(self, kernel: tuple[int, int]) -> int:
        return self._params.pixel_lanes(kernel) * self._params.act_bits

    def _column(self, m: Module, filled: Signal, filler: Signal) -> list[Signal]:
        """Rows of the column at the memories' outputs, as wide as any kernel that has them wants them.

        Everything wide stands within the `If`, so that a simulator passes it by while no column comes.
        """
        params, word = self._params, self.word
        banks = params.banks
        # Of the rows i and i + banks of the window, which lie in the same bank, the second is one group further.
        rounds = range((params.max_kernel - 1) // banks + 1)
        selected = [[self._group(m, bank, which) for bank in range(banks)] for which in rounds]
        rows = []
        for row in range(params.max_kernel):
            bits = max(self._lane_bits(kernel) for kernel in kernels(params) if kernel[0] > row)
            rows.append(Signal(bits, name=f"row_{row}"))
        with m.If(word.valid), m.Switch(word.p.slot.bank):
            for top in range(banks):
                with m.Case(top):
                    for row, target in enumerate(rows):
                        with m.If(word.p.rows[row]):
                            m.d.comb += target.eq(selected[row // banks][(top + row) % banks])
        with m.If(word.valid & filled):
            for row, target in enumerate(rows):
                with m.If(~word.p.rows[row]):
                    m.d.comb += target.eq(filler)
        return rows

    def _group(self, m: Module, bank: int, which: int) -> Signal:
        """Lanes of one bank's word that belong to its first (`which` = 0) or second row of the window."""
        params, word = self._params, self.word
        users = [kernel for kernel in kernels(params) if kernel[0] > which * params.banks]
        sizes = {self._lane_bits(kernel) for kernel in users}
        result = Signal(max(sizes), name=f"group_{bank}_{which}")
        group = Signal(3, name=f"at_{bank}_{which}")
        unit = params.lanes * params.act_bits // UNITS
        step = self.config.group_step
        # Banks before the one of the window's first row have been gone round once more.
        m.d.comb += group.eq(
            word.p.slot.group + (step if which else 0) + Mux(word.p.slot.bank > bank, step, 0)
        )
        active = word.valid if which == 0 else word.valid & (self.config.kernel > which * params.banks)
        with m.If(active), m.Switch(group):
            for at in range(UNITS):
                # Only groups that start here: their lanes end at the next multiple of their size.
                here = [bits for bits in sizes if at * unit % bits == 0]
                if here:
                    with m.Case(at):
                        m.d.comb += result.eq(self.words[bank][at * unit : at * unit + max(here)])
        return result
