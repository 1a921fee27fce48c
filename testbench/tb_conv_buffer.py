"""Testbench of the convolution buffer: every window of whole images, every cycle of the handshakes.

What comes and when is told by the model in `conv_model`.
"""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer import ConvConfig, in_place
from ohmweave.testbench.conv_model import InPlace, Layer, Pair, Schedule
from ohmweave.testbench.runner import SEED
from ohmweave.testbench.stream import PACES, parameters, start

READ_CYCLES = 6  # between two windows that a busy array takes
MARGIN = 64  # cycles without any transfer that are a hang


class Standstill(AssertionError):
    """Nothing moves."""


class Bench:
    def __init__(self, dut: Any):
        self.dut = dut
        self.params = BufferParams(**parameters()["buffer"])
        self.cycle = 0
        self.taken: list[int] = []
        self.offered: list[int] = []
        self.sent: list[int] = []

    async def start(self) -> None:
        self.idle()
        self.dut.clear.value = 0
        for config in self._configs():
            config.value = 0
        self.dut.alternate.value = 0
        await start(self.dut)

    def idle(self) -> None:
        self.dut.pixel__valid.value = 0
        self.dut.pixel__payload.value = 0
        self.dut.window__ready.value = 0

    def _configs(self) -> list[Any]:
        return [self.dut["config"], self.dut.other]

    async def configure(self, images: Layer | Pair) -> None:
        """Change the configuration under `clear`; a pixel that is taken together with it is forgotten."""
        self.idle()
        self.dut.clear.value = 1
        shape = ConvConfig(self.params)
        # Where all images are alike the other configuration is noise.
        values = [shape.const(layer.plan.config).as_bits() for layer in images.layers]
        values.append(images.random.getrandbits(shape.size))
        for config, value in zip(self._configs(), values, strict=False):
            config.value = value
        self.dut.alternate.value = int(len(images.layers) > 1)
        self.dut.pixel__valid.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.clear.value = 0
        await self.begin()

    async def begin(self) -> None:
        """The cycle after `clear` or the reset, in which nothing is taken yet."""
        self.dut.pixel__valid.value = 1
        await ReadOnly()
        assert not self.dut.pixel__ready.value
        await RisingEdge(self.dut.clk)
        self.idle()

    async def run(
        self, layer: Layer | Pair, *, idle: float = 0.0, stall: float = 0.0, every: int = 1, fill: int = 0,
        gap: int = 0, cycles: int | None = None, delay: int = 1, depth: int = 1,
    ) -> None:  # fmt: skip
        """Stream the images through, checking everything in every cycle.

        every   the consumer takes a window only so many cycles after the one before
        fill    it takes none in the first so many cycles
        gap     idle cycles after each pixel
        cycles  stop after so many, wherever that is
        delay   in place: cycles from taking a window to the first of its pixels
        depth   in place: the windows whose pixels have not all been taken
        """
        loop = layer if isinstance(layer, InPlace) else None
        outstanding = 0
        dut, schedule = self.dut, Schedule(layer)
        pixels, windows = layer.pixels(), layer.windows()
        self.cycle, self.taken, self.offered, self.sent = 0, [], [], []
        last_take, quiet, pause = -every, 0, 0
        was_valid = False
        at = f"{layer.name}, idle {idle}, stall {stall}, every {every}"
        while len(self.taken) < len(windows) or len(self.sent) < len(pixels):
            if cycles is not None and self.cycle == cycles:
                break
            sent = len(self.sent)
            offer = sent < len(pixels) and pause == 0 and layer.random.random() >= idle
            ready = self.cycle >= max(fill, last_take + every) and layer.random.random() >= stall
            if loop is not None:
                needs = loop.needs[sent] if sent < len(pixels) else 0
                offer &= needs <= len(self.taken) and (
                    needs == 0 or self.taken[needs - 1] + delay <= self.cycle
                )
                ready &= outstanding < depth or not schedule.valid or schedule.window_layer
            dut.pixel__valid.value = int(offer)
            dut.pixel__payload.value = pixels[sent] if offer else layer.random.getrandbits(16)
            dut.window__ready.value = int(ready)
            await ReadOnly()
            took_pixel = offer and bool(dut.pixel__ready.value)
            valid = bool(dut.window__valid.value)
            assert bool(dut.pixel__ready.value) == schedule.ready, f"{at}: pixel.ready in cycle {self.cycle}"
            assert valid == schedule.valid, f"{at}: window.valid in cycle {self.cycle}"
            assert bool(dut.spare.value) == schedule.spare, f"{at}: spare in cycle {self.cycle}"
            assert bool(dut.pixel_layer.value) == schedule.pixel_layer, (
                f"{at}: pixel_layer in cycle {self.cycle}"
            )
            if valid:
                assert bool(dut.window_layer.value) == schedule.window_layer, (
                    f"{at}: window_layer in cycle {self.cycle}"
                )
            if valid and not was_valid:
                self.offered.append(self.cycle)
            if valid and (ready or not was_valid):
                got = int(dut.window__payload.value)
                assert got == windows[len(self.taken)], f"{at}: window {len(self.taken)} is {got:x}"
            await RisingEdge(dut.clk)
            if loop is not None:
                outstanding += valid and ready and not schedule.window_layer
                outstanding -= took_pixel and needs > 0 and needs not in loop.needs[sent + 1 : sent + 2]
            schedule.clock(took_pixel, valid and ready)
            pause = gap if took_pixel else max(pause - 1, 0)
            if took_pixel:
                self.sent.append(self.cycle)
            was_valid = valid and not ready
            if valid and ready:
                self.taken.append(self.cycle)
                last_take = self.cycle
            quiet = 0 if took_pixel or (valid and ready) else quiet + 1
            if quiet == MARGIN + max(gap, fill, delay):
                raise Standstill(f"{at}: nothing moves from cycle {self.cycle - quiet} on")
            self.cycle += 1
        self.idle()


