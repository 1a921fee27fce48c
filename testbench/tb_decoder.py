"""Instruction decoder: every value of every field, and words at random, against the set as `isa_model` has it."""

import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from ohmweave.testbench.isa_model import FIELDS, HALVES, fields, legal, random_legal, words
from ohmweave.testbench.stream import parameters

P = parameters()
HALF = P["half"]
PORTS = "ranc"


async def check(dut: Any, tried: Sequence[int], *, views: bool = True) -> int:
    """Compare `legal` and `kind`, and with `views` the fields of all classes; give how many were legal."""
    expected = legal(np.array(tried, np.uint64), HALF)
    for word, accepts in zip(tried, expected, strict=True):
        dut.word.value = word
        await Timer(1, unit="ns")
        assert int(dut.legal.value) == accepts, f"{word:#010x}: legal is not {int(accepts)}"
        if not views:
            continue
        assert int(dut.kind.value) == word & 3, f"{word:#010x}: kind"
        for kind, port in enumerate(PORTS):
            shown, low = int(getattr(dut, port).value), 0
            values = fields(word if word & 3 == kind else 0, kind)
            for name, width in FIELDS[kind]:
                value = shown >> low & ((1 << width) - 1)
                assert value == values[name], f"{word:#010x}: {port}.{name} is {value}, not {values[name]}"
                low += width
            assert not shown >> low
    return int(expected.sum())


@cocotb.test()
async def every_value_of_every_field(dut: Any) -> None:
    """Each value of a field in legal words, pairs of fields, one or two bits changed, and words at random."""
    tried = words(random.Random(1), HALF, P["words"])
    accepted = await check(dut, tried, views=False)
    print(f"{HALF}: {len(tried)} words, {accepted} of them legal")
    # A test that saw only one answer would show little.
    assert len(tried) // 4 < accepted < len(tried) * 3 // 4


@cocotb.test()
async def views(dut: Any) -> None:
    """The fields of the word's class show its bits, legal or not; those of the others are zero."""
    rng = random.Random(2)
    tried = [0, (1 << 32) - 1, *(1 << bit for bit in range(32)), *(rng.getrandbits(32) for _ in range(500))]
    for kind in FIELDS:
        if kind != (1 if HALF == "reram" else 0):
            tried += random_legal(rng, HALF, kind, 20)
    await check(dut, tried)


@cocotb.test()
async def other_half(dut: Any) -> None:
    """What only the other half may hold is refused here."""
    rng = random.Random(3)
    other = HALVES[1 - HALVES.index(HALF)]
    tried = random_legal(rng, other, 1 if HALF == "reram" else 0, 50) + random_legal(rng, other, 2, 50)
    assert await check(dut, tried) == 0


@cocotb.test()
async def no_instruction(dut: Any) -> None:
    """A word of zeros, and an operation of zero in each class."""
    assert await check(dut, [0, 1, 2, 3]) == 0
