"""Models of the crossbar macro for the simulators, as texts made for one array.

Each model keeps the macro's ports, timing and values; the tests show them equal to `model.py`.
"""

from functools import cache
from importlib.resources import files

from ohmweave.params import ArrayParams
from ohmweave.rtl.crossbar.macro import macro_ports
from ohmweave.rtl.macro_text import fill, port_widths, rtlil_black_box, verilog_ports, verilog_word

__all__ = [
    "core_header", "core_initializer", "cxxrtl_model", "dpi_model", "macro_widths", "rtlil_stub", "verilog_model",
]  # fmt: skip


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def macro_widths(array: ArrayParams) -> list[tuple[str, int, bool]]:
    """(name, width, is an output) of the macro's ports but the clock."""
    return port_widths(macro_ports(array))


def _adc_limit(array: ArrayParams) -> int:
    """The highest code of a sense unit."""
    bits = array.lossless_bits - array.adc_drop if array.adc_bits is None else array.adc_bits
    return 2**bits - 1


def core_header() -> str:
    """C++ that `cxxrtl_model` and `dpi_model` include, or rather have to stand below, in any number of files.

    `ohmweave::load_cells(path)` or `ohmweave::load_cells(id, levels, count)` loads arrays directly, before their
    first clock edge.
    """
    return _template("crossbar_core.h")


def rtlil_stub(array: ArrayParams) -> str:
    """RTLIL of the macro as a black box of CXXRTL, to be read along with the netlist."""
    return rtlil_black_box(array.name, macro_widths(array))


def core_initializer(array: ArrayParams) -> str:
    """Fields of C++'s `ohmweave::Array`."""
    numbers = (
        array.rows, array.cols, array.cell_bits, array.colmux, array.dac_bits, array.read_cycles,
        array.sum_bits, array.adc_drop, _adc_limit(array),
    )  # fmt: skip
    return f"{', '.join(map(str, numbers))}, {'true' if array.sign_scheme == 'offset' else 'false'}"


def cxxrtl_model(array: ArrayParams) -> str:
    """C++ that implements the black box of `rtlil_stub`; stands below `core_header` and CXXRTL's own output."""
    name = array.name.replace("_", "__")
    return fill(
        _template("cxxrtl.cc.in"),
        {
            "BOX": f"bb_p_{name}",
            "MODEL": f"Model_{array.name}",
            "ARRAY": core_initializer(array),
            "GROUP": "p_group.data[0]" if array.colmux > 1 else "0",
            "ROW": "p_row.data[0]" if array.rows > 1 else "0",
        },
    )


def dpi_model() -> str:
    """C++ behind the DPI calls of every `verilog_model` built with OHMWEAVE_DPI; stands below `core_header`."""
    return _template("dpi.cc.in")


def _verilog_code(array: ArrayParams) -> list[str]:
    """Statements that make a sense unit's code, `level`, of the sum `of`."""
    limit = f"{array.lossless_bits}'d{_adc_limit(array)}"
    code = [f"level = of >> {array.adc_drop};" if array.adc_drop else "level = of;"]
    if array.adc_bits is not None and array.adc_bits + array.adc_drop < array.lossless_bits:
        code.append(f"if (level > {limit}) level = {limit};")
    if array.adc_drop:
        code.append(f"level = level << {array.adc_drop};")
    return code


def verilog_model(array: ArrayParams) -> str:
    """SystemVerilog module of the macro, behavioural, or with OHMWEAVE_DPI defined around the C++ of `dpi_model`.

    As in Yosys' Verilog, ports of width 0 are left out.
    """
    return fill(
        _template("crossbar.v.in"),
        {
            "MODULE": array.name,
            "PORTS": verilog_ports(macro_widths(array)),
            "GROUP": verilog_word("group", (array.colmux - 1).bit_length()),
            "ROW": verilog_word("row", (array.rows - 1).bit_length()),
            "ROWS": array.rows,
            "COLS": array.cols,
            "CELL_BITS": array.cell_bits,
            "COLMUX": array.colmux,
            "COLUMNS": array.columns_at_once,
            "DAC_BITS": array.dac_bits,
            "SUM_BITS": array.sum_bits,
            "LOSSLESS_BITS": array.lossless_bits,
            "ADC_DROP": array.adc_drop,
            "ADC_LIMIT": _adc_limit(array),
            "CODE": " ".join(_verilog_code(array)),
            "READ_CYCLES": array.read_cycles,
            "REFERENCE": int(array.sign_scheme == "offset"),
        },
    )
