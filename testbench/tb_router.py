"""Router: every cycle against queues with an entry time, under random routes, traffic and back-pressure."""

from typing import Any

import cocotb

from ohmweave.testbench.router_bench import RouterBench
from ohmweave.testbench.stream import PACES, parameters, reset

P = parameters()
INPUTS, OUTPUTS, LINK_BITS = P["inputs"], P["outputs"], P["link_bits"]
BROADCAST = P["broadcast_config"]
ROUTE_BITS = INPUTS.bit_length()
CONFIG = 1 << LINK_BITS


class TB(RouterBench):
    """A router whose routes may change in any cycle."""

    def __init__(self, dut: Any, seed: int) -> None:
        super().__init__(dut, seed, **P)
        self.routes = [0] * OUTPUTS

    def drive(self) -> None:
        self.dut.routes.value = sum(route << ROUTE_BITS * n for n, route in enumerate(self.routes))

    def loaded(self, outputs: set[int]) -> None:
        loads, expected = int(self.dut.loads.value), sum(1 << n for n in outputs)
        assert loads == expected, f"cycle {self.cycle}: loads are {loads:b}, not {expected:b}"

    def random_routes(self) -> None:
        # Values past the last input are closed, too.
        self.routes = [self.random.randrange(2**ROUTE_BITS) for _ in range(OUTPUTS)]
        # Multicasts of every degree; left to chance, wide ones would be rare.
        source = self.random.randrange(1, INPUTS + 1)
        for n in self.random.sample(range(OUTPUTS), self.random.randint(0, OUTPUTS)):
            self.routes[n] = source

    async def drain(self) -> None:
        """Offer nothing new and take everything that is under way."""
        # A flit that nobody takes would be withdrawn otherwise, which the rules of a stream forbid.
        self.routes = [n % INPUTS + 1 for n in range(OUTPUTS)]
        for _ in range(8 * INPUTS):
            for i in range(INPUTS):
                if self.offers[i] is not None and i + 1 not in self.routes:
                    self.routes = [i + 1] * OUTPUTS
            await self.step(1.0, 0.0)
        self.done()


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
    tb.cut_off()
    await reset(dut)
    for _ in range(5):
        await tb.step(1.0, 0.0)
    for _ in range(100):
        tb.random_routes()
        await tb.step(0.3, 0.3)
    await tb.drain()
