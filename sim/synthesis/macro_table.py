"""The records of a table of macros, and what is checked of a file that has them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.scaling import check_node

__all__ = ["Adc", "Cache", "Crossbar", "Dac", "Measured", "Sram", "check_table"]

CONVERTERS = ("included", "apart")
MAX_COUNT = 1 << 40


@dataclass(frozen=True)
class Measured:
    """One SRAM macro that was read."""

    depth: int
    width: int
    area_um2: float
    access_ns: float
    leakage_w: float
    read_energy_pj: float | None = None
    write_energy_pj: float | None = None


@dataclass(frozen=True)
class Sram:
    """Rules of a family of memories: each a tuple of factors for the quantities that `macros.toml` names beside it.

    A family without rules for its energies takes those of the nearest that has them.
    """

    node_nm: float
    source: str
    max_width: int
    max_depth: int
    words_a_row: int
    deep_from: int
    deep_words_a_row: int
    area_um2: tuple[float, float, float, float]
    access_ns: tuple[float, float]
    leakage_w: tuple[float]
    two_port_area: float
    read_energy_pj: tuple[float, float, float] | None = None
    write_energy_pj: tuple[float, float, float] | None = None
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True)
class Crossbar:
    """The array that is cited."""

    node_nm: float
    source: str
    rows: int
    cols: int
    colmux: int
    area_um2: float
    power_w: float
    access_ns: float
    write_energy_pj: float
    converters: str


@dataclass(frozen=True)
class Cache:
    """The cache that is cited."""

    node_nm: float
    source: str
    bits: int
    area_um2: float
    power_w: float
    read_ns: float
    write_ns: float


@dataclass(frozen=True)
class Adc:
    """One converter of a column's sum."""

    node_nm: float
    source: str
    bits: int
    area_um2: float
    energy_pj: float


@dataclass(frozen=True)
class Dac:
    """One converter of a row's input."""

    node_nm: float
    source: str
    bits: int
    area_um2: float
    energy_pj: float


def check_table(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The records of a file, by their names in `Macros`; every refusal is one sentence without the file's name."""
    known = ("sram", "crossbar", "cache", "adc", "dac")
    _names("the top level", tables, known, known)
    adcs = tables["adc"]
    if not isinstance(adcs, list) or len(adcs) != 2:
        raise OhmweaveError("adc must be two tables, [[adc]]")
    records = [_record("[[adc]]", adc, Adc) for adc in adcs]
    records.sort(key=lambda adc: adc.bits)
    low, high = records
    if low.bits == high.bits or low.node_nm != high.node_nm:
        raise OhmweaveError("the two [[adc]] must have different bits at the same node_nm")
    crossbar = _record("[crossbar]", tables["crossbar"], Crossbar)
    if crossbar.converters not in CONVERTERS:
        accepted = ", ".join(CONVERTERS)
        raise OhmweaveError(
            f"converters of [crossbar] must be one of {accepted}, not {crossbar.converters!r}"
        )
    return {
        "srams": _families(tables["sram"]),
        "crossbar_": crossbar,
        "cache": _record("[cache]", tables["cache"], Cache),
        "adcs": tuple(records),
        "dac": _record("[dac]", tables["dac"], Dac),
    }


def _families(tables: object) -> tuple[Sram, ...]:
    """One table, [sram], or several, [[sram]]."""
    where, listed = ("[[sram]]", tables) if isinstance(tables, list) else ("[sram]", [tables])
    srams = tuple(_record(where, table, Sram) for table in listed)
    for sram in srams:
        if (sram.read_energy_pj is None) != (sram.write_energy_pj is None):
            raise OhmweaveError(f"{where} must have both of read_energy_pj and write_energy_pj, or neither")
    if all(sram.read_energy_pj is None for sram in srams):
        raise OhmweaveError(f"{where} must have read_energy_pj and write_energy_pj once at least")
    if len({sram.node_nm for sram in srams}) < len(srams):
        raise OhmweaveError(f"each {where} must have another node_nm")
    return srams


def _record(where: str, table: object, record: Callable[..., Any]) -> Any:
    """A table as a record, each value by the type of its field."""
    known = fields(record)  # type: ignore[arg-type]
    names = tuple(field.name for field in known)
    if not isinstance(table, dict):
        raise OhmweaveError(f"{where} must be a table of {', '.join(names)}, not {table!r}")
    needed = tuple(field.name for field in known if field.default is MISSING)
    _names(where, table, names, needed)
    values = {}
    for field in known:
        if field.name in table:
            value = table[field.name]
            values[field.name] = _value(f"{field.name} of {where}", field.type, field.name, value)
    return record(**values)


def _names(where: str, table: Mapping[str, Any], known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise OhmweaveError(f"{where} has no {key!r}; it takes {', '.join(known)}")
    for key in needed:
        if key not in table:
            raise OhmweaveError(f"{where} must have {key}")


def _value(what: str, type_: Any, name: str, value: object) -> Any:
    if isinstance(type_, UnionType):  # what may be left out, with None for it
        type_ = type_.__args__[0]
    if type_ is str:
        if not isinstance(value, str) or not value.strip():
            raise OhmweaveError(f"{what} must be a text, not {value!r}")
        return value
    if type_ is int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
            raise OhmweaveError(f"{what} must be a whole number from 1, not {value!r}")
        return value
    if type_ is float:
        if not _number(value) or float(value) <= 0:  # type: ignore[arg-type]
            raise OhmweaveError(f"{what} must be a number above 0, not {value!r}")
        if name == "node_nm":
            check_node(value)  # type: ignore[arg-type]
        return value
    if name == "measured":
        if not isinstance(value, list):
            raise OhmweaveError(f"{what} must be tables, not {value!r}")
        return tuple(_record("[[sram.measured]]", one, Measured) for one in value)
    count = len(type_.__args__)
    if not isinstance(value, list) or len(value) != count or not all(map(_number, value)):
        raise OhmweaveError(f"{what} must be a list of {count} numbers, not {value!r}")
    return tuple(map(float, value))


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
