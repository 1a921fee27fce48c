"""Folders of built things, found again by their content.

An entry is a folder named by a hash over everything it was made from. It is built under a temporary name and
renamed when it is whole, so what stands under its name is finished; a lock for each entry keeps two runs from
building the same thing twice. Entries are never changed and may be deleted at any time when nothing runs.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock

from ohmweave.errors import OhmweaveError

__all__ = ["CACHE_VARIABLE", "cache_folder", "cached", "content_key", "find_cached", "is_full"]

CACHE_VARIABLE = "OHMWEAVE_CACHE_DIR"
#: With less left than this, the disk is full.
FULL_BYTES = 1 << 16
# Names and sizes of an entry's files.
CONTENTS = "contents.json"


def cache_folder() -> Path:
    """The cache: `$OHMWEAVE_CACHE_DIR`, else the user's cache folder of the platform."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).absolute() if named else Path(platformdirs.user_cache_dir("ohmweave"))


def content_key(*parts: str | bytes) -> str:
    """Hash over the parts in order; how they are cut matters."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def _writable(root: Path) -> Iterator[None]:
    """Any failure to write below `root` as a sentence."""
    try:
        yield
    except OSError as error:
        raise OhmweaveError(
            f"the cache folder {root} cannot be written ({error.strerror or error}); "
            f"set {CACHE_VARIABLE} to a folder that can"
        ) from None


def is_full(folder: Path) -> bool:
    """Whether nothing more goes onto the disk of `folder`."""
    return shutil.disk_usage(folder).free < FULL_BYTES


def _fill(part: Path, build: Callable[[Path], None]) -> None:
    """Build; on a full disk, programs fail in ways of their own, and may not say that this was why."""
    try:
        build(part)
    except OhmweaveError:
        if is_full(part):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise


def _contents(entry: Path) -> dict[str, int]:
    """Size of each file of an entry but the list itself."""
    return {
        str(path.relative_to(entry)): path.stat().st_size
        for path in sorted(entry.rglob("*"))
        if path.is_file() and path.name != CONTENTS
    }


def _intact(entry: Path) -> bool:
    """Whether all files of an entry are as its build left them, as far as their sizes tell."""
    try:
        return json.loads((entry / CONTENTS).read_text()) == _contents(entry)
    except (OSError, ValueError):
        return False


def find_cached(kind: str, key: str) -> Path | None:
    """The folder of entry `key` of `kind` if it is there."""
    entry = cache_folder() / kind / key
    return entry if _intact(entry) else None


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of entry `key` of `kind`; where it is missing, `build` fills the empty folder that it is given.

    A build that raises leaves nothing. An entry that has lost files, or parts of them, is built anew. An `OSError`
    out of `build` is taken for the cache's own.
    """
    root = cache_folder()
    entry = root / kind / key
    if _intact(entry):
        return entry
    with _writable(root):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.parent / f"{key}.lock"):
            if _intact(entry):  # another run built it while this one waited
                return entry
            shutil.rmtree(entry, ignore_errors=True)
            # The lock is ours: what an interrupted build of this entry left can go.
            for stale in entry.parent.glob(f"{key}.part-*"):
                shutil.rmtree(stale, ignore_errors=True)
            part = Path(tempfile.mkdtemp(prefix=f"{key}.part-", dir=entry.parent))
            try:
                _fill(part, build)
                (part / CONTENTS).write_text(json.dumps(_contents(part)))
                part.chmod(0o755)  # mkdtemp's are private
                part.rename(entry)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return entry
