"""Networks by name, and files of weights, which run nothing that is pickled in them."""

import collections
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph_golden, graph_onnx
from ohmweave.sim.importer.record import Conv, ConvTranspose
from ohmweave.sim.models import MODELS, build_model
from ohmweave.sim.models.state_dict import read_weights
from ohmweave.sim.quantise import QuantiseOptions, quantise

onnxruntime = pytest.importorskip("onnxruntime")


class Storage:
    """Pickled as torch pickles a reference to a tensor's data."""

    def __init__(self, kind, key, count):
        self.reference = ("storage", Named("torch", kind), key, "cpu", count)


class Named:
    """Pickled as the name of something in a module."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickled as a call of something by its name."""

    def __init__(self, module, name, *arguments):
        self.function, self.arguments = Named(module, name), arguments

    def __reduce__(self):
        return (self.function, self.arguments)


class Pickler(pickle._Pickler):
    """Writes what torch.save would, without torch."""

    def persistent_id(self, value):
        return value.reference if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


def torch_file(path, content, data):
    """content: what is pickled; data: storage key → array"""
    stream = io.BytesIO()
    Pickler(stream, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, value in data.items():
            archive.writestr(f"archive/data/{key}", value.tobytes())
    return path


def tensor(key, shape, strides=None, *, kind="FloatStorage", offset=0, count=None):
    strides = strides or tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    storage = Storage(kind, key, count or int(np.prod(shape)))
    rest = (False, collections.OrderedDict())
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, shape, strides, *rest)


def test_torch_files(tmp_path):
    """Shapes, strides, offsets and types; a parameter is its tensor; `state_dict` and `module.` are taken off."""
    data = {
        "0": np.arange(12, dtype=np.float32),
        "1": np.arange(4, dtype=np.int64),
        "2": np.array([0x3FC0], np.uint16),
    }
    content = {
        "epoch": 7,
        "state_dict": collections.OrderedDict(
            {
                "module.a": tensor("0", (3, 4)),
                "b": tensor("0", (2, 3), (1, 4), offset=1, count=12),
                "c": Call(
                    "torch._utils", "_rebuild_parameter", tensor("1", (4,), kind="LongStorage"), True, {}
                ),
                "d": tensor("2", (1,), kind="BFloat16Storage"),
            }
        ),
    }
    found = read_weights(torch_file(tmp_path / "a.pth", content, data))
    np.testing.assert_array_equal(found["a"], data["0"].reshape(3, 4))
    np.testing.assert_array_equal(found["b"], [[1, 5, 9], [2, 6, 10]])
    np.testing.assert_array_equal(found["c"], [0, 1, 2, 3])
    np.testing.assert_array_equal(found["d"], [1.5])


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("numpy", "load"), ("posix", "system")],
)  # fmt: skip
def test_pickles_run_nothing(tmp_path, module, name):
    marker = tmp_path / "ran"
    content = {"a": Call(module, name, f"touch {marker}")}
    path = torch_file(tmp_path / "a.pth", content, {})
    with pytest.raises(OhmweaveError) as error:
        read_weights(path)
    assert str(error.value) == (
        f"the file of weights {path} must hold tensors only, as a state_dict does: it names {module}.{name}"
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    "value",
    [
        tensor("0", (1 << 40, 1)), tensor("0", (4,), (1 << 40,)), tensor("0", (13,)), tensor("0", (1 << 30,), (0,)),
        tensor("0", (2,), offset=-1), tensor("0", (2,), (-1,)), tensor("9", (2,)), 3,
        tensor("0", (2,), kind="IntStorage"), Call("collections", "OrderedDict", 5),
    ],
)  # fmt: skip
def test_tensors_that_are_none(tmp_path, value):
    path = torch_file(tmp_path / "a.pth", {"a": value}, {"0": np.zeros(12, np.float32)})
    with pytest.raises(OhmweaveError, match=r"^the file of weights .* must "):
        read_weights(path)


def safetensors(path, header, body=b""):
    data = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(len(data).to_bytes(8, "little") + data + body)
    return path


def test_safetensors(tmp_path):
    values = np.arange(6, dtype=np.float32)
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F16", "shape": [], "data_offsets": [24, 26]},
    }
    path = safetensors(tmp_path / "a.safetensors", header, values.tobytes() + np.float16(1.5).tobytes())
    found = read_weights(path)
    np.testing.assert_array_equal(found["a"], values.reshape(2, 3))
    assert found["b"] == 1.5


