"""Memory as the chip sees it: the cache, its AXI4 port, and the copy engine."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import AXIParams, CacheParams, DMAParams
from ohmweave.rtl.flit import flit_stream
from ohmweave.rtl.memory.axi4 import AXI4
from ohmweave.rtl.memory.axi_master import FaultLayout
from ohmweave.rtl.memory.cached_memory import CachedMemory
from ohmweave.rtl.memory.descriptors import CompletionLayout, DescriptorLayout
from ohmweave.rtl.memory.dma import DMA
from ohmweave.rtl.memory.layouts import CacheEvents

__all__ = ["MemorySystem"]


class MemorySystem(Component):
    """Descriptors to copies between an AXI4 memory and the chip's streams, through the cache.

    Latency and throughput: see `DMA`, `CachedMemory`.

    Parameters: cache, CacheParams; axi, AXIParams; params, DMAParams.

    Ports
    -----
    descriptor, done, o, i, busy, halted
        As those of `DMA`.
    bus, fault, events
        As those of `CachedMemory`.
    clear : In(1)
        Forgets memory's error, and lets the copy engine go on after a fault.
    idle : Out(1)
        Nothing is under way: no descriptor, no line.

    Raises
    ------
    TypeError, OhmweaveError
        See the parts.
    """

    def __init__(self, *, cache: CacheParams, axi: AXIParams, params: DMAParams):
        self._memory = CachedMemory(params=cache, axi=axi)
        self._dma = DMA(cache=cache, params=params)
        super().__init__(
            {
                "descriptor": In(stream.Signature(DescriptorLayout(cache))),
                "done": Out(stream.Signature(CompletionLayout())),
                "o": Out(flit_stream(params.link_bits)),
                "i": In(stream.Signature(params.link_bits)),
                "bus": Out(AXI4(cache.address_bits, axi)),
                "fault": Out(FaultLayout(cache.address_bits)),
                "events": Out(CacheEvents),
                "clear": In(1),
                "busy": Out(1),
                "halted": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = self._memory
        m.submodules.dma = dma = self._dma
        connect(m, dma.request, memory.request)
        connect(m, memory.response, dma.response)
        connect(m, flipped(self.descriptor), dma.descriptor)
        connect(m, dma.done, flipped(self.done))
        connect(m, dma.o, flipped(self.o))
        connect(m, flipped(self.i), dma.i)
        connect(m, memory.bus, flipped(self.bus))
        m.d.comb += [
            dma.room.eq(memory.room),
            dma.clear.eq(self.clear),
            memory.clear.eq(self.clear),
            self.fault.eq(memory.fault),
            self.events.eq(memory.events),
            self.busy.eq(dma.busy),
            self.halted.eq(dma.halted),
            self.idle.eq(memory.idle & ~dma.busy),
        ]
        return m
