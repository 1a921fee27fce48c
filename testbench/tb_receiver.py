"""Receiver: flits of random frames against words cut from a flat list of activations."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.lockstep import DRAIN, fields, pack
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
ACT, LINK, LANES = P["act_bits"], P["link_bits"], P["lanes"]
FIELDS = P["fields"]  # (name, bits) of the configuration, lowest first


@dataclass(frozen=True)
class Geometry:
    """What the frames look like, and the block's configuration for it."""

    pixels: int
    channels: int
    first: int
    taken: int
    planes: int
    plane_lanes: int
    word: int
    config: dict[str, int]

    @property
    def per_flit(self) -> int:
        return LINK // (ACT * self.planes)

    def pieces(self) -> list[tuple[int, bool, bool, bool]]:
        """What is moved in a cycle, for one frame: its end, whether it is taken, ends a word, ends a flit."""
        total = self.pixels * self.channels
        cuts = {total}
        for e in range(1, total):
            c = e % self.channels - self.first  # channel after the edge, of those taken
            inside = 0 < c < self.taken
            at_edge = c in (0, self.taken, -self.first)
            if e % self.per_flit == 0 or at_edge:
                cuts.add(e)
            if inside and (c % self.word == 0 or c % self.word % self.per_flit == 0):
                cuts.add(e)
        pieces = []
        for end in sorted(cuts):
            c = (end - 1) % self.channels - self.first + 1
            taken = 0 < c <= self.taken
            word = taken and (c == self.taken or c % self.word == 0)
            pieces.append((end, taken, word, end % self.per_flit == 0 or end == total))
        return pieces

    def frame(self, rng: random.Random) -> tuple[list[int], list[int]]:
        """Flits and words of a random frame; what fills up the last flit is random too."""
        bits = ACT * self.planes
        values = [rng.getrandbits(bits) for _ in range(self.channels * self.pixels)]
        words = []
        for n in range(0, len(values), self.channels):
            pixel = values[n + self.first : n + self.first + self.taken]
            for w in range(0, self.taken, self.word):
                lanes = [0] * LANES
                for c, value in enumerate(pixel[w : w + self.word]):
                    for p, plane in enumerate(fields(value, ACT, self.planes)):
                        lanes[p * self.plane_lanes + c] = plane
                words.append(pack((lane, ACT) for lane in lanes))
        values += [rng.getrandbits(bits) for _ in range(-len(values) % self.per_flit)]
        flits = [
            pack((v, bits) for v in values[n : n + self.per_flit])
            for n in range(0, len(values), self.per_flit)
        ]
        return flits, words


GEOMETRIES = [Geometry(**known) for known in P["geometries"]]


class ReceiverModel:
    """One piece of a frame a cycle."""

    def __init__(self, geometry: Geometry, words: Sequence[int]):
        self.pieces = geometry.pieces()
        self.words = list(words)
        self.at: int | None = None  # piece; None: no frame is coming in
        self.out: int | None = None

    def cycle(self, token: bool, flit: bool, ready: bool) -> tuple[bool, bool, int | None]:
        """start.ready, i.ready if a flit is there, and what is at o."""
        shown = self.out
        if ready:
            self.out = None
        free, flit_done = True, False
        if self.at is not None:
            free = False
            _, taken, word, edge = self.pieces[self.at]
            if not taken or shown is None or ready:
                flit_done = edge
                if flit:
                    if word:
                        self.out = self.words.pop(0)
                    self.at += 1
                    free = self.at == len(self.pieces)
        if free:
            self.at = 0 if token else None
        return free, flit_done, shown


async def watch(dut: Any, model: ReceiverModel) -> None:
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
    rng = random.Random(geometry.channels * 1000 + geometry.pixels)
    both = [geometry.frame(rng) for _ in range(frames)]
    flits = [flit for some, _ in both for flit in some]
    words = [word for _, some in both for word in some]
    tokens = StreamSource(dut, "start", idle=late, seed=3)
    source = StreamSource(dut, "i", idle=pace[0], seed=len(flits))
    sink = StreamSink(dut, "o", stall=pace[1], seed=len(flits) + 1)
    check = cocotb.start_soon(watch(dut, ReceiverModel(geometry, words)))
    begin = cocotb.start_soon(tokens.run([0] * frames))
    feed = cocotb.start_soon(source.run(flits))
    limit = 8 * frames * len(geometry.pieces()) + 1000
    await sink.run(len(words), cycles=limit)
    while not (feed.done() and begin.done()) and sink.cycle < limit:
        await sink.run(cycles=sink.cycle + 1)
    await sink.run(cycles=sink.cycle + DRAIN)
    check.cancel()
    assert feed.done(), f"stuck after {len(source.taken)} of {len(flits)} flits: {geometry}"
    assert begin.done(), f"a token was not taken: {geometry}"
    assert [word for _, word in sink.taken] == words, geometry
    return tuple([cycle for cycle, _ in port.taken] for port in (tokens, source, sink))  # type: ignore[return-value]


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Several frames in a row of every geometry, at every pace, with tokens in time and late."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        for pace in PACES if number % 3 == 0 else PACES[number % 3 :: 2]:
            await configure(dut, geometry)
            await run(dut, geometry, frames=3, pace=pace, late=0.8 * (number % 2))


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
async def long_frame(dut: Any) -> None:
    """More pixels than a byte counts."""
    await start(dut)
    geometry = Geometry(**P["long"])
    await configure(dut, geometry)
    await run(dut, geometry, frames=2)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a word nothing of it is left."""
    await start(dut)
    for number, geometry in enumerate(GEOMETRIES):
        flits, _ = geometry.frame(random.Random(7))
        await configure(dut, geometry)
        dut.o__ready.value = number % 2
        dut.start__valid.value = 1
        feed = cocotb.start_soon(StreamSource(dut, "i").run(flits))
        for _ in range(1 + number % 5):
            await RisingEdge(dut.clk)
        feed.cancel()
        dut.i__valid.value = 0
        await configure(dut, geometry)
        await run(dut, geometry, frames=2)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """The formulas of the docstring, from the cycles of the transfers."""
    await start(dut)
    for geometry in GEOMETRIES:
        await configure(dut, geometry)
        tokens, taken, sent = await run(dut, geometry, frames=3)
        pieces = geometry.pieces()
        frame, flits = len(pieces), len(taken) // 3
        # The first token is taken in cycle 0, the others with the last move of the frame before.
        assert tokens == [0, frame, 2 * frame], geometry
        done = [n for n, (_, _, word, _) in enumerate(pieces) if word]
        assert sent == [1 + f * frame + n + 1 for f in range(3) for n in done], geometry
        assert taken[-1] == 3 * frame, geometry
        per_flit = geometry.per_flit
        aligned = (geometry.channels, geometry.first, geometry.taken, geometry.word)
        if not any(count % per_flit for count in aligned):
            assert frame == flits  # a flit a cycle
        if geometry.channels == 1:
            assert frame == geometry.pixels  # a pixel a cycle
