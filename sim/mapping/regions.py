"""Where the copies of a network's sections stand: each has branches of the trees for itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.group import mesh_position, mesh_unit
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.place import Placement

__all__ = ["Region", "regions", "started"]


@dataclass(frozen=True)
class Region:
    """Branches of a copy, by their numbers, next to each other: flits come to the first and leave by the last."""

    branches: tuple[int, ...]

    @property
    def entry(self) -> int:
        return self.branches[0]

    @property
    def exit(self) -> int:
        return self.branches[-1]


def regions(sections: Sequence[Sequence[Cut]], params: GroupParams) -> list[list[Region]]:
    """One for each copy of each section.

    A copy gets as many whole branches as it fills, at least one. The first section's copies follow each other in the
    order of their entries, the last section's in that of their exits, as images are dealt out and results collected.
    """
    below = params.entry_pes
    sizes = [len(cut.pieces) for copies in sections for cut in copies]
    if len(sizes) > params.entries:
        raise OhmweaveError(
            f"{len(sizes)} copies of sections need as many entries, and the chip has {params.entries}"
        )
    counts = [max(1, size // below) for size in sizes]
    while sum(counts) > params.entries:
        counts[counts.index(max(counts))] -= 1
    # Large ones beside small ones, of which each leaves a part of its branch to them.
    order = sorted(range(len(sizes)), key=lambda copy: (-sizes[copy], copy))
    mixed = [order.pop(0) if number % 2 == 0 else order.pop() for number in range(len(sizes))]
    free = iter(dict.fromkeys(unit // below for unit in _along(params.side)))
    made = {copy: Region(tuple(next(free) for _ in range(counts[copy]))) for copy in mixed}
    found, copy = [], 0
    for number, cuts in enumerate(sections):
        mine = [made[copy + each] for each in range(len(cuts))]
        last = number == len(sections) - 1
        found.append(sorted(mine, key=lambda region: region.exit if last else region.entry))
        copy += len(cuts)
    return found


def started(
    sections: Sequence[Sequence[Cut]], places: Sequence[Sequence[Region]], params: GroupParams
) -> tuple[Placement, dict[Piece, range]]:
    """A first placement, and the units on which pieces may stand that read what enters, or give what leaves."""
    below = params.entry_pes

    along = _along(params.side)

    def units(branch: int) -> range:
        return range(branch * below, (branch + 1) * below)

    allowed: dict[Piece, range] = {}
    placement: Placement = {}
    free = dict.fromkeys(range(params.pes))
    late: list[tuple[Piece, Region]] = []
    for cut, region in zip(chain(*sections), chain(*places), strict=True):
        for piece in cut.pieces:
            if piece.reads(cut.image):
                allowed[piece] = units(region.entry)
            if piece is cut.output.source:
                if allowed.get(piece, units(region.exit)) != units(region.exit):
                    raise OhmweaveError(
                        f"{piece.stage.name} both reads what enters and gives what leaves its section"
                    )
                allowed[piece] = units(region.exit)
        own = [unit for unit in along if unit // below in region.branches]
        for piece in sorted(cut.pieces, key=lambda piece: piece not in allowed):
            spot = next((unit for unit in own if unit in free and unit in allowed.get(piece, own)), None)
            if spot is not None:
                placement[piece] = spot
                del free[spot]
            elif piece in allowed:
                raise OhmweaveError(
                    f"what enters goes to more pieces of {piece.stage.name} than the {below} PEs of a branch"
                )
            else:
                late.append((piece, region))
    for piece, region in late:
        spots = [mesh_position(unit) for branch in region.branches for unit in units(branch)]
        x, y = (sum(axis) / len(spots) for axis in zip(*spots, strict=True))
        placement[piece] = min(free, key=lambda unit: _distance(mesh_position(unit), (x, y)))
        del free[placement[piece]]
    return placement, allowed


def _distance(here: tuple[float, float], there: tuple[float, float]) -> float:
    return abs(here[0] - there[0]) + abs(here[1] - there[1])


def _along(side: int) -> list[int]:
    """The PEs of a mesh along Hilbert's curve: each is beside the one before, and each branch is a run of it."""
    found = []
    for number in range(side * side):
        x = y = 0
        for bit in range(side.bit_length() - 1):
            size, quarter = 1 << bit, number >> (2 * bit) & 3
            if quarter == 0:
                x, y = y, x
            elif quarter == 3:
                x, y = size - 1 - y, size - 1 - x
            x, y = x + size * (quarter in (2, 3)), y + size * (quarter in (1, 2))
        found.append(mesh_unit(x, y))
    return found
