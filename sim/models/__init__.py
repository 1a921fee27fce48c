"""Networks by name: ResNet-18 and ResNet-34 of 224×224, and a small generator; seeded weights or a user's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer.record import FloatGraph
from ohmweave.sim.importer.simplify import simplify
from ohmweave.sim.models.sketch import Sketch
from ohmweave.sim.models.state_dict import read_weights
from ohmweave.sim.models.statistics import measure_statistics, random_images

__all__ = ["MODELS", "FloatModel", "build_model"]

#: Names of the float networks.
MODELS = ("resnet18", "resnet34", "generator")

RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
#: What torchvision's networks are trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Images that seeded networks are measured and calibrated with.
RANDOM_IMAGES = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatModel:
    """A float network and what comes with it.

    mean, std    of its images, after pixel / 255
    calibration  uint8 images (N, H, W, C), for seeded weights; None where the user has to give some
    """

    network: FloatGraph
    mean: tuple[float, ...]
    std: tuple[float, ...]
    calibration: np.ndarray | None


def build_model(name: str, *, weights: Path | None = None, seed: int = 1) -> FloatModel:
    """The network of that name.

    weights  torchvision's file, or one with the same names: .pth of `torch.save`, .safetensors or .npz; without one,
             weights drawn from `seed` and batch normalisation measured on random images
    """
    if name not in MODELS:
        raise OhmweaveError(f"a float network must be one of {', '.join(MODELS)}, not {name!r}")
    tensors = None if weights is None else read_weights(weights)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    if name == "generator":
        sketch, mean, std = _generator(tensors, seed), (0.5,), (0.25,)
    else:
        sketch, mean, std = _resnet(name, tensors, seed), IMAGENET_MEAN, IMAGENET_STD
    if tensors is not None:
        note = f"{name} has the weights of {weights}"
        return FloatModel(network=simplify(sketch.graph((note,))), mean=mean, std=std, calibration=None)
    graph = sketch.graph((f"{name} has random weights of seed {seed}: its outputs mean nothing",))
    images = random_images(graph.input_shape, RANDOM_IMAGES, seed)
    pixels = (images.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    graph = measure_statistics(graph, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return FloatModel(network=simplify(graph), mean=mean, std=std, calibration=images)


def _resnet(name: str, weights: Mapping[str, np.ndarray] | None, seed: int) -> Sketch:
    """He et al.'s network of basic blocks in torchvision's version, 1,000 classes."""
    net = Sketch(name, (3, 224, 224), weights, seed)
    x = net.relu("relu", net.batch_norm("bn1", net.conv("conv1", "image", 64, 7, 2, 3)))
    x = net.max_pool("maxpool", x, 3, 2, 1)
    for stage, count in enumerate(RESNET_BLOCKS[name]):
        channels = 64 << stage
        for block in range(count):
            base = f"layer{stage + 1}.{block}"
            stride = 2 if stage and not block else 1
            y = net.conv(f"{base}.conv1", x, channels, 3, stride, 1)
            y = net.relu(f"{base}.relu1", net.batch_norm(f"{base}.bn1", y))
            y = net.batch_norm(f"{base}.bn2", net.conv(f"{base}.conv2", y, channels, 3, 1, 1))
            if stride != 1:
                x = net.conv(f"{base}.downsample.0", x, channels, 1, stride)
                x = net.batch_norm(f"{base}.downsample.1", x)
            x = net.relu(f"{base}.relu2", net.add(f"{base}.add", y, x))
    net.linear("fc", net.global_average("avgpool", x), 1000)
    return net


def _generator(weights: Mapping[str, np.ndarray] | None, seed: int) -> Sketch:
    """64 numbers → 3×32×32 by four transposed convolutions (a small DCGAN); the last tanh is left to the host."""
    net = Sketch("generator", (64, 1, 1), weights, seed)
    x = "image"
    for index, (channels, stride, pad) in enumerate(((128, 1, 0), (64, 2, 1), (32, 2, 1))):
        x = net.conv_transpose(f"main.{3 * index}", x, channels, 4, stride, pad)
        x = net.relu(f"main.{3 * index + 2}", net.batch_norm(f"main.{3 * index + 1}", x))
    net.conv_transpose("main.9", x, 3, 4, 2, 1)
    return net
