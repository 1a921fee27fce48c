"""What a chip does while its power is measured, and the measurement: recorded, replayed, reported."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ohmweave.config import Architecture
from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.backends.design import ChipSource, group_source
from ohmweave.sim.backends.hierarchy import split_modules
from ohmweave.sim.backends.job import Job
from ohmweave.sim.cache import content_key
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.connections import check_connections
from ohmweave.sim.graph import Conv, Graph, from_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.layer_bench import LAYERS, layer_graph, layer_images
from ohmweave.sim.network import Network
from ohmweave.sim.program import Program
from ohmweave.sim.run import compiled, measure, planned
from ohmweave.sim.stages import sent_pixels, stages
from ohmweave.sim.synthesis.activity import record
from ohmweave.sim.synthesis.block_list import CHIP
from ohmweave.sim.synthesis.blocks import block_source
from ohmweave.sim.synthesis.power import ChipPower, chip_power
from ohmweave.sim.synthesis.power_report import Workload, power_record, power_tree
from ohmweave.sim.synthesis.silicon import Silicon
from ohmweave.sim.synthesis.treemap import Node, drawings
from ohmweave.sim.ways import Layers, Parts

__all__ = ["GROUPS", "LAYER", "Power", "Run", "layer_run", "measured", "network_run", "running"]

#: Blocks that a network runs on, and the name of the group of PEs in the netlist of each.
GROUPS = {CHIP: "pe_group", "group": "group"}
#: A layer of ResNet-18 that one PE of the paper's size has room for, and how many frames of it run.
LAYER, FRAMES = LAYERS[4], 3


@dataclass(frozen=True)
class Run:
    """What runs: its name, the job, images in a frame of it, multiplications of an image, and how many images."""

    name: str
    job: Job
    copies: int
    macs: int
    images: int


@dataclass(frozen=True)
class Power:
    """What `power.json` holds, and the treemap with its unit."""

    record: dict[str, Any]
    tree: Node
    unit: str

    def files(self) -> dict[str, str | bytes]:
        """`power.json` and the treemap."""
        of = self.record
        title = (
            f"{of['block']} of {of['arch']} in {of['workload']} on {of['library']}, {of['frequency_mhz']} MHz: "
            f"{of['power_w']['total']:.4g} W"
        )
        text = json.dumps(of, indent=2, ensure_ascii=False) + "\n"
        return {"power.json": text} | drawings("power", self.tree, title, self.unit)


def network_run(network: Network | Graph, images: ImageSet, params: GroupParams) -> Run:
    """Images through a network; `OhmweaveError` where it does not fit the chip as a whole, or for one image alone."""
    chosen = planned(network, params)
    if isinstance(chosen, Layers | Parts):
        how = "in parts" if isinstance(chosen, Parts) else "one layer after the other"
        why = f": {chosen.why}" if chosen.why else ""
        raise OhmweaveError(
            f"power is of a network that has all layers on the chip at once, and {network.name} runs {how}{why}"
        )
    program = compiled(chosen, params)
    graph = network if isinstance(network, Graph) else from_network(network)
    pixels = images.pixels.reshape(*images.pixels.shape[:3], -1) >> (8 - graph.input.bits)
    macs = sum(_products(graph, node) for node in graph.nodes if isinstance(node, Conv))
    return _run(network.name, program, program.encode(pixels), macs, len(images))


def layer_run(params: GroupParams) -> Run:
    """The layer LAYER on its own, with random numbers; `OhmweaveError` where it does not run in one pass."""
    tiling = tiled(stages(layer_graph(LAYER))[0], params)
    if len(tiling.rounds) > 1:
        raise OhmweaveError(
            f"power is of a layer in one pass, and {LAYER.name} takes {len(tiling.rounds)} on {params.pes} PEs "
            f"of {params.pe.array.rows} × {params.pe.array.cols} cells"
        )
    program = compile_pass(tiling, 0, params)
    frames = program.encode(sent_pixels(tiling.stage, layer_images(LAYER, FRAMES) >> 4))
    macs = LAYER.size**2 * LAYER.kernel**2 * LAYER.channels * LAYER.outputs
    return _run(LAYER.name, program, frames, macs, FRAMES)


def _products(graph: Graph, node: Conv) -> int:
    """Each weight meets a number for each pixel: of the result, or of the input where that is spread."""
    _, height, width = graph.tensors[node.input if node.transposed else node.name].shape
    return height * width * node.weights.size


def _run(name: str, program: Program, frames: np.ndarray, macs: int, images: int) -> Run:
    check_connections(program)
    if len(frames) < 2:
        raise OhmweaveError(
            f"power is of images one behind the other: at least {2 * program.copies} of {name}, not {images}"
        )
    return Run(name, Job.of(program, frames), program.copies, macs, images)


def running(params: GroupParams, block: str) -> ChipSource:
    """The group of PEs of a block, by the name that it has in the block's netlist."""
    source = group_source(params)
    assert source.key is not None
    return replace(source, top=GROUPS[block], key=content_key(source.key, GROUPS[block]))


def measured(
    architecture: Architecture,
    result: Silicon,
    run: Run,
    *,
    every: int,
    frequency_mhz: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Power:
    """Record the run on the native simulator and tell the power of the mapped block in it."""
    say = progress or (lambda *_: None)
    say("recording", 0, 0)
    recording = record(running(architecture.params, result.block), run.job, every=every)
    say("power", 0, 0)
    modules = split_modules(block_source(architecture, result.block).design().rtlil)
    power = chip_power(recording, result.synthesised, modules, result.library, result.macros, result.process)
    cycles = measure(recording.result, run.copies)
    assert cycles.interval is not None, "one frame has no interval"
    return reported(power, result, Workload(run.name, cycles.interval, run.macs), run.images, frequency_mhz)


def reported(power: ChipPower, result: Silicon, work: Workload, images: int, frequency_mhz: int) -> Power:
    """The record and the treemap of a block's power."""
    record = power_record(
        power, result.synthesised, result.library, work, frequency_mhz,
        arch=result.arch, block=result.block, node_nm=result.process.node_nm, images=images,
    )  # fmt: skip
    return Power(record, *power_tree(power, result.synthesised, frequency_mhz))
