"""Constants K0 … K3 of the arithmetic half."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.formats import VectorLayout
from ohmweave.rtl.flit import CONFIG_BITS, ConfigWrite
from ohmweave.rtl.isa import CONSTANT_OPERANDS

__all__ = ["CONSTANTS", "VectorConstants", "constant_writes"]

CONSTANTS = len(CONSTANT_OPERANDS)
ENTRY_WORDS = 4


def constant_writes(params: PEParams, *, channel: int, slot: int, bits: int) -> list[tuple[int, int]]:
    """The (local address, data) writes that set constant K`slot` of one channel to a pattern of lane_bits bits.

    All words of its address space are written, so that those of channels next to each other make one packet.
    """
    vector, lane = divmod(channel, params.alu_lanes)
    entry = (CONSTANTS * vector + slot) * params.alu_lanes + lane
    bits &= (1 << params.lane_bits) - 1
    return [
        (ENTRY_WORDS * entry + word, bits >> (CONFIG_BITS * word) & ((1 << CONFIG_BITS) - 1))
        for word in range(ENTRY_WORDS)
    ]


class VectorConstants(Component):
    """Four constants for each channel, in a memory a lane of one row a vector and slot.

    Word w of the constant of lane l in row r = 4 × vector + slot is at address (r × alu_lanes + l) × 4 + w, the
    lowest word first; writes beyond the table, or beyond lane_bits, are taken and ignored. Constants that a program
    names have to be written for all channels; those of lanes that hold none read as 0.

    Parameters: params, of the PE.
    Ports: `config`, writes; `load`, `load_row`: read a row; `value`: what it holds in lanes 0 … `count`, from the
    next cycle on until the next `load`, while `active`; else 0.
    Latency: 1 cycle. Throughput: a read and a write a cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        super().__init__(
            {
                "config": In(stream.Signature(ConfigWrite)),
                "load": In(1),
                "load_row": In(range(CONSTANTS * params.vectors)),
                "active": In(1),
                "count": In(range(params.alu_lanes)),
                "value": Out(VectorLayout(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._params.alu_lanes
        words = -(-self._params.lane_bits // CONFIG_BITS)
        stored = words * CONFIG_BITS
        rows = CONSTANTS * self._params.vectors
        entry = self.config.p.address[2:]
        word = self.config.p.address[:2]
        held = Signal()
        m.d.comb += self.config.ready.eq(1)
        with m.If(self.load):
            m.d.sync += held.eq(1)
        # A memory a lane: one for all lanes would have a word of as many copies of what is written, an expression
        # that takes C++ compilers half a minute.
        read = []
        for lane in range(lanes):
            m.submodules[f"lane_{lane}"] = memory = Memory(shape=stored, depth=rows, init=[])
            write = memory.write_port(granularity=CONFIG_BITS)
            m.d.comb += [
                write.addr.eq(entry // lanes),
                write.data.eq(self.config.p.data.replicate(words)),
            ]
            mine = self.config.valid & (entry < rows * lanes) & (entry % lanes == lane)
            with m.If(mine), m.Switch(word):
                for place in range(words):
                    with m.Case(place):
                        m.d.comb += write.en[place].eq(1)
            port = memory.read_port()
            m.d.comb += [port.addr.eq(self.load_row), port.en.eq(self.load)]
            read.append(port.data)
        with m.If(self.active & held):
            for lane in range(lanes):
                constant = read[lane][: self._params.lane_bits]
                m.d.comb += self.value[lane].eq(Mux(self.count >= lane, constant, 0))
        return m
