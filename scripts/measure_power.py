"""Measures the power of a chip in a run and writes `power.json`.

    python scripts/measure_power.py lenet5 --liberty FILE.lib.gz [--liberty ...] [--every CYCLES] [--out power.json]
    python scripts/measure_power.py layer --liberty FILE.lib.gz

`layer` is the 3×3 convolution of 128 channels of ResNet-18 on its own, all on one PE.
"""

from pathlib import Path

import click
import numpy as np

from ohmweave.presets import PRESETS
from ohmweave.sim import library as networks
from ohmweave.sim.backends import Job
from ohmweave.sim.backends.design import group_source
from ohmweave.sim.backends.hierarchy import split_modules
from ohmweave.sim.compiler import compile_pass, tiled
from ohmweave.sim.layer_bench import LAYERS, layer_graph, layer_images
from ohmweave.sim.run import compiled, measure, planned
from ohmweave.sim.stages import sent_pixels, stages
from ohmweave.sim.synthesis.activity import record
from ohmweave.sim.synthesis.area import process_of
from ohmweave.sim.synthesis.flow import synthesise
from ohmweave.sim.synthesis.library import load_library
from ohmweave.sim.synthesis.macros import load_macros
from ohmweave.sim.synthesis.power import chip_power
from ohmweave.sim.synthesis.power_report import Workload, power_record, write_power

IMAGES, FRAMES, LAYER = 20, 3, LAYERS[4]
PARAMS = PRESETS["re-reram"]


def lenet5() -> tuple[Job, int, int]:
    """Job, copies of the network on the chip, multiplications of an image."""
    network = networks.builtin("lenet5")
    _, pixels, _ = networks.builtin_images("lenet5")
    program = compiled(planned(network, PARAMS), PARAMS)  # type: ignore[arg-type]
    shape = pixels.shape[1:3]
    macs = 0
    for layer in network.layers:  # type: ignore[union-attr]
        kernel = layer.weights.shape[-1]
        shape = tuple((size + 2 * layer.pad - kernel) // layer.stride + 1 for size in shape)
        macs += int(np.prod(shape)) * layer.weights.size
        shape = tuple(size // layer.pool for size in shape)
    taken = pixels[:IMAGES]
    frames = program.encode(taken.reshape(*taken.shape[:3], -1) >> 4)
    return Job.of(program, frames), program.copies, macs


def layer() -> tuple[Job, int, int]:
    """The same for a layer of a ResNet."""
    stage = stages(layer_graph(LAYER))[0]
    program = compile_pass(tiled(stage, PARAMS), 0, PARAMS)
    frames = program.encode(sent_pixels(stage, layer_images(LAYER, FRAMES) >> 4))
    macs = LAYER.size**2 * LAYER.kernel**2 * LAYER.channels * LAYER.outputs
    return Job.of(program, frames), program.copies, macs


@click.command()
@click.argument("workload", type=click.Choice(["lenet5", "layer"]))
@click.option("--liberty", multiple=True, required=True, type=click.Path(path_type=Path))
@click.option("--every", default=4096, show_default=True, help="Cycles from window to window.")
@click.option("--frequency", default=1000, show_default=True, help="MHz.")
@click.option("--out", default="power.json", show_default=True, type=click.Path(path_type=Path))
def main(workload: str, liberty: tuple[Path, ...], every: int, frequency: int, out: Path) -> None:
    """Record, synthesise, and write."""
    library = load_library(liberty)
    source = group_source(PARAMS)
    job, copies, macs = lenet5() if workload == "lenet5" else layer()
    recording = record(source, job, every=every)
    design = source.design()
    block = synthesise(design, library)
    modules = split_modules(design.rtlil)
    power = chip_power(recording, block, modules, library, load_macros(), process_of(library))
    cycles = measure(recording.result, copies)
    assert cycles.interval is not None
    work = Workload(workload, cycles.interval, macs)
    found = power_record(power, library, "re-reram", work, block.instances(), frequency)
    write_power(found, out)
    for name, watts in found["power_w"].items():
        print(f"{name:10} {watts:10.4f} W")
    print(f"{found['energy_per_image_j'] * 1e6:.2f} µJ an image")
    print(f"{found['gops']:.1f} GOPS, {found['gops_per_w']:.1f} GOPS/W")


if __name__ == "__main__":
    main()
