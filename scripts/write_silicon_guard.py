"""Renews the table that area and speed of blocks are held against, and prints what has changed.

python scripts/write_silicon_guard.py
"""

import sys
from pathlib import Path

from ohmweave.sim.npz import atomic_path
from ohmweave.sim.synthesis.guard import compare, measure, read_table, table_text

TABLE = Path(__file__).resolve().parent.parent / "tests/sim/synthesis/guard.csv"


def main() -> int:
    rows = measure(progress=lambda arch, block: print(f"{block} of {arch}", flush=True))
    if TABLE.exists():
        lines, _ = compare(read_table(TABLE), rows)
        print("\n".join(lines))
    with atomic_path(TABLE) as path:
        path.write_text(table_text(rows))
    print(f"wrote {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
