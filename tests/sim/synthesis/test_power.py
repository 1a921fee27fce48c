"""Power of a chip in a recorded run, by hand: cells, clock, leakage, macros by what they did, and the report."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from liberty_files import CLOCKED, NAND2, powered_inverter, write_liberty
from mapped import module

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.cxxrtl_activity import Recorded
from ohmweave.sim.synthesis.activity import Instance, Recording
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.library import load_library, unit_gates
from ohmweave.sim.synthesis.macros import load_macros
from ohmweave.sim.synthesis.mapped import MEMORY_CELL, Module, Synthesised
from ohmweave.sim.synthesis.power import ChipPower, chip_power
from ohmweave.sim.synthesis.power_report import Workload, power_record, write_power

EVERY = (1 << 64) - 1
#: 3 fJ of each change of an inverter, 12 fJ of each cycle of a flip-flop.
POWERED = powered_inverter(0)
PROCESS = Process(130.0)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return load_library([write_liberty(tmp_path / "a.lib", POWERED, NAND2, CLOCKED)])


def part(children: int = 0) -> dict[str, Any]:
    """A register, an inverter behind it, and a memory of 8 words of 2 bits that both reads and writes."""
    cells: dict[str, Any] = {
        "r": ("DFF", {"C": 2, "D": 3, "Q": 4}),
        "g": ("INV", {"A": 4, "Y": 5}),
        "m": (MEMORY_CELL, {
            "RD_ADDR": [4, 4, 4], "RD_CLK": [2], "RD_DATA": [6, 7], "RD_EN": [3], "WR_ADDR": [4, 4, 4],
            "WR_CLK": [2], "WR_DATA": [4, 4], "WR_EN": [5, 5],
        }),
    }  # fmt: skip
    made = module({"clk": [2], "d": [3]}, {"y": [5]}, cells, {"state": [4], "data": [6, 7]})
    made["cells"]["m"]["parameters"] = {
        name: format(value, "032b")
        for name, value in {
            "WIDTH": 2, "SIZE": 8, "ABITS": 3, "RD_PORTS": 1, "WR_PORTS": 1, "RD_CLK_ENABLE": 1,
        }.items()
    }  # fmt: skip
    outputs = {"RD_DATA"}
    made["cells"]["m"]["port_directions"] = {
        pin: "output" if pin in outputs else "input" for pin in made["cells"]["m"]["connections"]
    }
    return made


def synthesised(folder: Path, netlists: dict[str, Any]) -> Synthesised:
    modules = {}
    for name, netlist in netlists.items():
        path = folder / f"{name}.json.gz"
        with gzip.open(path, "wt") as stream:
            json.dump(netlist, stream)
        modules[name] = Module(name, {}, {}, {}, (), path)
    return Synthesised(
        top="chip",
        modules=modules,
        macros={},
        memory_threshold_bits=16,
        tool="",
        cpu_seconds=0.0,
        peak_bytes=0,
    )


def recording(*instances: Instance, values: dict[str, list[Recorded]], windows: int = 2) -> Recording:
    result: Any = SimpleNamespace()
    return Recording(result, values, list(instances), windows)


VALUES = [Recorded("d", 1, "input"), Recorded("state", 1, "register"), Recorded("data", 2, "register")]


def measured(tmp_path: Path, library: Library, process: Process = PROCESS) -> ChipPower:
    """Two instances: one whose register turns in each cycle, and one at rest."""
    turning = 0x5555555555555555
    busy = np.array([[EVERY, EVERY], [turning, turning], [0, 0], [0, 0]], np.uint64)
    idle = np.zeros((4, 2), np.uint64)
    chip = module({"clk": [2], "d": [3]}, {"y": [4]}, {"a": ("part", {"clk": 2, "d": 3, "y": 4})})
    recorded = recording(
        Instance("a", "part", busy),
        Instance("b", "part", idle),
        Instance("", "chip", np.zeros((1, 2), np.uint64)),
        values={"part": VALUES, "chip": [Recorded("d", 1, "input")]},
    )
    blocks = synthesised(tmp_path, {"part": part(), "chip": chip})
    return chip_power(recorded, blocks, {}, library, load_macros(), process)


@pytest.mark.parametrize("node_nm", [130.0, 45.0])
def test_by_hand(tmp_path: Path, library: Library, node_nm: float) -> None:
    power = measured(tmp_path, library, Process(node_nm))
    block = power.blocks["part"]
    assert (block.cells, block.registers, power.named, power.unnamed) == (4, 2, 2, 0)
    # One inverter turns each cycle: 3 fJ. At 2 V a change of 1 fF takes 2 fJ: Q has 2 fF, Y none of cells.
    assert block.internal == pytest.approx(3e-15)
    assert block.switching == pytest.approx(4e-15)
    # Both registers: 12 fJ inside, and 1 fF up and down.
    assert block.clock == pytest.approx(2 * 16e-15)
    assert block.leakage_w == pytest.approx(2 * (3 + 10) * 1e-9)
    (memory,) = power.macros.values()
    assert list(power.macros) == ["memory 2×8"]
    # One is read in each cycle; written where the inverter is 1: half of the cycles, and all of them where it rests.
    assert (memory.count, memory.reads, memory.writes) == (2, 1.0, 1.5)
    figures = load_macros().memory(2, 8, 2, node_nm)
    energy = (figures.read_energy_pj + 1.5 * figures.write_energy_pj) * 1e-12
    assert memory.energy == pytest.approx(energy)
    assert power.watts(1e9) == pytest.approx(
        (3 + 4 + 32) * 1e-6 + 26e-9 + energy * 1e9 + 2 * figures.leakage_w
    )


def test_report(tmp_path: Path, library: Library) -> None:
    power = measured(tmp_path, library)
    work = Workload("net", interval=1000, macs=5000)
    record = power_record(power, library, "tiny", work, {"part": 2, "chip": 1}, 500)
    total = record["power_w"]["total"]
    assert total == pytest.approx(power.watts(500e6))
    assert sum(value for name, value in record["power_w"].items() if name != "total") == pytest.approx(total)
    listed = [*record["modules"], *record["macros"]]
    assert sum(each["total_w"] for each in listed) == pytest.approx(total)
    # 1,000 cycles of 2 ns.
    assert record["energy_per_image_j"] == pytest.approx(total * 2e-6)
    assert record["gops"] == pytest.approx(10_000 / 2e-6 / 1e9)
    assert record["gops_per_w"] == pytest.approx(record["gops"] / total)
    assert record["cycles_recorded"] == 128
    assert [module["instances"] for module in record["modules"] if module["name"] == "part"] == [2]
    path = tmp_path / "power.json"
    write_power(record, path)
    assert json.loads(path.read_text()) == record
    with pytest.raises(
        OhmweaveError, match=r"^the frequency in MHz must be a whole number from 1 to 100000, not 0$"
    ):
        power_record(power, library, "tiny", work, {}, 0)


def test_refused(tmp_path: Path, library: Library) -> None:
    blocks = synthesised(tmp_path, {"chip": module({}, {}, {})})
    other = recording(values={"pe": []})
    sentence = r"^the recording must be of the chip that was synthesised, which has no pe$"
    with pytest.raises(OhmweaveError, match=sentence):
        chip_power(other, blocks, {}, library, load_macros(), PROCESS)
    with pytest.raises(OhmweaveError, match=r"^the library unit_gates has no internal powers"):
        chip_power(other, blocks, {}, unit_gates(), load_macros(), PROCESS)
