"""What the numbers are: whole streams of flits, pixels, windows and vectors at once, in their order."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.group import mesh_neighbour, node_unit, opposite
from ohmweave.rtl.network.tree_entry import EntryData
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.cycle.decode import ChipSettings, NodeSettings
from ohmweave.sim.cycle.pe_values import PEValues
from ohmweave.sim.frames import flit_type

__all__ = ["outputs"]


def outputs(
    params: GroupParams,
    chip: ChipSettings,
    levels: dict[int, np.ndarray],
    host: np.ndarray,
    entries: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """The flits (one after the other) that leave a chip to which the host sends `host`, and `entries` to the entries.

    Raises `OhmweaveError` for programs whose numbers depend on time, or that the model does not describe.
    """
    return _Chip(params, chip, levels, host, entries).collected(0, 0)


class _Chip:
    """Streams of flits between PEs, each computed once."""

    def __init__(
        self,
        params: GroupParams,
        chip: ChipSettings,
        levels: dict[int, np.ndarray],
        host: np.ndarray,
        entries: Sequence[np.ndarray],
    ):
        self._params, self._chip, self._levels = params, chip, levels
        self._host, self._entries = host, entries
        self._sent: dict[int, np.ndarray | None] = {}
        self._merged: dict[tuple[int, Turns], np.ndarray] = {}
        self._entered: dict[int, np.ndarray | None] = {}
        self._left: dict[int, np.ndarray] = {}

    def collected(self, level: int, index: int) -> np.ndarray:
        """What a node of the collection tree, or below the last level a PE, gives.

        No node waits for a branch that leaves into a frame buffer: the chip would have come to a standstill.
        """
        if level == self._params.levels:
            return self._from(index, SwitchOutput.COLLECTION)
        node = self._chip.nodes.get(node_unit(level, index), NodeSettings())
        if not node.select:
            return self._none
        child = node.select - 1
        if not node.turns[child]:
            return self.collected(level + 1, index * RADIX + child)
        order = [(child + step) % RADIX for step in range(RADIX)]
        return _in_turn(
            [
                (self.collected(level + 1, index * RADIX + each), node.turns[each])
                for each in order
                if node.turns[each]
            ]
        )

    def _tree(self, unit: int) -> np.ndarray:
        """The flits that the distribution tree leads to a PE."""
        stream, first = self._host, 0
        entry = unit // self._params.entry_pes
        if self._chip.entries and self._chip.entries[entry].opened:
            stream = self._entry(entry)
            first = self._params.entry_level
        for level in range(first, self._params.levels):
            below = RADIX ** (self._params.levels - level)
            node = self._chip.nodes.get(node_unit(level, unit // below), NodeSettings())
            child = unit // (below // RADIX) % RADIX
            first = node.children.bit_length() - 1
            if node.children == 1 << max(first, 0) and node.deals[first]:
                order = [(first + step) % RADIX for step in range(RADIX)]
                stream = _dealt(stream, [node.deals[each] for each in order], order.index(child))
            elif not node.children >> child & 1:
                return self._none
        return stream

    def _entry(self, number: int) -> np.ndarray:
        """The flits that an open entry lets in."""
        if self._chip.entries[number].opened != EntryData.BUFFERS:
            return self._entries[number] if self._entries else self._none
        if number not in self._entered:
            self._entered[number] = None
            self._entered[number] = self._from_buffers(number)
        found = self._entered[number]
        if found is None:
            raise OhmweaveError(
                f"the cycle model follows streams that lead in no circle, and entry {number} is in one"
            )
        return found

    def _from_buffers(self, number: int) -> np.ndarray:
        """Frames of the buffers that an entry takes from, in the order of its turns."""
        sources = self._chip.entries[number].sources
        places = sources.numbers
        if not sources.flits:
            return self._for(places[0], number)
        # A buffer with several turns gives at each the one after that of its turn before.
        turns = []
        for place, source in enumerate(places):
            lengths = [sources.flits] * places.count(source)
            part = _dealt(self._for(source, number), lengths, places[:place].count(source))
            turns.append((part, sources.flits))
        return _in_turn(turns)

    def _for(self, buffer: int, entry: int) -> np.ndarray:
        """Frames in a buffer that are for an entry."""
        told = self._chip.entries[buffer].exit
        if not told.opened:
            return self._none
        if buffer not in self._left:
            self._left[buffer] = self.collected(self._params.entry_level, buffer)
        stream, turns = self._left[buffer], told.targets
        if not turns.flits:
            return stream if turns.numbers[0] == entry else self._none
        return _dealt(stream, [turns.flits] * len(turns.numbers), *_places(turns.numbers, entry))

    @property
    def _none(self) -> np.ndarray:
        return np.zeros(0, flit_type(self._params.pe.link_bits))

    def _from(self, unit: int, output: SwitchOutput) -> np.ndarray:
        """The flits that an output of a PE's switch gives."""
        pe = self._chip.pes.get(unit)
        source = SwitchInput.CLOSED if pe is None else pe.routes[output]
        if not isinstance(source, Turns):
            return self._input(unit, source)
        # Outputs that have the same turns take the same flits.
        if (unit, source) not in self._merged:
            second = self._input(unit, source.second)
            self._merged[unit, source] = _in_turn(
                [
                    (self._input(unit, source.first), source.first_flits),
                    (second, source.second_flits or len(second) + 1),
                ]
            )
        return self._merged[unit, source]

    def _input(self, unit: int, source: SwitchInput) -> np.ndarray:
        """The flits that come to an input of a PE's switch."""
        if source == SwitchInput.CLOSED:
            return self._none
        if source == SwitchInput.TREE:
            return self._tree(unit)
        if source == SwitchInput.CORE:
            return self._core(unit)
        side = source - SwitchInput.NORTH
        neighbour = mesh_neighbour(unit, side, self._params.side)
        if neighbour is None:
            return self._none
        return self._from(neighbour, SwitchOutput(SwitchOutput.NORTH + opposite(side)))

    def _core(self, unit: int) -> np.ndarray:
        """What a PE sends."""
        if unit not in self._sent:
            self._sent[unit] = None
            pe = self._chip.pes[unit]
            streams = [
                self._from(unit, output)
                for output in (SwitchOutput.MAIN, SwitchOutput.SHORTCUT, SwitchOutput.SIDE)
            ]
            array = self._params.pe.array
            levels = self._levels.get(unit, np.zeros((array.rows, array.cols), np.uint8))
            self._sent[unit] = PEValues(self._params.pe, pe, levels).sent(*streams)
        found = self._sent[unit]
        if found is None:
            raise OhmweaveError(
                f"the cycle model follows streams that lead in no circle, and PE {unit} is in one"
            )
        return found


def _places(numbers: Sequence[int], number: int) -> list[int]:
    return [place for place, each in enumerate(numbers) if each == number]


def _dealt(stream: np.ndarray, lengths: Sequence[int], *places: int) -> np.ndarray:
    """The flits of some of the turns, of `lengths` one after the other, in a stream."""
    starts = [0, *accumulate(lengths)]
    parts = [
        stream[at + starts[place] : at + starts[place + 1]]
        for at in range(0, len(stream), starts[-1])
        for place in places
    ]
    return np.concatenate([stream[:0], *parts])


def _in_turn(turns: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Streams put together: of each so many flits, and so on until the one whose turn it is has none left."""
    rounds = min(len(stream) // length for stream, length in turns)
    whole = [stream[: rounds * length].reshape(rounds, length) for stream, length in turns]
    parts = [np.concatenate(whole, axis=1).reshape(-1)]
    for stream, length in turns:
        parts.append(stream[rounds * length : (rounds + 1) * length])
        if len(parts[-1]) < length:
            break
    return np.concatenate(parts)
