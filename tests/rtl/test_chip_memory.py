"""A chip with memory behind it, on Verilator and Icarus: images that enter at one point, and at several."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import AXIParams, CacheArrayParams, CacheParams, MemoryParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.chip import Chip
from ohmweave.rtl.crossbar import verilog_model
from ohmweave.rtl.host.dispatch_queue import DispatchQueue
from ohmweave.rtl.host.loader import ways
from ohmweave.rtl.memory.generate import verilog_model as array_model
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.copies import copied
from ohmweave.sim.frames import pack
from ohmweave.sim.golden import logits as golden
from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor, from_network
from ohmweave.sim.graph_golden import logits as graph_golden
from ohmweave.sim.network import Network
from ohmweave.sim.program import Program
from ohmweave.sim.stages import stages
from ohmweave.testbench.runner import TOP, available, run_testbench

TINY = PRESETS["tiny"]
CHIP = replace(TINY, entries=4)
MEMORY = MemoryParams(
    cache=CacheParams(capacity=4096, line_bits=512, ways=2, address_bits=20, port_bits=64),
    axi=AXIParams(data_bits=64),
    queue_words=16,
)
# Icarus takes minutes for it.
RUNS = ["verilator", pytest.param("icarus", marks=pytest.mark.nightly)]


def chain(network: Network, images: np.ndarray) -> dict[str, object]:
    """Two layers: all images enter at the root."""
    program = compile_chain([tiled(stage, CHIP) for stage in stages(from_network(network))], CHIP)
    return case(program, images[..., None] >> 4, golden(network, images))


def copies() -> dict[str, object]:
    """A layer in four copies, each below an entry of its own."""
    random = np.random.default_rng(5)
    layer = Conv(
        name="logits",
        input="image",
        weights=random.integers(-8, 8, (2, 2, 5, 6)).astype(np.int16),
        weight_bits=4,
        bias=np.zeros(2, np.int64),
        bits=RAW_BITS,
    )
    graph = Graph(name="net", input=Tensor(name="image", shape=(2, 5, 6), bits=4), nodes=(layer,))
    mapped = copied([tiled(stage, CHIP) for stage in stages(graph)], CHIP, 4)
    program = compile_chain(mapped.layers, CHIP, copies=4)
    pixels = random.integers(0, 256, (12, 5, 6, 2), dtype=np.uint8)
    return case(program, pixels >> 4, graph_golden(graph, pixels))


def case(program: Program, pixels: np.ndarray, results: np.ndarray) -> dict[str, object]:
    """What is in memory, and what must get there."""
    params = program.params
    frames = program.encode(pixels)
    lengths = program.entry_flits(frames)
    by_point = (
        [[frame, *([] for _ in range(params.entries))] for frame in frames.tolist()]
        if lengths is None
        else [
            [[], *(flits[:length].tolist() for flits, length in zip(frame, lengths, strict=True))]
            for frame in frames
        ]
    )
    assert all(len(frame) == ways(params) for frame in by_point)
    bits = program.outbound.bits
    flits = pack([(results[:, None].astype(np.int64) & ((1 << bits) - 1), bits)], params.pe.link_bits)
    return {
        "arrays": [flit & 0xFFFF for flit in program.array_config().tolist()],
        "config": [flit & 0xFFFF for flit in program.config.tolist()],
        "frames": by_point,
        "results": flits.reshape(len(by_point), -1).tolist(),
    }


def run(
    simulator: str, folder: Path, cases: dict[str, dict[str, object]], stall: int, testcase: str | None = None
) -> int:
    path = folder / "cases.json"
    path.write_text(json.dumps(cases))
    netlist = emit_rtlil(Chip(params=CHIP, memory=MEMORY), TOP)
    models = folder / "models.v"
    arrays = [macro.model for macro in netlist.macros.values() if isinstance(macro.model, CacheArrayParams)]
    models.write_text("\n".join([verilog_model(CHIP.pe.array), *(array_model(array) for array in arrays)]))
    cache = MEMORY.cache
    return run_testbench(
        Chip(params=CHIP, memory=MEMORY),
        "tb_chip_memory",
        simulator,
        sources=[models],
        verilog_text=emit_verilog(netlist),
        parameters={
            "cases": str(path),
            "link_bits": CHIP.pe.link_bits,
            "points": ways(CHIP),
            "line_bytes": cache.line_bytes,
            "word_bytes": cache.port_bits // 8,
            "ways": cache.ways,
            "descriptors": MEMORY.descriptors,
            "stall": stall,
        },
        testcase=testcase,
    )


@pytest.mark.parametrize("simulator", RUNS)
def test_chip_with_memory(
    simulator: str, tmp_path: Path, small_network: Network, small_images: tuple[np.ndarray, np.ndarray]
) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    cases = {"one point": chain(small_network, small_images[0]), "four points": copies()}
    assert run(simulator, tmp_path, cases, 5000) == 16


@pytest.mark.nightly
def test_a_million_cycles(
    tmp_path: Path, small_network: Network, small_images: tuple[np.ndarray, np.ndarray]
) -> None:
    """Nobody takes results for a million cycles."""
    cases = {"one point": chain(small_network, small_images[0]), "four points": copies()}
    assert run("verilator", tmp_path, cases, 1_000_000, "nobody_takes_results/network=0") == 2


def test_ports() -> None:
    """The names that tools for AXI look for: a manager for memory, and where a flit of an image enters."""
    text = emit_verilog(emit_rtlil(Chip(params=CHIP, memory=MEMORY), "chip"))
    ports = {port.strip() for port in text.partition("module chip(")[2].partition(");")[0].split(",")}
    assert {
        "images_tdest",
        "memory_awaddr",
        "memory_wstrb",
        "memory_bresp",
        "memory_arlen",
        "memory_rlast",
    } <= ports
    assert not any(port.startswith("entry") for port in ports)
    one = emit_rtlil(Chip(params=TINY, memory=MEMORY), "chip")
    assert "\\images_tdest" not in one.rtlil


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"queue_words": 3}, "queue_words must be a power of two from 2 to 4096, not 3"),
        (
            {"cache": CacheParams(port_bits=32)},
            "port_bits must be at least 64 for the memory of a chip, not 32",
        ),
        ({"descriptors": 3}, "descriptors must be a power of two from 2 to 16, not 3"),
        ({"ahead": 0}, "ahead must be a whole number from 1 to 1023, not 0"),
    ],
)
def test_refused_memory(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OhmweaveError, match=f"^{sentence}$"):
        MemoryParams(**changed)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"link_bits": 0}, "DispatchQueue link_bits must be a whole number from 1 to 64, not 0"),
        ({"word_bits": 8}, "DispatchQueue word_bits must be a whole number from 16 to 512, not 8"),
        ({"word_bits": 40}, "DispatchQueue word_bits must be a multiple of 16, not 40"),
        ({"depth": 1}, "DispatchQueue depth must be a whole number from 2 to 4096, not 1"),
    ],
)
def test_refused_queues(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        DispatchQueue(**{"word_bits": 64, "link_bits": 16, "depth": 4, **changed})


def test_points() -> None:
    assert ways(TINY) == 1
    assert ways(replace(TINY, entries=4)) == 5
    full = PRESETS["re-reram-256"]
    assert ways(full) == 17
