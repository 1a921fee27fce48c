"""Whether what a program connects fits together, before anything runs: every stream has a source and is taken.

Nothing on the chip arbitrates or drops: a link that one side opens and the other does not would stand still without
a word. What is checked is the configuration itself, as the hardware decodes it, whoever made it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.group import mesh_neighbour, node_unit, opposite
from ohmweave.rtl.isa import Class, Place
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.rtl.switch import SwitchInput, SwitchOutput, Turns
from ohmweave.sim.cycle.decode import ChipSettings, PESettings, chip_settings
from ohmweave.sim.exit_connections import check_exits
from ohmweave.sim.program import Program

__all__ = ["check_connections"]

SIDES = ("north", "east", "south", "west")
#: Places that a frame can be let into, and the switch's outputs to their receivers.
RECEIVERS = {
    Place.BUFFER_0: (SwitchOutput.MAIN,),
    Place.BUFFER_1: (SwitchOutput.SHORTCUT,),
    Place.BOTH_BUFFERS: (SwitchOutput.MAIN, SwitchOutput.SHORTCUT),
    Place.ARITHMETIC: (SwitchOutput.SIDE,),
}


def check_connections(program: Program) -> None:
    """Raise `OhmweaveError` for the first stream that has no source, no reader, or goes in a circle."""
    _Check(program.params, chip_settings(program.params, program.config)).run()


@dataclass(frozen=True)
class _Check:
    params: GroupParams
    chip: ChipSettings

    def run(self) -> None:
        for unit, pe in sorted(self.chip.pes.items()):
            self._mesh(unit, pe)
            self._receivers(unit, pe)
            self._trees(unit, pe)
        for unit in range(self.params.pes):
            if self._reached(unit) and not self._uses(unit, SwitchInput.TREE):
                raise OhmweaveError(f"the tree sends data to PE {unit}, whose switch takes none of it")
            if self._collected(unit) and not self._opens(unit, SwitchOutput.COLLECTION):
                raise OhmweaveError(f"the tree collects from PE {unit}, whose switch sends it nothing")
        check_exits(self.params, self.chip, sends=self._sends, takes=self._takes)

    def _mesh(self, unit: int, pe: PESettings) -> None:
        for side, name in enumerate(SIDES):
            beside = self._neighbour(unit, side)
            back = opposite(side)
            takes = self._uses(unit, SwitchInput(SwitchInput.NORTH + side))
            if takes and (beside is None or not self._opens(beside, SwitchOutput(SwitchOutput.NORTH + back))):
                there = (
                    "the edge of the mesh" if beside is None else f"PE {beside}, which sends nothing there"
                )
                raise OhmweaveError(f"the switch of PE {unit} takes flits from the {name}: {there}")
            if not self._opens(unit, SwitchOutput(SwitchOutput.NORTH + side)):
                continue
            if beside is None or not self._uses(beside, SwitchInput(SwitchInput.NORTH + back)):
                there = (
                    "the edge of the mesh" if beside is None else f"PE {beside}, which takes nothing there"
                )
                raise OhmweaveError(f"the switch of PE {unit} sends flits to the {name}: {there}")
            self._no_circle(unit, side)

    def _no_circle(self, unit: int, side: int) -> None:
        """Follow what leaves a PE by a side back to where it was made."""
        seen = set()
        todo = [(unit, SwitchOutput(SwitchOutput.NORTH + side))]
        while todo:
            at, output = todo.pop()
            for source in _inputs(self.chip.pes[at].routes[output]):
                if not SwitchInput.NORTH <= source <= SwitchInput.WEST:
                    continue
                before = self._neighbour(at, source - SwitchInput.NORTH)
                if before is None or before not in self.chip.pes:
                    continue  # which is said of that PE
                link = (
                    before,
                    SwitchOutput(SwitchOutput.NORTH + opposite(source - SwitchInput.NORTH)),
                )
                if link == (unit, SwitchOutput(SwitchOutput.NORTH + side)):
                    raise OhmweaveError(
                        f"what PE {unit} sends to the {SIDES[side]} comes back to it in a circle"
                    )
                if link not in seen:
                    seen.add(link)
                    todo.append(link)

    def _receivers(self, unit: int, pe: PESettings) -> None:
        wanted = {
            output
            for instruction in pe.reram
            if instruction.kind == Class.N
            for output in RECEIVERS[Place(instruction["des"])]
        }
        for output in (SwitchOutput.MAIN, SwitchOutput.SHORTCUT, SwitchOutput.SIDE):
            name = output.name.lower()
            if output in wanted and not self._opens(unit, output):
                raise OhmweaveError(
                    f"the program of PE {unit} takes {name} data, and its switch sends it none"
                )
            if output not in wanted and self._opens(unit, output):
                raise OhmweaveError(
                    f"the switch of PE {unit} sends {name} data, which its program never takes"
                )
        if pe.reram and not self._uses(unit, SwitchInput.CORE):
            raise OhmweaveError(f"what PE {unit} computes goes nowhere: no output of its switch takes it")

    def _trees(self, unit: int, pe: PESettings) -> None:
        if self._uses(unit, SwitchInput.TREE) and not self._reached(unit):
            raise OhmweaveError(f"the switch of PE {unit} takes data of the tree, which sends it none")
        if self._opens(unit, SwitchOutput.COLLECTION) and not self._collected(unit):
            raise OhmweaveError(
                f"the switch of PE {unit} sends data to the tree, which does not collect them"
            )

    def _neighbour(self, unit: int, side: int) -> int | None:
        return mesh_neighbour(unit, side, self.params.side)

    def _opens(self, unit: int, output: SwitchOutput) -> bool:
        return unit in self.chip.pes and bool(_inputs(self.chip.pes[unit].routes[output]))

    def _uses(self, unit: int, source: SwitchInput) -> bool:
        return unit in self.chip.pes and any(
            source in _inputs(each) for each in self.chip.pes[unit].routes.values()
        )

    def _reached(self, unit: int) -> bool:
        """Whether data go to a PE: from the root on, or from the entry above it."""
        first = 0
        if any(entry.opened for entry in self.chip.entries):
            below = self.params.entry_pes
            if not self.chip.entries[unit // below].opened:
                return False
            first = self.params.entry_level
        for node, child in self._path(unit, first):
            told = self.chip.nodes.get(node)
            if told is None or not (told.children >> child & 1 or (told.children and told.deals[child])):
                return False
        return True

    def _collected(self, unit: int) -> bool:
        first = self.params.entry_level if self._leaves(unit) else 0
        for node, child in self._path(unit, first):
            told = self.chip.nodes.get(node)
            if told is None or not (told.select == child + 1 or (told.select and told.turns[child])):
                return False
        return True

    def _leaves(self, unit: int) -> bool:
        """Whether the branch of the collection tree that a PE is in leaves into a frame buffer."""
        below = self.params.entry_pes
        return bool(self.chip.entries) and self.chip.entries[unit // below].exit.opened

    def _sends(self, entry: int) -> bool:
        """Whether a PE below an entry sends flits to its frame buffer."""
        return any(
            self._opens(unit, SwitchOutput.COLLECTION) and self._collected(unit)
            for unit in self._below(entry)
        )

    def _takes(self, entry: int) -> bool:
        """Whether a PE below an entry takes its data."""
        return any(self._uses(unit, SwitchInput.TREE) and self._reached(unit) for unit in self._below(entry))

    def _below(self, entry: int) -> range:
        below = self.params.entry_pes
        return range(entry * below, (entry + 1) * below)

    def _path(self, unit: int, first: int) -> Iterator[tuple[int, int]]:
        """Nodes above a PE from a level on, and the child of each that is on the way."""
        for level in range(first, self.params.levels):
            below = RADIX ** (self.params.levels - level)
            yield node_unit(level, unit // below), unit // (below // RADIX) % RADIX


def _inputs(source: SwitchInput | Turns) -> tuple[SwitchInput, ...]:
    """Inputs that an output takes from; none where it is closed."""
    if isinstance(source, Turns):
        return (source.first, source.second)
    return () if source == SwitchInput.CLOSED else (source,)
