"""Static timing against numbers computed by hand, a model in plain Python, and OpenSTA where there is one."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liberty_files import hand_library
from mapped import module, random_module

from ohmweave.errors import OhmweaveError
from ohmweave.sim.synthesis import timing_run
from ohmweave.sim.synthesis.cells import Library, Table
from ohmweave.sim.synthesis.library import load_library, unit_gates
from ohmweave.sim.synthesis.read_timing import timing_with_reads
from ohmweave.sim.synthesis.timing import GROUPS, Analysis, Timing
from ohmweave.sim.synthesis.timing_cells import TimingLibrary
from ohmweave.sim.synthesis.timing_records import Hard
from ohmweave.sim.synthesis.timing_tables import Tables

#: Of the library by hand: the slew at ports and of the clock, 20 ps + 2 ps × 8 fF, and the load of ports, 4 × 2 fF.
SLEW, LOAD = 0.036, 8.0
REG_REG, IN_REG, REG_OUT, IN_OUT = GROUPS


def analyse(modules: dict[str, Any], top: str, library: Library, *hard: Any) -> Timing:
    return Analysis(modules, library, *hard).timing(top)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return load_library([hand_library(tmp_path_factory.mktemp("lib"))])


def gate_ns(base: float, slew: float, load: float) -> float:
    """Delay of a cell by hand: `base` ps, 50 ps/ns of the slope, 10 ps/fF of the load."""
    return (base + 50 * slew + 10 * load) / 1000


def slew_ns(load: float) -> float:
    return (20 + 2 * load) / 1000


def test_tables_side_by_side(library: Library) -> None:
    """As one table gives them, at points inside and outside, of tables of different sizes."""
    random = np.random.default_rng(1)
    tables = [Table(np.zeros(1), np.zeros(1), np.full((1, 1), 7.0))]
    for rows, columns in ((1, 4), (3, 1), (2, 2), (7, 5), (4, 7)):
        axes = [np.cumsum(random.uniform(0.1, 2, size)) for size in (rows, columns)]
        tables.append(Table(*axes, random.uniform(0, 9, (rows, columns))))
    which = random.integers(0, len(tables), 500)
    points = random.uniform(-1, 15, (2, 500))
    found = Tables(tables).at(which, *points)
    wanted = [tables[number].at(*point) for number, point in zip(which, points.T, strict=True)]
    assert found == pytest.approx(wanted)


def test_surroundings(library: Library) -> None:
    timing = TimingLibrary(library)
    assert timing.around.slew_ns == pytest.approx(SLEW)
    assert timing.around.load_ff == LOAD
    # Setup of the register at that slope: 25 ps for the falling edge, 100 ps/ns of the data's, 10 of the clock's.
    assert timing.setup_ns == pytest.approx((25 + 110 * SLEW) / 1000)


def test_two_inverters(library: Library) -> None:
    """A rise at the input falls in the middle: the longer of rise after fall and of fall after rise."""
    two = module(
        {"a": [2]}, {"y": [4]}, {"g": ("INV", {"A": 2, "Y": 3}), "h": ("INV", {"A": 3, "Y": 4})}, {"m": [3]}
    )
    timing = analyse({"two": two}, "two", library)
    assert set(timing.groups) == {IN_OUT}
    path = timing.groups[IN_OUT]
    middle = slew_ns(2)
    wanted = gate_ns(20, SLEW, 2) + gate_ns(10, middle, LOAD)  # fall and then rise; the other way is the same
    assert path.delay_ns == pytest.approx(wanted)
    assert (path.start, path.end, path.setup_ns) == ("input a", "output y", 0)
    assert [(step.instance, step.cell, step.pins, step.signal) for step in path.steps] == [
        ("g", "INV", ("A", "Y"), "m"), ("h", "INV", ("A", "Y"), "y"),
    ]  # fmt: skip
    assert [step.load_ff for step in path.steps] == [2, LOAD]
    assert [step.slew_ns for step in path.steps] == pytest.approx([middle, slew_ns(LOAD)])
    assert timing.fmax_mhz == pytest.approx(1000 / wanted)


@pytest.mark.parametrize(("kind", "base"), [("AND2", (60, 70)), ("NAND2", (30, 40)), ("XOR2", (80, 90))])
def test_unateness(library: Library, kind: str, base: tuple[int, int]) -> None:
    """Behind an inverter whose fall is later than its rise, by which edges of the gate follow."""
    cells = {"i": ("INV", {"A": 2, "Y": 3}), "g": (kind, {"A": 3, "B": 4, "Y": 5})}
    timing = analyse({"m": module({"a": [2], "b": [4]}, {"y": [5]}, cells)}, "m", library)
    rise, fall = gate_ns(10, SLEW, 2), gate_ns(20, SLEW, 2)
    up, down = (gate_ns(each, slew_ns(2), LOAD) for each in base)
    wanted = {
        "AND2": max(rise + up, fall + down),
        "NAND2": max(fall + up, rise + down),
        "XOR2": fall + max(up, down),
    }
    assert timing.critical_path_ns == pytest.approx(wanted[kind])


def test_registers(library: Library) -> None:
    """Clock to output and setup; four kinds of paths."""
    cells = {
        "r": ("DFF", {"C": 2, "D": 3, "Q": 4}), "g": ("NAND2", {"A": 3, "B": 4, "Y": 5}),
        "s": ("DFF", {"C": 2, "D": 5, "Q": 6}), "t": ("INV", {"A": 3, "Y": 7}),
    }  # fmt: skip
    netlist = module({"clk": [2], "a": [3]}, {"q": [6], "z": [7]}, cells, {"first": [4]})
    timing = analyse({"m": netlist}, "m", library)
    setup_rise, setup_fall = ((base + 100 * slew_ns(3) + 1000 * 0.01 * SLEW) / 1000 for base in (15, 25))
    # Q of r, which loads one pin: both edges 10 ps apart, then a NAND, whose edges turn.
    clock_rise, clock_fall = (gate_ns(base, SLEW, 2) for base in (100, 110))
    rise, fall = (gate_ns(base, slew_ns(2), 3) for base in (30, 40))
    wanted = max(clock_fall + rise + setup_rise, clock_rise + fall + setup_fall)
    path = timing.groups[REG_REG]
    assert path.delay_ns == pytest.approx(wanted)
    assert (path.start, path.end) == ("first (DFF)", "q (DFF)")
    assert sum(step.delay_ns for step in path.steps) + path.setup_ns == pytest.approx(path.delay_ns)
    assert timing.groups[REG_OUT].delay_ns == pytest.approx(gate_ns(110, SLEW, LOAD))
    # From a both ways: the setup of s, where its slope is that of a slow input.
    into = max(gate_ns(30, SLEW, 3) + setup_rise, gate_ns(40, SLEW, 3) + setup_fall)
    assert timing.groups[IN_REG].delay_ns == pytest.approx(into)
    assert timing.groups[IN_OUT].delay_ns == pytest.approx(gate_ns(20, SLEW, LOAD))
    assert timing.longest is timing.groups[REG_REG]


def reference(netlist: Mapping[str, Any], library: Library) -> dict[str, float]:
    """Longest path of each kind, in plain Python: each edge of each net by itself, without trees of buffers."""
    loads: dict[int, float] = {}
    driver: dict[int, tuple[str, dict[str, int]]] = {}
    for cell in netlist["cells"].values():
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        for pin, net in pins.items():
            if pin in ("Y", "Q"):
                driver[net] = cell["type"], pins
            loads[net] = loads.get(net, 0) + library.cells[cell["type"]].pins[pin].capacitance
    for net in netlist["ports"]["y"]["bits"]:
        loads[net] = loads.get(net, 0) + LOAD
    kept: dict[tuple[int, int, str], tuple[float, float]] = {}

    def arrival(net: int, edge: int, source: str) -> tuple[float, float]:
        """Time and slew; slews are the worst of all sources."""
        key = net, edge, source
        if key not in kept:
            kept[key] = find(net, edge, source)
        return kept[key]

    def find(net: int, edge: int, source: str) -> tuple[float, float]:
        if net not in driver:
            return (0.0 if source != "clock" else -np.inf), SLEW
        kind, pins = driver[net]
        times, slews = [-np.inf], [0.0]
        for arc in library.cells[kind].arcs:
            if arc.kind not in ("combinational", "edge"):
                continue
            table, follow = (arc.rise, arc.rise_slew) if edge == 0 else (arc.fall, arc.fall_slew)
            assert table is not None
            assert follow is not None
            if arc.kind == "edge":
                before = [(0.0 if source != "input" else -np.inf, SLEW)]
            else:
                edges = (
                    [edge] if arc.sense == "positive" else [1 - edge] if arc.sense == "negative" else [0, 1]
                )
                before = [arrival(pins[arc.source], each, source) for each in edges]
            for time, slew in before:
                times.append(time + table.at(slew, loads[net]))
                slews.append(follow.at(slew, loads[net]))
        return max(times), max(slews)

    found: dict[str, list[float]] = {kind: [] for kind in GROUPS}
    for cell in netlist["cells"].values():
        if cell["type"] != "DFF":
            continue
        (setup,) = [arc for arc in library.cells["DFF"].arcs if arc.kind == "setup"]
        for edge, table in enumerate((setup.rise, setup.fall)):
            assert table is not None
            net = cell["connections"]["D"][0]
            for source, kind in (("clock", REG_REG), ("input", IN_REG)):
                time, _ = arrival(net, edge, source)
                found[kind].append(time + table.at(arrival(net, edge, "")[1], SLEW))
    for net in netlist["ports"]["y"]["bits"]:
        for source, kind in (("clock", REG_OUT), ("input", IN_OUT)):
            found[kind] += [arrival(net, edge, source)[0] for edge in (0, 1)]
    return {kind: max(times) for kind, times in found.items() if max(times) > -np.inf}


def test_start_without_a_name(library: Library) -> None:
    """A register of which no output has a name starts a path by its own name, in a module below as well."""
    inner = module(
        {"clk": [2], "d": [3]},
        {"y": [5]},
        {"r": ("DFF", {"C": 2, "D": 3, "Q": 4}), "g": ("INV", {"A": 4, "Y": 5})},
    )
    outer = module({"clk": [2], "d": [3]}, {"y": [4]}, {"u": ("inner", {"clk": [2], "d": [3], "y": [4]})})
    timing = analyse({"inner": inner, "outer": outer}, "inner", library)
    assert timing.groups[REG_OUT].start == "r (DFF)"
    timing = analyse({"inner": inner, "outer": outer}, "outer", library)
    assert timing.groups[REG_OUT].start == "u.r (DFF)"


@pytest.mark.parametrize("seed", range(20))
def test_against_python(library: Library, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing_run, "TREE_STEPS", 0)
    netlist = random_module(seed, gates=20 + 10 * seed)
    timing = analyse({"m": netlist}, "m", library)
    wanted = reference(netlist, library)
    assert {kind: path.delay_ns for kind, path in timing.groups.items()} == pytest.approx(wanted)
    for path in timing.groups.values():
        assert sum(step.delay_ns for step in path.steps) + path.setup_ns == pytest.approx(path.delay_ns)


def split_in_two(netlist: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every second gate in a module of its own."""
    modules: dict[str, Any] = {}
    cells = {}
    for number, (name, cell) in enumerate(netlist["cells"].items()):
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        if number % 2:
            cells[name] = cell["type"], pins
            continue
        kind = f"m{cell['type']}"
        into = {pin: [place + 2] for place, pin in enumerate(pins) if pin not in ("Y", "Q")}
        out = {pin: [place + 2] for place, pin in enumerate(pins) if pin in ("Y", "Q")}
        inner = {pin: bits[0] for pin, bits in (into | out).items()}
        modules[kind] = module(into, out, {"inner": (cell["type"], inner)})
        cells[name] = kind, pins
    ports = netlist["ports"]
    modules["m"] = module(
        {name: port["bits"] for name, port in ports.items() if port["direction"] == "input"},
        {name: port["bits"] for name, port in ports.items() if port["direction"] == "output"},
        cells,
        {name: record["bits"] for name, record in netlist["netnames"].items()},
    )
    return modules


