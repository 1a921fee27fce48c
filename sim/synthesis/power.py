"""Power of a chip in a real run: what its gates did, times the energies of the library's cells.

Of each part of the simulation the registers, inputs and outputs of macros are recorded in windows of 64 cycles
(`activity`), and its mapped gates are evaluated with them cycle by cycle (`replay`). Estimated, and not measured:

- glitches, wires and the clock's tree are left out; clock pins are in
- slopes are those of an inverter with a fan-out of four, and internal energies the mean over the states of a cell
- what happens outside of the windows is taken to be as what happens in them
- macros take the energy that the table of macros cites for each operation
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.activity import Recording
from ohmweave.sim.synthesis.aliases import aliases_of
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.cell_energy import cell_energies, check_powers
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.flat import flatten
from ohmweave.sim.synthesis.macro_energy import Operations, operations
from ohmweave.sim.synthesis.macros import Macros
from ohmweave.sim.synthesis.mapped import Synthesised
from ohmweave.sim.synthesis.replay import PAIRS, Replay, toggles

__all__ = ["BlockPower", "ChipPower", "chip_power"]

FJ = 1e-15


@dataclass
class BlockPower:
    """A module, all its instances together: J of a cycle, and W of leakage.

    internal   in cells whose outputs or inputs change
    switching  at the pins that they drive
    clock      of registers, each cycle
    """

    cells: int = 0
    registers: int = 0
    internal: float = 0.0
    switching: float = 0.0
    clock: float = 0.0
    leakage_w: float = 0.0

    @property
    def energy(self) -> float:
        return self.internal + self.switching + self.clock

    def watts(self, frequency_hz: float) -> float:
        return self.energy * frequency_hz + self.leakage_w


@dataclass
class ChipPower:
    """A chip in a run.

    blocks   module → what it takes
    macros   kind of macro → what all of them did and take
    named, unnamed  bits of registers of which the values were recorded, and which took what was at their input
    windows  of 64 cycles
    """

    windows: int
    named: int = 0
    unnamed: int = 0
    blocks: dict[str, BlockPower] = field(default_factory=dict)
    macros: dict[str, Operations] = field(default_factory=dict)

    def watts(self, frequency_hz: float) -> float:
        """Of everything."""
        cells = sum(block.watts(frequency_hz) for block in self.blocks.values())
        return cells + sum(macro.watts(frequency_hz) for macro in self.macros.values())


def chip_power(
    recording: Recording,
    synthesised: Synthesised,
    modules: Mapping[str, str],
    library: Library,
    macros: Macros,
    process: Process,
) -> ChipPower:
    """Power of a chip that was synthesised and recorded.

    modules  name → RTLIL of the netlist that was synthesised, for the names of its signals
    process  that the macros' figures are scaled to

    Raises `OhmweaveError` for a library without powers, and where the recording is of another chip.
    """
    check_powers(library)
    netlists = synthesised.netlists()
    aliases = aliases_of(modules)
    missing = sorted(set(recording.values) - set(netlists))
    if missing:
        raise OhmweaveError(
            f"the recording must be of the chip that was synthesised, which has no {missing[0]}"
        )
    power = ChipPower(recording.windows)
    by_part: dict[str, list[np.ndarray]] = {}
    for instance in recording.instances:
        by_part.setdefault(instance.part, []).append(instance.words)
    for part, words in by_part.items():
        flat = flatten(netlists, part, library, set(recording.values) - {part})
        replay = Replay(flat, library, recording.values[part], aliases)
        _add_part(power, replay, words, synthesised, library, macros, process)
    return power


def _add_part(
    power: ChipPower,
    replay: Replay,
    words: list[np.ndarray],
    synthesised: Synthesised,
    library: Library,
    macros: Macros,
    process: Process,
) -> None:
    """Add all instances of a part."""
    flat = replay.flat
    energies = cell_energies(flat, library)
    internal, switching = np.zeros(len(flat.modules)), np.zeros(len(flat.modules))
    for each in words:
        # What rests in all windows is the same in each: one of them says everything.
        still = bool(((each == 0) | (each == ~np.uint64(0))).all() and (each == each[:, :1]).all())
        nets = replay.run(each[:, :1] if still else each)
        rate = toggles(nets) / (PAIRS * nets.shape[1])
        for total, (modules, changed, energy) in (
            (internal, energies.internal),
            (switching, energies.switching),
        ):
            total += np.bincount(modules, energy * rate[changed], len(flat.modules))
        for name, found in operations(flat, nets, synthesised.macros, macros, process.node_nm).items():
            scaled = Operations(process.figures(found.figures))
            power.macros.setdefault(name, scaled).add(found)
    count = len(words)
    power.named += count * replay.named
    power.unnamed += count * replay.unnamed
    for number, name in enumerate(flat.modules):
        block = power.blocks.setdefault(name, BlockPower())
        block.cells += count * int(energies.cells[number])
        block.registers += count * int(energies.registers[number])
        block.internal += float(internal[number]) * FJ
        block.switching += float(switching[number]) * FJ
        block.clock += count * float(energies.clock[number]) * FJ
        block.leakage_w += count * float(energies.leakage[number])
