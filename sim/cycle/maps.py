"""What receivers and convolution buffers make of flits: words, vectors of the side stream, and images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohmweave.params import PEParams
from ohmweave.rtl.conv_buffer.geometry import UNITS
from ohmweave.rtl.elements import FORMAT_BITS
from ohmweave.rtl.fill import FILL_VALUES
from ohmweave.sim.frames import flits_per_frame, unpack

__all__ = ["Images", "Maps"]

#: Windows that are worked on at once: an array of them has some megabytes.
CHUNK = 4096


@dataclass
class Images:
    """Images of a convolution buffer, with the padding that its windows reach."""

    padded: np.ndarray  # (images, rows, columns, lanes of a pixel)
    stride: tuple[int, int]
    kernel: tuple[int, int]
    size: tuple[int, int]
    lanes: int

    @property
    def count(self) -> int:
        return len(self.padded) * self.size[0] * self.size[1]

    def windows(self) -> Iterator[np.ndarray]:
        """All windows, some at a time: (n, lanes)."""
        (rows, columns), (down, along), (high, wide) = self.kernel, self.stride, self.size
        each = max(1, CHUNK // wide)
        for image in self.padded:
            every = np.lib.stride_tricks.sliding_window_view(image, (rows, columns), (0, 1))
            every = every[: (high - 1) * down + 1 : down, : (wide - 1) * along + 1 : along]
            # Rows, columns of windows, lanes, rows, columns of the window: the column counts most, then the row.
            for first in range(0, high, each):
                part = every[first : first + each].transpose(0, 1, 4, 3, 2)
                found = np.zeros((part.shape[0] * wide, self.lanes), image.dtype)
                found[:, : rows * columns * part.shape[4]] = part.reshape(len(found), -1)
                yield found

    def all(self) -> np.ndarray:
        return np.concatenate(list(self.windows()) or [np.zeros((0, self.lanes), np.uint16)])


class Maps:
    """What comes into one PE.

    stage  its `StageConfig`
    """

    def __init__(self, params: PEParams, stage: Any):
        self._params, self._stage = params, stage

    def words(self, flits: np.ndarray, name: str) -> np.ndarray:
        """Words (n, lanes) of whole frames that a receiver makes of flits."""
        config, buffer = self._stage[name], self._params.buffer
        planes = 1 << config["planes"]
        bits = planes * buffer.act_bits
        before, taken = config["before"], config["last_taken"] + 1
        channels, pixels = before + taken + config["after"], config["last_pixel"] + 1
        numbers = _frames(flits, pixels * channels, bits, self._params.link_bits, signed=False)
        numbers = numbers.reshape(-1, channels)[:, before : before + taken]
        each = config["last_lane"] + 1
        numbers = np.pad(numbers, ((0, 0), (0, -taken % each))).reshape(-1, each)
        words = np.zeros((len(numbers), buffer.lanes), np.uint16)
        for plane in range(planes):
            place = plane * config["plane_lanes"]
            part = (numbers >> (plane * buffer.act_bits)) & ((1 << buffer.act_bits) - 1)
            words[:, place : place + each] |= part[:, : buffer.lanes - place].astype(np.uint16)
        return words

    def main(self, flits: np.ndarray) -> Images | None:
        """Images in buffer 0 of the frames that come from the network."""
        if not flits.size:
            return None
        words, config = self.words(flits, "main"), self._stage["spreader"]
        if config["spread"]:
            high, wide = config["last_y"] + 1, config["last_x"] + 1
            rows = np.arange(config["top"], config["end_y"] + 1, config["gap_y"] + 1)
            columns = np.arange(config["left"], config["end_x"] + 1, config["gap_x"] + 1)
            maps = words.reshape(-1, len(rows), len(columns), words.shape[1])
            spread = np.empty((len(maps), high, wide, words.shape[1]), words.dtype)
            spread[:] = self._fill(config["fill"])
            spread[:, rows[:, None], columns] = maps
            words = spread.reshape(-1, words.shape[1])
        return self.images(0, words)

    def _fill(self, fill: object) -> np.ndarray:
        """The word that stands for no pixel."""
        buffer = self._params.buffer
        word = np.zeros(buffer.lanes, np.uint16)
        each = fill["plane_lanes"]  # type: ignore[index]
        values = [int(value) for value in fill["values"]]  # type: ignore[index]
        for plane in range(1 << fill["planes"]):  # type: ignore[index]
            for channel in range(min(each, buffer.lanes - plane * each)):
                value = values[min(channel, FILL_VALUES - 1)]
                word[plane * each + channel] = (value >> (plane * buffer.act_bits)) & (
                    (1 << buffer.act_bits) - 1
                )
        return word

    def images(self, number: int, words: np.ndarray) -> Images | None:
        """The images that a buffer makes of words."""
        config, buffer = self._stage["buffers"][number], self._params.buffer
        if not config["kernel"]:
            return None
        lanes = buffer.lanes * (config["group_step"] or UNITS) // UNITS
        high, wide = config["in_height"], config["in_width"]
        whole = len(words) // (high * wide)
        images = words[: whole * high * wide].reshape(whole, high, wide, -1)[..., :lanes]
        rows, columns = config["kernel"], config["columns"]
        above, before = config["pad"], columns - config["first_columns"]
        down, along = config["stride"], config["next_columns"] + config["skip"]
        size = (config["last_y"] + 1, config["last_x"] + 1)
        below = max((size[0] - 1) * down + rows - above - high, 0)
        behind = max((size[1] - 1) * along + columns - before - wide, 0)
        padded = np.empty((whole, above + high + below, before + wide + behind, lanes), words.dtype)
        padded[:] = self._fill(config["fill"])[:lanes]
        padded[:, above : above + high, before : before + wide] = images
        return Images(padded, (down, along), (rows, columns), size, buffer.window_lanes)

    def side(self, flits: np.ndarray) -> np.ndarray | None:
        """Vectors (n, lanes) of the side stream, one after the other."""
        if not flits.size:
            return None
        config, lanes = self._stage["side"], self._params.alu_lanes
        width = config["width"]
        if not width:
            return None
        units = width // 4
        taken = config["last_vector"] * lanes + config["last_count"] + 1
        before, after = config["before"] // units, config["after"] // units
        channels, pixels = before + taken + after, config["last_pixel"] + 1
        numbers = _frames(
            flits, pixels * channels, width, self._params.link_bits, signed=bool(config["signed"])
        )
        numbers = numbers.reshape(-1, channels)[:, before : before + taken]
        return np.pad(numbers, ((0, 0), (0, -taken % lanes))).reshape(-1, lanes)

    def stays(self, pixels: np.ndarray) -> Images | None:
        """The images that results (pixels, channels) become in the second buffer, or in place."""
        half, buffer = self._stage["arithmetic"], self._params.buffer
        planes = 1 << half["planes"]
        width = buffer.lanes >> half["groups"] >> half["planes"]
        channels = min(pixels.shape[1], width)
        words = np.zeros((len(pixels), buffer.lanes), np.uint16)
        for plane in range(planes):
            part = (pixels[:, :channels] >> (plane * buffer.act_bits)) & ((1 << buffer.act_bits) - 1)
            words[:, plane * width : plane * width + channels] = part
        config = self._stage["splitter"]
        if config["last"]:
            shifted = []
            for pixel in range(config["last"] + 1):
                word = np.zeros_like(words)
                offset = pixel * config["channels"]
                word[:, : buffer.lanes - offset] = words[:, offset:]
                shifted.append(word)
            words = np.stack(shifted, axis=1).reshape(-1, buffer.lanes)
        return self.images(1, words)


def _frames(flits: np.ndarray, numbers: int, bits: int, link_bits: int, *, signed: bool) -> np.ndarray:
    """Numbers (frames, numbers) of all whole frames of flits."""
    per = flits_per_frame(numbers, bits, link_bits)
    whole = flits[: len(flits) // per * per].reshape(-1, per)
    if bits % min(FORMAT_BITS.values()) == 0:
        return unpack(whole, numbers, bits, signed=signed)
    raw = np.unpackbits(np.ascontiguousarray(whole).view(np.uint8), axis=1, bitorder="little")
    places = raw[:, : numbers * bits].reshape(len(whole), numbers, bits)
    return places @ (1 << np.arange(bits, dtype=np.int64))
