"""Placement and routes that fit each other."""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.group import mesh_position, mesh_unit
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.nets import nets
from ohmweave.sim.mapping.place import Allowed, Placement, improved, links, ranked
from ohmweave.sim.mapping.route import Link, Route, Router

__all__ = ["Layout", "laid_out"]

#: Placements that are tried, and crowded links of one with which it ends at once.
TRIES, HOPELESS = 4, 40
#: Swaps beside crowded links for each of them, so near, after which nets are routed anew so many times.
MOVES, NEAR, AGAIN = 3000, 2, 25
#: Links by which ways may get longer at once, what one costs of a crowded link, and how likely it gets worse.
LONGER, WAY, HEAT = 6, 0.1, 0.3


@dataclass(frozen=True, eq=False)
class Layout:
    """Piece → unit, and a way for every stream."""

    placement: Mapping[Piece, int]
    routes: Sequence[Route]

    def repeated(self, copies: Sequence[Cut], block: int) -> "Layout":
        """The same for cuts like the one that is laid out, each so many units behind the one before."""
        placement: dict[Piece, int] = {}
        routes: list[Route] = []
        first = list(self.placement)
        at = {route.net.source: route for route in self.routes}
        for number, cut in enumerate(copies):
            step = number * block
            for net, piece in zip(nets(cut.pieces), first, strict=True):
                placement[net.source] = self.placement[piece] + step
                if piece in at:
                    links = tuple((unit + step, side) for unit, side in at[piece].links)
                    routes.append(replace(at[piece], net=net, links=links))
        return Layout(placement, routes)


def laid_out(
    pieces: Sequence[Piece], units: Sequence[int], allowed: Allowed, begin: Placement | None = None
) -> Layout:
    """Pieces on some units, and streams over the links between these.

    Where there are too few links pieces beside them change places, as long as fewer and fewer are missing.

    allowed  where some of the pieces may stand
    begin    the first placement; None: by relevance
    """
    for seed in range(1, TRIES + 1):
        placement = improved(pieces, begin or ranked(pieces, units, allowed), units, allowed, seed=seed)
        router = Router(pieces, units)
        crowded = router.route(placement)
        if len(crowded) > HOPELESS:
            break
        if _mended(pieces, placement, units, allowed, router, crowded, seed):
            return Layout(placement, router.routes)
    raise OhmweaveError(
        f"{len(pieces)} pieces on {len(units)} PEs have more streams between them than the mesh has links"
    )


def _mended(
    pieces: Sequence[Piece],
    placement: Placement,
    units: Sequence[int],
    allowed: Allowed,
    router: Router,
    crowded: set[Link],
    seed: int,
) -> bool:
    """Whether pieces beside crowded links found places, in `placement`, from which all nets have links of their own."""
    rng = random.Random(seed)
    inside = set(units)
    at = {unit: piece for piece, unit in placement.items()}
    near: dict[Piece, list[tuple[Piece, Piece]]] = {piece: [] for piece in pieces}
    for net in nets(pieces):
        for piece, _ in net.sinks:
            near[net.source].append((net.source, piece))
            near[piece].append((net.source, piece))
    for _ in range(MOVES):
        if not crowded:
            return True
        link = rng.choice(sorted(crowded))
        here = rng.choice(_around(link[0], NEAR, inside))
        there = rng.choice(_around(link[0], NEAR + 1, inside))
        moved, other = at.get(here), at.get(there)
        if moved is None or here == there or there not in allowed.get(moved, inside):
            continue
        if other is not None and here not in allowed.get(other, inside):
            continue
        ends = {end for piece in (moved, other) if piece is not None for end in near[piece]}
        before = sum(links(placement[a], placement[b]) for a, b in ends)
        _swap(placement, at, here, there)
        longer = sum(links(placement[a], placement[b]) for a, b in ends) - before
        if longer <= LONGER:
            saved = router.save()
            left = router.route(placement, AGAIN)
            worse = len(left) - len(crowded) + WAY * longer
            if worse <= 0 or rng.random() < math.exp(-worse / HEAT):
                crowded = left
                continue
            router.restore(saved)
        _swap(placement, at, here, there)
    return not crowded


def _around(unit: int, far: int, inside: Collection[int]) -> list[int]:
    """Units in a square around one."""
    x, y = mesh_position(unit)
    columns, rows = (range(max(0, middle - far), middle + far + 1) for middle in (x, y))
    return [near for row in rows for column in columns if (near := mesh_unit(column, row)) in inside]


def _swap(placement: Placement, at: dict[int, Piece], here: int, there: int) -> None:
    """Let the pieces of two units, if there are any, change places."""
    pieces = at.pop(here, None), at.pop(there, None)
    for piece, unit in zip(pieces, (there, here), strict=True):
        if piece is not None:
            placement[piece] = unit
            at[unit] = piece
