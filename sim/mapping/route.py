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
from ohmweave.sim.mapping.cut import Piece
from ohmweave.sim.mapping.nets import Net, nets

__all__ = ["Crowded", "Link", "Route", "Router", "neighbour", "routed"]

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


class Router:
    """Routes the nets of some pieces over the links between some units, and again when pieces have moved."""

    def __init__(self, pieces: Sequence[Piece], units: Sequence[int]):
        inside = set(units)
        self._nets = [net for net in nets(pieces) if net.sinks]
        self._ahead = {unit: list(_links_of(unit, inside)) for unit in units}
        links = [link for ahead in self._ahead.values() for link, _ in ahead]
        self._now = _Routed([()] * len(self._nets), [(-1, set())] * len(self._nets), dict.fromkeys(links, 0))

    @property
    def routes(self) -> list[Route]:
        return [Route(net, tree) for net, tree in zip(self._nets, self._now.trees, strict=True)]

    def save(self) -> "_Routed":
        """What `restore` goes back to."""
        return self._now.copy()

    def restore(self, saved: "_Routed") -> None:
        self._now = saved.copy()

    def route(self, placement: Mapping[Piece, int], rounds: int = ROUNDS) -> set[Link]:
        """Route nets whose ends have moved, then so many times all that share links; the links that are shared yet."""
        now = self._now
        past = dict.fromkeys(now.taken, 0.0)
        for index, net in enumerate(self._nets):
            ends = (placement[net.source], {placement[piece] for piece, _ in net.sinks})
            if ends != now.ends[index]:
                now.ends[index] = ends
                self._again(index, past, SHARED)
        best, least = self.save(), now.shared
        shared = least
        for round_ in range(1, rounds):
            if not shared:
                return shared
            for link in shared:
                past[link] += PAST * (now.taken[link] - 1)
            penalty = min(SHARED * GROWTH**round_, MOST)
            for index, tree in enumerate(now.trees):
                if shared.intersection(tree):
                    self._again(index, past, penalty)
            shared = now.shared
            if len(shared) < len(least):
                best, least = self.save(), shared
        self._now = best
        return least

    def _again(self, index: int, past: Mapping[Link, float], penalty: float) -> None:
        now = self._now
        for link in now.trees[index]:
            now.taken[link] -= 1
        now.trees[index] = _tree(*now.ends[index], self._ahead, now.taken, past, penalty)
        for link in now.trees[index]:
            now.taken[link] += 1


@dataclass
class _Routed:
    """The nets' trees of links, source and ends of each, and how many nets each link has."""

    trees: list[tuple[Link, ...]]
    ends: list[tuple[int, set[int]]]
    taken: dict[Link, int]

    @property
    def shared(self) -> set[Link]:
        return {link for link, count in self.taken.items() if count > 1}

    def copy(self) -> "_Routed":
        return _Routed(list(self.trees), list(self.ends), dict(self.taken))


def routed(pieces: Sequence[Piece], placement: Mapping[Piece, int], units: Sequence[int]) -> list[Route]:
    """A route for every net over the links between some units; `Crowded` if there are too few."""
    router = Router(pieces, units)
    if shared := router.route(placement):
        raise Crowded(shared)
    return router.routes


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
