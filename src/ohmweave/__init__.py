"""ohmweave: a generator of reconfigurable ReRAM accelerators for neural networks."""

from typing import Any

__version__: str


def __getattr__(name: str) -> Any:
    """`__version__`, looked up when it is asked for: that takes longer than all else of the program's start."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
