"""The cache and its AXI4 port, on Verilator and Icarus, against cocotbext-axi."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import AXIParams, CacheParams, DMAParams
from ohmweave.rtl.memory.axi4 import AXI4
from ohmweave.rtl.memory.axi_master import AXIMaster
from ohmweave.rtl.memory.cache import Cache
from ohmweave.rtl.memory.cached_memory import CachedMemory
from ohmweave.rtl.memory.dma import DMA
from ohmweave.rtl.memory.fill_queue import FillQueue
from ohmweave.rtl.memory.generate import verilog_model
from ohmweave.rtl.memory.layouts import LineMemory
from ohmweave.rtl.memory.lookup import Lookup
from ohmweave.rtl.memory.system import MemorySystem
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.sim.backends.emit import WAIVED
from ohmweave.sim.backends.toolchain import run_tool
from ohmweave.sim.backends.verilator import tool
from ohmweave.testbench.runner import TOP, available, run_testbench

SMALL = CacheParams(capacity=1024, line_bits=256, ways=4, address_bits=20, port_bits=32, fills=4)
CASES: dict[str, tuple[CacheParams, AXIParams]] = {
    "small": (SMALL, AXIParams(data_bits=64)),
    "one way": (dataclasses.replace(SMALL, ways=1, capacity=256, fills=2), AXIParams(data_bits=32)),
    "one set": (
        dataclasses.replace(SMALL, ways=8, capacity=256, fills=8),
        AXIParams(data_bits=256, outstanding=2),
    ),
    "one line": (
        CacheParams(capacity=4, line_bits=32, ways=1, address_bits=9, port_bits=32, fills=2),
        AXIParams(data_bits=32),
    ),
    "slow arrays": (
        dataclasses.replace(SMALL, read_cycles=3, write_cycles=4, port_bits=8, ways=2),
        AXIParams(data_bits=128, id_bits=4, outstanding=8),
    ),
    "full": (CacheParams(), AXIParams()),
    "slow reads": (dataclasses.replace(SMALL, read_cycles=2, ways=2, fills=2), AXIParams(data_bits=128)),
}
TESTS = 16


def run(case: str, simulator: str, folder: Path, testcase: str | None = None) -> int:
    params, axi = CASES[case]
    netlist = emit_rtlil(CachedMemory(params=params, axi=axi), TOP)
    model = folder / "arrays.v"
    model.write_text("\n".join(verilog_model(macro.model) for macro in netlist.macros.values()))
    return run_testbench(
        CachedMemory(params=params, axi=axi),
        "tb_cached_memory",
        simulator,
        sources=[model],
        verilog_text=emit_verilog(netlist),
        parameters=dataclasses.asdict(params) | dataclasses.asdict(axi),
        testcase=testcase,
    )


# Verilator builds for long: the cases differ in numbers that the simulators treat alike.
RUNS = [
    *(("icarus", case) for case in CASES if case != "full"),
    ("verilator", "small"),
    pytest.param("verilator", "slow arrays", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(("simulator", "case"), RUNS)
def test_cached_memory(simulator: str, case: str, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    assert run(case, simulator, tmp_path) == TESTS


@pytest.mark.nightly
def test_full_size(tmp_path: Path) -> None:
    """The paper's 4 MB, 8 ways, lines of 4096 bits: few sets of it are used, and all of it is cleared and flushed."""
    assert run("full", "verilator", tmp_path, "random_traffic/pace=[03]|latency|throughput|each_error") >= 5


def test_lint_and_black_boxes(tmp_path: Path) -> None:
    """The Verilog that is given to others is clean under Verilator's lint, with the arrays as black boxes, too."""
    params, axi = CASES["small"]
    netlist = emit_rtlil(
        MemorySystem(cache=params, axi=axi, engines=[DMAParams(link_bits=16)] * 2), "memory_system"
    )
    (tmp_path / "memory_system.v").write_text(emit_verilog(netlist))
    (tmp_path / "arrays.v").write_text(
        "\n".join(verilog_model(macro.model) for macro in netlist.macros.values())
    )
    assert len(netlist.macros) == 2
    rules = "".join(f'lint_off -rule {rule} -file "*memory_system.v"\n' for rule in WAIVED)
    (tmp_path / "waivers.vlt").write_text(f"`verilator_config\n{rules}")
    command, environment = tool()
    files = ["waivers.vlt", "memory_system.v", "arrays.v"]
    # The arrays' models stand in one file here.
    flags = ["--lint-only", "-Wall", "-Wno-DECLFILENAME", "--top-module", "memory_system"]
    run_tool("lint", [command, *flags, *files], tmp_path, environment)
    flags += ["-DSYNTHESIS", "-Wno-UNUSEDSIGNAL", "-Wno-UNDRIVEN"]
    run_tool("lint", [command, *flags, *files], tmp_path, environment)


REFUSED: list[tuple[type, dict[str, object], str]] = [
    (CacheParams, {"capacity": 3 << 20}, "capacity must be a power of two from 4 to 268435456, not 3145728"),
    (CacheParams, {"capacity": 2048}, "capacity must hold 8 lines of 512 bytes, not 2048 bytes"),
    (CacheParams, {"line_bits": 100}, "line_bits must be a power of two from 32 to 8192, not 100"),
    (CacheParams, {"line_bits": 16384}, "line_bits must be a power of two from 32 to 8192, not 16384"),
    (CacheParams, {"ways": 3}, "ways must be a power of two from 1 to 16, not 3"),
    (CacheParams, {"ways": 32}, "ways must be a power of two from 1 to 16, not 32"),
    (CacheParams, {"port_bits": 4}, "port_bits must be a power of two from 8 to 512, not 4"),
    (CacheParams, {"line_bits": 32}, "port_bits must be at most line_bits, 32, not 64"),
    (CacheParams, {"fills": 1}, "fills must be a power of two from 2 to 8, not 1"),
    (CacheParams, {"fills": True}, "fills must be a power of two from 2 to 8, not True"),
    (CacheParams, {"address_bits": 65}, "address_bits must be a whole number from 8 to 64, not 65"),
    (
        CacheParams,
        {"address_bits": 19},
        "address_bits must be more than 19, those of an address in a way, not 19",
    ),
    (CacheParams, {"read_cycles": 16}, "read_cycles must be a whole number from 1 to 15, not 16"),
    (CacheParams, {"write_cycles": 0}, "write_cycles must be a whole number from 1 to 15, not 0"),
    (AXIParams, {"data_bits": 16}, "AXI data_bits must be a power of two from 32 to 512, not 16"),
    (AXIParams, {"id_bits": 0}, "AXI id_bits must be a whole number from 1 to 16, not 0"),
    (AXIParams, {"outstanding": 1}, "AXI outstanding must be a power of two from 2 to 16, not 1"),
    (DMAParams, {"link_bits": 24}, "link_bits must be one of 16, 32, 64, not 24"),
    (DMAParams, {"descriptors": 3}, "descriptors must be a power of two from 2 to 16, not 3"),
    (DMAParams, {"ahead": 0}, "ahead must be a whole number from 1 to 1023, not 0"),
]


@pytest.mark.parametrize(("record", "change", "sentence"), REFUSED)
def test_refused_parameters(record: type, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(OhmweaveError) as caught:
        record(**change)
    assert str(caught.value) == sentence


def test_refused_combinations() -> None:
    narrow = dataclasses.replace(SMALL, port_bits=8)
    with pytest.raises(OhmweaveError, match=r"^AXI data_bits must be at most line_bits, 256, not 512$"):
        CachedMemory(params=SMALL, axi=AXIParams(data_bits=512))
    with pytest.raises(OhmweaveError, match=r"^link_bits must be at most port_bits, 8, not 16$"):
        DMA(cache=narrow, params=DMAParams())


COMPONENTS: list[tuple[object, str]] = [
    (lambda: Cache(params=1), "params must be CacheParams, not 1"),
    (lambda: FillQueue(params=1), "params must be CacheParams, not 1"),
    (lambda: Lookup(params=1), "params must be CacheParams, not 1"),
    (lambda: AXIMaster(params=1, axi=AXIParams()), "params must be CacheParams, not 1"),
    (lambda: AXIMaster(params=SMALL, axi=1), "axi must be AXIParams, not 1"),
    (lambda: AXI4(65, AXIParams()), "AXI4 address_bits must be a whole number from 1 to 64, not 65"),
    (lambda: AXI4(32, 1), "AXI4 params must be AXIParams, not 1"),
    (lambda: DMA(cache=1, params=DMAParams()), "cache must be CacheParams, not 1"),
    (lambda: DMA(cache=SMALL, params=1), "params must be DMAParams, not 1"),
]


@pytest.mark.parametrize(("make", "sentence"), COMPONENTS)
def test_refused_types(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value) == sentence


def test_signatures() -> None:
    assert AXI4(32, AXIParams()) == AXI4(32, AXIParams(outstanding=8))
    assert AXI4(32, AXIParams()) != AXI4(32, AXIParams(data_bits=128))
    assert LineMemory(23, 4096) == LineMemory(23, 4096)
    assert LineMemory(23, 4096) != LineMemory(23, 2048)
