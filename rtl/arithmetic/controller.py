"""Controller of the arithmetic half: from programs and streams to one operation after the other."""

from collections.abc import Iterable

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import PEParams
from ohmweave.rtl.arithmetic.layouts import (
    CHANNEL_BITS,
    MAX_WINDOW_PIXELS,
    ArithmeticConfig,
    IssueLayout,
    PlaceLayout,
)
from ohmweave.rtl.arithmetic.sequencer import Sequencer
from ohmweave.rtl.decoder import Decoder
from ohmweave.rtl.encoding import class_of
from ohmweave.rtl.fault import ErrorLayout
from ohmweave.rtl.isa import WORD_BITS, Batch, Class, Destination, Half, Operand, When

__all__ = ["Controller", "one_of"]

#: Fields of an N-type that say what is sent from then on.
FORM = ("size", "fuse", "channels")


def one_of(value: Value, members: Iterable[int]) -> Value:
    """Whether it is one of the members of its enumeration."""
    return value.matches(*map(int, members))


class Controller(Component):
    """Fetches instructions (`Sequencer`), decodes them, and hands the A-types on to the lanes.

    An instruction is fetched in cycle c, decoded in c + 1, executed in c + 2 and offered at `issue` from c + 3 on.
    `load` shows in the cycle before what will be offered, so that registers, constants and the window's pixel are read
    meanwhile.

    - `batch` WINDOW: the instruction is issued once for each pixel of the window, a cycle each; the first time
      FORWARD is 0, then it is what the time before gave, whatever `forward` says; only the last time takes vectors
      of streams and writes `des`.
    - `batch` FRAME: on the first pixel of a frame registers are read as 0.
    - `when` LAST: on all pixels but a frame's last it does nothing, and takes a cycle to do it.
    - N-type: sets size, `fuse` and channels of what the program sends from then on; without one, vectors have the
      size of the instruction that sent them, `fuse` 0 and the configured channels. At a program's head it is
      executed once, before the first body, and costs the bodies nothing. C-types do nothing.
    - FORWARD is 0 until the body forwards something.
    - The body of `post` takes its RESULT vector where it names it, or at its end; so does that of `pool` with `second`.
      A window is taken when the last body of its pixel executes its end, of `pool` without `second`, or what names it,
      of `post`.

    Illegal, besides what the decoder finds: RESULT in `pool` without `second`, WINDOW with it; BUFFER in `pool`; WINDOW
    in `post` while `pool` is enabled; and RESULT or BUFFER, or WINDOW in `post`, a second time in a body. An illegal
    instruction sets `error` and stops the controller until reset; the instructions before it are completed.

    Parameters: params, of the PE.
    Ports: `config`; `fetch`, `index`: read this place of the table, `word`: what was read; `result`, `window`: one
    waits; `result_src`: the buffer that the result comes from; `result_more`: another waits behind it; `result_taken`,
    `pixel_taken`: the half takes a vector, the buffer a pixel; `take_result`, `take_window`: the controller takes one;
    `load`: src, with, vector, row, count and pixel (of the window) of what `issue` has next,
    if `load_valid`; `issue`; `busy`: a
    body, or an instruction of one, is under way; `wants_window`: the instruction being executed names WINDOW; `error`.
    """

    def __init__(self, *, params: PEParams):
        self._params = params
        load = data.StructLayout(
            {
                "src": Operand,
                "with": Operand,
                "vector": range(params.vectors),
                "row": range(params.vectors),
                "count": range(params.alu_lanes),
                "pixel": range(MAX_WINDOW_PIXELS),
            }
        )
        super().__init__(
            {
                "config": In(ArithmeticConfig(params)),
                "fetch": Out(1),
                "index": Out(range(params.arithmetic_program)),
                "word": In(WORD_BITS),
                "result": In(1),
                "result_src": In(1),
                "result_more": In(1),
                "result_taken": In(1),
                "take_result": Out(1),
                "window": In(1),
                "take_window": Out(1),
                "pixel_taken": In(1),
                "load": Out(load),
                "load_valid": Out(1),
                "issue": Out(stream.Signature(IssueLayout(params))),
                "busy": Out(1),
                "wants_window": Out(1),
                "error": Out(ErrorLayout(params.arithmetic_program)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(params=self._params)
        m.submodules.decoder = decoder = Decoder(half=Half.ARITHMETIC)
        # What is decoded, and what is executed.
        decoding, valid = Signal(), Signal()
        next_place, place = Signal(PlaceLayout(self._params)), Signal(PlaceLayout(self._params))
        a = Signal(decoder.a.shape())
        form_fields = [field for field in class_of(Class.N).fields if field.name in FORM]
        told = Signal(data.StructLayout({field.name: field.values or field.width for field in form_fields}))
        known, arithmetic, format_ = Signal(), Signal(), Signal()
        pixel = Signal(range(MAX_WINDOW_PIXELS))
        # What the body has done so far.
        past = Signal(data.StructLayout({"forward": 1, "result": 1, "buffer": 1, "window": 1}))
        so_far = Signal(past.shape())
        with m.If(~place.begin):
            m.d.comb += so_far.eq(past)

        # Only then: two names of the same bits would be a feedback to CXXRTL, and nothing could sleep.
        with m.If(decoding):
            m.d.comb += decoder.word.eq(self.word)
        names_result = _names(a, Operand.RESULT)
        names_window = _names(a, Operand.WINDOW)
        to_buffer = a.des == Destination.BUFFER
        second = self.config.second
        misplaced = (names_result & so_far.result) | Mux(
            place.pool,
            to_buffer | Mux(second, names_window, names_result),
            (to_buffer & so_far.buffer) | (names_window & (self.config.pool.enable | so_far.window)),
        )
        legal = Signal()
        execute = Signal()
        go = Signal()
        repeated = Signal()
        final = Signal()
        done = Signal()
        free = Signal()
        advance = Signal()
        m.d.comb += [
            legal.eq(known & ~(arithmetic & misplaced)),
            execute.eq(arithmetic & ~place.probe & ((a.when == When.ALWAYS) | place.last_pixel)),
            free.eq(~self.issue.valid | self.issue.ready),
            go.eq(valid & (legal | place.probe) & (~execute | (free & (~names_window | self.window)))),
            repeated.eq(execute & (a.batch == Batch.WINDOW)),
            final.eq(~repeated | (pixel == self.config.last_window_pixel)),
            done.eq(go & final),
            self.wants_window.eq(valid & execute & names_window),
        ]
        with m.If(valid & ~legal & ~place.probe):
            m.d.sync += [self.error.valid.eq(1), self.error.index.eq(place.index), valid.eq(0)]
        with m.If(go):
            m.d.sync += pixel.eq(Mux(final, 0, pixel + 1))

        # What the body does with this instruction.
        now = Signal(past.shape())
        m.d.comb += now.eq(so_far)
        with m.If(execute):
            m.d.comb += [
                now.forward.eq(so_far.forward | a.forward | repeated),
                now.result.eq(so_far.result | names_result),
                now.buffer.eq(so_far.buffer | to_buffer),
                now.window.eq(so_far.window | names_window),
            ]
        with m.If(done):
            m.d.sync += past.eq(now)
        ends = Signal()
        m.d.comb += ends.eq(done & place.end & ~place.probe)
        m.d.comb += [
            self.take_result.eq(ends & (~place.pool | second) & ~now.result),
            # `post` has a copy of what it names of the window, and the buffer needs time for the next one.
            self.take_window.eq(
                place.tail & Mux(place.pool & ~second, ends, done & execute & names_window & ~place.pool)
            ),
            sequencer.pixel_dropped.eq(ends & place.tail & ~place.pool & ~now.buffer),
        ]

        # Fetching.
        m.d.comb += [
            sequencer.config.eq(self.config),
            sequencer.result.eq(self.result),
            sequencer.result_src.eq(self.result_src),
            sequencer.result_more.eq(self.result_more),
            sequencer.window.eq(self.window),
            sequencer.result_taken.eq(self.result_taken | self.take_result),
            sequencer.window_taken.eq(self.take_window),
            sequencer.pixel_taken.eq(self.pixel_taken),
            advance.eq(decoding & (~valid | done) & ~self.error.valid),
            sequencer.ready.eq((~decoding | ~valid | done) & ~self.error.valid),
            self.fetch.eq(sequencer.valid),
            self.index.eq(sequencer.place.index),
            self.busy.eq(sequencer.running | decoding | valid | self.issue.valid),
        ]
        with m.If(done):
            m.d.sync += valid.eq(0)
        with m.If(advance):
            m.d.sync += [
                decoding.eq(0),
                valid.eq(1),
                place.eq(next_place),
                known.eq(decoder.legal),
                arithmetic.eq(decoder.kind == Class.A),
                format_.eq(decoder.kind == Class.N),
                a.eq(decoder.a),
                # Not `decoder.n`: two names of the same bits are a feedback to CXXRTL, which costs much time.
                *(
                    Value.cast(told[field.name]).eq(self.word[field.low : field.low + field.width])
                    for field in form_fields
                ),
            ]
        with m.If(sequencer.valid):
            m.d.sync += [decoding.eq(1), next_place.eq(sequencer.place)]

        # The N-types, one for each program.
        formats = []
        for program in range(2):
            layout = data.StructLayout({"valid": 1, "fields": told.shape()})
            form = Signal(layout, name=("post_format", "pool_format")[program])
            skip = Signal(name=("post_skip", "pool_skip")[program])
            with m.If(done & legal & format_ & (place.pool == program)):
                m.d.sync += [form.valid.eq(1), form.fields.eq(told)]
                with m.If(place.probe & ~place.end):
                    m.d.sync += skip.eq(1)
            m.d.comb += sequencer.skip[program].eq(skip)
            formats.append(form)
        form = Signal(formats[0].shape())
        m.d.comb += form.eq(Mux(place.pool, formats[1], formats[0]))

        m.d.comb += [
            self.load_valid.eq(go & execute),
            self.load.src.eq(a.src),
            self.load["with"].eq(a["with"]),
            self.load.vector.eq(place.vector),
            self.load.row.eq(place.row),
            self.load.count.eq(place.count),
            self.load.pixel.eq(pixel),
        ]
        with m.If(free):
            m.d.sync += self.issue.valid.eq(self.load_valid)
        with m.If(self.load_valid):
            issue = self.issue.p
            m.d.sync += [
                issue.op.eq(a.op),
                issue.size.eq(a.size),
                issue.src.eq(a.src),
                issue["with"].eq(a["with"]),
                issue.des.eq(Mux(final, a.des, Destination.NONE)),
                issue.forward.eq(a.forward | repeated),
                issue.zero_forward.eq(Mux(repeated, pixel == 0, ~so_far.forward)),
                issue.zero_registers.eq((a.batch == Batch.FRAME) & place.first_pixel),
                issue.final.eq(final),
                issue.vector.eq(place.vector),
                issue.row.eq(place.row),
                issue.head.eq(place.head),
                issue.tail.eq(place.tail),
                issue.count.eq(place.count),
            ]
            self._sent(m, place, form, a)
        return m

    def _sent(self, m: Module, place: data.View, form: data.View, a: data.View) -> None:
        """What goes out with a vector. A vector with none of the channels that are sent is not sent."""
        lanes = self._params.alu_lanes
        whole = Mux(place.pool, self.config.pool.last_channel, self.config.post.last_channel)
        channels = Mux(form.valid, form.fields.channels, whole)
        rest = Signal(signed(CHANNEL_BITS + 2))
        out = self.issue.p.out
        m.d.comb += rest.eq(channels - place.vector * lanes)
        m.d.sync += [
            out.size.eq(Mux(form.valid, form.fields.size, a.size)),
            out.fuse.eq(form.valid & form.fields.fuse),
            out.count.eq(Mux(rest < lanes, rest, lanes - 1)),
            out.last.eq(place.last_pixel & (rest < lanes)),
        ]
        with m.If((rest < 0) & (a.des == Destination.NETWORK)):
            m.d.sync += self.issue.p.des.eq(Destination.NONE)


def _names(a: data.View, operand: Operand) -> Value:
    return (a.src == operand) | (a["with"] == operand)
