"""Placement and routes that fit each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.place import improved, ranked
from ohmweave.sim.mapping.route import Crowded, Route, neighbour, routed

__all__ = ["Layout", "laid_out"]

#: Placements that are tried, and how much dearer a PE gets each time that a link beside it was one too few.
TRIES = 40
CROWDED = 0.3


@dataclass(frozen=True, eq=False)
class Layout:
    """Piece → unit, and a way for every stream."""

    placement: Mapping[Piece, int]
    routes: Sequence[Route]


def laid_out(cut: Cut, units: Sequence[int], entry: Sequence[int]) -> Layout:
    """Pieces on some units, and streams over the links between these.

    entry  units on which pieces that read the image may stand, the first of `units`
    """
    readers = sum(piece.reads(cut.image) for piece in cut.pieces)
    if readers > len(entry):
        raise OhmweaveError(
            f"the image goes to {readers} pieces, and a branch of the tree to {len(entry)} PEs"
        )
    placement = improved(cut, ranked(cut, units), units, entry=entry)
    crowded: Counter[int] = Counter()
    for seed in range(TRIES):
        try:
            return Layout(placement, routed(cut, placement, units))
        except Crowded as error:
            for link in error.links:
                crowded.update((link[0], neighbour(link)))
        prices = {unit: CROWDED * count for unit, count in crowded.items()}
        placement = improved(cut, placement, units, entry=entry, seed=seed + 2, crowded=prices)
    raise OhmweaveError(
        f"{len(cut.pieces)} pieces on {len(units)} PEs have more streams between them than the mesh has links"
    )
