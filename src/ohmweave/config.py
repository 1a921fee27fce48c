"""Which accelerator: a named preset, or a TOML file of the user's knobs on top of one.

    preset = "re-reram"     # what the file starts from; "re-reram" when absent
    levels = 2              # 4^levels PEs
    link_bits = 16
    entries = 1             # or 4, 16, …: points at which frames enter the distribution tree
    exit_flits = 0          # with several entries: flits of the frame buffer beside each, a power of two

    [array]
    rows = 1152
    adc_bits = "lossless"   # or a number of bits

    [buffer]
    width = 224

    [memory]                # behind the chip's AXI interfaces
    capacity = 4194304      # bytes of the cache
    data_bits = 64          # of the AXI4 port

Knobs that are not named keep the preset's values. What follows from others is derived and cannot be set: the
lanes of the window are the array's rows, and a bit plane of an activation has the bits that a wordline takes.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.params import (
    ArrayParams,
    AXIParams,
    BufferParams,
    CacheParams,
    GroupParams,
    MemoryParams,
    PEParams,
)
from ohmweave.presets import PRESETS

__all__ = ["DEFAULT_ARCH", "Architecture", "load_architecture"]

DEFAULT_ARCH = "re-reram"
MAX_FILE_BYTES = 1 << 20
LOSSLESS = "lossless"

# Everything that is derived is left out: it is no knob.
ARRAY_KNOBS = tuple(field.name for field in dataclasses.fields(ArrayParams))
BUFFER_KNOBS = tuple(
    field.name for field in dataclasses.fields(BufferParams) if field.name not in ("act_bits", "window_lanes")
)
CACHE_KNOBS, AXI_KNOBS = (
    tuple(field.name for field in dataclasses.fields(params)) for params in (CacheParams, AXIParams)
)
ENGINE_KNOBS = ("descriptors", "ahead", "queue_words")
MEMORY_KNOBS = (*CACHE_KNOBS, *AXI_KNOBS, *ENGINE_KNOBS)
TOP_KNOBS = ("preset", "levels", "link_bits", "entries", "exit_flits", "array", "buffer", "memory")


@dataclass(frozen=True)
class Architecture:
    """A configuration under the name that reports give it: a preset's, or the path of the file; `memory` is what a chip
    with memory has."""

    name: str
    params: GroupParams
    memory: MemoryParams = dataclasses.field(default_factory=MemoryParams)


def load_architecture(source: str) -> Architecture:
    """The accelerator that `--arch` names: a preset, or a file that ends in `.toml`.

    Raises `OhmweaveError`, one sentence, for anything else and for a knob that does not exist or does not fit.
    """
    if source in PRESETS:
        return Architecture(source, PRESETS[source])
    if not source.endswith(".toml"):
        raise OhmweaveError(f"--arch must be one of {', '.join(PRESETS)} or a .toml file, not {source!r}")
    try:
        knobs = read_toml(Path(source))
        return Architecture(source, from_knobs(knobs), memory_from_knobs(knobs))
    except _KnobError as error:
        raise OhmweaveError(f"{source}: {error}") from None


class _KnobError(OhmweaveError):
    """Something wrong inside the file: the message still needs the file's name."""


def read_toml(path: Path, what: str = "configuration file") -> dict[str, Any]:
    """A file of at most 1 MiB that is TOML; `what` it is called in a refusal."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise OhmweaveError(f"{what} {path} cannot be read: {reason}") from None
    if len(data) > MAX_FILE_BYTES:
        raise OhmweaveError(f"{what} {path} must be at most {MAX_FILE_BYTES} bytes")
    try:
        knobs = tomllib.loads(data.decode())
        repr(knobs)  # raises ValueError for a number that is too long to be quoted
        return knobs
    except UnicodeDecodeError:
        raise OhmweaveError(f"{what} {path} must be TOML in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OhmweaveError(f"{what} {path} is not valid TOML: {error or 'nested too deep'}") from None
    except ValueError:
        raise OhmweaveError(f"{what} {path} has a number of too many digits") from None


def from_knobs(knobs: Mapping[str, Any]) -> GroupParams:
    """Derived, validated parameters from what a file says; every refusal is one sentence."""
    _refuse_unknown("the top level", knobs, TOP_KNOBS)
    name = knobs.get("preset", DEFAULT_ARCH)
    if not isinstance(name, str) or name not in PRESETS:
        raise _KnobError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
    base = PRESETS[name]

    array_knobs = _table(knobs, "array", ARRAY_KNOBS)
    if "adc_bits" in array_knobs:
        array_knobs["adc_bits"] = _adc_bits(array_knobs["adc_bits"])
    buffer_knobs = _table(knobs, "buffer", BUFFER_KNOBS)
    link_bits = knobs.get("link_bits", base.pe.link_bits)

    try:
        array = dataclasses.replace(base.pe.array, **array_knobs)
        buffer = dataclasses.replace(
            base.pe.buffer, **buffer_knobs, act_bits=array.dac_bits, window_lanes=array.rows
        )
        pe = PEParams(array=array, buffer=buffer, link_bits=link_bits)
        return GroupParams(
            pe=pe,
            levels=knobs.get("levels", base.levels),
            entries=knobs.get("entries", base.entries),
            exit_flits=knobs.get("exit_flits", base.exit_flits),
        )
    except _KnobError:
        raise
    except OhmweaveError as error:
        raise _KnobError(str(error)) from None


def memory_from_knobs(knobs: Mapping[str, Any]) -> MemoryParams:
    """The same of what stands behind the chip's AXI interfaces."""
    table = _table(knobs, "memory", MEMORY_KNOBS)
    cache, axi, engine = (
        {name: table[name] for name in names if name in table}
        for names in (CACHE_KNOBS, AXI_KNOBS, ENGINE_KNOBS)
    )
    try:
        return MemoryParams(cache=CacheParams(**cache), axi=AXIParams(**axi), **engine)
    except OhmweaveError as error:
        raise _KnobError(str(error)) from None


def _table(knobs: Mapping[str, Any], name: str, known: tuple[str, ...]) -> dict[str, Any]:
    table = knobs.get(name, {})
    if not isinstance(table, dict):
        raise _KnobError(f"{name} must be a table of {', '.join(known)}, not {table!r}")
    _refuse_unknown(f"[{name}]", table, known)
    return dict(table)


def _refuse_unknown(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise _KnobError(f"{where} has no {key!r}; it takes {', '.join(known)}")


def _adc_bits(value: Any) -> Any:
    """TOML has no null, so a lossless ADC is a word; a bad number is refused by the parameters' own check."""
    if value == LOSSLESS:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _KnobError(f"adc_bits must be {LOSSLESS!r} or a whole number of bits, not {value!r}")
    return value
