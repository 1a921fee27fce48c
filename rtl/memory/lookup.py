"""The request that the cache is working on."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import CacheParams
from ohmweave.rtl.memory.fill_queue import FillLayout, StateLayout
from ohmweave.rtl.memory.layouts import Kind, RequestLayout
from ohmweave.rtl.memory.replacement import one_hot, touched, victim

__all__ = ["Lookup", "TagLayout"]


class TagLayout(data.ArrayLayout):
    """A word of the tag array: for each way the `tag` of its line and whether it is `there`."""

    def __init__(self, params: CacheParams):
        super().__init__(data.StructLayout({"tag": params.tag_bits, "there": 1}), params.ways)


class Lookup(Component):
    """Reads the tags of a request's set and decides what is done.

    A request stays until it is carried out, which may be in the cycle in which the next one is taken. While a fill is
    under way in its set it waits, then reads the tags again; so it does for the line that it asked for itself.
    A flush goes through all sets, and in each through the ways that it has not `tried`.

    Latency: read_cycles from taking a request to carrying out a hit. Throughput: a hit every read_cycles.

    Parameters: params, CacheParams.

    Ports
    -----
    request : In(stream(RequestLayout))
    enable : In(1)
        Tags and states are not needed by others in this cycle, and nothing is carried out otherwise.
    tags_ready : In(1)
    read, read_set : Out(1), Out(set_bits)
        Read the set's tags and its state.
    tags, state : In(TagLayout), In(StateLayout)
        They hold until the next read.
    set, pending : Out(set_bits), In(1)
        The request's set; whether a fill is under way in it.
    fill : Out(stream(FillLayout))
        A line is to be brought in or out. `valid` waits for nothing but `enable`.
    place, ended, ended_place, ended_failed : In(…)
        Place that the queue of fills gives the next one; one ends in this cycle, which, and whether in vain.
    may_read, may_write, may_answer : In(1)
        The line may be read or written, or the response register loaded, in this cycle.
    read_line, write_line, answer : Out(1)
        Do so; `answer` is high with each of them, and alone for other responses.
    error : Out(1)
        The response says so.
    way, word, data, strobe : Out(…)
    touch, next_state : Out(1), Out(StateLayout)
        The set's state changes.
    forget : Out(ways)
        Lines of the set that are no longer there from now on.
    hit, miss : Out(1)
        Of a read, write or prefetch, for one cycle.
    prefetch, busy : Out(1)
        There is a prefetch; a request at all.
    """

    def __init__(self, *, params: CacheParams):
        if not isinstance(params, CacheParams):
            raise TypeError(f"params must be CacheParams, not {params!r}")
        self._params = params
        place = range(params.fills)
        super().__init__(
            {
                "request": In(stream.Signature(RequestLayout(params))),
                "enable": In(1),
                "tags_ready": In(1),
                "read": Out(1),
                "read_set": Out(params.set_bits),
                "tags": In(TagLayout(params)),
                "state": In(StateLayout(params.ways)),
                "set": Out(params.set_bits),
                "pending": In(1),
                "fill": Out(stream.Signature(FillLayout(params))),
                "place": In(place),
                "ended": In(1),
                "ended_place": In(place),
                "ended_failed": In(1),
                "may_read": In(1),
                "may_write": In(1),
                "may_answer": In(1),
                "read_line": Out(1),
                "write_line": Out(1),
                "answer": Out(1),
                "error": Out(1),
                "way": Out(params.way_bits),
                "word": Out(range(params.words)),
                "data": Out(params.port_bits),
                "strobe": Out(params.port_bits // 8),
                "touch": Out(1),
                "next_state": Out(StateLayout(params.ways)),
                "forget": Out(params.ways),
                "hit": Out(1),
                "miss": Out(1),
                "prefetch": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        params = self._params
        self._kind = kind = Signal(3)
        self._tag = Signal(params.tag_bits)
        # Cycles until the tags are there; what was read may be out of date; a fill of its own is under way, or failed.
        left = Signal(range(params.read_cycles))
        self._stale = stale = Signal()
        self._waiting = Signal()
        self._failed = Signal()
        self._place = Signal(range(params.fills))
        self._error = Signal()  # of a flush
        self._first = Signal()
        self._tried = Signal(params.ways)
        self._leaves = leaves = Signal()
        again = Signal()
        decides = Signal()
        takes = Signal()

        still = Signal()
        m.d.comb += [
            self.prefetch.eq(self.busy & (kind == Kind.PREFETCH)),
            still.eq(self.busy & ~self._waiting & ~self._failed & ~self.pending & self.enable),
            again.eq(still & stale & self.tags_ready),
            decides.eq(still & ~stale & (left == 0)),
            self.request.ready.eq(self.enable & (~self.busy | leaves) & self.tags_ready & (self.forget == 0)),
            takes.eq(self.request.valid & self.request.ready),
            self.read.eq(takes | again),
            self.read_set.eq(self.set),
        ]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(self.pending):
            m.d.sync += stale.eq(1)
        with m.If(leaves):
            m.d.sync += self.busy.eq(0)
        with m.If(decides):
            self._decide(m)
        self._wait(m)
        with m.If(self.read):
            m.d.sync += [left.eq(params.read_cycles - 1), stale.eq(0)]
        with m.If(takes):
            self._take(m)
        return m

    def _take(self, m: Module) -> None:
        """Keep the request that comes in."""
        params, request = self._params, self.request.p
        address = request.address
        set_ = Signal(params.set_bits)
        above = params.offset_bits + params.set_bits
        walks = (request.kind == Kind.FLUSH) | (request.kind == Kind.INVALIDATE)
        m.d.comb += [
            set_.eq(Mux(walks, 0, address[params.offset_bits : above])),
            self.read_set.eq(set_),
        ]
        word = params.offset_bits - (self._params.words - 1).bit_length()
        m.d.sync += [
            self.busy.eq(1),
            self._kind.eq(request.kind),
            self._tag.eq(address[above:]),
            self.set.eq(set_),
            self.word.eq(address[word : params.offset_bits]),
            self.data.eq(request.data),
            self.strobe.eq(request.strobe),
            self._first.eq(1),
            self._tried.eq(0),
            self._error.eq(0),
        ]

    def _decide(self, m: Module) -> None:
        with m.Switch(self._kind):
            with m.Case(Kind.READ, Kind.WRITE, Kind.PREFETCH):
                self._access(m)
            with m.Case(Kind.FLUSH, Kind.INVALIDATE):
                self._walk(m)
            with m.Default():
                m.d.comb += self.error.eq(1)
                with m.If(self.may_answer):
                    m.d.comb += [self.answer.eq(1), self._leaves.eq(1)]

    def _access(self, m: Module) -> None:
        """A hit, or a line to be brought in."""
        ways = self._params.ways
        hits = Signal(ways)
        done = Signal()
        m.d.comb += hits.eq(Cat(self.tags[n].there & (self.tags[n].tag == self._tag) for n in range(ways)))
        with m.If(hits != 0):
            for n in range(ways):
                with m.If(hits[n]):
                    m.d.comb += self.way.eq(n)
            with m.Switch(self._kind):
                with m.Case(Kind.READ):
                    m.d.comb += [done.eq(self.may_read), self.read_line.eq(done), self.answer.eq(done)]
                with m.Case(Kind.WRITE):
                    m.d.comb += [done.eq(self.may_write), self.write_line.eq(done), self.answer.eq(done)]
                with m.Default():
                    m.d.comb += done.eq(1)
            m.d.comb += [
                self._leaves.eq(done),
                self.hit.eq(done & self._first),
                self.touch.eq(done),
                self.next_state.dirty.eq(
                    self.state.dirty | Mux(self._kind == Kind.WRITE, one_hot(self.way, ways), 0)
                ),
                self.next_state.plru.eq(touched(self.state.plru, self.way, ways)),
            ]
        with m.Else():
            m.d.comb += self.way.eq(victim(self.state.plru, ways))
            for n in reversed(range(ways)):
                with m.If(~self.tags[n].there):
                    m.d.comb += self.way.eq(n)
            self._fill(m, fetch=1)
            with m.If(self.fill.ready):
                m.d.comb += self.miss.eq(1)
                with m.If(self._kind == Kind.PREFETCH):
                    m.d.comb += self._leaves.eq(1)
                with m.Else():
                    m.d.sync += self._waiting.eq(1)

    def _walk(self, m: Module) -> None:
        """A changed line of the set to be written back, or on to the next set."""
        params = self._params
        left = Signal(params.ways)
        last = Signal()
        m.d.comb += [
            left.eq(self.state.dirty & ~self._tried),
            last.eq(self.set == params.sets - 1),
            self.error.eq(self._error),
        ]
        with m.If(left != 0):
            for n in reversed(range(params.ways)):
                with m.If(left[n]):
                    m.d.comb += self.way.eq(n)
            self._fill(m, fetch=0)
            with m.If(self.fill.ready):
                m.d.sync += [
                    self._waiting.eq(1),
                    self._tried.eq(self._tried | one_hot(self.way, params.ways)),
                ]
        with m.Elif(self.tags_ready & (~last | self.may_answer)):
            # A line that memory did not take is still changed.
            with m.If(self._kind == Kind.INVALIDATE):
                m.d.comb += self.forget.eq(~self.state.dirty)
            m.d.comb += [self._leaves.eq(last), self.answer.eq(last)]
            with m.If(~last):
                m.d.sync += [self.set.eq(self.set + 1), self._tried.eq(0), self._stale.eq(1)]

    def _fill(self, m: Module, *, fetch: int) -> None:
        way = self.tags[self.way] if self._params.ways > 1 else self.tags[0]
        dirty = self.state.dirty.bit_select(self.way, 1)
        m.d.comb += [
            self.fill.valid.eq(1),
            self.fill.p.set.eq(self.set),
            self.fill.p.way.eq(self.way),
            self.fill.p.tag.eq(self._tag),
            self.fill.p.victim.eq(way.tag),
            self.fill.p.evict.eq(way.there & dirty),
            self.fill.p.fetch.eq(fetch),
            self.fill.p.state.eq(self.state),
        ]
        with m.If(self.fill.ready):
            m.d.sync += [self._first.eq(0), self._place.eq(self.place)]

    def _wait(self, m: Module) -> None:
        """For the fill that the request itself asked for."""
        with m.If(self._waiting & self.ended & (self.ended_place == self._place)):
            m.d.sync += self._waiting.eq(0)
            with m.If(self.ended_failed):
                with m.If((self._kind == Kind.READ) | (self._kind == Kind.WRITE)):
                    m.d.sync += self._failed.eq(1)
                with m.Else():
                    m.d.sync += self._error.eq(1)
        with m.If(self._failed):
            m.d.comb += self.error.eq(1)
            with m.If(self.may_answer & self.enable):
                m.d.comb += [self.answer.eq(1), self._leaves.eq(1)]
                m.d.sync += self._failed.eq(0)
