"""`power.json`: what a chip takes in a run, by module and by macro, and what it does for that."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ohmweave.check import whole
from ohmweave.sim.npz import atomic_path
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.power import ChipPower
from ohmweave.sim.synthesis.replay import PAIRS

__all__ = ["Workload", "power_record", "write_power"]

#: What the figures leave out, as the file says it.
LEFT_OUT = "glitches, wires, the clock's tree, and whatever happens outside of the recorded windows"


@dataclass(frozen=True)
class Workload:
    """What ran: its name, cycles from image to image, and multiplications with their additions of an image."""

    name: str
    interval: float
    macs: int


def power_record(
    power: ChipPower,
    library: Library,
    arch: str,
    work: Workload,
    instances: dict[str, int],
    frequency_mhz: int,
) -> dict[str, Any]:
    """What `power.json` holds.

    instances  module → how often it is in the chip
    """
    whole("the frequency in MHz", frequency_mhz, 1, 100_000)
    hertz = frequency_mhz * 1e6
    blocks, macros = power.blocks.values(), power.macros.values()
    watts = {
        "internal": sum(block.internal for block in blocks) * hertz,
        "switching": sum(block.switching for block in blocks) * hertz,
        "clock": sum(block.clock for block in blocks) * hertz,
        "leakage": sum(block.leakage_w for block in blocks),
        "macros": sum(macro.watts(hertz) for macro in macros),
    }
    total = sum(watts.values())
    seconds = work.interval / hertz
    # A multiplication and an addition are two operations.
    gops = 2 * work.macs / seconds / 1e9
    return {
        "arch": arch,
        "workload": work.name,
        "library": library.name,
        "voltage": library.voltage,
        "frequency_mhz": frequency_mhz,
        "power_w": watts | {"total": total},
        "interval_cycles": work.interval,
        "energy_per_image_j": total * seconds,
        "gops": gops,
        "gops_per_w": gops / total if total else 0.0,
        "windows": power.windows,
        "cycles_recorded": power.windows * (PAIRS + 1),
        "registers": {"recorded": power.named, "inferred": power.unnamed},
        "left_out": LEFT_OUT,
        "modules": [
            {
                "name": name,
                "instances": instances.get(name, 0),
                "cells": block.cells,
                "registers": block.registers,
                "internal_w": block.internal * hertz,
                "switching_w": block.switching * hertz,
                "clock_w": block.clock * hertz,
                "leakage_w": block.leakage_w,
                "total_w": block.watts(hertz),
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
            for name, macro in sorted(power.macros.items(), key=lambda item: -item[1].watts(hertz))
        ],
    }


def write_power(record: dict[str, Any], path: Path) -> None:
    """Write the record; the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
