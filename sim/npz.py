"""Reading and writing `.npz` files that come from anywhere: nothing is unpickled, no size is taken on trust."""

import contextlib
import io
import lzma
import os
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ohmweave.errors import OhmweaveError

__all__ = ["atomic_path", "npz_bytes", "read_npz", "replaceable", "write_files", "write_npz"]


def read_npz(
    path: Path | IO[bytes], *, what: str, max_bytes: int, names: int = 4096, only: str | None = None
) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file, by name.

    path       of the file, or what it holds
    what       how the file is called in a refusal, such as "the network file", before its path if there is one
    max_bytes  most bytes that the arrays may take in memory, all together
    names      most arrays
    only       read this one alone, if it is there; None for all

    Raises `OhmweaveError` for a file that cannot be read, is no `.npz`, is damaged, holds Python objects or is too
    large; a file that claims more than it holds is refused before anything is allocated for it.
    """
    called = what if isinstance(path, io.IOBase) else f"{what} {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > names:
                raise OhmweaveError(f"{called} must hold at most {names} arrays, not {len(entries)}")
            if sum(entry.file_size for entry in entries) > max_bytes:
                raise OhmweaveError(f"{called} must unpack to at most {max_bytes} bytes")
            named = {entry.filename.removesuffix(".npy"): entry for entry in entries}
            return {
                name: _read_entry(archive, entry) for name, entry in named.items() if only in (None, name)
            }
    except OSError as error:
        raise OhmweaveError(f"{called} cannot be read: {error.strerror or error}") from None
    # RuntimeError is an encrypted member, NotImplementedError an unknown compression.
    except (
        zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, SyntaxError,
        RuntimeError, NotImplementedError, OverflowError, lzma.LZMAError,
    ):  # fmt: skip
        raise OhmweaveError(f"{called} must be an .npz of plain arrays, and is not or is damaged") from None


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array; its header has to fit the number of bytes that the archive gives for it."""
    with archive.open(entry) as stream:
        shape, fortran, dtype = _read_header(stream)
        count = 1
        for size in shape:
            count *= int(size)
        if dtype.hasobject or count < 0 or count * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError("the header does not fit the data")
        data = stream.read()  # to the end, so that the archive checks its CRC
    array = np.frombuffer(data, dtype, count)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _read_header(stream: IO[bytes]) -> Any:
    """Shape, order and type. NumPy has Python read the header, which refuses nonsense in ways of its own."""
    version = np.lib.format.read_magic(stream)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes and numbers as Python 2 wrote them
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(stream)
            if version == (2, 0):
                return np.lib.format.read_array_header_2_0(stream)
    except (tokenize.TokenError, MemoryError):  # MemoryError: nested too deep for the parser
        raise ValueError("the header is no literal") from None
    raise ValueError("unknown version of the array format")


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays compressed, with the same bytes for the same arrays; the file appears whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """What `write_npz` writes."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and is removed when it does not."""
    given, path = path, replaceable(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OhmweaveError(f"{given} cannot be written: {error.strerror or error}") from None
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are private
        temporary.replace(path)
    except OSError as error:
        raise OhmweaveError(f"{given} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write all of the files, or none, into a folder that is made if it is missing; give their paths."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OhmweaveError(f"{folder} cannot be written: {error.strerror or error}") from None
    for name in files:
        replaceable(folder / name)  # before any stands
    with contextlib.ExitStack() as stack:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            stack.enter_context(atomic_path(folder / name)).write_bytes(data)
    return [folder / name for name in files]


def replaceable(path: Path) -> Path:
    """Where a new file goes for it to be found as `path`: behind links, and never in place of a device or folder."""
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise OhmweaveError(
                f"{path} cannot be written: Is {'a directory' if target.is_dir() else 'no regular file'}"
            )
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OhmweaveError(f"{path} cannot be written: {reason}") from None
    return target
