"""Liberty files: what is read, in which units, and what is refused."""

import gzip
import importlib.util
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from liberty_files import AND2, DFF, HEAD, INV, NAND2, arc, hand_library, write_liberty

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis import liberty
from ohmweave.sim.synthesis.cells import Library, Table
from ohmweave.sim.synthesis.library import MAX_FILES, UNIT_GATES, load_library, unit_gates

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def refusal(*paths: Path) -> str:
    with pytest.raises(OhmweaveError) as refused:
        load_library(paths)
    return str(refused.value)


def test_units_and_tables(tmp_path: Path) -> None:
    library = load_library([hand_library(tmp_path)])
    assert (library.name, library.unit, library.voltage) == ("hand", "um2", 2.0)
    inv = library.cells["INV"]
    assert (inv.area, inv.inputs, inv.outputs, inv.state) == (1, ["A"], ["Y"], None)
    assert inv.pins["A"].capacitance == 2
    (found,) = inv.arcs
    assert (found.source, found.target, found.kind, found.sense) == ("A", "Y", "combinational", "negative")
    assert found.rise
    assert found.fall
    assert found.rise_slew
    # Between, at the corners, and beyond the axes on the same plane: 10 ps + 50 of the slope + 100 of the load.
    for slew, load in itertools.product((0, 0.3, 1, 2.5), (0, 4, 10, 25)):
        assert found.rise.at(slew, load) == pytest.approx((10 + 50 * slew + 10 * load) / 1000)
        assert found.fall.at(slew, load) == pytest.approx((20 + 50 * slew + 10 * load) / 1000)
        assert found.rise_slew.at(slew, load) == pytest.approx((20 + 2 * load) / 1000)
    flip_flop = library.cells["DFF"]
    assert flip_flop.is_ff
    assert not flip_flop.is_latch
    assert flip_flop.state is not None
    assert (flip_flop.state.names, flip_flop.state.next_state, flip_flop.state.clock) == (
        ("IQ", "IQN"),
        "D",
        "C",
    )
    setup, edge = flip_flop.arcs
    assert (setup.kind, setup.source, setup.target, setup.rising) == ("setup", "C", "D", True)
    # The file has the clock's slope first; the data's is, after reading.
    assert setup.rise
    assert setup.rise.at(1, 0) == pytest.approx(0.115)
    assert setup.rise.at(0, 1) == pytest.approx(0.025)
    assert (edge.kind, edge.rising) == ("edge", True)
    assert library.nand2_area == 2
    # Slews are 20 ps + 2 ps × 8 fF.
    assert library.fo4_ns == pytest.approx((15 + 50 * 0.036 + 80) / 1000)


def test_order_of_an_index(tmp_path: Path) -> None:
    """Loads before slews give the same table."""
    turned = INV.replace("(INV)", "(TURNED)").replace(arc("A", "negative_unate", 10, 20), "")
    assert turned != INV.replace("(INV)", "(TURNED)")
    turned = turned.replace('"!A";\n', '"!A";\n' + arc("A", "negative_unate", 10, 20, template="turned"))
    library = load_library([write_liberty(tmp_path / "a.lib", INV, NAND2, DFF, turned)])
    first, second = library.cells["INV"].arcs[0].rise, library.cells["TURNED"].arcs[0].rise
    assert first
    assert second
    assert np.array_equal(first.slews, second.slews)
    assert np.array_equal(first.loads, second.loads)
    assert np.array_equal(first.values, second.values)


