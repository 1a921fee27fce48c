"""Simulators of the netlist, and the cycle model: the same outputs in the same cycles from each."""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.sim.backends.design import ChipSource, chip_source, group_source
from ohmweave.sim.backends.emit import write_netlist
from ohmweave.sim.backends.job import Job, Progress, Result, Standstill

__all__ = [
    "BACKENDS", "Backend", "ChipSource", "Job", "Progress", "Result", "chip_source", "get_backend", "group_source",
    "simulate", "write_netlist",
]  # fmt: skip


class Backend(Protocol):
    """What the module of a backend has to offer.

    `simulate` runs a job in `jobs` processes, each with a contiguous share of the frames and a pipeline that is
    empty when it starts. With `waves` it is one process, whose signals are written to that file; its suffix says
    the format. Raises `OhmweaveError` for a tool that is missing, a format it cannot write, a chip that hangs.
    """

    def simulate(
        self,
        source: ChipSource,
        job: Job,
        *,
        jobs: int = 1,
        waves: Path | None = None,
        progress: Progress | None = None,
    ) -> Result: ...


#: The simulators, by name: the module of each. The default stands first.
BACKENDS: dict[str, str] = {
    name: f"ohmweave.sim.backends.{name}" for name in ("cxxrtl", "verilator", "icarus", "pysim", "cycle")
}


def get_backend(name: str) -> Backend:
    """The backend called `name`; it is imported now, since not all need the same packages."""
    if name not in BACKENDS:
        raise OhmweaveError(f"the backend must be one of {', '.join(BACKENDS)}, not {name!r}")
    module: Backend = import_module(BACKENDS[name])
    return module


def simulate(
    params: GroupParams,
    job: Job,
    backend: str = "cxxrtl",
    *,
    jobs: int = 1,
    waves: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run `job` on the PE group of `params`; see `Backend`. Of a chip that hangs it is said who waits for whom."""
    try:
        return get_backend(backend).simulate(
            group_source(params), job, jobs=jobs, waves=waves, progress=progress
        )
    except Standstill as hang:
        if hang.why:
            raise
        # The cycle model, which a run that ends as it should does without.
        from ohmweave.sim.cycle.explain import explained

        raise explained(params, hang) from None
