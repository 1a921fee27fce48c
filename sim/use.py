"""What PEs and links did in a run, for its report: of a layer's PEs the busiest, of the links the busiest few."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import PEState
from ohmweave.rtl.links import links
from ohmweave.sim.report import LayerUse, LinkUse, NamedLink

if TYPE_CHECKING:
    from ohmweave.sim.backends import Result

__all__ = ["BUSIEST", "Ran", "link_use", "use_of"]

#: Links that a report names.
BUSIEST = 5


class Ran(NamedTuple):
    """A simulation of a layer, or of one of its passes: what came out, the layer's PEs, images of the first shard."""

    result: "Result"
    units: Sequence[int]
    images: int


def use_of(name: str, pes: int, runs: Sequence[Ran], interval: float | None) -> LayerUse:
    """How the busiest of a layer's PEs spent its time, an image, summed over the runs."""
    spent = np.zeros(len(PEState))
    for result, units, images in runs:
        busiest = max(units, key=lambda unit: int(result.busy[unit]))
        spent += result.states[busiest] / images
    read = float(spent[PEState.READ])
    return LayerUse(
        name,
        read,
        # Arrays that hold sums while the pipeline fills are at it for longer than the interval that follows.
        None if interval is None else max(0.0, interval - read),
        pes,
        compute=float(spent[PEState.COMPUTE]),
        wait_output=float(spent[PEState.OUTPUT]),
        wait_neighbour=float(spent[PEState.NEIGHBOUR]),
        wait_input=float(spent[PEState.INPUT]),
    )


def link_use(params: GroupParams, results: Sequence["Result"], images: int, interval: float) -> LinkUse:
    """What the links carried in all `results` together, of so many images in each, as shares of an interval."""
    flits = np.sum([result.flits for result in results], axis=0) / images
    order = np.argsort(-flits, kind="stable")[: np.count_nonzero(flits)]
    names = links(params)
    return LinkUse(
        used=len(order),
        mean=float(flits[order].sum() / max(1, len(order)) / interval),
        busiest=[
            NamedLink(names[place].name, float(flits[place]), float(flits[place] / interval))
            for place in order[:BUSIEST]
        ],
    )
