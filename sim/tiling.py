"""How a stage is cut into shares that single PEs can run, and how its pixels travel on a link.

Rows: a PE takes as many channels of the input as its convolution buffer holds for the kernel; a stage of more is
split over PEs that add partial sums up. Kernels of one pixel use more of the array: the receiver cuts a pixel of many
channels into several words next to each other, which a window of that many columns puts together again. The pixels of
a side tensor are cut up in the same way.
Columns: a PE has columns for so many channels of the output; a stage of more is cut into passes, which rows of PEs
side by side do at once as far as the chip has PEs (`ohmweave.sim.compiler`), and else one after the other.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.reram_half.signs import sign_scheme, slices_of
from ohmweave.sim.second_buffer import side_channels, word_channels
from ohmweave.sim.stages import Stage

__all__ = ["Columns", "Tiling", "tile"]

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Columns:
    """What stands in the columns of a pass where some blocks of results were pruned: these are not read.

    weights  of all columns, (columns, input channels, rows, columns of the kernel)
    blocks   that are read, ascending: the channels of the pass, all blocks of them full but the last perhaps
    """

    weights: np.ndarray
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class Tiling:
    """A stage cut up.

    planes      bit planes of a number of the main tensor
    slices      bit slices of a weight
    words       words of the buffer that a pixel becomes
    shares      channels that each PE of a row of them takes of the input, (first, behind the last)
    passes      channels of the output that one row of PEs computes, (first, behind the last)
    kernel      rows and columns of the window in the buffer
    lanes       lanes of the buffer that a pixel takes
    together    passes that run at once, each on a row of PEs of its own
    """

    stage: Stage
    planes: int
    slices: int
    words: int
    shares: tuple[Pair, ...]
    passes: tuple[Pair, ...]
    kernel: Pair
    lanes: int
    together: int = 1

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def parts(self) -> tuple["Tiling", ...]:
        """Of two layers on one PE (`ohmweave.sim.two_layers`) there are two."""
        return (self,)

    @property
    def rounds(self) -> tuple[tuple[Pair, ...], ...]:
        """The passes that run at once, one round after the other."""
        return tuple(
            self.passes[first : first + self.together] for first in range(0, len(self.passes), self.together)
        )

    @property
    def pes(self) -> int:
        """PEs that work at once."""
        return len(self.shares) * len(self.rounds[0])

    def word(self, tile: int) -> int:
        """Channels of a word in the buffer of a PE."""
        first, behind = self.shares[tile]
        return -(-(behind - first) // self.words)

    @property
    def map_size(self) -> Pair:
        """Height and width of the map in the buffer."""
        height, width = self.stage.map_size
        return (height, width * self.words)

    @property
    def stride(self) -> Pair:
        return (self.stage.stride[0], self.stage.stride[1] * self.words)

    @property
    def reads(self) -> int:
        """Reads of the array for one block of results of a window."""
        return self.planes * self.slices

    @cached_property
    def windows(self) -> int:
        """Windows of a frame."""
        height, width = self.stage.conv_size
        return height * width

    def weights(self, tile: int, first: int, behind: int) -> np.ndarray:
        """Weights of a PE's rows for a pass, (window lanes used, channels): every plane has the same."""
        return self.rows(tile, self.stage.weights[first:behind])

    def rows(self, tile: int, weights: np.ndarray) -> np.ndarray:
        """The same of other weights than the stage's, of any number of channels."""
        (start, end), word = self.shares[tile], self.word(tile)
        taken = weights[:, start:end]
        out, channels, rows, columns = taken.shape
        padded = np.zeros((out, self.words * word, rows, columns), np.int16)
        padded[:, :channels] = taken
        # The columns of the window are those of the kernel, each of them `words` words wide.
        taps = padded.reshape(out, self.words, word, rows, columns).transpose(4, 1, 3, 2, 0)
        lanes = np.zeros((columns * self.words, rows, self.planes, self.lanes // self.planes, out), np.int16)
        lanes[:, :, :, :word] = taps.reshape(-1, rows, 1, word, out)
        return lanes.reshape(-1, out)


def tile(stage: Stage, pe: PEParams) -> Tiling:
    """Cut a stage for PEs of a kind; `OhmweaveError` says what a PE cannot do."""
    array, buffer = pe.array, pe.buffer
    planes = stage.main.bits // buffer.act_bits
    if planes * buffer.act_bits != stage.main.bits or planes not in (1, 2, 4):
        raise OhmweaveError(
            f"its input must have {', '.join(str(each * buffer.act_bits) for each in (1, 2, 4))} bits, "
            f"not {stage.main.bits}"
        )
    slices = slices_of(max(stage.weight_bits, array.cell_bits), array)
    rows, columns = stage.kernel
    for side, size in (("height", rows), ("width", columns)):
        if size > buffer.max_kernel:
            raise OhmweaveError(f"its window's {side} must be at most {buffer.max_kernel}, not {size}")
    channels = stage.main.shape[0]
    words = _words(stage, pe, planes)
    kernel = (rows, columns * words)
    lanes = buffer.pixel_lanes(kernel)
    capacity = lanes // planes
    if not capacity:
        raise OhmweaveError(
            f"its input of {stage.main.bits} bits does not fit beside a window of {rows}×{columns} pixels"
        )
    tiles = -(-channels // (capacity * words))
    share = -(-channels // tiles)
    # Columns of a block of channels, all slices and signs of its weights, which no pass can do with fewer.
    block = array.columns_at_once * slices * sign_scheme(array).signs
    if block > array.cols:
        raise OhmweaveError(
            f"{array.columns_at_once} channels of {stage.weight_bits}-bit weights take {block} columns, "
            f"and the array has {array.cols}"
        )
    outs = array.cols // block * array.columns_at_once
    # They wait in the second buffer.
    if stage.side is not None:
        outs = min(outs, side_channels(stage, pe))
    if stage.pool is not None:
        outs = min(outs, word_channels(stage.result.bits, pe))
    if not outs:
        raise OhmweaveError("its results do not fit into the second buffer")
    passes = -(-stage.out_channels // outs)
    step = -(-stage.out_channels // passes)
    if outs >= array.columns_at_once:  # whole blocks of results
        step = min(-(-step // array.columns_at_once), outs // array.columns_at_once) * array.columns_at_once
    return Tiling(
        stage=stage,
        planes=planes,
        slices=slices,
        words=words,
        shares=tuple((first, min(first + share, channels)) for first in range(0, channels, share)),
        passes=tuple(
            (first, min(first + step, stage.out_channels)) for first in range(0, stage.out_channels, step)
        ),
        kernel=kernel,
        lanes=lanes,
    )


def _words(stage: Stage, pe: PEParams, planes: int) -> int:
    """Words that a pixel becomes: more than one only for windows of one pixel."""
    buffer = pe.buffer
    if stage.kernel != (1, 1) or any(stage.pads) or stage.spread != (1, 1):
        return 1
    channels, lanes = stage.main.shape[0], buffer.lanes // planes
    wanted = -(-channels // lanes)
    room = min(buffer.max_kernel, buffer.width // stage.map_size[1], buffer.window_lanes // buffer.lanes)
    for words in range(min(wanted, room), 1, -1):
        share = -(-channels // -(-channels // (lanes * words)))
        # Every PE's share has to become as many words.
        takes = {min(share, channels - first) for first in range(0, channels, share)}
        if all(-(-take // -(-take // words)) == words for take in takes):
            return words
    return 1
