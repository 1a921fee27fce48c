"""A short queue in registers."""

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import power

__all__ = ["WordQueue"]


class WordQueue(Component):
    """Holds up to `depth` payloads, in order.

    Latency: 1 cycle. Throughput: 1 a cycle.

    Parameters: shape, of the payload; depth, a power of two from 2 to 64, `OhmweaveError` otherwise.

    Ports: `i` and `o`, streams of the shape, whose `ready` and `valid` depend on registers only, and `level`,
    Out(range(depth + 1)), how many it holds.
    """

    def __init__(self, *, shape: ShapeLike, depth: int):
        power("depth", depth, 2, 64)
        self._shape = shape
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        places = Signal(data.ArrayLayout(self._shape, self._depth))
        # Payloads that came and went, modulo twice the depth.
        came = Signal(range(2 * self._depth))
        went = Signal(range(2 * self._depth))
        bits = (self._depth - 1).bit_length()
        m.d.comb += [
            self.level.eq((came - went)[: bits + 1]),
            self.i.ready.eq(self.level != self._depth),
            self.o.valid.eq(self.level != 0),
        ]
        with m.If(self.o.valid), m.Switch(went[:bits]):
            for n in range(self._depth):
                with m.Case(n):
                    m.d.comb += self.o.payload.eq(places[n])
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += came.eq(came + 1)
            with m.Switch(came[:bits]):
                for n in range(self._depth):
                    with m.Case(n):
                        m.d.sync += places[n].eq(self.i.payload)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += went.eq(went + 1)
        return m
