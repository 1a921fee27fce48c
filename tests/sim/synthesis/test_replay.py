"""Gates replayed from recorded registers, and their energies: by hand, and against a model in plain Python."""

import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from liberty_files import CLOCKED, DFF, INV, NAND2, hand_library, powered_inverter, write_liberty
from mapped import module, random_module

from ohmweave.errors import OhmweaveError
from ohmweave.sim.backends.cxxrtl_activity import Recorded
from ohmweave.sim.synthesis.aliases import aliases_of, nets_by_alias
from ohmweave.sim.synthesis.cell_energy import cell_energies, check_powers
from ohmweave.sim.synthesis.cells import Library
from ohmweave.sim.synthesis.flat import Flat, flatten
from ohmweave.sim.synthesis.library import load_library, unit_gates
from ohmweave.sim.synthesis.replay import PAIRS, Replay, count_ones, toggles

CYCLES = 64
OPERATORS = {
    "INV": lambda a, _: 1 - a, "NAND2": lambda a, b: 1 - (a & b), "AND2": lambda a, b: a & b,
    "XOR2": lambda a, b: a ^ b,
}  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return load_library([hand_library(tmp_path_factory.mktemp("lib"))])


def word(bits: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def simulate(netlist: Mapping[str, Any], seed: int) -> list[dict[int, int]]:
    """The value of each net in each cycle, gate by gate; inputs by chance."""
    chance = random.Random(seed)
    cells = {
        name: (cell["type"], {pin: bits[0] for pin, bits in cell["connections"].items()})
        for name, cell in netlist["cells"].items()
    }
    registers = {pins["Q"]: pins["D"] for kind, pins in cells.values() if kind == "DFF"}
    drivers = {pins["Y"]: (kind, pins) for kind, pins in cells.values() if kind != "DFF"}
    state = {net: chance.randint(0, 1) for net in registers}
    cycles = []
    for _ in range(CYCLES):
        values = dict(state) | {net: chance.randint(0, 1) for net in netlist["ports"]["a"]["bits"]}

        def value(net: int, values: dict[int, int] = values) -> int:
            if net not in values:
                kind, pins = drivers[net]
                values[net] = OPERATORS[kind](value(pins["A"]), value(pins["B"]) if "B" in pins else 0)
            return values[net]

        for net in drivers:
            value(net)
        cycles.append(values)
        state = {net: value(source) for net, source in registers.items()}
    return cycles


def recorded_of(
    netlist: Mapping[str, Any], cycles: list[dict[int, int]]
) -> tuple[list[Recorded], np.ndarray]:
    """Registers one by one by their names, and the input."""
    values = [Recorded("a", len(netlist["ports"]["a"]["bits"]), "input")]
    nets = list(netlist["ports"]["a"]["bits"])
    for cell in netlist["cells"].values():
        if cell["type"] == "DFF":
            nets.append(cell["connections"]["Q"][0])
            values.append(Recorded(f"n{nets[-1]}", 1, "register"))
    rows = [[word([cycle[net] for cycle in cycles])] for net in nets]
    return values, np.array(rows, np.uint64)


@pytest.mark.parametrize("seed", range(10))
def test_every_net(library: Library, seed: int) -> None:
    netlist = random_module(seed, gates=60)
    cycles = simulate(netlist, seed)
    values, words = recorded_of(netlist, cycles)
    flat = flatten({"m": netlist}, "m", library)
    replay = Replay(flat, library, values)
    assert (replay.named, replay.unnamed) == (8, 0)
    found = replay.run(words)
    for net in range(2, 3 + 5 + 8 + 60):
        where = flat.names.get(f"n{net}")
        if where is not None:
            row = int(found[where[0], 0])
            assert row == word([cycle[net] for cycle in cycles]), net
            changes = sum(a[net] != b[net] for a, b in itertools.pairwise(cycles))
            assert toggles(found[where])[0] == changes


def test_unnamed_registers(library: Library) -> None:
    """A register without a name has what was at its input the cycle before; it was not recorded in the first."""
    netlist = random_module(3, gates=60)
    cycles = simulate(netlist, 3)
    values, words = recorded_of(netlist, cycles)
    flat = flatten({"m": netlist}, "m", library)
    lost = next(cell["connections"] for cell in netlist["cells"].values() if cell["type"] == "DFF")
    name = f"n{lost['Q'][0]}"
    replay = Replay(flat, library, [Recorded("?", v.bits, v.kind) if v.name == name else v for v in values])
    assert (replay.named, replay.unnamed) == (7, 1)
    # Where its input does not depend on it, all but the first cycle is known.
    found = int(replay.run(words)[flat.names[name][0], 0])
    source = int(replay.run(words)[flat.names[f"n{lost['D'][0]}"][0], 0])
    assert found >> 1 == source & (1 << PAIRS) - 1


def test_inverse_output(tmp_path: Path) -> None:
    """The other output of a register that has one: as the inverse of what was recorded, of whichever of them."""
    both = DFF.replace("pin (Q)", 'pin (QN) { direction : output; function : "IQN"; }\npin (Q)')
    assert both != DFF
    library = load_library([write_liberty(tmp_path / "a.lib", INV, NAND2, both)])
    cells = {
        "r": ("DFF", {"C": 2, "D": 3, "Q": 4, "QN": 5}), "s": ("DFF", {"C": 2, "D": 4, "Q": 6, "QN": 7}),
        "g": ("NAND2", {"A": 5, "B": 6, "Y": 8}),
    }  # fmt: skip
    netlist = module(
        {"clk": [2], "d": [3]}, {"y": [8]}, cells, {"state": [4], "other": [7], "n5": [5], "n6": [6]}
    )
    flat = flatten({"m": netlist}, "m", library)
    recorded = [Recorded("d", 1, "input"), Recorded("state", 1, "register"), Recorded("other", 1, "register")]
    replay = Replay(flat, library, recorded)
    assert (replay.named, replay.unnamed) == (2, 0)
    every = (1 << 64) - 1
    state, other = 0x0123456789ABCDEF, 0xFEDCBA9876543210 ^ 0xFF
    found = replay.run(np.array([[0], [state], [other]], np.uint64))
    assert int(found[flat.names["n5"][0], 0]) == state ^ every
    assert int(found[flat.names["n6"][0], 0]) == other ^ every
    assert int(found[flat.names["y"][0], 0]) == every ^ ((state ^ every) & (other ^ every))


def test_modules_and_boxes(library: Library) -> None:
    """A module is looked into, a box is not: what comes out of it was recorded."""
    inner = module({"a": [2]}, {"y": [3]}, {"g": ("INV", {"A": 2, "Y": 3})}, {"deep": [3]})
    box = module({"a": [2]}, {"y": [3]}, {})
    cells = {"u": ("inner", {"a": 2, "y": 3}), "b": ("box", {"a": 3, "y": 4}), "g": ("INV", {"A": 4, "Y": 5})}
    outer = module({"a": [2]}, {"y": [5]}, cells)
    flat = flatten({"m": outer, "inner": inner, "box": box}, "m", library, {"box"})
    assert flat.modules == ["m", "inner"]
    assert [(each.path, each.kind) for each in flat.boxes] == [("b", "box")]
    replay = Replay(flat, library, [Recorded("a", 1, "input"), Recorded("b.y", 1, "output")])
    found = replay.run(np.array([[0b0110], [0b1100]], np.uint64))
    assert int(found[flat.names["u.deep"][0], 0]) == ~0b0110 & (1 << 64) - 1
    assert int(found[flat.names["y"][0], 0]) == ~0b1100 & (1 << 64) - 1
    assert flat.paths == {"": "m", "u": "inner"}
    assert flat.names["u.a"].tolist() == flat.names["a"].tolist()


def test_loop(library: Library) -> None:
    cells = {"g": ("NAND2", {"A": 2, "B": 4, "Y": 3}), "h": ("INV", {"A": 3, "Y": 4})}
    flat = flatten({"m": module({"a": [2]}, {"y": [4]}, cells)}, "m", library)
    with pytest.raises(
        OhmweaveError, match=r"^what is replayed must have no combinational loop, and has one$"
    ):
        Replay(flat, library, [])


RTLIL = r"""module \m
  wire width 8 \both
  wire width 3 \both.low
  wire width 5 output 3 \high
  wire width 4 \state
  wire width 4 \next
  cell \inner \u
    connect \a \both [6:5]
    connect \b { \state [2:1] 2'00 \high [0] }
  end
  process $p
    assign \next \state
    assign \lost \state
    switch \high [0]
      case
        assign \lost [0] 1'0
    end
  end
  connect \both.low \both [2:0]
  connect \high \both [7:3]
  connect $1 \state
end
"""


def test_aliases() -> None:
    """A signal that the mapping has lost, by the names that are left: of its slices, of ports, one behind the other."""
    aliases = aliases_of({"m": RTLIL})
    assert set(aliases["m"]) == {"both", "both.low", "high", "state", "next", "u.a", "u.b"}
    names = {"i.both.low": [10, 11, 12], "i.u.a": [15, 16], "i.u.b": [13, 0, 0, 21, 22], "x": [1]}
    flat = Flat(
        nets=30, cells=[], boxes=[], modules=[], inputs=np.zeros(0, np.int64), paths={"": "top", "i": "m"},
        names={name: np.array(nets) for name, nets in names.items()},
    )  # fmt: skip
    found = nets_by_alias(flat, aliases, "i.both", 8)
    assert found is not None
    assert found.tolist() == [10, 11, 12, 13, -1, 15, 16, -1]
    state = nets_by_alias(flat, aliases, "i.next", 4)
    assert state is not None
    assert state.tolist() == [-1, 21, 22, -1]
    assert nets_by_alias(flat, aliases, "both", 8) is None
    assert nets_by_alias(flat, aliases, "i.lost", 4) is None


def test_counting() -> None:
    words = np.array([[0b1011, 1 << 63], [0, (1 << 64) - 1]], np.uint64)
    assert count_ones(words).tolist() == [4, 64]
    # Between cycles of one window: 1101 0... has three changes, the last cycle alone one; windows do not meet.
    assert toggles(words).tolist() == [3 + 1, 0]


POWERED = powered_inverter(2)


def test_energies(tmp_path: Path) -> None:
    """By hand: 2 V, so that a change of 1 fF takes 2 fJ."""
    library = load_library([write_liberty(tmp_path / "a.lib", POWERED, NAND2, CLOCKED)])
    cells = {
        "g": ("INV", {"A": 2, "Y": 3}), "h": ("INV", {"A": 3, "Y": 4}),
        "r": ("DFF", {"C": 5, "D": 4, "Q": 6}),
    }  # fmt: skip
    flat = flatten({"m": module({"a": [2], "clk": [5]}, {"q": [6]}, cells)}, "m", library)
    energies = cell_energies(flat, library)
    nets = {name: int(flat.names[name][0]) for name in ("a", "q")}
    switching = {int(net): float(energy) for _, net, energy in zip(*energies.switching, strict=True)}
    internal = {int(net): float(energy) for _, net, energy in zip(*energies.internal, strict=True)}
    (inverters,) = [each for each in flat.cells if each.kind == "INV"]
    first, second = map(int, inverters.nets["Y"])
    # Loads: the input one inverter (2 fF), the first output another, the second a flip-flop (3 fF), Q nothing.
    assert switching == {nets["a"]: 4, first: 4, second: 6, nets["q"]: 0}
    # Mean of 4 and 2 fJ, and 2 fJ more for each 10 fF.
    assert internal == {first: pytest.approx(3.4), second: pytest.approx(3.6)}
    # The clock's pin: 12 fJ inside, and 1 fF up and down.
    assert [part.tolist() for part in energies.clock] == [[0], [nets["q"]], [12 + 4]]
    assert energies.leakage.tolist() == [pytest.approx((2 * 3 + 10) * 1e-9)]
    assert (energies.cells.tolist(), energies.registers.tolist()) == ([3], [1])


def test_library_without_powers() -> None:
    sentence = r"^the library unit_gates has no internal powers, so that no power can be told with it$"
    with pytest.raises(OhmweaveError, match=sentence):
        check_powers(unit_gates())