async def bench(dut: Any) -> Bench:
    result = Bench(dut)
    await result.start()
    return result


def known(layer: tuple) -> tuple[tuple, dict[str, Any]]:
    """Shape of a layer, and what else is given of it."""
    return layer[:5], layer[5] if len(layer) > 5 else {}


def layers(params: BufferParams, frames: int) -> list[Layer]:
    """The convolutions given to the test, or every kernel, stride and padding on images of a few sizes."""
    if given := parameters().get("layers"):
        return [Layer(params, *shape, frames=frames, **more) for shape, more in map(known, given)]
    choose = random.Random(SEED)
    result = [
        Layer(params, *shape, frames=frames, **more) for shape, more in map(known, parameters()["more"])
    ]
    for k in range(1, params.max_kernel + 1):
        for s in range(1, params.max_stride + 1):
            for p in range(k):
                least = max(1, k - 2 * p)
                sizes = [choose.randint(least, min(params.width, least + 7)) for _ in range(2)]
                result.append(Layer(params, k, s, p, *sizes, frames=frames))
    return result


def pairs(params: BufferParams, frames: int) -> list[Pair]:
    """Each layer with another one of as many slots, and some with themselves."""
    choose = random.Random(SEED)
    by_slots: dict[int, list[Layer]] = {}
    for layer in layers(params, frames):
        by_slots.setdefault(layer.params.row_slots(layer.k), []).append(layer)
    result = []
    for group in by_slots.values():
        choose.shuffle(group)
        result += [Pair(first, second) for first, second in zip(group, group[1:] + group[:1], strict=True)]
    return result


def in_place_pairs(params: BufferParams, key: str, frames: int) -> list[InPlace]:
    """The pairs given to the test: shapes of both layers, the second's but for its image."""
    result = []
    for shape, (k, s, p, results, more) in parameters()[key]:
        first = Layer(params, *shape, frames=frames)
        second = Layer(params, k, s, p, first.out[0], first.out[1] * results, frames=frames, **more)
        result.append(InPlace(first, second))
    return result


@cocotb.test()
async def every_convolution(dut):
    """Each kernel, stride and padding, several images in a row, at changing paces."""
    tb = await bench(dut)
    for number, layer in enumerate(layers(tb.params, frames=3)):
        idle, stall = PACES[number % len(PACES)]
        await tb.configure(layer)
        await tb.run(layer, idle=idle, stall=stall)


