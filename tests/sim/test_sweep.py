"""Random networks through the netlist: the outputs are the golden model's, whatever the layers' shapes."""

import numpy as np
import pytest

from ohmweave.presets import PRESETS
from ohmweave.sim.images import ImageSet
from ohmweave.sim.random_network import Limits, random_network
from ohmweave.sim.run import run

TINY = PRESETS["tiny"]
LIMITS = Limits(
    layers=TINY.pes,
    rows=TINY.pe.array.rows,
    out_channels=TINY.pe.array.cols,
    size=TINY.pe.buffer.width,
    in_channels=TINY.pe.buffer.pixel_lanes,
)


def mismatches(seed: int, backend: str = "cxxrtl", images: int = 3) -> int:
    network = random_network(seed, LIMITS)
    channels, height, width = network.input_shape
    pixels = np.random.default_rng(seed).integers(0, 256, (images, height, width, channels)).astype(np.uint8)
    shapes = [
        f"{layer.kernel}×{layer.kernel}/{layer.stride} {layer.weights.shape}" for layer in network.layers
    ]
    print(f"seed {seed}: {network.input_shape}, {', '.join(shapes)}")
    return run(
        network, ImageSet("random", pixels, None), TINY, arch="tiny", backend=backend
    ).report.mismatches


# In 151 padding makes a map wider than the convolution buffer.
@pytest.mark.parametrize("seed", [*range(20), 151])
def test_random_network(seed):
    assert mismatches(seed) == 0


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_random_networks(seed):
    assert mismatches(seed, images=5) == 0
