"""Pruned channels: the graph that is left is the whole one with zeros, for golden and for ONNX Runtime."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ohmweave.errors import OhmweaveError
from ohmweave.presets import PRESETS
from ohmweave.sim import graph_golden
from ohmweave.sim.graph import Add, Concat, Conv, Flatten, Graph, MaxPool, Select, Tensor
from ohmweave.sim.graph_base import RAW_BITS
from ohmweave.sim.graph_onnx import onnx_model
from ohmweave.sim.layer_bench import (
    PRUNED,
    Layer,
    layer_graph,
    layer_images,
    layer_params,
    measure_layer,
    measure_pruned,
)
from ohmweave.sim.prune import kept_channels, prune, skipped
from ohmweave.sim.stages import stages
from ohmweave.testbench.stage_model import run_stage

CHANNELS, SIDE = 12, 6


def conv(name, source, inputs, outputs, random, *, kernel=3, zero_point=0, **options):
    raw = options.get("bits") == RAW_BITS
    scale = {} if raw else {"mult": np.full(outputs, 40, np.uint16), "shift": np.full(outputs, 10, np.int8)}
    return Conv(
        name=name,
        input=source,
        weights=random.integers(-8, 8, (outputs, inputs, kernel, kernel)).astype(np.int16),
        weight_bits=4,
        pads=(kernel // 2,) * 4,
        bias=random.integers(-100, 400, outputs),
        zero_point=zero_point,
        **{"bits": 4} | scale | options,
    )


def graph(zero_point, seed=1):
    """A convolution whose channels go through every node that a pruned channel can go through."""
    random = np.random.default_rng(seed)
    shuffle = np.concatenate([random.permutation(CHANNELS)[:7], [-1]]).astype(np.int32)
    nodes = (
        conv("pruned", "image", 3, CHANNELS, random, zero_point=zero_point),
        MaxPool(name="pool", input="pruned", kernel=(2, 2), stride=(2, 2)),
        Add(
            name="scaled",
            terms=("pool",),
            in_mult=np.full((1, CHANNELS), 2, np.uint16),
            in_shift=np.full((1, CHANNELS), 1, np.int8),
            bias=np.zeros(CHANNELS, np.int64),
            mult=np.ones(CHANNELS, np.uint16),
            shift=np.zeros(CHANNELS, np.int8),
            bits=4,
            zero_point=zero_point,
        ),
        conv("next", "scaled", CHANNELS, 8, random),
        Select(name="some", input="scaled", channels=shuffle, size=(3, 3)),
        conv("other", "some", 8, 8, random, residual="next",
             in_mult=np.ones(8, np.uint16), in_shift=np.zeros(8, np.int8)),
        Flatten(name="flat", input="scaled"),
        conv("aside", "flat", CHANNELS * 9, 2, random, kernel=1),
        Flatten(name="all", input="other"),
        Concat(name="both", parts=("all", "aside")),
        conv("end", "both", 74, 5, random, kernel=1, bits=RAW_BITS),
    )  # fmt: skip
    return Graph(name="small", input=Tensor(name="image", shape=(3, SIDE, SIDE), bits=4), nodes=nodes)


def zeroed(whole, name, kept):
    """The whole graph with the other channels zero: the tensor's zero point."""

    def node(each):
        if each.name != name:
            return each
        gone = np.setdiff1d(np.arange(each.channels), kept)
        weights, bias, mult, shift = (
            np.array(getattr(each, key)) for key in ("weights", "bias", "mult", "shift")
        )
        weights[gone], bias[gone], mult[gone], shift[gone] = 0, each.zero_point, 1, 0
        return replace(each, weights=weights, bias=bias, mult=mult, shift=shift)

    return replace(whole, nodes=tuple(map(node, whole.nodes)))


