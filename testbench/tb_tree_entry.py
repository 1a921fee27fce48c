"""TreeEntry: configuration and data of the parent, data of the entry point, and the order they leave in.

Data of the entry point count up from `FROM_ENTRY`, those of the parent from 1. With exits all of it is done with data
of frame buffers in their place, too, which count up the same way.
"""

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start
from ohmweave.testbench.turns_model import Turns

LINK_BITS, EXITS = parameters()["link_bits"], parameters().get("exits", 0)
#: The input beside the parent that is offered data, and what the entry is opened to.
SIDE = parameters().get("side", "entry")
OPENED = {"entry": 1, "frames": 2}[SIDE]
SIDES = {1: "entry", 2: "frames"} if EXITS else {1: "entry"}
CONFIG = 1 << LINK_BITS
UNIT, OTHER = 0x203, 0x204
FROM_ENTRY = 0x8000
#: Registers of the sequence of frame buffers.
TURN, COUNT, TABLE = 2, 3, 16


def packet(unit: int, address: int, *words: int) -> list[int]:
    return [CONFIG | word for word in (unit, address, len(words), *words)]


def set_open(value: int) -> list[int]:
    """1 opens the entry to the side that is tested, 0 closes it."""
    return packet(UNIT, 0, value * OPENED)


def opened_to(word: int) -> int:
    """What a word for the register opens it to: 0 the parent, else one of `SIDES`."""
    return 2 if EXITS and word & 2 else word & 1


class Packets:
    """Parses the parent's flits: whether a packet lacks some, and writes."""

    def __init__(self) -> None:
        self.flits: list[int] = []

    def take(self, flit: int) -> tuple[int, int] | None:
        """Address and word, if the flit is one for the entry."""
        if not flit & CONFIG:
            self.flits = []
            return None
        self.flits.append(flit & 0xFFFF)
        place = len(self.flits) - 4
        write = None
        if place >= 0 and self.flits[0] == UNIT:
            write = self.flits[1] + place & 0xFFFF, flit & 0xFFFF
        if len(self.flits) >= 3 and place + 1 == self.flits[2]:
            self.flits = []
        return write

    @property
    def lacks(self) -> bool:
        return bool(self.flits)


class TB:
    """Sources and a sink, and a monitor that says in each cycle what has to be ready."""

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0, seed: int = 0) -> None:
        self.dut = dut
        self.parent = StreamSource(dut, "parent", idle=idle, seed=seed + 51)
        self.entry = StreamSource(dut, SIDE, idle=idle, seed=seed + 52)
        self.sink = StreamSink(dut, "o", stall=stall, seed=seed + 53)
        #: (cycle, flit) taken of both inputs, in their order
        self.taken: list[tuple[int, int]] = []
        self.cycle = 0
        self.count = 0

    def stop(self) -> None:
        """No data any more beside those of the parent."""
        for side in SIDES.values():
            getattr(self.dut, f"{side}__valid").value = 0

    async def begin(self) -> None:
        self.dut.unit.value = UNIT
        self.dut.parent__payload.value = 0
        for side in SIDES.values():
            getattr(self.dut, f"{side}__payload").value = 0
            getattr(self.dut, f"{side}__valid").value = 0
        await start(self.dut)
        self.watch()

    def watch(self) -> None:
        self.watching = cocotb.start_soon(self._monitor())

    def run_sink(self) -> None:
        cocotb.start_soon(self.sink.run(cycles=1_000_000))

    def words(self, count: int | None = None) -> Iterator[int]:
        """So many data of the entry point, or without end."""
        while count is None or count:
            self.count += 1
            yield FROM_ENTRY + self.count
            count = count and count - 1

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def _monitor(self) -> None:
        dut, packets = self.dut, Packets()
        opened = 0
        written: tuple[int, int] | None = None
        turns = Turns(numbers=EXITS, turn=TURN, count=COUNT, table=TABLE)
        while True:
            await ReadOnly()
            free = not int(dut.o__valid.value) or int(dut.o__ready.value)
            offers = int(dut.parent__valid.value)
            flit = int(dut.parent__payload.value)
            config = flit >= CONFIG
            ready = free and (config or (not opened and written is None))
            assert not offers or int(dut.parent__ready.value) == ready, f"parent in cycle {self.cycle}"
            lets = free and not (offers and config) and not packets.lacks and written is None
            moves = 0
            for number, side in SIDES.items():
                takes = lets and opened == number
                assert int(getattr(dut, f"{side}__ready").value) == takes, f"{side} in cycle {self.cycle}"
                if takes and int(getattr(dut, f"{side}__valid").value):
                    assert not (offers and ready)
                    moves = number
                    self.taken.append((self.cycle, int(getattr(dut, f"{side}__payload").value)))
            if EXITS:
                self._check_exits(turns, written, moves == 2)
            if written is not None and written[0] == 0:
                opened = opened_to(written[1])
            written = None
            if offers and ready:
                self.taken.append((self.cycle, flit))
                written = packets.take(flit)
            await RisingEdge(dut.clk)
            self.cycle += 1

    def _check_exits(self, turns: Turns, written: tuple[int, int] | None, moves: bool) -> None:
        """Whose turn it is, and what the exit beside the entry is told: all writes, a cycle behind the word."""
        dut = self.dut
        assert int(dut.from_.value) == turns.current, f"turn in cycle {self.cycle}"
        assert int(dut.exit_config__valid.value) == (written is not None)
        if written is not None:
            assert int(dut.exit_config__payload.value) == written[1] << 16 | written[0]
            turns.write(*written)
        elif moves:
            turns.move()

    def check(self) -> None:
        """Everything that was taken left in its order, and no data of the entry point got into a packet."""
        left = [flit for _, flit in self.sink.taken]
        assert left == [flit for _, flit in self.taken]
        packets, is_open = Packets(), 0
        for flit in left:
            if flit & CONFIG:
                address, word = packets.take(flit) or (1, 0)
                is_open = is_open if address else opened_to(word)
            elif flit & FROM_ENTRY:
                assert is_open, f"{flit:#x} of a closed entry"
                assert not packets.lacks, f"{flit:#x} in a packet"
            else:
                packets.take(flit)
                assert not is_open, f"{flit:#x} of the parent of an open entry"


