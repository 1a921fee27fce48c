"""Power of a chip in a recorded run, by hand: cells, clock, leakage, macros by what they did, and the report."""

import gzip
import json
from collections import Counter
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
from ohmweave.sim.synthesis.power_report import Workload, power_record, power_tree

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
        kinds = Counter(cell["type"] for cell in netlist["cells"].values())
        modules[name] = Module(
            name, {}, {kind: kinds[kind] for kind in netlists if kinds[kind]}, {}, (), path
        )
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


def measured(tmp_path: Path, library: Library, process: Process = PROCESS) -> tuple[ChipPower, Synthesised]:
    """Two instances: one whose register turns in each cycle, and one at rest."""
    turning = 0x5555555555555555
    busy = np.array([[EVERY, EVERY], [turning, turning], [0, 0], [0, 0]], np.uint64)
    idle = np.zeros((4, 2), np.uint64)
    chip = module({"clk": [2], "d": [3]}, {"y": [4]}, {
        name: ("part", {"clk": 2, "d": 3, "y": net}) for name, net in (("a", 4), ("b", 5))
    })  # fmt: skip
    recorded = recording(
        Instance("a", "part", busy),
        Instance("b", "part", idle),
        Instance("", "chip", np.zeros((1, 2), np.uint64)),
        values={"part": VALUES, "chip": [Recorded("d", 1, "input")]},
    )
    blocks = synthesised(tmp_path, {"part": part(), "chip": chip})
    return chip_power(recorded, blocks, {}, library, load_macros(), process), blocks


@pytest.mark.parametrize("node_nm", [130.0, 45.0])
def test_by_hand(tmp_path: Path, library: Library, node_nm: float) -> None:
    power, _ = measured(tmp_path, library, Process(node_nm))
    block = power.blocks["part"]
    assert (block.cells, block.registers, power.named, power.unnamed) == (4, 2, 2, 0)
    # One inverter turns each cycle: 3 fJ. At 2 V a change of 1 fF takes 2 fJ: Q has 2 fF, Y none of cells.
    assert block.internal == pytest.approx(3e-15)
    assert block.switching == pytest.approx(4e-15)
    # Both registers: 12 fJ inside, and 1 fF up and down.
    assert block.clock == pytest.approx(2 * 16e-15)
    # Gated, the clock of the one whose register changes in each cycle.
    assert block.gated == pytest.approx(16e-15)
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


def test_gated_by_register(tmp_path: Path, library: Library) -> None:
    """Bits of one register have their clock together; what is not known by a name has it always."""
    cells = {name: ("DFF", {"C": 2, "D": 3, "Q": net}) for name, net in (("a", 4), ("b", 5), ("c", 6))}
    netlist = module({"clk": [2], "d": [3]}, {}, cells, {"state": [4, 5]})
    # The first bit turns in 7 pairs of cycles of the first window, the second in one of these and in another one.
    words = np.array([[0], [0b10101010], [0b11000000]], np.uint64)
    values = [Recorded("d", 1, "input"), Recorded("state", 2, "register")]
    recorded = recording(Instance("", "chip", words), values={"chip": values}, windows=1)
    power = chip_power(
        recorded, synthesised(tmp_path, {"chip": netlist}), {}, library, load_macros(), PROCESS
    )
    changes = (words ^ (words >> np.uint64(1)))[1:].ravel()
    pairs = bin(int(changes[0] | changes[1])).count("1")
    assert pairs == 8
    assert power.blocks["chip"].clock == pytest.approx(3 * 16e-15)
    assert power.blocks["chip"].gated == pytest.approx((2 * pairs / 63 + 1) * 16e-15)


