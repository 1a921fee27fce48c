"""The records of a graph: shapes, and what is refused."""

import dataclasses

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim.graph import RAW_BITS, Add, Concat, Conv, Flatten, Graph, MaxPool, Select, SumPool, Tensor

IMAGE = Tensor(name="image", shape=(2, 5, 6), bits=8)


def scale(channels, bits=8, **changes):
    values = {
        "bias": np.zeros(channels, np.int64),
        "mult": np.ones(channels, np.uint16),
        "shift": np.zeros(channels, np.int8),
        "bits": bits,
    }
    return values | changes


def make_conv(shape=(3, 2, 3, 3), raw=True, **changes):
    values = {"name": "conv", "input": "image", "weights": np.zeros(shape, np.int16)} | scale(shape[0])
    if raw:
        values |= {"bits": RAW_BITS, "mult": np.zeros(0, np.uint16), "shift": np.zeros(0, np.int8)}
    return Conv(**values | changes)


def make_add(terms=("image",), **changes):
    inputs = {"in_mult": np.ones((len(terms), 2), np.uint16), "in_shift": np.zeros((len(terms), 2), np.int8)}
    return Add(**{"name": "add", "terms": terms} | scale(2) | inputs | changes)


def make_pool(**changes):
    return SumPool(**{"name": "pool", "input": "image", "kernel": (2, 2)} | scale(2) | changes)


def make_max(**changes):
    return MaxPool(**{"name": "max", "input": "image", "kernel": (2, 2)} | changes)


def make_select(**changes):
    chosen = {"channels": np.arange(2, dtype=np.int32), "size": (5, 6)}
    return Select(**{"name": "select", "input": "image"} | chosen | changes)


def make_graph(*nodes, **changes):
    return Graph(**{"name": "graph", "input": IMAGE, "nodes": nodes} | changes)


def end(source="image", channels=2):
    """A raw node that reads one tensor."""
    one = {"in_mult": np.ones((1, channels), np.uint16), "in_shift": np.zeros((1, channels), np.int8)}
    return Add(name="end", terms=(source,), bias=np.zeros(channels, np.int64), bits=RAW_BITS, **one)


def test_shapes_of_convolutions():
    def shape(kernel, size=(5, 6), **options):
        conv = make_conv((4, 2, *kernel), **options)
        return make_graph(conv, input=Tensor(name="image", shape=(2, *size), bits=8)).output.shape

    assert shape((3, 3)) == (4, 3, 4)
    assert shape((3, 3), pads=(1, 1, 1, 1)) == (4, 5, 6)
    assert shape((3, 2), pads=(2, 1, 0, 0), stride=(2, 3)) == (4, 3, 2)
    assert shape((3, 2), dilation=(2, 4)) == (4, 1, 2)
    assert shape((5, 6)) == (4, 1, 1)
    assert shape((2, 2), transposed=True, stride=(2, 2)) == (4, 10, 12)
    assert shape((4, 3), transposed=True, stride=(2, 3), pads=(1, 0, 1, 2), output_padding=(0, 2)) == (
        4,
        10,
        18,
    )
    assert shape((2, 2), transposed=True, dilation=(3, 1), pads=(3, 0, 2, 1)) == (4, 3, 6)


def test_windows_of_transposed_convolutions():
    """What the equal convolution of a spread map needs."""
    weights = np.arange(6).reshape(1, 1, 2, 3).astype(np.int16)
    turned = make_conv(
        (1, 1, 2, 3),
        weights=weights,
        transposed=True,
        stride=(3, 2),
        pads=(0, 2, 1, 1),
        output_padding=(2, 1),
    )
    assert turned.window_weights.tolist() == [[[[5, 4, 3], [2, 1, 0]]]]
    assert (turned.spread, turned.window_stride) == ((3, 2), (1, 1))
    assert turned.window_pads == (1, 0, 2, 2)
    plain = make_conv((1, 1, 2, 3), weights=weights, stride=(3, 2), pads=(0, 2, 1, 1))
    assert (plain.spread, plain.window_stride, plain.window_pads) == ((1, 1), (3, 2), (0, 2, 1, 1))
    assert np.array_equal(plain.window_weights, weights)
    assert (plain.rows, plain.in_channels, plain.kernel, plain.extent) == (6, 1, (2, 3), (2, 3))


