"""Energies of cells at the loads that they have in a netlist: of a change of a net, and of a clock cycle. fJ."""

from dataclasses import dataclass

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.cells import Cell, Library, Power
from ohmweave.sim.synthesis.expression import names, parse_expression
from ohmweave.sim.synthesis.flat import Flat
from ohmweave.sim.synthesis.timing_cells import TimingLibrary

__all__ = ["CellEnergies", "cell_energies", "check_powers"]


@dataclass(frozen=True)
class CellEnergies:
    """Of the cells of a part; each list has the modules by number and the nets side by side.

    internal   (module, net, fJ) of each change of the net, in a cell
    switching  (module, net, fJ) of each change, at the pins that the net loads
    clock      (module, net, fJ) of each cycle: the clock pins of the register that makes the net, and what it takes at
               them whatever it holds
    leakage    (modules,) W
    cells, registers  (modules,)
    """

    internal: tuple[np.ndarray, np.ndarray, np.ndarray]
    switching: tuple[np.ndarray, np.ndarray, np.ndarray]
    clock: tuple[np.ndarray, np.ndarray, np.ndarray]
    leakage: np.ndarray
    cells: np.ndarray
    registers: np.ndarray


def check_powers(library: Library) -> None:
    """Refuse a library without powers."""
    if not any(cell.powers for cell in library.cells.values()):
        raise OhmweaveError(
            f"the library {library.name} has no internal powers, so that no power can be told with it"
        )


def _clocks(cell: Cell) -> set[str]:
    """Pins of a register's clock."""
    return set(names(parse_expression(cell.state.clock))) if cell.state and cell.state.clock else set()


def _mean(power: Power, slew: float, loads: np.ndarray) -> np.ndarray:
    """Of a rise and a fall, at each load."""
    tables = [table for table in (power.rise, power.fall) if table is not None]
    total = np.zeros(len(loads))
    for table in tables:
        unique, places = np.unique(loads, return_inverse=True)
        total += np.array([table.at(slew, float(load)) for load in unique])[places]
    return total / 2


def cell_energies(flat: Flat, library: Library) -> CellEnergies:
    """All of a part, at the slope that ports have."""
    slew = TimingLibrary(library).around.slew_ns
    count = len(flat.modules)
    loads = np.zeros(flat.nets)
    for cells in flat.cells:
        for pin in library.cells[cells.kind].inputs:
            np.add.at(loads, cells.nets[pin], library.cells[cells.kind].pins[pin].capacitance)
    internal: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    switching: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    clock: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    leakage = np.zeros(count)
    number, registers = np.zeros(count, np.int64), np.zeros(count, np.int64)
    driven = np.zeros(flat.nets, bool)
    half = library.voltage**2 / 2
    for cells in flat.cells:
        cell = library.cells[cells.kind]
        clocks = _clocks(cell)
        each = np.bincount(cells.module, minlength=count)
        number += each
        leakage += each * cell.leakage_w
        registers += each * (cell.state is not None)
        for pin in cell.outputs:
            nets = cells.nets[pin]
            driven[nets] = True
            switching.append((cells.module, nets, half * loads[nets]))
            powers = [power for power in cell.powers if power.pin == pin]
            if powers:
                # Which of the inputs made the edge is not asked: the mean of all.
                energy = np.mean([_mean(power, slew, loads[nets]) for power in powers], axis=0)
                internal.append((cells.module, nets, np.maximum(energy, 0.0)))
        # The clock rises and falls once a cycle.
        ticking = 2 * half * sum(cell.pins[pin].capacitance for pin in clocks)
        for power in cell.powers:
            if power.pin not in cell.inputs:
                continue
            energy = _mean(power, slew, np.zeros(1))[0]
            if power.pin in clocks:
                ticking += 2 * energy
            else:
                nets = cells.nets[power.pin]
                internal.append((cells.module, nets, np.full(len(nets), energy)))
        if clocks:
            nets = cells.nets[cell.outputs[0]]
            clock.append((cells.module, nets, np.full(len(nets), ticking)))
    # What comes from outside loads its driver with what is in here; its clock is counted already.
    nets = np.unique(flat.inputs[flat.inputs > 1])
    clocked = [cells.nets[pin] for cells in flat.cells for pin in _clocks(library.cells[cells.kind])]
    nets = np.setdiff1d(nets[~driven[nets]], np.concatenate([*clocked, np.zeros(0, np.int64)]))
    switching.append((np.zeros(len(nets), np.int64), nets, half * loads[nets]))
    return CellEnergies(_joined(internal), _joined(switching), _joined(clock), leakage, number, registers)


def _joined(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    empty = np.zeros(0, np.int64)
    modules, nets, energies = zip(*parts, strict=True) if parts else ((empty,), (empty,), (np.zeros(0),))
    return np.concatenate(modules), np.concatenate(nets), np.concatenate(energies)
