"""A run: what it computes, measures, checks and refuses; its record and files."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.rtl.activity import PEState
from ohmweave.rtl.links import links
from ohmweave.sim import golden, report
from ohmweave.sim import run as run_module
from ohmweave.sim.compiler import compile_chain, tiled
from ohmweave.sim.frames import pack
from ohmweave.sim.graph import from_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.run import BACKENDS, layer_use, measure, run
from ohmweave.sim.stages import stages

TINY = PRESETS["tiny"]
FIELDS = {"schema", "model", "arch", "backend", "images", "correct", "accuracy", "mismatches"}
FIELDS |= {"mapping", "parts", "written", "host", "cycles", "layers", "links", "batch", "sim", "versions"}


@pytest.fixture
def images(small_images):
    pixels, labels = small_images
    return ImageSet("test", pixels[..., None], labels)


def compiled(network):
    """The program that a run makes of it."""
    return compile_chain([tiled(stage, TINY) for stage in stages(from_network(network))], TINY)


def simulated(network, images, **options):
    return run(network, images, TINY, arch="tiny", **options)


def test_netlist_equals_golden(small_network, images):
    """The whole path on the default backend; every figure is that of the netlist."""
    told = []
    outcome = simulated(small_network, images, progress=lambda *args: told.append(args))
    expected = golden.logits(small_network, images.pixels)
    assert (outcome.logits == expected).all()
    record = outcome.report.record()
    assert record["backend"] == "cxxrtl"
    assert record["images"] == 7
    assert record["mismatches"] == 0
    assert record["correct"] == int((expected.argmax(axis=1) == images.labels).sum())
    assert record["accuracy"] == record["correct"] / 7
    assert (record["mapping"], record["host"]) == ("pipeline", {})
    assert [layer["name"] for layer in record["layers"]] == ["conv", "logits"]
    assert [layer["pes"] for layer in record["layers"]] == [1, 1]
    # 36 windows of one read each for `conv`, and one window of two reads (5 outputs, 4 columns a read).
    assert [layer["cycles"] for layer in record["layers"]] == [36 * 6, 2 * 6]
    cycles = record["cycles"]
    # The array never waits; behind the last image come no results that its last pooled windows would let pass.
    assert cycles["interval"] == pytest.approx(36 * 6 - 1 / 6)
    assert cycles["latency"] > 36 * 6
    assert cycles["total"] > 7 * 36 * 6
    for layer in record["layers"]:
        assert layer["idle"] == pytest.approx(max(0, cycles["interval"] - layer["cycles"]))
        assert layer["compute"] > 0
        assert layer["wait_input"] > 0
    # Flits of an image enter by the root, and the link into the first PE carries as many.
    assert record["links"]["used"] == 5
    named = {link["name"]: link for link in record["links"]["busiest"]}
    assert named["host -> node 0.0"]["flits"] == named["node 0.0 -> PE 0"]["flits"]
    for link in named.values():
        assert link["share"] == pytest.approx(link["flits"] / cycles["interval"])
    assert record["sim"]["cycles_per_s"] > 0
    stages = [what for what, _, _ in told]
    assert stages[0] == run_module.MAPPING
    assert stages[1] == run_module.BUILDING
    assert stages[-1] == run_module.CHECKING
    assert (run_module.SIMULATING, 7, 7) in told


def test_jobs_change_no_output(small_network, images):
    one, two = (simulated(small_network, images, jobs=jobs) for jobs in (1, 2))
    assert (one.logits == two.logits).all()
    assert one.report.cycles.latency == two.report.cycles.latency


def test_one_image_has_no_interval(small_network, images):
    outcome = simulated(small_network, images.head(1))
    assert outcome.report.cycles.interval is None
    assert [layer.idle for layer in outcome.report.layers] == [None, None]


def test_golden_backend(small_network, images):
    outcome = simulated(small_network, images, backend="golden")
    assert (outcome.logits == golden.logits(small_network, images.pixels)).all()
    assert outcome.report.cycles is None
    assert outcome.report.sim.cycles_per_s is None
    assert outcome.report.mismatches == 0


def test_unlabelled_images(small_network, images):
    outcome = simulated(small_network, ImageSet("x", images.pixels, None), backend="golden")
    assert outcome.report.correct is None
    assert outcome.report.accuracy is None


def test_wrong_outputs_are_counted(small_network, images, monkeypatch):
    """A simulator that gets two images wrong is found out."""
    from ohmweave.sim import backends

    program = compiled(small_network)
    right = golden.logits(small_network, images.pixels)
    wrong = right.copy()
    wrong[2, 0] ^= 1
    wrong[5, -1] ^= 1
    bits = program.outbound.bits
    outputs = pack([(wrong[:, None].astype(np.int64) & ((1 << bits) - 1), bits)], TINY.pe.link_bits)
    result = fake_result(outputs=outputs, busy=np.zeros(TINY.pes, np.int64))
    monkeypatch.setattr(backends, "simulate", lambda *args, **options: result)
    outcome = simulated(small_network, images)
    assert outcome.report.mismatches == 2
    assert (outcome.logits[[0, 1, 3, 4, 6]] == right[[0, 1, 3, 4, 6]]).all()
    assert program.outputs_per_frame == outputs.shape[1]


def fake_result(**changes):
    values = {
        "outputs": np.zeros((7, 10), np.uint16),
        "first_in": np.array([10, 110, 210, 310, 5, 105, 205]),
        "last_out": np.array([59, 260, 361, 459, 54, 250, 350]),
        "busy": np.array([40, 400, 4, 0]),
        "states": np.zeros((TINY.pes, len(PEState)), np.int64),
        "flits": np.zeros(len(links(TINY)), np.int64),
        "cycles": 460,
        "shards": (4, 3),
        "simulated": 811,
        "build_s": 1.0,
        "run_s": 2.0,
    }
    return SimpleNamespace(**(values | changes))


def test_cycle_figures():
    cycles = measure(fake_result())
    assert cycles.latency == 50  # 10 to 59, both counted
    assert cycles.interval == (459 - 59) / 3
    assert cycles.total == 811


def test_layer_figures(small_network):
    program = compiled(small_network)
    units = [stage.units[0] for stage in program.stages]
    busy = np.zeros(TINY.pes, np.int64)
    busy[units[0]], busy[units[1]] = 400, 40
    states = np.zeros((TINY.pes, len(PEState)), np.int64)
    states[:, PEState.READ] = busy
    states[units[1], 1:] = 8, 4, 12, 60, 0
    use = layer_use(program, fake_result(busy=busy, states=states), 133.5)
    assert [(layer.cycles, layer.idle) for layer in use] == [(100.0, 33.5), (10.0, 123.5)]
    second = use[1]
    waits = second.wait_output, second.wait_neighbour, second.wait_input
    assert (second.compute, *waits) == (2.0, 1.0, 3.0, 15.0)


def test_unknown_backend_is_refused(small_network, images):
    with pytest.raises(OhmweaveError) as refusal:
        simulated(small_network, images, backend="spice")
    assert str(refusal.value) == f"the backend must be one of {', '.join(BACKENDS)}, not 'spice'"


def test_waves_of_golden_are_refused(small_network, images, tmp_path):
    with pytest.raises(OhmweaveError) as refusal:
        simulated(small_network, images, backend="golden", waves=tmp_path / "a.vcd")
    assert str(refusal.value) == "waveforms need a simulator, and the golden backend is none"


@pytest.fixture
def simulator(monkeypatch):
    """Replace the simulators by a function of the waves' path."""
    from ohmweave.sim import backends

    def replace(simulate):
        monkeypatch.setattr(backends, "simulate", lambda *args, waves, **options: simulate(waves))

    return replace


