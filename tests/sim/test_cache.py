"""The cache: nothing unfinished is found in it, nothing is built twice, and nobody is disturbed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.cache import cache_folder, cached, content_key

# Builds an entry slowly and logs it; run in processes side by side.
BUILDER = """
import sys, time
from pathlib import Path
from ohmweave.sim.cache import cached

def build(folder):
    with open(sys.argv[1], "a") as log:
        log.write("built\\n")
    (folder / "first").write_text("1")
    time.sleep(float(sys.argv[2]))
    (folder / "second").write_text("2")

entry = cached("things", "key", build)
assert sorted(path.name for path in entry.iterdir()) == ["contents.json", "first", "second"]
"""


def start(log: Path, seconds: float) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(log), str(seconds)])


def test_built_once(cache):
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("x")

    entries = [cached("things", "key", build) for _ in range(2)]
    assert entries == [cache / "things" / "key"] * 2
    assert len(calls) == 1
    assert calls[0] != entries[0]  # built elsewhere, then renamed


def test_two_at_once(cache, tmp_path):
    log = tmp_path / "log"
    processes = [start(log, 0.5) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert log.read_text() == "built\n"


def test_interrupted_build(cache, tmp_path):
    log = tmp_path / "log"
    process = start(log, 60)
    while not list((cache / "things").glob("key.part-*/first")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (cache / "things" / "key").exists()
    assert start(log, 0).wait(30) == 0  # the lock is free, and it builds again
    assert log.read_text() == "built\n" * 2
    assert [path.name for path in (cache / "things").iterdir() if path.is_dir()] == ["key"]


def test_failed_build(cache):
    def fail(folder: Path) -> None:
        (folder / "file").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("things", "key", fail)
    assert [path.name for path in (cache / "things").iterdir() if path.is_dir()] == []


def test_not_writable(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(blocked / "below"))
    with pytest.raises(
        OhmweaveError,
        match=r"^the cache folder .*/file/below cannot be written \(Not a directory\); set OHMWEAVE_CACHE_DIR to a",
    ):
        cached("things", "key", lambda folder: None)


def test_full_disk_behind_a_tool(cache, monkeypatch):
    """A tool that a full disk broke says something else."""

    def fail(_folder: Path) -> None:
        raise OhmweaveError("Yosys failed: syntax error")

    with pytest.raises(OhmweaveError, match=r"^Yosys failed: syntax error$"):
        cached("things", "key", fail)
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=0))
    with pytest.raises(
        OhmweaveError, match=r"^the cache folder .* cannot be written \(No space left on device\); "
    ):
        cached("things", "key", fail)
    assert [path.name for path in (cache / "things").iterdir() if path.is_dir()] == []


def test_folder(monkeypatch):
    monkeypatch.delenv("OHMWEAVE_CACHE_DIR", raising=False)
    assert cache_folder().name == "ohmweave"
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", "relative")
    assert cache_folder() == Path(os.getcwd()) / "relative"


def test_key():
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("a") == content_key(b"a")


@pytest.mark.parametrize("damage", ["missing", "cut", "list"])
def test_damaged_entry_is_built_anew(cache, damage):
    builds = []

    def build(folder):
        builds.append(folder)
        (folder / "file").write_text("whole")

    entry = cached("kind", "key", build)
    if damage == "missing":
        (entry / "file").unlink()
    elif damage == "cut":
        (entry / "file").write_text("wh")
    else:
        (entry / "contents.json").unlink()
    assert (cached("kind", "key", build) / "file").read_text() == "whole"
    cached("kind", "key", build)
    assert len(builds) == 2