def test_modules_without_a_run(tmp_path: Path, library: Library) -> None:
    """A chip around what ran: its clock and its leakage count, and its gates rest."""
    chip = module({"clk": [2], "d": [3]}, {"y": [4]}, {
        "a": ("part", {"clk": 2, "d": 3, "y": 4}), "r": ("DFF", {"C": 2, "D": 4, "Q": 5}),
        "host": ("host", {"d": 5, "y": 6}),
    })  # fmt: skip
    host = module({"d": [2]}, {"y": [3]}, {"g": ("INV", {"A": 2, "Y": 3})})
    turning = np.array([[EVERY], [0x5555555555555555], [0], [0]], np.uint64)
    recorded = recording(Instance("a", "part", turning), values={"part": VALUES}, windows=1)
    blocks = synthesised(tmp_path, {"part": part(), "host": host, "chip": chip})
    power = chip_power(recorded, blocks, {}, library, load_macros(), PROCESS)
    assert sorted(power.resting) == ["chip", "host"]
    outer, inner = power.blocks["chip"], power.blocks["host"]
    assert (outer.internal, outer.switching, inner.internal, inner.switching) == (0, 0, 0, 0)
    assert outer.clock == outer.gated == pytest.approx(16e-15)
    assert (outer.leakage_w, inner.leakage_w) == (pytest.approx(10e-9), pytest.approx(3e-9))
    # What ran is as it is alone.
    assert power.blocks["part"].internal == pytest.approx(3e-15)


def test_report(tmp_path: Path, library: Library) -> None:
    power, blocks = measured(tmp_path, library)
    work = Workload("net", interval=1000, macs=5000)
    record = power_record(power, blocks, library, work, 500, arch="tiny")
    total = record["power_w"]["total"]
    assert record["arch"] == "tiny"
    assert total == pytest.approx(power.watts(500e6))
    assert sum(value for name, value in record["power_w"].items() if name != "total") == pytest.approx(total)
    assert sum(module["total_w"] for module in record["modules"]) == pytest.approx(total)
    assert sum(macro["total_w"] for macro in record["macros"]) == pytest.approx(record["power_w"]["macros"])
    (found,) = [module for module in record["modules"] if module["name"] == "part"]
    parts = [found[f"{name}_w"] for name in ("internal", "switching", "clock", "leakage", "macros")]
    assert sum(parts) == pytest.approx(found["total_w"])
    assert found["instances"] == 2
    (top,) = [module for module in record["modules"] if module["name"] == "chip"]
    assert top["with_modules_in_it_w"] == pytest.approx(total)
    assert record["clock_if_gated"]["w"] == found["clock_if_gated_w"] == pytest.approx(16e-15 * 500e6)
    # 1,000 cycles of 2 ns.
    assert record["energy_per_image_j"] == pytest.approx(total * 2e-6)
    assert found["energy_per_image_j"] == pytest.approx(found["total_w"] * 2e-6)
    assert record["gops"] == pytest.approx(10_000 / 2e-6 / 1e9)
    assert record["gops_per_w"] == pytest.approx(record["gops"] / total)
    assert record["cycles_recorded"] == 128
    json.dumps(record)
    with pytest.raises(
        OhmweaveError, match=r"^the frequency in MHz must be a whole number from 1 to 100000, not 0$"
    ):
        power_record(power, blocks, library, work, 0)


def test_tree(tmp_path: Path, library: Library) -> None:
    """All watts are in the treemap, each kind in its leaf."""
    power, blocks = measured(tmp_path, library)
    root, unit = power_tree(power, blocks, 500)
    assert (root.name, unit) == ("chip", "µW")
    assert root.value == pytest.approx(power.watts(500e6) * 1e6)
    (part_node,) = root.children
    assert part_node.name == "part ×2"
    block = power.blocks["part"]
    assert {leaf.kind: leaf.value for leaf in part_node.children} == {
        "logic": pytest.approx((block.internal + block.switching) * 500e12),
        "clock": pytest.approx(block.clock * 500e12),
        "leakage": pytest.approx(block.leakage_w * 1e6),
        "memory": pytest.approx(sum(macro.watts(500e6) for macro in block.macros.values()) * 1e6),
    }
    assert power_tree(power, blocks, 100_000)[1] == "mW"


def test_refused(tmp_path: Path, library: Library) -> None:
    blocks = synthesised(tmp_path, {"chip": module({}, {}, {})})
    other = recording(values={"pe": []})
    sentence = r"^the recording must be of the chip that was synthesised, which has no pe$"
    with pytest.raises(OhmweaveError, match=sentence):
        chip_power(other, blocks, {}, library, load_macros(), PROCESS)
    with pytest.raises(OhmweaveError, match=r"^the library unit_gates has no internal powers"):
        chip_power(other, blocks, {}, unit_gates(), load_macros(), PROCESS)
