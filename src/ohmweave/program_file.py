"""The instruction tables of a PE as a file of bytes.

    0   4 bytes  "OHMI"
    4   2        version, 1
    6   2        R: instructions of the ReRAM half, 0 to 64
    8   2        A: instructions of the arithmetic half, 0 to 64
    10  2        zero
    12  4        CRC-32 (ISO-HDLC, as in zlib and PNG) of all the other bytes
    16  4·R      the ReRAM half's instructions
    …   4·A      the arithmetic half's instructions

All numbers are unsigned and little-endian.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.rtl.encoding import MAX_INSTRUCTIONS, decode
from ohmweave.rtl.isa import Half

__all__ = ["InstructionTables", "from_bytes", "read_bounded", "read_program", "to_bytes", "write_program"]

MAGIC = b"OHMI"
VERSION = 1
HEADER = struct.Struct("<4sHHHH")
CRC = struct.Struct("<I")
WORD = struct.Struct("<I")
MAX_BYTES = HEADER.size + CRC.size + len(Half) * MAX_INSTRUCTIONS * WORD.size


@dataclass(frozen=True)
class InstructionTables:
    """The words of both halves' tables, which are legal there."""

    reram: tuple[int, ...] = ()
    arithmetic: tuple[int, ...] = ()

    def of(self, half: Half) -> tuple[int, ...]:
        return self.reram if half == Half.RERAM else self.arithmetic


def to_bytes(tables: InstructionTables) -> bytes:
    """The file's bytes; `OhmweaveError` for tables that are too long or hold an illegal word."""
    _check(tables, "the program")
    header = HEADER.pack(MAGIC, VERSION, len(tables.reram), len(tables.arithmetic), 0)
    words = b"".join(WORD.pack(word) for word in (*tables.reram, *tables.arithmetic))
    return header + CRC.pack(zlib.crc32(header + words)) + words


def from_bytes(content: bytes, name: str = "the program file") -> InstructionTables:
    """The tables in a file's bytes; `OhmweaveError`, in which the file is called `name`, where it is not one."""
    if not content.startswith(MAGIC):
        raise OhmweaveError(f"{name} must be a file that `ohmweave asm` wrote, and is none")
    start = HEADER.size + CRC.size
    if len(content) < start:
        raise OhmweaveError(f"{name} is damaged: it ends within its header")
    _, version, reram, arithmetic, zero = HEADER.unpack_from(content)
    if version != VERSION:
        raise OhmweaveError(f"{name} must be of version {VERSION}, not {version}")
    size = start + WORD.size * (reram + arithmetic)
    if len(content) != size or zero or max(reram, arithmetic) > MAX_INSTRUCTIONS:
        raise OhmweaveError(f"{name} is damaged: its size is not what its header says")
    (expected,) = CRC.unpack_from(content, HEADER.size)
    if zlib.crc32(content[: HEADER.size] + content[start:]) != expected:
        raise OhmweaveError(f"{name} is damaged: its checksum is wrong")
    words = [word for (word,) in WORD.iter_unpack(content[start:])]
    tables = InstructionTables(tuple(words[:reram]), tuple(words[reram:]))
    _check(tables, name)
    return tables


def _check(tables: InstructionTables, name: str) -> None:
    if not (tables.reram or tables.arithmetic):
        raise OhmweaveError(f"{name} must have at least one instruction")
    for half in Half:
        words = tables.of(half)
        if len(words) > MAX_INSTRUCTIONS:
            raise OhmweaveError(
                f"{name} must have at most {MAX_INSTRUCTIONS} instructions a half, not {len(words)}"
            )
        for place, word in enumerate(words):
            try:
                decode(word, half)
            except OhmweaveError as error:
                raise OhmweaveError(f"{name}, instruction {place} of .{half.name.lower()}: {error}") from None


def write_program(path: Path, tables: InstructionTables) -> None:
    """Write the file, whole or not at all."""
    from ohmweave.sim.npz import atomic_path

    content = to_bytes(tables)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_program(path: Path) -> InstructionTables:
    """The tables in a file; `OhmweaveError` where it cannot be read or is not one."""
    return from_bytes(read_bounded(path, "the program file", MAX_BYTES), f"the program file {path}")


def read_bounded(path: Path, what: str, most: int) -> bytes:
    """A file's bytes; `OhmweaveError` where it cannot be read or has more than `most`."""
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OhmweaveError(f"{what} {path} cannot be read: {reason}") from None
    if len(content) > most:
        raise OhmweaveError(f"{what} {path} must be at most {most} bytes")
    return content
