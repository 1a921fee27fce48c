"""Averages that leave their border out: in a graph, window by window, and from ONNX files, as ONNX Runtime has them."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.graph import RAW_BITS, Add, Concat, Conv, Graph, Select, SumPool, Tensor
from ohmweave.sim.graph_average import MAX_PARTS, average_nodes, average_parts
from ohmweave.sim.graph_onnx import onnx_model
from ohmweave.sim.images import ImageSet
from ohmweave.sim.importer import load_onnx
from ohmweave.sim.importer.execute import run_float
from ohmweave.sim.quantise import QuantiseOptions, normalised, quantise
from ohmweave.sim.run import run

onnxruntime = pytest.importorskip("onnxruntime")

TINY = PRESETS["tiny"]
CHANNELS = 2
WIDE = QuantiseOptions(weight_bits=16, act_bits=16, range="minmax", mean=(0.4,), std=(0.25,))


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def graph_of(size, kernel, stride, pads, *, mult, bias, bits=8, zero_point=0):
    """The average of an image of 8 bits: `mult(count)` over 2^16 and `bias(count)` for windows of so many places."""

    def scaled(count):
        return {
            "bias": np.full(CHANNELS, bias(count), np.int64),
            "mult": np.full(CHANNELS, mult(count), np.uint16),
            "shift": np.full(CHANNELS, 16, np.int8),
            "bits": bits,
            "zero_point": zero_point,
        }

    windows = {"kernel": kernel, "stride": stride, "pads": pads}
    shape = (CHANNELS, *size)
    nodes = average_nodes("mean", "image", shape, **windows, scaled=scaled, label="inner_{}".format)
    one = {"in_mult": np.ones((1, CHANNELS), np.uint16), "in_shift": np.zeros((1, CHANNELS), np.int8)}
    end = Add(name="end", terms=("mean",), bias=np.zeros(CHANNELS, np.int64), bits=RAW_BITS, **one)
    image = Tensor(name="image", shape=shape, bits=8, zero_point=zero_point)
    return Graph(name="average", input=image, nodes=(*nodes, end))


def drawn_windows(random):
    """Size, kernel, stride and pads, each less than the kernel, of an average of at most MAX_PARTS parts."""
    while True:
        kernel, stride, size = (tuple(random.integers(1, most, 2).tolist()) for most in (6, 4, 9))
        pads = tuple(int(random.integers(0, kernel[i % 2])) for i in range(4))
        fits = all(size[i] + pads[i] + pads[2 + i] >= kernel[i] for i in range(2))
        if fits and average_parts(size, kernel=kernel, stride=stride, pads=pads) <= MAX_PARTS:
            return size, kernel, stride, pads


def expected(image, kernel, stride, pads, mean):
    """`mean` of the numbers of each window that lie inside, (channels, windows, windows)."""
    height, width = image.shape[1:]
    rows, columns = (
        range(-pads[i], image.shape[1 + i] + pads[2 + i] - kernel[i] + 1, stride[i]) for i in range(2)
    )
    return [
        [
            [
                mean(
                    [
                        int(channel[y, x])
                        for y, x in itertools.product(
                            range(top, top + kernel[0]), range(left, left + kernel[1])
                        )
                        if 0 <= y < height and 0 <= x < width
                    ]
                )
                for left in columns
            ]
            for top in rows
        ]
        for channel in image
    ]


@pytest.mark.parametrize("seed", range(60))
def test_every_window_is_divided_by_what_lies_inside(seed):
    """Golden, and ONNX Runtime, against Python's integers; scales and biases differ by the number of places."""
    random = np.random.default_rng(seed)
    size, *windows = drawn_windows(random)
    factor = int(random.integers(20000, 65536))

    def mult(count):
        return factor // count

    def bias(count):
        return 37 * count - 11

    graph = graph_of(size, *windows, mult=mult, bias=bias, zero_point=int(random.integers(0, 9)))
    images = random.integers(0, 256, (2, *size, CHANNELS), np.uint8)

    def mean(inside):
        count = len(inside)
        return min(max(((sum(inside) + bias(count)) * mult(count) + 2**15) >> 16, 0), 255)

    wanted = np.array([expected(image.transpose(2, 0, 1), *windows, mean) for image in images])
    print(f"seed {seed}: {size}, {windows}, {len(graph.nodes)} nodes")
    np.testing.assert_array_equal(graph_golden.logits(graph, images).reshape(wanted.shape), wanted)
    (logits,) = session(onnx_model(graph)).run(["logits"], {"images": images.transpose(0, 3, 1, 2)})
    np.testing.assert_array_equal(logits.reshape(wanted.shape), wanted)


