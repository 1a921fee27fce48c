"""A digital circuit with the ports, values and timing of the crossbar macro, for FPGAs."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar.macro import macro_ports

__all__ = ["CrossbarStandIn"]


class CrossbarStandIn(Component):
    """What `CrossbarMacro` gives, by multipliers: an array of ReRAM cells computes in place, this does not.

    The rows are dealt to lanes of S each, S the largest power of two that the reads' cycles leave; in each of S cycles
    every lane multiplies the levels of one of its rows by that row's input, for the columns of the group, and all
    products are added. It is as fast as the array in cycles, and neither as small nor as fast in nanoseconds.

    Parameters
    ----------
    array : ArrayParams

    Ports
    -----
    Those of `CrossbarMacro`. `id` does nothing.

    Latency and throughput: those of `CrossbarMacro`. A write while a read is under way may change what it gives; the
    `Crossbar` around the macro makes none. Registers have no reset, as the macro has none.

    Cost: rows/S · columns_at_once multipliers of cell_bits × dac_bits, and rows/S · colmux memories of S words of
    columns_at_once · cell_bits, read without a clock.
    """

    def __init__(self, *, array: ArrayParams):
        if not isinstance(array, ArrayParams):
            raise TypeError(f"Array must be ArrayParams, not {array!r}")
        self._array = array
        super().__init__(macro_ports(array))

    @property
    def steps(self) -> int:
        """S, the cycles in which products are made."""
        return 1 << (max(1, self._array.read_cycles - 1).bit_length() - 1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        array, steps = self._array, self.steps
        lanes = -(-array.rows // steps)
        at_once = array.read_cycles == 1

        # The inputs wait in a shift register a lane; with reads of one cycle they are used as they come.
        inputs = Signal(array.rows * array.dac_bits, reset_less=True)
        group = Signal(range(array.colmux), reset_less=True)
        left = Signal(range(array.read_cycles), reset_less=True)
        step = Signal(range(steps), reset_less=True)
        with m.If(self.start):
            m.d.sync += [inputs.eq(self.x), group.eq(self.group), left.eq(array.read_cycles - 1), step.eq(0)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            if steps > 1:
                m.d.sync += step.eq(step + 1)
        going = Signal(reset_less=True)
        with m.If(self.start):
            m.d.sync += going.eq(1)
        with m.Elif(step == steps - 1):
            m.d.sync += going.eq(0)

        x = self.x if at_once else inputs
        columns = [Const(0)] * array.columns_at_once
        total = Const(0)
        for lane in range(lanes):
            rows = range(lane * steps, min((lane + 1) * steps, array.rows))
            value = Signal(array.dac_bits, name=f"input_{lane}")
            with m.Switch(step):
                for n, row in enumerate(rows):
                    with m.Case(n):
                        m.d.comb += value.eq(x.word_select(row, array.dac_bits))
            levels = self._levels(m, lane, self.group if at_once else group, step, at_once)
            for column in range(array.columns_at_once):
                level = levels.word_select(column, array.cell_bits)
                columns[column] = columns[column] + level * value
            total = total + value
        sums = [self._gathered(m, f"sum_{n}", column, going) for n, column in enumerate(columns)]
        reference = self._gathered(m, "inputs", total, going)

        done = self.start if at_once else ((left == 1) & ~self.start)
        results = list(enumerate(sums))
        if array.sign_scheme == "offset":
            results.append((array.columns_at_once, reference))
        for n, value in results:
            result = Signal(array.sum_bits, name=f"result_{n}", reset_less=True)
            with m.If(done):
                m.d.sync += result.eq(self._code(value))
            m.d.comb += (self.sums[n] if n < array.columns_at_once else self.reference).eq(result)
        return m

    def _levels(self, m: Module, lane: int, group: Value, step: Value, at_once: bool) -> Value:
        """Levels of the lane's row of this step, for the columns of the group."""
        array, steps = self._array, self.steps
        width = array.columns_at_once * array.cell_bits
        bits = (steps - 1).bit_length()
        levels = Signal(width, name=f"levels_{lane}")
        with m.Switch(group):
            for n in range(array.colmux):
                memory = Memory(shape=width, depth=max(2, steps), init=[])
                m.submodules[f"cells_{lane}_{n}"] = memory
                write = memory.write_port()
                read = memory.read_port(domain="comb")
                m.d.comb += [
                    write.addr.eq(self.row[:bits] if bits else 0),
                    write.data.eq(self.levels.word_select(n, width)),
                    write.en.eq(self.write & (self.row >> bits == lane)),
                    read.addr.eq(step),
                ]
                word: Value = read.data
                if at_once:
                    # What is written beside a start is seen by it.
                    word = Mux(write.en, write.data, read.data)
                with m.Case(n):
                    m.d.comb += levels.eq(word)
        return levels

    def _gathered(self, m: Module, name: str, part: Value, going: Value) -> Value:
        """The sum of the steps' parts, with this step's."""
        bits = self._array.lossless_bits
        now = Signal(bits, name=f"{name}_now")
        if self._array.read_cycles == 1:
            m.d.comb += now.eq(part)
            return now
        before = Signal(bits, name=name, reset_less=True)
        m.d.comb += now.eq(before + Mux(going, part, 0))
        with m.If(self.start):
            m.d.sync += before.eq(0)
        with m.Elif(going):
            m.d.sync += before.eq(now)
        return now

    def _code(self, value: Value) -> Value:
        """What a sense unit makes of a sum."""
        array = self._array
        code = value[array.adc_drop :]
        if array.adc_bits is not None and array.adc_bits + array.adc_drop < array.lossless_bits:
            limit = (1 << array.adc_bits) - 1
            code = Mux(code > limit, limit, code)[: array.adc_bits]
        return Cat(Const(0, array.adc_drop), code)
