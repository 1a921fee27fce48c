"""Post-training quantisation: ranges, scales, what is fused, preprocessing of images, scales that a file carries."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph_golden, graph_onnx
from ohmweave.sim.graph import Add, Concat, Conv, Flatten, MaxPool
from ohmweave.sim.importer import load_onnx
from ohmweave.sim.importer.execute import run_float
from ohmweave.sim.quantise import LayerBits, QuantiseOptions, normalised, parse_layer_bits, quantise
from ohmweave.sim.quantise.ranges import Histogram, choose_range
from ohmweave.sim.quantise.scales import encode, from_range, value_of

onnxruntime = pytest.importorskip("onnxruntime")

node = helper.make_node
RANDOM = np.random.default_rng(11)
IMAGES = RANDOM.integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
WIDE = QuantiseOptions(weight_bits=16, act_bits=16, range="minmax")


def drawn(name, *shape):
    value = np.random.default_rng(sum(name.encode())).normal(size=shape)
    return numpy_helper.from_array(value.astype(np.float32), name)


def given(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def network(tmp_path, nodes, constants, shape=(3, 8, 8), opset=17):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"] * 2)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    found = onnx.shape_inference.infer_shapes(model).graph.output[0]
    model.graph.output[0].CopyFrom(found)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return load_onnx(path)


def residual_network(tmp_path):
    """conv → ReLU → conv, added to a 1×1 convolution of the same, ReLU, average, fully connected: 5 classes."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4, name="first"),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w2"], ["c"], pads=[1] * 4, strides=[2, 2], name="main"),
        node("Conv", ["r", "w3"], ["s"], strides=[2, 2], name="shortcut"),
        node("Add", ["c", "s"], ["d"], name="sum"),
        node("Relu", ["d"], ["e"]),
        node("GlobalAveragePool", ["e"], ["p"], name="mean"),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "fw", "fb"], ["y"], name="classes"),
    ]
    constants = [
        drawn("w1", 6, 3, 3, 3), drawn("b1", 6), drawn("w2", 8, 6, 3, 3), drawn("w3", 8, 6, 1, 1),
        drawn("fw", 8, 5), drawn("fb", 5),
    ]  # fmt: skip
    return network(tmp_path, nodes, constants)


def errors(net, result, options, images=IMAGES):
    """Largest difference from the float network, as a share of the largest output."""
    x = normalised(images, options)
    expected = np.concatenate([each[net.output] for each in run_float(net, x, [net.output])])
    expected = expected.reshape(len(images), -1)
    logits = graph_golden.logits(result.graph, images).reshape(len(images), -1) * result.logit_scale
    return np.abs(logits - expected).max() / np.abs(expected).max()


def test_residual_is_fused(tmp_path):
    """Five nodes are left of nine, and the addition is in the larger of the two convolutions."""
    net = residual_network(tmp_path)
    result = quantise(net, IMAGES, WIDE)
    assert [each.name for each in result.graph.nodes] == ["first", "shortcut", "main", "mean", "classes"]
    main = result.graph.node["main"]
    assert isinstance(main, Conv)
    assert main.residual == "shortcut"
    assert main.zero_point == 0  # after ReLU
    assert errors(net, result, WIDE) < 2e-4


@pytest.mark.parametrize("chosen", ["minmax", "percentile", "mse"])
@pytest.mark.parametrize(
    ("weight_bits", "act_bits", "input_bits", "bound"),
    [(8, 8, 8, 0.05), (16, 8, 8, 0.05), (4, 4, 4, 0.6), (8, 16, 8, 0.05)],
)  # fmt: skip
def test_bits(tmp_path, chosen, weight_bits, act_bits, input_bits, bound):
    net = residual_network(tmp_path)
    options = QuantiseOptions(
        weight_bits=weight_bits, act_bits=act_bits, input_bits=input_bits, range=chosen, percentile=99.9
    )
    result = quantise(net, IMAGES, options)
    assert result.graph.input.bits == input_bits
    for each in result.graph.nodes:
        if isinstance(each, Conv):
            assert each.weight_bits == weight_bits
        assert each.bits == (48 if each.name == "classes" else act_bits)
    assert errors(net, result, options) < bound


