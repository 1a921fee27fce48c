"""Writes `sim/synthesis/unit_gates.lib`, the library of unit gates; the committed file is what it writes.

    python scripts/unit_gates.py

Delays are those of logical effort (Sutherland, Sproull, Harris 1999): in units of an inverter's delay for each unit
inverter that it drives, d = p + load / drive, with p the parasitic delay of a gate (1 of an inverter, n of n inputs)
and g its logical effort, here the capacitance of an input. An inverter with a fan-out of four takes 1 + 4 = 5 of
them, which is the FO4, the file's "nanosecond". The unit of capacitance is the unit inverter's input, written as fF.

Areas are those of a NAND2, in thirds, as usual for gate equivalents: what common libraries (NanGate 45 nm, SkyWater
130 nm) have in the mean for the cell at the lowest drive. A gate of twice the drive is taken to have 4/3 and of four
times 2 times the area for what drives it: libraries fold transistors. Delay does not depend on the slope at the
input, whose mean is in the FO4 already.
"""

from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "sim" / "synthesis" / "unit_gates.lib"
FO4 = 5.0
#: Area, parasitic delay, inputs and the effort of each, output and function of what is one stage.
STAGES = {
    "INV": (2, 1, {"A": 1}, "!A"),
    "NAND2": (3, 2, {"A": 4 / 3, "B": 4 / 3}, "!(A & B)"),
    "NAND3": (4, 3, dict.fromkeys("ABC", 5 / 3), "!(A & B & C)"),
    "NAND4": (5, 4, dict.fromkeys("ABCD", 2), "!(A & B & C & D)"),
    "NOR2": (3, 2, {"A": 5 / 3, "B": 5 / 3}, "!(A | B)"),
    "NOR3": (4, 3, dict.fromkeys("ABC", 7 / 3), "!(A | B | C)"),
    "NOR4": (5, 4, dict.fromkeys("ABCD", 3), "!(A | B | C | D)"),
    "AOI21": (4, 7 / 3, {"A": 2, "B": 2, "C": 5 / 3}, "!((A & B) | C)"),
    "OAI21": (4, 8 / 3, {"A": 2, "B": 2, "C": 4 / 3}, "!((A | B) & C)"),
    "AOI22": (5, 4, dict.fromkeys("ABCD", 2), "!((A & B) | (C & D))"),
    "OAI22": (5, 4, dict.fromkeys("ABCD", 2), "!((A | B) & (C | D))"),
    "AOI211": (5, 10 / 3, {"A": 8 / 3, "B": 8 / 3, "C": 7 / 3, "D": 7 / 3}, "!((A & B) | C | D)"),
    "OAI211": (5, 11 / 3, {"A": 7 / 3, "B": 7 / 3, "C": 5 / 3, "D": 5 / 3}, "!((A | B) & C & D)"),
}
#: The same for what has an inverter or pass gates inside: `p` is what its inner stages take with their loads.
COMPOUND = {
    "BUF": (3, 3, {"A": 1}, "A"),
    "AND2": (4, 4, {"A": 4 / 3, "B": 4 / 3}, "A & B"),
    "AND3": (5, 5, dict.fromkeys("ABC", 5 / 3), "A & B & C"),
    "AND4": (6, 6, dict.fromkeys("ABCD", 2), "A & B & C & D"),
    "OR2": (4, 4.5, {"A": 5 / 3, "B": 5 / 3}, "A | B"),
    "OR3": (5, 6, dict.fromkeys("ABC", 7 / 3), "A | B | C"),
    "OR4": (6, 7.5, dict.fromkeys("ABCD", 3), "A | B | C | D"),
    "XOR2": (6, 5, {"A": 2, "B": 2}, "A ^ B"),
    "XNOR2": (6, 5, {"A": 2, "B": 2}, "!(A ^ B)"),
    "MUX2": (7, 6, {"A": 4 / 3, "B": 4 / 3, "S": 2}, "(A & !S) | (B & S)"),
}
#: Area of each drive, in that of the lowest, for gates of one stage and for others, of which a part alone drives.
DRIVES = {1: (1.0, 1.0), 2: (4 / 3, 7 / 6), 4: (2.0, 1.5)}
MORE = {8: (10 / 3, 7 / 3), 16: (6.0, 4.0)}  # of inverters and buffers
LOADS = (0, 64)
HEAD = """\
/* Unit gates: areas in NAND2 equivalents, delays in FO4, capacitances in inputs of the unit inverter.
   Written by scripts/unit_gates.py, which says where the numbers come from. "1 ns" is one FO4, "1 fF" the input of
   the unit inverter, and "1 um2" a NAND2. There are no powers: energies have no such unit. */
library (unit_gates) {
  technology (cmos);
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  pulling_resistance_unit : "1kohm";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, ff);
  nom_process : 1;
  nom_temperature : 25;
  nom_voltage : 1;
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20;
  slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80;
  slew_upper_threshold_pct_fall : 80;
  slew_derate_from_library : 1;
  default_max_transition : 8;
  default_inout_pin_cap : 1;
  default_input_pin_cap : 1;
  default_output_pin_cap : 0;
  default_fanout_load : 1;
  operating_conditions (unit) { process : 1; temperature : 25; voltage : 1; }
  default_operating_conditions : unit;
  lu_table_template (delay) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0, 16");
    index_2 ("0, 64");
  }
  lu_table_template (constraint) {
    variable_1 : constrained_pin_transition;
    variable_2 : related_pin_transition;
    index_1 ("0, 16");
    index_2 ("0, 16");
  }
"""


