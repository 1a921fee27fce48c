"""`power.json`: what a chip takes in a run, by module and by macro, and what it does for that; its treemap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ohmweave.check import whole
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.mapped import Synthesised
from ohmweave.sim.synthesis.power import BlockPower, ChipPower
from ohmweave.sim.synthesis.replay import PAIRS
from ohmweave.sim.synthesis.treemap import Node
from ohmweave.sim.synthesis.treemap_areas import tree

__all__ = ["MAX_MHZ", "Workload", "power_record", "power_tree"]

MAX_MHZ = 100_000
#: What the figures leave out, as the file says it.
LEFT_OUT = "glitches, wires, the clock's tree, and whatever happens outside of the recorded windows"
#: What is told of clock gating.
GATED = (
    "an estimate, in no other figure: a register of the RTL has its clock in those cycles alone in which one of its "
    "bits changes, and what gates it takes nothing"
)


@dataclass(frozen=True)
class Workload:
    """What ran: its name, cycles from image to image, and multiplications with their additions of an image."""

    name: str
    interval: float
    macs: int


def power_record(
    power: ChipPower,
    synthesised: Synthesised,
    library: Library,
    work: Workload,
    frequency_mhz: int,
    **more: Any,
) -> dict[str, Any]:
    """What `power.json` holds, behind `more`."""
    whole("the frequency in MHz", frequency_mhz, 1, MAX_MHZ)
    hertz = frequency_mhz * 1e6
    blocks, macros = power.blocks.values(), power.macros
    watts = {
        "internal": sum(block.internal for block in blocks) * hertz,
        "switching": sum(block.switching for block in blocks) * hertz,
        "clock": sum(block.clock for block in blocks) * hertz,
        "leakage": sum(block.leakage_w for block in blocks),
        "macros": sum(macro.watts(hertz) for macro in macros.values()),
    }
    total = sum(watts.values())
    seconds = work.interval / hertz
    # A multiplication and an addition are two operations.
    gops = 2 * work.macs / seconds / 1e9
    instances = synthesised.instances()
    below = _with_below(power, synthesised, instances, hertz)
    return {
        **more,
        "workload": work.name,
        "library": library.name,
        "voltage": library.voltage,
        "frequency_mhz": frequency_mhz,
        "power_w": watts | {"total": total},
        "clock_if_gated": {"w": sum(block.gated for block in blocks) * hertz, "meaning": GATED},
        "interval_cycles": work.interval,
        "energy_per_image_j": total * seconds,
        "gops": gops,
        "gops_per_w": gops / total if total else 0.0,
        "windows": power.windows,
        "cycles_recorded": power.windows * (PAIRS + 1),
        "registers": {"recorded": power.named, "inferred": power.unnamed},
        "at_rest": sorted(power.resting),
        "left_out": LEFT_OUT,
        "modules": [
            {
                "name": name,
                "instances": instances[name],
                "cells": block.cells,
                "registers": block.registers,
                "internal_w": block.internal * hertz,
                "switching_w": block.switching * hertz,
                "clock_w": block.clock * hertz,
                "clock_if_gated_w": block.gated * hertz,
                "leakage_w": block.leakage_w,
                "macros_w": sum(macro.watts(hertz) for macro in block.macros.values()),
                "total_w": block.watts(hertz),
                "with_modules_in_it_w": below[name],
                "energy_per_image_j": block.watts(hertz) * seconds,
                "gops_per_w": gops / block.watts(hertz) if block.watts(hertz) else None,
            }
            for name, block in sorted(power.blocks.items(), key=lambda item: -item[1].watts(hertz))
        ],
        "macros": [
            {
                "name": name,
                "instances": macro.count,
                "reads_per_cycle": macro.reads,
                "writes_per_cycle": macro.writes,
                "read_energy_pj": macro.figures.read_energy_pj,
                "write_energy_pj": macro.figures.write_energy_pj,
                "leakage_w": macro.count * macro.figures.leakage_w,
                "total_w": macro.watts(hertz),
                "source": macro.figures.source,
            }
            for name, macro in sorted(macros.items(), key=lambda item: -item[1].watts(hertz))
        ],
    }


def power_tree(power: ChipPower, synthesised: Synthesised, frequency_mhz: int) -> tuple[Node, str]:
    """The tree for a treemap, and its unit: of a module's instances each has the mean of all."""
    hertz = frequency_mhz * 1e6
    unit, scale = ("mW", 1e3) if power.watts(hertz) >= 1 else ("µW", 1e6)
    instances = synthesised.instances()

    def one(block: BlockPower, count: int) -> dict[str, float]:
        found = {
            "logic": (block.internal + block.switching) * hertz,
            "clock": block.clock * hertz,
            "leakage": block.leakage_w,
        }
        for name, macro in block.macros.items():
            kind = "memory" if name.startswith("memory ") else "macro"
            found[kind] = found.get(kind, 0.0) + macro.watts(hertz)
        return {kind: value * scale / count for kind, value in found.items()}

    return tree(
        synthesised, {name: one(block, instances[name]) for name, block in power.blocks.items()}
    ), unit


def _with_below(
    power: ChipPower, synthesised: Synthesised, instances: Mapping[str, int], hertz: float
) -> dict[str, float]:
    """Module → W of all its instances with what is in them, of which each has the mean of its module."""
    one: dict[str, float] = {}
    for name, module in synthesised.modules.items():
        own = power.blocks[name].watts(hertz) / instances[name] if name in power.blocks else 0.0
        one[name] = own + sum(count * one[child] for child, count in module.children.items())
    return {name: watts * instances[name] for name, watts in one.items()}
