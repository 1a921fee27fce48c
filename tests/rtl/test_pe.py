"""One processing element with its array's Verilog model inside: stages of every kind, on Verilator and Icarus."""

import json
from pathlib import Path

import pytest

from ohmweave.presets import PRESETS
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.crossbar import verilog_model
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.rtl.pe import PE
from ohmweave.testbench.pe_jobs import KINDS, pe_job
from ohmweave.testbench.runner import TOP, available, run_testbench

PARAMS = PRESETS["tiny"]
FRAMES = 3
SHORT = "(every_kind|reset_in_the_middle|disabled_in_the_middle)$"
RUNS = [
    ("verilator", 1, None, 9),
    # It takes longer; X there shows what was never written or is left of a frame.
    ("icarus", 1, "every_kind$", 1),
    pytest.param("icarus", 1, SHORT, 3, marks=pytest.mark.nightly),
    *(pytest.param("icarus", seed, "every_kind$", 1, marks=pytest.mark.nightly) for seed in range(2, 6)),
]


@pytest.mark.parametrize(("simulator", "seed", "testcase", "tests"), RUNS)
def test_pe(simulator: str, seed: int, testcase: str | None, tests: int, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    jobs = [pe_job(name, PARAMS, seed, FRAMES) for name in KINDS]
    case = {
        "jobs": {job.name: job.record() for job in jobs},
        "read_cycles": PARAMS.pe.array.read_cycles,
        "link_bits": PARAMS.pe.link_bits,
        "tables": [Region.RERAM_PROGRAM.address(), Region.ARITHMETIC_PROGRAM.address()],
    }
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    model = tmp_path / "crossbar.v"
    model.write_text(verilog_model(PARAMS.pe.array))
    element = PE(params=PARAMS.pe)
    ran = run_testbench(
        element,
        "tb_pe",
        simulator,
        sources=[model],
        verilog_text=emit_verilog(emit_rtlil(element, TOP)),
        parameters={"case": str(path)},
        testcase=testcase,
    )
    assert ran == tests
