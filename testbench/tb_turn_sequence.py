"""TurnSequence: the number whose turn it is, in each cycle, while its registers are written at random."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import parameters, reset, start
from ohmweave.testbench.turns_model import Turns

P = parameters()


class TB:
    """Drives moves and writes, and compares after each."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.renew()

    def renew(self) -> None:
        self.model = Turns(**P)

    async def begin(self) -> None:
        self.dut.moves.value = 0
        self.dut.config__valid.value = 0
        self.dut.config__payload.value = 0
        await start(self.dut)

    async def cycle(self, moves: int = 0, write: tuple[int, int] | None = None) -> None:
        dut = self.dut
        dut.moves.value = moves
        dut.config__valid.value = int(write is not None)
        address, word = write or (P["table"], 0xFFFF)  # without `valid` it is not looked at
        dut.config__payload.value = word << 16 | address
        await ReadOnly()
        assert int(dut.current.value) == self.model.current
        assert int(dut.config__ready.value)
        await RisingEdge(dut.clk)
        if moves:
            self.model.move()
        if write is not None:
            self.model.write(*write)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def random_sequences(dut: Any) -> None:
    """All counts, short turns; now and then a register is written anew, also in the cycle of a transfer."""
    chance = random.Random(1)
    tb = TB(dut)
    await tb.begin()
    for _ in range(60):
        for each in tb.model.some_writes(chance, 5):
            await tb.cycle(chance.randrange(2), each)
        for _ in range(chance.randrange(150)):
            write: tuple[int, int] | None = None
            if chance.random() < 0.02:
                table = P["table"]
                address = chance.choice([P["turn"], P["count"], table, table + 16, table - 1, 0x800])
                write = address & 0xFFFF, chance.randrange(7)
            await tb.cycle(chance.random() < 0.8, write)


@cocotb.test(timeout_time=10, timeout_unit="ms", skip=P["numbers"] != 16)
async def longest_turn(dut: Any) -> None:
    """65535 transfers, then the next; after reset, and with 0 flits, a turn does not end."""
    tb = TB(dut)
    await tb.begin()
    for _ in range(20):
        await tb.cycle(1)
    for write in [(P["count"], 0), (P["turn"], 65535), *((P["table"] + n, n + 1) for n in range(16))]:
        await tb.cycle(0, write)
    for _ in range(65536):
        await tb.cycle(1)
    assert int(dut.current.value) == 2 % P["numbers"]
    await tb.cycle(0, (P["turn"], 0))
    for _ in range(65600):
        await tb.cycle(1)
    await tb.cycle(0, (P["turn"], 1))
    for _ in range(40):
        await tb.cycle(1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """All registers are 0 again."""
    chance = random.Random(2)
    tb = TB(dut)
    await tb.begin()
    for cycles in (1, 7, 33):
        for write in tb.model.some_writes(chance, 3):
            await tb.cycle(1, write)
        for _ in range(cycles):
            await tb.cycle(1)
        dut.moves.value = 0
        dut.config__valid.value = 0
        await reset(dut)
        tb.renew()
        for _ in range(5):
            await tb.cycle(1)
        await tb.cycle(0, (P["turn"], 1))
        for _ in range(20):
            await tb.cycle(1)
