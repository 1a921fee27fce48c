"""The golden model against plain Python, one product at a time."""

import dataclasses

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams
from ohmweave.sim import golden, network
from ohmweave.sim.datasets import shipped_images
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.random_network import random_network

ARRAY = ArrayParams(rows=72, cols=16, cell_bits=4, colmux=4, dac_bits=4, read_cycles=6, write_cycles=3)


def convert(total, array):
    """A sense unit: Python integers, no NumPy."""
    code = total >> array.adc_drop
    if array.adc_bits is not None:
        code = min(code, 2**array.adc_bits - 1)
    return code << array.adc_drop


def reference(net, image, array=None):
    """Every layer's output as nested lists [y][x][channel], of one image (H, W, C)."""
    x = [[[int(value) >> 4 for value in pixel] for pixel in row] for row in image]
    outputs = []
    offset = 2 ** (array.cell_bits - 1) if array is not None else 0
    for layer in net.layers:
        height = (len(x) + 2 * layer.pad - layer.kernel) // layer.stride + 1
        width = (len(x[0]) + 2 * layer.pad - layer.kernel) // layer.stride + 1
        q = [[[0] * layer.out_channels for _ in range(width)] for _ in range(height)]
        weights = layer.weights.tolist()
        for oy in range(height):
            for ox in range(width):
                for channel in range(layer.out_channels):
                    total = above = ones = 0
                    for ky in range(layer.kernel):
                        for kx in range(layer.kernel):
                            iy, ix = oy * layer.stride + ky - layer.pad, ox * layer.stride + kx - layer.pad
                            if 0 <= iy < len(x) and 0 <= ix < len(x[0]):
                                for c, value in enumerate(x[iy][ix]):
                                    weight = weights[channel][c][ky][kx]
                                    total += value * weight
                                    above += value * (weight + offset)
                                    ones += value
                    if array is not None:
                        total = convert(above, array) - offset * convert(ones, array)
                    v = total + int(layer.bias[channel])
                    if not layer.raw:
                        mult, shift = int(layer.mult[channel]), int(layer.shift[channel])
                        v = min(max((v * mult + 2 ** (shift - 1)) >> shift, 0), 15)
                    q[oy][ox][channel] = v
        p = layer.pool
        x = [
            [
                [
                    max(q[y * p + dy][x * p + dx][channel] for dy in range(p) for dx in range(p))
                    for channel in range(layer.out_channels)
                ]
                for x in range(width // p)
            ]
            for y in range(height // p)
        ]
        outputs.append(x)
    return outputs


def random_images(net, count, seed):
    channels, height, width = net.input_shape
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    net = random_network(seed)
    images = random_images(net, 2, seed)
    outputs = golden.activations(net, images)
    assert [each.dtype for each in outputs] == [np.uint8] * (len(outputs) - 1) + [np.int32]
    for index, image in enumerate(images):
        for layer, ours, expected in zip(net.layers, outputs, reference(net, image), strict=True):
            assert ours[index].tolist() == expected, layer.name
    assert np.array_equal(golden.logits(net, images), outputs[-1][:, 0, 0, :])


@pytest.mark.parametrize(
    ("adc_bits", "adc_drop", "cell_bits"),
    [(None, 2, 4), (10, 0, 4), (8, 3, 4), (4, 0, 4), (1, 13, 4), (9, 2, 6)],
)
@pytest.mark.parametrize("seed", range(4))
def test_finite_adc(seed, adc_bits, adc_drop, cell_bits):
    net = random_network(seed)
    array = dataclasses.replace(ARRAY, adc_bits=adc_bits, adc_drop=adc_drop, cell_bits=cell_bits)
    images = random_images(net, 1, seed)
    outputs = golden.activations(net, images, array=array)
    for ours, expected in zip(outputs, reference(net, images[0], array), strict=True):
        assert ours[0].tolist() == expected


def test_finite_adc_changes_and_lossless_does_not():
    net, (images, _) = network.builtin("lenet5"), shipped_images()
    exact = golden.logits(net, images[:50])
    wide = dataclasses.replace(ARRAY, rows=1152)
    assert np.array_equal(golden.logits(net, images[:50], array=wide), exact)
    lossless = dataclasses.replace(wide, adc_bits=wide.lossless_bits)
    assert np.array_equal(golden.logits(net, images[:50], array=lossless), exact)
    clipped = dataclasses.replace(wide, adc_bits=12)
    assert not np.array_equal(golden.logits(net, images[:50], array=clipped), exact)


def test_finite_adc_refusals():
    net = network.builtin("lenet5")
    images = np.zeros((1, 28, 28), np.uint8)
    small = dataclasses.replace(ARRAY, adc_bits=6)
    with pytest.raises(OhmweaveError) as refusal:
        golden.logits(net, images, array=small)
    assert str(refusal.value) == "layer conv2: a finite ADC is modelled for at most 72 rows, not 150"
    pairs = dataclasses.replace(ARRAY, rows=1152, adc_bits=6, sign_scheme="pairs")
    with pytest.raises(OhmweaveError) as refusal:
        golden.logits(net, images, array=pairs)
    assert str(refusal.value) == "a finite ADC is modelled for sign_scheme offset only, not pairs"


@pytest.mark.parametrize("weight", [-128, 127])
def test_largest_sums_are_exact(weight):
    """Eight-bit inputs and weights over 4096 × 3 × 3 rows: beyond float32."""
    net = Network(
        name="large",
        input_shape=(4096, 3, 3),
        input_bits=8,
        weight_bits=8,
        layers=(
            ConvLayer(
                name="only",
                weights=np.full((2, 4096, 3, 3), weight, np.int8),
                bias=np.array([2**23 - 1, -(2**23)], np.int32),
                mult=np.ones(2, np.uint16),
                shift=np.ones(2, np.uint8),
                raw=True,
            ),
        ),
    )
    images = np.full((1, 3, 3, 4096), 255, np.uint8)
    images[0, 0, 0, 0] = 254
    total = weight * (255 * 4096 * 9 - 1)
    assert golden.logits(net, images).tolist() == [[total + 2**23 - 1, total - 2**23]]


@pytest.mark.parametrize(
    ("v", "mult", "shift", "q"),
    [
        (-1, 1, 1, 0),  # (-1 + 1) >> 1
        (1, 1, 1, 1),  # half rounds up
        (5, 1, 1, 3),
        (-5, 1, 1, 0),
        (29, 1, 1, 15),
        (30, 1, 1, 15),
        (100, 0, 39, 0),
        (2**23 - 1, 65535, 39, 1),
        (2**22, 65535, 39, 0),
        (2**22 + 65, 65535, 39, 1),
        (-(2**23), 65535, 1, 0),
        (2**23 - 1, 65535, 1, 15),
    ],
)
def test_requantisation(v, mult, shift, q):
    assert min(max((v * mult + 2 ** (shift - 1)) >> shift, 0), 15) == q
    single = {"weights": np.zeros((1, 1, 1, 1), np.int8)}
    first = ConvLayer(
        name="first",
        bias=np.array([v], np.int32),
        mult=np.array([mult], np.uint16),
        shift=np.array([shift], np.uint8),
        **single,
    )
    last = ConvLayer(
        name="last",
        bias=np.zeros(1, np.int32),
        mult=np.ones(1, np.uint16),
        shift=np.ones(1, np.uint8),
        raw=True,
        **single,
    )
    net = Network(name="one", input_shape=(1, 1, 1), layers=(first, last))
    assert golden.activations(net, np.zeros((1, 1, 1), np.uint8))[0].item() == q


def test_lenet5_reads_digits():
    images, labels = shipped_images()
    assert images.shape == (1000, 28, 28)
    assert np.bincount(labels).tolist() == [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]
    scores = golden.logits(network.builtin("lenet5"), images)
    assert scores.dtype == np.int32
    assert (golden.classify(scores) == labels).mean() >= 0.985


def test_batches_change_nothing(monkeypatch):
    net, (images, _) = network.builtin("lenet5"), shipped_images()
    whole = golden.logits(net, images[:20])
    monkeypatch.setattr(golden, "BATCH_ENTRIES", 1)
    assert np.array_equal(golden.logits(net, images[:20]), whole)
    assert golden.logits(net, images[:0]).shape == (0, 10)


def test_equal_logits_give_the_first_class():
    assert golden.classify(np.array([[1, 3, 3], [5, 5, 5]])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([[1]], "images must be an array of uint8, not list"),
        (np.zeros((1, 28, 28)), "images must be an array of uint8, not float64"),
        (
            np.zeros((1, 28, 27), np.uint8),
            "images must have the shape (N, 28, 28, 1) or (N, 28, 28), not (1, 28, 27, 1)",
        ),
        (
            np.zeros((28, 28), np.uint8),
            "images must have the shape (N, 28, 28, 1) or (N, 28, 28), not (28, 28)",
        ),
    ],
)
def test_image_refusals(images, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        golden.logits(network.builtin("lenet5"), images)
    assert str(refusal.value) == sentence
