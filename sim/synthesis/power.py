"""Power of a chip in a real run: what its gates did, times the energies of the library's cells.

Of each part of the simulation the registers, inputs and outputs of macros are recorded in windows of 64 cycles
(`activity`), and its mapped gates are evaluated with them cycle by cycle (`replay`). Estimated, and not measured:

- glitches, wires and the clock's tree are left out; clock pins are in
- slopes are those of an inverter with a fan-out of four, and internal energies the mean over the states of a cell
- what happens outside of the windows is taken to be as what happens in them
- macros take the energy that the table of macros cites for each operation
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.activity import Recording
from ohmweave.sim.synthesis.aliases import aliases_of
from ohmweave.sim.synthesis.area import Process
from ohmweave.sim.synthesis.cell_energy import cell_energies, check_powers
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.flat import Flat, flatten
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
    gated      the same in those cycles alone in which a bit of the register of the RTL changes: an estimate of what
               clock gating would leave at least
    macros     kind of macro → what those in it did and take, which is not in the figures above
    """

    cells: int = 0
    registers: int = 0
    internal: float = 0.0
    switching: float = 0.0
    clock: float = 0.0
    gated: float = 0.0
    leakage_w: float = 0.0
    macros: dict[str, Operations] = field(default_factory=dict)

    def watts(self, frequency_hz: float) -> float:
        """Of its cells and its macros."""
        cells = (self.internal + self.switching + self.clock) * frequency_hz + self.leakage_w
        return cells + sum(macro.watts(frequency_hz) for macro in self.macros.values())


@dataclass
class ChipPower:
    """A chip in a run.

    blocks   module → what it takes
    resting  modules that the recorded run has no part of: their gates are taken to rest
    named, unnamed  bits of registers of which the values were recorded, and which took what was at their input
    windows  of 64 cycles
    """

    windows: int
    named: int = 0
    unnamed: int = 0
    blocks: dict[str, BlockPower] = field(default_factory=dict)
    resting: list[str] = field(default_factory=list)

    @property
    def macros(self) -> dict[str, Operations]:
        """Kind of macro → what all of them did and take."""
        found: dict[str, Operations] = {}
        for block in self.blocks.values():
            for name, macro in block.macros.items():
                found.setdefault(name, Operations(macro.figures)).add(macro)
        return found

    def watts(self, frequency_hz: float) -> float:
        """Of everything."""
        return sum(block.watts(frequency_hz) for block in self.blocks.values())


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

    def add(flat: Flat, states: Iterable[_State]) -> None:
        _add(
            power,
            flat,
            states,
            library,
            lambda nets: operations(flat, nets, synthesised.macros, macros, process.node_nm),
            process,
        )

    for part, words in by_part.items():
        flat = flatten(netlists, part, library, set(recording.values) - {part})
        replay = Replay(flat, library, recording.values[part], aliases)
        power.named += len(words) * replay.named
        power.unnamed += len(words) * replay.unnamed
        add(flat, (_state(replay, each) for each in words))
    if synthesised.top not in recording.values:
        flat = flatten(netlists, synthesised.top, library, recording.values)
        power.resting = flat.modules
        add(flat, [_rest(flat)])
    return power


#: Of an instance: the values of all nets, how often each changes in a cycle, and `Replay.clocked`.
_State: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


def _state(replay: Replay, words: np.ndarray) -> _State:
    # What rests in all windows is the same in each: one of them says everything.
    still = bool(((words == 0) | (words == ~np.uint64(0))).all() and (words == words[:, :1]).all())
    used = words[:, :1] if still else words
    nets = replay.run(used)
    return nets, toggles(nets) / (PAIRS * nets.shape[1]), replay.clocked(used)


def _rest(flat: Flat) -> _State:
    nets = np.zeros((flat.nets, 1), np.uint64)
    nets[1] = ~np.uint64(0)
    return nets, np.zeros(flat.nets), np.ones(flat.nets)


def _add(
    power: ChipPower,
    flat: Flat,
    states: Iterable[_State],
    library: Library,
    done: Callable[[np.ndarray], dict[tuple[int, str], Operations]],
    process: Process,
) -> None:
    """Add all instances of a part; `done` tells what its macros did."""
    energies = cell_energies(flat, library)
    blocks = [power.blocks.setdefault(name, BlockPower()) for name in flat.modules]

    def by_module(column: tuple[np.ndarray, np.ndarray, np.ndarray], rate: np.ndarray) -> np.ndarray:
        modules, nets, energy = column
        return np.bincount(modules, energy * rate[nets], len(blocks)) * FJ

    for nets, rate, clocked in states:
        every = np.ones(flat.nets)
        internal, switching = by_module(energies.internal, rate), by_module(energies.switching, rate)
        clock, gated = by_module(energies.clock, every), by_module(energies.clock, clocked)
        for number, block in enumerate(blocks):
            block.cells += int(energies.cells[number])
            block.registers += int(energies.registers[number])
            block.internal += float(internal[number])
            block.switching += float(switching[number])
            block.clock += float(clock[number])
            block.gated += float(gated[number])
            block.leakage_w += float(energies.leakage[number])
        for (number, name), found in done(nets).items():
            scaled = Operations(process.figures(found.figures))
            blocks[number].macros.setdefault(name, scaled).add(found)