def test_waves_appear_whole(small_network, images, simulator, tmp_path):
    def simulate(waves):
        assert waves.name == "a.vcd"
        waves.write_text("new")
        assert (tmp_path / "a.vcd").read_text() == "old"
        return fake_result()

    simulator(simulate)
    (tmp_path / "a.vcd").write_text("old")
    simulated(small_network, images, waves=tmp_path / "a.vcd")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vcd"]
    assert (tmp_path / "a.vcd").read_text() == "new"


def test_interrupted_waves_leave_the_old_ones(small_network, images, simulator, tmp_path):
    def simulate(waves):
        waves.write_text("new")
        raise KeyboardInterrupt

    simulator(simulate)
    (tmp_path / "a.vcd").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        simulated(small_network, images, waves=tmp_path / "a.vcd")
    assert [path.name for path in tmp_path.iterdir()] == ["a.vcd"]
    assert (tmp_path / "a.vcd").read_text() == "old"


def test_waves_that_cannot_be_written(small_network, images, tmp_path):
    with pytest.raises(OhmweaveError) as refusal:
        simulated(small_network, images, waves=tmp_path / "none" / "a.vcd")
    assert str(refusal.value) == f"{tmp_path / 'none' / 'a.vcd'} cannot be written: No such file or directory"


@pytest.fixture
def outcome(small_network, images):
    return simulated(small_network, images, backend="golden")


def test_files(outcome, tmp_path):
    folder = tmp_path / "deep" / "out"
    report.write(folder, outcome.report, outcome.logits)
    assert sorted(path.name for path in folder.iterdir()) == ["logits.npy", "result.json"]
    record = json.loads((folder / "result.json").read_text())
    assert record == outcome.report.record()
    assert set(record) == FIELDS
    assert record["schema"] == 1
    logits = np.load(folder / "logits.npy")
    assert logits.dtype == np.int32
    assert (logits == outcome.logits).all()


def test_failed_write_leaves_the_old_files(outcome, tmp_path, monkeypatch):
    """A disk that fills up while the second file is written."""
    report.write(tmp_path, outcome.report, outcome.logits)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def full(*_args, **_options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OhmweaveError, match=r"result\.json cannot be written: No space left on device$"):
        report.write(tmp_path, outcome.report, outcome.logits[:1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_unwritable_folder(outcome, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OhmweaveError) as refusal:
        report.write(tmp_path / "file" / "out", outcome.report, outcome.logits)
    assert str(refusal.value) == f"{tmp_path / 'file' / 'out'} cannot be written: Not a directory"
