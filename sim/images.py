"""Loading images for a run: an `.npz`, or a folder of PNGs, checked before anything is built."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.npz import read_npz

__all__ = ["MAX_BYTES", "ImageSet", "from_arrays", "load_images", "read_pngs"]

#: Most bytes of pixels of one run: 10,000 images of 224×224 pixels in colour are 1.5 GB, 1,000 are 0.15 GB.
MAX_BYTES = 1 << 30
MAX_IMAGES = 1_000_000
# Pillow's name of the pixel format → channels.
PNG_MODES = {"L": 1, "RGB": 3}
CHANNELS = {1: "8-bit grayscale", 3: "8-bit RGB"}


@dataclass(frozen=True)
class ImageSet:
    """Images as the network takes them, uint8 (N, H, W, C), and their labels, int64 (N,), if known."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.pixels)

    def head(self, limit: int | None) -> "ImageSet":
        """The first `limit` images; all of them when there are fewer or `limit` is None."""
        if limit is None:
            return self
        return ImageSet(self.name, self.pixels[:limit], None if self.labels is None else self.labels[:limit])


def load_images(
    source: Path, *, shape: tuple[int, int, int], classes: int, limit: int | None = None
) -> ImageSet:
    """Images for a network that takes `shape` = (height, width, channels) and tells `classes` apart.

    source  an `.npz` with `images`, uint8 (N, H, W) or (N, H, W, C), and perhaps `labels`, whole numbers (N,);
            or a folder whose `*.png` are taken in the order of their names, without labels
    limit   take the first so many

    Raises `OhmweaveError`, one sentence, for anything that does not fit.
    """
    if source.is_dir():
        return _read_folder(source, shape, limit)
    arrays = read_npz(source, what="the image file", max_bytes=MAX_BYTES)
    if "images" not in arrays:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise OhmweaveError(f"the image file {source} must hold an array `images`, and holds {found}")
    return from_arrays(
        f"the image file {source}", arrays["images"], arrays.get("labels"), shape=shape, classes=classes
    ).head(limit)


def from_arrays(
    name: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    shape: tuple[int, int, int],
    classes: int,
) -> ImageSet:
    """Check arrays against what the network takes; the channel axis may be missing if there is one channel."""
    height, width, channels = shape
    wanted = f"(N, {height}, {width})" if channels == 1 else f"(N, {height}, {width}, {channels})"
    if images.dtype != np.uint8:
        raise OhmweaveError(f"{name}: images must be uint8, not {images.dtype}")
    if channels == 1 and images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[1:] != shape:
        raise OhmweaveError(f"{name}: images must have the shape {wanted}, not {images.shape}")
    if not 1 <= len(images) <= MAX_IMAGES:
        raise OhmweaveError(f"{name}: images must be from 1 to {MAX_IMAGES}, not {len(images)}")
    if labels is not None:
        if not np.issubdtype(labels.dtype, np.integer):
            raise OhmweaveError(f"{name}: labels must be whole numbers, not {labels.dtype}")
        if labels.shape != (len(images),):
            raise OhmweaveError(f"{name}: labels must have the shape ({len(images)},), not {labels.shape}")
        if labels.min() < 0 or labels.max() >= classes:
            raise OhmweaveError(
                f"{name}: labels must be from 0 to {classes - 1}, not {labels.min()} to {labels.max()}"
            )
        labels = labels.astype(np.int64)
    return ImageSet(name, np.ascontiguousarray(images), labels)


def _read_folder(folder: Path, shape: tuple[int, int, int], limit: int | None) -> ImageSet:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    except OSError as error:
        raise OhmweaveError(f"image folder {folder} cannot be read: {error.strerror or error}") from None
    paths = paths[:limit]
    if not 1 <= len(paths) <= MAX_IMAGES:
        raise OhmweaveError(
            f"image folder {folder} must hold from 1 to {MAX_IMAGES} .png files, not {len(paths)}"
        )
    if len(paths) * int(np.prod(shape)) > MAX_BYTES:
        raise OhmweaveError(f"image folder {folder} must unpack to at most {MAX_BYTES} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about a large image, which is refused
        return ImageSet(f"image folder {folder}", np.stack(list(read_pngs(paths, shape))), None)


def read_pngs(paths: Iterable[Path], shape: tuple[int, int, int]) -> Iterable[np.ndarray]:
    """Decode one by one; the header is checked first, so that a small file cannot claim a huge image."""
    from PIL import Image  # slow to import, and only folders need it

    height, width, channels = shape
    for path in paths:
        try:
            with Image.open(path, formats=["PNG"]) as image:
                if PNG_MODES.get(image.mode) != channels:
                    raise OhmweaveError(
                        f"image {path} must be an {CHANNELS.get(channels, f'8-bit {channels}-channel')} PNG, "
                        f"not one of mode {image.mode}"
                    )
                if image.size != (width, height):
                    raise OhmweaveError(
                        f"image {path} must be {width}×{height} pixels, not {image.width}×{image.height}"
                    )
                yield np.asarray(image, np.uint8).reshape(shape)
        # Pillow's decoder raises SyntaxError for a broken chunk, DecompressionBombError for a claim of many pixels.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise OhmweaveError(f"image {path} cannot be read as a PNG") from None
