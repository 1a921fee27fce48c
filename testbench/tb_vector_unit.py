"""Vector unit: requests of every kind in lockstep with a model of its time and of its numbers."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSource, parameters, reset, start

P = parameters()
BITS, LANES = P["bits"], P["lanes"]
VECTOR = BITS * LANES


def request(op: int, size: int, a: Sequence[int], b: Sequence[int]) -> int:
    return pack([*((x, BITS) for x in a), *((y, BITS) for y in b), (op, 4), (size, 2)])


def expected(word: int) -> int:
    """The result of a request, as a word."""
    op, size = word >> 2 * VECTOR & 15, word >> 2 * VECTOR + 4
    a = model.signed(model.lanes(fields(word, BITS, LANES)), BITS)
    values = model.operate(op, size, a, fields(word >> VECTOR, BITS, LANES), BITS)
    return pack((int(value), BITS) for value in values)


class VectorUnitModel:
    """One request at a time; its result n cycles later."""

    def __init__(self) -> None:
        self.left = 0
        self.shown: int | None = None
        self.pending = 0

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown, busy = self.shown, self.left > 0
        accepted = not busy and (shown is None or ready)
        if ready:
            self.shown = None
        if accepted and word is not None:
            self.pending = expected(word)
            self.left = model.CYCLES.get(word >> 2 * VECTOR & 15, 1)
        if self.left:
            self.left -= 1
            if not self.left:
                self.shown = self.pending
        return accepted, shown


def ports(dut: Any) -> Any:
    """The unit's streams by the names that `transfer` knows."""
    names = ("valid", "ready", "payload")
    streams = {f"i__{name}": getattr(dut, f"request__{name}") for name in names}
    return SimpleNamespace(
        clk=dut.clk, **streams, **{f"o__{name}": getattr(dut, f"result__{name}") for name in names}
    )


async def begin(dut: Any) -> None:
    dut.clear.value = 0
    dut.request__valid.value = 0
    dut.request__payload.value = 0
    dut.result__ready.value = 0
    await start(dut)


def random_request(rng: random.Random, op: int | None = None) -> int:
    """Every lane of another magnitude, one in four at an end of something."""

    def number() -> int:
        if rng.random() < 0.25:
            return rng.choice(model.corners(BITS))
        return rng.getrandbits(BITS) - 2 ** (BITS - 1) >> rng.randrange(BITS)

    a, b = ([number() for _ in range(LANES)] for _ in range(2))
    if rng.random() < 0.5:
        b = [model.scale(rng.getrandbits(16), rng.randint(-16, 47)) for _ in range(LANES)]
    return request(rng.choice(model.OPS) if op is None else op, rng.choice(model.SIZES), a, b)


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """All operations mixed, at every pace; operations that are none as well."""
    await begin(dut)
    rng = random.Random(1)
    for pace in PACES:
        words = [random_request(rng) for _ in range(P["requests"])]
        words += [random_request(rng, op) for op in (0, 9, 15)]
        await reset(dut)
        await transfer(ports(dut), words, [expected(word) for word in words], VectorUnitModel(), pace=pace)


@cocotb.test()
async def every_operation_and_size(dut: Any) -> None:
    """Each operation in each format, after each other operation."""
    await begin(dut)
    rng = random.Random(2)
    words = []
    for op in model.OPS:
        for before in model.OPS:
            words += [random_request(rng, before), random_request(rng, op)]
    words += [
        request(op, size, *([rng.choice(model.corners(BITS)) for _ in range(LANES)] for _ in "ab"))
        for op in model.OPS
        for size in model.SIZES
    ]
    await transfer(ports(dut), words, [expected(word) for word in words], VectorUnitModel(), pace=PACES[0])


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """1, 4 and 8 cycles to a result, and from one request to the next."""
    await begin(dut)
    rng = random.Random(3)
    for op in model.OPS:
        words = [random_request(rng, op) for _ in range(5)]
        await reset(dut)
        taken, sent = await transfer(
            ports(dut), words, [expected(word) for word in words], VectorUnitModel(), pace=PACES[0]
        )
        cycles = model.CYCLES.get(op, 1)
        assert [cycle for cycle, _ in taken] == [cycles * n for n in range(5)]
        assert [cycle for cycle, _ in sent] == [cycles * n for n in range(1, 6)]


async def interrupt(dut: Any, signal: Any) -> None:
    """Stop every operation after each number of cycles, with the result waiting, too; then work as ever."""
    rng = random.Random(4)
    for op in (model.ADD, model.DIV, model.ISQRT):
        for after in range(1, model.CYCLES.get(op, 1) + 3):
            dut.result__ready.value = 0
            feed = cocotb.start_soon(StreamSource(dut, "request").run([random_request(rng, op)]))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.request__valid.value = 0
            signal.value = 1
            await RisingEdge(dut.clk)
            signal.value = 0
            await ReadOnly()
            assert not dut.result__valid.value
            await RisingEdge(dut.clk)
            words = [random_request(rng) for _ in range(3)]
            results = [expected(word) for word in words]
            await transfer(ports(dut), words, results, VectorUnitModel(), pace=PACES[3])


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """A reset drops what is under way and what waits."""
    await begin(dut)
    await interrupt(dut, dut.rst)


@cocotb.test()
async def cleared_in_the_middle(dut: Any) -> None:
    """So does `clear`."""
    await begin(dut)
    await interrupt(dut, dut.clear)


async def sweep(dut: Any, op: int, pairs: Sequence[tuple[int, int]]) -> None:
    """One operation on many pairs of operands, as fast as it goes; without lockstep, which would take long."""
    dut.result__ready.value = 1
    dut.request__valid.value = 1
    for first in range(0, len(pairs), LANES):
        some = [*pairs[first : first + LANES]]
        some += [(1, 1)] * (LANES - len(some))
        word = request(op, model.WIDE, [a for a, _ in some], [b for _, b in some])
        dut.request__payload.value = word
        for _ in range(model.CYCLES[op]):
            await RisingEdge(dut.clk)
        await ReadOnly()
        assert dut.result__valid.value
        found = fields(int(dut.result__payload.value), BITS, LANES)
        for (a, b), result in zip(some, fields(expected(word), BITS, LANES), strict=True):
            assert found.pop(0) == result, f"operation {op} on {a} and {b}"
        # The next request is taken in the cycle in which the result is.
        await cocotb.triggers.Timer(1, "ns")
    dut.request__valid.value = 0


@cocotb.test(skip=not P["exhaustive"])
async def every_mantissa(dut: Any) -> None:
    """ISQRT of every number of 16 bits, and of every mantissa of 16 bits as high in the lane as it can be."""
    await begin(dut)
    numbers = [*range(2**16), *(x << (BITS - 17) for x in range(2**14, 2**16))]
    await sweep(dut, model.ISQRT, [(x, 0) for x in numbers])


@cocotb.test(skip=not P["exhaustive"])
async def small_quotients(dut: Any) -> None:
    """DIV of every pair of small numbers."""
    await begin(dut)
    await sweep(dut, model.DIV, [(a, b) for a in range(-130, 131) for b in range(-33, 34)])
