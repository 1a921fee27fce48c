"""Testbench of the indexing filter: every cycle of its index port against a model that knows the timing as formulas."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, parameters, reset, start

COUNT, DENSE, TABLE = 0, 1, 2
LATENCY = 3


class Model:
    """What the port offers in each cycle: from the write to COUNT on everything follows from the cycle number."""

    def __init__(self, entries: int):
        self.entries = entries
        self.reset()

    def reset(self) -> None:
        self.strides: list[int] = []
        self.dense = False
        self.round: list[int] = []
        self.first_cycle = 0
        self.taken = 0

    def write(self, cycle: int, address: int, data: int) -> None:
        """A write that is transferred in `cycle`."""
        entry = address - TABLE
        if address == COUNT:
            self.round = self.indices(min(data, self.entries))
            self.first_cycle = cycle + LATENCY
            self.taken = 0
        elif address == DENSE:
            self.dense = bool(data & 1)
        elif entry < len(self.strides):
            self.strides[entry] = data
        elif entry == len(self.strides) and entry < self.entries:
            self.strides.append(data)

    def indices(self, count: int) -> list[int]:
        strides = [1] * count
        if not self.dense:
            strides[: len(self.strides)] = self.strides[:count]
        index, result = -1, []
        for stride in strides:
            index = min(index + max(stride, 1), self.entries - 1)
            result.append(index)
        return result

    def offered(self, cycle: int) -> tuple[int, bool, bool] | None:
        """(index, first, last) that is offered in `cycle`."""
        if not self.round or cycle < self.first_cycle:
            return None
        position = self.taken % len(self.round)
        return self.round[position], position == 0, position == len(self.round) - 1


class TB:
    """Drives and checks one cycle at a time."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.entries: int = parameters()["entries"]
        self.model = Model(self.entries)
        self.cycle = 0
        self.seen: list[tuple[int, int]] = []
        dut.config__valid.value = 0
        dut.config__payload.value = 0
        dut.index__ready.value = 0

    async def step(self, write: tuple[int, int] | None = None, ready: bool = True) -> None:
        """One cycle with at most one write; compares the index port and collects (cycle, index) in `seen`."""
        dut, model = self.dut, self.model
        dut.config__valid.value = int(write is not None)
        if write is not None:
            dut.config__payload.value = write[0] | write[1] << 16
        dut.index__ready.value = int(ready)
        await ReadOnly()
        assert int(dut.config__ready.value) == 1
        expected = model.offered(self.cycle)
        assert int(dut.index__valid.value) == (expected is not None), f"cycle {self.cycle}: {expected}"
        word = int(dut.index__payload.value)
        if expected is not None:
            bits = (self.entries - 1).bit_length()
            got = (word & ((1 << bits) - 1), bool(word >> bits & 1), bool(word >> bits + 1 & 1))
            assert got == expected, f"cycle {self.cycle}: {got}, not {expected}"
            if ready:
                model.taken += 1
                self.seen.append((self.cycle, got[0]))
        if write is not None:
            model.write(self.cycle, *write)
        await RisingEdge(dut.clk)
        self.cycle += 1

    async def configure(self, writes: list[tuple[int, int]]) -> int:
        """Write all, without a pause; returns the cycle of the last one."""
        for write in writes:
            await self.step(write)
        return self.cycle - 1


def table(significant: list[int]) -> list[tuple[int, int]]:
    """Writes for ascending indices, always with a table."""
    strides = [after - before for before, after in zip([-1, *significant], significant, strict=False)]
    return [
        (COUNT, 0),
        (DENSE, 0),
        *((TABLE + i, s) for i, s in enumerate(strides)),
        (COUNT, len(significant)),
    ]


async def begin(dut: Any) -> TB:
    tb = TB(dut)
    await start(dut)
    return tb