@cocotb.test()
async def window_every_six_cycles(dut):
    """With the pixels there, an array that reads in 6 cycles never waits for a window."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        (_, along), (_, stride), (_, pad) = layer.k, layer.s, layer.p
        if min(stride, along) > 5 or along - pad > 5:
            continue  # more columns than there are cycles before the next read
        if layer.height > layer.params.row_slots(layer.k):
            continue  # not all pixels at once
        await tb.configure(layer)
        await tb.run(layer, every=READ_CYCLES, fill=layer.height * layer.width + 12)
        takes = np.diff(tb.taken)
        assert (takes == READ_CYCLES).all(), f"{layer.name}: {takes}"


@cocotb.test()
async def interval(dut):
    """Windows follow as fast as their columns come, one a cycle, and a cycle later."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        if layer.height > layer.params.row_slots(layer.k):
            continue
        await tb.configure(layer)
        await tb.run(layer, fill=layer.height * layer.width + 12)
        along, back = min(layer.s[1], layer.k[1]), layer.k[1] - layer.p[1]
        # Of seven columns that begin a row the first waits for no window.
        row = [min(back + 1, 7), *[along + 1] * (layer.plan.out_width - 1)]
        expected = (row * layer.plan.out_height)[1:]
        assert list(np.diff(tb.taken)) == expected, layer.name


