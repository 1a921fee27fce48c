"""Splitter: words of random pixels, every output in every cycle."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, LANES = P["act_bits"], P["lanes"]
#: (pixels, channels, configuration)
CHOICE = [tuple(each) for each in P["choice"]]


class SplitterModel:
    """A word stays until its last pixel was taken."""

    def __init__(self, pixels: int, channels: int) -> None:
        self.pixels, self.step = pixels, channels * ACT
        self.pixel = 0

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        final = self.pixel == self.pixels - 1
        shown = None if word is None else word >> (self.pixel * self.step)
        if word is not None and ready:
            self.pixel = 0 if final else self.pixel + 1
        return ready and final, shown


def words(source: random.Random, count: int) -> list[int]:
    return [source.getrandbits(LANES * ACT) for _ in range(count)]


def split(given: list[int], pixels: int, channels: int) -> list[int]:
    """The lanes of each pixel moved down, lane by lane."""
    parts = []
    for word in given:
        lanes = fields(word, ACT, LANES)
        parts += [pack((lane, ACT) for lane in lanes[channels * pixel :]) for pixel in range(pixels)]
    return parts


async def begin(dut: Any, config: int) -> None:
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.o__ready.value = 0
    dut.config.value = config
    await start(dut)


@cocotb.test()
@cocotb.parametrize(pace=PACES, choice=range(len(CHOICE)))
async def random_words(dut: Any, pace: tuple[float, float], choice: int) -> None:
    pixels, channels, config = CHOICE[choice]
    given = words(random.Random(f"{pace} {choice}"), 12)
    await begin(dut, config)
    await transfer(dut, given, split(given, pixels, channels), SplitterModel(pixels, channels), pace=pace)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The first pixel in the cycle of the word, then one a cycle; the word is taken with the last."""
    for pixels, channels, config in CHOICE:
        given = words(random.Random(1), 5)
        await begin(dut, config)
        taken, sent = await transfer(
            dut, given, split(given, pixels, channels), SplitterModel(pixels, channels), pace=PACES[0]
        )
        assert [cycle for cycle, _ in sent] == list(range(5 * pixels))
        assert [cycle for cycle, _ in taken] == [pixels * n + pixels - 1 for n in range(5)]


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset a word begins with its first pixel."""
    pixels, channels, config = max(CHOICE)
    await begin(dut, config)
    for after in range(1, 2 * pixels + 1):
        dut.o__ready.value = 1
        feed = cocotb.start_soon(StreamSource(dut, "i").run(words(random.Random(after), 3)))
        for _ in range(after):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        await reset(dut, 1)
        given = words(random.Random(after), 2)
        await transfer(
            dut, given, split(given, pixels, channels), SplitterModel(pixels, channels), pace=PACES[0]
        )
