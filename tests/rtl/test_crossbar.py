"""Crossbar wrapper around the macro's Verilog model, on every simulator."""

import dataclasses
from pathlib import Path

import pytest

from ohmweave.params import ArrayParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.crossbar import Crossbar, CrossbarMacro, verilog_model
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.testbench.runner import available, run_testbench

TINY = PRESETS["tiny"].pe.array
ARRAYS = {
    "tiny": TINY,
    "one": ArrayParams(rows=1, cols=1, cell_bits=2, colmux=1, dac_bits=3, read_cycles=1, write_cycles=1),
    "clipped": dataclasses.replace(TINY, rows=20, adc_bits=6, adc_drop=2, read_cycles=2, write_cycles=9),
    "full": dataclasses.replace(PRESETS["re-reram"].pe.array, write_cycles=1),
}


# Verilator builds for long: the small cases differ in numbers that the simulators treat alike.
RUNS = [
    *(("icarus", case) for case in ("tiny", "one", "clipped")),
    ("verilator", "tiny"),
    ("verilator", "full"),
]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_crossbar(simulator: str, case: str, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    array = ARRAYS[case]
    model = tmp_path / "model.v"
    model.write_text(verilog_model(array))
    ran = run_testbench(
        Crossbar(array=array),
        "tb_crossbar",
        simulator,
        sources=[model],
        parameters=dataclasses.asdict(array),
        verilog_text=emit_verilog(emit_rtlil(Crossbar(array=array), "dut")),
    )
    assert ran == 3


@pytest.mark.parametrize("component", [Crossbar, CrossbarMacro])
def test_refuses_other_parameters(component: type) -> None:
    with pytest.raises(TypeError, match=r"^Array must be ArrayParams, not 'tiny'$"):
        component(array="tiny")
