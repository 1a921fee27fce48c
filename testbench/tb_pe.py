"""Processing element: stages of every kind through its ports, each flit compared; resets, faults, times."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.rtl.isa import Half
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

CASE: dict[str, Any] = json.loads(Path(parameters()["case"]).read_text())
JOBS: dict[str, dict[str, Any]] = CASE["jobs"]
READ_CYCLES = CASE["read_cycles"]
INPUTS = ["tree", *(f"mesh_i__{side}" for side in range(4))]
OUTPUTS = ["collection", *(f"mesh_o__{side}" for side in range(4))]
#: Cycles in which nothing comes any more: longer than a window and its instructions take.
QUIET = 400
#: Bits of `activity` that say what the PE does: it reads, computes, waits for its output, a neighbour, pixels.
STATES = 5


class Bench:
    """One PE. Cells keep their levels through resets, so arrays are programmed only when the job changes."""

    loaded: str | None = None

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.job: dict[str, Any] = {}
        self.silent: list[str] = []
        self.running = False
        self.did: Counter[int] = Counter()

    async def begin(self, name: str) -> dict[str, Any]:
        """Reset, and program the array for a job."""
        dut = self.dut
        dut.unit.value = JOBS[name]["unit"]
        for port in INPUTS:
            getattr(dut, f"{port}__valid").value = 0
            getattr(dut, f"{port}__payload").value = 0
        for port in OUTPUTS:
            getattr(dut, f"{port}__ready").value = 0
        if self.running:
            await reset(dut)
        else:
            await start(dut)
            self.running = True
            cocotb.start_soon(self.watch())
            cocotb.start_soon(self.account())
        await self.change(name)
        return self.job

    async def change(self, name: str) -> None:
        """Program the array for another job. The PE is disabled, or not configured."""
        self.job = JOBS[name]
        self.silent = []
        self.dut.unit.value = self.job["unit"]
        if Bench.loaded != name:
            await self.send(self.job["arrays"])
            Bench.loaded = name
        self.silent = [port for port in OUTPUTS if port != self.job["output"]]

    async def watch(self) -> None:
        """Nothing leaves by ports that no route leads to."""
        while True:
            await RisingEdge(self.dut.clk)
            for port in self.silent:
                assert not getattr(self.dut, f"{port}__valid").value, f"something leaves by {port}"

    async def account(self) -> None:
        """What `activity` says is one thing in each cycle, a read while the PE is busy, and the flits of the ports."""
        dut = self.dut
        links = [f"mesh_o__{side}" for side in range(4)] + ["collection", "tree"]
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            activity = int(dut.activity.value)
            state, flits = activity & (1 << STATES) - 1, activity >> STATES
            assert state & (state - 1) == 0, f"several things at once: {state:#b}"
            assert (state == 1) == bool(int(dut.busy.value))
            for n, link in enumerate(links):
                moves = int(getattr(dut, f"{link}__valid").value) and int(
                    getattr(dut, f"{link}__ready").value
                )
                if moves and link == "tree":
                    moves = not int(dut.tree__payload.value) >> CASE["link_bits"]
                assert bool(moves) == bool(flits >> n & 1), link
            self.did[state] += 1

    async def send(self, flits: list[int]) -> None:
        await StreamSource(self.dut, "tree").run(flits)

    async def frames(
        self,
        count: int,
        pace: tuple[float, float] = PACES[0],
        *,
        seed: int = 1,
        first: int = 0,
        before: list[int] | None = None,
    ) -> list[int]:
        """Send frames, after the flits `before`, and take their results; every flit is compared. The cycle of each."""
        idle, stall = pace
        running = []
        for number, (port, frames) in enumerate(self.job["inputs"].items()):
            source = StreamSource(self.dut, port, idle=idle, seed=7 * seed + number)
            words = [flit for frame in frames[first : first + count] for flit in frame]
            if port == "tree" and before:
                words = before + words
            running.append(cocotb.start_soon(source.run(words)))
        expected = [flit for frame in self.job["expected"][first : first + count] for flit in frame]
        sink = StreamSink(self.dut, self.job["output"], stall=stall, seed=seed)
        await sink.run(len(expected))
        got = [word for _, word in sink.taken]
        wrong = [place for place, (one, other) in enumerate(zip(got, expected, strict=True)) if one != other]
        assert not wrong, f"{self.job['name']}, {pace}: {len(wrong)} flits differ, the first is {wrong[0]}"
        for each in running:
            await each
        return [cycle for cycle, _ in sink.taken]

    async def nothing(self, cycles: int = QUIET) -> None:
        """No flit leaves, although it would be taken."""
        sink = StreamSink(self.dut, self.job["output"])
        await sink.run(cycles=cycles)
        assert not sink.taken, f"{len(sink.taken)} flits too many leave"

    @property
    def fault(self) -> dict[str, int] | None:
        value = int(self.dut.fault.value)
        if not value & 1:
            return None
        return {"half": value >> 1 & 1, "index": value >> 2 & 0x3FFF, "unit": value >> 16}


def instruction(job: dict[str, Any], half: Half, index: int, word: int) -> list[int]:
    """Flits that put a word into a place of a half's table."""
    address = CASE["tables"][half] + 2 * index
    return [1 << 16 | flit for flit in (job["unit"], address, 2, word & 0xFFFF, word >> 16)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def every_kind(dut: Any) -> None:
    """All kinds of stages one after the other, the PE disabled in between, at every pace."""
    bench = Bench(dut)
    await bench.begin(next(iter(JOBS)))
    for seed, name in enumerate(JOBS):
        await bench.change(name)
        await bench.send(bench.job["config"])
        for number, pace in enumerate(PACES):
            await bench.frames(1, pace, seed=4 * seed + number, first=number % len(bench.job["expected"]))
        assert bench.fault is None
        await bench.nothing(40)
        await bench.send(bench.job["disable"])
    # Off, and each of the five things that a PE can do.
    assert set(bench.did) == {0, *(1 << n for n in range(STATES))}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def what_it_waits_for(dut: Any) -> None:
    """Slow results, slow pixels, slow partial sums: each shows in its own state, and in that more than at full pace."""
    bench = Bench(dut)
    waits = {}
    for name, state in (("relu", 2), ("last of three", 3), ("relu", 4)):
        counts = []
        for pace in ((0.0, 0.0), (0.0, 0.95) if state == 2 else (0.9, 0.0)):
            await bench.begin(name)
            await bench.send(bench.job["config"])
            bench.did.clear()
            await bench.frames(2, pace, seed=5)
            counts.append(bench.did[1 << state])
        waits[name, state] = counts
    print(waits)
    for (name, state), (before, after) in waits.items():
        assert after > before + 20, (name, state, before, after)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def configuration_and_frames_without_a_break(dut: Any) -> None:
    """Frames right behind the last word of configuration, and each behind the one before."""
    bench = Bench(dut)
    for name in ("relu", "pool 3x3", "last of three"):
        await bench.begin(name)
        count = len(bench.job["expected"])
        await bench.frames(count, before=bench.job["config"])
        await bench.frames(count, PACES[3], seed=9)
        await bench.nothing(40)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """Of a frame that was cut off nothing is left; configured again, the PE works again."""
    bench = Bench(dut)
    for name in ("pool 2x2", "residual", "last of three"):
        job = await bench.begin(name)
        expected = job["expected"][0]
        for part in (0.3, 0.7):
            await bench.send(job["config"])
            cut = [
                cocotb.start_soon(StreamSource(dut, port).run(frames[0] + frames[1]))
                for port, frames in job["inputs"].items()
            ]
            sink = StreamSink(dut, job["output"])
            await sink.run(int(part * len(expected)))
            assert [word for _, word in sink.taken] == expected[: len(sink.taken)]
            for each in cut:
                each.cancel()
            for port in INPUTS:
                getattr(dut, f"{port}__valid").value = 0
            await reset(dut)
            await bench.nothing()
            assert not int(dut.busy.value)
            await bench.frames(2, before=job["config"], seed=3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def disabled_in_the_middle(dut: Any) -> None:
    """Disabled and enabled again within a frame: the next frame is a whole one, nothing was configured anew."""
    bench = Bench(dut)
    for name in ("relu", "pool 3x3", "many channels"):
        job = await bench.begin(name)
        await bench.send(job["config"])
        for share in (3, 2):
            await bench.frames(1)
            frame = job["inputs"]["tree"][1]
            sink = StreamSink(dut, job["output"])
            taking = cocotb.start_soon(sink.run(cycles=len(frame) + 20 * QUIET))
            await bench.send(frame[: len(frame) // share])
            # The receiver takes what came before it is held in reset.
            for _ in range(QUIET):
                await RisingEdge(dut.clk)
            await bench.send(job["disable"])
            for _ in range(QUIET):
                await RisingEdge(dut.clk)
            taking.cancel()
            got = [word for _, word in sink.taken]
            assert got == job["expected"][1][: len(got)]
            assert len(got) < len(job["expected"][1])
            assert not int(dut.busy.value)
            await bench.nothing()
            await bench.send(job["enable"])
            await bench.frames(2, PACES[3 if share == 2 else 0], seed=share)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_instructions(dut: Any) -> None:
    """Each half names the place and stops, nothing is sent; put right and enabled again, everything comes."""
    bench = Bench(dut)
    for name in ("pool 2x2", "second of three"):
        job = await bench.begin(name)
        # First and last of each program.
        reram, both = map(len, job["programs"])
        last = {job["post"] - 1, both - 1}
        places = [
            (Half.RERAM, 0),
            (Half.RERAM, reram - 1),
            *((Half.ARITHMETIC, n) for n in (0, *sorted(last))),
        ]
        await bench.send(job["config"])
        await bench.send(job["disable"])
        # No instruction, one of the other half's class, one with a bit that has to be zero.
        other = {Half.RERAM: 1 | 1 << 2 | 2 << 10, Half.ARITHMETIC: 0 | 1 << 2 | 1 << 8 | 3 << 24}
        for number, (half, index) in enumerate(places):
            right = job["programs"][half][index]
            wrong = (0, other[half], right | 1 << 31)[number % 3]
            await bench.send(instruction(job, half, index, wrong) + job["enable"])
            sending = [
                cocotb.start_soon(StreamSource(dut, port).run(frames[0]))
                for port, frames in job["inputs"].items()
            ]
            await bench.nothing(2 * QUIET)
            assert bench.fault == {"half": half, "index": index, "unit": job["unit"]}
            for each in sending:
                each.cancel()
            # Flits that nobody took are still in the switch.
            for port in job["inputs"]:
                getattr(dut, f"{port}__valid").value = 0
            await reset(dut)
            await ReadOnly()
            assert bench.fault is None
            await RisingEdge(dut.clk)
            await bench.send(job["config"])
            await bench.frames(1)
            await bench.send(job["disable"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def illegal_after_a_frame(dut: Any) -> None:
    """What was sent before stays sent; after the fault nothing is, until the stage was disabled."""
    bench = Bench(dut)
    job = await bench.begin("relu")
    await bench.send(job["config"])
    *_, right = job["programs"][Half.ARITHMETIC]
    index = job["post"] - 1
    await bench.frames(1)
    await bench.send(instruction(job, Half.ARITHMETIC, index, 0))
    await bench.send(job["inputs"]["tree"][1])
    await bench.nothing()
    fault = {"half": Half.ARITHMETIC, "index": index, "unit": job["unit"]}
    assert bench.fault == fault
    await bench.send(instruction(job, Half.ARITHMETIC, index, right))
    await bench.nothing()
    assert bench.fault == fault
    await bench.send(job["disable"])
    await bench.nothing(4)
    assert bench.fault is None
    await bench.send(job["enable"])
    await bench.frames(2)


#: Results that wait go before windows to be pooled. Behind the last frame's windows no results of a next one come,
#: which they would have had to let pass: so many cycles earlier it ends.
NOTHING_BEHIND = {"pool 3x3": 5}
#: A shortcut's flits come with the main data and hold them back until the frame before has requested its last read:
#: 6 pixels of 3 flits come then, up to the last of the first window, and take the way from the switch to the array.
SHORTCUT = {"residual": 28}
STAGES = (
    "relu",
    "uneven",
    "pool 2x2",
    "pool 3x3",
    "8 bits",
    "16 bits",
    "residual",
    "many channels",
    "merged",
    "last of three",
    "two in place",
    "two in both buffers",
    "two in both buffers, larger",
)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def intervals(dut: Any) -> None:
    """A window takes B·S·P·read_cycles cycles, without a gap from frame to frame."""
    bench = Bench(dut)
    others: dict[str, tuple[list[int], int]] = {}
    for name in STAGES:
        job = await bench.begin(name)
        count, flits = len(job["expected"]), len(job["expected"][0])
        cycles = await bench.frames(count, before=job["config"])
        interval = job["reads"] * READ_CYCLES + SHORTCUT.get(name, 0)
        found = [after - before for before, after in pairwise(cycles[flits - 1 :: flits])]
        dut._log.info(f"{name}: {found}, {interval} expected")
        if found != [interval] * (count - 2) + [interval - NOTHING_BEHIND.get(name, 0)]:
            others[name] = (found, interval)
    assert not others


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency(dut: Any) -> None:
    """The first flit of a frame of one window, from the start of the last read of its first vector."""
    bench = Bench(dut)
    job = await bench.begin("whole map")
    await bench.send(job["config"])
    sending = cocotb.start_soon(bench.send(job["inputs"]["tree"][0]))
    dut.collection__ready.value = 1
    busy = left = None
    cycle = 0
    while left is None:
        await ReadOnly()
        if busy is None and int(dut.busy.value):
            busy = cycle
        if int(dut.collection__valid.value):
            left = cycle
        await RisingEdge(dut.clk)
        cycle += 1
    await sending
    assert busy is not None
    read = busy - 1 + READ_CYCLES  # of the second block
    instructions = job["post"] - 1  # the N-type takes no cycle
    dut._log.info(f"{left - read} cycles, {instructions} instructions")
    # ReRAM half, arithmetic half, sender, switch.
    assert left - read == (READ_CYCLES + 2) + (6 + instructions) + 2 + 2
