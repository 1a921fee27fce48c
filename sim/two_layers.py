"""Two layers of a chain on one PE: they share the array by its columns, and take turns at it.

The second layer reads what the first one makes without its leaving the PE (Re-ReRAM, sections V and VII, figure 12).
Two ways:

- The results go to the other buffer, whatever their size, and the layers take turns by windows.
- Where the first layer does not enlarge its map, and the buffer holds a frame, the results are written over the
  inputs that are done with, in the same buffer, and the layers take turns by whole frames. No pixel comes in meanwhile,
  so that the PEs before wait; but the layers need not have inputs of as many bits.
"""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.params import PEParams
from ohmweave.rtl.conv_buffer import in_place as check_in_place
from ohmweave.rtl.encoding import Instruction
from ohmweave.rtl.indexing_filter import index_table
from ohmweave.rtl.isa import Place
from ohmweave.rtl.reram_half.signs import sign_scheme
from ohmweave.rtl.sender import sender_config
from ohmweave.sim.growth import MAX_GROWTH, grown
from ohmweave.sim.pe_config import (
    Share,
    array_cells,
    bordered,
    cell_levels,
    main_buffer,
    main_receiver,
    program_place,
    share_writes,
    split,
    splitter,
    spreader,
    wide_bits,
)
from ohmweave.sim.stage_program import arithmetic, blocks, constants, frame_in, read_frame
from ohmweave.sim.tiling import Tiling

__all__ = ["TwoLayers", "two_layers", "two_layers_config"]

#: The last block at which the second layer's can begin.
LAST_FIRST = 31


@dataclass(frozen=True)
class TwoLayers:
    """Two layers for one PE; `in_place`: both have their maps in one buffer."""

    first: Tiling
    second: Tiling
    in_place: bool

    #: PEs that they take.
    pes = 1

    @property
    def parts(self) -> tuple[Tiling, ...]:
        return (self.first, self.second)

    @property
    def name(self) -> str:
        return f"{self.first.name} + {self.second.name}"


def two_layers(
    first: Tiling, second: Tiling, pe: PEParams, *, in_place: bool | None = None
) -> TwoLayers | None:
    """Two layers, the second of which reads the first, for one PE; None if they do not fit one.

    in_place  whether in one buffer; by default only if they cannot have one each
    """
    if not _fit(first, second, pe):
        return None
    # The windows of both buffers are read by one instruction.
    if not in_place and first.planes == second.planes:
        return TwoLayers(first, second, in_place=False)
    return None if in_place is False else _in_place(first, second, pe)


def _in_place(first: Tiling, second: Tiling, pe: PEParams) -> TwoLayers | None:
    if prod(second.stage.main.shape) > prod(first.stage.main.shape):
        return None
    for growth in sorted(product(range(MAX_GROWTH + 1), repeat=4), key=sum):
        try:
            one, other = grown(first, growth[:2], pe), grown(second, growth[2:], pe)
            check_in_place(pe.buffer, main_buffer(one, pe, 0), main_buffer(other, pe, 0))
        except OhmweaveError:
            continue
        if _fit(one, other, pe):
            return TwoLayers(one, other, in_place=True)
    return None


def _fit(first: Tiling, second: Tiling, pe: PEParams) -> bool:
    array = pe.array
    if any(len(each.shares) > 1 or len(each.passes) > 1 for each in (first, second)):
        return False
    if any(each.stage.pool is not None or each.stage.side is not None for each in (first, second)):
        return False
    # The second layer's pixels come as the arithmetic half makes them.
    whole = second.stage.sent == (1, 1) and second.stage.expanded is None
    straight = whole and second.words == 1 and second.stage.spread == (1, 1) and not bordered(second)
    room = first.stage.out_channels * second.planes <= pe.buffer.lanes >> _groups(second, pe)
    if first.stage.raw or first.slices != second.slices or not straight or not room:
        return False
    counts = [blocks(each.stage.out_channels, pe) for each in (first, second)]
    groups = first.slices * sign_scheme(array).signs
    return (
        counts[0] <= LAST_FIRST
        and sum(counts) * groups <= array.colmux
        and _vectors(first, pe) + _vectors(second, pe) <= pe.vectors
    )


def _groups(tiling: Tiling, pe: PEParams) -> int:
    """How a pixel is laid out for the buffer: of one plane in its lowest lanes, above which nothing is looked at."""
    return split(tiling, pe) if tiling.planes > 1 else 0


def _vectors(tiling: Tiling, pe: PEParams) -> int:
    return -(-tiling.stage.out_channels // pe.alu_lanes)


def two_layers_config(pair: TwoLayers, pe: PEParams, *, link_channels: int) -> Share:
    """What a PE is sent for two layers.

    link_channels  channels of the first layer's input that a pixel on the link has, whatever they are
    """
    layers = pair.parts
    first, second = layers
    channels = [each.stage.out_channels for each in layers]
    made = [
        arithmetic(each.stage, first=True, final=True, channels=count, stays=each is first)
        for each, count in zip(layers, channels, strict=True)
    ]
    row = _vectors(first, pe)
    settings: dict[str, Any] = {
        "buffers": [main_buffer(each, pe, 0).config for each in layers],
        "main": main_receiver(first, pe, 0, link_channels),
        "spreader": spreader(first, pe, 0),
        "pooling": 1,
        "splitter": splitter(first.stage, pe, channels[0]),
        "reram": {
            "length": len(program := _reading(pair, pe)),
            "windows": [each.windows - 1 for each in layers],
            "split": [split(each, pe) for each in layers],
            "in_place": int(pair.in_place),
        },
        "arithmetic": {
            "post": program_place(made[0].post, first=0, pixels=first.windows, channels=channels[0]),
            "pool": program_place(
                made[1].post, first=len(made[0].post), pixels=second.windows, channels=channels[1], row=row
            ),
            "second": 1,
            "groups": _groups(second, pe),
            "planes": second.planes.bit_length() - 1,
        },
        "sender": sender_config(wide_bits=wide_bits(second.stage)),
        "enable": 1,
    }
    cells = [
        cell_levels(each, pe, each.weights(0, 0, count)) for each, count in zip(layers, channels, strict=True)
    ]
    writes = share_writes(
        pe,
        settings,
        index=index_table(()),
        reading=program,
        arithmetic=made[0].post + made[1].post,
        constants=[
            *constants(made[0], pe, 0, channels[0]),
            *constants(made[1], pe, 0, channels[1], row=row),
        ],
    )
    return Share(array_cells(pe, *cells), writes)


def _reading(pair: TwoLayers, pe: PEParams) -> list[Instruction]:
    """The ReRAM half's program."""
    first, second = pair.first, pair.second
    behind = blocks(first.stage.out_channels, pe)
    last = behind + blocks(second.stage.out_channels, pe) - 1
    if pair.in_place:
        reads = [
            read_frame(first, blocks=behind - 1),
            read_frame(second, src=Place.BUFFER_1, first=behind, blocks=last),
        ]
    else:
        more = max(first, second, key=lambda layer: layer.windows)
        reads = [read_frame(more, src=Place.BOTH_BUFFERS, first=behind, blocks=last)]
    return [frame_in(first, 0), *reads]
