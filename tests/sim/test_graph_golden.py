"""The golden model of graphs against plain Python, one product at a time, and against numbers worked out by hand."""

import itertools

import numpy as np
import pytest

from ohmweave.errors import OhmweaveError
from ohmweave.sim import golden, graph_golden, network
from ohmweave.sim.datasets import shipped_images
from ohmweave.sim.graph import (
    RAW_BITS,
    Add,
    Concat,
    Conv,
    Flatten,
    Graph,
    MaxPool,
    Select,
    SumPool,
    Tensor,
    from_network,
)
from ohmweave.sim.random_graph import Limits, random_graph

SMALL = Limits(steps=5, channels=6, size=8, max_kernel=4)


# The second witness: Python's integers and no NumPy. A map is a dictionary from (channel, y, x).


def round_shift(v, shift):
    return (v + 2 ** (shift - 1)) // 2**shift if shift > 0 else v * 2**-shift


def scale(node, channel, v):
    v += int(node.bias[channel])
    assert -(2**47) <= v < 2**47
    if node.raw:
        return v
    return min(max(round_shift(v * int(node.mult[channel]), int(node.shift[channel])), node.low), node.high)


def term(node, channel, value, index=None):
    where = (channel,) if index is None else (index, channel)
    return round_shift(value * int(node.in_mult[where]), int(node.in_shift[where]))


def conv(node, shape, fill, x, residual):
    outputs, inputs, height, width = node.weights.shape
    weights = node.weights.tolist()
    each = outputs // node.groups
    top, left = node.pads[:2]
    result = {}
    for o, y, z in itertools.product(*map(range, shape)):
        first = o // each * inputs
        v = term(node, o, residual[o, y, z]) if residual is not None else 0
        for i, ky, kx in itertools.product(range(inputs), range(height), range(width)):
            dy, dx = ky * node.dilation[0], kx * node.dilation[1]
            place = (first + i, y * node.stride[0] + dy - top, z * node.stride[1] + dx - left)
            if node.transposed:
                # The pixel that was spread to here, if one was.
                across = (y + top - dy, z + left - dx)
                place = (
                    first + i,
                    *(a // s if a % s == 0 else -1 for a, s in zip(across, node.stride, strict=True)),
                )
            v += x.get(place, int(fill[first + i])) * weights[o][i][ky][kx]
        result[o, y, z] = scale(node, o, v)
    return result


def pool(node, shape, x, outside, reduce):
    result = {}
    for c, y, z in itertools.product(*map(range, shape)):
        ys = range(y * node.stride[0] - node.pads[0], y * node.stride[0] - node.pads[0] + node.kernel[0])
        xs = range(z * node.stride[1] - node.pads[1], z * node.stride[1] - node.pads[1] + node.kernel[1])
        window = [x.get((c, *place), outside[c]) for place in itertools.product(ys, xs)]
        result[c, y, z] = reduce(c, [each for each in window if each is not None])
    return result


def select(node, shape, x, zero):
    result = dict.fromkeys(itertools.product(*map(range, shape)), zero)
    for c, y, z in itertools.product(range(shape[0]), range(node.size[0]), range(node.size[1])):
        source = (int(node.channels[c]), node.start[0] + y * node.step[0], node.start[1] + z * node.step[1])
        result[c, y + node.pads[0], z + node.pads[1]] = zero if source[0] < 0 else x[source]
    return result


def reference(graph, image):
    """Every tensor of one image (H, W, C) as nested lists [channel][y][x]."""
    height, width, channels = image.shape
    places = itertools.product(range(channels), range(height), range(width))
    values = {
        graph.input.name: {(c, y, x): int(image[y, x, c]) >> (8 - graph.input.bits) for c, y, x in places}
    }
    for node in graph.nodes:
        x, *more = (values[name] for name in node.inputs)
        tensor, shape = graph.tensors[node.inputs[0]], graph.tensors[node.name].shape
        fill = [tensor.zero_point] * tensor.shape[0]
        if graph.fill and tensor is graph.input:
            fill = list(graph.fill)
        if isinstance(node, Conv):
            made = conv(node, shape, fill, x, more[0] if more else None)
        elif isinstance(node, SumPool):
            made = pool(node, shape, x, fill, lambda c, window, node=node: scale(node, c, sum(window)))
        elif isinstance(node, MaxPool):
            made = pool(node, shape, x, [None] * shape[0], lambda c, window: max(window))
        elif isinstance(node, Add):
            terms = [values[name] for name in node.terms]
            made = {
                place: scale(
                    node, place[0], sum(term(node, place[0], t[place], i) for i, t in enumerate(terms))
                )
                for place in x
            }
        elif isinstance(node, Concat):
            side, start, made = {"channels": 0, "rows": 1, "columns": 2}[node.axis], 0, {}
            for name in node.parts:
                for place, value in values[name].items():
                    made[(*place[:side], start + place[side], *place[side + 1 :])] = value
                start += graph.tensors[name].shape[side]
        elif isinstance(node, Select):
            made = select(node, shape, x, tensor.zero_point)
        else:
            assert isinstance(node, Flatten)
            _, height, width = tensor.shape
            made = {((c * height + y) * width + z, 0, 0): value for (c, y, z), value in x.items()}
        values[node.name] = made
    return {
        name: [[[made[c, y, x] for x in range(w)] for y in range(h)] for c in range(n)]
        for (name, made), (n, h, w) in zip(
            values.items(), (t.shape for t in graph.tensors.values()), strict=True
        )
    }


def random_images(graph, count, seed):
    channels, height, width = graph.input.shape
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.uint8)


