"""What a PE does in a cycle, by the registers that it begins the cycle with."""

import numpy as np

from ohmweave.rtl.activity import PEState
from ohmweave.sim.cycle.arithmetic import in_lanes, working
from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    A_KIND,
    A_LAST,
    A_WINDOW,
    CT_PLACE,
    CT_VALID,
    DES_NETWORK,
    IS_DES,
    IS_SIDE,
    IS_VALID,
    ISSUE,
    KIND_OPERATION,
    OUT,
    PL_INDEX,
    PL_LAST_PIXEL,
    PL_PROBE,
    SD_VALID,
    SIDE,
)  # fmt: skip

__all__ = ["activity"]

# As plain numbers, for the processes.
READ, COMPUTE, OUTPUT = int(PEState.READ), int(PEState.COMPUTE), int(PEState.OUTPUT)
NEIGHBOUR, INPUT = int(PEState.NEIGHBOUR), int(PEState.INPUT)


@process
def activity(s: np.ndarray, ai: np.ndarray, busy: int, sender_ready: int, waits: int, window: int) -> int:
    """The `PEState` of an enabled PE whose lanes have not moved yet in this cycle.

    busy          the array reads
    sender_ready  the sender takes a vector; waits: its own flit is not taken
    window        there is a window for the arithmetic half
    """
    if busy:
        return READ
    stuck = s[OUT + IS_VALID] != 0 and s[OUT + IS_DES] == DES_NETWORK and sender_ready == 0
    lacks = False
    if not in_lanes(s):
        if s[ISSUE + IS_VALID] != 0:
            lacks = s[ISSUE + IS_SIDE] != 0 and s[SIDE + SD_VALID] == 0
        elif s[CT_VALID] != 0 and window == 0:
            i = s[CT_PLACE + PL_INDEX]
            due = ai[i, A_LAST] == 0 or s[CT_PLACE + PL_LAST_PIXEL] != 0
            operation = ai[i, A_KIND] == KIND_OPERATION and s[CT_PLACE + PL_PROBE] == 0
            lacks = operation and due and ai[i, A_WINDOW] != 0
    if working(s) and not stuck and not lacks:
        return COMPUTE
    if stuck or waits != 0:
        return OUTPUT
    return NEIGHBOUR if lacks else INPUT
