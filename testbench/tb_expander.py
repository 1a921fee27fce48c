"""Testbench of the expander: reads of random frames against nested loops, and the cycles they come in."""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.lockstep import pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
COLMUX, SIGNS, WINDOW_BITS = P["colmux"], P["signs"], P["window_bits"]
GROUP_BITS = (COLMUX - 1).bit_length()

Frame = dict[str, int]


def frame_word(frame: Frame) -> int:
    return pack(
        [
            (frame["src"], 1),
            (frame["both"], 1),
            *((frame[f"split_{n}"], 2) for n in range(2)),
            *((frame[f"windows_{n}"] - 1, WINDOW_BITS) for n in range(2)),
            (frame["index"], 1),
            (frame["first"], GROUP_BITS),
            (frame["blocks"] - 1, GROUP_BITS),
            (frame["planes"], 2),
            (frame["slices"], 2),
        ]
    )


def index_word(block: int, first: bool, last: bool) -> int:
    return pack([(block, GROUP_BITS), (first, 1), (last, 1)])


def window_reads(src: int, blocks: list[int], slices: int, planes: int) -> Iterator[int]:
    """Words of the reads of one window of a buffer."""
    count = len(blocks) * slices * SIGNS * planes
    for n, block in enumerate(blocks):
        for j in range(slices):
            for sign in range(SIGNS):
                for p in range(planes):
                    group = min((block * slices + j) * SIGNS + sign, COLMUX - 1)
                    first = (j, sign, p) == (0, 0, 0)
                    last = (j, sign, p) == (slices - 1, SIGNS - 1, planes - 1)
                    count -= 1
                    yield pack(
                        [
                            (src, 1),
                            (group, GROUP_BITS),
                            (p, 2),
                            (j, 2),
                            (sign, SIGNS - 1),
                            (j == slices - 1, 1),
                            (first, 1),
                            (last, 1),
                            (count == 0, 1),
                        ]
                    )
                    assert (count == 0) == (last and n == len(blocks) - 1)


def buffer_reads(frame: Frame, src: int, table: list[int]) -> list[int]:
    """Words of the reads of one window of a buffer."""
    first, behind = frame["first"], frame["blocks"]
    if frame["both"] and not src:
        first, behind = 0, first
    blocks = table if frame["index"] else list(range(first, behind))
    return list(window_reads(src, blocks, 1 << frame["slices"], 1 << frame["planes"]))


def frame_reads(frame: Frame, table: list[int]) -> list[int]:
    """Words of the reads of a frame of one buffer."""
    src = frame["src"]
    return buffer_reads(frame, src, table) * frame[f"windows_{src}"]


def rounds(table: list[int]) -> Iterator[int]:
    while True:
        for n, block in enumerate(table):
            yield index_word(block, n == 0, n == len(table) - 1)


def random_frame(source: random.Random, **fixed: int) -> Frame:
    blocks = source.randint(1, min(COLMUX, 5))
    frame = {
        "src": source.randint(0, 1),
        "both": 0,
        "split_0": source.randint(0, 3),
        "split_1": source.randint(0, 3),
        "windows_0": source.randint(1, 4),
        "windows_1": source.randint(1, 4),
        "index": source.randint(0, 1),
        "first": source.randrange(blocks),
        "blocks": blocks,
        "planes": source.randint(0, 2),
        "slices": source.randint(0, 2),
    }
    return frame | fixed


class Bench:
    """Sources of frames and indices and a sink of reads; `run` expects the reads of some frames."""

    def __init__(self, dut: Any, pace: tuple[float, float] = (0.0, 0.0), seed: int = 1):
        self.dut = dut
        self.frame = StreamSource(dut, "frame", idle=pace[0], seed=seed)
        self.index = StreamSource(dut, "index", idle=pace[0], seed=seed + 1)
        self.read = StreamSink(dut, "read", stall=pace[1], seed=seed + 2)
        dut.window.value = dut.room.value = 0

    async def run(self, frames: list[Frame], indices: Iterator[int], table: list[int]) -> None:
        expected = [(read, frame) for frame in frames for read in frame_reads(frame, table)]
        feeds = [
            cocotb.start_soon(self.frame.run(map(frame_word, frames))),
            cocotb.start_soon(self.index.run(indices)),
            cocotb.start_soon(self._watch([frame for _, frame in expected])),
        ]
        await self.read.run(len(expected), cycles=40 * len(expected) + 40 * len(frames) + 500)
        await self.read.run(cycles=self.read.cycle + 6)
        assert [word for _, word in self.read.taken] == [read for read, _ in expected]
        assert not self.dut.running.value
        for feed in feeds:
            feed.cancel()
        self.dut.frame__valid.value = self.dut.index__valid.value = 0

    async def _watch(self, frames: list[Frame]) -> None:
        """What goes with each read belongs to its frame."""
        dut = self.dut
        while frames:
            await ReadOnly()
            if dut.read__valid.value and dut.read__ready.value:
                got = {name: int(getattr(dut, name).value) for name in ("src", "both", "planes")}
                assert got == {name: frames[0][name] for name in got}
                assert int(dut.split.value) == frames[0][f"split_{frames[0]['src']}"]
                assert dut.running.value
                frames = frames[1:]
            await RisingEdge(dut.clk)