def test_states_of_a_cell(tmp_path: Path) -> None:
    """Delays are the longest of all states; energies the mean; leakage too, and the sum over the supplies."""
    when = "".join(arc("A", "positive_unate", rise, 5, f'when : "S{rise}";') for rise in (10, 30, 20))
    power = "".join(
        f'internal_power () {{ related_pin : "A"; related_pg_pin : {pg}; when : "{state}";'
        f' rise_power (energy) {{ values ("{value}, {value}", "{value}, {value}"); }} }}'
        for pg, state, value in (("VDD", "B", 2), ("VDD", "!B", 4), ("VSS", "B", 1))
    )
    leak = "".join(
        f'leakage_power () {{ value : "{value}"; related_pg_pin : {pg}; when : "{state}"; }}'
        for pg, state, value in (("VDD", "A", 3), ("VDD", "!A", 5), ("VSS", "A", 2))
    )
    cell = (
        f"cell (STATES) {{ area : 1; {leak} pin (A) {{ direction : input; }}"
        f' pin (Y) {{ direction : output; function : "A"; {when} {power} }} }}\n'
    )
    cell = load_library([write_liberty(tmp_path / "a.lib", INV, NAND2, DFF, cell)]).cells["STATES"]
    (found,) = cell.arcs
    assert found.rise
    assert found.rise.at(0, 0) == pytest.approx(0.030)
    (energy,) = cell.powers
    assert energy.rise
    # 2 V² × 1 fF is the unit only where the unit of voltage is; here it is 1 V.
    assert energy.rise.at(0.5, 5) == pytest.approx(3 + 1)
    assert energy.fall is None
    assert cell.leakage_w == pytest.approx((4 + 2) * 1e-9)


@pytest.mark.parametrize(
    ("unit", "load", "capacitance", "time"),
    [("1ns", "(1, pf)", 2000, 10), ("10ps", "(0.5, pf)", 1000, 0.1), ("1us", "(1, ff)", 2, 10000)],
)
def test_other_units(tmp_path: Path, unit: str, load: str, capacitance: float, time: float) -> None:
    head = HEAD.replace('"1ps"', f'"{unit}"').replace("(1, ff)", load)
    library = load_library([write_liberty(tmp_path / "a.lib", INV, NAND2, DFF, head=head)])
    inv = library.cells["INV"]
    assert inv.pins["A"].capacitance == pytest.approx(capacitance)
    assert inv.arcs[0].rise
    assert inv.arcs[0].rise.at(0, 0) == pytest.approx(time)


def test_several_files_and_gzip(tmp_path: Path) -> None:
    """Plain and packed; a library may have its flip-flop in one file and its gates in another."""
    first = write_liberty(tmp_path / "a.lib", INV, NAND2, head=HEAD.replace("hand", "kit_gates"))
    second = tmp_path / "b.lib.gz"
    plain = write_liberty(tmp_path / "b.lib", DFF, head=HEAD.replace("hand", "kit_registers"))
    second.write_bytes(gzip.compress(plain.read_bytes()))
    library = load_library([first, second])
    assert library.name == "kit"
    assert list(library.cells) == ["INV", "NAND2", "DFF"]
    assert [path.read_text() for path in library.paths] == [first.read_text(), plain.read_text()]
    assert refusal(first, second, first) == f"{first} must not have the cell 'INV', which stands before it"


