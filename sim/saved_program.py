"""A compiled program as a file: made once, run as often as one likes, and refused where it does not belong.

    0   4 bytes  "OHMP"
    4   2        version, 1
    6   2        zero
    8   8        bytes behind this header
    16  32       SHA-256 of all the other bytes
    48  …        an .npz of plain arrays

The arrays are `header`, JSON in UTF-8, `config`, the configuration flits, and `levels.0`, `levels.1`, …, the cells of
arrays; PEs that hold the same cells share one. All numbers are little-endian.
"""

import contextlib
import hashlib
import io
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave import __version__
from ohmweave.check import whole
from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams, BufferParams, GroupParams, PEParams
from ohmweave.program_file import read_bounded
from ohmweave.rtl.fill import FILL_BITS
from ohmweave.rtl.flit import CONFIG_BITS
from ohmweave.sim.connections import check_connections
from ohmweave.sim.frames import UNIT
from ohmweave.sim.graph import Graph, from_network
from ohmweave.sim.graph_base import MAX_CHANNELS
from ohmweave.sim.identity import graph_key
from ohmweave.sim.network import Network
from ohmweave.sim.npz import atomic_path, npz_bytes, read_npz
from ohmweave.sim.program import Inbound, Outbound, Placed, Program
from ohmweave.sim.space_to_depth import Blocks

__all__ = ["SavedProgram", "first_difference", "from_bytes", "load", "save", "to_bytes"]

MAGIC = b"OHMP"
VERSION = 1
HEAD = struct.Struct("<4sHHQ")
DIGEST_BYTES = hashlib.sha256().digest_size
#: Of a file, and of what its arrays unpack to: 256 PEs of the largest arrays take half of it.
MAX_BYTES = 1 << 30
#: Flits that configure a PE are far fewer.
MAX_CONFIG = 1 << 26
MAX_STAGES = 4096
MAX_NAME = 256
MAX_SIZE = 1 << 20
MAX_BLOCK = 16

HEADER = ("compiler", "network", "chip", "inbound", "outbound", "stages", "copies", "entry_copies", "arrays")


@dataclass(frozen=True)
class SavedProgram:
    """A program out of a file.

    name     what the file is called in a refusal
    program  which fits the chip of its parameters, and whose connections were checked
    network  the `graph_key` of the network that it computes
    """

    name: str
    program: Program
    network: str

    def check_network(self, network: Network | Graph, model: str) -> None:
        """Refuse a network that is not the one that was compiled; `model` is what its user calls it."""
        graph = _graph(network)
        if self.network != graph_key(graph):
            raise OhmweaveError(
                f"{self.name} is of another network than {model}, whose integers are not the same: a float network "
                "has to be quantised with the same options"
            )
        channels, blocks = graph.input.shape[0], self.program.inbound.blocks
        if blocks is not None:
            channels *= blocks.side**2
        fits = blocks is None or blocks.fits(graph.input.shape)
        if self.program.inbound != Inbound(channels, graph.input.bits, blocks=blocks) or not fits:
            raise OhmweaveError(f"{self.name} is not valid: its inbound does not fit the images of {model}")
        if self.program.outbound.shape != graph.output.shape:
            raise OhmweaveError(f"{self.name} is not valid: its outbound does not fit the output of {model}")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A sentence for what a simulator trips over: connections may be sound, and constants or windows nonsense."""
        try:
            yield
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            raise OhmweaveError(
                f"{self.name} is not sound: its configuration makes no sense ({error})"
            ) from error

    def check_chip(self, params: GroupParams, arch: str) -> None:
        """Refuse a chip that is not the one that was compiled for; `arch` is what its user calls it."""
        if different := first_difference(self.program.params, params):
            what, of_file, of_chip = different
            raise OhmweaveError(
                f"{self.name} is for a chip with {what} {of_file}, and {arch} has {what} {of_chip}"
            )


def first_difference(one: GroupParams, other: GroupParams) -> tuple[str, object, object] | None:
    """Name and both values of the first parameter in which two chips differ; None where they are the same."""
    found = zip(_parameters(one), _parameters(other), strict=True)
    return next(((name, a, b) for (name, a), (_, b) in found if a != b), None)


def _parameters(params: GroupParams) -> Iterable[tuple[str, object]]:
    """Every parameter by the name that a configuration file has for it, the chip's own first."""
    for prefix, part in (
        ("", params),
        ("", params.pe),
        ("array ", params.pe.array),
        ("buffer ", params.pe.buffer),
    ):
        for field in fields(part):
            value = getattr(part, field.name)
            if field.name not in ("pe", "array", "buffer"):
                yield prefix + field.name, "lossless" if value is None else value


def _graph(network: Network | Graph) -> Graph:
    return network if isinstance(network, Graph) else from_network(network)