#: Where random words go with exits: those of the sequence, too.
TABLES = [(UNIT, TURN), (UNIT, TABLE), (UNIT, TABLE + 14), (UNIT, 32)] if EXITS else []


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(pace=PACES, seed=[1, 2])
async def traffic(dut: Any, pace: tuple[float, float], seed: int) -> None:
    """Packets of all kinds, data of the parent while the entry is closed, data of the entry point all the time."""
    idle, stall = pace
    chance = random.Random(seed)
    tb = TB(dut, idle=idle, stall=stall, seed=10 * seed)
    await tb.begin()
    tb.run_sink()
    source = cocotb.start_soon(tb.entry.run(tb.words()))
    is_open, count = 0, 0
    sent: list[int] = []
    for _ in range(80):
        flits = []
        for _ in range(chance.randrange(3)):
            unit, address = chance.choice([(OTHER, 0), (UNIT, 1), (UNIT, 0x100), (0, 0), *TABLES])
            flits += packet(unit, address, *(chance.getrandbits(16) for _ in range(chance.randrange(4))))
        if chance.random() < 0.4:
            is_open = chance.choice([0, OPENED])
            # Higher bits mean nothing, nor does what follows; a packet may come to address 0 from 0xFFFF.
            high = chance.getrandbits(14) << (2 if EXITS else 1)
            other = OPENED - is_open
            flits += chance.choice(
                [
                    packet(UNIT, 0, is_open | high),
                    packet(UNIT, 0, is_open, other),
                    packet(UNIT, 0xFFFF, other, is_open, other),
                    packet(UNIT, 0, other) + packet(UNIT, 0, is_open),
                ]
            )
        if not is_open:
            for _ in range(chance.randrange(6)):
                count += 1
                flits.append(count)
        await tb.parent.run(flits)
        sent += flits
        await tb.wait(chance.randrange(12))
    await tb.parent.run(set_open(1))
    sent += set_open(1)
    await tb.wait(60)
    source.cancel()
    tb.stop()
    await tb.wait(10 + int(60 * stall))
    tb.check()
    assert [flit for _, flit in tb.sink.taken if not flit & FROM_ENTRY or flit & CONFIG] == sent
    entered = [flit for _, flit in tb.sink.taken if flit & FROM_ENTRY and not flit & CONFIG]
    assert entered == list(range(FROM_ENTRY + 1, FROM_ENTRY + 1 + len(entered)))
    assert len(entered) > 100, f"{len(entered)} data of the entry point"
    assert count > 30, f"{count} data of the parent"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def rate(dut: Any) -> None:
    """1 cycle, 1 flit a cycle of either input; data 2 cycles behind the packet that opens, 1 behind others."""
    tb = TB(dut)
    await tb.begin()
    tb.run_sink()
    flits = packet(OTHER, 0, *range(20))
    await tb.parent.run(flits)
    await tb.wait(3)
    assert [cycle for cycle, _ in tb.taken] == list(range(len(flits)))
    assert [(cycle - 1, flit) for cycle, flit in tb.sink.taken] == tb.taken
    cocotb.start_soon(tb.entry.run(tb.words(30)))
    await tb.parent.run([1, 2, *set_open(1)])
    await tb.wait(12)
    place = [flit for _, flit in tb.taken].index(FROM_ENTRY + 1)
    assert tb.taken[place - 1][1] == set_open(1)[-1]
    assert tb.taken[place][0] == tb.taken[place - 1][0] + 2
    await tb.parent.run(packet(OTHER, 0, 5))
    await tb.wait(40)
    tb.check()
    entered = [cycle for cycle, flit in tb.taken if FROM_ENTRY <= flit < CONFIG]
    steps = [after - before for before, after in pairwise(entered)]
    assert len(entered) == 30
    assert sorted(steps) == [1] * 28 + [len(packet(OTHER, 0, 5)) + 1]
    assert [(cycle - 1, flit) for cycle, flit in tb.sink.taken] == tb.taken


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def others_wait(dut: Any) -> None:
    """Data of the parent while the entry is open, also those right behind the packet that opens it."""
    tb = TB(dut)
    await tb.begin()
    tb.run_sink()
    parent = cocotb.start_soon(tb.parent.run([*set_open(1), 1, *set_open(0)]))
    await tb.entry.run(tb.words(30))
    await tb.wait(10)
    assert [flit for _, flit in tb.taken if flit < FROM_ENTRY] == []
    assert len(tb.parent.taken) == 4, "and configuration behind them"
    parent.cancel()
    tb.check()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def part_of_a_packet(dut: Any) -> None:
    """Data of an open entry wait for the rest of a packet, wherever it was cut."""
    tb = TB(dut)
    await tb.begin()
    tb.run_sink()
    await tb.parent.run([*set_open(1)[:3], 1, *set_open(1)])  # data of the parent end the first
    source = cocotb.start_soon(tb.entry.run(tb.words()))
    await tb.wait(10)
    assert len(tb.taken) > 10
    whole = packet(OTHER, 7, 1, 2, 3)
    for cut in range(1, len(whole)):
        await tb.parent.run(whole[:cut])
        await tb.wait(1)
        before = len(tb.taken)
        await tb.wait(10)
        assert len(tb.taken) == before, f"cut before flit {cut}"
        await tb.parent.run(whole[cut:])
        await tb.wait(10)
        assert len(tb.taken) > before + 5
    source.cancel()
    tb.stop()
    await tb.wait(3)
    tb.check()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def closed_after_reset(dut: Any) -> None:
    """A reset in the middle of data, and of a packet: nothing is left, and the entry is closed."""
    tb = TB(dut)
    await tb.begin()
    dut.o__ready.value = 1
    await tb.parent.run(set_open(1))
    source = cocotb.start_soon(tb.entry.run(tb.words()))
    await tb.wait(10)
    await tb.parent.run(packet(OTHER, 0, 1, 2)[:4])
    source.cancel()
    tb.watching.cancel()
    await reset(dut)
    tb.taken.clear()
    tb.watch()
    assert not int(dut.o__valid.value)
    source = cocotb.start_soon(tb.entry.run(tb.words()))
    await tb.wait(20)
    assert not tb.taken, "closed"
    tb.run_sink()
    await tb.parent.run([1, 2, *set_open(1)])
    await tb.wait(10)
    source.cancel()
    tb.stop()
    await tb.wait(3)
    assert len(tb.taken) > 10
    tb.check()


