"""Golden model: a network's integers in NumPy, with no notion of time or of the hardware's structure."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams
from ohmweave.sim.network import ConvLayer, Network

__all__ = ["activations", "classify", "logits"]

# Entries of the largest im2col matrix of one batch: 64 MB of float32.
BATCH_ENTRIES = 1 << 24


def logits(network: Network, images: np.ndarray, *, array: ArrayParams | None = None) -> np.ndarray:
    """Logits (N, classes), int32, of images (N, H, W) or (N, H, W, C), uint8.

    array  the crossbar whose finite ADC the sums pass through; None, or a lossless one, for exact sums
    """
    images = _checked(network, images)
    result = np.empty((len(images), network.classes), np.int32)
    for part in _batches(network, len(images)):
        result[part] = _run(network, images[part], array)[-1][:, 0, 0, :]
    return result


def activations(
    network: Network, images: np.ndarray, *, array: ArrayParams | None = None
) -> list[np.ndarray]:
    """Each layer's output, (N, H, W, C) after pooling: uint8, and int32 of the last layer."""
    images = _checked(network, images)
    result = [
        np.empty((len(images), height, width, channels), np.int32 if layer.raw else np.uint8)
        for layer, (channels, height, width) in zip(network.layers, network.shapes[1:], strict=True)
    ]
    for part in _batches(network, len(images)):
        for whole, values in zip(result, _run(network, images[part], array), strict=True):
            whole[part] = values
    return result


def classify(scores: np.ndarray) -> np.ndarray:
    """Labels of logits (N, classes): the class with the largest, the first of equal ones."""
    return np.argmax(scores, axis=1)


def _checked(network: Network, images: np.ndarray) -> np.ndarray:
    """The images as (N, H, W, C), or a refusal."""
    channels, height, width = network.input_shape
    shapes = [f"(N, {height}, {width}, {channels})"] + [f"(N, {height}, {width})"] * (channels == 1)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise OhmweaveError(f"images must be an array of uint8, not {kind}")
    if channels == 1 and images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[1:] != (height, width, channels):
        raise OhmweaveError(f"images must have the shape {' or '.join(shapes)}, not {images.shape}")
    return images


def _batches(network: Network, count: int) -> Iterator[slice]:
    """Slices of images small enough for bounded memory."""
    entries = max(
        max(
            int(np.prod(layer.conv_size(*shape[1:]))) * max(layer.rows, layer.out_channels * 4),
            int(np.prod(shape)),
        )
        for layer, shape in zip(network.layers, network.shapes[:-1], strict=True)
    )
    step = max(1, BATCH_ENTRIES // entries)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _run(network: Network, images: np.ndarray, array: ArrayParams | None) -> list[np.ndarray]:
    outputs = []
    x = images >> (8 - network.input_bits)
    for index, layer in enumerate(network.layers):
        sums = _column_sums(layer, x, network.in_bits(index), network.weight_bits, array)
        sums += layer.bias
        x = (
            sums.astype(np.int32)
            if layer.raw
            else _pool(_requantise(layer, sums, network.act_bits), layer.pool)
        )
        outputs.append(x)
    return outputs


def _column_sums(
    layer: ConvLayer, x: np.ndarray, in_bits: int, weight_bits: int, array: ArrayParams | None
) -> np.ndarray:
    """Σ x·w of every window, int64 (N, H, W, out)."""
    patches = _patches(layer, x)
    weights = layer.weights.reshape(layer.out_channels, -1).T
    if array is None or _lossless(array):
        return _exact_product(patches, weights, in_bits, weight_bits)
    if array.sign_scheme != "offset":
        raise OhmweaveError(f"a finite ADC is modelled for sign_scheme offset only, not {array.sign_scheme}")
    if layer.rows > array.rows:
        raise OhmweaveError(
            f"layer {layer.name}: a finite ADC is modelled for at most {array.rows} rows, not {layer.rows}"
        )
    # Cells hold weight + offset; a reference column of ones gives what the offset adds. Each passes its own ADC.
    offset = 1 << (array.cell_bits - 1)
    levels = weights.astype(np.int16) + offset
    columns = _converted(_exact_product(patches, levels, in_bits, array.cell_bits + 1), array)
    ones = np.ones((layer.rows, 1), np.int16)
    reference = _converted(_exact_product(patches, ones, in_bits, 2), array)
    return columns - offset * reference


def _lossless(array: ArrayParams) -> bool:
    return array.adc_drop == 0 and (array.adc_bits is None or array.adc_bits >= array.lossless_bits)


def _converted(sums: np.ndarray, array: ArrayParams) -> np.ndarray:
    """What the sense units make of the sums: low bits dropped, codes clipped."""
    bits = array.lossless_bits - array.adc_drop if array.adc_bits is None else array.adc_bits
    return np.minimum(sums >> array.adc_drop, (1 << bits) - 1) << array.adc_drop


def _patches(layer: ConvLayer, x: np.ndarray) -> np.ndarray:
    """im2col: the window of each output pixel, (N, H, W, in·kernel·kernel) in the order of the weights."""
    border = (layer.pad, layer.pad)
    windows = sliding_window_view(
        np.pad(x, ((0, 0), border, border, (0, 0))), (layer.kernel, layer.kernel), axis=(1, 2)
    )[:, :: layer.stride, :: layer.stride]
    return windows.reshape(*windows.shape[:3], layer.rows)


def _exact_product(patches: np.ndarray, weights: np.ndarray, in_bits: int, weight_bits: int) -> np.ndarray:
    """Integer product by BLAS: floats are exact while every partial sum fits their mantissa."""
    bound = patches.shape[-1] * (2**in_bits - 1) << (weight_bits - 1)
    dtype = np.float32 if bound < 2**24 else np.float64
    return (patches.astype(dtype) @ weights.astype(dtype)).astype(np.int64)


def _requantise(layer: ConvLayer, v: np.ndarray, act_bits: int) -> np.ndarray:
    shift = layer.shift.astype(np.int64)
    v *= layer.mult.astype(np.int64)
    v += np.int64(1) << (shift - 1)
    v >>= shift
    return np.clip(v, 0, 2**act_bits - 1).astype(np.uint8)


def _pool(x: np.ndarray, side: int) -> np.ndarray:
    if side == 1:
        return x
    count, height, width, channels = x.shape
    height, width = height // side, width // side
    blocks = x[:, : height * side, : width * side].reshape(count, height, side, width, side, channels)
    return blocks.max(axis=(2, 4))