def kinds(size, kernel, stride, pads):
    graph = graph_of(size, kernel, stride, pads, mult=lambda count: 65535 // count, bias=lambda count: 0)
    types = [type(node) for node in graph.nodes]
    return [types.count(each) for each in (SumPool, Select, Concat)]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "nodes"),
    [
        ((7, 8), (3, 3), (1, 1), (1, 1, 1, 1), [9, 8, 4]),  # the windows inside are all that the map has
        ((8, 8), (3, 3), (2, 2), (1, 1, 1, 1), [4, 4, 3]),  # the last window ends with the map
        ((7, 8), (3, 3), (1, 1), (0, 1, 0, 0), [2, 1, 1]),
        ((7, 8), (3, 3), (1, 1), (0, 0, 1, 0), [2, 1, 1]),
        ((7, 8), (2, 2), (2, 2), (0, 0, 1, 0), [2, 1, 1]),
        ((8, 8), (2, 2), (2, 2), (0, 0, 1, 1), [1, 0, 0]),  # no window reaches the border
        ((2, 2), (3, 3), (1, 1), (1, 1, 1, 1), [1, 0, 2]),  # all of them see both borders
        ((1, 1), (3, 3), (1, 1), (1, 1, 1, 1), [1, 0, 0]),
        ((3, 3), (3, 3), (1, 1), (1, 1, 1, 1), [9, 8, 4]),  # one window is the map
        ((3, 1), (3, 3), (1, 1), (1, 1, 1, 1), [3, 2, 1]),
        ((1, 5), (1, 3), (2, 2), (0, 1, 0, 1), [3, 3, 1]),
    ],
)
def test_parts(size, kernel, stride, pads, nodes):
    """Sums, slices of the map and concatenations that an average takes: equal windows are computed once."""
    assert kinds(size, kernel, stride, pads) == nodes


def write(path, shape, *, end=False, **attributes):
    """A convolution, an average `mean`, and a convolution of its own unless the average is the end."""
    random = np.random.default_rng(7)
    weights = [
        numpy_helper.from_array(random.normal(size=each).astype(np.float32), name)
        for name, each in (("w", (3, shape[0], 1, 1)), ("b", (3,)), ("v", (2, 3, 1, 1)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], name="first"),
        helper.make_node("AveragePool", ["a"], ["y" if end else "m"], name="mean", **attributes),
    ]
    if not end:
        nodes.append(helper.make_node("Conv", ["m", "v"], ["y"], name="last"))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sides])
        for name, sides in (("x", shape), ("y", ["C", "H", "W"]))
    ]
    made = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return model


def imported(path, shape, **attributes):
    """The network, images, and what ONNX Runtime makes of them."""
    model = write(path, shape, **attributes)
    images = np.random.default_rng(3).integers(0, 256, (4, *shape[1:], shape[0]), np.uint8)
    (wanted,) = session(model).run(None, {"x": normalised(images, WIDE)})
    return load_onnx(path), images, wanted


def compare(network, images, wanted, tolerance=2e-4):
    """The float network, its integers of 16 bits, and those of 8 bits in ONNX Runtime; the latter's graph."""
    floats = normalised(images, WIDE)
    (got,) = [tensors[network.output] for tensors in run_float(network, floats, [network.output])]
    spread = np.abs(wanted).max()
    np.testing.assert_allclose(got, wanted, atol=1e-5 * spread)
    result = quantise(network, images, WIDE)
    logits = graph_golden.logits(result.graph, images).reshape(wanted.shape) * result.logit_scale
    assert np.abs(logits - wanted).max() <= tolerance * spread
    graph = quantise(network, images, QuantiseOptions(mean=WIDE.mean, std=WIDE.std)).graph
    (integers,) = session(onnx_model(graph)).run(["logits"], {"images": images.transpose(0, 3, 1, 2)})
    np.testing.assert_array_equal(integers, graph_golden.logits(graph, images))
    return graph


