"""Array loader, in Amaranth's simulator, against rows kept as numbers."""

import dataclasses
import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from ohmweave.params import ArrayParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.array_loader import ROW, ArrayLoader, row_writes

TINY = PRESETS["tiny"].pe.array
ARRAYS = {
    "tiny": TINY,
    "full": PRESETS["re-reram"].pe.array,
    "not whole words": dataclasses.replace(TINY, cols=7, colmux=7, cell_bits=3),
}


def test_row_writes() -> None:
    array = dataclasses.replace(TINY, cols=5, colmux=5)
    assert row_writes(array, 9, [1, 2, 3, 4, 5]) == [(0, 0x4321), (1, 5), (ROW, 9)]


@pytest.mark.parametrize("name", ARRAYS)
def test_array_loader(name: str) -> None:
    """Random writes against back-pressure: the levels stay, a row is offered in the next cycle until it is taken."""
    array: ArrayParams = ARRAYS[name]
    size = array.cols * array.cell_bits
    words = -(-size // 16)
    dut = ArrayLoader(array=array)
    rng = random.Random(size)

    async def testbench(ctx: Any) -> None:
        levels, waiting, row, rows = 0, False, 0, 0
        for _ in range(1500):
            address = rng.choice([*range(words), words, ROW - 1, ROW, ROW])
            data = rng.randrange(array.rows) if address == ROW else rng.getrandbits(16)
            valid, taken = rng.random() < 0.8, rng.random() < 0.5
            ctx.set(dut.config.valid, valid)
            ctx.set(dut.config.p.address, address)
            ctx.set(dut.config.p.data, data)
            ctx.set(dut.program.ready, taken)
            assert ctx.get(dut.config.ready) == (not waiting)
            assert ctx.get(dut.program.valid) == waiting
            if waiting:
                assert ctx.get(dut.program.p.row) == row
                assert ctx.get(dut.program.p.levels) == levels & ((1 << size) - 1)
                rows += taken
                waiting = not taken
            elif valid and address == ROW:
                waiting, row = True, data
            elif valid and address < words:
                levels = levels & ~(0xFFFF << 16 * address) | data << 16 * address
            await ctx.tick()
        assert rows > 5

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
