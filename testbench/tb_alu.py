"""One ALU lane: every operation and format on random and extreme operands against the model."""

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.stream import parameters, start

BITS = parameters()["bits"]
ONES = (1 << BITS) - 1

Work = tuple[int, int, int, int]  # op, size, a, b


async def begin(dut: Any) -> None:
    for name in ("enable", "op", "size", "a", "b", "quotient", "scale"):
        getattr(dut, name).value = 0
    await start(dut)


async def run(dut: Any, work: Iterable[Work]) -> None:
    """One operation a cycle, each result in the cycle after it."""
    expected: tuple[Work, int] | None = None
    for op, size, a, b in work:
        dut.enable.value, dut.op.value, dut.size.value = 1, op, size
        dut.a.value, dut.b.value = a & ONES, b & ONES
        await check(dut, expected)
        await RisingEdge(dut.clk)
        expected = (op, size, a, b & ONES), int(model.operate(op, size, [a], [b & ONES], BITS)[0])
    dut.enable.value = 0
    for _ in range(2):  # nothing changes it now
        dut.a.value = dut.b.value = dut.op.value = 1
        await check(dut, expected)
        await RisingEdge(dut.clk)


async def check(dut: Any, expected: tuple[Work, int] | None) -> None:
    await ReadOnly()
    if expected is not None:
        work, value = expected
        assert dut.result.value.to_signed() == value, f"{work}: not {value}"


ONE_CYCLE = [op for op in model.OPS if op not in model.CYCLES]


@cocotb.test()
async def ends(dut: Any) -> None:
    """Operands at which something saturates or changes its sign, in pairs."""
    await begin(dut)
    values = model.corners(BITS)
    rng = random.Random(1)
    pairs = [(a, b) for a in values for b in values]
    for op in ONE_CYCLE:
        if op != model.MUL:
            await run(dut, [(op, rng.choice(model.SIZES), a, b) for a, b in rng.sample(pairs, 400)])


@cocotb.test()
async def every_shift(dut: Any) -> None:
    """Scales with each of the 64 shifts; products on halves and beside them; what lies above a scale is ignored."""
    await begin(dut)
    rng = random.Random(2)
    work = []
    for shift in range(-16, 48):
        for mult in (0, 1, 3, 0x8000, 0xFFFF, rng.randrange(1 << 16)):
            above = rng.getrandbits(BITS - 22) << 22
            word = model.scale(mult, shift) | above
            near = 2 ** max(shift - 1, 0) // max(mult, 1)
            for a in (rng.choice(model.corners(BITS)), near, near + 1, -near, -near - 1):
                a = max(-(2 ** (BITS - 1)), min(2 ** (BITS - 1) - 1, a))
                work.append((model.MUL, rng.choice(model.SIZES), a, word))
        # 1 / 2^shift of odd multiples of a half.
        for odd in (-3, -1, 1, 3):
            half = odd * 2 ** max(shift - 1, 0)
            if abs(half) < 2 ** (BITS - 1):
                work.append((model.MUL, model.WIDE, half, model.scale(1, shift)))
    await run(dut, work)


@cocotb.test()
async def random_operands(dut: Any) -> None:
    """Operands of every magnitude."""
    await begin(dut)
    rng = random.Random(3)
    work = []
    for _ in range(3000):
        a, b = (rng.getrandbits(BITS) - 2 ** (BITS - 1) >> rng.randrange(BITS) for _ in range(2))
        work.append((rng.choice(ONE_CYCLE), rng.choice(model.SIZES), a, b))
    await run(dut, work)


@cocotb.test()
async def from_the_side(dut: Any) -> None:
    """DIV and ISQRT take, and saturate, what the divider and the SFU found; an operation that is none gives 0."""
    await begin(dut)
    rng = random.Random(4)
    for n in range(200):
        quotient, scale = rng.randint(-(2**24), 2**24), rng.getrandbits(22)
        if n % 4 == 0:
            quotient = rng.choice((2**24, -(2**24)))
        size = rng.choice(model.SIZES)
        dut.enable.value, dut.size.value = 1, size
        dut.a.value, dut.b.value = rng.getrandbits(BITS), rng.getrandbits(BITS)
        dut.quotient.value, dut.scale.value = quotient & (1 << 26) - 1, scale
        for op in (0, model.DIV, model.ISQRT, *range(9, 16)):
            dut.op.value = op
            await RisingEdge(dut.clk)
            await ReadOnly()
            value = {model.DIV: quotient, model.ISQRT: scale}.get(op, 0)
            # MAX with itself: only saturation.
            word = value & ONES
            lane = min(2 ** (BITS - 1) - 1, max(-(2 ** (BITS - 1)), value))
            expected = int(model.operate(model.MAX, size, [lane], [lane & ONES], BITS)[0])
            assert dut.result.value.to_signed() == expected, f"op {op}, size {size}: {word:#x}"
            await RisingEdge(dut.clk)
