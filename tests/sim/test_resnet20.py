"""The shipped ResNet-20 networks: as accurate as they are said to be, and the same integers in every view."""

import numpy as np
import onnxruntime
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden, graph_onnx, library
from ohmweave.sim.datasets import load_cifar10
from ohmweave.sim.graph import Conv, Graph
from ohmweave.sim.images import ImageSet
from ohmweave.sim.run import run

#: Bits of weights and activations; right answers of the 10,000 test images.
NETWORKS = {"resnet20": (8, 9135), "resnet20-w4a4": (4, 9071)}
FULL = PRESETS["re-reram"]
SEED = 3


def cifar10() -> tuple[np.ndarray, np.ndarray]:
    try:
        return load_cifar10("test")
    except OhmweaveError as error:
        pytest.skip(f"CIFAR-10 is neither in the cache nor to be had: {error}")


def onnx_logits(graph: Graph, images: np.ndarray) -> np.ndarray:
    data = graph_onnx.onnx_model(graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    return logits


@pytest.mark.parametrize("name", NETWORKS)
def test_shape(name):
    """19 convolutions of 3×3 in 9 blocks of two and the first, a pool and the classes; all in the same bits."""
    graph = library.builtin(name)
    assert isinstance(graph, Graph)
    bits, _ = NETWORKS[name]
    convolutions = [node for node in graph.nodes if isinstance(node, Conv)]
    assert sum(node.extent == (3, 3) for node in convolutions) == 19
    assert {node.weight_bits for node in convolutions} == {bits}
    assert graph.input.shape == (3, 32, 32)
    assert {tensor.bits for tensor in graph.tensors.values() if not tensor.raw} == {bits}
    assert graph.logits_shape == (10,)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_image_through_the_netlist(name):
    """Random pixels, at full size."""
    images = np.random.default_rng(SEED).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    outcome = run(library.builtin(name), ImageSet("random", images, None), FULL, arch="re-reram")
    assert outcome.report.mismatches == 0
    np.testing.assert_array_equal(outcome.logits, onnx_logits(library.builtin(name), images))


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
def test_accuracy(name):
    """The golden model and ONNX Runtime on all test images."""
    images, labels = cifar10()
    graph = library.builtin(name)
    right = 0
    for start in range(0, len(images), 500):
        part = slice(start, start + 500)
        logits = graph_golden.logits(graph, images[part])
        np.testing.assert_array_equal(logits, onnx_logits(graph, images[part]))
        right += int((graph_golden.classify(logits) == labels[part]).sum())
    assert right == NETWORKS[name][1]


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
def test_hundred_images_through_the_netlist(name):
    images, labels = (each[:100] for each in cifar10())
    outcome = run(library.builtin(name), ImageSet("CIFAR-10", images, labels), FULL, arch="re-reram")
    assert outcome.report.mismatches == 0
    np.testing.assert_array_equal(outcome.logits, onnx_logits(library.builtin(name), images))
