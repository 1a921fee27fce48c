"""A component with a second reset as a port, in Amaranth's simulator."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from ohmweave.rtl.cleared import Cleared


class Summer(Component):
    """Adds up what comes by its stream, times a factor; shows each sum, and on a port of its own its low half."""

    def __init__(self) -> None:
        flow = stream.Signature(8)
        super().__init__({"i": In(flow), "factor": In(4), "o": Out(flow), "half": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = Signal(8, init=7)
        m.d.comb += [self.i.ready.eq(self.o.ready), self.o.valid.eq(self.i.valid), self.o.payload.eq(total)]
        m.d.comb += self.half.eq(total)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += total.eq(total + self.i.payload * self.factor)
        return m


def test_cleared_is_the_component_with_a_reset() -> None:
    dut: Any = Cleared(Summer())

    async def testbench(ctx: Any) -> None:
        total = 7
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for step in range(60):
            value, factor, clear = 37 * step & 0xFF, step % 16, step % 7 in (4, 5)
            ctx.set(dut.i.payload, value)
            ctx.set(dut.factor, factor)
            ctx.set(dut.clear, clear)
            assert ctx.get(dut.i.ready)
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.payload) == total
            assert ctx.get(dut.half) == total & 15
            await ctx.tick()
            total = 7 if clear else total + value * factor & 0xFF

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
