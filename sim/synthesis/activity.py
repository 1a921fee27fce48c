"""What registers, inputs and macros of a chip hold in a real run, recorded by the native simulator.

A recording has windows of 64 consecutive cycles, one every `every` cycles from the first frame on: a bit of the chip
in one window is a word of 64 bits, the first cycle lowest. Configuration before the first frame is not recorded.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends import Job, Result
from ohmweave.sim.backends.cxxrtl import EXECUTABLE, LAYOUT, WINDOW, build
from ohmweave.sim.backends.cxxrtl_activity import Recorded
from ohmweave.sim.backends.design import ChipSource
from ohmweave.sim.backends.native import run_native

__all__ = ["MAX_BYTES", "WINDOW", "Instance", "Recording", "record"]

#: Most bytes of a recording before it is put together; more windows than that leave room for are refused.
MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class Instance:
    """An instance of a part in the windows.

    path   of the instance, "" for the chip
    words  (bits, windows): all values of the part, one after the other; (bits, 1) if nothing changed in any window
    """

    path: str
    part: str
    words: np.ndarray

    @property
    def idle(self) -> bool:
        """Whether nothing changed in any window."""
        return bool(((self.words == 0) | (self.words == ~np.uint64(0))).all())


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    values   part → the values of its instances, in the order of their words
    windows  how many
    """

    result: Result
    values: dict[str, list[Recorded]]
    instances: list[Instance]
    windows: int


def record(source: ChipSource, job: Job, *, every: int = 1024) -> Recording:
    """Run `job` and record a window every `every` cycles."""
    if every < WINDOW:
        raise OhmweaveError(f"every must be at least {WINDOW}, not {every}")
    started = time.perf_counter()
    folder = build(source.design(), activity=True).parent
    kept = json.loads((folder / LAYOUT).read_text())
    values = {part: [Recorded(name, bits, kind) for name, bits, kind in fields] for part, fields in kept}
    with tempfile.TemporaryDirectory(prefix="ohmweave-activity-") as temporary:
        path = Path(temporary) / "activity.bin"
        result = run_native(
            [folder / EXECUTABLE], job, [path, str(every)], started=started, params=source.params
        )
        if path.stat().st_size > MAX_BYTES:
            raise OhmweaveError(
                f"a recording must have at most {MAX_BYTES} bytes; record a window less often"
            )
        instances, windows = _read(path.read_bytes(), values)
    return Recording(result, values, instances, windows)


def _read(data: bytes, values: dict[str, list[Recorded]]) -> tuple[list[Instance], int]:
    head, _, _ = data.partition(b"\n\n")
    names = [line.rpartition(" ")[::2] for line in head.decode().split("\n")]
    words = np.frombuffer(data, "<u4", offset=len(head) + 2)
    sizes = [sum(-(-value.bits // 32) for value in values[part]) for _, part in names]
    columns = {part: _columns(fields) for part, fields in values.items()}
    # Of each instance and each window: rows, one a cycle; fewer where it stayed as it was.
    found: list[list[list[np.ndarray]]] = [[] for _ in names]
    position = cycle = 0
    while position < len(words):
        position += 1
        for number, size in enumerate(sizes):
            if cycle % WINDOW == 0:
                found[number].append([])
            if words[position]:
                found[number][-1].append(words[position + 1 : position + 1 + size])
                position += size
            else:
                found[number][-1].append(found[number][-1][-1])
            position += 1
        cycle += 1
    windows = cycle // WINDOW  # the last one may be cut off
    if not windows:
        raise OhmweaveError(f"a recording must have a window of {WINDOW} cycles, and the run was shorter")
    instances = []
    for (path, part), rows in zip(names, found, strict=True):
        packed = [_pack(window, columns[part]) for window in rows[:windows]]
        instances.append(Instance(path, part, np.stack(packed, axis=1)))
    return instances, windows


def _columns(fields: list[Recorded]) -> np.ndarray:
    """Where each bit stands in a row of whole words."""
    found, start = [], 0
    for value in fields:
        found.append(np.arange(start, start + value.bits))
        start += -(-value.bits // 32) * 32
    return np.concatenate([*found, np.zeros(0, np.int64)]).astype(np.int64)


def _pack(rows: list[np.ndarray], columns: np.ndarray) -> np.ndarray:
    """A window's rows as a word for each bit."""
    if all(row is rows[0] for row in rows):
        bits = np.unpackbits(rows[0].view(np.uint8), bitorder="little")[columns]
        return np.where(bits == 1, ~np.uint64(0), np.uint64(0))
    grid = np.unpackbits(np.stack(rows).view(np.uint8), axis=1, bitorder="little")[:, columns]
    return np.packbits(grid, axis=0, bitorder="little").T.copy().view("<u8")[:, 0].astype(np.uint64)
