"""When everything happens: the processes of a chip, run to the last output."""

from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.rtl.activity import LINKS, STATES, ActivityLayout, PEActivity, PEState
from ohmweave.rtl.group import node_unit
from ohmweave.rtl.links import links
from ohmweave.rtl.network.tree_node import FIRST_NODE_UNIT
from ohmweave.sim.backends.counts import Counts
from ohmweave.sim.backends.job import Job, hang_message
from ohmweave.sim.cycle import state as st
from ohmweave.sim.cycle.chip import DONE, run
from ohmweave.sim.cycle.decode import ChipSettings
from ohmweave.sim.cycle.entries import E_DATA, E_FLITS, E_LEFT
from ohmweave.sim.cycle.standstill import standstill
from ohmweave.sim.cycle.tables import Tables, tables

__all__ = ["Timing", "timing"]


@dataclass(frozen=True)
class Timing:
    """Stamps and counts of a run, as in `Result`."""

    first_in: np.ndarray
    last_out: np.ndarray
    counts: Counts
    cycles: int


def timing(params: GroupParams, chip: ChipSettings, job: Job) -> Timing:
    """A job's frames on an empty chip; refused where it would hang."""
    frames = len(job.frames)
    made = tables(params, chip)
    first_in, last_out = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    states = np.zeros((len(made.units), len(PEState)), np.int64)
    for entry, flits in enumerate(job.lengths):
        made.entries[entry, E_LEFT] = made.entry_settings[entry, E_DATA] = frames * flits
        made.entry_settings[entry, E_FLITS] = flits
    ended, cycles, came = run(
        made.pes, made.settings, made.reram, made.arithmetic, made.enabled, made.above, made.nodes,
        made.node_settings, made.entries, made.entry_settings, made.exits, made.exit_settings,
        job.host_data.size, job.host_flits, chip.first, job.outputs_per_frame, job.idle_limit, first_in, last_out,
        states,
    )  # fmt: skip
    if ended != DONE:
        raise hang_message(job, came, standstill(params, made, cycles, job))
    return Timing(first_in, last_out, _counts(params, made, states, cycles - first_in[0]), int(cycles))


def _counts(params: GroupParams, made: Tables, states: np.ndarray, cycles: int) -> Counts:
    """Of all PEs and links, also those that were told nothing."""
    everyone = np.zeros((params.pes, len(PEState)), np.int64)
    everyone[:, PEState.OFF] = cycles
    everyone[made.units] = states
    layout = ActivityLayout(params)
    size = PEActivity().size
    bits = np.zeros(layout.size, np.int64)
    for row, unit in enumerate(made.units):
        first = unit * size + len(STATES)
        bits[first : first + len(LINKS)] = made.pes[row, st.SW_FLITS : st.SW_FLITS + len(LINKS)]
    for (level, index), row in made.node_rows.items():
        first = params.pes * size + 2 * (node_unit(level, index) - FIRST_NODE_UNIT)
        bits[first : first + 2] = made.nodes[row, st.N_FLITS], made.nodes[row, st.N_UP_FLITS]
    return Counts.of_states(everyone, bits[[link.bit for link in links(params)]])
