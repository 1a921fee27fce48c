"""`ohmweave emit`: the netlist as files for other tools."""

from pathlib import Path

import click

from ohmweave.commands.options import arch_option, check_output_folder
from ohmweave.config import load_architecture

__all__ = ["FORMATS", "command"]

FORMATS = ("verilog", "rtlil")
TOPS = ("group", "axi", "memory")


@click.command("emit", short_help="Write the netlist, its macro and a file list.")
@arch_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="The language of the netlist.",
)
@click.option(
    "--top",
    type=click.Choice(TOPS),
    default=TOPS[0],
    show_default=True,
    help="`group`: the PEs and their networks, which the simulators run; `axi`: behind AXI4-Stream and AXI4-Lite; "
    "`memory`: with cache, copy engines and an AXI4 port, too.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder for the files.",
)
def command(arch: str, format_: str, top: str, out: Path) -> int:
    """Write the accelerator's netlist with the models of its macros and `filelist.f`.

    Each distinct module stands once in the netlist, whatever the number of PEs.
    """
    architecture = load_architecture(arch)
    check_output_folder(out)

    from ohmweave.commands.terminal import output
    from ohmweave.sim.backends import chip_source, group_source, write_netlist

    if top == "group":
        source = group_source(architecture.params)
    else:
        source = chip_source(architecture.params, architecture.memory if top == "memory" else None)
    console = output()
    for path in write_netlist(source, out, format_):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0
