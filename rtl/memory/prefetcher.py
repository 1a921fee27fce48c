"""Which lines the copy engine will want."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import CacheParams, DMAParams
from ohmweave.rtl.memory.descriptors import Copy, DMAFault, JobLayout

__all__ = ["Prefetcher"]


class Prefetcher(Component):
    """Names the lines of one copy after the other, up to `ahead` lines before the copying, also into the descriptors
    behind the current one (Re-ReRAM, section III: the data of the next round during the current one).

    It does not look past a flush, an invalidation or a faulty descriptor until those are done with. A line that the
    copying reaches first is left out.

    Latency: 1 cycle from a descriptor to its first line. Throughput: 1 line a cycle.

    Parameters: cache, CacheParams; params, DMAParams.

    Ports
    -----
    job, job_valid : In(JobLayout), In(1)
        The descriptor whose lines are named; stays until `step`.
    step : Out(1)
        On to the next one.
    line, valid : Out(line_address_bits), Out(1)
        A line to be prefetched.
    taken : In(1)
        That is done in this cycle.
    begun : In(1)
        The copying begins another line, only while `may_begin`; not beside `taken`.
    may_begin : Out(1)
    restart : In(1)
        Forget everything; `job` is the current descriptor in the next cycle.
    """

    def __init__(self, *, cache: CacheParams, params: DMAParams):
        self._cache = cache
        self._params = params
        super().__init__(
            {
                "job": In(JobLayout(cache)),
                "job_valid": In(1),
                "step": Out(1),
                "line": Out(cache.line_address_bits),
                "valid": Out(1),
                "taken": In(1),
                "begun": In(1),
                "may_begin": Out(1),
                "restart": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        active = Signal()
        lead = Signal(range(self._params.ahead + 1))
        onward = Signal()
        m.d.comb += [
            self.valid.eq(active & (lead != self._params.ahead)),
            self.may_begin.eq(active | (lead != 0)),
            onward.eq(self.taken | (self.begun & (lead == 0))),
            self.step.eq(onward & (self.line == self.job.last)),
        ]
        with m.If(
            ~active
            & self.job_valid
            & (self.job.fault == DMAFault.NONE)
            & (self.job.descriptor.kind <= Copy.STORE)
        ):
            m.d.sync += [
                active.eq(1),
                self.line.eq(self.job.descriptor.address[self._cache.offset_bits :]),
            ]
        with m.If(onward):
            m.d.sync += self.line.eq(self.line + 1)
        with m.If(self.step):
            m.d.sync += active.eq(0)
        with m.If(self.taken):
            m.d.sync += lead.eq(lead + 1)
        with m.Elif(self.begun & (lead != 0)):
            m.d.sync += lead.eq(lead - 1)
        with m.If(self.restart):
            m.d.sync += [active.eq(0), lead.eq(0)]
        return m
