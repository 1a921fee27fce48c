"""From the sums of an array to activations: offset removal, bias, scale, rounding shift, ReLU and clip."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite
from ohmweave.rtl.netlist import instantiate
from ohmweave.rtl.registers import register_writes

__all__ = ["Requantizer", "RequantizerConfig", "ResultLayout", "SumsLayout", "scale_writes"]

BIAS_BITS = 24
MULT_BITS = 16
SHIFT_BITS = 6
RAW_BITS = 32
ENTRY = data.StructLayout({"bias": signed(BIAS_BITS), "shift": SHIFT_BITS, "unused": 2, "mult": MULT_BITS})
ENTRY_WORDS = ENTRY.size // CONFIG_BITS


def scale_writes(column: int, *, bias: int, mult: int, shift: int) -> list[tuple[int, int]]:
    """The (local address, data) writes that set one column's bias, multiplier and shift."""
    writes = register_writes(ENTRY, {"bias": bias, "mult": mult, "shift": shift})
    return [(4 * column + word, value) for word, value in writes]


class SumsLayout(data.StructLayout):
    """One read of an array for the requantizer: the columns' sums, the reference column's, and the place.

    group  column group that was read
    last   it was the window's last
    """

    def __init__(self, params: PEParams):
        array = params.array
        super().__init__(
            {
                "sums": data.ArrayLayout(array.sum_bits, array.columns_at_once),
                "reference": array.sum_bits,
                "group": range(array.colmux),
                "last": 1,
            }
        )


class ResultLayout(data.StructLayout):
    """`result_lanes` results of one output pixel.

    activations  requantised
    raw          sum of products plus bias, not requantised
    count        results that count, minus one; the others are zero
    last         these are the pixel's last
    """

    def __init__(self, params: PEParams):
        lanes = params.result_lanes
        super().__init__(
            {
                "activations": data.ArrayLayout(params.buffer.act_bits, lanes),
                "raw": data.ArrayLayout(signed(RAW_BITS), lanes),
                "count": range(lanes),
                "last": 1,
            }
        )


