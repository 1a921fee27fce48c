"""Every operator and attribute of the importer: the float network, and its integers of 16 bits, are ONNX Runtime's."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph_golden
from ohmweave.sim.importer import OPERATORS, load_onnx
from ohmweave.sim.importer.execute import run_float
from ohmweave.sim.quantise import QuantiseOptions, normalised, quantise

onnxruntime = pytest.importorskip("onnxruntime")

node = helper.make_node
OPSET = 17
WIDE = QuantiseOptions(weight_bits=16, act_bits=16, range="minmax", mean=(102 / 255,), std=(0.25,))


class Constants:
    """Seeded constants by name; calling one draws it."""

    def __init__(self):
        self.rng = np.random.default_rng(7)
        self.tensors = []

    def __call__(self, name, *shape):
        return self.give(name, self.rng.normal(size=shape).astype(np.float32))

    def give(self, name, value):
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def write(path, nodes, constants, shape, *, opset=OPSET, batch="N"):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output[0]
    if found.type.tensor_type.HasField("shape"):
        model.graph.output[0].CopyFrom(found)
    path.write_bytes(model.SerializeToString())
    return path


def reference(path, x):
    """Outputs by ONNX Runtime, one image at a time."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return np.stack([session.run(None, {taken.name: x[i : i + 1]})[0].reshape(-1) for i in range(len(x))])


def check(path, *, options=WIDE, tolerance=2e-4, kinds=None):
    network = load_onnx(path)
    channels, height, width = network.input_shape
    images = np.random.default_rng(3).integers(0, 256, (6, height, width, channels)).astype(np.uint8)
    x = normalised(images, options)
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    expected = reference(path, x if len(shape) == 4 else x.reshape(len(x), -1))
    (got,) = [tensors[network.output] for tensors in run_float(network, x, [network.output])]
    spread = np.abs(expected).max()
    np.testing.assert_allclose(got.reshape(len(x), -1), expected, atol=1e-5 * spread)
    if kinds is not None:
        assert [type(each).__name__ for each in network.nodes] == kinds
    result = quantise(network, images, options)
    logits = graph_golden.logits(result.graph, images).reshape(len(x), -1) * result.logit_scale
    assert np.abs(logits - expected).max() <= tolerance * spread
    return result


