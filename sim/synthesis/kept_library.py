"""A parsed library as plain data and arrays: JSON and .npz, nothing that runs when it is read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ohmweave.sim.npz import read_npz, write_npz
from ohmweave.sim.synthesis.cells import Arc, Cell, Pin, Power, State, Table

__all__ = ["read_cells", "write_cells"]

CELLS, TABLES = "cells.json", "tables.npz"
_ARC_TABLES = ("rise", "fall", "rise_slew", "fall_slew")
_MAX_BYTES = 1 << 30


class _Pool:
    """Arrays in one, each found again by where it starts and its shape; what is equal is kept once."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.end = 0
        self.known: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> int:
        key = array.tobytes()
        if key not in self.known:
            self.known[key] = self.end
            self.parts.append(array.ravel())
            self.end += array.size
        return self.known[key]

    def table(self, table: Table | None) -> list[int] | None:
        if table is None:
            return None
        slews, loads = table.values.shape
        return [slews, loads, self.add(table.slews), self.add(table.loads), self.add(table.values)]


def write_cells(folder: Path, cells: list[Cell], facts: dict[str, Any]) -> None:
    """Keep the cells and what else is known of their library."""
    pool = _Pool()
    records = []
    for cell in cells:
        record = {
            name: getattr(cell, name) for name in ("name", "area", "leakage_w", "is_ff", "is_latch", "usable")
        }
        record["pins"] = [asdict(pin) for pin in cell.pins.values()]
        record["state"] = asdict(cell.state) if cell.state else None
        record["arcs"] = [
            [arc.source, arc.target, arc.kind, arc.sense, arc.rising]
            + [pool.table(getattr(arc, name)) for name in _ARC_TABLES]
            for arc in cell.arcs
        ]
        record["powers"] = [
            [power.pin, power.related, pool.table(power.rise), pool.table(power.fall)]
            for power in cell.powers
        ]
        records.append(record)
    (folder / CELLS).write_text(json.dumps({"facts": facts, "cells": records}))
    write_npz(folder / TABLES, {"values": np.concatenate(pool.parts) if pool.parts else np.zeros(0)})


def read_cells(folder: Path) -> tuple[list[Cell], dict[str, Any]]:
    """What `write_cells` kept."""
    values = read_npz(folder / TABLES, what="the kept library", max_bytes=_MAX_BYTES)["values"]
    kept = json.loads((folder / CELLS).read_text())
    made: dict[tuple[int, ...], Table] = {}

    def table(where: list[int] | None) -> Table | None:
        if where is None:
            return None
        key = tuple(where)
        if key not in made:
            slews, loads, first, second, start = where
            grid = values[start : start + slews * loads].reshape(slews, loads)
            made[key] = Table(values[first : first + slews], values[second : second + loads], grid)
        return made[key]

    cells = []
    for record in kept["cells"]:
        state = record.pop("state")
        pins = {pin["name"]: Pin(**pin) for pin in record.pop("pins")}
        arcs = tuple(Arc(*arc[:5], *map(table, arc[5:])) for arc in record.pop("arcs"))
        powers = tuple(Power(*power[:2], *map(table, power[2:])) for power in record.pop("powers"))
        if state:
            state = State(**state | {"names": tuple(state["names"])})
        cells.append(Cell(**record, pins=pins, state=state, arcs=arcs, powers=powers))
    return cells, kept["facts"]
