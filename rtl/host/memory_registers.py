"""The registers of memory behind the AXI4-Lite port."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import GroupParams, MemoryParams
from ohmweave.rtl.host.axi_lite import RegisterAccess
from ohmweave.rtl.host.event_counters import EventCounters
from ohmweave.rtl.host.host_register import REGISTER_BITS, Access, CounterRead, HostRegister, read_registers
from ohmweave.rtl.host.loader import LoadLayout, ways
from ohmweave.rtl.host.memory_map import COPIES, MEMORY_COUNTERS, MEMORY_REGISTERS
from ohmweave.rtl.host.register_map import ADDRESS_BITS
from ohmweave.rtl.memory.axi_master import FaultLayout
from ohmweave.rtl.memory.descriptors import LENGTH_BITS, Copy, DescriptorLayout, DMAFault
from ohmweave.rtl.memory.layouts import CacheEvents

__all__ = ["MemoryRegisters", "memory_constants"]


def memory_constants(params: GroupParams, memory: MemoryParams) -> dict[str, dict[str, int]]:
    """The fields of the registers that say what memory is."""
    cache = memory.cache
    return {
        "CACHE": {"line_bytes": cache.line_bytes, "ways": cache.ways},
        "CACHE_SETS": {"value": cache.sets},
        "POINTS": {"points": ways(params), "word_bytes": cache.port_bits // 8},
    }


class MemoryRegisters(Component):
    """Decodes accesses by `memory_map.MEMORY_REGISTERS`; hands copies to their engines and keeps how they end.

    Latency: an access is done in the cycle in which it comes, except a read of a counter, which takes up to 5 more.

    Parameters: params, of the chip; memory, MemoryParams.

    Ports
    -----
    access : In(RegisterAccess(10))
    load : Out(stream(LoadLayout))
    store : Out(stream(DescriptorLayout))
        Copies; each is offered for one cycle, only where there is room.
    start : In(1)
        Sets the counters to 0.
    clear : Out(1)
        Lets engines that halted go on.
    from_memory, to_memory : Out(1)
        Where images come from and results go.
    working : In(1)
        The chip has work.
    load_busy, store_busy, load_halted, store_halted, idle : In(1)
    load_done, store_done : In(1)
        A copy has come to its end.
    load_fault, store_fault : In(3)
    load_moved, store_moved : In(32)
        How; with it.
    fault : In(FaultLayout)
        What memory answered.
    events : In(CacheEvents)
    """

    def __init__(self, *, params: GroupParams, memory: MemoryParams):
        self._params = params
        self._memory = memory
        cache = memory.cache
        super().__init__(
            {
                "access": In(RegisterAccess(ADDRESS_BITS - 2)),
                "load": Out(stream.Signature(LoadLayout(params, memory))),
                "store": Out(stream.Signature(DescriptorLayout(cache))),
                "start": In(1),
                "clear": Out(1),
                "from_memory": Out(1),
                "to_memory": Out(1),
                "working": In(1),
                "idle": In(1),
                **{f"{name}_{what}": In(1) for name in COPIES for what in ("busy", "halted", "done")},
                **{f"{name}_fault": In(3) for name in COPIES},
                **{f"{name}_moved": In(LENGTH_BITS) for name in COPIES},
                "fault": In(FaultLayout(cache.address_bits)),
                "events": In(CacheEvents),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.counters = counters = EventCounters(sources=len(MEMORY_COUNTERS))
        stored = {
            reg.name: Signal(field.width, init=field.reset, name=reg.name.lower())
            for reg in MEMORY_REGISTERS
            if reg.access is Access.READ_WRITE and reg.name != "ROUTE"
            for field in reg.fields
        }
        errors = {name: Signal(name=f"{name}_error") for name in COPIES}
        values: dict[str, Mapping[str, Any]] = {
            **memory_constants(self._params, self._memory),
            "ROUTE": {"images": self.from_memory, "results": self.to_memory},
            "COPY": {"kind": 0, "ends": 0, "to": 0},
            "COPY_STATUS": {
                "load_busy": self.load_busy,
                "store_busy": self.store_busy,
                "load_room": self.load.ready,
                "store_room": self.store.ready,
                "load_halted": self.load_halted,
                "store_halted": self.store_halted,
                "idle": self.idle,
            },
            "COPY_ERROR": errors,
            **{name: {"value": value} for name, value in stored.items()},
        }
        address = Signal(2 * REGISTER_BITS)
        for name in COPIES:
            values |= self._ends(m, name, errors[name], address)
        values["FAULT_ADDRESS"] = {"value": address[:REGISTER_BITS]}
        values["FAULT_ADDRESS_HIGH"] = {"value": address[REGISTER_BITS:]}
        m.d.comb += [
            counters.events.eq(self.events.as_value()),
            counters.clear.eq(self.start),
        ]
        counts = {name: source for source, (name, _, _) in enumerate(MEMORY_COUNTERS)}
        counter = CounterRead(counters.request, counters.select, counters.done, counters.value)
        read_registers(m, self.access, MEMORY_REGISTERS, values, counts, counter)
        self._writes(m, stored, errors)
        return m

    def _ends(self, m: Module, name: str, error: Signal, address: Signal) -> dict[str, Mapping[str, Any]]:
        """Keep how copies of an engine end; the registers that say so."""
        ends, fault = getattr(self, f"{name}_done"), getattr(self, f"{name}_fault")
        done = Signal(REGISTER_BITS, name=f"{name}s_done")
        record = Signal(
            data.StructLayout({"fault": 3, "response": 3, "moved": LENGTH_BITS}), name=f"{name}_record"
        )
        with m.If(ends & (fault == DMAFault.NONE)):
            m.d.sync += done.eq(done + 1)
        # Those that a reset broke off are none of the host's errors.
        with m.Elif(ends & (fault != DMAFault.ABORTED)):
            refused = fault == DMAFault.MEMORY
            m.d.sync += [
                error.eq(1),
                record.fault.eq(fault),
                record.response.eq(Mux(refused, self.fault.kind, 0)),
                record.moved.eq(getattr(self, f"{name}_moved")),
            ]
            with m.If(refused):
                m.d.sync += address.eq(self.fault.address)
        upper = name.upper()
        return {
            f"{upper}S_DONE": {"value": done},
            f"{upper}_FAULT": {"fault": record.fault, "response": record.response},
            f"{upper}_MOVED": {"value": record.moved},
        }

    def _writes(self, m: Module, stored: Mapping[str, Signal], errors: Mapping[str, Signal]) -> None:
        access = self.access
        ones = access.write_data & access.write_mask
        m.d.comb += [access.write_done.eq(1), access.write_error.eq(1)]
        with m.If(access.write_valid), m.Switch(access.write_word):
            for reg in MEMORY_REGISTERS:
                if reg.access is Access.READ_ONLY:
                    continue
                with m.Case(reg.place):
                    if reg.name in stored:
                        storage, mask = stored[reg.name], access.write_mask
                        m.d.comb += access.write_error.eq(0)
                        m.d.sync += storage.eq((storage & ~mask) | ones)
                    elif reg.name == "ROUTE":
                        m.d.comb += access.write_error.eq(self.working)
                        with m.If(~self.working & access.write_mask[0]):
                            m.d.sync += Cat(self.from_memory, self.to_memory).eq(access.write_data)
                    elif reg.name == "COPY_ERROR":
                        m.d.comb += access.write_error.eq(0)
                        for field in reg.fields:
                            with m.If(ones[field.low]):
                                m.d.sync += errors[field.name].eq(0)
                                m.d.comb += self.clear.eq(1)
                    else:
                        assert reg.name == "COPY", reg.name
                        self._copy(m, reg, ones, stored)

    def _copy(self, m: Module, reg: HostRegister, ones: Value, stored: Mapping[str, Signal]) -> None:
        access = self.access
        kind, ends, to = (
            ones[field.low : field.low + field.width]
            for field in (reg.field(name) for name in ("kind", "ends", "to"))
        )
        load: Value = Const(0)
        for each in (Copy.LOAD, Copy.CONFIGURE):
            load = load | (kind == each)
        address = Cat(stored["COPY_ADDRESS"], stored["COPY_ADDRESS_HIGH"])
        right = (
            access.write_mask[0]
            & (~load | (to < ways(self._params)))
            & ~address[self._memory.cache.address_bits :].any()
        )
        m.d.comb += [
            self.load.p.configure.eq(kind == Copy.CONFIGURE),
            self.load.p.address.eq(address),
            self.load.p.length.eq(stored["COPY_LENGTH"]),
            self.load.p.to.eq(to),
            self.load.p.ends.eq(ends),
            self.store.p.kind.eq(kind),
            self.store.p.address.eq(address),
            self.store.p.length.eq(stored["COPY_LENGTH"]),
            self.load.valid.eq(right & load & self.load.ready),
            self.store.valid.eq(right & ~load & (kind <= max(Copy)) & self.store.ready),
            access.write_error.eq(~self.load.valid & ~self.store.valid),
        ]
