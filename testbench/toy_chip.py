"""A chip small enough to build in seconds with everything that the backends have to get right.

A chain of `pes` equal elements between host_in and host_out: shared modules in two levels, a memory, the crossbar
macro, a multi-cycle operation during which the element takes nothing, and idle time on every element.
"""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar.macro import CrossbarMacro
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.netlist import instantiate

ARRAY = ArrayParams(
    rows=8, cols=4, cell_bits=4, colmux=2, dac_bits=4, read_cycles=6, write_cycles=3, adc_bits=9, adc_drop=1
)
DEPTH = 4


class ToyMixer(Component):
    """Remembers the last `DEPTH` words; `mixed` is the word of DEPTH pushes ago plus the pushed one, a cycle later."""

    def __init__(self):
        super().__init__({"push": In(1), "word": In(16), "mixed": Out(16)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=16, depth=DEPTH, init=[])
        write = memory.write_port()
        read = memory.read_port(domain="comb")
        index = Signal(range(DEPTH))
        full = Signal()
        m.d.comb += [
            write.addr.eq(index),
            write.data.eq(self.word),
            write.en.eq(self.push),
            read.addr.eq(index),
        ]
        with m.If(self.push):
            m.d.sync += [index.eq(index + 1), self.mixed.eq(self.word)]
            with m.If(index == DEPTH - 1):
                m.d.sync += full.eq(1)
            with m.If(full):  # words never written are not looked at
                m.d.sync += self.mixed.eq(self.word + read.data)
        return m


class ToyPE(Component):
    """Takes a word, mixes it, reads the array with its nibbles and passes on the sums; config sets its group."""

    def __init__(self):
        super().__init__(
            {"unit": In(16), "i": In(flit_stream(16)), "o": Out(flit_stream(16)), "busy": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        mixer = instantiate(m, platform, "mixer", "toy_mixer", ToyMixer)
        m.submodules.array = array = CrossbarMacro(array=ARRAY)
        group = Signal(range(ARRAY.colmux))
        count = Signal(range(ARRAY.read_cycles + 1))
        mixed = Signal()
        word = self.i.p.data
        nibbles = Cat(mixer.mixed, ~mixer.mixed)
        m.d.comb += [
            array.id.eq(self.unit),
            array.x.eq(nibbles),
            array.group.eq(group),
            mixer.word.eq(word),
            # Combinational from the output's ready, so that the simulators have something to settle.
            self.i.ready.eq((count == 0) & ~mixed & (~self.o.valid | self.o.ready)),
            self.busy.eq(count != 0),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            with m.If(self.i.p.config):
                m.d.sync += [
                    group.eq(word),
                    self.o.valid.eq(1),
                    self.o.p.config.eq(1),
                    self.o.p.data.eq(word),
                ]
            with m.Else():
                m.d.comb += mixer.push.eq(1)
                m.d.sync += mixed.eq(1)
        with m.If(mixed):
            m.d.comb += array.start.eq(1)
            m.d.sync += [mixed.eq(0), count.eq(ARRAY.read_cycles)]
        with m.Elif(count > 1):
            m.d.sync += count.eq(count - 1)
        with m.Elif((count == 1) & (~self.o.valid | self.o.ready)):
            total = array.sums[0] + array.sums[1] + array.reference
            m.d.sync += [
                count.eq(0), self.o.valid.eq(1), self.o.p.config.eq(0), self.o.p.data.eq(total),
            ]  # fmt: skip
        return m


class ToyChip(Component):
    """`pes` elements in a chain; configuration words go through all of them and end before host_out.

    Links wider than the elements' are folded into 16 bits, and out of them. The configuration word `BAD` is an
    instruction that is not one.
    """

    BAD = 0xBAD0

    def __init__(self, *, pes: int = 3, link_bits: int = 16):
        self._pes = pes
        self._link_bits = link_bits
        super().__init__(
            {
                "host_in": In(flit_stream(link_bits)),
                "host_out": Out(stream.Signature(link_bits)),
                "busy": Out(pes),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform):
        m = Module()
        host, link = self.host_in, flit_stream(16).create()
        words = [host.p.data[low : low + 16] for low in range(0, self._link_bits, 16)]
        m.d.comb += [
            link.p.data.eq(reduce(xor, words)),
            link.p.config.eq(host.p.config),
            link.valid.eq(host.valid),
            host.ready.eq(link.ready),
        ]
        with m.If(host.valid & host.ready & host.p.config & (words[0] == self.BAD)):
            m.d.sync += self.fault.eq(Fault.const({"valid": 1, "half": 1, "index": 5, "unit": 2}))
        for unit in range(self._pes):
            pe = instantiate(m, platform, f"pe{unit}", "toy_pe", ToyPE)
            m.d.comb += [pe.unit.eq(Const(unit, 16)), self.busy[unit].eq(pe.busy)]
            m.d.comb += [pe.i.valid.eq(link.valid), pe.i.payload.eq(link.payload), link.ready.eq(pe.i.ready)]
            link = pe.o
        m.d.comb += [
            self.host_out.valid.eq(link.valid & ~link.p.config),
            # Each 16 bits the complement of those below.
            self.host_out.payload.eq(Cat(link.p.data, ~link.p.data).replicate(2)),
            link.ready.eq(self.host_out.ready | link.p.config),
        ]
        return m
