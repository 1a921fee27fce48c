"""One divider: rounded quotients of signed numbers against the model."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.stream import parameters, reset, start

BITS = parameters()["bits"]
ONES = (1 << BITS) - 1
PHASES = ("first", "measure", "check", *24 * ["step"], "round")


async def begin(dut: Any) -> None:
    for name in (*PHASES, "a", "b"):
        getattr(dut, name).value = 0
    await start(dut)


async def quotient(dut: Any, a: int, b: int, pause: int = 0) -> int:
    """One division, with `pause` cycles between its phases."""
    for phase in PHASES:
        port = getattr(dut, phase)
        port.value = 1
        # The operands are there in the first cycle only.
        dut.a.value, dut.b.value = (a & ONES, b & ONES) if phase == "first" else (~a & ONES, 3)
        await RisingEdge(dut.clk)
        port.value = 0
        for _ in range(pause):
            await RisingEdge(dut.clk)
    for _ in range(1 + pause):  # it stays
        await ReadOnly()
        value = dut.quotient.value.to_signed()
        await RisingEdge(dut.clk)
    return value


async def check(dut: Any, a: int, b: int, pause: int = 0) -> None:
    expected = int(model.divide(model.lanes([a]), model.lanes([b]))[0])
    found = await quotient(dut, a, b, pause)
    assert found == expected, f"{a} / {b} is {found}, not {expected}"


@cocotb.test()
async def ends(dut: Any) -> None:
    """Lane ends, quotients around ±2^24, zero, by zero."""
    await begin(dut)
    rng = random.Random(1)
    values = model.corners(BITS)
    for a, b in rng.sample([(a, b) for a in values for b in values], 800):
        await check(dut, a, b)
    for a in values:
        await check(dut, a, 0)
        await check(dut, 0, a)
    low, high = -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1
    for _ in range(300):
        b = rng.choice((1, -1)) * (rng.getrandbits(max(BITS - 25, 1)) + 1)
        edge = 2**24 * b
        for a in (edge, edge - 1, edge + 1, edge - b // 2, edge + b // 2, edge - b, edge + b):
            await check(dut, max(low, min(high, a)), b)


@cocotb.test()
async def halves(dut: Any) -> None:
    """Quotients on a half and one beside it, of every sign: halves go up."""
    await begin(dut)
    rng = random.Random(2)
    for _ in range(400):
        b = 2 * (rng.getrandbits(rng.randrange(1, BITS - 4)) + 1)
        count = rng.getrandbits(min(24, BITS - b.bit_length()))
        half = count * b + b // 2
        if half < 2 ** (BITS - 1) - 1:
            for a in (half - 1, half, half + 1):
                for sign in (1, -1):
                    await check(dut, sign * a, b)
                    await check(dut, sign * a, -b)


@cocotb.test()
async def random_operands(dut: Any) -> None:
    """Operands of every magnitude, with and without pauses between the phases."""
    await begin(dut)
    rng = random.Random(3)
    for n in range(1500):
        a, b = (rng.getrandbits(BITS) - 2 ** (BITS - 1) >> rng.randrange(BITS) for _ in range(2))
        await check(dut, a, b, pause=n % 3 if n < 300 else 0)


@cocotb.test()
async def starts_over(dut: Any) -> None:
    """A division that was given up, or reset, leaves nothing behind."""
    await begin(dut)
    for count in range(1, len(PHASES)):
        for resets in (False, True):
            dut.a.value, dut.b.value = ONES, 5
            for phase in PHASES[:count]:
                getattr(dut, phase).value = 1
                await RisingEdge(dut.clk)
                getattr(dut, phase).value = 0
            if resets:
                await reset(dut)
            await check(dut, 1000, 7)
