"""What the units of a chip that stands still wait for: questions, answers, and the registers that tell."""

from typing import NamedTuple

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.tables import Tables

__all__ = ["MOVES", "RECEIVERS", "Answer", "Ask", "Registers"]

#: Receivers of a PE, in the order of the switch's outputs to them.
RECEIVERS = ("main", "shortcut", "side")


class Ask(NamedTuple):
    """A question: why a unit does not give what another waits for, or takes none of what another has for it.

    what   the name of the method that answers
    row    of the PE, node or entry
    which  the output, input, receiver, buffer or child
    """

    what: str
    row: int = 0
    which: int = 0


class Answer(NamedTuple):
    """Why: in words, if there is more to say than that it passes on what others give, and what that waits for.

    Without `waits` it is the end of a chain. `outside`: the chip is not to blame. `moves`: it does not wait.
    """

    says: str = ""
    waits: tuple[Ask, ...] = ()
    outside: bool = False
    moves: bool = False


MOVES = Answer("nothing holds it up", moves=True)


class Registers:
    """What a run of the model left.

    tables  as `chip.run` left them
    cycles  that it ran
    """

    def __init__(self, params: GroupParams, tables: Tables, cycles: int):
        self._params, self._t, self._cycles = params, tables, cycles

    def _enabled(self) -> np.ndarray:
        """Of each PE whether it was enabled."""
        return self._t.enabled < self._cycles

    def _sends_pools(self, p: int) -> int:
        """The program of the arithmetic half that sends: 1 for `pool`."""
        c = self._t.settings[p]
        return int(bool(c[st.C_POOL + st.P_ENABLE] and not c[st.C_SECOND]))
