"""Liberty files of a few cells with round numbers, for tests that compute by hand, and one to map onto."""

import re
from pathlib import Path

from ohmweave.sim.synthesis.library import UNIT_GATES

#: Cells of one template: slews 0 and 1 ns, loads 0 and 10 fF.
HEAD = """
library (hand) {
  delay_model : table_lookup;
  time_unit : "1ps"; capacitive_load_unit (1, ff); voltage_unit : "1V"; leakage_power_unit : "1nW";
  nom_voltage : 2; current_unit : "1mA"; pulling_resistance_unit : "1kohm";
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
  lu_table_template (delay) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0, 1000"); index_2 ("0, 10");
  }
  lu_table_template (turned) {
    variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("0, 10"); index_2 ("0, 1000");
  }
  lu_table_template (setup) {
    variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("0, 1000"); index_2 ("0, 1000");
  }
  power_lut_template (energy) {
    variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("0, 1000"); index_2 ("0, 10");
  }
"""


def table(kind: str, base: float, by_slew: float, by_load: float, template: str = "delay") -> str:
    """A plane: `base` ps + `by_slew` for 1 ns + `by_load` for 10 fF."""
    a, b, c, d = base, base + by_load, base + by_slew, base + by_slew + by_load
    if template in ("turned", "setup"):
        b, c = c, b
    return f'{kind} ({template}) {{ values ("{a}, {b}", \\\n "{c}, {d}"); }}\n'


def arc(source: str, sense: str, rise: float, fall: float, more: str = "", template: str = "delay") -> str:
    """Rise and fall take 50 ps more behind a slope of 1 ns, 100 ps more with 10 fF; the slew is 20 ps + 2 ps/fF."""
    return (
        f'timing () {{ related_pin : "{source}"; timing_sense : {sense}; {more}\n'
        + table("cell_rise", rise, 50, 100, template)
        + table("rise_transition", 20, 0, 20, template)
        + table("cell_fall", fall, 50, 100, template)
        + table("fall_transition", 20, 0, 20, template)
        + "}\n"
    )


def gate(
    name: str, inputs: str, function: str, sense: str, delays: tuple[float, float], *, area: float = 2
) -> str:
    pins = "".join(f"pin ({each}) {{ direction : input; capacitance : 2; }}\n" for each in inputs)
    arcs = "".join(arc(each, sense, *delays) for each in inputs)
    output = f'pin (Y) {{ direction : output; function : "{function}";\n{arcs} }}'
    return f"cell ({name}) {{ area : {area}; {pins} {output} }}\n"


INV = gate("INV", "A", "!A", "negative_unate", (10, 20), area=1)
NAND2 = gate("NAND2", "AB", "!(A & B)", "negative_unate", (30, 40))
AND2 = gate("AND2", "AB", "A & B", "positive_unate", (60, 70))
XOR2 = gate("XOR2", "AB", "A ^ B", "non_unate", (80, 90), area=4)
DFF = (
    'cell (DFF) { area : 6; ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }\n'
    "pin (C) { direction : input; capacitance : 1; clock : true; }\n"
    "pin (D) { direction : input; capacitance : 3;\n"
    'timing () { related_pin : "C"; timing_type : setup_rising;\n'
    + table("rise_constraint", 15, 100, 10, "setup")
    + table("fall_constraint", 25, 100, 10, "setup")
    + "} }\n"
    'pin (Q) { direction : output; function : "IQ";\n'
    + arc("C", "non_unate", 100, 110, "timing_type : rising_edge;")
    + "} }\n"
)


def write_liberty(path: Path, *cells: str, head: str = HEAD) -> Path:
    """A library of the cells."""
    path.write_text(head + "".join(cells) + "}\n")
    return path


def hand_library(folder: Path) -> Path:
    """Every cell of this module."""
    return write_liberty(folder / "hand.lib", INV, NAND2, AND2, XOR2, DFF)


def powered_inverter(by_load: float) -> str:
    """The inverter with energies of its changes, 4 and 2 fJ and `by_load` more for 10 fF of load, and leakage."""
    return INV.replace(
        'function : "!A";',
        'function : "!A"; internal_power () { related_pin : "A"; '
        + table("rise_power", 4, 0, by_load, "energy") + table("fall_power", 2, 0, by_load, "energy") + "}",
    ).replace("area : 1;", "area : 1; cell_leakage_power : 3;")  # fmt: skip


#: The flip-flop with 12 fJ of each cycle of its clock, and leakage.
CLOCKED = DFF.replace(
    "clock : true;",
    "clock : true; internal_power () { "
    + table("rise_power", 7, 0, 0, "energy") + table("fall_power", 5, 0, 0, "energy") + "}",
).replace("area : 6;", "area : 6; cell_leakage_power : 10;")  # fmt: skip


def powered_unit_gates(path: Path) -> Path:
    """The unit gates with energies: 3 fJ of each change of an output, 12 fJ of each cycle of a clock, and leakage."""

    def power(rise: int, fall: int) -> str:
        return (
            f'internal_power () {{ rise_power (scalar) {{ values ("{rise}"); }} '
            f'fall_power (scalar) {{ values ("{fall}"); }} }}'
        )

    text = UNIT_GATES.read_text().replace("library (unit_gates)", "library (powered)")
    text = re.sub(r"(direction : output;)", rf"\1 {power(4, 2)}", text)
    text = re.sub(r"(clock : true;)", rf"\1 {power(7, 5)}", text)
    path.write_text(re.sub(r"(area : [\d.]+;)", r"\1 cell_leakage_power : 10;", text))
    return path