@cocotb.test()
async def silent_after_reset(dut: Any) -> None:
    tb = await begin(dut)
    for _ in range(10):
        await tb.step()
    await tb.configure(table([0]))
    for _ in range(10):
        await tb.step()
    await tb.step((COUNT, 0))
    for _ in range(10):
        await tb.step()
    assert tb.seen


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The first index 3 cycles after the write, then one a cycle over several rounds, for small and full counts."""
    tb = await begin(dut)
    source = random.Random(11)
    counts = sorted({1, 2, 3, tb.entries // 2, tb.entries - 1, tb.entries} - {0})
    for count in (n for n in counts if n <= tb.entries):
        significant = sorted(source.sample(range(tb.entries), count))
        for writes, expected in (
            (table(significant), significant),
            ([(COUNT, 0), (DENSE, 1), (COUNT, count)], list(range(count))),
        ):
            tb.seen.clear()
            written = await tb.configure(writes)
            tb.seen.clear()
            rounds = 3 if count > 16 else 6
            for _ in range(2 + rounds * count):
                await tb.step()
            cycles = [cycle for cycle, _ in tb.seen]
            assert cycles == list(range(written + 3, written + 3 + rounds * count))
            assert [index for _, index in tb.seen] == expected * rounds


@cocotb.test()
@cocotb.parametrize(pace=PACES)
async def random_tables(dut: Any, pace: tuple[float, float]) -> None:
    """Tables good and bad, restarted at any time, under back-pressure."""
    idle, stall = pace
    tb = await begin(dut)
    source = random.Random(f"{pace}")
    for _ in range(25):
        kind = source.randrange(4)
        if kind == 0:
            writes = table(sorted(source.sample(range(tb.entries), source.randint(0, tb.entries))))
        elif kind == 1:
            writes = [
                (COUNT, 0),
                (DENSE, source.choice([1, 3, 0xFFFF])),
                (COUNT, source.randint(0, tb.entries)),
            ]
        else:
            # Strides of any size, entries in any order, addresses of nobody, a count that may be too large.
            writes = [(COUNT, 0), (DENSE, source.choice([0, 0, 2, 1]))]
            for _ in range(source.randint(0, min(2 * tb.entries, 20))):
                stride = source.choice([0, 1, 1, 2, 3, tb.entries, tb.entries + 1, 0xFFFF])
                writes.append((TABLE + source.randrange(tb.entries + 2), stride))
            writes += [(0xFFFF, source.randrange(1 << 16)), (TABLE + tb.entries, 1)]
            count = source.choice([source.randint(0, tb.entries), tb.entries + 1, 0xFFFF])
            writes.append((COUNT, count))
        for write in writes:
            while source.random() < idle:
                await tb.step(None, source.random() >= stall)
            await tb.step(write, source.random() >= stall)
        if source.random() < 0.2:
            # A flag that is set while the filter runs waits for the next start.
            await tb.step((DENSE, source.randint(0, 1)), source.random() >= stall)
        for _ in range(2):
            for _ in range(source.choice([1, 2, 3, 4, 10, min(3 * tb.entries, 100)])):
                await tb.step(None, source.random() >= stall)
            # A restart from the middle of a round, without a stop before.
            await tb.step((COUNT, source.randint(1, tb.entries)), source.random() >= stall)


@cocotb.test()
async def table_changed_while_running(dut: Any) -> None:
    """A new stride is used when it is next read: at the latest in the second round that begins after the write."""
    tb = await begin(dut)
    if tb.entries < 3:
        return
    await tb.configure(table([0, 1]))
    for _ in range(7):
        await tb.step()
    dut.config__valid.value = 1
    dut.config__payload.value = (TABLE + 1) | 2 << 16
    await RisingEdge(dut.clk)
    dut.config__valid.value = 0
    for _ in range(4):
        await RisingEdge(dut.clk)
    bits = (tb.entries - 1).bit_length()
    seen = []
    for _ in range(8):
        await ReadOnly()
        assert int(dut.index__valid.value) == 1
        seen.append(int(dut.index__payload.value) & ((1 << bits) - 1))
        await RisingEdge(dut.clk)
    assert sorted(set(seen)) == [0, 2]
    assert seen[2:] == seen[:-2]


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Reset silences, and forgets the table: the next start without one has strides of one."""
    tb = await begin(dut)
    significant = list(range(0, tb.entries, 2))
    for delay in range(6):
        await tb.configure(table(significant))
        for _ in range(delay):
            await tb.step(ready=bool(delay % 2))
        dut.config__valid.value = 0
        await reset(dut, 1)
        tb.model.reset()
        for _ in range(5):
            await tb.step()
        await tb.configure([(COUNT, tb.entries)])
        for _ in range(min(2 * tb.entries, 40) + 4):
            await tb.step()
