"""Files for the importer: every opset, functions, external data, folding; damaged and hostile ones are one sentence."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ohmweave.errors import OhmweaveError
from ohmweave.sim.importer import load_onnx
from ohmweave.sim.importer.execute import run_float
from ohmweave.sim.importer.fold import MAX_ELEMENTS

pytest.importorskip("onnxruntime")

NEWEST = onnx.defs.onnx_opset_version()
node = helper.make_node


def tensor(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def drawn(name, *shape):
    return tensor(name, np.random.default_rng(len(name)).normal(size=shape).astype(np.float32))


def make(
    nodes, constants, *, shape=("N", 3, 6, 6), opset=17, kind=TensorProto.FLOAT, outputs=("N", "F"), **more
):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **more)


def classifier(opset=17):
    """Convolution, global average by ReduceMean, a shape that the file computes, and a fully connected layer."""
    axes = {"axes": [2, 3]} if opset < 18 else {}
    more = [] if opset < 18 else ["ax"]
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="conv"),
        node("Relu", ["a"], ["r"]),
        node("ReduceMean", ["r", *more], ["m"], keepdims=1, **axes),
        node("Shape", ["m"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Unsqueeze", ["n", "first"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], axis=0),
        node("Reshape", ["m", "to"], ["f"]),
        node("Gemm", ["f", "fw", "fb"], ["y"], transB=1),
    ]
    constants = [
        drawn("w", 4, 3, 3, 3), drawn("fw", 5, 4), drawn("fb", 5), tensor("zero", np.int64(0)),
        tensor("first", np.array([0])), tensor("rest", np.array([-1])),
    ]  # fmt: skip
    if opset >= 18:
        constants.append(tensor("ax", np.array([2, 3])))
    return nodes, constants


def load(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return load_onnx(path)


def refusal(tmp_path, model):
    with pytest.raises(OhmweaveError) as error:
        load(tmp_path, model)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence.replace(str(tmp_path / "net.onnx"), "NET")


@pytest.mark.parametrize("opset", [13, 14, 15, 16, 17, 18, 20, 21, 22, NEWEST])
def test_opsets(tmp_path, opset):
    """The same function in each; ONNX's reference evaluator knows also those that no runtime runs yet."""
    model = make(*classifier(opset), opset=opset)
    network = load(tmp_path, model)
    x = np.random.default_rng(1).normal(size=(1, 3, 6, 6)).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    (got,) = [tensors[network.output] for tensors in run_float(network, x, [network.output])]
    np.testing.assert_allclose(got.reshape(1, -1), expected, rtol=1e-4, atol=1e-5)
    assert [type(each).__name__ for each in network.nodes] == ["Conv", "Clip", "AveragePool", "Conv"]


@pytest.mark.parametrize(("opset", "found"), [(12, "12"), (9, "9"), (NEWEST + 1, str(NEWEST + 1))])
def test_refused_opsets(tmp_path, opset, found):
    sentence = refusal(tmp_path, make(*classifier(), opset=opset))
    assert sentence == f"NET must use an opset from 13 to {NEWEST}, not {found}"


def test_foreign_domain(tmp_path):
    model = make([node("Conv", ["x", "w"], ["y"], name="c", domain="my.own")], [drawn("w", 4, 3, 3, 3)])
    model.opset_import.append(helper.make_opsetid("my.own", 1))
    assert refusal(tmp_path, model) == (
        "operator my.own.Conv of node c is not supported: operators must be ONNX's own"
    )


