"""Vector unit: requests of every kind in lockstep with a model of its time and of its numbers."""

import random
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from ohmweave.testbench import lane_model as model
from ohmweave.testbench.lockstep import fields, pack, transfer
from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
BITS, LANES = P["bits"], P["lanes"]
VECTOR = BITS * LANES
TAG = 3


class Request(NamedTuple):
    """One operation; `first`, `second`: FORWARD instead of an operand; `keep`: its result is FORWARD.

    last_a, last_b  what is in the last stage gives the operand, which was so many requests before
    """

    op: int
    size: int
    a: Sequence[int]
    b: Sequence[int]
    first: int = 0
    second: int = 0
    keep: int = 0
    tag: int = 0
    last_a: int = 0
    last_b: int = 0

    def word(self) -> int:
        return pack(
            [
                *((x, BITS) for x in self.a), *((y, BITS) for y in self.b), (self.first, 1), (self.second, 1),
                (self.last_a > 0, 1), (self.last_b > 0, 1), (self.op, 4), (self.size, 2), (self.keep, 1),
                (self.tag, TAG),
            ]
        )  # fmt: skip

    @property
    def late(self) -> bool:
        return self.op == model.MUL or self.size != model.WIDE


def unpack(word: int) -> Request:
    rest = word >> 2 * VECTOR
    return Request(
        rest >> 4 & 15, rest >> 8 & 3, fields(word, BITS, LANES), fields(word >> VECTOR, BITS, LANES), rest & 1,
        rest >> 1 & 1, rest >> 10 & 1, rest >> 11, rest >> 2 & 1, rest >> 3 & 1,
    )  # fmt: skip


def results(requests: Sequence[Request]) -> list[int]:
    """What comes out, in order, with FORWARD as the last that was kept."""
    found: list[int] = []
    past: list[Sequence[int]] = []
    kept: Sequence[int] = [0] * LANES
    for each in requests:
        a, b = (
            kept if forward else past[-last] if last else x
            for forward, last, x in (
                (each.first, each.last_a, each.a),
                (each.second, each.last_b, each.b),
            )
        )
        words = [y % 2**BITS for y in b]
        lanes = model.operate(each.op, each.size, model.signed(model.lanes(a), BITS), words, BITS)
        values = [int(value) for value in lanes]
        past.append(values)
        kept = values if each.keep else kept
        found.append(pack([*((value, BITS) for value in values), (each.tag, TAG)]))
    return found


class VectorUnitModel:
    """Which request is in which stage."""

    def __init__(self, expected: Sequence[int]) -> None:
        self.expected = list(expected)[::-1]
        # Request of each stage, and the result that waits.
        self.stages: list[Request | None] = [None] * model.STAGES
        self.shown: int | None = None
        self.left = 0

    def cycle(self, word: int | None, ready: bool) -> tuple[bool, int | None]:
        shown = self.shown
        moves = shown is None or ready
        first = self.stages[0]
        ends = moves and self.left == 0
        accepted = ends or (moves and first is None)
        if moves:
            self.shown = self.expected.pop() if self.stages[-1] else None
            self.stages[1:] = [first if ends else None, *self.stages[1:-1]]
            if ends:
                self.stages[0] = None
        self.left = max(0, self.left - 1)
        if accepted and word is not None:
            request = unpack(word)
            self.stages[0] = request
            self.left = model.CYCLES.get(request.op, 1) - 1
        return accepted, shown


def ports(dut: Any) -> Any:
    """The unit's streams by the names that `transfer` knows."""
    names = ("valid", "ready", "payload")
    streams = {f"i__{name}": getattr(dut, f"request__{name}") for name in names}
    return SimpleNamespace(
        clk=dut.clk, **streams, **{f"o__{name}": getattr(dut, f"result__{name}") for name in names}
    )


