"""What a simulation is asked and what it answers, the same for every backend."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from ohmweave.sim.program import Program

__all__ = [
    "IDLE_LIMIT", "RESET_CYCLES", "Job", "Progress", "Result", "Standstill", "fault_message", "hang_message",
]  # fmt: skip

#: Cycles of reset before cycle 0.
RESET_CYCLES = 2
#: Bit of a word of `Job.config` that marks configuration; on host_in it is the bit above the link's data.
CONFIG_BIT = 16
IDLE_LIMIT = 200_000
#: Types of flits: as wide as links can be.
LINK_TYPES = (np.uint16, np.uint32, np.uint64)

#: Names of `isa.Half`, which stays on the hardware's side.
HALVES = ("ReRAM", "arithmetic")

#: Called with (frames finished, frames in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Cells, configuration and frames for one chip.

    levels             conductance levels of each array, by its unit number: uint8 (rows, cols)
    config             flits sent first, 1-D: 16 bits of data each; bit 16 marks configuration
    frames             data flits, uint16, uint32 or uint64 as wide as the links, one frame after the other as fast as
                       the chip takes them: (N, F) to host_in behind the configuration, or (N, entries, F) to every
                       entry of the chip, side by side
    entry_flits        flits of a frame at each entry, of which `frames` has F; None: F at all of them
    outputs_per_frame  words that come out of host_out for a frame
    idle_limit         cycles without a transfer on host_in or host_out after which the run is given up
    names              unit → what it runs, for messages
    """

    levels: Mapping[int, np.ndarray]
    config: np.ndarray
    frames: np.ndarray
    outputs_per_frame: int
    entry_flits: tuple[int, ...] | None = None
    idle_limit: int = IDLE_LIMIT
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, program: "Program", frames: np.ndarray) -> Self:
        """Frames, as `program.encode` made them, through a compiled program."""
        return cls(
            levels=program.levels,
            config=program.config,
            frames=frames,
            outputs_per_frame=program.outputs_per_frame,
            entry_flits=program.entry_flits(frames),
            names=program.names,
        )

    def __post_init__(self) -> None:
        for unit, levels in self.levels.items():
            if levels.dtype != np.uint8 or levels.ndim != 2:
                raise ValueError(
                    f"Levels of unit {unit} must be uint8 (rows, cols), not {levels.dtype} {levels.shape}"
                )
        if self.config.ndim != 1 or (self.config.size and int(self.config.max()) >> (CONFIG_BIT + 1)):
            raise ValueError(f"Configuration must be 1-D flits of 17 bits, not {self.config.shape}")
        if self.frames.dtype not in LINK_TYPES or self.frames.ndim not in (2, 3) or not self.frames.size:
            raise ValueError(
                "Frames must be uint16, uint32 or uint64 (N, F) or (N, entries, F), "
                f"not {self.frames.dtype} {self.frames.shape}"
            )
        lengths, longest = self.entry_flits, self.frames.shape[-1]
        if lengths is not None and (
            len(lengths) != self.entries or not set(lengths) <= set(range(longest + 1))
        ):
            raise ValueError(
                f"Flits at the entries must be from 0 to {longest} at each of {self.entries}, not {lengths}"
            )
        if self.outputs_per_frame < 1 or self.idle_limit < 1:
            raise ValueError("Outputs per frame and the idle limit must be at least 1")

    @property
    def link_bits(self) -> int:
        """Bits of data of a flit."""
        return 8 * self.frames.dtype.itemsize

    @property
    def entries(self) -> int:
        """Entries that the frames are for; 0: they go to host_in."""
        return self.frames.shape[1] if self.frames.ndim == 3 else 0

    @property
    def host_flits(self) -> int:
        """Flits of a frame at host_in."""
        return 0 if self.entries else self.frames.shape[1]

    @property
    def host_data(self) -> np.ndarray:
        """Data that follow the configuration at host_in, in order."""
        return self.frames[:0].reshape(-1) if self.entries else self.frames.reshape(-1)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Flits of a frame at each entry."""
        return (self.frames.shape[-1],) * self.entries if self.entry_flits is None else self.entry_flits

    @property
    def entry_data(self) -> list[np.ndarray]:
        """Data at each entry, in order."""
        return [self.frames[:, entry, :length].reshape(-1) for entry, length in enumerate(self.lengths)]

    def check_entries(self, entries: int) -> None:
        """Refuse frames for other entries than the chip has; one that has none but the root has 0 of its own."""
        if self.entries not in (0, entries):
            raise OhmweaveError(f"the frames are for {self.entries} entries, and the chip has {entries or 1}")

    @property
    def flits(self) -> list[int]:
        """What is sent to host_in: data, and above them the bit that marks configuration."""
        mark = self.link_bits - CONFIG_BIT
        config = [
            (word >> CONFIG_BIT) << (CONFIG_BIT + mark) | word & 0xFFFF for word in self.config.tolist()
        ]
        return config + self.host_data.tolist()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out. Cycle 0 is the first cycle after reset; a stamp is the cycle of the transfer.

    outputs    (N, outputs_per_frame), of the frames' type
    first_in   int64 (N,): cycle in which a frame's first flit was taken, at whichever entry
    last_out   int64 (N,): cycle in which its last output came
    busy       int64 (units,): cycles in which each bit of `busy` was 1, from the first frame's first flit to the
               last output, both included
    states     int64 (PEs, 6): of these cycles those that each PE spent in each `PEState`, in its order; `busy` is the
               first column. Of a chip that is no group of PEs there are no rows
    flits      int64: flits of data that went over each of `links.links` in these cycles
    cycles     cycles from reset to the last output
    shards     frames of each process; every shard's stamps count from its own reset, on a chip that was empty, and
               `busy`, `states`, `flits` and `cycles` are those of the first
    simulated  cycles of all shards together
    build_s    seconds until the simulation could start
    run_s      seconds it ran
    """

    outputs: np.ndarray
    first_in: np.ndarray
    last_out: np.ndarray
    busy: np.ndarray
    states: np.ndarray
    flits: np.ndarray
    cycles: int
    shards: tuple[int, ...]
    simulated: int
    build_s: float
    run_s: float


class Standstill(OhmweaveError):
    """A run in which nothing moves any more: its job, how many outputs came, and why, if that is known."""

    def __init__(self, message: str, job: Job, came: int, why: str):
        super().__init__(message)
        self.job, self.came, self.why = job, came, why


def hang_message(job: Job, came: int, why: str = "") -> Standstill:
    """The refusal of a run in which nothing moves any more."""
    message = (
        f"the simulation hangs: {came} of {len(job.frames) * job.outputs_per_frame} outputs came, and then nothing "
        f"was transferred for {job.idle_limit} cycles"
    )
    return Standstill(f"{message}; {why}" if why else message, job, came, why)


def fault_message(fault: int, cycle: int) -> OhmweaveError:
    """The refusal of a run in which a PE met an instruction that is not one; `fault` are the bits of a `Fault`."""
    half = HALVES[fault >> 1 & 1]
    return OhmweaveError(
        f"PE {fault >> 16} stopped in cycle {cycle}: instruction {fault >> 2 & 0x3FFF} of its {half} half is not legal"
    )
