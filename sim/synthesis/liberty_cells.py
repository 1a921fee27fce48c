"""From a Liberty file's groups to records of cells, in one set of units."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.cells import Arc, Cell, Pin, Power, State, Table
from ohmweave.sim.synthesis.liberty import Group

__all__ = ["Units", "cells_of", "voltage_of"]

_PREFIX = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3}
_UNIT = re.compile(r"\s*([\d.eE+-]+)\s*([fpnumk]?)([a-zA-Z]+)\s*")
_NUMBERS = re.compile(r"[\s,]+")
#: Kinds of arcs by `timing_type`, and whether the clock's rising edge counts; what is not here is not used.
_KINDS = {
    "combinational": ("combinational", True), "combinational_rise": ("combinational", True),
    "combinational_fall": ("combinational", True), "rising_edge": ("edge", True), "falling_edge": ("edge", False),
    "setup_rising": ("setup", True), "setup_falling": ("setup", False),
    "hold_rising": ("hold", True), "hold_falling": ("hold", False),
}  # fmt: skip
_SENSES = {"positive_unate": "positive", "negative_unate": "negative"}
Combine = Callable[[list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Units:
    """Factors from a file's units to ns, fF, W and fJ."""

    time: float
    capacitance: float
    leakage: float
    energy: float

    @classmethod
    def of(cls, library: Group) -> "Units":
        number, unit = [*library.list("capacitive_load_unit"), "1", "pf"][:2]
        farads = _quantity(f"{number}{unit}", "F")
        volts = _quantity(library.text("voltage_unit", "1V"), "V")
        return cls(
            time=_quantity(library.text("time_unit", "1ns"), "S") * 1e9,
            capacitance=farads * 1e15,
            leakage=_quantity(library.text("leakage_power_unit", "1nW"), "W"),
            # Energies have no unit of their own: it is that of a charge's.
            energy=farads * volts**2 * 1e15,
        )


def _quantity(text: str, unit: str) -> float:
    found = _UNIT.fullmatch(text)
    if found is None or found[3].upper() != unit:
        raise OhmweaveError(f"a unit of a Liberty file must be a number of {unit.lower()}, not {text!r}")
    return float(found[1]) * _PREFIX[found[2]]


