"""A chain of more stages than the chip has PEs: two neighbours share a PE where they fit one together."""

from collections.abc import Sequence

from ohmweave.params import GroupParams
from ohmweave.sim.stage_program import blocks
from ohmweave.sim.tiling import Tiling
from ohmweave.sim.two_layers import TwoLayers, two_layers

__all__ = ["folded", "reads"]


def folded(tilings: Sequence[Tiling], params: GroupParams) -> list[Tiling | TwoLayers] | None:
    """The stages of a chain for as many PEs as there are; None if there are too few.

    Every PE has one stage while there are enough. Else the busiest PE has as few reads of its array as can be, which
    is the interval between images; among such foldings the one with the fewest PEs is taken.
    """
    if len(tilings) <= params.pes:
        return list(tilings)
    if len(tilings) > 2 * params.pes:
        return None
    pairs = [two_layers(tilings[at], tilings[at + 1], params.pe) for at in range(len(tilings) - 1)]
    single = [reads(tiling, params) for tiling in tilings]
    double = [single[at] + single[at + 1] for at, pair in enumerate(pairs) if pair is not None]
    for limit in sorted({*single, *double}):
        found = _within(limit, tilings, pairs, single)
        if found is not None and len(found) <= params.pes:
            return found
    return None


def reads(layer: Tiling | TwoLayers, params: GroupParams) -> int:
    """Reads of the array for a frame."""
    return sum(
        tiling.windows * tiling.reads * blocks(tiling.stage.out_channels, params.pe) for tiling in layer.parts
    )


def _within(
    limit: int, tilings: Sequence[Tiling], pairs: Sequence[TwoLayers | None], single: Sequence[int]
) -> list[Tiling | TwoLayers] | None:
    """The folding onto the fewest PEs, none of which has more reads than `limit`."""
    if max(single) > limit:
        return None
    best: list[list[Tiling | TwoLayers]] = [[]]
    for at, tiling in enumerate(tilings):
        chosen = [*best[at], tiling]
        pair = pairs[at - 1] if at else None
        if pair is not None and single[at - 1] + single[at] <= limit and len(best[at - 1]) + 1 < len(chosen):
            chosen = [*best[at - 1], pair]
        best.append(chosen)
    return best[-1]