async def check(
    dut: Any, requests: Sequence[Request], pace: tuple[float, float] = PACES[0]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Transfers of requests none of which names a FORWARD that is late, and of their results."""
    expected = results(requests)
    words = [each.word() for each in requests]
    return await transfer(ports(dut), words, expected, VectorUnitModel(expected), pace=pace)


async def chain(dut: Any, requests: Sequence[Request], rng: random.Random, stall: float) -> list[int]:
    """Requests that wait until FORWARD is there; gives the cycles that they are taken in.

    Where `last_a`, `last_b` of a request are not 0, it takes what is in the last stage, if anything is.
    """
    sink = StreamSink(dut, "result", stall=stall, seed=rng.randrange(1 << 20))
    take = cocotb.start_soon(sink.run(len(requests), cycles=1 << 20))
    stage_bits = 5 + TAG
    cycle, times = 0, []
    sent: list[Request] = []
    for each in requests:
        while True:
            await ReadOnly()
            waits = bool(dut.late.value) and (each.first or each.second)
            ready = bool(dut.request__ready.value)
            last = int(dut.stages.value) >> stage_bits * (model.STAGES - 1)
            before = (len(sent) - (last >> 5)) % (1 << TAG) if last & 1 else 0
            await Timer(1, "ns")
            request = each._replace(
                tag=len(sent) % (1 << TAG),
                last_a=before if each.last_a else 0,
                last_b=before if each.last_b else 0,
            )
            dut.request__payload.value = request.word()
            dut.request__valid.value = not waits
            await RisingEdge(dut.clk)
            cycle += 1
            if ready and not waits:
                sent.append(request)
                times.append(cycle)
                break
        dut.request__valid.value = 0
    await take
    assert [word for _, word in sink.taken] == results(sent)
    return times


async def begin(dut: Any) -> None:
    dut.clear.value = 0
    dut.request__valid.value = 0
    dut.request__payload.value = 0
    dut.result__ready.value = 0
    await start(dut)


def random_request(rng: random.Random, op: int | None = None, **values: int) -> Request:
    """Every lane of another magnitude, one in four at an end of something."""

    def number() -> int:
        if rng.random() < 0.25:
            return rng.choice(model.corners(BITS))
        return rng.getrandbits(BITS) - 2 ** (BITS - 1) >> rng.randrange(BITS)

    a, b = ([number() for _ in range(LANES)] for _ in range(2))
    if rng.random() < 0.5:
        b = [model.scale(rng.getrandbits(16), rng.randint(-16, 47)) for _ in range(LANES)]
    op = rng.choice(model.OPS) if op is None else op
    return Request(op, rng.choice(model.SIZES), a, b, **{"tag": rng.getrandbits(TAG)} | values)


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """All operations mixed, at every pace; operations that are none as well."""
    await begin(dut)
    rng = random.Random(1)
    for pace in PACES:
        requests = [random_request(rng, keep=rng.randrange(2)) for _ in range(P["requests"])]
        requests += [random_request(rng, op) for op in (0, 9, 15)]
        await reset(dut)
        await check(dut, requests, pace)


@cocotb.test()
async def every_operation_and_size(dut: Any) -> None:
    """Each operation in each format, after each other operation."""
    await begin(dut)
    rng = random.Random(2)
    ends = model.corners(BITS)
    requests = []
    for op in model.OPS:
        for before in model.OPS:
            requests += [random_request(rng, before), random_request(rng, op)]
    requests += [
        Request(op, size, [rng.choice(ends) for _ in range(LANES)], [rng.choice(ends) for _ in range(LANES)])
        for op in model.OPS
        for size in model.SIZES
    ]
    await check(dut, requests)


@cocotb.test()
async def forwarding(dut: Any) -> None:
    """FORWARD and what is in the last stage as operands, of every operation and format, some kept, with stalls."""
    await begin(dut)
    rng = random.Random(5)
    for stall in (0.0, 0.5):
        requests = []
        for _ in range(6 * P["requests"]):
            op = rng.choice(
                [model.ADD, model.SUB, model.MUL, model.MAX, model.MIN, model.RELU] * 6 + [*model.OPS]
            )
            size = rng.choice((0, 1, 2, *[model.WIDE] * 4))
            flags = {name: rng.random() < 0.3 for name in ("first", "second", "last_a", "last_b")}
            flags["keep"] = rng.random() < 0.4
            requests.append(random_request(rng, op, **flags)._replace(size=size))
        await reset(dut)
        await chain(dut, requests, rng, stall)


@cocotb.test()
async def latency_and_throughput(dut: Any) -> None:
    """n + 3 cycles to a result, n from one request to the next, and to one that names FORWARD n or n + 2."""
    await begin(dut)
    rng = random.Random(3)
    for op in model.OPS:
        await reset(dut)
        taken, sent = await check(dut, [random_request(rng, op) for _ in range(5)])
        cycles = model.CYCLES.get(op, 1)
        assert [cycle for cycle, _ in taken] == [cycles * n for n in range(5)]
        assert [cycle for cycle, _ in sent] == [cycles * n + cycles + 3 for n in range(5)]
        for size in model.SIZES:
            await reset(dut)
            requests = [random_request(rng, op, first=n > 0, keep=1)._replace(size=size) for n in range(5)]
            times = await chain(dut, requests, rng, 0.0)
            late = 2 if requests[0].late else 0
            assert [after - before for before, after in pairwise(times)] == [cycles + late] * 4


async def interrupt(dut: Any, signal: Any) -> None:
    """Stop every operation after each number of cycles, with the result waiting, too; then work as ever."""
    rng = random.Random(4)
    for op in (model.ADD, model.MUL, model.DIV, model.ISQRT):
        for after in range(1, model.CYCLES.get(op, 1) + model.STAGES + 2):
            dut.result__ready.value = 0
            request = random_request(rng, op, keep=1)
            feed = cocotb.start_soon(StreamSource(dut, "request").run([request.word()]))
            for _ in range(after):
                await RisingEdge(dut.clk)
            feed.cancel()
            dut.request__valid.value = 0
            signal.value = 1
            await RisingEdge(dut.clk)
            signal.value = 0
            await ReadOnly()
            assert not dut.result__valid.value
            assert not dut.late.value
            await RisingEdge(dut.clk)
            await check(dut, [random_request(rng) for _ in range(3)], PACES[3])


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
    requests = []
    for first in range(0, len(pairs), LANES):
        some = [*pairs[first : first + LANES]]
        some += [(1, 1)] * (LANES - len(some))
        requests.append(Request(op, model.WIDE, [a for a, _ in some], [b for _, b in some]))
    feed = cocotb.start_soon(StreamSource(dut, "request").run([each.word() for each in requests]))
    for each, expected in zip(requests, results(requests), strict=True):
        while True:
            await ReadOnly()
            if dut.result__valid.value:
                break
            await RisingEdge(dut.clk)
        assert int(dut.result__payload.value) == expected, f"operation {op} on {each.a} and {each.b}"
        await RisingEdge(dut.clk)
    await feed


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
