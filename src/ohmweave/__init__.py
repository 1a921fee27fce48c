"""ohmweave: a generator of reconfigurable ReRAM accelerators for neural networks."""

from importlib.metadata import version

__version__ = version("ohmweave")
