"""Which body runs, and the fetching of its instructions."""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.layouts import CHANNEL_BITS, ArithmeticConfig, PlaceLayout

__all__ = ["PIXELS", "Sequencer"]

#: Pixels for the buffer that may be on their way at once: in the lanes, being built, or waiting for the buffer.
PIXELS = 4
#: Fields of a body's place that stay while it runs.
KEPT = ("pool", "vector", "row", "head", "tail", "count", "first_pixel", "last_pixel")


class Sequencer(Component):
    """Starts the programs' bodies and counts vectors, pixels and instructions.

    A body is one run of a program, for one vector of one pixel. `post` starts when a RESULT vector waits that no body
    has been started for, if need be behind one (`result_more`), and, for the first vector of a pixel, fewer than
    `PIXELS` pixels are on their way to the buffer; `pool` starts when a window waits whose last body has not been
    started. `post` goes first, so that the
    array does not wait for windows that could: no `pool` starts while one vector waits behind another, but if as many
    pixels as may be are on their way. With `second` `pool` starts for the RESULT vectors of buffer
    1's windows, which then are none of `post`'s. A body that has been started is fetched to its end. Before all
    bodies each program's first instruction is fetched once, as a `probe`: `skip` then tells whether bodies begin with
    the second.

    Parameters: params, of the PE.
    Ports: `config`; `ready`: an instruction can be taken; `valid`, `place`: one is being fetched from
    `place.index` and where it belongs; `skip`: bodies of post, of pool begin with the second instruction;
    `result`, `window`: one waits; `result_src`: number of the buffer that the result comes from; `result_more`:
    another waits behind it, or comes in the next cycle; `result_taken`, `window_taken`, `pixel_taken`: one is being
    taken; `pixel_dropped`: a body ends that wrote no pixel; `running`: instructions of a body are still to be fetched.
    Latency: 0 (combinational) from `result` or `window` to `valid`, from 2 + p cycles after the reset on with p
    programs. Throughput: an instruction a cycle.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        super().__init__(
            {
                "config": In(ArithmeticConfig(params)),
                "skip": In(2),
                "result": In(1),
                "result_src": In(1),
                "result_more": In(1),
                "result_taken": In(1),
                "window": In(1),
                "window_taken": In(1),
                "pixel_taken": In(1),
                "pixel_dropped": In(1),
                "ready": In(1),
                "running": Out(1),
                "valid": Out(1),
                "place": Out(PlaceLayout(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Vectors that wait and have a body.
        claims = Signal(range(3))
        window_claimed = Signal()
        pixels = Signal(range(PIXELS + 1))
        running = self.running
        at = Signal(range(self._params.arithmetic_program))
        # A register without constant bits: CXXRTL would evaluate the whole half twice a cycle for them.
        kept = {key: self.place.shape()[key].shape for key in KEPT}
        body = Signal(data.StructLayout(kept))
        starts = Signal(2)  # one bit a program
        probed = Signal(2)
        probing = Signal(init=1)  # a probe is being fetched, decoded or executed
        decoding = Signal(init=1)
        probes = Signal(2)

        post, pool = self._next(m, 0, starts[0]), self._next(m, 1, starts[1])
        waiting = Signal(2)
        second = self.config.second
        fresh = self.result & (claims == 0)
        # Whose layer a vector is of is known of the first only.
        behind = self.result_more & self.result & (claims == 1) & ~second
        m.d.comb += [
            waiting[0].eq(
                self.config.post.enable
                & ((fresh & ~(second & self.result_src)) | behind)
                & (~post.head | (pixels < PIXELS))
            ),
            waiting[1].eq(
                self.config.pool.enable
                & Mux(
                    second,
                    fresh & self.result_src,
                    # The vectors that wait go first, if they can.
                    self.window & ~window_claimed & ~(self.result_more & (pixels < PIXELS)),
                )
            ),
            probes.eq(Cat(self.config.post.enable, self.config.pool.enable) & ~probed),
            self.valid.eq(self.ready & Mux(probing, probes.any(), running | waiting.any())),
        ]
        m.d.sync += [probed.eq(probed | Mux(probes[0], 1, 2)), decoding.eq(probes.any())]
        m.d.sync += probing.eq(probes.any() | decoding)
        # Without `end`, which follows from the rest.
        fields = {name: field.shape for name, field in self.place.shape() if name != "end"}
        place = Signal(data.StructLayout(fields))
        with m.If(probing):
            m.d.comb += [
                place.probe.eq(1),
                place.pool.eq(~probes[0]),
                place.index.eq(Mux(probes[0], self.config.post.first, self.config.pool.first)),
            ]
        with m.Elif(running):
            m.d.comb += [place.begin.eq(0), place.index.eq(at)]
            m.d.comb += [place[key].eq(body[key]) for key in KEPT]
        with m.Elif(waiting[0]):
            m.d.comb += [place.pool.eq(0), place.begin.eq(1), starts[0].eq(self.ready)]
            m.d.comb += [place[field].eq(value) for field, value in post._asdict().items()]
        with m.Else():
            m.d.comb += [place.pool.eq(1), place.begin.eq(1), starts[1].eq(self.ready & waiting[1])]
            m.d.comb += [place[field].eq(value) for field, value in pool._asdict().items()]
        end = Signal()
        m.d.comb += [
            end.eq(place.index == Mux(place.pool, self.config.pool.last, self.config.post.last)),
            self.place.end.eq(end),
            *(self.place[name].eq(place[name]) for name in fields),
        ]
        with m.If(self.valid & ~probing):
            m.d.sync += [running.eq(~end), at.eq(place.index + 1)]
        with m.If(starts.any()):
            m.d.sync += [body[key].eq(place[key]) for key in KEPT]

        claimed = starts[0] | (starts[1] & second)
        with m.If(claimed | self.result_taken):
            m.d.sync += claims.eq(claims + claimed - self.result_taken)
        with m.If(starts[1] & pool.tail & ~second):
            m.d.sync += window_claimed.eq(1)
        with m.If(self.window_taken):
            m.d.sync += window_claimed.eq(0)
        begun = starts[0] & post.head
        with m.If(begun | self.pixel_taken | self.pixel_dropped):
            m.d.sync += pixels.eq(pixels + begun - self.pixel_taken - self.pixel_dropped)
        return m

    def _next(self, m: Module, program: int, starts: Value) -> "_Next":
        """The place of a program's next body; moves on when the body starts."""
        name = ("post", "pool")[program]
        config = self.config[name]
        lanes = self._params.alu_lanes
        vector = Signal(range(self._params.vectors), name=f"{name}_vector")
        # Channels that the vectors before have left, minus one.
        rest = Signal(CHANNEL_BITS, name=f"{name}_rest")
        pixel = Signal(config.last_pixel.shape(), name=f"{name}_pixel")
        later = Signal(name=f"{name}_later")  # not the pixel's first vector
        channels = Signal(CHANNEL_BITS, name=f"{name}_channels")
        m.d.comb += channels.eq(Mux(later, rest, config.last_channel))
        tail = channels < lanes
        last_pixel = pixel == config.last_pixel
        with m.If(starts):
            m.d.sync += [vector.eq(vector + 1), later.eq(1), rest.eq(channels - lanes)]
            with m.If(tail):
                m.d.sync += [vector.eq(0), later.eq(0), pixel.eq(Mux(last_pixel, 0, pixel + 1))]
        return _Next(
            index=config.first + self.skip[program],
            vector=vector,
            row=config.row + vector,
            head=~later,
            tail=tail,
            count=Mux(tail, channels, lanes - 1),
            first_pixel=pixel == 0,
            last_pixel=last_pixel,
        )


class _Next(NamedTuple):
    """The fields of a `PlaceLayout` that a program's state gives."""

    index: Value
    vector: Value
    row: Value
    head: Value
    tail: Value
    count: Value
    first_pixel: Value
    last_pixel: Value
