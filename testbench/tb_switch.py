"""Switch of a PE: every cycle against queues, each output's inputs a list of turns that the configuration gives.

The model takes the words apart by itself: it knows neither `RoutesLayout` nor counters.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain, cycle, repeat
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from ohmweave.rtl.flit import MAX_TURN
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns, switch_writes
from ohmweave.testbench.router_bench import RouterBench
from ohmweave.testbench.stream import PACES, parameters, reset

INPUTS, OUTPUTS = 6, 8
WORDS = 4 + 2 * OUTPUTS
OPEN = [source for source in SwitchInput if source]
Routes = dict[SwitchOutput, SwitchInput | Turns]


class TB(RouterBench):
    """A switch that is told its routes by writes, one a cycle."""

    def __init__(self, dut: Any, seed: int) -> None:
        super().__init__(
            dut,
            seed,
            inputs=INPUTS,
            outputs=OUTPUTS,
            link_bits=parameters()["link_bits"],
            registered_ready=True,
        )
        self.writes: deque[tuple[int, int]] = deque()
        self.gaps = 0.0
        self.changes = 0
        self.forget()

    def forget(self) -> None:
        """The registers of a switch after reset."""
        self.words = [0] * WORDS
        self.writes.clear()
        self.written: tuple[int, int] | None = None
        self.start_over()

    def start_over(self) -> None:
        """Each output's turns from their beginning."""
        self.turns = [self.inputs_of(n) for n in range(OUTPUTS)]
        self.routes = [next(turns) for turns in self.turns]

    def inputs_of(self, n: int) -> Iterator[int]:
        """The inputs of an output, one a flit."""
        first, second = ((self.words[at] | self.words[at + 1] << 16) >> 3 * n & 7 for at in (0, 2))
        if not self.words[1] >> 8 + n & 1:
            return repeat(first)
        lengths = self.words[4 + 2 * n : 6 + 2 * n]
        if not lengths[0]:
            return repeat(first)
        if not lengths[1]:
            return chain(repeat(first, lengths[0]), repeat(second))
        return cycle([first] * lengths[0] + [second] * lengths[1])

    def drive(self) -> None:
        self.written = self.writes.popleft() if self.writes and self.random.random() >= self.gaps else None
        self.dut.config__valid.value = int(self.written is not None)
        if self.written is not None:
            address, word = self.written
            self.dut.config__payload.value = address | word << 16

    def loaded(self, outputs: set[int]) -> None:
        assert int(self.dut.config__ready.value)
        for n in outputs:
            before, self.routes[n] = self.routes[n], next(self.turns[n])
            self.changes += before != self.routes[n]
        if self.written is not None:
            address, word = self.written
            if address < WORDS:
                self.words[address] = word
            self.start_over()

    async def start_up(self) -> None:
        self.dut.config__valid.value = 0
        self.dut.config__payload.value = 0
        await self.begin()

    async def configure(self, routes: Routes, *pace: float) -> None:
        self.writes += switch_writes(routes)
        while self.writes:
            await self.step(*(pace or (1.0, 1.0)))

    def random_routes(self) -> Routes:
        """Some outputs static, some in turns, of which some have the same ones."""
        length = lambda: self.random.choice((1, 1, 2, 3, self.random.randint(1, 12), MAX_TURN))  # noqa: E731
        groups: list[SwitchInput | Turns] = []
        for _ in range(self.random.randint(1, 4)):
            first, second = self.random.sample(OPEN, 2)
            groups += [first, Turns(first, length(), second, length())]
        return {n: self.random.choice(groups) for n in SwitchOutput if self.random.random() < 0.8}

    async def drain(self) -> None:
        """Offer nothing new and take everything that is under way."""
        await self.configure({n: OPEN[n % INPUTS] for n in SwitchOutput})
        for _ in range(12):
            await self.step(1.0, 0.0)
        self.done()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def random_turns(dut: Any, pace: tuple[float, float]) -> None:
    """Static outputs beside others in turns, alike or not, configured anew in the midst of traffic."""
    tb = TB(dut, seed=71)
    await tb.start_up()
    tb.gaps = 0.3
    for _ in range(40):
        await tb.configure(tb.random_routes(), *pace)
        for _ in range(tb.random.randrange(1, 60)):
            await tb.step(*pace)
    await tb.drain()
    assert all(tb.received), "every output was used"
    assert {1, 2, 3, 4} <= set(tb.degrees), f"multicast degrees seen: {tb.degrees}"
    assert tb.changes > 400, f"{tb.changes} changes of an output's input"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def random_words(dut: Any) -> None:
    """Any word at any address: outputs closed for a turn, turns that do not end, addresses past the last."""
    tb = TB(dut, seed=72)
    await tb.start_up()
    for _ in range(60):
        for address in tb.random.sample(range(WORDS + 4), tb.random.randint(1, 8)):
            word = tb.random.getrandbits(16) if address < 4 else tb.random.choice((0, 1, 2, 5, 0xFFFF))
            tb.writes.append((address, word))
        for _ in range(tb.random.randrange(8, 40)):
            await tb.step(0.2, 0.2)
    await tb.drain()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def rate(dut: Any) -> None:
    """2 cycles, and a flit in every cycle from one input or the other; a write acts in the next cycle."""
    tb = TB(dut, seed=73)
    await tb.start_up()
    for first, second in ((1, 1), (4, 1), (1, 3), (8, 4)):
        await tb.configure({SwitchOutput.EAST: Turns(SwitchInput.WEST, first, SwitchInput.CORE, second)})
        before = len(tb.received[SwitchOutput.EAST])
        for _ in range(2 + 30):
            await tb.step(0.0, 0.0)
        assert len(tb.received[SwitchOutput.EAST]) == before + 30
        await tb.drain()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def written_anew(dut: Any) -> None:
    """A write of any word at any place of the turns begins them anew, and at both outputs that have them."""
    tb = TB(dut, seed=74)
    await tb.start_up()
    turns = Turns(SwitchInput.NORTH, 3, SwitchInput.TREE, 2)
    await tb.configure({SwitchOutput.MAIN: turns, SwitchOutput.SOUTH: turns})
    for address in range(WORDS + 1):
        for place in range(6):
            for _ in range(place):
                await tb.step(0.0, 0.0)
            tb.writes.append((address, tb.words[address] if address < WORDS else 0xFFFF))
            await tb.step(1.0, 0.0)
            before = [tb.sent[source - 1] for source in (SwitchInput.NORTH, SwitchInput.TREE)]
            for _ in range(5):
                await tb.step(0.0, 0.0)
            after = [tb.sent[source - 1] for source in (SwitchInput.NORTH, SwitchInput.TREE)]
            assert [late - early for late, early in zip(after, before, strict=True)] == [3, 2]
    assert tb.received[SwitchOutput.MAIN] == tb.received[SwitchOutput.SOUTH]
    await tb.drain()