def number(text: str, what: str) -> float:
    """A number of an attribute."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise OhmweaveError(f"{what} of a Liberty file must be a number, not {text[:40]!r}")
    return value


def voltage_of(library: Group) -> float:
    """The nominal voltage."""
    return number(library.text("nom_voltage", "1"), "nom_voltage")


def _floats(parts: Iterable[str], what: str) -> np.ndarray:
    text = " ".join(parts).strip(", \n\t")
    try:
        values = np.array(_NUMBERS.split(text), float)
    except ValueError:
        raise OhmweaveError(f"{what} of a Liberty file must be numbers, not {text[:40]!r}") from None
    if not np.isfinite(values).all():
        raise OhmweaveError(f"{what} of a Liberty file must be numbers, not {text[:40]!r}")
    return values


class _Reader:
    """Cells of one file: its templates and units at hand."""

    def __init__(self, library: Group):
        self.units = Units.of(library)
        kinds = ("lu_table_template", "power_lut_template")
        self.templates = {
            group.args[0]: group for group in library.groups if group.kind in kinds and group.args
        }
        self.default_capacitance = number(library.text("default_input_pin_cap", "0"), "default_input_pin_cap")

    def table(self, group: Group | None, scale: float) -> Table | None:
        """A table with its slews first, whatever the order of the template."""
        if group is None:
            return None
        name = group.args[0] if group.args else "scalar"
        template = self.templates.get(name)
        if template is None and name != "scalar":
            raise OhmweaveError(
                f"a table of a Liberty file names the template {name!r}, which the file has not"
            )
        values = _floats(group.list("values"), "values") * scale
        axes: list[np.ndarray] = []
        slews_first = True
        for place in (1, 2) if template is not None else ():
            variable = template.text(f"variable_{place}") if template is not None else ""
            holder = group if f"index_{place}" in group.attributes else template
            if not variable or holder is None or f"index_{place}" not in holder.attributes:
                break
            loads = "capacitance" in variable
            axis = _floats(holder.list(f"index_{place}"), f"index_{place}")
            axes.append(axis * (self.units.capacitance if loads else self.units.time))
            # Constraints: that of the data first, that of the clock second.
            if place == 1:
                slews_first = not loads and variable != "related_pin_transition"
        shape = tuple(len(axis) for axis in axes)
        if values.size != int(np.prod(shape)):
            raise OhmweaveError(
                f"a table of a Liberty file must have {int(np.prod(shape))} values, not {values.size}"
            )
        if any((np.diff(axis) <= 0).any() for axis in axes):
            raise OhmweaveError("an index of a Liberty file must rise")
        axes += [np.zeros(1)] * (2 - len(axes))
        values = values.reshape([len(axis) for axis in axes] if slews_first or len(shape) == 2 else (1, -1))
        if slews_first:
            return Table(axes[0], axes[1], values)
        return Table(axes[1], axes[0], values.T if len(shape) == 2 else values)

    def merged(self, groups: list[Group], kind: str, scale: float, combine: Combine) -> Table | None:
        """The tables called `kind` of several groups, which hold in different states of the cell, as one."""
        tables = [self.table(each, scale) for group in groups for each in group.each(kind)]
        found = [table for table in tables if table is not None]
        if not found:
            return None
        first = found[0]
        same = [
            each.values
            for each in found
            if np.array_equal(each.slews, first.slews) and np.array_equal(each.loads, first.loads)
        ]
        return Table(first.slews, first.loads, combine(same))

    def cell(self, group: Group) -> Cell:
        registers = [each for each in group.groups if each.kind in ("ff", "latch", "ff_bank", "latch_bank")]
        pins: dict[str, Pin] = {}
        arcs: list[Arc] = []
        powers: list[Power] = []
        for each in _pins(group):
            for name in each.args:
                pins[name] = self.pin(name, each)
                arcs += self.arcs(name, each)
                powers += self.powers(name, each)
        kind = registers[0].kind if registers else ""
        return Cell(
            name=group.args[0] if group.args else "",
            area=number(group.text("area", "0"), "area"),
            leakage_w=self.leakage(group),
            is_ff=kind.startswith("ff"),
            is_latch=kind.startswith("latch"),
            usable=group.text("dont_use") != "true",
            pins=pins,
            state=_state(registers[0]) if kind in ("ff", "latch") else None,
            arcs=tuple(arcs),
            powers=tuple(powers),
        )

    def pin(self, name: str, group: Group) -> Pin:
        direction = group.text("direction", "input")
        given = group.text("capacitance") or (str(self.default_capacitance) if direction == "input" else "0")
        most = group.text("max_capacitance")
        scale = self.units.capacitance
        return Pin(
            name=name,
            direction=direction,
            capacitance=number(given, "capacitance") * scale,
            function=group.text("function") or None,
            is_clock=group.text("clock") == "true",
            max_capacitance=number(most, "max_capacitance") * scale if most else None,
        )

    def arcs(self, pin: str, group: Group) -> list[Arc]:
        """Delays and constraints, the longest of all states of the cell."""
        kept: dict[tuple[str, str, str, bool], list[Group]] = {}
        for timing in group.each("timing"):
            known = _KINDS.get(timing.text("timing_type", "combinational"))
            if known is None:
                continue
            sense = _SENSES.get(timing.text("timing_sense"), "none")
            for source in timing.text("related_pin").split():
                kept.setdefault((source, known[0], sense, known[1]), []).append(timing)
        found = []
        for (source, kind, sense, rising), groups in kept.items():
            suffix = "{}_constraint" if kind in ("setup", "hold") else "cell_{}"
            tables = [
                self.merged(groups, name, self.units.time, lambda values: np.max(values, axis=0))
                for name in (
                    suffix.format("rise"), suffix.format("fall"), "rise_transition", "fall_transition"
                )
            ]  # fmt: skip
            if tables[0] is not None or tables[1] is not None:
                found.append(Arc(source, pin, kind, sense, rising, *tables))
        return found

    def powers(self, pin: str, group: Group) -> list[Power]:
        """Mean over the states of the cell, summed over its supplies."""
        kept: dict[tuple[str, str], dict[str, list[Group]]] = {}
        for power in group.each("internal_power"):
            for related in power.text("related_pin").split() or [""]:
                supplies = kept.setdefault((pin, related), {})
                supplies.setdefault(power.text("related_pg_pin"), []).append(power)
        found = []
        for (_, related), supplies in kept.items():
            tables: list[Table | None] = []
            for kind in ("rise_power", "fall_power"):
                parts = [
                    self.merged(groups, kind, self.units.energy, lambda values: np.mean(values, axis=0))
                    or self.merged(groups, "power", self.units.energy, lambda values: np.mean(values, axis=0))
                    for groups in supplies.values()
                ]
                tables.append(_sum([part for part in parts if part is not None]))
            found.append(Power(pin, related, *tables))
        return found

    def leakage(self, group: Group) -> float:
        """The file's own mean, or that over the states which it lists; the sum over the supplies."""
        if "cell_leakage_power" in group.attributes:
            return number(group.text("cell_leakage_power"), "cell_leakage_power") * self.units.leakage
        supplies: dict[str, list[float]] = {}
        for each in group.each("leakage_power"):
            value = number(each.text("value", "0"), "leakage_power")
            supplies.setdefault(each.text("related_pg_pin"), []).append(value)
        return sum(float(np.mean(values)) for values in supplies.values()) * self.units.leakage


def _sum(tables: list[Table]) -> Table | None:
    if not tables:
        return None
    shape = tables[0].values.shape
    values = [table.values for table in tables if table.values.shape == shape]
    return Table(tables[0].slews, tables[0].loads, np.sum(values, axis=0))


def _pins(cell: Group) -> Iterable[Group]:
    """Pins of a cell, those of its buses and bundles as one each."""
    for group in cell.groups:
        if group.kind in ("pin", "bus", "bundle"):
            yield group


def _state(group: Group) -> State:
    names = [*group.args, "", ""][:2]
    latch = group.kind == "latch"
    return State(
        names=(names[0], names[1]),
        next_state=group.text("data_in" if latch else "next_state"),
        clock=group.text("enable" if latch else "clocked_on"),
        clear=group.text("clear"),
        preset=group.text("preset"),
    )


def cells_of(library: Group) -> list[Cell]:
    """All cells of a file."""
    reader = _Reader(library)
    return [reader.cell(group) for group in library.each("cell")]
