"""Bench of routers with virtual channels: sources with credits, sinks that give credits back, and a scoreboard.

Nothing is predicted cycle by cycle: what is checked is what may never happen. A flit without a credit, a packet that
is cut, mixed with another of its channel, changed, lost, doubled, overtaken in one router by a later one of the same
source channel, or at an output that is not the way to where it goes.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import start

__all__ = ["Packet", "PacketBench"]


@dataclass
class Packet:
    """One packet: where it was given and what it carries; cycles of its flits' departures and arrivals."""

    source: tuple[int, int]
    number: int
    words: list[int]
    wanted: int
    left: list[int] = field(default_factory=list)
    came: list[int] = field(default_factory=list)


class PacketBench:
    """Drives all links of a component with ports `i` and `o` of as many `VirtualLink`s.

    way      output at which a packet has to come out, from its input, x and y
    ordered  packets of one source channel keep their order
    """

    def __init__(
        self,
        dut: Any,
        seed: int,
        *,
        links: int,
        link_bits: int,
        virtual_channels: int,
        depth: int,
        side_bits: int,
        way: Callable[[int, int, int], int],
        ordered: bool = True,
    ) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.links, self.link_bits, self.channels = links, link_bits, virtual_channels
        self.depth, self.side_bits, self.way = depth, side_bits, way
        self.ordered = ordered
        self.cycle = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything, as a reset does."""
        every = [(link, n) for link in range(self.links) for n in range(self.channels)]
        self.waiting: dict[tuple[int, int], deque[tuple[Packet, int]]] = {key: deque() for key in every}
        self.credits = dict.fromkeys(every, self.depth)
        self.held: dict[tuple[int, int], int] = dict.fromkeys(every, 0)
        self.open: dict[tuple[int, int], tuple[Packet, int] | None] = dict.fromkeys(every)
        self.flying: dict[tuple[int, ...], Packet] = {}
        self.sent: list[Packet] = []
        self.arrived: list[Packet] = []
        self.last: dict[tuple[int, int], int] = dict.fromkeys(every, -1)
        self.numbers: dict[tuple[int, int], int] = dict.fromkeys(every, 0)

    def add(self, link: int, channel: int, x: int, y: int, length: int) -> Packet:
        """Give a packet to a source; its words name it."""
        key = (link, channel)
        number = self.numbers[key]
        self.numbers[key] += 1
        top = self.link_bits - 2 * self.side_bits
        # A head is told from others by the bits that are left in it: they count.
        head = len(self.sent) % (1 << top) << 2 * self.side_bits | y << self.side_bits | x
        words = [head, *(self.random.randrange(1 << self.link_bits) for _ in range(length - 1))]
        packet = Packet(key, number, words, self.way(link, x, y))
        self.waiting[key].extend((packet, n) for n in range(length))
        self.sent.append(packet)
        return packet

    async def begin(self) -> None:
        for link in range(self.links):
            self._port("i", link, "valid").value = 0
            self._port("i", link, "flit").value = 0
            self._port("o", link, "credit").value = 0
        await start(self.dut)

    async def step(self, idle: float = 0.0, stall: float = 0.0) -> None:
        """One cycle; a source idles and a sink keeps a credit with these probabilities."""
        for link in range(self.links):
            self._offer(link, idle)
            credit = 0
            for n in range(self.channels):
                if self.held[link, n] and self.random.random() >= stall:
                    self.held[link, n] -= 1
                    credit |= 1 << n
            self._port("o", link, "credit").value = credit
        await ReadOnly()
        for link in range(self.links):
            credit = int(self._port("i", link, "credit").value)
            for n in range(self.channels):
                self.credits[link, n] += credit >> n & 1
                assert self.credits[link, n] <= self.depth, f"a credit too many at input {link}, channel {n}"
            if int(self._port("o", link, "valid").value):
                channel = int(self._port("o", link, "channel").value) if self.channels > 1 else 0
                self._take(link, channel, int(self._port("o", link, "flit").value))
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    async def drain(self, cycles: int, stall: float = 0.0) -> None:
        """Go on until everything has arrived."""
        for _ in range(cycles):
            if len(self.arrived) == len(self.sent):
                break
            await self.step(0.0, stall)
        lost = len(self.sent) - len(self.arrived)
        assert not lost, f"{lost} of {len(self.sent)} packets have not arrived"
        for _ in range(12):
            await self.step(0.0, 0.0)
        assert set(self.credits.values()) == {self.depth}, "every credit came back"

    def _port(self, side: str, link: int, name: str) -> Any:
        return getattr(self.dut, f"{side}__{link}__{name}")

    def _offer(self, link: int, idle: float) -> None:
        able = [n for n in range(self.channels) if self.waiting[link, n] and self.credits[link, n]]
        valid = bool(able) and self.random.random() >= idle
        self._port("i", link, "valid").value = int(valid)
        if not valid:
            # What stands beside `valid` low is nothing.
            self._port("i", link, "flit").value = self.random.randrange(1 << self.link_bits + 2)
            return
        channel = self.random.choice(able)
        packet, n = self.waiting[link, channel].popleft()
        self.credits[link, channel] -= 1
        packet.left.append(self.cycle)
        if n == 0:
            self.flying[(packet.wanted, *self._key(packet))] = packet
        last = n == len(packet.words) - 1
        self._port("i", link, "flit").value = (
            packet.words[n] | (n == 0) << self.link_bits | last << self.link_bits + 1
        )
        if self.channels > 1:
            self._port("i", link, "channel").value = channel

    def _key(self, packet: Packet) -> tuple[int, ...]:
        return (*packet.source, packet.number)

    def _take(self, link: int, channel: int, flit: int) -> None:
        word = flit & (1 << self.link_bits) - 1
        head, tail = flit >> self.link_bits & 1, flit >> self.link_bits + 1
        self.held[link, channel] += 1
        where = f"cycle {self.cycle}, output {link}, channel {channel}"
        assert self.held[link, channel] <= self.depth, f"{where}: a flit without a credit"
        going = self.open[link, channel]
        assert bool(head) == (going is None), f"{where}: head {head} in the middle of a packet or without one"
        if going is None:
            packet, n = self._first(link, word, where), 0
        else:
            packet, n = going
        assert word == packet.words[n], f"{where}: {word:x} is not flit {n} of {packet}"
        packet.came.append(self.cycle)
        done = n == len(packet.words) - 1
        assert bool(tail) == done, f"{where}: tail {tail} with flit {n} of {len(packet.words)}"
        self.open[link, channel] = None if done else (packet, n + 1)
        if done:
            self.arrived.append(packet)

    def _first(self, link: int, word: int, where: str) -> Packet:
        """The packet whose head this is; the oldest of its source."""
        fitting = [key for key, packet in self.flying.items() if key[0] == link and packet.words[0] == word]
        if self.ordered:
            fitting = [key for key in fitting if key[3] == self.last[key[1], key[2]] + 1]
        assert fitting, f"{where}: {word:x} is the head of no packet whose turn it is"
        key = min(fitting, key=lambda key: self.flying[key].left[0])
        packet = self.flying.pop(key)
        self.last[packet.source] = packet.number
        return packet
