"""`ohmweave map`: what it prints and writes, before anything runs."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ohmweave import cli
from ohmweave.commands.options import AIMS, MAPPINGS
from ohmweave.presets import PRESETS
from ohmweave.sim import ways
from ohmweave.sim.mapping.mapped import AIMS as MAPPED_AIMS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("chip.toml").write_text("levels = 3\n")
    return tmp_path


def mapped(*arguments: str) -> tuple[dict, ET.Element]:
    """The files of a map."""
    assert cli.main(["map", *arguments]) == 0
    return json.loads(Path("out/map.json").read_text()), ET.parse("out/map.svg").getroot()


def test_choices_are_those_of_the_simulator():
    assert MAPPINGS == ways.MAPPINGS
    assert AIMS == MAPPED_AIMS


def test_network_with_shortcuts(folder, capsys):
    record, svg = mapped("resnet20-w4a4", "--arch", "chip.toml")
    assert (record["schema"], record["model"], record["arch"]) == (1, "resnet20_w4a4", "chip.toml")
    assert (record["mapping"], record["why"], record["copies"], record["pes"]) == ("pipeline", None, 1, 23)
    assert (record["interval"], record["bottleneck"]) == (6144, "stem")
    assert record["course"] == [{"pes": 23, "stage": "stem", "cycles": 6144}]
    units = [unit for stage in record["stages"] for copy in stage["units"] for unit in copy]
    assert len(units) == len(set(units)) == 23
    # 1,024 windows of one block of columns, six cycles each; 16 channels of 4 bits are four flits a pixel.
    stem = record["stages"][0]
    assert (stem["array"], stem["sums"], stem["flits_in"], stem["flits_out"]) == (6144, 0, 1024, 4096)
    squares = svg.findall(f"{SVG}rect")
    # Paper, 64 PEs, a square on each of those that have a stage, and one a stage in the legend.
    assert len(squares) == 1 + 64 + 23 + 23
    # The shortcuts' streams end in two places, so that there are more links than stages.
    assert len(svg.findall(f"{SVG}line")) > 23
    # 4,096 of 6,144 cycles for 16 channels of 32×32 pixels; fewer further on.
    links = record["links"]
    assert (links["used"], links["of"], links["busiest"]) == (
        len(svg.findall(f"{SVG}line")),
        224,
        4096 / 6144,
    )
    assert 0 < links["mean"] < links["busiest"]
    out = capsys.readouterr().out
    assert "23 of 64" in out
    assert "the busiest 67 % of the time" in out
    assert "stem, 6,144 cycles, bound by its array" in out
    assert "6,144 cycles from image to image (predicted)" in out


def test_copies(folder):
    record, svg = mapped("resnet20-w4a4", "--arch", "chip.toml", "--copies", "2")
    assert (record["copies"], record["pes"], record["interval"]) == (2, 46, 3072)
    first, second = record["stages"][0]["units"]
    assert [unit + 32 for unit in first] == second
    assert len(svg.findall(f"{SVG}line")) % 2 == 0
    assert record["links"]["busiest"] == 4096 / 6144


def test_chain(folder, capsys):
    record, svg = mapped("lenet5")
    assert [stage["name"] for stage in record["stages"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert (record["interval"], record["pes"]) == (2352, 5)
    assert len(svg.findall(f"{SVG}line")) == 4
    assert "5 of 16" in capsys.readouterr().out


def test_larger_than_the_chip(folder, capsys):
    why = "resnet20_w4a4 needs 23 PEs for all its stages at once, 7 more than the 16 of the chip"
    record, svg = mapped("resnet20-w4a4")
    assert (record["mapping"], record["why"], record["pes"]) == ("parts", why, 13)
    assert [(part["stages"][0], part["pes"], part["interval"]) for part in record["parts"]] == [
        ("stem", 12, 6144),
        ("block5_conv1", 13, 2048),
    ]
    assert record["interval"] == 6144 + 2048
    assert len(svg.findall(f"{SVG}svg")) == 2
    assert len(svg.findall(f".//{SVG}line")) > 30
    out = capsys.readouterr().out
    assert "2 parts one after the other: resnet20_w4a4 needs 23 PEs" in out
    assert "block5_conv1 to fc, 13 PEs, 2,048 cycles an image (predicted)" in out
    record, svg = mapped("resnet20-w4a4", "--mapping", "layers")
    assert (record["mapping"], record["parts"]) == ("layers", [])
    assert record["interval"] == sum(max(stage[key] for key in ("array", "sums", "flits_in", "flits_out"))
                                     for stage in record["stages"])  # fmt: skip
    assert svg.findall(f"{SVG}line") == []
    assert "one layer after the other: as it was asked to" in capsys.readouterr().out
    assert record["why"] == "as it was asked to"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["resnet20-w4a4", "--mapping", "pipeline"],
            "resnet20_w4a4 needs 23 PEs for all its stages at once, 7 more than the 16 of the chip",
        ),
        (
            ["resnet20-w4a4", "--arch", "chip.toml", "--copies", "3"],
            "copies are of networks whose layers all fit the chip at once, and resnet20_w4a4 runs in parts: "
            "copies of resnet20_w4a4 must divide the 64 PEs of the chip, which 3 do not",
        ),
        (["lenet5", "--out", "chip.toml"], "--out chip.toml must be a folder, and chip.toml is none"),
    ],
)
def test_refusal(folder, capsys, arguments, sentence):
    before = sorted(path.name for path in folder.iterdir())
    assert cli.main(["map", *arguments]) == 2
    assert capsys.readouterr().err == f"ohmweave: {sentence}\n"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_papers_chip():
    chip = PRESETS["re-reram-256"]
    assert (chip.pes, chip.entries, chip.exit_flits, chip.pe) == (256, 16, 1 << 15, PRESETS["re-reram"].pe)
