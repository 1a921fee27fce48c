"""The whole chip behind its AXI ports, on Verilator and Icarus: a compiled network, programmed by register writes."""

import json
from pathlib import Path

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.rtl.chip import Chip
from ohmweave.rtl.config_map import Region
from ohmweave.rtl.crossbar import verilog_model
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.frames import pack
from ohmweave.sim.golden import logits as golden
from ohmweave.sim.graph import from_network
from ohmweave.sim.network import Network
from ohmweave.sim.stages import stages
from ohmweave.testbench.runner import TOP, available, run_testbench

PARAMS = PRESETS["tiny"]
# Icarus takes minutes for it.
RUNS = ["verilator", pytest.param("icarus", marks=pytest.mark.nightly)]


def with_bad_instruction(config: list[int], unit: int) -> list[int]:
    """The packets of a configuration, with zeros, which are no instruction, as the program of a PE's ReRAM half."""
    flits, place = list(config), 0
    while place < len(flits):
        packet_unit, address, count = flits[place : place + 3]
        if (
            packet_unit == unit
            and Region.RERAM_PROGRAM.address() <= address < Region.ARITHMETIC_PROGRAM.address()
        ):
            flits[place + 3 : place + 3 + count] = [0] * count
        place += 3 + count
    assert flits != list(config)
    return flits


def case(net: Network, images: np.ndarray) -> dict[str, object]:
    """What the host sends for a network and images, and what it must get."""
    program = compile_chain([tiled(stage, PARAMS) for stage in stages(from_network(net))], PARAMS)
    results = golden(net, images)
    assert len(np.unique(results, axis=0)) == len(images), "the images must tell the results apart"
    bits = program.outbound.bits
    flits = pack([(results[:, None].astype(np.int64) & ((1 << bits) - 1), bits)], PARAMS.pe.link_bits)
    used = sorted(unit for placed in program.stages for unit in placed.units)
    config = [flit & 0xFFFF for flit in program.config.tolist()]
    return {
        "link_bits": PARAMS.pe.link_bits,
        "chip": {"pes": PARAMS.pes, "levels": PARAMS.levels, "link_bits": PARAMS.pe.link_bits},
        "arrays": [flit & 0xFFFF for flit in program.array_config().tolist()],
        "config": config,
        "wrong_config": with_bad_instruction(config, used[-1]),
        "fault": {"valid": 1, "unit": used[-1], "half": 0, "index": 0},
        "frames": program.encode(images[..., None] >> 4).tolist(),
        "results": flits.tolist(),
        "used": [pe in used for pe in range(PARAMS.pes)],
    }


@pytest.mark.parametrize("simulator", RUNS)
def test_chip(
    simulator: str, tmp_path: Path, small_network: Network, small_images: tuple[np.ndarray, np.ndarray]
) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case(small_network, small_images[0])))
    model = tmp_path / "crossbar.v"
    model.write_text(verilog_model(PARAMS.pe.array))
    ran = run_testbench(
        Chip(params=PARAMS),
        "tb_chip",
        simulator,
        sources=[model],
        verilog_text=emit_verilog(emit_rtlil(Chip(params=PARAMS), TOP)),
        parameters={"case": str(path)},
    )
    assert ran == 8


def test_ports() -> None:
    """The names that tools for AXI look for, and nothing beside them."""
    text = emit_verilog(emit_rtlil(Chip(params=PARAMS), "chip"))
    ports = text.partition("module chip(")[2].partition(");")[0].replace("\n", " ").split(",")
    stream = {"tdata", "tlast", "tvalid", "tready"}
    lite = {f"{channel}{name}" for channel in ("aw", "ar") for name in ("addr", "prot", "valid", "ready")}
    lite |= {f"{channel}{name}" for channel in "wbr" for name in ("valid", "ready")}
    lite |= {"wdata", "wstrb", "bresp", "rdata", "rresp"}
    expected = {f"images_{name}" for name in stream} | {f"results_{name}" for name in stream}
    expected |= {f"registers_{name}" for name in lite} | {"clk", "rst"}
    assert {port.strip() for port in ports} == expected
