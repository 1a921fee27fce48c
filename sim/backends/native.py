"""Runs simulation executables: their files, their progress, several at once, and their end."""

import contextlib
import selectors
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams, GroupParams
from ohmweave.sim.backends.counts import counts
from ohmweave.sim.backends.job import Job, Progress, Result, fault_message, hang_message

__all__ = ["check_waves", "parse_result", "run_native", "write_job"]


def check_waves(backend: str, waves: Path | None, accepted: Collection[str]) -> None:
    """Refuse a file of waves that the backend cannot write."""
    if waves is None:
        return
    if waves.suffix not in accepted:
        raise OhmweaveError(
            f"the {backend} backend writes waves to a file that ends in {' or '.join(accepted)}, not {waves.name!r}"
        )
    try:
        waves.touch()
    except OSError as error:
        raise OhmweaveError(f"{waves} cannot be written: {error.strerror or error}") from None


@dataclass
class _Shard:
    job: Job
    folder: Path
    process: "subprocess.Popen[str]"
    log: IO[str]
    done: int = 0


def write_job(job: Job, folder: Path, arrays: Sequence[ArrayParams] | None = None) -> None:
    """The files that an executable reads; with the chip's `arrays` as hexadecimal text too, for Verilog."""
    numbers = [
        len(job.config), job.host_flits, len(job.frames), job.outputs_per_frame, job.idle_limit, job.entries,
        *job.lengths,
    ]  # fmt: skip
    (folder / "job.txt").write_text(" ".join(map(str, numbers)) + "\n")
    with (folder / "flits.bin").open("wb") as stream:
        for words in (job.config, job.host_data, *job.entry_data):
            words.astype("<u8").tofile(stream)
    if arrays is not None:
        # Amaranth comes with it, which only Icarus needs at this point.
        from ohmweave.rtl.crossbar.model import write_cells

        files = {f"entry{entry}": words.tolist() for entry, words in enumerate(job.entry_data)}
        for name, flits in ({"flits": job.flits} | files).items():
            (folder / f"{name}.hex").write_text("".join(f"{flit:x}\n" for flit in flits))
        for unit, levels in job.levels.items():
            array = next(array for array in arrays if (array.rows, array.cols) == levels.shape)
            write_cells(folder, unit, array, levels)
    with (folder / "cells.bin").open("wb") as stream:
        for unit, levels in sorted(job.levels.items()):
            np.array([unit, *levels.shape], "<u4").tofile(stream)
            np.ascontiguousarray(levels).tofile(stream)


def parse_result(text: str, job: Job) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """outputs, first_in, last_out, counts of bits and cycles from the lines that an executable wrote.

    `i cycle` a frame's first flit, `o cycle data` an output, `b cycles` of one counted bit, `c cycles` at the end,
    `h cycle` before it if the run was given up, `e cycle fault` if a PE met an instruction that is not one.
    """
    lines: dict[str, list[str]] = {kind: [] for kind in "iobche"}
    for line in text.splitlines():
        lines[line[0]].append(line[2:])
    frames, per_frame = len(job.frames), job.outputs_per_frame
    if lines["e"]:
        cycle, fault = map(int, lines["e"][0].split())
        raise fault_message(fault, cycle)
    if lines["h"]:
        raise hang_message(job, len(lines["o"]))
    if not lines["c"] or len(lines["o"]) != frames * per_frame or len(lines["i"]) != frames:
        raise OhmweaveError("the simulation ended before all outputs had come")
    stamped = np.array(" ".join(lines["o"]).split(), np.uint64).reshape(frames, per_frame, 2)
    return (
        stamped[:, :, 1].astype(job.frames.dtype),
        np.array(lines["i"], np.int64),
        stamped[:, -1, 0].astype(np.int64),
        np.array(lines["b"], np.int64),
        int(lines["c"][0]),
    )


@contextlib.contextmanager
def _started(
    command: Sequence[str | Path],
    shards: Sequence[Job],
    root: Path,
    where: Sequence[str],
    arrays: Sequence[ArrayParams] | None,
) -> Iterator[list[_Shard]]:
    """Processes that are gone when the block is left, however it is left."""
    running: list[_Shard] = []
    try:
        for number, job in enumerate(shards):
            folder = root / str(number)
            folder.mkdir()
            write_job(job, folder, arrays)
            log = (folder / "log.txt").open("w+")
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
            process = subprocess.Popen(
                [*map(str, command), *(argument.format(folder) for argument in where)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
            running.append(_Shard(job, folder, process, log))
        yield running
    finally:
        for shard in running:
            shard.process.kill()
            shard.process.wait()
            if shard.process.stdout:
                shard.process.stdout.close()
            shard.log.close()


def _watch(shards: Sequence[_Shard], progress: Progress | None) -> None:
    """Wait for all processes; `p frames` on their standard output is progress."""
    total = sum(len(shard.job.frames) for shard in shards)
    with selectors.DefaultSelector() as selector:
        for shard in shards:
            assert shard.process.stdout is not None
            selector.register(shard.process.stdout, selectors.EVENT_READ, shard)
        while selector.get_map():
            for key, _ in selector.select():
                shard = key.data
                line = shard.process.stdout.readline()
                if not line:
                    selector.unregister(shard.process.stdout)
                elif line.startswith("p ") and line[2:].strip().isdigit():
                    shard.done = int(line[2:])
                    if progress:
                        progress(sum(each.done for each in shards), total)
    for shard in shards:
        if shard.process.wait():
            shard.log.seek(0)
            said = " | ".join(shard.log.read().strip().splitlines()[-4:])
            code = shard.process.returncode
            raise OhmweaveError(f"the simulation ended with exit code {code}{f': {said}' if said else ''}")


def run_native(
    command: Sequence[str | Path],
    job: Job,
    arguments: Sequence[str | Path] = (),
    *,
    jobs: int = 1,
    started: float,
    progress: Progress | None = None,
    folder: Sequence[str] = ("{}",),
    arrays: Sequence[ArrayParams] | None = None,
    params: GroupParams | None = None,
) -> Result:
    """Run `command` FOLDER on the job, in `jobs` processes on contiguous shares of the frames.

    arguments  further ones, before the folder
    started    time.perf_counter() when the backend was called, for `build_s`
    folder     arguments that say where the job's folder is
    arrays     the chip's, if the executable reads the job as text
    params     of the group of PEs, if the chip is one
    """
    if jobs < 1:
        raise OhmweaveError(f"jobs must be at least 1, not {jobs}")
    begun = time.perf_counter()
    shares = np.array_split(job.frames, min(jobs, len(job.frames)))
    shards = [replace(job, frames=share) for share in shares]
    with tempfile.TemporaryDirectory(prefix="ohmweave-run-") as root:
        with _started([*command, *arguments], shards, Path(root), folder, arrays) as running:
            _watch(running, progress)
        parsed = [parse_result((shard.folder / "result.txt").read_text(), shard.job) for shard in running]
    outputs, first_in, last_out, bits, cycles = zip(*parsed, strict=True)
    found = counts(bits[0], cycles[0] - int(first_in[0][0]), params)
    return Result(
        outputs=np.concatenate(outputs),
        first_in=np.concatenate(first_in),
        last_out=np.concatenate(last_out),
        busy=found.busy,
        states=found.states,
        flits=found.flits,
        cycles=cycles[0],
        shards=tuple(len(shard.frames) for shard in shards),
        simulated=sum(cycles),
        build_s=begun - started,
        run_s=time.perf_counter() - begun,
    )
