"""When everything happens: the processes of a chip, run to the last output."""

from dataclasses import dataclass

import numpy as np

from ohmweave.params import GroupParams
from ohmweave.sim.backends.job import Job, hang_message
from ohmweave.sim.cycle.chip import DONE, run
from ohmweave.sim.cycle.decode import ChipSettings
from ohmweave.sim.cycle.entries import E_DATA, E_FLITS, E_LEFT
from ohmweave.sim.cycle.standstill import standstill
from ohmweave.sim.cycle.tables import tables

__all__ = ["Timing", "timing"]


@dataclass(frozen=True)
class Timing:
    """Stamps and counts of a run, as in `Result`."""

    first_in: np.ndarray
    last_out: np.ndarray
    busy: np.ndarray
    cycles: int


def timing(params: GroupParams, chip: ChipSettings, job: Job) -> Timing:
    """A job's frames on an empty chip; refused where it would hang."""
    frames = len(job.frames)
    made = tables(params, chip)
    first_in, last_out = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    busy = np.zeros(len(made.units), np.int64)
    for entry, flits in enumerate(job.lengths):
        made.entries[entry, E_LEFT] = made.entry_settings[entry, E_DATA] = frames * flits
        made.entry_settings[entry, E_FLITS] = flits
    ended, cycles, came = run(
        made.pes, made.settings, made.reram, made.arithmetic, made.enabled, made.above, made.nodes,
        made.node_settings, made.entries, made.entry_settings, made.exits, made.exit_settings,
        job.host_data.size, job.host_flits, chip.first, job.outputs_per_frame, job.idle_limit, first_in, last_out, busy,
    )  # fmt: skip
    if ended != DONE:
        raise hang_message(job, came, standstill(params, made, cycles, job))
    everyone = np.zeros(params.pes, np.int64)
    everyone[made.units] = busy
    return Timing(first_in, last_out, everyone, int(cycles))
