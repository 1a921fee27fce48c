"""One SFU lane: inverse square roots against the model."""

import random
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.stream import parameters, reset, start

BITS = parameters()["bits"]
ONES = (1 << BITS) - 1
#: Each cycle's port, and the level of normalisation.
PHASES = [
    ("first", 0),
    *(("normalise", level) for level in (4, 3, 2, 1, 0)),
    ("prepare", 0),
    *18 * [("step", 0)],
]


async def begin(dut: Any) -> None:
    for name in ("first", "normalise", "level", "prepare", "step", "a"):
        getattr(dut, name).value = 0
    await start(dut)


async def phases(dut: Any, x: int, count: int, pause: int = 0) -> None:
    """The first cycles of a root, with `pause` cycles after each."""
    for name, level in PHASES[:count]:
        port = getattr(dut, name)
        port.value, dut.level.value = 1, level
        dut.a.value = x & ONES if name == "first" else ~x & ONES
        await RisingEdge(dut.clk)
        port.value = 0
        for _ in range(pause):
            await RisingEdge(dut.clk)


async def root(dut: Any, x: int, pause: int = 0) -> int:
    """The scale of one number."""
    await phases(dut, x, len(PHASES), pause)
    for _ in range(1 + pause):  # it stays
        await ReadOnly()
        value = int(dut.scale.value)
        await RisingEdge(dut.clk)
    return value


async def check(dut: Any, x: int, pause: int = 0) -> None:
    expected = model.inverse_root(x)
    found = model.unpack_scale(await root(dut, x, pause))
    assert found == expected, f"1/√{x} is {found}, not {expected}"


@cocotb.test()
async def ends(dut: Any) -> None:
    """Small and large numbers, zero, negative ones, powers of two and four and their neighbours, squares."""
    await begin(dut)
    rng = random.Random(1)
    values = set(range(-3, 70)) | set(model.corners(BITS))
    for bit in range(BITS - 1):
        values |= {2**bit - 1, 2**bit, 2**bit + 1}
    # A multiplier of 2^16, which becomes 2^15, is that of the powers of four and of what is just above them.
    for pair in range(9, BITS // 2):
        values |= {4**pair + 4**pair // 2**15, 4**pair + 4**pair // 2**16, 4**pair + 4**pair // 2**17}
    values |= {rng.randrange(2 ** (BITS // 2 - 1)) ** 2 for _ in range(50)}
    for x in sorted(values):
        if x < 2 ** (BITS - 1):
            await check(dut, x)


@cocotb.test()
async def random_operands(dut: Any) -> None:
    """Numbers of every magnitude, with and without pauses."""
    await begin(dut)
    rng = random.Random(2)
    for n in range(800):
        await check(dut, rng.getrandbits(BITS - 1) >> rng.randrange(BITS - 1), pause=n % 3 if n < 150 else 0)


@cocotb.test()
async def starts_over(dut: Any) -> None:
    """A root that was given up, or reset, leaves nothing behind."""
    await begin(dut)
    for count in range(1, len(PHASES)):
        for resets in (False, True):
            await phases(dut, 12345, count)
            if resets:
                await reset(dut)
            await check(dut, 99)
