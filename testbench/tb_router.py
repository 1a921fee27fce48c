"""Router: every cycle against queues with an entry time, under random routes, traffic and back-pressure.

The model knows no registers: an output is a queue that offers a flit from two cycles after it entered, and that
takes another while it holds fewer than two (or passes one on), or fewer than three with `registered_ready`.
"""

import random
from collections import Counter, deque
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, parameters, reset, start

P = parameters()
INPUTS, OUTPUTS, LINK_BITS = P["inputs"], P["outputs"], P["link_bits"]
BROADCAST, REGISTERED = P["broadcast_config"], P["registered_ready"]
ROUTE_BITS = INPUTS.bit_length()
CONFIG = 1 << LINK_BITS


class Model:
    """Queues of (entry cycle, flit), one an output."""

    def __init__(self) -> None:
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(OUTPUTS)]

    def offered(self, n: int, cycle: int) -> int | None:
        queue = self.queues[n]
        return queue[0][1] if queue and queue[0][0] <= cycle - 2 else None

    def accepts(self, n: int, ready: bool) -> bool:
        return len(self.queues[n]) < 3 if REGISTERED else len(self.queues[n]) < 2 or ready

    @staticmethod
    def destinations(i: int, flit: int, routes: list[int]) -> list[int]:
        if BROADCAST and flit & CONFIG:
            return list(range(OUTPUTS))
        return [n for n, route in enumerate(routes) if route == i + 1]


class TB:
    """Drives all ports, compares all outputs with the model in each cycle, keeps what was sent and received."""

    def __init__(self, dut: Any, seed: int) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.cycle = 0
        self.routes = [0] * OUTPUTS
        self.model = Model()
        self.offers: list[int | None] = [None] * INPUTS
        self.payloads = [0] * INPUTS
        self.expected: list[list[int]] = [[] for _ in range(OUTPUTS)]
        self.received: list[list[int]] = [[] for _ in range(OUTPUTS)]
        self.sent = [0] * INPUTS
        self.degrees: Counter[int] = Counter()
        self.sequence = 0

    def port(self, name: str) -> Any:
        return getattr(self.dut, name)

    async def begin(self) -> None:
        for i in range(INPUTS):
            self.port(f"i__{i}__valid").value = 0
            self.port(f"i__{i}__payload").value = 0
        for n in range(OUTPUTS):
            self.port(f"o__{n}__ready").value = 0
        self.dut.routes.value = 0
        await start(self.dut)

    def random_routes(self) -> None:
        # Values past the last input are closed, too.
        self.routes = [self.random.randrange(2**ROUTE_BITS) for _ in range(OUTPUTS)]
        # Multicasts of every degree; left to chance, wide ones would be rare.
        source = self.random.randrange(1, INPUTS + 1)
        for n in self.random.sample(range(OUTPUTS), self.random.randint(0, OUTPUTS)):
            self.routes[n] = source

    def next_flit(self) -> int:
        """A number that tells flits apart, in the low bits; sometimes a configuration flit."""
        self.sequence += 1
        return self.sequence % CONFIG | (CONFIG if self.random.random() < 0.2 else 0)

    async def step(self, idle: float, stall: float) -> None:
        for i in range(INPUTS):
            if self.offers[i] is None and self.random.random() >= idle:
                self.offers[i] = self.payloads[i] = self.next_flit()
            self.port(f"i__{i}__valid").value = int(self.offers[i] is not None)
            self.port(f"i__{i}__payload").value = self.payloads[i]
        readies = [self.random.random() >= stall for _ in range(OUTPUTS)]
        for n in range(OUTPUTS):
            self.port(f"o__{n}__ready").value = int(readies[n])
        self.dut.routes.value = sum(route << ROUTE_BITS * n for n, route in enumerate(self.routes))
        await ReadOnly()

        where = f"cycle {self.cycle}"
        for n in range(OUTPUTS):
            offered = self.model.offered(n, self.cycle)
            valid = int(self.port(f"o__{n}__valid").value)
            assert valid == (offered is not None), f"{where}: valid of output {n} is {valid}"
            if offered is not None:
                flit = int(self.port(f"o__{n}__payload").value)
                assert flit == offered, f"{where}: output {n} offers {flit:#x}, not {offered:#x}"
        accepts = [self.model.accepts(n, readies[n]) for n in range(OUTPUTS)]
        loads: list[tuple[int, int]] = []
        for i in range(INPUTS):
            destinations = self.model.destinations(i, self.payloads[i], self.routes)
            expected = bool(destinations) and all(accepts[n] for n in destinations)
            ready = bool(self.port(f"i__{i}__ready").value)
            assert ready == expected, f"{where}: ready of input {i} is {ready}"
            flit_offered = self.offers[i]
            if ready and flit_offered is not None:
                loads += [(n, flit_offered) for n in destinations]
                self.degrees[len(destinations)] += 1
                self.sent[i] += 1
                self.offers[i] = None
        for n in range(OUTPUTS):
            if readies[n] and self.model.offered(n, self.cycle) is not None:
                self.model.queues[n].popleft()
                # What the port showed, not what the model says, goes to the scoreboard.
                self.received[n].append(int(self.port(f"o__{n}__payload").value))
        for n, flit in loads:
            self.model.queues[n].append((self.cycle, flit))
            self.expected[n].append(flit)
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    async def drain(self) -> None:
        """Offer nothing new and take everything that is under way."""
        # A flit that nobody takes would be withdrawn otherwise, which the rules of a stream forbid.
        self.routes = [n % INPUTS + 1 for n in range(OUTPUTS)]
        for _ in range(8 * INPUTS):
            for i in range(INPUTS):
                if self.offers[i] is not None and i + 1 not in self.routes:
                    self.routes = [i + 1] * OUTPUTS
            await self.step(1.0, 0.0)
        assert self.offers == [None] * INPUTS
        assert self.received == self.expected, "a flit was lost, doubled or reordered"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def random_traffic(dut: Any, pace: tuple[float, float]) -> None:
    """Random routes, changed at any time, and random traffic: nothing lost, doubled or reordered."""
    tb = TB(dut, seed=11)
    await tb.begin()
    for _ in range(40):
        tb.random_routes()
        for _ in range(tb.random.randrange(1, 30)):
            await tb.step(*pace)
    await tb.drain()
    assert all(tb.received), "every output was used"
    assert set(range(1, OUTPUTS + 1)) <= set(tb.degrees), f"multicast degrees seen: {tb.degrees}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def rate(dut: Any) -> None:
    """Each set of outputs from each input, never stalled: 2 cycles, 1 flit a cycle, the others stay silent."""
    tb = TB(dut, seed=12)
    await tb.begin()
    flits = 6
    for case in range(1, 2**OUTPUTS):
        i = case % INPUTS
        tb.routes = [i + 1 if case >> n & 1 else 0 for n in range(OUTPUTS)]
        first = None
        arrivals: list[list[int]] = [[] for _ in range(OUTPUTS)]
        counts = [len(received) for received in tb.received]
        for k in range(flits + 2):
            if k < flits:
                tb.sequence += 1
                tb.offers[i] = tb.payloads[i] = tb.sequence % CONFIG
                first = tb.cycle if first is None else first
            cycle = tb.cycle
            await tb.step(1.0, 0.0)
            for n in range(OUTPUTS):
                if len(tb.received[n]) > counts[n]:
                    counts[n] += 1
                    arrivals[n].append(cycle)
        assert first is not None
        for n in range(OUTPUTS):
            wanted = list(range(first + 2, first + 2 + flits)) if case >> n & 1 else []
            assert arrivals[n] == wanted, f"outputs {case:b}: output {n} in {arrivals[n]}, not {wanted}"
    dut._log.info("latency 2 cycles, 1 flit a cycle, for each set of outputs")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def closed(dut: Any) -> None:
    """With every output closed no data flit is taken; it arrives once a path opens."""
    tb = TB(dut, seed=13)
    await tb.begin()
    for i in range(INPUTS):
        tb.offers[i] = tb.payloads[i] = i + 1
    for _ in range(10):
        await tb.step(1.0, 0.0)
    assert tb.sent == [0] * INPUTS
    assert not any(tb.received)
    tb.routes = [1] * OUTPUTS
    for _ in range(4):
        await tb.step(1.0, 0.0)
    assert tb.received == [[1]] * OUTPUTS


