"""Gates of a part cycle by cycle, from what was recorded of its registers: 64 cycles at once, a bit each.

Each gate is evaluated once a cycle and has no delay, so that every net changes at most once a cycle: glitches, which
real gates have, are not seen. A register of the mapped netlist is known by the name of its signal. One that has lost
its name in the mapping takes what was at its input the cycle before.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.cxxrtl_activity import Recorded
from ohmweave.sim.synthesis.aliases import Aliases, nets_by_alias
from ohmweave.sim.synthesis.cells import Cell, Library
from ohmweave.sim.synthesis.expression import Expression, parse_expression
from ohmweave.sim.synthesis.flat import Flat

__all__ = ["Replay", "count_ones", "toggles"]

#: Pairs of cycles in a window: a change is between two of them.
PAIRS = 63
_PAIRS_MASK = np.uint64((1 << PAIRS) - 1)
_ALL = ~np.uint64(0)
#: How often what unnamed registers take is looked at anew.
ROUNDS = 3
_COUNTS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def count_ones(words: np.ndarray) -> np.ndarray:
    """Ones of each row of words of 64 bits, all together."""
    if hasattr(np, "bitwise_count"):  # of NumPy 2
        return np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return _COUNTS[np.ascontiguousarray(words).view(np.uint8)].sum(axis=1, dtype=np.int64)


def toggles(words: np.ndarray) -> np.ndarray:
    """Changes of each row from one cycle of a window to the next."""
    return count_ones((words ^ (words >> np.uint64(1))) & _PAIRS_MASK)


#: Function, nets that each pin reads, nets that it makes.
_Gates: TypeAlias = tuple[Expression, dict[str, np.ndarray], np.ndarray]


def _some(gates: _Gates, which: np.ndarray) -> _Gates:
    function, inputs, target = gates
    return function, {pin: nets[which] for pin, nets in inputs.items()}, target[which]


class Replay:
    """Evaluates the gates of a part.

    named, unnamed  bits of registers of which the values were recorded, and of which not
    """

    def __init__(
        self, flat: Flat, library: Library, recorded: Sequence[Recorded], aliases: Aliases | None = None
    ):
        self.flat = flat
        self.aliases = aliases or {}
        self.recorded = recorded
        self.known, self.rows = self._sources(recorded)
        given = np.zeros(flat.nets, bool)
        given[:2] = True
        given[self.known] = True
        self.registers = [
            (cells, library.cells[cells.kind]) for cells in flat.cells if library.cells[cells.kind].state
        ]
        self.named = self.unnamed = 0
        for cells, cell in self.registers:
            # One that is known by any of its outputs is known.
            found = np.logical_or.reduce([given[nets] for nets, _ in self._outputs(cell, cells.nets)])
            self.named += int(found.sum())
            self.unnamed += int((~found).sum())
        self.given = given
        self.steps = self._levels(library, given)

    def _sources(self, recorded: Sequence[Recorded]) -> tuple[np.ndarray, np.ndarray]:
        """Nets that were recorded, and their rows."""
        nets: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        start = 0
        for value in recorded:
            found = self.flat.names.get(value.name)
            if found is None and value.kind == "output":
                found = self._pin(value.name)
            if found is None:
                found = nets_by_alias(self.flat, self.aliases, value.name, value.bits)
            if found is not None:
                size = min(len(found), value.bits)
                nets.append(found[:size])
                rows.append(np.arange(start, start + size))
            start += value.bits
        both = np.concatenate([*nets, np.zeros(0, np.int64)]), np.concatenate([*rows, np.zeros(0, np.int64)])
        usable = both[0] > 1
        return both[0][usable].astype(np.int64), both[1][usable].astype(np.int64)

    def _pin(self, name: str) -> np.ndarray | None:
        """An output of a box: instance, a point, and the pin."""
        for box in self.flat.boxes:
            pin = name.removeprefix(f"{box.path}.")
            if pin != name and pin in box.pins:
                return box.pins[pin]
        return None

    def _outputs(self, cell: Cell, nets: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, bool]]:
        """Nets of a register's outputs, and whether they are inverted."""
        assert cell.state is not None
        found = []
        for pin in cell.outputs:
            function = cell.pins[pin].function
            if function is not None:
                inverse = function.replace(" ", "").strip("()") == cell.state.names[1] or "!" in function
                found.append((nets[pin], inverse))
        return found

    def _levels(self, library: Library, given: np.ndarray) -> list["_Gates"]:
        """Gates in an order in which each comes behind what it reads."""
        known = given.copy()
        for cells, cell in self.registers:
            for nets, _ in self._outputs(cell, cells.nets):
                known[nets] = True
        for box in self.flat.boxes:
            for pin, nets in box.pins.items():
                if box.directions.get(pin) == "output":
                    known[nets] = True
        waiting = []
        made = np.zeros(self.flat.nets, bool)
        for cells in self.flat.cells:
            cell = library.cells[cells.kind]
            if cell.state is not None:
                continue
            for pin in cell.outputs:
                function = cell.pins[pin].function
                if function is None:
                    continue
                # What was recorded is not computed again.
                rest = np.flatnonzero(~known[cells.nets[pin]])
                if len(rest):
                    inputs = {name: cells.nets[name][rest] for name in cell.inputs}
                    waiting.append((parse_expression(function), inputs, cells.nets[pin][rest]))
                    made[cells.nets[pin][rest]] = True
        known |= ~made  # inputs, and what nothing drives, which is 0
        steps: list[_Gates] = []
        while waiting:
            ready = [
                np.logical_and.reduce([known[nets] for nets in inputs.values()]) for _, inputs, _ in waiting
            ]
            if not any(each.any() for each in ready):
                raise OhmweaveError("what is replayed must have no combinational loop, and has one")
            now = [_some(gates, which) for gates, which in zip(waiting, ready, strict=True) if which.any()]
            waiting = [
                _some(gates, ~which) for gates, which in zip(waiting, ready, strict=True) if not which.all()
            ]
            for _, _, target in now:
                known[target] = True
            steps += now
        return steps

    def run(self, words: np.ndarray) -> np.ndarray:
        """(nets, windows): all nets of an instance from the words that were recorded of it."""
        windows = words.shape[1]
        values = np.zeros((self.flat.nets, windows), np.uint64)
        values[1] = _ALL
        values[self.known] = words[self.rows]
        self._inverses(values)
        for _ in range(ROUNDS if self.unnamed else 1):
            for function, inputs, target in self.steps:
                values[target] = _evaluate(function, inputs, values)
            if self.unnamed:
                self._follow(values)
        return values

    def clocked(self, words: np.ndarray) -> np.ndarray:
        """(nets,): of registers' outputs the share of cycles in which any bit of the register changes; 1 elsewhere.

        What a clock that is gated for each register of the RTL would come to at least.
        """
        found = np.ones(self.flat.nets)
        moved = (words ^ (words >> np.uint64(1))) & _PAIRS_MASK
        share, start = np.ones(len(words)), 0
        for value in self.recorded:
            if value.kind in ("register", "word"):
                together = np.bitwise_or.reduce(moved[start : start + value.bits], axis=0, keepdims=True)
                share[start : start + value.bits] = count_ones(together)[0] / (PAIRS * words.shape[1])
            start += value.bits
        found[self.known] = share[self.rows]
        for cells, cell in self.registers:
            outputs = [nets for nets, _ in self._outputs(cell, cells.nets)]
            least = np.minimum.reduce([found[nets] for nets in outputs])
            for nets in outputs:
                found[nets] = least
        return found

    def _inverses(self, values: np.ndarray) -> None:
        """Outputs of registers that are known by another of their outputs."""
        for cells, cell in self.registers:
            outputs = self._outputs(cell, cells.nets)
            for nets, inverse in outputs:
                for others, other_inverse in outputs:
                    which = self.given[nets] & ~self.given[others]
                    state = values[nets[which]]
                    values[others[which]] = state if inverse == other_inverse else ~state

    def _follow(self, values: np.ndarray) -> None:
        """Registers without a name take what was at their input the cycle before."""
        for cells, cell in self.registers:
            assert cell.state is not None
            tree = parse_expression(cell.state.next_state)
            inputs = {pin: cells.nets[pin] for pin in cell.inputs}
            outputs = self._outputs(cell, cells.nets)
            unknown = ~np.logical_or.reduce([self.given[nets] for nets, _ in outputs])
            if not unknown.any():
                continue
            state = values[outputs[0][0]] ^ (_ALL if outputs[0][1] else np.uint64(0))
            before = _evaluate(
                tree, inputs, values, {cell.state.names[0]: state, cell.state.names[1]: ~state}
            )
            after = (before << np.uint64(1)) | (before & np.uint64(1))
            for nets, inverse in outputs:
                values[nets[unknown]] = (~after if inverse else after)[unknown]


def _evaluate(
    tree: Expression,
    nets: Mapping[str, np.ndarray],
    values: np.ndarray,
    more: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """A function of words, for each row of nets."""
    kind = tree[0]
    if kind == "pin":
        if more is not None and tree[1] in more:
            return more[tree[1]]
        return values[nets[tree[1]]]
    if kind == "const":
        return np.asarray(_ALL if tree[1] else np.uint64(0))
    if kind == "not":
        return ~_evaluate(tree[1], nets, values, more)
    left, right = (_evaluate(part, nets, values, more) for part in tree[1:])
    return left & right if kind == "and" else left | right if kind == "or" else left ^ right