def test_onnx_runtime_gives_the_same_integers(tmp_path):
    result = quantise(
        residual_network(tmp_path), IMAGES, QuantiseOptions(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    )
    data = graph_onnx.onnx_model(result.graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))})
    np.testing.assert_array_equal(logits, graph_golden.logits(result.graph, IMAGES))


def test_bits_by_layer(tmp_path):
    net = residual_network(tmp_path)
    options = replace(WIDE, weight_bits=8, act_bits=8, layers=parse_layer_bits(["main=4/16", "first=16"]))
    graph = quantise(net, IMAGES, options).graph
    weights = {each.name: each.weight_bits for each in graph.nodes if isinstance(each, Conv)}
    assert weights == {"first": 16, "shortcut": 8, "main": 4, "classes": 8}
    assert {name: tensor.bits for name, tensor in graph.tensors.items()} == {
        "image": 8, "first": 8, "shortcut": 8, "main": 16, "mean": 8, "classes": 48,
    }  # fmt: skip


def test_layers_that_there_are_not(tmp_path):
    options = QuantiseOptions(layers={"last": LayerBits(weight_bits=4)})
    with pytest.raises(OhmweaveError) as error:
        quantise(residual_network(tmp_path), IMAGES, options)
    assert str(error.value) == (
        "bits of a layer must name one of first, shortcut, main, mean, classes, not 'last'"
    )


def test_weights_by_output_channel(tmp_path):
    """Each channel uses all of its bits; of the last layer, whose sums are the output, all have one step."""
    graph = quantise(residual_network(tmp_path), IMAGES, QuantiseOptions(range="minmax")).graph
    first, last = graph.node["first"], graph.node["classes"]
    assert (np.abs(first.weights).max((1, 2, 3)) == 127).all()
    assert np.abs(last.weights).max() == 127
    assert (np.abs(last.weights).max((1, 2, 3)) < 127).any()


def test_preprocessing_is_folded(tmp_path):
    """Mean and std by channel: first weights and padding of each channel; nothing computes on pixels before."""
    net = residual_network(tmp_path)
    options = replace(WIDE, mean=(51 / 255, 102 / 255, 153 / 255), std=(0.2, 0.5, 0.9))
    result = quantise(net, IMAGES, options)
    assert result.graph.fill == (51, 102, 153)
    assert result.graph.nodes[0].name == "first"
    assert errors(net, result, options) < 2e-4


@pytest.mark.parametrize(
    ("mean", "std"), [((0.0,), (1.0,)), ((0.2,), (0.3,)), ((-0.5, 0.5, 1.5), (0.5, 0.5, 0.5))]
)
def test_padding_that_no_pixel_is(tmp_path, mean, std):
    """Where the float network's 0 is no pixel, pixels are brought to another scale first."""
    net = residual_network(tmp_path)
    options = replace(WIDE, mean=mean, std=std)
    result = quantise(net, IMAGES, options)
    assert isinstance(result.graph.nodes[0], Add if mean[0] < 0 else Conv)
    assert errors(net, result, options) < 2e-3


def test_top_bits_of_pixels(tmp_path):
    """With 4 bits of input 15 is white."""
    net = residual_network(tmp_path)
    options = replace(WIDE, input_bits=4, mean=(0.2,), std=(0.5,))
    result = quantise(net, IMAGES, options)
    assert result.graph.fill == (3, 3, 3)
    assert errors(net, result, options) < 2e-4