def test_shapes_of_the_others():
    graph = make_graph(
        make_max(name="a", kernel=(3, 2), stride=(2, 2), pads=(1, 0, 1, 1)),
        make_pool(name="b", input="a"),
        make_select(
            name="c", input="a", channels=np.array([1, -1, 0, 0], np.int32), size=(2, 1), pads=(0, 0, 0, 1)
        ),
        Flatten(name="d", input="c"),
        Flatten(name="e", input="b"),
        Concat(name="f", parts=("d", "e", "d")),
        end("f", 40),
    )
    assert {name: tensor.shape for name, tensor in graph.tensors.items()} == {
        "image": (2, 5, 6),
        "a": (2, 3, 3),
        "b": (2, 2, 2),
        "c": (4, 2, 2),
        "d": (16, 1, 1),
        "e": (8, 1, 1),
        "f": (40, 1, 1),
        "end": (40, 1, 1),
    }
    assert graph.logits_shape == (40,)
    assert graph.logits_dtype is np.int32
    assert graph.node["f"].inputs == ("d", "e", "d")


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [("rows", [(2, 5, 6), (2, 3, 6), (2, 13, 6)]), ("columns", [(2, 5, 6), (2, 5, 3), (2, 5, 15)])],
)
def test_shapes_of_concatenations_over_space(axis, shapes):
    part = make_select(name="part", size=shapes[1][1:])
    both = Concat(name="both", parts=("image", "part", "image"), axis=axis)
    graph = make_graph(part, both, end("both"))
    assert [graph.tensors[name].shape for name in ("image", "part", "both")] == shapes
    assert both.side == {"rows": 1, "columns": 2}[axis]
    assert Concat(name="both", parts=("image",)).axis == "channels"


def test_logits():
    assert make_graph(end()).logits_shape == (2, 5, 6)
    for largest, dtype in ((2**31 - 256, np.int32), (2**31 - 255, np.int64), (-(2**47) + 256, np.int64)):
        node = dataclasses.replace(end(), bias=np.array([0, largest]))
        assert make_graph(node).logits_dtype is dtype


def test_zero_points():
    image = dataclasses.replace(IMAGE, zero_point=3)
    assert make_graph(make_conv(), input=image).zero_points("image").tolist() == [3, 3]
    graph = make_graph(make_conv(raw=False, zero_point=5), end("conv", 3), fill=(4, 200))
    assert graph.zero_points("image").tolist() == [4, 200]
    assert graph.zero_points("conv").tolist() == [5, 5, 5]


RESIDUAL = {"residual": "image", "in_mult": np.ones(2, np.uint16), "in_shift": np.zeros(2, np.int8)}


