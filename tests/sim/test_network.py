"""The record of a network, its file, and the random ones."""

import io
import json
import zipfile

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import network
from ohmweave.sim.network import ConvLayer, Network
from ohmweave.sim.random_network import Limits, random_network


def make_layer(**changes):
    shape = changes.pop("shape", (3, 2, 3, 3))
    count = shape[0]
    values = {
        "name": "conv",
        "weights": np.zeros(shape, np.int8),
        "bias": np.zeros(count, np.int32),
        "mult": np.ones(count, np.uint16),
        "shift": np.ones(count, np.uint8),
        "raw": True,
    }
    return ConvLayer(**values | changes)


def make_network(**changes):
    values = {"name": "net", "input_shape": (2, 3, 3), "layers": (make_layer(),)}
    return Network(**values | changes)


def same(one: Network, other: Network) -> bool:
    """Whether two networks are equal in everything."""
    keys = ("name", "input_shape", "input_bits", "act_bits", "weight_bits")
    layer_keys = ("name", "stride", "pad", "pool", "raw")
    return (
        all(getattr(one, key) == getattr(other, key) for key in keys)
        and len(one.layers) == len(other.layers)
        and all(
            all(getattr(a, key) == getattr(b, key) for key in layer_keys)
            and all(
                np.array_equal(getattr(a, key), getattr(b, key))
                for key in ("weights", "bias", "mult", "shift")
            )
            for a, b in zip(one.layers, other.layers, strict=True)
        )
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"name": "a b"},
            "a layer's name must be letters, digits and underscores, at most 64, not 'a b'",
        ),
        (
            {"weights": np.zeros((3, 2, 3, 3))},
            "layer conv: weights must be an array of int8 of 4 dimensions, not float64 of 4",
        ),
        ({"weights": [1]}, "layer conv: weights must be an array of int8 of 4 dimensions, not list"),
        ({"shape": (0, 2, 3, 3)}, "layer conv: output channels must be a whole number from 1 to 4096, not 0"),
        ({"shape": (3, 0, 3, 3)}, "layer conv: input channels must be a whole number from 1 to 4096, not 0"),
        ({"shape": (3, 2, 3, 2)}, "layer conv: kernel must be square, not 3×2"),
        ({"shape": (3, 2, 17, 17)}, "layer conv: kernel must be a whole number from 1 to 16, not 17"),
        ({"bias": np.zeros(2, np.int32)}, "layer conv: bias must have one entry for each of 3 output channels, not 2"),
        (
            {"bias": np.full(3, 2**23, np.int32)},
            "layer conv: bias must be from -8388608 to 8388607, not 8388608 to 8388608",
        ),
        ({"mult": np.ones(3, np.int32)}, "layer conv: mult must be an array of uint16 of 1 dimensions, not int32 of 1"),
        ({"shift": np.array([1, 0, 1], np.uint8)}, "layer conv: shift must be from 1 to 39, not 0 to 1"),
        ({"shift": np.full(3, 40, np.uint8)}, "layer conv: shift must be from 1 to 39, not 40 to 40"),
        ({"stride": 0}, "layer conv: stride must be a whole number from 1 to 16, not 0"),
        ({"stride": 1.0}, "layer conv: stride must be a whole number from 1 to 16, not 1.0"),
        ({"pad": 3}, "layer conv: pad must be a whole number from 0 to 2, not 3"),
        ({"pool": 0, "raw": False}, "layer conv: pool must be a whole number from 1 to 16, not 0"),
        ({"pool": True, "raw": False}, "layer conv: pool must be a whole number from 1 to 16, not True"),
        ({"raw": 1}, "layer conv: raw must be true or false, not 1"),
        ({"pool": 2}, "layer conv: a raw layer must have pool 1, not 2"),
    ],
)  # fmt: skip
def test_layer_refusals(changes, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        make_layer(**changes)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "a network's name must be letters, digits and underscores, at most 64, not ''"),
        ({"input_shape": (2, 3)}, "the input shape must be (channels, height, width), not (2, 3)"),
        ({"input_shape": (2, 0, 3)}, "input height must be a whole number from 1 to 4096, not 0"),
        ({"input_bits": 9}, "input_bits must be a whole number from 1 to 8, not 9"),
        ({"act_bits": 0}, "act_bits must be a whole number from 1 to 8, not 0"),
        ({"weight_bits": 1}, "weight_bits must be a whole number from 2 to 8, not 1"),
        ({"layers": []}, "a network's layers must be a tuple of ConvLayer"),
        ({"layers": ()}, "the number of layers must be a whole number from 1 to 512, not 0"),
        (
            {"layers": (make_layer(raw=False), make_layer())},
            "layers must have different names, not conv, conv",
        ),
        ({"input_shape": (1, 3, 3)}, "layer conv: input channels must be 1, not 2"),
        ({"layers": (make_layer(raw=False),)}, "layer conv: the last layer, and no other, must be raw"),
        ({"input_shape": (2, 2, 3)}, "layer conv: the output must have at least one pixel, not 0×1"),
        ({"input_shape": (2, 3, 4)}, "the last layer's output must be one pixel, not 1×2"),
        (
            {"layers": (make_layer(weights=np.full((3, 2, 3, 3), 8, np.int8)),)},
            "layer conv: weights must be from -8 to 7, not 8 to 8",
        ),
    ],
)
def test_network_refusals(changes, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        make_network(**changes)
    assert str(refusal.value) == sentence


def test_record_is_its_own():
    weights = np.zeros((3, 2, 3, 3), np.int8)
    layer = make_layer(weights=weights)
    weights[:] = 1
    assert not layer.weights.any()
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0] = 1


