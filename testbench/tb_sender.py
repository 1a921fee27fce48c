"""Sender: random frames of vectors against the bits of all elements in a row, cut into flits."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
LINK, LANES, LANE_BITS = P["link_bits"], P["lanes"], P["lane_bits"]
COUNT_BITS = (LANES - 1).bit_length()
WIDE = range(16, 49, 4)
#: size and fuse, and the bits of an element; None: as configured
KINDS = [((0, 0), 4), ((1, 0), 8), ((2, 0), 16), ((3, 0), None), ((0, 1), None), ((3, 1), None)]

Kind = tuple[tuple[int, int], int | None]


def vector(rng: random.Random, kind: Kind, count: int, last: bool) -> int:
    """A vector of random lanes, also beyond those that count."""
    (size, fuse), _ = kind
    lanes = [rng.choice([rng.getrandbits(LANE_BITS), rng.randrange(-300, 300)]) for _ in range(LANES)]
    return pack([*((v, LANE_BITS) for v in lanes), (size, 2), (fuse, 1), (count - 1, COUNT_BITS), (last, 1)])


def elements(word: int, wide: int) -> tuple[list[tuple[int, int]], bool]:
    """The elements that count and their bits, and whether the frame ends."""
    rest = word >> (LANES * LANE_BITS)
    size, fuse = rest & 3, rest >> 2 & 1
    count = (rest >> 3 & ((1 << COUNT_BITS) - 1)) + 1
    bits = wide if fuse or size == 3 else (4, 8, 16)[size]
    half = 1 << LANE_BITS - 1
    signed = [v - 2 * half if v >= half else v for v in fields(word, LANE_BITS, LANES)[:count]]
    return [(v, bits) for v in signed], bool(rest >> (3 + COUNT_BITS))


def flits(words: list[int], wide: int) -> list[int]:
    """The flits of whole frames."""
    result: list[int] = []
    frame: list[tuple[int, int]] = []
    for word in words:
        some, last = elements(word, wide)
        frame += some
        if last:
            size = sum(bits for _, bits in frame)
            result += fields(pack(frame), LINK, -(-size // LINK))
            frame = []
    return result


class SenderModel:
    """A flit a cycle from the bits of the vector that is inside and of those that went before."""

    def __init__(self, wide: int):
        self.wide = wide
        self.before = 0  # bits that fill no flit yet
        self.size = 0
        self.inside: tuple[int, int, bool] | None = None  # bits, how many, frame ends
        self.flush = False
        self.out: list[int] = []  # flits that are offered, or wait behind

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.out[0] if self.out else None
        free = self.inside is None
        room = len(self.out) < 2
        if ready:
            self.out = self.out[1:]
        if room:
            if self.flush:
                self.out.append(self.before)
                self.before, self.size, self.flush = 0, 0, False
            elif self.inside is not None:
                bits, size, last = self.inside
                joined, total = self.before | bits << self.size, self.size + size
                sends = total >= LINK or last
                if sends:
                    self.out.append(joined & (1 << LINK) - 1)
                    joined, total = joined >> LINK, max(0, total - LINK)
                if total >= LINK:
                    # The bits before and the vector's: as many before as there were.
                    self.before = joined & (1 << self.size) - 1
                    self.inside = (joined >> self.size, total - self.size, last)
                else:
                    self.before, self.size, self.inside, free = joined, total, None, True
                    self.flush = last and total > 0
        if free and word is not None:
            some, last = elements(word, self.wide)
            self.inside = (pack(some), sum(bits for _, bits in some), last)
        return free, shown


async def configure(dut: Any, wide: int) -> SenderModel:
    """Set the configuration, reset the block, give a fresh model."""
    dut["config"].value = wide
    await reset(dut)
    return SenderModel(wide)


def frames(rng: random.Random, kind: Kind | None, patterns: list[list[int]]) -> list[int]:
    """A frame for each list of counts; without a kind every vector has its own."""
    return [
        vector(rng, kind or rng.choice(KINDS), count, n == len(counts) - 1)
        for counts in patterns
        for n, count in enumerate(counts)
    ]


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Frames of each kind and of all kinds mixed, for each width, at changing paces."""
    await start(dut)
    rng = random.Random(1)
    number = 0
    for wide in WIDE:
        for kind in (*KINDS[number % 3 :: 3], KINDS[3], None):
            patterns = [
                [LANES, rng.randint(1, LANES)],
                [rng.randint(1, LANES) for _ in range(3)],
                [1],
                [1] * 5,
            ]
            words = frames(rng, kind, patterns)
            model = await configure(dut, wide)
            await transfer(dut, words, flits(words, wide), model, pace=PACES[number % len(PACES)])
            number += 1


@cocotb.test()
async def every_count(dut: Any) -> None:
    """Each number of lanes, alone in its frame and among others."""
    await start(dut)
    rng = random.Random(2)
    for kind in KINDS[:4]:
        words = frames(rng, kind, [[count] for count in range(1, LANES + 1)])
        words += frames(rng, kind, [[*range(1, LANES + 1)]])
        model = await configure(dut, 20)
        await transfer(dut, words, flits(words, 20), model, pace=PACES[0])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a frame nothing of it is left."""
    await start(dut)
    rng = random.Random(3)
    for kind in KINDS[:4]:
        for after in range(1, 8):
            words = frames(rng, kind, [[max(1, LANES - 1)] * 3])
            await configure(dut, 20)
            dut.o__ready.value = after != 3
            feed = cocotb.start_soon(StreamSource(dut, "i").run(words))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.i__valid.value = 0
            model = await configure(dut, 20)
            await transfer(dut, words, flits(words, 20), model, pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """Two cycles to the first flit, then a flit a cycle over the ends of vectors and frames."""
    await start(dut)
    rng = random.Random(4)
    for wide in WIDE:
        for kind, bits in KINDS[:4]:
            least = -(-LINK // (bits or wide))  # elements that fill a flit
            if least > LANES:
                continue
            counts = [rng.randint(least, LANES) for _ in range(4)]
            words = frames(rng, (kind, bits), [counts, counts[::-1], [LANES] * 3])
            model = await configure(dut, wide)
            taken, sent = await transfer(dut, words, flits(words, wide), model, pace=PACES[0])
            assert taken[0][0] == 0
            assert [cycle for cycle, _ in sent] == list(range(2, 2 + len(sent))), (wide, kind, counts)
            spent = sum(-(-sum(some) * (bits or wide) // LINK) for some in (counts, counts, [LANES] * 3))
            assert len(sent) == spent
