"""Testbench of the vectors of results: windows of any number of blocks, every output in every cycle."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.lockstep import pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
BLOCK_BITS, COUNT = P["block_bits"], P["vector_blocks"]


class VectorsModel:
    """Blocks are taken while no vector waits behind the one shown, which another follows when it is gone."""

    def __init__(self) -> None:
        self.blocks: list[int] = []
        self.shown: int | None = None
        self.spare: int | None = None

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown, accepted = self.shown, self.spare is None
        made = None
        if accepted and word is not None:
            self.blocks.append(word & ((1 << BLOCK_BITS) - 1))
            if word >> BLOCK_BITS + 1 or len(self.blocks) == COUNT:
                made = pack((block, BLOCK_BITS) for block in self.blocks)
                self.blocks = []
        if shown is None:
            self.shown, self.spare = (made, None) if self.spare is None else (self.spare, None)
        else:
            self.shown = None if ready else shown
            self.spare = made if self.spare is None else self.spare
        return accepted, shown


def windows(
    source: random.Random, counts: list[int], buffers: list[int] | None = None
) -> tuple[list[int], list[int]]:
    """Words of the blocks of windows of so many blocks each, of some buffers, and their vectors."""
    words, vectors = [], []
    for count, src in zip(counts, buffers or [0] * len(counts), strict=True):
        blocks = [source.getrandbits(BLOCK_BITS) for _ in range(count)]
        words += [
            block | src << BLOCK_BITS | (n == count - 1) << BLOCK_BITS + 1 for n, block in enumerate(blocks)
        ]
        vectors += [
            pack((block, BLOCK_BITS) for block in blocks[n : n + COUNT]) for n in range(0, count, COUNT)
        ]
    return words, vectors


async def begin(dut: Any) -> None:
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.o__ready.value = 0
    await start(dut)


@cocotb.test()
@cocotb.parametrize(pace=PACES)
async def random_windows(dut: Any, pace: tuple[float, float]) -> None:
    """Windows of 1 to 2·vector_blocks + 1 blocks."""
    await begin(dut)
    source = random.Random(str(pace))
    counts = [source.randint(1, 2 * COUNT + 1) for _ in range(30)]
    buffers = [source.getrandbits(1) for _ in counts]
    words, vectors = windows(source, counts, buffers)
    expected = [src for count, src in zip(counts, buffers, strict=True) for _ in range(0, count, COUNT)]
    found: list[int] = []
    watch = cocotb.start_soon(sources_of(dut, found))
    await transfer(dut, words, vectors, VectorsModel(), pace=pace)
    watch.cancel()
    assert found == expected


async def sources_of(dut: Any, found: list[int]) -> None:
    """The buffer of each vector that is taken; one more waits while no blocks are taken, or is completed."""
    blocks = 0
    while True:
        await ReadOnly()
        valid, shown = bool(dut.i__valid.value), bool(dut.o__valid.value)
        completes = valid and (blocks == COUNT - 1 or bool(int(dut.i__payload.value) >> BLOCK_BITS + 1))
        assert bool(dut.more.value) == (not dut.i__ready.value or (shown and completes))
        if valid and dut.i__ready.value:
            blocks = 0 if completes else blocks + 1
        if shown and dut.o__ready.value:
            found.append(int(dut.src.value))
        await RisingEdge(dut.clk)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """A block a cycle and the vector in the cycle after; where each makes one of its own a vector every other cycle."""
    await begin(dut)
    for count in {1, COUNT, COUNT + 2}:
        words, vectors = windows(random.Random(1), [count] * 8)
        taken, sent = await transfer(dut, words, vectors, VectorsModel(), pace=PACES[0])
        cycles = [cycle for cycle, _ in sent]
        if min(count, COUNT) > 1 and (count % COUNT or COUNT) > 1:
            assert [cycle for cycle, _ in taken] == list(range(len(words)))
            complete = [
                n for n in range(len(words)) if (n % count + 1) % COUNT == 0 or n % count == count - 1
            ]
            assert cycles == [n + 1 for n in complete]
        elif count == 1:
            assert cycles == list(range(1, 2 * len(words), 2))


@cocotb.test()
async def slow_taker(dut: Any) -> None:
    """With one vector taken late, blocks of the next two vectors are still taken at once."""
    await begin(dut)
    words, _ = windows(random.Random(2), [COUNT] * 3)
    source = StreamSource(dut, "i")
    feed = cocotb.start_soon(source.run(words))
    for _ in range(3 * COUNT + 5):
        await RisingEdge(dut.clk)
    # One vector is shown, one is in spare, and not a block more was taken.
    assert [cycle for cycle, _ in source.taken] == list(range(2 * COUNT))
    feed.cancel()
    await reset(dut)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Nothing of the blocks before is left."""
    await begin(dut)
    source = random.Random(3)
    for after in range(1, 10):
        words, _ = windows(source, [3, 1, 2, 5])
        dut.o__ready.value = after % 2
        feed = cocotb.start_soon(StreamSource(dut, "i").run(words))
        for _ in range(after):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        await reset(dut, 1)
        words, vectors = windows(source, [source.randint(1, 5) for _ in range(3)])
        await transfer(dut, words, vectors, VectorsModel(), pace=PACES[0])
