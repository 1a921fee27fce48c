"""Unpacker: flits of random frames against pixels cut from a flat list of activations."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, PER_FLIT, LANES = P["act_bits"], P["per_flit"], P["lanes"]


class UnpackerModel:
    """Moves activations from a flit to a pixel, as many a cycle as one aligned group of lanes takes."""

    def __init__(self, channels: int, pixels: int):
        self.channels, self.pixels = channels, pixels
        self.pixel: list[int] = []
        self.used = 0  # activations of the flit moved already
        self.done = 0  # pixels of the frame
        self.out: int | None = None

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.out
        if shown is not None and not ready:
            return False, shown
        self.out = None
        at = len(self.pixel)
        to = min(at + PER_FLIT - self.used, (at // PER_FLIT + 1) * PER_FLIT, self.channels)
        whole_pixel = to == self.channels
        whole_frame = whole_pixel and self.done == self.pixels - 1
        flit_done = self.used + to - at == PER_FLIT or whole_frame
        if word is not None:
            self.pixel += fields(word, ACT, PER_FLIT)[self.used : self.used + to - at]
            self.used = 0 if flit_done else self.used + to - at
            if whole_pixel:
                self.out = pack((value, ACT) for value in self.pixel)
                self.pixel = []
                self.done = 0 if whole_frame else self.done + 1
        return flit_done, shown


def frames(channels: int, pixels: int, count: int) -> tuple[list[int], list[int]]:
    """Flits and pixels of random frames; what fills up a frame's last flit is random too."""
    rng = random.Random(channels * 1000 + pixels)
    flits, words = [], []
    for _ in range(count):
        values = [rng.randrange(1 << ACT) for _ in range(channels * pixels)]
        words += [pack((v, ACT) for v in values[n : n + channels]) for n in range(0, len(values), channels)]
        values += [rng.randrange(1 << ACT) for _ in range(-len(values) % PER_FLIT)]
        flits += [pack((v, ACT) for v in values[n : n + PER_FLIT]) for n in range(0, len(values), PER_FLIT)]
    return flits, words


async def configure(dut: Any, channels: int, pixels: int) -> UnpackerModel:
    """Set the configuration, reset the block, give a fresh model."""
    dut.config.value = pack([(channels - 1, (LANES - 1).bit_length()), (pixels - 1, 16)])
    await reset(dut)
    return UnpackerModel(channels, pixels)


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Several frames in a row for each number of channels, at every pace."""
    await start(dut)
    for channels in P["channels"]:
        for pixels in (1, 5, 6):
            flits, words = frames(channels, pixels, 3)
            for pace in PACES:
                model = await configure(dut, channels, pixels)
                await transfer(dut, flits, words, model, pace=pace)


@cocotb.test()
async def long_frame(dut: Any) -> None:
    """Frames of more pixels than a byte counts, their last flits not full."""
    await start(dut)
    flits, words = frames(1, 301, 2)
    model = await configure(dut, 1, 301)
    await transfer(dut, flits, words, model, pace=PACES[0])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a pixel the next frame starts clean."""
    await start(dut)
    for channels in P["channels"]:
        for after in (1, 2, 5):
            flits, words = frames(channels, 3, 2)
            await configure(dut, channels, 3)
            dut.o__ready.value = after != 5
            feed = cocotb.start_soon(StreamSource(dut, "i").run(flits))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.i__valid.value = 0
            model = await configure(dut, channels, 3)
            await transfer(dut, flits, words, model, pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The formulas of the docstring, from the cycles of the transfers."""
    await start(dut)
    for channels in P["channels"]:
        pixels = 8
        flits, words = frames(channels, pixels, 2)
        model = await configure(dut, channels, pixels)
        taken, sent = await transfer(dut, flits, words, model, pace=PACES[0])
        # One cycle for each piece that the edges of flits, pixels and groups of lanes cut a frame into.
        total = channels * pixels
        edges = set(range(PER_FLIT, total, PER_FLIT)) | {total}
        for pixel in range(pixels):
            edges |= {pixel * channels + n for n in (*range(PER_FLIT, channels, PER_FLIT), channels)}
        cuts = sorted(edges)
        frame = len(cuts)
        for n, (cycle, _) in enumerate(sent):
            moved = cuts.index((n % pixels + 1) * channels)
            assert cycle == (n // pixels) * frame + moved + 1, f"{channels} channels, pixel {n}"
        per_frame = len(flits) // 2
        assert taken[2 * per_frame - 1][0] == 2 * frame - 1
        if channels == 1:
            assert frame == pixels  # a pixel a cycle
        if channels % PER_FLIT == 0:
            assert frame == per_frame  # a flit a cycle
