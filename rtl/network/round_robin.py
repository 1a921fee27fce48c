"""One of several requesters, each in its turn."""

from typing import Any

from amaranth.hdl import Const, Module, Signal
from amaranth.lib.wiring import Component, In, Out

from ohmweave.check import whole

__all__ = ["RoundRobin"]


class RoundRobin(Component):
    """Grants the first request behind the one that was taken last.

    Latency: combinational from `requests` to `grant`.

    Parameters
    ----------
    requesters : int
        1 to 64.

    Ports
    -----
    requests : In(requesters)
    grant : Out(requesters)
        At most one bit; 0 without a request. It does not depend on `taken`.
    taken : In(1)
        What is granted is taken: it is the last in line from the next cycle on.

    Raises
    ------
    TypeError
        `requesters` is not a number of its range.
    """

    def __init__(self, *, requesters: int):
        whole("RoundRobin requesters", requesters, 1, 64, error=TypeError)
        self._requesters = requesters
        super().__init__({"requests": In(requesters), "grant": Out(requesters), "taken": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self._requesters == 1:
            m.d.comb += self.grant.eq(self.requests)
            return m
        # Those behind the one that was taken last; none after a reset, when the lowest is first.
        behind = Signal(self._requesters)
        ahead = Signal(self._requesters)
        m.d.comb += ahead.eq(self.requests & behind)
        with m.If(ahead.any()):
            m.d.comb += self.grant.eq(ahead & (~ahead + 1))
        with m.Else():
            m.d.comb += self.grant.eq(self.requests & (~self.requests + 1))
        with m.If(self.taken & self.requests.any()):
            m.d.sync += behind.eq(~(self.grant | (self.grant - Const(1, 1))))
        return m
