"""Memory on one side, the chip's flits on the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from ohmweave.params import GroupParams, MemoryParams
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.host.axi_lite import RegisterAccess
from ohmweave.rtl.host.loader import Loader, ways
from ohmweave.rtl.host.memory_registers import MemoryRegisters
from ohmweave.rtl.host.register_map import ADDRESS_BITS
from ohmweave.rtl.memory.axi4 import AXI4
from ohmweave.rtl.memory.system import MemorySystem

__all__ = ["MemoryPort"]


class MemoryPort(Component):
    """Images, configuration and results through the cache: an engine that loads, one that stores, registers that say
    what (Re-ReRAM, section III).

    After `reset` whatever the engines have is broken off, loads and stores that wait, too, and results that none of
    them has taken are dropped; while that lasts nothing enters the chip.

    Latency: those of `MemorySystem` and `Loader`. Throughput: a word of the cache's port a cycle both ways together.

    Parameters: params, of the chip; memory, MemoryParams.

    Ports
    -----
    access : In(RegisterAccess(10))
    bus : Out(AXI4(address_bits, axi))
    o : Out(stream(link_bits)), one a point where data enter the chip, as in `loader.ways`
    last : Out(points)
        The flit at a point is the last of a frame.
    config, configures
        As those of `Loader`.
    results : In(stream(link_bits))
        Taken by stores.
    from_memory, to_memory : Out(1)
        Where images come from and results go.
    start : In(1)
        Sets the counters to 0.
    working, running : In(1)
        The chip has work; images are let in.
    begun : Out(1)
        For one cycle: all of a frame for a point other than the root has come.
    reset : In(1)
    """

    def __init__(self, *, params: GroupParams, memory: MemoryParams):
        self._params = params
        self._memory = memory
        link_bits = params.pe.link_bits
        super().__init__(
            {
                "access": In(RegisterAccess(ADDRESS_BITS - 2)),
                "bus": Out(AXI4(memory.cache.address_bits, memory.axi)),
                "o": Out(stream.Signature(link_bits)).array(ways(params)),
                "last": Out(ways(params)),
                "config": Out(stream.Signature(CONFIG_BITS)),
                "configures": Out(1),
                "results": In(stream.Signature(link_bits)),
                "from_memory": Out(1),
                "to_memory": Out(1),
                "start": In(1),
                "working": In(1),
                "running": In(1),
                "begun": Out(1),
                "reset": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory = self._memory
        m.submodules.registers = registers = MemoryRegisters(params=self._params, memory=memory)
        m.submodules.loader = loader = Loader(params=self._params, memory=memory)
        m.submodules.system = system = MemorySystem(
            cache=memory.cache,
            axi=memory.axi,
            engines=[memory.engine(memory.cache.port_bits), memory.engine(self._params.pe.link_bits)],
        )
        loads, stores = system.engine_0, system.engine_1
        connect(m, flipped(self.access), registers.access)
        connect(m, system.bus, flipped(self.bus))
        connect(m, registers.load, loader.load)
        connect(m, loader.engine.descriptor, loads.descriptor)
        connect(m, loads.done, loader.engine.done)
        connect(m, loads.o, loader.engine.o)
        connect(m, registers.store, stores.descriptor)
        connect(m, loader.config, flipped(self.config))
        for inside, outside in zip(loader.o, self.o, strict=True):
            connect(m, inside, flipped(outside))

        broken = Signal()
        with m.If(self.reset):
            m.d.sync += broken.eq(1)
        with m.Elif(~loads.busy & ~stores.busy & system.idle & ~self.results.valid):
            m.d.sync += broken.eq(0)
        m.d.comb += [
            # Results from before a reset are dropped.
            stores.i.valid.eq(self.results.valid & ~broken),
            stores.i.payload.eq(self.results.payload),
            self.results.ready.eq(stores.i.ready | broken),
            loads.abort.eq(broken),
            stores.abort.eq(broken),
            loader.clear.eq(broken),
            loader.enable.eq(self.running & self.from_memory & ~broken),
            system.clear.eq(registers.clear | broken),
            self.last.eq(loader.last),
            self.configures.eq(loader.configures),
            self.begun.eq(loader.ended),
            self.from_memory.eq(registers.from_memory),
            self.to_memory.eq(registers.to_memory),
            registers.start.eq(self.start),
            registers.working.eq(self.working | broken),
            registers.load_busy.eq(loads.busy),
            registers.store_busy.eq(stores.busy),
            registers.load_halted.eq(loads.halted),
            registers.store_halted.eq(stores.halted),
            registers.idle.eq(system.idle & ~broken),
            registers.load_done.eq(loader.done),
            registers.load_fault.eq(loader.fault),
            registers.load_moved.eq(loader.moved),
            registers.store_done.eq(stores.done.valid),
            registers.store_fault.eq(stores.done.p.fault),
            registers.store_moved.eq(stores.done.p.moved),
            stores.done.ready.eq(1),
            registers.fault.eq(system.fault),
            registers.events.eq(system.events),
        ]
        return m
