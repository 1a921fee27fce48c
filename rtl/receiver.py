"""From flits to pixel words, at the entrance of a PE's convolution buffer."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.held import Held
from ohmweave.rtl.tile_controller import token_stream

__all__ = ["MAX_CHANNELS", "MAX_PIXELS", "PLANES", "Phase", "Receiver", "ReceiverConfig", "receiver_config"]

#: Pixels of the largest frame.
MAX_PIXELS = 1 << 16
#: Channels of a pixel on a link.
MAX_CHANNELS = 4096
#: Bit planes that an activation can have.
PLANES = (1, 2, 4)


class Phase:
    """Where in a pixel a receiver is: before, in or after the channels that are taken."""

    BEFORE = 0
    TAKE = 1
    AFTER = 2


class ReceiverConfig(data.StructLayout):
    """Geometry of the frames, from `receiver_config()`.

    planes       bit planes of an activation: 2^planes of act_bits each
    plane_lanes  lanes of a plane: plane p of channel c is in lane p × plane_lanes + c
    last_lane    channels of a word - 1
    before       channels of a pixel on the link that are dropped before those taken
    last_taken   channels taken - 1
    after        channels dropped after them
    last_pixel   pixels of a frame - 1
    """

    def __init__(self, params: PEParams):
        lanes = params.buffer.lanes
        super().__init__(
            {
                "planes": 2,
                "plane_lanes": range(lanes + 1),
                "last_lane": range(lanes),
                "before": range(MAX_CHANNELS),
                "last_taken": range(MAX_CHANNELS),
                "after": range(MAX_CHANNELS),
                "last_pixel": range(MAX_PIXELS),
            }
        )


def channel_range(channels: int, first: int, taken: int | None) -> tuple[int, int, int]:
    """Channels dropped, taken, dropped of a pixel on a link; all from `first` on unless `taken` tells."""
    whole("channels of a pixel", channels, 1, MAX_CHANNELS)
    whole("first channel taken", first, 0, channels - 1)
    taken = channels - first if taken is None else taken
    whole("channels taken", taken, 1, channels - first)
    return first, taken, channels - first - taken


def receiver_config(
    params: PEParams,
    *,
    pixels: int,
    channels: int,
    first: int = 0,
    taken: int | None = None,
    planes: int = 1,
    kernel: int | tuple[int, int] = 1,
    word: int | None = None,
) -> dict[str, int]:
    """A value for each field of `ReceiverConfig`; `OhmweaveError` for what the receiver cannot take.

    pixels    pixels of a frame
    channels  channels of a pixel on the link; `taken` of them (all) from `first` on are taken
    planes    bit planes of an activation: 1, 2 or 4
    kernel    window that the pixels are read with: rows and columns, or one number for both
    word      channels of a word, as many as fit; a pixel of more is cut into several words, the last part filled
    """
    whole("pixels of a frame", pixels, 1, MAX_PIXELS)
    if isinstance(planes, bool) or planes not in PLANES:
        raise OhmweaveError(f"planes must be one of {', '.join(map(str, PLANES))}, not {planes!r}")
    if planes * params.buffer.act_bits > params.link_bits:
        raise OhmweaveError(
            f"planes must be at most {params.link_bits // params.buffer.act_bits}, those of a flit, not {planes}"
        )
    before, taken, after = channel_range(channels, first, taken)
    plane_lanes = params.buffer.pixel_lanes(kernel) // planes
    if not plane_lanes:
        raise OhmweaveError(f"planes must be at most the lanes of a pixel, {params.buffer.pixel_lanes(kernel)}, "
                            f"not {planes}")  # fmt: skip
    word = plane_lanes if word is None else word
    whole("channels of a word", word, 1, plane_lanes)
    return {
        "planes": planes.bit_length() - 1,
        "plane_lanes": plane_lanes,
        "last_lane": word - 1,
        "before": before,
        "last_taken": taken - 1,
        "after": after,
        "last_pixel": pixels - 1,
    }


class Receiver(Component):
    """Collects the activations of a stream of flits into pixel words for the convolution buffer.

    Activations of P = 1, 2 or 4 bit planes of act_bits each come packed without gaps, lowest bits first, the channels
    of a pixel in order, pixels in raster order. A range of a pixel's channels is taken and the rest dropped. Plane p of
    channel c goes to lane p × plane_lanes + c of a word; all other lanes are zero. A pixel of more channels than a
    word has becomes several words, the last part filled. A frame begins in a flit of its own: what is left of the
    flit with its last channel is dropped.

    In a cycle it moves what one flit, one word (or one run of dropped channels) and one aligned group of
    A = link_bits / (act_bits × P) channels of the word have in common.

    Parameters: params, of the PE; `TypeError` if it is none, `OhmweaveError` unless link_bits is a power of two of
    activations.
    Ports: `config`, constant from reset on; `start`, a token lets one frame in; `i`, flits (`data` only); `o`, words
    of lanes × act_bits.
    Frames: no flit is taken before `start` gave a token. A token is taken while no frame is coming in, or in the cycle
    that moves the last of the frame before, so that frames follow each other without a gap if it is offered by then.
    Latency: a word is valid in the cycle after its last activation was moved.
    Throughput: one move a cycle, so as many cycles a frame as the edges of flits, words, ranges and groups cut it into:
    a flit a cycle where channels, first and number taken and channels of a word are multiples of A; a pixel a
    cycle of one channel. Dropped channels do not wait for `o`.
    """

    def __init__(self, *, params: PEParams):
        if not isinstance(params, PEParams):
            raise TypeError(f"params must be PEParams, not {params!r}")
        self._params = params
        self._act = act = params.buffer.act_bits
        # Groups of channels are aligned by the bits of the channel's number.
        per_flit = params.link_bits // act
        if params.link_bits % act or per_flit & (per_flit - 1):
            raise OhmweaveError(
                f"link_bits must be a power of two of activations of {act} bits, not {params.link_bits}"
            )
        self._per_flit = per_flit
        super().__init__(
            {
                "config": In(ReceiverConfig(params)),
                "start": In(token_stream()),
                "i": In(flit_stream(params.link_bits)),
                "o": Out(stream.Signature(params.buffer.lanes * act)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, per_flit = self.config, self._per_flit
        running = Signal()
        phase = Signal(2)
        at = Signal(range(MAX_CHANNELS))  # channel of the phase
        pixel = Signal(range(MAX_PIXELS))
        lane = Signal(range(max(self._params.buffer.lanes, per_flit)))  # of the word, to be filled next
        offset = Signal(range(per_flit))  # of the flit, to be moved next
        room = ~self.o.valid | self.o.ready

        # What flit, phase, word and group of lanes still hold, minus one.
        taking = Signal()
        last = Signal(range(MAX_CHANNELS))
        # No channels are dropped before those that are taken; channels of a flit. Known when the reset ends, as the
        # configuration is.
        all_taken = Signal(reset_less=True)
        flit_last = Signal(range(per_flit), reset_less=True)
        m.d.sync += all_taken.eq(config.before == 0)
        for planes in self._planes():
            with m.If(config.planes == planes.bit_length() - 1):
                m.d.sync += flit_last.eq(per_flit // planes - 1)
        m.d.comb += [
            taking.eq((phase == Phase.TAKE) | ((phase == Phase.BEFORE) & all_taken)),
            last.eq(Mux(phase == Phase.AFTER, config.after - 1, config.before - 1)),
        ]
        in_flit = Signal.like(flit_last)
        in_word = Signal.like(lane)
        in_phase = Signal(range(MAX_CHANNELS))
        with m.If(taking):
            m.d.comb += last.eq(config.last_taken)
        m.d.comb += [
            in_flit.eq(flit_last - offset),
            in_phase.eq(last - at),
            in_word.eq(Mux(taking, config.last_lane - lane, -1)),
        ]
        moved = Signal(range(per_flit))  # channels moved, minus one
        in_group = Mux(taking, ~lane[: len(moved)] & flit_last, flit_last)
        m.d.comb += moved.eq(_least(m, in_flit, in_group, in_word, in_phase))

        phase_done = in_phase == moved
        word_done = taking & (phase_done | (in_word == moved))
        pixel_done = phase_done & ((phase == Phase.AFTER) | (taking & (config.after == 0)))
        frame_done = pixel_done & (pixel == config.last_pixel)
        flit_done = (in_flit == moved) | frame_done

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
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance):
            m.d.sync += [offset.eq(Mux(flit_done, 0, offset + moved + 1)), at.eq(at + moved + 1)]
            with m.If(phase_done):
                m.d.sync += [at.eq(0), phase.eq(Mux(taking, Phase.AFTER, Phase.TAKE))]
            with m.If(pixel_done):
                m.d.sync += [phase.eq(Phase.BEFORE), pixel.eq(Mux(frame_done, 0, pixel + 1))]
            with m.If(taking):
                m.d.sync += lane.eq(lane + moved + 1)
            with m.If(word_done):
                m.d.sync += [lane.eq(0), self.o.valid.eq(1)]
        # `advance` comes late; what the word becomes does not wait for it.
        m.submodules.word = word = Held(len(self.o.payload))
        with m.If(running & taking & self.i.valid):
            self._fill(m, word, lane, offset, moved)
        m.d.comb += [word.take.eq(advance & taking), self.o.payload.eq(word.q)]
        return m

    def _planes(self) -> list[int]:
        return [planes for planes in PLANES if planes <= self._per_flit]

    def _fill(self, m: Module, word: Held, lane: Signal, offset: Signal, moved: Signal) -> None:
        """Put the channels moved into their lanes; a word's first ones clear what is beyond them.

        By shifts and not by a case for each place: a translation to C++ stays small.
        """
        act, filled = self._act, Signal.like(word.d)
        with m.Switch(self.config.planes):
            for planes in self._planes():
                with m.Case(planes.bit_length() - 1):
                    channels = self.i.p.data >> (offset * (act * planes))
                    parts = []
                    for plane in range(planes):
                        nibbles = Cat(
                            Mux(n <= moved, channels[act * (n * planes + plane) :][:act], 0)
                            for n in range(self._per_flit // planes)
                        )
                        first = Signal(range(self._params.buffer.lanes), name=f"first_{planes}_{plane}")
                        m.d.comb += first.eq(self.config.plane_lanes * plane + lane)
                        # As many bits as the product has: the shifter has a place for each of its values.
                        place = (first * act)[: (len(filled) - 1).bit_length()]
                        parts.append((nibbles << place)[: len(filled)])
                    m.d.comb += filled.eq(reduce(or_, parts))
        m.d.comb += word.d.eq(Mux(lane == 0, 0, word.q) | filled)


def _least(m: Module, *values: Value) -> Value:
    least = values[0]
    for value in values[1:]:
        smaller = Signal(max(len(least), len(value)))
        m.d.comb += smaller.eq(least)
        with m.If(value < least):
            m.d.comb += smaller.eq(value)
        least = smaller
    return least
