"""From flits to vectors, at the side input of the arithmetic half."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.elements import MAX_WIDTH, UNIT, WIDTHS, bits_of, vector_stream
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.receiver import MAX_CHANNELS, MAX_PIXELS, Phase, channel_range
from ohmweave.rtl.tile_controller import token_stream

__all__ = ["SideConfig", "SideReceiver", "side_config"]

#: Units of the widest pixel.
MAX_UNITS = MAX_CHANNELS * MAX_WIDTH // UNIT


class SideConfig(data.StructLayout):
    """Geometry of the frames, from `side_config()`; a unit is 4 bits.

    width          bits of an element: a multiple of 4, up to 48
    signed         elements are two's complement, else unsigned
    before, after  units of a pixel on the link that are dropped before and after those taken
    vector_units   units of a full vector
    last_units     units of a pixel's last vector
    last_count     elements of a pixel's last vector - 1
    last_vector    vectors of a pixel - 1
    last_pixel     pixels of a frame - 1
    """

    def __init__(self, params: PEParams):
        lanes = params.alu_lanes
        units = lanes * MAX_WIDTH // UNIT + 1
        super().__init__(
            {
                "width": 6,
                "signed": 1,
                "before": range(MAX_UNITS),
                "after": range(MAX_UNITS),
                "vector_units": range(units),
                "last_units": range(units),
                "last_count": range(lanes),
                "last_vector": range(-(-MAX_CHANNELS // lanes)),
                "last_pixel": range(MAX_PIXELS),
            }
        )


def side_config(
    params: PEParams,
    *,
    width: int,
    signed: bool,
    pixels: int,
    channels: int,
    first: int = 0,
    taken: int | None = None,
) -> dict[str, int]:
    """A value for each field of `SideConfig`; `OhmweaveError` for what the receiver cannot take.

    width     bits of an element, 4 to 48 in steps of 4; `signed` for partial sums
    pixels    pixels of a frame
    channels  channels of a pixel on the link; `taken` of them (all) from `first` on are taken
    """
    check_width("width", width, WIDTHS)
    whole("pixels of a frame", pixels, 1, MAX_PIXELS)
    before, taken, after = channel_range(channels, first, taken)
    units, lanes = width // UNIT, params.alu_lanes
    last = (taken - 1) % lanes
    return {
        "width": width,
        "signed": int(signed),
        "before": before * units,
        "after": after * units,
        "vector_units": lanes * units,
        "last_units": (last + 1) * units,
        "last_count": last,
        "last_vector": (taken - 1) // lanes,
        "last_pixel": pixels - 1,
    }


def check_width(name: str, width: object, widths: range) -> None:
    """Refuse a width that no element has."""
    if not isinstance(width, int) or isinstance(width, bool) or width not in widths:
        raise OhmweaveError(
            f"{name} must be a multiple of {widths.step} from {widths[0]} to {widths[-1]}, not {width!r}"
        )


class SideReceiver(Component):
    """Collects the elements of a stream of flits into vectors of alu_lanes signed lanes.

    Elements of `width` bits come packed without gaps, lowest bits first, the channels of a pixel in order, pixels in
    raster order. A range of a pixel's channels is taken and the rest dropped; those taken become vectors of alu_lanes,
    the last one of a pixel part filled and zero beyond. Lanes narrower than the elements keep their low bits. A frame
    begins in a flit of its own: what is left of the flit with its last channel is dropped.

    The bits of a vector are collected as they come; complete, they are cut into lanes while the next ones come in.

    Parameters: params, of the PE; `TypeError` if it is none, `OhmweaveError` unless link_bits is 4 times a power of
    two.
    Ports: `config`, constant from reset on; `start`, a token lets one frame in, as in `Receiver`; `i`, flits (`data`
    only); `o`, vectors.
    Latency: a vector is valid 2 cycles after the flit with its last bit was taken, if the one before was taken.
    Throughput: a flit a cycle, also where vectors and pixels meet inside a flit; a vector of N lanes and w bits comes
    every N × w / link_bits cycles on average. Further cycles: one for each vector after the first that ends in the same
    flit, and one for each end of a run of dropped channels inside a flit; dropped channels do not wait for `o`.
    Two complete vectors wait for `o` before a flit is refused.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        self._per_flit = per_flit = params.link_bits // UNIT
        if params.link_bits % UNIT or per_flit & (per_flit - 1):
            raise OhmweaveError(f"link_bits must be {UNIT} times a power of two, not {params.link_bits}")
        super().__init__(
            {
                "config": In(SideConfig(params)),
                "start": In(token_stream()),
                "i": In(flit_stream(params.link_bits)),
                "o": Out(vector_stream(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, link, per_flit = self.config, self._params.link_bits, self._per_flit
        running = Signal()
        phase = Signal(2)
        left = Signal(range(MAX_UNITS))  # units of the vector, or of the run of dropped channels, to come
        have = Signal.like(config.vector_units)  # units of the vector that have come
        used = Signal(range(per_flit))  # units of the flit
        vector = Signal.like(config.last_vector)
        pixel = Signal.like(config.last_pixel)

        # A complete vector, `full`, waits in `raw` for its way to the lanes.
        full = Signal()
        raw = Signal(self._params.alu_lanes * MAX_WIDTH)
        begun = Signal()  # it holds a part of the vector that is coming
        ahead = Signal(link)  # what the flit with the end of a vector had of the next one
        room = Signal()
        m.d.comb += room.eq(~full | ~self.o.valid | self.o.ready)

        taking = Signal()
        following = Signal.like(config.vector_units)  # size of the next vector
        beginning = Signal.like(left)  # what is to come of a pixel's first vector or run
        size = Signal.like(left)  # of the vector or run after this one
        last_vector = vector == config.last_vector
        alone = Mux(config.last_vector == 0, config.last_units, config.vector_units)  # a pixel's first vector
        m.d.comb += [
            taking.eq((phase == Phase.TAKE) | ((phase == Phase.BEFORE) & (config.before == 0))),
            following.eq(Mux(vector + 1 == config.last_vector, config.last_units, config.vector_units)),
            beginning.eq(Mux(config.before == 0, alone, config.before)),
            size.eq(beginning),
        ]
        with m.If(last_vector):
            m.d.comb += following.eq(alone)
        with m.If(taking & ~last_vector):
            m.d.comb += size.eq(following)
        with m.Elif(taking & (config.after != 0)):
            m.d.comb += size.eq(config.after)
        with m.Elif(~taking & (phase == Phase.BEFORE)):
            m.d.comb += size.eq(alone)

        come = Signal(range(per_flit + 1))  # units that the flit still has
        ends = Signal()
        over = Signal(range(per_flit + 1))  # and those left when the vector ends
        m.d.comb += [come.eq(per_flit - used), ends.eq(left <= come), over.eq(come - left)]
        pixel_done = ends & ((phase == Phase.AFTER) | (taking & last_vector & (config.after == 0)))
        frame_done = pixel_done & (pixel == config.last_pixel)
        # What is left goes into the next vector at once, if it does not complete that, too.
        adjoining = taking & (~last_vector | ((config.before == 0) & (config.after == 0)))
        merge = ends & (over != 0) & adjoining & (following > over)
        flit_done = Signal()
        m.d.comb += flit_done.eq(~ends | (over == 0) | frame_done | merge)

        allowed = Signal()
        advance = Signal()
        m.d.comb += [
            allowed.eq(running & (~taking | room)),
            advance.eq(allowed & self.i.valid),
            self.i.ready.eq(allowed & flit_done),
            self.start.ready.eq(~running | (advance & frame_done)),
        ]
        with m.If(self.start.ready):
            m.d.sync += running.eq(self.start.valid)
        with m.If(~running):
            m.d.sync += left.eq(beginning)
        with m.If(room):
            m.d.sync += full.eq(0)
        with m.If(advance):
            m.d.sync += [
                used.eq(Mux(flit_done, 0, used + left)),
                left.eq(Mux(ends, Mux(merge & ~frame_done, size - over, size), left - come)),
            ]
            with m.If(taking):
                m.d.sync += have.eq(Mux(ends, Mux(merge & ~frame_done, over, 0), have + come))
            with m.If(ends & taking):
                m.d.sync += [
                    full.eq(1),
                    vector.eq(Mux(last_vector, 0, vector + 1)),
                ]
            with m.If(ends):
                m.d.sync += phase.eq(Mux(taking & last_vector, Phase.AFTER, Phase.TAKE))
            with m.If(pixel_done):
                m.d.sync += [phase.eq(Phase.BEFORE), pixel.eq(Mux(frame_done, 0, pixel + 1))]
            with m.If(taking):
                # No wider a shift than the units of the largest vector take.
                place = bits_of(have[: (len(raw) // UNIT - 1).bit_length()])
                fresh = self.i.p.data >> bits_of(used)
                mine = Cat((~ends | (unit < left)).replicate(UNIT) for unit in range(per_flit))
                beyond = fresh >> bits_of(left[: len(used)])
                m.d.sync += [
                    raw.eq(Mux(begun, raw, ahead) | _at(fresh & mine, place, len(raw))),
                    begun.eq(~ends),
                    ahead.eq(Mux(merge, beyond, 0)),
                ]
                with m.If(frame_done):
                    m.d.sync += ahead.eq(0)
        self._cut(m, raw, full)
        return m

    def _cut(self, m: Module, raw: Signal, full: Signal) -> None:
        """Cut a complete vector into lanes, as soon as the one before it is taken."""
        cut = Signal()
        m.d.comb += cut.eq(full & (~self.o.valid | self.o.ready))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(cut):
            m.d.sync += self.o.valid.eq(1)
        with m.If(cut), m.Switch(self.config.width):
            for bits in WIDTHS:
                with m.Case(bits):
                    for lane in range(self._params.alu_lanes):
                        element = raw[bits * lane : bits * (lane + 1)]
                        sign = (element[-1] & self.config.signed).replicate(MAX_WIDTH - bits)
                        m.d.sync += self.o.p[lane].eq(Cat(element, sign))


def _at(bits: Value, place: Value, size: int) -> Value:
    """`size` bits, these from `place` on; in two halves, of which a simulator makes one."""
    half = 1 << (len(place) - 1)
    low = (bits << place[:-1])[:size]
    high = bits << place[: (size - half - 1).bit_length()]
    return Mux(place[-1], Cat(Const(0, half), high)[:size], low)