@cocotb.test(skip=not parameters()["longest"], timeout_time=2, timeout_unit="ms")
async def longest_turns(dut: Any) -> None:
    """Of 65535 flits: first or second, the other of one."""
    tb = TB(dut, seed=75)
    await tb.start_up()
    long, short = SwitchOutput.WEST, SwitchOutput.MAIN
    await tb.configure(
        {
            long: Turns(SwitchInput.EAST, MAX_TURN, SwitchInput.CORE, 1),
            short: Turns(SwitchInput.TREE, 1, SwitchInput.SOUTH, MAX_TURN),
        }
    )
    for i in range(INPUTS):
        tb.port(f"i__{i}__valid").value = 1
        tb.port(f"i__{i}__payload").value = i + 1
    for n in range(OUTPUTS):
        tb.port(f"o__{n}__ready").value = 1
    tb.dut.config__valid.value = 0

    async def look(at: int, now: int) -> int:
        """The outputs as they are in the cycle in which flit `at` is offered."""
        if at > now:
            await ClockCycles(dut.clk, at - now)
        await ReadOnly()
        flit = at % (MAX_TURN + 1)
        sources = {
            long: SwitchInput.EAST if flit < MAX_TURN else SwitchInput.CORE,
            short: SwitchInput.TREE if flit < 1 else SwitchInput.SOUTH,
        }
        for n, source in sources.items():
            got = int(tb.port(f"o__{n}__payload").value)
            assert got == source, f"flit {at} of output {n} is of input {got}"
        return at

    await ClockCycles(dut.clk, 2)
    now = 0
    for around in (0, MAX_TURN + 1):
        for at in range(max(around - 2, 0), around + 3):
            now = await look(at, now)
    await RisingEdge(dut.clk)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """In the midst of turns: all outputs are closed, and configured again they begin with the first turn."""
    tb = TB(dut, seed=76)
    await tb.start_up()
    routes: Routes = {
        SwitchOutput.SIDE: Turns(SwitchInput.CORE, 2, SwitchInput.EAST, 4),
        SwitchOutput.COLLECTION: SwitchInput.SOUTH,
    }
    for cycles in range(12):
        await tb.configure(routes)
        for _ in range(cycles):
            await tb.step(0.0, 0.2)
        tb.cut_off()
        tb.dut.config__valid.value = 0
        await reset(dut)
        tb.forget()
        taken = list(tb.sent)
        for _ in range(5):
            await tb.step(0.0, 0.0)
        assert tb.sent == taken
    await tb.configure(tb.random_routes())
    for _ in range(60):
        await tb.step(0.3, 0.3)
    await tb.drain()
