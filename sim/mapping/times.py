"""Cycles that each part of a piece is at work for a frame: what bounds how soon frames follow each other."""

from collections.abc import Iterable
from dataclasses import dataclass

from ohmweave.params import PEParams
from ohmweave.sim.frames import flits_per_frame
from ohmweave.sim.mapping.cut import Piece, Stream
from ohmweave.sim.pe_config import leaving_bits, partial_bits
from ohmweave.sim.stage_program import blocks
from ohmweave.sim.tiling import Tiling

__all__ = ["Times", "longest", "net_flits", "piece_times", "stream_flits", "tiling_times"]


@dataclass(frozen=True)
class Times:
    """Cycles for a frame.

    array     reads of the array
    sums      flits of the partial sums that come from the PE before
    flits_in  flits of the longest stream that comes in, or pixels where these are more
    flits_out  flits of the stream that leaves, with the slices of other pieces that it has by then
    """

    array: int
    sums: int
    flits_in: int
    flits_out: int

    @property
    def longest(self) -> int:
        return max(self.array, self.sums, self.flits_in, self.flits_out)

    @property
    def binds(self) -> str:
        """What takes longest."""
        return next(
            name
            for name, cycles in (
                ("array", self.array),
                ("partial sums", self.sums),
                ("input", self.flits_in),
                ("output", self.flits_out),
            )
            if cycles == self.longest
        )


def longest(times: Iterable[Times]) -> Times:
    """Of several PEs what takes any of them longest, one by one."""
    each = list(times)
    return Times(
        array=max(time.array for time in each),
        sums=max(time.sums for time in each),
        flits_in=max(time.flits_in for time in each),
        flits_out=max(time.flits_out for time in each),
    )


def piece_times(piece: Piece, pe: PEParams) -> Times:
    tiling = piece.tiling
    channels = piece.outs[1] - piece.outs[0]
    sums = 0
    if len(tiling.shares) > 1:
        sums = flits_per_frame(tiling.windows * channels, partial_bits(tiling), pe.link_bits)
    flits_out = 0
    if piece.stream is not None:
        behind = piece.stream.pieces.index(piece) + 1
        count = sum(each.channels for each in piece.stream.pieces[:behind])
        pixels = tiling.stage.result.shape[1] * tiling.stage.result.shape[2]
        flits_out = flits_per_frame(pixels * count, piece.stream.bits, pe.link_bits)
    feeds = [piece.main] if piece.side is None else [piece.main, piece.side]
    return Times(
        array=tiling.windows * tiling.reads * blocks(channels, pe) * pe.array.read_cycles,
        sums=sums,
        flits_in=max(_taken(stream, pe) for stream in feeds),
        flits_out=flits_out,
    )


def _taken(stream: Stream, pe: PEParams) -> int:
    """Cycles in which a PE takes a frame in: a flit a cycle, and a pixel a cycle."""
    _, height, width = stream.tensor.shape
    return max(stream_flits(stream, pe), height * width)


def net_flits(source: Piece, pe: PEParams) -> int:
    """Flits of a frame that leave a piece's PE: its part of a stream and what comes before it, or partial sums."""
    times = piece_times(source, pe)
    return times.flits_out if source.final else times.sums


def tiling_times(tiling: Tiling, pe: PEParams) -> Times:
    """Of a stage that is alone on the chip: its longest row of PEs, as often as it has to go round."""
    stage, rounds = tiling.stage, len(tiling.rounds)
    channels = max(behind - first for first, behind in tiling.passes)
    together = sum(behind - first for first, behind in tiling.rounds[0]) // stage.merged
    sums = tiling.windows * channels if len(tiling.shares) > 1 else 0
    inputs, height, width = stage.sent_shape
    bits_in = inputs * stage.main.bits + (0 if stage.side is None else together * stage.side.bits)
    _, out_height, out_width = stage.result.shape
    return Times(
        array=rounds * tiling.windows * tiling.reads * blocks(channels, pe) * pe.array.read_cycles,
        sums=rounds * flits_per_frame(sums, partial_bits(tiling), pe.link_bits),
        flits_in=rounds * flits_per_frame(height * width, bits_in, pe.link_bits),
        flits_out=rounds
        * flits_per_frame(out_height * out_width * together, leaving_bits(stage), pe.link_bits),
    )


def stream_flits(stream: Stream, pe: PEParams) -> int:
    """Flits of a frame."""
    _, height, width = stream.tensor.shape
    return flits_per_frame(height * width * stream.count, stream.bits, pe.link_bits)
