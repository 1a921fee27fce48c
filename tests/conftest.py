"""What several test files share: a network of two layers that fits the `tiny` preset, and images for it."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ohmweave.sim.network import ConvLayer, Network, save

CLASSES = 5
SIDE = 6


def make_network(seed: int = 1) -> Network:
    """3×3 on 1 channel with pooling, then 3×3 on 4 channels down to one pixel of 5 logits; random integers."""
    random = np.random.default_rng(seed)

    def layer(name, outputs, inputs, **options):
        return ConvLayer(
            name=name,
            weights=random.integers(-8, 8, (outputs, inputs, 3, 3)).astype(np.int8),
            bias=random.integers(-50, 50, outputs).astype(np.int32),
            mult=np.full(outputs, 1, np.uint16),
            shift=np.full(outputs, 1 if options.get("raw") else 4, np.uint8),
            **options,
        )

    layers = (layer("conv", 4, 1, pad=1, pool=2), layer("logits", CLASSES, 4, raw=True))
    return Network(name="small", input_shape=(1, SIDE, SIDE), layers=layers)


@pytest.fixture
def small_network() -> Network:
    return make_network()


@pytest.fixture
def small_images() -> tuple[np.ndarray, np.ndarray]:
    """Seven images and their labels, neither with any meaning."""
    random = np.random.default_rng(2)
    return random.integers(0, 256, (7, SIDE, SIDE)).astype(np.uint8), random.integers(0, CLASSES, 7)


@pytest.fixture
def small_files(tmp_path: Path, small_network, small_images) -> tuple[Path, Path]:
    """`net.npz` and `images.npz` of them, in the test's own folder."""
    network, images = tmp_path / "net.npz", tmp_path / "images.npz"
    save(small_network, network)
    np.savez(images, images=small_images[0], labels=small_images[1])
    return network, images


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(folder))
    return folder


NOBODY = 65534


@pytest.fixture
def unprivileged(tmp_path: Path) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Permissions count inside the block, also for root, who becomes nobody for that long."""

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        if os.geteuid():
            yield
            return
        for folder in (tmp_path, *tmp_path.parents):
            if Path(tempfile.gettempdir()) in folder.parents:
                folder.chmod(folder.stat().st_mode | 0o111)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)

    return block
