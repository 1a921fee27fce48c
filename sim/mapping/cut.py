"""Stages cut into pieces, one a PE, and the streams of pixels between them.

A stage is cut by its rows into a row of PEs that add partial sums up, and by its output channels into as many such rows
as it shall have. What the last PEs of the rows give are slices of the result's channels. Where a reader needs channels
of several slices they are put together pixel by pixel on the way, in a chain of the PEs that make them; other slices
stay streams of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.splitter import MAX_MERGED
from ohmweave.sim.graph import Graph, Tensor
from ohmweave.sim.mapping.connect import channelwise, connected, narrowed, of_channels
from ohmweave.sim.mapping.flow import check_flow
from ohmweave.sim.merging import merged
from ohmweave.sim.pe_config import leaving_bits
from ohmweave.sim.space_to_depth import Blocks, space_to_depth
from ohmweave.sim.stages import Stage
from ohmweave.sim.tiling import Tiling, tile

__all__ = ["Cut", "Cutter", "Piece", "Stream"]

Pair = tuple[int, int]


@dataclass(eq=False)
class Stream:
    """A run of a tensor's channels, pixel after pixel; its pieces put their slices of it one behind the other.

    channels  (first, behind the last) of the tensor
    bits      of a number
    pieces    that make it, in the order of their channels; none where it is the image, which the host sends
    """

    tensor: Tensor
    channels: Pair
    bits: int
    pieces: list["Piece"] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.channels[1] - self.channels[0]

    @property
    def source(self) -> "Piece":
        """The piece from which all of it leaves."""
        return self.pieces[-1]


@dataclass(eq=False)
class Piece:
    """What one PE does.

    stage     the stage of the network
    tiling    of the stage, or of those channels of it that it takes alone
    place     in the row of PEs that add sums up
    gives     channels of the stage's result that its row computes, (first, behind the last)
    outs      the same in the tiling's output, those of all windows that share a read of the array
    main      what it reads
    first     channel of the stage's tensors that is the tiling's channel 0
    side      what it adds; None for nothing
    partial   the piece whose sums it adds its own to; None for the first of a row
    stream    that its results are part of; None if they are partial sums
    """

    stage: Stage
    tiling: Tiling
    place: int
    gives: Pair
    outs: Pair
    main: Stream
    first: int
    side: Stream | None = None
    partial: "Piece | None" = None
    stream: Stream | None = None

    @property
    def channels(self) -> int:
        """Channels of the stage's result that its row gives."""
        return self.gives[1] - self.gives[0]

    @property
    def final(self) -> bool:
        return self.place == len(self.tiling.shares) - 1

    def reads(self, stream: Stream) -> bool:
        return stream in (self.main, self.side)

    @property
    def before(self) -> "Piece | None":
        """The piece whose slice of the stream stands before this one's."""
        if self.stream is None:
            return None
        at = self.stream.pieces.index(self)
        return self.stream.pieces[at - 1] if at else None


@dataclass(frozen=True, eq=False)
class Cut:
    """All pieces of a network, those of a stage one after the other, and the streams of what it reads and gives.

    blocks  in which the image's pixels are sent; None: one by one
    """

    pieces: Sequence[Piece]
    image: Stream
    output: Stream
    blocks: Blocks | None = None

    def of(self, stage: str) -> list[Piece]:
        """The pieces of a stage."""
        return [piece for piece in self.pieces if piece.stage.name == stage]