def onnx_values(of, name, images):
    """A tensor, of numbers of 4 bits, and the logits as ONNX Runtime computes them."""
    model = onnx_model(of)
    model.graph.output.append(helper.make_tensor_value_info(f"{name}_out", TensorProto.UINT8, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [f"{name}_out", "logits"]
    return session.run(names, {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})


@pytest.mark.parametrize("zero_point", [0, 3])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_what_is_left_is_the_graph_with_zeros(share, zero_point):
    whole = graph(zero_point)
    pruned = prune(whole, "pruned", share)
    assert len(pruned.kept) == CHANNELS * (1 - share)
    images = np.random.default_rng(2).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    names = [node.name for node in whole.nodes]
    got = graph_golden.activations(pruned.graph, images, names)
    same = graph_golden.activations(zeroed(whole, "pruned", pruned.kept), images, names)
    for name in ("next", "some", "other", "aside", "end"):
        np.testing.assert_array_equal(got[name], same[name], name)
    np.testing.assert_array_equal(got["pruned"], same["pruned"][:, pruned.kept])
    tensor, logits = onnx_values(pruned.graph, "pruned", images)
    np.testing.assert_array_equal(got["pruned"], tensor)
    np.testing.assert_array_equal(got["end"].reshape(logits.shape), logits)


def test_the_lightest_go():
    weights = np.zeros((4, 1, 1, 2), np.int16)
    weights[:, 0, 0] = [[1, 1], [0, -5], [3, 3], [-1, 1]]
    np.testing.assert_array_equal(kept_channels(weights, 0.5), [1, 2])
    np.testing.assert_array_equal(kept_channels(weights, 0.25), [0, 1, 2])  # the first of equals stays
    np.testing.assert_array_equal(kept_channels(weights, 0), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("name", "share", "sentence"),
    [
        ("pool", 0.5, "pool is no convolution of the graph small"),
        ("nothing", 0.5, "nothing is no convolution of the graph small"),
        ("end", 0.5, "node end: the last node, and grouped ones"),
        ("other", 0.5, "node other: the last node, and grouped ones"),
        ("next", 0.5, "node other: it needs all channels of what it reads"),
        ("pruned", 1.0, "the share that is pruned must be from 0 to less than 1, not 1.0"),
        ("pruned", -0.5, "the share that is pruned must be from 0 to less than 1, not -0.5"),
        ("pruned", 0.99, "the share that is pruned must leave a channel, and 0.99 of 12 leaves none"),
    ],
)
def test_refused(name, share, sentence):
    with pytest.raises(OhmweaveError) as caught:
        prune(graph(0), name, share)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("outputs", [40, 64, 300])
def test_columns_hold_everything(outputs, share):
    """Every channel stands in one column; the blocks that are read hold those that are left, in order."""
    pe = PRESETS["re-reram"].pe
    full = layer_graph(Layer(name="layer", channels=3, outputs=outputs, size=5, kernel=3))
    pruned = prune(full, "layer", share)
    stage, whole = stages(pruned.graph)[0], stages(full)[0]
    tiling, columns = skipped(stage, whole, pruned.kept, pe)
    assert [first for first, _ in tiling.passes[1:]] == [behind for _, behind in tiling.passes[:-1]]
    assert tiling.passes[-1][1] == len(pruned.kept)
    at_once = pe.array.columns_at_once
    for held, (first, behind) in zip(columns, tiling.passes, strict=True):
        read = np.concatenate(
            [held.weights[block * at_once : (block + 1) * at_once] for block in held.blocks]
        )
        np.testing.assert_array_equal(read[: behind - first], stage.weights[first:behind])
        assert len(held.blocks) == -(-(behind - first) // at_once)
    stands = np.concatenate([held.weights for held in columns]).reshape(-1, 27)
    everything = whole.weights.reshape(-1, 27)
    if len(columns) == 1:
        assert sorted(map(tuple, stands)) == sorted(map(tuple, everything))
    images = layer_images(Layer(name="layer", channels=3, outputs=outputs, size=5, kernel=3), 1)
    wanted = graph_golden.activations(pruned.graph, images, ["layer"])["layer"].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(run_stage(tiling, images >> 4, None), wanted)


def read_blocks(layer, share, params, seed):
    """The blocks that the index table of each pass names."""
    full = layer_graph(layer, seed)
    pruned = prune(full, "layer", share)
    _, columns = skipped(stages(pruned.graph)[0], stages(full)[0], pruned.kept, params.pe)
    return [held.blocks for held in columns]


@pytest.mark.parametrize(("share", "blocks"), [(0.5, (1, 3)), (0.75, (3,))])
def test_pruned_columns_cost_no_cycles(share, blocks):
    layer, seed = Layer(name="layer", channels=8, outputs=16, size=10, kernel=3), 2
    params = PRESETS["tiny"]
    # Not the first ones, which would be read without a table, too.
    assert read_blocks(layer, share, params, seed) == [blocks]
    whole = measure_layer(layer, params, seed=seed)
    for compact in (False, True):
        pruned = measure_pruned(layer, share, params, compact=compact, seed=seed)
        assert whole.wrong == pruned.wrong == 0
        assert pruned.interval <= 1.03 * (1 - share) * whole.interval


@pytest.mark.parametrize(("outputs", "share"), [(2, 0.5), (4, 0.5), (4, 0.75), (8, 0.75)])
def test_few_channels_left(outputs, share):
    """Fewer than columns that are read at once: windows could share reads, but not those of an array that is full."""
    layer = Layer(name="layer", channels=3, outputs=outputs, size=12, kernel=3)
    for compact in (False, True):
        assert measure_pruned(layer, share, PRESETS["tiny"], compact=compact).wrong == 0


@pytest.mark.nightly
@pytest.mark.parametrize("share", [0.5, 0.75])
@pytest.mark.parametrize("layer", PRUNED, ids=lambda layer: layer.name)
def test_pruned_layers_of_full_size(layer, share):
    params = layer_params(PRESETS["re-reram"], layer.link_bits)
    whole = measure_layer(layer, params)
    for compact in (False, True):
        pruned = measure_pruned(layer, share, params, compact=compact)
        assert whole.wrong == pruned.wrong == 0
        assert pruned.interval <= 1.03 * (1 - share) * whole.interval
    graph = prune(layer_graph(layer), "layer", share).graph
    images = layer_images(layer, 3)
    golden = graph_golden.activations(graph, images, ["layer"])["layer"]
    np.testing.assert_array_equal(golden, onnx_values(graph, "layer", images)[0])