class RequantizerConfig(data.StructLayout):
    """last_word   words of result_lanes results in a pixel's last column group, minus one
    last_count  results in the last of these words, minus one
    """

    def __init__(self, params: PEParams):
        super().__init__(
            {
                "last_word": range(params.array.columns_at_once // params.result_lanes),
                "last_count": range(params.result_lanes),
            }
        )


class Requantizer(Component):
    """Turns the sums of each column group into words of `result_lanes` results.

    For a column with sum S = Σx·g, reference R = Σx and the column's table entry (bias, mult, shift):

        v = S - 2^(cell_bits-1)·R + bias                      the raw result, signed
        q = clip((v·mult + 2^(shift-1)) >> shift, 0, 2^act_bits-1)   arithmetic shift; the clip at 0 is the ReLU

    With the sign scheme `pairs` there is no reference to take off.

    mult is unsigned; a shift of 0 is not defined.

    Parameters: params, of the PE.
    Ports: `config`, constant while sums come; `table`, writes of `scale_writes` (writes elsewhere are taken and
    ignored; a reset leaves the table as it is); `i`, sums; `o`, results.
    Latency: 4 cycles from taking sums to the first result. Throughput: one word a cycle; a column group takes
    W = columns_at_once / result_lanes cycles (the last one last_word + 1), and the next is taken in its final cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        super().__init__(
            {
                "config": In(RequantizerConfig(params)),
                "table": In(stream.Signature(ConfigWrite)),
                "i": In(stream.Signature(SumsLayout(params))),
                "o": Out(stream.Signature(ResultLayout(params))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        entries, address = self._table(m, advance)
        sums, place = self._walk(m, advance, address)

        # What goes with the results through the three stages: add, multiply, shift.
        stages = [place]
        for stage in range(2):
            flags = Signal(place.shape(), name=f"place_{stage + 1}")
            with m.If(advance):
                m.d.sync += flags.eq(stages[-1])
            stages.append(flags)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(stages[2].valid),
                self.o.p.last.eq(stages[2].last),
                self.o.p.count.eq(stages[2].count),
            ]
        for lane in range(self._params.result_lanes):
            unit = instantiate(
                m, platform, f"lane_{lane}", "result_lane", lambda: ResultLane(params=self._params)
            )
            m.d.comb += [
                unit.sum.eq(sums.sums[lane]),
                unit.reference.eq(sums.reference),
                unit.entry.eq(entries[lane]),
                unit.counts.eq(lane <= place.count),
                *(unit.enable[n].eq(advance & stages[n].valid) for n in range(3)),
                self.o.p.raw[lane].eq(unit.raw),
                self.o.p.activations[lane].eq(unit.activation),
            ]
        return m

    def _table(self, m: Module, advance: Signal) -> tuple[data.View, Signal]:
        """The table of scales: the entries of one word of results, and the address they are read at."""
        lanes = self._params.result_lanes
        depth = self._params.array.cols // lanes
        m.submodules.table = memory = Memory(shape=ENTRY.size * lanes, depth=depth, init=[])
        write = memory.write_port(granularity=CONFIG_BITS)
        column = self.table.p.address[2:]
        exists = column < self._params.array.cols
        m.d.comb += [
            self.table.ready.eq(1),
            write.addr.eq(column // lanes),
            write.data.eq(self.table.p.data.replicate(lanes * ENTRY_WORDS)),
        ]
        for lane in range(lanes):
            for word in range(ENTRY_WORDS):
                here = (column % lanes == lane) & (self.table.p.address[:2] == word)
                m.d.comb += write.en[lane * ENTRY_WORDS + word].eq(self.table.valid & exists & here)
        read = memory.read_port()
        m.d.comb += read.en.eq(advance)
        return data.View(data.ArrayLayout(ENTRY, lanes), read.data), read.addr

    def _walk(self, m: Module, advance: Signal, address: Signal) -> tuple[data.View, data.View]:
        """Hold a group's sums and walk over its words, the table being read one cycle ahead.

        Gives the sums with the present word's in front, and its place: valid, last, count.
        """
        array, lanes = self._params.array, self._params.result_lanes
        words = array.columns_at_once // lanes
        held = Signal(SumsLayout(self._params))
        word = Signal(range(words))
        place = Signal(data.StructLayout({"valid": 1, "last": 1, "count": range(lanes)}))
        final = word == Mux(held.last, self.config.last_word, words - 1)
        m.d.comb += [
            place.last.eq(held.last & final),
            place.count.eq(Mux(place.last, self.config.last_count, lanes - 1)),
            self.i.ready.eq(advance & (~place.valid | final)),
        ]
        walking = Signal()
        m.d.comb += place.valid.eq(walking)
        with m.If(advance & walking):
            m.d.comb += address.eq(held.group * words + word + 1)
            m.d.sync += [
                held.sums.eq(held.sums.as_value() >> (lanes * array.sum_bits)),
                word.eq(Mux(final, 0, word + 1)),
                walking.eq(~final),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.comb += address.eq(self.i.p.group * words)
            m.d.sync += [held.eq(self.i.payload), walking.eq(1)]
        return held, place


class ResultLane(Component):
    """The arithmetic of one result, in three stages that advance with `enable`: add, multiply, round and clip.

    It is zero where `counts` is low in the first stage.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        super().__init__(
            {
                "enable": In(3),
                "counts": In(1),
                "sum": In(params.array.sum_bits),
                "reference": In(params.array.sum_bits),
                "entry": In(ENTRY),
                "raw": Out(signed(RAW_BITS)),
                "activation": Out(params.buffer.act_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array = self._params.array
        offset = self.reference << (array.cell_bits - 1) if array.sign_scheme == "offset" else 0
        value = Signal(signed(max(self._params.acc_bits, BIAS_BITS) + 1))
        value_1 = Signal.like(value)
        entry_1 = Signal(ENTRY)
        product = Signal(signed(len(value) + MULT_BITS + 1))
        shift_2 = Signal(SHIFT_BITS)
        # (p + 2^(s-1)) >> s, as ((p >> (s-1)) + 1) >> 1: no wide rounding constant.
        rounded = Signal(signed(len(product) + 1))
        top = 2**self._params.buffer.act_bits - 1
        with m.If(self.enable[0]):
            # The entry of a column that does not count may never have been written.
            m.d.sync += [value.eq(0), entry_1.as_value().eq(0)]
            with m.If(self.counts):
                m.d.sync += [value.eq(self.sum - offset + self.entry.bias), entry_1.eq(self.entry)]
        with m.If(self.enable[1]):
            m.d.sync += [product.eq(value * entry_1.mult), value_1.eq(value), shift_2.eq(entry_1.shift - 1)]
        with m.If(self.enable[2]):
            m.d.comb += rounded.eq(((product >> shift_2) + 1) >> 1)
            m.d.sync += [
                self.raw.eq(value_1),
                self.activation.eq(Mux(rounded < 0, 0, Mux(rounded > top, top, rounded))),
            ]
        return m
