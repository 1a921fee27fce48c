"""Testbench of the convolution buffer: every window of whole images, every cycle of the handshakes.

What comes and when is told by the model in `conv_model`.
"""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer import ConvConfig
from ohmweave.testbench.conv_model import Layer, Schedule
from ohmweave.testbench.runner import SEED
from ohmweave.testbench.stream import PACES, parameters, start

READ_CYCLES = 6  # between two windows that a busy array takes
MARGIN = 64  # cycles without any transfer that are a hang


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
        self._config().value = 0
        await start(self.dut)

    def idle(self) -> None:
        self.dut.pixel__valid.value = 0
        self.dut.pixel__payload.value = 0
        self.dut.window__ready.value = 0

    def _config(self) -> Any:
        return self.dut["config"]

    async def configure(self, layer: Layer) -> None:
        """Change the configuration under `clear`; a pixel that is taken together with it is forgotten."""
        self.idle()
        self.dut.clear.value = 1
        self._config().value = ConvConfig(self.params).const(layer.plan.config).as_bits()
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
        self, layer: Layer, *, idle: float = 0.0, stall: float = 0.0, every: int = 1, fill: int = 0,
        gap: int = 0, cycles: int | None = None,
    ) -> None:  # fmt: skip
        """Stream the layer's images through, checking everything in every cycle.

        every   the consumer takes a window only so many cycles after the one before
        fill    it takes none in the first so many cycles
        gap     idle cycles after each pixel
        cycles  stop after so many, wherever that is
        """
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
            dut.pixel__valid.value = int(offer)
            dut.pixel__payload.value = pixels[sent] if offer else layer.random.getrandbits(16)
            dut.window__ready.value = int(ready)
            await ReadOnly()
            took_pixel = offer and bool(dut.pixel__ready.value)
            valid = bool(dut.window__valid.value)
            assert bool(dut.pixel__ready.value) == schedule.ready, f"{at}: pixel.ready in cycle {self.cycle}"
            assert valid == schedule.valid, f"{at}: window.valid in cycle {self.cycle}"
            if valid and not was_valid:
                self.offered.append(self.cycle)
            if valid and (ready or not was_valid):
                got = int(dut.window__payload.value)
                assert got == windows[len(self.taken)], f"{at}: window {len(self.taken)} is {got:x}"
            await RisingEdge(dut.clk)
            schedule.clock(took_pixel, valid and ready)
            pause = gap if took_pixel else max(pause - 1, 0)
            if took_pixel:
                self.sent.append(self.cycle)
            was_valid = valid and not ready
            if valid and ready:
                self.taken.append(self.cycle)
                last_take = self.cycle
            quiet = 0 if took_pixel or (valid and ready) else quiet + 1
            assert quiet < MARGIN + max(gap, fill), f"{at}: nothing moves from cycle {self.cycle - quiet} on"
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
        if along == 7 and (stride == 7 or (pad == 0 and (stride == 6 or layer.plan.out_width == 1))):
            continue  # the exceptions: 7 columns for each window, or no cycle to read one ahead
        if layer.height > layer.params.row_slots(layer.k):
            continue  # not all pixels at once
        await tb.configure(layer)
        await tb.run(layer, every=READ_CYCLES, fill=layer.height * layer.width + 12)
        takes = np.diff(tb.taken)
        assert (takes == READ_CYCLES).all(), f"{layer.name}: {takes}"


@cocotb.test()
async def interval(dut):
    """Windows follow as fast as their columns come, one a cycle."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        if layer.height > layer.params.row_slots(layer.k):
            continue
        await tb.configure(layer)
        await tb.run(layer, fill=layer.height * layer.width + 12)
        along, back = min(layer.s[1], layer.k[1]), layer.k[1] - layer.p[1]
        row = [back, *[along] * (layer.plan.out_width - 1)]
        expected = (row * layer.plan.out_height)[1:]
        assert list(np.diff(tb.taken)) == expected, layer.name


@cocotb.test()
async def latency(dut):
    """A window is there 3 cycles after its last pixel, and one more for each of its columns right of the image."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        await tb.configure(layer)
        # Enough time after each pixel for whatever it completes.
        await tb.run(layer, gap=12)
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
                    assert shown >= at + 3, (
                        layer.name
                    )  # after the row of windows that ended on the same pixel
                else:
                    assert shown == at + 3 + zeros, f"{layer.name}: window {y}, {x}"
                number += 1


@cocotb.test()
async def rows_ahead(dut):
    """While no window is taken, exactly the slots are filled; nothing needed is overwritten."""
    tb = await bench(dut)
    for layer in layers(tb.params, frames=1):
        if (layer.plan.out_width - 1) * min(layer.s[1], layer.k[1]) < 2:
            continue  # the reader is two columns ahead of the window, and so in the next row already
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
    """1×1 on 1×1: a window every cycle."""
    tb = await bench(dut)
    layer = Layer(tb.params, 1, 1, 0, 1, 1, frames=200)
    await tb.configure(layer)
    await tb.run(layer)
    assert tb.taken == list(range(3, 203))


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
