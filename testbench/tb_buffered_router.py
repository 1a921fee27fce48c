"""Router with buffers and virtual channels: packets between all ports, latency, throughput, credits, reset."""

import itertools
from typing import Any

import cocotb

from ohmweave.testbench.packet_bench import PacketBench
from ohmweave.testbench.stream import PACES, parameters, reset

P = parameters()
CHANNELS, DEPTH = P["virtual_channels"], P["depth"]
LIMIT = 1 << P["side_bits"]
#: Where the router stands; a neighbour on every side.
X, Y = 1, LIMIT - 2 if LIMIT > 2 else 0
LOCAL, NORTH, EAST, SOUTH, WEST = range(5)


def way(_: int, x: int, y: int) -> int:
    """x first."""
    if x != X:
        return EAST if x > X else WEST
    if y != Y:
        return SOUTH if y > Y else NORTH
    return LOCAL


class TB(PacketBench):
    def __init__(self, dut: Any, seed: int) -> None:
        super().__init__(dut, seed, links=5, way=way, **P)

    async def begin(self) -> None:
        self.dut.x.value, self.dut.y.value = X, Y
        await super().begin()

    def somewhere(self) -> tuple[int, int]:
        """A place, each output about as often as the others."""
        side = self.random.randrange(5)
        places = [(x, y) for x in range(LIMIT) for y in range(LIMIT) if way(0, x, y) == side]
        return self.random.choice(places) if places else (X, Y)


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def random_packets(dut: Any, pace: tuple[float, float]) -> None:
    """Packets of 1 to 3·depth flits from every channel of every input to every output."""
    tb = TB(dut, seed=21)
    await tb.begin()
    for _ in range(12):
        for link in range(5):
            for channel in range(CHANNELS):
                tb.add(link, channel, *tb.somewhere(), tb.random.randint(1, 3 * DEPTH))
        for _ in range(tb.random.randrange(60)):
            await tb.step(*pace)
    await tb.drain(20_000, pace[1])
    assert {packet.wanted for packet in tb.arrived} == {
        way(0, x, y) for x in range(LIMIT) for y in range(LIMIT)
    }


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def latency(dut: Any) -> None:
    """A head in 5 cycles, the flits behind it in 3, from each input to each output, nothing else under way."""
    tb = TB(dut, seed=22)
    await tb.begin()
    for x in range(LIMIT):
        for y in range(LIMIT):
            if abs(x - X) + abs(y - Y) > 1:
                continue
            for link in range(5):
                packet = tb.add(link, (x + y + link) % CHANNELS, x, y, min(DEPTH, 3))
                await tb.drain(60)
                # Taken at the end of the cycle in which it is offered to the router.
                assert packet.came[0] - packet.left[0] == 5, packet
                # Those behind the head wait for it in the buffer.
                assert packet.came == [packet.came[0] + n for n in range(len(packet.words))], packet
    late = tb.add(LOCAL, 0, X + 1, Y, 2)
    rest = tb.waiting[LOCAL, 0].pop()
    for _ in range(10):
        await tb.step()
    tb.waiting[LOCAL, 0].append(rest)
    await tb.drain(20)
    assert late.came[1] - late.left[1] == 3


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def throughput(dut: Any) -> None:
    """n + 2 cycles a packet in one channel; a flit a cycle from several channels, or from several inputs in turn."""
    tb = TB(dut, seed=23)
    await tb.begin()
    length = 2 if DEPTH > 2 else 1
    packets = [tb.add(WEST, 0, X + 1, Y, length) for _ in range(8)]
    await tb.drain(400)
    heads = [packet.came[0] for packet in packets]
    steps = {b - a for a, b in itertools.pairwise(heads)}
    # The sinks give credits back at once, so that they limit nothing; the source's own are those of the buffer.
    assert min(steps) == length + 2, heads
    if CHANNELS > 1 and DEPTH > 2:
        packets = [
            tb.add(port, n, X + 1, Y, 6) for port in (WEST, LOCAL) for n in range(CHANNELS) for _ in range(4)
        ]
        await tb.drain(2000)
        flits = sorted(cycle for packet in packets for cycle in packet.came)
        busy = flits[4:-4]
        assert len(busy) >= 0.9 * (busy[-1] - busy[0] + 1), "the output is busy nearly always"
        assert len(set(flits)) == len(flits)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def everybody_gets_a_turn(dut: Any) -> None:
    """All inputs send to one output without end: their shares are alike."""
    tb = TB(dut, seed=24)
    await tb.begin()
    for _ in range(30):
        for link in range(5):
            for channel in range(CHANNELS):
                tb.add(link, channel, X, Y, 2)
    for _ in range(150):
        await tb.step()
    shares = [sum(packet.source[0] == link for packet in tb.arrived) for link in range(5)]
    assert min(shares) >= 0.8 * max(shares), shares
    await tb.drain(20_000)


@cocotb.test(skip=CHANNELS < 2 or DEPTH < 4, timeout_time=2, timeout_unit="ms")
async def packets_share_a_link(dut: Any) -> None:
    """Two long packets in two channels of one link end at the same time: their flits alternate."""
    tb = TB(dut, seed=27)
    await tb.begin()
    packets = [tb.add(link, 0, X + 1, Y, 40) for link in (WEST, LOCAL)]
    await tb.drain(400)
    ends = [packet.came[-1] for packet in packets]
    assert abs(ends[0] - ends[1]) <= 4, ends


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def stalled_channel(dut: Any) -> None:
    """No credit comes back: at most `depth` flits leave in each channel, the rest waits, and other outputs go on."""
    tb = TB(dut, seed=25)
    await tb.begin()
    blocked = [tb.add(LOCAL, 0, X + 1, Y, 4 * DEPTH)]
    for _ in range(40 + 8 * DEPTH):
        await tb.step(0.0, 1.0)
    assert len(blocked[0].came) == DEPTH
    if CHANNELS > 1:
        free = tb.add(LOCAL, 1, X - 1, Y, 1)
        for _ in range(10):
            await tb.step(0.0, 1.0)
        assert free in tb.arrived
    await tb.drain(400)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def reset_in_the_middle(dut: Any) -> None:
    """A reset empties the buffers, frees the channels and gives the credits back."""
    tb = TB(dut, seed=26)
    await tb.begin()
    for link in range(5):
        for channel in range(CHANNELS):
            tb.add(link, channel, *tb.somewhere(), 3 * DEPTH)
    for _ in range(9):
        await tb.step(0.0, 1.0)
    for link in range(5):
        getattr(dut, f"i__{link}__valid").value = 0
        getattr(dut, f"o__{link}__credit").value = 0
    await reset(dut)
    tb.clear()
    for _ in range(8):
        for link in range(5):
            for channel in range(CHANNELS):
                tb.add(link, channel, *tb.somewhere(), tb.random.randint(1, 2 * DEPTH))
    await tb.drain(20_000, 0.3)
