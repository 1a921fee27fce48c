"""Side receiver: flits of random frames against vectors cut from a flat list of elements."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.lockstep import DRAIN, pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
LINK, LANES, LANE_BITS = P["link_bits"], P["lanes"], P["lane_bits"]
FIELDS = P["fields"]  # (name, bits) of the configuration, lowest first


@dataclass(frozen=True)
class Geometry:
    """What the frames look like, and the block's configuration for it."""

    width: int
    signed: bool
    pixels: int
    channels: int
    first: int
    taken: int
    config: dict[str, int]

    def segments(self) -> list[tuple[int, bool]]:
        """The ends, in bits of the frame, of every vector and every run that is dropped; whether it is a vector."""
        result = []
        for pixel in range(self.pixels):
            ends = [(self.first, False)] if self.first else []
            ends += [(min(c + LANES, self.first + self.taken), True)
                     for c in range(self.first, self.first + self.taken, LANES)]  # fmt: skip
            if self.first + self.taken < self.channels:
                ends.append((self.channels, False))
            result += [((pixel * self.channels + end) * self.width, taken) for end, taken in ends]
        return result

    def frame(self, rng: random.Random) -> tuple[list[int], list[int]]:
        """Flits and vectors of a random frame; what fills up the last flit is random too."""
        values = [rng.getrandbits(self.width) for _ in range(self.channels * self.pixels)]
        bits = pack((value, self.width) for value in values)
        size = self.width * len(values)
        count = -(-size // LINK)
        bits |= rng.getrandbits(LINK) << size
        flits = [bits >> (LINK * n) & (1 << LINK) - 1 for n in range(count)]
        half = 1 << self.width - 1
        numbers = [value - 2 * half if self.signed and value >= half else value for value in values]
        vectors = []
        for n in range(self.first, len(values), self.channels):
            pixel = numbers[n : n + self.taken]
            vectors += [
                pack((v, LANE_BITS) for v in pixel[c : c + LANES]) for c in range(0, self.taken, LANES)
            ]
        return flits, vectors


GEOMETRIES = [Geometry(**known) for known in P["geometries"]]


class SideModel:
    """Bits of a frame are consumed flit by flit; a vector goes by way of a second place to the output."""

    def __init__(self, geometry: Geometry, vectors: Sequence[int]):
        self.segments = geometry.segments()
        self.vectors = list(vectors)
        self.running = False
        self.segment = 0
        self.at = 0  # bits of the frame
        self.waiting: int | None = None
        self.out: int | None = None

    def cycle(self, token: bool, flit: bool, ready: bool) -> tuple[bool, bool, int | None]:
        """start.ready, i.ready if a flit is there, and what is at o."""
        shown = self.out
        if ready:
            self.out = None
        room = self.waiting is None or self.out is None
        if room and self.waiting is not None:
            self.out, self.waiting = self.waiting, None
        free, flit_done = not self.running, False
        end, taken = self.segments[self.segment]
        if self.running and (room or not taken):
            edge = (self.at // LINK + 1) * LINK
            to = edge
            completes, whole_frame = end <= edge, False
            if completes:
                whole_frame = self.segment == len(self.segments) - 1
                if end < edge and not whole_frame:
                    following, vector = self.segments[self.segment + 1]
                    if not (taken and vector and following > edge):
                        to = end
            flit_done = to == edge or whole_frame
            if flit:
                self.at = to
                if completes:
                    self.segment += 1
                    if taken:
                        self.waiting = self.vectors.pop(0)
                if whole_frame:
                    self.at = self.segment = 0
                    free = True
        if free:
            self.running = token
        return free, flit_done, shown


async def watch(dut: Any, model: SideModel) -> None:
    """Compare every output with the model's in every cycle, until cancelled."""
    now = 0
    while True:
        await ReadOnly()
        flit = bool(dut.i__valid.value)
        free, accepted, sent = model.cycle(bool(dut.start__valid.value), flit, bool(dut.o__ready.value))
        shown = int(dut.o__payload.value) if dut.o__valid.value else None
        assert shown == sent, f"cycle {now}: o is {shown}, model {sent}"
        assert bool(dut.start__ready.value) == free, f"cycle {now}: start.ready is not {free}"
        if flit:
            assert bool(dut.i__ready.value) == accepted, f"cycle {now}: i.ready is not {accepted}"
        await RisingEdge(dut.clk)
        now += 1


async def configure(dut: Any, geometry: Geometry) -> None:
    dut["config"].value = pack((geometry.config[name], bits) for name, bits in FIELDS)
    dut.start__payload.value = 0
    dut.start__valid.value = 0
    await reset(dut)


async def run(
    dut: Any, geometry: Geometry, *, frames: int, pace: tuple[float, float] = (0, 0), late: float = 0.0
) -> tuple[list[int], list[int], list[int]]:
    """Whole frames through the block beside its model; the cycles of the transfers at start, i and o."""
    rng = random.Random(geometry.channels * 100 + geometry.width)
    both = [geometry.frame(rng) for _ in range(frames)]
    flits = [flit for some, _ in both for flit in some]
    vectors = [vector for _, some in both for vector in some]
    tokens = StreamSource(dut, "start", idle=late, seed=3)
    source = StreamSource(dut, "i", idle=pace[0], seed=len(flits))
    sink = StreamSink(dut, "o", stall=pace[1], seed=len(flits) + 1)
    check = cocotb.start_soon(watch(dut, SideModel(geometry, vectors)))
    begin = cocotb.start_soon(tokens.run([0] * frames))
    feed = cocotb.start_soon(source.run(flits))
    limit = 8 * (len(flits) + len(vectors)) + 1000
    await sink.run(len(vectors), cycles=limit)
    while not (feed.done() and begin.done()) and sink.cycle < limit:
        await sink.run(cycles=sink.cycle + 1)
    await sink.run(cycles=sink.cycle + DRAIN)
    check.cancel()
    assert feed.done(), f"stuck after {len(source.taken)} of {len(flits)} flits: {geometry}"
    assert begin.done(), f"a token was not taken: {geometry}"
    assert [vector for _, vector in sink.taken] == vectors, geometry
    return tuple([cycle for cycle, _ in port.taken] for port in (tokens, source, sink))  # type: ignore[return-value]


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Several frames in a row of every geometry, at changing paces, with tokens in time and late."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        for pace in (PACES[number % 4], PACES[(number + 3) % 4]):
            await configure(dut, geometry)
            await run(dut, geometry, frames=3, pace=pace, late=0.8 * (number % 2))


@cocotb.test()
async def slow_consumer(dut: Any) -> None:
    """Two complete vectors wait; the third does not come in."""
    await start(dut)
    for geometry in GEOMETRIES[:6]:
        await configure(dut, geometry)
        await run(dut, geometry, frames=4, pace=(0, 0.95))


@cocotb.test()
async def nothing_before_a_token(dut: Any) -> None:
    """No flit is taken before a token, nor after a frame until the next."""
    await start(dut)
    geometry = GEOMETRIES[0]
    await configure(dut, geometry)
    flits, _ = geometry.frame(random.Random(1))
    dut.o__ready.value = 1
    for _ in range(2):
        dut.i__valid.value = 1
        for _ in range(5):
            await ReadOnly()
            assert not dut.i__ready.value
            assert dut.start__ready.value
            await RisingEdge(dut.clk)
        dut.start__valid.value = 1
        await RisingEdge(dut.clk)
        dut.start__valid.value = 0
        await StreamSource(dut, "i").run(flits)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a vector nothing of it is left."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        flits, _ = geometry.frame(random.Random(7))
        await configure(dut, geometry)
        dut.o__ready.value = number % 2
        dut.start__valid.value = 1
        feed = cocotb.start_soon(StreamSource(dut, "i").run(flits))
        for _ in range(1 + number % 7):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        await configure(dut, geometry)
        await run(dut, geometry, frames=1)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The formulas of the docstring, from the cycles of the transfers."""
    await start(dut)
    for geometry in GEOMETRIES:
        await configure(dut, geometry)
        tokens, taken, sent = await run(dut, geometry, frames=3)
        flits = len(taken) // 3
        segments = geometry.segments()
        extra = 0  # cycles beyond one a flit
        done = []
        for n, (end, vector) in enumerate(segments):
            if vector:
                done.append((end - 1) // LINK + extra)
            if n + 1 < len(segments) and end % LINK:
                following, then = segments[n + 1]
                inside = following <= -(-end // LINK) * LINK
                extra += not (vector and then) or inside
        frame = flits + extra
        assert tokens == [0, frame, 2 * frame], geometry
        assert taken[-1] == 3 * frame, geometry
        # Taken in cycle 1 + n, at the output two cycles later.
        assert sent == [1 + f * frame + n + 2 for f in range(3) for n in done], geometry
        least = min(LANES, (geometry.taken - 1) % LANES + 1) * geometry.width  # bits of the smallest vector
        if geometry.taken == geometry.channels and least >= LINK:
            assert frame == flits  # a flit a cycle