@cocotb.test()
@cocotb.parametrize(pace=PACES)
async def random_frames(dut: Any, pace: tuple[float, float]) -> None:
    """Frames of every kind, one after the other, with a table and without."""
    source = random.Random(str(pace))
    await start(dut)
    for turn in range(6):
        table = sorted(source.sample(range(COLMUX), source.randint(1, min(COLMUX, 4))))
        bench = Bench(dut, pace, seed=turn)
        await bench.run([random_frame(source) for _ in range(6)], rounds(table), table)
        await reset(dut)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """First read a cycle after the frame, a read a cycle, two cycles from frame to frame."""
    source = random.Random(5)
    await start(dut)
    for planes in range(3):
        for slices in range(3):
            table = sorted(source.sample(range(COLMUX), min(COLMUX, 3)))
            frames = [
                random_frame(source, planes=planes, slices=slices, index=index) for index in (0, 1, 1, 0)
            ]
            bench = Bench(dut)
            await bench.run(frames, rounds(table), table)
            times = iter(cycle for cycle, _ in bench.read.taken)
            now = -1
            for (issued, _), frame in zip(bench.frame.taken, frames, strict=True):
                assert issued == now + 1
                count = len(table) if frame["index"] else frame["blocks"] - frame["first"]
                reads = count * SIGNS * frame[f"windows_{frame['src']}"] << planes + slices
                assert [next(times) for _ in range(reads)] == [issued + 1 + n for n in range(reads)]
                now = issued + reads
            await reset(dut)


@cocotb.test()
async def rest_of_a_round(dut: Any) -> None:
    """Indices before the first of a round are thrown away at a window's beginning."""
    source = random.Random(6)
    await start(dut)
    for skipped in range(1, min(COLMUX, 4)):
        table = list(range(min(COLMUX, 4)))
        indices = rounds(table)
        for _ in range(skipped):
            next(indices)
        bench = Bench(dut)
        await bench.run([random_frame(source, index=1)], indices, table)
        assert bench.read.taken[0][0] == 1 + len(table) - skipped
        await reset(dut)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def both_buffers(dut: Any, stall: float) -> None:
    """Windows of either buffer as they come: buffer 1's first, buffer 0's where there is room; each cycle."""
    if COLMUX == 1:
        return  # no column group is left for a second layer
    source = random.Random(f"both {stall}")
    await start(dut)
    dut.index__valid.value = 0
    for _ in range(12):
        blocks = source.randint(2, min(COLMUX, 5))
        frame = random_frame(
            source, src=0, both=1, index=0, blocks=blocks, first=source.randint(1, blocks - 1)
        )
        dut.frame__payload.value, dut.frame__valid.value = frame_word(frame), 1
        dut.read__ready.value = 0
        await RisingEdge(dut.clk)
        dut.frame__valid.value = 0
        left = [frame["windows_0"], frame["windows_1"]]
        rest: list[int] = []  # of the window under way
        src = 0
        while rest or any(left):
            there, room = source.getrandbits(2), source.getrandbits(1)
            ready = source.random() >= stall
            dut.window.value, dut.room.value, dut.read__ready.value = there, room, int(ready)
            if not rest:
                if there >> 1 & 1 and left[1]:
                    src, rest = 1, buffer_reads(frame, 1, [])
                elif there & 1 and room and left[0]:
                    src, rest = 0, buffer_reads(frame, 0, [])
                left[src] -= bool(rest)
            await ReadOnly()
            assert dut.running.value
            assert bool(dut.read__valid.value) == bool(rest)
            if rest:
                assert int(dut.read__payload.value) == rest[0]
                assert int(dut.split.value) == frame[f"split_{src}"]
                rest = rest[1:] if ready else rest
            await RisingEdge(dut.clk)
        await ReadOnly()
        assert not dut.running.value
        assert not dut.read__valid.value
        await RisingEdge(dut.clk)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Reset after any number of cycles leaves nothing of the frame before."""
    source = random.Random(7)
    await start(dut)
    for delay in range(1, 30, 3):
        table = sorted(source.sample(range(COLMUX), source.randint(1, min(COLMUX, 4))))
        bench = Bench(dut)
        feeds = [
            cocotb.start_soon(bench.frame.run(frame_word(random_frame(source)) for _ in range(9))),
            cocotb.start_soon(bench.index.run(rounds(table))),
        ]
        await bench.read.run(cycles=delay)
        for feed in feeds:
            feed.cancel()
        dut.frame__valid.value = dut.index__valid.value = 0
        await reset(dut, 1)
        await Bench(dut).run([random_frame(source) for _ in range(2)], rounds(table), table)
