"""Pooler: random maps against maxima taken window by window."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, LANES, WIDTH, MAX_WORDS = P["act_bits"], P["lanes"], P["width"], P["words"]
X_BITS, COUNT_BITS = (WIDTH - 1).bit_length(), (LANES - 1).bit_length()
ACTIVATIONS = ACT * LANES
REST = 32 * LANES + COUNT_BITS  # raw values and count, which pass


def join(activations: list[int], rest: int, last: bool) -> int:
    return pack([*((a, ACT) for a in activations), (rest, REST), (last, 1)])


def split(word: int) -> tuple[list[int], int, bool]:
    rest = word >> ACTIVATIONS & ((1 << REST) - 1)
    return fields(word, ACT, LANES), rest, bool(word >> (ACTIVATIONS + REST))


def random_map(rng: random.Random, width: int, height: int, words: int) -> list[int]:
    """One frame: `words` words a pixel, the last of each marked."""
    return [
        join([rng.randrange(1 << ACT) for _ in range(LANES)], rng.getrandbits(REST), n % words == words - 1)
        for n in range(width * height * words)
    ]


def pooled(frame: list[int], width: int, height: int, words: int, pool: int) -> list[int]:
    """The whole map's result, one window after the other."""
    out = []
    for wy in range(height // pool):
        for wx in range(width // pool):
            for word in range(words):
                window = [
                    split(frame[((wy * pool + y) * width + wx * pool + x) * words + word])
                    for y in range(pool)
                    for x in range(pool)
                ]
                best = [max(lane) for lane in zip(*(a for a, _, _ in window), strict=True)]
                last = (wx, wy, word) == (width // pool - 1, height // pool - 1, words - 1)
                out.append(join(best, window[-1][1], last))
    return out


class PoolerModel:
    """Two stages that move together; what a frame sends is known from its place in the map."""

    def __init__(self, width: int, height: int, words: int, pool: int):
        self.size = (width, height, words)
        self.pool = pool
        self.n = 0
        self.maxima: dict[tuple[int, int], list[int]] = {}
        self.stages: list[int | None] = [None, None]

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.stages[1]
        if shown is not None and not ready:
            return False, shown
        self.stages = [None if word is None else self._take(word), self.stages[0]]
        return True, shown

    def _take(self, word: int) -> int | None:
        width, height, words = self.size
        pool = self.pool
        pixel, part = divmod(self.n, words)
        y, x = divmod(pixel, width)
        self.n = (self.n + 1) % (width * height * words)
        values, rest, _ = split(word)
        key = (x // pool, part)
        if x % pool or y % pool:
            values = [max(pair) for pair in zip(values, self.maxima[key], strict=True)]
        self.maxima[key] = values
        if x % pool < pool - 1 or y % pool < pool - 1:
            return None
        last = x + pool >= width - width % pool and y + pool >= height - height % pool
        return join(values, rest, last and x // pool == width // pool - 1 and part == words - 1)


async def configure(dut: Any, width: int, height: int, words: int, pool: int) -> PoolerModel:
    """Set the configuration, reset the block, give a fresh model. The row of maxima outlives a reset."""
    end_x, end_y = width // pool * pool - 1, height // pool * pool - 1
    dut.config.value = pack(
        [(pool - 1, 2), (width - 1, X_BITS), (height - 1, 16), (end_x, X_BITS), (end_y, 16)]
    )
    await reset(dut)
    return PoolerModel(width, height, words, pool)


def several(rng: random.Random, width: int, height: int, words: int, pool: int, count: int) -> Any:
    """Words of some frames and what is expected of them."""
    maps = [random_map(rng, width, height, words) for _ in range(count)]
    expected = [word for frame in maps for word in pooled(frame, width, height, words, pool)]
    return [word for frame in maps for word in frame], expected


@cocotb.test()
async def random_maps(dut: Any) -> None:
    """Every pooling, odd sizes with what is left over, several words a pixel, several frames, every pace."""
    await start(dut)
    rng = random.Random(1)
    for pool in (1, 2, 3, 4):
        sizes = [(pool, pool, 3), (min(WIDTH, 2 * pool + 1), 2 * pool + pool - 1, 2), (5, 9, 1)]
        for width, height, words in sizes:
            words = min(words, MAX_WORDS)
            frames, expected = several(rng, width, height, words, pool, 3)
            for pace in PACES:
                model = await configure(dut, width, height, words, pool)
                await transfer(dut, frames, expected, model, pace=pace)


@cocotb.test()
async def widest_maps(dut: Any) -> None:
    """Maps as wide as the parameters allow, the last one with many words too."""
    await start(dut)
    rng = random.Random(2)
    shapes = [(pool, 1) for pool in (1, 2, 3, 4)] + [(2, min(MAX_WORDS, 16))]
    for pool, words in shapes:
        frames, expected = several(rng, WIDTH, pool, words, pool, 1)
        model = await configure(dut, WIDTH, pool, words, pool)
        await transfer(dut, frames, expected, model, pace=PACES[0])


@cocotb.test()
async def tall_map(dut: Any) -> None:
    """More rows than a byte counts."""
    await start(dut)
    frames, expected = several(random.Random(3), 2, 261, 1, 2, 2)
    model = await configure(dut, 2, 261, 1, 2)
    await transfer(dut, frames, expected, model, pace=PACES[0])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a window the next frame starts clean."""
    await start(dut)
    rng = random.Random(4)
    for pool in (1, 2, 3, 4):
        for after in (1, 3, 7, 12):
            frames, expected = several(rng, 5, 4, 1, pool, 2)
            await configure(dut, 5, 4, 1, pool)
            dut.o__ready.value = after != 3
            feed = cocotb.start_soon(StreamSource(dut, "i").run(frames))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.i__valid.value = 0
            model = await configure(dut, 5, 4, 1, pool)
            await transfer(dut, frames, expected, model, pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """A word a cycle in; a result 2 cycles after the word that completes its window."""
    await start(dut)
    rng = random.Random(5)
    width, height = 5, 5
    for pool in (1, 2, 3, 4):
        for words in sorted({1, min(2, MAX_WORDS)}):
            frames, expected = several(rng, width, height, words, pool, 2)
            model = await configure(dut, width, height, words, pool)
            taken, sent = await transfer(dut, frames, expected, model, pace=PACES[0])
            assert [cycle for cycle, _ in taken] == list(range(len(frames)))
            completing = [
                frame * width * height * words + (y * width + x) * words + word
                for frame in range(2)
                for y in range(pool - 1, height, pool)
                for x in range(pool - 1, width, pool)
                for word in range(words)
            ]
            assert [cycle for cycle, _ in sent] == [n + 2 for n in completing]