@pytest.mark.parametrize("seed", range(10))
def test_hierarchy(library: Library, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through models of modules as without them, but for the slopes, which are those of ports, and for edges."""
    monkeypatch.setattr(timing_run, "TREE_STEPS", 0)
    netlist = random_module(seed)
    flat = analyse({"m": netlist}, "m", library)
    modules = split_in_two(netlist)
    deep = analyse(modules, "m", library)
    assert set(deep.groups) == set(flat.groups)
    for kind, path in deep.groups.items():
        # Models know no edges: 10 ps between rise and fall of a cell, and 50 ps/ns of a slope of at most 60 ps.
        cells = len(path.steps)
        assert abs(path.delay_ns - flat.groups[kind].delay_ns) <= 0.014 * cells + 1e-9
        assert sum(step.delay_ns for step in path.steps) + path.setup_ns == pytest.approx(path.delay_ns)
    instances = [step.instance for path in deep.groups.values() for step in path.steps]
    assert any(name.endswith(".inner") for name in instances)


def test_load_of_a_port(library: Library) -> None:
    """What a module's output drives outside, and what its input loads outside, is in the path."""
    inner = module({"a": [2]}, {"y": [3]}, {"g": ("INV", {"A": 2, "Y": 3})})
    for fanout in (1, 2, 3):
        cells: dict[str, Any] = {"u": ("inner", {"a": 2, "y": 3})}
        cells |= {f"s{number}": ("INV", {"A": 3, "Y": 10 + number}) for number in range(fanout)}
        outer = module({"a": [2]}, {"y": [10 + number for number in range(fanout)]}, cells)
        path = analyse({"m": outer, "inner": inner}, "m", library).groups[IN_OUT]
        first = gate_ns(20, SLEW, 2 * fanout)
        # Slopes follow the load in the model too.
        assert path.delay_ns == pytest.approx(first + gate_ns(20, slew_ns(2 * fanout), LOAD))
        assert path.steps[0].instance == "u.g"
        assert path.steps[0].delay_ns == pytest.approx(first)


def test_paths_inside_a_module(library: Library) -> None:
    """The longest path between registers may be in a module below; it is told with the module's name."""
    cells: dict[str, Any] = {"r": ("DFF", {"C": 2, "D": 3, "Q": 10}), "s": ("DFF", {"C": 2, "D": 15, "Q": 4})}
    cells |= {f"g{number}": ("INV", {"A": 10 + number, "Y": 11 + number}) for number in range(5)}
    inner = module({"clk": [2], "d": [3]}, {"q": [4]}, cells, {"state": [10]})
    outer = module({"clk": [2], "d": [3]}, {"q": [4]}, {"u": ("inner", {"clk": 2, "d": 3, "q": 4})})
    timing = analyse({"m": outer, "inner": inner}, "m", library)
    path = timing.groups[REG_REG]
    assert (path.module, path.start, path.end) == ("inner", "state (DFF)", "q (DFF)")
    assert timing.longest is path
    assert timing.groups[REG_OUT].start == "u.q (DFF)"
    assert timing.groups[IN_REG].end == "u.state (DFF)"


def test_macros(library: Library) -> None:
    """A memory: its inputs have a setup time, its outputs come after its access; one without a clock is passed."""
    directions = {"m": {"A": "input", "Q": "output"}}
    cells = {
        "r": ("DFF", {"C": 2, "D": 6, "Q": 3}), "m": ("$mem", {"A": [3], "Q": [5]}),
        "g": ("INV", {"A": 5, "Y": 6}),
    }  # fmt: skip
    netlist = module({"clk": [2]}, {"y": [6]}, cells, directions=directions)
    clocked = analyse({"m": netlist}, "m", library, lambda kind, cell: Hard(0.5, 0.1))
    behind = max(
        gate_ns(10, SLEW, 3 + LOAD) + (15 + 100 * slew_ns(11) + 10 * SLEW) / 1000,
        gate_ns(20, SLEW, 3 + LOAD) + (25 + 100 * slew_ns(11) + 10 * SLEW) / 1000,
    )
    path = clocked.groups[REG_REG]
    assert path.delay_ns == pytest.approx(0.5 + behind)
    assert (path.steps[0].cell, path.steps[0].pins, path.steps[0].delay_ns) == ("$mem", ("clk", "Q"), 0.5)
    through = analyse({"m": netlist}, "m", library, lambda kind, cell: Hard(0.5, 0.1, frozenset("A")))
    assert through.groups[REG_REG].delay_ns == pytest.approx(gate_ns(110, SLEW, LOAD) + 0.5 + behind)
    slow = analyse({"m": netlist}, "m", library, lambda kind, cell: Hard(0.0, 9.0))
    assert slow.groups[REG_REG].delay_ns == pytest.approx(gate_ns(110, SLEW, LOAD) + 9)
    assert slow.groups[REG_REG].end == "m ($mem)"
    with pytest.raises(OhmweaveError, match=re.escape("m must be mapped onto the library, and m is a $mem")):
        analyse({"m": netlist}, "m", library)


class Reads:
    """One kind of cell is an array; its setup time is 0.1."""

    def __init__(self, access: float, cycles: int):
        self.access, self.cycles, self.asked = access, cycles, 0

    def reads(self, kind: str) -> tuple[float, int] | None:
        return (self.access, self.cycles) if kind == "array" else None

    def at(self, period: float) -> Any:
        self.asked += 1
        left = max(0.0, self.access - (self.cycles - 1) * period)
        return lambda kind, cell: Hard(left, 0.1) if kind == "array" else None


def with_array(inverters: int) -> dict[str, Any]:
    """An array, an inverter and a register in a module; inverters from register to register around it."""
    directions = {"m": {"A": "input", "Q": "output"}}
    cells = {
        "m": ("array", {"A": [6], "Q": [5]}), "g": ("INV", {"A": 5, "Y": 6}),
        "r": ("DFF", {"C": 2, "D": 6, "Q": 3}),
    }  # fmt: skip
    inner = module({"clk": [2]}, {"y": [3]}, cells, directions=directions)
    chain: dict[str, Any] = {"s": ("DFF", {"C": 2, "D": 10 + inverters, "Q": 10})}
    chain |= {f"g{n}": ("INV", {"A": 10 + n, "Y": 11 + n}) for n in range(inverters)}
    chain["u"] = ("inner", {"clk": [2], "y": [3]})
    outer = module({"clk": [2]}, {"y": [3]}, chain, directions={"u": {"clk": "input", "y": "output"}})
    return {"inner": inner, "m": outer}


def test_reads_of_several_cycles(library: Library) -> None:
    """Access and what is behind it share the cycles of a read; what is longer, or the access alone, decides else."""
    behind = (
        analyse({"m": with_array(0)["inner"]}, "m", library, Reads(0.0, 1).at(1.0)).groups[REG_REG].delay_ns
    )
    other = analyse(with_array(9), "m", library, Reads(0.0, 1).at(1.0)).critical_path_ns
    assert other > behind > 0.1
    for access, cycles, wanted in (
        (6.0, 1, 6 + behind), (6.0, 6, 1 + behind / 6), (60.0, 7, (60 + behind) / 7),
        (other * 6, 6, other + behind / 6),
        (0.0, 6, other), (other * 3, 6, other), (other * 6 - behind, 6, other), (other * 6, 7, other),
    ):  # fmt: skip
        reads: Any = Reads(access, cycles)
        found = timing_with_reads(with_array(9), "m", library, reads)
        assert found.critical_path_ns == pytest.approx(wanted), (access, cycles)
        assert reads.asked <= 4
    # Without an array there is one analysis.
    reads = Reads(6.0, 6)
    plain = with_array(3)["m"]
    plain["cells"].pop("u")
    assert timing_with_reads({"m": plain}, "m", library, reads).longest is not None
    assert reads.asked == 1


def test_loop(library: Library) -> None:
    """Named, and at once; a loop through a register is none."""
    cells = {
        "g": ("NAND2", {"A": 2, "B": 5, "Y": 3}), "h": ("INV", {"A": 3, "Y": 4}), "i": ("INV", {"A": 4, "Y": 5}),
        "o": ("INV", {"A": 5, "Y": 6}),
    }  # fmt: skip
    netlist = module({"a": [2]}, {"y": [6]}, cells, {"one": [3], "two": [4], "three": [5]})
    with pytest.raises(OhmweaveError) as refused:
        analyse({"m": netlist}, "m", library)
    said = str(refused.value).removeprefix("m has a combinational loop through ")
    assert sorted(said.split(", ")) == ["one", "three", "two"]


def test_tree_of_buffers() -> None:
    """A net that many inputs load takes time by its logarithm; a light one is as it was."""
    library = unit_gates()
    times = {}
    for fanout in (1, 3, 64, 512):
        cells: dict[str, Any] = {"g": ("INV_X1", {"A": 2, "Y": 3})}
        cells |= {f"h{number}": ("INV_X1", {"A": 3, "Y": 10 + number}) for number in range(fanout)}
        netlist = module({"a": [2]}, {"y": range(10, 10 + fanout)}, cells)
        path = analyse({"m": netlist}, "m", library).groups[IN_OUT]
        times[fanout] = path.delay_ns - 1, path.steps[0].buffers
    assert times[1] == (pytest.approx(0.4), 0)
    assert times[3] == (pytest.approx(0.8), 0)
    assert times[64][1] > 0
    assert 1 < times[64][0] < 6
    assert times[64][0] < times[512][0] < 10


def test_constants_and_nothing(library: Library) -> None:
    """Pins at a constant start no path; a module may be empty."""
    netlist = module({}, {"y": [3]}, {"g": ("NAND2", {"A": "1", "B": "0", "Y": 3})})
    timing = analyse({"m": netlist}, "m", library)
    assert timing.groups == {}
    assert timing.critical_path_ns == 0
    assert timing.fmax_mhz == np.inf
    assert analyse({"m": module({}, {}, {})}, "m", library).longest is None


STA = """
read_liberty hand.lib
read_verilog m.v
link_design m
create_clock -name c -period 100 [get_ports n2]
set_clock_transition 0.036 [get_clocks c]
set_input_transition 0.036 [all_inputs]
set_input_delay 0 -clock c [all_inputs]
set_output_delay 0 -clock c [all_outputs]
set_load -pin_load 8 [all_outputs]
report_checks -path_delay max -digits 9
exit
"""


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")
@pytest.mark.parametrize("seed", range(8))
def test_against_opensta(
    library: Library, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing_run, "TREE_STEPS", 0)
    netlist = random_module(seed, gates=100)
    hand_library(tmp_path)
    wires = {
        net for cell in netlist["cells"].values() for bits in cell["connections"].values() for net in bits
    }
    # This OpenSTA reads no assignments: ports have the names of the nets.
    outs = set(netlist["ports"]["y"]["bits"]) - set(netlist["ports"]["a"]["bits"])
    ins = [2, *netlist["ports"]["a"]["bits"]]
    ports = [f"input n{net}" for net in ins] + [f"output n{net}" for net in sorted(outs)]
    lines = [f"module m ({', '.join(ports)});"]
    lines += [f"wire n{net};" for net in sorted(wires - outs - set(ins))]
    for name, cell in netlist["cells"].items():
        pins = ", ".join(f".{pin}(n{bits[0]})" for pin, bits in cell["connections"].items())
        lines.append(f"{cell['type']} {name} ({pins});")
    (tmp_path / "m.v").write_text("\n".join([*lines, "endmodule", ""]))
    (tmp_path / "m.tcl").write_text(STA.replace("0.036", "36"))
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "m.tcl"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    slack = re.search(r"(-?[\d.]+) +slack", done.stdout)
    assert slack is not None, done.stdout + done.stderr
    critical = analyse({"m": netlist}, "m", library).critical_path_ns
    assert (100 - float(slack[1])) / 1000 == pytest.approx(critical, rel=1e-5)
