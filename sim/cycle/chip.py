"""The chip's clock: one cycle after the other for the host, the trees and the PEs."""

import numpy as np

from ohmweave.rtl.activity import PEState
from ohmweave.sim.cycle.compiled import process
from ohmweave.sim.cycle.entries import E_FIRST, E_FLITS, E_TAKEN, enter, offers
from ohmweave.sim.cycle.exits import X_LEAF, X_OPEN, X_ROW, leave
from ohmweave.sim.cycle.links import collect, distribute, switch_moves, switch_takes
from ohmweave.sim.cycle.pe import pe_cycle
from ohmweave.sim.cycle.state import (
    AWAKE,
    CORE_TAKEN,
    M_CHILD,
    M_COLLECTS,
    M_ENTRY,
    M_LEAF,
    M_PARENT,
    N_OFFERED,
    N_TAKEN,
    N_UP_OFFERED,
    N_UP_TAKEN,
    PLACE_SIZE,
    SW_LOAD,
    SW_OFFERED,
    SW_SPARE,
    SW_SWITCH,
    SW_TAKEN,
)  # fmt: skip

__all__ = ["DONE", "HANGS", "run"]

#: How a run ended.
DONE, HANGS = 0, 1
RADIX = 4
#: What a PE does that is not enabled, as a plain number.
OFF = int(PEState.OFF)
#: Output of a PE's switch to the collection tree.
COLLECTION = 7


