"""A compiled network: everything that is sent to a chip, and how its results are read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.array_loader import row_writes
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.network.config_receiver import config_packet

__all__ = ["Program", "Stage", "packets"]

#: Flits of a raw result, a logit of 32 bits.
RAW_FLITS = 2


def packets(unit: int, writes: Iterable[tuple[int, int]]) -> list[int]:
    """Configuration flits that make `unit` do (address, data) writes in order; runs of addresses share a packet."""
    flits: list[int] = []
    run: list[int] = []
    start = 0
    for address, word in writes:
        if run and address == start + len(run):
            run.append(word)
            continue
        if run:
            flits += config_packet(unit, start, run)
        start, run = address, [word]
    return flits + config_packet(unit, start, run) if run else flits


@dataclass(frozen=True)
class Stage:
    """One layer on the chip: its name and the PEs that run it."""

    name: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A network compiled for a chip.

    levels        unit → conductance level of each cell of its array, uint8 (rows, cols)
    config        flits for the host port that configure the chip, bit 16 of each set; arrays not included
    input_shape   (channels, height, width) of an image
    classes       results of an image
    stages        where each layer runs
    """

    params: GroupParams
    levels: Mapping[int, np.ndarray]
    config: np.ndarray
    input_shape: tuple[int, int, int]
    classes: int
    stages: tuple[Stage, ...]

    @property
    def outputs_per_frame(self) -> int:
        """Flits that leave the chip for an image."""
        return self.classes * RAW_FLITS

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Flits of each image, uint16 (N, flits): the top act_bits bits of each pixel, packed without gaps."""
        channels, height, width = self.input_shape
        if images.ndim == 3:
            images = images[..., None]
        if images.dtype != np.uint8 or images.shape[1:] != (height, width, channels):
            raise OhmweaveError(
                f"images must be uint8 of {height}×{width}×{channels}, not {images.dtype} of "
                f"{'×'.join(map(str, images.shape[1:]))}"
            )
        act_bits = self.params.pe.buffer.act_bits
        per_flit = self.params.pe.link_bits // act_bits
        values = (images.reshape(len(images), -1) >> (8 - act_bits)).astype(np.uint16)
        values = np.pad(values, ((0, 0), (0, -values.shape[1] % per_flit)))
        shifts = np.arange(per_flit, dtype=np.uint16) * np.uint16(act_bits)
        return np.bitwise_or.reduce(values.reshape(len(images), -1, per_flit) << shifts, axis=2)

    def decode(self, flits: np.ndarray) -> np.ndarray:
        """Logits of each image, int32 (N, classes), from the flits that left the chip."""
        halves = np.ascontiguousarray(flits, dtype="<u2").reshape(len(flits), self.outputs_per_frame)
        return halves.view("<i4").astype(np.int32)

    def array_config(self) -> np.ndarray:
        """Flits that program every array row by row, in place of loading `levels` directly."""
        flits: list[int] = []
        for unit, levels in self.levels.items():
            for row, cells in enumerate(levels):
                writes = row_writes(self.params.pe.array, row, cells)
                flits += packets(unit, ((Region.ARRAY.address(local), word) for local, word in writes))
        return np.array(flits, dtype=np.uint32)
