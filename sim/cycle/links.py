"""Switches of the PEs and nodes of the trees: flits on their way, one for each register of the netlist.

A cycle goes from the end of a path to its beginning, since an input is ready by what happens behind it. What a switch
takes depends on its registers alone, so that the rings of the mesh need no order: first all switches choose what
they take (`switch_takes`), last they move on (`switch_moves`).
"""

import numpy as np

from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.state import (
    AWAKE,
    C_BIT,
    C_FLITS,
    C_FROM,
    C_INPUTS,
    C_TURNS,
    CORE_TAKEN,
    M_DEAL,
    M_TURN,
    N_CHILDREN,
    N_COUNT,
    N_DEALT,
    N_FLITS,
    N_OFFERED,
    N_SELECT,
    N_SWITCH,
    N_TAKEN,
    N_UP_FLITS,
    N_UP_OFFERED,
    N_UP_SWITCH,
    N_UP_TAKEN,
    SN_VALID,
    SW_COUNT,
    SW_FLITS,
    SW_LATER,
    SW_LOAD,
    SW_OFFERED,
    SW_SPARE,
    SW_SWITCH,
    SW_TAKEN,
    SW_WANTED,
)  # fmt: skip

__all__ = ["collect", "distribute", "switch_moves", "switch_takes"]

INPUTS, OUTPUTS = 6, 8
TREE, CORE = 0, 5
RADIX = 4
#: Outputs that the PE itself takes flits from, how many they are, and how many links out of the PE follow.
RECEIVING, RECEIVERS, LEAVING = 0b111, 3, 5


@process
def _turns(s: np.ndarray, c: np.ndarray, loaded: int) -> None:
    """Outputs with turns took a flit: those whose turn is over go on to their other input."""
    for n in range(OUTPUTS):
        if loaded >> n & 1 == 0:
            continue
        now = s[SW_LATER] >> n & 1
        s[SW_COUNT + n] += 1
        if s[SW_COUNT + n] != c[C_FLITS + now * OUTPUTS + n]:
            continue
        s[SW_COUNT + n] = 0
        s[SW_LATER] ^= 1 << n
        s[SW_WANTED + c[C_INPUTS + now * OUTPUTS + n]] &= ~(1 << n)
        following = c[C_INPUTS + (1 - now) * OUTPUTS + n]
        if following >= 0:
            s[SW_WANTED + following] |= 1 << n


@process
def switch_takes(pes: np.ndarray, settings: np.ndarray, p: int, tree: int) -> int:
    """What the switch of PE `p` takes in this cycle; 1 if it takes the flit of the tree, if one is there (`tree`).

    A flit is taken when every output that selects its input now can load it.
    """
    s, c = pes[p], settings[p]
    can_load = ~(s[SW_SWITCH] & s[SW_SPARE])
    load = 0
    taken = 0
    for i in range(INPUTS):
        wanted = s[SW_WANTED + i]
        if wanted == 0 or can_load & wanted != wanted:
            continue
        if i == TREE:
            if tree == 0:
                continue
            taken = 1
            s[SW_FLITS + LEAVING] += 1
        elif i == CORE:
            if s[SN_VALID] == 0:
                continue
            s[CORE_TAKEN] = 1
        else:
            source, bit = c[C_FROM + i], c[C_BIT + i]
            if source < 0 or pes[source, SW_OFFERED] & bit == 0:
                continue
            pes[source, SW_TAKEN] |= bit
        load |= wanted
    s[SW_LOAD] = load
    if load & c[C_TURNS] != 0:
        _turns(s, c, load & c[C_TURNS])
    return taken


@process
def switch_moves(s: np.ndarray) -> None:
    """The clock edge of a switch: each output has a switch register, a link register and a spare place."""
    offered, switch, spare = s[SW_OFFERED], s[SW_SWITCH], s[SW_SPARE]
    if offered | switch | spare | s[SW_LOAD] == 0:
        return
    gone = (offered & s[SW_TAKEN]) >> RECEIVERS
    if gone:
        for n in range(LEAVING):
            s[SW_FLITS + n] += gone >> n & 1
    free = ~offered | s[SW_TAKEN]
    after = (free & (spare | switch)) | (~free & offered)
    s[SW_SPARE] = ~free & (spare | switch)
    s[SW_SWITCH] = s[SW_LOAD] | (switch & spare)
    if after & RECEIVING != offered & RECEIVING:
        s[AWAKE] = 1
    s[SW_OFFERED] = after
    s[SW_LOAD] = 0
    s[SW_TAKEN] = 0


@process
def _following(m: np.ndarray, turns: int, child: int) -> int:
    """The child after `child` that has a turn."""
    for step in range(1, RADIX):
        if m[turns + (child + step) % RADIX] != 0:
            return (child + step) % RADIX
    return child


@process
def distribute(n: np.ndarray, m: np.ndarray, valid: int) -> int:
    """A node of the distribution tree; 1 if it takes the flit that its parent offers (`valid`)."""
    link = ~n[N_OFFERED] | n[N_TAKEN]
    switch = n[N_SWITCH]
    wanted = n[N_CHILDREN]
    load = 0
    if valid != 0 and wanted != 0 and (~switch | link) & wanted == wanted:
        load = wanted
    n[N_OFFERED] = (link & switch) | (~link & n[N_OFFERED])
    n[N_SWITCH] = load | (switch & ~link)
    n[N_TAKEN] = 0
    if load == 0:
        return 0
    n[N_FLITS] += 1
    # Where data are dealt out they go to one child: to the next with a turn when its own is over.
    for child in range(RADIX):
        if wanted == 1 << child and m[M_DEAL + child] != 0:
            n[N_DEALT] += 1
            if n[N_DEALT] == m[M_DEAL + child]:
                n[N_DEALT] = 0
                n[N_CHILDREN] = 1 << _following(m, M_DEAL, child)
            break
    return 1


@process
def collect(n: np.ndarray, m: np.ndarray, offered: int) -> int:
    """A node of the collection tree: the child from which it takes a flit, of those `offered`; -1 if none."""
    link = n[N_UP_OFFERED] == 0 or n[N_UP_TAKEN] != 0
    switch = n[N_UP_SWITCH]
    child = n[N_SELECT] - 1
    taken = -1
    if child >= 0 and offered >> child & 1 and (switch == 0 or link):
        taken = child
        turn = m[M_TURN + child]
        if turn != 0:
            n[N_COUNT] += 1
            if n[N_COUNT] == turn:
                n[N_COUNT] = 0
                n[N_SELECT] = _following(m, M_TURN, child) + 1
    n[N_UP_FLITS] += n[N_UP_OFFERED] & n[N_UP_TAKEN]
    if link:
        n[N_UP_OFFERED] = switch
    if taken >= 0:
        n[N_UP_SWITCH] = 1
    elif link:
        n[N_UP_SWITCH] = 0
    n[N_UP_TAKEN] = 0
    return taken
