"""A few equal lanes in one module."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Member, Out

__all__ = ["GROUP_LANES", "Lane", "LaneGroup"]

#: Lanes of a group, if they go into the vector evenly.
GROUP_LANES = 4


class Lane(Component):
    """Base of the lanes: `module` names a group of them in the netlist, `common` the ports that the lanes share."""

    module: str
    common: frozenset[str]


class LaneGroup(Component):
    """`count` lanes side by side. The ports of a lane that `common` names are shared, all others become arrays.

    A vector's lanes stand in the netlist in groups: cutting thousands of bits into lanes and joining them again is
    slow in a simulator that has to copy a word for each cut, and cheaper in two steps.

    Parameters: lane, which makes a lane; common; count.
    """

    def __init__(self, *, lane: Callable[[], Component], common: frozenset[str], count: int):
        self._lane, self._common, self._count = lane, common, count
        self._first = lane()

        def group(name: str, port: Member) -> Member:
            flow = {In: In, Out: Out}[port.flow]
            return port if name in common else flow(data.ArrayLayout(port.shape, count))

        super().__init__({name: group(name, port) for name, port in self._first.signature.members.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for n in range(self._count):
            m.submodules[f"lane_{n}"] = lane = self._lane() if n else self._first
            for name, port in lane.signature.members.items():
                inside: Any = getattr(lane, name)
                outside: Any = getattr(self, name) if name in self._common else getattr(self, name)[n]
                m.d.comb += inside.eq(outside) if port.flow is In else outside.eq(inside)
        return m
