"""The PE group, on Verilator and Icarus, with arrays programmed row by row through the host port."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.rtl.crossbar import verilog_model
from ohmweave.rtl.group import PEGroup, mesh_position, mesh_unit, node_unit
from ohmweave.rtl.netlist import emit_rtlil, emit_verilog
from ohmweave.sim.backends import Job
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.copies import copied
from ohmweave.sim.frames import pack
from ohmweave.sim.golden import logits as golden
from ohmweave.sim.graph import from_network
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.program import Program
from ohmweave.sim.stages import stages
from ohmweave.testbench.runner import TOP, available, run_testbench

PARAMS = PRESETS["tiny"]
FRAMES = 4
# Verilator takes three minutes for it, Icarus ten; `test_chip.py` has the same group behind AXI.
RUNS = [pytest.param(name, marks=pytest.mark.nightly) for name in ("verilator", "icarus")]


def _layer(
    rng: np.random.Generator, name: str, out: int, channels: int, kernel: int, **more: object
) -> ConvLayer:
    raw = bool(more.get("raw"))
    return ConvLayer(
        name=name,
        weights=rng.integers(-8, 8, (out, channels, kernel, kernel)).astype(np.int8),
        bias=rng.integers(-40, 40, out).astype(np.int32),
        mult=np.ones(out, np.uint16) if raw else rng.integers(20000, 65536, out).astype(np.uint16),
        shift=np.ones(out, np.uint8) if raw else rng.integers(19, 22, out).astype(np.uint8),
        **more,
    )


def short_network(seed: int = 5) -> Network:
    """Two layers for one PE."""
    rng = np.random.default_rng(seed)
    return Network(
        name="two",
        input_shape=(1, 4, 4),
        layers=(_layer(rng, "conv", 2, 1, 3, pad=1), _layer(rng, "fc", 5, 2, 4, raw=True)),
    )


def network(seed: int = 4) -> Network:
    """Four layers on four PEs: padding, pooling, several column groups, odd channel counts, a raw end."""
    rng = np.random.default_rng(seed)
    return Network(
        name="four",
        input_shape=(1, 9, 11),
        layers=(
            _layer(rng, "conv1", 3, 1, 5, pad=2, pool=2),
            _layer(rng, "conv2", 7, 3, 3, pad=1, pool=2),
            _layer(rng, "fc1", 6, 7, 2),
            _layer(rng, "fc2", 5, 6, 1, raw=True),
        ),
    )


@pytest.mark.parametrize("simulator", RUNS)
def test_group(simulator: str, tmp_path: Path) -> None:
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    net = network()
    assert net.shapes[-2] == (6, 1, 1)
    images = np.random.default_rng(3).integers(0, 256, (FRAMES, 9, 11), dtype=np.uint8)
    program = compile_chain([tiled(stage, PARAMS) for stage in stages(from_network(net))], PARAMS)
    windows = 9 * 11  # of conv1, the slowest: one column group a window
    interval = windows * PARAMS.pe.array.read_cycles
    _run(simulator, tmp_path, PARAMS, net, images, program, interval)


# Chips with entries run on another simulator in every test run: tests/sim/test_entries.py.
@pytest.mark.nightly
@pytest.mark.parametrize("simulator", RUNS)
def test_entries(simulator: str, tmp_path: Path) -> None:
    """Copies of a network, each with an entry of its own above it."""
    if not available(simulator):
        pytest.skip(f"{simulator} is not installed")
    params, net = replace(PARAMS, entries=4), short_network()
    images = np.random.default_rng(3).integers(0, 256, (FRAMES * 4, 4, 4), dtype=np.uint8)
    mapped = copied([tiled(stage, params) for stage in stages(from_network(net))], params, 4)
    program = compile_chain(mapped.layers, params, copies=4)
    _run(simulator, tmp_path, params, net, images, program, None)


def _run(
    simulator: str,
    tmp_path: Path,
    params: GroupParams,
    net: Network,
    images: np.ndarray,
    program: Program,
    interval: int | None,
) -> None:
    """The testbench on a chip, with the arrays programmed as `program` says."""
    results = golden(net, images)
    assert len(np.unique(results, axis=0)) == len(images), "the images must tell the results apart"
    bits = program.outbound.bits
    flits = pack([(results[:, None].astype(np.int64) & ((1 << bits) - 1), bits)], params.pe.link_bits).ravel()
    job = Job.of(program, program.encode(images[..., None] >> 4))
    case = {
        "arrays": program.array_config().tolist(),
        "config": program.config.tolist(),
        "frames": job.host_data.tolist(),
        "entries": [data.tolist() for data in job.entry_data],
        "expected": flits.tolist(),
        "flits_per_frame": program.outputs_per_frame,
        "interval": interval,
        "half": 30 if interval is None else interval // 2,
    }
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    netlist = emit_rtlil(PEGroup(params=params), TOP)
    model = tmp_path / "crossbar.v"
    model.write_text(verilog_model(params.pe.array))
    ran = run_testbench(
        PEGroup(params=params),
        "tb_group",
        simulator,
        sources=[model],
        verilog_text=emit_verilog(netlist),
        parameters={"case": str(path)},
    )
    assert ran == 3


@pytest.mark.parametrize("unit", range(256))
def test_mesh_position_and_unit_are_inverse(unit: int) -> None:
    assert mesh_unit(*mesh_position(unit)) == unit


def test_a_quad_is_a_square() -> None:
    for quad in range(64):
        xs, ys = zip(*(mesh_position(4 * quad + n) for n in range(4)), strict=True)
        assert (max(xs) - min(xs), max(ys) - min(ys)) == (1, 1)


def test_node_units_do_not_overlap() -> None:
    units = [node_unit(level, index) for level in range(4) for index in range(4**level)]
    assert units == list(range(0x100, 0x100 + 1 + 4 + 16 + 64))
