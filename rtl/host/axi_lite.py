"""AXI4-Lite with 32 bits of data: its signals, and a slave that turns it into accesses to registers."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import enum
from amaranth.lib.wiring import Component, In, Out, Signature

from ohmweave.check import whole

__all__ = ["AXILite", "AXILiteSlave", "RegisterAccess", "Response"]

DATA_BITS = 32


class Response(enum.IntEnum):
    """`bresp` and `rresp`."""

    OKAY = 0
    SLVERR = 2


class AXILite(Signature):
    """AXI4-Lite with 32 bits of data, seen from the master; names and meanings are those of the standard.

    Parameters: address_bits, of `awaddr` and `araddr`, 3 to 32; `TypeError` if it is no such number.
    """

    def __init__(self, address_bits: int):
        whole("AXI4-Lite address_bits", address_bits, 3, 32, error=TypeError)
        self._address_bits = address_bits
        super().__init__(
            {
                "awaddr": Out(address_bits),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(DATA_BITS),
                "wstrb": Out(DATA_BITS // 8),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(Response),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_bits),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(DATA_BITS),
                "rresp": In(Response),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    @property
    def address_bits(self) -> int:
        return self._address_bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AXILite) and self.address_bits == other.address_bits

    def __repr__(self) -> str:
        return f"AXILite({self._address_bits})"


class RegisterAccess(Signature):
    """Accesses to registers of 32 bits, one write and one read at a time, seen from who makes them.

    An access is offered with `…_valid`, unchanged until the cycle in which `…_done` is high; `…_error` and
    `read_data` are those of that cycle. `…_done` may depend on everything else of its access.

    Parameters: word_bits, of the number of a register.

    Members: `write_word`, `write_data`, `write_mask` (a bit a bit, eight equal ones a byte), `write_valid`,
    `write_done`, `write_error`; `read_word`, `read_valid`, `read_done`, `read_data`, `read_error`.
    """

    def __init__(self, word_bits: int):
        self._word_bits = word_bits
        super().__init__(
            {
                "write_word": Out(word_bits),
                "write_data": Out(DATA_BITS),
                "write_mask": Out(DATA_BITS),
                "write_valid": Out(1),
                "write_done": In(1),
                "write_error": In(1),
                "read_word": Out(word_bits),
                "read_valid": Out(1),
                "read_done": In(1),
                "read_data": In(DATA_BITS),
                "read_error": In(1),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegisterAccess) and self._word_bits == other._word_bits

    def __repr__(self) -> str:
        return f"RegisterAccess({self._word_bits})"


class AXILiteSlave(Component):
    """An AXI4-Lite slave: takes writes and reads, each side one at a time, and answers when the register has.

    Address and data of a write are taken in either order. Both sides are independent. The two lowest bits of an
    address are not looked at: the bytes that a narrow write means are those of its strobes. An access that a register
    refuses is answered with SLVERR. All outputs are registers, so that no path leads from an input to an output.

    Latency: from the cycle in which a write's address and data have both been taken, or a read's address, to that of
    `bvalid` or `rvalid`: 2 cycles, and as many as the register lets it wait. Throughput: an access of each side every
    2 cycles.

    Parameters: address_bits, of the bus.

    Ports
    -----
    bus : In(AXILite(address_bits))
    access : Out(RegisterAccess(address_bits - 2))
        `…_valid` depends on registers only.

    Raises
    ------
    TypeError
        `address_bits` is no whole number from 3 to 32.
    """

    def __init__(self, *, address_bits: int):
        super().__init__(
            {"bus": In(AXILite(address_bits)), "access": Out(RegisterAccess(address_bits - 2))},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        bus, access = self.bus, self.access
        address_taken = Signal()
        data_taken = Signal()
        strobes = Signal(DATA_BITS // 8)
        m.d.comb += [
            bus.awready.eq(~address_taken),
            bus.wready.eq(~data_taken),
            access.write_mask.eq(Cat(strobe.replicate(8) for strobe in strobes)),
            # Not before the answer to the one before has gone: its place is taken.
            access.write_valid.eq(address_taken & data_taken & ~bus.bvalid),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(access.write_valid & access.write_done):
            m.d.sync += [
                address_taken.eq(0),
                data_taken.eq(0),
                bus.bvalid.eq(1),
                bus.bresp.eq(_response(access.write_error)),
            ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address_taken.eq(1), access.write_word.eq(bus.awaddr[2:])]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [data_taken.eq(1), access.write_data.eq(bus.wdata), strobes.eq(bus.wstrb)]

    def _reads(self, m: Module) -> None:
        bus, access = self.bus, self.access
        taken = Signal()
        m.d.comb += [bus.arready.eq(~taken), access.read_valid.eq(taken & ~bus.rvalid)]
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(access.read_valid & access.read_done):
            m.d.sync += [
                taken.eq(0),
                bus.rvalid.eq(1),
                bus.rdata.eq(access.read_data),
                bus.rresp.eq(_response(access.read_error)),
            ]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [taken.eq(1), access.read_word.eq(bus.araddr[2:])]


def _response(error: Signal) -> Cat:
    """SLVERR where there was an error; the lower bit is never set."""
    return Cat(0, error)
