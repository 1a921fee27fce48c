"""Files of graphs, and networks of layers as graphs."""

import contextlib
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import graph as graphs
from ohmweave.sim import network
from ohmweave.sim.graph import RAW_BITS, Add, Concat, Conv, Graph, Select, Tensor, from_network
from ohmweave.sim.network import Network
from ohmweave.sim.random_graph import random_graph


def make_graph():
    """A graph of a few nodes, none of them with a meaning."""
    three = {"mult": np.ones(3, np.uint16), "shift": np.zeros(3, np.int8), "bias": np.zeros(3, np.int64)}
    one = {"in_mult": np.ones((1, 2), np.uint16), "in_shift": np.zeros((1, 2), np.int8)}
    nodes = (
        Conv(name="conv", input="image", weights=np.zeros((3, 2, 3, 3), np.int16), **three),
        Select(name="select", input="conv", channels=np.arange(2, dtype=np.int32), size=(2, 2)),
        Add(name="end", terms=("select",), bias=np.zeros(2, np.int64), bits=RAW_BITS, **one),
    )
    image = Tensor(name="image", shape=(2, 5, 6), bits=8)
    return Graph(name="graph", input=image, nodes=nodes, fill=(1, 2))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"act_bits": 5}, "act_bits of a network that becomes a graph must be 4, 8 or 16, not 5"),
        ({"weight_bits": 6}, "weight_bits of a network that becomes a graph must be 4, 8 or 16, not 6"),
        ({"input_bits": 7}, "input_bits of a network that becomes a graph must be 4 or 8, not 7"),
    ],
)
def test_networks_that_are_no_graphs(changes, sentence):
    net = network.builtin("lenet5")
    values = {each.name: getattr(net, each.name) for each in dataclasses.fields(Network)}
    with pytest.raises(OhmweaveError) as refusal:
        from_network(Network(**values | changes))
    assert str(refusal.value) == sentence


def same(one: Graph, other: Graph) -> bool:
    """Whether two graphs are equal in everything."""

    def plain(node):
        return {
            each.name: getattr(node, each.name)
            for each in dataclasses.fields(node)
            if each.name not in node.ARRAYS
        }

    return (
        (one.name, one.input, one.fill) == (other.name, other.input, other.fill)
        and [type(node) for node in one.nodes] == [type(node) for node in other.nodes]
        and all(
            plain(a) == plain(b) and all(np.array_equal(getattr(a, key), getattr(b, key)) for key in a.ARRAYS)
            for a, b in zip(one.nodes, other.nodes, strict=True)
        )
    )


