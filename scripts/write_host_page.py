"""Writes the register tables of docs/blocks/host.md from their definition in rtl/host/register_map.py, memory_map.py.

    python scripts/write_host_page.py

The rest of the page is written by hand. A test compares the page with what this gives.
"""

from collections.abc import Iterable
from pathlib import Path

from ohmweave.rtl.host.host_register import Access, HostRegister
from ohmweave.rtl.host.memory_map import MEMORY_COUNTERS, MEMORY_REGISTERS
from ohmweave.rtl.host.register_map import COUNTERS, REGISTERS

TARGET = Path(__file__).resolve().parent.parent / "docs" / "blocks" / "host.md"
BEGIN = "<!-- Written by scripts/write_host_page.py from rtl/host/register_map.py and memory_map.py. -->"
END = "<!-- End of what the script writes. -->"

ACCESS = {
    Access.READ_ONLY: "read",
    Access.READ_WRITE: "read, write",
    Access.WRITE_ONLY: "write; reads 0",
    Access.CLEAR: "read; 1 clears",
}


def bits(low: int, width: int) -> str:
    return f"{low + width - 1}:{low}" if width > 1 else f"{low}"


def counter_words() -> set[str]:
    """Names of the registers that stand in the table of counters."""
    return {name + suffix for name, _, _ in (*COUNTERS, *MEMORY_COUNTERS) for suffix in ("", "_HIGH")}


def overview(registers: list[HostRegister]) -> list[str]:
    lines = ["| address | register | access | reset | |", "|---|---|---|---|---|"]
    for reg in registers:
        reset = sum(field.reset << field.low for field in reg.fields)
        shown = f"{reset:#x}" if reg.access is Access.READ_WRITE else ""
        lines.append(f"| 0x{reg.address:03X} | `{reg.name}` | {ACCESS[reg.access]} | {shown} | {reg.text} |")
    return lines


def fields(registers: list[HostRegister]) -> list[str]:
    lines = ["| register | bits | field | meaning |", "|---|---|---|---|"]
    for reg in registers:
        for field in reg.fields:
            lines.append(f"| `{reg.name}` | {bits(field.low, field.width)} | `{field.name}` | {field.text} |")
    return lines


def counters(table: Iterable[tuple[str, int, str]]) -> list[str]:
    lines = ["| addresses | counter | counts |", "|---|---|---|"]
    lines += [
        f"| 0x{address:03X}, 0x{address + 4:03X} | `{name}` | {text} |" for name, address, text in table
    ]
    return lines


def section() -> str:
    """The registers, the fields of those, the counters; then those of memory."""
    parts: list[list[str]] = []
    for title, table, counted in (
        ([], REGISTERS, COUNTERS),
        (["### Registers of memory", "", "On a chip with memory only."], MEMORY_REGISTERS, MEMORY_COUNTERS),
    ):
        registers = [reg for reg in table if reg.name not in counter_words()]
        parts += [title] if title else []
        parts += [overview(registers), ["Fields:"], fields(registers)]
        parts.append(
            [
                "Counters of 64 bits: the lower word at the first address, the upper one (`…_HIGH`) at the second:"
            ]
        )
        parts.append(counters(counted))
    return "\n\n".join("\n".join(part) for part in parts)


def page(old: str) -> str:
    """The page with the tables of today."""
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"{TARGET} has no place for the tables"
    assert after, f"{TARGET} has no end of the tables"
    return f"{before}{BEGIN}\n\n{section()}\n\n{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text()))
