"""How the processes of the cycle model run: translated to machine code by numba where it is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ohmweave.sim.cache import cache_folder, content_key

__all__ = ["COMPILED", "process"]

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    import numba
except ImportError:  # the same functions, much slower
    numba = None

#: Whether processes are machine code.
COMPILED = numba is not None


def _folder() -> str | None:
    """Where translations are kept: numba sees when a file changes, but not the constants and functions of others.

    None where nothing can be kept.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    folder = cache_folder() / "cycle" / content_key(*(source.read_bytes() for source in sources))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder)


_FOLDER = _folder() if COMPILED else None


def process(function: Function) -> Function:
    """A function on integers and arrays of them, as all of the model's processes are.

    The translation, of half a minute for all of them, is kept in the cache until a source changes.
    """
    if numba is None:
        return function
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _FOLDER or before
    try:
        compiled: Function = numba.njit(cache=_FOLDER is not None)(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled
