"""TreeExit: what passes, what the buffer holds and offers, to whom, and who is ready, in each cycle."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start
from ohmweave.testbench.turns_model import Turns

P = parameters()
LINK_BITS, DEPTH, ENTRIES = P["link_bits"], P["depth"], P["entries"]
EXIT, TURN, COUNT, TABLE = 1, 4, 5, 32
CONFIG = 1 << LINK_BITS


class TB:
    """A source below, `ready` at the parent and behind the buffer, writes, and a monitor of all ports."""

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0, seed: int = 0) -> None:
        self.dut = dut
        self.chance = random.Random(seed)
        self.stall = stall
        self.branch = StreamSource(dut, "branch", idle=idle, seed=seed + 1)
        self.count = 0
        self.renew()

    def renew(self) -> None:
        self.turns = Turns(numbers=ENTRIES, turn=TURN, count=COUNT, table=TABLE)
        self.leaves = False
        #: (cycle from which it can be offered, word) of what the buffer holds
        self.held: list[tuple[int, int]] = []
        self.cycle = 0
        self.most = 0
        #: (cycle, word) that went to the buffer, came from it, or passed
        self.entered: list[tuple[int, int]] = []
        self.left: list[tuple[int, int]] = []
        self.passed: list[tuple[int, int]] = []

    async def begin(self) -> None:
        self.dut.branch__payload.value = 0
        self.dut.config__payload.value = 0
        self.dut.config__valid.value = 0
        self.dut.o__ready.value = 0
        self.dut.parent__ready.value = 0
        await start(self.dut)
        self.watch()
        self.take("parent")

    def watch(self) -> None:
        self.watching = cocotb.start_soon(self._monitor())

    def take(self, name: str, stall: float | None = None) -> Any:
        """Be ready at a port."""
        ready = getattr(self.dut, f"{name}__ready")

        async def run() -> None:
            while True:
                ready.value = int(self.chance.random() >= (self.stall if stall is None else stall))
                await RisingEdge(self.dut.clk)

        return cocotb.start_soon(run())

    def words(self, count: int) -> list[int]:
        """So many flits, each another; of configuration too, which is nothing special here."""
        self.count += count
        marks = [self.chance.getrandbits(1) and CONFIG for _ in range(count)]
        return [mark | n for mark, n in zip(marks, range(self.count - count, self.count), strict=True)]

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def write(self, address: int, word: int) -> None:
        self.dut.config__valid.value = 1
        self.dut.config__payload.value = word << 16 | address
        await RisingEdge(self.dut.clk)
        self.dut.config__valid.value = 0

    async def open(self, leaves: bool) -> None:
        await self.write(EXIT, self.chance.getrandbits(15) << 1 | leaves)

    async def _monitor(self) -> None:
        dut = self.dut
        while True:
            await ReadOnly()
            assert int(dut.config__ready.value)
            offers, flit = int(dut.branch__valid.value), int(dut.branch__payload.value)
            free = len(self.held) < DEPTH
            ready = free if self.leaves else int(dut.parent__ready.value)
            assert int(dut.branch__ready.value) == ready, f"branch in cycle {self.cycle}"
            assert int(dut.parent__valid.value) == (offers and not self.leaves), (
                f"parent in cycle {self.cycle}"
            )
            if offers and not self.leaves:
                assert int(dut.parent__payload.value) == flit
            valid = bool(self.held) and self.held[0][0] <= self.cycle
            assert int(dut.o__valid.value) == valid, f"buffer in cycle {self.cycle}"
            assert int(dut.to.value) == self.turns.current, f"turn in cycle {self.cycle}"
            if valid:
                assert int(dut.o__payload.value) == self.held[0][1]
                if int(dut.o__ready.value):
                    self.left.append((self.cycle, self.held.pop(0)[1]))
                    self.turns.move()
            if offers and ready:
                word = flit % CONFIG
                if self.leaves:
                    self.held.append((self.cycle + 2, word))
                    self.most = max(self.most, len(self.held))
                    self.entered.append((self.cycle, word))
                else:
                    self.passed.append((self.cycle, flit))
            if int(dut.config__valid.value):
                payload = int(dut.config__payload.value)
                address, word = payload & 0xFFFF, payload >> 16
                if address == EXIT:
                    self.leaves = bool(word & 1)
                self.turns.write(address, word)
            await RisingEdge(dut.clk)
            self.cycle += 1


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def traffic(dut: Any, pace: tuple[float, float]) -> None:
    """Opened and closed in the middle of everything, sequences written anew, flits below all the time."""
    idle, stall = pace
    tb = TB(dut, idle=idle, stall=stall, seed=7)
    await tb.begin()
    tb.take("o")
    for turn in range(12):
        source = cocotb.start_soon(tb.branch.run(tb.words(60)))
        for write in tb.turns.some_writes(tb.chance, 9):
            await tb.write(*write)
        for address in (0, 2, 3, 16, 31, 48, TURN + 0x100):  # the entry's, and none
            await tb.write(address, tb.chance.getrandbits(16))
        await tb.wait(tb.chance.randrange(20))
        await tb.open(turn % 3 != 2)
        await source
        await tb.wait(3)
    tb.stall = 0.0
    await tb.wait(3 + 4 * DEPTH)
    assert [word for _, word in tb.left] == [word for _, word in tb.entered]
    assert len(tb.entered) + len(tb.passed) == tb.count
    assert min(len(tb.entered), len(tb.passed)) > 100


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def full(dut: Any) -> None:
    """`depth` flits and no more; then one for each that leaves; empty again, at a flit a cycle."""
    tb = TB(dut)
    await tb.begin()
    for write in tb.turns.some_writes(tb.chance, 9):
        await tb.write(*write)
    await tb.open(True)
    source = cocotb.start_soon(tb.branch.run(tb.words(3 * DEPTH)))
    await tb.wait(DEPTH + 20)
    assert len(tb.entered) == DEPTH == len(tb.held) == tb.most
    cycles = [cycle for cycle, _ in tb.entered]
    assert cycles == list(range(cycles[0], cycles[0] + DEPTH))
    slow = tb.take("o", stall=0.6)
    await tb.wait(2 * DEPTH)
    slow.cancel()
    tb.take("o", stall=0.0)
    await source
    await tb.wait(DEPTH + 5)
    assert tb.most == DEPTH
    assert len(tb.left) == 3 * DEPTH
    cycles = [cycle for cycle, _ in tb.left[-DEPTH:]]
    assert cycles == list(range(cycles[0], cycles[0] + DEPTH))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency(dut: Any) -> None:
    """0 cycles while it is closed, 2 through the empty buffer, a flit a cycle of both; writes act after 1."""
    tb = TB(dut)
    await tb.begin()
    tb.take("o")
    await tb.branch.run(tb.words(20))
    assert [cycle for cycle, _ in tb.passed] == list(range(20))
    source = cocotb.start_soon(tb.branch.run(tb.words(20)))
    await tb.open(True)
    await source
    await tb.wait(3)
    assert len(tb.passed) == 21  # one more in the cycle of the write
    assert tb.entered[0][0] == tb.passed[-1][0] + 1
    assert [(cycle + 2, word) for cycle, word in tb.entered] == tb.left
    assert len(tb.left) == 19


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """The buffer is empty, the exit is closed and its sequence at nothing."""
    tb = TB(dut)
    await tb.begin()
    for held in (0, 1, 2, DEPTH):
        for write in tb.turns.some_writes(tb.chance, 9):
            await tb.write(*write)
        await tb.open(True)
        if held:
            await tb.branch.run(tb.words(held))
        draining = tb.take("o")
        await tb.wait(min(held, 5))
        tb.watching.cancel()
        draining.cancel()
        dut.o__ready.value = 0
        await reset(dut)
        tb.renew()
        tb.watch()
        await tb.branch.run(tb.words(5))
        await tb.wait(5)
        assert len(tb.passed) == 5
        await tb.open(True)
        draining = tb.take("o")
        await tb.branch.run(tb.words(5))
        await tb.wait(8)
        assert len(tb.left) == 5
        draining.cancel()
        dut.o__ready.value = 0
