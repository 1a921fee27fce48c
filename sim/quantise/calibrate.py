"""Calibration: what values the tensors of a float network have on a user's images."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.execute import batch_size, run_float
from ohmweave.sim.importer.record import FloatGraph
from ohmweave.sim.quantise.options import QuantiseOptions
from ohmweave.sim.quantise.ranges import Histogram

__all__ = ["calibrate", "normalised"]

Progress = Callable[[str, int, int], None]


def normalised(images: np.ndarray, options: QuantiseOptions) -> np.ndarray:
    """What the float network sees of uint8 images (N, H, W, C): float32 (N, C, H, W)."""
    top = (1 << options.input_bits) - 1
    mean, std = options.per_channel(images.shape[3])
    pixels: np.ndarray = (images >> (8 - options.input_bits)).astype(np.float32) / np.float32(top)
    pixels = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def calibrate(
    graph: FloatGraph,
    images: np.ndarray,
    options: QuantiseOptions,
    names: Sequence[str],
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Histogram]:
    """Histograms of the tensors `names`; one pass over the images, a batch at a time."""
    channels, height, width = graph.input_shape
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (height, width, channels):
        raise OhmweaveError(
            f"calibration images must be uint8 (N, {height}, {width}, {channels}), "
            f"not {images.dtype} {images.shape}"
        )
    if not len(images):
        raise OhmweaveError("calibration images must be at least one, not 0")
    histograms = {name: Histogram() for name in names}
    done = 0
    progress("calibrating", 0, len(images))
    for tensors in run_float(graph, _batches(graph, images, options), list(names)):
        for name, histogram in histograms.items():
            try:
                histogram.add(tensors[name])
            except FloatingPointError:
                raise OhmweaveError(
                    f"the network {graph.name} must give finite numbers for the calibration images, "
                    f"and tensor {name} has others"
                ) from None
        done += len(next(iter(tensors.values()), ()))
        progress("calibrating", done, len(images))
    return histograms


def _batches(graph: FloatGraph, images: np.ndarray, options: QuantiseOptions) -> Iterator[np.ndarray]:
    step = batch_size(graph)
    for start in range(0, len(images), step):
        yield normalised(images[start : start + step], options)