@pytest.mark.parametrize(
    ("make", "changes", "sentence"),
    [
        (
            make_conv,
            {"name": "a b"},
            "a node's name must be letters, digits and underscores, at most 64, not 'a b'",
        ),
        (
            make_conv,
            {"name": "n" * 65},
            f"a node's name must be letters, digits and underscores, at most 64, not '{'n' * 65}'",
        ),
        (
            make_conv,
            {"name": "é"},
            "a node's name must be letters, digits and underscores, at most 64, not 'é'",
        ),
        (make_conv, {"input": 3}, "input must be letters, digits and underscores, at most 64, not 3"),
        (
            make_conv,
            {"weights": np.zeros((3, 2, 3, 3), np.int8)},
            "weights must be an array of int16 of 4 dimensions, not int8 of 4",
        ),
        (
            make_conv,
            {"weights": np.zeros(3, np.int16)},
            "weights must be an array of int16 of 4 dimensions, not int16 of 1",
        ),
        (make_conv, {"weights": [1]}, "weights must be an array of int16 of 4 dimensions, not list"),
        (
            make_conv,
            {"shape": (0, 2, 3, 3)},
            "output channels must be a whole number from 1 to 131072, not 0",
        ),
        (
            make_conv,
            {"shape": (3, 0, 3, 3)},
            "input channels of a group must be a whole number from 1 to 131072, not 0",
        ),
        (make_conv, {"shape": (3, 2, 0, 3)}, "kernel height must be a whole number from 1 to 4096, not 0"),
        (make_conv, {"weight_bits": 5}, "weight_bits must be 4, 8 or 16, not 5"),
        (make_conv, {"weight_bits": True}, "weight_bits must be 4, 8 or 16, not True"),
        (
            make_conv,
            {"weights": np.full((3, 2, 3, 3), 8, np.int16), "weight_bits": 4},
            "weights must be from -8 to 7, not 8 to 8",
        ),
        (
            make_conv,
            {"weights": np.full((3, 2, 3, 3), -129, np.int16)},
            "weights must be from -128 to 127, not -129 to -129",
        ),
        (make_conv, {"bias": np.zeros(2, np.int64)}, "bias must have the shape (3), not (2,)"),
        (make_conv, {"bias": np.zeros(3)}, "bias must be an array of int64 of 1 dimension, not float64 of 1"),
        (
            make_conv,
            {"bias": np.full(3, 2**47)},
            "bias must be from -140737488355328 to 140737488355327, not 140737488355328 to 140737488355328",
        ),
        (make_conv, {"mult": np.ones(3, np.uint16)}, "mult must have the shape (0), not (3,)"),
        (
            make_conv,
            {"raw": False, "mult": np.ones(3, np.int16)},
            "mult must be an array of uint16 of 1 dimension, not int16 of 1",
        ),
        (make_conv, {"raw": False, "shift": np.ones(1, np.int8)}, "shift must have the shape (3), not (1,)"),
        (
            make_conv,
            {"raw": False, "shift": np.array([0, -17, 1], np.int8)},
            "shift must be from -16 to 47, not -17 to 1",
        ),
        (
            make_conv,
            {"raw": False, "shift": np.array([0, 48, 1], np.int8)},
            "shift must be from -16 to 47, not 0 to 48",
        ),
        (make_conv, {"raw": False, "bits": 7}, "bits must be 4, 8, 16 or 48, not 7"),
        (
            make_conv,
            {"raw": False, "zero_point": 256},
            "zero_point must be a whole number from 0 to 255, not 256",
        ),
        (make_conv, {"zero_point": 1}, "zero_point must be a whole number from 0 to 0, not 1"),
        (make_conv, {"raw": False, "high": 256}, "high must be a whole number from 0 to 255, not 256"),
        (make_conv, {"raw": False, "low": 4, "high": 3}, "low must be a whole number from 0 to 3, not 4"),
        (make_conv, {"high": 1}, "high must be a whole number from 0 to 0, not 1"),
        (make_conv, {"stride": (1, 0)}, "stride, x, must be a whole number from 1 to 16, not 0"),
        (make_conv, {"stride": 1}, "stride must be (y, x), not 1"),
        (make_conv, {"stride": [1, 1]}, "stride must be (y, x), not [1, 1]"),
        (make_conv, {"dilation": (17, 1)}, "dilation, y, must be a whole number from 1 to 16, not 17"),
        (make_conv, {"pads": (0, 0, 3, 0)}, "pads, bottom, must be a whole number from 0 to 2, not 3"),
        (make_conv, {"pads": (0, 0)}, "pads must be (top, left, bottom, right), not (0, 0)"),
        (make_conv, {"groups": 2}, "groups must divide the 3 output channels, and 2 does not"),
        (make_conv, {"groups": 0}, "groups must be a whole number from 1 to 131072, not 0"),
        (make_conv, {"transposed": 1}, "transposed must be true or false, not 1"),
        (
            make_conv,
            {"output_padding": (1, 0), "stride": (2, 2)},
            "output_padding, y, must be a whole number from 0 to 0, not 1",
        ),
        (
            make_conv,
            {"output_padding": (0, 2), "stride": (2, 2), "transposed": True},
            "output_padding, x, must be a whole number from 0 to 1, not 2",
        ),
        (make_conv, {"residual": ""}, "residual must be letters, digits and underscores, at most 64, not ''"),
        (make_conv, {"residual": "image"}, "in_mult must have the shape (3), not (0,)"),
        (make_conv, {"in_shift": np.zeros(3, np.int8)}, "in_shift must have the shape (0), not (3,)"),
        (make_add, {"terms": ()}, "terms must be a tuple of 1 to 2 names, not ()"),
        (make_add, {"terms": ("a", "b", "c")}, "terms must be a tuple of 1 to 2 names, not ('a', 'b', 'c')"),
        (make_add, {"terms": "image"}, "terms must be a tuple of 1 to 2 names, not 'image'"),
        (make_add, {"terms": ("a", "")}, "terms must be letters, digits and underscores, at most 64, not ''"),
        (
            make_add,
            {"in_mult": np.ones(2, np.uint16)},
            "in_mult must be an array of uint16 of 2 dimensions, not uint16 of 1",
        ),
        (
            make_add,
            {"in_shift": np.zeros((2, 2), np.int8)},
            "in_shift must have the shape (1, 2), not (2, 2)",
        ),
        (
            make_add,
            {"in_shift": np.full((1, 2), 48, np.int8)},
            "in_shift must be from -16 to 47, not 48 to 48",
        ),
        (
            make_add,
            {"bias": np.zeros(0, np.int64)},
            "channels must be a whole number from 1 to 131072, not 0",
        ),
        (make_pool, {"kernel": (0, 1)}, "kernel, height, must be a whole number from 1 to 4096, not 0"),
        (make_pool, {"pads": (0, 2, 0, 0)}, "pads, left, must be a whole number from 0 to 1, not 2"),
        (make_max, {"stride": (1, 5000)}, "stride, x, must be a whole number from 1 to 4096, not 5000"),
        (
            make_select,
            {"channels": np.zeros(0, np.int32)},
            "the number of channels must be a whole number from 1 to 131072, not 0",
        ),
        (
            make_select,
            {"channels": np.zeros(1, np.int64)},
            "channels must be an array of int32 of 1 dimension, not int64 of 1",
        ),
        (make_select, {"size": (0, 1)}, "size, y, must be a whole number from 1 to 4096, not 0"),
        (make_select, {"start": (0, -1)}, "start, x, must be a whole number from 0 to 4095, not -1"),
        (make_select, {"step": (0, 1)}, "step, y, must be a whole number from 1 to 4096, not 0"),
        (make_select, {"pads": (0, 0, 0, -1)}, "pads, right, must be a whole number from 0 to 4096, not -1"),
    ],
)
def test_node_refusals(make, changes, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        make(**changes)
    name = make.__name__.removeprefix("make_")
    assert str(refusal.value) == (sentence if sentence.startswith("a node's") else f"node {name}: {sentence}")


@pytest.mark.parametrize(
    ("nodes", "changes", "sentence"),
    [
        ((end(),), {"name": 5}, "a graph's name must be letters, digits and underscores, at most 64, not 5"),
        ((end(),), {"input": "image"}, "a graph's input must be a Tensor, not str"),
        (
            (end(),),
            {"input": Tensor(name="image", shape=(2, 1, 1), bits=16)},
            "the input's bits must be 4 or 8, not 16",
        ),
        (
            (end(),),
            {"fill": (1,)},
            "fill must be a tuple of one number for each of 2 channels, or empty, not (1,)",
        ),
        (
            (end(),),
            {"fill": [1, 2]},
            "fill must be a tuple of one number for each of 2 channels, or empty, not [1, 2]",
        ),
        ((make_conv(),), {"fill": (1, 256)}, "fill must be a whole number from 0 to 255, not 256"),
        (
            (end(),),
            {"fill": (1, 2)},
            "node end: an input with a fill for each channel can only be read by convolutions",
        ),
        (
            (make_conv((2, 2, 1, 1), **RESIDUAL),),
            {"fill": (1, 2)},
            "node conv: an input with a fill for each channel cannot be a residual",
        ),
        (
            (end(), 5),
            {},
            "a graph's nodes must be a tuple of Conv, Add, SumPool, MaxPool, Concat, Select, Flatten",
        ),
        ((), {}, "the number of nodes must be a whole number from 1 to 4096, not 0"),
        ((make_max(), make_max(), end()), {}, "nodes and the input must have different names, not max twice"),
        (
            (make_max(name="image"), end()),
            {},
            "nodes and the input must have different names, not image twice",
        ),
        (
            (end("later"), make_max(name="later")),
            {},
            "node end: reads later, which is neither the input nor a node before it",
        ),
        (
            (make_max(input="max"), end("max")),
            {},
            "node max: reads max, which is neither the input nor a node before it",
        ),
        ((make_max(),), {}, "node max: the last node, and no other, must be raw"),
        ((end(), make_max(input="end")), {}, "node end: the last node, and no other, must be raw"),
        ((make_max(), end()), {}, "every tensor must be read by a node, and max is not"),
        ((make_conv((3, 1, 1, 1)),), {}, "node conv: input channels must be 2, not 1"),
        ((make_conv((2, 2, 1, 1), groups=2),), {}, "node conv: input channels must be 2, not 4"),
        ((make_conv((3, 2, 6, 3)),), {}, "node conv: the output must have at least one pixel, not 0×4"),
        (
            (make_conv((2, 2, 3, 3), **RESIDUAL),),
            {},
            "node conv: the residual must have the shape (2, 3, 4), not (2, 5, 6)",
        ),
        (
            (make_max(), make_add(("image", "max")), end("add")),
            {},
            "node add: terms must have the same shape, not (2, 5, 6) and (2, 4, 5)",
        ),
        ((end(channels=3),), {}, "node end: channels must be 2, not 3"),
        ((make_pool(**scale(3)), end("pool")), {}, "node pool: channels must be 2, not 3"),
        (
            (make_pool(kernel=(7, 1), pads=(1, 0, 0, 0)), end("pool")),
            {},
            "node pool: the output must have at least one pixel, not 0×6",
        ),
        (
            (make_max(), Concat(name="both", parts=("max", "image")), end("both")),
            {},
            "node both: parts must have the same height and width, not (4, 5) and (5, 6)",
        ),
        (
            (make_max(), Concat(name="both", parts=("max", "image"), axis="rows"), end("both")),
            {},
            "node both: parts must have the same channels and width, not (2, 5) and (2, 6)",
        ),
        (
            (
                make_select(channels=np.zeros(1, np.int32), size=(5, 3)),
                Concat(name="both", parts=("image", "select"), axis="columns"),
                end("both"),
            ),
            {},
            "node both: parts must have the same channels and height, not (2, 5) and (1, 5)",
        ),
        (
            (make_add(bits=4), Concat(name="both", parts=("add", "image")), end("both")),
            {},
            "node both: parts must have the same bits, not 4 and 8",
        ),
        (
            (make_add(zero_point=1), Concat(name="both", parts=("add", "image")), end("both")),
            {},
            "node both: parts must have the same zero point, not 1 and 0",
        ),
        (
            (make_select(channels=np.array([2], np.int32)), end("select", 1)),
            {},
            "node select: channels must be from -1 to 1, not 2 to 2",
        ),
        (
            (make_select(channels=np.array([-2], np.int32)), end("select", 1)),
            {},
            "node select: channels must be from -1 to 1, not -2 to -2",
        ),
        (
            (make_select(size=(3, 1), step=(2, 1), start=(1, 0)), end("select")),
            {},
            "node select: the last pixel chosen in y must be a whole number from 0 to 4, not 5",
        ),
        (
            (
                make_conv(
                    (3, 2, 1, 1), bias=np.array([0, 2**47 - 1, 0]), weights=np.ones((3, 2, 1, 1), np.int16)
                ),
            ),
            {},
            "node conv: sums must fit 48 bits, two's complement, and can be as large as 140737488355837",
        ),
        (
            (
                make_add(
                    in_mult=np.full((1, 2), 65535, np.uint16),
                    in_shift=np.full((1, 2), -16, np.int8),
                    bias=np.full(2, -(2**47) + 255 * 65535 * 2**16),
                ),
                end("add"),
            ),
            {},
            "node add: sums must fit 48 bits, two's complement, and can be as large as 140737488355328",
        ),
    ],
)
def test_graph_refusals(nodes, changes, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        make_graph(*nodes, **changes)
    assert str(refusal.value) == sentence


def test_sums_of_48_bits():
    """Either sign of the weights, the bias and the residual count, and nothing beyond 2^47 - 1 does."""
    weights = np.array([100, -50, 7, -20]).reshape(2, 2, 1, 1).astype(np.int16)
    residual = RESIDUAL | {"in_mult": np.array([3, 0], np.uint16), "in_shift": np.array([-1, 0], np.int8)}
    rest = 2**47 - 1 - 255 * 100 - 255 * 3 * 2
    for bias in ([rest, 0], [-rest, 0], [0, 2**47 - 1 - 255 * 20], [0, -(2**47) + 1 + 255 * 20]):
        make_graph(make_conv((2, 2, 1, 1), weights=weights, bias=np.array(bias), **residual))
        one_more = np.array(bias) + np.sign(bias)
        with pytest.raises(OhmweaveError, match="can be as large as 140737488355328"):
            make_graph(make_conv((2, 2, 1, 1), weights=weights, bias=one_more, **residual))
    bias = np.full(2, 2**47 - 1 - 4 * 255)
    make_graph(make_pool(bias=bias), end("pool"))
    with pytest.raises(OhmweaveError, match="can be as large as 140737488355328"):
        make_graph(make_pool(bias=bias + 1), end("pool"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "a.b"}, "a tensor's name must be letters, digits and underscores, at most 64, not 'a.b'"),
        ({"shape": (2, 3)}, "tensor image: shape must be (channels, height, width), not (2, 3)"),
        ({"shape": (2, 0, 3)}, "tensor image: shape, height, must be a whole number from 1 to 131072, not 0"),
        (
            {"shape": (2, 1, 5000)},
            "tensor image: shape, width, must be a whole number from 1 to 4096, not 5000",
        ),
        (
            {"shape": (4096, 4096, 4096)},
            "tensor image: channels × height × width must be a whole number from 1 to 268435456, not 68719476736",
        ),
        ({"bits": 3}, "tensor image: bits must be 4, 8, 16 or 48, not 3"),
        (
            {"bits": 4, "zero_point": 16},
            "tensor image: zero point must be a whole number from 0 to 15, not 16",
        ),
        ({"bits": 48, "zero_point": 1}, "tensor image: zero point must be a whole number from 0 to 0, not 1"),
    ],
)
def test_tensor_refusals(changes, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        dataclasses.replace(IMAGE, **changes)
    assert str(refusal.value) == sentence


def test_records_are_their_own():
    weights = np.zeros((3, 2, 3, 3), np.int16)
    node = make_conv(weights=weights)
    weights[:] = 1
    assert not node.weights.any()
    for key in Conv.ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(node, key)[...] = 1
    with pytest.raises(TypeError):
        make_graph(node).tensors["image"] = None
