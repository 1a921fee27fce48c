"""The crossbar array: black box, wrapper, and its models for every simulator."""

from ohmweave.rtl.crossbar.crossbar import Crossbar, RowLayout
from ohmweave.rtl.crossbar.generate import core_header, cxxrtl_model, dpi_model, rtlil_stub, verilog_model
from ohmweave.rtl.crossbar.macro import CrossbarMacro
from ohmweave.rtl.crossbar.model import CrossbarModel, MacroModel, write_cells

__all__ = [
    "Crossbar", "CrossbarMacro", "CrossbarModel", "MacroModel", "RowLayout",
    "core_header", "cxxrtl_model", "dpi_model", "rtlil_stub", "verilog_model", "write_cells",
]  # fmt: skip
