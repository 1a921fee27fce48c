"""The ways in which a network can run on a chip, and which is taken.

A chain of stages that each fit one PE runs as a pipeline, two of them on one PE where there are fewer PEs than stages
(`Copies`). Any other network that fits the chip as a whole runs as a pipeline as well, every stage on as many PEs as it
needs (`Mapped`). What is larger than the chip runs in parts, each of which fits it as a whole (`Parts`); and one stage
after the other what does not come apart so, or has nodes between its stages that only a host can do (`Layers`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.compiler import is_chain
from ohmweave.sim.copies import Copies, copied
from ohmweave.sim.graph import Graph
from ohmweave.sim.mapping.mapped import INTERVAL, Mapped, mapped
from ohmweave.sim.mapping.parts import Parts, parted
from ohmweave.sim.tiling import Tiling

__all__ = ["AUTO", "LAYERS", "MAPPINGS", "PARTS", "PIPELINE", "Layers", "Way", "way"]

#: All stages at once, each on PEs of its own; in parts; or one after the other; or the first of these that fits.
PIPELINE, PARTS, LAYERS, AUTO = "pipeline", "parts", "layers", "auto"
MAPPINGS = (AUTO, PIPELINE, PARTS, LAYERS)


@dataclass(frozen=True)
class Layers:
    """One stage after the other.

    why  not all of them at once; empty where that was asked for
    """

    tilings: Sequence[Tiling]
    why: str


Way = Copies | Mapped | Parts | Layers


def way(
    graph: Graph,
    tilings: Sequence[Tiling],
    params: GroupParams,
    *,
    copies: int | None,
    mapping: str = AUTO,
    aim: str = INTERVAL,
) -> Way:
    """How the network runs; `OhmweaveError` if it cannot as it is asked to.

    tilings  of its stages
    copies   of the network on the chip; None for as many as make images leave faster
    mapping  one of `MAPPINGS`
    aim      one of `mapped.AIMS`, of a network that is mapped as a whole
    """
    if mapping not in MAPPINGS:
        raise OhmweaveError(f"the mapping must be one of {', '.join(MAPPINGS)}, not {mapping!r}")
    why = ""
    if mapping in (AUTO, PIPELINE):
        if is_chain(graph, tilings, params):
            return copied(tilings, params, copies)
        try:
            return mapped(graph, params, copies, aim=aim)
        except OhmweaveError as error:
            if mapping == PIPELINE:
                raise
            why = str(error)
    if copies not in (None, 1):
        ways = "layer by layer" if mapping == LAYERS else "in parts"
        raise OhmweaveError(
            f"copies are of networks whose layers all fit the chip at once, and {graph.name} runs {ways}"
            + (f": {why}" if why else "")
        )
    if mapping != LAYERS:
        try:
            return parted(graph, params, aim=aim, why=why)
        except OhmweaveError as error:
            if mapping == PARTS:
                raise
            why = why or str(error)
    return Layers(tilings, why)
