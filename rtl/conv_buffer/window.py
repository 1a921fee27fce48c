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
        params, word = self._params, self.word
        # The words of the column that goes into the window next, and all that says what is to become of them:
        # registers, since the memories need most of a cycle.
        words = [
            Signal(params.lanes * params.act_bits, name=f"words_{bank}", reset_less=True)
            for bank in range(params.banks)
        ]
        held = Signal()
        store, clear, last, layer, filled, aside = (
            Signal(name=name) for name in ("store", "clear", "last", "column_layer", "filled", "aside")
        )
        kernel, columns = Signal.like(self.config.kernel), Signal.like(self.config.columns)
        shift = Signal()
        moves = Signal()
        # Not in the cycle in which the window is taken: whoever takes it knows late, and much hangs on it here.
        free = ~self.window.valid
        m.d.comb += [
            shift.eq(held & ~store & free),
            # The column kept aside does not wait for the window: its place is empty by then.
            word.ready.eq(~held | store | free),
            moves.eq(word.valid & word.ready),
        ]
        with m.If(word.ready):
            m.d.sync += held.eq(word.valid)
        with m.If(shift):
            m.d.sync += self.window.valid.eq(last)
        with m.Elif(self.window.ready):
            m.d.sync += self.window.valid.eq(0)
        with m.If(moves):
            m.d.sync += [
                *(to.eq(each) for to, each in zip(words, self.words, strict=True)),
                store.eq(word.p.store), clear.eq(word.p.clear), last.eq(word.p.last), layer.eq(word.p.layer),
                kernel.eq(self.config.kernel), columns.eq(self.config.columns),
                aside.eq(self.config.first_columns == 7),
            ]  # fmt: skip

        # What a pixel beside the image is; where it is zero nothing of this is evaluated.
        border = Signal(params.lanes * params.act_bits, reset_less=True)
        beside = Signal()
        m.d.comb += beside.eq(self.config.fill.values.as_value().any())
        with m.If(moves):
            m.d.sync += filled.eq(beside)
        with m.If(moves & beside):
            filler = fill_word(
                m,
                self.config.fill,
                act_bits=params.act_bits,
                lanes=params.lanes,
                pixel_lanes={params.lanes * units // UNITS for units in (1, 2, 4, 8)},
            )
            m.d.sync += border.eq(filler)
        column = self._column(m, words, held, moves, filled, border)
        # Without a reset, as the words: `valid` says when something is there, and a column writes all lanes.
        window = Signal.like(self.window.p, reset_less=True)
        m.d.comb += self.window.p.eq(window)
        spare = None
        if params.max_kernel > 6:
            spare = Signal(max(rows * self._lane_bits((rows, 7)) for rows in range(1, 8)), reset_less=True)
            with m.If(held & store), m.Switch(kernel):
                for rows in range(1, 8):
                    with m.Case(rows):
                        m.d.sync += spare.eq(Cat(row[: self._lane_bits((rows, 7))] for row in column[:rows]))
        with m.If(shift):
            # The windows of another layer may leave lanes free that the ones before used. They become zero with every
            # column rather than with its first alone: that would be a multiplexer of the whole window, evaluated in
            # every cycle, while this gives the register one enable.
            m.d.sync += [self.layer.eq(layer), window.eq(0)]
            with m.Switch(kernel):
                for rows in range(1, params.max_kernel + 1):
                    with m.Case(rows), m.Switch(columns):
                        for size in range(1, params.max_kernel + 1):
                            with m.Case(size):
                                self._shift(
                                    m, window, column, border, spare, (clear, filled, aside), rows, size
                                )
        return m

    def _shift(
        self, m: Module, window: Signal, column: list[Signal], border: Signal, spare: Signal | None,
        marks: tuple[Signal, Signal, Signal], rows: int, columns: int,
    ) -> None:  # fmt: skip
        """Take one column into a window of this size."""
        clear, filled, aside = marks
        bits = self._lane_bits((rows, columns))
        step, size = rows * bits, rows * columns * bits
        m.d.sync += window[size - step : size].eq(Cat(row[:bits] for row in column[:rows]))
        if columns == 1:
            return
        with m.If(~clear):
            m.d.sync += window[: size - step].eq(window[step:size])
        with m.Elif(filled):
            m.d.sync += window[: size - step].eq(border[:bits].replicate(rows * (columns - 1)))
        with m.Else():
            m.d.sync += window[: size - step].eq(0)
        if spare is not None and columns == 7:
            with m.If(clear & aside):
                m.d.sync += window[size - 2 * step : size - step].eq(spare)

    def _lane_bits(self, kernel: tuple[int, int]) -> int:
        return self._params.pixel_lanes(kernel) * self._params.act_bits

    def _column(
        self, m: Module, words: list[Signal], held: Signal, moves: Signal, filled: Signal, border: Signal
    ) -> list[Signal]:
        """Rows of the column whose words are held, as wide as any kernel that has them wants them.

        Everything wide stands within an `If`, so that a simulator passes it by while no column comes.
        """
        params, word = self._params, self.word
        banks = params.banks
        # Of the rows i and i + banks of the window, which lie in the same bank, the second is one group further.
        rounds = range((params.max_kernel - 1) // banks + 1)
        selected = [
            [self._group(m, words[bank], bank, which, held, moves) for bank in range(banks)]
            for which in rounds
        ]
        inside = Signal(params.max_kernel)
        first = Signal.like(word.p.slot.bank)
        with m.If(moves):
            m.d.sync += [inside.eq(word.p.rows), first.eq(word.p.slot.bank)]
        rows = []
        for row in range(params.max_kernel):
            bits = max(self._lane_bits(kernel) for kernel in kernels(params) if kernel[0] > row)
            rows.append(Signal(bits, name=f"row_{row}"))
        with m.If(held), m.Switch(first):
            for top in range(banks):
                with m.Case(top):
                    for row, target in enumerate(rows):
                        with m.If(inside[row]):
                            m.d.comb += target.eq(selected[row // banks][(top + row) % banks])
        with m.If(held & filled):
            for row, target in enumerate(rows):
                with m.If(~inside[row]):
                    m.d.comb += target.eq(border)
        return rows

    def _group(self, m: Module, words: Signal, bank: int, which: int, held: Signal, moves: Signal) -> Signal:
        """Lanes of one bank's word that belong to its first (`which` = 0) or second row of the window."""
        params, word = self._params, self.word
        users = [kernel for kernel in kernels(params) if kernel[0] > which * params.banks]
        sizes = {self._lane_bits(kernel) for kernel in users}
        result = Signal(max(sizes), name=f"group_{bank}_{which}")
        group = Signal(3, name=f"at_{bank}_{which}")
        wanted = Signal(name=f"wanted_{bank}_{which}")
        unit = params.lanes * params.act_bits // UNITS
        step = self.config.group_step
        with m.If(moves):
            # Banks before the one of the window's first row have been gone round once more.
            m.d.sync += [
                group.eq(word.p.slot.group + (step if which else 0) + Mux(word.p.slot.bank > bank, step, 0)),
                wanted.eq(self.config.kernel > which * params.banks),
            ]
        with m.If(held if which == 0 else held & wanted), m.Switch(group):
            for at in range(UNITS):
                # Only groups that start here: their lanes end at the next multiple of their size.
                here = [bits for bits in sizes if at * unit % bits == 0]
                if here:
                    with m.Case(at):
                        m.d.comb += result.eq(words[at * unit : at * unit + max(here)])
        return result