def test_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is parsed, and everything is the same."""
    path = hand_library(tmp_path)
    first = load_library([path])
    monkeypatch.setattr("ohmweave.sim.synthesis.library.parse", lambda *_: pytest.fail("parsed again"))
    second = load_library([path])
    assert same(first) == same(second)


def same(library: Library) -> str:
    """Everything of a library as text."""
    with np.printoptions(threshold=10**6):
        return "\n".join(f"{cell!r} {cell.arcs!r} {cell.powers!r}" for cell in library.cells.values())


def test_unit_gates() -> None:
    library = unit_gates()
    assert (library.unit, library.nand2_area) == ("NAND2", 1)
    assert library.fo4_ns == pytest.approx(1)
    gates = {
        "!A": "INV",
        "!(A & B)": "NAND2",
        "!(A | B | C)": "NOR3",
        "A ^ B": "XOR2",
        "!((A & B) | C)": "AOI21",
    }
    for function, name in gates.items():
        found = library.smallest(function)
        assert found is not None
        assert found.name == f"{name}_X1"
    registers = {name for name, cell in library.cells.items() if cell.is_ff}
    assert {"DFF_X1", "DFFE_X1", "DFFR_X1", "DFFS_X1", "DFFRS_X1"} <= registers
    assert [name for name, cell in library.cells.items() if cell.is_latch] == ["LATCH_X1"]
    assert {"FA_X1", "HA_X1", "MUX2_X1"} <= set(library.cells)


def test_unit_gates_are_as_written() -> None:
    """The committed file is what its script writes."""
    spec = importlib.util.spec_from_file_location("unit_gates", ROOT / "scripts" / "unit_gates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.library() == UNIT_GATES.read_text()


def test_table_of_one_value() -> None:
    table = Table(np.zeros(1), np.zeros(1), np.full((1, 1), 3.0))
    assert table.at(5, 7) == 3


def test_refused_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.lib"
    assert refusal(missing) == f"the Liberty file {missing} cannot be read: No such file or directory"
    assert refusal(tmp_path) == f"the Liberty file {tmp_path} cannot be read: Is a directory"
    packed = tmp_path / "broken.lib.gz"
    packed.write_bytes(gzip.compress(HEAD.encode() * 100)[:-20])
    assert refusal(packed) == f"the Liberty file {packed} must be plain text or gzip, and is damaged"
    packed.write_bytes(b"\x1f\x8bnonsense")
    assert refusal(packed) == f"the Liberty file {packed} must be plain text or gzip, and is damaged"
    monkeypatch.setattr(liberty, "MAX_BYTES", 1000)
    packed.write_bytes(gzip.compress(b" " * 1001))
    assert refusal(packed) == f"the Liberty file {packed} must have at most 1000 bytes, unpacked"
    assert refusal() == f"a library must be of 1 to {MAX_FILES} Liberty files, not 0"


@pytest.mark.parametrize(
    "text", ["", "module x;\nendmodule\n", "\x00\xff\x80", "cell (x) { }", "a : b;", "}", "(" * 99999]
)
def test_refused_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.lib"
    path.write_text(text)
    assert refusal(path) == f"{path} must be a Liberty file, which starts with library (NAME) {{"


@pytest.mark.parametrize(
    ("tail", "line"),
    [("cell (A) {", 4), ("/* a\nb */ ! }", 5), ('values ("1, \\\n 2"); "3" }', 5), ("} \n }", 5)],
)
def test_refused_line(tmp_path: Path, tail: str, line: int) -> None:
    path = tmp_path / "a.lib"
    path.write_text("library (a) {\n  x : 1;\n\n" + tail)
    assert refusal(path) == f"{path} must be a Liberty file, and is none at line {line}"


def test_refused_libraries(tmp_path: Path) -> None:
    path = tmp_path / "a.lib"
    for cells, what in (
        ([INV, NAND2], "a flip-flop (a cell with an ff group)"),
        ([NAND2, DFF, AND2], "an inverter with its delays"),
        ([INV, DFF, AND2], "a NAND2 with its delays"),
        ([INV.replace("area : 1;", "area : 1; dont_use : true;"), NAND2, DFF], "an inverter with its delays"),
        (
            [re.sub(r"timing \(\) .*?}\n}\n", "", INV, flags=re.DOTALL), NAND2, DFF],
            "an inverter with its delays",
        ),
    ):
        write_liberty(path, *cells)
        assert refusal(path) == f"the Liberty file {path} must have {what}, and has none"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("area : 1", "area : big", "area of a Liberty file must be a number, not 'big'"),
        ("area : 1", "area : nan", "area of a Liberty file must be a number, not 'nan'"),
        ('"0, 1000"', '"0, x"', "index_1 of a Liberty file must be numbers, not '0, x'"),
        ('"0, 1000"', '"5, 0"', "an index of a Liberty file must rise"),
        ('"1ps"', '"1kg"', "a unit of a Liberty file must be a number of s, not '1kg'"),
        ('"10, 110"', '"10"', "a table of a Liberty file must have 4 values, not 3"),
        ("cell_rise (delay)", "cell_rise (other)",
         "a table of a Liberty file names the template 'other', which the file has not"),
        ('"!A"', '"!A &"', "a function of a Liberty file must be a Boolean expression, not '!A &'"),
    ],
)  # fmt: skip
def test_refused_values(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = HEAD + INV + NAND2 + DFF + "}\n"
    assert old in text
    path = tmp_path / "a.lib"
    path.write_text(text.replace(old, new, 1))
    assert refusal(path) == sentence
