"""Models of the cache's arrays for the simulators, as texts made for one array; the tests show them equal."""

from functools import cache
from importlib.resources import files

from ohmweave.params import CacheArrayParams
from ohmweave.rtl.macro_text import (
    PortWidth,
    fill,
    port_widths,
    rtlil_black_box,
    verilog_ports,
    verilog_word,
)
from ohmweave.rtl.memory.array_macro import array_ports

__all__ = ["array_widths", "cxxrtl_model", "rtlil_stub", "verilog_model"]


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def array_widths(array: CacheArrayParams) -> list[PortWidth]:
    """(name, width, is an output) of the macro's ports but the clock."""
    return port_widths(array_ports(array))


def _values(array: CacheArrayParams) -> dict[str, object]:
    return {
        "WIDTH": array.width,
        "DEPTH": array.depth,
        "GRANULE": array.granule,
        "GRANULES": array.granules,
        "READ_CYCLES": array.read_cycles,
    }


def rtlil_stub(array: CacheArrayParams) -> str:
    """RTLIL of the macro as a black box of CXXRTL, to be read along with the netlist."""
    return rtlil_black_box(array.name, array_widths(array))


def cxxrtl_model(array: CacheArrayParams) -> str:
    """C++ that implements the black box of `rtlil_stub`; stands below CXXRTL's own output."""
    return "#include <vector>\n#include <cstring>\n" + fill(
        _template("cache_array.cc.in"),
        {
            "BOX": f"bb_p_{array.name.replace('_', '__')}",
            "MODEL": f"Model_{array.name}",
            "INDEX": "p_index.data[0]" if array.depth > 1 else "0",
            **_values(array),
        },
    )


def verilog_model(array: CacheArrayParams) -> str:
    """Verilog module of the macro: behavioural, or with SYNTHESIS defined a black box.

    As in Yosys' Verilog, ports of width 0 are left out.
    """
    bits = (array.depth - 1).bit_length()
    return fill(
        _template("cache_array.v.in"),
        {
            "MODULE": array.name,
            "PORTS": verilog_ports(array_widths(array)),
            "INDEX": verilog_word("index", bits),
            "PLACE": "index" if bits else "0",
            **_values(array),
        },
    )
