"""Several copies of a chain on one chip, each with images of its own (Re-ReRAM, section VII-B, its first case)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.rtl.flit import MAX_TURN
from ohmweave.sim.compiler import chain_flits, copy_pes
from ohmweave.sim.entries import copies_below
from ohmweave.sim.folding import folded, reads
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.two_layers import TwoLayers

__all__ = ["Copies", "copied"]


@dataclass(frozen=True)
class Copies:
    """Layers of each copy, one or two on a PE, and the number of copies."""

    layers: tuple[Tiling | TwoLayers, ...]
    count: int


def copied(tilings: Sequence[Tiling], params: GroupParams, count: int | None) -> Copies:
    """The stages of a chain for so many copies, or with None for as many as make images leave faster.

    Each copy stands on a block of 1, 4, 16, … PEs, with two layers on one where there would be too few. Among the sizes
    of blocks the one is taken with which images follow each other soonest: as soon as the busiest PEs of all copies
    together, the links into the chip, one an entry, and the link out of it let them.
    """
    if count == 1:
        layers = folded(tilings, params)
        assert layers is not None, "no chain"
        return Copies(tuple(layers), 1)
    choices = []
    for level in range(params.levels + 1):
        layers = folded(tilings, replace(params, levels=level, entries=1, exit_flits=0))
        if layers is None:
            continue
        flits = chain_flits(layers, params)
        cycles = max(reads(layer, params) for layer in layers) * params.pe.array.read_cycles
        # A turn of the root's children has the results of all copies below it.
        block = copy_pes(len(layers))
        fit = min(params.pes // block, max(1, MAX_TURN // flits[1]))
        # So many of the links into the chip as have copies of this size below them.
        links = sum(map(bool, copies_below(params.pes // block, block, params)))
        soonest = max(-(-flits[0] // links), flits[1])
        copies = min(fit, -(-cycles // soonest)) if count is None else count
        if copies <= fit:
            most = max(copies_below(copies, block, params))
            interval = max(-(-cycles // copies), -(-most * flits[0] // copies), flits[1])
            choices.append((interval, copies * len(layers), copies, layers))
    if not choices:
        raise OhmweaveError(
            f"{count} copies of {len(tilings)} stages do not fit the chip of {params.pes} PEs"
        )
    _, _, copies, layers = min(choices, key=lambda choice: choice[:3])
    return Copies(tuple(layers), copies) if copies > 1 else copied(tilings, params, 1)