def check(seed, limits):
    graph = random_graph(seed, limits)
    images = random_images(graph, 2, seed)
    values = graph_golden.activations(graph, images)
    assert list(values) == list(graph.tensors)
    for index, image in enumerate(images):
        for name, expected in reference(graph, image).items():
            assert values[name][index].tolist() == expected, name
    for name, tensor in graph.tensors.items():
        assert values[name].dtype == (
            np.int64 if tensor.raw else np.uint16 if tensor.bits == 16 else np.uint8
        )
    scores = graph_golden.logits(graph, images)
    assert scores.dtype == graph.logits_dtype
    assert np.array_equal(scores, values[graph.output.name].reshape(2, *graph.logits_shape))


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs(seed):
    check(seed, SMALL)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 300))
def test_many_random_graphs(seed):
    check(seed, SMALL if seed % 2 else None)


def graph_of(nodes, shape, bits=8, zero_point=0, **options):
    image = Tensor(name="image", shape=shape, bits=bits, zero_point=zero_point)
    return Graph(name="hand", input=image, nodes=tuple(nodes), **options)


def raw_conv(weights, **options):
    weights = np.array(weights, np.int16)
    values = {"name": "conv", "input": "image", "bias": np.zeros(len(weights), np.int64), "bits": RAW_BITS}
    return Conv(weights=weights, **values | options)


def identity(source, channels, name="end"):
    """A raw node that gives a tensor as it is."""
    one = {"in_mult": np.ones((1, channels), np.uint16), "in_shift": np.zeros((1, channels), np.int8)}
    return Add(name=name, terms=(source,), bias=np.zeros(channels, np.int64), bits=RAW_BITS, **one)


def run(graph, image):
    """The output of one image [y][x] of one channel, or [c][y][x]."""
    image = np.array(image, np.uint8)
    image = image[..., np.newaxis] if image.ndim == 2 else image.transpose(1, 2, 0)
    return graph_golden.activations(graph, image[np.newaxis])[graph.output.name][0].tolist()