@cocotb.test(timeout_time=5, timeout_unit="ms", skip=SIDE != "frames")
@cocotb.parametrize(pace=PACES)
async def all_sides(dut: Any, pace: tuple[float, float]) -> None:
    """Data of the parent, the entry point and the buffers are offered all the time, of which one gets in."""
    idle, stall = pace
    chance = random.Random(5)
    tb = TB(dut, idle=idle, stall=stall, seed=5)
    await tb.begin()
    tb.run_sink()
    point = StreamSource(dut, "entry", idle=idle, seed=6)
    sources = [cocotb.start_soon(source.run(tb.words())) for source in (tb.entry, point)]
    turns = Turns(numbers=EXITS, turn=TURN, count=COUNT, table=TABLE)
    for _ in range(60):
        flits = []
        if chance.random() < 0.5:
            for address, word in turns.some_writes(chance, 4):
                flits += packet(UNIT, address, word)
        word = chance.getrandbits(16)
        flits += packet(UNIT, 0, word)
        # Those of the parent would wait for ever while the entry is open.
        flits += range(1, 5) if not opened_to(word) else []
        await tb.parent.run(flits)
        await tb.wait(chance.randrange(60))
    for source in sources:
        source.cancel()
    tb.stop()
    await tb.wait(10 + int(60 * stall))
    tb.check()
    assert min(len(tb.entry.taken), len(point.taken)) > 50
