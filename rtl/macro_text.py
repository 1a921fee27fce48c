"""What the texts of all macros' models have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import Out

__all__ = ["PortWidth", "fill", "port_widths", "rtlil_black_box", "verilog_ports", "verilog_word"]

#: (name, width, is an output)
PortWidth = tuple[str, int, bool]


def fill(text: str, values: Mapping[str, object]) -> str:
    """`text` with each @NAME@ replaced."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def port_widths(members: Mapping[str, Any]) -> list[PortWidth]:
    """The ports of a macro whose signature has these members; the clock is not among them."""
    return [(name, Shape.cast(port.shape).width, port.flow is Out) for name, port in members.items()]


def rtlil_black_box(module: str, ports: Sequence[PortWidth]) -> str:
    """RTLIL of a macro as a black box of CXXRTL, to be read along with the netlist; its outputs are registers."""
    lines = [
        "attribute \\cxxrtl_blackbox 1",
        "attribute \\blackbox 1",
        f"module \\{module}",
        '  attribute \\cxxrtl_edge "p"',
        "  wire width 1 input 1 \\clk",
    ]
    for number, (name, width, output) in enumerate(ports, start=2):
        if output:
            lines.append("  attribute \\cxxrtl_sync 1")
        lines.append(f"  wire width {width} {'output' if output else 'input'} {number} \\{name}")
    return "\n".join([*lines, "end", ""])


def verilog_ports(ports: Sequence[PortWidth]) -> str:
    """Declarations of a Verilog module's ports; as in Yosys' Verilog, those of width 0 are left out."""
    return ",\n".join(
        f"  {'output reg ' if output else 'input wire'} [{width - 1}:0] {name}"
        for name, width, output in ports
        if width
    )


def verilog_word(port: str, width: int) -> str:
    """A port in Verilog as 32 bits; 0 where it has none."""
    return f"{{{32 - width}'d0, {port}}}" if width else "32'd0"
