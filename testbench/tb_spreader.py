"""Spreader: random frames against maps built by slicing an array of fill words."""

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, LANES = P["act_bits"], P["lanes"]


@dataclass(frozen=True)
class Geometry:
    """What the frames and their maps look like, and the block's configuration for it."""

    height: int
    width: int
    step: tuple[int, int]
    border: tuple[int, int, int, int]
    fill: list[int]
    planes: int
    plane_lanes: int
    config: int

    @property
    def columns(self) -> int:
        return self.border[1] + self.step[1] * (self.width - 1) + 1 + self.border[3]

    @property
    def rows(self) -> int:
        return self.border[0] + self.step[0] * (self.height - 1) + 1 + self.border[2]

    def word_places(self) -> list[int]:
        """Where in the map the words of a frame stand."""
        places = np.arange(self.rows * self.columns).reshape(self.rows, self.columns)
        (top, left, _, _), (down, right) = self.border, self.step
        return places[top::down, left::right][: self.height, : self.width].ravel().tolist()

    def fill_word(self) -> int:
        others = self.fill[3] if len(self.fill) > 3 else 0
        lanes = [0] * LANES
        for channel in range(self.plane_lanes):
            value = self.fill[channel] if channel < len(self.fill) else others if channel > 2 else 0
            for plane, part in enumerate(fields(value, ACT, self.planes)):
                lanes[plane * self.plane_lanes + channel] = part
        return pack((lane, ACT) for lane in lanes)

    def spread(self, words: list[int]) -> list[int | None]:
        """The map of a frame; None where a fill word stands."""
        result: list[int | None] = [None] * (self.rows * self.columns)
        for place, word in zip(self.word_places(), words, strict=True):
            result[place] = word
        return result


GEOMETRIES = [Geometry(**known) for known in P["geometries"]]


class SpreaderModel:
    """Walks through the maps of all frames, a place a cycle."""

    def __init__(self, geometry: Geometry, maps: list[list[int | None]]):
        self.places = [(word, n == 0) for one in maps for n, word in enumerate(one)]
        self.fill = geometry.fill_word()
        self.at = 0

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        if self.at == len(self.places):
            return False, None
        stands, first = self.places[self.at]
        if stands is not None:
            accepted, sent = ready, word
        else:
            accepted, sent = False, None if first and word is None else self.fill
        self.at += sent is not None and ready
        return accepted, sent


def frames(geometry: Geometry, count: int, seed: int) -> tuple[list[int], list[list[int | None]]]:
    """The words of random frames, and the map of each."""
    rng = random.Random(seed)
    words = [
        [rng.getrandbits(LANES * ACT) for _ in range(geometry.height * geometry.width)] for _ in range(count)
    ]
    return [word for frame in words for word in frame], [geometry.spread(frame) for frame in words]


async def configure(dut: Any, geometry: Geometry) -> None:
    dut["config"].value = geometry.config
    dut.i__valid.value = 0
    dut.o__ready.value = 0
    await reset(dut)


async def run(
    dut: Any, geometry: Geometry, *, count: int, pace: tuple[float, float] = (0, 0)
) -> tuple[list, list]:
    """Whole frames through the block beside its model; the cycles of the transfers at i and o."""
    words, maps = frames(geometry, count, seed=geometry.rows * 100 + geometry.columns)
    fill = geometry.fill_word()
    expected = [fill if word is None else word for one in maps for word in one]
    taken, sent = await transfer(dut, words, expected, SpreaderModel(geometry, maps), pace=pace)
    return [cycle for cycle, _ in taken], [cycle for cycle, _ in sent]


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Several frames in a row of every geometry, at every other pace; every cycle of both handshakes."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        for pace in PACES[number % 2 :: 2]:
            await configure(dut, geometry)
            await run(dut, geometry, count=3, pace=pace)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The formulas of the docstring, from the cycles of the transfers."""
    await start(dut)
    for geometry in GEOMETRIES:
        await configure(dut, geometry)
        taken, sent = await run(dut, geometry, count=2)
        (top, left, _, _), (down, right) = geometry.border, geometry.step
        frame = geometry.rows * geometry.columns
        assert sent == list(range(2 * frame)), geometry
        assert taken == [
            f * frame + (top + y * down) * geometry.columns + left + x * right
            for f in range(2)
            for y in range(geometry.height)
            for x in range(geometry.width)
        ], geometry
        assert taken[0] == top * geometry.columns + left


@cocotb.test()
async def tall_map(dut: Any) -> None:
    """As many rows as there can be."""
    await start(dut)
    geometry = Geometry(**P["tall"])
    await configure(dut, geometry)
    await run(dut, geometry, count=2)


@cocotb.test()
async def transparent(dut: Any) -> None:
    """Without step and border, and with all configuration zero, every wire goes through, whatever the frames are."""
    await start(dut)
    rng = random.Random(5)
    for config in (0, P["transparent"]):
        dut["config"].value = config
        dut.i__valid.value = 0
        dut.o__ready.value = 0
        await reset(dut)
        for _ in range(100):
            valid, ready, word = rng.getrandbits(1), rng.getrandbits(1), rng.getrandbits(LANES * ACT)
            dut.i__valid.value, dut.o__ready.value, dut.i__payload.value = valid, ready, word
            await ReadOnly()
            shown = dut.o__valid.value, dut.i__ready.value, dut.o__payload.value
            assert tuple(map(int, shown)) == (valid, ready, word)
            await RisingEdge(dut.clk)


@cocotb.test()
async def nothing_before_a_frame(dut: Any) -> None:
    """The border above a frame waits for its first word; that below it does not wait for the next frame."""
    await start(dut)
    for geometry in GEOMETRIES:
        await configure(dut, geometry)
        words, maps = frames(geometry, 1, seed=9)
        for _ in range(2):
            dut.o__ready.value = 1
            for _ in range(5):
                await ReadOnly()
                assert not dut.o__valid.value, geometry
                await RisingEdge(dut.clk)
            await transfer(
                dut,
                words,
                [geometry.fill_word() if word is None else word for word in maps[0]],
                SpreaderModel(geometry, maps),
                pace=(0, 0),
            )


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset anywhere in a frame nothing of it is left."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        words, _ = frames(geometry, 1, seed=7)
        await configure(dut, geometry)
        dut.o__ready.value = 1
        feed = cocotb.start_soon(StreamSource(dut, "i").run(words))
        for _ in range(1 + number * 7 % (geometry.rows * geometry.columns)):
            await RisingEdge(dut.clk)
        feed.cancel()
        await configure(dut, geometry)
        await run(dut, geometry, count=2)
