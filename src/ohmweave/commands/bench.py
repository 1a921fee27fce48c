"""`ohmweave bench`: speed and memory against their targets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.commands.options import check_output_folder, out_option

if TYPE_CHECKING:
    from ohmweave.bench import Row

__all__ = ["BENCHES", "command"]

#: The same as the keys of `ohmweave.bench.BENCHES`; a test compares them.
BENCHES = (
    "cycles",
    "speed",
    "images",
    "build",
    "memory",
    "emit",
    "import",
    "layers",
    "pruned",
    "pool",
    "chip",
)


@click.command("bench", short_help="Measure speed and memory against their targets.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(BENCHES),
    help="Measure this alone; may be given several times. Everything takes about ten minutes on two cores.",
)
@out_option("Folder for bench.json.")
def command(only: tuple[str, ...], out: Path) -> int:
    """Measure the `re-reram` preset against its targets and write bench.json.

    Ratios are of figures from this one run. The speed of simulators is that of one busy PE of full size, on the same
    netlist and the same model of the array.
    """
    check_output_folder(out)

    from rich.console import Console

    from ohmweave.bench import measure, write
    from ohmweave.commands.terminal import output, progress_bars

    names = [name for name in BENCHES if not only or name in only]
    with progress_bars(Console(stderr=True)) as progress:
        rows = list(measure(names, lambda name: progress(f"measuring {name}", 0, 0)))
    path = write(out, rows)
    console = output()
    console.print(_table(rows))
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0


def _table(rows: "list[Row]") -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("met")
    for row in rows:
        details = "; ".join(f"{name} {_number(value)}" for name, value in row.details.items())
        table.add_row(
            f"{row.what} ({details})" if details else row.what,
            f"{_number(row.value)} {row.unit}",
            f"{'≤' if row.at_most else '≥'} {_number(row.target)} {row.unit}",
            "yes" if row.met else "no",
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
