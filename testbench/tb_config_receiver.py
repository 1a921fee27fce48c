"""ConfigReceiver: the decoded packets against a parser of whole lists, and each cycle's handshakes."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, parameters, reset, start

P = parameters()
LINK_BITS, DATA_OUTPUT = P["link_bits"], P["data_output"]
CONFIG = 1 << LINK_BITS
UNIT = 0x105
EVENT = tuple[str, int]


def parse(flits: list[int]) -> list[EVENT]:
    """What must come out, in order: ("data", flit) and ("write", address << 16 | word)."""
    events: list[EVENT] = []
    packet: list[int] = []
    for flit in flits:
        if not flit & CONFIG:
            packet = []
            events.append(("data", flit))
            continue
        packet.append(flit & 0xFFFF)
        if len(packet) > 3 and packet[0] == UNIT:
            events.append(("write", (packet[1] + len(packet) - 4 & 0xFFFF) << 16 | packet[-1]))
        if len(packet) >= 3 and len(packet) == 3 + packet[2]:
            packet = []
    return events if DATA_OUTPUT else [event for event in events if event[0] == "write"]


class TB:
    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.cycle = 0
        #: (cycle, flit) in, (cycle, event) out
        self.taken: list[tuple[int, int]] = []
        self.events: list[tuple[int, EVENT]] = []

    async def begin(self) -> None:
        self.dut.unit.value = UNIT
        self.dut.flits__valid.value = 0
        self.dut.flits__payload.value = 0
        self.dut.config__ready.value = 0
        if DATA_OUTPUT:
            self.dut.data__ready.value = 0
        await start(self.dut)

    def word(self, value: int) -> int:
        """A configuration flit; bits of a wide link above the word mean nothing."""
        return CONFIG | self.random.getrandbits(LINK_BITS) >> 16 << 16 | value

    def packet(self, unit: int, address: int, count: int) -> list[int]:
        words = [self.random.getrandbits(16) for _ in range(count)]
        return [self.word(value) for value in (unit, address, count, *words)]

    def traffic(self, length: int) -> list[int]:
        """Packets for this unit and others, some cut short by data, and data."""
        flits: list[int] = []
        for _ in range(length):
            unit = self.random.choice([UNIT, UNIT, self.random.getrandbits(16), UNIT ^ 0x8000])
            address = self.random.choice([0, 0xFFFE, self.random.getrandbits(16)])
            packet = self.packet(unit, address, self.random.choice([0, 1, 2, 3, 7]))
            data = [self.random.getrandbits(LINK_BITS) for _ in range(self.random.choice([0, 0, 1, 4]))]
            if self.random.random() < 0.2:
                packet = packet[: self.random.randrange(len(packet))]
                data.append(self.random.getrandbits(LINK_BITS))
            flits += packet + data
        return flits

    async def run(self, flits: list[int], idle: float = 0.0, stall: float = 0.0, rest: int = 40) -> None:
        """Send all flits, then let `rest` cycles pass; checks the rules of both output streams."""
        dut = self.dut
        queue = list(flits)
        offer: int | None = None
        waiting: dict[str, int] = {}
        while queue or offer is not None or rest > 0:
            if offer is None:
                if queue and self.random.random() >= idle:
                    offer = queue.pop(0)
                    dut.flits__payload.value = offer
                rest -= not queue and offer is None
            dut.flits__valid.value = int(offer is not None)
            ready = {"write": self.random.random() >= stall, "data": self.random.random() >= stall}
            dut.config__ready.value = int(ready["write"])
            outputs = {"write": (dut.config__valid, dut.config__payload)}
            if DATA_OUTPUT:
                dut.data__ready.value = int(ready["data"])
                outputs["data"] = (dut.data__valid, dut.data__payload)
            await ReadOnly()
            for kind, (valid, payload) in outputs.items():
                value = int(payload.value) if valid.value else None
                if kind in waiting:
                    assert value == waiting.pop(kind), f"{kind} changed before it was taken"
                if value is None:
                    continue
                if ready[kind]:
                    # ConfigWrite has the address in the low half.
                    event = (value & 0xFFFF) << 16 | value >> 16 if kind == "write" else value
                    self.events.append((self.cycle, (kind, event)))
                else:
                    waiting[kind] = value
            if offer is not None and dut.flits__ready.value:
                self.taken.append((self.cycle, offer))
                offer = None
            await RisingEdge(dut.clk)
            self.cycle += 1

    def check(self) -> None:
        assert [event for _, event in self.events] == parse([flit for _, flit in self.taken])


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def random_traffic(dut: Any, pace: tuple[float, float]) -> None:
    """Everything for this unit and all data come out, in order."""
    tb = TB(dut, seed=21)
    await tb.begin()
    flits = tb.traffic(120)
    await tb.run(flits, *pace)
    assert [flit for _, flit in tb.taken] == flits
    tb.check()
    assert sum(kind == "write" for _, (kind, _) in tb.events) > 50


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def rate(dut: Any) -> None:
    """Never stalled: 1 flit a cycle, writes after 1 cycle, data at once and 1 cycle later behind a write."""
    tb = TB(dut, seed=22)
    await tb.begin()
    mine, other = tb.packet(UNIT, 0x40, 20), tb.packet(UNIT + 1, 0x40, 20)
    data = [tb.random.getrandbits(LINK_BITS) for _ in range(10)]
    await tb.run(mine + other + data)
    assert [cycle for cycle, _ in tb.taken] == list(range(len(mine + other + data)))
    tb.check()
    writes = [cycle for cycle, (kind, _) in tb.events if kind == "write"]
    assert writes == list(range(4, 24)), "word k is taken in cycle 3 + k"
    if DATA_OUTPUT:
        assert [cycle for cycle, (kind, _) in tb.events if kind == "data"] == list(range(46, 56))

    begin = tb.cycle
    await tb.run(tb.packet(UNIT, 7, 1) + data[:2])
    cycles = [cycle - begin for cycle, _ in tb.taken[-2:]]
    assert cycles == ([5, 6] if DATA_OUTPUT else [4, 5])
    tb.check()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def back_pressure(dut: Any) -> None:
    """A write that is not taken holds the data and the writes behind it, and nothing is lost."""
    tb = TB(dut, seed=23)
    await tb.begin()
    flits = [*tb.packet(UNIT, 0, 2), 5]
    task = cocotb.start_soon(tb.run(flits, 0.0, 1.0))
    for _ in range(12):
        await RisingEdge(dut.clk)
    assert len(tb.taken) == 4, "of two words the first is held in the register, the second at the input"
    task.cancel()
    dut.flits__payload.value = 5
    dut.flits__valid.value = 1
    await ReadOnly()
    assert dut.config__valid.value
    if DATA_OUTPUT:
        assert not dut.data__valid.value, "data do not overtake a write"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def truncated(dut: Any) -> None:
    """A data flit ends the packet it interrupts, at each place; a packet of no words writes nothing."""
    tb = TB(dut, seed=24)
    await tb.begin()
    for length in range(1, 7):
        await tb.run([*tb.packet(UNIT, 0x10, 4)[:length], 9, *tb.packet(UNIT, 0x20, 1)], rest=4)
    await tb.run(tb.packet(UNIT, 0x30, 0) + tb.packet(UNIT, 0x31, 2), rest=4)
    tb.check()
    addresses = [event >> 16 for _, (kind, event) in tb.events if kind == "write"]
    assert addresses == [0x20, 0x20, 0x20, 0x10, 0x20, 0x10, 0x11, 0x20, 0x10, 0x11, 0x12, 0x20, 0x31, 0x32]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def long_packet(dut: Any) -> None:
    """More than 256 words, over the end of the address space."""
    tb = TB(dut, seed=25)
    await tb.begin()
    await tb.run(tb.packet(UNIT, 0xFF00, 700) + tb.packet(UNIT, 1, 1))
    tb.check()
    assert len(tb.events) == 701


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in each part of a packet the next flit begins a packet, and no write is left over."""
    tb = TB(dut, seed=26)
    await tb.begin()
    for length in range(1, 6):
        # Not taken, so that a write waits in the register if there is one.
        for flit in tb.packet(UNIT, 0x10, 9)[:length]:
            dut.config__ready.value = 0
            dut.flits__valid.value = 1
            dut.flits__payload.value = flit
            await RisingEdge(dut.clk)
        dut.flits__valid.value = 0
        await reset(dut)
        tb.taken, tb.events = [], []
        await tb.run(tb.packet(UNIT, 0x20, 3), rest=4)
        tb.check()
        assert len(tb.events) == 3
