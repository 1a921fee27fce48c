"""ONNX Runtime on the exported graph against the golden model."""

import numpy as np
import onnx
import onnxruntime
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph_golden, graph_onnx, network
from ohmweave.sim.datasets import shipped_images
from ohmweave.sim.graph import RAW_BITS, Add, Conv, Graph, MaxPool, SumPool, Tensor, from_network
from ohmweave.sim.graph_onnx import export_onnx, onnx_model
from ohmweave.sim.random_graph import random_graph

# Whole numbers, and the truth values that choose between them.
INTEGERS = {
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.BOOL,
}
KINDS = {
    4: onnx.TensorProto.UINT8,
    8: onnx.TensorProto.UINT8,
    16: onnx.TensorProto.INT32,
    RAW_BITS: onnx.TensorProto.INT64,
}


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model, images, outputs=("logits",)):
    """Outputs for images (N, H, W, C)."""
    return session(model).run(list(outputs), {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})


def random_images(graph, count, seed):
    channels, height, width = graph.input.shape
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.uint8)


def check(graph, images):
    """Every tensor and the logits, so that no error hides behind a later node that clips everything."""
    model = onnx_model(graph)
    names = [node.name for node in graph.nodes]
    for name in names:
        kind = KINDS[graph.tensors[name].bits]
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}_out", kind, None))
    logits, *outputs = run(model, images, ["logits", *(f"{name}_out" for name in names)])
    values = graph_golden.activations(graph, images)
    for name, ours in zip(names, outputs, strict=True):
        assert np.array_equal(ours, values[name]), f"{name}, a {type(graph.node[name]).__name__}"
    expected = graph_golden.logits(graph, images)
    assert logits.dtype == expected.dtype
    assert np.array_equal(logits, expected)


def check_random(seed):
    graph = random_graph(seed)
    check(graph, random_images(graph, 3, seed))


@pytest.mark.parametrize("seed", range(50))
def test_random_graphs_are_bit_exact(seed):
    check_random(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1000, 1800))
def test_many_random_graphs_are_bit_exact(seed):
    check_random(seed)


def test_lenet5_is_bit_exact():
    graph, (images, _) = from_network(network.builtin("lenet5")), shipped_images()
    (scores,) = run(onnx_model(graph), images[..., np.newaxis])
    assert scores.dtype == np.int32
    assert np.array_equal(scores, graph_golden.logits(graph, images))


def single(node, shape, **options):
    return Graph(name="single", input=Tensor(name="image", shape=shape, bits=8, **options), nodes=(node,))


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("weight_bits", [4, 8, 16])
@pytest.mark.parametrize("extreme", ["least", "most"])
def test_extremes_of_every_width(bits, weight_bits, extreme):
    """Largest numbers times largest weights: nothing saturates between."""
    channels, top = 64, 2 ** (weight_bits - 1)
    weight = -top if extreme == "least" else top - 1
    one = np.ones(channels, np.uint16)
    wide = Add(
        name="wide",
        terms=("image",),
        bias=np.zeros(channels, np.int64),
        in_mult=one[np.newaxis],
        in_shift=np.zeros((1, channels), np.int8),
        mult=one * 257,
        shift=np.full(channels, {4: 12, 8: 8, 16: 0}[bits], np.int8),
        bits=bits,
    )
    last = Conv(
        name="last",
        input="wide",
        weights=np.full((3, channels, 3, 3), weight, np.int16),
        weight_bits=weight_bits,
        bias=np.array([0, -(2**45), 2**45]),
        bits=RAW_BITS,
    )
    image = Tensor(name="image", shape=(channels, 3, 3), bits=8)
    graph = Graph(name="extremes", input=image, nodes=(wide, last))
    images = np.full((1, 3, 3, channels), 255, np.uint8)
    assert graph_golden.activations(graph, images)["wide"].min() == 2**bits - 1
    check(graph, images)


def test_sums_from_2_to_the_31():
    """Sums that ONNX Runtime's own Max, Min and Clip of int64 take for negative ones."""
    sums = [2**31 - 1, 2**31, 3154116243, 2**32 - 1, 2**32, 2**45, -(2**31) - 1, -(2**33) + 5]
    count = len(sums)
    scale = {"mult": np.ones(count, np.uint16), "shift": np.zeros(count, np.int8), "bits": 8}
    zero = np.zeros((count, 1, 1, 1), np.int16)
    clip = Conv(name="clip", input="image", weights=zero, bias=np.array(sums), **scale, low=5)
    one = {"in_mult": np.ones((1, count), np.uint16), "in_shift": np.zeros((1, count), np.int8)}
    last = Add(name="last", terms=("clip",), bias=np.zeros(count, np.int64), bits=RAW_BITS, **one)
    image = Tensor(name="image", shape=(1, 4, 4), bits=8)
    graph = Graph(name="sums", input=image, nodes=(clip, last))
    images = np.zeros((3, 4, 4, 1), np.uint8)
    assert graph_golden.activations(graph, images)["clip"][0, :, 0, 0].tolist() == [255] * 6 + [5] * 2
    check(graph, images)


