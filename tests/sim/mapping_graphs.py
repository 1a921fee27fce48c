"""Graphs for the tests of networks that are on a chip as a whole."""

import numpy as np

from ohmweave.sim.graph import RAW_BITS, Conv, Graph, Tensor
from ohmweave.sim.random_graph import KINDS, Limits

__all__ = ["LIMITS", "conv", "residual", "spanning", "striding"]

#: Graphs without nodes that only move numbers, of layers that want several PEs.
LIMITS = Limits(
    steps=5,
    size=7,
    channels=20,
    kinds=tuple(kind for kind in KINDS if kind not in ("concat", "join", "select", "shuffle")),
)


def conv(
    name: str, source: str, *, ins: int = 16, outs: int = 16, kernel: int = 3, seed: int = 0, **more
) -> Conv:
    """A convolution of 4 bits that keeps its map's size."""
    random = np.random.default_rng(seed)
    settings = {
        "pads": (kernel // 2,) * 4,
        "mult": np.full(outs, 900, np.uint16),
        "shift": np.full(outs, 15, np.int8),
        "bits": 4,
    }
    return Conv(
        name=name,
        input=source,
        weights=random.integers(-8, 8, (outs, ins, kernel, kernel)).astype(np.int16),
        weight_bits=4,
        bias=random.integers(-50, 50, outs),
        **{**settings, **more},
    )


def residual(name: str, outs: int = 4) -> dict[str, object]:
    return {"residual": name, "in_mult": np.ones(outs, np.uint16), "in_shift": np.zeros(outs, np.int8)}


def spanning(convolutions: int, size: int = 12) -> Graph:
    """A shortcut past so many convolutions of 3×3 and the first part of another."""
    names = [f"conv{n}" for n in range(convolutions + 1)]
    small = {"ins": 4, "outs": 4}
    nodes = [conv(name, names[n - 1] if n else "image", seed=n, **small) for n, name in enumerate(names)]
    nodes.append(conv("met", names[-1], kernel=1, seed=8, **small, **residual("conv0")))
    nodes.append(
        conv("logits", "met", kernel=1, seed=9, **small, bits=RAW_BITS, mult=np.zeros(0, np.uint16),
             shift=np.zeros(0, np.int8))
    )  # fmt: skip
    return Graph(name="span", input=Tensor(name="image", shape=(4, size, 6), bits=4), nodes=tuple(nodes))


def striding(kernel: int, *, outs: int = 8, size: int = 12) -> Graph:
    """A convolution of stride 2, whose array takes longest, and one that makes sums of every fourth of its results."""
    pads = ((kernel - 1) // 2,) * 4
    first = conv("wide", "image", ins=1, outs=outs, kernel=kernel, stride=(2, 2), pads=pads, seed=1)
    last = conv("logits", "wide", ins=outs, outs=4, kernel=1, stride=(2, 2), seed=2, bits=RAW_BITS,
                mult=np.zeros(0, np.uint16), shift=np.zeros(0, np.int8))  # fmt: skip
    return Graph(
        name="striding", input=Tensor(name="image", shape=(1, size, size), bits=4), nodes=(first, last)
    )
