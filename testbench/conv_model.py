"""Model of the convolution buffer: the windows by im2col, and when the handshakes come.

`Schedule` knows no rows, slots or counters, only the list of all columns in order and, of each, the pixel that it
waits for.
"""

import random

import numpy as np

from ohmweave.params import BufferParams
from ohmweave.rtl.conv_buffer import Convolution, conv_config
from ohmweave.testbench.runner import SEED

__all__ = ["Layer", "Schedule"]


class Layer:
    """One convolution and random images for it."""

    def __init__(
        self,
        params: BufferParams,
        k: int,
        s: int,
        p: int,
        height: int,
        width: int,
        *,
        frames: int,
        channels: int | None = None,
    ):
        self.params, self.k, self.s, self.p = params, k, s, p
        self.height, self.width = height, width
        self.lanes = params.pixel_lanes(k)
        channels = self.lanes if channels is None else channels
        self.plan: Convolution = conv_config(params, k, s, p, height, width, channels=channels)
        seed = SEED + hash((k, s, p, height, width)) % 10000
        rng = np.random.default_rng(seed)
        self.images = rng.integers(0, 2**params.act_bits, (frames, height, width, self.lanes))
        self.images[..., channels:] = 0
        self.name = f"{k}×{k} stride {s} pad {p} on {height}×{width}, {frames} images, seed {seed}"
        self.random = random.Random(seed)

    def pack(self, values: np.ndarray) -> int:
        """Lanes to a word, first lane lowest."""
        return sum(int(value) << n * self.params.act_bits for n, value in enumerate(values.reshape(-1)))

    def pixels(self) -> list[int]:
        """The payloads; what lies above the lanes of a pixel is noise."""
        used = self.lanes * self.params.act_bits
        noise = self.params.lanes * self.params.act_bits - used
        return [
            self.pack(pixel) | self.random.getrandbits(noise) << used if noise else self.pack(pixel)
            for pixel in self.images.reshape(-1, self.lanes)
        ]

    def windows(self) -> list[int]:
        """im2col: kernel columns first, then rows, then channels."""
        p, k, s = self.p, self.k, self.s
        padded = np.pad(self.images, ((0, 0), (p, p), (p, p), (0, 0)))
        return [
            self.pack(image[y : y + k, x : x + k].transpose(1, 0, 2))
            for image in padded
            for y in range(0, self.height + 2 * p - k + 1, s)
            for x in range(0, self.width + 2 * p - k + 1, s)
        ]


class Schedule:
    """When the handshakes of a layer come, from the formulas of the docstring of `ConvBuffer`.

    Column n of the run is read at the earliest one cycle after its last pixel was taken, one cycle after column
    n-1 was read, and in the cycle in which column n-1 enters the window; it enters the window at the earliest
    one cycle after it was read, and in the cycle in which the window before it is taken.
    """

    def __init__(self, layer: Layer):
        k, s, p, width, height = layer.k, layer.s, layer.p, layer.width, layer.height
        self.width = width
        self.slots = layer.params.row_slots(k)
        # (pixel it waits for or -1, first row that it or a later column needs, window complete, kept aside)
        self.columns: list[tuple[int, int, bool, bool]] = []
        for frame in range(len(layer.images)):
            for y in range(0, height + 2 * p - k + 1, s):
                end = 0
                for x in range(0, width + 2 * p - k + 1, s):
                    for column in range(max(end, x, p) - p, x + k - p):
                        bottom = min(y - p + k, height) - 1
                        pixel = (frame * height + bottom) * width + column if column < width else -1
                        aside = k == 7 and p == 0 and column == 0
                        top = frame * height + max(y - p, 0)
                        self.columns.append((pixel, top, column == x + k - 1 - p, aside))
                    end = x + k
        # After the last image the buffer waits for the next.
        self.columns.append((len(layer.images) * width * height + height * width, len(layer.images) * height,
                             False, False))  # fmt: skip
        self.pixels = 0
        self.next = 0
        self.held: tuple[bool, bool] | None = None
        self.valid = False

    @property
    def ready(self) -> bool:
        return self.pixels // self.width < self.columns[self.next][1] + self.slots

    def clock(self, pixel: bool, take: bool) -> None:
        """One rising edge after which these transfers have been made."""
        free = not self.valid or take
        if take:
            self.valid = False
        moves = self.held is not None and (free or self.held[1])
        read = None
        if self.held is None or moves:
            waits, _, last, aside = self.columns[self.next]
            if waits < self.pixels:
                read = (last, aside)
                self.next += 1
        if moves and self.held is not None:
            self.valid |= self.held[0]
            self.held = None
        if read is not None:
            self.held = read
        self.pixels += pixel
