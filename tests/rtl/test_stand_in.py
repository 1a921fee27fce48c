"""The digital stand-in of the crossbar macro, in the testbench of the macro's own models."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.sim import Simulator

from ohmweave.params import ArrayParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.crossbar import Crossbar, MacroModel
from ohmweave.rtl.crossbar.stand_in import CrossbarStandIn
from ohmweave.rtl.netlist import Netlist, emit_rtlil, emit_verilog
from ohmweave.testbench.runner import available, run_testbench

TINY = PRESETS["tiny"].pe.array
ARRAYS = {
    "tiny": TINY,
    "one": ArrayParams(rows=1, cols=1, cell_bits=2, colmux=1, dac_bits=3, read_cycles=1, write_cycles=1),
    "a read a cycle": dataclasses.replace(TINY, rows=9, read_cycles=1),
    "clipped": dataclasses.replace(TINY, rows=20, adc_bits=6, adc_drop=2, read_cycles=2, write_cycles=9),
    "more cycles than rows": dataclasses.replace(TINY, rows=3, read_cycles=9, colmux=1),
    "pairs": dataclasses.replace(TINY, rows=11, cols=6, colmux=3, sign_scheme="pairs", read_cycles=3),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_is_the_macro(case: str, tmp_path: Path) -> None:
    if not available("icarus"):
        pytest.skip("icarus is not installed")
    array = ARRAYS[case]
    # Unlike memories of silicon these start at 0, as those of FPGAs do.
    text = rtlil.convert(CrossbarStandIn(array=array), name=array.name)
    model = tmp_path / "model.v"
    model.write_text(emit_verilog(Netlist(array.name, text, (array.name,), {})))
    ran = run_testbench(
        Crossbar(array=array),
        "tb_crossbar",
        "icarus",
        sources=[model],
        parameters=dataclasses.asdict(array),
        verilog_text=emit_verilog(emit_rtlil(Crossbar(array=array), "dut")),
    )
    assert ran == 3


@pytest.mark.parametrize("case", ARRAYS)
def test_starts_at_any_time(case: str) -> None:
    """Reads given up for others, and rows written beside a start: every cycle against the macro's model."""
    array = ARRAYS[case]
    dut = CrossbarStandIn(array=array)
    model = MacroModel(array)
    numbers = random.Random(5)

    async def bench(ctx: Any) -> None:
        under_way = 0
        for _ in range(400):
            start = numbers.random() < 0.3
            values = {
                "start": int(start),
                "group": numbers.randrange(array.colmux),
                "x": numbers.getrandbits(array.rows * array.dac_bits),
                # No row is written while a read is under way that goes on.
                "write": int((start or not under_way) and numbers.random() < 0.5),
                "row": numbers.randrange(array.rows),
                "levels": numbers.getrandbits(array.cols * array.cell_bits),
            }
            for name, value in values.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            model.edge(**values)
            under_way = array.read_cycles - 1 if start else max(0, under_way - 1)
            assert ctx.get(Value.cast(dut.sums)) == model.sums
            assert ctx.get(dut.reference) == model.reference

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_steps() -> None:
    """Powers of two, as many as the cycles of a read leave."""
    steps = {
        cycles: CrossbarStandIn(array=dataclasses.replace(TINY, read_cycles=cycles)).steps
        for cycles in (1, 2, 3, 4, 5, 6, 9, 10)
    }
    assert steps == {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 9: 8, 10: 8}


def test_refuses_other_parameters() -> None:
    with pytest.raises(TypeError, match=r"^Array must be ArrayParams, not 'tiny'$"):
        CrossbarStandIn(array="tiny")
