"""`ohmweave emit`: the netlist as files for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ohmweave.commands.options import arch_option, check_output_folder
from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError

if TYPE_CHECKING:
    from ohmweave.sim.synthesis.constraints import Constraints

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
@click.option(
    "--constraints",
    is_flag=True,
    help="Add what place-and-route flows start with: SDC, Liberty and LEF views of the macros, a FuseSoC core file.",
)
@click.option(
    "--clock-ns",
    type=float,
    default=1.0,
    show_default=True,
    metavar="NS",
    help="Period of the clock in the constraints.",
)
@click.option(
    "--node",
    "node_nm",
    type=float,
    metavar="NM",
    help="Process that the macros' figures are scaled to; as they are cited by default.",
)
@click.option(
    "--macros",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Table of the macros' figures in place of the package's.",
)
@click.option(
    "--lef-layers",
    default="metal3,metal4",
    show_default=True,
    metavar="PINS,SUPPLY",
    help="Names of the metal layers in the LEF views.",
)
def command(
    arch: str,
    format_: str,
    top: str,
    out: Path,
    constraints: bool,
    clock_ns: float,
    node_nm: float | None,
    macros: Path | None,
    lef_layers: str,
) -> int:
    """Write the accelerator's netlist with the models of its macros and `filelist.f`.

    Each distinct module stands once in the netlist, whatever the number of PEs.
    """
    architecture = load_architecture(arch)
    check_output_folder(out)
    wanted = _constraints(clock_ns, node_nm, macros, lef_layers) if constraints else None

    from ohmweave.commands.terminal import output
    from ohmweave.sim.backends import chip_source, group_source, write_netlist

    if top == "group":
        source = group_source(architecture.params)
    else:
        source = chip_source(architecture.params, architecture.memory if top == "memory" else None)
    console = output()
    for path in write_netlist(source, out, format_, wanted):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    return 0


def _constraints(
    clock_ns: float, node_nm: float | None, macros: Path | None, lef_layers: str
) -> "Constraints":
    from ohmweave.sim.synthesis.constraints import Constraints
    from ohmweave.sim.synthesis.macros import load_macros

    layers = lef_layers.split(",")
    if len(layers) != 2 or not all(name.isidentifier() for name in layers):
        raise OhmweaveError(f"--lef-layers must be two names with a comma between them, not {lef_layers!r}")
    return Constraints(
        macros=load_macros(macros), clock_ns=clock_ns, node_nm=node_nm, layers=(layers[0], layers[1])
    )
