"""Records of a standard-cell library: ns, fF, µm² (or NAND2 equivalents), W and fJ."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ohmweave.sim.synthesis.expression import same_function

__all__ = ["Arc", "Cell", "Library", "Pin", "Power", "State", "Table"]


@dataclass(frozen=True, eq=False)
class Table:
    """A table of NLDM: values at the crossings of two axes; an axis that the file has not is [0].

    slews   ns at the input, or of the data at a constraint
    loads   fF at the output, or ns of the clock at a constraint
    values  (slews, loads): ns, or fJ of an internal power
    """

    slews: np.ndarray
    loads: np.ndarray
    values: np.ndarray

    def at(self, slew: float, load: float) -> float:
        """Between the four values around; beyond the axes, on the last plane."""
        low, high = _around(self.slews, slew), _around(self.loads, load)
        first, second = _share(self.slews, low, slew), _share(self.loads, high, load)
        rows = self.values[[low, min(low + 1, len(self.slews) - 1)]]
        ends = rows[:, [high, min(high + 1, len(self.loads) - 1)]]
        left, right = ends[0] + (ends[1] - ends[0]) * first
        return float(left + (right - left) * second)


def _around(axis: np.ndarray, value: float) -> int:
    return min(max(int(np.searchsorted(axis, value, "right")) - 1, 0), max(len(axis) - 2, 0))


def _share(axis: np.ndarray, low: int, value: float) -> float:
    return 0.0 if len(axis) == 1 else float((value - axis[low]) / (axis[low + 1] - axis[low]))


@dataclass(frozen=True, eq=False)
class Arc:
    """What a pin's edge does to another's, or how long it must be there before it.

    sense       "positive", "negative" or "none": which edge of `target` one of `source` makes
    kind        "combinational"; "edge": from the clock to an output; "setup" and "hold": `source` is the clock
    rising      of "edge", "setup" and "hold": whether the clock's rising edge is the one that counts
    rise, fall  delay by the edge of `target`, or the time of the constraint; None where there is no such edge
    rise_slew, fall_slew  slew of `target`, of delays
    """

    source: str
    target: str
    kind: str
    sense: str
    rising: bool
    rise: Table | None
    fall: Table | None
    rise_slew: Table | None
    fall_slew: Table | None


@dataclass(frozen=True, eq=False)
class Power:
    """Energy in a cell of an edge at `pin`, beside that of the load; the mean over the states of the other pins.

    related  the input that caused the edge, of an output; empty for what an edge at an input takes on its own
    """

    pin: str
    related: str
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True)
class Pin:
    """`function` of an output is None where it is none of the pins alone."""

    name: str
    direction: str
    capacitance: float
    function: str | None
    is_clock: bool
    max_capacitance: float | None


@dataclass(frozen=True)
class State:
    """A register: names of its state and the state's inverse, what it takes, and when.

    clock  of a flip-flop the expression whose rise is the edge, of a latch the one while which it is open
    clear, preset  asynchronous; empty for none
    """

    names: tuple[str, str]
    next_state: str
    clock: str
    clear: str
    preset: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell; `usable` is False where the file says that no tool is to choose it."""

    name: str
    area: float
    leakage_w: float
    is_ff: bool
    is_latch: bool
    usable: bool
    pins: Mapping[str, Pin]
    state: State | None = None
    arcs: tuple[Arc, ...] = field(default=(), repr=False)
    powers: tuple[Power, ...] = field(default=(), repr=False)

    @property
    def inputs(self) -> list[str]:
        return [name for name, pin in self.pins.items() if pin.direction == "input"]

    @property
    def outputs(self) -> list[str]:
        return [name for name, pin in self.pins.items() if pin.direction == "output"]

    def is_gate(self, function: str) -> bool:
        """Whether this is the combinational cell of one output with that function of A, B, C ..."""
        if self.state is not None or len(self.outputs) != 1:
            return False
        given = self.pins[self.outputs[0]].function
        # What has the same pins only; permutations of many are many.
        return given is not None and len(self.inputs) <= 4 and same_function(given, function, self.inputs)


@dataclass(frozen=True, eq=False)
class Library:
    """Cells by name, from one Liberty file or several.

    unit     of areas: "NAND2" or "um2"
    voltage  nominal, V
    paths    the Liberty files as plain text, for tools
    """

    name: str
    unit: str
    voltage: float
    cells: Mapping[str, Cell] = field(repr=False)
    paths: tuple[Path, ...]

    def smallest(self, function: str) -> Cell | None:
        """The smallest gate of a function, of those that tools may choose."""
        found = [cell for cell in self.cells.values() if cell.usable and cell.is_gate(function)]
        return min(found, key=lambda cell: (cell.area, len(cell.name), cell.name), default=None)

    @functools.cached_property
    def nand2_area(self) -> float:
        """Area of the smallest NAND2, which is a gate equivalent."""
        cell = self.smallest("!(A & B)")
        assert cell is not None, "checked when the library was read"
        return cell.area

    @functools.cached_property
    def fo4_ns(self) -> float:
        """Delay of the smallest inverter that drives four like it, in a chain of them; mean of both edges."""
        cell = self.smallest("!A")
        assert cell is not None, "checked when the library was read"
        (arc,) = [arc for arc in cell.arcs if arc.kind == "combinational"][:1]
        load = 4 * cell.pins[arc.source].capacitance
        assert arc.rise is not None
        assert arc.fall is not None
        assert arc.rise_slew is not None
        assert arc.fall_slew is not None
        rise = fall = 0.0  # slews along the chain, to where they stay the same
        for _ in range(20):
            rise, fall = arc.rise_slew.at(fall, load), arc.fall_slew.at(rise, load)
        return (arc.rise.at(fall, load) + arc.fall.at(rise, load)) / 2