def to_bytes(program: Program, network: Network | Graph) -> bytes:
    """The file of a network's program; the same bytes for the same program."""
    arrays: dict[int, int] = {}  # unit → number of its array
    cells: dict[bytes, int] = {}
    distinct: list[np.ndarray] = []
    for unit, levels in sorted(program.levels.items()):
        arrays[unit] = cells.setdefault(hashlib.sha256(levels.tobytes()).digest(), len(distinct))
        if arrays[unit] == len(distinct):
            distinct.append(levels)
    header = {
        "compiler": __version__,
        "network": graph_key(_graph(network)),
        "chip": asdict(program.params),
        "inbound": asdict(program.inbound),
        "outbound": asdict(program.outbound),
        "stages": [asdict(stage) for stage in program.stages],
        "copies": program.copies,
        "entry_copies": program.entry_copies,
        "arrays": list(arrays.items()),
    }
    body = npz_bytes(
        {
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
            "config": program.config.astype("<u4"),
            **{f"levels.{number}": levels for number, levels in enumerate(distinct)},
        }
    )
    head = HEAD.pack(MAGIC, VERSION, 0, len(body))
    return head + hashlib.sha256(head + body).digest() + body


def save(path: Path, program: Program, network: Network | Graph) -> int:
    """Write the file, whole or not at all; its number of bytes."""
    content = to_bytes(program, network)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def load(path: Path) -> SavedProgram:
    """The program in a file; `OhmweaveError` where it cannot be read, is damaged or is not sound."""
    return from_bytes(read_bounded(path, "the program file", MAX_BYTES), f"the program file {path}")


def from_bytes(content: bytes, name: str = "the program file") -> SavedProgram:
    """The program in a file's bytes; `OhmweaveError`, in which the file is called `name`, where there is none."""
    arrays = _unpacked(content, name)
    try:
        header = json.loads(arrays.pop("header").tobytes())
        _exactly(header, "header", HEADER)
    except (KeyError, ValueError, RecursionError, _InvalidError):
        raise OhmweaveError(
            f"{name} is not valid: its header must have exactly {', '.join(HEADER)}"
        ) from None
    # An older compiler may have meant something else by the same configuration.
    if header["compiler"] != __version__:
        raise OhmweaveError(
            f"{name} was compiled by ohmweave {str(header['compiler'])[:MAX_NAME]}, and this is {__version__}: it has "
            "to be compiled anew"
        )
    try:
        program, network = _program(header, arrays), header["network"]
    except OhmweaveError as error:
        raise OhmweaveError(f"{name} is not valid: {error}") from None
    try:
        check_connections(program)
    except OhmweaveError as error:
        raise OhmweaveError(f"{name} is not sound: {error}") from None
    return SavedProgram(name, program, network)


