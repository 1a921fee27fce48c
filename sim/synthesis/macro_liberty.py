"""Liberty views of the netlist's black boxes."""

from collections.abc import Sequence

from ohmweave.rtl.macro_text import PortWidth
from ohmweave.sim.synthesis.macros import MacroFigures

__all__ = ["PIN_PF", "clock_to_data", "liberty_view"]

#: Capacitance of an input, and the most that an output drives, in pF: as the SRAM macros of SG13G2 have them.
PIN_PF = 0.004
LOAD_PF = 0.064

_HEADER = """\
/* {source}
   Not cited, and so 0: setup and hold times, the slope of outputs' delays and edges. */
library({name}) {{
  technology (cmos);
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1uA";
  leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm";
  capacitive_load_unit (1, pf);
  nom_process : 1;
  nom_temperature : 25;
  nom_voltage : 1;
  slew_lower_threshold_pct_rise : 30;
  slew_upper_threshold_pct_rise : 70;
  slew_lower_threshold_pct_fall : 30;
  slew_upper_threshold_pct_fall : 70;
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  operating_conditions (typical) {{
    process : 1;
    temperature : 25;
    voltage : 1;
  }}
  default_operating_conditions : typical;
"""

_TYPE = """\
  type (bits_{width}) {{
    base_type : array;
    data_type : bit;
    bit_width : {width};
    bit_from : {last};
    bit_to : 0;
    downto : true;
  }}
"""

_CELL = """\
  cell({name}) {{
    area : {area:.3f};
    dont_use : true;
    dont_touch : true;
    is_macro_cell : true;
    interface_timing : true;
    cell_leakage_power : {leakage:.6g};
    pin(clk) {{
      direction : input;
      capacitance : {pin};
      clock : true;
{power}\
    }}
"""

_POWER = """\
      internal_power() {{
        when : "{when}";
        rise_power(scalar) {{ values ("{energy:.6g}"); }}
        fall_power(scalar) {{ values ("0"); }}
      }}
"""

_INPUT = """\
      direction : input;
      capacitance : {pin};
      timing() {{
        related_pin : "clk";
        timing_type : setup_rising;
        rise_constraint(scalar) {{ values ("0"); }}
        fall_constraint(scalar) {{ values ("0"); }}
      }}
      timing() {{
        related_pin : "clk";
        timing_type : hold_rising;
        rise_constraint(scalar) {{ values ("0"); }}
        fall_constraint(scalar) {{ values ("0"); }}
      }}
"""

_OUTPUT = """\
      direction : output;
      max_capacitance : {load};
      timing() {{
        related_pin : "clk";
        timing_type : rising_edge;
        timing_sense : non_unate;
        cell_rise(scalar) {{ values ("{delay:.4f}"); }}
        cell_fall(scalar) {{ values ("{delay:.4f}"); }}
        rise_transition(scalar) {{ values ("0"); }}
        fall_transition(scalar) {{ values ("0"); }}
      }}
"""


def clock_to_data(access: float, read_cycles: int, period: float) -> float:
    """Delay from the last clock edge of a read to the data.

    A read that is started before an edge is seen read_cycles edges later at the earliest, so that all but the last
    of these cycles have passed when the data change.
    """
    return max(0.0, access - (read_cycles - 1) * period)


def liberty_view(
    name: str, ports: Sequence[PortWidth], figures: MacroFigures, *, read_cycles: int, clock_ns: float
) -> str:
    """A library with one macro; `ports` without the clock `clk`."""
    ports = [port for port in ports if port[1]]
    named = {port for port, _, _ in ports}
    # What a read is called: an array starts one, a cache's array is read.
    read = "start" if "start" in named else "read"
    power = "".join(
        _POWER.format(when=when, energy=energy)
        for when, energy in ((read, figures.read_energy_pj), ("write", figures.write_energy_pj))
        if energy
    )
    delay = clock_to_data(figures.access_ns, read_cycles, clock_ns)
    text = [_HEADER.format(name=name, source=figures.source.replace("*/", "* /"))]
    text += [
        _TYPE.format(width=width, last=width - 1)
        for width in sorted({width for _, width, _ in ports if width > 1})
    ]
    text.append(
        _CELL.format(
            name=name,
            area=figures.area_um2,
            leakage=figures.leakage_w * 1e9,
            pin=PIN_PF,
            power=power,
        )
    )
    for port, width, output in ports:
        text.append(f"    pin({port}) {{\n" if width == 1 else f"    bus({port}) {{\n")
        if width > 1:
            text.append(f"      bus_type : bits_{width};\n")
        text.append(_OUTPUT.format(load=LOAD_PF, delay=delay) if output else _INPUT.format(pin=PIN_PF))
        text.append("    }\n")
    return "".join([*text, "  }\n}\n"])
