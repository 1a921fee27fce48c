"""One ALU lane: every operation and format on random and extreme operands against the model."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.stream import parameters, start

BITS = parameters()["bits"]
ONES = (1 << BITS) - 1

Work = tuple[int, int, int, int]  # op, size, a, b


async def begin(dut: Any) -> None:
    for name in (
        "take", "a", "b", "forward_a", "forward_b", "result_a", "result_b", "op", "quotient", "scale", "done",
        "keep_first", "keep_last", "size",
    ):  # fmt: skip
        getattr(dut, name).value = 0
    await start(dut)


async def run(dut: Any, work: Iterable[Work], idle: float = 0.0) -> None:
    """Operations one after the other, in some cycles none, each result after its three stages."""
    rng = random.Random(5)
    stages: list[tuple[Work, int] | None] = [None] * (model.STAGES + 1)
    waiting = list(work)[::-1]
    while waiting or any(stages):
        takes = bool(waiting) and rng.random() >= idle
        dut.take.value = takes
        if takes:
            op, size, a, b = waiting.pop()
            dut.a.value, dut.b.value = a & ONES, b & ONES
            taken = (op, size, a, b & ONES), int(model.operate(op, size, [a], [b & ONES], BITS)[0])
        else:
            dut.a.value = dut.b.value = rng.getrandbits(BITS)
        first, second = stages[0], stages[1]
        dut.op.value = first[0][0] if first else rng.randrange(16)
        dut.size.value = second[0][1] if second else rng.randrange(4)
        dut.done.value = sum(bool(stage) << n for n, stage in enumerate(stages[: model.STAGES]))
        await check(dut, stages[-1])
        await RisingEdge(dut.clk)
        stages = [taken if takes else None, *stages[:-1]]


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
    await run(dut, work, idle=0.3)


async def one(dut: Any, op: int, size: int, a: int, b: int, ports: Mapping[str, int], keep: str = "") -> int:
    """An operation on its own, a cycle more in each stage; `keep` names the port that keeps its result."""
    dut.take.value, dut.a.value, dut.b.value = 1, a & ONES, b & ONES
    for name, value in ports.items():
        getattr(dut, name).value = value
    await RisingEdge(dut.clk)
    dut.take.value = 0
    dut.forward_a.value = dut.forward_b.value = dut.result_a.value = dut.result_b.value = 0
    dut.op.value, dut.size.value = op, size
    for stage in range(model.STAGES):
        await RisingEdge(dut.clk)
        dut.done.value = 1 << stage
        dut.keep_first.value = keep == "keep_first" and stage == 0
        dut.keep_last.value = keep == "keep_last" and stage == model.STAGES - 1
        await RisingEdge(dut.clk)
        dut.done.value = dut.keep_first.value = dut.keep_last.value = 0
    await ReadOnly()
    value = dut.result.value.to_signed()
    await RisingEdge(dut.clk)
    return value


@cocotb.test()
async def from_the_side(dut: Any) -> None:
    """DIV and ISQRT take, and saturate, what the divider and the SFU found; an operation that is none gives 0."""
    await begin(dut)
    rng = random.Random(4)
    for n in range(120):
        quotient, scale = rng.randint(-(2**24), 2**24), rng.getrandbits(22)
        if n % 4 == 0:
            quotient = rng.choice((2**24, -(2**24)))
        size = rng.choice(model.SIZES)
        sides = {"quotient": quotient & (1 << 26) - 1, "scale": scale}
        for op in (0, model.DIV, model.ISQRT, *range(9, 16)):
            value = {model.DIV: quotient, model.ISQRT: scale}.get(op, 0)
            found = await one(dut, op, size, rng.getrandbits(BITS), rng.getrandbits(BITS), sides)
            # MAX with itself: only saturation.
            lane = min(2 ** (BITS - 1) - 1, max(-(2 ** (BITS - 1)), value))
            expected = int(model.operate(model.MAX, size, [lane], [lane & ONES], BITS)[0])
            assert found == expected, f"op {op}, size {size}: {value:#x}"


@cocotb.test()
async def forwards(dut: Any) -> None:
    """FORWARD is what was kept last, of the first stage or the last one, as either operand; so is the last result."""
    await begin(dut)
    rng = random.Random(6)
    kept = result = 0

    def number() -> int:
        return rng.choice((rng.choice(model.corners(BITS)), rng.randrange(-300, 300)))

    for n in range(600):
        op, size = rng.choice(ONE_CYCLE), rng.choice(model.SIZES)
        a, b = number(), number()
        flags = {f"{kind}_{name}": rng.randrange(2) for kind in ("forward", "result") for name in "ab"}
        keep = rng.choice(("keep_first", "keep_last", ""))
        x, y = (
            kept if flags[f"forward_{name}"] else result if flags[f"result_{name}"] else value
            for name, value in (("a", a), ("b", b))
        )
        wide = int(model.operate(op, model.WIDE, [x], [y & ONES], BITS)[0])
        expected = int(model.operate(op, size, [x], [y & ONES], BITS)[0])
        if op == model.MUL and keep == "keep_first":
            keep = ""  # its product is not there yet
        found = await one(dut, op, size, a, b, flags, keep)
        assert found == expected, f"{n}: {(op, size, x, y)}: not {expected}"
        kept = wide if keep == "keep_first" else expected if keep else kept
        result = expected
