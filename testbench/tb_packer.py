"""Packer: random frames against a flat list of activations or raw values cut into flits."""

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
ACT, LANES, LINK = P["act_bits"], P["lanes"], P["link_bits"]
COUNT_BITS = (LANES - 1).bit_length()
PARTS = 32 // LINK


def random_frame(rng: random.Random, counts: list[int]) -> list[int]:
    """One word of results for each count; the lanes that do not count hold anything."""
    return [
        pack(
            [
                *((rng.randrange(1 << ACT), ACT) for _ in range(LANES)),
                (rng.getrandbits(32 * LANES), 32 * LANES),
                (count - 1, COUNT_BITS),
                (n == len(counts) - 1, 1),
            ]
        )
        for n, count in enumerate(counts)
    ]


def split(word: int) -> tuple[list[int], list[int], bool]:
    """Activations and raw values that count, and whether the frame ends."""
    count = (word >> (LANES * (ACT + 32)) & ((1 << COUNT_BITS) - 1)) + 1
    last = bool(word >> (LANES * (ACT + 32) + COUNT_BITS))
    return fields(word, ACT, LANES)[:count], fields(word >> (LANES * ACT), 32, LANES)[:count], last


def flits(frame: list[int], raw: bool) -> list[int]:
    """A whole frame's flits, `config` low in each."""
    if raw:
        return [part for word in frame for value in split(word)[1] for part in fields(value, LINK, PARTS)]
    values = [value for word in frame for value in split(word)[0]]
    return [pack((v, ACT) for v in values[n : n + LANES]) for n in range(0, len(values), LANES)]


class PackerModel:
    """One flit a cycle: results that fill none wait, and what a frame leaves over follows it."""

    def __init__(self, raw: bool):
        self.raw = raw
        self.rest: list[int] = []
        self.flush = False
        self.part = 0
        self.out: int | None = None

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.out
        if shown is not None and not ready:
            return False, shown
        self.out = None
        if self.flush:
            self.out, self.rest, self.flush = pack((v, ACT) for v in self.rest), [], False
            return False, shown
        if word is None:
            return True, shown
        activations, raw, last = split(word)
        if self.raw:
            parts = [part for value in raw for part in fields(value, LINK, PARTS)]
            self.out = parts[self.part]
            self.part = (self.part + 1) % len(parts)
            return self.part == 0, shown
        self.rest += activations
        if len(self.rest) >= LANES or last:
            self.out = pack((v, ACT) for v in self.rest[:LANES])
            self.rest = self.rest[LANES:]
            self.flush = last and bool(self.rest)
        return True, shown


async def configure(dut: Any, raw: bool) -> PackerModel:
    """Set the configuration, reset the block, give a fresh model."""
    dut.config.value = raw
    await reset(dut)
    return PackerModel(raw)


def patterns(rng: random.Random) -> list[list[int]]:
    """Counts of the words of a frame: each count alone, pixels of one, two and three words, and any mixture."""
    some = [[count] * words for count in range(1, LANES + 1) for words in (1, 2, 5)]
    some += [[LANES, count] * 4 for count in range(1, LANES + 1)]
    some += [[rng.randint(1, LANES) for _ in range(rng.randint(1, 12))] for _ in range(12)]
    return some


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Frames of every pattern of counts in a row, as activations and raw, at every pace."""
    await start(dut)
    rng = random.Random(1)
    for raw in (False, True):
        some = patterns(rng)
        rng.shuffle(some)
        frames = [random_frame(rng, counts) for counts in some]
        expected = [flit for frame in frames for flit in flits(frame, raw)]
        for pace in PACES:
            model = await configure(dut, raw)
            await transfer(dut, [w for frame in frames for w in frame], expected, model, pace=pace)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """After a reset in the middle of a frame nothing of it is left."""
    await start(dut)
    rng = random.Random(2)
    for raw in (False, True):
        for after in range(1, 8):
            frame = random_frame(rng, [max(1, LANES - 1)] * 4)
            await configure(dut, raw)
            dut.o__ready.value = after != 3
            feed = cocotb.start_soon(StreamSource(dut, "i").run(frame * 3))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.i__valid.value = 0
            model = await configure(dut, raw)
            await transfer(dut, frame, flits(frame, raw), model, pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """One cycle; a word a cycle, one more where a frame leaves something over; raw, 32 / link_bits a result."""
    await start(dut)
    rng = random.Random(3)
    for counts in patterns(rng):
        frame = random_frame(rng, counts)
        model = await configure(dut, False)
        taken, sent = await transfer(dut, frame * 3, flits(frame, False) * 3, model, pace=PACES[0])
        over = (sum(counts) - 1) // LANES > (sum(counts[:-1])) // LANES
        spent = len(counts) + over
        assert [c for c, _ in taken] == [f * spent + n for f in range(3) for n in range(len(counts))]
        # A flit leaves in the cycle after the word that filled it, or that ended the frame.
        filled = [n for n in range(len(counts)) if sum(counts[: n + 1]) // LANES > sum(counts[:n]) // LANES]
        if len(filled) < -(-sum(counts) // LANES):
            filled.append(len(counts) - 1 + over)
        assert [c for c, _ in sent] == [f * spent + n + 1 for f in range(3) for n in filled], counts

        model = await configure(dut, True)
        taken, sent = await transfer(dut, frame, flits(frame, True), model, pace=PACES[0])
        assert [c for c, _ in taken] == [PARTS * sum(counts[: n + 1]) - 1 for n in range(len(counts))]
        assert [c for c, _ in sent] == list(range(1, PARTS * sum(counts) + 1))
