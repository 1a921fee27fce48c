"""The recording of activity: every register of every part, against the waveforms of another run."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends import cxxrtl
from ohmweave.sim.backends.cxxrtl_activity import unmangle
from ohmweave.sim.backends.design import group_source
from ohmweave.sim.backends.hierarchy import mangle
from ohmweave.sim.synthesis import activity
from ohmweave.sim.synthesis.activity import WINDOW, Instance, Recording, record

#: The small chip of the tests of the simulators, its jobs and the reader of waveforms.
chips = importlib.import_module("test_backends")
JOB = chips.make_job(frames=40)
#: A small group of PEs.
two_layers = importlib.import_module("test_activity")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def recording(_own_cache: None) -> Recording:
    return record(chips.SOURCE, JOB, every=WINDOW)


def bits_of(recording: Recording, instance: Instance) -> dict[str, np.ndarray]:
    """(cycles, bits) of each value of an instance."""
    grid = np.unpackbits(instance.words.view(np.uint8), axis=1, bitorder="little")
    found, start = {}, 0
    for value in recording.values[instance.part]:
        found[value.name] = grid[start : start + value.bits].T
        start += value.bits
    assert start == len(grid)
    return found


def test_names() -> None:
    for name in ("x", "read__data$47", "reader.window_x", "_a.b[3]", "$1"):
        assert unmangle(mangle(name)) == name


def compare(recording: Recording, history: dict[str, list[str]]) -> int:
    """Whatever has the name of a signal has its values, in every cycle; how many of these change."""
    cycles = recording.windows * WINDOW
    starts: set[int] = set()
    moved = 0
    for instance in recording.instances:
        kinds = {value.name: value.kind for value in recording.values[instance.part]}
        for name, grid in bits_of(recording, instance).items():
            path = f"{instance.path}.{name}".removeprefix(".")
            if path not in history:
                assert kinds[name] != "register" or path == "clk", path
                continue
            shown = [int(value.removeprefix("b"), 2) for value in history[path]]
            weights = 1 << np.arange(grid.shape[1]).astype(object)
            values = list(grid.astype(object) @ weights)
            found = {at for at in range(len(shown) - cycles + 1) if shown[at : at + cycles] == values}
            assert found, path
            # All at the same cycle; what rests fits anywhere.
            starts = starts & found if starts else found
            assert starts, path
            moved += len(set(values)) > 1
    return moved


def test_same_as_waves(recording: Recording, tmp_path: Path) -> None:
    plain = cxxrtl.simulate(chips.SOURCE, JOB, waves=tmp_path / "waves.vcd")
    chips.assert_same(recording.result, plain)
    assert recording.windows > 30
    assert compare(recording, chips.read_vcd(tmp_path / "waves.vcd")) > 30


def test_fewer_windows(recording: Recording) -> None:
    """Every third window of the same run."""
    fewer = record(chips.SOURCE, JOB, every=3 * WINDOW)
    assert fewer.windows == -(-recording.windows // 3)
    (all_of,), (some,) = recording.instances, fewer.instances
    assert (some.words == all_of.words[:, ::3]).all()
    assert not some.idle


@pytest.mark.nightly
def test_parts_that_sleep(tmp_path: Path) -> None:
    """A group of PEs, most of which rest: parts of their own in the simulation, which are skipped while they do."""
    job = two_layers.job_of()
    source = group_source(two_layers.TINY)
    slept = record(source, job, every=WINDOW)
    assert len(slept.instances) > 4
    assert sum(instance.idle for instance in slept.instances) > 1
    cxxrtl.simulate(source, job, waves=tmp_path / "waves.vcd")
    assert compare(slept, chips.read_vcd(tmp_path / "waves.vcd")) > 200


def test_refused() -> None:
    with pytest.raises(OhmweaveError, match=r"^every must be at least 64, not 63$"):
        record(chips.SOURCE, JOB, every=63)
    sentence = r"^a recording must have a window of 64 cycles, and the run was shorter$"
    with pytest.raises(OhmweaveError, match=sentence):
        record(chips.SOURCE, chips.make_job(frames=1, words=1))


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MAX_BYTES", 1000)
    sentence = r"^a recording must have at most 1000 bytes; record a window less often$"
    with pytest.raises(OhmweaveError, match=sentence):
        record(chips.SOURCE, JOB)