def number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def row(parasitic: float, drive: int) -> str:
    """Values of one slope at the input: the same for each."""
    return ", ".join(number((parasitic + load / drive) / FO4) for load in LOADS)


def timing(pin: str, sense: str, kind: str, parasitic: float, drive: int) -> str:
    """An arc to an output; an edge takes about twice the time of RC from 20 to 80 %."""
    tables = "".join(
        f'        {name} (delay) {{ values ("{line}", "{line}"); }}\n'
        for name, line in (
            ("cell_rise", row(parasitic, drive)),
            ("rise_transition", row(2 * parasitic, max(1, drive))),
            ("cell_fall", row(parasitic, drive)),
            ("fall_transition", row(2 * parasitic, max(1, drive))),
        )
    )
    sense = f"        timing_sense : {sense};\n" if sense else ""
    head = f'        related_pin : "{pin}";\n{sense}        timing_type : {kind};\n'
    return f"      timing () {{\n{head}{tables}      }}\n"


def constraint(kind: str, value: float, clock: str = "CLK") -> str:
    line = ", ".join([number(value)] * 2)
    tables = "".join(
        f'        {name} (constraint) {{ values ("{line}", "{line}"); }}\n'
        for name in ("rise_constraint", "fall_constraint")
    )
    return f'      timing () {{\n        related_pin : "{clock}";\n        timing_type : {kind};\n{tables}      }}\n'


def pin(name: str, direction: str, body: str) -> str:
    return f"    pin ({name}) {{\n      direction : {direction};\n{body}    }}\n"


def given(capacitance: float, *, clock: bool = False) -> str:
    return f"      capacitance : {number(capacitance)};\n" + ("      clock : true;\n" if clock else "")


def output(function: str, drive: int, arcs: str) -> str:
    return f'      function : "{function}";\n      max_capacitance : {LOADS[1] * drive};\n{arcs}'


def cell(name: str, area: float, body: str) -> str:
    return f"  cell ({name}) {{\n    area : {number(area)};\n{body}  }}\n"


def sense_of(name: str, source: str) -> str:
    if name.startswith("X") or (name, source) == ("MUX2", "S"):
        return "non_unate"
    inverts = name.startswith(("INV", "NAND", "NOR", "AOI", "OAI"))
    return "negative_unate" if inverts else "positive_unate"


def gate(
    name: str, drive: int, share: float, record: tuple[float, float, dict[str, float], str], stage: bool
) -> str:
    """A combinational cell with output Y. Inputs of one stage grow with the drive, those of others do not."""
    thirds, parasitic, inputs, function = record
    width = drive if stage else 1
    # The last stage of a compound gate loads what is before it the more, the more it drives.
    inner = 0 if stage else (drive - 1) * 0.5
    arcs = "".join(
        timing(each, sense_of(name, each), "combinational", parasitic + inner, drive) for each in inputs
    )
    pins = "".join(pin(each, "input", given(effort * width)) for each, effort in inputs.items())
    return cell(
        f"{name}_X{drive}", thirds / 3 * share, pins + pin("Y", "output", output(function, drive, arcs))
    )


