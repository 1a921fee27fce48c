"""What makes two networks the same: all of their integers, whatever file they came from."""

import hashlib
import json

import numpy as np

from ohmweave.sim.graph import Graph, contents

__all__ = ["graph_key"]


def graph_key(graph: Graph) -> str:
    """SHA-256, in hexadecimal, over a graph's nodes and all their integers; its own name does not count."""
    header, arrays = contents(graph)
    header.pop("name")
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(json.dumps([name, plain.dtype.str, plain.shape]).encode())
        digest.update(plain.data)
    return digest.hexdigest()