def test_concat_has_one_scale(tmp_path):
    nodes = [
        node("Conv", ["x", "w1"], ["a"], name="one"),
        node("Conv", ["x", "w2"], ["b"], name="two"),
        node("Concat", ["a", "b"], ["c"], axis=1, name="both"),
        node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
        node("Conv", ["d", "w3"], ["y"], name="last"),
    ]
    big = given("w2", numpy_helper.to_array(drawn("w2", 4, 3, 3, 3)) * 10)
    net = network(tmp_path, nodes, [drawn("w1", 4, 3, 3, 3), big, drawn("w3", 2, 8, 3, 3)])
    result = quantise(net, IMAGES, WIDE)
    assert [type(each) for each in result.graph.nodes] == [Conv, Conv, Concat, MaxPool, Conv]
    assert (
        len(
            {(result.scales[name].step, result.scales[name].point) for name in ("one", "two", "both", "pool")}
        )
        == 1
    )
    assert errors(net, result, WIDE) < 2e-4


def test_limits_become_clips(tmp_path):
    nodes = [
        node("Conv", ["x", "w1"], ["a"], name="one"),
        node("Clip", ["a", "low", "high"], ["b"]),
        node("Conv", ["b", "w3"], ["y"], name="last"),
    ]
    constants = [
        drawn("w1", 4, 3, 3, 3), drawn("w3", 2, 4, 3, 3), given("low", np.float32(-0.5)), given("high", np.float32(1)),
    ]  # fmt: skip
    result = quantise(network(tmp_path, nodes, constants), IMAGES, QuantiseOptions(range="minmax"))
    scale = result.scales["one"]
    assert scale.step * 255 == pytest.approx(1.5)
    assert scale.point == 85
    conv = result.graph.node["one"]
    assert (conv.low, conv.high) == (0, 255)


def test_large_fully_connected_layers_are_flat(tmp_path):
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"], name="fc")]
    net = network(tmp_path, nodes, [drawn("w", 3 * 8 * 8, 4)])
    options = replace(WIDE, mean=(0.3, 0.2, 0.1), std=(0.5, 0.6, 0.7))
    result = quantise(net, IMAGES, options)
    assert [type(each) for each in result.graph.nodes] == [Flatten, Conv]
    assert errors(net, result, options) < 2e-4


def test_output_that_is_no_sum(tmp_path):
    """After a limit or a pool the output is what numbers stand for, as they are."""
    nodes = [node("Conv", ["x", "w1"], ["a"]), node("Relu", ["a"], ["r"]),
             node("MaxPool", ["r"], ["y"], kernel_shape=[2, 2])]  # fmt: skip
    net = network(tmp_path, nodes, [drawn("w1", 4, 3, 3, 3)])
    result = quantise(net, IMAGES, WIDE)
    assert isinstance(result.graph.nodes[-1], Add)
    assert errors(net, result, WIDE) < 2e-4


def test_dead_channels_and_silent_tensors(tmp_path):
    """Channels without weights, huge biases, and a tensor that is 0 on all images."""
    weights = numpy_helper.to_array(drawn("w1", 4, 3, 3, 3)).copy()
    weights[1] = 0
    weights[2] *= 1e-20
    bias = np.array([-1e6, 1e6, 0.5, 1e-12], np.float32)
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"]), node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["c"]), node("Relu", ["c"], ["e"]),
        node("Conv", ["e", "w3"], ["y"]),
    ]  # fmt: skip
    constants = [
        given("w1", weights), given("b1", bias), drawn("w2", 2, 4, 3, 3), drawn("w3", 2, 2, 1, 1),
        given("b2", np.full(2, -1e9, np.float32)),
    ]  # fmt: skip
    result = quantise(network(tmp_path, nodes, constants), IMAGES, QuantiseOptions())
    assert not graph_golden.logits(result.graph, IMAGES).any()