def _unpacked(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays of a file that is as it was written."""
    if not content.startswith(MAGIC):
        raise OhmweaveError(f"{name} must be a file that `ohmweave compile` wrote, and is none")
    start = HEAD.size + DIGEST_BYTES
    if len(content) < start:
        raise OhmweaveError(f"{name} is damaged: it ends within its header")
    _, version, zero, size = HEAD.unpack_from(content)
    if version != VERSION:
        raise OhmweaveError(f"{name} must be of version {VERSION}, not {version}")
    if zero or len(content) - start != size:
        raise OhmweaveError(f"{name} is damaged: its size is not what its header says")
    digest = hashlib.sha256(content[: HEAD.size])
    digest.update(memoryview(content)[start:])
    if digest.digest() != content[HEAD.size : start]:
        raise OhmweaveError(f"{name} is damaged: its checksum is wrong")
    return read_npz(io.BytesIO(content[start:]), what=name, max_bytes=MAX_BYTES)


class _InvalidError(OhmweaveError):
    """Something in a file whose checksum is right is not what this program writes."""


def _exactly(value: Any, what: str, names: Iterable[str]) -> None:
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise _InvalidError(f"its {what} must have exactly {', '.join(names)}")


def _fields(value: Any, what: str, kind: Any) -> dict[str, Any]:
    """The fields of a record, none of which is anything but a whole number, a word, nothing or more of them."""
    _exactly(value, what, [field.name for field in fields(kind)])
    for each in value.values():
        if type(each) not in (int, str, bool, type(None), dict, list):
            raise _InvalidError(f"its {what} must have whole numbers, not {each!r}")
    return dict(value)


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise _InvalidError(f"its {what} must be a list of at most {most}")
    return value


def _params(value: Any) -> GroupParams:
    """The chip, which checks its own parameters."""
    chip = _fields(value, "chip", GroupParams)
    pe = _fields(chip["pe"], "chip's PE", PEParams)
    array = _fields(pe["array"], "chip's array", ArrayParams)
    buffer = _fields(pe["buffer"], "chip's buffer", BufferParams)
    whole("window_lanes", buffer["window_lanes"], 1, MAX_SIZE)
    pe |= {"array": ArrayParams(**array), "buffer": BufferParams(**buffer)}
    return GroupParams(**{**chip, "pe": PEParams(**pe)})


def _program(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Program:
    params = _params(header["chip"])
    network = header["network"]
    if not isinstance(network, str) or len(network) > MAX_NAME:
        raise _InvalidError("its network must be a word")
    whole("copies", header["copies"], 1, params.pes)
    entry_copies = tuple(_list(header["entry_copies"], "entry_copies", params.entries))
    for count in entry_copies:
        whole("entry_copies", count, 0, params.pes)
    if entry_copies and (len(entry_copies), sum(entry_copies)) != (params.entries, header["copies"]):
        raise _InvalidError(f"its entry_copies must be {params.entries}, {header['copies']} in all")
    config = _config(arrays.get("config"))
    return Program(
        params=params,
        levels=_levels(header["arrays"], arrays, params),
        config=config,
        inbound=_inbound(header["inbound"]),
        outbound=_outbound(header["outbound"]),
        stages=_stages(header["stages"], params),
        copies=header["copies"],
        entry_copies=entry_copies,
    )


def _config(config: np.ndarray | None) -> np.ndarray:
    if config is None or config.dtype != np.uint32 or config.ndim != 1 or len(config) > MAX_CONFIG:
        raise _InvalidError(f"its config must be at most {MAX_CONFIG} flits of uint32")
    if (config >> CONFIG_BITS != 1).any():
        raise _InvalidError(f"its config must be flits of {CONFIG_BITS} bits below the bit that marks them")
    return config


def _levels(placed: Any, arrays: Mapping[str, np.ndarray], params: GroupParams) -> dict[int, np.ndarray]:
    """Unit → cells, as the header places the file's arrays."""
    array = params.pe.array
    found: dict[int, np.ndarray] = {}
    for each in _list(placed, "arrays", params.pes):
        unit, number = each if isinstance(each, list) and len(each) == 2 else (-1, -1)
        whole("unit of an array", unit, 0, params.pes - 1)
        whole("number of an array", number, 0, params.pes - 1)
        levels = arrays.get(f"levels.{number}")
        if levels is None or levels.dtype != np.uint8 or levels.shape != (array.rows, array.cols):
            raise _InvalidError(f"its levels must be arrays of {array.rows} × {array.cols} uint8")
        found[unit] = levels
    used = {f"levels.{number}" for _, number in placed} | {"config"}
    if len(found) != len(placed) or set(arrays) != used:
        raise _InvalidError("its arrays must be those of its header, each unit once")
    top = (1 << array.cell_bits) - 1
    if any(levels.size and levels.max() > top for name, levels in arrays.items() if name != "config"):
        raise _InvalidError(f"its levels must be at most {top}")
    return found


def _inbound(value: Any) -> Inbound:
    found = _fields(value, "inbound", Inbound)
    blocks = None if found["blocks"] is None else _blocks(found["blocks"])
    for key in found.keys() - {"blocks"}:
        whole(f"{key} of inbound", found[key], 0, MAX_SIZE)
    return Inbound(**{**found, "blocks": blocks})


def _blocks(value: Any) -> Blocks:
    found = _fields(value, "inbound's blocks", Blocks)
    whole("side of inbound's blocks", found["side"], 2, MAX_BLOCK)
    border = _list(found["border"], "inbound's border", 4)
    if len(border) != 4:
        raise _InvalidError("its inbound's border must be 4 numbers")
    fill = _list(found["fill"], "inbound's fill", MAX_CHANNELS)
    for size in border:
        whole("inbound's border", size, 0, MAX_SIZE)
    for number in fill:
        whole("inbound's fill", number, 0, (1 << FILL_BITS) - 1)
    return Blocks(found["side"], (border[0], border[1], border[2], border[3]), tuple(fill))


def _outbound(value: Any) -> Outbound:
    found = _fields(value, "outbound", Outbound)
    shape = tuple(_list(found["shape"], "outbound's shape", 3))
    for size in shape:
        whole("outbound's shape", size, 1, MAX_SIZE)
    whole("bits of outbound", found["bits"], UNIT, 64)
    whole("rows of outbound", found["rows"], 1, 1)
    whole("turn of outbound", found["turn"], 0, 0)
    if len(shape) != 3 or found["bits"] % UNIT or not isinstance(found["signed"], bool):
        raise _InvalidError("its outbound must be a map of numbers of 4, 8, … 64 bits")
    return Outbound(**{**found, "shape": shape})


def _stages(value: Any, params: GroupParams) -> tuple[Placed, ...]:
    found = []
    for each in _list(value, "stages", MAX_STAGES):
        stage = _fields(each, "stages", Placed)
        name, units = stage["name"], tuple(_list(stage["units"], "units", params.pes))
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MAX_NAME:
            raise _InvalidError(f"its stages must have names of at most {MAX_NAME} characters")
        for unit in units:
            whole(f"unit of {name}", unit, 0, params.pes - 1)
        if not units:
            raise _InvalidError(f"its stage {name} must have a PE")
        found.append(Placed(name, units))
    return tuple(found)