@pytest.mark.parametrize(
    "header",
    [
        b"{", b"[]", b"", {"a": 3}, {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}},
        {"a": {"dtype": "Q7", "shape": [1], "data_offsets": [0, 4]}},
    ],
)  # fmt: skip
def test_damaged_safetensors(tmp_path, header):
    path = safetensors(tmp_path / "a.safetensors", header, bytes(8))
    with pytest.raises(OhmweaveError) as error:
        read_weights(path)
    assert str(error.value) == (
        f"the file of weights {path} must be a safetensors file, and is not or is damaged"
    )


def test_other_files_of_weights(tmp_path):
    with pytest.raises(OhmweaveError) as error:
        read_weights(tmp_path / "a.bin")
    assert str(error.value) == (
        "a file of weights must end in one of .pth, .pt, .safetensors, .npz, not 'a.bin'"
    )
    with pytest.raises(OhmweaveError, match=r"cannot be read: No such file or directory$"):
        read_weights(tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(
        OhmweaveError, match=r"must be a state_dict of torch.save's zip format, and is not or is"
    ):
        read_weights(tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    assert set(read_weights(tmp_path / "a.npz")) == {"a"}


def check_integers(model, images):
    """The golden model and ONNX Runtime give the same integers, and they follow the float network."""
    result = quantise(model.network, model.calibration, QuantiseOptions(mean=model.mean, std=model.std))
    expected = graph_golden.logits(result.graph, images)
    data = graph_onnx.onnx_model(result.graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    np.testing.assert_array_equal(logits, expected)
    return result


def test_generator():
    model = build_model("generator")
    assert model.network.shapes[model.network.output] == (3, 32, 32)
    assert model.network.notes == ("generator has random weights of seed 1: its outputs mean nothing",)
    result = check_integers(model, model.calibration)
    assert all(each.transposed for each in result.graph.nodes)
    assert [tensor.shape for tensor in result.graph.tensors.values()] == [
        (64, 1, 1), (128, 4, 4), (64, 8, 8), (32, 16, 16), (3, 32, 32),
    ]  # fmt: skip


#: Convolutions of torchvision's networks: (input channels, output channels, kernel, stride) and how many.
SHAPES = {
    "resnet18": {
        (3, 64, 7, 2): 1, (64, 64, 3, 1): 4, (64, 128, 3, 2): 1, (64, 128, 1, 2): 1, (128, 128, 3, 1): 3,
        (128, 256, 3, 2): 1, (128, 256, 1, 2): 1, (256, 256, 3, 1): 3, (256, 512, 3, 2): 1, (256, 512, 1, 2): 1,
        (512, 512, 3, 1): 3, (512, 1000, 1, 1): 1,
    },
    "resnet34": {
        (3, 64, 7, 2): 1, (64, 64, 3, 1): 6, (64, 128, 3, 2): 1, (64, 128, 1, 2): 1, (128, 128, 3, 1): 7,
        (128, 256, 3, 2): 1, (128, 256, 1, 2): 1, (256, 256, 3, 1): 11, (256, 512, 3, 2): 1, (256, 512, 1, 2): 1,
        (512, 512, 3, 1): 5, (512, 1000, 1, 1): 1,
    },
}  # fmt: skip
#: Weights and biases of torchvision's networks, batch normalisation's statistics apart.
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672}


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet34", marks=pytest.mark.nightly)])
def test_resnets(name):
    """Exact shapes; the tensors of random weights keep their range from the first to the last layer."""
    model = build_model(name)
    found = collections.Counter(
        (each.weights.shape[1], each.weights.shape[0], each.kernel[0], each.stride[0])
        for each in model.network.convolutions()
    )
    assert found == SHAPES[name]
    # Batch normalisation has two parameters a channel, of which the bias is left, and the folded scale is not.
    count = sum(
        each.weights.size + each.bias.size * (2 - (each.weights.shape[0] == 1000))
        for each in model.network.convolutions()
    )
    assert count == PARAMETERS[name]
    images = model.calibration[:1]
    result = check_integers(model, images)
    tensors = graph_golden.activations(result.graph, images, [each.name for each in result.graph.nodes[:-1]])
    for values in tensors.values():
        assert values.max() - values.min() > 8
    assert {each.name for each in result.graph.nodes} >= {"conv1", "layer1_0_conv1", "layer4_1_conv2", "fc"}
    assert len(result.graph.nodes) == {"resnet18": 23, "resnet34": 39}[name]


def test_users_weights(tmp_path):
    """A file of torchvision's names makes the same network; anything missing, odd or too much is named."""
    random = np.random.default_rng(1)
    weights = {}
    channels = 64
    for place, (inputs, outputs) in enumerate(((64, 128), (128, 64), (64, 32))):
        weights[f"main.{3 * place}.weight"] = (
            random.normal(size=(inputs, outputs, 4, 4)).astype(np.float32) / 30
        )
        for key in ("weight", "bias", "running_mean"):
            weights[f"main.{3 * place + 1}.{key}"] = random.normal(size=outputs).astype(np.float32)
        weights[f"main.{3 * place + 1}.running_var"] = np.ones(outputs, np.float32)
        weights[f"main.{3 * place + 1}.num_batches_tracked"] = np.array(3)
        channels = outputs
    weights["main.9.weight"] = random.normal(size=(channels, 3, 4, 4)).astype(np.float32)
    path = tmp_path / "g.npz"
    np.savez(path, **weights)
    model = build_model("generator", weights=path)
    assert model.calibration is None
    assert model.network.notes == (f"generator has the weights of {path}",)
    first = next(model.network.convolutions())
    assert isinstance(first, ConvTranspose)
    scale = weights["main.1.weight"] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(first.weights, weights["main.0.weight"] * scale[:, None, None], rtol=1e-5)
    for change, sentence in (
        ({"main.9.weight": None}, "the weights of generator must hold a tensor main.9.weight, and do not"),
        ({"fc.weight": np.ones(2)}, "the weights must be those of generator, which has no fc.weight"),
        (
            {"main.0.weight": np.ones((2, 2))},
            "the weights of generator must hold main.0.weight as finite numbers of shape [64, 128, 4, 4], not [2, 2]",
        ),
    ):
        np.savez(path, **{key: value for key, value in (weights | change).items() if value is not None})
        with pytest.raises(OhmweaveError) as error:
            build_model("generator", weights=path)
        assert str(error.value) == sentence


def test_unknown_name():
    with pytest.raises(OhmweaveError) as error:
        build_model("vgg")
    assert str(error.value) == f"a float network must be one of {', '.join(MODELS)}, not 'vgg'"


@pytest.mark.nightly
def test_import_of_resnet34_in_memory(tmp_path):
    """A file of it is imported, quantised with 32 images and exported in at most 2 GB; the seconds are printed."""
    import subprocess
    import sys

    from ohmweave.sim.importer.execute import float_model

    model = build_model("resnet34")
    (tmp_path / "net.onnx").write_bytes(float_model(model.network).SerializeToString())
    np.savez(tmp_path / "c.npz", images=np.concatenate([model.calibration] * 4))
    script = (
        "import resource, time; start = time.time(); from ohmweave.cli import main; "
        "code = main(['export', 'net.onnx', '--onnx', 'out.onnx', '--calibration', 'c.npz']); "
        "print(code, time.time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    code, seconds, kilobytes = done.stdout.splitlines()[-1].split()
    print(f"{seconds} s, {int(kilobytes) >> 10} MB")
    assert code == "0"
    assert int(kilobytes) <= 2 << 20


CHECKPOINT = Path(__file__).parents[3] / "shared" / "models" / "resnet20-12fca82f.th"


@pytest.mark.nightly
def test_resnet20_checkpoint_loses_at_most_half_a_point(tmp_path):
    """Somebody else's float ResNet-20, as PyTorch exports it, at 8 bits on the 10,000 test images of CIFAR-10."""
    import subprocess
    import sys

    from ohmweave.sim.datasets import load_cifar10
    from ohmweave.sim.importer import load_onnx
    from ohmweave.sim.importer.execute import run_float
    from ohmweave.sim.quantise import normalised

    if not CHECKPOINT.exists():
        pytest.skip(f"no checkpoint at {CHECKPOINT}")
    pytest.importorskip("torch", reason="PyTorch exports the checkpoint")
    script = Path(__file__).parents[2] / "scripts" / "export_resnet20_checkpoint.py"
    path = tmp_path / "net.onnx"
    subprocess.run([sys.executable, script, CHECKPOINT, path], check=True)
    network = load_onnx(path)
    options = QuantiseOptions(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images, labels = load_cifar10("test")
    result = quantise(network, load_cifar10("train")[0][:256], options)
    data = graph_onnx.onnx_model(result.graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    right = {"float": 0, "integers": 0}
    for start in range(0, len(images), 500):
        part, wanted = images[start : start + 500], labels[start : start + 500]
        for tensors in run_float(network, normalised(part, options), [network.output]):
            scores = tensors[network.output].reshape(-1, 10)
            right["float"] += int((scores.argmax(1) == wanted[: len(scores)]).sum())
            wanted = wanted[len(scores) :]
        (logits,) = session.run(None, {"images": np.ascontiguousarray(part.transpose(0, 3, 1, 2))})
        right["integers"] += int((logits.argmax(1) == labels[start : start + 500]).sum())
    print(right)
    assert right["float"] == 9173
    assert right["integers"] >= right["float"] - 50
    assert all(isinstance(each, Conv) for each in network.convolutions())