IMAGE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("node", "zero_point", "expected"),
    [
        (raw_conv([[[[1, 10], [100, 1000]]]], weight_bits=16), 0, [[5421, 6532], [8754, 9865]]),
        (raw_conv([[[[1, -1]]]], bias=np.array([7])), 0, [[6, 6], [6, 6], [6, 6]]),
        # The upper row and the left column are the zero point.
        (
            raw_conv([[[[1, 10], [100, 1000]]]], weight_bits=16, pads=(1, 1, 0, 0), stride=(2, 2)),
            5,
            [[1555, 3255], [7545, 9865]],
        ),
        (raw_conv([[[[1, 100]]]], dilation=(1, 2)), 0, [[301], [604], [907]]),
        (
            raw_conv([[[[1, 2], [3, 4]]]], transposed=True, stride=(2, 2)),
            0,
            [
                [1, 2, 2, 4, 3, 6],
                [3, 4, 6, 8, 9, 12],
                [4, 8, 5, 10, 6, 12],
                [12, 16, 15, 20, 18, 24],
                [7, 14, 8, 16, 9, 18],
                [21, 28, 24, 32, 27, 36],
            ],
        ),
        # One place of the output is on every second pixel, two hold what overlaps; then a row that nothing reaches.
        (
            raw_conv(
                [[[[1, 2, 4]]]],
                transposed=True,
                stride=(2, 2),
                pads=(0, 1, 0, 1),
                output_padding=(1, 0),
                bias=np.array([-7]),
            ),
            1,
            [
                [2 - 2, 1 * 4 - 4 + 2 - 1, 2, 2 * 4 - 4 + 3 - 1, 6 - 2],
                [0, 0, 0, 0, 0],
                [8 - 2, 16 - 4 + 5 - 1, 8, 20 - 4 + 6 - 1, 12 - 2],
                [0, 0, 0, 0, 0],
                [14 - 2, 28 - 4 + 8 - 1, 14, 32 - 4 + 9 - 1, 18 - 2],
                [0, 0, 0, 0, 0],
            ],
        ),
    ],
)  # fmt: skip
def test_convolutions_by_hand(node, zero_point, expected):
    assert run(graph_of([node], (1, 3, 3), zero_point=zero_point), IMAGE) == [expected]


def test_groups_by_hand():
    two = [[[1, 2]], [[3, 4]]]
    grouped = raw_conv([[[[1]]], [[[10]]], [[[100]]], [[[-1]]]], groups=2)
    assert run(graph_of([grouped], (2, 1, 2)), two) == [[[1, 2]], [[10, 20]], [[300, 400]], [[-3, -4]]]


def test_fill_of_each_channel():
    node = raw_conv([[[[1, 1, 1]], [[10, 10, 10]]]], pads=(0, 1, 0, 1))
    assert run(graph_of([node], (2, 1, 1), fill=(3, 7)), [[[1]], [[2]]]) == [[[1 + 20 + 6 + 140]]]


@pytest.mark.parametrize(
    ("v", "mult", "shift", "bits", "q"),
    [
        (-1, 1, 1, 8, 0),  # a half is rounded up: 0
        (1, 1, 1, 8, 1),
        (-3, 1, 1, 8, 0),
        (5, 1, 1, 8, 3),
        (5, 1, 0, 8, 5),
        (509, 1, 1, 8, 255),
        (511, 1, 1, 8, 255),
        (7, 0, 47, 16, 0),
        (1, 1, -16, 16, 65535),
        (0, 65535, -16, 16, 0),
        (-1, 65535, -16, 16, 0),
        (1, 3, -4, 8, 48),
        (2**47 - 1, 65535, 47, 16, 65535),
        (2**46, 65535, 47, 16, 32768),  # 32767.5
        (2**46 - 1, 65535, 47, 16, 32767),
        (2**47 - 1, 1, 47, 4, 1),
        (-(2**47) + 1, 65535, -16, 16, 0),
        (2**47 - 1, 65535, -16, 16, 65535),
        (2**33, 32769, 47, 4, 2),  # 2.00006
        (2**30 + 2**15, 32768, 46, 4, 1),  # 0.50002
        (70373039210497, 65535, 47, 16, 32769),  # 2^-47 less than 32769.5, in a product of 62 bits
        (17743349804783, 65521, 47, 16, 8260),
        (2**31, 1, 0, 8, 255),
        (2**32 - 1, 1, 0, 4, 15),
    ],
)
def test_requantisation(v, mult, shift, bits, q):
    assert min(max(round_shift(v * mult, shift), 0), 2**bits - 1) == q
    scale = {"mult": np.array([mult], np.uint16), "shift": np.array([shift], np.int8), "bits": bits}
    node = raw_conv([[[[0]]]], bias=np.array([v]), **scale)
    graph = graph_of([node, identity("conv", 1)], (1, 1, 1))
    assert graph_golden.activations(graph, np.zeros((1, 1, 1), np.uint8))["conv"].item() == q


