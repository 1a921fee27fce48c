"""The cache on an AXI4 memory that cocotbext-axi plays, against a model that serves one request after the other."""

import random
from collections.abc import Sequence
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.axi import AxiResp

from ohmweave.testbench.axi_memory import AXIMemory
from ohmweave.testbench.cache_model import FLUSH, INVALIDATE, PREFETCH, READ, WRITE, CacheModel, Request
from ohmweave.testbench.lockstep import pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, start

PARAMS: dict[str, int] = parameters()
LINE = PARAMS["line_bits"] // 8
WORD = PARAMS["port_bits"] // 8
WAYS = PARAMS["ways"]
SETS = PARAMS["capacity"] // LINE // WAYS
R, W = PARAMS["read_cycles"], PARAMS["write_cycles"]
BEATS = PARAMS["line_bits"] // PARAMS["data_bits"]
#: Memory that traffic touches: as many lines as three and a half caches, or a few sets of a large one.
LINES = min(max(7 * SETS * WAYS // 2, 4), 96)
MEMORY = 1 << min(PARAMS["address_bits"], 24)
KINDS = {1: "READ_SLVERR", 2: "READ_DECERR", 3: "WRITE_SLVERR", 4: "WRITE_DECERR", 5: "READ_LENGTH"}


def line_at(n: int) -> int:
    """Number of the n-th line that traffic touches; those of a large cache fall into few sets."""
    if SETS * WAYS <= 64:
        return n
    return n % 3 + n // 3 * SETS


def word(request: Request) -> int:
    return pack(
        [
            (request.kind, 3),
            (request.address, PARAMS["address_bits"]),
            (request.data, 8 * WORD),
            (request.strobe, WORD),
        ]
    )


class Bench:
    """`counts` of the events, the memory, and a model of all."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.counts = {"hit": 0, "miss": 0, "write_back": 0, "failure": 0}
        self.seed = 1
        self.memory = AXIMemory(dut, size=MEMORY, line=LINE)

    @classmethod
    async def begin(cls, dut: Any, *, seed: int = 1) -> "Bench":
        dut.request__valid.value = 0
        dut.response__ready.value = 0
        dut.clear.value = 0
        bench = cls(dut)
        await start(dut)
        bench.fresh(seed)
        cocotb.start_soon(bench.memory.check_rules())
        cocotb.start_soon(bench.count())
        return bench

    def fresh(self, seed: int) -> None:
        """Other contents of memory, and a model of a cache without lines."""
        content = bytearray(MEMORY)
        chance = random.Random(seed)
        for n in range(LINES):
            content[line_at(n) * LINE : (line_at(n) + 1) * LINE] = chance.randbytes(LINE)
        self.memory.ram.write(0, bytes(content))
        self.model = CacheModel(capacity=PARAMS["capacity"], line=LINE, ways=WAYS, word=WORD, memory=content)
        self.model.bad_read = lambda number: number in self.memory.bad_reads
        self.model.bad_write = lambda number: number in self.memory.bad_writes
        self.counts = dict.fromkeys(self.counts, 0)

    async def count(self) -> None:
        while True:
            await ReadOnly()
            events = int(self.dut.events.value)
            if not int(self.dut.rst.value):
                for n, name in enumerate(self.counts):
                    self.counts[name] += events >> n & 1
            await RisingEdge(self.dut.clk)

    def random_requests(self, chance: random.Random, count: int, *, flushes: float = 0.02) -> list[Request]:
        """Runs through lines, returns to the same ones, and jumps."""
        requests = []
        line = 0
        for _ in range(count):
            if chance.random() < 0.4:
                line = chance.randrange(LINES) if chance.random() < 0.6 else (line + 1) % LINES
            kind = chance.choices((READ, WRITE, PREFETCH), (5, 4, 2))[0]
            if chance.random() < flushes:
                kind = chance.choice((FLUSH, INVALIDATE, 5, 7))
            address = line_at(line) * LINE + chance.randrange(LINE)
            strobe = chance.choice((chance.getrandbits(WORD), (1 << WORD) - 1))
            requests.append(Request(kind, address, chance.getrandbits(8 * WORD), strobe))
        return requests

    async def run(
        self, requests: Sequence[Request], *, pace: tuple[float, float] = (0, 0), model: bool = True
    ) -> tuple[StreamSource, StreamSink]:
        """All of them, with the responses compared."""
        self.seed += 1
        source = StreamSource(self.dut, "request", idle=pace[0], seed=self.seed)
        sink = StreamSink(self.dut, "response", stall=pace[1], seed=self.seed + 100)
        expected = [self.model.serve(request) for request in requests]
        wanted = [pack([(each[0], 8 * WORD), (each[1], 1)]) for each in expected if each is not None]
        feed = cocotb.start_soon(source.run(map(word, requests)))
        limit = 4000 + len(requests) * (40 + 20 * BEATS) + SETS * (R + 3 + W) * 40
        await sink.run(len(wanted), cycles=limit)
        await sink.run(cycles=sink.cycle + 8)
        got = [word for _, word in sink.taken]
        for n, (have, want) in enumerate(zip(got, wanted, strict=False)):
            assert have == want, f"response {n} of {len(wanted)} is {have:#x}, not {want:#x}"
        assert len(got) == len(wanted), f"{len(got)} responses, {len(wanted)} expected"
        await feed
        await self.until_idle()
        assert self.counts == self.model.counts
        return source, sink

    async def until_idle(self) -> None:
        """Also past the prefetches that have no response."""
        for _ in range(20000):
            await ReadOnly()
            if int(self.dut.idle.value):
                break
            await RisingEdge(self.dut.clk)
        assert int(self.dut.idle.value), "does not become idle"
        await RisingEdge(self.dut.clk)

    def compare_memory(self) -> None:
        for n in range(LINES):
            place = line_at(n) * LINE
            have = bytes(self.memory.ram.read(place, LINE))
            assert have == bytes(self.model.memory[place : place + LINE]), f"line {line_at(n)}"

    def fault(self) -> tuple[str, int, int]:
        fault = int(self.dut.fault.value)
        bits = PARAMS["address_bits"]
        return KINDS.get(fault & 7, ""), fault >> 3 & ((1 << bits) - 1), fault >> (3 + bits)

    async def clear(self) -> None:
        self.dut.clear.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.clear.value = 0
        await ReadOnly()
        assert self.fault()[::2] == ("", 0)
        await RisingEdge(self.dut.clk)


COUNT = 400 if SETS < 256 else 150


@cocotb.test()
@cocotb.parametrize(pace=PACES, pause=[0.0, 0.3])
async def random_traffic(dut: Any, pace: tuple[float, float], pause: float) -> None:
    """Every response, hit, miss and write-back, and memory after a flush."""
    bench = await Bench.begin(dut)
    bench.memory.pause(pause)
    chance = random.Random(11)
    flushes = 0.02 if SETS < 256 else 0.0
    await bench.run(bench.random_requests(chance, COUNT, flushes=flushes), pace=pace)
    assert all(bench.counts[event] for event in ("hit", "miss", "write_back"))
    await bench.run([Request(FLUSH)], pace=pace)
    bench.compare_memory()
    assert bench.fault() == ("", 0, 0)
    await bench.run([Request(INVALIDATE)])
    misses = bench.counts["miss"]
    await bench.run([Request(READ, line_at(n) * LINE) for n in range(min(LINES, 8))])
    assert bench.counts["miss"] == misses + min(LINES, 8)


async def _cycle_of(dut: Any, name: str, limit: int = 4000) -> int:
    """Cycles from now to the one in which the signal is high."""
    for cycle in range(limit):
        await ReadOnly()
        if int(getattr(dut, name).value):
            await RisingEdge(dut.clk)
            return cycle
        await RisingEdge(dut.clk)
    raise AssertionError(f"{name} stays low")


async def _one(bench: Bench, request: Request) -> tuple[int, dict[str, list[int]]]:
    """Serve one request alone: cycles from taking it to its response, and when which bus transfers were."""
    dut = bench.dut
    seen: dict[str, list[int]] = {}
    bench.model.serve(request)
    dut.response__ready.value = 1
    dut.request__valid.value = 1
    dut.request__payload.value = word(request)
    await _cycle_of(dut, "request__ready")
    dut.request__valid.value = 0
    for cycle in range(1, 4000):
        await ReadOnly()
        for channel in ("aw", "w", "b", "ar", "r"):
            valid, ready = (int(bench.memory.signal(channel + each).value) for each in ("valid", "ready"))
            if valid:
                seen.setdefault(f"{channel} offered", []).append(cycle)
            if valid and ready:
                seen.setdefault(channel, []).append(cycle)
        answered = int(dut.response__valid.value)
        await RisingEdge(dut.clk)
        if answered:
            dut.response__ready.value = 0
            return cycle, seen
    raise AssertionError("no response")


@cocotb.test()
async def latency(dut: Any) -> None:
    """The formulas of the docstrings: after a reset, hits, misses, changed lines, flushes."""
    bench = await Bench.begin(dut)
    bench.dut.request__valid.value = 1
    bench.dut.request__payload.value = word(Request(READ, 0))
    # `begin` returns just after the last edge of the reset.
    assert await _cycle_of(dut, "request__ready") == SETS * W
    bench.dut.request__valid.value = 0
    dut.response__ready.value = 1
    await _cycle_of(dut, "response__valid")
    bench.model.serve(Request(READ, 0))
    full = (1 << WORD) - 1
    # A hit.
    assert (await _one(bench, Request(READ, 0)))[0] == 2 * R
    # A write is still under way in the array for the next cycles.
    assert (await _one(bench, Request(WRITE, 0, 5, full)))[0] == R + 1
    await ClockCycles(dut.clk, W)
    # Misses until the changed line has to leave.
    way_bytes = SETS * LINE
    for n in range(1, WAYS + 1):
        cycles, seen = await _one(bench, Request(READ, n * way_bytes % MEMORY))
        await ClockCycles(dut.clk, W)
        dirty = "aw" in seen
        assert dirty == (n == WAYS)
        assert len(seen["r"]) == BEATS
        assert cycles - seen["r"][-1] == 2 * R + W + 1
        if dirty:
            assert seen["aw offered"][0] == seen["w offered"][0] == 2 * R + 2
            assert len(seen["w"]) == BEATS
            assert seen["ar offered"][0] - seen["b"][-1] == 3
        else:
            assert seen["ar offered"][0] == R + 3
    assert bench.counts["miss"] == WAYS + 1
    if SETS <= 256:
        await bench.run([Request(FLUSH)])
        cycles, _ = await _one(bench, Request(FLUSH))
        assert cycles == (R + 1) * SETS
        cycles, _ = await _one(bench, Request(INVALIDATE))
        assert cycles == R + 1 + (SETS - 1) * (R + W)


@cocotb.test()
async def throughput(dut: Any) -> None:
    """Hits as fast as the arrays allow, reads and writes, and lines as fast as the bus, in and out at once."""
    bench = await Bench.begin(dut)
    chance = random.Random(5)
    own = [Request(PREFETCH, line_at(0) * LINE)]
    await bench.run(own)
    for kinds, interval in (((READ,), R), ((WRITE,), max(R, W)), ((READ, WRITE), max(R, W))):
        requests = [
            Request(chance.choice(kinds), line_at(0) * LINE + chance.randrange(LINE), 3, 1) for _ in range(40)
        ]
        source, sink = await bench.run(requests)
        times = [cycle for cycle, _ in sink.taken]
        assert source.taken[-1][0] - source.taken[0][0] <= 39 * interval
        assert times[-1] - times[0] <= 39 * interval + W
        if len(kinds) == 1:
            assert times[-1] - times[0] == 39 * interval


@cocotb.test()
@cocotb.parametrize(pace=[PACES[0], PACES[3]], pause=[0.0, 0.4])
async def errors(dut: Any, pace: tuple[float, float], pause: float) -> None:
    """Lines that memory refuses to give or to take, of both codes: the requests that needed them are answered with an
    error, no changed line is lost, all else goes on; once memory takes them, a flush writes everything."""
    bench = await Bench.begin(dut, seed=3)
    memory = bench.memory
    memory.pause(pause)
    chance = random.Random(21)
    for n in range(LINES):
        if chance.random() < 0.15:
            memory.bad_reads[line_at(n)] = chance.choice((AxiResp.SLVERR, AxiResp.DECERR))
        if chance.random() < 0.3:
            memory.bad_writes[line_at(n)] = chance.choice((AxiResp.SLVERR, AxiResp.DECERR))
    memory.bad_reads.setdefault(line_at(1), AxiResp.SLVERR)
    memory.bad_writes.setdefault(line_at(0), AxiResp.SLVERR)
    memory.bad_beat = chance.randrange(BEATS)
    flushes = 0.02 if SETS < 256 else 0.0
    await bench.run(bench.random_requests(chance, COUNT, flushes=flushes), pace=pace)
    await bench.run([Request(FLUSH)])
    failures = bench.counts["failure"]
    assert failures
    kind, address, count = bench.fault()
    assert count == failures
    bad = memory.bad_reads if kind.startswith("READ") else memory.bad_writes
    assert kind.endswith(bad[address // LINE].name)
    assert address % LINE == 0
    await bench.clear()
    memory.bad_reads.clear()
    memory.bad_writes.clear()
    await bench.run([Request(FLUSH)])
    bench.compare_memory()
    assert bench.fault()[::2] == ("", 0)


@cocotb.test()
async def each_error(dut: Any) -> None:
    """Kind and address of the first error, the number of them, and that a new one is kept after `clear`."""
    bench = await Bench.begin(dut)
    memory = bench.memory
    memory.bad_beat = BEATS - 1
    full = (1 << WORD) - 1
    number = line_at(1)
    for code in (AxiResp.SLVERR, AxiResp.DECERR):
        memory.bad_reads = {number: code}
        await bench.run([Request(READ, number * LINE)])
        assert bench.fault() == (f"READ_{code.name}", number * LINE, 1)
        memory.bad_reads = {number: AxiResp.SLVERR, line_at(2): AxiResp.DECERR}
        await bench.run([Request(PREFETCH, line_at(2) * LINE), Request(READ, number * LINE)])
        assert bench.fault() == (f"READ_{code.name}", number * LINE, 3)
        await bench.clear()
        memory.bad_reads = {}
        await bench.run([Request(WRITE, number * LINE, code, full)])
        memory.bad_writes = {number: code}
        await bench.run([Request(FLUSH), Request(INVALIDATE)])
        assert bench.fault() == (f"WRITE_{code.name}", number * LINE, 2)
        await bench.clear()
        memory.bad_writes = {}
        await bench.run([Request(INVALIDATE)])
        bench.compare_memory()
    if BEATS > 1:
        memory.bad_lasts.add(number)
        bench.model.bad_read = lambda line: line in memory.bad_lasts
        await bench.run([Request(READ, number * LINE)])
        assert bench.fault() == ("READ_LENGTH", number * LINE, 1)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """At any moment of fills, write-backs and flushes; then everything as from the start, with memory as it is."""
    bench = await Bench.begin(dut)
    chance = random.Random(31)
    for attempt in range(6):
        requests = bench.random_requests(chance, 60, flushes=0.1 if SETS < 256 else 0)
        source = StreamSource(dut, "request", seed=attempt)
        sink = StreamSink(dut, "response", seed=attempt)
        tasks = [cocotb.start_soon(source.run(map(word, requests))), cocotb.start_soon(sink.run())]
        await ClockCycles(dut.clk, SETS * W + chance.randrange(1, 30 + 8 * BEATS))
        for task in tasks:
            task.cancel()
        dut.request__valid.value = 0
        dut.response__ready.value = 0
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        bench.fresh(attempt)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        await bench.run(bench.random_requests(chance, 60, flushes=0))
        await bench.run([Request(FLUSH)] if SETS < 256 else [])
        if SETS < 256:
            bench.compare_memory()
