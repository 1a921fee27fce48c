"""What a mapper needs of a library, as one small Liberty file: the cells that it may choose, without their powers.

Kits come as several files of up to 40 MB, which Yosys and ABC would read anew for each module.
"""

import fnmatch
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis.cells import Arc, Cell, Library, Table

__all__ = ["mapping_library"]

_SENSE = {"positive": "positive_unate", "negative": "negative_unate", "none": "non_unate"}
HEAD = """library (mapping) {
  delay_model : table_lookup;
  time_unit : "1ns";
  capacitive_load_unit (1, ff);
  nom_voltage : 1.0;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
"""


def mapping_library(library: Library, dont_use: Sequence[str] = ()) -> str:
    """Text of the file; `dont_use` has patterns of the names of cells that are not to be chosen.

    Raises `OhmweaveError` where these leave no flip-flop or no inverter.
    """
    cells = [cell for cell in library.cells.values() if _fits(cell, dont_use)]
    if not any(cell.is_ff for cell in cells):
        raise OhmweaveError(f"the library {library.name} must have a flip-flop, and --dont-use leaves none")
    if not any(cell.is_gate("!A") for cell in cells):
        raise OhmweaveError(f"the library {library.name} must have an inverter, and --dont-use leaves none")
    arcs = [arc for cell in cells for arc in cell.arcs]
    tables = (table for arc in arcs for table in (arc.rise, arc.fall, arc.rise_slew, arc.fall_slew) if table)
    shapes = sorted({(len(_axis(table.slews)), len(_axis(table.loads))) for table in tables})
    templates = "".join(_template(*shape) for shape in shapes)
    return HEAD + templates + "".join(line for cell in cells for line in _cell(cell)) + "}\n"


def _axis(values: np.ndarray) -> list[float]:
    """ABC finds no slope on an axis of two values."""
    if len(values) != 2:
        return [float(value) for value in values]
    low, high = values
    return [float(low + (high - low) * share) for share in (0, 1 / 16, 1 / 4, 1)]


def _template(slews: int, loads: int) -> str:
    """ABC compares its size with that of each table."""
    first, second = (", ".join(map(str, range(count))) for count in (slews, loads))
    return (
        f"  lu_table_template (t{slews}x{loads}) {{\n    variable_1 : input_net_transition;\n"
        "    variable_2 : total_output_net_capacitance;\n"
        f'    index_1 ("{first}"); index_2 ("{second}");\n  }}\n'
    )


def _fits(cell: Cell, dont_use: Sequence[str]) -> bool:
    """Gates of one output, flip-flops and latches; ABC has no use for others."""
    if not cell.usable or any(fnmatch.fnmatchcase(cell.name, pattern) for pattern in dont_use):
        return False
    if cell.state is not None:
        return cell.is_ff or cell.is_latch
    outputs = [pin for pin in cell.pins.values() if pin.direction == "output"]
    if len(outputs) != 1 or outputs[0].function is None or not cell.inputs:
        return False
    timed = {arc.source for arc in cell.arcs if arc.kind == "combinational"}
    return timed == set(cell.inputs)


def _cell(cell: Cell) -> Iterator[str]:
    yield f"  cell ({cell.name}) {{\n    area : {cell.area:.9g};\n"
    if cell.state is not None:
        state = cell.state
        kind, data, clock = (
            ("ff", "next_state", "clocked_on") if cell.is_ff else ("latch", "data_in", "enable")
        )
        yield f'    {kind} ({", ".join(state.names)}) {{ {data} : "{state.next_state}"; {clock} : "{state.clock}";'
        for name, value in (("clear", state.clear), ("preset", state.preset)):
            if value:
                yield f' {name} : "{value}";'
        yield " }\n"
    for pin in cell.pins.values():
        yield f"    pin ({pin.name}) {{\n      direction : {pin.direction};\n"
        if pin.direction == "input":
            yield f"      capacitance : {pin.capacitance:.9g};\n"
            if pin.is_clock:
                yield "      clock : true;\n"
        else:
            if pin.function is not None:
                yield f'      function : "{pin.function}";\n'
            if pin.max_capacitance is not None:
                yield f"      max_capacitance : {pin.max_capacitance:.9g};\n"
            if cell.state is None:
                for arc in cell.arcs:
                    if arc.kind == "combinational" and arc.target == pin.name:
                        yield from _arc(arc)
        yield "    }\n"
    yield "  }\n"


def _arc(arc: Arc) -> Iterator[str]:
    yield f'      timing () {{\n        related_pin : "{arc.source}";\n'
    yield f"        timing_sense : {_SENSE[arc.sense]};\n"
    tables = (
        ("cell_rise", arc.rise), ("cell_fall", arc.fall),
        ("rise_transition", arc.rise_slew), ("fall_transition", arc.fall_slew),
    )  # fmt: skip
    for name, table in tables:
        if table is not None:
            yield from _table(name, table)
    yield "      }\n"


def _table(name: str, table: Table) -> Iterator[str]:
    def numbers(values: Iterable[float]) -> str:
        return '"' + ", ".join(f"{value:.7g}" for value in values) + '"'

    slews, loads = _axis(table.slews), _axis(table.loads)
    rows = ", ".join(numbers(table.at(slew, load) for load in loads) for slew in slews)
    axes = f"index_1 ({numbers(slews)}); index_2 ({numbers(loads)});"
    yield f"        {name} (t{len(slews)}x{len(loads)}) {{ {axes} values ({rows}); }}\n"
