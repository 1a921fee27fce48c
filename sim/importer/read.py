"""Reading a user's ONNX file: nothing in it is trusted, and whatever is wrong is one sentence."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from ohmweave.errors import OhmweaveError

__all__ = ["MAX_BYTES", "MIN_OPSET", "read_model"]

#: Most bytes of a file and of its external data, each.
MAX_BYTES = 1 << 30
MIN_OPSET = 13
MAX_NODES = 20_000
#: Domains whose operators mean what ONNX says they do.
STANDARD = ("", "ai.onnx")
# ONNX Runtime's tools write 16-bit quantisation in a domain of their own, with ONNX's meaning.
QUANTISING = ("com.microsoft", ("QuantizeLinear", "DequantizeLinear"))


def read_model(path: Path) -> onnx.ModelProto:
    """The checked model, functions inlined and external data loaded."""
    path = Path(path)
    data = _read(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError):
        raise OhmweaveError(f"{path} must be an ONNX model, and is none or is damaged") from None
    del data
    if not model.HasField("graph") or not model.graph.node:
        raise OhmweaveError(f"{path} must be an ONNX model with at least one node, and has none")
    _check_size(path, model)
    _check_opsets(path, model)
    _load_external(path, model)
    try:
        onnx.checker.check_model(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
            _check_size(path, model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        raise OhmweaveError(f"{path} must be a valid ONNX model: {first_line(error)}") from None
    return model


def first_line(error: Exception) -> str:
    """What a library says, without its context."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise OhmweaveError(f"{path} must be an ONNX file, and is a folder")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise OhmweaveError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:  # a null character in the name
        raise OhmweaveError(f"{str(path)!r} must be the name of a file") from None
    if len(data) > MAX_BYTES:
        raise OhmweaveError(f"{path} must have at most {MAX_BYTES >> 20} MB")
    return data


def _check_size(path: Path, model: onnx.ModelProto) -> None:
    if len(model.graph.node) > MAX_NODES:
        raise OhmweaveError(f"{path} must have at most {MAX_NODES} nodes, not {len(model.graph.node)}")


def _check_opsets(path: Path, model: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions = [each.version for each in model.opset_import if each.domain in STANDARD]
    if len(versions) != 1 or not MIN_OPSET <= versions[0] <= newest:
        found = str(versions[0]) if len(versions) == 1 else "none" if not versions else "several"
        raise OhmweaveError(f"{path} must use an opset from {MIN_OPSET} to {newest}, not {found}")
    local = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        known = node.domain in STANDARD or (node.domain == QUANTISING[0] and node.op_type in QUANTISING[1])
        if not known and (node.domain, node.op_type) not in local:
            raise OhmweaveError(
                f"operator {node.domain}.{node.op_type} of node {node_name(node)} is not supported: "
                "operators must be ONNX's own"
            )


def node_name(node: onnx.NodeProto) -> str:
    """What messages call a node: its name, else its first output's."""
    return str(node.name or (node.output[0] if node.output else node.op_type))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in (model.graph, *model.training_info):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
    nodes = list(model.graph.node)
    for function in model.functions:
        nodes.extend(function.node)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _load_external(path: Path, model: onnx.ModelProto) -> None:
    """Put external data into the model; only from regular files below the model's own folder."""
    total = 0
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        what = f"the external data of {tensor.name!r} in {path}"
        file = _external_file(path.parent, entries.get("location", ""), what)
        try:
            offset = int(entries.get("offset") or 0)
            size = file.stat().st_size
            length = int(entries.get("length") or size - offset)
        except ValueError:
            raise OhmweaveError(f"{what} must have an offset and a length that are whole numbers") from None
        except OSError as error:
            raise OhmweaveError(f"{file} cannot be read: {error.strerror or error}") from None
        if offset < 0 or length < 0 or offset + length > size:
            raise OhmweaveError(f"{what} must lie within {file.name}, which has {size} bytes")
        total += length
        if total > MAX_BYTES:
            raise OhmweaveError(f"the external data of {path} must have at most {MAX_BYTES >> 20} MB")
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
        except OSError as error:
            raise OhmweaveError(f"{file} cannot be read: {error.strerror or error}") from None
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _external_file(folder: Path, location: str, what: str) -> Path:
    sentence = f"{what} must be a file in the model's own folder, not {location!r}"
    if not location or "\0" in location or Path(location).is_absolute():
        raise OhmweaveError(sentence)
    try:
        file = (folder / location).resolve()  # links followed: what they lead to has to be inside, too
        inside = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise OhmweaveError(sentence)
    return file
