"""A user's weights: PyTorch's files without running what is pickled in them, safetensors, and npz."""

import io
import json
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.npz import read_npz

__all__ = ["read_weights"]

MAX_BYTES = 1 << 30
MAX_PICKLE_BYTES = 16 << 20
MAX_TENSORS = 1 << 16
SUFFIXES = (".pth", ".pt", ".safetensors", ".npz")

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}
STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64",
}  # fmt: skip

#: What damaged files make their readers raise.
DAMAGE = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, OverflowError, RecursionError,
    MemoryError, RuntimeError, NotImplementedError, AssertionError, pickle.UnpicklingError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name from a .pth, .pt, .safetensors or .npz file; `OhmweaveError` for anything else."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise OhmweaveError(f"a file of weights must end in one of {', '.join(SUFFIXES)}, not {path.name!r}")
    if path.suffix == ".npz":
        return read_npz(path, what="the file of weights", max_bytes=MAX_BYTES)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise OhmweaveError(f"the file of weights {path} must have at most {MAX_BYTES >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise OhmweaveError(f"the file of weights {path} cannot be read: {error.strerror or error}") from None
    try:
        return _safetensors(data) if path.suffix == ".safetensors" else _torch(data)
    except _ForeignError as error:
        raise OhmweaveError(
            f"the file of weights {path} must hold tensors only, as a state_dict does: it names {error}"
        ) from None
    except DAMAGE:
        kind = (
            "a safetensors file"
            if path.suffix == ".safetensors"
            else "a state_dict of torch.save's zip format"
        )
        raise OhmweaveError(f"the file of weights {path} must be {kind}, and is not or is damaged") from None


class _ForeignError(Exception):
    """A pickle that asks for something that is no tensor."""


def _floats(raw: np.ndarray, kind: str) -> np.ndarray:
    if kind == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Eight bytes of length, a header in JSON, and the data that it points into."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(len(data) - 8, MAX_PICKLE_BYTES):
        raise ValueError("the header does not fit")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    result = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        shape = [int(side) for side in entry["shape"]]
        dtype = np.dtype(FLOATS[entry["dtype"]])
        if (
            not 0 <= first <= last <= len(body)
            or prod(shape) * dtype.itemsize != last - first
            or min(shape, default=0) < 0
        ):
            raise ValueError("a tensor does not fit")
        result[name] = _floats(np.frombuffer(body[first:last], dtype), entry["dtype"]).reshape(shape)
    return result


@dataclass(frozen=True)
class _Kind:
    """A class of torch's storages, by what it holds."""

    kind: str


class _Tensors(pickle.Unpickler):
    """Understands dictionaries of tensors, and refuses to look up anything else."""

    def __init__(self, data: bytes, storage: Callable[[str, str], np.ndarray]) -> None:
        super().__init__(io.BytesIO(data))
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
            ("torch._utils", "_rebuild_parameter"): _Parameter(),
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in STORAGES:
            return _Kind(STORAGES[name])
        raise _ForeignError(f"{module}.{name}")

    def persistent_load(self, identity: Any) -> np.ndarray:
        word, kind, key, _device, _count = identity
        if word != "storage" or not isinstance(kind, _Kind) or not isinstance(key, str):
            raise ValueError("an unknown reference")
        return self.storage(key, kind.kind)


class _Rebuild:
    """Makes a tensor: a view into its storage, checked to lie inside. Without attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> np.ndarray:
        shape, strides = tuple(shape), tuple(strides)
        whole = (offset, *shape, *strides)
        if not isinstance(storage, np.ndarray) or not all(type(each) is int and each >= 0 for each in whole):
            raise ValueError("no tensor")
        if len(shape) != len(strides) or len(shape) > 8:
            raise ValueError("no tensor")
        if not prod(shape):
            return np.zeros(shape, storage.dtype)
        last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
        if prod(shape) > len(storage) or last >= len(storage):
            raise ValueError("a tensor that is larger than what holds it")
        steps = tuple(step * storage.itemsize for step in strides)
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


class _Parameter:
    """A parameter is the tensor in it."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_rest: Any) -> Any:
        return tensor


def _torch(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if sum(entry.file_size for entry in entries.values()) > MAX_BYTES or len(entries) > MAX_TENSORS:
            raise ValueError("too much")
        (main,) = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if entries[main].file_size > MAX_PICKLE_BYTES:
            raise ValueError("too much")
        folder = main.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in entries and archive.read(order) != b"little":
            raise ValueError("big-endian")
        known: dict[tuple[str, str], np.ndarray] = {}

        def storage(key: str, kind: str) -> np.ndarray:
            if (key, kind) not in known:
                raw = np.frombuffer(archive.read(f"{folder}data/{key}"), np.dtype(FLOATS[kind]))
                known[key, kind] = _floats(raw, kind)
            return known[key, kind]

        content = _Tensors(archive.read(main), storage).load()
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ValueError("no dictionary")
    result = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise ValueError("no tensor")
        result[name.removeprefix("module.")] = value
    return result
