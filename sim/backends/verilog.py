"""Verilog of a design, for the simulators that read it."""

import re

from ohmweave.sim.backends.counts import COUNTED
from ohmweave.sim.backends.design import Design
from ohmweave.sim.backends.hierarchy import ports, split_modules

__all__ = [
    "counted_bits",
    "counted_port",
    "dpi_code",
    "entries",
    "link_bits",
    "macro_models",
    "netlist_verilog",
]


def netlist_verilog(design: Design) -> str:
    """All modules but the macros."""
    from ohmweave.rtl.netlist import Netlist, emit_verilog

    return emit_verilog(Netlist(design.top, design.rtlil, design.modules, {}))


def macro_models(design: Design) -> str:
    """The macros in plain Verilog."""
    from ohmweave.rtl.macro_models import models_of

    return "\n".join(models_of(array).verilog_model(array) for array in design.macros.values())


def dpi_code(design: Design) -> str:
    """C++ behind the macros' models where OHMWEAVE_DPI is defined."""
    from ohmweave.rtl import crossbar

    return f"{design.header}\n{crossbar.dpi_model()}"


def counted_port(design: Design) -> str:
    """The chip's port of which each bit is counted."""
    top = {port.name for port in ports(split_modules(design.rtlil)[design.top])}
    return next(name for name in COUNTED if name in top)


def counted_bits(design: Design) -> int:
    """Width of that port."""
    return _width(design, counted_port(design))


def link_bits(design: Design) -> int:
    """Bits of data of a flit on the chip's ports."""
    return _width(design, "host_out__payload")


def entries(design: Design) -> int:
    """Entries of the chip beside host_in; 0: none."""
    top = ports(split_modules(design.rtlil)[design.top])
    return sum(re.fullmatch(r"entry_i__\d+__valid", port.name) is not None for port in top)


def _width(design: Design, name: str) -> int:
    top = ports(split_modules(design.rtlil)[design.top])
    return next(port.width for port in top if port.name == name)
