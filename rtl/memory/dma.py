"""The copy engine between memory and the chip's streams."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped

from ohmweave.errors import OhmweaveError
from ohmweave.params import CacheParams, DMAParams
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.memory.descriptors import (
    LENGTH_BITS,
    CompletionLayout,
    Copy,
    DescriptorLayout,
    DescriptorQueue,
    DMAFault,
)
from ohmweave.rtl.memory.layouts import Kind, RequestLayout, ResponseLayout
from ohmweave.rtl.memory.prefetcher import Prefetcher
from ohmweave.rtl.memory.word_queue import WordQueue

__all__ = ["DMA", "Engine"]


class Engine(Signature):
    """What the user of a copy engine sees of it: `descriptor`, `done`, `o`, `i`, `abort`, `busy` and `halted` of `DMA`.

    Parameters: cache, CacheParams; link_bits, of a flit.
    """

    def __init__(self, cache: CacheParams, link_bits: int):
        super().__init__(
            {
                "descriptor": Out(stream.Signature(DescriptorLayout(cache))),
                "done": In(stream.Signature(CompletionLayout())),
                "o": In(flit_stream(link_bits)),
                "i": Out(stream.Signature(link_bits)),
                "abort": Out(1),
                "busy": In(1),
                "halted": In(1),
            }
        )


class _State(enum.IntEnum):
    IDLE = 0
    LOAD = 1
    STORE = 2
    FLUSH = 3
    DRAIN = 4
    DONE = 5
    HALT = 6


class DMA(Component):
    """Carries out descriptors, one after the other: memory to flits, flits to memory, flushes of the cache.

    Memory is seen through the cache, a word of its port at a time, the flit at the lowest address in the lowest bits;
    the bytes behind the last flit are neither sent nor changed. Lines of this and of the next descriptors are
    prefetched meanwhile (see `Prefetcher`), also while the chip takes no flits: no more words are asked for than have
    a place when they come.

    A descriptor that is wrong, or that memory refuses, ends with its fault; a flit whose word could not be read is
    not sent, and no more flits are taken after one could not be written. Then the engine halts: the next descriptor
    begins after `clear`. A copy that `abort` breaks off ends in the same way, with its own fault.

    Latency, R = read_cycles: from taking a descriptor to offering the first flit, its line in the cache: 3 R + 4
    cycles (the prefetch goes first); from the last flit of a descriptor to offering its completion 2 for loads, R + 5
    for stores if a write takes 1 cycle; from taking the completion to the first flit of the next descriptor at most
    3 R + 3.
    Throughput: a flit, and at most a word, a cycle while lines are there, less one cycle a line.

    Parameters
    ----------
    cache : CacheParams
    params : DMAParams

    Ports
    -----
    descriptor : In(stream(DescriptorLayout))
        `ready` depends on registers only.
    done : Out(stream(CompletionLayout))
        One a descriptor, in order. Registered.
    o : Out(flit_stream(link_bits))
        `valid` depends on registers only.
    i : In(stream(link_bits))
        `ready` depends on `request.ready`.
    request, response, room
        Those of the cache, seen from the other side. A response is always taken.
    clear : In(1)
        Ends the halt after a fault.
    abort : In(1)
        Breaks off loads and stores, the current one and those that begin; a flush goes on. A flit that waits at `o`
        is withdrawn.
    busy, halted : Out(1)
        There is a descriptor; the engine waits for `clear`.

    Raises
    ------
    TypeError
        `cache` or `params` is not of its type.
    OhmweaveError
        A flit is wider than a word of the cache's port.
    """

    def __init__(self, *, cache: CacheParams, params: DMAParams):
        if not isinstance(cache, CacheParams):
            raise TypeError(f"cache must be CacheParams, not {cache!r}")
        if not isinstance(params, DMAParams):
            raise TypeError(f"params must be DMAParams, not {params!r}")
        if params.link_bits > cache.port_bits:
            raise OhmweaveError(
                f"link_bits must be at most port_bits, {cache.port_bits}, not {params.link_bits}"
            )
        self._cache = cache
        self._params = params
        super().__init__(
            {
                **Engine(cache, params.link_bits).flip().members,
                "request": Out(stream.Signature(RequestLayout(cache))),
                "response": In(stream.Signature(ResponseLayout(cache))),
                "room": In(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cache = self._cache
        self._parts = cache.port_bits // self._params.link_bits
        # As many words as are under way when one a cycle is asked for.
        self._depth = 1 << (2 * cache.read_cycles + 3).bit_length()
        m.submodules.queue = self._queue = DescriptorQueue(cache=cache, params=self._params)
        m.submodules.prefetcher = self._prefetcher = Prefetcher(cache=cache, params=self._params)
        m.submodules.words = self._words = WordQueue(shape=ResponseLayout(cache), depth=self._depth)
        connect(m, flipped(self.descriptor), self._queue.i)

        self._state = Signal(_State)
        self._kind = Signal(3)
        self._place = Signal(cache.address_bits - self._word_shift)  # of the next word
        self._fresh = Signal()  # it is the first of its line
        self._words_left = Signal(LENGTH_BITS)  # to be asked for
        self._left = Signal(LENGTH_BITS)  # flits to be moved
        self._owed = Signal(range(self._depth + 1))  # words under way
        self._good = Signal(LENGTH_BITS)  # words written
        self._failed = Signal()
        self._aborted = Signal()
        self._gathered = Signal(cache.port_bits)
        self._strobe = Signal(cache.port_bits // 8)
        self._full = Signal()
        self._free = Signal()  # there is a place for a request
        self._may_ask = Signal()
        self._asks = Signal()
        self._paid = Signal()
        self._states(m)
        self._requests(m)
        self._load(m)
        self._store(m)
        return m

    @property
    def _word_shift(self) -> int:
        return (self._cache.port_bits // 8).bit_length() - 1

    def _states(self, m: Module) -> None:
        queue, prefetcher, state = self._queue, self._prefetcher, self._state
        job = queue.current.descriptor
        shift = self._parts.bit_length() - 1
        m.d.comb += [
            prefetcher.job.eq(queue.ahead),
            prefetcher.job_valid.eq(queue.ahead_valid),
            queue.step.eq(prefetcher.step),
            self.busy.eq(queue.current_valid),
            self.halted.eq(state == _State.HALT),
            self.done.valid.eq(state == _State.DONE),
        ]
        with m.If(self.abort & ~self._failed & ((state == _State.LOAD) | (state == _State.STORE))):
            m.d.sync += [self._failed.eq(1), self._aborted.eq(1)]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += [
                    self._kind.eq(job.kind),
                    self._place.eq(job.address[self._word_shift :]),
                    self._fresh.eq(1),
                    self._words_left.eq((job.length + self._parts - 1) >> shift),
                    self._left.eq(job.length),
                    self._good.eq(0),
                    self._failed.eq(0),
                    self._aborted.eq(0),
                    self.done.p.fault.eq(queue.current.fault),
                    self.done.p.moved.eq(0),
                ]
                with m.If(queue.current_valid):
                    with m.If(queue.current.fault != DMAFault.NONE):
                        m.d.sync += state.eq(_State.DONE)
                    with m.Elif(job.kind == Copy.STORE):
                        m.d.sync += state.eq(_State.STORE)
                    with m.Elif(job.kind < Copy.STORE):
                        m.d.sync += state.eq(_State.LOAD)
                    with m.Else():
                        m.d.sync += [state.eq(_State.FLUSH), self._words_left.eq(1)]
            with m.Case(_State.LOAD):
                with m.If(self._failed):
                    m.d.sync += state.eq(_State.DRAIN)
                with m.Elif(self._left == 0):
                    m.d.sync += state.eq(_State.DONE)
                m.d.sync += self.done.p.moved.eq(job.length - self._left)
            with m.Case(_State.STORE, _State.FLUSH):
                with m.If(self._failed):
                    m.d.sync += state.eq(_State.DRAIN)
                with m.Elif((self._words_left == 0) & (self._owed == 0)):
                    m.d.sync += state.eq(_State.DONE)
                with m.If(self._kind == Copy.STORE):
                    m.d.sync += self.done.p.moved.eq(job.length)
            with m.Case(_State.DRAIN):
                m.d.sync += self.done.p.fault.eq(Mux(self._aborted, DMAFault.ABORTED, DMAFault.MEMORY))
                with m.If(self._kind == Copy.STORE):
                    m.d.sync += self.done.p.moved.eq(self._good << shift)
                with m.If(self._owed == 0):
                    m.d.sync += state.eq(_State.DONE)
            with m.Case(_State.DONE), m.If(self.done.ready):
                m.d.comb += queue.end.eq(1)
                m.d.sync += state.eq(Mux(self.done.p.fault == DMAFault.NONE, _State.IDLE, _State.HALT))
            with m.Case(_State.HALT):
                # The lines of the copy that was broken off are not waited for.
                m.d.comb += [queue.back.eq(1), prefetcher.restart.eq(1)]
                with m.If(self.clear):
                    m.d.sync += state.eq(_State.IDLE)

    def _requests(self, m: Module) -> None:
        """One request a cycle: a line to be prefetched, if there is room for it, else the next word."""
        cache, request, prefetcher = self._cache, self.request, self._prefetcher
        prefetches = Signal()
        kind = Signal(3)
        m.d.comb += [
            self._free.eq(~request.valid | request.ready),
            prefetches.eq(
                self._free & prefetcher.valid & self.room & (self._state != _State.HALT)
            ),
            prefetcher.taken.eq(prefetches),
            self._may_ask.eq(
                self._free & ~prefetches & (self._words_left != 0) & (self._owed != self._depth)
                & ~self._failed & (~self._fresh | prefetcher.may_begin | (self._state == _State.FLUSH))
            ),
        ]  # fmt: skip
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(prefetches):
            m.d.sync += [
                request.valid.eq(1),
                request.p.kind.eq(Kind.PREFETCH),
                request.p.address.eq(Cat(Const(0, cache.offset_bits), prefetcher.line)),
            ]
        with m.Switch(self._state):
            with m.Case(_State.LOAD):
                m.d.comb += [self._asks.eq(self._may_ask), kind.eq(Kind.READ)]
            with m.Case(_State.STORE):
                m.d.comb += [self._asks.eq(self._may_ask & self._full), kind.eq(Kind.WRITE)]
            with m.Case(_State.FLUSH):
                m.d.comb += [
                    self._asks.eq(self._may_ask),
                    kind.eq(Mux(self._kind == Copy.FLUSH, Kind.FLUSH, Kind.INVALIDATE)),
                ]
        after = Signal.like(self._place)
        m.d.comb += after.eq(self._place + 1)
        line = cache.offset_bits - self._word_shift
        with m.If(self._asks):
            m.d.comb += prefetcher.begun.eq(self._fresh & (self._state != _State.FLUSH))
            m.d.sync += [
                request.valid.eq(1),
                request.p.kind.eq(kind),
                request.p.address.eq(Cat(Const(0, self._word_shift), self._place)),
                request.p.data.eq(self._gathered),
                request.p.strobe.eq(self._strobe),
                self._place.eq(after),
                self._fresh.eq(after[:line] == 0),
                self._words_left.eq(self._words_left - 1),
            ]
        with m.If(self._asks & ~self._paid):
            m.d.sync += self._owed.eq(self._owed + 1)
        with m.If(~self._asks & self._paid):
            m.d.sync += self._owed.eq(self._owed - 1)

    def _load(self, m: Module) -> None:
        """Words that come, to flits."""
        words, o, response = self._words, self.o, self.response
        loads = Signal()
        part = Signal(range(self._parts))
        sends = Signal()
        shown = Signal(self._params.link_bits)
        last = Signal()
        drains = Signal()
        m.d.comb += [
            loads.eq(self._kind <= Copy.CONFIGURE),
            response.ready.eq(1),
            words.i.valid.eq(response.valid & loads),
            words.i.payload.eq(response.payload),
            o.valid.eq((self._state == _State.LOAD) & ~self._failed & words.o.valid & ~words.o.p.error),
            o.p.config.eq(self._kind == Copy.CONFIGURE),
            sends.eq(o.valid & o.ready),
            last.eq((part == self._parts - 1) | (self._left == 1)),
            drains.eq((self._state == _State.DRAIN) & words.o.valid),
            words.o.ready.eq((sends & last) | drains),
            self._paid.eq(Mux(loads, words.o.ready, response.valid)),
            o.p.data.eq(shown),
        ]
        with m.Switch(part):
            for n in range(self._parts):
                with m.Case(n):
                    m.d.comb += shown.eq(words.o.p.data.word_select(n, self._params.link_bits))
        with m.If((self._state == _State.LOAD) & words.o.valid & words.o.p.error):
            m.d.sync += self._failed.eq(1)
        with m.If(sends):
            m.d.sync += [self._left.eq(self._left - 1), part.eq(Mux(last, 0, part + 1))]
        with m.If(self._state == _State.IDLE):
            m.d.sync += part.eq(0)

    def _store(self, m: Module) -> None:
        """Flits to words; and the answers to those."""
        lanes = self._params.link_bits // 8
        part = Signal(range(self._parts))
        takes = Signal()
        m.d.comb += [
            self.i.ready.eq(
                (self._state == _State.STORE) & ~self._failed & (self._left != 0) & (~self._full | self._asks)
            ),
            takes.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self._asks):
            m.d.sync += [self._full.eq(0), self._strobe.eq(0)]
        with m.If(takes):
            last = (part == self._parts - 1) | (self._left == 1)
            m.d.sync += [
                self._left.eq(self._left - 1),
                part.eq(Mux(last, 0, part + 1)),
                self._full.eq(last),
            ]
            with m.Switch(part):
                for n in range(self._parts):
                    with m.Case(n):
                        m.d.sync += [
                            self._gathered.word_select(n, self._params.link_bits).eq(self.i.payload),
                            self._strobe.word_select(n, lanes).eq(-1),
                        ]
        with m.If(self._state == _State.IDLE):
            m.d.sync += [part.eq(0), self._full.eq(0), self._strobe.eq(0)]
        with m.If(self.response.valid & (self._kind > Copy.CONFIGURE)):
            with m.If(self.response.p.error):
                m.d.sync += [self._failed.eq(1), self._aborted.eq(0)]
            # Words that were under way when the copy was broken off are written all the same.
            with m.Elif(~self._failed | self._aborted):
                m.d.sync += self._good.eq(self._good + 1)
