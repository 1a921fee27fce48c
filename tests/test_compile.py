"""`ohmweave compile`, and `ohmweave run --program` with what it wrote."""

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapping_graphs import spanning

from ohmweave import cli
from ohmweave.sim import saved_program
from ohmweave.sim.graph import save as save_graph
from ohmweave.sim.mapping import mapped
from ohmweave.sim.network import load, save

SEED = 5
KNOBS = 'preset = "tiny"\nlevels = 2\n'


@pytest.fixture
def call(capsys, small_files, monkeypatch):
    """Run the program in the folder of the small network: exit code, stdout, the sentence on stderr."""
    monkeypatch.chdir(small_files[0].parent)
    monkeypatch.setenv("COLUMNS", "200")
    Path("chip.toml").write_text(KNOBS)

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err.removeprefix("ohmweave: ").removesuffix("\n")

    return call


@pytest.fixture
def program(call):
    """A program of two copies of the small network on 16 PEs."""
    code, out, err = call("compile", "net.npz", "--arch", "chip.toml", "--copies", "2", "-o", "net.ohmp")
    size = Path("net.ohmp").stat().st_size
    assert (code, err) == (0, "")
    assert out == f"wrote net.ohmp: small on 4 of 16 PEs of chip.toml, {size:,} bytes\n"
    return "net.ohmp"


RUN = ("run", "net.npz", "--images", "images.npz", "--backend", "cycle")


def test_runs_as_without_it(call, program, monkeypatch):
    """The same cycles and results as those of a run that compiles, and nothing is compiled."""
    assert call(*RUN, "--arch", "chip.toml", "--copies", "2", "--out", "compiled")[0] == 0
    monkeypatch.setattr("ohmweave.sim.run.planned", None)
    for arguments in ([], ["--arch", "chip.toml"], ["--copies", "2", "--mapping", "pipeline"]):
        assert call(*RUN, "--program", program, *arguments)[0] == 0
        compiled, read = (
            json.loads(Path(folder, "result.json").read_text()) for folder in ("compiled", "out")
        )
        if not arguments:
            assert read["arch"] == program
        for key in ("mapping", "images", "mismatches", "cycles", "layers"):
            assert compiled[key] == read[key], key
        assert np.array_equal(np.load("compiled/logits.npy"), np.load("out/logits.npy"))


def test_preset_by_its_name(call):
    assert call("compile", "lenet5", "--out", "lenet5.ohmp")[0] == 0
    assert call("run", "lenet5", "--program", "lenet5.ohmp", "--backend", "golden", "--limit", "5")[0] == 0
    assert json.loads(Path("out/result.json").read_text())["arch"] == "re-reram"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "tiny"], "is for a chip with levels 2, and tiny has levels 1"),
        (["--arch", "re-reram"], "is for a chip with array rows 72, and re-reram has array rows 1152"),
    ],
)
def test_another_chip(call, program, arguments, sentence):
    assert call(*RUN, "--program", program, *arguments) == (2, "", f"the program file net.ohmp {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--copies", "1"], "--copies must be 2 or not given, as the program file net.ohmp has it, not 1"),
        (
            ["--copies", "fit"],
            "--copies must be 2 or not given, as the program file net.ohmp has it, not fit",
        ),
        (
            ["--mapping", "layers"],
            "--mapping must be pipeline or auto, as the program file net.ohmp has all layers at once, not layers",
        ),
        (
            ["--mapping", "parts"],
            "--mapping must be pipeline or auto, as the program file net.ohmp has all layers at once, not parts",
        ),
        (
            ["--aim", "latency"],
            "--aim must not be given with the program file net.ohmp, which is compiled for an aim already",
        ),
    ],
)
def test_other_options(call, program, arguments, sentence):
    assert call(*RUN, "--program", program, *arguments) == (2, "", sentence)
    assert not Path("out").exists()


def test_another_network(call, program, small_network):
    first, *rest = small_network.layers
    first = replace(first, bias=first.bias + np.int32(1))
    save(replace(small_network, layers=(first, *rest)), Path("other.npz"))
    assert call("run", "other.npz", *RUN[2:], "--program", program) == (
        2,
        "",
        "the program file net.ohmp is of another network than other.npz, whose integers are not the same: a float "
        "network has to be quantised with the same options",
    )


def test_no_file(call):
    assert call(*RUN, "--program", "none.ohmp") == (
        2,
        "",
        "the program file none.ohmp cannot be read: No such file or directory",
    )


