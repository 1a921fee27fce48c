"""What PEs did and links carried, from how many cycles each bit of a chip's `activity` was 1."""

from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import STATES, PEActivity, PEState
from ohmweave.rtl.links import links

__all__ = ["COUNTED", "Counts", "counts"]

#: Ports of a chip of which each bit is counted: the first that it has.
COUNTED = ("activity", "busy")


@dataclass(frozen=True)
class Counts:
    """As in `Result`."""

    busy: np.ndarray
    states: np.ndarray
    flits: np.ndarray

    @classmethod
    def of_states(cls, states: np.ndarray, flits: np.ndarray) -> "Counts":
        """From the cycles of each state but `OFF`, which are those that are left, and flits of the links."""
        return cls(states[:, PEState.READ].copy(), states, flits)


def counts(bits: np.ndarray, cycles: int, params: GroupParams | None) -> Counts:
    """The counts of a run whose frames took so many `cycles`.

    bits    cycles in which each bit was 1, of the first port of `COUNTED` that the chip has
    params  of the group of PEs, if the chip is one; of another only `busy` is known
    """
    if params is None:
        return Counts(bits, np.zeros((0, len(PEState)), np.int64), np.zeros(0, np.int64))
    size = PEActivity().size
    states = np.zeros((params.pes, len(PEState)), np.int64)
    states[:, : len(STATES)] = bits[: params.pes * size].reshape(params.pes, size)[:, : len(STATES)]
    states[:, PEState.OFF] = cycles - states.sum(axis=1)
    return Counts.of_states(states, bits[[link.bit for link in links(params)]])
