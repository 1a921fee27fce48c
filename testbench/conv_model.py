"""Model of the convolution buffer: the windows by im2col, and when the handshakes come.

`Schedule` knows no slots or counters, only the list of all columns in order and, of each, the pixel that it waits for.
"""

import random
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

import numpy as np

from ohmweave.params import BufferParams, Kernel
from ohmweave.rtl.conv_buffer import Convolution, conv_config
from ohmweave.testbench.runner import SEED

__all__ = ["InPlace", "Layer", "Pair", "Schedule"]


def pair(value: Kernel) -> tuple[int, int]:
    """Rows and columns of what may be one number for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class Layer:
    """One convolution and random images for it."""

    def __init__(
        self,
        params: BufferParams,
        k: Kernel,
        s: Kernel,
        p: Kernel,
        height: int,
        width: int,
        *,
        frames: int,
        channels: int | None = None,
        fill: Sequence[int] = (0,),
        planes: int = 1,
        out: Sequence[int] | None = None,
    ):
        self.params = params
        # Rows and columns of each.
        self.k, self.s, self.p = pair(k), pair(s), pair(p)
        self.height, self.width = height, width
        self.lanes = params.pixel_lanes(k)
        channels = self.lanes if channels is None else channels
        self.planes = planes
        self.plan: Convolution = conv_config(
            params,
            k,
            s,
            p,
            height,
            width,
            channels=min(channels, self.lanes // planes),
            fill=fill,
            planes=planes,
            out=None if out is None else (out[0], out[1]),
        )
        self.out = self.plan[1:]
        self.fill = self._fill_lanes([*fill[:4], *[0] * (4 - len(fill))])
        seed = SEED + hash((k, s, p, height, width)) % 10000
        rng = np.random.default_rng(seed)
        self.images = rng.integers(0, 2**params.act_bits, (frames, height, width, self.lanes))
        self.images[..., channels:] = 0
        images = f"{frames} images of {height}×{width}"
        self.name = (
            f"{k} stride {s} pad {p} on {images}, fill {fill} of {planes} planes, out {out}, seed {seed}"
        )
        self.random = random.Random(seed)
        #: The layers of the images in the order in which they come.
        self.order: list[Layer] = [self] * frames
        self.layers: tuple[Layer, ...] = (self,)

    def _fill_lanes(self, values: Sequence[int]) -> np.ndarray:
        """Lanes of a pixel in the padding."""
        result = np.zeros(self.lanes, dtype=np.int64)
        plane_lanes = self.lanes // self.planes
        for plane in range(self.planes):
            for channel in range(plane_lanes):
                value = values[channel] if channel < 3 else values[3]
                bits = value >> plane * self.params.act_bits
                result[plane * plane_lanes + channel] = bits % (1 << self.params.act_bits)
        return result

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
        """im2col: kernel columns first, then rows, then channels, with the fill value around the image."""
        (pr, pc), (kr, kc), (sr, sc) = self.p, self.k, self.s
        frames, height, width, lanes = self.images.shape
        # Windows may reach further, if there are more of them than the padded image has.
        rows = max(height + 2 * pr, (self.out[0] - 1) * sr + kr)
        columns = max(width + 2 * pc, (self.out[1] - 1) * sc + kc)
        padded = np.empty((frames, rows, columns, lanes), dtype=np.int64)
        padded[:] = self.fill
        padded[:, pr : pr + height, pc : pc + width] = self.images
        return [
            self.pack(image[y : y + kr, x : x + kc].transpose(1, 0, 2))
            for image in padded
            for y in range(0, self.out[0] * sr, sr)
            for x in range(0, self.out[1] * sc, sc)
        ]


class Pair:
    """Images of two layers in turn; of the second as many as of the first, or one fewer."""

    def __init__(self, first: Layer, second: Layer):
        self.params = first.params
        self.layers = first, second
        self.order = self._alternate(first.order, second.order)
        self.name = f"{first.name} and {second.name}"
        self.random = first.random

    @staticmethod
    def _alternate(first: Sequence, second: Sequence) -> list:
        return [item for pair in zip_longest(first, second) for item in pair if item is not None]

    def _by_image(self, each: Callable[[Layer], list[int]]) -> list[int]:
        """What a layer gives, cut into its images, in the order of all images."""
        parts = []
        for layer in self.layers:
            words = each(layer)
            size = len(words) // len(layer.order)
            parts.append([words[at : at + size] for at in range(0, len(words), size)])
        return list(chain(*self._alternate(*parts)))

    def pixels(self) -> list[int]:
        return self._by_image(Layer.pixels)

    def windows(self) -> list[int]:
        return self._by_image(Layer.windows)


class InPlace(Pair):
    """Two layers of which the second's images are computed from the windows of the first.

    A window gives as many pixels as the second layer's images are wider than the first has columns of windows. Lane c
    of pixel n is the sum of the window's lanes c + n, c + n + L, c + n + 2L, ..., L being the lanes of a pixel.
    """

    def __init__(self, first: Layer, second: Layer):
        lanes, bits = second.lanes, first.params.act_bits
        results = second.width // first.out[1]
        images = []
        for window in first.windows():
            values = [
                window >> bits * n & (1 << bits) - 1 for n in range(first.params.window_lanes + results)
            ]
            for n in range(results):
                images.append([sum(values[n + c :: lanes]) % (1 << bits) for c in range(lanes)])
        second.images = np.array(images).reshape(second.images.shape)
        super().__init__(first, second)
        self.results = results
        #: Of each pixel, the windows that must have been taken before there is one; 0 for those from outside.
        self.needs: list[int] = []
        taken = 0
        for layer in self.order:
            if layer is first:
                self.needs += [0] * (layer.width * layer.height)
                before, taken = taken, taken + layer.out[0] * layer.out[1]
            else:
                self.needs += [before + n // results + 1 for n in range(layer.width * layer.height)]
                taken += layer.out[0] * layer.out[1]


class Schedule:
    """When the handshakes of images come, from the formulas of the docstring of `ConvBuffer`.

    Column n of the run is read at the earliest one cycle after its last pixel was taken, one cycle after column
    n-1 was read, and in the cycle in which column n-1 leaves the memories' outputs. It leaves them at the earliest one
    cycle after it was read, and in the cycle in which column n-1 enters the window; it enters the window at the
    earliest one cycle after that, and in the cycle in which the window before it is taken.
    """

    def __init__(self, images: Layer | Pair):
        order = images.order
        self.slots = order[0].params.row_slots(order[0].k)
        # (pixel it waits for or -1, first row that it or a later column needs, window complete, kept aside)
        self.columns: list[tuple[int, int, bool, bool]] = []
        # Complete rows and the layer of the next pixel, for each number of pixels; of each window its layer.
        self.rows: list[int] = []
        self.pixel_layers: list[bool] = []
        self.window_layers: list[bool] = []
        row = 0
        # One image more: after the last one the buffer waits for the next.
        for frame, layer in enumerate([*order, images.layers[len(order) % len(images.layers)]]):
            (kr, kc), (sr, sc), (pr, pc) = layer.k, layer.s, layer.p
            width, height = layer.width, layer.height
            other = bool(frame % len(images.layers))
            first = len(self.rows)
            if frame == len(order):
                self.columns.append((first + height * width, row, False, False))
            for y in range(0, layer.out[0] * sr, sr) if frame < len(order) else ():
                end = 0
                for x in range(0, layer.out[1] * sc, sc):
                    self.window_layers.append(other)
                    for column in range(max(end, x, pc) - pc, x + kc - pc):
                        bottom = min(y - pr + kr, height) - 1
                        pixel = first + bottom * width + column if column < width else -1
                        aside = kc == 7 and pc == 0 and column == 0
                        top = row + max(y - pr, 0)
                        self.columns.append((pixel, top, column == x + kc - 1 - pc, aside))
                    end = x + kc
            self.rows += [row + n // width for n in range(height * width)]
            self.pixel_layers += [other] * (height * width)
            row += height
        self.pixels = 0
        self.windows = 0
        self.next = 0
        self.held: tuple[bool, bool] | None = None  # at the memories' outputs: completes, is kept aside
        self.column: tuple[bool, bool] | None = None  # before the window
        self.valid = False

    def _room(self, more: int) -> bool:
        """Whether the row so many after the one being written has a place."""
        return self.rows[self.pixels] + more < self.columns[self.next][1] + self.slots

    @property
    def ready(self) -> bool:
        return self._room(0)

    @property
    def spare(self) -> bool:
        return self._room(1)

    @property
    def pixel_layer(self) -> bool:
        return self.pixel_layers[self.pixels]

    @property
    def window_layer(self) -> bool:
        """Of the window that is valid."""
        return self.window_layers[self.windows]

    def clock(self, pixel: bool, take: bool) -> None:
        """One rising edge after which these transfers have been made."""
        free = not self.valid
        if take:
            self.valid = False
            self.windows += 1
        enters = self.column is not None and (free or self.column[1])
        moves = self.held is not None and (self.column is None or enters)
        read = None
        if self.held is None or moves:
            waits, _, last, aside = self.columns[self.next]
            if waits < self.pixels:
                read = (last, aside)
                self.next += 1
        if enters and self.column is not None:
            self.valid |= self.column[0]
            self.column = None
        if moves:
            self.column, self.held = self.held, None
        if read is not None:
            self.held = read
        self.pixels += pixel
