"""The on-chip cache."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import CacheParams
from ohmweave.rtl.memory.array_macro import CacheArray
from ohmweave.rtl.memory.fill_queue import FillQueue, StateLayout
from ohmweave.rtl.memory.layouts import CacheEvents, Kind, LineMemory, RequestLayout, ResponseLayout
from ohmweave.rtl.memory.lookup import Lookup
from ohmweave.rtl.memory.replacement import one_hot, touched

__all__ = ["Cache"]


class Cache(Component):
    """Set-associative, write-back, write-allocate; one request after the other (Re-ReRAM, sections III and X: 4 MB,
    lines of 4096 bits, 8 ways).

    A request looks up its set. A hit is carried out; after a miss the line is brought in, into a way without a line
    (the lowest), else into that of the tree-PLRU victim, whose line is written back first if it was changed. Reads
    and writes wait for their line; a prefetch does not, and what follows it goes on meanwhile. Requests to a set in
    which a line is on its way wait for it, so that hits, misses and victims are those of the same requests carried
    out one by one, whatever memory's pace.

    Each read, write, flush and invalidation has one response, in order; a prefetch has none. When memory answers
    with an error, the request that needed the line has the response `error` and has changed nothing; a line that
    memory did not take stays in the cache, changed as it was, and its way is marked as used, so that the next miss
    tries another. A flush goes on with the other lines and answers `error` if any was not taken.

    After a reset no line is there; the tags are cleared one by one before the first request is taken.

    Latency, R = read_cycles, W = write_cycles: cycles from taking a request to offering its response
      hit           2 R for a read, R + 1 for a write
      miss          R + 2 to asking for the line, and from getting it 2 R + W for a read, R + W + 1 for a write;
                    if a changed line has to leave, 2 R + 1 to handing it over, and 2 from memory's answer to asking
      flush         (R + 1) sets if nothing was changed; for each line that was, what writing it back takes
      invalidation  R + 1 + (R + W) (sets - 1), and so on
      after a reset the first request is taken in cycle W sets
    Throughput: hits every max(R, W) cycles, one a cycle if both are 1.

    Parameters
    ----------
    params : CacheParams

    Ports
    -----
    request : In(stream(RequestLayout))
        `ready` depends on `response.ready`.
    response : Out(stream(ResponseLayout))
    memory : Out(LineMemory(line_address_bits, line_bits))
    room : Out(1)
        A prefetch behind the request that is offered would not have to wait for another line to arrive.
    idle : Out(1)
        No request, response or line is under way, and the tags are cleared.
    events : Out(CacheEvents)

    Raises
    ------
    TypeError
        `params` is not a CacheParams.
    """

    def __init__(self, *, params: CacheParams):
        if not isinstance(params, CacheParams):
            raise TypeError(f"params must be CacheParams, not {params!r}")
        self._params = params
        super().__init__(
            {
                "request": In(stream.Signature(RequestLayout(params))),
                "response": Out(stream.Signature(ResponseLayout(params))),
                "memory": Out(LineMemory(params.line_address_bits, params.line_bits)),
                "room": Out(1),
                "idle": Out(1),
                "events": Out(CacheEvents),
            }
        )

    @property
    def params(self) -> CacheParams:
        return self._params

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params = self._params
        m.submodules.tag_array = self._tags = CacheArray(array=params.tag_array)
        m.submodules.line_array = self._lines = CacheArray(array=params.data_array)
        m.submodules.fills = self._fills = FillQueue(params=params)
        m.submodules.lookup = self._lookup = Lookup(params=params)
        self._states(m)
        self._clear(m)
        self._end(m)
        self._leave(m)
        self._look_up(m)
        self._answer(m)

        lookup, fills = self._lookup, self._fills
        m.d.comb += [
            self.room.eq(fills.level + lookup.prefetch + self._offers_prefetch < params.fills),
            self.idle.eq(~self._clearing & ~lookup.busy & ~self._answering & (fills.level == 0)),
            self.events.hit.eq(lookup.hit),
            self.events.miss.eq(lookup.miss),
            self.events.write_back.eq(fills.fill.valid & fills.fill.ready & fills.fill.p.evict),
            self.events.failure.eq(self._ends & self._failed),
        ]
        return m

    def _states(self, m: Module) -> None:
        """What is kept of each set beside its tags, read with them."""
        params = self._params
        m.submodules.state_memory = states = Memory(
            shape=StateLayout(params.ways), depth=params.sets, init=[]
        )
        self._state_write = write = states.write_port()
        self._state_read = read = states.read_port(transparent_for=(write,))
        m.d.comb += [
            read.en.eq(self._lookup.read),
            read.addr.eq(self._lookup.read_set),
            self._lookup.state.eq(read.data),
        ]

    def _clear(self, m: Module) -> None:
        """After a reset, tag by tag."""
        self._clearing = Signal(init=1)
        place = Signal(self._params.set_bits)
        with m.If(self._clearing):
            m.d.comb += [self._tags.index.eq(place), self._state_write.addr.eq(place)]
            with m.If(self._tags.ready):
                m.d.comb += [self._tags.write.eq(1), self._tags.mask.eq(-1), self._state_write.en.eq(1)]
                m.d.sync += place.eq(place + 1)
                with m.If(place == self._params.sets - 1):
                    m.d.sync += self._clearing.eq(0)

    def _end(self, m: Module) -> None:
        """Put a line that has come in its place; whatever else wants the arrays waits."""
        params, fills, filled = self._params, self._fills, self.memory.filled
        done = fills.done
        fill = done.p.fill
        self._wants_end = wants = Signal()
        self._ends = ends = Signal()
        self._failed = failed = Signal()
        self._fetched = fetched = Signal()
        put = Signal()
        m.d.comb += [
            fetched.eq(fill.fetch & ~done.p.kept),
            wants.eq(done.valid & (~fetched | filled.valid)),
            ends.eq(wants & self._tags.ready & self._lines.ready),
            failed.eq(done.p.kept | (fetched & filled.p.error)),
            put.eq(ends & fetched & ~filled.p.error),
            done.ready.eq(ends),
            filled.ready.eq(ends & fetched),
        ]
        with m.If(ends):
            m.d.comb += [
                self._state_write.en.eq(1),
                self._state_write.addr.eq(fill.set),
                self._state_write.data.dirty.eq(
                    fill.state.dirty & ~Mux(done.p.kept, 0, one_hot(fill.way, params.ways))
                ),
                self._state_write.data.plru.eq(
                    Mux(fill.fetch, touched(fill.state.plru, fill.way, params.ways), fill.state.plru)
                ),
            ]
        with m.If(put):
            m.d.comb += [
                self._tags.write.eq(1),
                self._tags.index.eq(fill.set),
                self._tags.mask.eq(one_hot(fill.way, params.ways)),
                self._tags.data.eq(Cat(fill.tag, 1).replicate(params.ways)),
                self._lines.write.eq(1),
                self._lines.index.eq(Cat(fill.way, fill.set)),
                self._lines.mask.eq(-1),
                self._lines.data.eq(filled.p.line),
            ]

    def _leave(self, m: Module) -> None:
        """Read a line that is to leave, when memory can take it, and hand it over."""
        evict, write = self._fills.evict, self.memory.write
        self._leaving = Signal()
        self._starts_leaving = starts = Signal()
        left = Signal(range(self._params.read_cycles + 1))
        address = Signal(self._params.line_address_bits)
        # The array's output is that of an untaken response until then.
        self._answer_free = Signal()
        m.d.comb += [
            starts.eq(
                evict.valid & write.ready & self._lines.ready & self._answer_free
                & ~self._leaving & ~self._wants_end
            ),
            evict.ready.eq(starts),
            write.valid.eq(self._leaving & (left == 0)),
            write.p.address.eq(address),
            write.p.line.eq(self._lines.q),
        ]  # fmt: skip
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(write.valid & write.ready):
            m.d.sync += self._leaving.eq(0)
        with m.If(starts):
            m.d.comb += self._lines.index.eq(Cat(evict.p.way, evict.p.set))
            m.d.sync += [
                self._leaving.eq(1),
                left.eq(self._params.read_cycles - 1),
                address.eq(evict.p.address),
            ]

    def _look_up(self, m: Module) -> None:
        params, lookup, fills, request = self._params, self._lookup, self._fills, self.request
        self._offers_prefetch = Signal()
        m.d.comb += [
            self._offers_prefetch.eq(request.valid & (request.p.kind == Kind.PREFETCH)),
            lookup.enable.eq(~self._clearing & ~self._wants_end),
            lookup.tags_ready.eq(self._tags.ready),
            lookup.tags.eq(self._tags.q),
            fills.set.eq(lookup.set),
            lookup.pending.eq(fills.pending),
            lookup.place.eq(fills.place),
            lookup.ended.eq(self._ends),
            lookup.ended_place.eq(fills.done.p.place),
            lookup.ended_failed.eq(self._failed),
            lookup.may_write.eq(self._lines.ready & self._answer_free & ~self._starts_leaving),
            lookup.may_read.eq(
                lookup.may_write & (~self._leaving | (self.memory.write.valid & self.memory.write.ready))
            ),
            lookup.may_answer.eq(self._answer_free),
        ]
        connect(m, flipped(self.request), lookup.request)
        connect(m, lookup.fill, fills.fill)
        connect(m, fills.read, flipped(self.memory.read))
        connect(m, flipped(self.memory.written), fills.written)
        with m.If(lookup.read):
            m.d.comb += [self._tags.read.eq(1), self._tags.index.eq(lookup.read_set)]
        with m.If(lookup.forget != 0):
            m.d.comb += [
                self._tags.write.eq(1),
                self._tags.index.eq(lookup.set),
                self._tags.mask.eq(lookup.forget),
            ]
        with m.If(lookup.touch):
            m.d.comb += [
                self._state_write.en.eq(1),
                self._state_write.addr.eq(lookup.set),
                self._state_write.data.eq(lookup.next_state),
            ]
        with m.If(lookup.read_line | lookup.write_line):
            m.d.comb += self._lines.index.eq(Cat(lookup.way, lookup.set))
        m.d.comb += self._lines.read.eq(self._starts_leaving | lookup.read_line)
        with m.If(lookup.write_line):
            m.d.comb += [
                self._lines.write.eq(1),
                self._lines.data.eq(lookup.data.replicate(params.words)),
            ]
            lanes = params.port_bits // 8
            with m.Switch(lookup.word):
                for n in range(params.words):
                    with m.Case(n):
                        m.d.comb += self._lines.mask[n * lanes : (n + 1) * lanes].eq(lookup.strobe)

    def _answer(self, m: Module) -> None:
        """The response; what was read is held by the array."""
        params, lookup, response = self._params, self._lookup, self.response
        self._answering = answering = Signal()
        shows = Signal()
        shown = Signal(params.port_bits)
        error = Signal()
        word = Signal(range(params.words))
        left = Signal(range(params.read_cycles))
        m.d.comb += [
            response.valid.eq(answering & (left == 0)),
            response.p.data.eq(shown),
            response.p.error.eq(error),
            self._answer_free.eq(~answering | (response.valid & response.ready)),
        ]
        with m.If(response.valid & shows), m.Switch(word):
            for n in range(params.words):
                with m.Case(n):
                    m.d.comb += shown.eq(self._lines.q.word_select(n, params.port_bits))
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(response.valid & response.ready):
            m.d.sync += answering.eq(0)
        with m.If(lookup.answer):
            m.d.sync += [
                answering.eq(1),
                shows.eq(lookup.read_line),
                error.eq(lookup.error),
                word.eq(lookup.word),
                left.eq(Mux(lookup.read_line, params.read_cycles - 1, 0)),
            ]
