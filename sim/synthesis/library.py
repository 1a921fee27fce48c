"""Standard-cell libraries: Liberty files, one or several, or the unit gates that come with the project."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from ohmweave.errors import OhmweaveError
from ohmweave.sim.cache import cached, content_key
from ohmweave.sim.synthesis.cells import Cell, Library
from ohmweave.sim.synthesis.kept_library import read_cells, write_cells
from ohmweave.sim.synthesis.liberty import parse, read_text
from ohmweave.sim.synthesis.liberty_cells import cells_of, voltage_of

__all__ = ["MAX_FILES", "UNIT_GATES", "load_library", "unit_gates"]

UNIT_GATES = Path(__file__).with_name("unit_gates.lib")
MAX_FILES = 32
#: Modules whose text says what an entry of the cache holds.
_READERS = ("cells", "kept_library", "liberty", "liberty_cells", "library")


def unit_gates() -> Library:
    """The project's own library: areas in NAND2 equivalents, delays in FO4 that are written as ns."""
    return load_library([UNIT_GATES])


def load_library(paths: Sequence[Path]) -> Library:
    """The cells of Liberty files, plain or gzip, that make one library together.

    Parsed once for their content; the plain text of each stays beside that, for tools that read no gzip.
    Raises `OhmweaveError` for a file that cannot be read, is damaged, too large or no Liberty, for two cells of one
    name, and where the files together have no flip-flop, no inverter or no NAND2.
    """
    if not 1 <= len(paths) <= MAX_FILES:
        raise OhmweaveError(f"a library must be of 1 to {MAX_FILES} Liberty files, not {len(paths)}")
    texts = [read_text(path) for path in paths]
    reader = [Path(__file__).with_name(f"{name}.py").read_text() for name in _READERS]
    key = content_key(*texts, *reader)

    def build(folder: Path) -> None:
        groups = [parse(text, path) for text, path in zip(texts, paths, strict=True)]
        cells: dict[str, Cell] = {}
        for group, path in zip(groups, paths, strict=True):
            for cell in cells_of(group):
                if cell.name in cells:
                    raise OhmweaveError(
                        f"{path} must not have the cell {cell.name!r}, which stands before it"
                    )
                cells[cell.name] = cell
        names = [group.args[0] if group.args else "" for group in groups]
        _check(cells, "the Liberty file" if len(paths) == 1 else "the Liberty files", paths)
        write_cells(folder, list(cells.values()), {"name": _common(names), "voltage": voltage_of(groups[0])})
        for number, text in enumerate(texts):
            (folder / f"{number}.lib").write_text(text)

    folder = cached("liberty", key, build)
    cells, facts = read_cells(folder)
    own = len(texts) == 1 and texts[0] == UNIT_GATES.read_text()
    return Library(
        name=facts["name"],
        unit="NAND2" if own else "um2",
        voltage=facts["voltage"],
        cells={cell.name: cell for cell in cells},
        paths=tuple(folder / f"{number}.lib" for number in range(len(paths))),
    )


def _check(cells: dict[str, Cell], called: str, paths: Sequence[Path]) -> None:
    """Refuse what no netlist can be mapped to."""
    where = " ".join(map(str, paths))
    usable = [cell for cell in cells.values() if cell.usable]
    if not any(cell.is_ff for cell in usable):
        raise OhmweaveError(f"{called} {where} must have a flip-flop (a cell with an ff group), and has none")
    for name, function in (("an inverter", "!A"), ("a NAND2", "!(A & B)")):
        if not any(cell.is_gate(function) and _timed(cell) for cell in usable):
            raise OhmweaveError(f"{called} {where} must have {name} with its delays, and has none")


def _timed(cell: Cell) -> bool:
    return all(
        any(
            arc.source == name and arc.rise and arc.fall and arc.rise_slew and arc.fall_slew
            for arc in cell.arcs
        )
        for name in cell.inputs
    )


def _common(names: Sequence[str]) -> str:
    """The library's name: of several files what their names start with alike."""
    if len(names) == 1:
        return names[0]
    common = "".join(chars[0] for chars in itertools.takewhile(_alike, zip(*names, strict=False)))
    return common.rstrip("_-.") or "+".join(names)


def _alike(chars: Sequence[str]) -> bool:
    return len(set(chars)) == 1