def test_clip():
    one = {"mult": np.ones(1, np.uint16), "shift": np.zeros(1, np.int8), "bias": np.zeros(1, np.int64)}
    node = raw_conv([[[[1]]]], **one, bits=8, low=3, high=6)
    assert run(graph_of([node, identity("conv", 1)], (1, 1, 5)), [[0, 3, 5, 6, 255]]) == [[[3, 3, 5, 6, 6]]]


def test_residual_and_add_by_hand():
    half = {
        "in_mult": np.array([3], np.uint16),
        "in_shift": np.array([1], np.int8),
    }  # 1.5 x, a half rounded up
    node = raw_conv([[[[10]]]], residual="image", **half)
    assert run(graph_of([node], (1, 1, 3)), [[1, 2, 3]]) == [[[12, 23, 35]]]
    both = {"in_mult": np.array([[3], [1]], np.uint16), "in_shift": np.array([[1], [-3]], np.int8)}
    add = Add(name="add", terms=("image", "image"), bias=np.array([100]), bits=RAW_BITS, **both)
    assert run(graph_of([add], (1, 1, 3)), [[1, 2, 3]]) == [[[110, 119, 129]]]


def test_pools_by_hand():
    options = {"name": "pool", "input": "image", "kernel": (2, 2), "stride": (2, 1), "pads": (1, 0, 0, 1)}
    total = SumPool(**options, bias=np.array([1]), bits=RAW_BITS)
    assert run(graph_of([total], (1, 3, 3), zero_point=10), IMAGE) == [[[24, 26, 34], [25, 29, 36]]]
    largest = MaxPool(**options)
    graph = graph_of([largest, identity("pool", 1)], (1, 3, 3), zero_point=10)
    assert run(graph, IMAGE) == [[[2, 3, 3], [8, 9, 9]]]


def test_select_concat_and_flatten_by_hand():
    chosen = Select(
        name="select",
        input="image",
        channels=np.array([1, -1, 0], np.int32),
        start=(0, 1),
        step=(2, 1),
        size=(1, 2),
        pads=(0, 1, 1, 0),
    )
    parts = Concat(name="both", parts=("select", "select"))
    image = [[[1, 2, 3], [0, 0, 0]], [[4, 5, 6], [0, 0, 0]]]
    graph = graph_of([chosen, parts, identity("both", 6)], (2, 2, 3), zero_point=9)
    expected = [[[9, 5, 6], [9, 9, 9]], [[9, 9, 9], [9, 9, 9]], [[9, 2, 3], [9, 9, 9]]]
    assert run(graph, image) == expected * 2
    for axis, joined in (
        ("rows", [[[9, 5, 6], [9, 9, 9]] * 2, [[9, 9, 9]] * 4, [[9, 2, 3], [9, 9, 9]] * 2]),
        ("columns", [[[9, 5, 6] * 2, [9] * 6], [[9] * 6] * 2, [[9, 2, 3] * 2, [9] * 6]]),
    ):
        over = Concat(name="both", parts=("select", "select"), axis=axis)
        assert run(graph_of([chosen, over, identity("both", 3)], (2, 2, 3), zero_point=9), image) == joined
    flat = graph_of([Flatten(name="flat", input="image"), identity("flat", 12)], (2, 2, 3))
    assert [each for ((each,),) in run(flat, image)] == [1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0, 0]


