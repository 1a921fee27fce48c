"""From the host into the chip: images, checked for the length of their frames, and configuration between them."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.rtl.flit import CONFIG_BITS, FlitLayout, flit_stream
from ohmweave.rtl.host.axi_stream import AXIStream
from ohmweave.rtl.host.host_register import REGISTER_BITS
from ohmweave.rtl.host.stream_slice import StreamSlice

__all__ = ["FlitInput"]


class _Packet(enum.IntEnum):
    """The next word of a configuration packet."""

    UNIT = 0
    ADDRESS = 1
    COUNT = 2
    DATA = 3


class FlitInput(Component):
    """Puts images and configuration flits into one stream of flits.

    Images are let in from `start` on until `stop` or `abort`; after a `stop` the frame that has begun is taken to its
    end. Configuration flits go first, and no flit of an image stands inside a configuration packet (which it would
    end). Each frame must have its `tlast` at flit `length` and nowhere else: the flit with which this is found to be
    wrong is the last that is let in until a reset.

    Latency: 1 cycle. Throughput: 1 flit a cycle.

    Parameters: link_bits, of a flit, 16 to 64; points where images enter the chip, 1 to 256.

    Ports
    -----
    images : In(AXIStream(link_bits, dest_bits))
        `tready` depends on registers only. With several points `tdest` says at which the flit enters; the same for all
        flits of a frame.
    config : In(stream(16))
        Configuration flits; `ready` depends on registers only.
    o : Out(flit_stream(link_bits))
        Registered.
    to : Out(range(points))
        Where the flit at `o` is to enter; configuration at point 0.
    enable : In(1)
        While it is 0, no image is let in.
    length : In(32)
        Flits of a frame; unchanged inside one.
    start, stop, abort : In(1)
        For one cycle; `start` only while not running.
    running : Out(1)
        Images are let in.
    in_frame : Out(1)
        A frame has begun and not ended.
    damaged : Out(1)
        A frame had the wrong length.
    packet_open : Out(1)
        A configuration packet has begun and not ended.
    taken, begun, ended : Out(1)
        A flit, the first of a frame, the last of one is taken in this cycle.
    early, late : Out(1)
        `tlast` was found too early, or missing, in this cycle.

    Raises
    ------
    TypeError
        `link_bits` or `points` is no whole number of its range.
    """

    def __init__(self, *, link_bits: int, points: int = 1):
        whole("FlitInput link_bits", link_bits, CONFIG_BITS, 64, error=TypeError)
        whole("FlitInput points", points, 1, 256, error=TypeError)
        self._link_bits = link_bits
        self._points = points
        super().__init__(
            {
                "images": In(AXIStream(link_bits, (points - 1).bit_length())),
                "config": In(stream.Signature(CONFIG_BITS)),
                "o": Out(flit_stream(link_bits)),
                "to": Out(range(points)),
                "enable": In(1),
                "length": In(REGISTER_BITS),
                "start": In(1),
                "stop": In(1),
                "abort": In(1),
                "running": Out(1),
                "in_frame": Out(1),
                "damaged": Out(1),
                "packet_open": Out(1),
                "taken": Out(1),
                "begun": Out(1),
                "ended": Out(1),
                "early": Out(1),
                "late": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = data.StructLayout({"flit": FlitLayout(self._link_bits), "to": range(self._points)})
        m.submodules.slice = slice_ = StreamSlice(shape=shape)
        dest = self.images.tdest if self._points > 1 else 0
        m.d.comb += [
            self.o.valid.eq(slice_.o.valid),
            self.o.payload.eq(slice_.o.p.flit),
            self.to.eq(slice_.o.p.to),
            slice_.o.ready.eq(self.o.ready),
            slice_.i.valid.eq(self.config.valid | self.taken),
            slice_.i.p.flit.config.eq(self.config.valid),
            slice_.i.p.flit.data.eq(Mux(self.config.valid, self.config.payload, self.images.tdata)),
            slice_.i.p.to.eq(Mux(self.config.valid, 0, dest)),
            self.config.ready.eq(slice_.i.ready),
            self.images.tready.eq(
                self.enable & self.running & ~self.packet_open & ~self.config.valid & slice_.i.ready
            ),
        ]
        self._packets(m)
        self._frames(m)
        return m

    def _packets(self, m: Module) -> None:
        """Follow the configuration packets, as `ConfigReceiver` does."""
        state = Signal(_Packet)
        count = Signal(CONFIG_BITS)
        m.d.comb += self.packet_open.eq(state != _Packet.UNIT)
        with m.If(self.config.valid & self.config.ready), m.Switch(state):
            with m.Case(_Packet.UNIT):
                m.d.sync += state.eq(_Packet.ADDRESS)
            with m.Case(_Packet.ADDRESS):
                m.d.sync += state.eq(_Packet.COUNT)
            with m.Case(_Packet.COUNT):
                m.d.sync += [
                    count.eq(self.config.payload),
                    state.eq(Mux(self.config.payload == 0, _Packet.UNIT, _Packet.DATA)),
                ]
            with m.Case(_Packet.DATA):
                m.d.sync += count.eq(count - 1)
                with m.If(count == 1):
                    m.d.sync += state.eq(_Packet.UNIT)

    def _frames(self, m: Module) -> None:
        index = Signal(REGISTER_BITS)
        stopping = Signal()
        at_end = Signal()
        m.d.comb += [
            at_end.eq(index == self.length - 1),
            self.in_frame.eq(index != 0),
            self.taken.eq(self.images.tvalid & self.images.tready),
            self.begun.eq(self.taken & ~self.in_frame),
            self.ended.eq(self.taken & at_end & self.images.tlast),
            self.early.eq(self.taken & ~at_end & self.images.tlast),
            self.late.eq(self.taken & at_end & ~self.images.tlast),
        ]
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), stopping.eq(0)]
        with m.If(self.stop):
            m.d.sync += stopping.eq(1)
            with m.If(~self.in_frame & ~self.begun):
                m.d.sync += self.running.eq(0)
        with m.If(self.taken):
            m.d.sync += index.eq(index + 1)
        with m.If(self.ended):
            m.d.sync += index.eq(0)
            with m.If(stopping | self.stop):
                m.d.sync += self.running.eq(0)
        with m.If(self.early | self.late):
            m.d.sync += [self.damaged.eq(1), self.running.eq(0)]
        with m.If(self.abort):
            m.d.sync += self.running.eq(0)