def conv(shape, kernel=(3, 3), out=4, groups=1, bias=True, **attributes):
    def build(c):
        inputs = ["x", c("w", out, shape[0] // groups, *kernel), *([c("b", out)] if bias else [])]
        return [node("Conv", inputs, ["y"], group=groups, **attributes)], shape

    return build


def transposed(shape, kernel=(3, 3), per_group=2, groups=1, **attributes):
    def build(c):
        inputs = ["x", c("w", shape[0], per_group, *kernel), c("b", per_group * groups)]
        return [node("ConvTranspose", inputs, ["y"], group=groups, **attributes)], shape

    return build


def after_conv(*nodes, shape=(3, 7, 8), out=4):
    """A 3×3 convolution to `a`, then what `nodes` give for the constants; the last makes `y`."""

    def build(c):
        first = node("Conv", ["x", c("w0", out, shape[0], 3, 3), c("b0", out)], ["a"], pads=[1] * 4)
        return [first, *(each(c) for each in nodes)], shape

    return build


def each(operator, inputs, output, **attributes):
    """A node whose inputs are names, or functions of the constants."""

    def build(c):
        names = [name if isinstance(name, str) else name(c) for name in inputs]
        return node(operator, names, output if isinstance(output, list) else [output], **attributes)

    return build


def value(name, data):
    return lambda c: c.give(name, data)


def drawn(name, *shape):
    return lambda c: c(name, *shape)


def longs(name, *data):
    return lambda c: c.give(name, np.array(data, np.int64))


CONVOLUTIONS = {
    "plain": conv((3, 7, 8)),
    "no bias": conv((3, 7, 8), bias=False),
    "1 channel": conv((1, 5, 5), out=1),
    "asymmetric": conv((2, 9, 8), (1, 5), strides=[2, 3], pads=[0, 3, 0, 1]),
    "dilation": conv((2, 11, 12), dilations=[2, 3], pads=[2, 3, 2, 3]),
    "groups": conv((6, 6, 6), out=9, groups=3, pads=[1] * 4),
    "depthwise": conv((5, 6, 6), out=5, groups=5, strides=[2, 2], pads=[1] * 4),
    "depthwise, twice": conv((5, 6, 6), out=10, groups=5),
    "wide padding": conv((3, 4, 4), (1, 1), pads=[1, 1, 1, 1]),
    "7×7": conv((3, 20, 20), (7, 7), strides=[2, 2], pads=[3] * 4),
    **{
        f"{mode} stride {stride}": conv((2, 7, 8), kernel, auto_pad=mode, strides=[stride] * 2, kernel_shape=kernel)
        for mode, stride, kernel in itertools.product(("SAME_UPPER", "SAME_LOWER", "VALID"), (1, 2), ((3, 3), (2, 4)))
    },
    "transposed": transposed((3, 4, 5)),
    "transposed, stride 2": transposed((3, 4, 5), (4, 4), strides=[2, 2], pads=[1] * 4),
    "transposed, more": transposed((3, 4, 5), strides=[2, 3], output_padding=[1, 2], pads=[1, 0, 0, 1]),
    "transposed, groups": transposed((6, 4, 5), groups=3, strides=[2, 2]),
    "transposed, dilation": transposed((3, 4, 5), (2, 2), dilations=[2, 3]),
    "transposed, SAME_UPPER": transposed((3, 4, 5), auto_pad="SAME_UPPER", strides=[2, 2]),
    "transposed, SAME_LOWER": transposed((3, 4, 5), auto_pad="SAME_LOWER", strides=[2, 2]),
    "transposed, VALID": transposed((3, 4, 5), auto_pad="VALID", strides=[2, 2]),
    "transposed, output_shape": transposed((3, 4, 5), output_shape=[8, 10], strides=[2, 2]),
}  # fmt: skip


def _statistics(c):
    return [c("s", 4), c("t", 4), c("m", 4), c.give("v", np.abs(c.rng.normal(size=4)).astype(np.float32))]


def batch_norm(source, output):
    return lambda c: node("BatchNormalization", [source, *_statistics(c)], [output], epsilon=1e-3)


OPERATIONS = {
    "BatchNormalization": (after_conv(batch_norm("a", "y")), ["Conv"]),
    "BatchNormalization after Relu": (
        after_conv(each("Relu", ["a"], "r"), batch_norm("r", "y")), ["Conv", "Clip", "ChannelAffine"]),
    "BatchNormalization before Conv": (
        after_conv(each("Relu", ["a"], "r"), batch_norm("r", "n"), each("Conv", ["n", drawn("w2", 2, 4, 1, 1)], "y")),
        ["Conv", "Clip", "Conv"]),
    "BatchNormalization before padding": (
        after_conv(each("Relu", ["a"], "r"), batch_norm("r", "n"),
                   each("Conv", ["n", drawn("w2", 2, 4, 3, 3)], "y", pads=[1] * 4)),
        ["Conv", "Clip", "ChannelAffine", "Conv"]),
    "Relu": (after_conv(each("Relu", ["a"], "y")), ["Conv", "Clip"]),
    "Clip": (after_conv(each("Clip", ["a", value("l", np.float32(-0.5)), value("h", np.float32(2))], "y")), None),
    "Relu6 then Conv": (
        after_conv(each("Clip", ["a", value("l", np.float32(0)), value("h", np.float32(6))], "r"),
                   each("Conv", ["r", drawn("w2", 2, 4, 3, 3)], "y")), None),
    "Clip without min": (after_conv(each("Clip", ["a", "", value("h", np.float32(1))], "y")), None),
    "Clip of what others read": (
        after_conv(each("Relu", ["a"], "r"), each("Concat", ["a", "r"], "y", axis=1)), ["Conv", "Clip", "Concat"]),
    "MaxPool": (after_conv(each("MaxPool", ["a"], "y", kernel_shape=[2, 2], strides=[2, 2])), None),
    "MaxPool, ceil": (
        after_conv(each("MaxPool", ["a"], "y", kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1, pads=[1, 0, 0, 1])),
        None),
    "MaxPool, SAME": (
        after_conv(each("MaxPool", ["a"], "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")), None),
    "Relu after MaxPool": (
        after_conv(each("MaxPool", ["a"], "p", kernel_shape=[2, 2]), each("Relu", ["p"], "y")),
        ["Conv", "Clip", "MaxPool"]),
    "AveragePool": (after_conv(each("AveragePool", ["a"], "y", kernel_shape=[2, 3], strides=[1, 2])), None),
    "AveragePool with a border": (
        after_conv(each("AveragePool", ["a"], "y", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)), None),
    "AveragePool without its border": (
        after_conv(each("AveragePool", ["a"], "y", kernel_shape=[3, 3], pads=[1] * 4)), None),
    "AveragePool, ceil": (
        after_conv(each("AveragePool", ["a"], "y", kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1)), None),
    "AveragePool with a border, ceil": (
        after_conv(each("AveragePool", ["a"], "y", kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, pads=[1, 1, 0, 1],
                        count_include_pad=1)), ["Conv", "Pad", "AveragePool"]),
    "AveragePool, SAME, then Relu": (
        after_conv(each("AveragePool", ["a"], "p", kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
                   each("Relu", ["p"], "y")), None),
    "GlobalAveragePool": (after_conv(each("GlobalAveragePool", ["a"], "y")), None),
    "GlobalMaxPool": (after_conv(each("GlobalMaxPool", ["a"], "y")), None),
    "ReduceMean": (after_conv(each("ReduceMean", ["a"], "y", axes=[2, 3], keepdims=0)), ["Conv", "AveragePool"]),
    "ReduceMean, negative": (after_conv(each("ReduceMean", ["a"], "y", axes=[-1, -2])), None),
    "ReduceMean of another order": (
        after_conv(each("Transpose", ["a"], "t", perm=[0, 2, 3, 1]),
                   each("ReduceMean", ["t"], "y", axes=[1, 2], keepdims=0)), None),
    "Add of two": (
        after_conv(each("Conv", ["x", drawn("w2", 4, 3, 1, 1)], "s"), each("Add", ["a", "s"], "y")), None),
    "Add of itself": (after_conv(each("Add", ["a", "a"], "y")), None),
    "Sum of three": (
        after_conv(each("Conv", ["x", drawn("w2", 4, 3, 1, 1)], "s"), each("Sum", ["a", "s", "a"], "y")), None),
    "Add of the image": (
        after_conv(each("Add", ["a", "x"], "y"), out=3), None),
    "Add of a constant": (after_conv(each("Add", [drawn("k", 4, 1, 1), "a"], "y")), ["Conv"]),
    "Sub": (after_conv(each("Sub", ["a", drawn("k", 1, 4, 1, 1)], "y")), ["Conv"]),
    "Sub from a constant": (after_conv(each("Sub", [value("k", np.float32(1)), "a"], "y")), ["Conv"]),
    "Mul": (after_conv(each("Mul", ["a", drawn("k", 4, 1, 1)], "y")), ["Conv"]),
    "Mul after Relu": (
        after_conv(each("Relu", ["a"], "r"), each("Mul", ["r", drawn("k", 4, 1, 1)], "y")),
        ["Conv", "Clip", "ChannelAffine"]),
    "Mul by one number": (after_conv(each("Mul", [value("k", np.float32(-0.3)), "a"], "y")), ["Conv"]),
    "Div": (after_conv(each("Div", ["a", value("k", np.float32(3))], "y")), ["Conv"]),
    "Concat": (
        after_conv(each("Conv", ["x", drawn("w2", 2, 3, 1, 1)], "s"), each("Concat", ["s", "a", "s"], "y", axis=-3)),
        None),
    "Concat of features": (
        after_conv(each("Flatten", ["a"], "f"), each("Concat", ["f", "f"], "g", axis=1),
                   each("Gemm", ["g", drawn("w2", 2 * 4 * 7 * 8, 3)], "y")), None),
    "Concat of rows": (
        after_conv(each("Conv", ["x", drawn("w2", 4, 3, 2, 1)], "s"), each("Concat", ["s", "a", "s"], "y", axis=2)),
        ["Conv", "Conv", "Concat"]),
    "Concat of columns": (
        after_conv(each("Slice", ["a", longs("s", 3), longs("e", 5), longs("ax", 3)], "p"),
                   each("Concat", ["a", "p"], "y", axis=-1)), ["Conv", "Slice", "Concat"]),
    "Concat of rows, of channels in different orders": (
        after_conv(each("Reshape", ["a", longs("s1", 0, 2, 2, 7, 8)], "r"),
                   each("Transpose", ["r"], "t", perm=[0, 2, 1, 3, 4]),
                   each("Reshape", ["t", longs("s2", 0, 4, 7, 8)], "q"), each("Concat", ["a", "q"], "y", axis=-2)),
        ["Conv", "Permute", "Concat"]),
    "Split of rows": (
        after_conv(each("Split", ["a", longs("n", 3, 4)], ["p", "q"], axis=-2),
                   each("Concat", ["q", "p"], "y", axis=2)), ["Conv", "Slice", "Slice", "Concat"]),
    "Concat of rows with the image": (after_conv(each("Concat", ["x", "a"], "y", axis=2), out=3), None),
    **{
        f"Concat of axis {axis}, channels last": (
            after_conv(each("Transpose", ["a"], "t", perm=[0, 2, 3, 1]), each("Concat", ["t", "t"], "c", axis=axis),
                       each("Transpose", ["c"], "y", perm=[0, 3, 1, 2])), ["Conv", "Concat"])
        for axis in (1, 2, -1)
    },
    "Concat of one": (after_conv(each("Concat", ["a"], "y", axis=3)), ["Conv"]),
    "Concat of columns as features": (
        lambda c: ([node("Conv", ["x", c("w", 1, 2, 4, 1)], ["a"]), node("Flatten", ["a"], ["f"]),
                    node("Concat", ["f", "f"], ["g"], axis=1), node("Gemm", ["g", c("w2", 10, 3)], ["y"])], (2, 4, 5)),
        None),
    "Concat with the image": (
        after_conv(each("Concat", ["x", "a"], "y", axis=1)), None),
    "Flatten and Gemm": (
        after_conv(each("Flatten", ["a"], "f"),
                   each("Gemm", ["f", drawn("w2", 5, 4 * 7 * 8), drawn("b2", 5)], "y", transB=1, alpha=0.5, beta=2.0)),
        ["Conv", "Conv"]),
    "Gemm on a large map": (
        after_conv(each("Flatten", ["a"], "f"), each("Gemm", ["f", drawn("w2", 4 * 9 * 9, 5)], "y"), shape=(2, 9, 9)),
        ["Conv", "Conv"]),
    "MatMul": (
        after_conv(each("Reshape", ["a", longs("s", 0, -1)], "f"), each("MatMul", ["f", drawn("w2", 224, 5)], "m"),
                   each("Add", ["m", drawn("b2", 5)], "y")), ["Conv", "Conv"]),
    "MatMul in another order": (
        after_conv(each("Transpose", ["a"], "t", perm=[0, 2, 3, 1]), each("Flatten", ["t"], "f"),
                   each("MatMul", ["f", drawn("w2", 224, 5)], "y")), ["Conv", "Conv"]),
    "two Gemm": (
        after_conv(each("GlobalAveragePool", ["a"], "p"), each("Squeeze", ["p", longs("ax", 2, 3)], "f"),
                   each("Gemm", ["f", drawn("w2", 4, 6)], "g"), each("Relu", ["g"], "r"),
                   each("Gemm", ["r", drawn("w3", 6, 3), drawn("b3", 3)], "y")), None),
    "channel shuffle": (
        after_conv(each("Reshape", ["a", longs("s1", 0, 2, 2, 7, 8)], "r"),
                   each("Transpose", ["r"], "t", perm=[0, 2, 1, 3, 4]),
                   each("Reshape", ["t", longs("s2", -1, 4, 7, 8)], "q"),
                   each("Conv", ["q", drawn("w2", 4, 2, 1, 1)], "y", group=2)), ["Conv", "Conv"]),
    "channel shuffle of what others read": (
        after_conv(each("Reshape", ["a", longs("s1", 1, 2, 2, 7, 8)], "r"),
                   each("Transpose", ["r"], "t", perm=[0, 2, 1, 3, 4]),
                   each("Reshape", ["t", longs("s2", 1, 4, 7, 8)], "q"), each("Add", ["q", "a"], "y")),
        ["Conv", "Permute", "Add"]),
    "Pad": (after_conv(each("Pad", ["a", longs("p", 0, 0, 1, 2, 0, 0, 3, 0)], "y")), ["Conv", "Pad"]),
    "Pad of channels": (after_conv(each("Pad", ["a", longs("p", 0, 2, 0, 0, 0, 1, 0, 0)], "y")), ["Conv", "Pad"]),
    "Pad before Conv": (
        after_conv(each("Pad", ["a", longs("p", 0, 0, 1, 1, 0, 0, 0, 1)], "q"),
                   each("Conv", ["q", drawn("w2", 2, 4, 3, 3)], "y")), ["Conv", "Conv"]),
    "Pad of the image": (
        lambda c: ([node("Pad", ["x", c.give("p", np.array([0, 0, 1, 1, 0, 0, 1, 1]))], ["q"]),
                    node("Conv", ["q", c("w", 2, 3, 3, 3)], ["y"])], (3, 6, 6)), ["Conv"]),
    "Slice": (
        after_conv(each("Slice", ["a", longs("s", 1, -5), longs("e", 99, -1), longs("ax", 1, 3), longs("st", 2, 2)],
                        "y")), ["Conv", "Slice"]),
    "option-A shortcut": (
        after_conv(each("Slice", ["x", longs("s", 0, 0), longs("e", 9, 9), longs("ax", 2, 3), longs("st", 2, 2)], "i"),
                   each("Pad", ["i", longs("p", 0, 0, 0, 0, 0, 1, 0, 0)], "j"),
                   each("Conv", ["a", drawn("w2", 4, 4, 3, 3)], "k", strides=[2, 2], pads=[1] * 4),
                   each("Add", ["k", "j"], "s2"), each("Relu", ["s2"], "y")), None),
    "Split": (
        after_conv(each("Split", ["a", longs("n", 1, 3)], ["p", "q"], axis=1), each("Concat", ["q", "p"], "y", axis=1)),
        None),
    "Identity, Dropout, Cast": (
        after_conv(each("Identity", ["a"], "i"), each("Dropout", ["i", value("ra", np.float32(0.5))], "d"),
                   each("Cast", ["d"], "y", to=1)), ["Conv"]),
    "Unsqueeze and Squeeze": (
        after_conv(each("Unsqueeze", ["a", longs("u", 1)], "i"), each("Squeeze", ["i", longs("q", 1)], "y")), ["Conv"]),
    "features that become a map": (
        lambda c: ([node("Gemm", ["x", c("w", 6, 3 * 4 * 4)], ["g"]), node("Relu", ["g"], ["r"]),
                    node("Reshape", ["r", c.give("s", np.array([-1, 3, 4, 4]))], ["m"]),
                    node("ConvTranspose", ["m", c("w2", 3, 2, 4, 4)], ["y"], strides=[2, 2])], (6,)),
        ["ConvTranspose", "Clip", "ConvTranspose"]),
    "a constant computed in the file": (
        after_conv(each("Transpose", [drawn("k", 4, 2, 1, 1)], "kt", perm=[1, 0, 2, 3]),
                   each("Conv", ["a", "kt"], "y")), ["Conv", "Conv"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(tmp_path, name):
    constants = Constants()
    nodes, shape = CONVOLUTIONS[name](constants)
    check(write(tmp_path / "net.onnx", nodes, constants, shape))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(tmp_path, name):
    constants = Constants()
    build, kinds = OPERATIONS[name]
    nodes, shape = build(constants)
    check(write(tmp_path / "net.onnx", nodes, constants, shape), kinds=kinds)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Sigmoid", "Tanh"])
def test_end_is_left_to_the_host(tmp_path, name):
    """The logits are those before it, and a note says so."""
    constants = Constants()
    nodes, shape = after_conv(each("Flatten", ["a"], "z"), each(name, ["z"], "y"))(constants)
    network = load_onnx(write(tmp_path / "net.onnx", nodes, constants, shape))
    assert network.notes == (f"{name} of node y at the end is left to the host",)
    assert [type(each).__name__ for each in network.nodes] == ["Conv"]


def test_every_operator_is_tried():
    """What the list of supported operators names stands in some test of this file."""
    tried = {"QuantizeLinear", "DequantizeLinear", "Softmax", "LogSoftmax", "Sigmoid", "Tanh"}
    for build in (*CONVOLUTIONS.values(), *(build for build, _ in OPERATIONS.values())):
        tried |= {each.op_type for each in build(Constants())[0]}
    assert set(OPERATORS) <= tried


REFUSED = {
    "LSTM": (each("LSTM", ["a", "a", "a"], "y", hidden_size=3), None),
    "Mul of two": (each("Mul", ["a", "a"], "y"), "operator Mul of node y must have one operand that is constant"),
    "Conv, computed weights": (
        each("Conv", ["a", "a"], "y"),
        "operator Conv of node y must have weights that are constant, and a is computed"),
    "Conv, kernel_shape": (
        each("Conv", ["a", drawn("k", 2, 4, 3, 3)], "y", kernel_shape=[1, 1]),
        "operator Conv of node y must have its attribute kernel_shape [3, 3] as the weights, not [1, 1]"),
    "Conv, groups": (
        each("Conv", ["a", drawn("k", 2, 4, 3, 3)], "y", group=3),
        "operator Conv of node y must have weights for 4 input channels, and its 3 groups of 4 give 2 outputs"),
    "auto_pad": (
        each("Conv", ["a", drawn("k", 2, 4, 3, 3)], "y", auto_pad="HALF"),
        "operator Conv of node y must have its attribute auto_pad one of NOTSET, SAME_UPPER, SAME_LOWER, VALID, "
        "not 'HALF'"),
    "strides": (
        each("Conv", ["a", drawn("k", 2, 4, 3, 3)], "y", strides=[0, 1]),
        "operator Conv of node y must have its attribute strides 2 whole numbers from 1 to 1048576, not [0, 1]"),
    "MaxPool, dilations": (
        each("MaxPool", ["a"], "y", kernel_shape=[2, 2], dilations=[2, 2]),
        "operator MaxPool of node y must have its attribute dilations 1 in each direction, not [2, 2]"),
    "Gemm, transA": (
        each("Gemm", ["a", drawn("k", 2, 4)], "y", transA=1),
        "operator Gemm of node y must have its attribute transA 0, not 1"),
    "BatchNormalization, training": (
        lambda c: node("BatchNormalization", ["a", *_statistics(c)], ["y"], training_mode=1),
        "operator BatchNormalization of node y must have its attribute training_mode 0, not 1"),
    "Pad, mode": (
        each("Pad", ["a", longs("p", *[0] * 8)], "y", mode="reflect"),
        "operator Pad of node y must have its attribute mode one of constant, not 'reflect'"),
    "Pad of the batch": (
        each("Pad", ["a", longs("p", 1, *[0] * 7)], "y"), "operator Pad of node y must leave the batch as it is"),
    "Slice backwards": (
        each("Slice", ["a", longs("s", 3), longs("e", 0), longs("ax", 2), longs("st", -1)], "y"),
        "operator Slice of node y must have steps of at least 1, not [-1]"),
    "Concat of the batch": (
        each("Concat", ["a", "a"], "y", axis=0), "operator Concat of node y must leave the batch as it is"),
    "Concat of channels and rows": (
        lambda c: node("Concat", ["a", "x"], ["y"], axis=2),
        "operator Concat of node y must have inputs that differ along axis 2 only"),
    "transposed map": (
        lambda c: node("Transpose", ["a"], ["y"], perm=[0, 1, 3, 2]),
        "the output y of {path} must be channels by height by width, or features, and is in another order"),
    "Clip backwards": (
        each("Clip", ["a", value("l", np.float32(2)), value("h", np.float32(1))], "y"),
        "operator Clip of node y must have a min of at most its max, not 2 and 1"),
    "constant of another shape": (
        each("Add", ["a", drawn("k", 7, 8)], "y"),
        "operator Add of node y must have a constant that is the same for all pixels of a channel"),
    "weights that are not finite": (
        each("Conv", ["a", value("k", np.full((1, 4, 1, 1), np.nan, np.float32))], "y"),
        "operator Conv of node y must have weights that are finite, and some are not"),
    "Div by 0": (
        each("Div", ["a", value("k", np.float32(0))], "y"),
        "operator Div of node y must have a divisor that is nowhere 0"),
    "ReduceMean of channels": (
        each("ReduceMean", ["a"], "y", axes=[1]),
        "operator ReduceMean of node y must have axes that are the two spatial ones, not [1]"),
    "Reshape": (
        each("Reshape", ["a", longs("s", 8, 28)], "y"),
        "the output y of {path} must be channels by height by width, or features, and is in another order"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    constants = Constants()
    build, sentence = REFUSED[name]
    nodes, shape = after_conv(build)(constants)
    path = tmp_path / "net.onnx"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "F"])],
        constants.tensors,
    )
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10
        ).SerializeToString()
    )
    with pytest.raises(OhmweaveError) as error:
        load_onnx(path)
    if sentence is None:
        assert str(error.value) == (
            f"operator LSTM of node y is not supported; supported are {', '.join(OPERATORS)}"
        )
    else:
        assert str(error.value) == sentence.format(path=path)


def test_features_of_different_maps_are_refused(tmp_path):
    constants = Constants()
    nodes, shape = after_conv(
        each("MaxPool", ["a"], "p", kernel_shape=[2, 2]), each("Flatten", ["a"], "f"), each("Flatten", ["p"], "g"),
        each("Concat", ["f", "g"], "h", axis=1), each("Gemm", ["h", drawn("w2", 392, 3)], "y"),
    )(constants)  # fmt: skip
    with pytest.raises(OhmweaveError) as error:
        load_onnx(write(tmp_path / "net.onnx", nodes, constants, shape))
    assert str(error.value) == (
        "operator Concat of node h must join maps that differ in their channels only, not 4×7×8 and 4×6×7"
    )


def test_what_follows_the_end_is_refused(tmp_path):
    constants = Constants()
    nodes, shape = after_conv(each("Sigmoid", ["a"], "s"), each("Relu", ["s"], "y"))(constants)
    path = write(tmp_path / "net.onnx", nodes, constants, shape)
    sentence = (
        "operator Relu of node y follows Sigmoid of node s, which is supported at the end of the network only"
    )
    with pytest.raises(OhmweaveError) as error:
        load_onnx(path)
    assert str(error.value) == sentence
