"""The analog crossbar array with its converters, as a black box of the netlist."""

from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ohmweave.params import ArrayParams
from ohmweave.rtl.netlist import Macro

__all__ = ["CrossbarMacro", "macro_ports"]


def macro_ports(array: ArrayParams) -> dict[str, Any]:
    """Members of the macro's signature; the models are generated from it too. The clock `clk` is not among them."""
    return {
        "id": In(16),
        "start": In(1),
        "group": In(Shape.cast(range(array.colmux))),
        "x": In(array.rows * array.dac_bits),
        "sums": Out(data.ArrayLayout(array.sum_bits, array.columns_at_once)),
        "reference": Out(array.sum_bits),
        "write": In(1),
        "row": In(Shape.cast(range(array.rows))),
        "levels": In(array.cols * array.cell_bits),
    }


class CrossbarMacro(Macro):
    """ReRAM array of rows × cols cells, one DAC a wordline, one sense unit for every `colmux` bitlines.

    It holds the cells' conductance levels and gives Σ x·g for the columns of one group at a time. What each port
    does is digital and exact; noise and faults are not part of this model.

    Parameters
    ----------
    array : ArrayParams
        Geometry, converters and timing. `array.name` names the module, and is also the `model`.

    Ports
    -----
    id : In(16)
        Number of this array in the chip, constant; simulation loads the cells of each array by it. No function
        in silicon.
    start : In(1)
        Read: latches `x` and `group` in this cycle. A read that is still under way is given up.
    group : In(range(colmux))
        Columns group·columns_at_once and the columns_at_once - 1 after it are read. Below colmux.
    x : In(rows·dac_bits)
        Inputs, unsigned, wordline 0 in the lowest bits.
    sums : Out(ArrayLayout(sum_bits, columns_at_once))
        Codes of the sense units, dropped low bits put back as zeros. They change so that they are seen from cycle
        c + read_cycles on for a read started in cycle c, and hold until the next result.
    reference : Out(sum_bits)
        The same for the reference column, whose cells conduct one level, at the same time: Σ x. With the sign
        scheme `pairs` there is no such column, and the port is 0.
    write, row, levels : In(1), In(range(rows)), In(cols·cell_bits)
        Program `row` in this cycle to `levels`, column 0 in the lowest bits. The caller leaves write_cycles between
        writes; a row beyond the last is ignored.

    A read sees the cells as they are after the cycle in which it starts, and after a write in that same cycle. All
    cells start at level 0. Without a reset: the caller ignores what a read gives that it did not start.

    Latency: read_cycles from start to sums. Throughput: one read every read_cycles.
    """

    def __init__(self, *, array: ArrayParams):
        if not isinstance(array, ArrayParams):
            raise TypeError(f"Array must be ArrayParams, not {array!r}")
        self.macro_name = array.name
        self.model = array
        super().__init__(macro_ports(array))
