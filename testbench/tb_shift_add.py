"""Testbench of the shift-and-add: blocks of random sums against the formula over whole blocks."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
COLS, SUM_BITS, LANE_BITS = P["columns_at_once"], P["sum_bits"], P["lane_bits"]
CELL, DAC, OFFSET, GROUP_BITS = P["cell_bits"], P["dac_bits"], P["offset"], P["group_bits"]
SIGNS = 1 if OFFSET else 2
TOP_SUM = (1 << SUM_BITS) - 1


def block_words(source: random.Random, slices: int, planes: int, end: bool) -> tuple[list[int], int]:
    """Words of the reads of one block, and the word of its results."""
    results = [0] * COLS
    references = [source.choice((0, TOP_SUM, source.randint(0, TOP_SUM))) for _ in range(planes)]
    extreme, src = source.random() < 0.3, source.getrandbits(1)
    words = []
    for j in range(slices):
        for sign in range(SIGNS):
            for p in range(planes):
                sums = [
                    source.choice((0, TOP_SUM)) if extreme else source.randint(0, TOP_SUM)
                    for _ in range(COLS)
                ]
                for column, value in enumerate(sums):
                    results[column] += (-1) ** sign * value * 2 ** (CELL * j + DAC * p)
                last = (j, sign, p) == (slices - 1, SIGNS - 1, planes - 1)
                words.append(
                    pack(
                        [
                            *((value, SUM_BITS) for value in sums),
                            (references[p] if OFFSET else 0, SUM_BITS),
                            (src, 1),
                            (source.getrandbits(GROUP_BITS), GROUP_BITS),
                            (p, 2),
                            (j, 2),
                            (sign, SIGNS - 1),
                            (j == slices - 1, 1),
                            ((j, sign, p) == (0, 0, 0), 1),
                            (last, 1),
                            (last and end, 1),
                        ]
                    )
                )
    if OFFSET:
        offset = 2 ** (CELL * slices - 1) * sum(r * 2 ** (DAC * p) for p, r in enumerate(references))
        results = [value - offset for value in results]
    return words, pack([*((value, LANE_BITS) for value in results), (src, 1), (end, 1)])


class ShiftAddModel:
    """One register for the results of a block; sums are taken while it is free or being freed."""

    def __init__(self, results: list[int], last: list[bool]):
        self.results, self.last = list(results), list(last)
        self.shown: int | None = None

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.shown
        accepted = shown is None or ready
        if accepted:
            self.shown = None
            if word is not None and self.last.pop(0):
                self.shown = self.results.pop(0)
        return accepted, shown


def blocks(source: random.Random, shapes: list[tuple[int, int]]) -> tuple[list[int], list[int], list[bool]]:
    words, results, last = [], [], []
    for slices, planes in shapes:
        block, result = block_words(source, slices, planes, source.random() < 0.5)
        words += block
        results.append(result)
        last += [n == len(block) - 1 for n in range(len(block))]
    return words, results, last


SHAPES = [(slices, planes) for slices in (1, 2, 4) for planes in (1, 2, 4)]


async def begin(dut: Any) -> None:
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.o__ready.value = 0
    await start(dut)


@cocotb.test()
@cocotb.parametrize(pace=PACES)
async def random_blocks(dut: Any, pace: tuple[float, float]) -> None:
    """Every number of slices and planes, in any order."""
    await begin(dut)
    source = random.Random(str(pace))
    words, results, last = blocks(source, source.sample(SHAPES * 3, 27))
    await transfer(dut, words, results, ShiftAddModel(results, last), pace=pace)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """A read a cycle; the block in the cycle after its last."""
    await begin(dut)
    words, results, last = blocks(random.Random(1), SHAPES)
    taken, sent = await transfer(dut, words, results, ShiftAddModel(results, last), pace=PACES[0])
    assert [cycle for cycle, _ in taken] == list(range(len(words)))
    assert [cycle for cycle, _ in sent] == [n + 1 for n, ends in enumerate(last) if ends]


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Nothing of a block that was begun, or not taken, is left."""
    await begin(dut)
    source = random.Random(2)
    for after in range(1, 12):
        words, _, _ = blocks(source, [(2, 2)] * 4)
        dut.o__ready.value = after % 2
        feed = cocotb.start_soon(StreamSource(dut, "i").run(words))
        for _ in range(after):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        await reset(dut, 1)
        words, results, last = blocks(source, source.sample(SHAPES, 2))
        await transfer(dut, words, results, ShiftAddModel(results, last), pace=PACES[0])
