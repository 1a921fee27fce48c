"""The cache and its port to memory."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import AXIParams, CacheParams
from ohmweave.rtl.memory.axi4 import AXI4
from ohmweave.rtl.memory.axi_master import AXIMaster, FaultLayout
from ohmweave.rtl.memory.cache import Cache
from ohmweave.rtl.memory.layouts import CacheEvents, RequestLayout, ResponseLayout

__all__ = ["CachedMemory"]


class CachedMemory(Component):
    """Memory on an AXI4 port, through the cache.

    Latency of a hit, throughput, and the order of everything: see `Cache`. A read that misses, with R = read_cycles and
    W = write_cycles: R + 3 cycles from taking it to `arvalid`, from the last beat 2 R + W + 1 to the response; if a
    changed line has to leave, 2 R + 2 from taking it to `awvalid`, and 3 from `bvalid` to `arvalid`.

    Parameters: params, CacheParams; axi, AXIParams.

    Ports
    -----
    request, response, room, events
        As those of `Cache`.
    bus, clear, fault
        As those of `AXIMaster`.
    idle : Out(1)
        Nothing is under way, and the tags are cleared.

    Raises
    ------
    TypeError, OhmweaveError
        See both parts.
    """

    def __init__(self, *, params: CacheParams, axi: AXIParams):
        self._cache = Cache(params=params)
        self._master = AXIMaster(params=params, axi=axi)
        super().__init__(
            {
                "request": In(stream.Signature(RequestLayout(params))),
                "response": Out(stream.Signature(ResponseLayout(params))),
                "room": Out(1),
                "events": Out(CacheEvents),
                "bus": Out(AXI4(params.address_bits, axi)),
                "clear": In(1),
                "fault": Out(FaultLayout(params.address_bits)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cache = cache = self._cache
        m.submodules.master = master = self._master
        connect(m, cache.memory, master.lines)
        connect(m, flipped(self.request), cache.request)
        connect(m, cache.response, flipped(self.response))
        connect(m, master.bus, flipped(self.bus))
        m.d.comb += [
            self.room.eq(cache.room),
            self.events.eq(cache.events),
            self.fault.eq(master.fault),
            master.clear.eq(self.clear),
            self.idle.eq(cache.idle & master.idle),
        ]
        return m