@pytest.mark.parametrize("seed", range(80))
def test_imported(tmp_path, seed):
    random = np.random.default_rng(100 + seed)
    size, kernel, stride, pads = drawn_windows(random)
    ceil, include = seed % 2, int(seed % 4 == 3)
    print(
        f"seed {seed}: {size}, kernel {kernel}, stride {stride}, pads {pads}, ceil_mode {ceil}, include {include}"
    )
    compare(
        *imported(
            tmp_path / "net.onnx", (2, *size), end=seed % 3 == 0, kernel_shape=kernel, strides=stride, pads=pads,
            ceil_mode=ceil, count_include_pad=include,
        )
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3])
def test_padding_of_the_same_size(tmp_path, mode, stride, kernel):
    compare(
        *imported(
            tmp_path / "net.onnx", (2, 7, 6), auto_pad=mode, kernel_shape=[kernel] * 2, strides=[stride] * 2
        )
    )


def test_most_parts(tmp_path):
    """16 by 16 parts are made, and one row more is refused before anything is computed."""
    shape = (1, 40, 40)
    network, images, wanted = imported(tmp_path / "net.onnx", shape, kernel_shape=[16, 16], pads=[8, 8, 7, 7])
    # Averages of 256 numbers are small beside the numbers, whose rounding is left.
    graph = compare(network, images, wanted, 1e-3)
    assert sum(isinstance(node, SumPool) for node in graph.nodes) == MAX_PARTS == 256
    network, images, _ = imported(tmp_path / "net.onnx", shape, kernel_shape=[16, 16], pads=[8, 8, 8, 7])
    with pytest.raises(OhmweaveError) as error:
        quantise(network, images, WIDE)
    assert str(error.value) == (
        "node mean: an average that leaves its border out is put together of at most 256 parts, each for one number "
        "of places inside the map, and this one needs 272"
    )


@pytest.mark.parametrize("name", ["a" * 80, "pool"])
def test_parts_share_scale_limits_and_names(tmp_path, name):
    """Whatever was fused into the average, a limit or a file's scale, is in every part; long names are cut, and names
    that a layer has are another's."""
    random = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(random.normal(size=(2, 2, 1, 1)).astype(np.float32), "w"),
        numpy_helper.from_array(np.float32(0.03), "s"),
        numpy_helper.from_array(np.int8(-5), "z"),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name=f"{name}_part0_0"),
        helper.make_node("AveragePool", ["c"], ["m"], name=name, kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["y"], name="end"),
    ]
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["N", 2, 5, 5]) for each in "xy"]
    made = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    images = random.integers(0, 256, (3, 5, 5, 2), np.uint8)
    result = quantise(load_onnx(path), images, WIDE)
    sums = [node for node in result.graph.nodes if isinstance(node, SumPool)]
    assert len(sums) == 9
    assert {(node.bits, node.zero_point, node.low, node.high) for node in sums} == {(8, 123, 123, 255)}
    (scale,) = [each for each in result.scales.values() if each.bits == 8 and each.point == 123]
    assert scale.step == pytest.approx(0.03)
    (wanted,) = session(model).run(None, {"x": normalised(images, WIDE)})
    logits = graph_golden.logits(result.graph, images) * result.logit_scale
    # Where the file's scale rounds a half, the last bit may differ.
    assert np.abs(logits - wanted).max() <= 0.03 * np.abs(numpy_helper.to_array(weights[0])).sum()


def test_netlist(tmp_path):
    """All nine parts on the chip, one after the other."""
    network, images, _ = imported(
        tmp_path / "net.onnx", (1, 5, 4), kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4
    )
    graph = quantise(
        network, images, QuantiseOptions(weight_bits=4, act_bits=4, input_bits=4, mean=(0.4,), std=(0.25,))
    ).graph
    assert isinstance(graph.nodes[0], Conv)
    report = run(graph, ImageSet("test", images[:2], None), TINY, arch="tiny").report
    assert report.mismatches == 0
    assert report.record()["host"] == {"concat": 4, "select": 8}
    assert len(np.unique(graph_golden.logits(graph, images))) > 8
