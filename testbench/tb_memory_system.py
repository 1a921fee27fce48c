"""The copy engine, cache and AXI4 port as a whole, on a memory that cocotbext-axi plays."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.axi import AxiResp

from ohmweave.testbench.axi_memory import AXIMemory
from ohmweave.testbench.lockstep import pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, start

PARAMS: dict[str, int] = parameters()
LINE = PARAMS["line_bits"] // 8
WORD = PARAMS["port_bits"] // 8
FLIT = PARAMS["link_bits"] // 8
R = PARAMS["read_cycles"]
BEATS = PARAMS["line_bits"] // PARAMS["data_bits"]
MEMORY = 1 << min(PARAMS["address_bits"], 20)
LOAD, CONFIGURE, STORE, FLUSH, INVALIDATE = range(5)
NONE, KIND, EMPTY, ALIGNMENT, RANGE, REFUSED, ABORTED = range(7)
ENGINES = PARAMS["engines"]
INPUTS = (
    "clear",
    *(
        f"engine_{n}__{name}"
        for n in range(ENGINES)
        for name in ("descriptor__valid", "done__ready", "o__ready", "i__valid", "abort")
    ),
)


@dataclass(frozen=True)
class Descriptor:
    kind: int
    address: int = 0
    length: int = 0

    def word(self) -> int:
        return pack([(self.kind, 3), (self.address, PARAMS["address_bits"]), (self.length, 32)])


class Bench:
    """Memory with random contents, and a model: bytes that loads see and stores change."""

    def __init__(self, dut: Any, seed: int):
        self.dut = dut
        self.memory = AXIMemory(dut, size=MEMORY, line=LINE)
        self.bytes = bytearray(random.Random(seed).randbytes(MEMORY))
        self.memory.ram.write(0, bytes(self.bytes))

    @classmethod
    async def begin(cls, dut: Any, *, seed: int = 1) -> "Bench":
        for name in INPUTS:
            getattr(dut, name).value = 0
        bench = cls(dut, seed)
        await start(dut)
        cocotb.start_soon(bench.memory.check_rules())
        return bench

    def serve(
        self, jobs: Sequence[Descriptor], chance: random.Random
    ) -> tuple[list[int], list[int], list[int]]:
        """Flits out, flits in, completions; without faults of memory."""
        sent: list[int] = []
        taken: list[int] = []
        ends: list[int] = []
        for job in jobs:
            fault = check(job)
            copies = job.kind <= STORE and not fault
            ends.append(pack([(fault, 3), (job.length if copies else 0, 32)]))
            if not copies:
                if job.kind in (FLUSH, INVALIDATE):
                    ends[-1] = pack([(NONE, 3), (0, 32)])
                continue
            for n in range(job.length):
                place = job.address + n * FLIT
                if job.kind == STORE:
                    flit = chance.randbytes(FLIT)
                    self.bytes[place : place + FLIT] = flit
                    taken.append(int.from_bytes(flit, "little"))
                else:
                    data = int.from_bytes(self.bytes[place : place + FLIT], "little")
                    sent.append(data | (job.kind == CONFIGURE) << 8 * FLIT)
        return sent, taken, ends

    async def run(
        self, jobs: Sequence[Descriptor], *, pace: tuple[float, float] = (0, 0), seed: int = 1
    ) -> tuple[StreamSource, StreamSink, StreamSink, StreamSource]:
        """All of them, with everything compared; sources and sinks of descriptors, completions, flits out and in."""
        dut = self.dut
        sent, taken, ends = self.serve(jobs, random.Random(seed))
        given = StreamSource(dut, "engine_0__descriptor", idle=pace[0], seed=seed)
        done = StreamSink(dut, "engine_0__done", stall=pace[1], seed=seed + 1)
        out = StreamSink(dut, "engine_0__o", stall=pace[1], seed=seed + 2)
        in_ = StreamSource(dut, "engine_0__i", idle=pace[0], seed=seed + 3)
        tasks = [
            cocotb.start_soon(given.run(job.word() for job in jobs)),
            cocotb.start_soon(out.run()),
            cocotb.start_soon(in_.run(taken)),
            cocotb.start_soon(self.clear_halts()),
        ]
        limit = 6000 + 60 * len(jobs) * (10 + BEATS) + 12 * (len(sent) + len(taken)) * max(R, 2)
        await done.run(len(ends), cycles=limit)
        await ClockCycles(dut.clk, 4)
        assert [word for _, word in done.taken] == ends
        assert [word for _, word in out.taken] == sent
        assert len(in_.taken) == len(taken)
        for task in tasks:
            task.cancel()
        dut.engine_0__o__ready.value = 0
        dut.clear.value = 0
        return given, done, out, in_

    async def clear_halts(self) -> None:
        while True:
            await ReadOnly()
            halted = int(self.dut.engine_0__halted.value)
            await RisingEdge(self.dut.clk)
            self.dut.clear.value = halted

    def compare_memory(self) -> None:
        assert bytes(self.memory.ram.read(0, MEMORY)) == bytes(self.bytes)


def check(job: Descriptor) -> int:
    if job.kind > INVALIDATE:
        return KIND
    if job.kind > STORE:
        return NONE
    if not job.length:
        return EMPTY
    if job.address % WORD:
        return ALIGNMENT
    if job.address + job.length * FLIT > 1 << PARAMS["address_bits"]:
        return RANGE
    return NONE


def random_jobs(chance: random.Random, count: int) -> list[Descriptor]:
    jobs = []
    for _ in range(count):
        kind = chance.choices(range(8), (6, 2, 6, 1, 1, 1, 0, 1))[0]
        length = chance.choice((1, 2, chance.randrange(1, 40), chance.randrange(1, 4 * LINE // FLIT)))
        address = chance.randrange((MEMORY - length * FLIT) // WORD) * WORD
        if chance.random() < 0.6:
            address %= 8 * LINE  # so that copies meet
        if chance.random() < 0.05:
            length = 0
        if chance.random() < 0.05 and WORD > 1:
            address += chance.randrange(1, WORD)
        if chance.random() < 0.05:
            length = chance.choice(((1 << PARAMS["address_bits"]) // FLIT, (1 << 32) - 1))
            address += WORD
        jobs.append(Descriptor(kind, address, length))
    return jobs


@cocotb.test()
@cocotb.parametrize(pace=PACES, pause=[0.0, 0.3])
async def random_copies(dut: Any, pace: tuple[float, float], pause: float) -> None:
    """Every flit and completion, and memory at the end, which only the flush brings up to date."""
    bench = await Bench.begin(dut)
    bench.memory.pause(pause)
    await bench.run([*random_jobs(random.Random(3), 60), Descriptor(FLUSH)], pace=pace)
    bench.compare_memory()


@cocotb.test()
async def latency(dut: Any) -> None:
    """From a descriptor to its first flit, from its last flit to its end, and between descriptors."""
    bench = await Bench.begin(dut)
    jobs = [Descriptor(LOAD, 0, LINE // FLIT)] * 2
    await bench.run([jobs[0]])
    given, done, out, _ = await bench.run(jobs)
    assert out.taken[0][0] - given.taken[0][0] == 3 * R + 4
    per_job = LINE // FLIT
    assert done.taken[0][0] - out.taken[per_job - 1][0] == 2
    assert out.taken[per_job][0] - done.taken[0][0] <= 3 * R + 3
    given, done, _, in_ = await bench.run([Descriptor(STORE, 0, per_job)])
    assert in_.taken[0][0] - given.taken[0][0] == 2
    ends = done.taken[0][0] - in_.taken[-1][0]
    # Words are written slower than they come if a write takes several cycles.
    assert ends == R + 5 if PARAMS["write_cycles"] == 1 else ends > R + 5


@cocotb.test()
async def flushed_for_the_host(dut: Any) -> None:
    """Stores are in memory after a flush; what the host changed there is seen after an invalidation."""
    bench = await Bench.begin(dut)
    count = 2 * LINE // FLIT
    await bench.run([Descriptor(STORE, LINE, count), Descriptor(FLUSH)])
    bench.compare_memory()
    changed = random.Random(8).randbytes(2 * LINE)
    bench.memory.ram.write(LINE, changed)
    await bench.run([Descriptor(LOAD, LINE, count)])  # as it was
    bench.bytes[LINE : 3 * LINE] = changed
    await bench.run([Descriptor(INVALIDATE), Descriptor(LOAD, LINE, count)])


@cocotb.test()
@cocotb.parametrize(code=[AxiResp.SLVERR, AxiResp.DECERR], pace=[PACES[0], PACES[3]])
async def errors(dut: Any, code: AxiResp, pace: tuple[float, float]) -> None:
    """A copy that memory breaks off: its completion says so, no flit of what could not be read is sent, none is lost in
    front of the copy, and the next descriptor, which waits for `clear`, is carried out."""
    bench = await Bench.begin(dut)
    memory = bench.memory
    per_line = LINE // FLIT
    # The third line of a load.
    memory.bad_reads[4] = code
    jobs = [Descriptor(LOAD, 2 * LINE, 4 * per_line), Descriptor(LOAD, 0, 3)]
    out = StreamSink(dut, "engine_0__o", stall=pace[1])
    done = StreamSink(dut, "engine_0__done", stall=pace[1])
    cocotb.start_soon(StreamSource(dut, "engine_0__descriptor", idle=pace[0]).run(job.word() for job in jobs))
    listening = cocotb.start_soon(out.run())
    await done.run(1, cycles=20000)
    await ClockCycles(dut.clk, 200)
    assert int(dut.engine_0__halted.value)
    assert int(dut.fault.value) & 7 == (1 if code == AxiResp.SLVERR else 2)
    assert int(dut.fault.value) >> 3 & ((1 << PARAMS["address_bits"]) - 1) == 4 * LINE
    sent, _, ends = bench.serve(jobs, random.Random(0))
    assert [word for _, word in out.taken] == sent[: 2 * per_line]
    assert done.taken[0][1] == pack([(REFUSED, 3), (2 * per_line, 32)])
    memory.bad_reads.clear()
    dut.clear.value = 1
    await RisingEdge(dut.clk)
    dut.clear.value = 0
    await done.run(2, cycles=20000)
    await ClockCycles(dut.clk, 4)
    assert [word for _, word in out.taken] == sent[: 2 * per_line] + sent[4 * per_line :]
    assert int(dut.fault.value) & 7 == 0
    assert done.taken[1][1] == ends[1]
    listening.cancel()
    # A store into a line that cannot be brought in.
    memory.bad_reads[8] = code
    count = 3 * per_line
    flits = [random.Random(9).getrandbits(8 * FLIT) for _ in range(count)]
    in_ = StreamSource(dut, "engine_0__i", idle=pace[0])
    feeding = cocotb.start_soon(in_.run(flits))
    done = StreamSink(dut, "engine_0__done", stall=pace[1])
    cocotb.start_soon(
        StreamSource(dut, "engine_0__descriptor").run([Descriptor(STORE, 7 * LINE, count).word()])
    )
    await done.run(1, cycles=20000)
    assert done.taken[0][1] == pack([(REFUSED, 3), (per_line, 32)])
    await ClockCycles(dut.clk, 20)
    after = len(in_.taken)
    # Those on their way into the cache had been taken, the others are still there.
    assert per_line < after < count
    feeding.cancel()
    dut.engine_0__i__valid.value = 0
    memory.bad_reads.clear()
    # What was stored before is not lost.
    for n in range(per_line):
        bench.bytes[7 * LINE + n * FLIT : 7 * LINE + (n + 1) * FLIT] = flits[n].to_bytes(FLIT, "little")
    await bench.run([Descriptor(LOAD, 7 * LINE, per_line)])
    # A flush that memory refuses says so; nothing is lost.
    memory.bad_writes[7] = code
    done = StreamSink(dut, "engine_0__done")
    cocotb.start_soon(StreamSource(dut, "engine_0__descriptor").run([Descriptor(FLUSH).word()]))
    await done.run(1, cycles=50000)
    assert done.taken[0][1] == pack([(REFUSED, 3), (0, 32)])
    assert int(dut.fault.value) & 7 == (3 if code == AxiResp.SLVERR else 4)
    memory.bad_writes.clear()
    await bench.run([Descriptor(FLUSH)])
    assert bytes(memory.ram.read(7 * LINE, LINE)) == bytes(bench.bytes[7 * LINE : 8 * LINE])


@cocotb.test()
async def prefetches_while_nobody_takes(dut: Any) -> None:
    """While the chip does not take the first flits of a copy, the lines of the next one come: its flits then follow
    without a wait for memory."""
    bench = await Bench.begin(dut)
    ahead = min(PARAMS["ahead"], 3)
    per_line = LINE // FLIT
    jobs = [Descriptor(LOAD, 0, per_line), Descriptor(LOAD, 16 * LINE, ahead * per_line)]
    cocotb.start_soon(StreamSource(dut, "engine_0__descriptor").run(job.word() for job in jobs))
    await ClockCycles(dut.clk, PARAMS["sets"] * PARAMS["write_cycles"] + 100 + 20 * BEATS)
    asked = [address // LINE for kind, address, _ in bench.memory.bursts if kind == "r"]
    assert asked == [0, *range(16, 16 + ahead)]
    bench.memory.pause(1.0)  # memory is silent from now on
    out = StreamSink(dut, "engine_0__o")
    done = StreamSink(dut, "engine_0__done")
    cocotb.start_soon(out.run())
    await done.run(2, cycles=20000)
    sent, _, _ = bench.serve(jobs, random.Random(0))
    assert [word for _, word in out.taken] == sent


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """At any moment; then everything as from the start, with memory as it is."""
    bench = await Bench.begin(dut)
    chance = random.Random(31)
    for attempt in range(5):
        jobs = random_jobs(chance, 12)
        tasks = [
            cocotb.start_soon(StreamSource(dut, "engine_0__descriptor").run(job.word() for job in jobs)),
            cocotb.start_soon(
                StreamSource(dut, "engine_0__i").run(chance.getrandbits(8 * FLIT) for _ in range(9999))
            ),
            cocotb.start_soon(StreamSink(dut, "engine_0__o").run()),
            cocotb.start_soon(StreamSink(dut, "engine_0__done").run()),
            cocotb.start_soon(bench.clear_halts()),
        ]
        await ClockCycles(dut.clk, PARAMS["sets"] + chance.randrange(1, 200 + 8 * BEATS))
        for task in tasks:
            task.cancel()
        for name in INPUTS:
            getattr(dut, name).value = 0
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        bench.bytes = bytearray(bench.memory.ram.read(0, MEMORY))
        await RisingEdge(dut.clk)
        await bench.run([*random_jobs(chance, 6), Descriptor(FLUSH)], seed=attempt)
        bench.compare_memory()


@cocotb.test()
@cocotb.parametrize(kind=[LOAD, STORE], pace=[PACES[0], PACES[3]])
async def broken_off(dut: Any, kind: int, pace: tuple[float, float]) -> None:
    """A copy that is broken off, and those behind it while that lasts, say so, at any moment; what was moved is right,
    and memory's other bytes are as they were. The next copy is whole."""
    bench = await Bench.begin(dut)
    chance = random.Random(17)
    per_line = LINE // FLIT
    for attempt in range(8):
        count = 6 * per_line
        flits = [chance.getrandbits(8 * FLIT) for _ in range(2 * count)]
        jobs = [Descriptor(kind, 2 * LINE, count), Descriptor(kind, 10 * LINE, count)]
        # A flit that waits is withdrawn, which a sink would not have.
        out = StreamSink(dut, "engine_0__o")
        in_ = StreamSource(dut, "engine_0__i", idle=pace[0])
        done = StreamSink(dut, "engine_0__done", stall=pace[1])
        tasks = [
            cocotb.start_soon(StreamSource(dut, "engine_0__descriptor").run(job.word() for job in jobs)),
            cocotb.start_soon(in_.run(flits)),
        ]
        if attempt % 2:
            tasks.append(cocotb.start_soon(out.run()))
        await ClockCycles(dut.clk, PARAMS["sets"] * (not attempt) + chance.randrange(10, 20 * BEATS))
        dut.engine_0__abort.value = 1
        dut.clear.value = 1
        await done.run(2, cycles=20000)
        while int(dut.engine_0__busy.value):
            await RisingEdge(dut.clk)
        dut.engine_0__abort.value = 0
        dut.clear.value = 0
        for task in tasks:
            task.cancel()
        dut.engine_0__o__ready.value = 0
        dut.engine_0__i__valid.value = 0
        ends = [(word & 7, word >> 3) for _, word in done.taken]
        assert ends[1][0] == ABORTED
        assert ends[0][0] == ABORTED or ends[0] == (NONE, count)
        if kind == LOAD:
            sent, _, _ = bench.serve(jobs, chance)
            moved = [word for _, word in out.taken]
            assert len(moved) == ends[0][1] + ends[1][1]
            assert moved[: ends[0][1]] == sent[: ends[0][1]]
            assert moved[ends[0][1] :] == sent[count : count + ends[1][1]]
        else:
            place = 0
            for job, (_, written) in zip(jobs, ends, strict=True):
                for n in range(written):
                    at = job.address + n * FLIT
                    bench.bytes[at : at + FLIT] = flits[place + n].to_bytes(FLIT, "little")
                # Flits of a copy that was broken off may have been taken and not written.
                place = written if written == count else len(in_.taken)
        await bench.run([Descriptor(LOAD, 0, 3 * per_line), Descriptor(FLUSH)], seed=attempt)
        bench.compare_memory()


