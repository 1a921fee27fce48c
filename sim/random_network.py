"""Random legal networks within limits, for tests."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ohmweave.sim.network import ConvLayer, Network

__all__ = ["Limits", "random_network"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a random network has to keep to; the caller takes it from the hardware that it wants to fit.

    layers        most layers, the last one included
    rows          most products of one output (input channels × kernel²)
    out_channels  most output channels of a layer
    in_channels   most input channels of a layer with a given kernel
    size          largest height and width of an image that goes into a layer
    """

    layers: int = 4
    rows: int = 72
    out_channels: int = 16
    size: int = 12
    max_kernel: int = 7
    max_stride: int = 4
    max_pool: int = 4
    in_channels: Callable[[int], int] = lambda kernel: 64


def random_network(seed: int, limits: Limits | None = None) -> Network:
    """A legal network of 4-bit weights and activations, the same for the same seed and limits.

    Layers are drawn until the image is one that a last layer can take in a single window. Scales are such that the
    activations of random inputs use the whole of their range; some channels always give 0 or always clip.
    """
    limits = Limits() if limits is None else limits
    rng = np.random.default_rng(seed)
    while True:
        layers = _draw(rng, limits)
        if layers is not None:
            shape, convolutions = layers
            return Network(name=f"random_{seed}", input_shape=shape, layers=tuple(convolutions))


def _draw(rng: np.random.Generator, limits: Limits) -> tuple[tuple[int, int, int], list[ConvLayer]] | None:
    """One attempt: None if it ran into an image that no layer takes."""
    count = int(rng.integers(1, limits.layers + 1))
    kernels = range(1, limits.max_kernel + 1)

    def most_channels(kernel: int) -> int:
        return min(limits.in_channels(kernel), limits.rows // kernel**2)

    def draw_channels() -> int:
        # As many as some kernel takes, each with equal chance: otherwise only the smallest kernels would fit.
        taken = [most for most in map(most_channels, kernels) if most > 0]
        return int(rng.integers(1, 1 + int(rng.choice(taken))))

    channels = draw_channels()
    height, width = (int(each) for each in rng.integers(1, limits.size + 1, 2))
    start = shape = (channels, height, width)
    layers: list[ConvLayer] = []
    for index in range(count):
        last = index == count - 1
        fitting = [
            (kernel, stride, pad, pool)
            for kernel in kernels
            if shape[0] <= most_channels(kernel)
            for stride, pad in itertools.product(range(1, limits.max_stride + 1), range(kernel))
            for pool in ((1,) if last else range(1, limits.max_pool + 1))
            if _fits(shape, kernel, stride, pad, pool, last, limits.size)
        ]
        if not fitting:
            return None
        # The kernel first: large ones have many more combinations and would crowd out the others.
        kernel = int(rng.choice(sorted({each[0] for each in fitting})))
        fitting = [each for each in fitting if each[0] == kernel]
        _, stride, pad, pool = fitting[int(rng.integers(len(fitting)))]
        outputs = min(limits.out_channels, draw_channels())
        if last:
            outputs = int(rng.integers(1, limits.out_channels + 1))
        layer = _layer(rng, f"layer{index}", shape[0], outputs, kernel, stride, pad, pool, last)
        layers.append(layer)
        shape = layer.out_shape(shape)
    return start, layers


def _fits(
    shape: tuple[int, int, int], kernel: int, stride: int, pad: int, pool: int, last: bool, widest: int
) -> bool:
    """Whether every pooling block of the output is there, only one pixel of the last layer, and no map too wide."""
    if any(size + 2 * pad < kernel for size in shape[1:]):
        return False
    maps = [(size + 2 * pad - kernel) // stride + 1 for size in shape[1:]]
    sizes = [size // pool for size in maps]
    if max(maps) > widest:  # padding made it larger than the image
        return False
    return sizes == [1, 1] if last else min(sizes) >= 1


def _layer(
    rng: np.random.Generator,
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    pad: int,
    pool: int,
    raw: bool,
) -> ConvLayer:
    rows = inputs * kernel**2
    # Σ x·w of rows random products is about this wide.
    spread = max(1, int(40 * rows**0.5))
    bias = rng.integers(-spread, spread + 1, outputs)
    bias[rng.random(outputs) < 0.05] = rng.choice([-(2**23), 2**23 - 1])
    shift = rng.integers(1, 40, outputs)
    mult = np.clip(2.0**shift * rng.uniform(2, 20, outputs) / spread, 0, 65535)
    mult[rng.random(outputs) < 0.02] = 0
    return ConvLayer(
        name=name,
        weights=rng.integers(-8, 8, (outputs, inputs, kernel, kernel)).astype(np.int8),
        bias=bias.astype(np.int32),
        mult=(np.ones(outputs) if raw else mult).astype(np.uint16),
        shift=(np.ones(outputs) if raw else shift).astype(np.uint8),
        stride=stride,
        pad=pad,
        pool=pool,
        raw=raw,
    )
