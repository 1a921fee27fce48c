"""The registers behind the AXI4-Lite port."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import link_numbers
from ohmweave.rtl.fault import Fault
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.rtl.host.axi_lite import RegisterAccess
from ohmweave.rtl.host.event_counters import COUNTER_BITS
from ohmweave.rtl.host.host_register import REGISTER_BITS, Access, CounterRead, HostRegister, read_registers
from ohmweave.rtl.host.register_map import (
    ADDRESS_BITS,
    EVENTS,
    IDENTITY,
    LINK_COUNTER,
    MAP_VERSION,
    PE_COUNTERS,
    REGISTERS,
    register,
)

__all__ = ["HostRegisters", "constants", "sources"]

_ERRORS = tuple(field.name for field in register("ERROR").fields)


def sources(params: GroupParams) -> int:
    """Counts of a chip: of each event, then for each of `PE_COUNTERS` those of all PEs, then of each link."""
    return len(EVENTS) + len(PE_COUNTERS) * params.pes + link_numbers(params)


def constants(params: GroupParams) -> dict[str, dict[str, int]]:
    """The fields of the registers that say what the chip is."""
    pe = params.pe
    array, buffer = pe.array, pe.buffer
    return {
        "ID": {"value": IDENTITY},
        "VERSION": {"minor": MAP_VERSION & 0xFFFF, "major": MAP_VERSION >> 16},
        "CHIP": {"pes": params.pes, "levels": params.levels, "link_bits": pe.link_bits},
        "ARRAY": {"rows": array.rows, "cols": array.cols},
        "CELLS": {
            "cell_bits": array.cell_bits,
            "dac_bits": array.dac_bits,
            "adc_bits": array.adc_bits or 0,
            "adc_drop": array.adc_drop,
            "pairs": int(array.sign_scheme == "pairs"),
        },
        "READS": {"colmux": array.colmux, "read_cycles": array.read_cycles},
        "BUFFER": {"lanes": buffer.lanes, "banks": buffer.banks, "width": buffer.width},
        "PROGRAMS": {
            "reram": pe.reram_program,
            "arithmetic": pe.arithmetic_program,
            "lanes": pe.alu_lanes,
        },
    }


class HostRegisters(Component):
    """Decodes accesses by `register_map.REGISTERS`; keeps what the host wrote, errors, and how many frames are inside.

    Latency: an access is done in the cycle in which it comes, except a write to CONFIG, which waits for `config`, and
    a read of a counter, which waits for `counted`. A command acts in the next cycle.

    Parameters: params, of the chip.

    Ports
    -----
    access : In(RegisterAccess(10))
    config : Out(stream(16))
        Configuration flits. One that the host gave up (CONFIG_WAIT) is withdrawn.
    start, stop : Out(1)
        Commands, in the cycle of their write. `start` sets the counters to 0.
    reset : Out(1)
        The command, a cycle later, for one cycle.
    abort : Out(1)
        There is a fault.
    image_flits, result_flits : Out(32)
        Lengths of frames.
    running, damaged, packet_open, flit_waits, result_waits, reading : In(1)
        For STATUS, where they are explained.
    in_frame, begun, early, late : In(1)
        Of the frames that come: between the first flit and the last; in a cycle.
    ended_out : In(1)
        The last flit of a result leaves in this cycle.
    fault : In(Fault)
    working : Out(1)
        The chip has work: images are let in, or results are to come.
    counting : Out(1)
        The chip has work, and no error: CYCLES counts.
    count_select, count_request : Out
        The count that is read.
    counted, count : In(1), In(64)
        It is there.
    """

    def __init__(self, *, params: GroupParams):
        self._params = params
        inputs = (
            "running", "damaged", "packet_open", "flit_waits", "result_waits", "reading", "in_frame", "begun",
            "early", "late", "ended_out", "counted",
        )  # fmt: skip
        outputs = ("start", "stop", "reset", "abort", "working", "counting", "count_request")
        super().__init__(
            {
                "access": In(RegisterAccess(ADDRESS_BITS - 2)),
                "config": Out(stream.Signature(CONFIG_BITS)),
                "image_flits": Out(REGISTER_BITS),
                "result_flits": Out(REGISTER_BITS),
                "fault": In(Fault),
                "count_select": Out(range(sources(params))),
                "count": In(COUNTER_BITS),
                **{name: In(1) for name in inputs},
                **{name: Out(1) for name in outputs},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pending = Signal(16)
        working = self.working
        errors = {name: Signal(name=f"error_{name}") for name in _ERRORS}
        stored = {
            reg.name: Signal(field.width, init=field.reset, name=reg.name.lower())
            for reg in REGISTERS
            if reg.access is Access.READ_WRITE
            for field in reg.fields
        }
        m.d.comb += [
            self.image_flits.eq(stored["IMAGE_FLITS"]),
            self.result_flits.eq(stored["RESULT_FLITS"]),
            self.abort.eq(errors["fault"]),
            working.eq(self.running | self.in_frame | (pending != 0)),
            self.counting.eq(working & ~self.damaged & ~errors["fault"]),
        ]
        self._frames_inside(m, pending)
        record: Any = Signal(Fault)
        status = {
            "idle": ~working & ~self.reading & ~self.flit_waits & ~self.result_waits,
            "running": self.running,
            "fault": errors["fault"],
            "stream_error": self.damaged,
            "reading": self.reading,
            "packet_open": self.packet_open,
            "flit_waits": self.flit_waits,
            "result_waits": self.result_waits,
            "pending": pending,
        }
        fault = {"unit": record.unit, "index": record.index, "half": record.half, "valid": record.valid}
        values: dict[str, Mapping[str, Any]] = {
            **constants(self._params),
            "CONTROL": {"start": 0, "stop": 0, "reset": 0},
            "STATUS": status,
            "ERROR": errors,
            "FAULT": fault,
            "CONFIG": {"value": 0},
            **{name: {"value": value} for name, value in stored.items()},
        }
        self._reads(m, values, stored)
        self._writes(m, stored, errors, working)
        # Behind the writes, of which one may clear an error: one that comes in the same cycle stays.
        self._faults(m, record, errors["fault"])
        with m.If(self.early):
            m.d.sync += errors["tlast_early"].eq(1)
        with m.If(self.late):
            m.d.sync += errors["tlast_late"].eq(1)
        return m

    def _frames_inside(self, m: Module, pending: Signal) -> None:
        gone = Signal()
        m.d.comb += gone.eq(self.ended_out & (pending != 0))
        with m.If(self.begun & ~gone):
            m.d.sync += pending.eq(pending + 1)
        with m.Elif(gone & ~self.begun):
            m.d.sync += pending.eq(pending - 1)
        with m.If(self.reset):
            m.d.sync += pending.eq(0)

    def _faults(self, m: Module, record: Any, error: Signal) -> None:
        """Record each fault once: the chip shows it until it is reset, however often the host clears ERROR."""
        seen = Signal()
        known = seen & (record.as_value() == self.fault.as_value())
        with m.If(~self.fault.valid):
            m.d.sync += seen.eq(0)
        with m.Elif(~known & ~error):
            m.d.sync += [record.eq(self.fault), seen.eq(1), error.eq(1)]

    def _reads(
        self, m: Module, values: Mapping[str, Mapping[str, Any]], stored: Mapping[str, Signal]
    ) -> None:
        # The source of each counter.
        of_pes = len(EVENTS)
        of_links = of_pes + len(PE_COUNTERS) * self._params.pes
        found: dict[str, Any] = {
            **{name: source for source, (name, _, _) in enumerate(EVENTS)},
            **{
                name: stored["PE_SELECT"] + of_pes + kind * self._params.pes
                for kind, (name, _, _) in enumerate(PE_COUNTERS)
            },
            LINK_COUNTER[0]: stored["LINK_SELECT"] + of_links,
        }
        counter = CounterRead(self.count_request, self.count_select, self.counted, self.count)
        read_registers(m, self.access, REGISTERS, values, found, counter)

    def _writes(
        self, m: Module, stored: Mapping[str, Signal], errors: Mapping[str, Signal], working: Value
    ) -> None:
        access = self.access
        ones = access.write_data & access.write_mask
        m.d.comb += [access.write_done.eq(1), access.write_error.eq(1)]
        m.d.sync += self.reset.eq(0)
        with m.If(access.write_valid), m.Switch(access.write_word):
            for reg in REGISTERS:
                if reg.access is Access.READ_ONLY:
                    continue
                with m.Case(reg.place):
                    if reg.access is Access.READ_WRITE:
                        self._store(m, reg, stored[reg.name], working)
                    elif reg.name == "ERROR":
                        m.d.comb += access.write_error.eq(0)
                        for field in reg.fields:
                            with m.If(ones[field.low]):
                                m.d.sync += errors[field.name].eq(0)
                    elif reg.name == "CONTROL":
                        self._command(m, reg, ones, stored, errors)
                    else:
                        assert reg.name == "CONFIG", reg.name
                        self._configure(m, stored["CONFIG_WAIT"], errors["config_refused"])

    def _store(self, m: Module, reg: HostRegister, storage: Signal, working: Value) -> None:
        access = self.access
        mask = access.write_mask[: len(storage)]
        merged = Signal(len(storage), name=f"new_{storage.name}")
        m.d.comb += merged.eq((storage & ~mask) | (access.write_data[: len(storage)] & mask))
        refused: Value = Const(0)
        if reg.name in ("IMAGE_FLITS", "RESULT_FLITS"):
            refused = working
        elif reg.name == "PE_SELECT":
            refused = merged >= self._params.pes
        elif reg.name == "LINK_SELECT":
            refused = merged >= link_numbers(self._params)
        m.d.comb += access.write_error.eq(refused)
        with m.If(~refused):
            m.d.sync += storage.eq(merged)

    def _command(
        self,
        m: Module,
        reg: HostRegister,
        ones: Value,
        stored: Mapping[str, Signal],
        errors: Mapping[str, Signal],
    ) -> None:
        start, stop, reset = (ones[reg.field(name).low] for name in ("start", "stop", "reset"))
        lengths = (stored["IMAGE_FLITS"] != 0) & (stored["RESULT_FLITS"] != 0)
        m.d.comb += self.access.write_error.eq(0)
        with m.If(reset):
            m.d.sync += self.reset.eq(1)
        with m.Elif(stop):
            m.d.comb += self.stop.eq(1)
        with m.Elif(start):
            with m.If(lengths & ~self.running & ~self.damaged & ~errors["fault"]):
                m.d.comb += self.start.eq(1)
            with m.Else():
                m.d.comb += self.access.write_error.eq(1)

    def _configure(self, m: Module, longest: Signal, refused: Signal) -> None:
        access = self.access
        waited = Signal(REGISTER_BITS)
        with m.If(access.write_mask[0] & access.write_mask[8]):
            m.d.comb += [
                self.config.valid.eq(1),
                self.config.payload.eq(access.write_data),
                access.write_done.eq(self.config.ready),
                access.write_error.eq(0),
            ]
            with m.If(self.config.ready):
                m.d.sync += waited.eq(0)
            with m.Elif((longest != 0) & (waited >= longest)):
                m.d.comb += [access.write_done.eq(1), access.write_error.eq(1)]
                m.d.sync += [waited.eq(0), refused.eq(1)]
            with m.Else():
                m.d.sync += waited.eq(waited + 1)
        with m.Else():
            m.d.comb += access.write_error.eq(access.write_mask[0] | access.write_mask[8])
