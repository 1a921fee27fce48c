"""ONNX Runtime on the exported graph against the golden model."""

import numpy as np
import onnx
import onnxruntime
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import golden, network
from ohmweave.sim.datasets import shipped_images
from ohmweave.sim.onnx_export import export_onnx, onnx_model
from ohmweave.sim.random_network import random_network

INTEGERS = {
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT8,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
}


def run(model, images):
    """Logits of images (N, H, W, C)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (scores,) = session.run(["logits"], {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    return scores


def test_lenet5_is_bit_exact():
    net, (images, _) = network.builtin("lenet5"), shipped_images()
    scores = run(onnx_model(net), images[..., np.newaxis])
    assert scores.shape == (1000, 10)
    assert np.array_equal(scores, golden.logits(net, images))


@pytest.mark.parametrize("seed", range(30))
def test_random_networks_are_bit_exact(seed):
    """Every layer's output, not only the logits, so that no error hides behind a later layer that is all zeros."""
    net = random_network(seed)
    channels, height, width = net.input_shape
    images = np.random.default_rng(seed).integers(0, 256, (3, height, width, channels)).astype(np.uint8)
    model = onnx_model(net)
    for layer in net.layers:
        kind = onnx.TensorProto.INT32 if layer.raw else onnx.TensorProto.UINT8
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"{layer.name}_out", kind, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits, *outputs = session.run(None, {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    for ours, expected in zip(outputs, golden.activations(net, images), strict=True):
        assert np.array_equal(ours.transpose(0, 2, 3, 1), expected)
    assert np.array_equal(logits, golden.logits(net, images))


def test_nothing_floats():
    model = onnx_model(network.builtin("lenet5"))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    assert {value.type.tensor_type.elem_type for value in values} <= INTEGERS
    assert {constant.data_type for constant in model.graph.initializer} <= INTEGERS
    known = {value.name for value in values}
    assert all(output in known for node in model.graph.node for output in node.output)
    assert {node.domain for node in model.graph.node} == {""}


def test_interface():
    graph = onnx_model(network.builtin("lenet5")).graph
    (images,), (logits,) = graph.input, graph.output

    def described(value):
        kind = value.type.tensor_type
        return value.name, kind.elem_type, [each.dim_param or each.dim_value for each in kind.shape.dim]

    assert described(images) == ("images", onnx.TensorProto.UINT8, ["N", 1, 28, 28])
    assert described(logits) == ("logits", onnx.TensorProto.INT32, ["N", 10])


def test_file_is_whole_and_the_same_again(tmp_path):
    net = network.builtin("lenet5")
    export_onnx(net, tmp_path / "a.onnx")
    export_onnx(net, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)


def test_unwritable(tmp_path):
    path = tmp_path / "missing" / "a.onnx"
    with pytest.raises(OhmweaveError) as refusal:
        export_onnx(network.builtin("lenet5"), path)
    assert str(refusal.value) == f"{path} cannot be written: No such file or directory"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OhmweaveError, match="cannot be written: Is a directory"):
        export_onnx(network.builtin("lenet5"), tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
