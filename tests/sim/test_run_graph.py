"""Networks that are no chain of layers, through the program: one layer after the other on the netlist."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ohmweave import cli
from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import golden, graph_golden
from ohmweave.sim.graph import RAW_BITS, Concat, Conv, Flatten, Graph, Select, Tensor, from_network
from ohmweave.sim.images import ImageSet
from ohmweave.sim.run import run

TINY = PRESETS["tiny"]
SIDE, CLASSES = 6, 3


@pytest.fixture
def images(small_images):
    pixels, labels = small_images
    return ImageSet("test", pixels[:2, ..., None], labels[:2])


@pytest.fixture
def model(tmp_path, monkeypatch):
    """`model.onnx`, a float network with a residual, in the test's own folder, and `images.npz` for it."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    random = np.random.default_rng(5)

    def weights(name, *shape):
        return numpy_helper.from_array((0.5 * random.standard_normal(shape)).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["first"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["first"], ["one"]),
        helper.make_node("Conv", ["one", "w2"], ["second"], name="second", pads=[1] * 4),
        helper.make_node("Add", ["second", "one"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["two"]),
        helper.make_node("MaxPool", ["two"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], name="last", transB=1),
        helper.make_node("Softmax", ["logits"], ["out"], name="end", axis=1),
    ]
    constants = [
        weights("w1", 4, 1, 3, 3), weights("b1", 4), weights("w2", 4, 4, 3, 3),
        weights("w3", CLASSES, 4 * (SIDE // 2) ** 2), weights("b3", CLASSES),
    ]  # fmt: skip
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", ["n", 1, SIDE, SIDE]), ("out", ["n", CLASSES]))
    ]
    made = helper.make_graph(nodes, "net", values[:1], values[1:], constants)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
        tmp_path / "model.onnx",
    )
    pixels = random.integers(0, 256, (2, SIDE, SIDE), np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels, labels=random.integers(0, CLASSES, 2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


RUN = ["run", "model.onnx", "--arch", "tiny", "--calibration", "images.npz", "--images", "images.npz"]
LAYERED = [*RUN, "--mapping", "layers"]


def test_onnx_model_on_the_netlist(model, capsys):
    """Its logits are those of the golden backend; the report says how it ran and what is left to the host."""
    assert cli.main([*LAYERED, "--backend", "golden", "--out", "golden"]) == 0
    expected = np.load(model / "golden" / "logits.npy")
    assert len(np.unique(expected)) > 1
    assert cli.main([*LAYERED, "--out", "netlist"]) == 0
    assert (np.load(model / "netlist" / "logits.npy") == expected).all()
    out = capsys.readouterr().out
    assert out.count("Softmax of node end at the end is left to the host") == 2
    assert out.count("one layer after the other") == 2
    assert "0 of 2 images differ from the golden model" in out
    record, modelled = (
        json.loads((model / folder / "result.json").read_text()) for folder in ("netlist", "golden")
    )
    for each in (record, modelled):
        assert (each["schema"], each["mapping"], each["host"]) == (1, "layers", {})
        assert [layer["name"] for layer in each["layers"]] == ["first", "second", "pool", "last"]
    assert record["mismatches"] == 0
    assert modelled["cycles"] is None
    layers = record["layers"]
    # 36 windows for each bit plane of 4 that goes in and each slice of 4 bits of the weights, one block of 4 columns.
    assert [layer["cycles"] for layer in layers[:2]] == [36 * 2 * 2 * 6] * 2
    # What the layers take adds up to what the images take, one layer after the other.
    taken = sum(layer["cycles"] + layer["idle"] for layer in layers)
    # But for a cycle: behind the last image come no results that a pool's last windows would let pass.
    assert record["cycles"]["interval"] == pytest.approx(taken, abs=1)
    assert record["cycles"]["total"] > record["cycles"]["latency"] > 0


def test_mismatch_is_exit_code_1(model, monkeypatch, capsys):
    """Whatever the netlist gave, on a simulator that is none."""
    from ohmweave.sim import run as run_module

    def wrong(graph, _tilings, images, _chip):
        logits = graph_golden.logits(graph, images.pixels).astype(np.int64)
        logits[1, 0] += 1
        sim = run_module.SimTimes(build_s=0.0, run_s=0.0, cycles_per_s=None)
        return run_module._Measured(logits, None, [], sim)

    monkeypatch.setattr(run_module, "_run_layers", wrong)
    assert cli.main(LAYERED) == 1
    assert "1 of 2 images differ from the golden model" in capsys.readouterr().out
    assert json.loads((model / "out" / "result.json").read_text())["mismatches"] == 1


def test_waves_of_several_layers_are_refused(model, capsys):
    """Before anything is built."""
    before = sorted(path.name for path in model.iterdir())
    assert cli.main([*LAYERED, "--waves", "a.vcd"]) == 2
    assert capsys.readouterr().err == (
        "ohmweave: waveforms are of one configuration of the chip, and this network needs several\n"
    )
    assert sorted(path.name for path in model.iterdir()) == before


def conv(name, source, outputs, inputs, side=1, **options):
    """A convolution of random weights of 4 bits."""
    random = np.random.default_rng(len(name))
    scale = {"bits": 4, "mult": np.ones(outputs, np.uint16), "shift": np.full(outputs, 3, np.int8)}
    if options.get("raw"):
        scale = {"bits": RAW_BITS}
    return Conv(
        name=name,
        input=source,
        weights=random.integers(-8, 8, (outputs, inputs, side, side)).astype(np.int16),
        weight_bits=4,
        bias=np.zeros(outputs, np.int64),
        **scale,
    )


def rearranged():
    """Two convolutions of the image, joined, cut down to a pixel and flattened: what the host moves."""
    ends = np.array([1, 0], np.int32)
    nodes = (
        conv("left", "image", 1, 1),
        conv("right", "image", 1, 1),
        Concat(name="both", parts=("left", "right")),
        Select(name="part", input="both", channels=ends, start=(1, 1), size=(2, 2)),
        Flatten(name="flat", input="part"),
        conv("logits", "flat", CLASSES, 8, raw=True),
    )
    return Graph(name="moves", input=Tensor(name="image", shape=(1, SIDE, SIDE), bits=4), nodes=nodes)


def test_what_the_host_moves_is_reported():
    graph = rearranged()
    pixels = np.random.default_rng(6).integers(0, 256, (3, SIDE, SIDE, 1), np.uint8)
    outcome = run(graph, ImageSet("test", pixels, None), TINY, arch="tiny", backend="golden")
    record = outcome.report.record()
    assert record["mapping"] == "layers"
    assert record["host"] == {"concat": 1, "flatten": 1, "select": 1}
    assert (outcome.logits == graph_golden.logits(graph, pixels)).all()


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_maps_joined_over_space(axis):
    """Parts of different sides, one of them twice, beside and below each other, on the netlist."""
    size = (2, SIDE) if axis == "rows" else (SIDE, 2)
    nodes = (
        conv("left", "image", 2, 1),
        conv("right", "image", 2, 1, side=1),
        Select(
            name="part",
            input="right",
            channels=np.array([1, 0], np.int32),
            start=(1, 1),
            step=(1, 1),
            size=(2, 2),
        ),
        Select(name="strip", input="left", channels=np.arange(2, dtype=np.int32), size=size),
        Concat(name="both", parts=("strip", "right", "strip"), axis=axis),
        Concat(name="wide", parts=("part", "part"), axis=axis),
        conv("kept", "wide", 2, 2),
        conv("reduced", "both", 2, 2, side=3),
        Select(name="one", input="reduced", channels=np.arange(2, dtype=np.int32), size=(2, 2)),
        Concat(name="all", parts=("kept", "one"), axis=axis),
        conv("logits", "all", CLASSES, 2, raw=True),
    )
    graph = Graph(name="joined", input=Tensor(name="image", shape=(1, SIDE, SIDE), bits=4), nodes=nodes)
    pixels = np.random.default_rng(6).integers(0, 256, (2, SIDE, SIDE, 1), np.uint8)
    report = run(graph, ImageSet("test", pixels, None), TINY, arch="tiny").report
    assert report.mismatches == 0
    assert report.record()["host"] == {"concat": 3, "select": 3}
    assert len(np.unique(graph_golden.logits(graph, pixels))) > 8


def test_chains_are_pipelines(small_network, images):
    """Also of the golden backend, and as a graph."""
    for network in (small_network, from_network(small_network)):
        outcome = run(network, images, TINY, arch="tiny", backend="golden")
        record = outcome.report.record()
        assert (record["mapping"], record["host"]) == ("pipeline", {})
        assert [layer["pes"] for layer in record["layers"]] == [1, 1]
        assert (outcome.logits == golden.logits(small_network, images.pixels)).all()


def chip(**adc):
    return replace(TINY, pe=replace(TINY.pe, array=replace(TINY.pe.array, **adc)))


def refused(network, images, params=TINY):
    with pytest.raises(OhmweaveError) as refusal:
        run(network, images, params, arch="tiny", backend="golden")
    return str(refusal.value)


def test_finite_adcs_of_graphs_are_refused(small_network, images):
    graph = from_network(small_network)
    for adc in ({"adc_bits": 6}, {"adc_drop": 2}):
        assert refused(graph, images, chip(**adc)) == (
            "a finite ADC is modelled for networks of plain layers, and small is a graph"
        )
        outcome = run(small_network, images, chip(**adc), arch="x", backend="golden")
        assert outcome.report.mismatches == 0
    run(graph, images, chip(adc_bits=TINY.pe.array.lossless_bits), arch="tiny", backend="golden")


def test_finite_adcs_of_layers_in_parts_are_refused(small_network, images):
    """Sums that are put together of several conversions are none of the golden model's."""
    wide = replace(small_network, act_bits=8)
    assert refused(wide, images, chip(adc_bits=6)) == (
        "a finite ADC is modelled for layers that one PE reads once a window, and logits is none"
    )


def test_more_pes_than_the_chip_has(images):
    graph = Graph(
        name="wide",
        input=Tensor(name="image", shape=(1, SIDE, SIDE), bits=4),
        nodes=(conv("spread", "image", 300, 1), conv("logits", "spread", CLASSES, 300, raw=True)),
    )
    # A line of the buffer holds two words of each pixel.
    needed = -(-300 // (TINY.pe.buffer.lanes * (TINY.pe.buffer.width // SIDE)))
    assert needed == 19
    assert refused(graph, images) == (f"logits needs {needed} PEs for its rows, and the chip has {TINY.pes}")
