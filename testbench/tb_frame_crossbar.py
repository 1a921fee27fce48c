"""FrameCrossbar: who is offered what, and who is ready, for random names, and for all pairs."""

import random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from ohmweave.testbench.stream import parameters

ENTRIES, LINK_BITS = parameters()["entries"], parameters()["link_bits"]


class TB:
    def __init__(self, dut: Any):
        self.dut = dut
        self.chance = random.Random(1)

    def port(self, name: str, number: int, part: str = "") -> Any:
        return getattr(self.dut, f"{name}__{number}{part and '__'}{part}")

    async def check(self, to: list[int], from_: list[int]) -> int:
        """Drive everything, flits at random, and compare; gives how many flits went."""
        chance, numbers = self.chance, range(ENTRIES)
        valid = [chance.randrange(2) for _ in numbers]
        ready = [chance.randrange(2) for _ in numbers]
        words = [chance.getrandbits(LINK_BITS) for _ in numbers]
        for n in numbers:
            self.port("i", n, "valid").value = valid[n]
            self.port("i", n, "payload").value = words[n]
            self.port("o", n, "ready").value = ready[n]
            self.port("to", n).value = to[n]
            self.port("from_", n).value = from_[n]
        await Timer(1, unit="ns")
        went = 0
        for e in numbers:
            k = from_[e]
            offered = bool(valid[k] and to[k] == e)
            assert int(self.port("o", e, "valid").value) == offered, f"entry {e}: {to}, {from_}"
            if offered:
                assert int(self.port("o", e, "payload").value) == words[k], f"entry {e}: {to}, {from_}"
                went += ready[e]
        for k in numbers:
            accepted = bool(ready[to[k]] and from_[to[k]] == k)
            assert int(self.port("i", k, "ready").value) == accepted, f"buffer {k}: {to}, {from_}"
        return went


@cocotb.test()
async def every_pair(dut: Any) -> None:
    """Each buffer with each entry, the others all of one mind."""
    tb = TB(dut)
    went = 0
    for k in range(ENTRIES):
        for e in range(ENTRIES):
            to, from_ = [tb.chance.randrange(ENTRIES)] * ENTRIES, [tb.chance.randrange(ENTRIES)] * ENTRIES
            to[k], from_[e] = e, k
            went += await tb.check(to, from_)
    assert went > ENTRIES**2 // 8


@cocotb.test()
async def random_names(dut: Any) -> None:
    """Permutations, some of them disturbed: as many flits as pairs at once, or none."""
    tb = TB(dut)
    most = 0
    for turn in range(300):
        to = random.Random(turn).sample(range(ENTRIES), ENTRIES)
        from_ = [to.index(e) for e in range(ENTRIES)]
        for _ in range(turn % 4):
            to[tb.chance.randrange(ENTRIES)] = tb.chance.randrange(ENTRIES)
            from_[tb.chance.randrange(ENTRIES)] = tb.chance.randrange(ENTRIES)
        most = max(most, await tb.check(to, from_))
    assert most >= 2
