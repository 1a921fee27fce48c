"""Runs a block with one stream in and one out, cycle by cycle beside a Python model of it."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import StreamSink, StreamSource

__all__ = ["CycleModel", "Transfers", "fields", "lockstep", "pack", "transfer"]

#: (cycle, word) of each transfer.
Transfers = list[tuple[int, int]]

DRAIN = 12


def pack(fields: Iterable[tuple[int, int]]) -> int:
    """Join (value, bits) fields into a word, the first in the lowest bits; negative values in two's complement."""
    word, place = 0, 0
    for value, bits in fields:
        word |= (value & ((1 << bits) - 1)) << place
        place += bits
    return word


def fields(word: int, bits: int, count: int) -> list[int]:
    """Split a word into `count` fields of `bits` bits, the lowest first."""
    return [word >> (bits * n) & ((1 << bits) - 1) for n in range(count)]


class CycleModel(Protocol):
    """What a block shows in every cycle."""

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        """Given the word offered at `i` (or None) and `o.ready`: `i.ready` and the word at `o` (or None).

        Then move to the next cycle.
        """


async def lockstep(dut: Any, model: CycleModel) -> None:
    """Compare `i.ready`, `o.valid` and `o.payload` with the model's in every cycle, until cancelled."""
    now = 0
    while True:
        await ReadOnly()
        word = int(dut.i__payload.value) if dut.i__valid.value else None
        accepted, sent = model.cycle(word, bool(dut.o__ready.value))
        shown = int(dut.o__payload.value) if dut.o__valid.value else None
        assert shown == sent, f"cycle {now}: o is {_text(shown)}, model {_text(sent)}"
        if word is not None:
            assert bool(dut.i__ready.value) == accepted, f"cycle {now}: i.ready is not {accepted}"
        await RisingEdge(dut.clk)
        now += 1


def _text(word: int | None) -> str:
    return "nothing" if word is None else f"{word:#x}"


async def transfer(
    dut: Any, words: Sequence[int], expected: Sequence[int], model: CycleModel, *, pace: tuple[float, float]
) -> tuple[Transfers, Transfers]:
    """Send `words` into `i` at a pace of `PACES`, in lockstep with `model`, and expect just `expected` from `o`.

    Gives the transfers at `i` and at `o`.
    """
    source = StreamSource(dut, "i", idle=pace[0], seed=len(words))
    sink = StreamSink(dut, "o", stall=pace[1], seed=len(words) + 1)
    check = cocotb.start_soon(lockstep(dut, model))
    feed = cocotb.start_soon(source.run(words))
    # No block here needs more than 32 cycles for a word in or out, so this ends a deadlock.
    limit = 32 * (len(words) + len(expected)) + 1000
    await sink.run(len(expected), cycles=limit)
    while not feed.done() and sink.cycle < limit:
        await sink.run(cycles=sink.cycle + 1)
    await sink.run(cycles=sink.cycle + DRAIN)
    check.cancel()
    assert feed.done(), f"stuck after {len(source.taken)} of {len(words)} words"
    sent = [word for _, word in sink.taken]
    assert sent == list(expected), f"{len(sent)} words out, {len(expected)} expected, or not the same ones"
    return source.taken, sink.taken