def adders() -> str:
    """A half and a full adder: the sum is two XOR, the carry of a full one a majority gate and an inverter."""
    text = ""
    for name, thirds, inputs, total, carry, delays in (
        ("HA", 10, "AB", "A ^ B", "A & B", (6, 4)),
        ("FA", 16, ("A", "B", "CI"), "A ^ B ^ CI", "(A & B) | (A & CI) | (B & CI)", (10, 7)),
    ):
        pins = "".join(pin(each, "input", given(3.0)) for each in inputs)
        for out, function, delay, sense in (
            ("S", total, delays[0], "non_unate"),
            ("CO", carry, delays[1], "positive_unate"),
        ):
            arcs = "".join(timing(each, sense, "combinational", delay, 1) for each in inputs)
            pins += pin(out, "output", output(function, 1, arcs))
        text += cell(f"{name}_X1", thirds / 3, pins)
    return text


def flip_flop(
    name: str, thirds: int, drive: int, next_state: str, *, reset: bool, preset: bool, enable: bool
) -> str:
    """Rising edge; from the clock to Q and setup together 2.8 FO4 with a fan-out of four."""
    more = '      clear : "!RN";\n' * reset + '      preset : "!SN";\n' * preset
    if reset and preset:
        more += "      clear_preset_var1 : L;\n      clear_preset_var2 : L;\n"
    body = (
        f'    ff (IQ, IQN) {{\n      clocked_on : "CLK";\n      next_state : "{next_state}";\n{more}    }}\n'
    )
    body += pin("CLK", "input", given(1.0, clock=True))
    for each in ["D", *["E"] * enable]:
        # The multiplexer of an enable is before the register.
        setup = 3 + 4 * enable
        body += pin(each, "input", given(1.0 if each == "D" else 2.0) + constraint("setup_rising", setup / FO4)
                    + constraint("hold_rising", 0))  # fmt: skip
    asynchronous = ""
    for each, kind, sense in (("RN", "clear", "positive_unate"), ("SN", "preset", "negative_unate")):
        if reset if each == "RN" else preset:
            body += pin(each, "input", given(4 / 3) + constraint("recovery_rising", 3 / FO4))
            asynchronous += timing(each, sense, kind, 6, drive)
    arcs = timing("CLK", "non_unate", "rising_edge", 7, drive) + asynchronous
    return cell(
        f"{name}_X{drive}",
        (thirds + 2 * (drive - 1)) / 3,
        body + pin("Q", "output", output("IQ", drive, arcs)),
    )


def latch() -> str:
    """Transparent while G is high."""
    body = '    latch (IQ, IQN) {\n      enable : "G";\n      data_in : "D";\n    }\n'
    body += pin("G", "input", given(1.0, clock=True))
    body += pin(
        "D",
        "input",
        given(1.0) + constraint("setup_falling", 3 / FO4, "G") + constraint("hold_falling", 0, "G"),
    )
    arcs = timing("G", "non_unate", "rising_edge", 5, 1) + timing(
        "D", "positive_unate", "combinational", 5, 1
    )
    return cell("LATCH_X1", 10 / 3, body + pin("Q", "output", output("IQ", 1, arcs)))


def tie(name: str, value: int) -> str:
    return cell(name, 1 / 3, pin("Y", "output", f'      function : "{value}";\n'))


def library() -> str:
    """The whole text."""
    text = HEAD
    for records, stage in ((STAGES, True), (COMPOUND, False)):
        for name, record in records.items():
            for drive, share in (DRIVES | (MORE if name in ("INV", "BUF") else {})).items():
                text += gate(name, drive, share[0 if stage else 1], record, stage)
    text += adders()
    enabled = "(E & D) | (!E & IQ)"
    for drive in (1, 2):
        text += flip_flop("DFF", 17, drive, "D", reset=False, preset=False, enable=False)
        text += flip_flop("DFFR", 20, drive, "D", reset=True, preset=False, enable=False)
        text += flip_flop("DFFS", 20, drive, "D", reset=False, preset=True, enable=False)
        text += flip_flop("DFFRS", 23, drive, "D", reset=True, preset=True, enable=False)
        text += flip_flop("DFFE", 22, drive, enabled, reset=False, preset=False, enable=True)
    return text + latch() + tie("TIE0", 0) + tie("TIE1", 1) + "}\n"


if __name__ == "__main__":
    OUT.write_text(library())
