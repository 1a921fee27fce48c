"""Bench of routers: every cycle against queues with an entry time, under traffic and back-pressure.

The model knows no registers: an output is a queue that offers a flit from two cycles after it entered, and that
takes another while it holds fewer than two (or passes one on), or fewer than three with `registered_ready`.
"""

import random
from collections import Counter, deque
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import start

__all__ = ["Model", "RouterBench"]


class Model:
    """Queues of (entry cycle, flit), one an output."""

    def __init__(self, outputs: int, registered: bool) -> None:
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(outputs)]
        self.registered = registered

    def offered(self, n: int, cycle: int) -> int | None:
        queue = self.queues[n]
        return queue[0][1] if queue and queue[0][0] <= cycle - 2 else None

    def accepts(self, n: int, ready: bool) -> bool:
        return len(self.queues[n]) < 3 if self.registered else len(self.queues[n]) < 2 or ready


class RouterBench:
    """Drives all ports, compares all outputs with the model in each cycle, keeps what was sent and received.

    A subclass says which input each output takes from (`routes`, 0: none, n + 1: input n), and drives the ports that
    tell it to the router.
    """

    routes: list[int]

    def __init__(
        self,
        dut: Any,
        seed: int,
        *,
        inputs: int,
        outputs: int,
        link_bits: int,
        broadcast_config: bool = False,
        registered_ready: bool = False,
    ) -> None:
        self.dut = dut
        self.random = random.Random(seed)
        self.cycle = 0
        self.inputs, self.outputs = inputs, outputs
        self.config = 1 << link_bits
        self.broadcast, self.registered = broadcast_config, registered_ready
        self.model = Model(outputs, registered_ready)
        self.offers: list[int | None] = [None] * inputs
        self.payloads = [0] * inputs
        self.expected: list[list[int]] = [[] for _ in range(outputs)]
        self.received: list[list[int]] = [[] for _ in range(outputs)]
        self.sent = [0] * inputs
        self.degrees: Counter[int] = Counter()
        self.sequence = 0

    def drive(self) -> None:
        """Set the ports of the routes, at the start of a cycle."""
        raise NotImplementedError

    def loaded(self, outputs: set[int]) -> None:
        """These outputs took a flit in the cycle that ends."""
        raise NotImplementedError

    def port(self, name: str) -> Any:
        return getattr(self.dut, name)

    async def begin(self) -> None:
        for i in range(self.inputs):
            self.port(f"i__{i}__valid").value = 0
            self.port(f"i__{i}__payload").value = 0
        for n in range(self.outputs):
            self.port(f"o__{n}__ready").value = 0
        await start(self.dut)

    def destinations(self, i: int, flit: int) -> list[int]:
        if self.broadcast and flit & self.config:
            return list(range(self.outputs))
        return [n for n, route in enumerate(self.routes) if route == i + 1]

    def next_flit(self) -> int:
        """A number that tells flits apart, in the low bits; sometimes a configuration flit."""
        self.sequence += 1
        return self.sequence % self.config | (self.config if self.random.random() < 0.2 else 0)

    async def step(self, idle: float, stall: float) -> None:
        for i in range(self.inputs):
            if self.offers[i] is None and self.random.random() >= idle:
                self.offers[i] = self.payloads[i] = self.next_flit()
            self.port(f"i__{i}__valid").value = int(self.offers[i] is not None)
            self.port(f"i__{i}__payload").value = self.payloads[i]
        readies = [self.random.random() >= stall for _ in range(self.outputs)]
        for n in range(self.outputs):
            self.port(f"o__{n}__ready").value = int(readies[n])
        self.drive()
        await ReadOnly()

        where = f"cycle {self.cycle}"
        for n in range(self.outputs):
            offered = self.model.offered(n, self.cycle)
            valid = int(self.port(f"o__{n}__valid").value)
            assert valid == (offered is not None), f"{where}: valid of output {n} is {valid}"
            if offered is not None:
                flit = int(self.port(f"o__{n}__payload").value)
                assert flit == offered, f"{where}: output {n} offers {flit:#x}, not {offered:#x}"
        accepts = [self.model.accepts(n, readies[n]) for n in range(self.outputs)]
        loads: list[tuple[int, int]] = []
        for i in range(self.inputs):
            destinations = self.destinations(i, self.payloads[i])
            expected = bool(destinations) and all(accepts[n] for n in destinations)
            ready = bool(self.port(f"i__{i}__ready").value)
            assert ready == expected, f"{where}: ready of input {i} is {ready}"
            flit_offered = self.offers[i]
            if ready and flit_offered is not None:
                loads += [(n, flit_offered) for n in destinations]
                self.degrees[len(destinations)] += 1
                self.sent[i] += 1
                self.offers[i] = None
        for n in range(self.outputs):
            if readies[n] and self.model.offered(n, self.cycle) is not None:
                self.model.queues[n].popleft()
                # What the port showed, not what the model says, goes to the scoreboard.
                self.received[n].append(int(self.port(f"o__{n}__payload").value))
        for n, flit in loads:
            self.model.queues[n].append((self.cycle, flit))
            self.expected[n].append(flit)
        self.loaded({n for n, _ in loads})
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    def cut_off(self) -> None:
        """A reset comes: nothing is offered any more, and what was under way is forgotten."""
        for i in range(self.inputs):
            self.port(f"i__{i}__valid").value = 0
        self.offers = [None] * self.inputs
        self.model = Model(self.outputs, self.registered)
        self.expected = [list(received) for received in self.received]

    def done(self) -> None:
        """Everything that was offered has been taken, and has arrived."""
        assert self.offers == [None] * self.inputs
        assert self.received == self.expected, "a flit was lost, doubled or reordered"
