"""The cycle model as a backend: no netlist, the same outputs in the same cycles."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.design import ChipSource
from ohmweave.sim.backends.job import Job, Progress, Result
from ohmweave.sim.cycle.decode import chip_settings
from ohmweave.sim.cycle.timing import timing
from ohmweave.sim.cycle.values import outputs

__all__ = ["simulate"]


def simulate(
    source: ChipSource,
    job: Job,
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run `job`, in one process; with `jobs` > 1 it is shared out, and the shares run one after the other.

    Raises `OhmweaveError` for what the model does not describe, and where the netlist would hang.
    """
    if waves is not None:
        raise OhmweaveError("the cycle backend has no signals to write waveforms of")
    if source.params is None:
        raise OhmweaveError("the cycle backend runs groups of PEs, and this chip is none")
    if jobs < 1:
        raise OhmweaveError(f"jobs must be at least 1, not {jobs}")
    started = time.perf_counter()
    params = source.params
    job.check_entries(params.entries if params.entries > 1 else 0)
    chip = chip_settings(params, job.config)
    begun = time.perf_counter()
    shares = np.array_split(job.frames, min(jobs, len(job.frames)))
    counts = [len(share) for share in shares]
    # When everything happens depends on no number: shares of one size are alike.
    times = {len(share): timing(params, chip, replace(job, frames=share)) for share in shares}
    jobs_of_shares = [replace(job, frames=share) for share in shares]
    came = [
        outputs(params, chip, dict(job.levels), each.host_data, each.entry_data) for each in jobs_of_shares
    ]
    per_frame = job.outputs_per_frame
    words = [
        part[: count * per_frame].reshape(count, per_frame) for part, count in zip(came, counts, strict=True)
    ]
    found = times[counts[0]].counts
    if progress:
        progress(len(job.frames), len(job.frames))
    return Result(
        outputs=np.concatenate(words).astype(job.frames.dtype),
        first_in=np.concatenate([times[count].first_in for count in counts]),
        last_out=np.concatenate([times[count].last_out for count in counts]),
        busy=found.busy,
        states=found.states,
        flits=found.flits,
        cycles=times[counts[0]].cycles,
        shards=tuple(counts),
        simulated=sum(times[count].cycles for count in counts),
        build_s=begun - started,
        run_s=time.perf_counter() - begun,
    )
