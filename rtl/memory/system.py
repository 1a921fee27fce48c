"""Memory as the chip sees it: the cache, its AXI4 port, and copy engines."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import AXIParams, CacheParams, DMAParams
from ohmweave.rtl.memory.arbiter import CacheArbiter
from ohmweave.rtl.memory.axi4 import AXI4
from ohmweave.rtl.memory.axi_master import FaultLayout
from ohmweave.rtl.memory.cached_memory import CachedMemory
from ohmweave.rtl.memory.dma import DMA, Engine
from ohmweave.rtl.memory.layouts import CacheEvents

__all__ = ["MemorySystem"]


class MemorySystem(Component):
    """Descriptors to copies between an AXI4 memory and the chip's streams, through the cache.

    Each engine carries out its descriptors in order; several of them work side by side and share the cache.

    Latency and throughput: see `DMA`, `CachedMemory`.

    Parameters: cache, CacheParams; axi, AXIParams; engines, a DMAParams for each, 1 to 8.

    Ports
    -----
    engine_0, engine_1, … : In(Engine)
    bus, fault, events
        As those of `CachedMemory`.
    clear : In(1)
        Forgets memory's error, and lets the copy engines go on after a fault.
    idle : Out(1)
        Nothing is under way: no descriptor, no line.

    Raises
    ------
    TypeError, OhmweaveError
        See the parts.
    """

    def __init__(self, *, cache: CacheParams, axi: AXIParams, engines: Sequence[DMAParams]):
        self._memory = CachedMemory(params=cache, axi=axi)
        self._engines = [DMA(cache=cache, params=params) for params in engines]
        self._cache = cache
        super().__init__(
            {
                **{f"engine_{n}": In(Engine(cache, each.link_bits)) for n, each in enumerate(engines)},
                "bus": Out(AXI4(cache.address_bits, axi)),
                "fault": Out(FaultLayout(cache.address_bits)),
                "events": Out(CacheEvents),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = self._memory
        clients: list[Any]
        if len(self._engines) == 1:
            clients = [(memory.request, memory.response, memory.room)]
        else:
            m.submodules.arbiter = arbiter = CacheArbiter(params=self._cache, clients=len(self._engines))
            connect(m, arbiter.request, memory.request)
            connect(m, memory.response, arbiter.response)
            m.d.comb += arbiter.room.eq(memory.room)
            clients = list(
                zip(arbiter.client_request, arbiter.client_response, arbiter.client_room, strict=True)
            )
        for n, (dma, (request, response, room)) in enumerate(zip(self._engines, clients, strict=True)):
            m.submodules[f"dma_{n}"] = dma
            port = getattr(self, f"engine_{n}")
            connect(m, dma.request, request)
            connect(m, response, dma.response)
            connect(m, flipped(port.descriptor), dma.descriptor)
            connect(m, dma.done, flipped(port.done))
            connect(m, dma.o, flipped(port.o))
            connect(m, flipped(port.i), dma.i)
            m.d.comb += [
                dma.room.eq(room),
                dma.clear.eq(self.clear),
                dma.abort.eq(port.abort),
                port.busy.eq(dma.busy),
                port.halted.eq(dma.halted),
            ]
        connect(m, memory.bus, flipped(self.bus))
        m.d.comb += [
            memory.clear.eq(self.clear),
            self.fault.eq(memory.fault),
            self.events.eq(memory.events),
            self.idle.eq(memory.idle & ~Cat(*(dma.busy for dma in self._engines)).any()),
        ]
        return m
