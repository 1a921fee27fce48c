"""What the copy engine is asked to do, checked and kept in order."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import CacheParams, DMAParams

__all__ = ["CompletionLayout", "Copy", "DMAFault", "DescriptorLayout", "DescriptorQueue", "JobLayout"]

LENGTH_BITS = 32


class Copy(enum.IntEnum, shape=3):  # type: ignore[call-arg]
    """What a descriptor asks for; the values above are none."""

    LOAD = 0  # memory to flits of data
    CONFIGURE = 1  # memory to configuration flits
    STORE = 2  # flits to memory
    FLUSH = 3  # of the cache
    INVALIDATE = 4  # of the cache


class DMAFault(enum.IntEnum, shape=3):  # type: ignore[call-arg]
    """Why a descriptor was not carried out, or not to its end."""

    NONE = 0
    KIND = 1  # no kind of copy
    EMPTY = 2  # a length of 0
    ALIGNMENT = 3  # an address inside a word of the cache's port
    RANGE = 4  # beyond the last address
    MEMORY = 5  # memory answered with an error
    ABORTED = 6  # broken off


class DescriptorLayout(data.StructLayout):
    """`kind`, a `Copy`; where it copies, `address`, that of the first byte of a word, and `length` in flits."""

    def __init__(self, cache: CacheParams):
        super().__init__({"kind": 3, "address": cache.address_bits, "length": LENGTH_BITS})


class CompletionLayout(data.StructLayout):
    """The end of a descriptor: its `fault`, a `DMAFault`, and the flits that were `moved`, all of them before the first
    that memory refused."""

    def __init__(self) -> None:
        super().__init__({"fault": 3, "moved": LENGTH_BITS})


class JobLayout(data.StructLayout):
    """A checked descriptor; `last` is the number of the last line it touches."""

    def __init__(self, cache: CacheParams):
        super().__init__({"descriptor": DescriptorLayout(cache), "last": cache.line_address_bits, "fault": 3})


class DescriptorQueue(Component):
    """Keeps descriptors from their arrival to their end, and shows the one that is worked on and the one whose lines
    are prefetched, which is that one or a later one.

    Latency: 1 cycle. Throughput: 1 a cycle.

    Parameters: cache, CacheParams; params, DMAParams.

    Ports
    -----
    i : In(stream(DescriptorLayout))
        `ready` depends on registers only.
    current, current_valid : Out(JobLayout), Out(1)
    end : In(1)
        The current one is done with.
    ahead, ahead_valid : Out(JobLayout), Out(1)
    step : In(1)
        On to the next one with prefetching; so it goes, too, when the current one ends that it has not passed.
    back : In(1)
        Prefetching begins again at the current one, not beside an `end`.
    """

    def __init__(self, *, cache: CacheParams, params: DMAParams):
        self._cache = cache
        self._params = params
        super().__init__(
            {
                "i": In(stream.Signature(DescriptorLayout(cache))),
                "current": Out(JobLayout(cache)),
                "current_valid": Out(1),
                "end": In(1),
                "ahead": Out(JobLayout(cache)),
                "ahead_valid": Out(1),
                "step": In(1),
                "back": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = self._params.descriptors
        jobs = Signal(data.ArrayLayout(JobLayout(self._cache), count))
        # Descriptors that came, were passed by prefetching and ended, modulo twice as many as there can be.
        came, passed, ended = (Signal(range(2 * count), name=name) for name in ("came", "passed", "ended"))
        bits = (count - 1).bit_length()
        m.d.comb += [
            self.i.ready.eq((came - ended)[: bits + 1] != count),
            self.current.eq(jobs[ended[:bits]]),
            self.current_valid.eq(came != ended),
            self.ahead.eq(jobs[passed[:bits]]),
            self.ahead_valid.eq(came != passed),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += came.eq(came + 1)
            with m.Switch(came[:bits]):
                for n in range(count):
                    with m.Case(n):
                        self._keep(m, jobs[n])
        with m.If(self.end):
            m.d.sync += ended.eq(ended + 1)
        with m.If(self.step | (self.end & (passed == ended))):
            m.d.sync += passed.eq(passed + 1)
        with m.If(self.back):
            m.d.sync += passed.eq(ended)
        return m

    def _keep(self, m: Module, job: Any) -> None:
        """Check the descriptor that comes in."""
        cache, given = self._cache, self.i.p
        flit = self._params.link_bits // 8
        last = Signal(max(cache.address_bits, LENGTH_BITS + flit.bit_length()) + 1)
        m.d.comb += last.eq(given.address + given.length * flit - 1)
        m.d.sync += [
            job.descriptor.eq(given),
            job.last.eq(last[cache.offset_bits :]),
            job.fault.eq(DMAFault.NONE),
        ]
        with m.If(given.kind > Copy.INVALIDATE):
            m.d.sync += job.fault.eq(DMAFault.KIND)
        with m.Elif(given.kind <= Copy.STORE):
            with m.If(given.length == 0):
                m.d.sync += job.fault.eq(DMAFault.EMPTY)
            with m.Elif(given.address[: (cache.port_bits // 8).bit_length() - 1] != 0):
                m.d.sync += job.fault.eq(DMAFault.ALIGNMENT)
            with m.Elif(last[cache.address_bits :] != 0):
                m.d.sync += job.fault.eq(DMAFault.RANGE)
