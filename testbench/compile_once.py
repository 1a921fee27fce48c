"""Compiles C++ for Verilator's make, which is told so by OBJCACHE: `python compile_once.py c++ … -o OBJECT SOURCE`.

Verilator's own runtime is the same in every build, and takes longer than most designs: its objects are kept in the
cache. Everything else is compiled as it comes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim.cache import cached, content_key

__all__ = ["command", "main"]


def command() -> str:
    """What OBJCACHE has to be."""
    return f"{sys.executable} {Path(__file__).resolve()}"


def main(arguments: Sequence[str]) -> int:
    """Run a compiler's command line, or copy what it made before; its exit status."""
    source = Path(arguments[-1])
    runtime = Path(os.environ.get("VERILATOR_ROOT", "/")) / "include"
    if source.parent != runtime or "-o" not in arguments:
        return subprocess.call(arguments)
    place = list(arguments).index("-o") + 1
    target = Path(arguments[place])
    without = [*arguments[:place], target.name, *arguments[place + 1 :]]
    key = content_key(source.read_bytes(), version("verilator"), *without)

    def build(folder: Path) -> None:
        made = subprocess.run([*arguments[:place], str(folder / target.name), str(source)], check=False)
        if made.returncode:
            raise OhmweaveError(f"{source.name} was not compiled")

    try:
        shutil.copyfile(cached("verilator-runtime", key, build) / target.name, target)
    except OhmweaveError:  # nowhere to keep it, or a fault of which the compiler speaks itself
        return subprocess.call(arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