@cocotb.test()
async def latency(dut):
    """A window is there 4 cycles after its last pixel, one more for each of its columns right of the image, and for
    each window before it in the row with the same last pixel."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        await tb.configure(layer)
        # Enough time after each pixel for whatever it completes.
        await tb.run(layer, gap=18)
        number = 0
        for y in range(layer.plan.out_height):
            for x in range(layer.plan.out_width):
                (high, wide), (down, along), (above, before) = layer.k, layer.s, layer.p
                right = x * along - before + wide - 1
                bottom = min(y * down - above + high, layer.height) - 1
                at = tb.sent[bottom * layer.width + min(right, layer.width - 1)]
                zeros = max(right - layer.width + 1, 0)
                below = y * down - above + high > layer.height
                shown = tb.offered[number]
                if below and y and (y - 1) * down - above + high >= layer.height:
                    assert shown >= at + 4, (
                        layer.name
                    )  # after the row of windows that ended on the same pixel
                else:
                    before_it = sum(n * along - before + wide >= layer.width for n in range(x))
                    assert shown == at + 4 + zeros + before_it, f"{layer.name}: window {y}, {x}"
                number += 1


@cocotb.test()
async def rows_ahead(dut):
    """While no window is taken, exactly the slots are filled; nothing needed is overwritten."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        if (layer.plan.out_width - 1) * min(layer.s[1], layer.k[1]) < 3:
            continue  # the reader is three columns ahead of the window, and so in the next row already
        frames = -(-layer.params.row_slots(layer.k) // layer.height) + 1
        shape = (layer.k, layer.s, layer.p, layer.height, layer.width)
        layer = Layer(layer.params, *shape, frames=frames, out=layer.out)
        pixels = layer.params.row_slots(layer.k) * layer.width
        await tb.configure(layer)
        await tb.run(layer, fill=pixels + 20)
        stopped = [cycle for cycle in tb.sent if cycle < pixels + 20]
        assert len(stopped) == pixels, f"{layer.name}: {len(stopped)} pixels taken"
        assert stopped[-1] == pixels - 1, f"{layer.name}: a pixel was refused before"


@cocotb.test(skip="layers" in parameters())
async def images_of_one_pixel(dut):
    """1×1 on 1×1: a window every other cycle."""
    tb = await bench(dut)
    layer = Layer(tb.params, 1, 1, 0, 1, 1, frames=200)
    await tb.configure(layer)
    await tb.run(layer)
    assert tb.taken == list(range(4, 404, 2))


@cocotb.test(skip=parameters()["buffer"]["width"] < 28)
async def lenet5_layers(dut):
    """5×5 on one channel and on six: a window every 6 cycles, from image to image as well."""
    tb = await bench(dut)
    for *shape, channels, frames in ((5, 1, 2, 28, 28, 1, 1), (5, 1, 0, 14, 14, 6, 2)):
        layer = Layer(tb.params, *shape, frames=frames, channels=channels)
        await tb.configure(layer)
        await tb.run(layer, every=READ_CYCLES)
        assert (np.diff(tb.taken) == READ_CYCLES).all(), layer.name


@cocotb.test()
async def interrupted(dut):
    """Reset and clear in the middle leave nothing behind."""
    tb = await bench(dut)
    for number, layer in enumerate(layers(tb.params, frames=2)[:: 1 if "layers" in parameters() else 5]):
        await tb.configure(layer)
        await tb.run(layer, stall=0.2, cycles=layer.random.randint(5, 100))
        if number % 2:
            dut.rst.value = 1
            await RisingEdge(dut.clk)
            dut.rst.value = 0
            await tb.begin()
        else:
            await tb.configure(layer)
        await tb.run(layer, idle=0.2, stall=0.2)


@cocotb.test()
async def without_configuration(dut):
    """With all configuration zero nothing is taken and nothing given; nor from the cycle after `clear` on."""
    tb = await bench(dut)
    dut.pixel__valid.value = 1
    dut.window__ready.value = 1
    for _ in range(20):
        await ReadOnly()
        assert not dut.pixel__ready.value
        assert not dut.window__valid.value
        await RisingEdge(dut.clk)
    await tb.configure(layers(tb.params, frames=1)[0])
    dut.clear.value = 1
    dut.pixel__valid.value = 1
    await ReadOnly()
    assert dut.pixel__ready.value
    for _ in range(3):
        await RisingEdge(dut.clk)
        await ReadOnly()
        assert not dut.pixel__ready.value
    await RisingEdge(dut.clk)


@cocotb.test()
async def alternating_layers(dut):
    """Images of two convolutions in turn, at changing paces."""
    tb = await bench(dut)
    for number, pair in enumerate(pairs(tb.params, frames=2)):
        idle, stall = PACES[number % len(PACES)]
        await tb.configure(pair)
        await tb.run(pair, idle=idle, stall=stall)


@cocotb.test()
async def interval_between_layers(dut):
    """Windows follow as fast as their columns come, from one layer's image to the other's as well."""
    tb = await bench(dut)
    run = 0
    for pair in pairs(tb.params, frames=1):
        if sum(layer.height for layer in pair.layers) > tb.params.row_slots(pair.layers[0].k):
            continue
        await tb.configure(pair)
        await tb.run(pair, fill=sum(layer.height * layer.width for layer in pair.layers) + 12)
        expected = []
        for layer in pair.layers:
            along, back = min(layer.s[1], layer.k[1]), layer.k[1] - layer.p[1]
            row = [min(back + 1, 7), *[along + 1] * (layer.plan.out_width - 1)]
            expected += row * layer.plan.out_height
        assert list(np.diff(tb.taken)) == expected[1:], pair.name
        run += 1
    assert run


@cocotb.test()
async def layers_in_place(dut):
    """The second layer's pixels come of the first one's windows, however few results there is room for."""
    tb = await bench(dut)
    for pair in in_place_pairs(tb.params, "in_place", frames=2):
        first, second = pair.layers
        in_place(tb.params, first.plan, second.plan)
        for number, (idle, stall) in enumerate(PACES):
            await tb.configure(pair)
            await tb.run(
                pair, idle=idle, stall=stall, delay=(1, 9, 2, 30)[number], depth=(1, 2, 1, 8)[number],
                every=(1, READ_CYCLES, 1, 1)[number],
            )  # fmt: skip


@cocotb.test()
async def refused_in_place(dut):
    """What `in_place` refuses for lack of slots comes to a standstill, where one result at a time has room."""
    tb = await bench(dut)
    for pair in in_place_pairs(tb.params, "not_in_place", frames=1):
        await tb.configure(pair)
        try:
            await tb.run(pair)
        except Standstill:
            continue
        raise AssertionError(f"{pair.name}: no standstill")


@cocotb.test()
async def interrupted_pairs(dut):
    """Reset and clear, at first within some image, then within the other layer's: it starts over with `config`."""
    tb = await bench(dut)
    layer_seen = set()
    for number, pair in enumerate(pairs(tb.params, frames=2)[:: 1 if "layers" in parameters() else 7]):
        await tb.configure(pair)
        first = pair.layers[0]
        least = 5 if number % 3 == 0 else first.height * first.width + 4
        await tb.run(pair, stall=0.2, cycles=pair.random.randint(least, least + 60))
        layer_seen.add(bool(dut.pixel_layer.value))
        if number % 2:
            dut.rst.value = 1
            await RisingEdge(dut.clk)
            dut.rst.value = 0
            await tb.begin()
        else:
            await tb.configure(pair)
        await tb.run(pair, idle=0.2, stall=0.2)
    assert layer_seen == {False, True}
