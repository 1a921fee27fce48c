"""A cache that is kept busy without a test bench, to run it in simulators that have none."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, Out

from ohmweave.params import CacheParams
from ohmweave.rtl.memory.cache import Cache

__all__ = ["PARAMS", "ToyCache"]

PARAMS = CacheParams(
    capacity=512, line_bits=128, ways=4, address_bits=14, port_bits=32, fills=4, read_cycles=2, write_cycles=1
)


class ToyCache(Component):
    """Requests from a shift register with feedback, lines made up from their addresses, some of them errors.

    Ports: `seen`, Out(64), a signature, of all that the cache has shown until now, and `events`, Out(4).
    """

    def __init__(self) -> None:
        super().__init__({"seen": Out(64), "events": Out(4)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.cache = cache = Cache(params=PARAMS)
        chance = Signal(64, init=0x9E3779B97F4A7C15)
        now = Signal(64)  # another value in every cycle
        request, response, memory = cache.request, cache.response, cache.memory
        m.d.comb += [now.eq(chance ^ (chance << 13)), self.events.eq(cache.events.as_value())]
        m.d.sync += chance.eq(Cat(chance[63] ^ chance[62] ^ chance[60] ^ chance[59], chance[:63]))
        with m.If(~request.valid | request.ready):
            m.d.sync += [
                request.valid.eq(now[3]),
                # Reads, writes and prefetches, now and then a flush or an invalidation.
                request.p.kind[:2].eq(now[5:7]),
                request.p.address[:5].eq(now[7:12]),
                request.p.address[7:10].eq(now[12:15]),
                request.p.data.eq(now[20:]),
                request.p.strobe.eq(now[16:20]),
            ]
            with m.If((now[5:7] == 3) & (now[40:44] != 0)):
                m.d.sync += request.p.kind.eq(0)
        m.d.comb += [
            response.ready.eq(now[4]),
            memory.read.ready.eq(now[22] & ~memory.filled.valid),
            memory.write.ready.eq(now[23] & ~memory.written.valid),
        ]
        with m.If(memory.filled.ready):
            m.d.sync += memory.filled.valid.eq(0)
        with m.If(memory.read.valid & memory.read.ready):
            m.d.sync += [
                memory.filled.valid.eq(1),
                memory.filled.p.line.eq(Cat(memory.read.payload, now, chance)[: PARAMS.line_bits]),
                memory.filled.p.error.eq(now[24:27] == 0),
            ]
        with m.If(memory.written.ready):
            m.d.sync += memory.written.valid.eq(0)
        with m.If(memory.write.valid & memory.write.ready):
            m.d.sync += [memory.written.valid.eq(1), memory.written.p.error.eq(now[27:30] == 0)]
        shows = Signal(64)
        with m.If(response.valid):
            m.d.comb += shows.eq(Cat(response.payload.as_value(), response.ready, cache.idle))
        with m.If(memory.write.valid):
            m.d.comb += shows.eq(memory.write.p.line[:64] ^ memory.write.p.line[64:] ^ memory.write.p.address)
        m.d.sync += self.seen.eq(
            self.seen.rotate_left(7) ^ shows ^ Cat(request.ready, cache.room, memory.read.valid, self.events)
        )
        return m
