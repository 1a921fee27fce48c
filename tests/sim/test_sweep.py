"""Random networks and graphs through the netlist: the outputs are the golden model's, whatever their layers."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim.compiler import is_chain, tiled
from ohmweave.sim.images import ImageSet
from ohmweave.sim.random_graph import Limits as GraphLimits
from ohmweave.sim.random_graph import random_graph
from ohmweave.sim.random_network import Limits, random_network
from ohmweave.sim.run import run
from ohmweave.sim.stages import stages

TINY = PRESETS["tiny"]
LIMITS = Limits(
    layers=TINY.pes,
    rows=TINY.pe.array.rows,
    out_channels=TINY.pe.array.cols,
    size=TINY.pe.buffer.width,
    in_channels=TINY.pe.buffer.pixel_lanes,
)
#: Graphs of which mostly every stage fits the chip, many on several PEs.
GRAPH_LIMITS = GraphLimits(steps=4, channels=4, size=8, max_kernel=3, max_dilation=1)


def mismatches(seed: int, images: int = 3) -> int:
    network = random_network(seed, LIMITS)
    channels, height, width = network.input_shape
    pixels = np.random.default_rng(seed).integers(0, 256, (images, height, width, channels)).astype(np.uint8)
    shapes = [
        f"{layer.kernel}×{layer.kernel}/{layer.stride} {layer.weights.shape}" for layer in network.layers
    ]
    print(f"seed {seed}: {network.input_shape}, {', '.join(shapes)}")
    return run(network, ImageSet("random", pixels, None), TINY, arch="tiny").report.mismatches


def chip(
    *, levels: int = TINY.levels, link_bits: int = TINY.pe.link_bits, sign_scheme: str = "offset"
) -> GroupParams:
    """`tiny` with some knobs turned."""
    array = replace(TINY.pe.array, sign_scheme=sign_scheme)
    return replace(TINY, levels=levels, pe=replace(TINY.pe, link_bits=link_bits, array=array))


def graph_mismatches(seed: int, backend: str = "cxxrtl", images: int = 2, params: GroupParams = TINY) -> int:
    graph = random_graph(seed, GRAPH_LIMITS)
    tilings = [tiled(stage, params) for stage in stages(graph)]
    parts = [f"{each.stage.name}: {len(each.shares)} PEs, {len(each.passes)} passes" for each in tilings]
    print(f"seed {seed}: {graph.input}, chain {is_chain(graph, tilings, params)}, {', '.join(parts)}")
    channels, height, width = graph.input.shape
    pixels = np.random.default_rng(seed).integers(0, 256, (images, height, width, channels)).astype(np.uint8)
    return run(
        graph, ImageSet("random", pixels, None), params, arch="tiny", backend=backend, mapping="layers"
    ).report.mismatches


@pytest.mark.parametrize("seed", range(10))
def test_random_network(seed):
    assert mismatches(seed) == 0


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_networks(seed):
    assert mismatches(seed, images=5) == 0


# Rows over two PEs, two passes, side tensors, pools, a chain, averages that leave their border out, concatenation of
# channels, rows and columns and flattening among them.
@pytest.mark.parametrize("seed", [8, 13, 22, 24, 41, 45, 51, 56])
def test_random_graph(seed):
    assert graph_mismatches(seed) == 0


def skip_what_does_not_fit(seed: int, params: GroupParams) -> None:
    """A graph that a chip cannot run is refused, and left out."""
    try:
        [tiled(stage, params) for stage in stages(random_graph(seed, GRAPH_LIMITS))]
    except OhmweaveError as error:
        pytest.skip(str(error))


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 180))
def test_many_random_graphs(seed):
    skip_what_does_not_fit(seed, TINY)
    assert graph_mismatches(seed, images=3) == 0


@pytest.mark.nightly
@pytest.mark.parametrize(
    "knobs", [{"levels": 2}, {"link_bits": 32}, {"link_bits": 64}, {"sign_scheme": "pairs"}], ids=str
)
@pytest.mark.parametrize("seed", range(200, 220))
def test_random_graphs_on_other_chips(seed, knobs):
    """More PEs, wider links, columns for the signs."""
    params = chip(**knobs)
    skip_what_does_not_fit(seed, params)
    assert graph_mismatches(seed, params=params) == 0


@pytest.mark.parametrize("backend", ["verilator", pytest.param("icarus", marks=pytest.mark.nightly)])
def test_random_graph_on_other_simulators(backend):
    """Words that were never written are X in Icarus; nothing of them may reach a result."""
    if backend == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")
    assert graph_mismatches(2, backend, images=1) == 0