def quantised_network(tmp_path, *, zero=0, kind=np.uint8):
    """Scales on the image, between the layers and on the weights; the last layer's by channel."""
    weights = np.random.default_rng(3).integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    last = np.random.default_rng(4).integers(-128, 128, (5, 4, 6, 6)).astype(np.int8)
    constants = [
        given("xs", np.float32(1 / 255)), given("xz", np.uint8(0)),
        given("w", weights), given("ws", np.linspace(1e-3, 4e-3, 4, dtype=np.float32)),
        given("wz", np.zeros(4, np.int8)),
        given("as", np.float32(0.01)), given("az", kind(zero)),
        given("v", last), given("vs", np.linspace(2e-3, 3e-3, 5, dtype=np.float32)), given("vz", np.zeros(5, np.int8)),
    ]  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        node("Conv", ["xd", "wd"], ["a"], name="first"), node("Relu", ["a"], ["r"]),
        node("QuantizeLinear", ["r", "as", "az"], ["rq"]), node("DequantizeLinear", ["rq", "as", "az"], ["rd"]),
        node("DequantizeLinear", ["v", "vs", "vz"], ["vd"], axis=0),
        node("Conv", ["rd", "vd"], ["y"], name="last"),
    ]  # fmt: skip
    return network(tmp_path, nodes, constants), weights


@pytest.mark.parametrize(("zero", "kind"), [(0, np.uint8), (-128, np.int8), (7, np.uint8)])
def test_scales_of_the_file_are_kept(tmp_path, zero, kind):
    """No calibration is needed; integers and scales are the file's; of the last layer's, 16 bits with one scale."""
    net, weights = quantised_network(tmp_path, zero=zero, kind=kind)
    result = quantise(net, None, QuantiseOptions())
    assert [each.name for each in result.graph.nodes] == ["first", "last"]
    first = result.graph.node["first"]
    np.testing.assert_array_equal(first.weights, weights)
    assert first.weight_bits == 8
    assert result.scales["first"].step == pytest.approx(0.01)
    assert result.scales["first"].point == zero - (-128 if kind is np.int8 else 0)
    assert result.graph.node["last"].weight_bits == 16
    assert errors(net, result, QuantiseOptions()) < 2e-3


def test_scales_that_a_file_lacks_are_measured(tmp_path):
    with pytest.raises(
        OhmweaveError, match=r"^calibration images must be given for the network net: the file has no"
    ):
        quantise(residual_network(tmp_path), None)


def test_number_formats_of_scales():
    """mult·2^-shift has 16 bits of the factor, over all that the hardware's shifts reach."""
    factors = 2.0 ** np.linspace(-31, 30, 997)
    mult, shift = encode(factors)
    assert (np.abs(value_of(mult, shift) / factors - 1) < 2.0**-16).all()
    mult, shift = encode(np.array([0.0, 1e-30, 65535.99 / 65536, 1.0]))
    np.testing.assert_array_equal(value_of(mult, shift), [0, 0, 1, 1])


def test_ranges():
    random = np.random.default_rng(8)
    values = random.normal(size=200_000).astype(np.float32)
    values[0], values[1] = 40, -1e-6
    histogram = Histogram()
    for part in np.array_split(values, 7):
        histogram.add(part)
    assert (histogram.low, histogram.high) == (values.min(), values.max())
    assert histogram.counts.sum() == len(values)
    options = QuantiseOptions(range="percentile", percentile=99.0)
    low, high = choose_range(histogram, 8, options)
    np.testing.assert_allclose((low, high), np.percentile(values, (0.5, 99.5)), atol=0.05)
    assert choose_range(histogram, 8, replace(options, range="minmax")) == (values.min(), 40)
    low, high = choose_range(histogram, 4, replace(options, range="mse"))
    assert 1.5 < high < 9

    def error(low, high):
        scale, zero = from_range(low, high, 4)
        numbers = np.clip(np.rint(values / scale) + zero, 0, 15)
        return (((numbers - zero) * scale - values) ** 2).mean()

    assert error(low, high) < min(error(values.min(), 40), error(-5, 5), error(-1, 1))