def test_damage_is_never_run(call, program, monkeypatch):
    """Random flips, cuts and insertions, each in the program itself: exit code 2, one sentence, nothing written."""
    monkeypatch.setattr("ohmweave.sim.run.run", None)
    content = Path(program).read_bytes()
    rng = random.Random(SEED)
    for _ in range(40):
        damaged = bytearray(content)
        kind = rng.randrange(4)
        place = rng.randrange(len(damaged))
        if kind == 0:
            for _ in range(rng.choice((1, 2, 50))):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            if damaged == content:
                continue
        elif kind == 1:
            del damaged[place:]
        elif kind == 2:
            damaged[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            del damaged[place : place + rng.randrange(1, 9)]
        Path("bad.ohmp").write_bytes(damaged)
        code, out, err = call(*RUN, "--program", "bad.ohmp")
        assert (code, out) == (2, ""), f"seed {SEED}"
        assert err.startswith("the program file bad.ohmp ")
        assert "\n" not in err
        assert not Path("out").exists()


def test_nonsense_with_the_right_checksum_is_a_sentence(call, program, monkeypatch):
    """Whatever a simulator trips over in a file that someone has made."""

    def trips(*_: object, **__: object) -> None:
        raise ValueError("cannot reshape")

    monkeypatch.setattr("ohmweave.sim.backends.cycle.timing", trips)
    sentence = "the program file net.ohmp is not sound: its configuration makes no sense (cannot reshape)"
    assert call(*RUN, "--program", program) == (2, "", sentence)


def test_changed_routes_do_not_run(call, program):
    """A switch that was closed in a file whose checksum somebody made right again."""
    saved = saved_program.load(Path(program))
    config = saved.program.config.copy()
    # The routes of a PE are the first words that it is sent.
    config[3:5] = 1 << 16
    path = Path("closed.ohmp")
    saved_program.save(path, replace(saved.program, config=config), load(Path("net.npz")))
    content = path.read_bytes()
    assert hashlib.sha256(content[:16] + content[48:]).digest() == content[16:48]
    code, out, err = call(*RUN, "--program", path)
    assert (code, out) == (2, "")
    assert err.startswith("the program file closed.ohmp is not sound: ")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["net.npz", "--arch", "chip.toml", "--mapping", "layers", "-o", "a"],
            "a program has all layers on the chip at once, and small runs one layer after the other",
        ),
        (
            ["resnet20", "-o", "a"],
            "a program has all layers on the chip at once, and resnet20_w8a8 runs in parts: "
            "resnet20_w8a8 needs 23 PEs for all its stages at once, 7 more than the 16 of the chip",
        ),
        (["net.npz", "-o", "no/a"], "no/a cannot be written: no is no folder"),
        (["net.npz", "-o", "."], ". cannot be written: Is a directory"),
        (["net.npz"], "Missing option '-o' / '--out' (see ohmweave compile --help)"),
        (
            ["net.npz", "--weight-bits", "4", "-o", "a"],
            "--weight-bits is for float networks, and net.npz has integers already",
        ),
    ],
)  # fmt: skip
def test_refused(call, arguments, sentence):
    assert call("compile", *arguments) == (2, "", sentence)
    assert not Path("a").exists()


def test_a_failed_write_leaves_nothing(call, program, monkeypatch):
    """The file that was there stays as it was."""
    before = Path(program).read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = call("compile", "net.npz", "--arch", "chip.toml", "-o", program)
    assert (code, err) == (2, "net.ohmp cannot be written: No space left on device")
    assert Path(program).read_bytes() == before
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_a_layout_is_not_made_again(call, monkeypatch):
    """A network with shortcuts is laid out when it is compiled, and not when it runs."""
    save_graph(spanning(1, 5), Path("graph.npz"))
    np.savez("maps.npz", images=np.random.default_rng(1).integers(0, 256, (3, 5, 6, 4), dtype=np.uint8))
    assert call("compile", "graph.npz", "--arch", "chip.toml", "-o", "graph.ohmp")[0] == 0
    monkeypatch.setattr(mapped, "kept_layout", None)
    run = ("run", "graph.npz", "--images", "maps.npz", "--backend", "cycle", "--program", "graph.ohmp")
    code, out, err = call(*run)
    assert (code, err) == (0, "")
    assert "0 of 3 images differ from the golden model" in out
