"""Testbench of the tile controller: every output in every cycle against a model that only counts transfers.

The arrays are models too: `ArrayModel` decides `request.ready` from `result.ready` in the same cycle, as the crossbar
does, so each cycle has two moments: outputs are read once before and once after `request.ready` is driven.
"""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge, Timer

from ohmweave.testbench.stream import PACES, parameters, reset, start

PENDING, DISPATCH, COMPUTE, WRITE_BACK, FORWARD = range(5)


class ArrayModel:
    """Holds a result `read_cycles` after its request; takes the next request while its result is taken.

    With `queue` it accepts that many requests more while it computes, and with `jitter` it takes up to so many
    cycles longer.
    """

    def __init__(self, read_cycles: int, source: random.Random, *, queue: int = 0, jitter: int = 0):
        self.read_cycles, self.queue, self.jitter = read_cycles, queue, jitter
        self.source = source
        self.left: list[int] = []

    def valid(self) -> bool:
        return bool(self.left) and self.left[0] == 0

    def ready(self, result_taken: bool) -> bool:
        return len(self.left) - result_taken <= self.queue

    def edge(self, request_taken: bool, result_taken: bool) -> None:
        if result_taken:
            self.left.pop(0)
        if request_taken:
            self.left.append(self.read_cycles + self.source.randint(0, self.jitter))
        if self.left:
            self.left[0] = max(self.left[0] - 1, 0)


class TB:
    """Drives all ports, one cycle a `step`, and holds the model: counts of what was transferred."""

    def __init__(self, dut: Any, *, pace: tuple[float, float] = (0.0, 0.0), seed: int = 1, **array: int):
        self.dut = dut
        self.arrays: int = parameters()["arrays"]
        self.groups: int = parameters()["groups"]
        self.group_bits = (self.groups - 1).bit_length()
        self.idle, self.stall = pace
        self.source = random.Random(seed)
        self.array = array
        self.request = [dut_port(dut, f"request__{i}") for i in range(self.arrays)]
        self.result = [dut_port(dut, f"result__{i}") for i in range(self.arrays)]
        self.restart([])
        for port in (*self.request, dut_port(dut, "write_back"), dut_port(dut, "forward")):
            port["ready"].value = 0
        for port in (*self.result, dut_port(dut, "window"), dut_port(dut, "index")):
            port["valid"].value = 0
            port["payload"].value = 0

    def restart(self, windows: list[list[int]]) -> None:
        """Forget all; `windows` are the column groups of each window to come."""
        self.rounds = [(group, i == len(w) - 1) for w in windows for i, group in enumerate(w)]
        self.models = [ArrayModel(source=self.source, **self.array) for _ in range(self.arrays)]
        self.requested = [0] * self.arrays  # requests that each array took
        self.dispatched = 0  # rounds whose requests all arrays took
        self.written = 0  # results written back
        self.forwarded = 0  # tokens taken
        self.window_there = self.index_there = False
        self.cycle = 0
        self.log: dict[str, list[int]] = {"request": [], "window": [], "write_back": [], "forward": []}

    def done(self) -> bool:
        return self.forwarded == sum(last for _, last in self.rounds)

    async def step(self) -> None:
        dut, source = self.dut, self.source
        more = self.dispatched < len(self.rounds)
        self.window_there = more and (self.window_there or source.random() >= self.idle)
        self.index_there = more and (self.index_there or source.random() >= self.idle)
        dut.window__valid.value = int(self.window_there)
        dut.index__valid.value = int(self.index_there)
        group, last = self.rounds[self.dispatched] if more else (0, False)
        dut.index__payload.value = (
            group | last << self.group_bits + 1 | source.randint(0, 1) << self.group_bits
        )
        writing = source.random() >= self.stall
        forwarding = source.random() >= self.stall
        dut.write_back__ready.value = int(writing)
        dut.forward__ready.value = int(forwarding)
        results = [model.valid() for model in self.models]
        for port, valid in zip(self.result, results, strict=True):
            port["valid"].value = int(valid)
        willing = [source.random() >= self.stall for _ in self.models]
        await Timer(1, unit="ns")

        # Neither a request's valid nor a result's ready may move with request.ready, which is driven only now.
        before = [int(p["valid"].value) for p in self.request] + [int(p["ready"].value) for p in self.result]
        released = [
            valid and bool(int(p["ready"].value)) for p, valid in zip(self.result, results, strict=True)
        ]
        ready = [
            model.ready(gone) and will
            for model, gone, will in zip(self.models, released, willing, strict=True)
        ]
        for port, value in zip(self.request, ready, strict=True):
            port["ready"].value = int(value)
        await ReadOnly()
        after = [int(p["valid"].value) for p in self.request] + [int(p["ready"].value) for p in self.result]
        assert before == after, f"cycle {self.cycle}: valid or result.ready moved with request.ready"
        self.check(group, last, results, ready, writing, forwarding)
        await RisingEdge(dut.clk)
        self.cycle += 1

    def check(
        self,
        group: int,
        last: bool,
        results: list[bool],
        ready: list[bool],
        writing: bool,
        forwarding: bool,
    ) -> None:
        """Compare all outputs of this cycle, then count its transfers."""
        dut, arrays = self.dut, self.arrays
        where = f"cycle {self.cycle}"
        ended = self.written // arrays
        began = max(self.requested)
        waiting = [count == self.dispatched for count in self.requested]
        offered = self.window_there and self.index_there and (began > self.dispatched or began - ended < 2)
        for m, port in enumerate(self.request):
            assert int(port["valid"].value) == (offered and waiting[m]), f"{where}: request {m}"
            if offered and self.group_bits:
                assert int(port["payload"].value) == group, f"{where}: request {m}"
        complete = offered and all(r or not w for r, w in zip(ready, waiting, strict=True))
        assert (int(dut.index__ready.value) and self.index_there) == complete, f"{where}: index"
        assert (int(dut.window__ready.value) and self.window_there) == (complete and last), f"{where}: window"

        turn = self.written % arrays
        tokens = sum(last for _, last in self.rounds[:ended]) - self.forwarded
        held = tokens > 0 and not forwarding
        offers = results[turn] and not held
        assert int(dut.write_back__valid.value) == offers, f"{where}: write_back"
        for m, port in enumerate(self.result):
            taken = results[m] and bool(int(port["ready"].value))
            assert taken == (m == turn and offers and writing), f"{where}: result {m}"
        if offers:
            ends = self.rounds[ended][1] and turn == arrays - 1
            array_bits = max(1, (arrays - 1).bit_length())
            expected = turn | self.rounds[ended][0] << array_bits | ends << array_bits + self.group_bits
            assert int(dut.write_back__payload.value) == expected, f"{where}: write_back"
        assert tokens in (0, 1)
        assert int(dut.forward__valid.value) == tokens, f"{where}: forward"
        if tokens:
            state = FORWARD
        elif began == ended:
            state = DISPATCH if offered else PENDING
        else:
            state = WRITE_BACK if results[turn] else COMPUTE
        assert int(dut.state.value) == state, f"{where}: state"

        for m, model in enumerate(self.models):
            requested = offered and waiting[m] and ready[m]
            self.requested[m] += requested
            if requested and m == 0:
                self.log["request"].append(self.cycle)
            model.edge(requested, m == turn and offers and writing)
        if offers and writing:
            self.written += 1
            self.log["write_back"].append(self.cycle)
        if tokens and forwarding:
            self.forwarded += 1
            self.log["forward"].append(self.cycle)
        if complete:
            self.dispatched += 1
            self.index_there = False
            if last:
                self.window_there = False
                self.log["window"].append(self.cycle)

    async def run(self, windows: list[list[int]], limit: int) -> None:
        self.restart(windows)
        while not self.done():
            assert self.cycle < limit, f"{self.forwarded} windows of {len(windows)} after {limit} cycles"
            await self.step()
        for _ in range(3):
            await self.step()
        assert self.written == len(self.rounds) * self.arrays


