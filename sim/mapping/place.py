"""Where each piece stands: those that send to each other close together.

First the paper's relevance ranking (Re-ReRAM, section VII-C, algorithm 2): layer by layer, and in a layer element by
element, the pieces fill the smallest sets of PEs, quad after quad. Then simulated annealing, which swaps pieces as long
as the way of all streams together gets shorter.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence

from ohmweave.rtl.group import STEPS, mesh_position
from ohmweave.sim.mapping.cut import Piece
from ohmweave.sim.mapping.nets import nets

__all__ = ["Allowed", "Placement", "distance", "improved", "links", "ranked"]

Placement = dict[Piece, int]
#: Piece → the units on which it may stand; without an entry it may stand on all.
Allowed = Mapping[Piece, Collection[int]]

#: Swaps tried for each piece, and the temperatures, in links, at the beginning and at the end.
SWAPS = 3000
HOT, COLD = 3.0, 0.1
#: What a neighbour costs, in links: ways through PEs that have none are left open.
SPREAD = 0.3


def ranked(pieces: Sequence[Piece], units: Sequence[int], allowed: Allowed) -> Placement:
    """Pieces in their order on PEs in theirs: a PE's number counts quads, and quads of quads.

    Those that may stand on some PEs only come first, the one with the fewest before all others.
    """
    assert len(pieces) <= len(units)
    free = dict.fromkeys(units)
    found: Placement = {}
    for piece in sorted(pieces, key=lambda piece: len(allowed.get(piece, free))):
        found[piece] = next(unit for unit in free if unit in allowed.get(piece, free))
        del free[found[piece]]
    return {piece: found[piece] for piece in pieces}


def distance(pieces: Sequence[Piece], placement: Mapping[Piece, int]) -> int:
    """Links from the sources of all streams to each of their ends."""
    return sum(
        links(placement[net.source], placement[piece]) for net in nets(pieces) for piece, _ in net.sinks
    )


def links(here: int, there: int) -> int:
    """Links of the shortest way between two PEs."""
    (x, y), (to_x, to_y) = mesh_position(here), mesh_position(there)
    return abs(x - to_x) + abs(y - to_y)


def improved(
    pieces: Sequence[Piece],
    placement: Mapping[Piece, int],
    units: Sequence[int],
    allowed: Allowed,
    *,
    seed: int = 1,
) -> Placement:
    """A placement with shorter ways, on any of the units."""
    rng = random.Random(seed)
    number = {piece: index for index, piece in enumerate(pieces)}
    near: list[list[int]] = [[] for _ in pieces]
    for net in nets(pieces):
        for piece, _ in net.sinks:
            a, b = number[net.source], number[piece]
            near[a].append(b)
            near[b].append(a)
    spots = [mesh_position(unit) for unit in units]
    at = {spot: index for index, spot in enumerate(spots)}
    beside = [[at[x + dx, y + dy] for dx, dy in STEPS if (x + dx, y + dy) in at] for x, y in spots]
    may = [None if piece not in allowed else [unit in allowed[piece] for unit in units] for piece in pieces]
    spot_of = [units.index(placement[piece]) for piece in pieces]
    on_spot: list[int | None] = [None] * len(units)
    for index, spot in enumerate(spot_of):
        on_spot[spot] = index

    def cost(piece: int, spot: int, other: int | None, other_spot: int) -> float:
        x, y = spots[spot]
        total = 0.0
        for spot_beside in beside[spot]:
            if spot_beside == other_spot:
                total += SPREAD * (other is not None)
            elif on_spot[spot_beside] is not None and on_spot[spot_beside] != piece:
                total += SPREAD
        for each in near[piece]:
            to_x, to_y = spots[other_spot if each == other else spot_of[each]]
            total += abs(x - to_x) + abs(y - to_y)
        return total

    tries = SWAPS * len(pieces)
    for step in range(tries):
        moved, there = rng.randrange(len(pieces)), rng.randrange(len(units))
        here, other = spot_of[moved], on_spot[there]
        if here == there or not _on(may[moved], there):
            continue
        if other is not None and not _on(may[other], here):
            continue
        change = cost(moved, there, other, here) - cost(moved, here, None, 0)
        if other is not None:
            change += cost(other, here, moved, there) - cost(other, there, None, 0)
        heat = HOT * (COLD / HOT) ** (step / tries)
        if change <= 0 or rng.random() < math.exp(-change / heat):
            spot_of[moved], on_spot[there], on_spot[here] = there, moved, other
            if other is not None:
                spot_of[other] = here
    return {piece: units[spot] for piece, spot in zip(pieces, spot_of, strict=True)}


def _on(may: Sequence[bool] | None, spot: int) -> bool:
    return may is None or may[spot]
