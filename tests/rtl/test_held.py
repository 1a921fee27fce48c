"""The wide register in parts, against a number."""

import random

import pytest
from amaranth.sim import Simulator, SimulatorContext

from ohmweave.rtl.held import Held


@pytest.mark.parametrize("width", [1, 127, 128, 129, 300])
def test_held(width: int) -> None:
    """It takes what is there with `take`, all of it, and nothing without."""
    dut = Held(width)

    async def run(ctx: SimulatorContext) -> None:
        rng = random.Random(width)
        expected = 0
        for _ in range(100):
            take, value = rng.getrandbits(1), rng.getrandbits(width)
            ctx.set(dut.take, take)
            ctx.set(dut.d, value)
            assert ctx.get(dut.q) == expected
            await ctx.tick()
            expected = value if take else expected

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()


@pytest.mark.parametrize("width", [0, True, 1.5])
def test_refused_width(width: object) -> None:
    with pytest.raises(TypeError) as error:
        Held(width)  # type: ignore[arg-type]
    assert str(error.value).startswith("Held width must be")
