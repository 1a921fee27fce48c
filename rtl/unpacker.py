"""From flits to pixels, at the entrance of a PE."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.flit import flit_stream

__all__ = ["MAX_PIXELS", "Unpacker", "UnpackerConfig"]

#: Pixels of the largest frame.
MAX_PIXELS = 1 << 16


class UnpackerConfig(data.StructLayout):
    """last_lane   channels of a pixel - 1
    last_pixel  pixels of a frame - 1
    """

    def __init__(self, params: PEParams):
        super().__init__({"last_lane": range(params.buffer.lanes), "last_pixel": range(MAX_PIXELS)})


class Unpacker(Component):
    """Collects the activations of a stream of flits into pixels of `lanes` channels.

    Activations come packed without gaps, channels of a pixel in order, pixels in raster order; a frame begins in a
    flit of its own, so what is left of a flit after a frame's last pixel is dropped. Lanes beyond the frame's
    channels are zero.

    In a cycle it moves what one flit, one pixel and one aligned group of A = link_bits / act_bits lanes have in common.

    Parameters: params, of the PE; `OhmweaveError` unless A is a power of two and at most `lanes`.
    Ports: `config`, constant from reset on; `i`, flits (`data` only); `o`, pixels of lanes × act_bits.
    Latency: the pixel is valid in the cycle after its last activation was moved.
    Throughput: one move a cycle, as many a frame as the edges of flits, pixels and groups of lanes cut it into: a
    pixel of one channel a cycle; a flit a cycle where the channels are a multiple of A; two cycles for a flit that
    straddles two groups of lanes or two pixels.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        self._act = params.buffer.act_bits
        self._per_flit = per_flit = params.link_bits // self._act
        # Groups of lanes are aligned by the bits of the lane's number.
        if per_flit & (per_flit - 1) or per_flit > params.buffer.lanes:
            raise OhmweaveError(
                f"Activations of a flit must be a power of two up to lanes, {params.buffer.lanes}, not {per_flit}"
            )
        super().__init__(
            {
                "config": In(UnpackerConfig(params)),
                "i": In(flit_stream(params.link_bits)),
                "o": Out(stream.Signature(params.buffer.lanes * self._act)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        act, per_flit = self._act, self._per_flit
        lane_bits = (per_flit - 1).bit_length()
        lane = Signal(range(self._params.buffer.lanes))  # of the pixel, to be filled next
        offset = Signal(range(per_flit))  # of the flit, to be moved next
        pixel = Signal(range(MAX_PIXELS))
        partial = Signal(self._params.link_bits)  # what is there already of the group of lanes being filled

        # What the flit, the aligned group of lanes and the pixel still hold, minus one.
        in_flit = (per_flit - 1) - offset
        in_group = (per_flit - 1) - lane[:lane_bits]
        in_pixel = self.config.last_lane - lane
        smaller = Signal(range(per_flit))
        moved = Signal(range(per_flit))  # activations moved, minus one
        m.d.comb += [
            smaller.eq(_least(m, in_flit, in_group)),
            moved.eq(_least(m, smaller, in_pixel)),
        ]
        pixel_done = in_pixel == moved
        frame_done = pixel_done & (pixel == self.config.last_pixel)
        flit_done = (in_flit == moved) | frame_done

        advance = self.i.valid & (~self.o.valid | self.o.ready)
        m.d.comb += self.i.ready.eq((~self.o.valid | self.o.ready) & flit_done)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance):
            first = lane[:lane_bits]
            aligned = ((self.i.p.data >> (offset * act)) << (first * act))[: self._params.link_bits]
            mask = Cat(((n >= first) & (n <= first + moved)).replicate(act) for n in range(per_flit))
            filled = Signal(self._params.link_bits)
            m.d.comb += filled.eq(partial | (aligned & mask))
            m.d.sync += [
                self.o.payload.word_select(lane[lane_bits:], self._params.link_bits).eq(filled),
                partial.eq(Mux((in_group == moved) | pixel_done, 0, filled)),
                offset.eq(offset + moved + 1),
                lane.eq(lane + moved + 1),
            ]
            with m.If(flit_done):
                m.d.sync += offset.eq(0)
            with m.If(pixel_done):
                m.d.sync += [self.o.valid.eq(1), lane.eq(0), pixel.eq(pixel + 1)]
            with m.If(frame_done):
                m.d.sync += pixel.eq(0)
        return m


def _least(m: Module, a: Value, b: Value) -> Value:
    least = Signal(max(len(a), len(b)))
    m.d.comb += least.eq(b)
    with m.If(a < b):
        m.d.comb += least.eq(a)
    return least