def test_histograms_grow():
    """The order in which values come does not matter much, and neither does how many there are at once."""
    random = np.random.default_rng(9)
    values = np.abs(random.normal(size=10_000).astype(np.float32)) * np.linspace(
        1e-3, 1e3, 10_000, dtype=np.float32
    )
    for order in (values, values[::-1], random.permutation(values)):
        histogram = Histogram()
        for part in np.array_split(order, 101):
            histogram.add(part)
        assert histogram.counts.sum() == len(values)
        assert len(histogram.counts) <= 4096
        high = choose_range(histogram, 8, QuantiseOptions(range="percentile", percentile=90))[1]
        np.testing.assert_allclose(high, np.percentile(values, 90), rtol=0.01)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"weight_bits": 5}, "weight_bits must be one of 4, 8, 16, not 5"),
        ({"act_bits": True}, "act_bits must be one of 4, 8, 16, not True"),
        ({"input_bits": 16}, "input_bits must be one of 4, 8, not 16"),
        ({"range": "kl"}, "range must be one of minmax, percentile, mse, not 'kl'"),
        ({"percentile": 3.0}, "percentile must be from 50 to 100, not 3.0"),
        ({"mean": ()}, "mean must be one finite number or one a channel, not ()"),
        ({"mean": (float("nan"),)}, "mean must be one finite number or one a channel, not (nan,)"),
        ({"std": (0.0,)}, "std must be positive, not 0.0"),
    ],
)
def test_refused_options(fields, sentence):
    with pytest.raises(OhmweaveError) as error:
        QuantiseOptions(**fields)
    assert str(error.value) == sentence


def test_mean_of_another_number_of_channels(tmp_path):
    with pytest.raises(OhmweaveError) as error:
        quantise(residual_network(tmp_path), IMAGES, QuantiseOptions(mean=(0.1, 0.2)))
    assert str(error.value) == "mean must have 1 or 3 numbers for this network, not 2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("conv", "bits of a layer must be NAME=WEIGHTS or NAME=WEIGHTS/ACTIVATIONS, not 'conv'"),
        ("=8", "bits of a layer must be NAME=WEIGHTS or NAME=WEIGHTS/ACTIVATIONS, not '=8'"),
        ("conv=8/8/8", "bits of a layer must be NAME=WEIGHTS or NAME=WEIGHTS/ACTIVATIONS, not 'conv=8/8/8'"),
        ("conv=3", "weight_bits of a layer must be one of 4, 8, 16, not 3"),
    ],
)
def test_refused_bits_by_layer(text, sentence):
    with pytest.raises(OhmweaveError) as error:
        parse_layer_bits([text])
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (IMAGES[:0], "calibration images must be at least one, not 0"),
        (IMAGES.astype(float), "calibration images must be uint8 (N, 8, 8, 3), not float64 (24, 8, 8, 3)"),
        (IMAGES[:, :4], "calibration images must be uint8 (N, 8, 8, 3), not uint8 (24, 4, 8, 3)"),
    ],
)
def test_refused_calibration(tmp_path, images, sentence):
    with pytest.raises(OhmweaveError) as error:
        quantise(residual_network(tmp_path), images)
    assert str(error.value) == sentence


def test_networks_that_overflow(tmp_path):
    huge = given("w1", np.full((4, 3, 3, 3), 3e38, np.float32))
    nodes = [
        node("Conv", ["x", "w1"], ["a"]), node("MaxPool", ["a"], ["r"], kernel_shape=[2, 2]),
        node("Conv", ["r", "w2"], ["y"]),
    ]  # fmt: skip
    net = network(tmp_path, nodes, [huge, drawn("w2", 2, 4, 1, 1)])
    with pytest.raises(OhmweaveError) as error:
        quantise(net, IMAGES)
    assert str(error.value) == (
        "the network net must give finite numbers for the calibration images, and tensor a has others"
    )
