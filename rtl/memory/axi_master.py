"""Whole lines over AXI4."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import Component, In, Out

from ohmweave.errors import OhmweaveError
from ohmweave.params import AXIParams, CacheParams
from ohmweave.rtl.memory.axi4 import AXI4, Burst, Response
from ohmweave.rtl.memory.layouts import LineMemory

__all__ = ["AXIMaster", "FaultLayout", "MemoryFault"]

#: Errors are counted up to here.
MAX_ERRORS = 0xFFFF
#: Modifiable and bufferable, normal memory; unprivileged, secure, data.
CACHE, PROTECTION = 0b0011, 0b000


class MemoryFault(enum.IntEnum, shape=3):  # type: ignore[call-arg]
    """What memory answered."""

    NONE = 0
    READ_SLVERR = 1
    READ_DECERR = 2
    WRITE_SLVERR = 3
    WRITE_DECERR = 4
    READ_LENGTH = 5  # `rlast` was not that of the burst's last beat


class FaultLayout(data.StructLayout):
    """The first error since the last `clear`: its `kind`, a `MemoryFault`, the `address` of the line in bytes, and how
    many there were, up to 65535."""

    def __init__(self, address_bits: int):
        super().__init__({"kind": 3, "address": address_bits, "count": 16})


class AXIMaster(Component):
    """Reads and writes lines of memory, each as one burst.

    A burst is an aligned line of at most 1024 bytes (type INCR, full width), so it never crosses a boundary of 4 KiB.
    All identifiers are 0, so memory keeps the order of each kind of access, and answers are not told apart by them.
    An answer with an error, in any beat, makes the line's answer an error; so does `rlast` at any other beat than the
    last, after which beats may be taken for those of another line. EXOKAY is taken for OKAY. The first error is kept
    with its address until `clear`; those after it are counted.

    Bursts under way when the block is reset are not waited for: memory has to be reset with it.

    Latency, B = line_bits / data_bits beats: from taking a read to `arvalid` 1 cycle, from the last beat to `filled` 1;
    from taking a line to `awvalid` and `wvalid` 1, from `bvalid` to `written` 1.
    Throughput: a line every max(B, 2) cycles in, every B + 1 out, both at the same time.

    Parameters
    ----------
    params : CacheParams
        For the sizes of lines and addresses.
    axi : AXIParams

    Ports
    -----
    lines : In(LineMemory(line_address_bits, line_bits))
        `ready` of `read` and `write` depend on registers only.
    bus : Out(AXI4(address_bits, axi))
        Outputs are registers but for `rready`, which depends on `lines.filled.ready`.
    clear : In(1)
        Forget the error and its count; one of the same cycle is kept.
    fault : Out(FaultLayout(address_bits))
    idle : Out(1)
        Nothing is under way.

    Raises
    ------
    TypeError
        `params` or `axi` is not of its type.
    OhmweaveError
        The line has fewer bits than a beat, or more than 256 beats.
    """

    def __init__(self, *, params: CacheParams, axi: AXIParams):
        if not isinstance(params, CacheParams):
            raise TypeError(f"params must be CacheParams, not {params!r}")
        if not isinstance(axi, AXIParams):
            raise TypeError(f"axi must be AXIParams, not {axi!r}")
        if axi.data_bits > params.line_bits:
            raise OhmweaveError(
                f"AXI data_bits must be at most line_bits, {params.line_bits}, not {axi.data_bits}"
            )
        self._params = params
        self._axi = axi
        self._beats = params.line_bits // axi.data_bits
        super().__init__(
            {
                "lines": In(LineMemory(params.line_address_bits, params.line_bits)),
                "bus": Out(AXI4(params.address_bits, axi)),
                "clear": In(1),
                "fault": Out(FaultLayout(params.address_bits)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._read_fault = Signal(3)
        self._write_fault = Signal(3)
        size = (self._axi.data_bits // 8).bit_length() - 1
        for letter in "wr":
            constants = {
                "id": 0, "len": self._beats - 1, "size": size, "burst": Burst.INCR, "lock": 0, "cache": CACHE,
                "prot": PROTECTION, "qos": 0,
            }  # fmt: skip
            m.d.comb += [getattr(self.bus, f"a{letter}{name}").eq(value) for name, value in constants.items()]
        reads, read_address = self._reads(m)
        writes, write_address = self._writes(m)
        m.d.comb += self.idle.eq(
            (reads == 0) & (writes == 0) & ~self.lines.filled.valid & ~self.lines.written.valid
        )
        self._faults(m, read_address, write_address)
        return m

    def _under_way(self, m: Module, name: str, taken: Any, address: Any, ended: Any) -> tuple[Any, Any]:
        """How many bursts are under way, and the line of the oldest."""
        count = self._axi.outstanding
        bits = (count - 1).bit_length()
        places = Signal(data.ArrayLayout(self._params.line_address_bits, count), name=f"{name}_lines")
        first = Signal(bits, name=f"{name}_first")
        level = Signal(range(count + 1), name=f"{name}_level")
        with m.If(taken), m.Switch((first + level)[:bits]):
            for n in range(count):
                with m.Case(n):
                    m.d.sync += places[n].eq(address)
        with m.If(ended):
            m.d.sync += first.eq(first + 1)
        with m.If(taken & ~ended):
            m.d.sync += level.eq(level + 1)
        with m.Elif(ended & ~taken):
            m.d.sync += level.eq(level - 1)
        return level, places[first]

    def _address(self, line: Any) -> Any:
        return Cat(Const(0, self._params.offset_bits), line)

    def _reads(self, m: Module) -> tuple[Any, Any]:
        bus, read, filled = self.bus, self.lines.read, self.lines.filled
        taken = Signal()
        beat = Signal(range(self._beats))
        ends = Signal()
        last = Signal()
        worst = Signal(3)  # of the beats before
        now = Signal(3)
        m.d.comb += ends.eq(bus.rvalid & bus.rready & last)
        level, oldest = self._under_way(m, "read", taken, read.payload, ends)
        m.d.comb += [
            taken.eq(read.valid & read.ready),
            read.ready.eq((level != self._axi.outstanding) & ~bus.arvalid),
            bus.rready.eq(~filled.valid | filled.ready),
            last.eq(beat == self._beats - 1),
            now.eq(worst),
        ]
        with m.If(bus.arready):
            m.d.sync += bus.arvalid.eq(0)
        with m.If(taken):
            m.d.sync += [bus.arvalid.eq(1), bus.araddr.eq(self._address(read.payload))]
        with m.If(worst == MemoryFault.NONE):
            with m.If(bus.rresp == Response.SLVERR):
                m.d.comb += now.eq(MemoryFault.READ_SLVERR)
            with m.Elif(bus.rresp == Response.DECERR):
                m.d.comb += now.eq(MemoryFault.READ_DECERR)
            with m.Elif(bus.rlast != last):
                m.d.comb += now.eq(MemoryFault.READ_LENGTH)
        with m.If(filled.ready):
            m.d.sync += filled.valid.eq(0)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [
                filled.p.line.eq(Cat(filled.p.line, bus.rdata)[-self._params.line_bits :]),
                beat.eq(beat + 1),
                worst.eq(now),
            ]
            with m.If(last):
                m.d.comb += self._read_fault.eq(now)
                m.d.sync += [
                    beat.eq(0),
                    worst.eq(MemoryFault.NONE),
                    filled.valid.eq(1),
                    filled.p.error.eq(now != MemoryFault.NONE),
                ]
        return level, oldest

    def _writes(self, m: Module) -> tuple[Any, Any]:
        bus, write, written = self.bus, self.lines.write, self.lines.written
        taken = Signal()
        beat = Signal(range(self._beats))
        rest = Signal(self._params.line_bits)
        ends = Signal()
        m.d.comb += ends.eq(bus.bvalid & bus.bready)
        level, oldest = self._under_way(m, "write", taken, write.p.address, ends)
        m.d.comb += [
            taken.eq(write.valid & write.ready),
            write.ready.eq((level != self._axi.outstanding) & ~bus.awvalid & ~bus.wvalid),
            bus.wdata.eq(rest[: self._axi.data_bits]),
            bus.wstrb.eq(-1),
            bus.wlast.eq(beat == self._beats - 1),
            bus.bready.eq(~written.valid),
        ]
        with m.If(bus.awready):
            m.d.sync += bus.awvalid.eq(0)
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [rest.eq(rest >> self._axi.data_bits), beat.eq(beat + 1)]
            with m.If(bus.wlast):
                m.d.sync += [bus.wvalid.eq(0), beat.eq(0)]
        with m.If(taken):
            m.d.sync += [
                bus.awvalid.eq(1),
                bus.awaddr.eq(self._address(write.p.address)),
                bus.wvalid.eq(1),
                rest.eq(write.p.line),
            ]
        with m.If(written.ready):
            m.d.sync += written.valid.eq(0)
        with m.If(ends):
            m.d.sync += [written.valid.eq(1), written.p.error.eq(bus.bresp[1])]
            with m.If(bus.bresp[1]):
                m.d.comb += self._write_fault.eq(
                    Mux(bus.bresp[0], MemoryFault.WRITE_DECERR, MemoryFault.WRITE_SLVERR)
                )
        return level, oldest

    def _faults(self, m: Module, read_address: Any, write_address: Any) -> None:
        fault = self.fault
        read, write = self._read_fault != MemoryFault.NONE, self._write_fault != MemoryFault.NONE
        count = Signal(16)
        more = Signal(17)
        m.d.comb += [count.eq(Mux(self.clear, 0, fault.count)), more.eq(count + read + write)]
        with m.If(self.clear):
            m.d.sync += [fault.kind.eq(MemoryFault.NONE), fault.count.eq(0)]
        with m.If(read | write):
            m.d.sync += fault.count.eq(Mux(more > MAX_ERRORS, MAX_ERRORS, more))
            with m.If(self.clear | (fault.kind == MemoryFault.NONE)):
                m.d.sync += [
                    fault.kind.eq(Mux(read, self._read_fault, self._write_fault)),
                    fault.address.eq(self._address(Mux(read, read_address, write_address))),
                ]
