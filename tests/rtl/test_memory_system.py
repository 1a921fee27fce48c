"""The copy engine with the cache and its AXI4 port, on Verilator and Icarus, against cocotbext-axi."""

import dataclasses
from pathlib import Path

import pytest

from ohmweave.params import AXIParams, CacheParams, DMAParams
from ohmweave.rtl.memory.generate import verilog_model
from ohmweave.rtl.memory.system import MemorySystem
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.testbench.runner import TOP, available, run_testbench

SMALL = CacheParams(capacity=4096, line_bits=512, ways=2, address_bits=20, port_bits=64)
CASES: dict[str, tuple[CacheParams, AXIParams, DMAParams, int]] = {  # and how many engines
    "one flit a word": (SMALL, AXIParams(data_bits=64), DMAParams(link_bits=64, ahead=8), 1),
    "four flits a word": (
        SMALL,
        AXIParams(data_bits=32),
        DMAParams(link_bits=16, ahead=3, descriptors=2),
        2,
    ),
    "re-reram": (CacheParams(), AXIParams(data_bits=64), DMAParams(link_bits=64), 1),
    "re-reram, small": (
        CacheParams(capacity=1 << 15, ways=2),
        AXIParams(data_bits=64),
        DMAParams(link_bits=64),
        1,
    ),
    "slow arrays": (
        dataclasses.replace(SMALL, read_cycles=2, write_cycles=3, fills=2),
        AXIParams(data_bits=128),
        DMAParams(link_bits=32, ahead=1),
        1,
    ),
}


def run(case: str, simulator: str, folder: Path, testcase: str | None = None, **more: object) -> int:
    cache, axi, params, engines = CASES[case]

    def make() -> MemorySystem:
        return MemorySystem(cache=cache, axi=axi, engines=[params] * engines)

    netlist = emit_rtlil(make(), TOP)
    model = folder / "arrays.v"
    model.write_text("\n".join(verilog_model(macro.model) for macro in netlist.macros.values()))
    records = dataclasses.asdict(cache) | dataclasses.asdict(axi) | dataclasses.asdict(params)
    return run_testbench(
        make(),
        "tb_memory_system",
        simulator,
        sources=[model],
        verilog_text=emit_verilog(netlist),
        parameters={
            **records,
            "engines": engines,
            "sets": cache.sets,
            "bandwidth_lines": 8,
            "bandwidth_share": 0.5,
            **more,
        },
        testcase=testcase,
    )


RUNS = [
    *(("icarus", case) for case in ("one flit a word", "four flits a word", "slow arrays")),
    ("verilator", "four flits a word"),
]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_memory_system(simulator: str, case: str, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    # Two fills, with one line ahead, leave the bus idle for much of the time.
    share = 0.3 if case == "slow arrays" else 0.9
    assert run(case, simulator, tmp_path, bandwidth_share=share) == (26 if CASES[case][3] == 2 else 22)


@pytest.mark.parametrize("case", [pytest.param("re-reram", marks=pytest.mark.nightly), "re-reram, small"])
def test_bandwidth_of_the_paper(case: str, tmp_path: Path) -> None:
    """6.4 GB/s at 1 GHz from an AXI port of 64 bits that has data in 0.8 of its cycles, with the paper's cache, and
    with one that is smaller than the copies, so that every line of a store pushes another out."""
    assert run(case, "verilator", tmp_path, "bandwidth", bandwidth_lines=48, bandwidth_share=0.99) == 2
