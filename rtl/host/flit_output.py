"""From the chip to the host: results in frames."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.host_register import REGISTER_BITS
from ohmweave.rtl.host.stream_slice import StreamSlice

__all__ = ["FlitOutput"]


class FlitOutput(Component):
    """Gives every `length`-th flit of the chip a `tlast`.

    What is offered at `results` stays until it is taken, whatever is cleared: AXI allows nothing else. Up to two flits
    that had left the chip before `clear` are offered after it.

    Latency: 1 cycle. Throughput: 1 flit a cycle.

    Parameters: link_bits, of a flit, 8 to 64.

    Ports
    -----
    i : In(stream(link_bits))
        `ready` depends on registers only.
    results : Out(AXIStream(link_bits))
        Registered.
    length : In(32)
        Flits of a frame; unchanged inside one.
    clear : In(1)
        Nothing is taken from the chip, and the next flit is the first of a frame.
    left, ended : Out(1)
        A flit, the last of a frame leaves in this cycle.

    Raises
    ------
    TypeError
        `link_bits` is no whole number of its range.
    """

    def __init__(self, *, link_bits: int):
        whole("FlitOutput link_bits", link_bits, 8, 64, error=TypeError)
        self._link_bits = link_bits
        super().__init__(
            {
                "i": In(stream.Signature(link_bits)),
                "results": Out(AXIStream(link_bits)),
                "length": In(REGISTER_BITS),
                "clear": In(1),
                "left": Out(1),
                "ended": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = data.StructLayout({"data": self._link_bits, "last": 1})
        m.submodules.slice = slice_ = StreamSlice(shape=shape)
        index = Signal(REGISTER_BITS)
        results = self.results
        m.d.comb += [
            slice_.i.valid.eq(self.i.valid & ~self.clear),
            slice_.i.p.data.eq(self.i.payload),
            slice_.i.p.last.eq(index == self.length - 1),
            self.i.ready.eq(slice_.i.ready & ~self.clear),
            results.tvalid.eq(slice_.o.valid),
            results.tdata.eq(slice_.o.p.data),
            results.tlast.eq(slice_.o.p.last),
            slice_.o.ready.eq(results.tready),
            self.left.eq(results.tvalid & results.tready),
            self.ended.eq(self.left & results.tlast),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(slice_.i.p.last):
                m.d.sync += index.eq(0)
        with m.If(self.clear):
            m.d.sync += index.eq(0)
        return m
