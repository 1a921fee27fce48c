"""A compiled program: everything that is sent to a chip, and how numbers go in and results come out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.array_loader import row_writes
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.network.config_receiver import config_packet
from ohmweave.sim.frames import flits_per_frame, pack, unpack
from ohmweave.sim.space_to_depth import Blocks

__all__ = ["Inbound", "Outbound", "Placed", "Program", "packets"]


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
class Placed:
    """One stage on the chip: its name and the PEs that run it."""

    name: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class Inbound:
    """A pixel on the link into the chip: numbers of the main tensor, then, if there is one, of the side tensor.

    channels, bits            of the main tensor
    side_channels, side_bits  of the side tensor; 0 channels without one
    blocks                    of the main tensor's pixels that are one pixel here; None: each is one
    """

    channels: int
    bits: int
    side_channels: int = 0
    side_bits: int = 0
    blocks: Blocks | None = None

    @property
    def _grain(self) -> int:
        """Both tensors' numbers start at multiples of their bits."""
        return max(self.bits, self.side_bits)

    @property
    def main_bits(self) -> int:
        """Bits from the pixel's start to its side tensor's numbers."""
        if not self.side_channels:
            return self.channels * self.bits
        return -(-self.channels * self.bits // self._grain) * self._grain

    @property
    def pixel_bits(self) -> int:
        return (
            self.main_bits + -(-self.side_channels * self.side_bits // self._grain) * self._grain
            if (self.side_channels)
            else self.main_bits
        )

    def flits(self, main: np.ndarray, side: np.ndarray | None, link_bits: int) -> np.ndarray:
        """Flits (N, F) of maps (N, height, width, channels); `side` lies on the first pixels of `main`'s grid."""
        if self.blocks is not None:
            main = self.blocks.of(main)
        count, height, width, _ = main.shape
        parts = [(_padded(main, self.main_bits // self.bits), self.bits)]
        if side is not None:
            grid = np.zeros((count, height, width, side.shape[3]), side.dtype)
            grid[:, : side.shape[1], : side.shape[2]] = side
            channels = (self.pixel_bits - self.main_bits) // self.side_bits
            parts.append((_padded(grid, channels), self.side_bits))
        return pack([(values.reshape(count, height * width, -1), bits) for values, bits in parts], link_bits)


def _padded(values: np.ndarray, channels: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, 0), (0, 0), (0, channels - values.shape[3])))


@dataclass(frozen=True)
class Outbound:
    """A map as it leaves the chip: (channels, height, width) of numbers of `bits` bits, perhaps signed.

    rows, turn  channels 0, 1, … of a pixel are those of so many rows of PEs, which send `turn` of theirs at a time;
                0 for all of them
    """

    shape: tuple[int, int, int]
    bits: int
    signed: bool
    rows: int = 1
    turn: int = 0

    @property
    def numbers(self) -> int:
        channels, height, width = self.shape
        return channels * height * width

    def values(self, flits: np.ndarray) -> np.ndarray:
        """(N, height, width, channels), int64, from flits (N, F)."""
        channels, height, width = self.shape
        values = unpack(flits, self.numbers, self.bits, signed=self.signed)
        if self.turn:
            values = values.reshape(len(flits), height * width, -1, self.rows, self.turn).swapaxes(2, 3)
        return values.reshape(len(flits), height, width, channels)


def _in_turn(maps: np.ndarray) -> np.ndarray:
    """Flits (frames, copies · F) of a frame's maps (frames, copies, F), one of each in turn."""
    return np.ascontiguousarray(maps.swapaxes(1, 2)).reshape(len(maps), -1)


@dataclass(frozen=True)
class Program:
    """Stages compiled for a chip.

    levels    unit → conductance level of each cell of its array, uint8 (rows, cols)
    config    flits for the host port that configure the chip, bit 16 of each set; arrays not included
    inbound   how maps are sent
    outbound  how results come
    stages    where each stage runs
    copies    of the stages: each takes a map of its own, and a frame is made up of a map for each copy, flit by flit
              in turn, as the trees deal them out; the results come one copy after the other
    entry_copies  how many copies get their flits by each entry of the chip, the first ones by the first; none: all
                  frames go to host_in
    """

    params: GroupParams
    levels: Mapping[int, np.ndarray]
    config: np.ndarray
    inbound: Inbound
    outbound: Outbound
    stages: tuple[Placed, ...]
    copies: int = 1
    entry_copies: tuple[int, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """Unit → the stages that it runs."""
        found: dict[int, list[str]] = {}
        for stage in self.stages:
            for unit in stage.units:
                found.setdefault(unit, []).append(stage.name)
        return {unit: " and ".join(names) for unit, names in found.items()}

    @property
    def outputs_per_frame(self) -> int:
        """Flits that leave the chip for a frame."""
        each = flits_per_frame(self.outbound.numbers, self.outbound.bits, self.params.pe.link_bits)
        return self.copies * each

    def encode(self, main: np.ndarray, side: np.ndarray | None = None) -> np.ndarray:
        """Flits (frames, F) of maps (N, height, width, channels); those that fill the last frame up are zeros.

        With `entry_copies` they are (frames, entries, F); zeros fill up those of entries with fewer copies.
        """
        flits = self.inbound.flits(main, side, self.params.pe.link_bits)
        if self.copies == 1 and not self.entry_copies:
            return flits
        filled = np.pad(flits, ((0, -len(flits) % self.copies), (0, 0)))
        maps = filled.reshape(-1, self.copies, flits.shape[1])
        if not self.entry_copies:
            return _in_turn(maps)
        found = np.zeros(
            (len(maps), len(self.entry_copies), max(self.entry_copies) * flits.shape[1]), flits.dtype
        )
        behind = np.cumsum(self.entry_copies)
        for entry, (end, count) in enumerate(zip(behind, self.entry_copies, strict=True)):
            found[:, entry, : count * flits.shape[1]] = _in_turn(maps[:, end - count : end])
        return found

    def entry_flits(self, frames: np.ndarray) -> tuple[int, ...] | None:
        """Flits at each entry of a frame of those that `encode` made."""
        if not self.entry_copies:
            return None
        each = frames.shape[2] // max(self.entry_copies)
        return tuple(count * each for count in self.entry_copies)

    def decode(self, flits: np.ndarray, count: int | None = None) -> np.ndarray:
        """Results (N, height, width, channels), the first `count` of them, from the flits that left the chip."""
        return self.outbound.values(flits.reshape(len(flits) * self.copies, -1))[:count]

    def array_config(self) -> np.ndarray:
        """Flits that program every array row by row, in place of loading `levels` directly."""
        flits: list[int] = []
        for unit, levels in self.levels.items():
            for row, cells in enumerate(levels):
                writes = row_writes(self.params.pe.array, row, cells)
                flits += packets(unit, ((Region.ARRAY.address(local), word) for local, word in writes))
        return np.array(flits, dtype=np.uint32)