@pytest.mark.parametrize("weight", [-(2**15), 2**15 - 1])
def test_largest_sums_are_exact(weight):
    """Numbers and weights of 16 bits over 4,096 × 3 × 3 rows: sums beyond 2^46."""
    channels = 4096
    wide = {"in_mult": np.full((1, channels), 257, np.uint16), "in_shift": np.zeros((1, channels), np.int8)}
    scale = {"mult": np.ones(channels, np.uint16), "shift": np.zeros(channels, np.int8), "bits": 16}
    first = Add(name="wide", terms=("image",), bias=np.zeros(channels, np.int64), **wide, **scale)
    last = raw_conv(np.full((1, channels, 3, 3), weight), input="wide", weight_bits=16, bias=np.array([-5]))
    graph = graph_of([first, last], (channels, 3, 3))
    image = np.full((channels, 3, 3), 255, np.uint8)
    image[0, 0, 0] = 254
    assert run(graph, image) == [[[weight * (65535 * channels * 9 - 257) - 5]]]


def test_batches_and_chunks_change_nothing(monkeypatch):
    for seed in (3, 5, 8):
        graph = random_graph(seed)
        images = random_images(graph, 7, seed)
        whole = graph_golden.logits(graph, images)
        with monkeypatch.context() as patch:
            patch.setattr(graph_golden, "BATCH_ELEMENTS", 1)
            patch.setattr(graph_golden, "CHUNK_ENTRIES", 1)
            assert np.array_equal(graph_golden.logits(graph, images), whole)
        assert graph_golden.logits(graph, images[:0]).shape == (0, *graph.logits_shape)


def test_integers_and_floats_give_the_same(monkeypatch):
    """What is small enough for floats is computed in them; it must not matter."""
    for seed in range(20):
        graph = random_graph(seed)
        images = random_images(graph, 2, seed)
        floats = graph_golden.activations(graph, images)
        with monkeypatch.context() as patch:
            patch.setattr(graph_golden, "SINGLE", 0)
            patch.setattr(graph_golden, "SCALED", 0)
            for name, values in graph_golden.activations(graph, images).items():
                assert np.array_equal(values, floats[name])


def test_lenet5_as_a_graph():
    net, (images, _) = network.builtin("lenet5"), shipped_images()
    graph = from_network(net)
    values = graph_golden.activations(graph, images[:100])
    for layer, expected in zip(net.layers, golden.activations(net, images[:100]), strict=True):
        assert np.array_equal(values[layer.name].transpose(0, 2, 3, 1), expected)
    scores = graph_golden.logits(graph, images)
    assert scores.dtype == np.int32
    assert np.array_equal(scores, golden.logits(net, images))
    assert np.array_equal(graph_golden.classify(scores), golden.classify(scores))


def test_some_activations():
    graph = random_graph(5)
    images = random_images(graph, 2, 5)
    names = [graph.nodes[1].name, graph.input.name]
    values, everything = (graph_golden.activations(graph, images, each) for each in (names, None))
    assert list(values) == names
    assert all(np.array_equal(values[name], everything[name]) for name in names)
    with pytest.raises(OhmweaveError) as refusal:
        graph_golden.activations(graph, images, ["nothing"])
    assert str(refusal.value) == "the graph random_5 has no tensor nothing"


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([[1]], "images must be an array of uint8, not list"),
        (np.zeros((1, 28, 28)), "images must be an array of uint8, not float64"),
        (
            np.zeros((1, 28, 27), np.uint8),
            "images must have the shape (N, 28, 28, 1) or (N, 28, 28), not (1, 28, 27, 1)",
        ),
        (
            np.zeros((28, 28), np.uint8),
            "images must have the shape (N, 28, 28, 1) or (N, 28, 28), not (28, 28)",
        ),
    ],
)
def test_image_refusals(images, sentence):
    with pytest.raises(OhmweaveError) as refusal:
        graph_golden.logits(from_network(network.builtin("lenet5")), images)
    assert str(refusal.value) == sentence
