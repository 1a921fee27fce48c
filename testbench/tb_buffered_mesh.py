"""Routers with buffers and virtual channels in a mesh: packets from everywhere to everywhere."""

from typing import Any

import cocotb

from ohmweave.testbench.packet_bench import PacketBench
from ohmweave.testbench.stream import PACES, parameters

P = parameters()
SIDE = P.pop("side")
#: Flits that one channel sends between two routers, and in how many cycles.
LOOP = P.pop("loop", None)


class TB(PacketBench):
    def __init__(self, dut: Any, seed: int) -> None:
        super().__init__(dut, seed, links=SIDE * SIDE, way=lambda _, x, y: y * SIDE + x, ordered=False, **P)


@cocotb.test(skip=LOOP is not None, timeout_time=10, timeout_unit="ms")
@cocotb.parametrize(pace=PACES)
async def random_packets(dut: Any, pace: tuple[float, float]) -> None:
    """Every place sends to every place, all at once."""
    tb = TB(dut, seed=31)
    await tb.begin()
    for link in range(SIDE * SIDE):
        for to in range(SIDE * SIDE):
            channel = tb.random.randrange(P["virtual_channels"])
            tb.add(link, channel, to % SIDE, to // SIDE, tb.random.randint(1, 8))
    await tb.drain(20_000, pace[1])


@cocotb.test(skip=LOOP is None, timeout_time=1, timeout_unit="ms")
async def loop(dut: Any) -> None:
    """A long packet to the neighbour: the credits' way round limits it."""
    tb = TB(dut, seed=32)
    await tb.begin()
    packet = tb.add(0, 0, 1, 0, 80)
    # Credits come back to this source as from a router.
    await tb.drain(1000)
    flits, cycles = LOOP
    rounds = 5
    assert packet.came[20 + rounds * flits] - packet.came[20] == rounds * cycles, packet.came