@process
def run(
    pes: np.ndarray, settings: np.ndarray, reram: np.ndarray, arithmetic: np.ndarray, enabled: np.ndarray,
    above: np.ndarray, nodes: np.ndarray, node_settings: np.ndarray, entries: np.ndarray, entry_settings: np.ndarray,
    exits: np.ndarray, exit_settings: np.ndarray,
    flits: int, flits_per_frame: int, first: int, outputs_per_frame: int, idle_limit: int,
    first_in: np.ndarray, last_out: np.ndarray, states: np.ndarray,
) -> tuple[int, int, int]:  # fmt: skip
    """Run until all outputs came: how it ended, the cycles it took, and how many outputs came.

    pes, settings        registers and settings of each PE; `reram`, `arithmetic`: its instruction tables
    enabled              cycle in which each PE's stage is enabled
    above                for each PE the row of the node above it, its number there, and the entry between them or -1
    nodes, node_settings those of the trees, the root first; none where the chip is a single PE
    entries, entry_settings those of the distribution tree; none where there is but the root
    exits, exit_settings the frame buffers behind the collection tree, beside the entries; none where there are none
    flits, first         flits of all frames at the root, and the cycle from which on the first of them is taken
    first_in, last_out, states  are filled: of each PE the cycles that it spent in each `PEState`; flits over links are
                         in the registers of the PEs and nodes
    """
    # What each PE does, since which cycle.
    does, since = np.full(len(pes), OFF, np.int64), np.zeros(len(pes), np.int64)
    fetched = np.zeros(PLACE_SIZE, np.int64)
    wanted = len(last_out) * outputs_per_frame
    sent = came = started = 0
    cycle = first
    for p in range(len(pes)):
        cycle = min(cycle, enabled[p])
    for e in range(len(entries)):
        cycle = min(cycle, entry_settings[e, E_FIRST])
    moved = first
    counting = False
    # Nodes above the entries.
    higher = 0
    for n in range(len(nodes)):
        if node_settings[n, M_ENTRY] >= 0:
            break
        higher += 1
    while True:
        host = 1 if sent < flits and cycle >= first else 0
        host_taken = 0
        out = 0
        for p in range(len(pes)):
            s = pes[p]
            if len(nodes):
                up, child, e = above[p, 0], above[p, 1], above[p, 2]
                if e >= 0:
                    if switch_takes(pes, settings, p, offers(entries[e], entry_settings[e], cycle)):
                        entries[e, E_TAKEN] = 1
                elif switch_takes(pes, settings, p, nodes[up, N_OFFERED] >> child & 1):
                    nodes[up, N_TAKEN] |= 1 << child
            else:
                host_taken = switch_takes(pes, settings, p, host)
                out = s[SW_OFFERED] >> COLLECTION & 1
                s[SW_TAKEN] |= out << COLLECTION
        for n in range(len(nodes) - 1, -1, -1):
            if n == higher - 1:
                for e in range(len(entries)):
                    number = enter(e, entries[e], entry_settings[e], nodes, exits, exit_settings, cycle)
                    if number:
                        moved = cycle
                        # The first flit of a frame that no other entry has begun.
                        if number - 1 == started * entry_settings[e, E_FLITS]:
                            first_in[started] = cycle
                            started += 1
            up, child, e = node_settings[n, M_PARENT], node_settings[n, M_CHILD], node_settings[n, M_ENTRY]
            if n == 0:
                host_taken = distribute(nodes[0], node_settings[0], host)
            elif e >= 0:
                if distribute(nodes[n], node_settings[n], offers(entries[e], entry_settings[e], cycle)):
                    entries[e, E_TAKEN] = 1
            elif distribute(nodes[n], node_settings[n], nodes[up, N_OFFERED] >> child & 1):
                nodes[up, N_TAKEN] |= 1 << child
        for k in range(len(exits)):
            if exit_settings[k, X_OPEN]:
                offered, row = 0, exit_settings[k, X_ROW]
                if exit_settings[k, X_LEAF] == 0:
                    offered = nodes[row, N_UP_OFFERED]
                elif row >= 0:
                    offered = pes[row, SW_OFFERED] >> COLLECTION & 1
                if leave(exits[k], exit_settings[k], offered):
                    if exit_settings[k, X_LEAF]:
                        pes[row, SW_TAKEN] |= 1 << COLLECTION
                    else:
                        nodes[row, N_UP_TAKEN] = 1
        if len(nodes):
            out = nodes[0, N_UP_OFFERED]
            nodes[0, N_UP_TAKEN] = out
            for n in range(len(nodes)):
                m = node_settings[n]
                offered = 0
                for child in range(RADIX):
                    below = m[M_COLLECTS + child]
                    if below < 0:
                        continue
                    if m[M_LEAF]:
                        offered |= (pes[below, SW_OFFERED] >> COLLECTION & 1) << child
                    else:
                        offered |= nodes[below, N_UP_OFFERED] << child
                taken = collect(nodes[n], m, offered)
                if taken >= 0:
                    if m[M_LEAF]:
                        pes[m[M_COLLECTS + taken], SW_TAKEN] |= 1 << COLLECTION
                    else:
                        nodes[m[M_COLLECTS + taken], N_UP_TAKEN] = 1
        if host_taken:
            if sent % flits_per_frame == 0:
                first_in[started] = cycle
                started += 1
            sent += 1
            moved = cycle
        if started and not counting:
            counting = True
            since[:] = cycle
        for p in range(len(pes)):
            s = pes[p]
            if cycle >= enabled[p] and (s[AWAKE] != 0 or s[CORE_TAKEN] != 0):
                now = pe_cycle(s, settings[p], reram[p], arithmetic[p], fetched)
                if now != does[p]:
                    if counting:
                        states[p, does[p]] += cycle - since[p]
                        since[p] = cycle
                    does[p] = now
        for p in range(len(pes)):
            s = pes[p]
            if s[SW_OFFERED] | s[SW_SWITCH] | s[SW_SPARE] | s[SW_LOAD] != 0:
                switch_moves(s)
        if out:
            came += 1
            moved = cycle
            if came % outputs_per_frame == 0:
                last_out[came // outputs_per_frame - 1] = cycle
            if came == wanted:
                for p in range(len(pes)):
                    states[p, does[p]] += cycle + 1 - since[p]
                return DONE, cycle + 1, came
        elif cycle - moved >= idle_limit:
            return HANGS, cycle + 1, came
        cycle += 1
