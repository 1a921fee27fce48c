"""Whether frame buffers and the entries that take from them fit together: each turn has its other side."""

from collections.abc import Callable, Sequence

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.network.tree_entry import EntryData
from ohmweave.rtl.network.tree_node import RADIX
from ohmweave.sim.cycle.decode import ChipSettings

__all__ = ["check_exits"]

Below = Callable[[int], bool]


def check_exits(params: GroupParams, chip: ChipSettings, *, sends: Below, takes: Below) -> None:
    """Raise `OhmweaveError` for the first frame buffer that is not filled or emptied, or whose turns are not met.

    sends, takes  whether a PE below an entry sends flits to the collection tree, takes some from the distribution tree
    """
    from_buffers = [number for number, entry in enumerate(chip.entries) if entry.opened == EntryData.BUFFERS]
    opened = [number for number, entry in enumerate(chip.entries) if entry.exit.opened]
    for number in from_buffers:
        _sources(chip, number)
        if not takes(number):
            raise OhmweaveError(
                f"entry {number} takes from frame buffers, and no PE below it takes data of the tree"
            )
    for number in opened:
        _targets(chip, number)
        if not sends(number):
            raise OhmweaveError(f"frame buffer {number} is open, and no PE below it sends it anything")
        parent = chip.nodes.get(node_unit(params.entry_level - 1, number // RADIX))
        child = number % RADIX
        if parent is not None and parent.select and (parent.select == child + 1 or parent.turns[child]):
            raise OhmweaveError(f"the tree collects from branch {number}, which leaves into a frame buffer")
    _meet(chip, from_buffers, opened)


def _sources(chip: ChipSettings, entry: int) -> None:
    sources = chip.entries[entry].sources
    if not sources.flits:
        raise OhmweaveError(f"entry {entry} takes turns of 0 flits from frame buffers, which never end")
    for buffer in sorted(set(sources.numbers)):
        told = chip.entries[buffer].exit
        if not told.opened:
            raise OhmweaveError(f"entry {entry} takes from frame buffer {buffer}, which is closed")
        there, here = told.targets.numbers.count(entry), sources.numbers.count(buffer)
        if not there:
            raise OhmweaveError(f"entry {entry} takes from frame buffer {buffer}, which sends it nothing")
        if there != here:
            raise OhmweaveError(
                f"entry {entry} takes {here} turns of a round from frame buffer {buffer}, which sends it {there}"
            )
        if told.targets.flits != sources.flits:
            raise OhmweaveError(
                f"entry {entry} takes turns of {sources.flits} flits from frame buffer {buffer}, whose turns have "
                f"{told.targets.flits}"
            )


def _targets(chip: ChipSettings, buffer: int) -> None:
    for entry in sorted(set(chip.entries[buffer].exit.targets.numbers)):
        told = chip.entries[entry]
        if told.opened != EntryData.BUFFERS or buffer not in told.sources.numbers:
            raise OhmweaveError(f"frame buffer {buffer} sends to entry {entry}, which takes nothing from it")


def _meet(chip: ChipSettings, entries: Sequence[int], buffers: Sequence[int]) -> None:
    """Go through a round of all turns. Each is named as often from both sides: who waits at the end waits for good."""
    sources = {entry: list(chip.entries[entry].sources.numbers) for entry in entries}
    targets = {buffer: list(chip.entries[buffer].exit.targets.numbers) for buffer in buffers}
    moves = True
    while moves:
        moves = False
        for entry, left in sources.items():
            while left and targets[left[0]][0] == entry:
                del targets[left.pop(0)][0]
                moves = True
    for entry, left in sources.items():
        if left:
            raise OhmweaveError(
                f"entry {entry} waits for frame buffer {left[0]}, and that for entry {targets[left[0]][0]}: "
                "their turns never meet"
            )
