"""What the testbenches of the arithmetic half share: a case, its configuration, its run beside the model."""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.arithmetic_model import Machine, Program, Sent, nibbles, scale
from ohmweave.testbench.lockstep import fields, pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset

__all__ = [
    "ACT", "BITS", "BUFFER_LANES", "LANES", "TABLE", "TB", "VECTORS", "WINDOW_LANES", "Case", "Data", "Transfers",
    "unpack_sent",
]  # fmt: skip

Transfers = dict[str, list[tuple[int, int]]]

P = parameters()
LANES, BITS, VECTORS = P["lanes"], P["lane_bits"], P["vectors"]
BUFFER_LANES, ACT, WINDOW_LANES, TABLE = P["buffer_lanes"], P["act_bits"], P["window_lanes"], P["table"]
PLACE = (TABLE - 1).bit_length()
COUNT = (LANES - 1).bit_length()
ROW = (VECTORS - 1).bit_length()
DRAIN = 20


@dataclass
class Case:
    """Programs, what they are configured with, and what waits at the inputs.

    sources        of two layers' results, whose each is; the second's are the pool program's
    pool_channels  where they are not the first's; `row`: vectors of constants and registers before its own
    """

    post: Sequence[int] = ()
    pool: Sequence[int] = ()
    channels: int = LANES
    pixels: int = 1
    windows_a_frame: int = 1
    window_pixels: int = 1
    groups: int = 0
    planes: int = 0
    constants: Mapping[tuple[int, int], int] | None = None
    results: Sequence[list[int]] = ()
    sides: Sequence[list[int]] = ()
    windows: Sequence[list[int]] = ()
    base: int = 0
    sources: Sequence[int] = ()
    pool_channels: int = 0
    row: int = 0
    registers: Mapping[tuple[int, int], list[int]] | None = None

    @property
    def vectors(self) -> int:
        """Of a pixel."""
        return -(-self.channels // LANES)

    @property
    def places(self) -> list[tuple[int, int]]:
        """First and last place of each program in the table: pool first, `base` places left free before it."""
        pool = (self.base, self.base + max(1, len(self.pool)) - 1)
        return [(pool[1] + 1, pool[1] + max(1, len(self.post))), pool]

    def machine(self) -> tuple[Machine, Program, Program]:
        table = [0] * TABLE
        (post, post_last), (pool, pool_last) = self.places
        table[post : post + len(self.post)] = self.post
        table[pool : pool + len(self.pool)] = self.pool
        machine = Machine(
            LANES, BITS, ACT, BUFFER_LANES, table, self.constants or {}, self.window_pixels, self.groups,
            self.planes, bool(self.pool), deque(self.results), deque(self.sides), deque(self.windows),
        )  # fmt: skip
        machine.registers |= self.registers or {}
        return (
            machine,
            Program(False, post, post_last, self.pixels, self.channels),
            Program(
                True,
                pool,
                pool_last,
                self.windows_a_frame,
                self.pool_channels or self.channels,
                self.row,
                bool(self.sources),
            ),
        )

    def expected(self) -> Machine:
        """The machine after everything that waits at its inputs."""
        machine, post, pool = self.machine()
        if self.sources:
            for src in self.sources:
                machine.run(pool if src else post, 1)
            return machine
        machine.run(post, len(self.results))
        if self.pool:
            machine.run(pool, len(self.windows) * self.vectors)
        return machine


class TB:
    def __init__(self, dut: Any):
        self.dut = dut
        self.seed = 0

    def _seed(self) -> int:
        """Another one each time: every run has its own idle cycles."""
        self.seed += 1
        return self.seed

    async def write(self, port: str, words: Sequence[tuple[int, int]]) -> None:
        for address, word in words:
            getattr(self.dut, f"{port}__valid").value = 1
            getattr(self.dut, f"{port}__payload").value = address | word << 16
            await RisingEdge(self.dut.clk)
        getattr(self.dut, f"{port}__valid").value = 0

    async def configure(self, case: Case, *, restart: bool = True) -> None:
        """Everything, under `clear`."""
        dut = self.dut
        dut.clear.value = 1
        for port in ("result", "side", "window"):
            getattr(dut, f"{port}__valid").value = 0
        dut.result_src.value = dut.result_more.value = 0
        dut.pixel__ready.value = dut.out__ready.value = 0
        places = case.places
        program = [
            half
            for place, words in ((places[0][0], case.post), (places[1][0], case.pool))
            for n, word in enumerate(words)
            for half in ((2 * (place + n), word & 0xFFFF), (2 * (place + n) + 1, word >> 16))
        ]
        if restart:
            await reset(dut)  # registers are zeros, as the model's
        await self.write("program", program)
        constants = []
        for (channel, slot), value in (case.constants or {}).items():
            vector, lane = divmod(channel, LANES)
            for word in range(-(-BITS // 16)):
                address = ((vector * 4 + slot) * LANES + lane) * 4 + word
                constants.append((address, (value & ((1 << BITS) - 1)) >> 16 * word & 0xFFFF))
        await self.write("constants", constants)
        programs = [
            (bool(words), first, last, pixels - 1, channels - 1, row)
            for words, (first, last), pixels, channels, row in zip(
                (case.post, case.pool),
                places,
                (case.pixels, case.windows_a_frame),
                (case.channels, case.pool_channels or case.channels),
                (0, case.row),
                strict=True,
            )
        ]
        dut.config.value = pack(
            [
                *(
                    (value, width)
                    for p in programs
                    for value, width in zip(p, (1, PLACE, PLACE, 24, 12, ROW), strict=True)
                ),
                (bool(case.sources), 1),
                (case.window_pixels - 1, 4),
                (case.groups, 2),
                (case.planes, 2),
            ]
        )
        await RisingEdge(dut.clk)
        dut.clear.value = 0

    def sources(self, case: Case, pace: tuple[float, float]) -> dict[str, tuple[StreamSource, list[int]]]:
        words = {
            "result": [nibbles(vector, BITS) for vector in case.results],
            "side": [nibbles(vector, BITS) for vector in case.sides],
            "window": [nibbles(window, ACT) for window in case.windows],
        }
        return {
            name: (StreamSource(self.dut, name, idle=pace[0], seed=self._seed()), data)
            for name, data in words.items()
        }

    async def _name_sources(self, sources: Sequence[int]) -> None:
        """`result_src` of each result."""
        dut = self.dut
        for src in sources:
            dut.result_src.value = src
            while True:
                await ReadOnly()
                taken = dut.result__valid.value and dut.result__ready.value
                await RisingEdge(dut.clk)
                if taken:
                    break

    async def _tell_of_more(self, source: StreamSource, count: int) -> None:
        """`result_more`, of a source without idle cycles."""
        dut = self.dut
        while True:
            await ReadOnly()
            left = count - len(source.taken) - bool(dut.result__valid.value and dut.result__ready.value)
            await RisingEdge(dut.clk)
            dut.result_more.value = left > 1

    async def run(
        self,
        case: Case,
        pace: tuple[float, float] = PACES[0],
        *,
        configure: bool = True,
        restart: bool = True,
        more: bool = False,
    ) -> Transfers:
        """Run a case and compare with the model; gives the transfers of each stream.

        more  `result_more` tells of the vectors behind, which come without a pause
        """
        if configure:
            await self.configure(case, restart=restart)
        expected = case.expected()
        dut = self.dut
        sources = self.sources(case, pace)
        sinks = {name: StreamSink(dut, name, stall=pace[1], seed=self._seed()) for name in ("out", "pixel")}
        feeds = [cocotb.start_soon(source.run(words)) for source, words in sources.values()]
        takes = [cocotb.start_soon(sink.run(cycles=1 << 30)) for sink in sinks.values()]
        takes.append(cocotb.start_soon(self._name_sources(case.sources)))
        if more:
            takes.append(cocotb.start_soon(self._tell_of_more(sources["result"][0], len(case.results))))
        left = DRAIN
        limit = 200 + 400 * (len(case.results) + len(case.windows) * case.vectors)
        while left and limit:
            await RisingEdge(dut.clk)
            there = len(sinks["out"].taken) >= len(expected.sent)
            there &= len(sinks["pixel"].taken) >= len(expected.pixels)
            left -= there and all(feed.done() for feed in feeds) and not int(dut.busy.value)
            limit -= 1
        for task in (*takes, *feeds):
            task.cancel()
        assert not int(dut.busy.value)
        error = int(dut.error.value)
        assert not error & 1, f"error at {error >> 1}"
        assert limit, {name: len(s.taken) for name, (s, _) in sources.items()} | {
            name: len(s.taken) for name, s in sinks.items()
        }
        sent = [unpack_sent(word) for _, word in sinks["out"].taken]
        if case.post and case.pool and not case.sources:
            # How the programs take turns depends on time; each keeps its own order.
            assert interleaved(sent, *by_program(case))
        else:
            assert sent == expected.sent
        pixels = [fields(word, ACT, BUFFER_LANES) for _, word in sinks["pixel"].taken]
        assert pixels == expected.pixels
        return {name: source.taken for name, (source, _) in sources.items()} | {
            name: sink.taken for name, sink in sinks.items()
        }


def unpack_sent(word: int) -> Sent:
    values = [v - (1 << BITS) if v >> BITS - 1 else v for v in fields(word, BITS, LANES)]
    rest = word >> BITS * LANES
    return Sent(values, rest & 3, rest >> 2 & 1, rest >> 3 & ((1 << COUNT) - 1), rest >> 3 + COUNT & 1)


class Data:
    """Random inputs."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)

    def number(self, bits: int = 20) -> int:
        bits = self.rng.choice([4, 9, bits])
        return self.rng.randrange(-(1 << bits - 1), 1 << bits - 1)

    def vectors(self, pixels: int, channels: int, bits: int = 20) -> list[list[int]]:
        """Those of some pixels, one after the other; zeros beyond the channels."""
        found = []
        for _ in range(pixels):
            values = [self.number(bits) for _ in range(channels)]
            for first in range(0, channels, LANES):
                part = values[first : first + LANES]
                found.append(part + [0] * (LANES - len(part)))
        return found

    def windows(self, count: int) -> list[list[int]]:
        return [[self.rng.randrange(1 << ACT) for _ in range(WINDOW_LANES)] for _ in range(count)]

    def constants(self, channels: int) -> dict[tuple[int, int], int]:
        """K0 an addend, the others scales."""
        found = {}
        for channel in range(channels):
            found[channel, 0] = self.number(12)
            for slot in (1, 2, 3):
                found[channel, slot] = scale(self.rng.randrange(1 << 16), self.rng.randrange(8, 24))
        return found

    def case(self, *, channels: int, pixels: int, frames: int, **rest: Any) -> Case:
        return Case(
            channels=channels,
            pixels=pixels,
            constants=self.constants(channels),
            results=self.vectors(pixels * frames, channels),
            **rest,
        )


def by_program(case: Case) -> tuple[list[Sent], list[Sent]]:
    """What each of two programs sends."""
    machine, post, pool = case.machine()
    machine.run(post, len(case.results))
    split = len(machine.sent)
    machine.run(pool, len(case.windows) * case.vectors)
    return machine.sent[:split], machine.sent[split:]


def interleaved(both: list[Sent], one: list[Sent], other: list[Sent]) -> bool:
    """Whether the elements of two lists, each in its order, make up a third."""
    ways = {0}  # elements of `one` that may have come
    for n, found in enumerate(both):
        ways = {i + 1 for i in ways if i < len(one) and one[i] == found} | {
            i for i in ways if n - i < len(other) and other[n - i] == found
        }
    return len(both) == len(one) + len(other) and len(one) in ways