@pytest.mark.parametrize("seed", range(20))
def test_file_round_trip(seed, tmp_path):
    graph = random_graph(seed)
    graphs.save(graph, tmp_path / "a.npz")
    graphs.save(graph, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    assert same(graphs.load(tmp_path / "a.npz"), graph)
    assert not same(graph, random_graph(seed + 1))


def test_concatenations_without_an_axis_are_of_channels(tmp_path):
    """Files that were written before there were others."""
    graph = make_graph()
    twice = Concat(name="twice", parts=("select", "select"))
    wide = {"in_mult": np.ones((1, 4), np.uint16), "in_shift": np.zeros((1, 4), np.int8)}
    end = Add(name="end", terms=("twice",), bias=np.zeros(4, np.int64), bits=RAW_BITS, **wide)
    graph = dataclasses.replace(graph, nodes=(*graph.nodes[:2], twice, end))
    new, old = tmp_path / "new.npz", tmp_path / "old.npz"
    graphs.save(graph, new)
    with np.load(new) as stored:
        header = json.loads(stored["header"].tobytes())
    assert header["nodes"][2].pop("axis") == "channels"
    rewrite(new, old, header=np.frombuffer(json.dumps(header).encode(), np.uint8))
    assert same(graphs.load(old), graph)
    header["nodes"][2]["axis"] = "batch"
    rewrite(new, old, header=np.frombuffer(json.dumps(header).encode(), np.uint8))
    assert refused(old) == (
        f"the graph file {old} is not valid: node twice: axis must be one of channels, rows, columns, not 'batch'"
    )


def refused(path) -> str:
    with pytest.raises(OhmweaveError) as refusal:
        graphs.load(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    graph = random_graph(3)
    path = tmp_path / "graph.npz"
    graphs.save(graph, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refusals = 0
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert same(graphs.load(path), graph)
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


def test_headers_of_nonsense_are_refused(tmp_path):
    """Every value of a header in turn replaced by values of other types and sizes: a sentence, or a legal graph."""
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    graphs.save(make_graph(), good)
    with np.load(good) as stored:
        header = json.loads(stored["header"].tobytes())
    strange = [None, True, -1, 0, 3, 10**30, 1.5, "", "x" * 100, [], [1], [1, 2], [[], {}], {}, {"a": 1}]

    def places(value, path=()):
        yield path
        if isinstance(value, dict | list):
            for key, each in value.items() if isinstance(value, dict) else enumerate(value):
                yield from places(each, (*path, key))

    tried = accepted = 0
    for path in places(header):
        for value in strange:
            changed = json.loads(json.dumps(header))
            where = changed
            if not path:
                changed = value
            else:
                for key in path[:-1]:
                    where = where[key]
                where[path[-1]] = value
            rewrite(good, bad, header=np.frombuffer(json.dumps(changed).encode(), np.uint8))
            with contextlib.suppress(OhmweaveError):
                graphs.load(bad)
                accepted += 1
            tried += 1
    assert tried > 500
    assert accepted < tried // 10


def test_file_refusals(tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    graphs.save(make_graph(), good)
    assert refused(bad) == f"the graph file {bad} cannot be read: No such file or directory"
    bad.write_bytes(b"not a zip")
    not_npz = f"the graph file {bad} must be an .npz of plain arrays, and is not or is damaged"
    assert refused(bad) == not_npz
    rewrite(good, bad, header=np.array([{"a": 1}], object))
    assert refused(bad) == not_npz
    foreign = f"the graph file {bad} must be one that this program wrote:"
    rewrite(good, bad, header=None)
    assert refused(bad) == f"{foreign} its header is missing or is not JSON"
    rewrite(good, bad, header=np.zeros(10, np.uint8))
    assert refused(bad) == f"{foreign} its header is missing or is not JSON"
    rewrite(good, bad, extra=np.zeros(1))
    assert refused(bad) == f"{foreign} its arrays must be exactly those of its nodes"
    rewrite(good, bad, **{"conv.bias": np.zeros(3)})
    assert refused(bad) == (
        f"the graph file {bad} is not valid: node conv: bias must be an array of int64 of 1 dimension, "
        "not float64 of 1"
    )

    with np.load(good) as stored:
        header = json.loads(stored["header"].tobytes())
    conv, *rest = header["nodes"]

    def with_header(**changes):
        text = json.dumps(header | changes).encode()
        rewrite(good, bad, header=np.frombuffer(text, np.uint8))
        return refused(bad)

    assert with_header(format="other") == f"{foreign} its format is not ohmweave-graph-1"
    assert with_header(more=1) == f"{foreign} its header must have exactly name, input, nodes, fill"
    assert with_header(nodes=3) == f"{foreign} its header must have exactly name, input, nodes, fill"
    types = f"{foreign} each node's type must be one of Conv, Add, SumPool, MaxPool, Concat, Select, Flatten"
    assert with_header(nodes=[1]) == types
    assert with_header(nodes=[conv | {"type": "Gemm"}, *rest]) == types
    assert with_header(nodes=[conv | {"more": 1}, *rest]).startswith(
        f"{foreign} each Conv must have exactly name, "
    )
    assert with_header(input=1) == f"{foreign} its input must have exactly name, shape, bits, zero_point"
    assert with_header(nodes=[conv | {"stride": [1, 2, 3]}, *rest]) == (
        f"the graph file {bad} is not valid: node conv: stride must be (y, x), not (1, 2, 3)"
    )
    assert with_header(name=7).startswith(f"the graph file {bad} is not valid: a graph's name must be")


def test_claimed_sizes_are_not_trusted(tmp_path, monkeypatch):
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    path = tmp_path / "claim.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", claim.getvalue() + b"1234")
    assert "is not or is damaged" in refused(path)
    monkeypatch.setattr(graphs, "MAX_FILE_BYTES", 1000)
    np.savez_compressed(path, header=np.zeros(100_000, np.uint8))
    assert refused(path) == f"the graph file {path} must unpack to at most 1000 bytes"
