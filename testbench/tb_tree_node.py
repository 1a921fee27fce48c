"""TreeNode, alone and as a tree of two levels, configured through its flits only.

Flits tell the tests what they are: data sent down count up, and what leaf n sends up is n << 10 plus a count.
"""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from ohmweave.testbench.stream import PACES, StreamSink, StreamSource, parameters, reset, start

P = parameters()
LEVELS = P["levels"]
LEAVES = 4**LEVELS
LINK_BITS = 16
CONFIG = 1 << LINK_BITS
ROOT = 0x100
#: Units of the nodes, one list a level.
UNITS = [[ROOT], [ROOT + 1 + n for n in range(4)]][:LEVELS]
#: Cycles after which all is still: configuration through the tree and flits through both.
SETTLED = 12 * LEVELS


def write(unit: int, address: int, *words: int) -> list[int]:
    return [CONFIG | word for word in (unit, address, len(words), *words)]


class Model:
    """Registers of all nodes, as the flits sent so far have set them, and what each leaf has to get."""

    def __init__(self) -> None:
        self.registers = {unit: [0, 0] for units in UNITS for unit in units}
        self.packet: list[int] = []
        self.leaves: list[list[int]] = [[] for _ in range(LEAVES)]

    def send(self, flit: int) -> None:
        for leaf in range(LEAVES):
            path = (
                [(UNITS[0][0], leaf)]
                if LEVELS == 1
                else [(ROOT, leaf // 4), (ROOT + 1 + leaf // 4, leaf % 4)]
            )
            if flit & CONFIG or all(self.registers[unit][0] >> child & 1 for unit, child in path):
                self.leaves[leaf].append(flit)
        if not flit & CONFIG:
            return
        self.packet.append(flit & 0xFFFF)
        if len(self.packet) >= 3 and len(self.packet) == 3 + self.packet[2]:
            unit, address, _, *words = self.packet
            self.packet = []
            for k, word in enumerate(words):
                if unit in self.registers and address + k < 2:
                    self.registers[unit][address + k] = word


class TB:
    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0) -> None:
        self.dut = dut
        self.source = StreamSource(dut, "down", idle=idle, seed=31)
        self.leaves = [StreamSink(dut, f"down_o__{n}", stall=stall, seed=100 + n) for n in range(LEAVES)]
        self.up = [StreamSource(dut, f"up_i__{n}", idle=idle, seed=200 + n) for n in range(LEAVES)]
        self.sink = StreamSink(dut, "up_o", stall=stall, seed=32)
        self.counts = [0] * LEAVES
        self.sending = True

    async def begin(self) -> None:
        if LEVELS == 1:
            self.dut.unit.value = ROOT
        self.dut.down__payload.value = 0
        await start(self.dut)
        for sink in self.leaves:
            cocotb.start_soon(sink.run(cycles=1_000_000))

    def words(self, leaf: int) -> Iterator[int]:
        while self.sending:
            self.counts[leaf] += 1
            yield leaf << 10 | self.counts[leaf] % 1024

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    def open_one(self, leaf: int) -> list[int]:
        """Flits that let data through to one leaf and collect from it."""
        if LEVELS == 1:
            return write(ROOT, 0, 1 << leaf, leaf + 1)
        child, below = divmod(leaf, 4)
        return write(ROOT, 0, 1 << child, child + 1) + write(ROOT + 1 + child, 0, 1 << below, below + 1)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def distribution(dut: Any, pace: tuple[float, float]) -> None:
    """Data right behind new routes takes exactly these; the configuration itself reaches every leaf."""
    idle, stall = pace
    tb = TB(dut, idle=idle, stall=stall)
    chance = random.Random(33)
    await tb.begin()
    model = Model()
    flits: list[int] = []
    counter = 0
    reached = set()
    for _ in range(60):
        # Only some nodes at a time. Data for a closed node would wait for good, so no mask is empty. Bits above
        # the children's, other addresses and other units mean nothing.
        for unit in {u: 0 for units in UNITS for u in units if not flits or chance.random() < 0.6}:
            mask = chance.randrange(1, 16) | chance.getrandbits(12) << 4
            flits += write(unit, 0, mask, *[0, 0xFFFF][: chance.randrange(3)])
        flits += write(0x10, 0, 0, 0) + write(0xFFFF, 0, 0xF) + write(ROOT, 10, 0, 5) + write(ROOT, 0)
        for _ in range(chance.randrange(1, 8)):
            counter += 1
            flits.append(counter)
    for flit in flits:
        before = [len(leaf) for leaf in model.leaves]
        model.send(flit)
        if not flit & CONFIG:
            reached.add(sum(len(leaf) - old for leaf, old in zip(model.leaves, before, strict=True)))
    assert {1, 2, 3, 4} <= reached, f"multicast degrees {reached}"
    await tb.source.run(flits)
    await tb.wait(SETTLED + int(20 * stall) * LEVELS)
    for n, sink in enumerate(tb.leaves):
        got = [flit for _, flit in sink.taken]
        assert got == model.leaves[n], f"leaf {n} got {len(got)} flits, not {len(model.leaves[n])}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def collection(dut: Any, pace: tuple[float, float]) -> None:
    """One leaf at a time is collected, the others wait; nothing is lost, doubled or reordered."""
    idle, stall = pace
    tb = TB(dut, idle=idle, stall=stall)
    await tb.begin()
    for leaf, source in enumerate(tb.up):
        cocotb.start_soon(source.run(tb.words(leaf)))
    cocotb.start_soon(tb.sink.run(cycles=1_000_000))
    await tb.wait(20)
    assert not tb.sink.taken, "collection is closed after reset"
    for leaf in random.Random(34).sample(range(LEAVES), LEAVES):
        await tb.source.run(tb.open_one(leaf))
        await tb.wait(SETTLED * (4 if stall else 1))
        begin = len(tb.sink.taken)
        await tb.wait(40)
        sources = {flit >> 10 for _, flit in tb.sink.taken[begin:]}
        assert sources == {leaf}, f"leaf {leaf} is selected, but {sources} arrive"
    # Words above 4 are closed.
    await tb.source.run(write(ROOT, 1, 5 + 8))
    await tb.wait(SETTLED * (4 if stall else 1))
    begin = len(tb.sink.taken)
    await tb.wait(20)
    assert len(tb.sink.taken) == begin
    # What the nodes below still hold comes out when the root selects them.
    for child in range(4 if LEVELS > 1 else 0):
        await tb.source.run(write(ROOT + 1 + child, 1, 0) + write(ROOT, 1, child + 1))
        await tb.wait(SETTLED * (4 if stall else 1))
    received = [flit for _, flit in tb.sink.taken]
    for leaf, source in enumerate(tb.up):
        assert [flit for flit in received if flit >> 10 == leaf] == [flit for _, flit in source.taken]
        assert source.taken, f"leaf {leaf} sent nothing"


def circle(chance: random.Random, count: int) -> tuple[list[int], dict[int, int], dict[int, dict[int, int]]]:
    """Some leaves, the length of each one's turn, and node → child → length of the turns of all leaves below."""
    leaves = sorted(chance.sample(range(LEAVES), count))
    length = {leaf: chance.randint(1, 5) for leaf in leaves}
    nodes: dict[int, dict[int, int]] = {ROOT: {}}
    for leaf in leaves:
        if LEVELS > 1:
            nodes.setdefault(ROOT + 1 + leaf // 4, {})[leaf % 4] = length[leaf]
        child = leaf // 4 ** (LEVELS - 1)
        nodes[ROOT][child] = nodes[ROOT].get(child, 0) + length[leaf]
    return leaves, length, nodes


def lengths(turn: dict[int, int]) -> list[int]:
    """Words of a node's turns: none where a single child would have one."""
    return [turn.get(child, 0) if len(turn) > 1 else 0 for child in range(4)]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES, count=[2, 3, LEAVES])
async def turns(dut: Any, pace: tuple[float, float], count: int) -> None:
    """Leaves that take turns, of different lengths: their flits in a circle, whatever pace each has."""
    idle, stall = pace
    chance = random.Random(35 + count)
    tb = TB(dut, idle=idle, stall=stall)
    await tb.begin()
    leaves, length, nodes = circle(chance, count)
    for unit, turn in nodes.items():
        await tb.source.run(write(unit, 1, min(turn) + 1, *lengths(turn)))
    await tb.wait(SETTLED * (4 if stall else 1))
    for leaf, source in enumerate(tb.up):
        cocotb.start_soon(source.run(tb.words(leaf)))
    cocotb.start_soon(tb.sink.run(cycles=1_000_000))
    await tb.wait(400)
    wanted = [leaf for leaf in leaves for _ in range(length[leaf])]
    got = [flit for _, flit in tb.sink.taken]
    assert len(got) > 2 * len(wanted), f"{len(got)} flits"
    assert [flit >> 10 for flit in got] == [wanted[n % len(wanted)] for n in range(len(got))]
    for leaf in leaves:
        mine = [flit for flit in got if flit >> 10 == leaf]
        assert mine == [flit for _, flit in tb.up[leaf].taken][: len(mine)], f"leaf {leaf}"
    if pace == PACES[0]:
        cycles = [cycle for cycle, _ in tb.sink.taken]
        assert cycles == list(range(cycles[0], cycles[0] + len(cycles))), "1 flit a cycle, also between turns"
    # Selected anew without turns, a child stays selected.
    last = leaves[-1]
    for unit in nodes:
        await tb.source.run(write(unit, 2, 0, 0, 0, 0))
    await tb.source.run(tb.open_one(last))
    await tb.wait(SETTLED * (4 if stall else 1))
    begin = len(tb.sink.taken)
    await tb.wait(60)
    assert {flit >> 10 for _, flit in tb.sink.taken[begin:]} == {last}


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(pace=PACES, count=[2, 3, LEAVES])
async def deals(dut: Any, pace: tuple[float, float], count: int) -> None:
    """Data dealt out to leaves in turns of different lengths; configuration between them counts for none."""
    idle, stall = pace
    chance = random.Random(36 + count)
    tb = TB(dut, idle=idle, stall=stall)
    await tb.begin()
    leaves, length, nodes = circle(chance, count)
    flits: list[int] = []
    wanted: dict[int, list[int]] = {leaf: [] for leaf in leaves}
    counter = 0
    for _ in range(2):  # the second time it starts over in the middle of a turn
        for unit, deal in nodes.items():
            flits += write(unit, 0, 1 << min(deal)) + write(unit, 6, *lengths(deal))
        for turn in range(3 * count):
            leaf = leaves[turn % count]
            for _ in range(length[leaf] if turn < 3 * count - 1 else 1):
                counter += 1
                flits.append(counter)
                wanted[leaf].append(counter)
            flits += write(0x10, 0, 5) if chance.random() < 0.3 else []
    # Nodes that deal no longer send the rest to all that are open.
    for unit in nodes:
        below = nodes[ROOT] if unit == ROOT and LEVELS > 1 else range(4)
        flits += write(unit, 6, 0, 0, 0, 0) + write(unit, 0, sum(1 << child for child in below))
    flits += [counter + n for n in range(1, 4)]
    await tb.source.run(flits)
    await tb.wait(SETTLED + int(20 * stall) * LEVELS)
    for n, sink in enumerate(tb.leaves):
        got = [flit for _, flit in sink.taken if not flit & CONFIG]
        open_now = LEVELS == 1 or n // 4 in nodes[ROOT]
        assert got == wanted.get(n, []) + ([counter + k for k in range(1, 4)] if open_now else []), (
            f"leaf {n}"
        )


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def rate(dut: Any) -> None:
    """2 cycles a node each way, 1 flit a cycle, and 4 cycles from configuration to the data behind it."""
    tb = TB(dut)
    await tb.begin()
    leaf = LEAVES - 2
    setup = tb.open_one(leaf)
    data = list(range(1, 41))
    await tb.source.run(setup + data)
    await tb.wait(SETTLED)
    cycles = [cycle for cycle, _ in tb.source.taken]
    assert cycles[: len(setup)] == list(range(len(setup)))
    gap = cycles[len(setup)] - cycles[len(setup) - 1]
    assert gap == 4, f"data follow after {gap} cycles"
    sent = {flit: cycle for cycle, flit in tb.source.taken}
    got = {flit: cycle for cycle, flit in tb.leaves[leaf].taken}
    assert [sent[flit] for flit in data] == list(range(sent[1], sent[1] + len(data))), "1 flit a cycle"
    latencies = {got[flit] - sent[flit] for flit in data}
    assert latencies == {2 * LEVELS}, f"down: {latencies} cycles"

    words = [leaf << 10 | k for k in range(20)]
    cocotb.start_soon(tb.sink.run(cycles=SETTLED + 20))
    await tb.up[leaf].run(words)
    await tb.wait(SETTLED)
    assert [cycle for cycle, _ in tb.up[leaf].taken] == list(range(20))
    arrivals = [(cycle - 2 * LEVELS, flit) for cycle, flit in tb.sink.taken]
    assert arrivals == tb.up[leaf].taken, "up: 2 cycles a node, 1 flit a cycle"
    dut._log.info(f"{2 * LEVELS} cycles each way, 1 flit a cycle, data {gap} cycles behind configuration")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def closed_after_reset(dut: Any) -> None:
    """After a reset in the middle of traffic nothing of it comes out, and both trees are closed."""
    tb = TB(dut)
    await tb.begin()
    await tb.source.run([*tb.open_one(1), 1, 2, 3, 4, 5])
    for source in tb.up:
        source._valid.value = 1
        assert source._payload is not None
        source._payload.value = 7
    dut.up_o__ready.value = 0
    await tb.wait(3 * LEVELS)
    for source in tb.up:
        source._valid.value = 0
    dut.down__valid.value = 0
    await reset(dut)
    before = [len(sink.taken) for sink in tb.leaves]
    dut.down__valid.value = 1
    dut.down__payload.value = 9
    for source in tb.up:
        source._valid.value = 1
    dut.up_o__ready.value = 1
    for _ in range(SETTLED):
        await ReadOnly()
        assert not dut.down__ready.value
        assert not dut.up_o__valid.value
        await RisingEdge(dut.clk)
    assert [len(sink.taken) for sink in tb.leaves] == before
