"""Max pooling of the results, on their way out of a PE."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.requantizer import ResultLayout

__all__ = ["MAX_POOL", "Pooler", "PoolerConfig"]

MAX_POOL = 4


class PoolerConfig(data.StructLayout):
    """pool    edge of the pooling window, minus one: 0 does not pool
    last_x  columns of the map before pooling, minus one
    last_y  rows of the map before pooling, minus one
    end_x   last column that takes part in pooling: pool·⌊columns/pool⌋ - 1
    end_y   last row that takes part
    """

    def __init__(self, params: PEParams):
        position = range(params.buffer.map_width)
        super().__init__(
            {
                "pool": range(MAX_POOL),
                "last_x": position,
                "last_y": 16,
                "end_x": position,
                "end_y": 16,
            }
        )


class Pooler(Component):
    """Max over windows of P×P pixels that do not overlap, stride P; P = 1 … 4.

    Results come in raster order, the words of a pixel one after the other. A row of running maxima is kept in a
    memory; a word leaves when the last pixel of its window has come. Rows and columns beyond a multiple of P are
    dropped. `count` and the raw values are those of the window's last pixel, so raw results pass only with P = 1.

    Parameters: params, of the PE.
    Ports: `config`, constant while results come; `i`, results; `o`, results, in which `last` means the last of the
    frame.
    Latency: 2 cycles from the word that completes a window. Throughput: one word a cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        result = ResultLayout(params)
        super().__init__(
            {
                "config": In(PoolerConfig(params)),
                "i": In(stream.Signature(result)),
                "o": Out(stream.Signature(result)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._params
        words = params.array.cols // params.result_lanes
        activations = self.o.p.activations.shape()
        # With P ≥ 2 a row of maxima has at most half the map's pixels, the column left over by P included.
        depth = words * ((params.buffer.map_width + 1) // 2)
        m.submodules.maxima = memory = Memory(shape=activations.size, depth=depth, init=[])
        write = memory.write_port()
        read = memory.read_port(transparent_for=[write])

        advance = Signal()
        taken = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance),
            taken.eq(self.i.valid & advance),
        ]

        # Where the coming word stands: in the map, in its window, in the row of maxima.
        x = Signal(range(params.buffer.map_width))
        y = Signal(16)
        window_x = Signal(range(MAX_POOL))
        window_y = Signal(range(MAX_POOL))
        pixel = Signal(range(depth + words))  # address of the pixel's first word
        address = Signal(range(depth + words))
        last_in_x = window_x == self.config.pool
        last_in_y = window_y == self.config.pool
        with m.If(taken):
            m.d.sync += address.eq(address + 1)
            with m.If(self.i.p.last):
                m.d.sync += [x.eq(x + 1), window_x.eq(window_x + 1), address.eq(pixel)]
                with m.If(last_in_x):
                    m.d.sync += [window_x.eq(0), pixel.eq(address + 1), address.eq(address + 1)]
                with m.If(x == self.config.last_x):
                    m.d.sync += [x.eq(0), window_x.eq(0), pixel.eq(0), address.eq(0)]
                    m.d.sync += [y.eq(y + 1), window_y.eq(Mux(last_in_y, 0, window_y + 1))]
                    with m.If(y == self.config.last_y):
                        m.d.sync += [y.eq(0), window_y.eq(0)]

        # Stage 1: the word and the maximum so far.
        held = Signal(self.i.payload.shape())
        flags = Signal(data.StructLayout({"valid": 1, "first": 1, "out": 1, "end": 1}))
        held_address = Signal.like(address)
        m.d.comb += [read.addr.eq(address), read.en.eq(taken)]
        with m.If(advance):
            m.d.sync += [
                held.eq(self.i.payload),
                held_address.eq(address),
                flags.valid.eq(self.i.valid),
                flags.first.eq((window_x == 0) & (window_y == 0)),
                flags.out.eq(last_in_x & last_in_y),
                flags.end.eq(self.i.p.last & (x == self.config.end_x) & (y == self.config.end_y)),
            ]

        # Stage 2: the maximum, written back and, when the window is complete, sent on.
        so_far = data.View(activations, read.data)
        maximum = Signal(activations)
        for new, a, b in zip(maximum, held.activations, so_far, strict=True):
            m.d.comb += new.eq(Mux(flags.first | (a > b), a, b))
        with m.If(advance):
            m.d.comb += [
                write.addr.eq(held_address),
                write.data.eq(maximum),
                write.en.eq(flags.valid & (self.config.pool != 0)),
            ]
            m.d.sync += self.o.valid.eq(flags.valid & flags.out)
            with m.If(flags.valid & flags.out):
                m.d.sync += [
                    self.o.payload.eq(held),
                    self.o.p.activations.eq(maximum),
                    self.o.p.last.eq(flags.end),
                ]
        return m
