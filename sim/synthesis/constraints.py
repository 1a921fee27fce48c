"""What a place-and-route flow needs beside a netlist: constraints, views of the macros, a FuseSoC core file."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

from ohmweave.errors import OhmweaveError
from ohmweave.params import ArrayParams, CacheArrayParams
from ohmweave.rtl.crossbar.macro import macro_ports
from ohmweave.rtl.macro_text import PortWidth, port_widths
from ohmweave.rtl.memory.array_macro import array_ports
from ohmweave.sim.backends.design import Design
from ohmweave.sim.backends.hierarchy import ports, split_modules
from ohmweave.sim.synthesis.macro_lef import DEFAULT_LAYERS, lef_view
from ohmweave.sim.synthesis.macro_liberty import liberty_view
from ohmweave.sim.synthesis.macros import Macros

__all__ = ["Constraints", "constraint_files"]

#: Parts of the clock's period: what the clock tree may cost, and what is left outside for inputs and outputs.
UNCERTAINTY = 0.05
OUTSIDE = 0.2
CLOCKS_NS = (0.01, 1e6)


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What the files are made for.

    macros    table of the macros' figures
    clock_ns  period of the clock
    node_nm   process that the macros are scaled to; None: each as it is cited
    layers    names of the metal of signal pins and of supply straps in the LEF views
    """

    macros: Macros
    clock_ns: float = 1.0
    node_nm: float | None = None
    layers: tuple[str, str] = DEFAULT_LAYERS

    def __post_init__(self) -> None:
        low, high = CLOCKS_NS
        if not low <= self.clock_ns <= high:
            raise OhmweaveError(
                f"the clock's period must be from {low:g} to {high:g} ns, not {self.clock_ns!r}"
            )


def constraint_files(design: Design, constraints: Constraints, sources: Iterable[str]) -> dict[str, str]:
    """Texts by their names; `sources` are the Verilog files that stand beside them, the top's first."""
    texts = {f"{design.top}.sdc": _sdc(design, constraints)}
    for name, params in design.macros.items():
        figures = constraints.macros.macro(params)
        if constraints.node_nm is not None:
            figures = figures.at(constraints.node_nm)
        texts[f"{name}.lib"] = liberty_view(
            name,
            _macro_ports(params),
            figures,
            read_cycles=params.read_cycles,
            clock_ns=constraints.clock_ns,
        )
        texts[f"{name}.lef"] = lef_view(name, _macro_ports(params), figures, layers=constraints.layers)
    texts[f"ohmweave_{design.top}.core"] = _core(design.top, list(sources), list(texts))
    return texts


def _macro_ports(params: ArrayParams | CacheArrayParams) -> list[PortWidth]:
    return port_widths(macro_ports(params) if isinstance(params, ArrayParams) else array_ports(params))


def _sdc(design: Design, constraints: Constraints) -> str:
    period = constraints.clock_ns
    lines = [
        f"# {design.top}: times in ns. The clock tree may cost {UNCERTAINTY:.0%} of the period; the other side of each",
        f"# port has {OUTSIDE:.0%} of it. Every port belongs to the one clock; the reset is synchronous.",
        f"create_clock -name clk -period {period:.4f} [get_ports clk]",
        f"set_clock_uncertainty {UNCERTAINTY * period:.4f} [get_clocks clk]",
    ]
    for port in ports(split_modules(design.rtlil)[design.top]):
        if port.width and port.name != "clk":
            name = port.name if port.width == 1 else f"{{{port.name}[*]}}"
            kind = "output" if port.output else "input"
            lines.append(f"set_{kind}_delay {OUTSIDE * period:.4f} -clock clk [get_ports {name}]")
    return "\n".join([*lines, ""])


_CORE = """\
CAPI=2:

name: ohmweave::{top}:{version}
description: ReRAM accelerator, made by ohmweave

filesets:
  netlist:
    files:
      - {netlist}
    file_type: systemVerilogSource
  models:  # of the macros; black boxes where SYNTHESIS is defined
    files:
{models}\
    file_type: systemVerilogSource
  waivers:
    files:
      - waivers.vlt: {{file_type: vlt}}
  constraints:
    files:
{constraints}\

targets:
  default: &default
    filesets: [netlist, models]
    toplevel: {top}

  lint:
    <<: *default
    filesets: [waivers, netlist, models]
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [--timing, -Wall]

  sim:  # elaborates the models, too; the test bench is the user's: --toplevel names its top
    <<: *default
    default_tool: icarus
    tools:
      icarus:
        iverilog_options: [-g2012]

  synth:
    <<: *default
    filesets: [netlist, models, constraints]
    default_tool: yosys
    parameters: [SYNTHESIS=true]
    tools:
      yosys:
        arch: ecp5
        output_format: json

parameters:
  SYNTHESIS:
    datatype: bool
    paramtype: vlogdefine
    description: Leave the macros' models out
"""

_KINDS = {".sdc": "SDC", ".lib": "user", ".lef": "LEF"}


def _core(top: str, sources: list[str], others: list[str]) -> str:
    netlist, *models = sources
    typed = "".join(f"      - {name}: {{file_type: {_KINDS[name[name.rindex('.') :]]}}}\n" for name in others)
    return _CORE.format(
        top=top,
        version=version("ohmweave"),
        netlist=netlist,
        models="".join(f"      - {name}\n" for name in models),
        constraints=typed,
    )