def test_functions_are_inlined(tmp_path):
    function = helper.make_function(
        "local", "Block", ["i", "k"], ["o"], [node("Conv", ["i", "k"], ["c"]), node("Relu", ["c"], ["o"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model = make(
        [node("Block", ["x", "w"], ["y"], domain="local")], [drawn("w", 4, 3, 3, 3)], functions=[function],
        outputs=("N", 4, 4, 4),
    )  # fmt: skip
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert [type(each).__name__ for each in load(tmp_path, model).nodes] == ["Conv", "Clip"]


def test_large_constants_of_small_files(tmp_path):
    """What would take terabytes is refused before it takes any."""
    nodes = [
        node("ConstantOfShape", ["s"], ["big"]),
        node("Conv", ["x", "w"], ["a"]),
        node("Add", ["a", "big"], ["y"]),
    ]
    model = make(nodes, [drawn("w", 4, 3, 3, 3), tensor("s", np.array([1 << 20, 1 << 20]))])
    assert refusal(tmp_path, model) == (
        f"node big (ConstantOfShape) must give at most {MAX_ELEMENTS} elements"
    )
    for operator, inputs in (
        ("Expand", ["w", "s"]),
        ("Range", ["start", "limit", "step"]),
        ("Tile", ["w", "t"]),
    ):
        constants = [
            drawn("w", 4, 3, 3, 3), tensor("s", np.array([1 << 20, 1 << 20, 1, 1, 1, 1])),
            tensor("t", np.array([1 << 20, 1 << 20, 1, 1])), tensor("start", np.int64(0)),
            tensor("limit", np.int64(1 << 40)), tensor("step", np.int64(1)),
        ]  # fmt: skip
        nodes = [
            node(operator, inputs, ["big"]),
            node("Conv", ["x", "w"], ["a"]),
            node("Add", ["a", "big"], ["y"]),
        ]
        assert refusal(tmp_path, make(nodes, constants)).endswith(
            f"must give at most {MAX_ELEMENTS} elements"
        )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape": ("N", 3, 6)}, "the input x of NET must be batch×channels×height×width or batch×features with all "
         "but the batch given and at most 65536, not N×3×6"),
        ({"shape": ("N", 3, "H", "W")}, "the input x of NET must be batch×channels×height×width or batch×features "
         "with all but the batch given and at most 65536, not N×3×H×W"),
        ({"shape": ("N", 3, 1 << 40, 6)}, "the input x of NET must be batch×channels×height×width or batch×features "
         "with all but the batch given and at most 65536, not N×3×1099511627776×6"),
        ({"shape": ("N", 60000, 60000, 6)}, f"the input x of NET must have at most {MAX_ELEMENTS} elements an image"),
        ({"kind": TensorProto.INT64}, "the input x of NET must be float, not int64"),
    ],
)  # fmt: skip
def test_refused_inputs(tmp_path, changes, sentence):
    assert refusal(tmp_path, make(*classifier(), **changes)) == sentence


def test_one_input_and_one_output(tmp_path):
    model = make(*classifier())
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    assert refusal(tmp_path, model) == "NET must have one input and one output, not 2 and 1"


def test_no_weights(tmp_path):
    model = make([node("Relu", ["x"], ["y"])], [], outputs=("N", 3, 6, 6))
    assert refusal(tmp_path, model) == "NET must have at least one layer with weights, and has none"


def test_constant_output(tmp_path):
    model = make([node("Identity", ["w"], ["y"])], [drawn("w", 1, 2)])
    assert refusal(tmp_path, model) == "the output y of NET must depend on the input, and is constant"


def test_wrong_weights(tmp_path):
    nodes, constants = classifier()
    constants[0] = drawn("w", 4, 5, 3, 3)
    assert refusal(tmp_path, make(nodes, constants)) == (
        "operator Conv of node conv must have weights for 3 input channels, and its 1 groups of 5 give 4 outputs"
    )
    constants[0] = tensor("w", np.ones((4, 3, 3, 3), np.int32))
    assert "float" in refusal(tmp_path, make(nodes, constants))


def test_cycle(tmp_path):
    nodes, constants = classifier()
    nodes[0].input[0] = "r"
    assert refusal(tmp_path, make(nodes, constants)).startswith("NET must be a valid ONNX model: ")


def test_same_output_twice(tmp_path):
    nodes, constants = classifier()
    nodes[1].output[0] = "a"
    assert refusal(tmp_path, make(nodes, constants)).startswith("NET must be a valid ONNX model: ")


def test_no_file(tmp_path):
    with pytest.raises(OhmweaveError, match=r"cannot be read: No such file or directory$"):
        load_onnx(tmp_path / "no.onnx")
    with pytest.raises(OhmweaveError, match=r"must be an ONNX file, and is a folder$"):
        load_onnx(tmp_path)


def test_no_model(tmp_path):
    assert refusal(tmp_path, b"not a model at all") == "NET must be an ONNX model, and is none or is damaged"
    assert refusal(tmp_path, b"") == "NET must be an ONNX model with at least one node, and has none"


def test_truncated_anywhere(tmp_path):
    """Every file that ends too early is refused in a sentence, wherever it ends."""
    data = make(*classifier()).SerializeToString()
    for end in range(0, len(data) - 1, 23):
        assert refusal(tmp_path, data[:end])


def test_damaged_anywhere(tmp_path):
    """Any changed byte is harmless or a sentence."""
    data = make(*classifier()).SerializeToString()
    random = np.random.default_rng(5)
    for place in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= int(random.integers(1, 256))
        with contextlib.suppress(OhmweaveError):
            load(tmp_path, bytes(damaged))


def with_external(tmp_path, **entries):
    """The classifier with its first weights in another file."""
    nodes, constants = classifier()
    raw = constants[0].raw_data
    (tmp_path / "weights.bin").write_bytes(b"head" + raw)
    moved = constants[0]
    moved.ClearField("raw_data")
    moved.data_location = TensorProto.EXTERNAL
    given = {"location": "weights.bin", "offset": "4", "length": str(len(raw))} | entries
    for key, value in given.items():
        if value is not None:
            moved.external_data.add(key=key, value=value)
    return make(nodes, constants)


def test_external_data(tmp_path):
    network = load(tmp_path, with_external(tmp_path))
    expected = numpy_helper.to_array(classifier()[1][0])
    np.testing.assert_array_equal(network.nodes[0].weights, expected)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin", "link.bin", "", ".", "no.bin", "a\0b", "fifo"]
)  # fmt: skip
def test_external_data_elsewhere(tmp_path, location):
    """Only regular files below the model's folder, also where links lead outside."""
    import os

    (tmp_path / "net").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"x" * 500)
    (tmp_path / "net" / "link.bin").symlink_to(tmp_path / "secret.bin")
    os.mkfifo(tmp_path / "net" / "fifo")
    model = with_external(tmp_path / "net", location=location, offset=None)
    path = tmp_path / "net" / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(OhmweaveError) as error:
        load_onnx(path)
    assert str(error.value) == (
        f"the external data of 'w' in {path} must be a file in the model's own folder, not {location!r}"
    )


@pytest.mark.parametrize(
    ("entries", "end"),
    [
        ({"offset": "-1"}, "must lie within weights.bin, which has 436 bytes"),
        ({"length": "9999"}, "must lie within weights.bin, which has 436 bytes"),
        ({"offset": "x"}, "must have an offset and a length that are whole numbers"),
        ({"length": "8"}, None),
    ],
)
def test_external_data_of_another_size(tmp_path, entries, end):
    sentence = refusal(tmp_path, with_external(tmp_path, **entries))
    if end is not None:
        assert sentence == f"the external data of 'w' in NET {end}"