@cocotb.test(skip=not BROADCAST, timeout_time=2, timeout_unit="ms")
async def broadcast(dut: Any) -> None:
    """Configuration flits reach every output with all routes closed; data between them only what is routed."""
    tb = TB(dut, seed=14)
    await tb.begin()
    wanted: list[list[int]] = [[] for _ in range(OUTPUTS)]
    tb.routes = [n % 2 for n in range(OUTPUTS)]
    for k in range(1, 41):
        flit = k | (CONFIG if k % 3 == 0 else 0)
        tb.offers[0] = tb.payloads[0] = flit
        for n in range(OUTPUTS):
            if flit & CONFIG or n % 2:
                wanted[n].append(flit)
        while tb.offers[0] is not None:
            await tb.step(1.0, 0.3)
    for _ in range(20):
        await tb.step(1.0, 0.3)
    assert tb.received == wanted


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """A reset empties the registers, and traffic starts again."""
    tb = TB(dut, seed=15)
    await tb.begin()
    tb.routes = [1] * OUTPUTS
    for _ in range(6):
        await tb.step(0.0, 1.0)
    assert any(tb.model.queues)
    for i in range(INPUTS):
        tb.port(f"i__{i}__valid").value = 0
    tb.offers = [None] * INPUTS
    await reset(dut)
    tb.model = Model()
    tb.expected = [list(received) for received in tb.received]
    for _ in range(5):
        await tb.step(1.0, 0.0)
    for _ in range(100):
        tb.random_routes()
        await tb.step(0.3, 0.3)
    await tb.drain()