def dut_port(dut: Any, name: str) -> dict[str, Any]:
    return {part: getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload")}


def random_windows(source: random.Random, groups: int, count: int) -> Iterator[list[int]]:
    for _ in range(count):
        yield sorted(source.sample(range(groups), source.randint(1, min(groups, 5))))


@cocotb.test()
@cocotb.parametrize(read_cycles=[1, 2, 6, 9])
async def latency_and_throughput(dut: Any, read_cycles: int) -> None:
    """The formulas of the docstring, with windows always there and nothing that stalls."""
    tb = TB(dut, read_cycles=read_cycles)
    await start(dut)
    interval = max(read_cycles, tb.arrays)
    for n in sorted({1, min(3, tb.groups), min(16, tb.groups)}):
        count = 3
        await tb.run([list(range(n))] * count, limit=100 + interval * n * count)
        starts = [read_cycles + interval * k for k in range(n * count)]
        assert tb.log["write_back"] == [cycle + m for cycle in starts for m in range(tb.arrays)]
        assert tb.log["request"] == [0, *starts[:-1]]
        ends = [read_cycles + tb.arrays + (n * (k + 1) - 1) * interval for k in range(count)]
        assert tb.log["forward"] == ends
        if tb.arrays == 1:
            # The window moves with the request of its last group.
            assert tb.log["request"] == [read_cycles * k for k in range(n * count)]
            assert tb.log["window"] == tb.log["request"][n - 1 :: n]


@cocotb.test()
@cocotb.parametrize(
    (
        ("read_cycles", "queue", "jitter"),
        [(6, 0, 0), (1, 0, 0), (2, 0, 5), (3, 1, 4), (1, 3, 0)],
    ),
    pace=PACES,
)
async def random_traffic(
    dut: Any, read_cycles: int, queue: int, jitter: int, pace: tuple[float, float]
) -> None:
    """Random windows, idle cycles × back-pressure on every port, arrays of equal and of unequal speed."""
    seed = f"{read_cycles} {queue} {jitter} {pace}"
    source = random.Random(seed)
    tb = TB(
        dut, pace=pace, seed=source.randrange(1 << 30), read_cycles=read_cycles, queue=queue, jitter=jitter
    )
    await start(dut)
    await tb.run(list(random_windows(source, tb.groups, 12)), limit=5000)


@cocotb.test()
async def forward_holds(dut: Any) -> None:
    """While the token of a window waits no result is written back; none is lost."""
    tb = TB(dut, read_cycles=2)
    await start(dut)
    tb.restart([[0]] * 3)
    while not tb.log["write_back"] or len(tb.log["write_back"]) < tb.arrays:
        await tb.step()
    tb.stall = 1.0
    for _ in range(20):
        await tb.step()
    assert len(tb.log["write_back"]) == tb.arrays
    tb.stall = 0.0
    for _ in range(60):
        await tb.step()
    assert tb.done()
    assert tb.written == 3 * tb.arrays


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Reset after any number of cycles leaves nothing of the windows before."""
    tb = TB(dut, pace=(0.2, 0.2), read_cycles=3)
    await start(dut)
    for delay in range(1, 40, 3):
        tb.restart(list(random_windows(tb.source, tb.groups, 8)))
        for _ in range(delay):
            await tb.step()
        for port in (*tb.result, dut_port(dut, "window"), dut_port(dut, "index")):
            port["valid"].value = 0
        await reset(dut, 1)
        await tb.run(list(random_windows(tb.source, tb.groups, 2)), limit=1000)
