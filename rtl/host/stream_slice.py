"""A register slice."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["StreamSlice"]


class StreamSlice(Component):
    """Cuts all paths between two ends of a stream: outputs on both sides are registers.

    Latency: 1 cycle. Throughput: 1 transfer a cycle. Holds two payloads, so that none is lost when the receiver stalls.

    Parameters: shape, of the payload. Ports: `i` and `o`, streams of it.
    """

    def __init__(self, *, shape: ShapeLike):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Filled in the cycle in which the receiver stalls, which the sender learns one cycle later.
        spare = Signal(self._shape)
        full = Signal()
        m.d.comb += self.i.ready.eq(~full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(full | self.i.valid), full.eq(0)]
            with m.If(full):
                m.d.sync += self.o.payload.eq(spare)
            with m.Elif(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [spare.eq(self.i.payload), full.eq(1)]
        return m