def test_lenet5():
    net = network.builtin("lenet5")
    assert net.shapes == ((1, 28, 28), (6, 14, 14), (16, 5, 5), (120, 1, 1), (84, 1, 1), (10, 1, 1))
    assert [layer.name for layer in net.layers] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert [layer.rows for layer in net.layers] == [25, 150, 400, 120, 84]
    assert net.classes == 10
    for layer in net.layers:
        assert layer.weights.min() >= -8
        assert layer.weights.max() <= 7
    with pytest.raises(OhmweaveError, match=r"a built-in network must be one of lenet5, not 'alexnet'"):
        network.builtin("alexnet")


@pytest.mark.parametrize("seed", range(5))
def test_file_round_trip(seed, tmp_path):
    net = random_network(seed)
    network.save(net, tmp_path / "a.npz")
    network.save(net, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    assert same(network.load(tmp_path / "a.npz"), net)
    assert not same(net, random_network(seed + 1))


def refused(path) -> str:
    with pytest.raises(OhmweaveError) as refusal:
        network.load(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    net = random_network(3)
    path = tmp_path / "net.npz"
    network.save(net, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refusals = 0
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert same(network.load(path), net)
        except OhmweaveError:
            refusals += 1
    assert refusals > 150
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)


def rewrite(source, target, **changes):
    """A copy of an `.npz` with some arrays changed, or left out where the change is None."""
    with np.load(source) as stored:
        arrays = dict(stored) | changes
    np.savez(target, **{key: value for key, value in arrays.items() if value is not None})


def test_file_refusals(tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    network.save(make_network(), good)
    assert refused(bad) == f"the network file {bad} cannot be read: No such file or directory"
    assert refused(tmp_path) == f"the network file {tmp_path} cannot be read: Is a directory"
    bad.write_bytes(b"not a zip")
    not_npz = f"the network file {bad} must be an .npz of plain arrays, and is not or is damaged"
    assert refused(bad) == not_npz
    rewrite(good, bad, header=np.array([{"a": 1}], object))
    assert refused(bad) == not_npz
    foreign = f"the network file {bad} must be one that this program wrote:"
    rewrite(good, bad, header=None)
    assert refused(bad) == f"{foreign} its header is missing or is not JSON"
    rewrite(good, bad, header=np.zeros(10, np.uint8))
    assert refused(bad) == f"{foreign} its header is missing or is not JSON"
    rewrite(good, bad, extra=np.zeros(1))
    assert refused(bad) == f"{foreign} its arrays must be exactly those of its layers"
    rewrite(good, bad, **{"conv.bias": np.zeros(3)})
    assert refused(bad) == (
        f"the network file {bad} is not valid: layer conv: bias must be an array of int32 of 1 dimensions, "
        "not float64 of 1"
    )

    with np.load(good) as stored:
        header = json.loads(stored["header"].tobytes())

    def with_header(**changes):
        text = json.dumps(header | changes).encode()
        rewrite(good, bad, header=np.frombuffer(text, np.uint8))
        return refused(bad)

    assert with_header(format="other") == f"{foreign} its format is not ohmweave-network-1"
    assert with_header(more=1) == (
        f"{foreign} its header must have exactly name, input_shape, input_bits, act_bits, weight_bits, layers"
    )
    assert with_header(layers=3).startswith(f"{foreign} its header must have exactly")
    assert with_header(layers=[1]) == f"{foreign} each layer must have exactly name, stride, pad, pool, raw"
    assert with_header(name=7).startswith(f"the network file {bad} is not valid: a network's name must be")
    assert with_header(input_shape=5).startswith(f"the network file {bad} is not valid: the input shape must")
    assert with_header(input_bits="4").endswith("input_bits must be a whole number from 1 to 8, not '4'")


def test_claimed_sizes_are_not_trusted(tmp_path, monkeypatch):
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    path = tmp_path / "claim.npz"
    one = io.BytesIO()
    np.save(one, np.zeros(1, np.uint8))
    for data in (claim.getvalue() + b"1234", one.getvalue() + b"1234"):  # more than there is, and less
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.npy", data)
        assert "is not or is damaged" in refused(path)
    monkeypatch.setattr(network, "MAX_FILE_BYTES", 1000)
    np.savez_compressed(path, header=np.zeros(100_000, np.uint8))
    assert refused(path) == f"the network file {path} must unpack to at most 1000 bytes"


def test_save_to_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OhmweaveError, match="cannot be written: No such file or directory"):
        network.save(make_network(), tmp_path / "missing" / "net.npz")


def test_random_networks():
    limits = Limits(
        layers=3, rows=60, out_channels=5, size=9, max_stride=3, in_channels=lambda kernel: 8 // kernel
    )
    kernels, pools, strides = set(), set(), set()
    for seed in range(150):
        net = random_network(seed, limits)
        assert same(net, random_network(seed, limits))
        assert len(net.layers) <= 3
        for layer, shape in zip(net.layers, net.shapes, strict=False):
            assert layer.rows <= 60
            assert layer.in_channels <= 8 // layer.kernel
            assert layer.out_channels <= 5
            assert max(shape[1:]) <= 9
            kernels.add(layer.kernel)
            strides.add(layer.stride)
            pools.add(layer.pool)
    assert kernels == set(range(1, 8))
    assert strides == {1, 2, 3}
    assert pools == {1, 2, 3, 4}
