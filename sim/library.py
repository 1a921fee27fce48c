"""Integer networks by name and from files, whichever of the two formats a file has."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph, network
from ohmweave.sim.datasets import is_cached, load_cifar10, shipped_images
from ohmweave.sim.npz import read_npz

__all__ = ["BUILTIN", "GRAPHS", "builtin", "builtin_images", "load"]

#: Graphs that are shipped, by name, and their files.
GRAPHS = {"resnet20": "resnet20-w8a8.npz", "resnet20-w4a4": "resnet20-w4a4.npz"}
#: Names of all that is shipped.
BUILTIN = (*network.BUILTIN, *GRAPHS)

MAX_FILE_BYTES = max(network.MAX_FILE_BYTES, graph.MAX_FILE_BYTES)
MAX_ARRAYS = max(6 * graph.MAX_NODES, 4 * network.MAX_LAYERS) + 1


def builtin(name: str) -> network.Network | graph.Graph:
    """The shipped network or graph of that name."""
    if name not in GRAPHS:
        return network.builtin(name)
    with resources.as_file(resources.files(__package__) / "data" / GRAPHS[name]) as path:
        if not path.is_file():
            raise OhmweaveError(f"{name} does not come with this installation: it has no {GRAPHS[name]}")
        return graph.load(path)


def builtin_images(name: str) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Test images of a shipped network: what they are called, uint8 (N, H, W[, C]), and their labels.

    Those that do not come with it have to be in the cache: nothing is downloaded that nobody asked for.
    """
    if name not in GRAPHS:
        return ("the shipped images", *shipped_images())
    if not is_cached("cifar10"):
        raise OhmweaveError(
            f"the images of {name} are the test images of CIFAR-10, which are not in the cache: "
            "`ohmweave fetch cifar10` brings them, and --images names others"
        )
    return ("the images of cifar10", *load_cifar10("test"))


def load(path: Path) -> network.Network | graph.Graph:
    """Read what `network.save` or `graph.save` wrote; the header says which. One sentence for anything else."""
    found = _format(path)
    if found == graph.FORMAT:
        return graph.load(path)
    if found is None or found == network.FORMAT:
        return network.load(path)
    raise OhmweaveError(
        f"the network file {path} must be one that this program wrote: "
        f"its format is neither {network.FORMAT} nor {graph.FORMAT}"
    )


def _format(path: Path) -> Any:
    """What the header names as its format; None where there is no header, or none that can be read."""
    arrays = read_npz(
        Path(path), what="the network file", max_bytes=MAX_FILE_BYTES, names=MAX_ARRAYS, only="header"
    )
    try:
        header = json.loads(arrays["header"].tobytes())
    except (KeyError, ValueError, RecursionError):
        return None
    return header.get("format") if isinstance(header, dict) else None