@cocotb.test(skip=ENGINES == 1)
@cocotb.parametrize(pace=PACES)
async def side_by_side(dut: Any, pace: tuple[float, float]) -> None:
    """Engines that work in halves of memory of their own: each has its flits and completions, as if it were alone."""
    bench = await Bench.begin(dut)
    half = MEMORY // 2
    chance = random.Random(23)
    jobs = [
        [
            Descriptor(job.kind, job.address % (half // 2) + n * half, job.length)
            for job in random_jobs(chance, 40)
            if job.kind <= STORE and job.length < half // FLIT // 2
        ]
        for n in range(ENGINES)
    ]
    tasks = []
    dones, outs, ins, expected = [], [], [], []
    for n, each in enumerate(jobs):
        name = f"engine_{n}__"
        expected.append(bench.serve(each, chance))
        dones.append(StreamSink(dut, f"{name}done", stall=pace[1], seed=n))
        outs.append(StreamSink(dut, f"{name}o", stall=pace[1], seed=n + 5))
        ins.append(StreamSource(dut, f"{name}i", idle=pace[0], seed=n + 9))
        source = StreamSource(dut, f"{name}descriptor", idle=pace[0], seed=n + 13)
        tasks += [
            cocotb.start_soon(source.run(job.word() for job in each)),
            cocotb.start_soon(outs[n].run()),
            cocotb.start_soon(ins[n].run(expected[n][1])),
            cocotb.start_soon(dones[n].run(len(each), cycles=200000)),
        ]

    async def clear_halts() -> None:
        while True:
            await ReadOnly()
            halted = any(int(getattr(dut, f"engine_{n}__halted").value) for n in range(ENGINES))
            await RisingEdge(dut.clk)
            dut.clear.value = halted

    clearing = cocotb.start_soon(clear_halts())
    for task in tasks[3::4]:
        await task
    await ClockCycles(dut.clk, 4)
    for n in range(ENGINES):
        sent, taken, ends = expected[n]
        assert [word for _, word in dones[n].taken] == ends
        assert [word for _, word in outs[n].taken] == sent
        assert len(ins[n].taken) == len(taken)
    clearing.cancel()
    for task in tasks:
        task.cancel()
    dut.clear.value = 0
    await bench.run([Descriptor(FLUSH)])
    bench.compare_memory()


def _slots(share: int, of: int) -> Iterator[bool]:
    """Pauses that leave the bus `share` of every `of` cycles, spread over them."""
    while True:
        for n in range(of):
            yield (n + 1) * share // of == n * share // of


@cocotb.test()
@cocotb.parametrize(kind=[LOAD, STORE])
async def bandwidth(dut: Any, kind: int) -> None:
    """Many lines in several descriptors, with data on the bus in 0.8 of its cycles and a memory that answers late: the
    copies take what the bus gives, with lines coming and going at once."""
    bench = await Bench.begin(dut)
    bench.memory.delay_reads(20)
    for name in ("r", "w"):
        bench.memory.pause_one(name, _slots(4, 5))
    beats: dict[str, list[int]] = {"r": [], "w": []}

    async def watch() -> None:
        cycle = 0
        while True:
            await ReadOnly()
            for name, cycles in beats.items():
                valid, ready = (int(bench.memory.signal(name + each).value) for each in ("valid", "ready"))
                if valid and ready:
                    cycles.append(cycle)
            await RisingEdge(dut.clk)
            cycle += 1

    cocotb.start_soon(watch())
    lines, copies = PARAMS["bandwidth_lines"], 3
    count = lines * LINE // FLIT
    jobs = [Descriptor(kind, n * lines * LINE, count) for n in range(copies)]
    _, _, out, in_ = await bench.run(jobs)
    moved = (in_ if kind == STORE else out).taken
    # Of the last two copies: by then changed lines have to leave where the cache is small.
    steady = moved[count:]
    rate = len(steady) * FLIT / (steady[-1][0] - steady[0][0] + 1)
    reads = beats["r"][BEATS * lines : -BEATS]
    share = len(reads) / (reads[-1] - reads[0] + 1)
    dut._log.warning(
        "kind %d: %.3f bytes a cycle, read data in %.3f of the cycles, %d beats read, %d written",
        kind, rate, share, len(beats["r"]), len(beats["w"]),
    )  # fmt: skip
    assert len(beats["r"]) == BEATS * lines * copies
    if kind == STORE and copies * lines > 2 * PARAMS["capacity"] // LINE:
        assert len(beats["w"]) >= BEATS * lines
    assert rate >= PARAMS["bandwidth_share"] * min(0.8 * PARAMS["data_bits"] / 8, FLIT)
