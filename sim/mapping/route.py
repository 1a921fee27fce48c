"""The links that each stream takes: none is taken twice, since nothing arbitrates between streams.

Negotiated congestion: all streams are routed by the shortest way, over links that others take as well if they must, and
again and again while what a shared link costs grows, until none is shared (the method of FPGA routers).
"""

import heapq
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.group import STEPS, mesh_position, mesh_unit, opposite
from ohmweave.sim.mapping.cut import Cut, Piece
from ohmweave.sim.mapping.nets import Net, nets

__all__ = ["Crowded", "Route", "neighbour", "routed"]

#: A link: the unit that it leaves, and the side, north, east, south, west.
Link = tuple[int, int]

ROUNDS = 200
#: What a link costs more for each stream too many, now and in the rounds before.
SHARED, PAST = 0.5, 1.0
GROWTH, MOST = 1.15, 20.0


class Crowded(OhmweaveError):
    """Some links would have to carry two streams."""

    def __init__(self, links: Collection[Link]):
        super().__init__(
            f"{len(links)} links of the mesh would carry two streams each: no other ways are left"
        )
        self.links = links


@dataclass(frozen=True, eq=False)
class Route:
    """A net's way: a tree of links.

    links  that it takes, each after the one that leads to it
    """

    net: Net
    links: tuple[Link, ...]

    @property
    def comes(self) -> dict[int, int]:
        """Unit → the side from which the net comes there."""
        return {neighbour(link): opposite(link[1]) for link in self.links}


def neighbour(link: Link) -> int:
    """The unit that a link leads to."""
    (x, y), (dx, dy) = mesh_position(link[0]), STEPS[link[1]]
    return mesh_unit(x + dx, y + dy)


def routed(cut: Cut, placement: Mapping[Piece, int], units: Sequence[int]) -> list[Route]:
    """A route for every net over the links between some units; `Crowded` if there are too few."""
    inside = set(units)
    ahead = {unit: list(_links_of(unit, inside)) for unit in units}
    todo = [
        (net, placement[net.source], {placement[piece] for piece, _ in net.sinks})
        for net in nets(cut)
        if net.sinks
    ]
    taken: dict[Link, int] = {link: 0 for links in ahead.values() for link, _ in links}
    past = dict.fromkeys(taken, 0.0)
    trees: list[tuple[Link, ...]] = [()] * len(todo)
    for round_ in range(ROUNDS):
        penalty = min(SHARED * GROWTH**round_, MOST)
        shared = {link for link, count in taken.items() if count > 1}
        for index, (_, source, ends) in enumerate(todo):
            if round_ and not shared.intersection(trees[index]):
                continue
            for link in trees[index]:
                taken[link] -= 1
            trees[index] = _tree(source, ends, ahead, taken, past, penalty)
            for link in trees[index]:
                taken[link] += 1
        shared = {link for link, count in taken.items() if count > 1}
        if not shared:
            return [Route(net, tree) for (net, _, _), tree in zip(todo, trees, strict=True)]
        for link in shared:
            past[link] += PAST * (taken[link] - 1)
    raise Crowded(shared)


def _links_of(unit: int, inside: set[int]) -> Iterator[tuple[Link, int]]:
    x, y = mesh_position(unit)
    for side, (dx, dy) in enumerate(STEPS):
        if x + dx >= 0 and y + dy >= 0 and (to := mesh_unit(x + dx, y + dy)) in inside:
            yield (unit, side), to


def _tree(
    source: int,
    ends: set[int],
    ahead: Mapping[int, Sequence[tuple[Link, int]]],
    taken: Mapping[Link, int],
    past: Mapping[Link, float],
    penalty: float,
) -> tuple[Link, ...]:
    """The cheapest tree that was found: from what there is of it to the end that is nearest, and so on."""
    tree: dict[int, None] = {source: None}
    links: list[Link] = []
    left = ends - {source}
    while left:
        best: dict[int, float] = dict.fromkeys(tree, 0.0)
        via: dict[int, tuple[int, Link]] = {}
        queue = [(0.0, unit) for unit in tree]
        while queue:
            cost, unit = heapq.heappop(queue)
            if cost > best[unit]:
                continue
            if unit in left:
                break
            for link, to in ahead[unit]:
                new = cost + (1.0 + past[link]) * (1.0 + penalty * taken[link])
                if new < best.get(to, math.inf):
                    best[to] = new
                    via[to] = (unit, link)
                    heapq.heappush(queue, (new, to))
        way: list[Link] = []
        end = unit
        while unit not in tree:
            unit, link = via[unit]
            way.append(link)
        for link in reversed(way):
            links.append(link)
            tree[neighbour(link)] = None
        left.discard(end)
    return tuple(links)