class Cutter:
    """Cuts the stages of a graph, or a run of them; `OhmweaveError` says why they cannot all be on a chip at once.

    run  (first, behind the last) of the stages, the first of which reads all that comes from those before them
    """

    def __init__(self, graph: Graph, pe: PEParams, run: Pair | None = None):
        self._pe = pe
        self._tilings: dict[Stage, Tiling] = {}
        self._shared: dict[Stage, int] = {}
        self.stages = connected(graph)[slice(*run or (None,))]
        self._blocks = self._in_blocks() if run is None or run[0] == 0 else None
        check_flow(self.stages, pe)
        self._alone = {stage for stage in self.stages if channelwise(stage)}

    def _in_blocks(self) -> Blocks | None:
        """Have the image's pixels come in blocks if that lets windows of the stage that reads it share a read."""
        first, *others = self.stages
        again = any(first.main.name in (each.main.name, each.side and each.side.name) for each in others)
        found = None if again else space_to_depth(first)
        if found is None or self._sharing(found[0]) <= self._sharing(first):
            return None
        self.stages = [found[0], *others]
        return found[1]

    def cut(self, rows: Mapping[str, int] | None = None) -> Cut:
        """The pieces of all stages.

        rows  stage → rows of PEs that it is cut into by its output channels, if more than it has to
        """
        found = self.stages
        slices = {stage.result.name: self._slices(stage, (rows or {}).get(stage.name, 1)) for stage in found}
        comes = found[0].main
        image = Stream(comes, (0, comes.shape[0]), comes.bits)
        streams: dict[str, list[Stream]] = {comes.name: [image]}
        for stage in found:
            name = stage.result.name
            # What leaves the chip, or comes to it again, is one stream.
            whole = stage.raw or stage is found[-1]
            wanted = [(0, stage.out_channels)] if whole else self._wanted(name, slices)
            bits = leaving_bits(stage)
            streams[name] = [
                Stream(stage.result, channels, bits) for channels in _groups(slices[name], wanted)
            ]
        pieces: list[Piece] = []
        for stage in found:
            for outs in slices[stage.result.name]:
                pieces += self._row(stage, outs, slices[stage.result.name], streams)
        for name, parts in streams.items():
            for stream in parts:
                _check_turns(name, stream, self._pe)
        return Cut(pieces, image, streams[found[-1].result.name][0], self._blocks)

    def _tile(self, stage: Stage) -> Tiling:
        if stage not in self._tilings:
            self._tilings[stage] = tile(stage, self._pe)
        return self._tilings[stage]

    def most_rows(self, name: str) -> int:
        """Rows of PEs that a stage can be cut into: one for each block of results, or for a part of one."""
        stage = next(stage for stage in self.stages if stage.name == name)
        return -(-stage.out_channels // self._block_of_results) * self._sharing(stage)

    @property
    def _block_of_results(self) -> int:
        return self._pe.array.columns_at_once

    def _sharing(self, stage: Stage) -> int:
        """The most windows that can share a read of the array where a row has a part of a block of results."""
        if stage not in self._shared:
            self._shared[stage] = 1
            for count in (2**bit for bit in range(1, MAX_MERGED.bit_length())):
                width, left = divmod(self._block_of_results, count)
                if left or width >= stage.out_channels:
                    continue
                if merged(of_channels(stage, (0, width)), self._pe).merged == count:
                    self._shared[stage] = count
        return self._shared[stage]

    def _slices(self, stage: Stage, rows: int) -> list[Pair]:
        """Runs of output channels that a row of PEs computes each, whole blocks of results or equal parts of them."""
        least = self._tile(stage)
        width = least.passes[0][1] - least.passes[0][0]
        if rows > len(least.passes):
            block = self._block_of_results
            blocks = -(-stage.out_channels // block)
            width = min(width, -(-blocks // rows) * block)
            if rows >= 2 * blocks:
                width = min(width, block >> min(rows // blocks, self._sharing(stage)).bit_length() - 1)
        starts = range(0, stage.out_channels, width)
        return [(first, min(first + width, stage.out_channels)) for first in starts]

    def _wanted(self, name: str, slices: Mapping[str, Sequence[Pair]]) -> list[Pair]:
        """Runs of a tensor's channels that readers need in one stream."""
        wanted: list[Pair] = []
        for stage in self.stages:
            if stage.main.name == name:
                wanted += slices[stage.result.name] if stage in self._alone else self._tile(stage).shares
            if stage.side is not None and stage.side.name == name:
                wanted += slices[stage.result.name]
        return wanted

    def _row(
        self, stage: Stage, outs: Pair, slices: Sequence[Pair], streams: Mapping[str, Sequence[Stream]]
    ) -> list[Piece]:
        """The pieces of a row."""
        first, columns = 0, outs
        if len(slices) > 1 and stage in self._alone:
            tiling, first, columns = tile(narrowed(stage, outs), self._pe), outs[0], (0, outs[1] - outs[0])
        elif (whole := merged(part := of_channels(stage, outs), self._pe)) is not part:
            tiling, columns = tile(whole, self._pe), (0, whole.out_channels)
        else:
            tiling = replace(self._tile(stage), passes=tuple(slices))
        row: list[Piece] = []
        for place, (start, end) in enumerate(tiling.shares):
            main = _holding(streams[stage.main.name], (first + start, first + end))
            row.append(
                Piece(stage, tiling, place, outs, columns, main, first, partial=row[-1] if row else None)
            )
        last = row[-1]
        if stage.side is not None:
            last.side = _holding(streams[stage.side.name], outs)
        last.stream = _holding(streams[stage.result.name], outs)
        last.stream.pieces.append(last)
        return row


def _groups(slices: Sequence[Pair], wanted: Sequence[Pair]) -> list[Pair]:
    """Slices put together as far as readers need it."""
    groups: list[Pair] = []
    for first, behind in slices:
        if groups and any(start < first < end for start, end in wanted):
            groups[-1] = (groups[-1][0], behind)
        else:
            groups.append((first, behind))
    return groups


def _holding(streams: Sequence[Stream], channels: Pair) -> Stream:
    """The stream that some channels are in."""
    return next(
        stream
        for stream in streams
        if stream.channels[0] <= channels[0] and channels[1] <= stream.channels[1]
    )


def _check_turns(name: str, stream: Stream, pe: PEParams) -> None:
    """Slices that are put together have to be whole flits."""
    if len(stream.pieces) < 2:
        return
    for piece in stream.pieces:
        bits = piece.channels * stream.bits
        if bits % pe.link_bits:
            raise OhmweaveError(
                f"{name} would be put together of parts of {bits} bits a pixel, "
                f"which are no whole flits of {pe.link_bits} bits"
            )