@pytest.mark.parametrize("fill", [(0, 0), (0, 7), (9, 9), (200, 0)])
@pytest.mark.parametrize("transposed", [False, True])
def test_fill_of_each_channel(fill, transposed):
    weights = np.random.default_rng(1).integers(-128, 128, (3, 2, 3, 3)).astype(np.int16)
    node = Conv(
        name="conv",
        input="image",
        weights=weights,
        bias=np.zeros(3, np.int64),
        bits=RAW_BITS,
        stride=(2, 2),
        pads=(1, 1, 1, 0),
        transposed=transposed,
    )
    image = Tensor(name="image", shape=(2, 5, 5), bits=8)
    graph = Graph(name="fill", input=image, nodes=(node,), fill=fill)
    check(graph, random_images(graph, 2, 1))


def test_long_sums_are_split(monkeypatch):
    """More products than 32 bits hold for certain: several ConvIntegers of some input channels each."""
    channels = 40
    rng = np.random.default_rng(1)
    node = Conv(
        name="conv",
        input="image",
        weights=rng.integers(-128, 128, (3, channels, 2, 2)).astype(np.int16),
        bias=np.zeros(3, np.int64),
        bits=RAW_BITS,
        pads=(1, 0, 0, 1),
    )
    graph = single(node, (channels, 4, 4), zero_point=100)
    whole = onnx_model(graph)
    monkeypatch.setattr(graph_onnx, "ACCUMULATOR", 255 * 255 * 4 * 7)
    split = onnx_model(graph)
    assert [sum(node.op_type == "ConvInteger" for node in each.graph.node) for each in (whole, split)] == [
        1,
        6,
    ]
    check(graph, random_images(graph, 2, 1))
    monkeypatch.setattr(graph_onnx, "ACCUMULATOR", 255 * 255 * 3)
    with pytest.raises(OhmweaveError) as refusal:
        onnx_model(graph)
    assert str(refusal.value) == "node conv: windows of 160 numbers in a group are too large for ConvInteger"


def test_longest_sum_of_one_convolution():
    """As many products as one ConvInteger is trusted with, all of them as large as they get."""
    channels = graph_onnx.ACCUMULATOR // 255**2
    for weight in (-128, 127):
        node = Conv(
            name="conv",
            input="image",
            weights=np.full((1, channels, 1, 1), weight, np.int16),
            bias=np.zeros(1, np.int64),
            bits=RAW_BITS,
        )
        check(single(node, (channels, 1, 1)), np.full((1, 1, 1, channels), 255, np.uint8))


def test_large_windows():
    """Pools larger than what one processor instruction or one byte could count."""
    zero = {"bias": np.zeros(2, np.int64), "bits": RAW_BITS}
    total = SumPool(name="pool", input="image", kernel=(40, 20), pads=(3, 0, 0, 2), **zero)
    check(single(total, (2, 40, 20), zero_point=255), np.full((1, 40, 20, 2), 255, np.uint8))
    largest = MaxPool(name="max", input="image", kernel=(40, 19), stride=(3, 1))
    total = SumPool(name="pool", input="max", kernel=(1, 2), **zero)
    graph = Graph(name="max", input=Tensor(name="image", shape=(2, 40, 20), bits=8), nodes=(largest, total))
    check(graph, random_images(graph, 2, 1))


def test_nothing_floats():
    for seed in (*range(20), None):
        graph = from_network(network.builtin("lenet5")) if seed is None else random_graph(seed)
        model = onnx_model(graph)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
        values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
        assert {value.type.tensor_type.elem_type for value in values} <= INTEGERS
        assert {constant.data_type for constant in model.graph.initializer} <= INTEGERS
        known = {value.name for value in values}
        assert all(output in known for node in model.graph.node for output in node.output)
        assert {node.domain for node in model.graph.node} == {""}


def test_interface():
    graph = onnx_model(from_network(network.builtin("lenet5"))).graph
    (images,), (logits,) = graph.input, graph.output

    def described(value):
        kind = value.type.tensor_type
        return value.name, kind.elem_type, [each.dim_param or each.dim_value for each in kind.shape.dim]

    assert described(images) == ("images", onnx.TensorProto.UINT8, ["N", 1, 28, 28])
    assert described(logits) == ("logits", onnx.TensorProto.INT32, ["N", 10])


def test_file_is_whole_and_the_same_again(tmp_path):
    graph = random_graph(2)
    export_onnx(graph, tmp_path / "a.onnx")
    export_onnx(graph, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)
    with pytest.raises(OhmweaveError, match="cannot be written: No such file or directory"):
        export_onnx(graph, tmp_path / "missing" / "a.onnx")
